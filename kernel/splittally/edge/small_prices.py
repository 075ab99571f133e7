"""Prices that are too small for the unit that their resource is counted in.

A call is rounded up once, to a whole minor unit. Where a usual call costs less than a few of them, much of
what is charged is rounding. That is said when the price comes in, with the scale at which it is not so.

Rule 1. A usual call has `USUAL_TOKENS` tokens, at the cheaper of prompt and completion that is not 0.
Rule 2. It is told where rounding may add more than a tenth: such a call costs less than `UNITS_MIN` units.
Rule 3. It is a warning beside the answer, never a refusal.

Example. USD with 2 decimals, prompt 0.15 USD for 10^6 tokens: 1,000 tokens cost 0.015 cents and would be
charged as 1. At scale 5 they cost 15 of the units, so `price_below_unit` says `scale_to_use: 5`.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from splittally.core.canonical import decode, encode
from splittally.core.findings import Finding, find
from splittally.core.native.money import SCALE_MAX
from splittally.core.prices import PRICES, REQUIRED, RESOURCE, PriceTable, read_book, table_fault
from splittally.core.state import State
from splittally.edge.priced_params import HASH, NAME

USUAL_TOKENS = 1_000
UNITS_MIN = 10
PRICE_MIN = UNITS_MIN * 10**6 // USUAL_TOKENS  # minor units for 10^6 tokens
GRANTS_NAMED_MAX = 16
NOTES = (NAME, HASH)


class _Table(NamedTuple):
    """A table in the params of a grant: the snapshot's name, empty for none, its resource and its rows."""

    snapshot: str
    resource: str
    rows: list[dict[str, Any]]


def below_unit(state: State, names: Iterable[str]) -> list[Finding]:
    """A finding for each price table of these grants that has a price which is too small."""
    tables: dict[bytes, _Table] = {}
    holders: dict[bytes, list[str]] = {}
    for name in names:
        for digest, table in _tables(state, state.caps.grants[name].params):
            tables[digest] = table
            holders.setdefault(digest, []).append(name)
    found = [_finding(state, table, holders[digest]) for digest, table in tables.items()]
    return [finding for finding in found if finding is not None]


def _tables(state: State, params: bytes) -> list[tuple[bytes, _Table]]:
    """The tables in some cap params, each with what names it."""
    data = state.caps.blobs.get(params, b"")
    if PRICES.encode() not in data:
        return []
    book = read_book(data)
    if book is not None:
        read = [(snapshot, state.caps.price_table(snapshot.hash)) for snapshot in book.snapshots]
        return [
            (snapshot.hash, _Table(snapshot.name, snapshot.resource, table.rows()))
            for snapshot, table in read
            if table is not None
        ]
    found = decode(data)
    prices = found.get(PRICES) if type(found) is dict else None
    if type(prices) is not dict:
        return []
    table = {key: value for key, value in prices.items() if key not in NOTES}
    if table_fault(encode(table)):
        return []
    return [(params, _Table(str(prices.get(NAME, "")), table[RESOURCE], PriceTable(params, table).rows()))]


def _finding(state: State, table: _Table, grants: list[str]) -> Finding | None:
    resource = state.ledger.resources.get(table.resource)
    if resource is None:
        return None  # a dimension that no account holds has no unit to be too small for
    cheapest = [(_cheaper(row), row.get("model", "")) for row in table.rows]
    small = sorted(pair for pair in cheapest if 0 < pair[0] < PRICE_MIN)
    if not small:
        return None
    price, model = small[0]
    scale = resource.scale
    while price < PRICE_MIN and scale < SCALE_MAX:
        price, scale = price * 10, scale + 1
    return find(
        "price_below_unit",
        resource=resource.name,
        scale=resource.scale,
        scale_to_use=scale,
        model=model,
        models=len(small),
        price=small[0][0],
        snapshot=table.snapshot,
        grants=sorted(grants)[:GRANTS_NAMED_MAX],
    )


def _cheaper(row: dict[str, Any]) -> int:
    """The cheaper of the two prices of a row that is not 0; 0 where both are."""
    return min((row[key] for key in REQUIRED if row[key]), default=0)
