"""What a solver is given, and how what it says becomes the params of `budget.solve`.

Rule 1. A solver gets the plan, the books and the hash of both, and states that hash with what it proposes:
        where the books have changed by then, the proposal is refused.
Rule 2. What it says is a table: JSON (a map of names to values, a list of rows, or either as `cells`), or a
        line for each cell, its name and value with a blank or tab between. Numbers are minor units.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from splittally.core.errors import InvalidInput
from splittally.edge.json_values import parse_json


class Proposal(Struct, frozen=True, kw_only=True):
    """Cells by name, by whom, over which input, and from which books."""

    solver: str
    cells: Any
    input: dict[str, int] = {}
    input_hash: bytes | None = None

    def params(self, budget: str) -> dict[str, Any]:
        """The params of `budget.solve`."""
        books = {} if self.input_hash is None else {"input_hash": self.input_hash}
        return {"budget": budget, "solver": self.solver, "cells": self.cells, "input": self.input, **books}


def question_of(row: Mapping[str, Any], given: Mapping[str, int]) -> dict[str, Any]:
    """What a solver is asked about a budget: a row of `Kernel.state.budgets`, and the input it is given."""
    books = row["books"]
    return {
        "budget": row["name"],
        "stage": row["stage"],
        "schema": row["schema"],
        "balance": books["balance"],
        "in_flight": books["in_flight"],
        "metric": books["metric"],
        "input": dict(given),
        "input_hash": books["hash"].hex(),
    }


def table_in(text: str) -> Any:
    """The cells that a text lists; `InvalidInput` where it is no table."""
    if text.lstrip()[:1] in ("{", "["):
        return table_of(parse_json(text))
    rows = [line.split("\t", 1) if "\t" in line else line.split(None, 1) for line in text.splitlines()]
    rows = [row for row in rows if row]
    if not rows or any(len(row) != 2 for row in rows):
        raise InvalidInput("a solver says a table: JSON, or a name and a value a line", field="cells")
    return table_of([[name.strip(), _number(value.strip())] for name, value in rows])


def table_of(document: Any) -> Any:
    """The cells of a document: itself, or what stands in it as `cells`."""
    cells = document.get("cells", document) if isinstance(document, Mapping) else document
    if not isinstance(cells, Mapping | list) or not cells:
        raise InvalidInput("a solver says cells, a map of names to values or a list of rows", field="cells")
    return cells


def _number(text: str) -> int | str:
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() else text
