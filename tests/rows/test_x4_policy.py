"""Policy: the first rule that matches decides, by five fields; rates refill by logical time."""

import itertools

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.events import Decided
from splittally.runtime.recover import fold

from tests.rows.worlds import (
    ACT,
    CAP,
    OUTCOMES,
    act,
    books,
    budget,
    codes,
    few,
    held,
    recorded,
    reserves,
    world,
)

SECOND = 10**9
EFFECTS = {"test.act": {"cap_type": "test"}, "test.other": {"cap_type": "test"}}
FIELDS = {
    "effect_kind": ("test.act", "test.other"),
    "cap_name": ("g", "h"),
    "cap_type": ("test", "llm.basic"),
    "origin_kind": ("plan", "reducer"),
    "origin_name": ("com.acme/p@1", "com.acme/q@1"),
}
MATCHES = st.fixed_dictionaries({}, optional={name: st.sampled_from(both) for name, both in FIELDS.items()})
RULES = st.lists(
    st.tuples(MATCHES, st.sampled_from(["allow", "deny", "require_approval"])), min_size=1, max_size=5
)


def policy_world(rules, **more):
    named = [
        {"name": f"rule {at}", **match, "decision": decision} for at, (match, decision) in enumerate(rules)
    ]
    return world({"g": {}, "h": {}}, effects=EFFECTS, policy=named, **more)


@pytest.mark.req("X4-15", "X4-16")
@few
@given(
    rules=RULES, asked=st.fixed_dictionaries({name: st.sampled_from(both) for name, both in FIELDS.items()})
)
def test_the_first_rule_whose_every_field_matches_decides_and_no_match_denies(rules, asked):
    asked["cap_type"] = "test"
    with policy_world(rules) as kernel:
        params = {"a": reserves({"tokens": 1})}
        origin = (asked["origin_kind"], asked["origin_name"])
        decision = kernel.submit(Intent(asked["effect_kind"], params, asked["cap_name"], origin))
        rule, outcome = next(
            (
                (at, decided)
                for at, (match, decided) in enumerate(rules)
                if all(asked[name] == value for name, value in match.items())
            ),
            (-1, "deny"),
        )
        assert decision.outcome == outcome
        assert recorded(kernel, Decided)[-1].rule == rule
        if rule < 0:
            assert codes(decision) == ["policy_unmatched"]
        assert bool(kernel.state.reservations) == (outcome != "deny")


@pytest.mark.req("X4-15")
def test_a_rule_for_kind_a_leaves_kind_b_denied_with_no_rule():
    with policy_world([({"effect_kind": "test.act"}, "allow")]) as kernel:
        assert act(kernel, {"tokens": 1}).allowed
        decision = kernel.submit(Intent("test.other", {"a": reserves({})}, "g"))
        assert (decision.outcome, codes(decision)) == ("deny", ["policy_unmatched"])
        assert "rule" not in decision.findings[0].facts
        assert [event.rule for event in recorded(kernel, Decided)[-2:]] == [0, -1]


@pytest.mark.req("X4-16")
@pytest.mark.parametrize("name", FIELDS)
def test_a_rule_on_each_field_matches_and_fails_as_it_says(name):
    right, wrong = FIELDS[name]
    for value, outcome in [(right, "allow"), (wrong, "deny")]:
        with policy_world([({name: value}, "allow")]) as kernel:
            params = {"a": reserves({})}
            origin = ("plan", "com.acme/p@1")
            assert kernel.submit(Intent("test.act", params, "g", origin)).outcome == outcome


@pytest.mark.req("X4-16")
@pytest.mark.parametrize("spelling", ["match", "flat"])
def test_a_match_table_and_flat_fields_are_one_rule(spelling):
    match = {"effect_kind": ACT, "cap_name": "g"}
    rule = {"name": "r", "decision": "allow", **(match if spelling == "flat" else {"match": match})}
    with world({"g": {}, "h": {}}, policy=[rule]) as kernel:
        assert act(kernel, {}, "g").allowed
        assert not act(kernel, {}, "h").allowed
        assert kernel.state.policy[0].cap_name == "g"


# --- a denial is an answer --------------------------------------------------------------------------


@pytest.mark.req("X4-17")
def test_a_plan_goes_on_after_a_denial():
    with policy_world([({"effect_kind": "test.act"}, "allow")]) as kernel:

        def plan():
            first = kernel.submit(Intent("test.other", {"a": reserves({"tokens": 9})}, "g"))
            if not first.allowed:
                first = act(kernel, {"tokens": 3})
            return kernel.settle(Receipt(first.intent_hash, "ok", "adapter", b"")), first

        settlement, decision = plan()
        assert (decision.outcome, settlement.status) == ("allow", "settled")


@pytest.mark.req("X4-17")
@few
@given(kinds=st.lists(st.sampled_from(["test.act", "test.other", "never.heard"]), max_size=9))
def test_a_denial_in_a_list_leaves_the_answers_around_it_alone(kinds):
    with policy_world([({"effect_kind": "test.act"}, "allow")]) as kernel:
        answers = kernel.submit([Intent(kind, {"a": reserves({})}, "g") for kind in kinds])
        assert [answer.allowed for answer in answers] == [kind == "test.act" for kind in kinds]


# --- rates ------------------------------------------------------------------------------------------

RATED = [{"name": "calls", "decision": "allow", "rate": {"amount": 5, "per": "60s"}}]


@pytest.mark.req("X4-19")
def test_the_sixth_call_of_a_minute_is_denied_and_the_next_minute_is_free():
    with world(budget(tokens=100), policy=RATED) as kernel:
        assert all(act(kernel, {}, now_ns=at * SECOND).allowed for at in range(5))
        sixth = act(kernel, {}, now_ns=59 * SECOND)
        assert codes(sixth) == ["rate_exceeded"]
        assert sixth.findings[0].facts["next"] == "retry_after"
        assert act(kernel, {}, now_ns=60 * SECOND).allowed
        assert fold(kernel._world.store).ledger.counters == kernel._world.state.ledger.counters


@pytest.mark.req("X4-19")
@few
@given(
    waits=st.lists(st.integers(0, 40), min_size=1, max_size=25),
    amount=st.integers(0, 4),
    seconds=st.integers(1, 90),
)
def test_a_rate_admits_its_amount_in_any_window_of_logical_time_and_the_same_on_replay(
    waits, amount, seconds
):
    rule = {"name": "calls", "decision": "allow", "rate": {"amount": amount, "per": f"{seconds}s"}}
    with world({"g": {}}, policy=[rule]) as kernel:
        through = []
        for now in itertools.accumulate(waits):
            decision = act(kernel, {}, now_ns=now * SECOND)
            assert decision.allowed == (sum(at > now - seconds for at in through) < amount)
            through += [now] if decision.allowed else []
        assert kernel.at(kernel.state.seq - 1).root == kernel.state.root


@pytest.mark.req("X4-19")
@few
@given(
    decision=st.sampled_from(["allow", "require_approval"]),
    rates=st.lists(
        st.tuples(
            st.sampled_from(["60s", "hour"]), st.integers(0, 5), st.sampled_from(["deny", "defer", "ask"])
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda rate: (rate[0], rate[2]),
    ),
    waits=st.lists(st.integers(0, 45), min_size=1, max_size=12),
)
def test_every_rate_of_a_rule_counts_what_it_lets_through_whether_allowed_or_waiting(decision, rates, waits):
    """The model: what was let through in the last sixty seconds, and since the full hour."""
    stated = [{"amount": amount, "per": per, "over": over} for per, amount, over in rates]
    rules = [{"name": "calls", "decision": decision, "rates": stated}]
    with world({"g": {}}, policy=rules) as kernel:
        through = []
        for now in itertools.accumulate(waits):
            since = {"60s": now - 60, "hour": -1}
            used = {per: sum(at > start for at in through) for per, start in since.items()}
            over = {
                x if amount or x != "defer" else "deny"  # none is none, however long one waits
                for per, amount, x in rates
                if used[per] + 1 > amount
            }
            expected = next((OUTCOMES[x] for x in ("deny", "defer", "ask") if x in over), decision)
            told = act(kernel, {}, now_ns=now * SECOND)
            assert told.outcome == expected
            assert codes(told).count("rate_exceeded") == sum(
                used[per] + 1 > amount for per, amount, _ in rates
            )
            if expected in ("allow", "require_approval"):
                through.append(now)


@pytest.mark.req("X4-16")
def test_only_native_effects_under_the_root_grant_are_above_the_rules():
    grants = {"keys": {"cap": "sys/native@1"}, "g": {}}
    with world(grants, policy=[{"name": "none", "decision": "deny"}]) as kernel:
        assert kernel.native("account.open", account="accounts/a").allowed
        for refused in (
            kernel.native("account.open", grant="keys", account="accounts/b"),
            act(kernel, {}, "root"),
            act(kernel, {}, "g"),
        ):
            assert (refused.outcome, codes(refused)) == ("deny", ["policy_denied"])


@pytest.mark.req("X4-16")
@pytest.mark.parametrize("asks", ["rule", "limit"])
def test_a_native_effect_cannot_wait_so_it_is_denied_and_nothing_of_it_is_done(asks):
    grants = {"keys": {"cap": "test/paid@1", "params": {"reserve": {"calls": 3}}}}
    policy = [{"name": "all", "decision": "require_approval" if asks == "rule" else "allow"}]
    if asks == "limit":
        grants["keys"]["limits"] = [{"dim": "calls", "amount": 2, "over": "ask"}]
    caps = {"test/paid@1": {"cap_type": "native", "enforcer": "sys/CapAllowAll@1"}}
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply({"caps": caps, "grants": grants, "policy": policy}).allowed
        before = books(kernel)
        refused = kernel.native("account.open", grant="keys", account="accounts/a")
        assert refused.outcome == "deny"
        assert codes(refused) == [{"rule": "policy_approval", "limit": "approval_threshold"}[asks]]
        assert books(kernel) == before


@pytest.mark.req("X4-16")
@pytest.mark.parametrize("rule", ["allow", "require_approval", "deny"])
@pytest.mark.parametrize("over", ["deny", "defer", "ask", "tell", "shadow"])
def test_of_what_a_limit_and_a_rule_say_the_strictest_stands(over, rule):
    limits = [{"dim": "tokens", "amount": 5, "over": over}]
    with world({"g": {"limits": limits}}, policy=[{"name": "r", "decision": rule}]) as kernel:
        said = [OUTCOMES.get(over, "allow"), rule]
        strictest = next(x for x in ("deny", "defer", "require_approval", "allow") if x in said)
        assert act(kernel, {"tokens": 4}).outcome == rule
        asked = 6 if rule == "deny" else 4  # above the limit, beside what is held
        if OUTCOMES.get(over) in ("deny", "defer"):  # and the rule is not asked
            strictest = said[0] if asked <= 5 else "deny"
        assert act(kernel, {"tokens": asked}, idempotency_key=bytes(32)).outcome == strictest


@pytest.mark.req("X4-16")
def test_a_condition_sees_the_params_whichever_rule_it_stands_in():
    rules = [
        {"name": "others", "decision": "deny", "origin_kind": "reducer"},
        {"name": "sevens", "decision": "allow", "when": "params.n == 7"},
    ]
    with world({"g": {}}, policy=rules) as kernel:
        assert act(kernel, {}, params={"n": 7}).allowed
        assert codes(act(kernel, {}, params={"n": 8})) == ["policy_unmatched"]
        assert codes(act(kernel, {})) == ["policy_fault"]


@pytest.mark.req("X4-19")
def test_what_is_denied_or_asked_dry_uses_up_no_rate():
    with world(budget(tokens=10), policy=RATED) as kernel:
        for _ in range(9):
            assert kernel.decide(Intent(ACT, {"a": reserves({})}, "g")).allowed
            assert codes(act(kernel, {"tokens": 11})) == ["budget_exceeded"]
        assert sum(act(kernel, {}).allowed for _ in range(9)) == 5


@pytest.mark.req("X4-19")
def test_no_grant_shares_the_window_of_a_rule(tmp_path):
    """A grant of that name could otherwise open the window with a limit of its own."""
    limit = {"dim": "attempts", "per": "60s", "amount": 1_000}
    with world({"g": {"delegations": 1}}, tmp_path / "w", policy=RATED) as kernel:
        terms = {"cap": CAP, "limits": [limit]}
        assert codes(kernel.native("grant.issue", grant="g", name="policy/calls", terms=terms)) == [
            "name_reserved"
        ]
        assert sum(act(kernel, {}).allowed for _ in range(9)) == 5
    with splittally.open(tmp_path / "w") as kernel:
        assert not act(kernel, {}).allowed
        before = books(kernel)
        assert held(kernel, {}, now_ns=60 * SECOND)
        assert books(kernel) != before
