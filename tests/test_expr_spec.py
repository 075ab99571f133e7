"""What the page on expressions shows is what the code does: its tables are read from the page."""

import re
from pathlib import Path

import pytest
from splittally.core import expr, limits
from splittally.core.expr import ANY, FAULT_CODES, ExprFault
from splittally.edge.json_values import parse_json

PAGE = (Path(__file__).parent.parent / "spec" / "expressions.md").read_text()
PARAMS = parse_json(re.findall(r"Here `params` is `(.*)`\.", PAGE)[0])


def table(heading: str) -> list[list[str]]:
    rows = PAGE.split(f"| {heading} |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [re.split(r"(?<!\\)\|", row.strip()[1:-1]) for row in rows]
    return [[cell.strip().strip("`").replace("\\|", "|") for cell in row] for row in cells]


@pytest.mark.parametrize(("text", "meant"), table("expression | value"))
def test_an_expression_of_the_page_has_the_value_of_the_page(text: str, meant: str) -> None:
    found = expr.compile(text, {"params": ANY}, ANY).evaluate({"params": PARAMS})
    assert repr(found) == repr(parse_json(meant))


def test_the_version_of_the_page_is_the_version_of_the_code() -> None:
    assert f"This is version {expr.EXPRESSION_VERSION} of the language" in PAGE


def test_the_faults_of_the_page_are_the_faults_of_the_code() -> None:
    rows = table("code | when | example")
    assert [row[0] for row in rows] == list(FAULT_CODES)
    for code, _, text in rows:
        if text:
            found = expr.compile(text, {"params": ANY}).evaluate({"params": PARAMS})
            assert type(found) is ExprFault and found.code == code


def test_the_bounds_of_the_page_are_the_bounds_of_the_code() -> None:
    rows = table("bound | number | of what")
    assert {row[0]: int(row[1]) for row in rows} == {
        name: number for name, number in vars(limits).items() if name.startswith("EXPR_")
    }
