"""Every module asked again, every step taken again: what was decided otherwise is found, where it was."""

import json

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.canonical import decode, encode
from splittally.runtime import opening as world_module
from splittally.sandbox import Sandbox, builtin
from splittally_tools.audit import ranges
from splittally_tools.audit.rejudge import Drift, Result

from tests.cli_tools import MANIFEST, busy_world, forged, intent, make_world, receipt, run

FRAMES = 18  # of the busy world: 2-9 asked, 10 denied, 11-14 settled, 15 released, 16 issued, 17 moved
ASKED, DENIED, SETTLED, MOVED = 4, 10, 12, 17
JUDGED, DECIDED, HELD, POSTED = 0, 1, 2, 7  # tags


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return busy_world(tmp_path_factory.mktemp("rejudge") / "world")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "forged"


def rejudge(world, *options):
    ran = run("-w", world, "verify", "--rejudge", "--json", *options)
    assert ran.code == (0 if ran.json["sound"] else 1)
    return ran.json


def changed(seq, change):
    def edit(at, body):
        if at == seq:
            change(body)
        return body

    return edit


def intent_of(world, seq):
    frame = run("-w", world, "show", seq, "--json").json["command"]
    return frame["members"][0]["intent_hash"] if "members" in frame else frame["intent_hash"]


# --- sound ------------------------------------------------------------------------------------------


def test_a_sound_world_comes_out_the_same_byte_for_byte(world):
    report = rejudge(world)
    assert (report["sound"], report["rejudged"], report["not_rejudged"]) == (True, FRAMES, 0)
    assert "judged again" in run("-w", world, "verify", "--rejudge").out


def everything(folder):
    """A world with groups, approvals, unknowns, late receipts, windows, refunds and revocations."""
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["grants"]["pool"] |= {
        "limits": [{"dim": "tokens", "per": "day", "amount": 500, "rollover": "50%"}], "unknown_ns": 50,
        "approval_ns": 1_000, "draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"],
        "params": {"prices": {"resource": "USD", "prompt": 1, "completion": 1}},
    }  # fmt: skip
    manifest["policy"] = [
        {
            "name": "ask",
            "decision": "require_approval",
            "cap_name": "child",
            "when": "params.max_tokens > 50",
        },
        {"name": "rest", "decision": "allow", "rates": [{"amount": 40, "per": "60s"}]},
    ]
    world = make_world(folder, manifest)
    day = 24 * 3600 * 10**9
    with splittally.open(world) as kernel:

        def ask(grant, tokens, **fields):
            params = {"model": "m", "max_tokens": tokens}
            return Intent("llm.generate", params, grant, **fields)

        kernel.native("ledger.issue", resource="USD", amount=10_000, to="accounts/team", now_ns=10)
        group = [ask("pool", 5), ask("child", 5)]
        kernel.submit(group, mode="all", now_ns=20)
        kernel.submit([*group, ask("pool", 10**6)], mode="all", now_ns=20)
        kernel.submit([ask("cap_llm", 10**6), ask("pool", 10**6)], mode="first", now_ns=20)
        waiting = kernel.submit([ask("child", 60), ask("child", 70)], now_ns=30)
        kernel.approve(waiting[0].intent_hash, now_ns=31)
        kernel.reject(waiting[1].intent_hash, now_ns=32)
        kernel.settle(Receipt(waiting[0].intent_hash, "ok", "a", {"completion_tokens": 80}), now_ns=33)
        kernel.native(
            "settlement.refund", intent_hash=waiting[0].intent_hash, amounts={"tokens": 3}, now_ns=34
        )
        first, second, third = kernel.submit(
            [ask("pool", 9, expires_ns=60 + at) for at in range(3)], now_ns=40
        )
        kernel.settle(Receipt(first.intent_hash, "unknown"), now_ns=41)
        kernel.release(second.intent_hash, now_ns=42)
        kernel.settle(Receipt(second.intent_hash, "ok", "a", {"completion_tokens": 2}), now_ns=43)
        kernel.extend(third.intent_hash, 90, now_ns=44)
        kernel.settle(Receipt(third.intent_hash, "ok", "a", {"nonsense": 1.5}), now_ns=45)
        kernel.submit([ask("pool", 4)], now_ns=3 * day + 5)
        kernel.native("grant.revoke", name="child", order="o", now_ns=3 * day + 6)
        kernel.submit(ask("child", 1), now_ns=3 * day + 7)
    return world


def test_a_world_of_everything_comes_out_the_same(tmp_path):
    world = everything(tmp_path / "world")
    report = rejudge(world)
    assert report.get("error") is None
    frames = run("-w", world, "log").lines
    assert {line["command"]["type"] for line in frames} == {
        "open", "submit", "settle", "release", "extend", "tick",
    }  # fmt: skip
    assert {event["type"] for line in frames for event in line["events"]} == {
        "opened", "decided", "held", "hold_changed", "settled", "released", "refunded", "posted", "limit_set",
        "window_rolled", "grant_set", "grant_revoked", "defined",
    }  # fmt: skip


def test_several_processes_find_what_one_finds(world, target):
    assert rejudge(world, "--jobs", 3) == rejudge(world)
    copy = forged(world, target, changed(SETTLED, lambda body: body[4][0].__setitem__(3, "trap")))
    assert rejudge(copy, "--jobs", 2)["error"] == rejudge(copy)["error"]


def test_of_several_drifts_the_first_counts():
    drifts = [None, Drift(5, b"", "first"), Drift(9, b"", "second")]
    together = ranges._together([Result(2, {"e": 1}, drift) for drift in drifts], 3)
    assert together == (6, {"e": 3}, drifts[1])


def test_a_range_must_end_in_the_state_that_the_next_begins_with(world):
    work = ranges.Range(world, True, None, FRAMES, bytes(32))
    result = ranges._rejudge(work, lambda _: None)
    assert (result.drift.seq, "the next range begins" in result.drift.message) == (FRAMES - 1, True)


def test_what_an_open_intent_drew_is_what_is_in_flight(tmp_path):
    def edit(_, body):
        for event in body[5]:
            if event[0] == HELD and event[8]:
                event[8][0][2] += 1
        return body

    ran = run("-w", forged(everything(tmp_path / "world"), tmp_path / "forged", edit), "verify", "--json")
    assert ran.code == 1
    assert "what open intents drew" in ran.json["error"]["message"]


# --- drift ------------------------------------------------------------------------------------------


def lower_estimate(body):
    judged = next(evidence for evidence in body[4] if evidence[0] == JUDGED)
    answer = decode(judged[2])
    answer["Check"]["reserve_estimate"]["tokens"] = 1
    judged[2] = encode(answer)


def lower_usage(body):
    judged = body[4][0]
    answer = decode(judged[2])
    answer["Settle"]["usage"]["tokens"] = 1
    judged[2] = encode(answer)


def lower_reserve(body):
    held = next(event for event in body[5] if event[0] == HELD)
    for leg in held[7]:
        if leg[6]:
            leg[6] = {"tokens": 1}


def allow_it(body):
    decided = body[5][0]
    decided[2], decided[3] = "allow", []


def move_more(body):
    next(event for event in body[5] if event[0] == POSTED)[4] += 1


TAMPERED = {
    "a Check's answer": (ASKED, lower_estimate, "evidence 0"),
    "a Settle's answer": (SETTLED, lower_usage, "evidence 0"),
    "what was reserved": (ASKED, lower_reserve, "event 1"),
    "a refusal": (DENIED, allow_it, "event 0"),
    "an amount": (MOVED, move_more, "event 1"),
    "a fault that was none": (ASKED, lambda body: body[4][0].__setitem__(3, "trap"), "evidence 0"),
    "no evidence at all": (ASKED, lambda body: body.__setitem__(4, []), "evidence 0"),
    "another principal": (ASKED, lambda body: body.__setitem__(2, "mallory"), "evidence 0"),
}  # fmt: skip


@pytest.mark.req("X4-13")
@pytest.mark.parametrize("kind", TAMPERED)
def test_a_journal_altered_and_chained_anew_drifts_at_the_record_that_was_altered(world, target, kind):
    seq, change, said = TAMPERED[kind]
    copy = forged(world, target, changed(seq, change))
    assert run("-w", copy, "verify").code == 0  # its chain and its books hold
    error = rejudge(copy)["error"]
    assert error["code"] == "drift"
    assert (error["facts"]["seq"], error["facts"]["intent_hash"]) == (seq, intent_of(world, seq))
    assert said in error["message"]
    people = run("-w", copy, "verify", "--rejudge")
    assert people.code == 1
    assert f"frame {seq}" in people.out
    assert intent_of(world, seq) in people.out


@pytest.mark.req("X4-13")
def test_a_module_that_was_made_to_decide_otherwise_is_found_with_sequence_and_intent(tmp_path, monkeypatch):
    judge = Sandbox.judge

    def lenient(self, module, data):
        answer = judge(self, module, data)
        return answer.replace(b"\x18\x32", b"\x18\x20") if isinstance(answer, bytes) else answer  # 50 -> 32

    world = make_world(tmp_path / "world")
    run("-w", world, "submit", text=intent("cap_llm", 10))
    monkeypatch.setattr(Sandbox, "judge", lenient)
    tampered = run("-w", world, "submit", text=intent("cap_llm", 50)).lines[0]
    assert tampered["reserve"] == {"tokens": 32}
    monkeypatch.setattr(Sandbox, "judge", judge)
    run("-w", world, "settle", text=receipt(tampered["intent_hash"]))
    error = rejudge(world)["error"]
    assert error["code"] == "drift"
    assert error["facts"] == {"seq": tampered["seq"], "intent_hash": tampered["intent_hash"]}


def test_a_module_whose_bytes_are_not_its_hash_judges_nothing(world, target):
    wasm = builtin("sys/CapAllowAll@1").hex()

    def swap(body):
        for event in body[5]:
            if event[0] == 13 and event[1] == "blobs" and event[3].startswith(b"\0asm"):
                event[3] = bytes.fromhex(wasm)

    error = rejudge(forged(world, target, changed(0, swap)))["error"]
    assert (error["code"], error["facts"]["seq"]) == ("drift", 0)


def test_a_frame_that_no_kernel_can_have_decided_is_drift_and_no_crash(world, target):
    def skip_tick(seq, body):
        if seq == ASKED:  # falls due long before the next frame, and nothing ticked
            member = body[3][2][0]
            member[6] = 5
            held = next(event for event in body[5] if event[0] == HELD)
            held[5] = held[6] = 5
        return body

    copy = forged(world, target, skip_tick)
    error = rejudge(copy)["error"]
    assert error["code"] == "drift"
    assert error["facts"]["seq"] in (ASKED, ASKED + 1, ASKED + 2)


# --- engines ----------------------------------------------------------------------------------------


def test_frames_of_another_engine_are_counted_and_not_compared(tmp_path, monkeypatch):
    world = make_world(tmp_path / "world")
    run("-w", world, "submit", text=intent())
    monkeypatch.setattr(world_module, "current_engine", lambda: "wasmtime 99 / other")
    run("-w", world, "submit", text=intent())
    monkeypatch.undo()
    report = rejudge(world)
    assert (report["rejudged"], report["other_engines"]) == (3, {"wasmtime 99 / other": 2})
    run("-w", world, "submit", text=intent())
    report = rejudge(world)
    assert report["sound"]
    assert report["rejudged"] == 3 + 2  # before, and after this engine was opened again
    assert report["other_engines"] == {"wasmtime 99 / other": 2}
    strict = run("-w", world, "verify", "--rejudge", "--strict", "--json")
    assert (strict.code, strict.json["error"]["code"]) == (1, "not_rejudged")
