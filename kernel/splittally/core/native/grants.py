"""Native effects on grants: issue, amend, top up, revoke.

Rule 1. An issued grant is a child of the intent's own grant. Amending, topping up and revoking reach
        what descends from it; a native grant reaches what descends from its parent.
Rule 2. Who lets an account be drawn on is root, draws on it itself, or holds a native grant over it.
Rule 3. Revoking voids all that descends and releases what waits for approval under it; what is in
        flight still settles.
"""

from typing import Any

import msgspec
from msgspec import Struct

from splittally.core.canonical import decode
from splittally.core.caps.grants import (
    GrantTerms,
    LimitTerms,
    build_grant,
    check_narrowing,
    check_new_name,
    check_terms,
    grant_events,
    terms_of,
)
from splittally.core.caps.state import Caps
from splittally.core.events import Event, GrantRevoked
from splittally.core.findings import Finding, find
from splittally.core.ledger.limit_changes import open_window_events
from splittally.core.ledger.tick import release_hold
from splittally.core.limits import NATURAL_MAX
from splittally.core.native.row import NOTHING, Native, NativeCall, Touches
from splittally.core.state import State
from splittally.core.types import APPROVAL, CAP_NATIVE, CAP_NATIVE_TYPE, LIFE, ROOT, Grant, is_id


class IssueGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new grant below the intent's own grant."""

    name: str
    terms: GrantTerms

    def __post_init__(self) -> None:
        if not is_id(self.name):
            raise ValueError("`name` is a grant's name")


class AmendGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New terms for a grant; its parent cannot change, and its counters carry over."""

    name: str
    terms: GrantTerms


class TopUpGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More of one dimension: the limit of `per` rises by `amount`."""

    name: str
    dim: str
    amount: int
    per: str = LIFE

    def __post_init__(self) -> None:
        if not 0 < self.amount <= NATURAL_MAX:
            raise ValueError("`amount` is a positive natural below 2^64")


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
    return findings or check_accounts(state, call, grant)


def _make_issue(state: State, call: NativeCall, params: IssueGrant) -> list[Event]:
    terms = msgspec.structs.replace(params.terms, parent=call.grant)
    grant = build_grant(params.name, terms, call.principal)
    return grant_events(state.caps, grant, terms.params, None)


def check_accounts(state: State, call: NativeCall, grant: Grant) -> list[Finding]:
    """Whether the accounts of a grant exist and its issuer may let them be drawn on."""
    findings = []
    for resource, account in sorted(grant.draws_on.items()):
        if resource not in state.ledger.resources:
            findings.append(find("not_found", resource=resource))
        elif account not in state.ledger.accounts:
            findings.append(find("not_found", account=account))
        elif account.startswith("external/"):
            findings.append(find("external_account", account=account))
        elif not _may_lend(state, call, resource, account):
            findings.append(find("account_not_yours", account=account, resource=resource))
    for account in grant.pays_to[:1]:
        if account not in state.ledger.accounts:
            findings.append(find("not_found", account=account))
    return findings


def _may_lend(state: State, call: NativeCall, resource: str, account: str) -> bool:
    """Whether the issuer is root, draws on the account itself, or holds a native grant over it."""
    if call.grant == ROOT:
        return True
    for grant in state.caps.ancestors(call.grant):
        if resource in grant.draws_on:
            return grant.draws_on[resource] == account or _governs(state, call, resource, account)
    return _governs(state, call, resource, account)


def _governs(state: State, call: NativeCall, resource: str, account: str) -> bool:
    """Whether the principal holds a live native grant that covers issuing grants over this account."""
    caps = state.caps
    for name in sorted(caps.grants):
        grant = caps.grants[name]
        if grant.holder != call.principal or grant.cap != CAP_NATIVE or caps.is_revoked(name):
            continue
        if any(above.expiry_ns and call.now_ns >= above.expiry_ns for above in caps.ancestors(name)):
            continue
        if covers_native(caps, grant, "grant.issue", resource, account):
            return True
    return False


def covers_native(caps: Caps, grant: Grant, operation: str, resource: str, account: str) -> bool:
    """Whether the lists of a native grant cover an operation on this resource of this account."""
    lists = decode(caps.cap_params(grant))
    wanted = {"operations": operation, "accounts": account, "resources": resource}
    return all(_lists(lists.get(key), value) for key, value in wanted.items())


def _lists(entries: Any, value: str) -> bool:
    """Whether a list of the native enforcer covers a value; a missing or empty one restricts nothing."""
    if not entries:
        return True
    return type(entries) is list and any(
        value.startswith(entry[:-1]) if entry.endswith(("/*", ".*")) else entry == value
        for entry in entries
        if type(entry) is str
    )


def _check_reach(state: State, call: NativeCall, name: str) -> list[Finding]:
    """Whether the intent's grant reaches the grant of this name."""
    if name not in state.caps.grants or name == ROOT:
        return [find("not_found", grant=name)]
    if name in state.caps.revoked:
        return [find("revoked", grant=name, order=state.caps.revoked[name])]
    own = state.caps.grants[call.grant]
    above = own.parent if state.caps.caps[own.cap].cap_type == CAP_NATIVE_TYPE else own.name
    if name == call.grant or not state.caps.descends(name, above):
        return [find("not_found", grant=name)]
    return []


def check_change(state: State, old: Grant, new: Grant) -> list[Finding]:
    """Whether a grant may become another: same parent, and it and its children still narrow."""
    if new.parent != old.parent:
        return [find("cannot_change", field="parent", grant=old.name)]
    return check_terms(state.caps, new)


def change_events(state: State, old: Grant, new: Grant, params: bytes | None) -> list[Event]:
    """The events that change a grant, open windows included: what they rolled over is kept."""
    events = grant_events(state.caps, new, params, old)
    if not events:
        return []
    return [*events, *open_window_events(state.ledger, new.name, old.limits, new.limits)]


def _check_amend(state: State, call: NativeCall, params: AmendGrant) -> list[Finding]:
    findings = _check_reach(state, call, params.name)
    if findings:
        return findings
    old = state.caps.grants[params.name]
    new = build_grant(params.name, params.terms, old.made_by)
    return check_change(state, old, new) + check_accounts(state, call, new)


def _make_amend(state: State, call: NativeCall, params: AmendGrant) -> list[Event]:
    old = state.caps.grants[params.name]
    new = build_grant(params.name, params.terms, old.made_by)
    return change_events(state, old, new, params.terms.params)


def _topped_up(state: State, params: TopUpGrant) -> GrantTerms | None:
    """The terms after a top-up; None when there is no such limit or it would pass 2^64-1."""
    terms = terms_of(state.caps, state.caps.grants[params.name])
    if params.per == LIFE and params.dim in (terms.budget or {}):
        budget = dict(terms.budget or {})
        budget[params.dim] += params.amount
        return msgspec.structs.replace(terms, budget=budget) if budget[params.dim] <= NATURAL_MAX else None
    for at, limit in enumerate(terms.limits):
        if (limit.dim, limit.per, limit.over) == (params.dim, params.per, "deny"):
            amount = limit.amount + params.amount
            limits: list[LimitTerms] = list(terms.limits)
            limits[at] = msgspec.structs.replace(limit, amount=min(amount, NATURAL_MAX))
            return msgspec.structs.replace(terms, limits=limits) if amount <= NATURAL_MAX else None
    return None


def raised_events(state: State, name: str, dim: str, amount: int) -> list[Event] | None:
    """The events that raise a lifetime limit of a grant; None where it has none or would pass 2^64-1."""
    terms = _topped_up(state, TopUpGrant(name=name, dim=dim, amount=amount))
    if terms is None:
        return None
    old = state.caps.grants[name]
    return change_events(state, old, build_grant(name, terms, old.made_by), terms.params)


def _check_topup(state: State, call: NativeCall, params: TopUpGrant) -> list[Finding]:
    findings = _check_reach(state, call, params.name)
    if findings:
        return findings
    terms = _topped_up(state, params)
    if terms is None:
        return [find("not_found", dim=params.dim, per=params.per, grant=params.name)]
    new = build_grant(params.name, terms, "")
    return check_narrowing(new, state.caps.grants[new.parent])


def _make_topup(state: State, call: NativeCall, params: TopUpGrant) -> list[Event]:
    old = state.caps.grants[params.name]
    terms = _topped_up(state, params)
    assert terms is not None
    return change_events(state, old, build_grant(params.name, terms, old.made_by), terms.params)


def _check_revoke(state: State, call: NativeCall, params: RevokeGrant) -> list[Finding]:
    return _check_reach(state, call, params.name)


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


def _touches_terms(state: State, call: NativeCall, params: IssueGrant | AmendGrant) -> Touches:
    """The accounts that a grant may draw on, and whom it may pay."""
    terms = params.terms
    return Touches(accounts=[*terms.draws_on.values()], payees=terms.pays_to, resources=[*terms.draws_on])


def _touches_nothing(state: State, call: NativeCall, params: TopUpGrant | RevokeGrant) -> Touches:
    return NOTHING


ROWS = {
    "grant.issue": Native(
        IssueGrant, _touches_terms, _check_issue, _make_issue, "issue a grant below your own"
    ),
    "grant.amend": Native(AmendGrant, _touches_terms, _check_amend, _make_amend, "give a grant new terms"),
    "grant.topup": Native(
        TopUpGrant, _touches_nothing, _check_topup, _make_topup, "raise a limit of a grant"
    ),
    "grant.revoke": Native(
        RevokeGrant, _touches_nothing, _check_revoke, _make_revoke, "void a grant and what descends from it"
    ),
}
