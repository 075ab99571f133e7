"""Feeding the statistics from a journal, making them anew, and comparing them with the ledger.

Rule 1. The world is only read. No admission ever asks the statistics.
Rule 2. Statistics whose last frame is not in this journal are refused, never mixed with it.
Rule 3. Where statistics and ledger differ, the ledger is right.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from splittally.core.errors import InvalidInput
from splittally.core.state import State
from splittally.runtime.reader import Reader

from splittally_tools.statistics.batch import Account, Batch
from splittally_tools.statistics.store import (
    Cursor,
    Statistics,
    is_ours,
    open_statistics,
    remove,
    replace,
)
from splittally_tools.statistics.transactions import StatisticsDamaged

FILE = "statistics.sqlite"
BATCH_FRAMES = 4_096  # frames of one transaction


class Fed(NamedTuple):
    """What feeding did: where the cursor is now, and how many frames and postings were taken."""

    cursor: Cursor
    frames: int
    postings: int


def update(reader: Reader, path: Path) -> Fed:
    """Take every frame after the cursor; the file is made where there is none."""
    with open_statistics(path, create=True) as statistics:
        return feed(reader, statistics)


def feed(reader: Reader, statistics: Statistics) -> Fed:
    """Take every frame after the cursor, in transactions of `BATCH_FRAMES`."""
    before = statistics.cursor
    require_same(reader, before, statistics.path)
    postings, start = 0, before.size
    while start < reader.head.size:
        batch = statistics.take(reader.records(start, start + BATCH_FRAMES))
        postings, start = postings + batch.postings, batch.size
    return Fed(statistics.cursor, start - before.size, postings)


def rebuild(reader: Reader, path: Path) -> Fed:
    """Make the file anew from the first frame; the old one stands until the new one is whole."""
    if path != reader.folder / FILE and not is_ours(path):
        raise InvalidInput(f"`{path}` holds no statistics; delete it or name another", field="file")
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    remove(fresh)
    try:
        fed = update(reader, fresh)
        replace(fresh, path)
    finally:
        remove(fresh)
    return fed


def require_same(reader: Reader, cursor: Cursor, path: Path) -> None:
    """Raises `StatisticsDamaged` unless the last frame that was read stands in this journal."""
    if not cursor.size:
        return
    size = reader.refresh().size
    if size < cursor.size or reader.record(cursor.size - 1).hash != cursor.hash:
        raise StatisticsDamaged(
            f"the statistics at `{path}` are of another journal: frame {cursor.size - 1} is not the one"
            " that they have read; make them anew with `tally stats rebuild`",
            seq=cursor.size - 1,
        )


# --- comparing ----------------------------------------------------------------------------------


class Difference(NamedTuple):
    """The first thing in which the statistics differ from the ledger; None where one has nothing."""

    what: str
    key: tuple[Any, ...]
    ledger: Any
    statistics: Any


def first_difference(reader: Reader, statistics: Statistics) -> tuple[Cursor, Difference | None]:
    """The cursor, and what differs first at it: accounts, balances, in flight, then windows, each by key."""
    with statistics.held_still():
        cursor = statistics.cursor
        require_same(reader, cursor, statistics.path)
        held: dict[str, dict[Any, Any]] = {
            "account": {(name,): account for name, account in statistics.accounts().items()},
            "balance": statistics.balances(),
            "in_flight": statistics.in_flight(),
            "window": dict(statistics.totals()),
            "segment": dict(statistics.all_digests()),
        }
        discarded = statistics.discarded()
    right = _expected(reader, cursor.size)
    for what in ("window", "segment"):  # what was discarded is no difference
        right[what] = {
            key: row
            for key, row in right[what].items()
            if key.start_ns >= discarded.get(key.per, key.start_ns)
        }
    for what, rows in right.items():
        for key in sorted(rows.keys() | held[what].keys()):
            ours, theirs = rows.get(key), held[what].get(key)
            if ours != theirs:
                return cursor, Difference(what=what, key=tuple(key), ledger=ours, statistics=theirs)
    return cursor, None


def _expected(reader: Reader, size: int) -> dict[str, dict[Any, Any]]:
    """What the ledger says after `size` frames, and what the frames' postings come to."""
    ledger = (reader.state_before(size) if size else State()).ledger
    flying: dict[tuple[str, str], int] = {}
    for hold in ledger.holds.values():
        for draw in hold.draws:
            place = (draw.account, draw.resource)
            flying[place] = flying.get(place, 0) + draw.amount
    batch = Batch(0)
    for record in reader.records(0, size):
        batch.add(record)
    return {
        "account": {
            (name,): Account(account.kind, account.debt_limit) for name, account in ledger.accounts.items()
        },
        "balance": dict(ledger.balances),
        "in_flight": flying,
        "window": batch.totals,
        "segment": batch.digests,
    }
