"""The statistics in one SQLite file: what postings amount to up to a cursor.

Rule 1. The cursor, the hash of the last frame that was read and what the frames changed are written in
        one transaction; taking the same frames again changes nothing.
Rule 2. The journal is right. The file may lag, be deleted or be damaged: it is rebuilt, never repaired.
Rule 3. Amounts are kept as decimal text: they pass 2^63, and SQLite's integers do not.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import astuple
from splittally.runtime.record import Record

from splittally_tools.statistics.batch import Account, Batch, Key, Total
from splittally_tools.statistics.calendar import WINDOWS, Kept
from splittally_tools.statistics.digests import Digest, Place
from splittally_tools.statistics.transactions import NoStatistics, StatisticsDamaged, told, transaction

APPLICATION_ID = 0x54414C59  # `TALY`, at byte 68 of the file
VERSION = 4
WAIT_SECONDS = 10.0
_HEADER = b"SQLite format 3\x00"
_BESIDE = ("-journal", "-wal", "-shm")  # what SQLite leaves beside a file after a crash
_TABLES = """
CREATE TABLE cursor (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, hash BLOB NOT NULL,
    now_ns INTEGER NOT NULL, offset_ns INTEGER NOT NULL, zone BLOB NOT NULL) STRICT;
CREATE TABLE accounts (account TEXT PRIMARY KEY, kind TEXT NOT NULL, debt_limit TEXT NOT NULL) STRICT;
CREATE TABLE balances (account TEXT, resource TEXT, amount TEXT NOT NULL,
    PRIMARY KEY (account, resource)) STRICT, WITHOUT ROWID;
CREATE TABLE draws (intent_hash BLOB, place INTEGER, account TEXT NOT NULL, resource TEXT NOT NULL,
    amount TEXT NOT NULL, PRIMARY KEY (intent_hash, place)) STRICT, WITHOUT ROWID;
CREATE TABLE totals (account TEXT, resource TEXT, direction TEXT, per TEXT, start_ns INTEGER,
    count INTEGER NOT NULL, sum TEXT NOT NULL, min TEXT NOT NULL, max TEXT NOT NULL, last TEXT NOT NULL,
    PRIMARY KEY (account, resource, direction, per, start_ns)) STRICT, WITHOUT ROWID;
CREATE TABLE digests (budget TEXT, metric TEXT, segments TEXT, per TEXT, start_ns INTEGER,
    is_late INTEGER,
    count INTEGER NOT NULL, sum TEXT NOT NULL, min TEXT NOT NULL, max TEXT NOT NULL, last TEXT NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (budget, metric, segments, per, start_ns, is_late)) STRICT, WITHOUT ROWID;
CREATE TABLE discarded (per TEXT PRIMARY KEY, before_ns INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO cursor VALUES (1, 0, x'', 0, 0, x'');
"""


class Cursor(NamedTuple):
    """How many frames were read, hash and time of the last, and where the world's windows stand after it."""

    size: int
    hash: bytes
    now_ns: int
    kept: Kept


class Statistics:
    """An open file of statistics. Made by `open_statistics`."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self.db = db

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()

    # --- writing -------------------------------------------------------------------------------

    def take(self, records: Iterable[Record]) -> Batch:
        """Add frames that follow each other from the cursor or before it; what they came to."""
        with told(self.path), transaction(self.db, "IMMEDIATE"):
            before = self._cursor()
            batch = Batch(before.size, before.kept)
            for record in records:
                batch.add(record)
            if batch.size > before.size:
                self._merge(batch)
        return batch

    def _merge(self, batch: Batch) -> None:
        db = self.db
        gone = dict(db.execute("SELECT per, before_ns FROM discarded").fetchall())
        for key, total in batch.totals.items():
            if _is_gone(key, gone):
                continue
            found = self._totals("account=? AND resource=? AND direction=? AND per=? AND start_ns=?", key)
            merged = found[0][1].then(total) if found else total
            count, *amounts = astuple(merged)
            row = (*key, count, *map(str, amounts))
            db.execute("INSERT OR REPLACE INTO totals VALUES (?,?,?,?,?,?,?,?,?,?)", row)
        for where, digest in batch.digests.items():
            if _is_gone(where, gone):
                continue
            known = self._digests(
                "budget=? AND metric=? AND segments=? AND per=? AND start_ns=? AND is_late=?", where
            )
            count, *sums, at = astuple(known[0][1].with_(digest) if known else digest)
            row = (*where, count, *map(str, sums), at)
            db.execute("INSERT OR REPLACE INTO digests VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", row)
        for place, moved in batch.moved.items():
            rows = db.execute("SELECT amount FROM balances WHERE account=? AND resource=?", place).fetchall()
            amount = moved + (int(rows[0][0]) if rows else 0)
            db.execute("INSERT OR REPLACE INTO balances VALUES (?,?,?)", (*place, str(amount)))
        for name, account in batch.accounts.items():
            db.execute("DELETE FROM accounts WHERE account=?", (name,))
            if account is not None:
                limit = str(account.debt_limit)
                db.execute("INSERT INTO accounts VALUES (?,?,?)", (name, account.kind, limit))
        db.executemany("DELETE FROM draws WHERE intent_hash=?", [(digest,) for digest in batch.ended])
        db.executemany(
            "INSERT OR REPLACE INTO draws VALUES (?,?,?,?,?)",
            [
                (digest, place, draw.account, draw.resource, str(draw.amount))
                for digest, draws in batch.drawn.items()
                for place, draw in enumerate(draws)
            ],
        )
        db.execute(
            "UPDATE cursor SET size=?, hash=?, now_ns=?, offset_ns=?, zone=?",
            (batch.size, batch.hash, batch.now_ns, *batch.kept),
        )

    def discard(self, finer_than: str, older_ns: int) -> dict[str, int]:
        """Drop windows finer than these that began so long before the cursor; how many of each kind.

        What the frames said of them is in the coarser windows: both were written in one transaction. The
        finer windows of one coarser window go together.
        """
        dropped = {}
        with told(self.path), transaction(self.db, "IMMEDIATE"):
            cursor = self._cursor()
            before_ns = cursor.kept.start(finer_than, cursor.now_ns - older_ns)
            for per in WINDOWS[: WINDOWS.index(finer_than)]:
                counts = [
                    self.db.execute(
                        f"DELETE FROM {table} WHERE per=? AND start_ns<?", (per, before_ns)
                    ).rowcount
                    for table in ("totals", "digests")
                ]
                self.db.execute(
                    "INSERT INTO discarded VALUES (?,?) ON CONFLICT (per) DO UPDATE SET"
                    " before_ns=max(before_ns, excluded.before_ns)",
                    (per, before_ns),
                )
                dropped[per] = sum(counts)
        return dropped

    # --- reading -------------------------------------------------------------------------------

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """What is read inside is of one cursor, whoever writes meanwhile."""
        with told(self.path), transaction(self.db, "DEFERRED"):
            yield

    @property
    def cursor(self) -> Cursor:
        """How far the journal was read."""
        with told(self.path):
            return self._cursor()

    def _cursor(self) -> Cursor:
        ((size, hash_, now_ns, offset_ns, zone),) = self.db.execute(
            "SELECT size, hash, now_ns, offset_ns, zone FROM cursor"
        ).fetchall()
        kept = Kept(offset_ns, bytes(zone))
        return Cursor(size=size, hash=bytes(hash_), now_ns=now_ns, kept=kept)

    def accounts(self) -> dict[str, Account]:
        """Accounts by name, as they are defined."""
        with told(self.path):
            rows = self.db.execute("SELECT account, kind, debt_limit FROM accounts ORDER BY account")
            return {name: Account(kind, int(limit)) for name, kind, limit in rows}

    def balances(self) -> dict[tuple[str, str], int]:
        """Balances by account and resource."""
        with told(self.path):
            rows = self.db.execute("SELECT account, resource, amount FROM balances ORDER BY 1, 2")
            return {(account, resource): int(amount) for account, resource, amount in rows}

    def in_flight(self) -> dict[tuple[str, str], int]:
        """What open holds drew, by account and resource."""
        found: dict[tuple[str, str], int] = {}
        with told(self.path):
            for account, resource, amount in self.db.execute(
                "SELECT account, resource, amount FROM draws ORDER BY 1, 2"
            ):
                found[account, resource] = found.get((account, resource), 0) + int(amount)
        return found

    def totals(
        self,
        per: str = "",
        account: str | None = None,
        resource: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> list[tuple[Key, Total]]:
        """The windows of one kind, or of every kind, that start in `since_ns` ... `until_ns`, by key."""
        wanted = (
            ("per=?", per or None),
            ("account=?", account),
            ("resource=?", resource),
            ("start_ns>=?", since_ns),
            ("start_ns<=?", until_ns),
        )
        said = [(condition, value) for condition, value in wanted if value is not None]
        with told(self.path):
            return self._totals(" AND ".join(text for text, _ in said) or "1", [value for _, value in said])

    def digests(
        self, budget: str, metric: str, per: str, since_ns: int | None = None, until_ns: int | None = None
    ) -> list[tuple[Place, Digest]]:
        """The digests of a metric's segments in windows of one kind that start in these times, by key."""
        bounds = (-(2**63) if since_ns is None else since_ns, 2**63 - 1 if until_ns is None else until_ns)
        condition = "budget=? AND metric=? AND per=? AND start_ns BETWEEN ? AND ?"
        with told(self.path):
            return self._digests(condition, (budget, metric, per, *bounds))

    def all_digests(self) -> dict[Place, Digest]:
        """Every digest of segments."""
        with told(self.path):
            return dict(self._digests("1", ()))

    def _digests(self, condition: str, values: Iterable[Any]) -> list[tuple[Place, Digest]]:
        rows = self.db.execute(
            f"SELECT * FROM digests WHERE {condition} ORDER BY 1, 2, 3, 5, 4, 6", tuple(values)
        )
        return [(Place._make((*row[:5], bool(row[5]))), Digest(*map(int, row[6:]))) for row in rows]

    def discarded(self) -> dict[str, int]:
        """Of each kind of window before when none is kept."""
        with told(self.path):
            return dict(self.db.execute("SELECT per, before_ns FROM discarded ORDER BY per").fetchall())

    def _totals(self, condition: str, values: Iterable[Any]) -> list[tuple[Key, Total]]:
        rows = self.db.execute(
            f"SELECT * FROM totals WHERE {condition} ORDER BY 1, 2, 3, 5, 4", tuple(values)
        )
        return [(Key(*row[:5]), Total(row[5], *map(int, row[6:]))) for row in rows]


def _is_gone(key: Key | Place, before: dict[str, int]) -> bool:
    """Whether a row is of a window that was discarded: what comes late for it is in the coarser ones only."""
    return key.start_ns < before.get(key.per, key.start_ns)


# --- opening ------------------------------------------------------------------------------------


@contextmanager
def open_statistics(path: Path, *, create: bool = False) -> Iterator[Statistics]:
    """The file at `path`; `NoStatistics` where it is missing and may not be made."""
    if not create and (not path.is_file() or not path.stat().st_size):
        raise NoStatistics(
            f"there are no statistics at `{path}`; make them with `tally stats update`", path=str(path)
        )
    with told(path):
        mode = "rwc" if create else "rw"
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=WAIT_SECONDS, isolation_level=None
        )
    try:
        with told(path):
            _prepare(path, db, create)
        yield Statistics(path, db)
    finally:
        db.close()


def _prepare(path: Path, db: sqlite3.Connection, create: bool) -> None:
    if create:
        with transaction(db, "IMMEDIATE"):
            if not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                db.execute(f"PRAGMA application_id={APPLICATION_ID}")
                db.execute(f"PRAGMA user_version={VERSION}")
                for statement in _TABLES.strip().removesuffix(";").split(";\n"):
                    db.execute(statement)
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StatisticsDamaged(f"`{path}` holds no statistics; name another file", path=str(path))
    if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
        raise StatisticsDamaged(
            f"`{path}` was made by another release; make it anew with `tally stats rebuild`", path=str(path)
        )


def replace(fresh: Path, path: Path) -> None:
    """Put the closed file `fresh` in the place of `path`.

    What a crash left beside the old file must go first: SQLite would roll it back into the new one.
    """
    path.unlink(missing_ok=True)
    remove(path)
    os.replace(fresh, path)


def remove(path: Path) -> None:
    """Delete a file of statistics and what SQLite keeps beside it."""
    for name in (path.name, *(path.name + end for end in _BESIDE)):
        path.with_name(name).unlink(missing_ok=True)


def is_ours(path: Path) -> bool:
    """Whether the file at `path` says that it holds statistics, however damaged; so does no file at all."""
    if not path.exists():
        return True
    with open(path, "rb") as file:
        head = file.read(72)
    return not head or (head.startswith(_HEADER) and head[68:] == APPLICATION_ID.to_bytes(4, "big"))
