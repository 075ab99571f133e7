"""A drain over a kernel: each dispatch is an intent under a grant, each result its receipt.

Rule 1. An intent's key and attempt are made of the queue, the job and the number of its claim: asking again
        after a kill is the same intent, asked by the same caller.
Rule 2. Only an allow dispatches. A denial fails the job; defer, escalate and require_approval hold it, and
        so does an allow that may not be acted on now: the next claim asks afresh.
Rule 3. A job that waits for approval, or that is run again, keeps its intent: it is not asked for twice.
Rule 4. What was dispatched and has no result is reported as unknown, and its reservation stays.
Rule 5. A start is a record: the kernel is told of it before the job is dispatched, by an attempt that is this
        job's under this intent, however often it is claimed. What another attempt started is held.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from splittally.core.errors import InvalidInput
from splittally.core.limits import ATTEMPT_BYTES
from splittally.core.types import ALLOW, DEFER, DENY, REQUIRE_APPROVAL
from splittally.edge.records import Decision, Intent, Receipt
from splittally.host.drain.jobs import DONE, Job
from splittally.host.drain.queue import Ending
from splittally.host.drain.results import TIMEOUT

ADAPTER = "drain"
CENTS_MAX = 2**63 - 1
PARAMS = ("provider", "model", "max_tokens", "prompt_tokens")
USAGE = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
NO_INTENT = "no_intent"
OPEN, WAITS, SETTLED, GONE = "open", "waits", "settled", "gone"
DISPATCHED, ALREADY = "dispatched", "already_dispatched"


class Kernel(Protocol):
    """What is needed of `splittally.Kernel`."""

    def submit(self, intent: Any) -> Any: ...
    def decide(self, intent: Any) -> Any: ...
    def settle(self, receipt: Any) -> Any: ...
    def dispatch(self, intent_hash: Any, attempt: bytes) -> Any: ...
    def release(self, intent_hash: Any, cause: str = ..., *, attempt: bytes | None = ...) -> Any: ...
    def outcome(self, intent_hash: Any) -> Any: ...
    @property
    def state(self) -> Any: ...


class Asked(Struct, frozen=True):
    """What the kernel said to a dispatch: outcome, intent, and the codes with their numbers.

    `is_kept`: the job stays with this intent, under which it is run now or later.
    """

    outcome: str
    intent_hash: str | None
    codes: tuple[str, ...] = ()
    facts: dict[str, Any] = {}
    is_kept: bool = False


class KernelGate:
    """Asks `kernel` before each dispatch, under `grant`.

    `to_intent(job)` makes the intent (by default `llm.generate` with the model and token counts of the
    payload), `to_payload(result)` the payload of its receipt (by default the result's `receipt` or `usage`).
    """

    def __init__(
        self,
        kernel: Kernel,
        grant: str,
        to_intent: Callable[[Job], Intent] | None = None,
        to_payload: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        adapter_id: str = ADAPTER,
    ) -> None:
        self.kernel = kernel
        self.grant = grant
        self._to_intent = to_intent or self._generate
        self._to_payload = to_payload or usage_of
        self._adapter_id = adapter_id

    def ask(self, queue_id: str, job: Job) -> Asked:
        """Whether `job` may be dispatched, and under which intent; an allow is started, durably."""
        if job.intent_hash is not None:
            status = self.status_of(job.intent_hash)
            if status == OPEN:
                return self._start(queue_id, job, job.intent_hash)
            if status == WAITS:
                return Asked(REQUIRE_APPROVAL, job.intent_hash, ("awaiting_approval",), is_kept=True)
        intent = self._intent(queue_id, job)
        if intent is None:
            return Asked(DENY, None, (NO_INTENT,))
        asked = _asked(self.kernel.submit(intent))
        if asked.outcome != ALLOW or asked.intent_hash is None:
            return asked
        return self._start(queue_id, job, asked.intent_hash)

    def status_of(self, intent_hash: str) -> str:
        """What became of an intent: `open`, `waits` for approval, `settled`, or `gone`."""
        row = self.kernel.outcome(intent_hash)
        if row is None:
            return GONE
        if row["status"] == "reserved":
            return WAITS if row["phase"] == "approval" else OPEN
        return SETTLED if row["status"] == "settled" else GONE

    def withdraw(self, queue_id: str, job: Job) -> None:
        """Release what a claim reserved or started that its runner never got; else nothing is written."""
        intent = self._intent(queue_id, job) if job.intent_hash is None else None
        if intent is None:
            return
        digest = _asked(self.kernel.decide(intent)).intent_hash
        if digest is not None and self.status_of(digest) in (OPEN, WAITS):
            attempt = attempt_of(queue_id, job, digest)
            self.kernel.release(digest, cause="not_dispatched", attempt=attempt)

    def receipt(self, ending: Ending, raw: object) -> dict[str, Any]:
        """The receipt of a result, as it waits in the queue until it is delivered."""
        status = "ok" if ending.status == DONE else "timeout" if ending.failure_class == TIMEOUT else "error"
        return {"status": status, "payload": self._payload(raw), "cost_cents": cents(ending.cost)}

    def deliver(self, intent_hash: str, receipt: Mapping[str, Any]) -> None:
        """Settle an intent; a payload that the kernel cannot read is left out rather than the receipt."""
        told = {"status": receipt["status"], "cost_cents": receipt["cost_cents"]}
        made = Receipt(bytes.fromhex(intent_hash), adapter_id=self._adapter_id, payload={}, **told)
        try:
            self.kernel.settle(replace(made, payload=receipt["payload"]))
        except InvalidInput:
            self.kernel.settle(replace(made, status="error"))

    def mark_unknown(self, intent_hash: str) -> None:
        """Say that nobody knows how a dispatched intent ended."""
        self.kernel.settle(Receipt(bytes.fromhex(intent_hash), "unknown", self._adapter_id))

    def _start(self, queue_id: str, job: Job, digest: str) -> Asked:
        """Dispatch the effect; what this job started before, or nobody did, is its own to run again."""
        attempt = attempt_of(queue_id, job, digest)
        status = self.kernel.dispatch(digest, attempt).status
        if status == ALREADY:
            hold = self.kernel.state.reservations.get(bytes.fromhex(digest))
            if hold is not None and hold["attempt"] in (attempt, None):
                status = DISPATCHED
        if status == DISPATCHED:
            return Asked(ALLOW, digest, is_kept=True)
        return Asked(DEFER, digest, (status,), is_kept=True)

    def _intent(self, queue_id: str, job: Job) -> Intent | None:
        """None where the payload cannot be made into one, which is no reason to stop a pass."""
        try:
            key = key_of(queue_id, job)
            return replace(self._to_intent(job), idempotency_key=key, attempt=key[:ATTEMPT_BYTES])
        except Exception:
            return None

    def _payload(self, raw: object) -> dict[str, Any]:
        """What a receipt says; nothing where the result cannot be read or kept."""
        try:
            payload = dict(self._to_payload(raw)) if isinstance(raw, Mapping) else {}
            json.dumps(payload, allow_nan=False)
        except Exception:
            return {}
        return payload

    def _generate(self, job: Job) -> Intent:
        payload = job.payload or {}
        params = {name: payload[name] for name in PARAMS if name in payload}
        return Intent("llm.generate", params, self.grant)


def key_of(queue_id: str, job: Job) -> bytes:
    """The 32 bytes that name this claim of this job of this queue."""
    text = f"splittally drain 1\n{queue_id}\n{job.id}\n{job.claims}"
    return hashlib.sha256(text.encode()).digest()


def attempt_of(queue_id: str, job: Job, intent_hash: str) -> bytes:
    """The 16 bytes that start this intent for this job, the same for every claim."""
    text = f"splittally drain 1 start\n{queue_id}\n{job.id}\n{intent_hash}"
    return hashlib.sha256(text.encode()).digest()[:ATTEMPT_BYTES]


def cents(cost: Decimal | None) -> int | None:
    """Whole cents, rounded up so that a receipt never understates; None where nobody said a cost."""
    if cost is None:
        return None
    return min(int((cost * 100).to_integral_value(ROUND_CEILING)), CENTS_MAX)


def usage_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The payload of a receipt for `llm.generate`: a result's `receipt`, else the counts of its `usage`."""
    given = result.get("receipt")
    if isinstance(given, Mapping):
        return given
    usage = result.get("usage")
    return {name: usage[name] for name in USAGE if name in usage} if isinstance(usage, Mapping) else {}


def _asked(decision: Decision) -> Asked:
    digest = decision.intent_hash.hex() if decision.intent_hash else None
    facts = {name: fact for finding in decision.findings for name, fact in finding.facts.items()}
    codes = tuple(finding.code for finding in decision.findings)
    is_stale = decision.outcome == ALLOW and not decision.allowed
    outcome = DEFER if is_stale else decision.outcome
    return Asked(outcome, digest, codes, facts, is_kept=outcome in (ALLOW, REQUIRE_APPROVAL))


__all__ = ["ALLOW", "DENY", "Asked", "KernelGate"]
