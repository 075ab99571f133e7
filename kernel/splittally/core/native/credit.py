"""Credit: a debt limit lets somebody spend what is not there, so somebody must hold it.

Rule 1. A debt limit is at most what the chain that asks for it holds: what its limits for life leave, and
        what may be taken from the account it draws on. A chain that has neither holds nothing; root is not
        bound.
Rule 2. What was lent below a grant before counts against it.
Rule 3. The debt limit of an account holds for each resource that may come to it.

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
            lent = _lent(state, principal, chain, grant) if grant.name != ROOT else 0
            if counter is not None and counter.limit >= 0:
                held.append((counter.available - lent, grant.name))
            if not is_drawn and resource in grant.draws_on:
                is_drawn = True
                held.append((spendable(state.ledger, grant.draws_on[resource], resource) - lent, grant.name))
    amount, holder = min(held, default=(0, ""))
    return holder, max(0, amount)


def _lent(state: State, principal: str, chain: list[Grant], holder: Grant) -> int:
    """The debt limits of the budgets that were adopted or chartered below a grant, and of plain accounts.

    A plan may be adopted anew under another grant, so what the principal made counts, too. Nobody is
    remembered as the one who opened an account, so those count that the lists of the chain cover.
    """
    caps = state.caps
    makers = {principal} - {caps.grants[ROOT].holder}
    lists = [native_lists(caps.cap_params(grant)) for grant in chain if grant.cap == CAP_NATIVE]
    total = 0
    for name, account in state.ledger.accounts.items():
        budget = state.plans.budgets.get(name) if account.debt_limit else None
        if budget is not None:
            is_below = any(caps.descends(x, holder.name) for x in (budget.adopted_by, budget.grant))
            is_own = caps.grants[budget.grant].made_by in makers
            total += account.debt_limit if is_below or is_own else 0
        elif account.debt_limit and all(listed.holds_account(name) for listed in lists):
            total += account.debt_limit
    return total
