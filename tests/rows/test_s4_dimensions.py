"""Dimensions: any names, exact arithmetic, bounded and unbounded, and the kinds that come built in."""

import ast
import json

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.events import LimitCrossed
from splittally.edge.answer_lines import readable

from tests.rows.worlds import (
    NATURAL_MAX,
    ROOT,
    act,
    apply,
    budget,
    codes,
    few,
    held,
    recorded,
    save_snapshot,
    settle,
    tally,
    world,
)

NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=30)


# --- open-ended -------------------------------------------------------------------------------------


@pytest.mark.req("S4-84")
def test_each_of_forty_made_up_dimensions_is_enforced():
    limits = {f"made-up/{at} ½": at for at in range(1, 41)}
    with world({"g": {"budget": limits}}) as kernel:
        for dim, limit in limits.items():
            refused = act(kernel, {dim: limit + 1})
            assert codes(refused) == ["budget_exceeded"]
            assert (refused.findings[0].facts["dim"], refused.findings[0].facts["available"]) == (dim, limit)
        held(kernel, limits)
        assert {dim: row.reserved for dim, row in kernel.state.counters["g"].items()} == limits
        for dim in limits:
            assert not act(kernel, {dim: 1}).allowed


@pytest.mark.req("S4-84")
@few
@given(limits=st.dictionaries(NAMES, st.integers(0, 50), min_size=1, max_size=40), chance=st.randoms())
def test_a_budget_is_a_map_of_any_names(limits, chance):
    dim = chance.choice(sorted(limits))
    with world({"g": {"budget": limits}}) as kernel:
        assert not act(kernel, {dim: limits[dim] + 1}).allowed
        held(kernel, {dim: limits[dim]})
        assert kernel.state.counters["g"][dim] == {"limit": limits[dim], "reserved": limits[dim], "spent": 0}


@pytest.mark.req("S4-85")
def test_a_grants_ledger_is_a_map_of_dimensions_to_limit_reserved_and_spent(folder):
    limits = {"tokens": 100, "nobody knows": 7}
    with world({"g": {"budget": limits}}, folder) as kernel:
        settle(kernel, held(kernel, {"tokens": 9}), {"tokens": 4, "nobody knows": 2})
        held(kernel, {"tokens": 30, "nobody knows": 1})
        expected = {
            "tokens": {"limit": 100, "reserved": 30, "spent": 4},
            "nobody knows": {"limit": 7, "reserved": 1, "spent": 2},
        }
        assert kernel.state.counters["g"] == expected
        save_snapshot(kernel)
        root = kernel.state.root
    code, told = tally(folder, "state")
    assert (code, told["counters"]["g"], told["root"]) == (0, expected, root.hex())


@pytest.mark.req("S4-85")
@pytest.mark.parametrize("seed", [85])
def test_dimensions_that_nobody_knows_survive_a_snapshot(folder, seed):
    names = [f"dim {seed} {chr(0x4E00 + at)}" for at in range(40)]
    limits = {dim: 2**64 - 1 - at for at, dim in enumerate(names)}
    with world({"g": {"budget": limits}}, folder) as kernel:
        digest = held(kernel, {dim: at for at, dim in enumerate(names)})
        settle(kernel, held(kernel, {}), {dim: 2**53 + at for at, dim in enumerate(names)})
        before = json.dumps(readable(kernel.state.counters))
        save_snapshot(kernel)
    with splittally.open(folder) as kernel:
        assert kernel._world.snapshot_size == kernel.state.seq
        assert json.dumps(readable(kernel.state.counters)) == before
        assert kernel.state.reservations[digest].reserve == {dim: at for at, dim in enumerate(names)}


# --- arithmetic -------------------------------------------------------------------------------------


def dimensions_of_the_built_ins() -> set[str]:
    """The dimensions that the built-in enforcers name in their cases, but for a receipt's own field."""
    found = set()
    for file in (ROOT / "enforcers" / "splittally_enforcers").glob("*/cases/*.json"):
        for body in json.loads(file.read_text())["expect"].values():
            found |= {*body.get("reserve_estimate", {}), *body.get("usage", {})}
    return found - {"cost_cents"}


@pytest.mark.req("S4-86")
def test_no_dimension_is_named_in_the_kernels_code():
    dims = dimensions_of_the_built_ins()
    assert {"tokens", "bytes", "requests"} <= dims
    for folder in ("core", "runtime", "journal", "sandbox"):
        for path in (ROOT / "kernel" / "splittally" / folder).rglob("*.py"):
            tree = ast.parse(path.read_text())
            words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
            assert words.isdisjoint(dims), path


@pytest.mark.req("S4-86")
def test_a_reserve_that_would_overflow_is_refused_and_never_wraps():
    with world(budget(tokens=NATURAL_MAX)) as kernel:
        held(kernel, {"tokens": NATURAL_MAX})
        assert kernel.state.counters["g"]["tokens"].reserved == NATURAL_MAX
        for amount in (1, NATURAL_MAX):
            refused = act(kernel, {"tokens": amount})
            assert (refused.outcome, codes(refused)) == ("deny", ["amount_overflow"])
        assert act(kernel, {"tokens": 0}).allowed


@pytest.mark.req("S4-86")
def test_moving_money_never_wraps_because_what_could_overflow_is_refused():
    """All that is issued and all that may be owed is bounded, so the fullest account still has a balance."""
    with splittally.open(None, clock="given") as kernel:
        accounts = {"accounts/a": {}, "accounts/b": {}, "accounts/indebted": {"debt_limit": 2**40}}
        apply(kernel, {"resources": {"USD": 0}, "accounts": accounts})
        issue = {"kind": "ledger.issue", "resource": "USD", "to": "accounts/a"}
        refused = kernel.native(amount=NATURAL_MAX, **issue)
        assert (refused.outcome, codes(refused)) == ("deny", ["amount_overflow"])
        most = refused.findings[0].facts["available"]
        assert kernel.native(amount=most, **issue).allowed
        assert codes(kernel.native(amount=1, **issue)) == ["amount_overflow"]
        move = {"kind": "ledger.transfer", "resource": "USD", "to": "accounts/b"}
        for account, amount in (("accounts/a", most), ("accounts/indebted", 2**40)):
            for wrong in (amount + 1, NATURAL_MAX):
                refused = kernel.native(amount=wrong, **move, **{"from": account})
                assert (refused.outcome, codes(refused)) == ("deny", ["insufficient_balance"])
            assert kernel.native(amount=NATURAL_MAX + 1, **move, **{"from": account}).seq is None
            assert kernel.native(amount=amount, **move, **{"from": account}).allowed
        balances = {name: row.balances for name, row in kernel.state.accounts.items()}
        assert balances["accounts/b"] == {"USD": most + 2**40}
        assert balances["accounts/indebted"] == {"USD": -(2**40)}
        assert most + 2**40 <= NATURAL_MAX
        opened = kernel.native("account.open", account="accounts/more", debt_limit=NATURAL_MAX)
        assert codes(opened) == ["amount_overflow"]
        assert kernel.state.resources["USD"].imbalance == 0


@pytest.mark.req("S4-86")
def test_settling_past_the_largest_amount_stops_there_and_says_so():
    with world(budget(tokens=100)) as kernel:
        settle(kernel, held(kernel, {"tokens": 0}), {"tokens": NATURAL_MAX - 3})
        settlement = settle(kernel, held_anyway(kernel), {"tokens": 5})
        (violation,) = settlement.violations
        assert violation.code == "counter_saturated"
        assert (violation.facts["usage"], violation.facts["charged"]) == (5, 3)
        assert kernel.state.counters["g"]["tokens"].spent == NATURAL_MAX
        assert settlement.usage == {"tokens": 5}
        assert kernel.outcome(settlement.intent_hash).charged == {"tokens": 3}


def held_anyway(kernel) -> bytes:
    """A hold under an exhausted grant: its limit is raised to the most for the while."""
    assert kernel.native("grant.topup", name="g", dim="tokens", amount=NATURAL_MAX - 100).allowed
    return held(kernel, {"tokens": 0})


AMOUNTS = st.integers(0, 9) | st.integers(NATURAL_MAX - 9, NATURAL_MAX) | st.integers(0, NATURAL_MAX)


@pytest.mark.req("S4-86")
@few
@given(
    has_life=st.booleans(),
    usages=st.lists(st.tuples(st.integers(0, 1), AMOUNTS), min_size=1, max_size=5),
)
def test_a_charge_is_the_usage_or_what_the_fullest_of_its_counters_has_room_for(has_life, usages):
    """Counters for life, where there is one, and of two days. The model: what each of them has counted."""
    most = {"dim": "tokens", "amount": NATURAL_MAX}
    limits = [{**most, "per": "day"}, *([{**most, "per": "life"}] if has_life else [])]
    with world({"g": {"limits": limits}}) as kernel:
        holds = [[held(kernel, {}, now_ns=day * 86_400 * 10**9) for _ in usages] for day in range(2)]
        spent = [0, 0, 0]  # of each day, and for life
        for at, (day, used) in enumerate(usages):
            settlement = settle(kernel, holds[day][at], {"tokens": used})
            charged = min(used, NATURAL_MAX - max(spent[day], spent[2] if has_life else 0))
            found = [(x.facts["usage"], x.facts["charged"]) for x in settlement.violations]
            assert found == ([(used, charged)] if charged < used else [])
            spent[day], spent[2] = spent[day] + charged, spent[2] + charged
        assert [row.spent for _, row in sorted(kernel.state.windows.items())] == spent[:2]
        if has_life:
            assert kernel.state.counters["g"]["tokens"].spent == spent[2]


@pytest.mark.req("S4-87")
def test_a_dimension_that_the_grant_does_not_name_has_no_limit_and_no_entry():
    with world(budget(tokens=100)) as kernel:
        decision = act(kernel, {"bytes": 10**12})
        assert decision.allowed
        assert list(kernel.state.counters["g"]) == ["tokens"]
        settlement = settle(kernel, decision.intent_hash, {"bytes": 10**12})
        assert (settlement.usage, settlement.violations) == ({"bytes": 10**12}, ())
        assert kernel.state.counters["g"] == {"tokens": {"limit": 100, "reserved": 0, "spent": 0}}


@pytest.mark.req("S4-87")
@few
@given(
    limits=st.dictionaries(st.sampled_from("abc"), st.integers(0, 50), max_size=3),
    estimate=st.dictionaries(st.sampled_from("cdef"), st.integers(51, NATURAL_MAX), max_size=4),
)
def test_only_dimensions_of_the_grant_limit(limits, estimate):
    with world({"g": {"budget": limits}}) as kernel:
        assert act(kernel, estimate).allowed == (not limits.keys() & estimate.keys())
        assert kernel.state.counters.get("g", {}).keys() == limits.keys()


# --- bounded and unbounded --------------------------------------------------------------------------


def built_in(cap: str, budget: dict[str, int], **params):
    kernel = splittally.open(None, clock="given")
    effects = {"mail.send": {"cap_type": "mail"}}
    grants = {"g": {"cap": cap, "params": params, "budget": budget}}
    apply(kernel, {"effects": effects, "grants": grants})
    return kernel


@pytest.mark.req("S4-88")
@pytest.mark.parametrize(("sent", "violations"), [(2047, []), (2048, []), (2049, ["usage_exceeds_reserve"])])
def test_bytes_reserve_their_upper_bound_and_may_not_pass_it(sent, violations):
    with built_in("sys/http.out@1", {"bytes": 4096, "requests": 9}) as kernel:
        request = {"url": "https://a.example/", "body_bytes": 2048}
        decision = kernel.submit(Intent("http.request", request, "g"))
        assert decision.reserve["bytes"] == 2048
        settlement = kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {"bytes_sent": sent}))
        assert sorted({violation.code for violation in settlement.violations}) == violations
        assert kernel.state.counters["g"]["bytes"] == {"limit": 4096, "reserved": 0, "spent": sent}


@pytest.mark.req("S4-88")
@pytest.mark.parametrize(("used", "violations"), [(2048, []), (2049, [("settle", "usage_exceeds_reserve")])])
def test_the_kernel_finds_over_use_whether_or_not_the_enforcer_reports_it(used, violations):
    with world(budget(bytes=4096)) as kernel:
        settlement = settle(kernel, held(kernel, {"bytes": 2048}), {"bytes": used})
        assert [(x.stage, x.code) for x in settlement.violations] == violations


@pytest.mark.req("S4-89")
def test_an_unbounded_dimension_may_pass_its_limit_at_settle_and_then_nothing_is_left():
    with world(budget(cost=10)) as kernel:
        settle(kernel, held(kernel, {"cost": 0}), {"cost": 9})
        digest = held(kernel, {"cost": 0})
        settlement = settle(kernel, digest, {"cost": 5})
        assert settlement.violations == ()
        assert kernel.state.counters["g"]["cost"] == {"limit": 10, "reserved": 0, "spent": 14}
        for estimate in ({"cost": 0}, {}, {"cost": 1}):
            refused = act(kernel, estimate)
            assert (refused.outcome, codes(refused)) == ("deny", ["budget_exceeded"])
        assert kernel.state.grants["g"].exhausted
        (crossed,) = [event for event in recorded(kernel, LimitCrossed) if event.over == "exhausted"]
        assert (crossed.scope, crossed.dim, crossed.amount, crossed.balance) == ("g", "cost", 10, -4)
        assert kernel.native("grant.topup", name="g", dim="cost", amount=4).allowed
        assert act(kernel, {}).allowed


@pytest.mark.req("S4-89")
@few
@given(limit=st.integers(0, 30), usages=st.lists(st.integers(0, 20), min_size=1, max_size=6))
def test_an_unbounded_effect_is_denied_exactly_when_spent_has_passed_the_limit(limit, usages):
    with world(budget(cost=limit)) as kernel:
        spent = 0
        for used in usages:
            decision = act(kernel, {"cost": 0})
            assert decision.allowed == (spent <= limit)
            if decision.allowed:
                settle(kernel, decision.intent_hash, {"cost": used})
                spent += used
        assert kernel.state.counters["g"]["cost"].spent == spent


# --- use cases --------------------------------------------------------------------------------------


@pytest.mark.req("S4-90")
def test_a_model_call_reserves_max_tokens_and_settles_on_the_counts_of_the_receipt():
    with built_in("sys/llm.basic@1", {"tokens": 100}) as kernel:
        decision = kernel.submit(Intent("llm.generate", {"max_tokens": 50}, "g"))
        assert decision.reserve == {"tokens": 50}
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 50, "spent": 0}
        payload = {"prompt_tokens": 10, "completion_tokens": 20}
        settlement = kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", payload))
        assert (settlement.usage, settlement.violation) == ({"tokens": 30}, None)
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 30}


@pytest.mark.req("S4-91")
@pytest.mark.parametrize(("params", "reserve"), [({"size": 4096}, 4096), ({}, 0)])
def test_a_blob_reserves_its_size_where_it_is_known_and_settles_on_the_receipts(params, reserve):
    with built_in("sys/blob@1", {"bytes": 10_000}) as kernel:
        decision = kernel.submit(Intent("blob.put", params, "g"))
        assert decision.reserve == {"bytes": reserve}
        settlement = kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {"size": 4096}))
        assert (settlement.usage, settlement.violation) == ({"bytes": 4096}, None)
        assert kernel.state.counters["g"]["bytes"] == {"limit": 10_000, "reserved": 0, "spent": 4096}


@pytest.mark.req("S4-92", "S4-93")
@pytest.mark.parametrize(("bound", "reserve"), [({}, 0), ({"max_cost_cents": 20}, 20)])
def test_a_cost_reserves_its_bound_where_there_is_one_and_settles_on_the_receipts(bound, reserve):
    with built_in("sys/cost@1", {"cost_cents": 100}, **bound) as kernel:
        decision = kernel.submit(Intent("mail.send", {"to": "a@b.example"}, "g"))
        assert decision.reserve == {"cost_cents": reserve}
        assert kernel.state.counters["g"]["cost_cents"].reserved == reserve
        settlement = kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {}, cost_cents=12))
        assert (settlement.usage, settlement.violation) == ({"cost_cents": 12}, None)
        assert kernel.state.counters["g"]["cost_cents"] == {"limit": 100, "reserved": 0, "spent": 12}


@pytest.mark.req("S4-93")
def test_a_cost_above_its_bound_is_a_violation():
    with built_in("sys/cost@1", {"cost_cents": 100}, max_cost_cents=20) as kernel:
        decision = kernel.submit(Intent("mail.send", {}, "g"))
        settlement = kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {}, cost_cents=21))
        assert {violation.code for violation in settlement.violations} == {"usage_exceeds_reserve"}
        assert kernel.state.counters["g"]["cost_cents"].spent == 21
