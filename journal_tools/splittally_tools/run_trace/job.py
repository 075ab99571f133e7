"""The job from file to report: survey, make the world, drive, read off, verify.

Rule 1. The same file, seed and options give the same journal to the byte: clock, keys and ids are given.
Rule 2. What is verified is what is on disk, read again after the world was closed.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import splittally
from splittally.runtime import Kernel

from splittally_tools.run_trace.drive import Drive
from splittally_tools.run_trace.fleet import TEAM, VENDOR, Fleet, assemble
from splittally_tools.run_trace.memory import Peak
from splittally_tools.run_trace.outcomes import Chance
from splittally_tools.run_trace.rows import Survey, calls
from splittally_tools.run_trace.totals import Totals
from splittally_tools.run_trace.verify import OldModule, Verdict, head_of, old_module, verify

Progress = Callable[[str, int, int], None]  # what is done, how much of it, out of how much


class Order(NamedTuple):
    """What to run, and how."""

    trace: Path
    world: Path
    agents: int
    seed: int
    repeat: int
    group: int
    is_verified: bool
    is_kept: bool


class Balance(NamedTuple):
    """One grant's use of one dimension at the end."""

    limit: int
    reserved: int
    spent: int
    left: int


class Result(NamedTuple):
    """Everything that a run has to report."""

    order: Order
    surveyed: Survey
    fleet: Fleet
    totals: Totals
    use: dict[str, dict[str, Balance]]
    team: dict[str, int]
    open_holds: int
    frames: int
    head_hash: bytes
    root: bytes
    seconds: float
    peak_bytes: int
    growth_bytes: int
    verifying_bytes: int
    ended: OldModule | None
    verdict: Verdict | None


def run(order: Order, surveyed: Survey, progress: Progress) -> Result:
    """Drive the trace through a new world at `order.world`; the world must not exist."""
    fleet = assemble(surveyed, order.agents, order.repeat)
    total = surveyed.rows * order.repeat
    driving = Peak()
    tell = _watched(driving, progress)
    started = time.perf_counter()
    with splittally.open(order.world, clock="given", entropy=Chance(order.seed)) as kernel:
        drive = Drive(kernel, fleet, order.seed, total, order.group)
        totals = drive.run(
            calls(order.trace, surveyed, order.repeat), lambda made: tell("calls", made, total)
        )
        seconds = time.perf_counter() - started
        use, team = _use(kernel, fleet), _team(kernel, sum(totals.funded))
        open_holds, root = len(kernel.state.reservations), kernel.state.root
    head = head_of(order.world)
    ended = old_module(order.world, totals.upgrade) if totals.upgrade is not None else None
    verifying = Peak()
    verdict = verify(order.world, root, _watched(verifying, progress)) if order.is_verified else None
    return Result(
        order=order,
        surveyed=surveyed,
        fleet=fleet,
        totals=totals,
        use=use,
        team=team,
        open_holds=open_holds,
        frames=head.size,
        head_hash=head.hash,
        root=root,
        seconds=seconds,
        peak_bytes=driving.peak_bytes,
        growth_bytes=driving.peak_bytes - driving.start_bytes,
        verifying_bytes=verifying.peak_bytes,
        ended=ended,
        verdict=verdict,
    )


def _watched(peak: Peak, progress: Progress) -> Progress:
    """`progress` that looks at the memory each time."""

    def tell(what: str, done: int, whole: int) -> None:
        peak.sample()
        progress(what, done, whole)

    return tell


def _use(kernel: Kernel, fleet: Fleet) -> dict[str, dict[str, Balance]]:
    counters = kernel.state.counters
    return {
        name: {
            dim: Balance(
                limit=row.limit,
                reserved=row.reserved,
                spent=row.spent,
                left=row.limit - row.reserved - row.spent,
            )
            for dim, row in counters[name].items()
        }
        for name in fleet.agents
    }


def _team(kernel: Kernel, funded: int) -> dict[str, int]:
    state = kernel.state
    resource = next(iter(state.resources))
    account = state.accounts[TEAM]
    return {
        "funded": funded,
        "paid": state.accounts[VENDOR].balances.get(resource, 0),
        "in_flight": account.in_flight.get(resource, 0),
        "balance": account.balances.get(resource, 0),
        "imbalance": state.resources[resource].imbalance,
    }
