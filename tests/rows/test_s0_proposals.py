"""Solvers outside the kernel: scripts, models, programs and people propose, and each lie is refused."""

import json
import sys

import pytest
from splittally.core.limits import CELLS_MAX
from splittally.core.native.solving import Problem, solved
from splittally.core.types import Cell

from tests.cli_tools import run
from tests.rows.budgets import LOG, B, create, deposit, done, pays, world
from tests.rows.test_s0_solvers import LINES, formulas, measures, usd, values
from tests.rows.worlds import applied, codes, tally

GOOD = [["rent.USD", 600, "USD"], ["ads.USD", 400, "USD"]]
PLAN = {"lines": LINES, "formulas": {"twice": {"value": 'cell["ads.USD"] * 2', "unit": "USD"}}}
HALF_A_WORLD = {"resources": {"USD": 2, "HOURS": 0}, "accounts": {"accounts/log": {}}}


def propose(kernel, cells, solver="ann", **more):
    return kernel.native("budget.solve", budget=B, solver=solver, cells=cells, **more)


def funded(path=None, plan=PLAN, **held):
    """A world with a budget of this plan that holds these amounts, in minor units."""
    kernel = applied(HALF_A_WORLD, path)
    done(kernel, "budget.create", budget=B, schema={"resources": HALF_A_WORLD["resources"], **plan})
    for resource, amount in held.items():
        deposit(kernel, amount, resource=resource)
    return kernel


def solution_of(folder):
    return tally(folder, "budgets", B, "--part", "solution")[1]["solution"]


# --- what is refused ------------------------------------------------------------------------------------

LIES = [
    ([*GOOD, ["yacht.USD", 0, "USD"]], [("cell_unknown", "yacht.USD")]),
    (
        [["rent.USD", 600, "USD"], ["ads", 400, "USD"]],
        [("cell_unknown", "ads"), ("cells_unequal", ["rent.USD"])],
    ),
    ([["rent.USD", 600, "USD"], ["ads.USD", 400, "EUR"]], [("cell_unit", "ads.USD")]),
    ([["rent.USD", 600, "USD"], ["ads.USD", 400, ""]], [("cell_unit", "ads.USD")]),
    ([["rent.USD", 1_100, "USD"], ["ads.USD", -100, "USD"]], [("cell_negative", "ads.USD")]),
    ([["rent.USD", 1_100, "USD"], ["unallocated.USD", -100, "USD"]], [("cell_negative", "unallocated.USD")]),
    ([["rent.USD", 600, "USD"], ["ads.USD", 401, "USD"]], [("cells_unequal", ["ads.USD", "rent.USD"])]),
    ([["rent.USD", 600, "USD"], ["ads.USD", 399, "USD"]], [("cells_unequal", ["ads.USD", "rent.USD"])]),
    ([*GOOD, ["rent.EUR", 1, "EUR"]], [("cells_unequal", ["rent.EUR"])]),
    (
        [["rent.USD", 2**64 - 1, "USD"], ["ads.USD", 2**64 - 1, "USD"]],
        [("cells_unequal", ["ads.USD", "rent.USD"])],
    ),
    ([["twice", 0, "USD"]], [("cells_unequal", [])]),
    ([*GOOD, ["twice", 801, "USD"]], [("cell_decided", "twice")]),
    ([*GOOD, ["twice", 800, "EUR"]], [("cell_unit", "twice")]),
]


@pytest.mark.req("S0-32", "X0-18")
@pytest.mark.parametrize(("cells", "why"), LIES)
def test_each_lie_of_a_solver_is_refused_by_its_own_code_and_the_solution_in_force_stays(cells, why):
    with world() as kernel:
        create(kernel, PLAN)
        deposit(kernel, 1_000)
        assert propose(kernel, [*GOOD, ["twice", 800, "USD"]]).allowed
        before = kernel.state.budgets[B].solution
        told = propose(kernel, cells, "model:liar")
        assert [(x.code, x.facts.get("cell", x.facts.get("cells"))) for x in told.findings] == why
        assert kernel.state.budgets[B].solution == before


def test_a_proposal_may_leave_a_formulas_cell_out_and_gets_it():
    with world() as kernel:
        create(kernel, PLAN)
        deposit(kernel, 1_000)
        assert propose(kernel, GOOD).allowed
        assert values(kernel) == {"ads.USD": 400, "rent.USD": 600, "twice": 800}


def test_nothing_is_proposed_for_an_unsolvable_budget():
    floor = {"name": "floor", "resource": "USD", "minimum": 1_001, "tier": "partial"}
    with world() as kernel:
        create(kernel, {**PLAN, "constraints": [floor]})
        deposit(kernel, 1_000)
        told = propose(kernel, GOOD)
        assert [(x.code, x.facts["stage"]) for x in told.findings] == [("cells_unsolvable", "planning")]
        deposit(kernel, 1)
        assert propose(kernel, [["rent.USD", 601, "USD"], ["ads.USD", 400, "USD"]]).allowed


def test_a_proposal_from_other_books_is_refused_also_where_its_sums_are_right():
    with world() as kernel:
        create(kernel, {**PLAN, "metrics": measures("m")})
        deposit(kernel, 1_000)
        books = kernel.state.budgets[B].books
        assert (books["balance"]["USD"], books["in_flight"]["USD"], books["metric"]) == (1_000, 0, {})
        done(kernel, "metric.record", budget=B, metric="m", value=1)
        told = propose(kernel, GOOD, input_hash=books["hash"])
        assert codes(told) == ["cells_stale"]
        now = kernel.state.budgets[B].books["hash"]
        assert told.findings[0].facts["needed"] == now != books["hash"]
        assert propose(kernel, GOOD, input_hash=now.hex()).allowed
        first = kernel.state.budgets[B].solution["input_hash"]
        done(kernel, "metric.record", budget=B, metric="m", value=2)
        assert kernel.state.budgets[B].solution["input_hash"] == first, "of what was read then"
        assert propose(kernel, GOOD).allowed
        assert kernel.state.budgets[B].solution["input_hash"] != first


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "waterfall@1", "cells": GOOD},
        {"solver": "waterfall@2", "cells": GOOD},
        {"solver": "waterfall", "cells": GOOD},
        {"solver": "formulas@7", "cells": GOOD},
        {"solver": "lp@1"},
        {"solver": "ann", "cells": [["rent.USD", 1.5, "USD"]]},
        {"solver": "ann", "cells": [["rent.USD", True, "USD"]]},
        {"solver": "ann", "cells": [["rent.USD", 600]] * 2},
        {"solver": "ann", "cells": [[f"c{at}", 0, ""] for at in range(CELLS_MAX + 1)]},
        {"solver": "ann", "cells": GOOD, "input_hash": "00"},
        {"solver": "ann", "cells": 7},
        {"solver": "ann", "cells": [["rent.USD"]]},
        {"solver": "ann", "cells": {"rent.USD": None}},
    ],
)
def test_what_is_no_proposal_is_refused_before_anything_is_asked(params):
    with world() as kernel:
        create(kernel, PLAN)
        deposit(kernel, 1_000)
        assert codes(kernel.native("budget.solve", budget=B, **params)) == ["params.invalid"]
        assert kernel.state.budgets[B].solution is None


def test_a_plan_without_lines_takes_as_many_cells_of_any_name_as_a_proposal_may_have():
    with world() as kernel:
        create(kernel, {})
        assert propose(kernel, [[f"c{at}", -at, "hours"] for at in range(CELLS_MAX)]).allowed
        assert kernel.state.cell(B, "c7").value == -7


def test_no_host_gets_around_the_check_and_records_from_before_it_mean_what_they_did():
    with world() as kernel:
        create(kernel, PLAN)
        deposit(kernel, 1_000)
        for checked in (False, True, None):
            told = propose(kernel, [["yacht.USD", 5, "USD"], ["twice", 1, "USD"]], checked=checked)
            assert "cell_unknown" in codes(told)
        state = kernel._world.state
        cells = [Cell("yacht", 5, ""), Cell("twice", 1, "")]
        old = Problem(state.plans.budgets[B], "ann", cells)
        assert solved(state, old, 0)[:2] == (
            cells,
            {"balance": {"USD": 1_000, "EUR": 0}, "metric": {}, "input": {}},
        )
        assert solved(state, old, 0).findings == []


@pytest.mark.req("X0-18")
def test_a_model_fills_only_what_no_formula_decides_and_a_threshold_fires_without_one():
    rule = {"name": "bonus", "on": "metric", "of": "m", "when": "cause.amount >= 5", "do": [pays(1)]}
    plan = {"metrics": measures("m"), "formulas": formulas(price="metric.m * 2"), "rules": [rule]}
    with world() as kernel:
        create(kernel, plan)
        deposit(kernel, 10)
        done(kernel, "metric.record", budget=B, metric="m", value=5)  # and no model anywhere
        assert kernel.state.accounts[LOG].balances["USD"] == 1
        told = propose(kernel, [["price", 11, ""]], "model:m")
        assert [(x.code, x.facts["needed"]) for x in told.findings] == [("cell_decided", 10)]
        beside = propose(kernel, [["price", 11, ""], ["slogan", 7, ""]], "model:m")
        assert codes(beside) == ["cell_decided"], "a cell of its own lets no other pass"
        assert propose(kernel, [["price", 10, ""], ["slogan", 7, ""]], "model:m").allowed


# --- people ---------------------------------------------------------------------------------------------


@pytest.mark.req("S0-34")
def test_a_person_enters_cells_that_are_checked_and_stand_under_the_persons_name(folder):
    with funded(folder / "w", USD=100_000) as kernel:
        done(kernel, "grant.issue", name="ann", terms={"cap": "sys/native@1", "holder": "ann"})
    entered = ("--cell", "rent.USD=600.00 USD", "--cell", "ads.USD=399.99 USD")
    code, told = tally(folder / "w", "--as", "ann", "budgets", "solve", B, *entered)
    assert (code, [x["code"] for x in told["findings"]], told["solution"]) == (1, ["cells_unequal"], None)
    code, told = tally(
        folder / "w", "--as", "ann", "budgets", "solve", B, *entered, "--cell", "unallocated.USD=0.01 USD"
    )
    assert code == 0, told
    solution = solution_of(folder / "w")
    assert (solution["solver"], solution["by"]) == ("person", "ann")
    assert solution["cells"]["ads.USD"] == {"value": 39_999, "unit": "USD"}


# --- scripts --------------------------------------------------------------------------------------------

SCRIPT = """
import json, sys
asked = json.load(sys.stdin)
held = asked["balance"]["USD"] + asked["in_flight"]["USD"]
rent = min(held, asked["schema"]["lines"]["rent"]["amount"])
print(json.dumps({"rent.USD": rent, "unallocated.USD": held - rent}))
"""
AS_LINES = SCRIPT.replace("print(json.dumps(", "[print(k, v) for k, v in (").replace("}))", "}).items()]")


@pytest.mark.req("S0-33")
@pytest.mark.parametrize("text", [SCRIPT, AS_LINES])
def test_a_scripts_table_becomes_the_solution_under_its_name_and_the_hash_of_its_bytes(folder, text):
    funded(folder / "w", USD=1_000).close()
    file = folder / "share.py"
    file.write_text(text, "utf-8")
    code, dry = tally(folder / "w", "budgets", "solve", B, "--script", str(file), "--dry-run")
    assert (code, dry["dry_run"], dry["solution"]["cells"]["rent.USD"]["value"]) == (0, True, 600)
    assert solution_of(folder / "w") is None
    code, told = tally(folder / "w", "budgets", "solve", B, "--script", str(file))
    assert code == 0, told
    first = solution_of(folder / "w")
    assert first["solver"].startswith("script:share.py@")
    assert {x: y["value"] for x, y in first["cells"].items()} == {
        "rent.USD": 600,
        "unallocated.USD": 400,
        "twice": 0,
    }
    file.write_text(text + "\n# another version\n", "utf-8")
    assert tally(folder / "w", "budgets", "solve", B, "--script", str(file))[0] == 0
    assert solution_of(folder / "w")["solver"] != first["solver"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; sys.exit('no idea')", "no idea"),
        ("print('rent.USD')", "printed no table"),
        ("print()", "printed no table"),
        ("print('{}')", "printed no table"),
        ("print('{\"rent.USD\": NaN}')", "printed no table"),
        ("import sys; sys.stdout.buffer.write(bytes([255]))", "cannot be run"),
    ],
)
def test_a_script_that_fails_proposes_nothing(folder, text, said):
    funded(folder / "w", USD=1_000).close()
    (folder / "bad.py").write_text(text, "utf-8")
    code, told = tally(folder / "w", "budgets", "solve", B, "--script", str(folder / "bad.py"))
    assert code == 2, told
    assert said in told["error"]["message"]
    assert solution_of(folder / "w") is None


def test_a_script_that_is_a_program_of_another_kind_is_run_as_it_is(folder):
    funded(folder / "w", USD=1_000).close()
    file = folder / "all"
    file.write_text(f"#!{sys.executable}\nprint('unallocated.USD\\t1000')\n", "utf-8")
    assert tally(folder / "w", "budgets", "solve", B, "--script", str(file))[0] == 2
    file.chmod(0o700)
    assert tally(folder / "w", "budgets", "solve", B, "--script", str(file))[0] == 0


# --- models -----------------------------------------------------------------------------------------------

TABLE = '{"cells": {"rent.USD": 600, "ads.USD": "4.00 USD"}}'
ANSWERS = [
    TABLE,
    TABLE.replace('{"cells"', '{"model": "other", "cells"'),
    f"Here you are:\n```json\n{TABLE}\n```\nGood luck!",
    f"I would say {TABLE}.",
    json.dumps({"choices": [{"message": {"content": f"```\n{TABLE}\n```"}}]}),
    json.dumps({"content": [{"type": "text", "text": TABLE}]}),
]


@pytest.mark.req("S0-32")
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_recorded_answer_of_a_model_is_checked_like_anything_and_becomes_the_solution(folder, answer):
    funded(folder / "w", USD=1_000).close()
    (folder / "answer").write_text(answer, "utf-8")
    code, told = tally(
        folder / "w", "budgets", "solve", B, "--answer", str(folder / "answer"), "--model", "m-1"
    )
    assert code == 0, told
    assert solution_of(folder / "w")["solver"] == "model:m-1"
    (folder / "bad").write_text(answer.replace("600", "601"), "utf-8")
    code, told = tally(folder / "w", "budgets", "solve", B, "--answer", str(folder / "bad"), "--model", "m-2")
    assert (code, [x["code"] for x in told["findings"]]) == (1, ["cells_unequal"])
    assert solution_of(folder / "w")["solver"] == "model:m-1"


@pytest.mark.parametrize(
    ("answer", "model"),
    [
        ("I am only a model", "m"),
        (TABLE, ""),
        ('{"cells": []}', "m"),
        ('{"choices": []}', "m"),
        ("[1, 2", "m"),
    ],
)
def test_an_answer_without_a_table_or_a_model_is_no_proposal(folder, answer, model):
    funded(folder / "w", USD=1_000).close()
    (folder / "answer").write_text(answer, "utf-8")
    asked = ("--answer", str(folder / "answer"), *(("--model", model) if model else ()))
    assert tally(folder / "w", "budgets", "solve", B, *asked)[0] in (1, 2)
    assert solution_of(folder / "w") is None


# --- linear programs ----------------------------------------------------------------------------------------

BAKERY = {
    "projects": {
        "bread": {"value": 3, "uses": {"HOURS": 1, "USD": 2_000}},
        "cake": {"value": 2, "uses": {"HOURS": 2, "USD": 500}},
    }
}
BAKES = {"lines": {name: {"resource": "HOURS", "amount": 0} for name in ("bread", "cake")}}


@pytest.mark.req("S0-31")
@pytest.mark.parametrize(
    ("whole", "shares"),
    [
        (True, {"bread.HOURS": 4, "cake.HOURS": 6, "bread.USD": 8_000, "cake.USD": 1_500}),
        (False, {"bread.HOURS": 4, "cake.HOURS": 5, "bread.USD": 8_571, "cake.USD": 1_428}),
    ],
)
def test_two_projects_within_ten_hours_and_a_hundred_dollars_come_to_the_known_optimum(folder, whole, shares):
    """By hand: 30/7 of bread and 20/7 of cake, where both limits bind; 4 and 3 in whole units."""
    pytest.importorskip("highspy")
    funded(folder / "w", BAKES, USD=10_000, HOURS=10).close()
    (folder / "lp.json").write_text(json.dumps({**BAKERY, "whole": whole}), "utf-8")
    code, told = tally(folder / "w", "budgets", "solve", B, "--lp", str(folder / "lp.json"))
    assert code == 0, told
    solution = solution_of(folder / "w")
    cells = {name: cell["value"] for name, cell in solution["cells"].items()}
    assert {name: cells[name] for name in shares} == shares
    assert cells["unallocated.USD"] == 10_000 - shares["bread.USD"] - shares["cake.USD"]
    assert solution["solver"] == "lp@1"
    read = tally(folder / "w", "budgets", B, "--part", "input")[1]["input"]["input"]
    assert read == ({"bread": 4, "cake": 3} if whole else {})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"projects": {"yacht": {"value": 1, "uses": {"USD": 1}}}}, "no line"),
        ({"projects": {"bread": {"value": 1, "uses": {"Stars": 1}}}}, "does not hold"),
        ({"projects": {"bread": {"value": 1, "uses": {"USD": -1}}}}, "less than nothing"),
        ({"projects": {"bread": {"value": 1, "uses": {}}}}, "no optimum"),
        ({"projects": {"bread": {"value": 1.5, "uses": {}}}}, "no linear program"),
        ({"project": {}}, "no linear program"),
    ],
)
def test_a_program_that_is_none_proposes_nothing(folder, document, said):
    pytest.importorskip("highspy")
    funded(folder / "w", BAKES, USD=10_000, HOURS=10).close()
    (folder / "lp.json").write_text(json.dumps(document), "utf-8")
    code, told = tally(folder / "w", "budgets", "solve", B, "--lp", str(folder / "lp.json"))
    assert (code, said in told["error"]["message"]) == (2, True), told


def test_without_highs_the_message_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "highspy", None)
    funded(folder / "w", BAKES, USD=10_000, HOURS=10).close()
    (folder / "lp.json").write_text(json.dumps(BAKERY), "utf-8")
    code, told = tally(folder / "w", "budgets", "solve", B, "--lp", str(folder / "lp.json"))
    assert (code, "pip install splittally[lp]" in told["error"]["message"]) == (2, True)


# --- candidates -------------------------------------------------------------------------------------------

GUARDED = {
    "lines": usd("press", 1_000, "review", 1_000),
    "metrics": {
        "reach": {"description": "readers", "nature": "capped", "threshold": 100},
        "quality": {"description": "stars", "nature": "maximise", "target": 10},
    },
}


@pytest.mark.req("S0-26")
def test_of_two_candidates_the_one_that_drives_no_metric_at_the_cost_of_another_is_preferred(folder):
    funded(folder / "w", GUARDED, USD=1_000).close()
    both = {
        "A": {"cells": {"press.USD": 1_000}, "metrics": {"reach": 300, "quality": 8}},
        "B": {"cells": {"press.USD": 400, "review.USD": 600}, "metrics": {"reach": 100, "quality": 10}},
    }
    (folder / "both.json").write_text(json.dumps(both), "utf-8")
    code, told = tally(folder / "w", "budgets", "solve", B, "--candidates", str(folder / "both.json"))
    assert code == 0, told
    solution = solution_of(folder / "w")
    assert (solution["solver"], solution["cells"]["review.USD"]["value"]) == ("candidate:B", 600)
    both["A"]["metrics"] = {"reach": 300}
    (folder / "both.json").write_text(json.dumps(both), "utf-8")
    assert tally(folder / "w", "budgets", "solve", B, "--candidates", str(folder / "both.json"))[0] == 2


def test_a_plan_without_lines_or_metrics_has_nothing_for_a_program_and_takes_any_candidate(folder):
    pytest.importorskip("highspy")
    funded(folder / "w", {}, USD=1_000).close()
    (folder / "lp.json").write_text(json.dumps(BAKERY), "utf-8")
    assert tally(folder / "w", "budgets", "solve", B, "--lp", str(folder / "lp.json"))[0] == 2
    (folder / "c.json").write_text(json.dumps({"A": {"cells": {"x": 1}, "metrics": {}}}), "utf-8")
    code, told = tally(folder / "w", "budgets", "solve", B, "--candidates", str(folder / "c.json"))
    assert (code, told["solution"]["cells"]) == (0, {"x": {"value": 1, "unit": ""}})


def test_people_see_a_column_with_units_and_what_it_was_solved_from(folder):
    funded(folder / "w", USD=100_000).close()
    dry = run("-w", folder / "w", "budgets", "solve", B, "--dry-run")
    assert [
        line.split() for line in dry.out.splitlines() if line.startswith(("rent", "ads", "unallocated.USD"))
    ] == [
        ["ads.USD", "3.00", "USD"],
        ["rent.USD", "6.00", "USD"],
        ["unallocated.USD", "986.00", "USD"],
    ]
    assert run("-w", folder / "w", "budgets", "solve", B).code == 0
    told = run("-w", folder / "w", "budgets", "solve", B, "--cell", "rent.USD=1.00 USD")
    assert (told.code, "stays in force" in told.out) == (1, True)
    sheet = run("-w", folder / "w", "budgets", B).out
    assert "solved by waterfall@1 for operator" in sheet
    assert "986.00 USD" in sheet
    assert run("-w", folder / "w", "budgets", "solve", "--all").out.startswith("solved 1 of 1")


# --- the command --------------------------------------------------------------------------------------------


def test_all_budgets_are_solved_from_the_parents_down(folder):
    with funded(folder / "w", USD=1_000) as kernel:
        schema = {"resources": {"USD": 2}, "lines": usd("a", 5)}
        for name, parent in (("budgets/a", B), ("budgets/a/a", "budgets/a"), ("budgets/0", "budgets/a/a")):
            done(kernel, "budget.create", budget=name, parent=parent, schema=schema)
    code, told = tally(folder / "w", "budgets", "solve", "--all")
    assert (code, [x["budget"] for x in told["budgets"]]) == (0, [B, "budgets/a", "budgets/a/a", "budgets/0"])
    assert [x["findings"] == [] for x in told["budgets"]] == [True, False, False, False]  # they have no funds


@pytest.mark.parametrize(
    "arguments",
    [
        ("--all", B),
        (),
        ("--all", "--dry-run"),
        ("--all", "--cell", "a=1"),
        (B, "--solver", "formulas", "--cell", "a=1"),
        (B, "--cell", "a"),
        (B, "--cell", "=1"),
        (B, "--input", "a=x"),
        (B, "--cell", "ads.USD=5"),
        (B, "--cell", "ads.USD=5.001 USD"),
    ],
)
def test_options_that_do_not_fit_are_a_mistake_and_nothing_is_asked(folder, arguments):
    funded(folder / "w", USD=1_000).close()
    assert tally(folder / "w", "budgets", "solve", *arguments)[0] in (1, 2)
    assert solution_of(folder / "w") is None
