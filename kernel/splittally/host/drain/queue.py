"""The queue of jobs: one SQLite file that survives a kill at any point (spec/13-drain.md).

Rule 1. Each method is one transaction, durable when it returns.
Rule 2. What a claim allows is done only while the claim stands: every change names drain and status.
Rule 3. Only an operator parks, promotes or resolves a job. Nothing of the drain calls these.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from splittally.core.errors import InvalidInput
from splittally.host.drain.jobs import (
    CLAIMED,
    DISPATCHED,
    DONE,
    FAILED,
    PARKED,
    QUEUED,
    UNKNOWN,
    WORD,
    Job,
    usd,
    usd_text,
)  # fmt: skip
from splittally.host.drain.tables import Tables, stamp

PROMOTABLE = (QUEUED, PARKED, UNKNOWN, FAILED)
OPERATOR = "operator"
PROMOTED = "promoted"  # the class of a promoted job: an earlier failure no longer speaks for it


class Ending(Struct, frozen=True):
    """How a run ended, ready to be written: `status` is done or failed, `result` a JSON text."""

    status: str
    result: str
    cost: Decimal | None
    failure_class: str | None
    priced: bool | None = None
    price_snapshot: str | None = None


class Queue(Tables):
    """The queue in the file at `path`, made where there is none; `now` gives times with a zone.

    A context manager. `QueueError` where the file is no queue or of a later release.
    """

    def enqueue(
        self,
        lane_id: str | None = None,
        payload: Mapping[str, Any] | None = None,
        *,
        priority: int = 0,
        est_cost_usd: object = None,
        failure_class: str | None = None,
    ) -> int:
        """The id of a new job. A greater `priority` goes first; `payload` is a JSON object."""
        for field, text in (("lane_id", lane_id), ("failure_class", failure_class)):
            if text is not None and not WORD.fullmatch(text):
                raise InvalidInput(f"`{field}` must be one word, not `{text[:60]}`", field=field)
        estimate = None if est_cost_usd is None else usd_text(usd(est_cost_usd, "est_cost_usd"))
        try:
            body = json.dumps(dict(payload or {}), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"`payload` must be a JSON object: {error}", field="payload") from error
        with self._writing():
            return self._insert(priority, lane_id, body, estimate, failure_class)

    def spent_usd(self, day: datetime | None = None) -> Decimal:
        """What jobs cost that ended on the UTC day of `day`, today by default."""
        start = (day or self.now()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        within = stamp(start), stamp(start + timedelta(days=1))
        rows = self._rows(
            "SELECT cost_usd FROM jobs WHERE finished_at >= ? AND finished_at < ? AND cost_usd IS NOT NULL",
            *within,
        )
        return sum((Decimal(cost) for (cost,) in rows), Decimal(0))

    def session_spend(self) -> Decimal:
        """What was spent today: a governor takes the queue itself as its ledger."""
        return self.spent_usd()

    # --- for a drain ----------------------------------------------------------------------------

    def claim(self, drain: str) -> Job | None:
        """The next queued job, now `drain`'s; None where nothing is queued."""
        with self._writing():
            found = self._rows(
                "SELECT id FROM jobs WHERE status = ? ORDER BY priority DESC, created_at, id LIMIT 1", QUEUED
            )
            if not found:
                return None
            self._db.execute(
                "UPDATE jobs SET status = ?, claimed_by = ?, claims = claims + 1 WHERE id = ?",
                (CLAIMED, drain, found[0][0]),
            )
            return self.job(found[0][0])

    def release(
        self, job: Job, trigger: str, reason: str, detail: Mapping[str, Any], intent: str | None = None
    ) -> None:
        """Put a job back with one audit row; `intent` is kept where it is to be run under it later."""
        changes = {"status": QUEUED, "claimed_by": None, "dispatched_at": None, "intent_hash": intent}
        with self._writing():
            self._change(job, changes)
            self._note(job.id, trigger, reason, detail)

    def dispatch(self, job: Job, intent: str | None = None) -> Job:
        """Mark a claimed job as given to the runner, before it is."""
        with self._writing():
            now = stamp(self.now())
            self._change(job, {"status": DISPATCHED, "dispatched_at": now, "intent_hash": intent})
            return self.job(job.id)

    def settle(self, job: Job, ending: Ending, receipt: Mapping[str, Any] | None = None) -> Job:
        """Write how a job ended; a `receipt` waits in the row until the kernel has it."""
        changes = {
            "status": ending.status,
            "result_json": ending.result,
            "cost_usd": None if ending.cost is None else usd_text(ending.cost),
            "priced": ending.priced,
            "price_snapshot": ending.price_snapshot,
            "failure_class": ending.failure_class or (job.failure_class if ending.status == FAILED else None),
            "finished_at": stamp(self.now()),
            "claimed_by": None,
            "receipt_json": None if receipt is None else json.dumps(dict(receipt)),
        }
        with self._writing():
            self._change(job, changes)
            return self.job(job.id)

    def receipt_delivered(self, job: Job) -> None:
        """Forget a receipt that the kernel has."""
        with self._writing():
            self._db.execute("UPDATE jobs SET receipt_json = NULL WHERE id = ?", (job.id,))

    def mark_unknown(self, job: Job, reason: str) -> None:
        """Leave a dispatched job whose end nobody saw to the operator."""
        with self._writing():
            self._change(job, {"status": UNKNOWN, "claimed_by": None})
            self._note(job.id, UNKNOWN, reason, {"dispatched_at": job.dispatched_at})

    # --- for an operator ------------------------------------------------------------------------

    def park(self, job_id: int, reason: str = OPERATOR) -> None:
        """Take a job out of the queue until it is promoted."""
        with self._writing():
            job = self._require(job_id, (QUEUED, UNKNOWN))
            self._db.execute("UPDATE jobs SET status = ? WHERE id = ?", (PARKED, job_id))
            self._note(job_id, "park", reason, _before(job))

    def promote(self, job_id: int, lane_id: str, reason: str = OPERATOR) -> int:
        """The id of the job that now stands in the queue of a lane.

        It is the same job, unless that failed: then it is a copy, and the failed row keeps what it cost.
        """
        if not WORD.fullmatch(lane_id):
            raise InvalidInput(f"a lane must be one word, not `{lane_id[:60]}`", field="lane_id")
        with self._writing():
            job = self._require(job_id, PROMOTABLE)
            if job.status == FAILED:
                promoted = self._insert(job.priority, lane_id, job.payload_json, job.estimate_text, PROMOTED)
            else:
                promoted = job_id
                self._db.execute(
                    "UPDATE jobs SET status = ?, lane_id = ?, failure_class = ?, intent_hash = ?,"
                    " dispatched_at = NULL WHERE id = ?",
                    (QUEUED, lane_id, PROMOTED, job.intent_hash if lane_id == job.lane_id else None, job_id),
                )
            self._note(promoted, "promote", reason, {"job_id": job_id, **_before(job)})
            return promoted

    def resolve(self, job_id: int, status: str, cost_usd: object = None) -> None:
        """Say how an unknown job ended: `done` or `failed`, and what it cost."""
        if status not in (DONE, FAILED):
            raise InvalidInput("an unknown job was `done` or `failed`", field="status")
        cost = None if cost_usd is None else usd_text(usd(cost_usd, "cost_usd"))
        with self._writing():
            self._require(job_id, (UNKNOWN,))
            self._db.execute(
                "UPDATE jobs SET status = ?, cost_usd = ?, finished_at = ? WHERE id = ?",
                (status, cost, stamp(self.now()), job_id),
            )
            self._note(job_id, "resolve", status, {"cost_usd": cost})

    def _require(self, job_id: int, allowed: tuple[str, ...]) -> Job:
        job = self.job(job_id)
        if job.status not in allowed:
            text = f"job {job_id} is {job.status}; this is for jobs that are {', '.join(allowed)}"
            raise InvalidInput(text, field="id")
        return job

    def _insert(
        self, priority: int, lane_id: str | None, payload: str, estimate: str | None, failure: str | None
    ) -> int:
        made = self._db.execute(
            "INSERT INTO jobs (lane_id, priority, created_at, status, payload_json, est_cost_usd,"
            " failure_class) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (lane_id, priority, stamp(self.now()), QUEUED, payload, estimate, failure),
        )
        assert made.lastrowid is not None
        return made.lastrowid


def _before(job: Job) -> dict[str, Any]:
    return {"lane_id": job.lane_id, "was": job.status, "failure_class": job.failure_class}
