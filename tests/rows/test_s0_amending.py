"""Amending a plan: who may, what stays for its readers, and who may read a plan at all."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally.core.errors import InvalidInput
from splittally.host.service.pages import page
from splittally.host.service.pages import row as served_row
from splittally.host.service.problems import Problem
from splittally.runtime.callers import Caller
from splittally.runtime.own_queries import OwnQueries

from tests.rows.budgets import BOTH, LOG, A, B, create, deposit, done, pays, world
from tests.rows.worlds import applied, codes, few, tally

USD = {"resources": BOTH}
ARTICLES = {"description": "articles", "nature": "output", "target": 10}


def amend(kernel, plan, budget=B, **more):
    return kernel.native("budget.amend", budget=budget, schema={**USD, **plan}, **more)


def widened(decision):
    return [
        (x.facts["field"], x.facts["name"], x.facts.get("what", ""))
        for x in decision.findings
        if x.code == "plan_widened"
    ]


# --- rank -------------------------------------------------------------------------------------------


@pytest.mark.req("S0-27", "S0-24")
def test_a_tactical_actor_amends_nothing_and_hears_which_rank_it_takes():
    """Not the plan, and not the description of a metric in it."""
    with world() as kernel:
        create(kernel, {"metrics": {"articles": ARTICLES}})
        for name, rank in (("low", "tactical"), ("high", "strategic")):
            terms = {"cap": "sys/native@1", "holder": name, "params": {"rank": rank}, "delegations": 1}
            done(kernel, "grant.issue", name=name, terms=terms)
        below = {"cap": "sys/native@1", "holder": "low"}  # states no rank, and has none beyond its parent's
        done(kernel.as_principal("low"), "grant.issue", grant="low", name="below", terms=below)
        before = kernel.state.budgets[B]
        changed = {"metrics": {"articles": ARTICLES | {"description": "articles of 800 words"}}}
        for plan in ({"goals": ["more"], "metrics": {"articles": ARTICLES}}, changed):
            for under in ("low", "below"):
                refused = amend(kernel.as_principal("low"), plan, under=under)
                assert codes(refused) == ["rank_too_low"]
                assert "strategic" in refused.findings[0].facts["message"]
        assert kernel.state.budgets[B] == before
        assert (
            kernel.as_principal("low")
            .native("metric.record", under="low", budget=B, metric="articles", value=3)
            .allowed
        )
        assert amend(kernel.as_principal("high"), changed, under="high").allowed
        row = kernel.state.budgets[B]
        assert (row.version, row.adopted_by) == (2, "high")
        assert row.metrics["articles"]["description"] == "articles of 800 words"


# --- what stays -------------------------------------------------------------------------------------


@pytest.mark.req("S0-94")
def test_an_amendment_is_a_new_version_and_the_old_one_can_still_be_read(folder):
    with applied({"resources": BOTH}, folder / "w") as kernel:
        first = create(kernel, {"title": "one"})
        old = kernel.state.budgets[B]
        amended = amend(kernel, {"title": "two"})
        assert amended.allowed
        new = kernel.state.budgets[B]
    assert (old.version, new.version, old.schema_hash == new.schema_hash) == (1, 2, False)
    for seq, title, version in ((first.seq, "one", 1), (amended.seq, "two", 2)):
        code, shown = tally(folder / "w", "budgets", B, "--at", str(seq))
        assert (code, shown["schema"]["title"], shown["version"]) == (0, title, version)


@pytest.mark.req("S0-95")
def test_a_line_more_is_accepted_and_a_metric_less_or_a_limit_wider_is_refused_by_its_name():
    plan = {
        "metrics": {"articles": ARTICLES},
        "lines": {"ads": {"resource": "USD", "amount": 10}},
        "constraints": [{"name": "runway", "resource": "USD", "minimum": 100}],
        "allocations": {"USD": {"ads": 1, "press": 1}},
    }
    with world() as kernel:
        create(kernel, plan)
        deposit(kernel, 1_000)
        narrower = plan | {"lines": plan["lines"] | {"search": {"resource": "USD", "amount": 4}}}
        assert amend(kernel, narrower).allowed
        assert kernel.native("budget.split", budget=B, resource="EUR", shares={"x": 50, "y": 50}).allowed
        kept = kernel.state.budgets[B].schema
        loose = [{"name": "runway", "resource": "USD", "minimum": 99}]
        for change, named in (
            ({"metrics": {}}, [("metrics", "articles", "")]),
            ({"constraints": loose}, [("constraints", "runway", "")]),
            (
                {"metrics": {}, "constraints": []},
                [("metrics", "articles", ""), ("constraints", "runway", "")],
            ),
        ):
            refused = amend(kernel, kept | change)
            assert widened(refused) == sorted(named, key=lambda x: x[0] != "metrics")
            assert kernel.state.budgets[B].schema == kept


@pytest.mark.req("S0-96")
def test_who_reads_only_old_cells_finds_the_same_names_units_and_kinds_after_an_amendment():
    old = {"articles": {"value": "balance.USD / 10", "unit": "articles"}}
    with world() as kernel:
        create(kernel, {"formulas": old, "metrics": {"articles": ARTICLES}})
        deposit(kernel, 100)

        def read():
            done(kernel, "budget.solve", budget=B)
            cells = kernel.state.budgets[B].solution["cells"]
            return {name: (type(cells[name]["value"]), cells[name]["unit"]) for name in old}

        before = read()
        more = {"formulas": {"all": {"value": "balance.USD", "unit": "USD"}, **old}}
        assert amend(kernel, more | {"metrics": {"articles": ARTICLES}}).allowed
        assert read() == before
        assert set(kernel.state.budgets[B].solution["cells"]) == {"all", "articles"}
        assert kernel.native("metric.record", budget=B, metric="articles", value=1).allowed
        assert widened(amend(kernel, {"metrics": {"articles": ARTICLES}})) == [
            ("formulas", "all", ""), ("formulas", "articles", ""),
        ]  # fmt: skip


# --- narrowing of each field, one step narrower and one step wider ------------------------------------

GATE = {"name": "c", "resource": "USD", "needs": "2 * metric.m", "blocks": ["a", "b"]}
OPENS = {"name": "c", "resource": "USD", "minimum": 5, "tier": "partial", "opens": ["a", "b"]}
M = {"description": "d", "nature": "output", "minimum": 0, "maximum": 10, "per": "day", "reads": "sum",
     "segments": ["x"]}  # fmt: skip
FULL = {"name": "c", "resource": "USD", "minimum": 5}
QUORUM = {"agree": 2, "of": ["ann", "ben", "cem"]}
OVERDRAFT = {"resource": "USD", "amount": 10, "when": "metric.m > 1"}
LIMIT = {"when": "metric.m > 1", "percent": 50}
CRISIS = {"below": 50, "priorities": ["x", "y"]}
LINES = {x: {"resource": "USD", "amount": 1} for x in "xy"}
WORK = {"w": {"metric": "m", "resource": "USD", "pays": 1, "result": "r"}}


def one(name, old, new, what="", field="constraints", **more):
    """A case: a plan with a term, the term in the amended plan, and how a widening of it is named."""
    return ({field: old, **more}, {field: new, **more}, (field, name, what) if name else None)


TERMS = [
    one("", [GATE], [GATE | {"blocks": ["a", "b", "c"]}]),
    one("c", [GATE], [GATE | {"blocks": ["a"]}], "blocks"),
    one("c", [GATE], [{x: GATE[x] for x in GATE if x != "blocks"}], "blocks"),
    one("c", [{x: GATE[x] for x in GATE if x != "blocks"}], [GATE], "blocks"),
    one("c", [GATE], [GATE | {"needs": "3 * metric.m"}], "needs"),
    one("c", [FULL], [{"name": "c", "resource": "USD", "needs": "9"}], "needs"),
    one("c", [{"name": "c", "holds": "true"}], [{"name": "c", "holds": "metric.m > 0"}], "holds"),
    one("", [{"name": "c", "participants": 2}], [{"name": "c", "participants": 3}]),
    one("c", [{"name": "c", "participants": 2}], [{"name": "c", "participants": 1}]),
    one("c", [{"name": "c", "participants": 2}], [{"name": "c", "holds": "true"}], "holds"),
    one("", [OPENS], [OPENS | {"opens": ["a"]}]),
    one("c", [OPENS], [OPENS | {"opens": ["a", "b", "c"]}], "opens"),
    one("c", [OPENS], [{x: OPENS[x] for x in OPENS if x != "opens"}], "opens"),
    one("d", [FULL], [FULL, OPENS | {"name": "d"}], "opens"),
    one("", [FULL], [FULL, GATE | {"name": "d"}]),
    one("", {"m": M}, {"m": M | {"minimum": 1, "maximum": 9, "description": "better"}}, field="metrics"),
    one("m", {"m": M}, {"m": M | {"minimum": -1}}, "minimum", "metrics"),
    one("m", {"m": M}, {"m": M | {"maximum": 11}}, "maximum", "metrics"),
    one("m", {"m": M}, {"m": M | {"reads": "last"}}, "reads", "metrics"),
    one("m", {"m": M}, {"m": M | {"per": "week"}}, "per", "metrics"),
    one("m", {"m": M}, {"m": M | {"segments": ["x", "y"]}}, "segments", "metrics"),
    one("", None, QUORUM, field="quorum"),
    one("", QUORUM, QUORUM | {"of": ["ann", "ben"]}, field="quorum"),
    one("", {"agree": 2}, QUORUM, field="quorum"),
    one("agree", QUORUM, QUORUM | {"agree": 1}, field="quorum"),
    one("agree", QUORUM, {"agree": 2}, field="quorum"),
    one("agree", QUORUM, QUORUM | {"of": ["ann", "ben", "dan"]}, field="quorum"),
    one("agree", QUORUM, None, field="quorum"),
    one("", OVERDRAFT, OVERDRAFT | {"amount": 9}, field="overdraft"),
    one("", OVERDRAFT, None, field="overdraft"),
    one("USD", None, OVERDRAFT, field="overdraft"),
    one("USD", OVERDRAFT, OVERDRAFT | {"amount": 11}, field="overdraft"),
    one("USD", OVERDRAFT, OVERDRAFT | {"when": "true"}, field="overdraft"),
    one("", [LIMIT], [LIMIT | {"percent": 40}, {"when": "true", "percent": 9}], field="funding_limits"),
    one(LIMIT["when"], [LIMIT], [LIMIT | {"percent": 51}], field="funding_limits"),
    one(LIMIT["when"], [LIMIT], [], field="funding_limits"),
    one("", CRISIS, {"below": 60, "priorities": ["x"]}, field="contingency", lines=LINES),
    one("priorities", CRISIS, {"below": 49, "priorities": ["x", "y"]}, field="contingency", lines=LINES),
    one("priorities", CRISIS, {"below": 50, "priorities": ["y", "x"]}, field="contingency", lines=LINES),
    one("priorities", CRISIS, None, field="contingency", lines=LINES),
    one("", {}, WORK, field="work"),
    one("w", WORK, {}, field="work"),
    one("", True, False, field="private"),
    one("readers", False, True, field="private"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), TERMS)
def test_each_term_may_be_narrowed_and_each_widening_is_named(old, new, expected):
    metrics = {"metrics": {"m": {"description": "d", "nature": "output"}}}
    with world() as kernel:
        create(kernel, {}, A)  # only a parent gives an overdraft
        create(kernel, {x: y for x, y in (metrics | old).items() if y is not None}, parent=A)
        told = amend(kernel, {x: y for x, y in (metrics | new).items() if y is not None})
        assert (told.allowed, widened(told)) == (not expected, [expected] if expected else [])
        version = kernel.state.budgets[B].version
        assert version == (1 if expected else 2)


# --- what would newly fail --------------------------------------------------------------------------


def card(kernel, name, amount=0, parent=B):
    terms = {"cap": "sys/spend@1", "pays_to": [LOG], **({"budget": {"USD": amount}} if amount else {})}
    return done(kernel, "grant.issue", grant=parent, name=name, terms=terms)


@pytest.mark.req("S0-95")
def test_each_permission_that_would_newly_fail_is_named_beside_the_allow_and_in_the_refusal():
    floor = {"name": "floor", "resource": "USD", "needs": "5 * metric.m"}
    gate = {"name": "gate", "holds": "metric.m < 9", "blocks": ["ads"]}
    metrics = {"metrics": {"m": {"description": "d", "nature": "output"}}}
    with world() as kernel:
        create(kernel, metrics, pays_to=[LOG])
        deposit(kernel, 100)
        done(kernel, "metric.record", budget=B, metric="m", value=10)
        for name, amount in (("cards/ann", 80), ("cards/ben", 50), (f"{B}/ads", 20), ("cards/old", 90)):
            card(kernel, name, amount)
        done(kernel, "grant.revoke", name="cards/old")
        told = amend(kernel, metrics | {"constraints": [floor, gate]})
        assert told.allowed
        assert [(x.code, x.facts["grant"], x.facts["found"]) for x in told.findings] == [
            ("permission_fails", f"{B}/ads", "part_blocked"),
            ("permission_fails", "cards/ann", "constraint_unmet"),
        ]
        ann = told.findings[1].facts
        assert (ann["constraint"], ann["needed"], ann["available"], ann["shortage"]) == ("floor", 80, 50, 30)
        assert "`cards/ann` could not be used up" in told.reason
        wider = {"constraints": [floor | {"needs": "9 * metric.m"}, gate]}
        refused = amend(kernel, metrics | wider)
        assert [(x.code, x.facts.get("grant", "")) for x in refused.findings] == [
            ("plan_widened", ""), ("permission_fails", "cards/ben"),
        ]  # fmt: skip
        assert amend(kernel, metrics | {"constraints": [floor, gate], "title": "same"}).findings == ()


def by_amendment(kernel, plan):
    return amend(kernel, plan)


def by_manifest(kernel, plan):
    budget = {"schema": {**USD, **plan}, "pays_to": [LOG]}
    return kernel.apply({"accounts": {LOG: {}}, "budgets": {B: budget}})


def drafted(kernel, plan, kind, **params):
    """The answer to a draft; a draft that is too wide is refused when it is made."""
    terms = {"budget": B, "name": "draft"}
    proposed = kernel.native("budget.propose", what="amend", schema={**USD, **plan}, **terms)
    return kernel.native(kind, **terms, **params) if proposed.allowed else proposed


def by_answer(kernel, plan):
    return drafted(kernel, plan, "budget.reply", act="accept")


def by_vote(kernel, plan):
    return drafted(kernel, plan, "budget.vote", vote="agree")


DOORS = (by_amendment, by_manifest, by_answer, by_vote)


@pytest.mark.req("S0-95")
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_plan_that_comes_in_by_whichever_door_names_the_permissions_it_makes_fail(door):
    base = {"metrics": {"m": {"description": "d", "nature": "output"}}, "quorum": {"agree": 1}}
    floor = {"name": "floor", "resource": "USD", "needs": "5 * metric.m"}
    with world() as kernel:
        create(kernel, base, pays_to=[LOG])
        deposit(kernel, 100)
        done(kernel, "metric.record", budget=B, metric="m", value=10)
        card(kernel, "budgets/b/ann", 80)
        told = door(kernel, base | {"constraints": [floor]})
        assert told.allowed, told.findings
        failing = [x.facts for x in told.findings if x.code == "permission_fails"]
        assert [(x["grant"], x["available"]) for x in failing] == [("budgets/b/ann", 50)]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_plan_that_is_refused_as_wider_names_the_permissions_it_would_have_made_fail(door):
    base = {"metrics": {"m": {"description": "d", "nature": "output"}}, "quorum": {"agree": 1}}
    floor = {"name": "floor", "resource": "USD", "needs": "5 * metric.m"}
    with world() as kernel:
        create(kernel, base | {"constraints": [floor]}, pays_to=[LOG])
        deposit(kernel, 100)
        done(kernel, "metric.record", budget=B, metric="m", value=10)
        card(kernel, "budgets/b/ann", 40)
        refused = door(kernel, base | {"constraints": [floor | {"needs": "9 * metric.m"}]})
        assert codes(refused) == ["plan_widened", "permission_fails"]
        failing = refused.findings[1].facts
        assert (failing["grant"], failing["needed"], failing["available"]) == ("budgets/b/ann", 40, 10)


TYPED = {
    "lines": {"ads": {"resource": "USD", "amount": 5}},
    "metrics": {"m": {"description": "d", "nature": "output", "unit": "articles", "target": 5}},
    "conversions": {"swap": {"gives": "USD", "gets": "EUR", "rate": [1, 1], "counter": LOG}},
    "formulas": {"price": {"value": "balance.USD", "unit": "USD"}},
    "work": {"w": {"metric": "m", "resource": "USD", "pays": 1, "result": "an article"}},
    "quorum": {"agree": 1},
}
OTHER_TYPES = [
    ("lines", "ads", "resource", "EUR"),
    ("lines", "ads", "calendar", True),
    ("metrics", "m", "unit", "pages"),
    ("metrics", "m", "nature", "maximise"),
    ("conversions", "swap", "gives", "EUR"),
    ("conversions", "swap", "gets", "USD"),
    ("formulas", "price", "unit", "EUR"),
    ("work", "w", "resource", "EUR"),
]


@pytest.mark.req("S0-96")
@pytest.mark.parametrize(("field", "name", "part", "value"), OTHER_TYPES)
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_what_a_reader_of_the_old_plan_reads_has_the_unit_and_the_nature_that_it_had(
    door, field, name, part, value
):
    """A cell that was dollars and is euros under the same name would be read as dollars."""
    with world() as kernel:
        create(kernel, TYPED)
        before = kernel.state.budgets[B].schema
        decision = door(kernel, {**TYPED, field: {name: {**TYPED[field][name], part: value}}})
        assert (field, name, "kind" if part == "nature" else part) in widened(decision)
        assert kernel.state.budgets[B].schema == before
        described = {"m": {**TYPED["metrics"]["m"], "description": "other words"}}
        assert amend(kernel, {**TYPED, "metrics": described}).allowed


def test_the_values_of_a_private_budget_are_read_by_who_reads_its_plan():
    with world() as kernel:
        for budget, more in ((B, {}), ("budgets/secret", {"private": True})):
            create(kernel, {"metrics": {"m": ARTICLES}, **more}, budget)
            done(kernel, "metric.record", budget=budget, metric="m", value=7)
        own = OwnQueries(kernel.state, "eve")
        assert [x["value"] for x in own.metric_history(B, "m")["values"]] == [7]
        with pytest.raises(InvalidInput, match="has no metric"):
            own.metric_history("budgets/secret", "m")
        assert len(kernel.state.metric_history("budgets/secret", "m")["values"]) == 1


# --- who reads a plan -------------------------------------------------------------------------------

WORKER, EVE, HEAD = Caller("worker", ()), Caller("eve", ()), Caller("head", ())
FUNDS = ("balances", "spendable", "in_flight", "missing", "lines", "solution", "input", "waiting", "parts")


def readers():
    """A world with a public plan and a private one; `head` holds the charters, `eve` a card below each."""
    kernel = world()
    plan = {
        "goals": ["ten articles"],
        "rules": [{"name": "tithe", "on": "deposit", "of": "USD", "do": [pays(1)]}],
    }
    for name, private in (("budgets/open", False), ("budgets/shut", True)):
        create(kernel, plan | {"private": private}, budget=name, holder="head", pays_to=[LOG])
        terms = {"cap": "sys/spend@1", "holder": "eve"}
        done(kernel.as_principal("head"), "grant.issue", grant=name, name=f"cards{name}", terms=terms)
        done(kernel, "ledger.issue", resource="USD", amount=500, to=name)
    return kernel


@pytest.mark.req("S0-14")
def test_a_worker_without_permissions_reads_goals_and_rules_and_no_figure_of_the_funds():
    with readers() as kernel:
        shown = served_row(kernel.state, WORKER, "budgets", "budgets/open")
        assert shown["schema"]["goals"] == ["ten articles"]
        assert [x["name"] for x in shown["schema"]["rules"]] == ["tithe"]
        assert not set(FUNDS) & set(shown)
        assert "499" not in str(shown)
        listed = page(kernel.state, WORKER, "budgets")
        assert [x["key"] for x in listed["items"]] == ["budgets/open"]
        with pytest.raises(Problem):
            served_row(kernel.state, WORKER, "budgets", "budgets/shut")


@pytest.mark.req("S0-14")
def test_a_private_plan_is_read_by_who_may_act_under_it_and_figures_by_who_holds_the_charter():
    with readers() as kernel:
        for name in ("budgets/open", "budgets/shut"):
            hers = served_row(kernel.state, EVE, "budgets", name)
            assert (hers["schema"]["goals"], set(FUNDS) & set(hers)) == (["ten articles"], set())
            own = served_row(kernel.state, HEAD, "budgets", name)
            assert (own["balances"]["USD"], set(FUNDS) <= set(own)) == (499, True)
        done(kernel, "grant.revoke", name="cardsbudgets/shut")
        with pytest.raises(Problem):
            served_row(kernel.state, EVE, "budgets", "budgets/shut")
        assert [x["key"] for x in page(kernel.state, EVE, "budgets")["items"]] == ["budgets/open"]
        done(kernel, "grant.revoke", name="budgets/open")  # the charter: its plan stays public, its funds not
        assert not set(FUNDS) & set(served_row(kernel.state, HEAD, "budgets", "budgets/open"))


@few
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=5))
def test_a_page_lists_exactly_the_plans_that_a_principal_may_read(budgets):
    with world() as kernel:
        readable = []
        for at, (private, is_held) in enumerate(budgets):
            name = f"budgets/{at}"
            create(kernel, {"private": private}, budget=name, holder="eve" if is_held else "ann")
            readable += [name] if is_held or not private else []
        assert [x["key"] for x in page(kernel.state, EVE, "budgets")["items"]] == readable
