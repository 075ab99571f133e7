"""The file behind a queue: its two tables, how they are read, and one transaction a change.

Rule 1. The schema is made with the file and its version is never raised by anything here.
Rule 2. A change of a claimed job names the claim; where that is another's by now, nothing is written.
"""

import json
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from msgspec import Struct

from splittally.core.errors import InvalidInput
from splittally.host.drain.jobs import Job, QueueError, StaleClaim

Clock = Callable[[], datetime]
VERSION = 1
BUSY_SECONDS = 30.0
MEMORY = ":memory:"
HOLD = "budget_"  # the trigger of a hold begins with it
_COLUMNS = tuple(name for name in Job.__struct_fields__ if name != "payload")
_SCHEMA = """
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, lane_id TEXT, priority INTEGER NOT NULL, created_at TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN
    ('queued', 'claimed', 'dispatched', 'done', 'failed', 'parked', 'unknown')),
  payload_json TEXT NOT NULL, est_cost_usd TEXT, failure_class TEXT, dispatched_at TEXT, finished_at TEXT,
  result_json TEXT, cost_usd TEXT, priced INTEGER, price_snapshot TEXT, claimed_by TEXT,
  claims INTEGER NOT NULL DEFAULT 0, intent_hash TEXT, receipt_json TEXT);
CREATE INDEX jobs_next ON jobs (status, priority DESC, created_at, id);
CREATE INDEX jobs_ended ON jobs (finished_at, id);
CREATE INDEX jobs_told ON jobs (id) WHERE receipt_json IS NOT NULL;
CREATE TABLE job_triggers (
  id INTEGER PRIMARY KEY AUTOINCREMENT, job_id INTEGER REFERENCES jobs (id), trigger TEXT NOT NULL,
  reason TEXT NOT NULL, detail_json TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE INDEX job_triggers_of ON job_triggers (job_id, id);
"""


class Trigger(Struct, frozen=True):
    """A row of `job_triggers`: what was done to a job other than running it, and why."""

    id: int
    job_id: int | None
    trigger: str
    reason: str
    detail: dict[str, Any]
    created_at: str


def host_now() -> datetime:
    """The host's clock, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """A time as it stands in the file: UTC, sortable as text; `InvalidInput` without a zone."""
    if moment.tzinfo is None:
        raise InvalidInput("a time needs a zone; say `datetime.now(UTC)`", field="now")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Tables:
    """The tables of the file at `path`; `QueueError` where it is no queue or of a later release."""

    def __init__(self, path: str | Path, now: Clock = host_now, *, create: bool = True) -> None:
        self.path = Path(path)
        self.now = now
        if not create and not self.path.exists():
            raise QueueError(f"there is no queue at `{path}`; `tally drain add` makes one")
        self._db = _opened(self.path)
        try:
            if self._is_empty():
                self._make()
            self._require_schema()
            self.id = str(self.triggers(trigger="queue_made")[0].detail["queue"])
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; everything in it is durable already."""
        self._db.close()

    def with_clock(self, now: Clock) -> Self:
        """The same queue under another clock."""
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__, now=now)
        return view

    @property
    def version(self) -> int:
        """The version of the schema, as the file says."""
        return int(self._rows("PRAGMA user_version")[0][0])

    def job(self, job_id: int) -> Job:
        """A job by its id; `InvalidInput` where there is none."""
        rows = self._jobs("WHERE id = ?", job_id)
        if not rows:
            raise InvalidInput(f"there is no job {job_id}; `tally drain queue` lists them", field="id")
        return rows[0]

    def jobs(self, *statuses: str) -> list[Job]:
        """Jobs in the order in which they are claimed, all or those of some statuses."""
        chosen = f"WHERE status IN ({', '.join('?' * len(statuses))})" if statuses else ""
        return self._jobs(f"{chosen} ORDER BY priority DESC, created_at, id", *statuses)

    def ended(self, since: str) -> list[Job]:
        """Jobs that were done or failed since a time, in the order in which they ended."""
        return self._jobs("WHERE finished_at >= ? ORDER BY finished_at, id", since)

    def with_receipts(self) -> list[Job]:
        """Ended jobs whose receipt the kernel may not have."""
        return self._jobs("WHERE receipt_json IS NOT NULL ORDER BY id")

    def triggers(self, job_id: int | None = None, trigger: str = "%") -> list[Trigger]:
        """Audit rows in order: of one job or of all, of one kind or of all."""
        rows = self._rows(
            "SELECT id, job_id, trigger, reason, detail_json, created_at FROM job_triggers"
            " WHERE (?1 IS NULL OR job_id = ?1) AND trigger LIKE ?2 ORDER BY id", job_id, trigger,
        )  # fmt: skip
        return [
            Trigger(
                id=at, job_id=job_id, trigger=kind, reason=reason, detail=json.loads(detail), created_at=since
            )
            for at, job_id, kind, reason, detail, since in rows
        ]

    # --- the file -------------------------------------------------------------------------------

    def _is_empty(self) -> bool:
        return self.version == 0 and not self._rows("SELECT name FROM sqlite_master")

    def _make(self) -> None:
        with self._writing():
            if self._is_empty():  # nobody else made it meanwhile
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")
                self._note(None, "queue_made", "new_file", {"queue": secrets.token_hex(16)})

    def _require_schema(self) -> None:
        tables = self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        if self.version != VERSION or ("job_triggers",) not in tables:
            text = f"`{self.path}` is no queue of this release (version {self.version}); name another file"
            raise QueueError(text, version=self.version)

    def _note(self, job_id: int | None, trigger: str, reason: str, detail: Mapping[str, Any]) -> None:
        self._db.execute(
            "INSERT INTO job_triggers (job_id, trigger, reason, detail_json, created_at)"
            " VALUES (?, ?, ?, ?, ?)",
            (job_id, trigger, reason, json.dumps(dict(detail), default=str), stamp(self.now())),
        )

    def _change(self, job: Job, changes: Mapping[str, Any]) -> None:
        names = ", ".join(f"{name} = ?" for name in changes)
        done = self._db.execute(
            f"UPDATE jobs SET {names} WHERE id = ? AND status = ? AND claimed_by = ?",
            (*changes.values(), job.id, job.status, job.claimed_by),
        )
        if done.rowcount != 1:
            raise StaleClaim(f"job {job.id} is no longer {job.status} by {job.claimed_by}", job_id=job.id)

    def _jobs(self, where: str, *values: Any) -> list[Job]:
        return [_job(row) for row in self._rows(f"SELECT {', '.join(_COLUMNS)} FROM jobs {where}", *values)]

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise QueueError(f"the queue `{self.path}` cannot be read: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise QueueError(f"the queue `{self.path}` cannot be written: {error}") from error


def _opened(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error as error:
        raise QueueError(f"the queue `{path}` cannot be opened: {error}") from error
    return db


def _job(row: tuple[Any, ...]) -> Job:
    values = dict(zip(_COLUMNS, row, strict=True))
    try:
        payload = json.loads(values["payload_json"])
    except ValueError:
        payload = None
    if values["est_cost_usd"] is not None:
        values["est_cost_usd"] = Decimal(values["est_cost_usd"])
    priced = None if values.pop("priced") is None else bool(row[_COLUMNS.index("priced")])
    return Job(**values, payload=payload if isinstance(payload, dict) else None, priced=priced)
