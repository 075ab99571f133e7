"""The model: a ledger of limits in two phases that only the kernel writes."""

import shutil

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import example, given
from splittally import Intent, InvalidManifest
from splittally.sandbox import Sandbox

from tests.rows.walk import Walk
from tests.rows.worlds import (
    NATURAL_MAX,
    PARROT,
    act,
    apply,
    books,
    budget,
    canned,
    canonical,
    codes,
    few,
    held,
    listen,
    manifest,
    reserves,
    settle,
    tally,
    uses,
    world,
)

NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20)
AMOUNTS = st.integers(0, 200)


def plain(kernel) -> dict:
    return {grant: dict(rows) for grant, rows in kernel.state.counters.items()}


@pytest.mark.req("S4-01")
def test_an_estimate_is_reserved_when_asked_and_usage_is_spent_when_reported():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 50})
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 50, "spent": 0}
        assert settle(kernel, digest, {"tokens": 30}).status == "settled"
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 30}


@pytest.mark.req("S4-01")
@few
@example(limit=100, asked=101, used=0)
@given(limit=AMOUNTS, asked=AMOUNTS, used=AMOUNTS)
def test_reserving_and_settling_move_exactly_the_estimate_and_the_usage(limit, asked, used):
    with world(budget(tokens=limit)) as kernel:
        decision = act(kernel, {"tokens": asked})
        assert decision.allowed == (asked <= limit)
        reserved = asked if decision.allowed else 0
        row = {"limit": limit, "reserved": reserved, "spent": 0}
        assert kernel.state.counters["g"]["tokens"] == row
        settlement = settle(kernel, decision.intent_hash, {"tokens": used})
        assert settlement.status == ("settled" if decision.allowed else "not_found")
        spent = used if decision.allowed else 0
        assert kernel.state.counters["g"]["tokens"] == {"limit": limit, "reserved": 0, "spent": spent}


@pytest.mark.req("S4-02")
def test_a_hint_above_what_is_left_is_denied_and_changes_nothing():
    with world(budget(tokens=100)) as kernel:
        held(kernel, {"tokens": 60})
        before = books(kernel)
        for hint in (50, 41, NATURAL_MAX):
            decision = act(kernel, {"tokens": hint})
            assert (decision.outcome, decision.reserve) == ("deny", {})
            assert books(kernel) == before
        assert act(kernel, {"tokens": 40}).allowed


@pytest.mark.req("S4-02")
def test_asking_an_enforcer_changes_no_ledger():
    """The same questions as the kernel's, asked beside it as often as one likes."""
    with world(budget(tokens=100)) as kernel:
        calls = listen(kernel)
        settle(kernel, held(kernel, {"tokens": 60}), {"tokens": 20})
        before = kernel.state.root
        sandbox = Sandbox()
        assert sandbox.load(PARROT) == calls[0].module
        for _ in range(3):
            assert [sandbox.judge(x.module, x.data) for x in calls] == [
                reserves({"tokens": 60}),
                uses({"tokens": 20}),
            ]
        kernel.decide(Intent("test.act", {"a": reserves({"tokens": 10})}, "g"))
        assert kernel.state.root == before


@pytest.mark.req("S4-03")
@pytest.mark.parametrize("seed", [3])
def test_a_thousand_random_steps_fold_in_a_fresh_process_to_the_same_ledger(folder, seed):
    """Only the journal is kept: snapshots and index are deleted first."""
    with splittally.open(folder, clock="given") as kernel:
        walk = Walk(kernel, seed).walk(1_000)
        live = {"root": kernel.state.root.hex(), "counters": plain(kernel)}
        last = kernel.state.seq - 1
        open_holds = [
            {"hash": digest.hex(), "legs": [[leg.grant, leg.reserve] for leg in row.legs]}
            for digest, row in kernel.state.reservations.items()
        ]
    assert len(set(walk.taken)) > 12
    assert open_holds
    for projection in ("snapshots", "index"):
        shutil.rmtree(folder / projection, ignore_errors=True)
    code, told = tally(folder, "state")
    assert code == 0
    assert {name: told[name] for name in live} == live
    assert told["seq"] - last in (0, 1)  # a snapshot of a long walk is anchored when the world is closed
    folded = [
        {"hash": row["intent_hash"], "legs": [[leg["grant"], leg["reserve"]] for leg in row["legs"]]}
        for row in told["reservations"]
    ]
    assert folded == open_holds


@pytest.mark.req("S4-04")
def test_a_grant_without_a_budget_keeps_its_constraints_and_has_no_ledger():
    with splittally.open(None, clock="given") as kernel:
        web = {"cap": "sys/http.out@1", "params": {"hosts": ["api.example.com"]}}
        apply(kernel, {"grants": {"web": web}})
        assert kernel.submit(Intent("http.request", {"url": "https://api.example.com/v1"}, "web")).allowed
        other = kernel.submit(Intent("http.request", {"url": "https://evil.example.org/"}, "web"))
        assert (other.outcome, codes(other)) == ("deny", ["host_not_allowed"])
        assert "web" not in kernel.state.counters
        assert kernel.state.grants["web"].budget is None


# --- the shape of a budget --------------------------------------------------------------------------


@pytest.mark.req("S4-05")
def test_a_budget_maps_text_to_naturals():
    with world({"g": {"budget": {"tokens": 100, "bytes": 0, "most": NATURAL_MAX}}}) as kernel:
        limits = {dim: row.limit for dim, row in kernel.state.counters["g"].items()}
        assert limits == {"tokens": 100, "bytes": 0, "most": NATURAL_MAX}
        assert not act(kernel, {"bytes": 1}).allowed


@pytest.mark.req("S4-05")
@pytest.mark.parametrize("amount", [-1, 1.5, 1.0, "10", True, None, [1], 2**64])
def test_an_amount_that_is_no_natural_is_refused_when_loaded_and_named(amount):
    with splittally.open(None, clock="given") as kernel:
        before = kernel.state.root
        with pytest.raises(InvalidManifest, match="tokens"):
            kernel.apply(manifest({"g": {"budget": {"tokens": amount}}}))
        issued = kernel.native(
            "grant.issue", name="g", terms={"cap": "sys/allow@1", "budget": {"tokens": amount}}
        )
        assert (issued.seq, codes(issued)) == (None, ["params.invalid"])
        assert issued.findings[0].facts["message"]
        assert kernel.state.root == before


@pytest.mark.req("S4-05")
@pytest.mark.parametrize("dim", [7, b"tokens", None, ("a", "b"), ""])
def test_a_dimension_that_is_no_text_is_refused_when_loaded(dim):
    with splittally.open(None, clock="given") as kernel:
        with pytest.raises(InvalidManifest, match=r"budget|str|dimension"):
            kernel.apply(manifest({"g": {"budget": {dim: 1}}}))
        assert "g" not in kernel.state.grants


@pytest.mark.req("S4-05")
def test_a_wrong_amount_in_a_file_is_refused_with_its_place(tmp_path):
    file = tmp_path / "team.toml"
    file.write_text('[grants.cap_llm]\ncap = "sys/llm.basic@1"\nbudget = { tokens = "10" }\n')
    with splittally.open(None) as kernel, pytest.raises(InvalidManifest, match=r"cap_llm\.budget\.tokens"):
        kernel.apply(file)


# --- dimensions are names ---------------------------------------------------------------------------

HISTORY = st.lists(st.tuples(AMOUNTS, AMOUNTS, st.sampled_from(["settle", "release", "leave"])), max_size=6)


def ledger_after(dim: str, history: list, limit: int) -> tuple[list, dict]:
    verdicts = []
    with world({"g": {"budget": {dim: limit}}}) as kernel:
        for asked, used, fate in history:
            decision = act(kernel, {dim: asked})
            verdicts.append((decision.outcome, codes(decision), list(decision.reserve.values())))
            if decision.allowed and fate == "settle":
                settlement = settle(kernel, decision.intent_hash, {dim: used})
                verdicts.append((settlement.status, [x.code for x in settlement.violations]))
            if decision.allowed and fate == "release":
                verdicts.append(kernel.release(decision.intent_hash).status)
        ((name, row),) = kernel.state.counters["g"].items()
    assert name == dim
    return verdicts, row


@pytest.mark.req("S4-06")
@few
@given(name=NAMES, history=HISTORY, limit=st.integers(0, 500))
def test_renaming_a_dimension_changes_no_verdict_and_no_number(name, history, limit):
    assert ledger_after(name, history, limit) == ledger_after("tokens", history, limit)


@pytest.mark.req("S4-07")
@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("b", "a")])
def test_spending_under_one_grant_leaves_anothers_entry_alone(one, other):
    with world({one: {"budget": {"tokens": 100}}, other: {"budget": {"tokens": 70}}}) as kernel:
        first = held(kernel, {"tokens": 40}, one)
        held(kernel, {"tokens": 30}, one)
        settle(kernel, first, {"tokens": 25})
        assert kernel.state.counters == {
            one: {"tokens": {"limit": 100, "reserved": 30, "spent": 25}},
            other: {"tokens": {"limit": 70, "reserved": 0, "spent": 0}},
        }


@pytest.mark.req("S4-08")
def test_settling_uses_the_reservation_of_its_own_intent():
    with world(budget(tokens=100)) as kernel:
        first, second = held(kernel, {"tokens": 50}), held(kernel, {"tokens": 20})
        settle(kernel, first, {"tokens": 10})
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 20, "spent": 10}
        assert list(kernel.state.reservations) == [second]


@pytest.mark.req("S4-08")
@few
@given(
    amounts=st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_settling_in_any_order_frees_what_each_intent_had_reserved(amounts, order):
    with world(budget(tokens=10_000)) as kernel:
        open_holds = {held(kernel, {"tokens": asked}): (asked, used) for asked, used in amounts}
        spent = 0
        for digest in order.sample(sorted(open_holds), len(open_holds)):
            _, used = open_holds.pop(digest)
            settle(kernel, digest, {"tokens": used})
            spent += used
            row = kernel.state.counters["g"]["tokens"]
            assert (row.reserved, row.spent) == (sum(asked for asked, _ in open_holds.values()), spent)


@pytest.mark.req("S4-09")
def test_a_new_dimension_needs_only_an_enforcer_that_returns_it():
    shipped = canned(reserves({"gpu_ms": 6000}), uses({"gpu_ms": 5500}))
    with world(
        {"g": {"budget": {"gpu_ms": 5999}}, "rich": {"budget": {"gpu_ms": 6000}}}, enforcer=shipped
    ) as kernel:
        refused = act(kernel, b"")
        assert (refused.outcome, codes(refused)) == ("deny", ["budget_exceeded"])
        facts = refused.findings[0].facts
        assert (facts["dim"], facts["needed"], facts["available"]) == ("gpu_ms", 6000, 5999)
        allowed = act(kernel, b"", "rich")
        settle(kernel, allowed.intent_hash, b"")
        assert kernel.state.counters["rich"]["gpu_ms"] == {"limit": 6000, "reserved": 0, "spent": 5500}


def test_the_two_encoders_agree_on_what_the_parrot_says():
    assert canonical({"b": 1, "a": b""}) == b"\xa2aa@ab\x01"
