"""How the governor remembers: each function applies one fact and decides nothing.

What it needs of a hold it is given: this domain does not know the ledger.

Rule 1. What was spent stops at 2^64-1: no cap is higher, so nothing that a verdict says depends on the rest.
"""

from collections.abc import Iterable

from splittally.core.amounts import saturated
from splittally.core.events import Noted
from splittally.core.governor.state import Governed
from splittally.core.governor.terms import GovernorTerms

Amounts = dict[str, int]
WindowStart = dict[str, int]  # the start of the day and of the week that hold the time of the record


def govern(governed: Governed, terms: GovernorTerms | None, open_reserves: Iterable[Amounts]) -> None:
    """Take new terms; what is open counts under them."""
    kept = {(cap.resource, cap.per) for cap in terms.caps} if terms else set()
    for key in [key for key in governed.spent if key not in kept]:
        del governed.spent[key]
    governed.reserved.clear()
    for amounts in open_reserves:
        reserve(governed, amounts, 1)


def carry_spent(governed: Governed, rows: Iterable[tuple[str, str, int, int]]) -> None:
    """Take what was spent in the windows that are open, also of resources that no cap counts any more."""
    governed.spent.clear()
    for resource, per, start_ns, amount in rows:
        governed.spent[resource, per] = (start_ns, saturated(amount))


def reserve(governed: Governed, amounts: Amounts, sign: int) -> None:
    """Count, or no longer count, what the leaf of a hold reserves of the capped resources."""
    terms = governed.terms
    for resource in {cap.resource for cap in terms.caps} if terms else ():
        if resource in amounts:
            governed.reserved[resource] = governed.reserved.get(resource, 0) + sign * amounts[resource]


def spend(governed: Governed, charged: Amounts, starts: WindowStart) -> None:
    """Count what a leaf was charged in the windows that are open: of each cap, and of what was carried."""
    terms = governed.terms
    capped = {(cap.resource, cap.per) for cap in terms.caps} if terms else set()
    for key in sorted(capped | governed.spent.keys()):
        resource, per = key
        if charged.get(resource):
            began, amount = governed.spent.get(key, (starts[per], 0))
            spent = (amount if began == starts[per] else 0) + charged[resource]
            governed.spent[key] = (starts[per], saturated(spent))


def note(governed: Governed, event: Noted, starts: WindowStart, is_open: bool, waits: bool) -> None:
    """Remember a verdict, the lane of what it let through, and the failure class of what then waits."""
    action, lane = str(event.facts["action"]), str(event.facts.get("lane_id", ""))
    began, count = governed.verdicts.get(action, (starts["day"], 0))
    governed.verdicts[action] = (starts["day"], (count if began == starts["day"] else 0) + 1)
    if lane and is_open:
        governed.lanes[event.intent_hash] = lane
    if waits and "failure_class" in event.facts:
        governed.failures[event.intent_hash] = str(event.facts["failure_class"])


def end(governed: Governed, intent_hash: bytes) -> None:
    """The lane of an intent that ended is free."""
    governed.lanes.pop(intent_hash, None)
    governed.failures.pop(intent_hash, None)
