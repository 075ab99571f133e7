"""A night's drain, played from `fixtures/drain/night.json`.

`python -m tests.drain_night` writes the transcript anew. The night is governed by the library; `StandIn` is
any other governor, with the same rules, for tests that look at what it is asked.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from splittally.governor import BudgetGovernor, MemoryEnvelope
from splittally.host.drain import Price, Prices, Queue, Watchdog, display, drain_jobs, standup

FOLDER = Path(__file__).parent.parent / "fixtures" / "drain"
FREE = Price(Decimal(0), Decimal(0))
GIVE_UP = ("multi_step_planning", "kv_cache_derivation", "context_overflow", "local_low_confidence")


def said(action: str, reason: str, **detail: Any) -> SimpleNamespace:
    """A verdict of a governor."""
    return SimpleNamespace(action=action, reason=reason, detail=detail, allowed=action == "allow")


class StandIn:
    """A governor over the queue's own spend: cap, failure class, memory, in this order."""

    def __init__(self, queue, cap="5", total_gb=128.0, resident_gb=31.8, lane_gb=None) -> None:
        self.queue, self.cap = queue, Decimal(cap)
        self.headroom_gb, self.total_gb, self.lane_gb = total_gb - resident_gb, total_gb, lane_gb or {}
        self.asked: list[int] = []

    def check_budget(self, job):
        self.asked.append(job.id)
        projected = self.queue.spent_usd() + Decimal(job.est_cost_usd or 0)
        lane = self.lane_gb.get(job.lane_id, 5.5)
        if projected > self.cap:
            return said("defer", "over_daily_cap", projected=projected, cap=self.cap)
        if job.failure_class in GIVE_UP:
            return said("escalate", "local_ceiling", ceiling=0.33)
        if lane > self.headroom_gb:
            return said("defer", "oom_envelope", lane_gb=lane, total_gb=self.total_gb)
        return said("allow", "within_budget", projected=projected, cap=self.cap)


class Clock:
    """A clock that a test moves."""

    def __init__(self, at: str = "2026-04-22T22:00:00") -> None:
        self.at = datetime.fromisoformat(at).replace(tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, minutes: float) -> None:
        self.at += timedelta(minutes=minutes)


@contextmanager
def queue_of(folder: Path, *jobs: dict[str, Any], clock=None) -> Iterator[Queue]:
    """A queue with these jobs, given as the arguments of `enqueue`."""
    with Queue(folder / "jobs.sqlite", **({"now": clock} if clock else {})) as queue:
        for job in jobs:
            queue.enqueue(job.get("lane", "local"), job.get("payload"), **{
                name: job[name] for name in ("priority", "est_cost_usd", "failure_class") if name in job
            })  # fmt: skip
        yield queue


def play(document: dict[str, Any], folder: Path) -> str:
    """The transcript of a night."""
    clock, lines = Clock(document["starts"]), [document["title"]]
    with queue_of(folder, *document["jobs"], clock=clock) as queue:
        memory = MemoryEnvelope(**document["envelope"])
        governor = BudgetGovernor(
            ledger=queue, envelope=memory, daily_cap_usd=Decimal(document["day_cap_usd"])
        )
        scripts = {at: job["does"] for at, job in enumerate(document["jobs"], 1)}
        for step in document["steps"]:
            clock.at = datetime.fromisoformat(step["at"]).replace(tzinfo=UTC)
            lines += ["", f"{step['at']} {step['do']}" + (f": {step['note']}" if "note" in step else "")]
            if step["do"] == "drain":
                lines += _drain(queue, governor, scripts, clock, document, step)
            elif step["do"] == "standup":
                lines += display(standup(queue)).splitlines()
            elif step["do"] == "promote":
                queue.promote(step["job"], step["lane"])
            else:
                queue.park(step["job"])
    return "\n".join(lines) + "\n"


def _drain(queue, governor, scripts, clock, document, step) -> Iterator[str]:
    told: list[str] = []
    memory: list[float] = []

    def tell(event, job, facts):
        place = f"  job {job.id:2} {job.lane_id}"
        if event == "settle":
            failure = f" {job.failure_class}" if job.status == "failed" else ""
            told.append(f"{place}: {job.status}{failure} ${job.cost_usd or '-'}")
        if event == "hold":
            told.append(f"{place}: held, {facts['action']}, {facts['reason']}")

    def runner(job, run):
        does = scripts[job.id]
        clock.forward(does.get("minutes", 4))
        for cost in does.get("accrues", ()):
            run.accrue(cost)
        if "memory_gb" in does:
            memory[:] = does["memory_gb"]
            assert run.signal.wait(10)
        if does.get("raises") == "timeout":
            raise TimeoutError
        if does.get("raises"):
            raise RuntimeError("the server went away")
        return does["result"]

    watchdog = Watchdog(lambda: memory.pop(0) if memory else None, period_s=0.001)
    models = dict.fromkeys(document["prices"]["models"], FREE)
    priced = Prices(document["prices"]["snapshot"], models)
    report = drain_jobs(
        queue, runner, governor, watchdog=watchdog, on_event=tell, cost_cap_usd=document["run_cap_usd"],
        prices=priced, lane_bin=lambda lane: lane not in step.get("absent", ()),
    )  # fmt: skip
    return [*told, f"  pass ended: {report.stopped_by}, cost ${report.cost_usd}"]


def main() -> None:
    document = json.loads((FOLDER / "night.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        (FOLDER / "night.txt").write_text(play(document, Path(folder)), "utf-8")


if __name__ == "__main__":
    main()
