"""Credit: a debt limit lets somebody spend what is not there, so somebody must hold it.

Rule 1. A debt limit is at most what the chain that asks for it holds: what its limits for life leave, and
        what may be taken from the account it draws on (of several, the last, which has no end). A chain that
        has neither holds nothing; root is not bound.
Rule 2. What was lent before counts against it: below the grant that holds it, by whomever, and out of the
        account that holds it, under whichever grant. Who lends is remembered with the account.
Rule 3. The debt limit of an account holds for each resource that may come to it.
Rule 4. What is lent out of an account stays with it: nobody else takes it (`moves.spendable`).

Example. `team` may spend 100 USD for life; `desk` (sys/native) stands below it. A budget with a debt limit of
60 is created under `desk`; a second one with 60 finds `insufficient_balance`: needed 60, available 40.
"""

from collections.abc import Iterable

from splittally.core.caps.state import native_lists
from splittally.core.findings import Finding, find
from splittally.core.ledger.moves import spendable
from splittally.core.native.row import NativeCall
from splittally.core.state import State
from splittally.core.types import CAP_NATIVE, LIFE, ROOT, Grant


def check_credit(
    state: State, call: NativeCall, debt_limit: int, resources: Iterable[str], parent: str = ""
) -> list[Finding]:
    """Whether the chain holds this debt limit in each resource; `parent` is the charter it comes below."""
    if not debt_limit or call.grant == ROOT:
        return []
    chains = [state.caps.ancestors(name) for name in (call.grant, parent) if name]
    findings = []
    for resource in sorted(resources) or [""]:
        holder, available = _held(state, call.principal, chains, resource)
        if debt_limit > available:
            facts = {"needed": debt_limit, "available": available, "shortage": debt_limit - available}
            findings.append(
                find("insufficient_balance", resource=resource, grant=holder or call.grant, **facts)
            )
    return findings


def _held(state: State, principal: str, chains: list[list[Grant]], resource: str) -> tuple[str, int]:
    """The grant of these chains that holds least of a resource, and how much; nobody holds 0."""
    held: list[tuple[int, str]] = []
    for chain in chains:
        is_drawn = False
        for grant in chain:
            counter = state.ledger.counters.get((grant.name, resource, LIFE, 0))
            if counter is not None and counter.limit >= 0:
                held.append(
                    (counter.available - _lent(state, principal, chain, grant, "", resource), grant.name)
                )
            payers = grant.paid_by.get(resource)
            if not is_drawn and payers:
                is_drawn, account = True, payers[-1].account
                lent = _lent(state, principal, chain, grant, account, resource)
                left = spendable(state.ledger, account, resource)
                held.append((left + state.ledger.lent.get((account, resource), 0) - lent, grant.name))
    amount, holder = min(held, default=(0, ""))
    return holder, max(0, amount)


def _lent(
    state: State, principal: str, chain: list[Grant], holder: Grant, account: str, resource: str
) -> int:
    """The debt limits that are lent below a grant of this chain, or out of the account that is named."""
    return sum(
        known.debt_limit
        for name, known in state.ledger.accounts.items()
        if known.debt_limit
        and (_is_below(state, principal, chain, holder, name) or account in _backing(state, name, resource))
    )


def _backing(state: State, name: str, resource: str) -> list[str]:
    """The accounts out of which the debt limit of an account comes."""
    lender = state.ledger.lenders.get(name)
    return lender.backs.get(resource, []) if lender is not None else []


def backs(state: State, grants: Iterable[str], resources: Iterable[str]) -> dict[str, list[str]]:
    """The accounts out of which these grants lend, by resource."""
    names = [name for name in grants if name]
    drawn = {x: {state.caps.bearer(name, x) for name in names} - {""} for x in sorted(resources)}
    return {resource: sorted(accounts) for resource, accounts in drawn.items() if accounts}


def _is_below(state: State, principal: str, chain: list[Grant], holder: Grant, name: str) -> bool:
    """Whether the debt limit of an account was lent below a grant that holds something.

    Of a budget its charter and the grant that adopted its plan count, too, and what the principal made. Of
    a plain account without a lender, which is root's or of an older record, the lists of the chain say it.
    """
    if holder.name == ROOT:
        return False
    caps, budget = state.caps, state.plans.budgets.get(name)
    lenders = [state.ledger.lenders[name].grant] if name in state.ledger.lenders else []
    if budget is not None:
        makers = {principal} - {caps.grants[ROOT].holder}
        if caps.grants[budget.grant].made_by in makers:
            return True
        lenders += [budget.adopted_by, budget.grant]
    if lenders:
        return any(caps.descends(lender, holder.name) for lender in lenders)
    lists = [native_lists(caps.cap_params(grant)) for grant in chain if grant.cap == CAP_NATIVE]
    return all(listed.holds_account(name) for listed in lists)
