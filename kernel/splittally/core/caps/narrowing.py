"""How each term of a grant narrows: one table over every field of the record.

Rule 1. A grant is at most the one above it in every term. The root grant bounds nothing.
Rule 2. Where a term is inherited (0 for a time, no list of payees) the nearest grant above that states one
        counts.
Rule 3. A term that cannot widen is in the table, too, with the reason beside it.

Example. `p` states 100 USD for life, `unknown_ns` 60 and `above` charge. Its child `c` states 120 USD, no
`unknown_ns` and `above` debt: `wider_than_parent` twice, once for USD (120 over 100) and once for `above`.
The time is inherited, so it is no wider.
"""

from collections.abc import Callable, Iterable

from splittally.core.caps.state import Caps, covers_type, limits_of
from splittally.core.findings import Finding, find
from splittally.core.types import (
    CAP_ALL,
    LIFE,
    ROOT,
    Grant,
    Limit,
    covers_account,
)

Narrows = Callable[[Caps, Grant, Grant], list[Finding]]

_DOUBT = {"payer": 0, "payee": 1}
_ABOVE = {"cap": 0, "charge": 0, "debt": 1}


def check_narrowing(caps: Caps, grant: Grant, above: Grant) -> list[Finding]:
    """Everything in which a grant is wider than one above it, or than the one under which it is asked for."""
    if above.name == ROOT:
        return []
    return [finding for narrows in NARROWS.values() for finding in narrows(caps, grant, above)]


def _free(caps: Caps, grant: Grant, above: Grant) -> list[Finding]:
    return []


def _budget(caps: Caps, grant: Grant, above: Grant) -> list[Finding]:
    return _wider_limits(
        (Limit(dim, LIFE, amount) for dim, amount in sorted((grant.budget or {}).items())), above
    )


def _limits(caps: Caps, grant: Grant, above: Grant) -> list[Finding]:
    return _wider_limits(grant.limits, above)


def _wider_limits(limits: Iterable[Limit], above: Grant) -> list[Finding]:
    """Hard limits that are higher, or roll over more, than one above of the same dimension and period."""
    hard: dict[tuple[str, str], Limit] = {}
    for limit in limits_of(above):
        key = (limit.dim, limit.per)
        if limit.over == "deny" and (key not in hard or limit.amount < hard[key].amount):
            hard[key] = limit
    findings = []
    for limit in limits:
        most = hard.get((limit.dim, limit.per))
        if limit.over != "deny" or most is None:
            continue
        facts = {"dim": limit.dim, "per": limit.per, "grant": above.name}
        if limit.amount > most.amount:
            findings.append(find("wider_than_parent", **facts, needed=limit.amount, available=most.amount))
        if _rolls_over_more(limit, most):
            rollover = {"rollover": limit.rollover, "available": most.rollover}
            findings.append(find("wider_than_parent", **facts, **rollover))
        if _carries_more(limit, most):
            carried = {"carried_max": limit.carried_max, "available": most.carried_max}
            findings.append(find("wider_than_parent", **facts, **carried))
    return findings


def _rolls_over_more(limit: Limit, most: Limit) -> bool:
    share, whole = limit.rollover or (0, 1)
    share_above, whole_above = most.rollover or (0, 1)
    return share * whole_above > share_above * whole


def _carries_more(limit: Limit, most: Limit) -> bool:
    """Whether a limit that rolls over is bounded less than one above that is bounded."""
    if not (limit.rollover and most.rollover) or most.carried_max < 0:
        return False  # what is above hands on nothing, or without bound
    return limit.carried_max < 0 or limit.carried_max > most.carried_max


def _at_most(field: str) -> Narrows:
    """A time that is 0 for none: at most what the nearest grant above says that states one."""

    def narrows(caps: Caps, grant: Grant, above: Grant) -> list[Finding]:
        stated: int = getattr(grant, field)
        for bound in caps.ancestors(above.name):
            most: int = getattr(bound, field)
            if most:
                facts = {field: stated, "available": most, "grant": bound.name}
                return [find("wider_than_parent", **facts)] if stated > most else []
        return []

    return narrows


def _above(caps: Caps, grant: Grant, above: Grant) -> list[Finding]:
    """`debt` lets more be taken than was reserved; neither `charge` nor `cap` does."""
    if _ABOVE[grant.above] <= _ABOVE[above.above]:
        return []
    return [find("wider_than_parent", above=grant.above, available=above.above, grant=above.name)]


def _doubt(caps: Caps, grant: Grant, above: Grant) -> list[Finding]:
    """`payee` gives back what `payer` pays.

    Caps of another type have another default, so they are compared only where both draw on accounts.
    """
    if grant.cap not in caps.caps:
        return []
    bound: Grant | None = above
    if caps.caps[grant.cap].cap_type != caps.caps[above.cap].cap_type:
        bound = next((x for x in caps.ancestors(above.name) if x.paid_by and grant.paid_by), None)
    if bound is None or _DOUBT[grant.doubt] <= _DOUBT[bound.doubt]:
        return []
    return [find("wider_than_parent", doubt=grant.doubt, available=bound.doubt, grant=bound.name)]


def _delegations(caps: Caps, grant: Grant, above: Grant) -> list[Finding]:
    if grant.delegations <= above.delegations:
        return []
    facts = {"delegations": grant.delegations, "available": above.delegations, "grant": above.name}
    return [find("wider_than_parent", **facts)]


def _payees(caps: Caps, grant: Grant, above: Grant) -> list[Finding]:
    """Every payee that the nearest list of payees above does not cover."""
    bound = next((x for x in caps.ancestors(above.name) if x.pays_to), above)
    return [
        find("wider_than_parent", pays_to=payee, available=bound.pays_to, grant=bound.name)
        for payee in grant.pays_to
        if bound.pays_to and not any(covers_account(entry, payee) for entry in bound.pays_to)
    ]


def _cap(caps: Caps, grant: Grant, above: Grant) -> list[Finding]:
    """The nearest grant above that does not cover the kinds: one may have been narrowed since."""
    for bound in caps.ancestors(above.name) if grant.cap in caps.caps else ():
        if not covers_kinds(caps, bound.cap, grant.cap):
            return [find("wider_than_parent", cap=grant.cap, available=bound.cap, grant=bound.name)]
    return []


def covers_kinds(caps: Caps, above: str, cap: str) -> bool:
    """Whether a cap covers every kind that another covers: `sys/all@1` all, type `*` all but native."""
    if CAP_ALL in (above, cap):
        return above == CAP_ALL
    return covers_type(caps.caps[above].cap_type, caps.caps[cap].cap_type)


NARROWS: dict[str, Narrows] = {
    "name": _free,
    "cap": _cap,
    "params": _free,  # every enforcer and every list of the chain is asked
    "budget": _budget,
    "limits": _limits,
    "expiry_ns": _at_most("expiry_ns"),
    "parent": _free,  # it is what the others are compared with
    "holder": _free,  # whom one trusts is one's own choice
    "draws_on": _free,  # who lends an account draws on it or governs it (`core/native/grants.py`)
    "delegations": _delegations,
    "pays_to": _payees,
    "hold_ns_max": _at_most("hold_ns_max"),
    "approval_ns": _at_most("approval_ns"),
    "unknown_ns": _at_most("unknown_ns"),
    "doubt": _doubt,
    "above": _above,
    "payers": _free,  # as `draws_on`
    "dispatch": _free,  # of any grant of the chain it binds, so a child cannot take it back
    "made_by": _free,
    "grant_hash": _free,  # of terms that are compared one by one
}
