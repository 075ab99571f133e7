"""What a drain that died left behind, put right before the next one begins.

Rule 1. A job that was never dispatched goes back to the queue.
Rule 2. A job that was dispatched and has no result may have run. It is marked unknown for the operator,
        and nothing here runs it again; where its runner is declared idempotent it goes back to the queue.
Rule 3. A receipt that waits is delivered; delivering it twice changes nothing.
Rule 4. Only whoever holds the drain's lock may do this: then every claim of another is a dead one's.
"""

import json
from typing import Any

from splittally.host.drain.gate import OPEN, SETTLED, KernelGate
from splittally.host.drain.jobs import CLAIMED, DISPATCHED, DONE, Job
from splittally.host.drain.queue import Ending, Queue

DRAIN_DIED, SETTLED_ELSEWHERE = "drain_died", "settled_elsewhere"


def take_over(queue: Queue, gate: KernelGate | None, *, retry_dispatched: bool) -> list[dict[str, Any]]:
    """What was done to the jobs of dead drains: `{job_id, became}` each, in the order of the queue."""
    deliver_waiting(queue, gate)
    done = []
    for job in queue.jobs(CLAIMED, DISPATCHED):
        if job.status == CLAIMED:
            if gate is not None:
                gate.withdraw(queue.id, job)
            queue.release(job, "recovered", DRAIN_DIED, {"claims": job.claims}, job.intent_hash)
        else:
            _look_after(queue, job, gate, retry_dispatched)
        done.append({"job_id": job.id, "became": queue.job(job.id).status})
    return done


def deliver_waiting(queue: Queue, gate: KernelGate | None) -> None:
    """Deliver the receipts of results that the kernel may not have."""
    if gate is None:
        return
    for job in queue.with_receipts():
        assert job.intent_hash is not None and job.receipt_json is not None
        gate.deliver(job.intent_hash, json.loads(job.receipt_json))
        queue.receipt_delivered(job)


def _look_after(queue: Queue, job: Job, gate: KernelGate | None, retry_dispatched: bool) -> None:
    status = gate.status_of(job.intent_hash) if gate is not None and job.intent_hash is not None else ""
    if status == SETTLED:  # its adapter told the kernel itself
        row = json.dumps({"status": DONE, "result": {}, "settled_by": "adapter"})
        queue.settle(job, Ending(status=DONE, result=row, cost=None, failure_class=None, priced=None))
    elif retry_dispatched:
        queue.release(job, "recovered", "runner_is_idempotent", {"claims": job.claims}, job.intent_hash)
    else:
        queue.mark_unknown(job, DRAIN_DIED)
        if status == OPEN:
            assert gate is not None and job.intent_hash is not None
            gate.mark_unknown(job.intent_hash)
