"""What was spent today: read from a store that somebody else keeps, and shown to the operator.

Rule 1. A store is a SQLite connection, an object that holds one, or a ledger with `session_spend`. A
        connection that has one of the two tables is read itself; the ledger's own sum is not asked then.
Rule 2. Today is the day in UTC. A row whose time cannot be read counts whole, and the digest says undated.
Rule 3. A table without costs is skipped. Where none has costs the spend is unknown, which is not zero.
Rule 4. Stores are only read. What cannot be read raises; its text names no amount and no lane.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict

from splittally.core.errors import BudgetError
from splittally.core.governor.judge import rounded
from splittally.governor.figures import EXACT, exact, exact_or_none

TABLES = ("compare_responses", "chat_turns")
NO_METER = "—"

Now = Callable[[], datetime]

_CONNECTIONS = ("connection", "conn", "_connection", "_conn", "db", "_db")
_STORES = ("store", "_store")
_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
_IS_DATED = f"created_at GLOB '{_DAY}' AND date(created_at) IS NOT NULL"


def utc_now() -> datetime:
    """The host's clock."""
    return datetime.now(UTC)


class Spend(NamedTuple):
    """Today's spend: None where unknown. `lanes` has None for what has no lane; `paid` counts runs."""

    total: Decimal | None
    lanes: dict[str | None, Decimal]
    paid: int | None
    is_undated: bool = False
    has_tables: bool = True  # whether the store is one of spend at all


class SpendDigest(Struct, frozen=True):
    """Today's spend for the standup: in all, by lane with the larger first, and the cap beside it.

    `total_usd` is None without a cost plane; `n_paid_runs` is None where the ledger tells only a sum.
    Lines of `by_lane` are `{lane_id, cost_usd}`; what has no lane stands under None. Operator-private.
    """

    total_usd: float | None
    by_lane: list[dict[str, Any]]
    cap_usd: float | Decimal | None
    n_paid_runs: int | None
    has_cost_plane: bool
    undated: bool = False

    def __post_init__(self) -> None:
        exact_or_none(self.total_usd, "total_usd")
        exact_or_none(self.cap_usd, "cap_usd")

    @classmethod
    def from_store(
        cls, store: Any, cap_usd: float | Decimal | None = None, now: Now = utc_now
    ) -> "SpendDigest":
        """The digest of a store; of None, that of a world without a meter. Raises `BudgetError`."""
        spend = read_spend(store, now)
        lines = sorted(spend.lanes.items(), key=lambda line: (-line[1], line[0] is None, line[0] or ""))
        return cls(
            total_usd=None if spend.total is None else float(spend.total),
            by_lane=[{"lane_id": lane, "cost_usd": float(cost)} for lane, cost in lines if cost],
            cap_usd=cap_usd,
            n_paid_runs=spend.paid,
            has_cost_plane=spend.total is not None,
            undated=spend.is_undated,
        )

    @property
    def over_cap(self) -> bool:
        """Whether the known spend has passed the cap; False without a cap or a cost plane."""
        if self.total_usd is None or self.cap_usd is None:
            return False
        with localcontext(EXACT):
            return rounded(exact(self.total_usd, "total_usd")) > exact(self.cap_usd, "cap_usd")

    @property
    def display(self) -> str:
        """Dollars with four decimals over the cap, as in `$4.7500 / $5.00`; a dash without a meter."""
        if not self.has_cost_plane or self.total_usd is None:
            return NO_METER
        cap = "" if self.cap_usd is None else f" / ${self.cap_usd:.2f}"
        return f"${self.total_usd:.4f}{cap}"

    def as_dict(self) -> dict[str, Any]:
        """The fields, `over_cap` and `display`, ready for JSON."""
        shown = {field: _plain(value) for field, value in asdict(self).items()}
        return {**shown, "over_cap": self.over_cap, "display": self.display}


def read_spend(store: Any, now: Now = utc_now) -> Spend:
    """Today's spend; unknown for None or a store without costs. Raises `BudgetError`."""
    if store is None:
        return Spend(None, {}, 0)
    try:
        connection = _connection_of(store)
        if connection is not None and (_has_tables(connection) or not hasattr(store, "session_spend")):
            spend = _rows_of_today(connection, _day(now()))
            return spend._replace(has_tables=_has_tables(connection))
        if hasattr(store, "session_spend"):
            return _told(store.session_spend())
    except BudgetError:
        raise
    except Exception as error:  # the store is foreign code: whatever it raises, the read did not complete
        raise BudgetError("the spend cannot be read; see the cause", cause=type(error).__name__) from error
    raise BudgetError("a ledger has `session_spend` or holds a sqlite3 connection", field="ledger")


def _day(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise BudgetError("`now` must give a time with its zone", field="now")
    return moment.astimezone(UTC).date().isoformat()


def _connection_of(store: Any) -> sqlite3.Connection | None:
    if isinstance(store, sqlite3.Connection):
        return store
    inner = [getattr(store, name, None) for name in _STORES]
    for holder in (store, *inner):
        held = [getattr(holder, name, None) for name in _CONNECTIONS]
        for value in (holder, *held, *getattr(holder, "__dict__", {}).values()):
            if isinstance(value, sqlite3.Connection):
                return value
    return None


def _rows(connection: sqlite3.Connection, query: str, *values: str) -> Iterator[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None  # whatever the store prefers, rows are read by position
    yield from cursor.execute(query, values)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {name.lower() for (name,) in _rows(connection, "SELECT name FROM pragma_table_info(?)", table)}


def _has_tables(connection: sqlite3.Connection) -> bool:
    return any(_columns(connection, table) for table in TABLES)


def _rows_of_today(connection: sqlite3.Connection, day: str) -> Spend:
    lanes: dict[str | None, Decimal] = {}
    paid, is_undated, has_costs = 0, False, False
    with localcontext(EXACT):
        for table in TABLES:
            columns = _columns(connection, table)
            if "cost_usd" not in columns:
                continue
            has_costs = True
            for lane, cost, is_dated in _rows(connection, _query(table, columns), day):
                figure = exact(cost, "cost_usd")
                lanes[lane] = lanes.get(lane, Decimal(0)) + figure
                paid += figure > 0
                is_undated |= not is_dated
        total = sum(lanes.values(), Decimal(0)) if has_costs else None
    return Spend(total=total, lanes=lanes, paid=paid, is_undated=is_undated)


def _query(table: str, columns: set[str]) -> str:
    """Lane, cost and whether the time was readable, of rows of the day `?` and of those without a day."""
    lane = "CAST(NULLIF(lane_id, '') AS TEXT)" if "lane_id" in columns else "NULL"
    dated = _IS_DATED if "created_at" in columns else "0"
    today = "date(created_at)" if "created_at" in columns else "NULL"
    return (
        f"SELECT {lane}, cost_usd, CASE WHEN {dated} THEN 1 ELSE 0 END FROM {table} "
        f"WHERE cost_usd IS NOT NULL AND CASE WHEN {dated} THEN {today} = ? ELSE 1 END"
    )


def _told(spend: object) -> Spend:
    """What a ledger says of itself: a number, None, or something with `total_usd`."""
    told = spend["total_usd"] if isinstance(spend, Mapping) else getattr(spend, "total_usd", spend)
    total = exact_or_none(told, "session_spend")
    return Spend(total, {} if total is None else {None: total}, None)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
