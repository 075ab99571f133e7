"""A plan that contradicts itself is refused at every door by which plans come in, with a code of its own."""

import json

import pytest
import splittally
from splittally import Intent

from tests.rows.worlds import codes, tally

B = "budgets/b"
SOUND = {"resources": {"USD": 2}}


def metrics(**each):
    return {"metrics": {name: {"description": "visits", "nature": "output", **x} for name, x in each.items()}}


def formulas(**texts):
    return {name: {"value": text} for name, text in texts.items()}


IMPOSSIBLE = {
    "a least above the most": (metrics(m={"minimum": 9, "maximum": 5}), "plan_impossible"),
    "a target beyond the most": (metrics(m={"target": 9, "maximum": 5}), "plan_impossible"),
    "a threshold beyond the most": (metrics(m={"threshold": 9, "maximum": 5}), "plan_impossible"),
    "more votes than voters": ({"quorum": {"agree": 3, "of": ["ann", "bob"]}}, "plan_impossible"),
    "formulas in a circle": ({"formulas": formulas(a="cell.b", b="cell.a")}, "formula_cycle"),
    "weights that lack a part": (metrics(m={}, c={"weights": {"m": 9}, "whole": 10}), "weights_unequal"),
}


def create(kernel, schema, folder):
    return kernel.native("budget.create", budget="budgets/new", schema=schema)


def amend(kernel, schema, folder):
    return kernel.native("budget.amend", budget=B, schema=schema)


def migrate(kernel, schema, folder):
    return kernel.native("budget.migrate", budget="budgets/new", source=B, schema=schema)


def propose(kernel, schema, folder):
    return kernel.native("budget.propose", budget=B, name="draft", what="amend", schema=schema)


def manifest(kernel, schema, folder):
    return kernel.apply({"budgets": {"budgets/new": {"schema": schema}}})


def amend_by_manifest(kernel, schema, folder):
    return kernel.apply({"budgets": {B: {"schema": schema}}})


def in_a_group(kernel, schema, folder):
    params = {"budget": "budgets/new", "schema": schema}
    (decision,) = kernel.submit([Intent("budget.create", params, "root")], mode="all")
    return decision


DOORS = (create, amend, migrate, propose, manifest, amend_by_manifest, in_a_group)


@pytest.mark.req("S0-39", "X0-17")
@pytest.mark.parametrize(("more", "code"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_plan_that_contradicts_itself_comes_in_by_no_door(door, more, code, tmp_path):
    with splittally.open(None, clock="given") as kernel:
        assert kernel.native("budget.create", budget=B, schema=SOUND).allowed
        before = kernel.state.budgets[B].schema_hash
        decision = door(kernel, {**SOUND, **more}, tmp_path)
        assert not decision.allowed
        assert code in codes(decision)
        assert (kernel.state.budgets[B].schema_hash, set(kernel.state.budgets)) == (before, {B})


@pytest.mark.parametrize(("more", "code"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_plan_of_a_file_is_refused_and_said_in_words(folder, more, code):
    splittally.open(folder / "w", clock="given").close()
    (folder / "plan.json").write_text(json.dumps({**SOUND, **more}))
    told, document = tally(folder / "w", "budgets", "import", "budgets/new", str(folder / "plan.json"))
    assert told == 1
    assert code in [finding["code"] for finding in document["findings"]]
    assert "budgets/new" not in tally(folder / "w", "budgets")[1]["budgets"]


def test_what_just_fits_is_no_contradiction():
    with splittally.open(None, clock="given") as kernel:
        fits = {"minimum": 5, "maximum": 5, "target": 5, "threshold": 5}
        schema = {
            **SOUND,
            **metrics(m=fits, c={"weights": {"m": 10}, "whole": 10}),
            "formulas": formulas(a="cell.b", b="1"),
            "quorum": {"agree": 2, "of": ["ann", "bob"]},
        }
        assert kernel.native("budget.create", budget=B, schema=schema).allowed
