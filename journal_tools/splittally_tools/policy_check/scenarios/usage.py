"""Receipts that say too little, too much or nonsense: what is charged then?

Rule 1. Every field that may say a usage says the hostile one (`payloads.py`).
Rule 2. Held where at least the reserve is charged for what was not understood, and no more than the reserve
        for what was above it. What is charged beyond is allowed, and costs.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from splittally.core.limits import NATURAL_MAX
from splittally.core.prices import PRICES
from splittally.core.types import SYS
from splittally.edge.records import Settlement
from splittally.edge.wording import few

from splittally_tools.policy_check.case import Case
from splittally_tools.policy_check.payloads import Said, cost_of, payload_of
from splittally_tools.policy_check.results import COSTS, HELD, OPEN, Change, NotPlayed, Result

HUGE, TOO_HUGE = 2**63, 2**64 - 1
TIMES = 10  # of the reserve
WITH_COST = ("sys/CapEnforceCost@1", "sys/CapEnforceMcp@1")  # what a call may cost their grants may bound
BOUND, ADVISED_CENTS = "max_cost_cents", 100
SILENCE = "what reads the receipt, the grant's `usage` or its enforcer, takes silence for nothing"
OLD_LLM, LLM = "sys/CapEnforceLlmBasic@1", "sys/CapEnforceLlm@1"


class _Ended(NamedTuple):
    """How an effect ended: what it had reserved, what its receipt was answered, what was charged."""

    reserve: Mapping[str, int]
    settled: Settlement
    charged: Mapping[str, int]

    def told(self, case: Case) -> str:
        codes = dict.fromkeys(f"`{violation.code}`" for violation in self.settled.violations)
        noted = f", recorded as {', '.join(codes)}" if codes else ""
        return f"charged {case.amounts(self.charged)} of {case.amounts(self.reserve)} reserved{noted}"

    @property
    def is_below(self) -> bool:
        """Whether less than the reserve is charged in any dimension."""
        return any(amount > self.charged.get(dim, 0) for dim, amount in self.reserve.items())


def _ended(case: Case, said: Said, **fields: Any) -> _Ended:
    """What comes of a receipt in which `said` stands for every amount."""
    stage = case.ground.stage()
    decision = case.opened(stage)
    assert decision.intent_hash is not None
    case.begin(stage, decision)
    payload = payload_of(case.effect.params, case.params, decision.reserve, said)
    told = {"payload": payload, "cost_cents": cost_of(decision.reserve, said)}
    settled = stage.settle(case.receipt(decision, **(told | fields)), case.who)
    return _Ended(decision.reserve, settled, stage.outcome(decision.intent_hash).charged or {})


def _newer(case: Case) -> tuple[Change, ...]:
    """The line by which a cap of the manifest asks the present enforcer of model calls and no older one."""
    is_old = case.is_judged_by(OLD_LLM)
    is_own = not case.grant.cap.startswith(SYS)
    return (Change(("caps", case.grant.cap, "enforcer"), LLM),) if is_old and is_own else ()


def _not_below(case: Case, said: Said, **fields: Any) -> Result:
    """Held where nothing is charged below the reserve without a word."""
    ended = _ended(case, said, **fields)
    if not ended.is_below:
        return Result(HELD, ended.told(case))
    lines = _newer(case)
    is_noted = bool(ended.settled.violations)
    return Result(COSTS if is_noted else OPEN, ended.told(case), lines, "" if lines else SILENCE)


def absent(case: Case) -> Result:
    """A receipt says nothing of what was used."""
    return _not_below(case, lambda _: None, payload={})


def null(case: Case) -> Result:
    """A receipt says null for what was used."""
    return _not_below(case, lambda _: None)


def negative(case: Case) -> Result:
    """A receipt says that less than nothing was used."""
    return _not_below(case, lambda _: -5)


def text(case: Case) -> Result:
    """A receipt says a text for what was used."""
    return _not_below(case, lambda _: "lots")


def beyond_reserve(case: Case) -> Result:
    """A receipt says ten times what was reserved."""
    return _not_above(case, lambda amount: min(amount * TIMES, NATURAL_MAX))


def huge(case: Case) -> Result:
    """A receipt says 2^63."""
    return _not_above(case, lambda _: HUGE)


def largest(case: Case) -> Result:
    """A receipt says 2^64 - 1, the most that there is."""
    return _not_above(case, lambda _: TOO_HUGE)


def _not_above(case: Case, said: Said) -> Result:
    """Held where no more than the reserve is charged to what has a limit or is paid."""
    ended = _ended(case, said)
    bounded = {limit.dim for _, limit in case.limits()} | {
        dim for grant in case.chain for dim in grant.paid_by
    }
    above = [dim for dim, n in sorted(ended.charged.items()) if n > ended.reserve.get(dim, 0)]
    if not bounded.intersection(above):
        free = f"; nothing limits {few(above)}" if above else ""
        return Result(HELD, f"{ended.told(case)}{free}")
    told = f"{ended.told(case)}: limits may be passed by it"
    lines = (case.set("above", value="cap"),)
    if all(ended.reserve.get(dim) for dim in bounded.intersection(above)):
        return Result(COSTS, told, lines)
    most = min([ADVISED_CENTS, *(limit.amount for _, limit in case.limits() if limit.dim in above)])
    if most and case.is_judged_by(*WITH_COST):
        return Result(COSTS, told, (*lines, case.set("params", BOUND, value=most)))
    return Result(
        COSTS, told, advice=f"nothing is reserved of {few(above)}: state a bound in the grant's `params`"
    )


def zero(case: Case) -> Result:
    """A host says that its effect used nothing."""
    ended = _ended(case, lambda _: 0)
    if not any(ended.reserve.values()):
        raise NotPlayed("the effect reserves nothing")
    if not ended.is_below:
        return Result(HELD, ended.told(case))
    words = "let an adapter that you trust report (`adapters` of the effect), and compare bills"
    return Result(COSTS, f"{ended.told(case)}: it is believed", advice=words)


def failed(case: Case) -> Result:
    """A host says that its effect failed, and nothing else."""
    ended = _ended(case, lambda _: None, payload={}, status="error")
    if not ended.is_below:
        return Result(HELD, ended.told(case))
    return Result(COSTS, f"{ended.told(case)}: it is believed", advice="compare bills with what was charged")


def other_model(case: Case) -> Result:
    """The receipt names another model than the intent."""
    key = case.ground.state.caps.effects[case.effect.kind].price_key
    if not key or PRICES not in case.params:
        raise NotPlayed("no price of this grant depends on a model")
    other = {"prompt_tokens": 1, "completion_tokens": 1, "model": "another-model", key: "another-model"}
    ended = _ended(case, int, payload=other)
    is_noted = any(violation.code == "model_differs" for violation in ended.settled.violations)
    return Result(HELD if is_noted else COSTS, ended.told(case), () if is_noted else _newer(case))
