"""The morning's standup: what ran, what it cost, what is held and who blocks, never what was asked.

Rule 1. It reads the queue and changes nothing.
Rule 2. No payload, prompt or result is in it: ids, lanes, classes, amounts, counts and single words.
Rule 3. A job that was held on three passes since an operator last touched it, or whose drain died as
        often before running it, is a blocker.
Rule 4. What an operator may decide is listed as staged, with the command; nothing of it was done.
"""

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from splittally.host.drain.jobs import DENIED, DONE, FAILED, PARKED, QUEUED, UNKNOWN, Job, usd_text, word_or
from splittally.host.drain.programs import EXIT_CODE, ending_told
from splittally.host.drain.queue import Queue
from splittally.host.drain.tables import HOLD, Trigger, stamp
from splittally.host.drain.verdicts import facts_of

BLOCKS_AT = 3
STAGED_ONLY = "staged only"
SPAN = timedelta(days=1)
NO_LANE = "none"
ESCALATE = "escalate"
RECOVERED = "recovered"
BY_OPERATOR = ("park", "promote", "resolve")


def standup(queue: Queue, since: datetime | None = None) -> dict[str, Any]:
    """What happened since `since`, by default in the last 24 hours, and how the queue stands now."""
    start = stamp(since if since is not None else queue.now() - SPAN)
    ended = queue.ended(start)
    failed = [job for job in ended if job.status == FAILED]
    queued, unknown, waiting = queue.jobs(QUEUED), queue.jobs(UNKNOWN), _waiting(queue)
    unpriced = [job for job in ended if job.priced is False]
    return {
        "since": start,
        "now": stamp(queue.now()),
        "ran": len(ended),
        "done": len(ended) - len(failed),
        "failed": [_failure(job) for job in failed],
        "failed_by_class": dict(sorted(Counter(job.failure_class or "none" for job in failed).items())),
        "regressed": [_shown(job) for job in ended if job.told[1].get("regressed") is True],
        "queued": len(queued),
        "queued_by_lane": dict(sorted(Counter(job.lane_id or NO_LANE for job in queued).items())),
        "parked": [_shown(job) for job in queue.jobs(PARKED)],
        "unknown": [_shown(job) for job in unknown],
        "spend": {**_spend(ended), "today_usd": usd_text(queue.spent_usd())},
        "holds": [row for row in waiting if row["action"] != RECOVERED],
        "blockers": [row for row in waiting if row["times"] >= BLOCKS_AT],
        "unpriced": [_shown(job) for job in unpriced],
        "warnings": _warnings(ended, unpriced, unknown),
        "staged": _staged(waiting, unknown),
    }


def _shown(job: Job) -> dict[str, Any]:
    return {"job_id": job.id, "lane_id": job.lane_id}


def _failure(job: Job) -> dict[str, Any]:
    told, result = job.told
    row: dict[str, Any] = {**_shown(job), "failure_class": job.failure_class, "cost_usd": job.cost_usd}
    if told.get("aborted_by"):
        row |= {"aborted_by": told["aborted_by"], "partial": True}
    exit_code = ending_told(result)[EXIT_CODE]
    if exit_code is not None:
        row[EXIT_CODE] = exit_code
    codes = result.get("codes")
    if job.failure_class == DENIED and isinstance(codes, list):
        row["codes"] = [word_or(code, "other") for code in codes]
    return row


def _spend(ended: list[Job]) -> dict[str, Any]:
    costs = [(job.lane_id or NO_LANE, Decimal(job.cost_usd)) for job in ended if job.cost_usd is not None]
    lanes: dict[str, Decimal] = {}
    for lane, cost in costs:
        lanes[lane] = lanes.get(lane, Decimal(0)) + cost
    largest_first = sorted(lanes.items(), key=lambda item: (-item[1], item[0]))
    return {
        "total_usd": usd_text(sum(lanes.values(), Decimal(0))),
        "by_lane": {lane: usd_text(cost) for lane, cost in largest_first},
        "n_paid_runs": sum(1 for _, cost in costs if cost > 0),
    }


def _waiting(queue: Queue) -> list[dict[str, Any]]:
    """Queued jobs that were held or cut off since an operator touched them, with how often."""
    rows: dict[int, list[Trigger]] = {}
    for trigger in queue.triggers():
        if trigger.job_id is not None:
            of_job = rows.setdefault(trigger.job_id, [])
            if trigger.trigger in BY_OPERATOR:
                of_job.clear()
            else:
                of_job.append(trigger)
    shown = []
    for job in queue.jobs(QUEUED):
        if held := rows.get(job.id):
            last = max(held, key=lambda row: (row.trigger.startswith(HOLD), row.id))
            told = {"action": last.trigger.removeprefix(HOLD), "reason": last.reason, "at": last.created_at}
            shown.append({**_shown(job), **told, "detail": facts_of(last.detail), "times": len(held)})
    return shown


def _staged(waiting: list[dict[str, Any]], unknown: list[Job]) -> dict[str, Any]:
    decisions = []
    for row in waiting:
        if row["action"] == ESCALATE:
            decisions.append(_decision(row["job_id"], "promote", row["reason"]))
        elif row["times"] >= BLOCKS_AT:
            decisions.append(_decision(row["job_id"], "park", row["reason"]))
    decisions += [_decision(job.id, "resolve", "unknown") for job in unknown]
    return {"note": STAGED_ONLY, "decisions": decisions}


def _decision(job_id: int, propose: str, reason: str) -> dict[str, Any]:
    needs = {"promote": " --lane LANE", "resolve": " --status done|failed"}.get(propose, "")
    command = f"tally drain {propose} {job_id}{needs}"
    return {"job_id": job_id, "propose": propose, "reason": reason, "command": command}


def _warnings(ended: list[Job], unpriced: list[Job], unknown: list[Job]) -> list[str]:
    texts = []
    if unpriced:
        texts.append(f"{len(unpriced)} run(s) of a model without a price: spend may be higher than shown")
    silent = sum(1 for job in ended if job.cost_usd is None and job.status == DONE)
    if silent:
        texts.append(f"{silent} run(s) named no cost")
    if unknown:
        texts.append(f"{len(unknown)} job(s) were dispatched and have no result; say how they ended")
    return texts
