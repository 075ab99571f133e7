"""Views for a caller: by key, or page by page, and only what the caller may see.

Rule 1. A page has at most `PAGE_MAX` rows and names where the next begins; nothing gives a whole table.
Rule 2. A row that the caller may not see is as one that is not there.
"""

from collections.abc import Callable, Mapping
from typing import Any

from splittally.edge.answer_lines import readable
from splittally.host.service.problems import not_found
from splittally.runtime.callers import Caller
from splittally.runtime.queries import Queries
from splittally.runtime.table import Table

PAGE_ROWS, PAGE_MAX = 100, 1_000
Seen = Callable[[Caller, Queries, str, Any], bool]


def _own_grant(caller: Caller, state: Queries, key: str, row: Any) -> bool:
    return bool(row.holder == caller.principal)


def _own_intent(caller: Caller, state: Queries, key: Any, row: Any) -> bool:
    return bool(row.principal == caller.principal)


def _of_own_grant(caller: Caller, state: Queries, key: str, row: Any) -> bool:
    grant = state.grants.get(key)
    return grant is not None and grant.holder == caller.principal


def _drawn_on(caller: Caller, state: Queries, key: str, row: Any) -> bool:
    """An account of a grant that the caller holds."""
    return any(key in _accounts(grant) for grant in state.grants.values() if grant.holder == caller.principal)


def _accounts(grant: Any) -> set[str]:
    payers = {payer.account for several in grant.payers.values() for payer in several}
    return {*grant.draws_on.values(), *payers}


def _nobody(caller: Caller, state: Queries, key: str, row: Any) -> bool:
    return False


TABLES: dict[str, tuple[Callable[[Queries], Table[Any, Any]], Seen]] = {
    "grants": (lambda state: state.grants, _own_grant),
    "counters": (lambda state: state.counters, _of_own_grant),
    "reservations": (lambda state: state.reservations, _own_intent),
    "accounts": (lambda state: state.accounts, _drawn_on),
    "budgets": (lambda state: state.budgets, _nobody),
    "resources": (lambda state: state.resources, lambda *_: True),
}


def page(
    state: Queries, caller: Caller, table: str, after: str | None = None, limit: int = PAGE_ROWS
) -> dict[str, Any]:
    """`items`, each with its `key`, and `next`, the key after which the next page begins, or null."""
    find, may_see = TABLES[table]
    rows, start = find(state), None if after is None else _key(table, after)
    items: list[dict[str, Any]] = []
    while True:
        found = rows.page(start, limit)
        for key, row in found:
            start = key
            if caller.may_see_all or may_see(caller, state, key, row):
                items.append({"key": readable(key), **row_json(row)})
                if len(items) == limit:
                    return {"items": items, "next": readable(key)}
        if len(found) < limit:
            return {"items": items, "next": None}


def row(state: Queries, caller: Caller, table: str, name: str) -> dict[str, Any]:
    """One row; `Problem` 404 where there is none that the caller may see."""
    find, may_see = TABLES[table]
    key = _key(table, name)
    found = find(state).get(key)
    if found is None or not (caller.may_see_all or may_see(caller, state, key, found)):
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
