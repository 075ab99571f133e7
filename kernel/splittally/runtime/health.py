"""How a world's clock and files are, as one row."""

from collections.abc import Sequence

from splittally.core.state import State
from splittally.runtime.clock import HOST, WorldClock
from splittally.runtime.rows import Row

STEADY, BEHIND, JUMPED = "steady", "behind", "jumped"


def health_row(state: State, clock: WorldClock, repairs: Sequence[str]) -> Row:
    """How a world's clock and files are: `state` is steady, behind or jumped; times in nanoseconds.

    `differs_ns` is by how much a host's clock differs from logical time, below 0 where it is behind.
    """
    said, clock_ns = STEADY, None
    if clock.kind == HOST:
        clock.said(None, state.clock_jump_ns)
        clock_ns = clock.jumped_ns or clock.wall_ns()
        said = JUMPED if clock.jumped_ns else BEHIND if clock_ns < state.now_ns else STEADY
    return Row(
        seq=state.size - 1,
        now_ns=state.now_ns,
        clock=clock.kind,
        state=said,
        clock_ns=clock_ns,
        differs_ns=None if clock_ns is None else clock_ns - state.now_ns,
        clock_jump_ns=state.clock_jump_ns,
        open_intents=len(state.ledger.holds),
        repairs=list(repairs),
    )
