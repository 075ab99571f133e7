"""Settlement: every receipt ends its reservation, and what it costs is always defined."""

import cbor2
import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.sandbox import Sandbox, builtin
from splittally_enforcers.conformance import builtin_folder, differences, encode_input, read_cases

from tests.rows.worlds import (
    NATURAL_MAX,
    ROOT,
    act,
    apply,
    bodies,
    budget,
    canned,
    canonical,
    few,
    held,
    reserves,
    settle,
    uses,
    world,
)

FAULTY = ROOT / "fixtures" / "enforcers" / "faulty"
AMOUNTS = st.integers(0, 200) | st.integers(0, NATURAL_MAX)
DIMS = st.sampled_from(["tokens", "bytes", "never heard of"])
STATUSES = st.sampled_from(["ok", "error", "timeout"])
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=40)
    | st.sampled_from([object(), {1: 2}, {"a", "b"}, "\ud800", b"\xa1", 2**70]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ANSWERS = st.one_of(
    st.dictionaries(DIMS, AMOUNTS, max_size=3).map(uses),
    st.dictionaries(DIMS, AMOUNTS, max_size=3).map(lambda usage: uses(usage, "odd", "something is odd")),
    st.binary(max_size=40),
    st.dictionaries(st.text(max_size=8), st.integers(-9, 9)).map(lambda body: canonical({"Settle": body})),
)


def ends(kernel, digest: bytes, receipt: Receipt) -> None:
    """The receipt ends the reservation, and the kernel goes on."""
    settlement = kernel.settle(receipt)
    assert (settlement.status, settlement.intent_hash) == ("settled", digest)
    assert settlement.seq is not None
    assert digest not in kernel.state.reservations
    assert all(row.reserved == 0 for dims in kernel.state.counters.values() for row in dims.values())
    assert kernel.outcome(digest).status == "settled"
    root = kernel.state.root
    assert kernel.settle(receipt).status == "duplicate"
    assert kernel.state.root == root
    assert len(bodies(kernel)) == kernel.state.seq


# --- every receipt ends its reservation -------------------------------------------------------------


@pytest.mark.req("S4-52")
@few
@given(reserve=st.dictionaries(DIMS, st.integers(0, 99), max_size=3), answer=ANSWERS, status=STATUSES)
def test_whatever_the_enforcer_makes_of_a_receipt_the_reservation_ends(reserve, answer, status):
    with world(budget(tokens=100, bytes=100)) as kernel:
        digest = held(kernel, reserve)
        ends(kernel, digest, Receipt(digest, status, "adapter", answer))


@pytest.mark.req("S4-52")
@few
@given(payload=ANYTHING, status=STATUSES, cost=st.none() | AMOUNTS)
@pytest.mark.parametrize(
    ("kind", "cap", "params"),
    [
        ("llm.generate", "sys/llm.basic@1", {"max_tokens": 9}),
        ("http.request", "sys/http.out@1", {"url": "https://a.example/"}),
        ("blob.put", "sys/blob@1", {"size": 9}),
    ],
)
def test_whatever_a_payload_holds_the_hold_of_a_built_in_ends(kind, cap, params, payload, status, cost):
    grant = {"cap": cap, "budget": {"tokens": 100, "bytes": 100, "requests": 5}}
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"grants": {"g": grant}})
        digest = kernel.submit(Intent(kind, params, "g")).intent_hash
        ends(kernel, digest, Receipt(digest, status, "adapter", payload, cost_cents=cost))


@pytest.mark.req("S4-52")
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("(unreachable)", "trap"),
        ("(i64.div_u (i64.const 1) (i64.const 0))", "trap"),
        ("(loop (result i64) (br 0))", "out_of_fuel"),
        ("(i64.const -1)", "over_limit"),
        ("(i64.const 0)", "bad_output"),
    ],
)
def test_a_fault_while_settling_ends_the_reservation_and_charges_what_was_reserved(body, fault):
    with world(budget(tokens=100), enforcer=canned(reserves({"tokens": 40}), body)) as kernel:
        digest = act(kernel, b"").intent_hash
        settlement = settle(kernel, digest, {})
        assert (settlement.status, settlement.usage) == ("settled", {"tokens": 40})
        assert (settlement.violation.code, settlement.violation.facts["fault"]) == ("enforcer_fault", fault)
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 40}
        assert act(kernel, b"").allowed


@pytest.mark.req("S4-52")
@pytest.mark.parametrize("size", [24_000, 33_000, 65_536, 65_537, 300_000])
def test_a_payload_of_any_size_ends_the_reservation(size):
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 40})
        ends(kernel, digest, Receipt(digest, "ok", "adapter", b"\0" * size))
        assert kernel.state.counters["g"]["tokens"].spent == 40


@pytest.mark.req("S4-52")
@pytest.mark.parametrize("status", ["settled", "late"])
def test_a_payload_that_does_not_fit_the_receipts_schema_is_noted_and_settles(status):
    schema = {"type": "object", "required": ["bill"], "properties": {"bill": {"type": "integer"}}}
    with splittally.open(None, clock="given") as kernel:
        effects = {"mail.send": {"cap_type": "mail", "receipt_schema": schema}}
        grant = {"cap": "sys/allow@1", "params": {"reserve": {"mails": 1}}, "budget": {"mails": 5}}
        apply(kernel, {"effects": effects, "grants": {"g": grant}})
        digest = kernel.submit(Intent("mail.send", {}, "g")).intent_hash
        if status == "late":
            assert kernel.release(digest, "not_dispatched").status == "released"
        settlement = kernel.settle(Receipt(digest, "ok", "adapter", {"usage": {"mails": 1}}))
        assert (settlement.status, settlement.usage) == (status, {"mails": 1})
        assert [violation.code for violation in settlement.violations] == ["receipt_invalid"]


@pytest.mark.req("S4-53")
def test_a_dimension_that_a_usage_does_not_name_used_nothing():
    with world(budget(tokens=100, bytes=100)) as kernel:
        settle(kernel, held(kernel, {"tokens": 50, "bytes": 10}), {"tokens": 5})
        assert kernel.state.counters["g"] == {
            "tokens": {"limit": 100, "reserved": 0, "spent": 5},
            "bytes": {"limit": 100, "reserved": 0, "spent": 0},
        }


@pytest.mark.req("S4-53")
@few
@given(
    reserve=st.dictionaries(DIMS, st.integers(0, 99)),
    usage=st.dictionaries(DIMS, st.integers(0, 99)),
    other=st.dictionaries(DIMS, st.integers(0, 99)),
)
def test_settling_frees_every_dimension_reserved_and_charges_every_dimension_used(reserve, usage, other):
    limits = dict.fromkeys(("tokens", "bytes", "never heard of"), 1000)
    with world({"g": {"budget": limits}}) as kernel:
        digest = held(kernel, reserve)
        held(kernel, other)
        settle(kernel, digest, usage)
        assert kernel.state.counters["g"] == {
            dim: {"limit": 1_000, "reserved": other.get(dim, 0), "spent": usage.get(dim, 0)} for dim in limits
        }


@pytest.mark.req("S4-54", "S4-55")
@pytest.mark.parametrize("status", ["error", "timeout"])
def test_an_error_or_a_timeout_without_usage_frees_the_reserve_and_spends_nothing(status):
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 50})
        assert settle(kernel, digest, {}, status).status == "settled"
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 0}
        assert kernel.outcome(digest).status == "settled"


@pytest.mark.req("S4-54", "S4-55")
@pytest.mark.parametrize("status", ["error", "timeout"])
def test_a_failed_model_call_without_counts_costs_nothing_and_one_with_counts_costs_them(status):
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}}})
        for payload, spent in (({}, 0), ({"prompt_tokens": 10, "completion_tokens": 2}, 12)):
            digest = kernel.submit(Intent("llm.generate", {"max_tokens": 50}, "g")).intent_hash
            settlement = kernel.settle(Receipt(digest, status, "adapter", payload))
            assert (settlement.status, settlement.violation) == ("settled", None)
            assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": spent}


@pytest.mark.req("S4-56")
def test_attempts_are_counted_by_the_policy_and_usage_by_the_budget():
    rule = {"name": "three a day", "decision": "allow", "rates": [{"per": "day", "amount": 3}]}
    with world(budget(tokens=100), policy=[rule]) as kernel:
        for _ in range(3):
            settle(kernel, held(kernel, {"tokens": 50}), {}, "error")
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 0}
        ((key, row),) = kernel.state.windows.items()
        assert (key[:3], row.spent) == (("policy/three a day", "attempts", "day"), 3)
        fourth = act(kernel, {"tokens": 50})
        assert (fourth.outcome, [x.code for x in fourth.findings]) == ("deny", ["rate_exceeded"])
        assert kernel.state.counters["g"]["tokens"].reserved == 0


# --- bounded and unbounded --------------------------------------------------------------------------


@pytest.mark.req("S4-57")
@pytest.mark.parametrize("used", [49, 50, 51, 500])
def test_usage_above_a_bounded_reserve_is_charged_and_recorded_with_both_numbers(used):
    with world(budget(tokens=100)) as kernel:
        settlement = settle(kernel, held(kernel, {"tokens": 50}), {"tokens": used})
        told = [(x.code, x.facts["reserve"], x.facts["usage"]) for x in settlement.violations]
        assert told == ([("usage_exceeds_reserve", 50, used)] if used > 50 else [])
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": used}


@pytest.mark.req("S4-57", "S4-58")
@few
@given(reserve=st.dictionaries(DIMS, st.integers(0, 9)), usage=st.dictionaries(DIMS, st.integers(0, 9)))
def test_only_a_dimension_with_a_reserve_has_a_bound(reserve, usage):
    with world({"g": {}}) as kernel:
        settlement = settle(kernel, held(kernel, reserve), usage)
        over = {dim for dim in usage if usage[dim] > reserve.get(dim, 0) > 0}
        assert {violation.facts["dim"] for violation in settlement.violations} == over
        assert settlement.usage == usage


@pytest.mark.req("S4-58")
def test_an_unbounded_dimension_reserves_nothing_and_spends_what_the_receipt_says():
    with splittally.open(None, clock="given") as kernel:
        grants = {"g": {"cap": "sys/cost@1", "budget": {"cost_cents": 10}}}
        apply(kernel, {"effects": {"mail.send": {"cap_type": "mail"}}, "grants": grants})
        decision = kernel.submit(Intent("mail.send", {}, "g"))
        assert decision.reserve == {"cost_cents": 0}
        settlement = kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {}, cost_cents=7))
        assert (settlement.usage, settlement.violations) == ({"cost_cents": 7}, ())
        assert kernel.state.counters["g"]["cost_cents"] == {"limit": 10, "reserved": 0, "spent": 7}


# --- the conformance check --------------------------------------------------------------------------


def judged(wasm: bytes, case) -> bytes:
    sandbox = Sandbox()
    return sandbox.judge(sandbox.load(wasm), encode_input(case["input"]))


def bounded_cases() -> dict:
    cases = read_cases(builtin_folder("llm_basic"))
    return {
        name: case
        for name, case in cases.items()
        if case.get("bounds", {}).get("tokens") and case["input"]["Check"]["effect_params"].get("max_tokens")
    }


@pytest.mark.req("S4-59")
def test_an_enforcer_that_reserves_nothing_for_a_known_bound_is_flagged():
    careless = canned(reserves({"tokens": 0}), uses({}))
    cases = bounded_cases()
    assert cases
    for case in cases.values():
        flags = differences({**case, "expect": cbor2.loads(reserves({"tokens": 0}))}, judged(careless, case))
        assert any("tokens" in flag for flag in flags)
        assert differences(case, judged(builtin("sys/CapEnforceLlmBasic@1"), case)) == []
