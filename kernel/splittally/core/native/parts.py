"""The parts of a budget: grants below its charter that draw on the pool itself.

Rule 1. A part is of one resource, and its amount is a limit: it is a right, not a reserve.
Rule 2. A part has the terms of the charter as they stand, and a holder of its own where one is named.
"""

from splittally.core.canonical import encode
from splittally.core.caps.grants import GrantTerms, build_grant, grant_events
from splittally.core.events import Defined, Event
from splittally.core.native.row import NativeCall
from splittally.core.state import State
from splittally.core.types import BudgetDef


def charter_now(state: State, budget: BudgetDef) -> GrantTerms:
    """The terms of a budget's charter as they stand, for grants below it."""
    from_charter = state.caps.grants[budget.grant]
    return GrantTerms(
        cap=from_charter.cap,
        params=state.caps.blobs[from_charter.params] if from_charter.params else None,
        parent=from_charter.parent,
        holder=from_charter.holder,
        delegations=from_charter.delegations,
        doubt=from_charter.doubt,
    )


def part_terms(terms: GrantTerms, charter: str, resource: str, amount: int, holder: str) -> GrantTerms:
    """The terms of one part of a split: its amount as a limit, drawing on the pool itself."""
    return GrantTerms(
        cap=terms.cap,
        params=encode({"resources": [resource]}),
        budget={resource: amount},
        parent=charter,
        holder=holder or terms.holder,
        draws_on={resource: charter},
        delegations=terms.delegations,
        doubt=terms.doubt,
    )


def part_events(
    state: State, call: NativeCall, terms: GrantTerms, charter: str, resource: str, parts: dict[str, int],
    holders: dict[str, str],
) -> list[Event]:  # fmt: skip
    """The events that issue every part below a charter with these terms, by name."""
    events: list[Event] = []
    for name in sorted(parts):
        part = part_terms(terms, charter, resource, parts[name], holders.get(name, ""))
        grant = build_grant(f"{charter}/{name}", part, call.principal)
        known = [x for x in events if isinstance(x, Defined)]
        more = grant_events(state.caps, grant, part.params, None)
        events += [event for event in more if event not in known]
    return events
