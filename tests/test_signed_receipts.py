"""Receipts that must be signed: what is forged, foreign or unsigned changes nothing and is recorded."""

import subprocess
import sys
from typing import Any

import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from splittally import InvalidInput, InvalidManifest, Receipt, sign_receipt
from splittally.core.canonical import decode, encode
from splittally.core.commands import Judged, Settle, Verified
from splittally.core.errors import CanonicalError
from splittally.core.hashing import hash_payload
from splittally.core.limits import ADAPTER_KINDS_MAX, ADAPTERS_MAX
from splittally.core.snapshot import state_root
from splittally.edge.signed_parts import message_of_receipt
from splittally.runtime.reader import read_store
from splittally.runtime.recover import fold
from splittally_tools.audit.verify import verify

from tests.cli_tools import environment
from tests.signed_receipts import (
    BOTH,
    FREE,
    KEYS,
    PUBLIC,
    SIGNED,
    ask,
    books,
    document,
    message,
    new_world,
    refusal,
    refusals,
)

OTHERS: dict[str, list[Any]] = {
    "status": ["ok", "error", "timeout", "unknown"],
    "adapter_id": ["a@1", "b@1", "c@1"],
    "payload": [
        None,
        {},
        {"n": 1},
        {"n": 2},
        b"\xa1\x61n\x01",
        b"no canonical bytes",
        {"text": "x" * 70_000},
    ],
    "cost_cents": [None, 0, 7, 8, 499],
    "pays_to": [None, "vendors/mill", "vendors/post"],
}
receipts = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in OTHERS.items()})
signers = st.sampled_from(sorted(KEYS))


def signed(receipt: Receipt, key: str = "a") -> Receipt:
    return sign_receipt(receipt, KEYS[key])


def settled_by(kernel, digest):
    """The command that settled an intent."""
    (record,) = [x for x in read_store(kernel).records() if x.seq == kernel.outcome(digest)["ended_seq"]]
    return record.body.command


def is_sound(kernel):
    report = verify(read_store(kernel))
    return report.is_sound and state_root(fold(kernel._world.store)) == state_root(kernel._world.state)


# --- taken and refused ------------------------------------------------------------------------------


@given(receipts)
def test_what_is_signed_is_the_whole_receipt_by_an_independent_encoder(fields):
    receipt = Receipt(bytes(32), **fields)
    assert message_of_receipt(receipt) == message(receipt)


@given(receipts, st.sampled_from(sorted(OTHERS)), st.data())
def test_a_receipt_with_any_field_changed_is_refused_and_the_ledger_is_unchanged(fields, name, data):
    kernel = new_world(BOTH)
    digest = ask(kernel)
    honest = signed(Receipt(digest, **{**fields, "adapter_id": "a@1"}))
    changed = replace(honest, **{name: data.draw(st.sampled_from(OTHERS[name]))})
    before = books(kernel._world.state)
    answer = kernel.settle(changed)
    expected = refusal(changed, BOTH)
    assert (answer.status == "refused", answer.violation.code if answer.violation else "") == (
        bool(expected),
        expected or (answer.violation.code if answer.violation else ""),
    )
    assert bool(expected) == (message(changed) != message(honest))
    if expected:
        assert books(kernel._world.state) == before
        assert kernel.settle(honest).status == ("held" if honest.status == "unknown" else "settled")
    assert is_sound(kernel)


@given(receipts, st.binary(min_size=64, max_size=64), signers)
def test_a_signature_of_another_key_or_of_chance_is_refused(fields, noise, thief):
    kernel = new_world({"a@1": "a"})
    receipt = Receipt(ask(kernel), **{**fields, "adapter_id": "a@1"})
    before = books(kernel._world.state)
    forged = [replace(receipt, signature=noise)] + ([signed(receipt, thief)] if thief != "a" else [])
    for each in forged:
        answer = kernel.settle(each)
        assert (answer.status, answer.violation.code) == ("refused", "receipt_forged")
    assert books(kernel._world.state) == before


def test_the_signature_of_another_intent_is_forged():
    kernel = new_world({"a@1": "a"})
    first, second = ask(kernel), ask(kernel)
    other = signed(Receipt(first, "ok", "a@1", {}, 7))
    answer = kernel.settle(replace(other, intent_hash=second))
    assert (answer.status, answer.violation.code) == ("refused", "receipt_forged")
    assert kernel.settle(other).status == "settled"
    assert kernel.settle(other).status == "duplicate"
    assert kernel.outcome(second)["status"] == "reserved"


def test_an_adapter_does_not_sign_in_the_name_of_another():
    kernel = new_world(BOTH)
    receipt = Receipt(ask(kernel), "ok", "b@1", {}, 7)
    assert kernel.settle(signed(receipt, "a")).violation.code == "receipt_forged"
    assert kernel.settle(signed(receipt, "b")).status == "settled"


@given(st.data())
def test_whatever_is_asked_in_whatever_order_only_what_the_model_believes_changes_the_books(data):
    """Adapters come and go between the receipts; those that stand when one comes judge it."""
    kernel, adapters = new_world({}), dict[str, str]()
    asked, ended, told = [ask(kernel), ask(kernel)], dict[bytes, str](), set[tuple[bytes, str]]()
    for _ in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["adapters", "cancel", "settle", "settle", "settle"])):
            case "adapters":
                names = st.dictionaries(st.sampled_from(sorted(BOTH)), signers)
                adapters = data.draw(names)
                kernel.apply(document(adapters))
            case "cancel":
                digest = data.draw(st.sampled_from(asked))
                if kernel.release(digest).status == "released":
                    ended[digest] = "released"
            case _:
                digest = data.draw(st.sampled_from(asked))
                receipt = Receipt(digest, **data.draw(receipts))
                if data.draw(st.booleans()):
                    key = data.draw(signers)
                    receipt = signed(replace(receipt, intent_hash=data.draw(st.sampled_from(asked))), key)
                    receipt = replace(receipt, intent_hash=digest)
                expected, before = refusal(receipt, adapters), books(kernel._world.state)
                answer = kernel.settle(receipt)
                assert (answer.status == "refused") == bool(expected)
                if expected:
                    assert answer.violation.code == expected
                    assert (answer.seq is None) == ((digest, expected) in told)
                    assert books(kernel._world.state) == before
                    told.add((digest, expected))
                elif digest not in ended:
                    assert answer.status == ("held" if receipt.status == "unknown" else "settled")
                    ended |= {digest: "settled"} if receipt.status != "unknown" else {}
                else:
                    is_late = ended[digest] == "released" and receipt.status != "unknown"
                    assert answer.status == ("late" if is_late else "duplicate")
                    ended[digest] = "settled" if is_late else ended[digest]
    assert {(x.intent_hash, x.facts["code"]) for x in refusals(kernel)} == told
    assert len(refusals(kernel)) == len(told)
    assert is_sound(kernel)


# --- what else a refused receipt does not do --------------------------------------------------------


def test_no_module_is_asked_about_a_refused_receipt(monkeypatch):
    kernel = new_world({"a@1": "a"})
    digests = [ask(kernel), ask(kernel)]
    monkeypatch.setattr(type(kernel._world.judge), "answer", lambda *_: pytest.fail("a module is asked"))
    forged = signed(Receipt(digests[0], "ok", "a@1", {}), "thief")
    answers = kernel.settle([Receipt(digests[0], "ok"), forged, Receipt(digests[1], "ok", "c@1", {})])
    assert [answer.status for answer in answers] == ["refused"] * 3
    assert not any(isinstance(x, Judged) for r in read_store(kernel).records() for x in r.body.seen[:1] if
                   isinstance(r.body.command, Settle))  # fmt: skip


def test_a_flood_of_forged_receipts_adds_three_frames_to_its_intent(folder):
    kernel = new_world({"a@1": "a"}, folder)
    held, released, settled = ask(kernel), ask(kernel), ask(kernel)
    kernel.release(released)
    kernel.settle(signed(Receipt(settled, "ok", "a@1", {}, 1)))

    def flood(kernel):
        for digest in (held, released, settled):
            for cost in range(40):
                unsigned = Receipt(digest, "ok", "a@1", {}, cost)
                kernel.settle([unsigned, signed(unsigned, "b"), signed(replace(unsigned, adapter_id="c@1"))])
        return kernel._world.state.size

    size = flood(kernel)
    assert len(refusals(kernel)) == 9
    assert flood(kernel) == size
    kernel.close()
    with splittally.open(folder, clock="given") as again:
        size = again._world.state.size
        assert flood(again) == size
        assert again._world.state.ledger.refused.keys() == {held}
        assert again.settle(signed(Receipt(held, "ok", "a@1", {}, 1))).status == "settled"
        assert again.settle(signed(Receipt(released, "ok", "a@1", {}, 1))).status == "late"
        assert not again._world.state.ledger.refused


def test_a_refused_receipt_is_of_nobody_who_may_not_settle():
    kernel = new_world({"a@1": "a"})
    digest = ask(kernel)
    answer = kernel.as_principal("mallory").settle(signed(Receipt(digest, "ok", "a@1", {}), "thief"))
    assert (answer.status, answer.seq) == ("not_found", None)
    assert refusals(kernel) == []


def test_nobody_says_unknown_of_an_effect_without_its_adapter():
    kernel = new_world({"a@1": "a"})
    digest = ask(kernel)
    assert kernel.settle(Receipt(digest, "unknown", "a@1")).violation.code == "receipt_unsigned"
    assert kernel.outcome(digest)["phase"] == "open"
    assert kernel.settle(signed(Receipt(digest, "unknown", "a@1"))).status == "held"


def test_a_list_of_receipts_is_answered_as_one_by_one():
    kernel, other = new_world({"a@1": "a"}), new_world({"a@1": "a"})

    def told(kernel, settle):
        digests = [ask(kernel) for _ in range(6)]
        made = [Receipt(digest, "ok", "a@1", {}, cost) for cost, digest in enumerate(digests)]
        mixed = [signed(x) if at % 2 else signed(x, "b") if at % 3 else x for at, x in enumerate(made)]
        return [(x.status, x.seq, x.usage, x.violation) for x in settle([*mixed, *mixed])]

    assert told(kernel, kernel.settle) == told(other, lambda many: [other.settle(one) for one in many])


# --- kinds without adapters -------------------------------------------------------------------------


@given(receipts)
def test_other_kinds_settle_as_they_are_signed_or_not(fields):
    kernel = new_world(BOTH)
    receipt = Receipt(ask(kernel, FREE), **{**fields, "status": "ok", "pays_to": None})
    receipt = signed(receipt, "thief") if fields["status"] == "ok" else receipt
    assert kernel.settle(receipt).status == "settled"
    command = settled_by(kernel, receipt.intent_hash)
    assert command.signature == (receipt.signature or b"")
    assert not any(isinstance(x, Verified) for r in read_store(kernel).records() for x in r.body.seen)


def test_a_settle_in_a_world_without_adapters_looks_at_one_table(monkeypatch):
    monkeypatch.setattr("splittally.core.receipts.refusal_of", lambda *_: pytest.fail("it is asked"))
    monkeypatch.setattr("splittally.runtime.pipeline.wants_verified", lambda *_: pytest.fail("it is asked"))
    kernel = new_world({})
    assert kernel.settle(Receipt(ask(kernel), "ok", "x", {})).status == "settled"


# --- what is recorded -------------------------------------------------------------------------------

CUT = {"x-cut": 100, "properties": {"n": True}}
TAGS = {"type": "object", "properties": {"tags": {"x-set": True}, "n": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "payload", "left"),
    [
        (True, {"n": 1}, {"n": 1}),
        (CUT, {"n": 1, "text": "x" * 200}, {"n": 1}),
        (CUT, {"n": 1, "text": "x"}, {"n": 1, "text": "x"}),
        (TAGS, {"tags": ["b", "a", "b"]}, {"tags": ["a", "b"]}),
        (TAGS, {"n": "9007199254740993"}, {"n": 2**53 + 1}),
        (TAGS, {"n": "many"}, {"n": "many"}),
        (True, {"text": "x" * 70_000}, None),
        ({"type": "object", "properties": {"key": {"x-secret": True}}}, {"key": "open"}, None),
    ],
)
def test_signature_and_hash_of_the_whole_are_recorded_whatever_is_left_of_it(schema, payload, left):
    effects = {SIGNED: {"cap_type": "mill", "receipt_schema": schema}}
    kernel = new_world({"a@1": "a"}, effects=effects)
    receipt = signed(Receipt(ask(kernel), "ok", "a@1", payload, 7))
    assert kernel.settle(receipt).status == "settled"
    command, whole = settled_by(kernel, receipt.intent_hash), encode(payload)
    assert (command.signature, command.sent, command.sent_bytes) == (
        receipt.signature, hash_payload(whole), len(whole),
    )  # fmt: skip
    assert (decode(command.payload) if command.payload else None) == left
    assert is_sound(kernel)


def test_the_payload_of_a_line_is_signed_as_the_bytes_that_it_gives():
    kernel = new_world({"a@1": "a"})
    for payload in (b"", b"\xa0", encode({"b": b"\0", "n": 2**60})):
        receipt = signed(Receipt(ask(kernel), "ok", "a@1", payload))
        assert kernel.settle(receipt).status == "settled"
    assert signed(Receipt(bytes(32), "ok", "a@1", b"")) == signed(Receipt(bytes(32), "ok", "a@1", b""))
    assert message_of_receipt(Receipt(bytes(32), "ok", "a@1", b"")) == message_of_receipt(
        Receipt(bytes(32), "ok", "a@1")
    )


# --- who signs --------------------------------------------------------------------------------------


def test_what_is_open_is_judged_by_the_adapters_that_stand_when_its_receipt_comes():
    kernel = new_world({})
    early, middle, late = ask(kernel), ask(kernel), ask(kernel)
    assert kernel.settle(Receipt(early, "ok", "a@1")).status == "settled"
    kernel.apply(document({"a@1": "a"}))
    assert kernel.settle(Receipt(middle, "ok", "a@1")).status == "refused"
    old = signed(Receipt(middle, "ok", "a@1"))
    kernel.apply(document({"a@1": "b"}))
    assert kernel.settle(old).violation.code == "receipt_forged"
    assert kernel.settle(signed(Receipt(middle, "ok", "a@1"), "b")).status == "settled"
    kernel.apply(document({}))
    assert kernel.settle(Receipt(late, "ok", "a@1")).status == "settled"
    assert is_sound(kernel)


def test_a_plan_shows_every_adapter_that_comes_changes_or_goes():
    kernel = new_world({"a@1": "a"})

    def told(adapters):
        changes = kernel.plan(document(adapters)).changes
        return [(x.key, x.field, x.change, x.meaning.partition(":")[0]) for x in changes]

    assert told({"a@1": "a"}) == []
    assert told({"a@1": "a", "b@1": "b"}) == [("b@1", "", "added", "less")]
    assert told({}) == [("a@1", "", "removed", "more")]
    assert [x[:3] for x in told({"a@1": "b"})] == [("a@1", "key", "changed")]
    more = document({"a@1": "a"})
    more["adapters"]["a@1"]["kinds"] = [SIGNED, FREE]
    assert kernel.plan(more).changes[0].meaning == "gains `blob.put`: whose receipts it signs"
    no_table = {name: table for name, table in document({}).items() if name != "adapters"}
    assert [change.change for change in kernel.plan(no_table).changes] == ["removed"]


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"kinds": [SIGNED]}, "adapters.a@1"),
        ({"key": PUBLIC["a"]}, "adapters.a@1"),
        ({"key": PUBLIC["a"].hex()[2:], "kinds": [SIGNED]}, "adapters.a@1.key"),
        ({"key": bytes(32), "kinds": [SIGNED]}, "adapters.a@1.key"),
        ({"key": PUBLIC["a"], "kinds": SIGNED}, "adapters.a@1.kinds"),
        ({"key": PUBLIC["a"], "kinds": [SIGNED], "keys": 1}, "keys"),
    ],
)
def test_an_adapter_without_a_good_key_or_kinds_is_refused_where_it_stands(entry, field):
    with pytest.raises(InvalidManifest) as caught:
        splittally.open(None).apply({**document({}), "adapters": {"a@1": entry}})
    assert caught.value.facts["field"] == field


@pytest.mark.parametrize(
    "kinds", [[], [SIGNED, SIGNED], [f"kind.{at}" for at in range(ADAPTER_KINDS_MAX + 1)]]
)
def test_an_adapter_signs_one_kind_at_least_and_each_once(kinds):
    entry = {"key": PUBLIC["a"], "kinds": kinds}
    with pytest.raises(InvalidManifest):
        splittally.open(None).apply({**document({}), "adapters": {"a@1": entry}})


def test_there_are_at_most_so_many_adapters_each_with_so_many_kinds():
    kinds = {f"kind.{at}": {"cap_type": "mill"} for at in range(ADAPTER_KINDS_MAX)}
    many = {f"{at}@1": {"key": PUBLIC["a"], "kinds": sorted(kinds)} for at in range(ADAPTERS_MAX)}
    stated = {**document({}), "effects": kinds, "adapters": many}
    assert splittally.open(None).apply(stated).outcome == "allow"
    with pytest.raises(InvalidManifest):
        splittally.open(None).apply({**stated, "adapters": {**many, "one@1": many["0@1"]}})


@pytest.mark.parametrize("kind", ["mill.walk", "ledger.issue"])
def test_a_kind_that_is_not_there_or_has_no_receipts_has_no_adapter(kind):
    entry = {"key": PUBLIC["a"], "kinds": [kind]}
    decision = splittally.open(None).apply({**document({}), "adapters": {"a@1": entry}})
    assert (decision.outcome, decision.findings[0].code) == ("deny", "not_found")
    assert decision.findings[0].facts["kind"] == kind


# --- the edge ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(65), "00" * 64, 7])
def test_what_cannot_be_a_signature_is_no_receipt(signature):
    kernel = new_world({"a@1": "a"})
    with pytest.raises(InvalidInput) as caught:
        kernel.settle(Receipt(ask(kernel), "ok", "a@1", {}, signature=signature))
    assert caught.value.facts["field"] == "signature"


def test_a_signature_is_somebodys():
    kernel = new_world({"a@1": "a"})
    with pytest.raises(InvalidInput):
        kernel.settle(Receipt(ask(kernel), "ok", "", {}, signature=bytes(64)))
    with pytest.raises(InvalidInput):
        sign_receipt(Receipt(bytes(32), "ok"), KEYS["a"])
    with pytest.raises(InvalidInput):
        sign_receipt(Receipt(bytes(32), "ok", "a@1"), b"short")  # type: ignore[arg-type]
    with pytest.raises(CanonicalError):
        sign_receipt(Receipt(bytes(32), "ok", "a@1", {"set": {1}}), KEYS["a"])


def test_a_seed_signs_as_its_key_does():
    receipt = Receipt(bytes(32), "ok", "a@1", {"n": 1})
    assert sign_receipt(receipt, KEYS["a"].private_bytes_raw()) == signed(receipt)


def test_a_world_without_signatures_loads_no_cryptography():
    program = """
import sys, splittally
from splittally import Intent, Receipt
with splittally.open(None) as kernel:
    kernel.apply({"grants": {"g": {"cap": "sys/llm.basic@1"}}})
    asked = kernel.submit(Intent("llm.generate", {"max_tokens": 5}, "g"))
    assert kernel.settle(Receipt(asked.intent_hash, "ok", "a", {})).status == "settled"
print("cryptography" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
