"""Built-in solvers: what is there over the lines of a plan, and formulas in the order of what they read."""

import sys

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent
from splittally.runtime.own_queries import OwnQueries

from tests.rows.budgets import B, create, deposit, done, world
from tests.rows.worlds import applied, codes, few, tally

LINES = {
    "rent": {"resource": "USD", "amount": 600, "priority": 0},
    "ads": {"resource": "USD", "amount": 300, "priority": 1},
    "pay": {"resource": "USD", "amount": 500, "priority": 1},
}


def usd(*names_and_amounts):
    """Lines of USD of one priority: name, amount, name, amount."""
    pairs = zip(names_and_amounts[::2], names_and_amounts[1::2], strict=True)
    return {name: {"resource": "USD", "amount": amount} for name, amount in pairs}


def solve(kernel, **params):
    """The cells of USD and of formulas after solving, by name."""
    done(kernel, "budget.solve", budget=B, **params)
    return {name: value for name, value in values(kernel).items() if not name.endswith(".EUR")}


def values(kernel, budget=B):
    return {name: cell["value"] for name, cell in kernel.state.budgets[budget].solution["cells"].items()}


def measures(*names):
    return {name: {"description": name, "nature": "output"} for name in names}


def formulas(**texts):
    return {name: {"value": text} for name, text in texts.items()}


# --- the waterfall ------------------------------------------------------------------------------------


def test_lines_are_filled_by_priority_and_within_one_in_proportion_to_the_plan():
    with world() as kernel:
        create(kernel, {"lines": LINES})
        deposit(kernel, 1_000)
        assert solve(kernel) == {"rent.USD": 600, "ads.USD": 150, "pay.USD": 250, "unallocated.USD": 0}
        deposit(kernel, 500)
        assert solve(kernel) == {"rent.USD": 600, "ads.USD": 300, "pay.USD": 500, "unallocated.USD": 100}


def test_a_line_without_a_priority_comes_last_and_one_of_a_debt_gets_nothing():
    lines = usd("later", 50, "debt", -70) | {"first": {"resource": "USD", "amount": 5, "priority": 9}}
    with world() as kernel:
        create(kernel, {"lines": lines})
        deposit(kernel, 8)
        assert solve(kernel) == {"first.USD": 5, "later.USD": 3, "debt.USD": 0, "unallocated.USD": 0}


@pytest.mark.req("S0-16")
def test_below_60_percent_of_the_plan_only_the_contingencys_lines_are_filled_in_its_order():
    crisis = {"below": 60, "priorities": ["pay", "ads"]}
    with world() as kernel:
        create(kernel, {"lines": usd("rent", 400, "pay", 400, "ads", 200), "contingency": crisis})
        deposit(kernel, 500)
        assert solve(kernel) == {"rent.USD": 0, "pay.USD": 400, "ads.USD": 100, "unallocated.USD": 0}
        deposit(kernel, 99)
        assert solve(kernel) == {"rent.USD": 0, "pay.USD": 400, "ads.USD": 199, "unallocated.USD": 0}
        deposit(kernel, 1)
        assert solve(kernel) == {"rent.USD": 240, "pay.USD": 240, "ads.USD": 120, "unallocated.USD": 0}


def test_what_the_contingencys_lines_do_not_need_goes_to_nobody():
    crisis = {"below": 100, "priorities": ["ads"]}
    with world() as kernel:
        plan = {"lines": usd("rent", 900, "ads", 100), "contingency": crisis, "surplus": {"USD": {"rent": 1}}}
        create(kernel, plan)
        deposit(kernel, 999)
        assert solve(kernel) == {"rent.USD": 0, "ads.USD": 100, "unallocated.USD": 899}


@pytest.mark.req("S0-17")
def test_ten_percent_of_a_surplus_go_to_the_bonus():
    plan = {
        "lines": usd("rent", 600, "bonus", 0, "reserve", 0),
        "surplus": {"USD": {"bonus": 10, "reserve": 90}},
    }
    with world() as kernel:
        create(kernel, plan)
        deposit(kernel, 600)
        assert solve(kernel) == {"rent.USD": 600, "bonus.USD": 0, "reserve.USD": 0, "unallocated.USD": 0}
        deposit(kernel, 400)
        assert solve(kernel) == {"rent.USD": 600, "bonus.USD": 40, "reserve.USD": 360, "unallocated.USD": 0}


@pytest.mark.req("S0-28")
def test_a_plan_says_that_60_percent_go_to_development():
    plan = {"lines": usd("development", 0, "sales", 0), "surplus": {"USD": {"development": 60, "sales": 40}}}
    with world() as kernel:
        create(kernel, plan)
        deposit(kernel, 1_000)
        assert solve(kernel) == {"development.USD": 600, "sales.USD": 400, "unallocated.USD": 0}


@pytest.mark.req("S0-38")
@few
@given(funds=st.integers(1, 10_000), spent=st.lists(st.integers(1, 900), max_size=4))
def test_the_cells_of_a_resource_sum_to_the_live_balance_and_what_is_in_flight(funds, spent):
    with world() as kernel:
        create(kernel, {"lines": LINES}, pays_to=["accounts/log"])
        deposit(kernel, funds)
        for at, amount in enumerate(spent):
            params = {"result": f"work {at}", "amounts": {"USD": amount}, "payee": "accounts/log"}
            kernel.submit(Intent("task.post", params, B))
        cells = solve(kernel)
        row = kernel.state.budgets[B]
        assert sum(cells.values()) == row.balances["USD"] + row.in_flight.get("USD", 0) == funds
        assert row.input["in_flight"]["USD"] == row.in_flight.get("USD", 0)


def test_a_debt_of_the_account_stands_in_what_nobody_has():
    manifest = {"resources": {"USD": 0}, "accounts": {"accounts/log": {}, "accounts/rich": {}}}
    with applied(manifest) as kernel:
        schema = {"resources": {"USD": 0}, "lines": usd("a", 10)}
        done(kernel, "budget.create", budget=B, schema=schema, debt_limit=50)
        done(kernel, "ledger.transfer", resource="USD", amount=7, to="accounts/log", **{"from": B})
        assert solve(kernel) == {"a.USD": 0, "unallocated.USD": -7}
        kept = [["a.USD", 0, "USD"], ["unallocated.USD", -7, "USD"]]
        done(kernel, "budget.solve", budget=B, solver="person", cells=kept)
        wrong = kernel.native(
            "budget.solve",
            budget=B,
            solver="person",
            cells=[["a.USD", -7, "USD"], ["unallocated.USD", 0, "USD"]],
        )
        assert codes(wrong) == ["cell_negative"]


@pytest.mark.req("S0-35", "S0-36")
def test_the_solution_is_a_column_and_one_cell_is_read_by_its_name(folder):
    with applied({"resources": {"USD": 2}}, folder / "w") as kernel:
        schema = {"resources": {"USD": 2}, "lines": {"Marketing": {"resource": "USD", "amount": "12.50 USD"}}}
        done(kernel, "budget.create", budget=B, schema=schema)
        done(kernel, "ledger.issue", resource="USD", amount=2_000, to=B)
        done(kernel, "budget.solve", budget=B)
        cell = kernel.state.cell(B, "Marketing.USD")
        assert (cell.name, cell.value, cell.unit, cell.solver) == (
            "Marketing.USD",
            1_250,
            "USD",
            "waterfall@1",
        )
        assert set(cell) == {"name", "value", "unit", "version", "solver", "seq"}
        assert kernel.state.cell(B, "Sales.USD") is kernel.state.cell("budgets/x", "Marketing.USD") is None
    code, shown = tally(folder / "w", "budgets", B, "--part", "solution")
    assert (code, shown["solution"]["cells"]) == (
        0,
        {"Marketing.USD": {"value": 1_250, "unit": "USD"}, "unallocated.USD": {"value": 750, "unit": "USD"}},
    )
    code, shown = tally(folder / "w", "budgets", B, "--cell", "Marketing.USD")
    assert (code, shown["cell"]["value"], shown["cell"]["unit"]) == (0, 1_250, "USD")


@pytest.mark.req("S0-37")
def test_who_may_only_solve_solves_and_nothing_else_changes_however_often():
    with applied({"resources": {"USD": 0, "EUR": 0}}) as kernel:
        create(kernel, {"lines": LINES, "formulas": formulas(rate='cell["ads.USD"] * 2')})
        deposit(kernel, 1_000)
        terms = {"cap": "sys/native@1", "holder": "ann", "params": {"rank": "tactical"}}
        done(kernel, "grant.issue", name="solver", terms=terms)
        ann = kernel.as_principal("ann")
        before = (kernel.state.budgets[B].schema_hash, kernel.state.accounts[B], values_of_all(kernel))
        first = ann.native("budget.solve", budget=B, under="solver")
        assert first.allowed, first
        solution = {**kernel.state.budgets[B].solution, "seq": 0}
        assert ann.native("budget.solve", budget=B, under="solver").allowed
        assert {**kernel.state.budgets[B].solution, "seq": 0} == solution
        assert solution["by"] == "ann"
        assert (
            kernel.state.budgets[B].schema_hash,
            kernel.state.accounts[B],
            values_of_all(kernel),
        ) == before
        amend = ann.native("budget.amend", budget=B, schema={"resources": {"USD": 0}}, under="solver")
        assert not amend.allowed


def values_of_all(kernel):
    return {name: dict(row.balances) for name, row in kernel.state.accounts.items()}


@pytest.mark.req("S0-40", "S0-41")
def test_an_unsolvable_budget_is_a_state_that_allocates_nothing_and_no_error(folder):
    floor = {"name": "cluster", "resource": "GPU-Hours", "minimum": 100}
    schema = {
        "resources": {"GPU-Hours": 0},
        "constraints": [floor],
        "lines": {"training": {"resource": "GPU-Hours", "amount": 70}},
        "formulas": {
            "have": {"value": 'balance["GPU-Hours"]', "unit": "GPU-Hours"},
            "half": {"value": 'cell["training.GPU-Hours"] / 2'},
            "more": {"value": "cell.half + 1"},
        },
    }
    with applied({"resources": {"GPU-Hours": 0}}, folder / "w") as kernel:
        done(kernel, "budget.create", budget=B, schema=schema)
        deposit(kernel, 80, resource="GPU-Hours")
    code, told = tally(folder / "w", "budgets", "solve", B)
    assert (code, told["outcome"]) == (0, "allow")
    assert [finding["code"] for finding in told["findings"]] == ["no_allocation"]
    assert told["findings"][0]["facts"]["missing"][0]["missing"] == 20
    assert told["solution"]["cells"] == {"have": {"value": 80, "unit": "GPU-Hours"}}
    code, row = tally(folder / "w", "budgets", B)
    assert (code, row["stage"]) == (0, "planning")
    assert tally(folder / "w", "budgets", "solve", B, "--dry-run")[0] == 0
    assert (
        tally(
            folder / "w",
            "native",
            "ledger.issue",
            "--resource",
            "GPU-Hours",
            "--amount",
            "20 GPU-Hours",
            "--to",
            B,
        )[0]
        == 0
    )
    code, told = tally(folder / "w", "budgets", "solve", B)
    found = {name: cell["value"] for name, cell in told["solution"]["cells"].items()}
    assert found == {
        "training.GPU-Hours": 70,
        "unallocated.GPU-Hours": 30,
        "have": 100,
        "half": 35,
        "more": 36,
    }


# --- formulas -----------------------------------------------------------------------------------------


@pytest.mark.req("S0-131")
def test_a_new_value_recalculates_the_whole_system_in_the_order_of_what_it_reads():
    with world() as kernel:
        system = formulas(a="cell.b + 1", b="cell.c * 2", c="metric.m")
        create(kernel, {"metrics": measures("m"), "formulas": system})
        for value in (5, 7):
            done(kernel, "metric.record", budget=B, metric="m", value=value)
            assert solve(kernel) == {"a": 2 * value + 1, "b": 2 * value, "c": value}


@pytest.mark.req("S0-131")
@pytest.mark.parametrize(
    ("system", "named"),
    [
        ({"a": "cell.a"}, ["a"]),
        ({"a": "cell.b", "b": "cell.c", "c": "cell.a", "d": "cell.a"}, ["a", "b", "c"]),
        ({"a": "cell.b", "b": "has(cell.a) ? 1 : 2"}, ["a", "b"]),
        ({"a": "cell.b", "b": 'balance.USD > 0 ? 1 : cell["a"]'}, ["a", "b"]),
    ],
)
def test_a_circular_definition_is_refused_when_the_plan_is_stated(system, named):
    with world() as kernel:
        schema = {"resources": {"USD": 0}, "formulas": formulas(**system)}
        told = kernel.native("budget.create", budget=B, schema=schema)
        assert [(x.code, x.facts["cells"]) for x in told.findings] == [("formula_cycle", named)]
        assert told.seq is not None and B not in kernel.state.budgets


@pytest.mark.parametrize(
    "text",
    [
        "cell.x",
        'cell["x.USD"]',
        "size(cell)",
        'cell["a" + "b"]',
        '"a" in cell ? 1 : 2',
        'cell["unallocated.EUR"]',
    ],
)
def test_a_formula_reads_cells_by_name_that_the_plan_has(text):
    with world() as kernel:
        schema = {"resources": {"USD": 0}, "lines": usd("ads", 1), "formulas": formulas(a=text)}
        assert codes(kernel.native("budget.create", budget=B, schema=schema)) == ["params.invalid"]
        schema["formulas"] = formulas(a='cell["ads.USD"] + cell["unallocated.USD"]')
        done(kernel, "budget.create", budget=B, schema=schema)


@pytest.mark.req("S0-30")
@few
@given(first=st.integers(-50, 50), then=st.integers(-50, 50), other=st.integers(-50, 50))
def test_a_new_value_changes_exactly_the_cells_that_depend_on_it(first, then, other):
    system = formulas(
        a="metric.m + 1", b="cell.a * 3", c="metric.n", d="cell.c + balance.USD", e="cell.b + cell.d"
    )
    with world() as kernel:
        create(kernel, {"metrics": measures("m", "n"), "formulas": system})
        done(kernel, "metric.record", budget=B, metric="m", value=first)
        done(kernel, "metric.record", budget=B, metric="n", value=other)
        before = solve(kernel)
        done(kernel, "metric.record", budget=B, metric="m", value=then)
        after = solve(kernel)
        changed = {name for name in before if before[name] != after[name]}
        assert changed == ({"a", "b", "e"} if first != then else set())


def test_a_solution_reads_nothing_of_an_earlier_one():
    """A cell that somebody proposed is in force, and is no input of the next solution."""
    with world() as kernel:
        create(kernel, {"formulas": formulas(a="balance.USD", b="cell.a + 1")})
        done(kernel, "budget.solve", budget=B, solver="ann", cells=[["free", 5, ""], ["a", 0, ""]])
        deposit(kernel, 3)
        assert solve(kernel) == solve(kernel) == {"a": 3, "b": 4}


def test_a_formula_that_faults_is_named_and_the_solution_in_force_stays():
    with world() as kernel:
        create(
            kernel, {"lines": usd("ads", 10), "formulas": formulas(a="1 / balance.EUR", b="cell.a", c="7")}
        )
        deposit(kernel, 10)
        told = kernel.native("budget.solve", budget=B, solver="waterfall@1")
        assert [(x.code, x.facts["cell"]) for x in told.findings] == [("formula_fault", "a")]
        assert kernel.state.budgets[B].solution is None


# --- the plan's own solver ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "solver"),
    [
        ({}, "formulas"),
        ({"lines": usd("a", 1)}, "waterfall@1"),
        ({"lines": usd("a", 1), "formulas": formulas(x="1")}, "formulas"),
        ({"lines": usd("a", 1), "formulas": formulas(x='cell["a.USD"]')}, "waterfall@1"),
        ({"lines": LINES, "formulas": formulas(x="1")}, "waterfall@1"),
        ({"lines": usd("a", 1), "formulas": formulas(x="1"), "surplus": {"USD": {"a": 1}}}, "waterfall@1"),
        (
            {
                "lines": usd("a", 1),
                "formulas": formulas(x="1"),
                "contingency": {"below": 5, "priorities": ["a"]},
            },
            "waterfall@1",
        ),
        ({"lines": {"days": {"resource": "days", "amount": 5, "calendar": True}}}, "formulas"),
    ],
)
def test_where_nobody_names_a_solver_it_is_the_plans_own_and_the_record_says_which(plan, solver):
    with world() as kernel:
        create(kernel, plan)
        deposit(kernel, 1)
        done(kernel, "budget.solve", budget=B)
        assert kernel.state.budgets[B].solution["solver"] == solver


def test_a_plan_whose_cells_would_share_a_name_is_not_allocated():
    schema = {
        "resources": {"USD": 0, "b.USD": 0},
        "lines": {"a": {"resource": "b.USD", "amount": 1}, "a.b": {"resource": "USD", "amount": 1}},
    }
    with world() as kernel:
        done(kernel, "budget.create", budget=B, schema=schema)
        deposit(kernel, 1)
        told = kernel.native("budget.solve", budget=B)
        assert [(x.code, x.facts["name"]) for x in told.findings] == [("name_taken", "a.b.USD")]


# --- who reads, and what it costs -------------------------------------------------------------------------


def test_anybody_reads_a_cell_of_a_public_plan_and_nobody_elses_of_a_private_one():
    with world() as kernel:
        for budget, more in ((B, {}), ("budgets/secret", {"private": True})):
            create(kernel, {"lines": usd("ads", 5), **more}, budget)
            deposit(kernel, 7, budget)
            done(kernel, "budget.solve", budget=budget)
        own = OwnQueries(kernel.state, "stranger")
        assert (own.cell(B, "ads.USD").value, set(own.budgets)) == (5, {B})
        assert "balances" not in own.budgets[B]
        assert own.cell("budgets/secret", "ads.USD") is None
        assert kernel.state.cell("budgets/secret", "ads.USD").value == 5


def test_solving_a_budget_takes_as_many_calls_in_a_tree_of_200_as_in_one_of_10():
    """In calls of functions, which are the same on every machine: 1,000 budgets took 0.4 s of processor."""
    counts = []
    for wide in (1, 20):
        with world() as kernel:
            for at in range(10 * wide):
                parent = f"budgets/{at - wide}" if at >= wide else ""
                plan = {"lines": LINES, "formulas": formulas(a='cell["ads.USD"] + 1', b="cell.a * 2")}
                create(kernel, plan, f"budgets/{at}", parent=parent)
            last = f"budgets/{10 * wide - 1}"
            deposit(kernel, 1_000, last)
            done(kernel, "budget.solve", budget=last)
            counts.append(calls(lambda kernel=kernel, last=last: done(kernel, "budget.solve", budget=last)))
    assert counts[1] <= counts[0] * 1.05
    assert counts[0] < 4_000


def calls(act):
    """How many functions are called."""
    count = 0

    def called(frame, kind, argument):
        nonlocal count
        count += kind in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count


def test_what_a_rule_solves_is_what_the_plans_own_solver_says():
    with world() as kernel:
        rule = {"name": "fresh", "on": "metric", "of": "m", "do": [{"kind": "solve"}]}
        create(kernel, {"lines": LINES, "metrics": measures("m"), "rules": [rule]})
        deposit(kernel, 1_000)
        done(kernel, "metric.record", budget=B, metric="m", value=1)
        by_rule = kernel.state.budgets[B].solution
        solve(kernel)
        asked = kernel.state.budgets[B].solution
        assert (by_rule["solver"], by_rule["cells"]) == (asked["solver"], asked["cells"])
        assert by_rule["solver"] == "waterfall@1"
        assert by_rule["seq"] < asked["seq"]


@pytest.mark.req("S0-16", "S0-55")
def test_the_view_of_lines_holds_for_each_what_the_waterfall_gives_it():
    """A sheet that says 80 of ads are there, beside a solution that gives ads nothing, are two truths."""
    with world() as kernel:
        crisis = {"below": 60, "priorities": ["print"]}
        create(kernel, {"lines": usd("ads", 100, "print", 50), "contingency": crisis})
        for amount, expected in ((80, {"ads": 0, "print": 50}), (20, {"ads": 67, "print": 33})):
            deposit(kernel, amount)
            done(kernel, "budget.solve", budget=B)
            row = kernel.state.budgets[B]
            cells = {name: cell["value"] for name, cell in row.solution["cells"].items()}
            shown = {name: line["filled"] for name, line in row.lines.items()}
            assert shown == expected == {name: cells[f"{name}.USD"] for name in expected}
            assert sum(shown.values()) + cells["unallocated.USD"] == row.balances["USD"]
