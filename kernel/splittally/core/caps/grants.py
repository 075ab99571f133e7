"""Grants as people state them, and the record that a statement makes.

Rule 1. A child is at most its parent in every term (`narrowing.py`).
Rule 2. What a child does not limit is limited by its ancestors, whose counters it uses too.
"""

import msgspec
from msgspec import Struct

from splittally.core.amounts import is_natural
from splittally.core.canonical import encode
from splittally.core.caps.narrowing import check_narrowing
from splittally.core.caps.state import Caps, limits_of
from splittally.core.events import Defined, Event, GrantSet, LimitSet
from splittally.core.findings import Finding, find
from splittally.core.hashing import hash_grant, hash_params
from splittally.core.limits import (
    BUDGET_DIMS_MAX,
    CHAIN_GRANTS_MAX,
    LIMITS_PER_GRANT_MAX,
    PARAMS_BYTES_MAX,
    PAYERS_MAX,
    TIME_NS_MAX,
)
from splittally.core.periods import is_keyed, read_period
from splittally.core.types import (
    LIFE,
    OPERATOR,
    OVERS,
    PER_INTENT,
    POLICY_SCOPE,
    ROOT,
    Grant,
    Limit,
    Payer,
    is_id,
    is_name,
    is_per,
    is_plain,
    is_principal,
)

DOUBTS = ("payer", "payee")
ABOVES = ("charge", "cap", "debt")
PERIODS_ARE = (
    "use life, intent, hour, day, week, month, quarter, year, a duration such as 60s, rolling:60s,"
    " or an anchor and a zone: week:sunday, month:15, day@Europe/Amsterdam"
)


class LimitTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit as stated: at most `amount` of `dim` per `per`, and what happens above it.

    `rollover` is the share of what is left that a calendar window hands on: numerator, denominator; it hands
    on at most `carried_max`, -1 for no bound.
    """

    dim: str
    amount: int
    per: str = LIFE
    over: str = "deny"
    rollover: list[int] = []
    carried_max: int = -1

    def __post_init__(self) -> None:
        _require(is_id(self.dim), "a limit's `dim` is a name")
        _require(is_natural(self.amount), f"the limit of `{self.dim}` is a natural below 2^64")
        _require(is_per(self.per), f"`{self.per}` is no period; {PERIODS_ARE}")
        _require(self.over in OVERS, f"`over` is one of {', '.join(OVERS)}")
        if self.rollover:
            _require(len(self.rollover) == 2, "`rollover` is a numerator and a denominator")
            share, whole = self.rollover
            _require(0 <= share <= whole <= 10**6 and whole > 0, "`rollover` is a share between 0 and 1")
            period = read_period(self.per)
            _require(period is not None and period.base != "", "only calendar windows roll over")
            _require(not is_keyed(self.per), "what a limit counts by a value does not roll over")
        _require(
            self.carried_max == -1 or is_natural(self.carried_max), "`carried_max` is a natural below 2^64"
        )
        _require(
            self.carried_max == -1 or self.rollover != [],
            "a limit that carries at most so much has a `rollover`",
        )

    def limit(self) -> Limit:
        """The record of this limit."""
        return Limit(
            dim=self.dim,
            per=self.per,
            amount=self.amount,
            over=self.over,
            rollover=self.rollover,
            carried_max=self.carried_max,
        )


class PayerTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several accounts that a grant draws on, until its end where it has one."""

    account: str
    until_ns: int = 0

    def __post_init__(self) -> None:
        _require(is_id(self.account), "an account of `draws_on` is a name")
        _require(0 <= self.until_ns <= TIME_NS_MAX, "`until_ns` is a natural below 2^63")


class GrantTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A grant as stated; times in nanoseconds, amounts in minor units. `params` is canonical CBOR."""

    cap: str
    params: bytes | None = None
    budget: dict[str, int] | None = None
    limits: list[LimitTerms] = []
    expiry_ns: int | None = None
    parent: str = ROOT
    holder: str = OPERATOR
    draws_on: dict[str, str | list[PayerTerms]] = {}
    pays_to: list[str] = []
    delegations: int = 0
    hold_ns_max: int = 0
    approval_ns: int = 0
    unknown_ns: int = 0
    doubt: str = "payer"
    above: str = "charge"
    dispatch: bool = False

    def __post_init__(self) -> None:
        _require(is_name(self.cap), f"`{self.cap}` is not a name such as sys/llm.basic@1")
        _require(is_principal(self.holder), "`holder` is a principal's name")
        budget = self.budget or {}
        _require(len(budget) <= BUDGET_DIMS_MAX, f"a budget has at most {BUDGET_DIMS_MAX} dimensions")
        _require(len(self.limits) <= LIMITS_PER_GRANT_MAX, f"at most {LIMITS_PER_GRANT_MAX} limits")
        for dim, amount in budget.items():
            _require(is_id(dim), "a dimension is a name")
            _require(is_natural(amount), f"the budget of `{dim}` is a natural below 2^64")
        hard = [(x.dim, x.per) for x in self.limits if x.over == "deny" and x.per != PER_INTENT]
        hard += [(dim, LIFE) for dim in budget]
        _require(len(hard) == len(set(hard)), "one dimension has two limits for one period")
        _require(self.params is None or len(self.params) <= PARAMS_BYTES_MAX, "`params` are too large")
        for name in ("hold_ns_max", "approval_ns", "unknown_ns", "expiry_ns", "delegations"):
            value = getattr(self, name)
            _require(value is None or 0 <= value <= TIME_NS_MAX, f"`{name}` is a natural below 2^63")
        _require(self.doubt in DOUBTS, "`doubt` is payer or payee")
        _require(self.above in ABOVES, "`above` is charge, cap or debt")
        _require(all(map(is_id, self.pays_to)), "`pays_to` lists accounts")
        for resource, payers in self.draws_on.items():
            _require(is_id(resource), "`draws_on` maps names")
            _require_payers(resource, payers)
        first = self.pays_to[:1]
        _require(all(map(is_plain, first)), "the first of `pays_to` is one account")


def _require_payers(resource: str, payers: str | list[PayerTerms]) -> None:
    """The last of several pays what the others cannot, so it may not end."""
    if isinstance(payers, str):
        _require(is_id(payers), "`draws_on` maps names")
        return
    accounts = [payer.account for payer in payers]
    _require(0 < len(accounts) <= PAYERS_MAX, f"`draws_on` of `{resource}` lists 1 to {PAYERS_MAX} accounts")
    _require(len(accounts) == len(set(accounts)), f"`draws_on` of `{resource}` lists an account twice")
    is_open = any(not payer.until_ns for payer in payers)
    _require(is_open, f"one account in `draws_on` of `{resource}` has no `until`: it pays the rest")


# Example. [paid, promo until April, gift until March] is used as gift, promo, paid.
def _in_order(payers: list[PayerTerms]) -> list[Payer]:
    """Those that end first come first, and those that do not last; else they stay in their order."""
    ordered = sorted(payers, key=lambda payer: payer.until_ns or TIME_NS_MAX + 1)
    return [Payer(payer.account, payer.until_ns) for payer in ordered]


def build_grant(name: str, terms: GrantTerms, made_by: str) -> Grant:
    """The record of a grant with these terms."""
    identity = {
        "defcap_ref": terms.cap,
        "params_cbor": terms.params,
        "budget": terms.budget,
        "expiry": terms.expiry_ns,
    }
    drawn = {
        resource: [PayerTerms(account=payers)] if isinstance(payers, str) else payers
        for resource, payers in terms.draws_on.items()
    }
    ordered = {resource: _in_order(payers) for resource, payers in drawn.items()}
    return Grant(
        name=name,
        cap=terms.cap,
        params=b"" if terms.params is None else hash_params(terms.params),
        budget=terms.budget,
        expiry_ns=terms.expiry_ns or 0,
        parent=terms.parent,
        holder=terms.holder,
        limits=[limit.limit() for limit in terms.limits],
        draws_on={resource: payers[0].account for resource, payers in ordered.items() if len(payers) == 1},
        pays_to=terms.pays_to,
        delegations=terms.delegations,
        hold_ns_max=terms.hold_ns_max,
        approval_ns=terms.approval_ns,
        unknown_ns=terms.unknown_ns,
        doubt=terms.doubt,
        above=terms.above,
        made_by=made_by,
        grant_hash=hash_grant(encode(identity)),
        dispatch=terms.dispatch,
        payers={resource: payers for resource, payers in ordered.items() if len(payers) > 1},
    )


def terms_of(caps: Caps, grant: Grant) -> GrantTerms:
    """The terms that a grant states, to be changed and built again."""
    several = {
        resource: [PayerTerms(account=payer.account, until_ns=payer.until_ns) for payer in payers]
        for resource, payers in grant.payers.items()
    }
    return GrantTerms(
        cap=grant.cap,
        params=caps.blobs[grant.params] if grant.params else None,
        budget=grant.budget,
        limits=[msgspec.convert(msgspec.structs.asdict(x), LimitTerms) for x in grant.limits],
        expiry_ns=grant.expiry_ns or None,
        parent=grant.parent,
        holder=grant.holder,
        draws_on=grant.draws_on | several,
        pays_to=grant.pays_to,
        delegations=grant.delegations,
        hold_ns_max=grant.hold_ns_max,
        approval_ns=grant.approval_ns,
        unknown_ns=grant.unknown_ns,
        doubt=grant.doubt,
        above=grant.above,
        dispatch=grant.dispatch,
    )


def check_new_name(caps: Caps, name: str) -> list[Finding]:
    """Whether a grant may have this name."""
    if name.startswith(POLICY_SCOPE):
        return [find("name_reserved", name=name)]
    was_revoked = caps.was_revoked(name)
    if was_revoked or name in caps.grants:
        return [find("name_taken", name=name, revoked=was_revoked)]
    return []


def check_terms(caps: Caps, grant: Grant) -> list[Finding]:
    """Whether a grant's cap and parent exist and it is at most its parent."""
    if grant.cap not in caps.caps:
        return [find("not_found", cap=grant.cap)]
    parent = caps.grants.get(grant.parent)
    if caps.is_revoked(grant.parent):
        return [find("revoked", grant=grant.parent, order="")]
    if parent is None:
        return [find("not_found", grant=grant.parent)]
    if len(caps.ancestors(grant.parent)) >= CHAIN_GRANTS_MAX:
        return [find("chain_too_long", grant=grant.name, most=CHAIN_GRANTS_MAX)]
    return check_narrowing(caps, grant, parent)


def grant_events(caps: Caps, grant: Grant, params: bytes | None, now: Grant | None) -> list[Event]:
    """The events that make a grant, or change the one that stands into it; none when they are equal.

    Counters carry over: a limit that is gone leaves a counter that only counts.
    """
    if grant == now:
        return []
    events: list[Event] = []
    if params is not None and grant.params not in caps.blobs:
        events.append(Defined("blobs", grant.params.hex(), params))
    events.append(GrantSet(grant))
    before = _life_amounts(now) if now is not None else {}
    after = _life_amounts(grant)
    for dim in sorted({**before, **after}):
        if before.get(dim) != after.get(dim, -1):
            events.append(
                LimitSet(scope=grant.name, dim=dim, per=LIFE, start_ns=0, amount=after.get(dim, -1))
            )
    return events


def life_dims(grant: Grant) -> list[str]:
    """The dimensions that a grant counts for life."""
    return sorted(_life_amounts(grant))


def _life_amounts(grant: Grant) -> dict[str, int]:
    amounts: dict[str, int] = {}
    for limit in limits_of(grant):
        if limit.per == LIFE:
            amounts[limit.dim] = limit.amount if limit.over == "deny" else amounts.get(limit.dim, -1)
    return amounts


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
