"""Who spent what, on what, in which period: sums of what was charged, by whatever they are asked for.

Rule 1. An intent counts once, under the leaf of its chain. With `under` only what descends from that grant
        counts, with what that grant itself was charged: so a sum is what its counter for life counted.
Rule 2. Amounts of different resources are never added: each row is of one. What nothing limits counts, too.
Rule 3. What is charged or paid belongs to the period of the record that says so. Windows are those of the
        calendar that the world has now.
Rule 4. Memory goes with the rows, not with the frames.

Example. `card` was charged 9 USD by two receipts, paid by `accounts/team`, and got 2 back:

    spend(by=["grant"])  ->  [{grant: card, resource: USD, charges: 2, charged: 900, refunded: 200, net: 700,
                               paid: 900, repaid: 200}]
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from splittally.core.errors import InvalidInput
from splittally.core.ledger.windows import window_start
from splittally.core.state import State
from splittally.core.types import CALENDAR_WINDOWS
from splittally.edge.arguments import require
from splittally.edge.labels import has_labels, sealed_labels
from splittally.edge.moments import When
from splittally.edge.near import meant
from splittally.runtime.charges import REFUND, Book, Charged, charges
from splittally.runtime.named import GRANTS, KINDS, OUTCOMES, PRINCIPALS, RESOURCES, require_named
from splittally.runtime.rows import Row

GRANT, RESOURCE, LABEL, WINDOW = "grant", "resource", "label:", "window:"
GROUPS = (GRANT, "principal", "kind", "outcome", RESOURCE)
NARROWING = (GRANTS, PRINCIPALS, KINDS, OUTCOMES, RESOURCES)
SUMS = ("charges", "charged", "refunded", "net", "paid", "repaid")
Key = tuple[Any, ...]


class SpendQuery(NamedTuple):
    """What is asked: the groups, and what narrows them. `by` are `GROUPS`, `label:NAME`, `window:PERIOD`."""

    by: tuple[str, ...] = (GRANT,)
    since: When | None = None
    until: When | None = None
    under: str | None = None
    grant: str | None = None
    principal: str | None = None
    kind: str | None = None
    resource: str | None = None
    outcome: str | None = None
    labels: Mapping[str, str] = {}


def spend(
    book: Book, state: State, query: SpendQuery, seen: Callable[[int], None] = lambda frames: None
) -> list[Row]:
    """A row for each group and resource, in the order of their keys; `InvalidInput` where a name is none.

    A row has the groups by name (a window by its start in nanoseconds, a label that is not there as empty
    text), `resource`, and `SUMS`. `seen` hears of each frame that is read.
    """
    _require_query(book, state, query)
    by = [name for name in query.by if name != RESOURCE]  # which each row has
    start, stop = book.frames_between(query.since, query.until)
    stop = state.size if stop is None else min(stop, state.size)
    sums: dict[Key, dict[str, int]] = {}
    for charged in charges(book, start, stop, seen):
        if not _is_wanted(charged, query):
            continue
        group = tuple(_group(state, charged, name) for name in by)
        for resource, amount, paid in _amounts(charged, query):
            total = sums.setdefault((*group, resource), dict.fromkeys(SUMS, 0))
            _add(total, charged.how == REFUND, amount, paid)
    return [Row(dict(zip((*by, RESOURCE), key, strict=True)), **sums[key]) for key in sorted(sums)]


def totals(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The sums of rows, one for each resource."""
    found: dict[str, Row] = {}
    for row in rows:
        total = found.setdefault(row[RESOURCE], Row(resource=row[RESOURCE], **dict.fromkeys(SUMS, 0)))
        for name in SUMS:
            total[name] += row[name]
    return [found[name] for name in sorted(found)]


def require_groups(by: Any) -> tuple[str, ...]:
    """The groups that are asked for, each once; `InvalidInput` where one is none."""
    if isinstance(by, str) or not isinstance(by, Sequence):
        raise InvalidInput("`by` is a list of groups, such as ['grant', 'window:day']", field="by")
    known = [*GROUPS, *(WINDOW + period for period in CALENDAR_WINDOWS)]
    for name in by:
        is_label = type(name) is str and name.startswith(LABEL) and len(name) > len(LABEL)
        if name not in known and not is_label:
            text = f"groups are {', '.join(GROUPS)}, {LABEL}NAME and {WINDOW}PERIOD, not `{name}`"
            raise InvalidInput(text + meant(str(name), known), field="by")
    return tuple(dict.fromkeys(by))


def _require_query(book: Book, state: State, query: SpendQuery) -> None:
    require_groups(query.by)
    sealed_labels(query.labels)
    for names, field in ((GRANTS, "under"), *((x, x.sort) for x in NARROWING)):
        name = getattr(query, field)
        if name is not None:
            require_named(state, book, names, require(name, str, field, "a name"))


def _is_wanted(charged: Charged, query: SpendQuery) -> bool:
    """Whether an intent is one of those that are asked for."""
    asked = charged.asked
    told = (
        (query.grant, charged.grant),
        (query.principal, asked.principal),
        (query.kind, asked.kind),
        (query.outcome, asked.outcome),
    )
    return all(wanted in (None, value) for wanted, value in told) and has_labels(asked.labels, query.labels)


def _group(state: State, charged: Charged, name: str) -> Any:
    """What a charge counts under in this group."""
    match name:
        case "grant":
            return charged.grant
        case "principal":
            return charged.asked.principal
        case "kind":
            return charged.asked.kind
        case "outcome":
            return charged.asked.outcome
    if name.startswith(LABEL):
        return charged.asked.labels.get(name.removeprefix(LABEL), "")
    per = name.removeprefix(WINDOW)
    return window_start(per, charged.at_ns, state.offset_ns, state.ledger.zones)


def _amounts(charged: Charged, query: SpendQuery) -> Iterator[tuple[str, int, int]]:
    """Each resource that was charged or paid, with both amounts."""
    amounts = charged.leaf
    if query.under is not None:
        legs = dict(charged.legs)
        if query.under not in legs:
            return
        amounts = legs[query.under]
    paid = charged.paid_by_resource
    for resource in {**amounts, **paid}:
        if query.resource in (None, resource):
            yield resource, amounts.get(resource, 0), paid.get(resource, 0)


def _add(total: dict[str, int], is_refund: bool, amount: int, paid: int) -> None:
    if is_refund:
        total["refunded"] += amount
        total["repaid"] += paid
    else:
        total["charges"] += 1
        total["charged"] += amount
        total["paid"] += paid
    total["net"] = total["charged"] - total["refunded"]
