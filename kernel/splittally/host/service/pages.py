"""Views for a caller: by key, or page by page, and only what the caller may see.

Rule 1. A page has at most `PAGE_MAX` rows and names where the next begins; nothing gives a whole table.
Rule 2. A row that the caller may not see is as one that is not there (`own_queries.py`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from splittally.edge.answer_lines import readable
from splittally.host.service.problems import not_found
from splittally.runtime.callers import Caller
from splittally.runtime.own_queries import OwnQueries
from splittally.runtime.queries import Queries
from splittally.runtime.table import Table

PAGE_ROWS, PAGE_MAX = 100, 1_000
TABLES: dict[str, Callable[[Queries], Table[Any, Any]]] = {
    "grants": lambda state: state.grants,
    "counters": lambda state: state.counters,
    "reservations": lambda state: state.reservations,
    "accounts": lambda state: state.accounts,
    "budgets": lambda state: state.budgets,
    "resources": lambda state: state.resources,
}


def seen_by(caller: Caller, state: Queries) -> Queries:
    """The views as this caller may see them."""
    return state if caller.may_see_all else OwnQueries(state, caller.principal)


def page(
    state: Queries, caller: Caller, table: str, after: str | None = None, limit: int = PAGE_ROWS
) -> dict[str, Any]:
    """`items`, each with its `key`, and `next`, the key after which the next page begins, or null."""
    rows = TABLES[table](seen_by(caller, state))
    found = rows.page(None if after is None else _key(table, after), limit)
    items = [{"key": readable(key), **row_json(row)} for key, row in found]
    return {"items": items, "next": items[-1]["key"] if len(items) == limit else None}


def row(state: Queries, caller: Caller, table: str, name: str) -> dict[str, Any]:
    """One row; `Problem` 404 where there is none that the caller may see."""
    key = _key(table, name)
    found = TABLES[table](seen_by(caller, state)).get(key)
    if found is None:
        raise not_found(f"{table.removesuffix('s')} `{name}`")
    return {"key": readable(key), **row_json(found)}


def row_json(row: Any) -> dict[str, Any]:
    """A row as a document; one that is a table itself as its rows."""
    shown = readable(dict(row.items()) if isinstance(row, Table) else row)
    assert isinstance(shown, Mapping)
    return dict(shown)


def _key(table: str, text: str) -> Any:
    if table != "reservations":
        return text
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise not_found(f"reservation `{text}`") from None
