"""Native effects on grants: issue, top up, revoke; `amendments.py` has the fourth, amend.

Rule 1. An issued grant is a child of the intent's own grant. Amending, topping up and revoking reach
        what descends from it (`authority.py`). What is handed out is at most what the one who hands has.
Rule 2. Who lets an account be drawn on is root, draws on it itself, or holds a native grant over it.
Rule 3. Revoking voids all that descends and releases what waits for approval under it; what is in
        flight still settles.
"""

import msgspec
from msgspec import Struct

from splittally.core.amounts import fits, saturated
from splittally.core.canonical import encode
from splittally.core.caps.grants import (
    GrantTerms,
    LimitTerms,
    build_grant,
    check_new_name,
    check_terms,
    grant_events,
    life_dims,
    terms_of,
)
from splittally.core.caps.narrowing import check_narrowing
from splittally.core.caps.prices import check_prices
from splittally.core.caps.rules import check_rules, recorded_terms
from splittally.core.events import Defined, Event, GrantRevoked
from splittally.core.findings import Finding, find
from splittally.core.ledger.check import check_open_reserve
from splittally.core.ledger.limit_changes import Moment, open_window_events
from splittally.core.ledger.state import TOPUPS
from splittally.core.ledger.tick import release_hold
from splittally.core.ledger.windows import window_end, window_start
from splittally.core.limits import TIME_NS_MAX
from splittally.core.native.authority import governs
from splittally.core.native.row import Native, NativeCall, Touches
from splittally.core.native.zones import check_zones
from splittally.core.periods import read_period
from splittally.core.state import State
from splittally.core.types import APPROVAL, EXTERNAL, LIFE, ROOT, Grant, Payer, is_id


class IssueGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new grant below the intent's own grant."""

    name: str
    terms: GrantTerms

    def __post_init__(self) -> None:
        if not is_id(self.name):
            raise ValueError("`name` is a grant's name")


class TopUpGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More of one dimension: the limit of `per` rises by `amount`.

    It rises for good, and a manifest that states the limit takes it back; until a time, beside the terms,
    which no manifest changes; or `once`, until the window that is open ends.
    """

    name: str
    dim: str
    amount: int
    per: str = LIFE
    until_ns: int = 0
    once: bool = False

    def __post_init__(self) -> None:
        if self.amount <= 0 or not fits(self.amount):
            raise ValueError("`amount` is a positive natural below 2^64")
        if not 0 <= self.until_ns <= TIME_NS_MAX:
            raise ValueError("`until` is a time below 2^63")
        if self.once and self.until_ns:
            raise ValueError("`once` and `until` are two ways to say when a top-up ends")
        period = read_period(self.per)
        if self.once and (period is None or period.is_rolling):
            raise ValueError("`once` is until the open window ends: name the `per` of a window that does")


class RevokeGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a grant and of all that descends from it."""

    name: str
    order: str = ""


def _check_issue(state: State, call: NativeCall, params: IssueGrant) -> list[Finding]:
    terms = params.terms
    if terms.parent not in (ROOT, call.grant):
        return [find("cannot_change", field="parent", value=terms.parent, needed=call.grant)]
    grant = build_grant(params.name, msgspec.structs.replace(terms, parent=call.grant), call.principal)
    findings = check_new_name(state.caps, params.name) or check_terms(state.caps, grant)
    findings = findings or check_rules(state.caps, terms, "terms") or check_prices(state.caps, terms, "terms")
    findings = findings + check_zones(state, grant.limits)
    return findings or check_accounts(state, call, grant)


def _make_issue(state: State, call: NativeCall, params: IssueGrant) -> list[Event]:
    terms = recorded_terms(state.caps, msgspec.structs.replace(params.terms, parent=call.grant))
    grant = build_grant(params.name, terms, call.principal)
    return grant_events(state.caps, grant, terms.params, None)


def check_accounts(state: State, call: NativeCall, grant: Grant) -> list[Finding]:
    """Whether the accounts of a grant exist and its issuer may let them be drawn on."""
    findings = []
    drawn = sorted(grant.paid_by.items())
    for resource, payer in ((resource, payer) for resource, payers in drawn for payer in payers):
        account = payer.account
        if resource not in state.ledger.resources:
            findings.append(find("not_found", resource=resource))
        elif account not in state.ledger.accounts:
            findings.append(find("not_found", account=account))
        elif account.startswith(EXTERNAL):
            findings.append(find("external_account", account=account))
        elif not _may_lend(state, call, resource, payer):
            findings.append(find("account_not_yours", account=account, resource=resource))
    for account in grant.pays_to[:1]:
        if account not in state.ledger.accounts:
            findings.append(find("not_found", account=account))
    return findings


def _may_lend(state: State, call: NativeCall, resource: str, payer: Payer) -> bool:
    """Whether the issuer is root, draws on the account itself as long, or holds a native grant over it."""
    if call.grant == ROOT:
        return True
    for own in state.caps.payers(call.grant, resource):
        if own.account == payer.account and (not own.until_ns or 0 < payer.until_ns <= own.until_ns):
            return True
    return governs(state, call.principal, resource, payer.account, call.now_ns)


def check_there(state: State, name: str) -> list[Finding]:
    """Whether the grant that an effect changes is there; whether it is reached was asked before."""
    if state.caps.is_forgotten(name):
        return [find("revoked", grant=name, order="")]
    if name not in state.caps.grants or name == ROOT:
        return [find("not_found", grant=name)]
    if name in state.caps.revoked:
        return [find("revoked", grant=name, order=state.caps.revoked[name])]
    return []


def check_change(state: State, old: Grant, new: Grant) -> list[Finding]:
    """Whether a grant may become another: same parent, and it and its children still narrow."""
    if new.parent != old.parent:
        return [find("cannot_change", field="parent", grant=old.name)]
    return check_terms(state.caps, new) + check_open_reserve(state.ledger, new.name, life_dims(new))


def change_events(state: State, old: Grant, new: Grant, params: bytes | None, now_ns: int) -> list[Event]:
    """The events that change a grant, open windows included: what they rolled over is kept."""
    events = grant_events(state.caps, new, params, old)
    if not events:
        return []
    at = Moment(now_ns, state.offset_ns)
    return [*events, *open_window_events(state.ledger, new.name, old.limits, new.limits, at)]


def check_handed(state: State, call: NativeCall, new: Grant, findings: list[Finding]) -> list[Finding]:
    """The same, and in what the grant would be wider than the one under which it is asked for."""
    wider = check_narrowing(state.caps, new, state.caps.grants[call.grant])
    return findings + [finding for finding in wider if finding not in findings]


def _topped_up(state: State, params: TopUpGrant) -> GrantTerms | None:
    """The terms after a top-up; None when there is no such limit or it would pass 2^64-1."""
    terms = terms_of(state.caps, state.caps.grants[params.name])
    if params.per == LIFE and params.dim in (terms.budget or {}):
        budget = dict(terms.budget or {})
        budget[params.dim] += params.amount
        return msgspec.structs.replace(terms, budget=budget) if fits(budget[params.dim]) else None
    for at, limit in enumerate(terms.limits):
        if (limit.dim, limit.per, limit.over) == (params.dim, params.per, "deny"):
            amount = limit.amount + params.amount
            if not fits(amount):
                return None
            limits: list[LimitTerms] = list(terms.limits)
            limits[at] = msgspec.structs.replace(limit, amount=amount)
            return msgspec.structs.replace(terms, limits=limits)
    return None


def raised_events(state: State, name: str, dim: str, amount: int, now_ns: int) -> list[Event] | None:
    """The events that raise a lifetime limit of a grant; None where it has none or would pass 2^64-1."""
    terms = _topped_up(state, TopUpGrant(name=name, dim=dim, amount=amount))
    if terms is None:
        return None
    old = state.caps.grants[name]
    return change_events(state, old, build_grant(name, terms, old.made_by), terms.params, now_ns)


def _check_topup(state: State, call: NativeCall, params: TopUpGrant) -> list[Finding]:
    findings = check_there(state, params.name)
    if findings:
        return findings
    standing = state.ledger.raised.get((params.name, params.dim, params.per), 0)
    terms = _topped_up(state, msgspec.structs.replace(params, amount=saturated(params.amount + standing)))
    if terms is None:
        return [find("not_found", dim=params.dim, per=params.per, grant=params.name)]
    if params.until_ns and params.until_ns <= call.now_ns:
        return [find("already_expired", until_ns=params.until_ns)]
    new = build_grant(params.name, terms, "")
    parent = state.caps.grants[new.parent]
    return check_handed(state, call, new, check_narrowing(state.caps, new, parent))


def _make_topup(state: State, call: NativeCall, params: TopUpGrant) -> list[Event]:
    until_ns = _end_of_window(state, call, params) if params.once else params.until_ns
    if until_ns:
        row = [params.name, params.dim, params.per, params.amount, until_ns]
        return [Defined(TOPUPS, call.intent_hash.hex(), encode(row))]
    old = state.caps.grants[params.name]
    terms = _topped_up(state, params)
    assert terms is not None
    return change_events(state, old, build_grant(params.name, terms, old.made_by), terms.params, call.now_ns)


def _end_of_window(state: State, call: NativeCall, params: TopUpGrant) -> int:
    """When the window that is open ends; where none is, the one that would open now."""
    books, offset_ns = state.ledger, state.offset_ns
    standing = books.windows.get((params.name, params.dim, params.per))
    if standing is not None:
        return standing[1]
    start_ns = window_start(params.per, call.now_ns, offset_ns, books.zones)
    return window_end(params.per, start_ns, offset_ns, books.zones)


def _check_revoke(state: State, call: NativeCall, params: RevokeGrant) -> list[Finding]:
    return check_there(state, params.name)


def _make_revoke(state: State, call: NativeCall, params: RevokeGrant) -> list[Event]:
    return revoke_events(state, params.name, params.order or f"revoke {params.name}")


def revoke_events(state: State, name: str, order: str) -> list[Event]:
    """The events that revoke a grant: it is void, and what waits for approval under it is released."""
    events: list[Event] = [GrantRevoked(name, order)]
    waiting = [
        (hold.seq, hold.member, intent_hash)
        for intent_hash, hold in state.ledger.holds.items()
        if hold.phase == APPROVAL and any(leg.grant == name for leg in hold.legs)
    ]
    for _, _, intent_hash in sorted(waiting):
        events += release_hold(state.ledger.holds[intent_hash], intent_hash, "governance", order)
    return events


def touches_terms(terms: GrantTerms) -> Touches:
    """The accounts that a grant may draw on, and whom it may pay."""
    drawn = build_grant("", terms, "").paid_by
    accounts = [payer.account for payers in drawn.values() for payer in payers]
    return Touches(accounts=accounts, payees=terms.pays_to, resources=[*drawn])


def _touches_grant(state: State, call: NativeCall, params: TopUpGrant | RevokeGrant) -> Touches:
    return Touches(grants=[params.name])


ROWS = {
    "grant.issue": Native(
        IssueGrant,
        lambda state, call, params: touches_terms(params.terms),
        _check_issue,
        _make_issue,
        "issue a grant below your own",
    ),
    "grant.topup": Native(TopUpGrant, _touches_grant, _check_topup, _make_topup, "raise a limit of a grant"),
    "grant.revoke": Native(
        RevokeGrant, _touches_grant, _check_revoke, _make_revoke, "void a grant and what descends from it"
    ),
}
