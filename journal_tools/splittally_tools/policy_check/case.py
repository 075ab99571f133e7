"""A grant with an effect that it admits: what the plays of scenarios are about, and the moves they share.

Rule 1. A host does what the manifest obliges it to, and nothing more: it dispatches where that is required.
Rule 2. What waits for approval is approved by whoever may, so that what comes after can be played.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from blake3 import blake3
from splittally.core.canonical import decode
from splittally.core.caps.state import limits_of
from splittally.core.types import ALLOW, OPERATOR, REQUIRE_APPROVAL, Grant, Limit
from splittally.edge.records import Decision, Intent, Receipt

from splittally_tools.policy_check.effects import Effect, Effects, labels_for
from splittally_tools.policy_check.ground import Ground, Stage
from splittally_tools.policy_check.payloads import cost_of, payload_of
from splittally_tools.policy_check.results import MORE, Change, NotPlayed

STRANGER = "somebody-else"
SECOND_NS, HOUR_NS, DAY_NS = 10**9, 3600 * 10**9, 86_400 * 10**9
YEARS_NS = 3650 * DAY_NS
HARD = ("deny", "defer", "ask")  # limits that do not let everything pass


def attempt(name: str) -> bytes:
    """The attempt of a host that is called so."""
    return blake3(name.encode()).digest()[:16]


class Case(NamedTuple):
    """A grant and an effect under it."""

    ground: Ground
    grant: Grant
    effects: Effects
    effect: Effect

    @property
    def chain(self) -> list[Grant]:
        """The grant and those above it, root last."""
        return self.ground.state.caps.ancestors(self.grant.name)

    @property
    def who(self) -> str:
        """The principal that uses the grant."""
        return self.grant.holder

    @property
    def must_dispatch(self) -> bool:
        """Whether an effect is dispatched before it is carried out."""
        return any(grant.dispatch for grant in self.chain)

    @property
    def params(self) -> Mapping[str, Any]:
        """The params of the grant's cap."""
        found: Mapping[str, Any] = decode(self.ground.state.caps.cap_params(self.grant))
        return found

    def limits(self) -> list[tuple[Grant, Limit]]:
        """Every limit of the chain that does not let everything pass."""
        return [(grant, limit) for grant in self.chain for limit in limits_of(grant) if limit.over in HARD]

    def is_judged_by(self, *modules: str) -> bool:
        """Whether the grant's cap asks one of these enforcers."""
        caps = self.ground.state.caps
        return caps.caps[self.grant.cap].enforcer in [caps.modules.get(name) for name in modules]

    def states(self, term: str) -> bool:
        """Whether a grant of the chain states this term."""
        return any(getattr(grant, term) for grant in self.chain)

    def amounts(self, amounts: Mapping[str, int]) -> str:
        """Amounts with their units; `nothing` where there are none."""
        return self.ground.wording.amounts({unit: n for unit, n in amounts.items() if n}) or "nothing"

    def set(self, *path: str, value: Any) -> Change:
        """A line of the grant's table: `set("dispatch", value=True)`."""
        return Change(("grants", self.grant.name, *path), value)

    def add(self, listed: str, value: Any) -> Change:
        """One more item of a list of the grant's table."""
        return Change(("grants", self.grant.name, listed, MORE), value)

    def spelled(self, amount: int, dim: str) -> Any:
        """An amount as a manifest writes it: with its unit where it is one of a resource."""
        wording = self.ground.wording
        return wording.amount(amount, dim) if wording.scale(dim) else amount

    # --- moves -----------------------------------------------------------------------------------

    def intent(self, job: str = "a", sent: str = "a", effect: Effect | None = None, **fields: Any) -> Intent:
        """The effect for a job, as one attempt sends it; a job has one key."""
        effect = effect or self.effect
        asked: dict[str, Any] = {
            "idempotency_key": blake3(job.encode()).digest(),
            "attempt": attempt(sent),
            "labels": labels_for(self.ground, self.chain, job),
            "origin": effect.origin,
        }
        return Intent(effect.kind, effect.params, self.grant.name, **(asked | fields))

    def opened(self, stage: Stage, job: str = "a", sent: str = "a") -> Decision:
        """An intent that was admitted and whose effect may happen; `NotPlayed` where that cannot be."""
        decision = stage.submit(self.intent(job, sent), self.who)
        if decision.outcome == REQUIRE_APPROVAL:
            self.approve(stage, decision)
        elif decision.outcome != ALLOW:
            raise NotPlayed(f"the effect was not admitted: {decision.reason}")
        return decision

    def approve(self, stage: Stage, decision: Decision) -> None:
        """Has it approved by those who may; `NotPlayed` where nobody could."""
        assert decision.intent_hash is not None
        for name in self.approvers(stage, decision.intent_hash):
            stage.approve(decision.intent_hash, name)
            if not stage.outcome(decision.intent_hash).waits_for:
                return
        raise NotPlayed("nobody of this manifest may approve what waits")

    def approvers(self, stage: Stage, digest: bytes) -> list[str]:
        """Who might be tried: the approvers that are named, the operator, the other holders."""
        named = [name for ask in stage.outcome(digest).waits_for for name in ask["approvers"]]
        holders = {grant.holder for grant in self.ground.state.caps.grants.values()}
        return list(dict.fromkeys([*named, OPERATOR, *sorted(holders)]))

    def begin(self, stage: Stage, decision: Decision, sent: str = "a") -> None:
        """What a host must do before it acts."""
        if self.must_dispatch:
            assert decision.intent_hash is not None
            stage.dispatch(decision.intent_hash, attempt(sent), self.who)

    def receipt(
        self, decision: Decision, payload: Any = None, effect: Effect | None = None, **fields: Any
    ) -> Receipt:
        """A receipt of the host for that decision: what it reserved was used, where nothing else is said."""
        assert decision.intent_hash is not None
        if payload is None:
            payload = payload_of((effect or self.effect).params, self.params, decision.reserve, int)
        said: dict[str, Any] = {"status": "ok", "adapter_id": "check-policy"}
        said["cost_cents"] = cost_of(decision.reserve, int)
        return Receipt(decision.intent_hash, payload=payload, **(said | fields))
