"""The last unit, amounts that nothing bounds, limits that nothing counts, models without a price."""

from splittally.core.types import LIFE
from splittally.edge.dimensions import counted_by, uncounted
from splittally.edge.wording import few

from splittally_tools.policy_check.case import Case
from splittally_tools.policy_check.ground import Stage
from splittally_tools.policy_check.known_params import models_of
from splittally_tools.policy_check.results import COSTS, HELD, OPEN, Change, NotPlayed, Result

MOST = 2**62
OF_MODELS = ("sys/CapEnforceLlm@1", "sys/CapEnforceLlmBasic@1")
ALLOW_ALL, CALLS, ADVISED_CALLS = "sys/CapAllowAll@1", "calls", 1_000
ADVISED_TIMES = 100  # an advised limit, in effects like the one that was played


def room(case: Case, dim: str) -> int | None:
    """How much of a dimension may be booked so that the effect is still admitted; None for any amount."""
    if _fits(case, dim, MOST):
        return None
    low, high = 0, MOST  # `low` fits, `high` does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(case, dim, middle) else (low, middle)
    return low


def _fits(case: Case, dim: str, booked: int) -> bool:
    stage = case.ground.stage()
    if booked and not _book(case, stage, dim, booked):
        return False
    return stage.submit(case.intent("b", "b"), case.who).outcome == case.effect.outcome


def _book(case: Case, stage: Stage, dim: str, amount: int) -> bool:
    """Books spend that happened beside, so that so much less is left."""
    params = case.effect.params if isinstance(case.effect.params, dict) else {}
    booked: bool = stage.native(
        "usage.record", grant=case.grant.name, usage={dim: amount}, params=params
    ).allowed
    return booked


def _dims(case: Case) -> list[str]:
    """What the effect reserves."""
    return [dim for dim, amount in sorted(case.effect.reserve.items()) if amount]


def last_unit(case: Case) -> Result:
    """Two hosts ask at once for the last that is left."""
    dims = _dims(case)
    if not dims:
        raise NotPlayed("the effect reserves nothing")
    for dim in dims:
        left = room(case, dim)
        if left is not None:
            return _raced(case, dim, left)
    told = "both are allowed, and so is everybody after them: no limit ends it"
    return Result(OPEN, told, _limits(case, dims[0]))


def _raced(case: Case, dim: str, left: int) -> Result:
    """Two ask where the rest of a dimension is enough for one."""
    stage = case.ground.stage()
    if left and not _book(case, stage, dim, left):
        raise NotPlayed("the rest of the limit cannot be booked")
    first, second = (stage.submit(case.intent(job, job), case.who) for job in ("b", "c"))
    told = f"one is `{first.outcome}`, the other `{second.outcome}`: {second.reason}"
    if first.allowed and second.allowed:
        return Result(OPEN, told, _limits(case, dim))
    return Result(HELD, told)


def unbounded(case: Case) -> Result:
    """A host asks again and again."""
    dims = _dims(case)
    if not dims:
        return _uncharged(case)
    free = [dim for dim in dims if room(case, dim) is None]
    if not free:
        return Result(HELD, f"limits or accounts end it: {few(dims)}")
    told = f"nothing ends the use of {few(free)}"
    return Result(OPEN if len(free) == len(dims) else COSTS, told, _limits(case, *free))


def _uncharged(case: Case) -> Result:
    """What bounds effects that reserve nothing: what is charged for them afterwards, if anything."""
    stage = case.ground.stage()
    decision = case.opened(stage)
    case.begin(stage, decision)
    receipt = case.receipt(decision, cost_cents=1)
    stage.settle(receipt, case.who)
    charged = stage.outcome(receipt.intent_hash).charged or {}
    limited = {limit.dim for _, limit in case.limits()}
    if limited.intersection(dim for dim, amount in charged.items() if amount):
        told = (
            f"nothing is reserved; {case.amounts(charged)} are charged afterwards, when many may be running"
        )
        return Result(
            COSTS, told, advice="state a bound of one effect in the grant's `params`, so that it is reserved"
        )
    told = "nothing is reserved and no limit counts what is charged: it never ends"
    lines: tuple[Change, ...] = ()
    if case.is_judged_by(ALLOW_ALL):
        lines = (
            case.set("params", "reserve", value={CALLS: 1}),
            case.set("budget", CALLS, value=ADVISED_CALLS),
        )
    return Result(
        OPEN, told, lines, "" if lines else "take a cap whose enforcer counts what such an effect uses"
    )


def _limits(case: Case, *dims: str) -> tuple[Change, ...]:
    """Lifetime limits of the grant, wide enough for some such effects and no wider than those above it."""
    lines = []
    for dim in dims:
        one = case.effect.reserve[dim]
        above = [limit.amount for _, limit in case.limits() if (limit.dim, limit.per) == (dim, LIFE)]
        most = min([one * ADVISED_TIMES, MOST, *above])
        if most >= 2 * one:
            lines.append(case.set("budget", dim, value=case.spelled(most, dim)))
    return tuple(lines)


def uncounted_limit(case: Case) -> Result:
    """A limit is on what nothing counts."""
    state, grant = case.ground.state, case.grant
    dims = uncounted(state, grant.name)
    if not dims:
        return Result(HELD, "every limit is on what its enforcer counts")
    counted = sorted(counted_by(state, grant) or ())
    told = f"{few(dims)} never reach their limit"
    words = f"what is counted: {few(counted)}" if counted else "nothing is counted under this cap"
    return Result(OPEN, told, _renamed(case, dims, counted), words)


def _renamed(case: Case, dims: list[str], counted: list[str]) -> tuple[Change, ...]:
    """The budget with the name that nothing counts replaced by the one that is counted and has no limit."""
    limited = {limit.dim for _, limit in case.limits()}
    left = [dim for dim in counted if dim not in limited]
    budget = dict(case.grant.budget or {})
    elsewhere = {limit.dim for limit in case.grant.limits}
    if len(left) != 1 or len(dims) != 1 or dims[0] not in budget or dims[0] in elsewhere:
        return ()
    amount = budget.pop(dims[0])
    if amount < 2 * max(1, case.effect.reserve.get(left[0], 0)):
        return ()
    renamed = budget | {left[0]: amount}
    return (case.set("budget", value={dim: case.spelled(n, dim) for dim, n in renamed.items()}),)


def unknown_model(case: Case) -> Result:
    """A host asks for a model that nobody has thought of."""
    key = case.ground.state.caps.effects[case.effect.kind].price_key
    if not key or not isinstance(case.effect.params, dict):
        raise NotPlayed("this kind of effect names no model")
    other = case.effect._replace(params=case.effect.params | {key: "a-model-that-nobody-knows"})
    decision = case.ground.stage().submit(case.intent(effect=other), case.who)
    if not decision.allowed:
        return Result(HELD, decision.reason)
    told = f"it is allowed, {case.amounts(decision.reserve)} reserved"
    result = COSTS if any(decision.reserve.values()) else OPEN
    if not case.is_judged_by(*OF_MODELS):
        return Result(result, told, advice="take a cap whose enforcer reads which model is asked for")
    known = models_of(case.params, []) or [case.effect.params[key]]
    return Result(result, told, (case.set("params", "models", value=known),))
