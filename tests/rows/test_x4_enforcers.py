"""Enforcers that a world runs: pinned by hash, bounded, never able to end the process, compared by audits."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.commands import Judged
from splittally.runtime.judge import Judge
from wasmtime import wat2wasm

from tests.rows.worlds import (
    ACT,
    CAP,
    NATURAL_MAX,
    PARROT,
    ROOT,
    act,
    another,
    apply,
    books,
    budget,
    canned,
    codes,
    denies,
    few,
    held,
    listen,
    manifest,
    module_hash,
    reserves,
    settle,
    tally,
    uses,
    world,
)

FAULTY = sorted((ROOT / "fixtures" / "enforcers" / "faulty").glob("*.wat"))


# --- faults -----------------------------------------------------------------------------------------


@pytest.mark.req("X4-11", "X4-12")
@pytest.mark.parametrize("source", FAULTY, ids=lambda path: path.stem)
def test_a_module_that_gives_no_answer_denies_and_the_kernel_goes_on(source):
    with world(budget(tokens=100), enforcer=bytes(wat2wasm(source.read_text()))) as kernel:
        before = books(kernel)
        decision = kernel.submit(Intent(ACT, {}, "g"))
        assert (decision.outcome, codes(decision)) == ("deny", ["enforcer_fault"])
        assert decision.findings[0].facts["fault"] == source.stem.split("--")[0]
        assert books(kernel) == before
        assert kernel.native("account.open", account="still here").allowed


@pytest.mark.req("X4-11")
def test_a_loop_without_end_stops_at_the_same_fuel_in_every_run():
    """A limit of time would decide otherwise on a busy machine."""
    loop = next(path for path in FAULTY if "endless-loop" in path.stem)
    asked = []
    for _ in range(2):
        with world(budget(tokens=100), enforcer=bytes(wat2wasm(loop.read_text()))) as kernel:
            decision = kernel.submit(Intent(ACT, {}, "g", idempotency_key=bytes(32)))
            asked.append((decision.outcome, decision.findings, decision.intent_hash, kernel.state.root))
    assert asked[0][:3] == asked[1][:3]
    assert asked[0][1][0].facts["fault"] == "out_of_fuel"


@pytest.mark.req("X4-12")
@pytest.mark.parametrize(
    "told", ["(unreachable)", "(loop $l (br $l)) (i64.const 0)", "(i64.const -1)", b"\xff", b""]
)
def test_a_module_that_fails_at_settle_ends_the_reservation_with_the_reserve(told):
    settles = told if isinstance(told, str) else (told or "(i64.const 0)")
    with world(budget(tokens=100), enforcer=canned(reserves({"tokens": 40}), settles)) as kernel:
        decision = kernel.submit(Intent(ACT, {}, "g"))
        settlement = kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {}))
        assert (settlement.status, settlement.usage) == ("settled", {"tokens": 40})
        assert settlement.violation.code == "enforcer_fault"
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 40}


@pytest.mark.req("X4-12")
@few
@given(
    answer=st.binary(max_size=40)
    | st.sampled_from([uses({}), denies("", "no code"), reserves({"t": 0}) + b"\0"])
)
def test_an_undecodable_answer_is_a_denial_and_never_a_crash(answer):
    with world(budget(tokens=100)) as kernel:
        decision = act(kernel, answer)
        assert (decision.outcome, codes(decision)) == ("deny", ["enforcer_fault"])
        assert not kernel.state.reservations


# --- identity ---------------------------------------------------------------------------------------


@pytest.mark.req("X4-10")
def test_an_intent_is_settled_by_the_module_that_checked_it_after_any_number_of_upgrades():
    modules = [PARROT, *(another(str(number)) for number in range(2, 6))]
    with world({"g": {}}) as kernel:
        asked = listen(kernel)
        pinned = []
        for module in modules:
            apply(kernel, manifest({"g": {}}, module))
            assert kernel.state.caps[CAP].enforcer == module_hash(module)
            pinned.append((held(kernel, {"tokens": 1}), module))
        assert [call.module for call in asked] == [module_hash(module) for module in modules]
        asked.clear()
        for digest, module in reversed(pinned):
            settle(kernel, digest, {"tokens": 1})
            assert asked[-1].module == module_hash(module)


@pytest.mark.req("X4-10")
def test_two_modules_under_one_name_are_both_loaded_and_never_mixed():
    one, two = (
        canned(reserves({"tokens": 1}), uses({"tokens": 1})),
        canned(reserves({"tokens": 2}), uses({"tokens": 2})),
    )
    with world({"g": {}}, enforcer=one) as kernel:
        first = kernel.submit(Intent(ACT, {}, "g"))
        apply(kernel, manifest({"g": {}}, two))
        second = kernel.submit(Intent(ACT, {}, "g"))
        assert (first.reserve, second.reserve) == ({"tokens": 1}, {"tokens": 2})
        receipts = [Receipt(x.intent_hash, "ok", "adapter", {}) for x in (first, second)]
        assert [answer.usage for answer in kernel.settle(receipts)] == [{"tokens": 1}, {"tokens": 2}]
        assert kernel.outcome(first.intent_hash).status == "settled"


@pytest.mark.req("X4-10")
def test_the_pin_holds_across_a_restart_under_another_module_of_that_name(tmp_path):
    with world({"g": {}}, tmp_path / "w", canned(reserves({"tokens": 7}), uses({"tokens": 5}))) as kernel:
        digest = kernel.submit(Intent(ACT, {}, "g")).intent_hash
        apply(kernel, manifest({"g": {}}, canned(reserves({"tokens": 9}), uses({"tokens": 9}))))
    with splittally.open(tmp_path / "w") as kernel:
        assert kernel.settle(Receipt(digest, "ok", "adapter", {})).usage == {"tokens": 5}


# --- audit ------------------------------------------------------------------------------------------


@pytest.mark.req("X4-13")
@pytest.mark.parametrize("lie", ["check", "settle", "fault"])
def test_an_audit_stops_at_the_frame_and_intent_that_come_out_otherwise(tmp_path, monkeypatch, lie):
    """The journal tells what a tampered module said. Its chain is whole: only judging again finds it."""
    honest = Judge.answer

    def lying(self, state, question):
        told = honest(self, state, question)
        if told.answer == reserves({"tokens": 33}):
            if lie == "check":
                return Judged(told.question, reserves({"tokens": 3}), "")
            if lie == "fault":
                return Judged(told.question, b"", "trap")
        if told.answer == uses({"tokens": 33}) and lie == "settle":
            return Judged(told.question, uses({"tokens": 3}), "")
        return told

    path = tmp_path / "w"
    monkeypatch.setattr(Judge, "answer", lying)
    with world(budget(tokens=100), path) as kernel:
        held(kernel, {"tokens": 1})
        decision = act(kernel, {"tokens": 33})
        ended = settle(kernel, decision.intent_hash, {"tokens": 33})
        at = ended.seq if lie == "settle" else decision.seq
        held(kernel, {"tokens": 2})
    monkeypatch.undo()
    if lie == "check":
        assert tally(path, "verify")[0] == 0
    code, told = tally(path, "verify", "--rejudge")
    assert (code, told["sound"], told["error"]["code"]) == (1, False, "drift")
    assert told["error"]["facts"] == {"seq": at, "intent_hash": decision.intent_hash.hex()}


@pytest.mark.req("X4-13")
def test_an_audit_of_an_honest_journal_compares_every_frame(tmp_path):
    with world(budget(tokens=100), tmp_path / "w") as kernel:
        for amount in (1, 2, 200):
            decision = act(kernel, {"tokens": amount})
            settle(kernel, decision.intent_hash, {"tokens": amount})
        frames = kernel.state.seq
    code, told = tally(tmp_path / "w", "verify", "--rejudge", "--strict")
    assert (code, told["sound"], told["rejudged"], told["not_rejudged"]) == (0, True, frames, 0)


# --- the built-in ones ------------------------------------------------------------------------------


@pytest.mark.req("X4-05")
@few
@given(
    prompt=st.integers(0, 5_000),
    most=st.integers(0, 5_000),
    used=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    counted=st.booleans(),
)
def test_a_reservation_covers_prompt_and_completion_so_no_honest_receipt_violates(
    prompt, most, used, counted
):
    params = {"model": "m", "max_tokens": most}
    params |= (
        {"prompt_tokens": prompt} if counted else {"messages": [{"role": "user", "content": "x" * prompt}]}
    )
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 20_000}}}})
        decision = kernel.submit(Intent("llm.generate", params, "g"))
        assert decision.reserve["tokens"] >= prompt + most
        usage = {"prompt_tokens": int(prompt * used[0]), "completion_tokens": int(most * used[1])}
        settlement = kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", usage))
        assert (settlement.violation, settlement.usage) == (None, {"tokens": sum(usage.values())})


@pytest.mark.req("X4-05")
def test_900_tokens_of_prompt_and_50_of_completion_reserve_950():
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}}}})
        for params, reserve in [
            ({"prompt_tokens": 900, "max_tokens": 50}, 950),
            ({"prompt_tokens": 49, "max_tokens": 1}, 50),
        ]:
            assert kernel.submit(Intent("llm.generate", params, "g")).reserve == {"tokens": reserve}
        refused = kernel.submit(Intent("llm.generate", {"prompt_tokens": NATURAL_MAX, "max_tokens": 1}, "g"))
        assert refused.outcome == "deny"


def asks(hosts, prefixes, url):
    cap = {"hosts": hosts, "path_prefixes": prefixes}
    with splittally.open(None, clock="given") as kernel:
        apply(
            kernel,
            {"grants": {"g": {"cap": "sys/http.out@1", "params": {k: v for k, v in cap.items() if v}}}},
        )
        decision = kernel.submit(Intent("http.request", {"url": url}, "g"))
        return decision.outcome, codes(decision)


@pytest.mark.req("X4-23")
@pytest.mark.parametrize(
    "url",
    [
        "http://evil.com?@good.com/",
        "http://evil.com#@good.com/",
        "http://evil.com/@good.com/",
        "http://evil.com\\@good.com/",
        "http://good.com@evil.com/",
        "http://good.com.evil.com/",
        "http://evilgood.com/",
        "http://evil.com:80@good.com:80@evil.com/",
    ],
)
def test_a_host_is_what_a_conforming_parser_reads(url):
    outcome, found = asks(["good.com"], [], url)
    assert outcome == "deny"
    assert found[0] in ("host_not_allowed", "url_invalid", "userinfo_not_allowed")
    if url == "http://evil.com?@good.com/":
        assert found == ["host_not_allowed"]


@pytest.mark.req("X4-23")
@pytest.mark.parametrize("url", ["http://good.com/", "HTTP://GOOD.com?@evil.com/", "http://good.com:8080#x"])
def test_a_listed_host_is_allowed_in_any_spelling_that_means_it(url):
    assert asks(["good.com"], [], url) == ("allow", [])


@pytest.mark.req("X4-24")
@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/data", "allow"),
        ("/data/x", "allow"),
        ("/data/./x", "allow"),
        ("/data/a/../x", "allow"),
        ("/data?q=/../..", "allow"),
        ("/other/../data/x", "allow"),
        ("/database", "deny"),
        ("/data/../etc", "deny"),
        ("/data/%2e%2e/etc", "deny"),
        ("/data/..%2fetc", "deny"),
        ("/data%2fx", "deny"),
        ("/data/..;/etc", "deny"),
        ("/DATA/x", "deny"),
        ("/", "deny"),
    ],
)
def test_a_path_prefix_ends_at_a_segment_after_dots_are_removed(path, outcome):
    assert asks([], ["/data"], f"http://good.com{path}")[0] == outcome
