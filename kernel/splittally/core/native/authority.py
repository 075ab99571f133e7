"""How far authority reaches: what a chain of grants governs, and what a native effect under it may change.

Rule 1. Authority is the chain's. A grant gives what every grant above it gives, so no child, however it was
        made, reaches further than what it descends from.
Rule 2. Issue, amend, top up and revoke reach the grants that descend from the grant used, never itself.
Rule 3. A native grant administers its **scope**: the nearest grant above it that is not of native type. It
        reaches intents made below the scope, what is spent and budgets chartered there; root's scope is
        everything.
Rule 4. Who is out of reach is told nothing but that.

Example. `team` (sys/all) stands below root, `admin` (sys/native, accounts `accounts/petty`) and `work` below
`team`, `other` below root. The scope of `admin` is `team`: it may approve what is asked under `work`, and not
what is asked under `other` or under `team` itself. `admin` governs `accounts/petty`; so does a native child
of `admin` without a list, and it governs nothing else.
"""

from typing import Any

from splittally.core.budget.plan import Plan
from splittally.core.budget.rules import issued_by
from splittally.core.canonical import decode
from splittally.core.caps.narrowing import check_narrowing
from splittally.core.caps.state import native_lists
from splittally.core.findings import Finding, find
from splittally.core.native.plans import touches_plan
from splittally.core.native.row import NativeCall, Touches
from splittally.core.state import State
from splittally.core.types import CAP_ALL, CAP_NATIVE, CAP_NATIVE_TYPE, ISSUER, ROOT, Grant

LEND, TAKE, CONVERT, ISSUE = "grant.issue", "ledger.transfer", "ledger.convert", "ledger.issue"


# --- what a chain governs ---------------------------------------------------------------------------


def governs(state: State, principal: str, resource: str, account: str, now_ns: int) -> bool:
    """Whether a principal holds a native grant under which an account may be lent."""
    grants = state.caps.grants
    return any(
        grants[name].holder == principal
        and grants[name].cap == CAP_NATIVE
        and may_ask(state, name, LEND, resource, account, now_ns)
        for name in sorted(grants)
    )


def may_ask(state: State, name: str, operation: str, resource: str, account: str, now_ns: int) -> bool:
    """Whether every grant of a chain lets a native operation touch this resource of this account now.

    A grant that covers only what it delegates gives none, nor does one whose own enforcer must be asked.
    """
    if not state.caps.is_live(name, now_ns):
        return False
    for grant in state.caps.ancestors(name):
        if grant.cap not in (CAP_ALL, CAP_NATIVE):
            return False
        if grant.cap == CAP_NATIVE and not (
            _lists_operation(state, grant, operation) and _lists_account(state, grant, resource, account)
        ):
            return False
    return True


def _lists_operation(state: State, grant: Grant, operation: str) -> bool:
    """Whether the operations of a native grant, names or prefixes ending in `.*`, hold one; none hold all."""
    listed = decode(state.caps.cap_params(grant)).get("operations")
    if not listed:
        return True
    return type(listed) is list and any(
        operation.startswith(entry[:-1]) if entry.endswith(".*") else entry == operation
        for entry in listed
        if type(entry) is str
    )


def _lists_account(state: State, grant: Grant, resource: str, account: str) -> bool:
    """Whether the lists of a native grant hold an account and, where one is named, a resource."""
    lists = native_lists(state.caps.cap_params(grant))
    return lists.holds_account(account) and (not resource or lists.holds_resource(resource))


# --- what an adopter of a plan governs --------------------------------------------------------------


def check_adoption(state: State, name: str, plan: Plan, now_ns: int) -> list[Finding]:
    """Everything in a plan that the chain of the grant which adopts it may not do: its rules act for it.

    Its counter-accounts must be ones from which the chain may convert, at the plan's rate, which may not
    float where the chain lists rates. What its rules issue the chain may issue; whom they pay and what the
    plan counts in must be listed.
    """
    if name == ROOT:
        return []
    findings = []
    for conversion_name, conversion in sorted(plan.conversions.items()):
        facts = {"conversion": conversion_name, "account": conversion.counter, "resource": conversion.gets}
        if not may_ask(state, name, CONVERT, conversion.gets, conversion.counter, now_ns):
            findings.append(find("account_not_yours", **facts))
        elif not _lists_rate(state, name, conversion.gives, conversion.gets, conversion.rate):
            findings.append(find("account_not_yours", **facts, rate=conversion.rate))
        elif conversion.floats and _binds_rates(state, name):
            findings.append(find("account_not_yours", **facts, floats=conversion.floats))
    findings += [
        find("account_not_yours", account=ISSUER, resource=resource)
        for resource in issued_by(plan.rules)
        if not may_ask(state, name, ISSUE, resource, ISSUER, now_ns)
    ]
    touched = touches_plan(plan)
    natives = [grant for grant in state.caps.ancestors(name) if grant.cap == CAP_NATIVE]
    lists = [native_lists(state.caps.cap_params(grant)) for grant in natives]
    for account in dict.fromkeys(touched.payees):
        if not all(listed.holds_account(account) for listed in lists):
            findings.append(find("account_not_yours", account=account))
    for resource in dict.fromkeys(touched.resources):
        if not all(listed.holds_resource(resource) for listed in lists):
            findings.append(find("account_not_yours", resource=resource))
    return findings


def _binds_rates(state: State, name: str) -> bool:
    """Whether a native grant of a chain lists the rates at which it converts."""
    natives = [grant for grant in state.caps.ancestors(name) if grant.cap == CAP_NATIVE]
    return any(decode(state.caps.cap_params(grant)).get("rates") for grant in natives)


def _lists_rate(state: State, name: str, gives: str, gets: str, rate: list[int]) -> bool:
    """Whether every native grant of a chain that lists rates lists this one, compared as a fraction."""
    for grant in state.caps.ancestors(name):
        rates = decode(state.caps.cap_params(grant)).get("rates") if grant.cap == CAP_NATIVE else None
        if rates and not any(_is_rate(entry, gives, gets, rate) for entry in rates):
            return False
    return True


def _is_rate(entry: Any, gives: str, gets: str, rate: list[int]) -> bool:
    if (entry["resource"], entry["gets"]) != (gives, gets):
        return False
    return bool(entry["rate"][0] * rate[1] == rate[0] * entry["rate"][1])


# --- what an effect reaches -------------------------------------------------------------------------


def check_authority(state: State, call: NativeCall, touches: Touches) -> list[Finding]:
    """Every grant, budget and intent that an effect touches and that its grant does not reach.

    What somebody hands out beyond their own grant is told even where the receiver is out of reach: it
    says nothing of the receiver.
    """
    if call.grant == ROOT:
        return []
    findings = [
        find("not_found", grant=name) for name in touches.grants if not _reaches_grant(state, call, name)
    ]
    if findings:
        own = state.caps.grants[call.grant]
        findings += [x for handed in touches.handed for x in check_narrowing(state.caps, handed, own)]
    scope = scope_of(state, call.grant)
    if scope == ROOT:
        return findings
    is_reached = (
        all(_reaches_budget(state, scope, name) for name in touches.budgets)
        and all(_reaches_spender(state, scope, name) for name in touches.spenders)
        and all(_reaches_intent(state, call, scope, intent_hash) for intent_hash in touches.intents)
    )
    return findings if is_reached else [*findings, find("out_of_reach")]


def scope_of(state: State, name: str) -> str:
    """The grant whose subtree is administered under a grant: itself, or what a native grant stands below."""
    caps = state.caps
    return next(x.name for x in caps.ancestors(name) if caps.caps[x.cap].cap_type != CAP_NATIVE_TYPE)


def _reaches_grant(state: State, call: NativeCall, name: str) -> bool:
    is_there = name in state.caps.grants and name not in (ROOT, call.grant)
    return is_there and state.caps.descends(name, call.grant)


def _reaches_budget(state: State, scope: str, name: str) -> bool:
    """A budget that is not there is reached: that it is not there is found by the effect itself."""
    budget = state.plans.budgets.get(name)
    return budget is None or (budget.grant != scope and state.caps.descends(budget.grant, scope))


def _reaches_spender(state: State, scope: str, name: str) -> bool:
    """Whether a grant stands below the scope; one that is not there is found by the effect itself."""
    return name not in state.caps.grants or (name != scope and state.caps.descends(name, scope))


def _reaches_intent(state: State, call: NativeCall, scope: str, intent_hash: bytes) -> bool:
    """Whether an intent was made below the scope; one that is neither held nor known is reached, as above."""
    hold, known = state.ledger.holds.get(intent_hash), call.known
    if hold is not None:
        return any(leg.grant == scope for leg in hold.legs[1:])
    if known is not None and known.intent_hash == intent_hash:
        return any(ended.leg.grant == scope for ended in known.legs[1:])
    return True
