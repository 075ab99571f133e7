"""A solution as people read it: a column of cells, each with its unit."""

from collections.abc import Mapping
from typing import Any

from splittally.edge.wording import Wording

from splittally_tools.cli.output import Figure, Page, table


def show_column(out: Page, solution: Mapping[str, Any], wording: Wording) -> None:
    """The cells of a solution, where it has any."""
    rows = [(name, Figure(_said(cell, wording))) for name, cell in solution["cells"].items()]
    if rows:
        out.print(table(("cell", "value"), rows))


def _said(cell: Mapping[str, Any], wording: Wording) -> str:
    return wording.amount(cell["value"], cell["unit"]) if cell["unit"] else str(cell["value"])
