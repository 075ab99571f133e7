"""What a budget is: three parts, a plan that acts, any quantity, one record for each change."""

import json

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.events import Posted, RuleFired

from tests.rows.budgets import done, held
from tests.rows.worlds import applied, codes, few, recorded, tally

B, TREASURY, SAVINGS, JANE = "budgets/b", "accounts/treasury", "accounts/savings", "accounts/jane"
ACCOUNTS = {TREASURY: {}, SAVINGS: {}, JANE: {}}
FULL_PLAN = {
    "title": "Marketing",
    "goals": ["ten articles"],
    "resources": {"USD": 2, "QualityToken": 0},
    "lines": {"writing": {"resource": "USD", "amount": 36_500, "per": "year"}},
    "metrics": {"articles": {"description": "articles published", "nature": "output", "target": 10}},
    "constraints": [{"name": "runway", "resource": "USD", "minimum": 100, "tier": "partial"}],
    "rules": [
        {"name": "save", "on": "deposit", "of": "USD",
         "do": [{"kind": "transfer", "to": SAVINGS, "amount": "cause.amount * 5 / 100"}]},
    ],
    "formulas": {"price": {"value": "balance.USD / input.articles", "unit": "USD"}},
}  # fmt: skip


def world(path=None, resources=("USD",), scale=0):
    return applied({"resources": dict.fromkeys(resources, scale), "accounts": ACCOUNTS}, path)


def create(kernel, plan, budget=B, **params):
    return done(kernel, "budget.create", budget=budget, schema=plan, **params)


def deposit(kernel, amount, resource="USD", to=B, **more):
    return done(kernel, "ledger.issue", resource=resource, amount=amount, to=to, **more)


def spend(kernel, amounts, grant=B, settle=True, **times):
    """Posts a task and, where it is allowed, settles it; the decision."""
    decision = kernel.submit(Intent("task.post", {"result": "work", "amounts": amounts}, grant), **times)
    if decision.allowed and settle:
        kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {}), **times)
    return decision


def row(kernel, budget=B):
    return kernel.state.budgets[budget]


# --- the object -------------------------------------------------------------------------------------


@pytest.mark.req("S0-01", "S0-11")
def test_each_of_the_three_parts_is_read_alone_and_a_cell_tells_what_led_to_it(folder):
    with world(folder / "w", scale=2) as kernel:
        create(kernel, FULL_PLAN)
        deposit(kernel, 10_000)
        solved = done(kernel, "budget.solve", budget=B, input={"articles": 10})
        schema = row(kernel).schema
        deposit(kernel, 77)  # after the solution: no part of it
    shown = {part: tally(folder / "w", "budgets", B, "--part", part)[1] for part in ("schema", "solution")}
    read = tally(folder / "w", "budgets", B, "--part", "input")[1]["input"]
    assert shown["schema"]["schema"] == schema
    assert shown["solution"]["solution"]["cells"] == {"price": {"value": 950, "unit": "USD"}}
    assert (read["input"], read["balance"]["USD"]) == ({"articles": 10}, 9_500)
    assert [set(document) & {"schema", "solution", "input"} for document in shown.values()] == [
        {"schema"},
        {"solution"},
    ]
    code, told = tally(folder / "w", "budgets", B, "--cell", "price")
    cell = told["cell"]
    assert code == 0
    assert (cell["version"], cell["solver"], cell["by"]) == (1, "formulas", "operator")
    assert (cell["seq"], cell["input"]) == (solved.seq, read)
    code, lines = tally(folder / "w", "ledger", "--entries", "--account", B, "--to", str(cell["seq"]))
    signed = [line["amount"] * (1 if line["direction"] == "credit" else -1) for line in lines]
    assert (code, signed, sum(signed)) == (0, [10_000, -500], read["balance"]["USD"])
    assert cell["value"] == sum(signed) // read["input"]["articles"]


@pytest.mark.req("S0-02")
def test_a_budget_declares_quality_tokens_and_a_rule_that_uses_them():
    with world() as kernel:
        tithe = {"kind": "transfer", "to": SAVINGS, "amount": "cause.amount / 10"}
        rules = [{"name": "tithe", "on": "deposit", "of": "QualityToken", "do": [tithe]}]
        assert "QualityToken" not in kernel.state.resources
        plan = {"resources": {"QualityToken": 1}, "rules": rules, "goals": ["be good"]}
        create(kernel, plan)
        assert kernel.state.resources["QualityToken"].scale == 1
        deposit(kernel, 100, "QualityToken")
        assert (held(kernel, B, "QualityToken"), held(kernel, SAVINGS, "QualityToken")) == (90, 10)
        assert row(kernel).schema["goals"] == ["be good"]


@pytest.mark.parametrize("amount", [0, 4, 10, 15, 30, 44])
def test_lines_of_one_resource_fill_one_after_the_other_and_the_last_has_the_rest(amount):
    lines = {name: {"resource": "USD", "amount": most} for name, most in (("a", 10), ("b", 20), ("c", 1))}
    with world() as kernel:
        create(kernel, {"resources": {"USD": 0}, "lines": lines})
        if amount:
            deposit(kernel, amount)
        filled = {name: line["filled"] for name, line in row(kernel).lines.items()}
    first = min(amount, 10)
    second = min(amount - first, 20)
    assert filled == {"a": first, "b": second, "c": amount - first - second}


@pytest.mark.req("S0-03")
def test_planning_funding_and_authority_change_one_at_a_time():
    with world() as kernel:
        create(kernel, {"resources": {"USD": 0}}, pays_to=[JANE])
        deposit(kernel, 100)

        def parts():
            accounts, grants = dict(kernel.state.accounts), dict(kernel.state.grants)
            return row(kernel).schema_hash, accounts, grants, len(recorded(kernel, Posted))

        before = parts()
        done(kernel, "budget.amend", budget=B, schema={"resources": {"USD": 0}, "goals": ["grow"]})
        amended = parts()
        assert amended[0] != before[0]
        assert amended[1:] == before[1:], "a plan moves nothing and grants nothing"
        deposit(kernel, 50)
        funded = parts()
        assert (funded[0], funded[2]) == (amended[0], amended[2]), "funds change no plan and no grant"
        assert held(kernel, B) == 150
        terms = {"cap": "sys/spend@1", "budget": {"USD": 10}, "holder": "jane"}
        done(kernel, "grant.issue", grant=B, name="card", terms=terms)
        assert "card" in kernel.state.grants
        assert (parts()[:2], parts()[3]) == (funded[:2], funded[3]), "a grant makes no ledger entry"


@pytest.mark.req("S0-04")
@few
@given(deposits=st.lists(st.integers(1, 10**9), min_size=1, max_size=4))
def test_five_percent_of_each_deposit_grows_the_savings(deposits):
    with world(scale=2) as kernel:
        create(kernel, {**FULL_PLAN, "constraints": []})
        for amount in [100, *deposits]:
            before = held(kernel, SAVINGS)
            deposit(kernel, amount)
            assert held(kernel, SAVINGS) - before == amount * 5 // 100
        assert held(kernel, B) + held(kernel, SAVINGS) == 100 + sum(deposits)


@pytest.mark.req("S0-04")
def test_a_deposit_of_100_makes_savings_of_5():
    with world(scale=2) as kernel:
        create(kernel, {**FULL_PLAN, "constraints": []})
        deposit(kernel, 100)
        assert (held(kernel, B), held(kernel, SAVINGS)) == (95, 5)


@pytest.mark.req("S0-05")
def test_365_hours_a_year_are_1_a_day_on_the_command_line(folder):
    with world(folder / "w") as kernel:
        line = {"resource": "Hours", "amount": 365, "per": "year"}
        create(kernel, {"resources": {"Hours": 0}, "lines": {"craft": line}})
    planned = {
        per: tally(folder / "w", "budgets", B, "--per", per)[1]["lines"]["craft"]["planned"]
        for per in ("year", "month", "week", "day", "hour")
    }
    assert planned == {"year": 365, "month": "365/12", "week": 7, "day": 1, "hour": "1/24"}


@pytest.mark.req("S0-06", "S0-66")
def test_five_kinds_of_value_stand_in_one_budget_each_with_its_own_unit():
    amounts = {"USD": 1_050, "Hours": 40, "Mentions": 3, "GPU-Hours": 125, "QualityToken": 7}
    scales = {"USD": 2, "Hours": 0, "Mentions": 0, "GPU-Hours": 1, "QualityToken": 0}
    with world(resources=()) as kernel:
        create(kernel, {"resources": scales}, pays_to=[JANE])
        for resource, amount in amounts.items():
            deposit(kernel, amount, resource)
        assert row(kernel).balances == amounts
        assert {name: kernel.state.resources[name].scale for name in amounts} == scales
        assert spend(kernel, {"Hours": 8, "QualityToken": 1}).allowed
        assert row(kernel).balances == {**amounts, "Hours": 32, "QualityToken": 6}
        assert list(kernel.state.budgets) == [B]


@pytest.mark.req("S0-07")
def test_a_threshold_that_new_data_meets_makes_an_action_that_nobody_called():
    metric = {"description": "open complaints", "nature": "minimise", "threshold": 3}
    bonus = {"kind": "transfer", "to": SAVINGS, "amount": "metric.complaints * 10", "resource": "USD"}
    rule = {"name": "reserve", "on": "metric", "of": "complaints", "when": "cause.amount >= 3", "do": [bonus]}
    with world() as kernel:
        create(kernel, {"resources": {"USD": 0}, "metrics": {"complaints": metric}, "rules": [rule]})
        deposit(kernel, 100)
        done(kernel, "metric.record", budget=B, metric="complaints", value=2)
        assert (held(kernel, SAVINGS), recorded(kernel, RuleFired)[-1].status) == (0, "skipped")
        asked = done(kernel, "metric.record", budget=B, metric="complaints", value=3)
        assert held(kernel, SAVINGS) == 30
        fired = recorded(kernel, RuleFired)[-1]
        assert (fired.rule, fired.status, fired.cause) == ("reserve", "done", asked.intent_hash)
        assert kernel.state.seq == asked.seq + 2, "a frame of its own, right after the data"


# --- a living budget --------------------------------------------------------------------------------


@pytest.mark.req("S0-08")
@few
@given(funds=st.integers(100, 10**6), inputs=st.lists(st.integers(1, 99), min_size=2, max_size=4))
def test_new_inputs_bring_a_new_solution_by_the_formulas_and_move_nothing(funds, inputs):
    with world(scale=2) as kernel:
        create(kernel, {**FULL_PLAN, "rules": []})
        deposit(kernel, funds)
        for articles in inputs:
            before = (row(kernel).schema_hash, dict(kernel.state.accounts))
            done(kernel, "budget.solve", budget=B, input={"articles": articles})
            assert row(kernel).solution["cells"]["price"] == {"value": funds // articles, "unit": "USD"}
            assert row(kernel).input["input"] == {"articles": articles}
            assert (row(kernel).schema_hash, kernel.state.accounts) == before


@pytest.mark.req("S0-09")
def test_an_exported_plan_created_in_an_empty_world_has_the_same_hash(folder):
    with world(folder / "w", scale=2) as kernel:
        create(kernel, FULL_PLAN)
    code, written = tally(folder / "w", "budgets", "export", B, str(folder / "plan.json"))
    assert code == 0
    with splittally.open(folder / "v", clock="given"):
        pass
    there = ("native", "budget.create", "--budget", "budgets/c", "--schema", f"@{folder / 'plan.json'}")
    assert tally(folder / "v", *there)[0] == 0
    here, other = (tally(folder / x, "budgets", y)[1] for x, y in (("w", B), ("v", "budgets/c")))
    assert here["schema"] == other["schema"]
    assert {len(here["schema"][part]) for part in ("metrics", "rules", "formulas", "lines")} == {1}
    assert here["schema_hash"] == other["schema_hash"] == written["schema_hash"]


@pytest.mark.req("S0-09")
@few
@given(
    kept=st.sets(st.sampled_from(sorted(set(FULL_PLAN) - {"resources"}))),
    title=st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_whatever_a_plan_says_its_hash_is_the_same_wherever_its_text_is_read(kept, title):
    plan = {name: FULL_PLAN[name] for name in {*kept, "resources"}} | {"description": title}
    with world(scale=2) as here, splittally.open(None, clock="given") as there:
        create(here, plan)
        create(there, json.loads(json.dumps(row(here).schema)), "budgets/elsewhere")
        assert row(there, "budgets/elsewhere").schema_hash == row(here).schema_hash
        create(here, {**plan, "description": title + "!"}, "budgets/other")
        assert row(here, "budgets/other").schema_hash != row(here).schema_hash


@pytest.mark.req("S0-10")
def test_a_clone_has_the_plan_and_its_origin_and_neither_funds_nor_grants():
    with world(scale=2) as kernel:
        create(kernel, FULL_PLAN, pays_to=[JANE])
        deposit(kernel, 10_000)
        terms = {"cap": "sys/spend@1", "budget": {"USD": 10}, "holder": "jane"}
        done(kernel, "grant.issue", grant=B, name="card", terms=terms)
        grants = dict(kernel.state.grants)
        done(kernel, "budget.create", budget="budgets/clone", template=B)
        clone = row(kernel, "budgets/clone")
        assert (clone.name, clone.template, clone.parent) == ("budgets/clone", B, "")
        assert (clone.schema, clone.schema_hash) == (row(kernel).schema, row(kernel).schema_hash)
        assert (clone.balances, clone.solution, clone.parts) == ({"USD": 0, "QualityToken": 0}, None, [])
        assert set(kernel.state.grants) - set(grants) == {"budgets/clone"}, "the charter of its own account"
        assert kernel.state.grants["budgets/clone"].pays_to == []
        assert codes(spend(kernel, {"USD": 1}, "budgets/clone")) != []
        assert row(kernel).balances["USD"] == 9_500
