"""What rules that act may not do: issue without authority, record what is not there, overflow, go round."""

import pytest
from msgspec.structs import replace
from splittally.core.budget.state import of_budget
from splittally.core.errors import JournalDamaged
from splittally.core.events import Posted, RuleFired
from splittally.core.limits import ISSUED_MAX
from splittally.core.native.plans import once_key
from splittally.core.state import State
from splittally.core.types import is_id
from splittally.runtime.reader import read_store
from splittally.runtime.recover import apply_events
from splittally_tools.audit.conservation import Conservation
from splittally_tools.testing.journal_walk import Walk

from tests.rows.acting import (
    USD,
    create,
    issues,
    measure,
    measured,
    metric,
    pays,
    records,
    rule,
    value,
    world,
)
from tests.rows.budgets import LOG, B, deposit, done, ended, held
from tests.rows.worlds import applied, codes

ISSUER = "external/issuer"
ALL = {"accounts": [B, ISSUER], "resources": ["T"]}
EARNED = {
    "resources": {"T": 0},
    "metrics": {"m": metric()},
    "rules": [rule("r", "metric", "m", issues("T", "1"))],
}


def chartered(params, **terms):
    """A world in which `ann` holds a native grant with these params."""
    grant = {"cap": "sys/native@1", "holder": "ann", "params": params, **terms}
    return applied({"resources": {"T": 0, USD: 0}, "accounts": {LOG: {}}, "grants": {"ann": grant}})


def adopt(kernel, schema=EARNED):
    return kernel.as_principal("ann").native("budget.create", grant="ann", budget=B, schema=schema)


@pytest.mark.req("S0-127")
@pytest.mark.parametrize(
    ("params", "found"),
    [
        (ALL, []),
        ({}, []),
        ({**ALL, "operations": ["budget.*", "ledger.issue"]}, []),
        ({**ALL, "operations": ["budget.*"]}, ["account_not_yours"]),
        ({**ALL, "accounts": [B]}, ["account_not_covered"]),
        ({**ALL, "resources": [USD]}, ["resource_not_covered"]),
    ],
)
def test_who_adopts_a_rule_that_issues_must_be_allowed_to_issue(params, found):
    with chartered(params) as kernel:
        told = adopt(kernel)
        assert codes(told) == found
        asked = {"resource": "T", "amount": 1, "to": B}
        if told.allowed:
            kernel.native("metric.record", budget=B, metric="m", value=1)
            assert held(kernel, B, "T") == 1
        else:  # and so may nobody issue by hand
            assert not kernel.as_principal("ann").native("ledger.issue", grant="ann", **asked).allowed


def test_no_name_that_people_choose_uses_a_rule_up():
    """What is recorded under an identity of the host's stands in the same table."""
    assert is_id("rule:bonus")
    assert not is_id(once_key(B, "bonus").removeprefix(of_budget(B, "")))


def test_an_amendment_cannot_smuggle_an_issue_in():
    plain = {**EARNED, "rules": []}
    with chartered({**ALL, "operations": ["budget.*"]}) as kernel:
        assert adopt(kernel, plain).allowed
        told = kernel.as_principal("ann").native("budget.amend", grant="ann", budget=B, schema=EARNED)
        assert [(x.code, x.facts["account"]) for x in told.findings] == [("account_not_yours", ISSUER)]


def test_a_revoked_adopter_issues_nothing_more():
    with chartered(ALL) as kernel:
        assert adopt(kernel).allowed
        measure(kernel, "m", 1)
        done(kernel, "grant.revoke", name="ann")
        measure(kernel, "m", 1)
        assert [x[2:] for x in ended(kernel)] == [("done",), ("skipped", "revoked")]
        assert held(kernel, B, "T") == 1


def test_what_is_issued_stays_in_its_bound_and_nothing_of_a_firing_remains():
    more = rule("more", "metric", "m", pays("1"), issues("T", "cause.amount"), records("n", "1"))
    with world("T") as kernel:
        create(kernel, {"rules": [more]}, {"T": 0, USD: 0}, metrics="mn")
        deposit(kernel, 5)
        measure(kernel, "m", ISSUED_MAX)
        measure(kernel, "m", 1)
        assert [x[2:] for x in ended(kernel)] == [("done",), ("skipped", "amount_overflow")]
        assert (held(kernel, B, "T"), held(kernel, LOG), len(measured(kernel))) == (ISSUED_MAX, 1, 3)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cause.amount * cause.amount", "fault"),
        ("cause.amount / (cause.amount - cause.amount)", "fault"),
        ("metric.never", "fault"),
        ("0 - cause.amount", "done"),
    ],
)
def test_a_value_that_cannot_be_is_not_recorded(text, why):
    with world() as kernel:
        create(
            kernel,
            {"rules": [rule("r", "metric", "m", records("n", text))]},
            {USD: 0},
            metrics=["m", "n", "never"],
        )
        measure(kernel, "m", 2**63)
        assert ended(kernel)[0][-1] == why
        assert value(kernel, "n") == (-(2**63) if why == "done" else None)


@pytest.mark.parametrize(
    "broken",
    [
        rule("r", "metric", "m", records("none", "1")),
        rule("r", "metric", "none", records("m", "1")),
        rule("r", "metric", "m", issues("GOLD", "1")),
        rule("r", "metric", "m", issues("T", "true")),
        rule("r", "metric", "m", records("m", "1.5")),
        rule("r", "metric", "m", {"kind": "review", "title": " "}),
        rule("r", "metric", "m", {"kind": "solve", "amount": "1"}),
        rule("r", "metric", "m", {"kind": "burn", "amount": "1"}),
        rule("r", "metric", "m", once="yes"),
        rule("r", "metric", "m", *[issues("T", "1")] * 17),
    ],
)
def test_a_plan_whose_rule_cannot_act_is_refused_before_anything_is_recorded(broken):
    with world("T") as kernel:
        size = kernel.state.seq
        told = kernel.native("budget.create", budget=B, schema={**EARNED, "rules": [broken]})
        assert codes(told) == ["params.invalid"]
        assert kernel.state.seq == size


def test_a_rule_that_converts_and_issues_in_a_circle_ends():
    """A deposit of either brings the other: each rule acts once for each resource, and the rest is named."""
    rules = [
        rule("u", "deposit", USD, issues("T", "cause.amount * 2")),
        rule("t", "deposit", "T", issues(USD, "cause.amount * 2")),
    ]
    with world("T") as kernel:
        create(kernel, {"rules": rules}, {USD: 0, "T": 0})
        deposit(kernel, 1)
        assert (held(kernel, B, "T"), held(kernel, B)) == (2, 5)
        assert ended(kernel) == [("u", 1, "done"), ("t", 1, "done")]
        assert kernel._world.state.plans.firings == {}
        assert kernel._world.state.plans.fired == {}


def test_two_budgets_that_set_off_each_others_values_end():
    """A value of one pays the other, whose rule pays back, and the deposit records the value again."""
    other = "budgets/other"
    with world() as kernel:
        create(kernel, {}, {USD: 0}, other)
        go = [
            rule("go", "metric", "m", pays("1", other)),
            rule("again", "deposit", USD, records("m", "cause.amount")),
        ]
        create(kernel, {"rules": go}, {USD: 0}, metrics="m")
        deposit(kernel, 9)
        back = rule("back", "deposit", USD, pays("cause.amount", B))
        done(kernel, "budget.amend", budget=other, schema={"resources": {USD: 0}, "rules": [back]})
        before = len(measured(kernel))
        measure(kernel, "m", 1)
        assert len(measured(kernel)) - before <= 2
        assert held(kernel, B) + held(kernel, other) == 9
        assert kernel._world.state.plans.firings == {}


def test_what_rules_did_is_judged_again_to_the_same_bytes():
    rules = [
        rule(
            "r",
            "metric",
            "m",
            issues("T", "cause.amount"),
            records("n", "balance.T"),
            {"kind": "solve"},
            once=True,
        ),
        rule("review", "metric", "n", {"kind": "review", "title": "look"}),
        rule("daily", "day", "", records("m", "5")),
    ]
    with world("T") as kernel:
        create(kernel, {"rules": rules, "formulas": {"f": {"value": "metric.m"}}}, {"T": 0}, metrics="mn")
        measure(kernel, "m", 3)
        kernel.tick(now_ns=86_400 * 10**9)
        Walk(read_store(kernel), is_rejudging=True).finish()
        assert held(kernel, B, "T") == 3


def test_a_review_does_not_take_the_name_of_what_is_asked_already():
    """Another proposal of that name that is open makes the firing a skip with its own finding."""
    with world() as kernel:
        create(
            kernel,
            {"rules": [rule("r", "metric", "m", {"kind": "review", "title": "t"})]},
            {USD: 0},
            metrics="m",
        )
        measure(kernel, "m", 1)
        proposals = kernel._world.state.plans.proposals
        (key,) = proposals
        proposals[key] = type(proposals[key])(**{**as_dict(proposals[key]), "kind": "fund"})
        measure(kernel, "m", 1)
        proposals[key] = type(proposals[key])(**{**as_dict(proposals[key]), "status": "closed"})
        measure(kernel, "m", 1)
        assert [x[2:] for x in ended(kernel)] == [("done",), ("skipped", "name_taken"), ("done",)]
        assert proposals[key].kind == "review"


def as_dict(row):
    return {name: getattr(row, name) for name in row.__struct_fields__}


@pytest.mark.req("S0-127")
@pytest.mark.parametrize(
    "other",
    [{}, {"resource": USD}, {"credit": LOG}, {"debit": "external/bank"}, {"intent_hash": bytes(32)}],
)
def test_the_audit_lets_value_in_by_a_rule_that_issues_it_to_its_budget_and_by_nothing_else(other):
    """A forged posting beside the firing is damage, whichever part of it is another."""
    with world("T") as kernel:
        done(kernel, "account.open", account="external/bank")
        plan = {**EARNED, "resources": {"T": 0, USD: 0}}
        done(kernel, "budget.create", budget=B, schema=plan)
        measure(kernel, "m", 1)
        reader, audit, state = read_store(kernel), Conservation(), State()
        for record in reader.records():
            body = record.body
            apply_events(state, body.at_ns, body.by, body.out, record.seq)
            out = [replace(x, **other) if isinstance(x, Posted) and x.credit == B else x for x in body.out]
            seen = record._replace(body=replace(body, out=out))
            if other and any(isinstance(x, RuleFired) and x.status == "done" for x in out):
                with pytest.raises(JournalDamaged, match="without an issue"):
                    audit.see(seen, state)
                return
            audit.see(seen, state)
        assert not other and held(kernel, B, "T") == 1
