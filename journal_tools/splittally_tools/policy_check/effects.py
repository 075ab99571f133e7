"""Effects that a grant admits, to play scenarios with: made of what its cap, its kinds and the policy say.

Rule 1. An effect counts once the kernel would allow it, or hold it for approval, on a copy of the world. No
        enforcer is second-guessed.
Rule 2. Where none is found, what stood in the way is said as the kernel said it; effects of one's own help.
Rule 3. Where a limit asks for approval, one that waits is looked for by making those that are allowed larger.
Rule 4. Of those allowed the first is taken that reserves something in most dimensions and fits twice into the
        limits; the others stand beside it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from splittally.core.canonical import decode, encode
from splittally.core.caps.state import covers_type, limits_of
from splittally.core.errors import SplittallyError
from splittally.core.limits import NATURAL_MAX
from splittally.core.prices import PRICES, SNAPSHOTS
from splittally.core.release_kinds import RELEASE_KINDS
from splittally.core.types import ALLOW, CAP_NATIVE_TYPE, REQUIRE_APPROVAL, Grant
from splittally.edge.records import Intent, Origin

from splittally_tools.policy_check.ground import Ground
from splittally_tools.policy_check.known_params import NUMBERS, known_params
from splittally_tools.policy_check.rule_texts import params_of_texts
from splittally_tools.policy_check.schema_values import values_of

TRIES_MAX = 400  # effects that are tried for one grant
OTHERS_MAX = 8
JOB = "job"  # the label under which the plays say which job an effect is for


class Effect(NamedTuple):
    """What may be asked under a grant, and what that was answered and would reserve."""

    kind: str
    params: Any
    origin: Origin | None
    outcome: str
    reserve: Mapping[str, int]


class Effects(NamedTuple):
    """What was found for a grant: the effect that is played, one that waits, others that are admitted.

    `refused` says why there is none, where there is none.
    """

    best: Effect | None
    waiting: Effect | None
    others: tuple[Effect, ...]
    refused: str


Given = Sequence[tuple[str, Any]]  # kinds and params that the user says


def outgoing_kinds(ground: Ground, grant: Grant) -> list[str]:
    """The kinds of effect that go out to a host and that the grant covers: the manifest's own first."""
    caps = ground.state.caps
    params = decode(caps.cap_params(grant))
    listed = params.get("kinds") if isinstance(params.get("kinds"), list) else None
    kinds = [
        kind
        for kind, effect in caps.effects.items()
        if effect.cap_type != CAP_NATIVE_TYPE
        and covers_type(caps.caps[grant.cap].cap_type, effect.cap_type)
        and (listed is None or kind in listed)
    ]
    ruled = {rule.effect_kind for rule in ground.state.rules}
    return sorted(kinds, key=lambda kind: (kind in RELEASE_KINDS, kind not in ruled, kind))


def labels_for(ground: Ground, chain: Iterable[Grant], job: str) -> dict[str, str]:
    """The labels of an effect: the job, also under every name by which a limit counts labels."""
    names = {JOB}
    for limit in [limit for grant in chain for limit in limits_of(grant)]:
        field = limit.per.partition(" by ")[2]
        if field.startswith("labels."):
            names.add(field.removeprefix("labels."))
    return dict.fromkeys(sorted(names), job)


def find_effects(ground: Ground, grant: Grant, given: Given = ()) -> Effects:
    """Effects that are admitted under the grant; of `given` alone, where those are of a kind it covers."""
    chain = ground.state.caps.ancestors(grant.name)
    wanted = _may_wait(ground, grant)
    found: list[Effect] = []
    waiting: Effect | None = None
    refused = ""
    for at, (kind, params, origin) in enumerate(_candidates(ground, grant, given)):
        if at >= TRIES_MAX or (len(found) >= OTHERS_MAX and (waiting or not wanted)):
            break
        effect, why = _tried(ground, grant, chain, Effect(kind, params, origin, "", {}))
        refused = refused or f"`{kind}`: {why}"
        if effect.outcome == ALLOW and len(found) < OTHERS_MAX:
            found.append(effect)
        elif effect.outcome == REQUIRE_APPROVAL:
            waiting = waiting or effect
    for effect in _larger(ground, chain, found) if wanted and waiting is None else []:
        tried, _ = _tried(ground, grant, chain, effect)
        if tried.outcome == REQUIRE_APPROVAL:
            waiting = tried
            break
    best = max(found, key=lambda effect: _worth(ground, grant, effect), default=waiting)
    others = tuple(effect for effect in found if effect is not best)
    return Effects(best, waiting, others, refused or "no kind of effect that goes out to a host is covered")


def _worth(ground: Ground, grant: Grant, effect: Effect) -> tuple[bool, int]:
    """How good an effect is to play with: whether it fits twice, and how many dimensions it reserves."""
    stage = ground.stage()
    chain = ground.state.caps.ancestors(grant.name)
    answers = [
        stage.submit(_asked(ground, grant, chain, effect, job), grant.holder).outcome for job in ("a", "b")
    ]
    return answers == [ALLOW, ALLOW], sum(amount > 0 for amount in effect.reserve.values())


def _larger(ground: Ground, chain: Sequence[Grant], found: Sequence[Effect]) -> Iterator[Effect]:
    """The effects so many times as large that a limit asks."""
    asking = [limit for grant in chain for limit in limits_of(grant) if limit.over == "ask"]
    for effect in found:
        for limit in asking:
            if effect.reserve.get(limit.dim):
                times = limit.amount // effect.reserve[limit.dim] + 2
                yield effect._replace(params=_times(effect.params, times))


def _times(value: Any, times: int) -> Any:
    """The value with every number in it so many times as large, as far as a natural goes."""
    match value:
        case dict():
            return {name: _times(item, times) for name, item in value.items()}
        case list():
            return [_times(item, times) for item in value]
        case int() if type(value) is int:
            return min(value * times, NATURAL_MAX)
    return value


def _asked(ground: Ground, grant: Grant, chain: Sequence[Grant], effect: Effect, job: str) -> Intent:
    labels = labels_for(ground, chain, job)
    return Intent(effect.kind, effect.params, grant.name, origin=effect.origin, labels=labels)


def _tried(ground: Ground, grant: Grant, chain: Sequence[Grant], effect: Effect) -> tuple[Effect, str]:
    """The effect with what it would be answered, and why not where it would be refused."""
    stage = ground.stage()
    try:
        decision = stage.submit(_asked(ground, grant, chain, effect, "a"), grant.holder)
    except SplittallyError as error:
        return effect, str(error)
    return effect._replace(outcome=decision.outcome, reserve=decision.reserve), decision.reason


def _may_wait(ground: Ground, grant: Grant) -> bool:
    """Whether something under this grant may have to wait for approval."""
    asks = any(
        limit.over == "ask" for each in ground.state.caps.ancestors(grant.name) for limit in limits_of(each)
    )
    return asks or any(
        rule.decision == REQUIRE_APPROVAL and rule.cap_name in ("", grant.name) for rule in ground.state.rules
    )


def _candidates(ground: Ground, grant: Grant, given: Given) -> Iterator[tuple[str, Any, Origin | None]]:
    """Kinds, params and origins to try: each kind's first ones before the many of any."""
    kinds = outgoing_kinds(ground, grant)
    stated = [(kind, params) for kind, params in given if kind in kinds]
    origins = _origins(ground)
    if stated:
        yield from ((kind, params, origin) for kind, params in stated for origin in origins)
        return
    for kind in kinds:
        for params in _params_of(ground, grant, kind):
            yield from ((kind, params, origin) for origin in origins)


def _origins(ground: Ground) -> list[Origin | None]:
    """No origin, and those that rules of the policy name."""
    named = {
        (rule.origin_kind or "plan", rule.origin_name or "com.example/plan@1")
        for rule in ground.state.rules
        if rule.origin_kind or rule.origin_name
    }
    return [None, *(Origin(kind, name) for kind, name in sorted(named))]


def _params_of(ground: Ground, grant: Grant, kind: str) -> list[Any]:
    """Params to try for a kind under a grant, each once."""
    caps = ground.state.caps
    schema = caps.effects[kind].params_schema
    chain = caps.ancestors(grant.name)
    params = _narrowest([decode(caps.cap_params(each)) for each in chain])
    numbers = _numbers(chain)
    bases = _known(kind, params, numbers, _price_tables(ground, params), list(_resources(ground, grant)))
    if not bases and schema:
        bases = values_of(decode(caps.blobs[schema]))
    texts = [text for each in chain for text in _texts(decode(caps.cap_params(each)))]
    texts += [
        (rule.when, False) for rule in ground.state.rules if rule.when and rule.effect_kind in ("", kind)
    ]
    made: list[Any] = []
    for base in (bases or [{}])[:TRIES_MAX]:
        made += [base] if bases else []
        if isinstance(base, Mapping) and len(made) < TRIES_MAX:
            made += params_of_texts(texts, numbers, base)
    return list({_key(value): value for value in made}.values())


def _known(*hints: Any) -> list[Any]:
    """Params of a kind of the release; none where a module of one's own takes params of another shape."""
    try:
        return list(known_params(*hints))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return []


def _narrowest(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the grants of a chain say together, leaf first: of two lists what stands in both, of two numbers
    the smaller, and else the first that says anything."""
    whole: dict[str, Any] = {}
    for params in several:
        for name, value in params.items():
            first = whole.setdefault(name, value)
            if isinstance(first, list) and isinstance(value, list):
                whole[name] = [item for item in first if item in value] or first
            elif type(first) is int and type(value) is int:
                whole[name] = min(first, value)
    return whole


def _key(value: Any) -> bytes:
    try:
        return encode(value)
    except SplittallyError:
        return repr(value).encode()


def _numbers(chain: Sequence[Grant]) -> list[int]:
    """Sizes to try: plain ones, and those just above where a limit asks."""
    asked = [limit.amount + 1 for grant in chain for limit in limits_of(grant) if limit.over == "ask"]
    return list(dict.fromkeys([*NUMBERS, *asked]))


def _resources(ground: Ground, grant: Grant) -> Iterable[str]:
    """The resources that a grant may spend: those that it draws, limits, or all."""
    own = [
        *grant.paid_by,
        *(limit.dim for limit in limits_of(grant) if limit.dim in ground.state.ledger.resources),
    ]
    return dict.fromkeys(own or sorted(ground.state.ledger.resources))


def _texts(params: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """The expressions of a grant's rules, each with whether it gives a number."""
    rules = params.get("rules")
    for rule in rules if isinstance(rules, list) else []:
        for name in ("require", "deny", "when"):
            if isinstance(rule, Mapping) and isinstance(rule.get(name), str):
                yield rule[name], False
    reserve = params.get("reserve")
    for text in reserve.values() if isinstance(reserve, Mapping) else []:
        if isinstance(text, str):
            yield text, True


def _price_tables(ground: Ground, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tables of the snapshots that a grant names."""
    prices = params.get(PRICES)
    named = prices.get(SNAPSHOTS, []) if isinstance(prices, Mapping) else []
    blobs = ground.state.caps.blobs
    return [decode(blobs[row["hash"]]) for row in named if row.get("hash") in blobs]
