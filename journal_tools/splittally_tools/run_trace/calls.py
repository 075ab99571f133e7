"""A row of the trace as a call: what the agent asks for, and what comes back.

Rule 1. An intent carries the row's prompt and a stated ceiling for the answer; a receipt carries the
        row's real counts and what the price table makes of them.
Rule 2. The key is drawn from the seed, so the host knows the call's hash before the kernel has answered.
"""

from typing import Any

from splittally import Intent, Origin, Receipt, Release
from splittally.core.canonical import encode
from splittally.core.intent import intent_hash
from splittally.edge.identity import sealed_key

from splittally_tools.run_trace.fleet import LARGE, RESERVE_CARD, SMALL, Fleet
from splittally_tools.run_trace.outcomes import NEEDS_APPROVAL, Draw, Scenario
from splittally_tools.run_trace.rows import Row

KIND, UNDEFINED_KIND = "llm.generate", "llm.embed"
UNLISTED_MODEL = "code-preview"
ADAPTER = "trace-replay"
TOKEN_NS = 20_000_000  # an answer takes 20 ms for each token that it generates
TIMEOUT_NS = 30 * 10**9  # a call that times out says so after this
CENT = 10_000  # minor units of the price table in a cent


class Call:
    """One call of one agent. `is_refused` is set when the kernel's answer is known."""

    __slots__ = ("agent", "hash", "intent", "is_refused", "row", "scenario")

    def __init__(self, row: Row, drawn: Draw, scenario: Scenario, fleet: Fleet) -> None:
        self.row = row
        self.scenario = scenario
        self.agent = fleet.agents[drawn.agent]
        self.intent = _intent(row, drawn, scenario, self.agent, fleet)
        self.hash = hash_of(self.intent)
        self.is_refused = False

    @property
    def answer_ns(self) -> int:
        """How long the model takes."""
        return TOKEN_NS * self.row.generated_tokens

    def ends_ns(self, hold_ns: int) -> int | None:
        """When the host hears of the call again; None where it does not, or must first be approved."""
        match self.scenario:
            case (
                Scenario.NEVER
                | Scenario.OTHER_MODEL
                | Scenario.TOO_LONG
                | Scenario.OTHER_GRANT
                | Scenario.OTHER_KIND
            ):
                return None
            case Scenario.REDUCER | Scenario.APPROVED | Scenario.REJECTED | Scenario.UNAPPROVED:
                return None
            case Scenario.TIMED_OUT:
                return self.row.at_ns + TIMEOUT_NS
            case Scenario.CANCELLED:
                return self.row.at_ns + self.answer_ns // 2
            case Scenario.LATE:
                return self.row.at_ns + hold_ns + self.answer_ns
        return self.row.at_ns + self.answer_ns

    def ending(self, fleet: Fleet) -> Receipt | Release:
        """What the host says of the call when it hears of it."""
        prompt, completion = self.row.context_tokens, self.row.generated_tokens
        match self.scenario:
            case Scenario.CANCELLED:
                return Release(self.hash)
            case Scenario.UNKNOWN:
                return Receipt(self.hash, "unknown", ADAPTER)
            case Scenario.TIMED_OUT:
                return Receipt(self.hash, "timeout", ADAPTER, {})
            case Scenario.FAILED:
                status, completion = "error", 0
            case _:
                status = "ok"
        cost = fleet.prices[self.intent.params["model"]].cost(prompt, completion)
        payload = {"prompt_tokens": prompt, "completion_tokens": completion}
        return Receipt(self.hash, status, ADAPTER, payload, cost_cents=-(-cost // CENT))

    def altered(self) -> Intent:
        """The key of this call used for another payload."""
        params = self.intent.params | {"max_tokens": 1}
        return Intent(KIND, params, self.intent.grant, self.intent.origin, self.intent.idempotency_key)


def hash_of(intent: Intent) -> bytes:
    """The hash under which the kernel will know an intent that carries its key."""
    assert intent.idempotency_key is not None
    key = sealed_key(intent.idempotency_key)
    return intent_hash(intent.kind, encode(intent.params), intent.grant, key)


def _intent(row: Row, drawn: Draw, scenario: Scenario, agent: str, fleet: Fleet) -> Intent:
    model = (
        UNLISTED_MODEL if scenario is Scenario.OTHER_MODEL else LARGE if scenario in NEEDS_APPROVAL else SMALL
    )
    params: dict[str, Any] = {
        "model": model,
        "prompt_tokens": row.context_tokens,
        "max_tokens": fleet.max_tokens * (2 if scenario is Scenario.TOO_LONG else 1),
    }
    return Intent(
        UNDEFINED_KIND if scenario is Scenario.OTHER_KIND else KIND,
        params,
        RESERVE_CARD if scenario is Scenario.OTHER_GRANT else agent,
        Origin("reducer" if scenario is Scenario.REDUCER else "plan", f"fleet/{agent}@1"),
        drawn.key,
        attempt=drawn.attempt,
    )
