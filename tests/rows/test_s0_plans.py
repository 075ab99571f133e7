"""What a plan may say, how it may be amended, and how it looks at a horizon."""

from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally.core.limits import PLAN_BYTES_MAX

from tests.rows.budgets import BOTH, DAY, LOG, MARKET, A, B, create, deposit, done, held, pays, world
from tests.rows.worlds import codes, few

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


# --- horizons -------------------------------------------------------------------------------------------

DAYS = {
    "hour": Fraction(1, 24), "day": 1, "week": 7, "month": Fraction(365, 12), "quarter": Fraction(365, 4),
    "year": 365,
}  # fmt: skip


@pytest.mark.req("S0-05")
@few
@given(
    lines=st.lists(
        st.tuples(
            st.integers(-(10**6), 10**9), st.just("total") | st.sampled_from(sorted(DAYS)), st.booleans()
        ),
        min_size=1, max_size=4,
    ),
    days=st.integers(0, 40) | st.integers(0, 800),
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
