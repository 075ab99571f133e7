"""The governor as people and programs read it: caps and what counts against them, memory, what it has said.

Rule 1. Everything is of one state and its logical time; nothing here decides.
"""

from fractions import Fraction

import msgspec

from splittally.core.evolve import governed_windows
from splittally.core.governor.check import lane_mib, spent_and_reserved
from splittally.core.state import State
from splittally.core.types import ESCALATE
from splittally.runtime.metric_views import exact
from splittally.runtime.rows import Row


def governor_row(state: State) -> Row | None:
    """The governor now; None where the world has none.

    `verdicts` counts what it said today by action; `escalated` is the share of those that were raised.
    """
    governed, starts = state.governed, governed_windows(state, state.now_ns)
    terms = governed.terms
    if terms is None:
        return None
    verdicts = {
        action: count for action, (start, count) in governed.verdicts.items() if start == starts["day"]
    }
    said = sum(verdicts.values())
    lanes = sorted(set(governed.lanes.values()))
    envelope = terms.envelope
    return Row(
        caps=[
            Row(
                resource=cap.resource,
                per=cap.per,
                amount=cap.amount,
                counted=spent_and_reserved(governed, cap, starts),
                reserved=governed.reserved.get(cap.resource, 0),
            )
            for cap in terms.caps
        ],
        lanes={lane: lane_mib(envelope, lane) if envelope else None for lane in lanes},
        envelope=msgspec.to_builtins(envelope),
        classes=list(terms.classes),
        verdicts=verdicts,
        escalated=exact(Fraction(verdicts.get(ESCALATE, 0), said)) if said else 0,
    )
