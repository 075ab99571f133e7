"""What the rules of a plan do, when they are due, and which minima a budget keeps in its stage."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent

from tests.rows.budgets import BOTH, DAY, LOG, MARKET, A, B, create, deposit, done, ended, held, pays, world
from tests.rows.worlds import codes, few

# --- plans that are replaced --------------------------------------------------------------------------


@pytest.mark.req("S0-160")
def test_a_rule_of_a_replaced_plan_is_not_approved_any_more():
    rule = {"name": "r", "on": "deposit", "of": "USD", "do": [pays(5)], "approval": True}
    with world() as kernel:
        create(kernel, {"rules": [rule]})
        deposit(kernel, 10)
        (waiting,) = kernel.state.budgets[B].waiting
        answer = {"budget": B, "item": waiting["item"]}
        done(kernel, "budget.amend", budget=B, schema={"resources": BOTH, "rules": [rule], "title": "new"})
        refused = kernel.native("budget.answer", answer="approve", **answer)
        assert codes(refused) == ["rule_skipped"]
        assert refused.findings[0].facts["reason"] == "replaced"
        assert held(kernel, LOG) == 0
        done(kernel, "budget.answer", answer="reject", **answer)
        assert kernel.state.budgets[B].waiting == []


def test_a_rule_that_was_due_when_its_plan_was_replaced_is_skipped():
    """In one record a metric makes the rule due, and an amendment replaces its plan."""
    rule = {"name": "r", "on": "metric", "of": "m", "do": [pays("cause.amount")]}
    plan = {"metrics": {"m": {"description": "d", "nature": "output"}}, "rules": [rule]}
    with world() as kernel:
        create(kernel, plan)
        deposit(kernel, 10)
        members = [
            Intent("metric.record", {"budget": B, "metric": "m", "value": 3}, "root"),
            Intent(
                "budget.amend", {"budget": B, "schema": {"resources": BOTH, **plan, "title": "new"}}, "root"
            ),
        ]
        assert all(x.allowed for x in kernel.submit(members, mode="all"))
        assert ended(kernel) == [("r", 1, "skipped", "replaced")]
        done(kernel, "metric.record", budget=B, metric="m", value=3)
        assert ended(kernel)[1:] == [("r", 2, "done")]
        assert held(kernel, LOG) == 3


def test_rules_of_the_calendar_come_once_a_period_and_in_the_version_that_is_in_force():
    daily = {"name": "daily", "on": "day", "do": [pays(1)]}
    weekly = {"name": "weekly", "on": "week", "do": [pays(100)]}
    with world() as kernel:
        create(kernel, {"rules": [daily, weekly]})
        deposit(kernel, 10_000)
        same = done(kernel, "budget.amend", budget=B, schema={"resources": BOTH, "rules": [daily, weekly]})
        assert (kernel.state.budgets[B].version, kernel.state.grants[B].made_by) == (1, "operator"), same
        kernel.tick(now_ns=2 * DAY)  # two days have begun while nobody looked: each rule comes once
        assert ended(kernel) == [("daily", 1, "done")]
        schema = {"resources": BOTH, "rules": [weekly, {**daily, "do": [pays(2)]}]}
        done(kernel, "budget.amend", budget=B, schema=schema)
        for day in range(2, 11):
            kernel.tick(now_ns=day * DAY + 1)
        told = ended(kernel)[1:]
        assert sorted(x for x in told if x[1] == 1) == [
            ("daily", 1, "skipped", "replaced"),
            ("weekly", 1, "skipped", "replaced"),
        ]
        assert [x for x in told if x[1] == 2].count(("daily", 2, "done")) == 8
        assert [x for x in told if x[1] == 2].count(("weekly", 2, "done")) == 1  # 1970-01-05 was a Monday
        assert held(kernel, LOG) == 1 + 8 * 2 + 100


def test_an_amendment_that_keeps_what_is_converted_opens_the_account_for_it():
    swap = {"gives": "EUR", "gets": "USD", "rate": [1, 1], "counter": MARKET, "keeps": True}
    rule = {"name": "r", "on": "deposit", "of": "EUR", "do": [
        {"kind": "convert", "conversion": "swap", "amount": "3"},
    ]}  # fmt: skip
    with world() as kernel:
        create(kernel, {})
        deposit(kernel, 10, MARKET)
        for rules in ([rule], [], [rule]):
            schema = {"resources": BOTH, "conversions": {"swap": swap}, "rules": rules}
            done(kernel, "budget.amend", budget=B, schema=schema)
        deposit(kernel, 5, resource="EUR")
        assert ended(kernel) == [("r", 4, "done")]
        assert (held(kernel, B, "EUR"), held(kernel, f"{B}/reserved", "EUR")) == (2, 3)
        assert (held(kernel, B), held(kernel, MARKET, "EUR")) == (3, 0)


FAULTY = [
    ({"when": "metric.m > 0", "do": [pays(1)]}, "fault"),
    ({"when": "balance.USD > 7", "do": [pays(1)]}, "condition"),
    ({"do": [pays(1), pays("0 - 1")]}, "amount"),
    ({"do": [pays(1), pays("7 / balance.EUR")]}, "fault"),
    ({"do": [pays(1), pays("balance.USD - 5")]}, ""),
    ({"do": [pays(1), pays("balance.USD - 5 + 1")]}, ""),
    ({"do": [pays("balance.EUR + cause.amount")]}, ""),
    ({"when": 'cause.dim == "USD"', "do": [pays(7), pays(1)]}, "insufficient_balance"),
    ({"do": [pays(1, "external/issuer")]}, ""),
    ({"do": [pays(1, "accounts/none")]}, "not_found"),
]


@pytest.mark.parametrize(("rule", "why"), FAULTY)
def test_a_rule_that_cannot_be_carried_out_says_why_and_does_nothing_of_what_it_says(rule, why):
    metrics = {"m": {"description": "d", "nature": "output"}}
    with world() as kernel:
        create(kernel, {"metrics": metrics, "rules": [{"name": "r", "on": "deposit", **rule}]})
        deposit(kernel, 7)
        assert ended(kernel) == [("r", 1, "skipped", why) if why else ("r", 1, "done")]
        assert (held(kernel, B) == 7) == bool(why)


def test_a_rule_of_the_calendar_that_slept_reads_the_time_at_which_it_is_carried_out():
    with world() as kernel:
        create(kernel, {"rules": [{"name": "r", "on": "day", "do": [pays(f"now_ns / {DAY}")]}]})
        deposit(kernel, 10)
        kernel.tick(now_ns=3 * DAY + 5)
        assert (ended(kernel), held(kernel, LOG)) == ([("r", 1, "done")], 3)


@pytest.mark.parametrize("hours", [0, -5, 13])
def test_a_rule_of_the_calendar_comes_where_the_days_of_the_world_begin(hours):
    begins = 2 * DAY - hours * DAY // 24
    document = {"resources": BOTH, "accounts": {LOG: {}}, "world": {"utc_offset": f"{hours:+03}:00"}}
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(document, now_ns=begins - 2).allowed
        create(kernel, {"rules": [{"name": "r", "on": "day", "do": []}]}, now_ns=begins - 1)
        kernel.tick(now_ns=begins - 1)
        assert ended(kernel) == []
        kernel.tick(now_ns=begins)
        assert ended(kernel) == [("r", 1, "done")]


def test_a_metric_fires_the_rules_that_wait_for_it_and_a_deposit_those_of_its_resource():
    metrics = {name: {"description": "d", "nature": "output"} for name in "mn"}
    rules = [{"name": name, "on": "metric", "of": name, "do": []} for name in metrics]
    rules += [{"name": name or "any", "on": "deposit", "of": name, "do": []} for name in ("", *BOTH)]
    with world() as kernel:
        create(kernel, {"metrics": metrics, "rules": rules})
        for value, name in enumerate("nnm"):
            done(kernel, "metric.record", budget=B, metric=name, value=value)
        deposit(kernel, 1, resource="EUR")
        assert [x[0] for x in ended(kernel)] == ["n", "n", "m", "any", "EUR"]
        counts = {name: (row["value"], row["count"]) for name, row in kernel.state.budgets[B].metrics.items()}
        assert counts == {"m": (2, 1), "n": (1, 2)}
        assert codes(kernel.native("metric.record", budget=B, metric="o", value=1)) == ["not_found"]


def test_only_a_rule_that_waits_is_answered_and_under_its_own_budgets_name():
    rules = [
        {"name": "asks", "on": "deposit", "approval": True, "do": [pays(1)]},
        {"name": "daily", "on": "day", "do": [pays(5)]},
    ]
    with world() as kernel:
        create(kernel, {"rules": rules})
        create(kernel, {}, A)
        deposit(kernel, 3)
        (waiting,) = kernel.state.budgets[B].waiting
        due = [key for key, x in kernel._world.state.plans.firings.items() if x.rule == "daily"]
        for budget, item in ((A, waiting["item"]), (B, [0, 0]), (B, list(due[0]))):
            for answer in ("approve", "reject"):
                told = kernel.native("budget.answer", budget=budget, item=item, answer=answer)
                assert codes(told) == ["not_reserved"], (budget, item)
        done(kernel, "ledger.transfer", resource="USD", amount=3, to=MARKET, **{"from": B})
        told = kernel.native("budget.answer", budget=B, item=waiting["item"], answer="approve")
        assert codes(told) == ["insufficient_balance"]
        deposit(kernel, 1)
        done(kernel, "budget.answer", budget=B, item=waiting["item"], answer="approve")
        assert held(kernel, LOG) == 1


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("budget.solve", {"cells": [["c", 1, ""]]}),
        ("budget.solve", {"solver": "ann"}),
        ("budget.solve", {"solver": "ann", "cells": [["c", 1, ""], ["c", 2, ""]]}),
        ("budget.solve", {"solver": "ann", "cells": [["", 1, ""]]}),
        ("budget.solve", {"solver": "ann", "cells": [["c", 2**64, ""]]}),
        ("budget.solve", {"input": {"": 1}}),
        ("budget.solve", {"input": {"x": 2**64}}),
        ("metric.record", {"metric": "m", "value": "1"}),
        ("budget.answer", {"item": ["0", "0"], "answer": "reject"}),
    ],
)
def test_params_of_another_form_are_refused_before_anything_is_asked(kind, params):
    with world() as kernel:
        create(kernel, {"metrics": {"m": {"description": "d", "nature": "output"}}})
        assert codes(kernel.native(kind, budget=B, **params)) == ["params.invalid"]
        done(kernel, "budget.solve", budget=B, solver="ann", cells=[["c", 1, ""], ["d", 1, ""]])


# --- stages and minima -----------------------------------------------------------------------------------


TIERS = st.sampled_from(["partial", "full"])
ROWS = st.lists(st.tuples(st.sampled_from(sorted(BOTH)), st.integers(0, 6), TIERS), max_size=3)
AMOUNTS = st.fixed_dictionaries({"USD": st.integers(0, 9), "EUR": st.integers(0, 9)})
LEFT = st.fixed_dictionaries({"USD": st.integers(0, 5), "EUR": st.integers(0, 5)})


def stage_of(rows, funds):
    """The stage, and the rows that bind in it; the model is two sentences of 11.5."""
    unmet = {tier for resource, minimum, tier in rows if funds[resource] < minimum}
    tiers = {tier for _, _, tier in rows}
    if not any(funds.values()) or "partial" in unmet or (unmet and "partial" not in tiers):
        return "planning", rows
    return ("partial", [x for x in rows if x[2] == "partial"]) if unmet else ("full", rows)


@pytest.mark.req("S0-54", "S0-171")
@given(
    rows=ROWS | ROWS.map(lambda rows: [("USD", 2, "partial"), *rows, ("EUR", 9, "full")]),
    funds=AMOUNTS, left=LEFT,
)  # fmt: skip
def test_a_budget_commits_what_leaves_each_minimum_that_binds_in_its_stage(rows, funds, left):
    asked = {unit: max(0, amount - left[unit]) for unit, amount in funds.items()}
    constraints = [
        {"name": f"c{at}", "resource": resource, "minimum": minimum, "tier": tier}
        for at, (resource, minimum, tier) in enumerate(rows)
    ]
    stage, binding = stage_of(rows, funds)
    unmet = [
        (f"c{at}", max(0, funds[row[0]] - row[1]))
        for at, row in enumerate(rows)
        if row in binding and asked[row[0]] and funds[row[0]] - asked[row[0]] < row[1]
    ]
    with world() as kernel:
        create(kernel, {"constraints": constraints}, pays_to=[LOG])
        for unit, amount in funds.items():
            deposit(kernel, amount, resource=unit)
        row = kernel.state.budgets[B]
        assert (row.stage, {x["constraint"]: x["missing"] for x in row.missing}) == (
            stage,
            {f"c{at}": need - funds[unit] for at, (unit, need, _) in enumerate(rows) if need > funds[unit]},
        )
        told = kernel.submit(Intent("task.post", {"result": "x", "amounts": asked}, B))
        if stage == "planning":
            assert codes(told) == (["planning_stage"] if any(asked.values()) else [])
            assert all(x.facts["missing"] == row.missing for x in told.findings)
        else:
            assert [(x.facts["constraint"], x.facts["available"]) for x in told.findings] == unmet
            assert set(codes(told)) <= {"constraint_unmet"}


@pytest.mark.req("S0-171")
@few
@given(
    funds=st.integers(1, 9), minimum=st.integers(0, 9), amounts=st.lists(st.integers(0, 6), max_size=3),
    tier=st.sampled_from(["partial", "full"]),
)  # fmt: skip
def test_a_rule_does_all_that_it_says_or_nothing_and_keeps_the_minima(funds, minimum, amounts, tier):
    """A budget below its only minimum is planning, and pays nobody."""
    constraints = [{"name": "floor", "resource": "USD", "minimum": minimum, "tier": tier}]
    rule = {"name": "r", "on": "deposit", "of": "EUR", "do": [pays(x) for x in amounts]}
    with world() as kernel:
        create(kernel, {"constraints": constraints, "rules": [rule]})
        deposit(kernel, funds)
        deposit(kernel, 1, resource="EUR")
        is_done = not any(amounts) or funds - sum(amounts) >= minimum
        assert [x[2] for x in ended(kernel)] == ["done" if is_done else "skipped"]
        assert held(kernel, LOG) == (sum(amounts) if is_done else 0)


def test_nobody_but_the_operator_takes_a_budget_below_a_minimum_whoever_gets_it():
    floor = {"name": "floor", "resource": "USD", "minimum": 60, "tier": "partial"}
    ways = [
        ("ledger.transfer", {"to": LOG}),
        ("budget.create", {"budget": "budgets/b/child", "parent": B, "schema": {"resources": {"USD": 0}}}),
        ("budget.create", {"budget": "budgets/other", "schema": {"resources": {"USD": 0}}}),
        ("ledger.convert", {"to": B, "counter": MARKET, "gets": "EUR", "rate": [1, 1]}),
    ]
    with world() as kernel:
        terms = {"cap": "sys/native@1", "holder": "ann"}
        done(kernel, "grant.issue", name="ann", terms=terms)
        create(kernel, {"constraints": [floor]})
        deposit(kernel, 100)
        deposit(kernel, 100, MARKET, "EUR")
        for kind, params in ways:
            asked = {"resource": "USD", "from": B, **params}
            refused = kernel.as_principal("ann").native(kind, amount=41, **asked)
            assert [(x.code, x.facts["available"]) for x in refused.findings] == [("constraint_unmet", 40)], (
                kind
            )
            told = kernel.as_principal("ann").native(kind, amount=10, **asked)
            assert told.allowed, told.findings
            deposit(kernel, 10)
        done(kernel, "ledger.transfer", resource="USD", amount=100, to=LOG, **{"from": B})


@few
@given(held_=st.integers(1, 9), minimum=st.integers(0, 9), amount=st.integers(1, 6))
def test_a_conversion_keeps_the_minima_of_the_budget_that_gives_the_worth(held_, minimum, amount):
    """By a rule, and by an effect whose other side is an account without a plan."""
    constraints = [{"name": "floor", "resource": "EUR", "minimum": minimum, "tier": "partial"}]
    swap = {"gives": "USD", "gets": "EUR", "rate": [1, 1], "counter": A}
    rule = {"name": "r", "on": "deposit", "of": "USD", "do": [
        {"kind": "convert", "conversion": "swap", "amount": str(amount)},
    ]}  # fmt: skip
    with world() as kernel:
        terms = {"cap": "sys/native@1", "holder": "ann"}
        done(kernel, "grant.issue", name="ann", terms=terms)
        create(kernel, {"constraints": constraints}, A)
        deposit(kernel, held_, A, "EUR")
        create(kernel, {})
        deposit(kernel, amount, MARKET)
        sides = {"from": MARKET, "to": B, "counter": A, "gets": "EUR", "rate": [1, 1]}
        told = kernel.as_principal("ann").native("ledger.convert", resource="USD", amount=amount, **sides)
        is_done = held_ - amount >= minimum
        assert told.allowed == is_done
        assert held(kernel, B, "EUR") == (amount if is_done else 0)
    with world() as kernel:
        create(kernel, {"constraints": constraints}, A)
        deposit(kernel, held_, A, "EUR")
        create(kernel, {"conversions": {"swap": swap}, "rules": [rule]})
        deposit(kernel, amount)
        assert [x[2] for x in ended(kernel)] == ["done" if is_done else "skipped"]
        assert held(kernel, B, "EUR") == (amount if is_done else 0)
