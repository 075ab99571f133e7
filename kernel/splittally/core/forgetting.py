"""Which revoked grants a world forgets, and what goes with them.

Rule 1. The last `revoked_kept` that were revoked are remembered, and every grant that something refers to
        which stands (`_referred`), with all above it. Of the others nothing is left but the hash of the name.
Rule 2. It is done when twice as many have been revoked since, so one look at all grants, counters and holds
        serves as many revocations as are remembered.
Rule 3. It follows from the frames alone, after one of them and before the next. A world that never said how
        many it remembers, as those of older releases, forgets none.

Example. 1,024 are remembered. `team` stands; `run/1` below it was revoked, then 2,048 others were. After the
frame of the last of these `run/1` and 1,024 more are forgotten. The first of the others has an open hold: it
stays, and so does what it stands below, until a later pass finds the hold ended.
"""

from splittally.core.caps.names import NO_NAMES, with_names
from splittally.core.caps.state import GRANTS, Caps
from splittally.core.ledger.forgetting import forget_scopes
from splittally.core.ledger.state import Ledger
from splittally.core.state import State


def forget_revoked(state: State) -> None:
    """Forget what may be; nothing before twice as many were revoked as are remembered."""
    caps, kept = state.caps, state.revoked_kept
    if len(caps.revoked_at) <= 2 * kept:
        return
    order = sorted(caps.revoked_at, key=lambda name: (caps.revoked_at[name], name))
    for name in order[:-kept]:
        del caps.revoked_at[name]
    names = _void(caps) - _kept(state)
    if names:
        _forget(caps, state.ledger, names)


def _referred(state: State) -> set[str]:
    """The grants to which something refers that stands: holds, budgets, and debt limits that were lent."""
    budgets = state.plans.budgets.values()
    names = {leg.grant for hold in state.ledger.holds.values() for leg in hold.legs}
    names.update(name for budget in budgets for name in (budget.grant, budget.adopted_by))
    names.update(lender.grant for lender in state.ledger.lenders.values())
    return names


def _kept(state: State) -> set[str]:
    """The grants that stay, whether they are void or not: those that are referred to, and all above them."""
    caps, kept = state.caps, set[str]()
    for name in (*_referred(state), *caps.revoked_at):
        while name and name not in kept:
            kept.add(name)
            name = caps.grants[name].parent
    return kept


def _void(caps: Caps) -> set[str]:
    """The grants that were revoked or stand below one that was."""
    known = {"": False, **dict.fromkeys(caps.revoked, True)}
    for name in caps.grants:
        path = []
        while name not in known:
            path.append(name)
            name = caps.grants[name].parent
        known.update(dict.fromkeys(path, known[name]))
    return {name for name, is_void in known.items() if is_void}


def _forget(caps: Caps, ledger: Ledger, names: set[str]) -> None:
    """Drop these grants and what was counted under them; cap params go where nobody names them any more."""
    params = {caps.grants.pop(name).params for name in names}
    params -= {grant.params for grant in caps.grants.values()}
    params -= {leg.params for hold in ledger.holds.values() for leg in hold.legs}
    for digest in params:
        caps.blobs.pop(digest, None)  # empty params have none
    for name in names:
        caps.revoked.pop(name, None)
    forget_scopes(ledger, names)
    caps.forgotten[GRANTS] = with_names(caps.forgotten.get(GRANTS, NO_NAMES), names)
    caps.renew()
