"""One unattended pass over the queue: claim, check, dispatch, settle, until a hold or the end.

Rule 1. One drain at a time: a lock beside the queue, which a process loses when it ends, however it ends.
Rule 2. A hold puts its job back with one audit row and stops the pass. Later jobs are not touched.
Rule 3. A job is marked dispatched before its runner is called, and is called once for that mark.
Rule 4. Nothing is escalated, promoted, parked or pushed here: decisions are staged for the operator.
Rule 5. A runner that cannot be started ran nothing: the job is held, under the intent that it has, and no job
        fails by it.
Rule 6. There is no loop over time: whoever wants a pass each quarter of an hour asks for it.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from splittally.core.errors import InvalidInput, WorldLocked
from splittally.host.drain import results
from splittally.host.drain.gate import ALLOW, DENY, KernelGate
from splittally.host.drain.jobs import DENIED, DONE, Job, usd, usd_text
from splittally.host.drain.prices import Prices
from splittally.host.drain.programs import NoProgram
from splittally.host.drain.queue import Ending, Queue
from splittally.host.drain.run import Run
from splittally.host.drain.standup import standup
from splittally.host.drain.tables import HOLD, MEMORY, Clock, stamp
from splittally.host.drain.takeover import take_over
from splittally.host.drain.verdicts import DEFER, Governor, Ruling, rule
from splittally.host.drain.watchdog import Watchdog
from splittally.journal.lock import WriterLock

Runner = Callable[[Job, Run], Mapping[str, Any]]
Listener = Callable[[str, Job, dict[str, Any]], None]
EMPTY, LIMIT, HELD, LOCKED = "empty", "limit", "hold", "locked"
BAD_PAYLOAD, RUNNER_ABSENT = "bad_payload", "runner_absent"


class Report(Struct, frozen=True, kw_only=True):
    """What a pass did. `stopped_by` is empty, limit, hold or locked; ids stand in the order of the pass."""

    drain: str
    stopped_by: str
    skipped: dict[str, Any] | None = None
    recovered: tuple[dict[str, Any], ...] = ()
    claimed: tuple[int, ...] = ()
    dispatched: tuple[int, ...] = ()
    done: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    held: dict[str, Any] | None = None
    cost_usd: str = "0"

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return asdict(self)


def drain_jobs(
    queue: Queue,
    runner: Runner,
    governor: Governor | None = None,
    *,
    limit: int | None = None,
    now: Clock | datetime | None = None,
    watchdog: Watchdog | None = None,
    cost_cap_usd: object = None,
    lane_bin: Callable[[Any], bool] | None = None,
    kernel: KernelGate | None = None,
    prices: Prices | None = None,
    retry_dispatched: bool = False,
    on_event: Listener | None = None,
) -> Report:
    """Runs what is queued until a hold, `limit` dispatches, or the end of the queue.

    `runner(job, run)` brings back a mapping (13.4); what it raises fails its job. `governor` is anything with
    `check_budget(job)`; `lane_bin(lane_id)` says whether the lane's program is there. `cost_cap_usd` bounds
    each run. `on_event(name, job, facts)` hears of claim, check, hold, dispatch and settle.
    """
    if limit is not None and limit < 0:
        raise InvalidInput("`limit` is a natural number", field="limit")
    cap = None if cost_cap_usd is None else usd(cost_cap_usd, "cost_cap_usd")
    queue = _at(queue, now)
    name = f"{os.getpid()}@{stamp(queue.now())}/{secrets.token_hex(4)}"
    drain = _Pass(name, queue, runner, governor, lane_bin, kernel, prices, watchdog, cap, on_event)
    with ExitStack() as held:
        try:
            held.enter_context(_alone(queue.path))
        except WorldLocked as error:
            return Report(drain=name, stopped_by=LOCKED, skipped=dict(error.facts))
        recovered = take_over(queue, kernel, retry_dispatched=retry_dispatched)
        return drain.report(drain.run(limit), recovered)


def run_drain_cycle(
    queue: Queue, runner: Runner, governor: Governor | None = None, **options: Any
) -> dict[str, Any]:
    """One tick: a pass with the options of `drain_jobs`, and the standup after it: `{report, standup}`."""
    report = drain_jobs(queue, runner, governor=governor, **options)
    return {"report": report.as_dict(), "standup": standup(_at(queue, options.get("now")))}


def _at(queue: Queue, now: Clock | datetime | None) -> Queue:
    if isinstance(now, datetime):
        moment = now
        return queue.with_clock(lambda: moment)
    return queue if now is None else queue.with_clock(now)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    if str(path) == MEMORY:
        yield
        return
    with WriterLock(path.with_name(path.name + ".lock"), seconds=0):
        yield


class _Pass:
    """One pass: what it was given, and what it has done."""

    def __init__(
        self,
        name: str,
        queue: Queue,
        runner: Runner,
        governor: Governor | None,
        lane_bin: Callable[[Any], bool] | None,
        gate: KernelGate | None,
        prices: Prices | None,
        watchdog: Watchdog | None,
        cap: Decimal | None,
        on_event: Listener | None,
    ) -> None:
        self._name, self._queue, self._runner = name, queue, runner
        self._governor, self._lane_bin, self._gate = governor, lane_bin, gate
        self._prices, self._watchdog, self._cap, self._on_event = prices, watchdog, cap, on_event
        self._claimed: list[int] = []
        self._dispatched: list[int] = []
        self._ended: dict[str, list[int]] = {}
        self._held: dict[str, Any] | None = None
        self._cost = Decimal(0)

    def run(self, limit: int | None) -> str:
        """Works through the queue; what ended the pass."""
        while limit is None or len(self._dispatched) < limit:
            job = self._queue.claim(self._name)
            if job is None:
                return EMPTY
            self._claimed.append(job.id)
            self._tell("claim", job)
            if not self._take(job):
                return HELD
        return LIMIT

    def report(self, stopped_by: str, recovered: list[dict[str, Any]]) -> Report:
        """What this pass did."""
        return Report(
            drain=self._name,
            stopped_by=stopped_by,
            recovered=tuple(recovered),
            claimed=tuple(self._claimed),
            dispatched=tuple(self._dispatched),
            done=tuple(self._ended.get(DONE, ())),
            failed=tuple(self._ended.get("failed", ())),
            held=self._held,
            cost_usd=usd_text(self._cost),
        )

    def _take(self, job: Job) -> bool:
        """Checks a claimed job and does what was said; False where it was held."""
        if job.payload is None:
            self._end(job, results.failed(BAD_PAYLOAD, Run()))
            return True
        try:
            said = rule(self._queue, job, self._governor, self._lane_bin, self._gate)
        except BaseException:
            if self._gate is not None:
                self._gate.withdraw(self._queue.id, job)
            self._queue.release(job, "recovered", "check_interrupted", {}, job.intent_hash)
            raise
        self._tell("check", job, action=said.action, reason=said.reason)
        if said.action == ALLOW:
            self._dispatch(job, said.intent_hash)
        elif said.action == DENY:
            facts = {"outcome": DENY, "codes": list(said.codes), **said.detail}
            self._end(job, results.failed(DENIED, Run(), facts))
        else:
            self._hold(job, said)
        return self._held is None

    def _hold(self, job: Job, said: Ruling) -> None:
        self._queue.release(job, HOLD + said.action, said.reason, said.detail, said.intent_hash)
        self._held = {"job_id": job.id, "action": said.action, "reason": said.reason, "detail": said.detail}
        self._tell("hold", job, action=said.action, reason=said.reason)

    def _dispatch(self, job: Job, intent: str | None) -> None:
        run = Run(self._cap)
        given = self._queue.dispatch(job, intent)
        self._dispatched.append(job.id)
        self._tell("dispatch", given)
        raw: Any = None
        try:
            with self._watchdog.watching(run) if self._watchdog else nullcontext():
                raw = self._runner(given, run)
            ending = results.ended(raw, run, self._prices)
        except NoProgram:
            self._dispatched.pop()
            self._hold(given, Ruling(DEFER, RUNNER_ABSENT, intent_hash=intent))
            return
        except Exception as error:
            facts = {"error": type(error).__name__}
            ending = results.failed(results.class_of(error), run, facts)
        self._settle(given, ending, raw)

    def _settle(self, job: Job, ending: Ending, raw: Any) -> None:
        if self._gate is None or job.intent_hash is None:
            self._end(job, ending)
            return
        receipt = self._gate.receipt(ending, raw)
        ended = self._end(job, ending, receipt)
        self._gate.deliver(job.intent_hash, receipt)
        self._queue.receipt_delivered(ended)

    def _end(self, job: Job, ending: Ending, receipt: dict[str, Any] | None = None) -> Job:
        ended = self._queue.settle(job, ending, receipt)
        self._ended.setdefault(ending.status, []).append(job.id)
        self._cost += ending.cost or 0
        self._tell("settle", ended, status=ended.status, failure_class=ended.failure_class)
        return ended

    def _tell(self, event: str, job: Job, **facts: Any) -> None:
        if self._on_event is not None:
            with suppress(Exception):  # whoever listens decides nothing, and cannot cut off a job
                self._on_event(event, job, facts)
