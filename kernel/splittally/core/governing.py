"""Where the governor meets the rest of a world: what it is told of an intent, new or held.

Rule 1. An intent that waited for approval is judged again when it would be let go: by the caps, classes and
        memory of then, with lane and failure class as its params said them when it was decided.
Rule 2. What it reserves is counted once, as reserved and not as asked for.
"""

from splittally.core.canonical import decode
from splittally.core.commands import Member
from splittally.core.evolve import governed_windows
from splittally.core.findings import Finding
from splittally.core.governor.check import Governing, GovernorVerdict, check_governor, fields_of
from splittally.core.ledger.state import Hold
from splittally.core.ledger.windows import window_end
from splittally.core.state import State
from splittally.core.types import ALLOW


def governed(state: State, now_ns: int, member: Member, reserve: dict[str, int]) -> GovernorVerdict:
    """What the governor says of a new intent; its params are read only where it names fields of the kind."""
    terms = state.governed.terms
    assert terms is not None
    params = decode(member.params) if member.kind in terms.fields else {}
    lane, failure_class = fields_of(terms, member.kind, params)
    return check_governor(state.governed, _governing(state, now_ns, reserve, lane, failure_class))


def _governing(
    state: State, now_ns: int, reserve: dict[str, int], lane: str, failure_class: str, is_held: bool = False
) -> Governing:
    """What the governor sees of an intent."""
    starts = governed_windows(state, now_ns)
    return Governing(
        lane=lane,
        failure_class=failure_class,
        reserve=reserve,
        starts=starts,
        end_of=lambda per: window_end(per, starts[per], state.offset_ns),
        is_held=is_held,
    )


def governed_again(state: State, now_ns: int, intent_hash: bytes, hold: Hold) -> list[Finding]:
    """Why the governor would not let a held intent go now; empty where it would."""
    books = state.governed
    if not books.governor:
        return []
    lane, failure_class = books.lanes.get(intent_hash, ""), books.failures.get(intent_hash, "")
    asked = _governing(state, now_ns, hold.legs[0].reserve, lane, failure_class, is_held=True)
    said = check_governor(books, asked)
    return [] if said.outcome == ALLOW else said.findings
