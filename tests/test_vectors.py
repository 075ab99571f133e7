"""The vectors in fixtures/ are reproduced by an encoder that shares no code with the kernel.

The encoder below is RFC 8949 section 4.2.1 in its plainest form; hashes come from hashlib and blake3.
"""

import struct
from hashlib import sha256

import pytest
import splittally
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from splittally import CanonicalError, Intent
from splittally.core.canonical import decode, decode_plain, encode, encode_plain
from splittally.edge.json_values import parse_json

from tests import golden


def plain_encode(value) -> bytes:
    """Canonical CBOR of a value, written from the RFC alone."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return shortest_float(value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(plain_encode, value))
    entries = sorted((plain_encode(key), plain_encode(item)) for key, item in value.items())
    return head(5, len(entries)) + b"".join(key + item for key, item in entries)


def head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    size = next(size for size in (1, 2, 4, 8) if argument < 256**size)
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[size]]) + argument.to_bytes(size, "big")


def shortest_float(value: float) -> bytes:
    for initial, form in ((0xF9, ">e"), (0xFA, ">f"), (0xFB, ">d")):
        try:
            data = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, data)[0] == value:
            return bytes([initial]) + data
    raise AssertionError


def unspelled(value):
    """A value of the vectors: bytes stand as `{"$bytes": hex}`."""
    if isinstance(value, dict):
        if list(value) == ["$bytes"]:
            return bytes.fromhex(value["$bytes"])
        return {name: unspelled(item) for name, item in value.items()}
    return [unspelled(item) for item in value] if isinstance(value, list) else value


CANONICAL = golden.read_vectors("canonical")
INTENTS = golden.read_vectors("intent_hash")
GRANTS = golden.read_vectors("grant_hash")
RECEIPTS = golden.read_vectors("receipts")


@pytest.mark.parametrize("vector", CANONICAL["values"], ids=lambda vector: vector["json"][:30])
def test_a_value_has_the_canonical_bytes_of_the_rfc(vector):
    value, data = parse_json(vector["json"]), bytes.fromhex(vector["cbor"])
    assert plain_encode(value) == encode(value) == encode_plain(value) == data
    assert plain_encode(decode(data)) == plain_encode(decode_plain(data)) == data


@pytest.mark.parametrize("vector", CANONICAL["refused"], ids=lambda vector: vector["cbor"] or "empty")
def test_bytes_outside_canonical_form_are_refused(vector):
    for read in (decode, decode_plain):
        with pytest.raises(CanonicalError):
            read(bytes.fromhex(vector["cbor"]))


@pytest.mark.req("X4-09")
@pytest.mark.parametrize("vector", INTENTS, ids=lambda vector: vector["intent_hash"][:8])
def test_an_intent_hash_is_reproduced_by_an_independent_encoder(vector):
    preimage = {
        "kind": vector["kind"],
        "params": plain_encode(unspelled(vector["params"])),
        "cap": vector["grant"],
        "idempotency_key": bytes.fromhex(vector["idempotency_key"]),
    }
    data = plain_encode(preimage)
    assert data.hex() == vector["preimage"]
    digest = blake3(data, derive_key_context="splittally 1 intent").hexdigest()
    assert digest == vector["intent_hash"]


@pytest.mark.req("X4-09", "S4-74")
def test_the_kernel_names_an_intent_by_the_hash_of_the_vector():
    vector = next(x for x in INTENTS if x["kind"] == "llm.generate")
    with splittally.open(None, clock="given") as kernel:
        kernel.apply({"grants": {vector["grant"]: {"cap": "sys/llm.basic@1"}}})
        key = bytes.fromhex(vector["idempotency_key"])
        decision = kernel.submit(Intent(vector["kind"], vector["params"], vector["grant"], None, key))
    assert decision.outcome == "allow"
    assert decision.intent_hash.hex() == vector["intent_hash"]


def test_key_order_is_no_part_of_an_intent_and_the_grants_name_is():
    first, reordered, other_grant = INTENTS[:3]
    assert first["params"] == reordered["params"] == other_grant["params"]
    parts = [bytes.fromhex(x["preimage"]) for x in (first, reordered, other_grant)]
    key = bytes.fromhex(first["idempotency_key"])
    assert parts[1][:-32] + key == parts[0]
    assert parts[2][:-32] + key != parts[0]


@pytest.mark.parametrize("vector", RECEIPTS, ids=lambda vector: vector["signature"][:8])
def test_the_signature_of_a_receipt_is_reproduced_by_an_independent_encoder(vector):
    receipt, payload = vector["receipt"], bytes.fromhex(vector["payload"])
    digest = blake3(payload, derive_key_context="splittally 1 payload").digest()
    head = ["splittally 1 receipt", bytes.fromhex(receipt["intent_hash"])]
    names = [receipt["status"], receipt["adapter_id"]]
    message = plain_encode([*head, *names, digest, receipt["cost_cents"], receipt["pays_to"]])
    assert message.hex() == vector["message"]
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["seed"]))
    assert key.sign(message).hex() == vector["signature"]
    assert key.public_key().public_bytes_raw().hex() == vector["public"]


@pytest.mark.req("S4-94")
def test_grant_hashes_are_sha256_of_what_an_independent_encoder_writes():
    assert len(GRANTS) == 10
    for vector in GRANTS:
        stated = vector["grant"]
        preimage = {
            "defcap_ref": stated["cap"],
            "params_cbor": plain_encode(stated["params"]) if "params" in stated else None,
            "budget": stated.get("budget"),
            "expiry": stated.get("expiry_ns"),
        }
        assert plain_encode(preimage).hex() == vector["preimage"]
        assert sha256(plain_encode(preimage)).hexdigest() == vector["grant_hash"]


@pytest.mark.req("S4-94", "S4-95")
def test_a_world_gives_its_grants_the_hashes_of_the_vectors():
    stated = {f"g{at}": vector["grant"] for at, vector in enumerate(GRANTS)}
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply({"grants": stated}).outcome == "allow"
        for at, vector in enumerate(GRANTS):
            assert kernel.state.grants[f"g{at}"].grant_hash.hex() == vector["grant_hash"]
            assert kernel.state.grant(vector["grant_hash"]).name == f"g{at}"


# --- terms: same name, changed meaning ------------------------------------------------------------

GRANT = {"cap": "acme/llm@1", "budget": {"tokens": 100}}
CAP = {"cap_type": "llm.basic", "enforcer": "sys/CapEnforceLlmBasic@1"}


def identity_of(kernel) -> tuple[str, bytes, bytes]:
    """Name, grant hash and terms hash that a new reservation under grant `g` records."""
    decision = kernel.submit(Intent("llm.generate", {"max_tokens": 1}, "g"))
    leg = kernel.state.reservations[decision.intent_hash].legs[0]
    return leg.grant, leg.grant_hash, leg.terms_hash


@pytest.mark.req("S4-97")
@pytest.mark.parametrize(
    ("grant", "cap", "is_grant_hash_kept"),
    [
        ({**GRANT, "budget": {"tokens": 101}}, CAP, False),
        ({**GRANT, "expiry_ns": 10**18}, CAP, False),
        ({**GRANT, "params": {}}, CAP, False),
        ({**GRANT, "hold_ns_max": "1m"}, CAP, True),
        ({**GRANT, "limits": [{"dim": "tokens", "per": "day", "amount": 5}]}, CAP, True),
        (GRANT, {**CAP, "enforcer": "sys/CapAllowAll@1"}, True),
    ],
)
def test_the_same_name_with_another_meaning_has_another_terms_hash(grant, cap, is_grant_hash_kept):
    with splittally.open(None, clock="given") as kernel:
        kernel.apply({"caps": {"acme/llm@1": CAP}, "grants": {"g": GRANT}})
        before = identity_of(kernel)
        kernel.apply({"caps": {"acme/llm@1": cap}, "grants": {"g": grant}})
        after = identity_of(kernel)
    assert before[0] == after[0] == "g"
    assert (before[1] == after[1]) == is_grant_hash_kept
    assert before[2] != after[2]


@pytest.mark.req("S4-97")
def test_every_change_of_a_grants_meaning_shows_in_its_terms_hash():
    """Four things show in the grant hash as well; the terms hash covers the rest."""
    vectors = golden.read_vectors("terms_hash")
    for vector in vectors:
        parts = [vector["enforcer"], vector["params_schema"]]
        data = plain_encode([unspelled(vector["grant"]), *map(bytes.fromhex, parts)])
        assert data.hex() == vector["preimage"]
        digest = blake3(data, derive_key_context="splittally 1 terms").hexdigest()
        assert digest == vector["terms_hash"]
    assert len({vector["terms_hash"] for vector in vectors}) == len(vectors)
    same = [vector["changed"] for vector in vectors if vector["grant_hash"] == vectors[0]["grant_hash"]]
    assert same == ["nothing", "holder", "hold_ns_max", "pays_to", "enforcer", "params_schema"]


@pytest.mark.req("S4-97")
def test_a_terms_hash_is_reproduced_from_what_the_world_shows():
    with splittally.open(None, clock="given") as kernel:
        kernel.apply({"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}}})
        _, _, terms_hash = identity_of(kernel)
        state = kernel.state
        rows = dict(state.tables()["grants"])["g"]
        record = [rows, state.caps["sys/llm.basic@1"].enforcer, state.effects["llm.generate"].params_schema]
    assert blake3(plain_encode(record), derive_key_context="splittally 1 terms").digest() == terms_hash
