"""Audit verifies every signature again: what lies about one is no frame that a kernel records."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally import Receipt, sign_receipt
from splittally.core.state import State
from splittally.journal.frame import EMPTY, open_frame, seal
from splittally.journal.memory import MemoryStore
from splittally.runtime.reader import read_store
from splittally_tools.audit.explanation import explain
from splittally_tools.audit.rejudge import full_index, rejudge_range
from splittally_tools.audit.verify import verify

from tests import golden
from tests.cli_tools import make_world, run
from tests.signed_receipts import KEYS, SIGNED, ask, document, new_world, refusals

COMMAND, SEEN, OUT = 3, 4, 5  # of a body
STATUS, ADAPTER, PAYLOAD, COST, PAYS_TO, SENT, SIGNATURE = 2, 3, 4, 5, 6, 8, 10  # of a Settle
SETTLE, VERIFIED, NOTED = 2, 3, 17  # tags


def history():
    """A journal in which receipts were taken, refused, and taken after their hold was gone."""
    kernel = new_world({"a@1": "a"})
    first, second = ask(kernel), ask(kernel)
    kernel.settle(sign_receipt(Receipt(first, "ok", "a@1", {"n": 1}, 7), KEYS["thief"]))
    kernel.settle(Receipt(first, "ok", "a@1", {"n": 1}, 7))
    kernel.settle(sign_receipt(Receipt(first, "ok", "c@1", {"n": 1}, 7), KEYS["a"]))
    kernel.settle(sign_receipt(Receipt(first, "ok", "a@1", {"n": 1}, 7), KEYS["a"]))
    kernel.release(second)
    kernel.settle(Receipt(second, "ok", "a@1", {"n": 1}, 7))
    kernel.settle(sign_receipt(Receipt(second, "ok", "a@1", {"n": 1}, 7), KEYS["a"]))
    return golden.frames_of(kernel._world)


HISTORY = history()
SETTLES = [seq for seq, data in enumerate(HISTORY) if open_frame(data)[2][COMMAND][0] == SETTLE]
FORGED, UNSIGNED, FOREIGN, TAKEN, LATE_UNSIGNED, LATE = SETTLES


def rewritten(seq, edit):
    """The frames with one body edited, chained anew."""
    frames, prev = [], EMPTY.hash
    for at, data in enumerate(HISTORY):
        body = open_frame(data)[2]
        if at == seq:
            edit(body)
        frames.append(seal(at, prev, body))
        prev = frames[-1].hash
    store = MemoryStore()
    store.append(store.head, frames)
    return read_store(store)


def verified_in(body):
    return next(row for row in body[SEEN] if row[0] == VERIFIED)


LIES = {
    "a forged signature that holds": (FORGED, lambda body: verified_in(body).__setitem__(2, True)),
    "a signature that does not hold": (TAKEN, lambda body: verified_in(body).__setitem__(2, False)),
    "one of a late receipt that does not": (LATE, lambda body: verified_in(body).__setitem__(2, False)),
    "verified under another key": (TAKEN, lambda body: verified_in(body).__setitem__(1, bytes(32))),
    "not verified at all": (TAKEN, lambda body: body[SEEN].remove(verified_in(body))),
    "verified without a signature": (UNSIGNED, lambda body: body[SEEN].append([VERIFIED, bytes(32), True])),
    "another signature": (TAKEN, lambda body: body[COMMAND].__setitem__(SIGNATURE, bytes(64))),
    "no signature": (TAKEN, lambda body: body[COMMAND].pop()),
    "another status": (TAKEN, lambda body: body[COMMAND].__setitem__(STATUS, "error")),
    "another adapter": (TAKEN, lambda body: body[COMMAND].__setitem__(ADAPTER, "b@1")),
    "another cost": (TAKEN, lambda body: body[COMMAND].__setitem__(COST, 8)),
    "another payee": (TAKEN, lambda body: body[COMMAND].__setitem__(PAYS_TO, "vendors/post")),
    "another hash of the payload": (TAKEN, lambda body: body[COMMAND].__setitem__(SENT, bytes(32))),
    "a payload that was not signed": (TAKEN, lambda body: body[COMMAND].__setitem__(PAYLOAD, b"\xa1an\x02")),
    "a refusal for another reason": (UNSIGNED, lambda body: body[OUT][0][3].update(code="receipt_forged")),
    "a refusal that changes more": (UNSIGNED, lambda body: body[OUT].append(body[OUT][0])),
    "a receipt taken unsigned": (LATE_UNSIGNED, lambda body: body.__setitem__(OUT, late_settled())),
}


def late_settled():
    return open_frame(HISTORY[LATE])[2][OUT]


@pytest.mark.parametrize("lie", LIES)
def test_verify_finds_a_frame_that_lies_about_a_signature(lie):
    seq, edit = LIES[lie]
    report = verify(rewritten(seq, edit))
    assert report.damage is not None
    assert report.damage["facts"]["seq"] == seq, report.damage["message"]
    assert "is none that a kernel records" in report.damage["message"]


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie != "a payload that was not signed"])
def test_rejudging_finds_it_too(lie):
    """A payload is an input that no module here reads, so only `verify` compares it with its hash."""
    seq, edit = LIES[lie]
    reader = rewritten(seq, edit)
    result = rejudge_range(reader, full_index(reader, False), State(), len(HISTORY))
    assert result.drift is not None
    assert result.drift.seq == seq


@given(st.sampled_from([TAKEN, LATE, FORGED]), st.integers(0, 511))
def test_no_bit_of_a_signature_can_be_turned(seq, bit):
    def turn(body):
        signature = bytearray(body[COMMAND][SIGNATURE])
        signature[bit // 8] ^= 1 << bit % 8
        body[COMMAND][SIGNATURE] = bytes(signature)

    report = verify(rewritten(seq, turn))
    assert (report.damage is None) == (seq == FORGED)  # one forgery for another is still a forgery


def test_the_honest_journal_is_sound_and_comes_out_the_same():
    reader = rewritten(-1, lambda body: None)
    assert verify(reader).is_sound
    result = rejudge_range(reader, full_index(reader, False), State(), len(HISTORY))
    assert (result.drift, result.compared) == (None, len(HISTORY))


def test_the_key_is_that_of_the_state_before_the_frame():
    kernel = new_world({"a@1": "a"})
    first = ask(kernel)
    kernel.settle(sign_receipt(Receipt(first, "ok", "a@1"), KEYS["a"]))
    kernel.apply(document({"a@1": "b"}))
    kernel.settle(sign_receipt(Receipt(ask(kernel), "ok", "a@1"), KEYS["b"]))
    kernel.apply(document({}))
    reader = read_store(kernel)
    assert verify(reader).is_sound
    assert rejudge_range(reader, full_index(reader, False), State(), reader.head.size).drift is None


# --- people -----------------------------------------------------------------------------------------


def test_explain_tells_every_refusal_and_who_brought_it():
    kernel = new_world({"a@1": "a"})
    digest = ask(kernel)
    kernel.settle(Receipt(digest, "ok", "a@1"))
    kernel.settle(sign_receipt(Receipt(digest, "ok", "a@1"), KEYS["b"]))
    told = explain(read_store(kernel), digest)["then"]
    shown = [(row["type"], row["by"], row["facts"]["code"]) for row in told if row["type"] == "noted"]
    assert shown == [("noted", "operator", "receipt_unsigned"), ("noted", "operator", "receipt_forged")]
    assert [noted.facts["code"] for noted in refusals(kernel)] == ["receipt_unsigned", "receipt_forged"]


def test_a_line_brings_a_signature_as_hex_and_the_command_line_tells_a_refusal(folder):
    public = KEYS["a"].public_key().public_bytes_raw().hex()
    manifest = document({})
    manifest["adapters"] = {"a@1": {"key": public, "kinds": [SIGNED]}}
    manifest["grants"]["mill"] = {key: manifest["grants"]["mill"][key] for key in ("cap", "params")}
    world = make_world(folder / "world", manifest)
    asked = json.dumps({"kind": SIGNED, "params": {}, "grant": "mill"}) + "\n"
    digest = run("-w", world, "submit", text=asked).json["intent_hash"]
    line = {"intent_hash": digest, "status": "ok", "adapter_id": "a@1", "payload": {"n": 1}, "cost_cents": 7}
    refused = run("-w", world, "settle", "--json", text=json.dumps(line) + "\n")
    assert (refused.code, refused.json["status"]) == (1, "refused")
    assert refused.json["violation"]["code"] == "receipt_unsigned"
    for command in (["explain", digest], ["log", "--kind", "noted"]):
        assert "receipt_unsigned" in run("-w", world, *command).out
    receipt = sign_receipt(Receipt(bytes.fromhex(digest), "ok", "a@1", {"n": 1}, 7), KEYS["a"])
    line["signature"] = receipt.signature.hex()
    assert run("-w", world, "settle", "--json", text=json.dumps(line) + "\n").json["status"] == "settled"
    assert run("-w", world, "verify", "--rejudge").code == 0
