"""Vectors for other implementations: values and their canonical bytes, preimages and their hashes.

Values are written as JSON with bytes as `{"$bytes": "<hex>"}`. `tests/test_vectors.py` reproduces every
vector with an encoder of its own; the canonical bytes are those of RFC 8949, appendix A.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from splittally.core.canonical import encode
from splittally.core.caps.grants import GrantTerms, build_grant
from splittally.core.caps.state import Caps
from splittally.core.hashing import hash_params
from splittally.core.intent import intent_hash
from splittally.core.limits import HASH_BYTES
from splittally.core.rows import grant_row
from splittally.core.types import CAP_ALL, ROOT, CapDef, EffectDef
from splittally.edge.json_values import parse_json
from splittally.edge.receipt_signatures import sign_receipt
from splittally.edge.records import Receipt
from splittally.edge.signed_parts import message_of_receipt, whole_payload

from tests.golden_teller import key_of

SCHEMAS = Path(__file__).parent.parent / "schemas"

# JSON text -> canonical bytes, from RFC 8949, appendix A, where they are in the data model.
CANONICAL = {
    "0": "00", "1": "01", "10": "0a", "23": "17", "24": "1818", "25": "1819", "100": "1864",
    "1000": "1903e8", "1000000": "1a000f4240", "1000000000000": "1b000000e8d4a51000",
    "18446744073709551615": "1bffffffffffffffff", "-1": "20", "-10": "29", "-100": "3863",
    "-1000": "3903e7", "-9223372036854775808": "3b7fffffffffffffff",
    "0.0": "f90000", "-0.0": "f98000", "1.0": "f93c00", "1.1": "fb3ff199999999999a", "1.5": "f93e00",
    "65504.0": "f97bff", "100000.0": "fa47c35000", "3.4028234663852886e+38": "fa7f7fffff",
    "1.0e+300": "fb7e37e43c8800759c", "5.960464477539063e-8": "f90001", "0.00006103515625": "f90400",
    "-4.0": "f9c400", "-4.1": "fbc010666666666666", "false": "f4", "true": "f5", "null": "f6",
    '{"$bytes": ""}': "40", '{"$bytes": "01020304"}': "4401020304", '""': "60", '"a"': "6161",
    '"IETF"': "6449455446", '"\\"\\\\"': "62225c", '"\\u00fc"': "62c3bc", '"\\u6c34"': "63e6b0b4",
    '"\\ud800\\udd51"': "64f0908591", "[]": "80", "[1, 2, 3]": "83010203",
    "[1, [2, 3], [4, 5]]": "8301820203820405", "{}": "a0", '{"b": [2, 3], "a": 1}': "a26161016162820203",
    '["a", {"b": "c"}]': "826161a161626163", '{"aa": 1, "b": 2}': "a261620262616101",
}  # fmt: skip

# Bytes that a strict decoder refuses, and why.
REFUSED = {
    "1800": "a head longer than it need be", "190017": "a head longer than it need be",
    "fb3ff8000000000000": "a float longer than it need be", "f97e00": "not a number",
    "f97c00": "an infinity", "f7": "undefined", "f0": "a simple value", "c074": "a tag",
    "c249010000000000000000": "a bignum", "3bffffffffffffffff": "below -2^63",
    "5fff": "an indefinite length", "9fff": "an indefinite length", "bfff": "an indefinite length",
    "a10102": "a key that is not text", "a2616201616102": "keys out of order",
    "a2616101616102": "a key twice", "0000": "bytes after the value", "6161" "00": "bytes after the value",
    "62": "bytes that end inside the value", "61ff": "text that is not UTF-8",
    "63eda080": "half of a surrogate pair", "": "nothing",
}  # fmt: skip

INTENTS: list[tuple[str, Any, str]] = [
    ("llm.generate", {"model": "m", "max_tokens": 50}, "cap_llm"),
    ("llm.generate", {"max_tokens": 50, "model": "m"}, "cap_llm"),
    ("llm.generate", {"model": "m", "max_tokens": 50}, "cap_llm_2"),
    ("http.request", {"url": "https://a.example/", "headers": {"b": "2", "a": "1"}}, "net"),
    ("blob.put", {"key": "k", "size": 2**64 - 1, "digest": bytes(range(32))}, "store"),
    ("mail.send", {"to": "Übermorgen", "ratio": 0.5, "tags": [None, True, -1]}, "grants/émile"),
    ("ledger.transfer", {}, "root"),
]

GRANTS: list[dict[str, Any]] = [
    {"cap": "sys/llm.basic@1"},
    {"cap": "sys/llm.basic@1", "budget": {}},
    {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}},
    {"cap": "sys/llm.basic@1", "budget": {"tokens": 101}},
    {"cap": "sys/llm.basic@1", "budget": {"zorp": 100}},
    {"cap": "sys/llm.basic@1", "params": {"models": ["m"]}, "budget": {"tokens": 100, "cost_cents": 0}},
    {"cap": "sys/http.out@1", "params": {"hosts": ["a.example"], "methods": ["GET"]}},
    {"cap": "sys/cost@1", "expiry_ns": 1_767_571_200_000_000_000},
    {"cap": "sys/blob@1", "params": {}, "budget": {"bytes": 2**64 - 1}, "expiry_ns": 1},
    {
        "cap": "sys/allow@1",
        "params": {"reserve": {"größe": 7}},
        "budget": {"größe": 7},
        "expiry_ns": 2**63 - 1,
    },
]


def spelled(value: Any) -> Any:
    """A value as JSON spells it, integers as numbers of any size."""
    if type(value) is bytes:
        return {"$bytes": value.hex()}
    if type(value) is dict:
        return {name: spelled(item) for name, item in value.items()}
    return [spelled(item) for item in value] if type(value) is list else value


def canonical_vectors() -> dict[str, Any]:
    """Values with their bytes, and bytes that no value has."""
    values = [{"json": text, "cbor": data} for text, data in CANONICAL.items()]
    for vector in values:
        assert encode(parse_json(vector["json"])).hex() == vector["cbor"]
    return {"values": values, "refused": [{"cbor": data, "because": why} for data, why in REFUSED.items()]}


def intent_vectors() -> list[dict[str, Any]]:
    """Intents with the bytes that are hashed and the hash."""
    vectors = []
    for at, (kind, params, grant) in enumerate(INTENTS):
        key = key_of(f"vector {at}")
        preimage = {"kind": kind, "params": encode(params), "cap": grant, "idempotency_key": key}
        vectors.append(
            {
                "kind": kind,
                "params": spelled(params),
                "grant": grant,
                "idempotency_key": key.hex(),
                "preimage": encode(preimage).hex(),
                "intent_hash": intent_hash(kind, encode(params), grant, key).hex(),
            }
        )
    return vectors


def grant_vectors() -> list[dict[str, Any]]:
    """Grants with the bytes that are hashed and the hash."""
    vectors = []
    for at, stated in enumerate(GRANTS):
        params = encode(stated["params"]) if "params" in stated else None
        budget, expiry = stated.get("budget"), stated.get("expiry_ns")
        preimage = {"defcap_ref": stated["cap"], "params_cbor": params, "budget": budget, "expiry": expiry}
        terms = GrantTerms(cap=stated["cap"], params=params, budget=budget, expiry_ns=expiry)
        vectors.append(
            {
                "grant": spelled(stated),
                "preimage": encode(preimage).hex(),
                "grant_hash": build_grant(f"g{at}", terms, "manifest").grant_hash.hex(),
            }
        )
    return vectors


def terms_vectors() -> list[dict[str, Any]]:
    """One grant, and the same with one thing changed: what its name does not show, the hashes do."""
    base: dict[str, Any] = {"cap": "acme/put@1", "budget": {"bytes": 100}}
    enforcer, schema = b"\x01" * HASH_BYTES, b"\x02" * HASH_BYTES
    changes: list[tuple[str, dict[str, Any], bytes, bytes]] = [
        ("nothing", {}, enforcer, schema),
        ("budget", {"budget": {"bytes": 101}}, enforcer, schema),
        ("expiry_ns", {"expiry_ns": 1}, enforcer, schema),
        ("params", {"params": encode({"namespaces": ["n"]})}, enforcer, schema),
        ("holder", {"holder": "alice"}, enforcer, schema),
        ("hold_ns_max", {"hold_ns_max": 60_000_000_000}, enforcer, schema),
        ("pays_to", {"pays_to": ["vendors/mill"]}, enforcer, schema),
        ("enforcer", {}, b"\x03" * HASH_BYTES, schema),
        ("params_schema", {}, enforcer, b"\x04" * HASH_BYTES),
    ]
    return [
        {"changed": changed, **_terms_vector({**base, **terms}, module, accepted)}
        for changed, terms, module, accepted in changes
    ]


def _terms_vector(terms: dict[str, Any], enforcer: bytes, schema: bytes) -> dict[str, Any]:
    caps = Caps()
    caps.caps = {
        CAP_ALL: CapDef(CAP_ALL, "*", b"", b""), "acme/put@1": CapDef("acme/put@1", "put", enforcer, b""),
    }  # fmt: skip
    caps.effects = {"acme.put": EffectDef("acme.put", "put", schema, b"", [], 1)}
    grant = build_grant("g", GrantTerms(**terms), "manifest")
    caps.grants = {ROOT: build_grant(ROOT, GrantTerms(cap=CAP_ALL, parent=""), "release"), "g": grant}
    caps.blobs = {hash_params(terms["params"]): terms["params"]} if "params" in terms else {}
    record = grant_row(grant)
    return {
        "grant": spelled(record),
        "enforcer": enforcer.hex(),
        "params_schema": schema.hex(),
        "preimage": encode([record, enforcer, schema]).hex(),
        "grant_hash": grant.grant_hash.hex(),
        "terms_hash": caps.chain("g", "acme.put").links[0].terms_hash.hex(),
    }


def receipt_vectors() -> list[dict[str, Any]]:
    """Receipts as their adapters sign them; `seed` is the private key, `payload` the canonical bytes."""
    seed = key_of("receipts")
    digest = bytes.fromhex(intent_vectors()[0]["intent_hash"])
    receipts = [
        Receipt(digest, "ok", "mailer@1", {"prompt_tokens": 10}),
        Receipt(digest, "ok", "mailer@1", {"prompt_tokens": 10}, cost_cents=0),
        Receipt(digest, "error", "mailer@1", b"no canonical bytes", 12, "vendors/mill"),
        Receipt(digest, "unknown", "mailer@1"),
    ]
    return [_receipt_vector(seed, receipt) for receipt in receipts]


def _receipt_vector(seed: bytes, receipt: Receipt) -> dict[str, Any]:
    signature = sign_receipt(receipt, seed).signature
    assert signature is not None
    return {
        "seed": seed.hex(),
        "public": Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex(),
        "receipt": {
            "intent_hash": receipt.intent_hash.hex(),
            "status": receipt.status,
            "adapter_id": receipt.adapter_id,
            "cost_cents": receipt.cost_cents,
            "pays_to": receipt.pays_to,
        },
        "payload": whole_payload(receipt.payload).hex(),
        "message": message_of_receipt(receipt).hex(),
        "signature": signature.hex(),
    }


def schema_hashes() -> dict[str, str]:
    """SHA-256 of each wire schema: a released file is never edited."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(SCHEMAS.glob("*.cddl"))}


def write(folder: Path) -> None:
    """Write every file of vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "canonical": canonical_vectors(),
        "grant_hash": grant_vectors(),
        "intent_hash": intent_vectors(),
        "receipts": receipt_vectors(),
        "schemas": schema_hashes(),
        "terms_hash": terms_vectors(),
    }
    for name, vectors in files.items():
        text = json.dumps(vectors, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", "utf-8")
