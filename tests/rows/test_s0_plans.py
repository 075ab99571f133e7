"""What a plan may say, how it may be replaced, what its stages and rules keep, how it looks at a horizon."""

from fractions import Fraction

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core.events import RuleFired
from splittally.core.limits import PLAN_BYTES_MAX

from tests.rows.worlds import codes, few, recorded

A, B, LOG, MARKET = "budgets/a", "budgets/b", "accounts/log", "accounts/market"
BOTH = {"USD": 0, "EUR": 0}
DAY = 86_400 * 10**9


def world():
    kernel = splittally.open(None, clock="given")
    assert kernel.apply({"resources": BOTH, "accounts": {LOG: {}, MARKET: {}}}).allowed
    return kernel


def done(kernel, kind, **params):
    decision = kernel.native(kind, **params)
    assert decision.allowed, decision
    return decision


def create(kernel, plan, budget=B, **more):
    return done(kernel, "budget.create", budget=budget, schema={"resources": BOTH, **plan}, **more)


def deposit(kernel, amount, to=B, resource="USD"):
    if amount:
        done(kernel, "ledger.issue", resource=resource, amount=amount, to=to)


def held(kernel, account, resource="USD"):
    return kernel.state.accounts[account].balances.get(resource, 0)


def pays(amount, to=LOG, resource="USD"):
    return {"kind": "transfer", "to": to, "amount": str(amount), "resource": resource}


def ended(kernel):
    """What became of the rules that were worked through: rule, version, status, and why not."""
    return [
        (x.rule, x.version, x.status, *(y.facts.get("reason", y.code) for y in x.findings))
        for x in recorded(kernel, RuleFired)
        if x.status in ("done", "skipped") and x.item
    ]


# --- amendments ---------------------------------------------------------------------------------------

CONSTRAINTS = st.dictionaries(
    st.sampled_from("ab"),
    st.tuples(st.sampled_from(sorted(BOTH)), st.integers(0, 2), st.sampled_from(["partial", "full"])),
)
PARTS = {
    "lines": {"resource": "USD", "amount": 1},
    "metrics": {"description": "d", "nature": "output"},
    "conversions": {"gives": "USD", "gets": "EUR", "rate": [1, 1], "counter": MARKET},
    "formulas": {"value": "1"},
}
LISTED = st.sets(st.tuples(st.sampled_from(sorted(PARTS)), st.sampled_from("xy")), max_size=3)


def plan_of(constraints, listed):
    parts = {field: {name: PARTS[field] for x, name in listed if x == field} for field in PARTS}
    rows = [
        {"name": name, "resource": resource, "minimum": minimum, "tier": tier}
        for name, (resource, minimum, tier) in constraints.items()
    ]
    return parts | {"constraints": rows}


@few
@given(old=CONSTRAINTS, new=CONSTRAINTS, had=LISTED, has=LISTED)
def test_an_amendment_passes_where_it_takes_nothing_away_and_no_minimum_binds_less_or_later(
    old, new, had, has
):
    wider = had - has
    for name, (resource, minimum, tier) in old.items():
        now = new.get(name, ("none", 0, tier))
        if now[0] != resource or now[1] < minimum or (tier, now[2]) == ("partial", "full"):
            wider.add(("constraints", name))
    with world() as kernel:
        create(kernel, plan_of(old, had))
        schema = {"resources": BOTH, **plan_of(new, has)}
        told = kernel.native("budget.amend", budget=B, schema=schema)
        assert told.allowed == (not wider)
        assert {(x.facts["field"], x.facts["name"]) for x in told.findings} == wider
        assert set(codes(told)) <= {"plan_widened"}


def test_how_deposits_are_shared_changes_by_a_split_and_not_by_an_amendment():
    with world() as kernel:
        create(kernel, {"allocations": {"USD": {"x": 1, "y": 1}}})
        for allocations in ({"USD": {"x": 1, "y": 2}}, {"USD": {"x": 1, "y": 1}, "EUR": {"z": 1}}, {}):
            schema = {"resources": BOTH, "allocations": allocations}
            refused = kernel.native("budget.amend", budget=B, schema=schema)
            assert [(x.code, x.facts["field"]) for x in refused.findings] == [
                ("cannot_change", "allocations")
            ]


# --- what a plan may not say --------------------------------------------------------------------------

GOOD = {
    "lines": {"l": {"resource": "USD", "amount": -1}},
    "metrics": {"m": {"description": "d", "nature": "debt"}},
    "constraints": [{"name": "c", "resource": "EUR", "minimum": 0}],
    "conversions": {"swap": {"gives": "USD", "gets": "EUR", "rate": [1, 3], "counter": MARKET}},
    "rules": [
        {"name": "r", "on": "deposit", "of": "USD", "when": "true", "do": [pays(1)]},
        {"name": "s", "on": "metric", "of": "m", "do": [
            {"kind": "convert", "conversion": "swap", "amount": "1"},
        ]},
        {"name": "t", "on": "deposit", "approval": True},
    ],
    "allocations": {"USD": {"x": 0, "y": 1}},
    "formulas": {"f": {"value": "balance.USD / 2"}},
}  # fmt: skip


def bad(field, key, at=0):
    """The good plan with one field of one of its entries changed."""

    def plan(value):
        entries = GOOD[field]
        if isinstance(entries, dict):
            name = next(iter(entries))
            return GOOD | {field: {name: entries[name] | {key: value}}}
        return GOOD | {field: [*entries[:at], entries[at] | {key: value}, *entries[at + 1 :]]}

    return plan


UNLISTED = "resources` do not list it"
MISTAKES = [
    (bad("lines", "resource")("GBP"), UNLISTED),
    (bad("lines", "per")("decade"), "a line's `per`"),
    (bad("lines", "amount")(-(2**63)), "a line's `amount`"),
    (bad("metrics", "description")(" "), "a metric's `description`"),
    (bad("metrics", "nature")("good"), "a metric's `nature`"),
    (bad("constraints", "resource")("GBP"), UNLISTED),
    (bad("constraints", "minimum")(-1), "a constraint's `minimum`"),
    (bad("constraints", "tier")("half"), "a constraint's `tier`"),
    (GOOD | {"constraints": GOOD["constraints"] * 2}, "two of the plan's constraints"),
    (bad("conversions", "gives")("GBP"), UNLISTED),
    (bad("conversions", "gets")("GBP"), UNLISTED),
    (bad("conversions", "rate")([0, 1]), "a rate is two"),
    (bad("conversions", "rate")([1, 0]), "a rate is two"),
    (bad("conversions", "rate")([1, 1, 1]), "a rate is two"),
    (bad("rules", "name")("allocations"), "a rule's `name`"),
    (bad("rules", "name")("s"), "two of the plan's rules"),
    (bad("rules", "on")("never"), "a rule's `on`"),
    (bad("rules", "of")("GBP"), UNLISTED),
    (bad("rules", "do")([pays(1, resource="GBP")]), UNLISTED),
    (bad("rules", "do")([pays("1 +")]), "at character"),
    (bad("rules", "do")([pays("true")]), "at character"),
    (bad("rules", "when")("cause.amount"), "at character"),
    (bad("rules", "of", 1)("n"), "on a metric that the plan does not have"),
    (bad("rules", "of", 1)(""), "says `of` which"),
    (bad("rules", "do", 1)([{"kind": "convert", "conversion": "x", "amount": "1"}]), "no such conversion"),
    (GOOD | {"allocations": {"GBP": {"x": 1}}}, UNLISTED),
    (bad("allocations", "x")(-1), "a weight is"),
    (bad("allocations", "a/b")(1), "a part's name"),
    (GOOD | {"allocations": {"USD": {"x": 0}}}, "gives something to somebody"),
    (GOOD | {"allocations": {"USD": {}}}, "a split has"),
    (bad("formulas", "value")("balance"), "at character"),
]


def test_each_thing_that_a_plan_may_not_say_is_refused_when_it_is_stated():
    with world() as kernel:
        few_resources = ({"resources": {"USD": 0}, **GOOD}, UNLISTED)
        for plan, why in [*MISTAKES, few_resources, ({"resources": {}}, "a plan lists the `resources`")]:
            told = kernel.native("budget.create", budget=B, schema={"resources": BOTH, **plan})
            assert codes(told) == ["params.invalid"], (why, plan)
            assert why in told.findings[0].facts["message"]
        create(kernel, GOOD)


MISFITS = [
    ({"resources": {"USD": 2}}, [("cannot_change", "USD")]),
    (
        {"conversions": {"x": GOOD["conversions"]["swap"] | {"counter": "accounts/none"}}},
        [("not_found", "accounts/none")],
    ),
    (
        {"conversions": {"x": GOOD["conversions"]["swap"] | {"counter": "external/issuer"}}},
        [("external_account", "external/issuer")],
    ),
]


@pytest.mark.parametrize("kind", ["budget.create", "budget.amend"])
@pytest.mark.parametrize(("plan", "expected"), MISFITS)
def test_a_plan_that_does_not_fit_the_world_is_refused_whoever_adopts_it(plan, expected, kind):
    with world() as kernel:
        create(kernel, {"resources": {"USD": 0}})
        assert kernel.native("ledger.issue", resource="USD", amount=1, to=LOG).allowed
        budget = B if kind == "budget.amend" else A
        told = kernel.native(kind, budget=budget, schema={"resources": BOTH, **plan})
        found = [(x.code, x.facts.get("account", x.facts.get("resource"))) for x in told.findings]
        assert found[:1] == expected


def test_the_name_of_an_account_or_a_grant_that_is_there_is_no_new_budgets():
    with world() as kernel:
        done(kernel, "account.open", account=A)
        done(kernel, "grant.issue", name=B, terms={"cap": "sys/spend@1"})
        for name in (A, B):
            told = kernel.native("budget.create", budget=name, schema={"resources": BOTH})
            assert codes(told) == ["name_taken"]
        create(kernel, {}, "budgets/c")
        done(kernel, "grant.issue", grant="budgets/c", name="budgets/c/x", terms={"cap": "sys/spend@1"})
        told = kernel.native("budget.split", budget="budgets/c", resource="USD", shares={"w": 1, "x": 99})
        assert codes(told) == ["name_taken"]


@pytest.mark.parametrize("kind", ["budget.create", "budget.amend"])
def test_a_plan_is_as_long_as_its_bound_and_no_byte_longer(kind):
    with world() as kernel:
        create(kernel, {})
        asked = {"budget": B if kind == "budget.amend" else A}
        schema = {"resources": BOTH, "title": "t" * PLAN_BYTES_MAX}
        (finding,) = kernel.native(kind, **asked, schema=schema).findings
        assert (finding.code, finding.facts["available"]) == ("input.too_large", PLAN_BYTES_MAX)
        fits = PLAN_BYTES_MAX - (finding.facts["needed"] - PLAN_BYTES_MAX)
        for more, expected in ((1, ["input.too_large"]), (0, [])):
            schema["title"] = "t" * (fits + 2 + more)  # a shorter text has a shorter head
            assert codes(kernel.native(kind, **asked, schema=schema)) == expected


def test_a_budget_is_funded_in_what_it_may_hold_and_only_the_parts_of_that_begin_above_nothing():
    with world() as kernel:
        deposit(kernel, 100, LOG)
        funding = {"resource": "USD", "amount": 70, "from": LOG}
        refused = kernel.native("budget.create", budget=B, schema={"resources": {"EUR": 0}}, **funding)
        assert [(x.code, x.facts["resource"]) for x in refused.findings] == [("not_found", "USD")]
        create(kernel, {"allocations": {"USD": {"u": 1, "v": 1}, "EUR": {"e": 1}}}, **funding)
        parts = {name: kernel.state.grants[f"{B}/{name}"].budget for name in ("u", "v", "e")}
        assert parts == {"u": {"USD": 35}, "v": {"USD": 35}, "e": {"EUR": 0}}
        assert held(kernel, B) == 70


def test_the_amounts_of_a_plan_are_read_with_the_decimals_that_it_gives_itself():
    line, floor = {"resource": "Hours", "amount": "2.5 Hours"}, {"resource": "Hours", "minimum": "0.5 Hours"}
    plan = {"resources": {"Hours": 1}, "lines": {"l": line}, "constraints": [floor | {"name": "f"}]}
    with world() as kernel:
        for field, wrong in (("lines", {"l": line | {"amount": "2.55 Hours"}}),
                             ("lines", {"l": line | {"amount": "2.5 USD"}}),
                             ("lines", {"l": line | {"resource": "Days", "amount": "1 Days"}}),
                             ("constraints", [floor | {"name": "f", "minimum": "-1 Hours"}])):  # fmt: skip
            told = kernel.native("budget.create", budget=B, schema=plan | {field: wrong})
            assert codes(told)[0] in ("params.invalid", "amount.fractional", "amount.negative")
        create(kernel, plan)
        schema = kernel.state.budgets[B].schema
        assert (schema["lines"]["l"]["amount"], schema["constraints"][0]["minimum"]) == (25, 5)


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
        ("budget.solve", {"cells": [{"name": "c", "value": 1, "unit": ""}]}),
        ("budget.solve", {"solver": "ann"}),
        ("budget.solve", {"solver": "ann", "cells": [{"name": "c", "value": 1, "unit": ""}] * 2}),
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


# --- stages and minima -----------------------------------------------------------------------------------


ROWS = st.lists(
    st.tuples(st.sampled_from(sorted(BOTH)), st.integers(0, 6), st.sampled_from(["partial", "full"])),
    max_size=4,
)
AMOUNTS = st.fixed_dictionaries({"USD": st.integers(0, 9), "EUR": st.integers(0, 9)})


def stage_of(rows, funds):
    """The stage, and the rows that bind in it; the model is two sentences of 11.5."""
    unmet = {tier for resource, minimum, tier in rows if funds[resource] < minimum}
    tiers = {tier for _, _, tier in rows}
    if not any(funds.values()) or "partial" in unmet or (unmet and "partial" not in tiers):
        return "planning", rows
    return ("partial", [x for x in rows if x[2] == "partial"]) if unmet else ("full", rows)


@pytest.mark.req("S0-54", "S0-171")
@few
@given(rows=ROWS, funds=AMOUNTS, asked=AMOUNTS)
def test_a_budget_commits_what_leaves_each_minimum_that_binds_in_its_stage(rows, funds, asked):
    asked = {unit: min(amount, funds[unit]) for unit, amount in asked.items()}
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
        assert kernel.state.budgets[B].stage == stage
        told = kernel.submit(Intent("task.post", {"result": "x", "amounts": asked}, B))
        if stage == "planning":
            assert codes(told) == (["planning_stage"] if any(asked.values()) else [])
            missing = {row["constraint"] for x in told.findings for row in x.facts["missing"]}
            assert missing == {
                f"c{at}"
                for at, (unit, minimum, _) in enumerate(rows)
                if any(asked.values()) and funds[unit] < minimum
            }
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


# --- horizons -------------------------------------------------------------------------------------------

DAYS = {
    "hour": Fraction(1, 24), "day": 1, "week": 7, "month": Fraction(365, 12), "quarter": Fraction(365, 4),
    "year": 365,
}  # fmt: skip


@pytest.mark.req("S0-05")
@few
@given(
    lines=st.lists(
        st.tuples(st.integers(-(10**6), 10**9), st.sampled_from(["total", *DAYS]), st.booleans()),
        min_size=1, max_size=4,
    ),
    days=st.integers(0, 800),
    now=st.integers(0, 30),
)  # fmt: skip
def test_a_line_at_any_horizon_is_its_rate_and_what_is_planned_once_is_never_more_than_it_is(
    lines, days, now
):
    starts = 10 * DAY
    plan = {
        "starts_ns": starts,
        "ends_ns": starts + days * DAY,
        "lines": {
            f"l{at}": {"resource": "USD", "amount": amount, "per": per, "calendar": calendar}
            for at, (amount, per, calendar) in enumerate(lines)
        },
    }
    with world() as kernel:
        create(kernel, plan)
        done(kernel, "account.open", account="accounts/new", now_ns=now * DAY + 1)
        for horizon, length in DAYS.items():
            shown = kernel.state.budgets_per(horizon)[B].lines
            for at, (amount, per, calendar) in enumerate(lines):
                if calendar:
                    share = Fraction(1)
                    assert shown[f"l{at}"]["left"] == amount - max(0, now - 10)
                elif per == "total":
                    share = min(Fraction(length) / days, Fraction(1)) if days else Fraction(1)
                else:
                    share = Fraction(length) / DAYS[per]
                assert Fraction(shown[f"l{at}"]["planned"]) == amount * share
