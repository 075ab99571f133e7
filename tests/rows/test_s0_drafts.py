"""Drafts of plans as branches: merged by a quorum or by who may amend, into what changed since."""

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given
from splittally.core.budget.merging import merged
from splittally.core.budget.plan import Plan
from splittally.core.limits import (
    PROPOSAL_STEPS_MAX,
    PROPOSALS_ENDED_MAX,
    PROPOSALS_OPEN_MAX,
    TEXT_BYTES_MAX,
)

from tests.rows.budgets import BOTH, LOG, done
from tests.rows.people import KID, TOP, allowed, by, company, row
from tests.rows.worlds import codes

BOARD = {"quorum": {"agree": 2, "of": ["ann", "bob", "carl"]}}
ADS = {"resource": "USD", "amount": 10}
RENT = {"resource": "USD", "amount": 20}


def plan(**more):
    return {"resources": BOTH, **more}


def branch(kernel, name, schema, who="dora", **more):
    return by(kernel, who, "budget.propose", TOP, name=name, what="amend", schema=schema, **more)


def in_force(kernel):
    return kernel.state.budgets[TOP].schema


def amounts(kernel):
    """The lines of the plan in force with their amounts."""
    return {name: line["amount"] for name, line in in_force(kernel)["lines"].items()}


@pytest.mark.req("S0-51")
def test_a_draft_is_in_force_once_the_quorum_agrees_and_votes_begin_anew():
    with company(parent=BOARD) as kernel:
        assert branch(kernel, "ads", plan(lines={"ads": ADS}, **BOARD)).allowed
        allowed(kernel, "ann", "budget.vote", TOP, vote="agree")
        allowed(kernel, "ann", "budget.vote", TOP, name="ads", vote="agree")
        assert (kernel.state.budgets[TOP].version, kernel.state.budgets[TOP].agreement["agree"]) == (1, 1)
        allowed(kernel, "bob", "budget.vote", TOP, name="ads", vote="agree")
        assert amounts(kernel) == {"ads": 10}
        shown = kernel.state.budgets[TOP]
        assert (shown.version, shown.agreement["agree"], shown.adopted_by) == (2, 0, "root")
        assert row(kernel, "ads", TOP)["status"] == "done"


def test_a_draft_is_merged_by_who_may_amend_and_by_nobody_else():
    with company(dora={"operations": ["budget.reply", "budget.propose"]}) as kernel:
        assert branch(kernel, "ads", plan(lines={"ads": ADS})).allowed
        refused = by(kernel, "dora", "budget.reply", TOP, name="ads", act="accept")
        assert codes(refused) == ["authority_lacking"]
        assert refused.findings[0].facts["operation"] == "budget.amend"
        allowed(kernel, "ann", "budget.reply", TOP, name="ads", act="accept")
        assert (amounts(kernel), kernel.state.budgets[TOP].adopted_by) == ({"ads": 10}, "ann/native")


def test_drafts_that_changed_different_parts_are_both_in_force_and_a_conflict_is_named():
    with company() as kernel:
        assert branch(kernel, "ads", plan(lines={"ads": ADS})).allowed
        assert branch(kernel, "rent", plan(lines={"rent": RENT}, title="with rent")).allowed
        assert branch(kernel, "dear", plan(lines={"ads": {**ADS, "amount": 99}})).allowed
        for name in ("ads", "rent"):
            allowed(kernel, "ann", "budget.reply", TOP, name=name, act="accept")
        assert amounts(kernel) == {"ads": 10, "rent": 20}
        assert (in_force(kernel)["title"], kernel.state.budgets[TOP].version) == ("with rent", 3)
        moved = by(kernel, "ann", "budget.reply", TOP, name="dear", act="accept")
        assert codes(moved) == ["plan_moved"]
        facts = moved.findings[0].facts
        assert (facts["base"], facts["version"], facts["conflicts"]) == (1, 3, ["lines.ads"])
        assert row(kernel, "dear", TOP)["status"] == "open"


def test_a_draft_of_a_draft_was_made_from_what_that_was_made_from():
    with company() as kernel:
        assert branch(kernel, "ads", plan(lines={"ads": ADS})).allowed
        done(kernel, "budget.amend", budget=TOP, schema=plan(title="moved"))
        assert branch(kernel, "both", plan(lines={"ads": ADS, "rent": RENT}), draft="ads").allowed
        assert row(kernel, "both", TOP)["version"] == 1
        allowed(kernel, "ann", "budget.reply", TOP, name="both", act="accept")
        assert (in_force(kernel)["title"], sorted(in_force(kernel)["lines"])) == ("moved", ["ads", "rent"])
        assert codes(branch(kernel, "x", plan(), draft="nobody")) == ["not_found"]


# --- what somebody would try --------------------------------------------------------------------------


def test_a_draft_that_widens_is_refused_when_it_is_made_and_when_it_is_merged():
    floor = {"name": "floor", "resource": "USD", "minimum": 100}
    with company(parent=BOARD) as kernel:
        assert branch(kernel, "low", plan(constraints=[{**floor, "minimum": 50}], **BOARD)).allowed
        schema = plan(constraints=[floor], **BOARD)
        done(kernel, "budget.amend", budget=TOP, schema=schema)
        refused = branch(kernel, "none", plan(**BOARD))
        assert "plan_widened" in codes(refused)
        allowed(kernel, "ann", "budget.vote", TOP, name="low", vote="agree")
        assert codes(by(kernel, "bob", "budget.vote", TOP, name="low", vote="agree")) == ["plan_moved"]
        assert in_force(kernel)["constraints"][0]["minimum"] == 100


def test_what_a_quorum_decides_is_done_by_the_grant_that_adopted_the_plan_or_not_at_all():
    with company(parent=BOARD) as kernel:
        own = {"cap": "sys/native@1", "holder": "carl", "params": {"operations": ["budget.amend"]}}
        done(kernel, "grant.issue", name="carl/amends", terms=own)
        schema = plan(title="carl's", **BOARD)
        kernel.as_principal("carl").native("budget.amend", under="carl/amends", budget=TOP, schema=schema)
        assert kernel.state.budgets[TOP].adopted_by == "carl/amends"
        spend = {"what": "spend", "part": "p", "holder": "dora", "resource": "USD", "amount": 10}
        allowed(kernel, "dora", "budget.propose", TOP, name="p", **spend)
        allowed(kernel, "ann", "budget.vote", TOP, name="p", vote="agree")
        refused = by(kernel, "bob", "budget.vote", TOP, name="p", vote="agree")
        assert codes(refused) == ["authority_lacking"]
        assert refused.findings[0].facts["operation"] == "budget.split"
        assert branch(kernel, "ads", {**schema, "lines": {"ads": ADS}}).allowed
        allowed(kernel, "ann", "budget.vote", TOP, name="ads", vote="agree")
        done(kernel, "grant.revoke", name="carl/amends")
        assert codes(by(kernel, "bob", "budget.vote", TOP, name="ads", vote="agree")) == ["authority_lacking"]


def test_a_draft_that_pays_whom_its_adopter_may_not_is_not_voted_in():
    with company(parent=BOARD, carl={"accounts": [TOP]}) as kernel:
        schema = plan(title="carl's", **BOARD)
        allowed(kernel, "carl", "budget.amend", TOP, schema=schema)
        rule = {"name": "r", "on": "deposit", "do": [{"kind": "transfer", "to": LOG, "amount": "1"}]}
        assert branch(kernel, "pays", {**schema, "rules": [rule]}).allowed
        allowed(kernel, "ann", "budget.vote", TOP, name="pays", vote="agree")
        assert codes(by(kernel, "bob", "budget.vote", TOP, name="pays", vote="agree")) == [
            "account_not_yours"
        ]


def test_proposals_steps_and_texts_are_bounded_and_an_answer_always_fits():
    with company(parent=BOARD) as kernel:
        for at in range(PROPOSALS_OPEN_MAX):
            allowed(kernel, "ann", "budget.request", name=f"r{at}", resource="USD", amount=1)
        full = by(kernel, "ann", "budget.request", name="more", resource="USD", amount=1)
        assert (codes(full), full.findings[0].facts["most"]) == (["proposals_full"], PROPOSALS_OPEN_MAX)
        for at in range(PROPOSAL_STEPS_MAX - 1):
            allowed(kernel, "bob", "budget.reply", name="r0", act="comment", note=str(at))
        assert codes(by(kernel, "bob", "budget.reply", name="r0", act="comment")) == ["proposals_full"]
        allowed(kernel, "bob", "budget.reply", name="r0", act="grant")
        allowed(kernel, "ann", "budget.request", name="more", resource="USD", amount=1)
        taken = by(kernel, "ann", "budget.request", name="r1", resource="USD", amount=1)
        assert codes(taken) == ["name_taken"]
        long = by(kernel, "bob", "budget.reply", name="r1", act="comment", note="x" * (TEXT_BYTES_MAX + 1))
        assert codes(long) == ["params.invalid"]


def test_of_proposals_that_have_ended_the_last_are_remembered():
    with company() as kernel:
        for at in range(PROPOSALS_ENDED_MAX + 3):
            allowed(kernel, "ann", "budget.request", name=f"r{at}", resource="USD", amount=1, now_ns=at)
            allowed(kernel, "ann", "budget.reply", name=f"r{at}", act="withdraw", now_ns=at)
        names = kernel.state.budgets[KID].proposals
        assert len(names) == PROPOSALS_ENDED_MAX
        assert not {"r0", "r1", "r2"} & set(names)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("budget.request", {"name": "a/b", "resource": "USD", "amount": 1}),
        ("budget.request", {"name": "a#b", "resource": "USD", "amount": 1}),
        ("budget.request", {"name": "r"}),
        ("budget.request", {"name": "r", "amount": 1}),
        ("budget.request", {"name": "r", "formula": "f", "constraint": "c"}),
        ("budget.reply", {"name": "r", "act": "maybe"}),
        ("budget.reply", {"name": "r", "act": "offer"}),
        ("budget.reply", {"name": "r", "act": "comment", "resource": "USD", "amount": 1}),
        ("budget.reply", {"name": "r", "act": "grant", "from": KID}),
        ("budget.vote", {"vote": "yes"}),
        ("budget.propose", {"name": "p", "what": "fund"}),
        ("budget.propose", {"name": "p", "what": "amend"}),
        ("budget.propose", {"name": "p", "what": "review"}),
        ("budget.propose", {"name": "p", "what": "review", "title": "t", "part": "x"}),
        ("budget.propose", {"name": "p", "what": "spend", "part": "a/b", "resource": "USD", "amount": 1}),
        ("budget.propose", {"name": "p", "what": "spend", "part": "a", "resource": "USD", "amount": 0}),
    ],
)  # fmt: skip
def test_what_says_nothing_is_refused_before_it_is_recorded(kind, params):
    with company() as kernel:
        before = kernel.state.seq
        assert codes(by(kernel, "ann", kind, **params)) == ["params.invalid"]
        assert kernel.state.seq == before


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("budget.request", {"name": "r", "resource": "USD", "amount": 1}),
        ("budget.reply", {"name": "r", "act": "grant"}),
        ("budget.vote", {"name": "r", "vote": "agree"}),
        ("budget.propose", {"name": "r", "what": "review", "title": "t"}),
    ],
)
def test_nothing_is_asked_of_a_budget_or_a_proposal_that_is_not_there(kind, params):
    with company() as kernel:
        assert codes(by(kernel, "ann", kind, "budgets/none", **params)) == ["not_found"]
        if kind in ("budget.reply", "budget.vote"):
            assert codes(by(kernel, "ann", kind, **params)) == ["not_found"]


# --- merging ------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c")
lines = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3), max_size=3)


@st.composite
def plans(draw):
    title, entries, floors = draw(st.sampled_from(["", "x", "y"])), draw(lines), draw(lines)
    return Plan(
        title=title,
        resources=BOTH,
        lines=msgspec.convert(
            {x: {"resource": "USD", "amount": n} for x, n in entries.items()}, Plan.__annotations__["lines"]
        ),
        constraints=msgspec.convert(
            [{"name": x, "resource": "USD", "minimum": n} for x, n in floors.items()],
            Plan.__annotations__["constraints"],
        ),
    )


def parts(of):
    """A plan as its parts, each under one key: the obvious form in which to merge."""
    rows = {("title", ""): of.title} if of.title else {}
    rows |= {("lines", name): line.amount for name, line in of.lines.items()}
    return rows | {("constraints", x.name): x.minimum for x in of.constraints}


@given(plans(), plans(), plans())
def test_merging_takes_what_one_side_changed_and_names_what_both_did(base, ours, theirs):
    was, here, there = parts(base), parts(ours), parts(theirs)
    names = sorted({*was, *here, *there})
    both = [x for x in names if here.get(x) != was.get(x) != there.get(x) != here.get(x)]
    found = merged(base, ours, theirs)
    assert sorted(found.conflicts) == [".".join(filter(None, name)) for name in both]
    if not both:
        expected = {x: (there if here.get(x) == was.get(x) else here).get(x) for x in names}
        assert parts(found.plan) == {x: value for x, value in expected.items() if value is not None}
        assert merged(base, ours, base).plan == ours
        assert parts(merged(base, base, theirs).plan) == there
