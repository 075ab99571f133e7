"""A deterministic scheduler: host programs against a world, with crashes and a bad network, out of one seed.

`simulate` is one run, `explore` many of them. What goes wrong is `Broken`: an `AssertionError` with the
transcript, the call that runs it again, and the folder in which its journal is kept. Many runs in which no
effect happened are `NothingHappened`, because they would have passed over any bug.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from splittally.runtime import Kernel

from splittally_tools.testing.assertions import assert_conserved, assert_no_overspend, assert_replays
from splittally_tools.testing.effects_seen import ACTED, Effects, count_of, text_of, total
from splittally_tools.testing.external_effects import Act
from splittally_tools.testing.hosts import Program
from splittally_tools.testing.simulation import FAULTS, Faults, Simulation, Wrong
from splittally_tools.testing.worlds import Manifest, apply_manifest, note_journal

FAULTS_MAX = 4
STEPS_MAX = 1_000
Hosts = Program | Sequence[Program] | Mapping[str, Program]


class Run(NamedTuple):
    """A run: its frames, what hosts did outside, the faults that happened, and what is wrong, if anything.

    A fault is its number among those that the seed draws, and its kind. `effects` counts by kind of effect
    what was submitted and how it was answered, what was acted, and how receipts were answered.
    """

    seed: int
    frames: tuple[bytes, ...]
    acts: tuple[Act, ...]
    faults: tuple[tuple[int, str], ...]
    transcript: tuple[str, ...]
    wrong: str
    effects: Effects


class Runs(list[Run]):
    """The runs of `explore`, in the order of their seeds; as text what happened in them."""

    @property
    def effects(self) -> Effects:
        """How many effects of which kinds with which outcomes there were in all runs."""
        return total(run.effects for run in self)

    def __str__(self) -> str:
        return f"{len(self)} seeds; {text_of(self.effects)}"


class NothingHappened(AssertionError):
    """Fewer effects were carried out in all runs than a test needs that shows anything."""

    def __init__(self, runs: Runs) -> None:
        acted = count_of(runs.effects, ACTED)
        first = runs[0].transcript if runs else ()
        super().__init__(
            f"{acted or 'no'} effect happened, so nothing was tested: {runs}\n"
            "fund the world with `setup=lambda kernel: ...`, raise its limits, or ask for what they allow;\n"
            f"where that is what you test, say `acts_min={acted}`; the first seed:\n"
            + "\n".join(f"  {line}" for line in first)
        )


class Broken(AssertionError):
    """A run in which something went wrong; `run` is that run."""

    def __init__(self, run: Run, explored: int) -> None:
        found = f" (the first that fails of {explored} seeds)" if explored > 1 else ""
        numbers = [number for number, _ in run.faults]
        again = f"simulate(..., seed={run.seed}, only_faults={numbers})"
        lines = [f"seed {run.seed}{found}: {run.wrong}", *(f"  {line}" for line in run.transcript)]
        lines.append(f"until then: {text_of(run.effects)}")
        super().__init__("\n".join([*lines, f"run it again with all else the same: {again}"]))
        self.run = run


def simulate(hosts: Hosts, manifest: Manifest, *, seed: int, **options: Any) -> Run:
    """One run of `hosts` in a world of `manifest`; `Broken` when something is wrong with it.

    `hosts` is a program, a list of them, or a map with their names. Options: `faults` names the kinds of
    faults (all of `FAULTS`), `faults_max` how many happen at most (4), `only_faults` which of those that the
    seed draws, by number (all), `steps_max` when the hosts must have ended (1,000), `setup(kernel)` runs
    before them, `check(kernel, run)` after them, `bounded` is for `assert_no_overspend`, `ends_all` refuses a
    hold that is left open without an expiry (False), `folder` keeps the world in LMDB in this new folder
    instead of in memory.
    """
    run, simulation = _run(hosts, manifest, seed, **options)
    return _unbroken(run, simulation, 1)


def explore(
    hosts: Hosts, manifest: Manifest, *, seeds: Iterable[int] = range(100), acts_min: int = 1, **options: Any
) -> Runs:
    """A run for each seed. Of the first that fails every fault is left out without which it still fails.

    The options are those of `simulate`, without `folder`. `NothingHappened` where all runs together carried
    out fewer than `acts_min` effects (1). What comes back says how many of which kinds there were.
    """
    if "folder" in options:
        raise ValueError("`folder` is for one run; say `simulate`")
    runs = Runs()
    for seed in seeds:
        run, simulation = _run(hosts, manifest, seed, **options)
        if run.wrong:
            run, simulation = _with_fewer_faults(run, simulation, hosts, manifest, options)
        runs.append(_unbroken(run, simulation, len(runs) + 1))
    if count_of(runs.effects, ACTED) < acts_min:
        raise NothingHappened(runs)
    return runs


def _with_fewer_faults(
    run: Run, simulation: Simulation, hosts: Hosts, manifest: Manifest, options: dict[str, Any]
) -> tuple[Run, Simulation]:
    """The same seed with as few of its faults as fail: each is left out in turn."""
    for number, _ in run.faults:
        rest = [other for other, _ in run.faults if other != number]
        fewer, tried = _run(hosts, manifest, run.seed, **(options | {"only_faults": rest}))
        if fewer.wrong:
            simulation.close()
            return _with_fewer_faults(fewer, tried, hosts, manifest, options)
        tried.close()
    return run, simulation


def _unbroken(run: Run, simulation: Simulation, explored: int) -> Run:
    """The run, if nothing is wrong with it."""
    try:
        if run.wrong:
            broken = Broken(run, explored)
            note_journal(broken, simulation.disk.store, f"seed-{run.seed}")
            raise broken
    finally:
        simulation.close()
    return run


def _run(
    hosts: Hosts,
    manifest: Manifest,
    seed: int,
    *,
    faults: Collection[str] = FAULTS,
    faults_max: int = FAULTS_MAX,
    only_faults: Collection[int] | None = None,
    steps_max: int = STEPS_MAX,
    setup: Callable[[Kernel], Any] | None = None,
    check: Callable[[Kernel, Run], Any] | None = None,
    bounded: Collection[str] = (),
    ends_all: bool = False,
    folder: Path | None = None,
) -> tuple[Run, Simulation]:
    unknown = sorted(set(faults) - set(FAULTS))
    if unknown:
        raise ValueError(f"there is no fault `{unknown[0]}`; there are {', '.join(FAULTS)}")
    if folder is not None and folder.exists():
        raise FileExistsError(f"`{folder}` is there already; give a new folder")
    only = None if only_faults is None else frozenset(only_faults)
    simulation = Simulation(_named(hosts), seed, Faults(tuple(sorted(faults)), faults_max, only), folder)
    wrong = ""
    try:
        apply_manifest(simulation.kernel, manifest)
        if setup is not None:
            setup(simulation.kernel)
        simulation.go(steps_max)
        _judge(simulation, bounded, ends_all)
        if check is not None:
            check(simulation.kernel, _told(simulation, ""))
    except (Wrong, AssertionError) as error:
        wrong = str(error) or type(error).__name__
    except BaseException as error:
        error.add_note("\n".join(simulation.transcript))
        simulation.close()
        raise
    return _told(simulation, wrong), simulation


def _judge(simulation: Simulation, bounded: Collection[str], ends_all: bool) -> None:
    """What must hold once every host has ended."""
    kernel, outside = simulation.kernel, simulation.outside
    wrong = outside.unsettled(kernel) or (outside.left_open(kernel) if ends_all else "")
    if wrong:
        raise Wrong(wrong)
    assert_conserved(kernel)
    assert_no_overspend(kernel, bounded)
    assert_replays(kernel)


def _told(simulation: Simulation, wrong: str) -> Run:
    return Run(
        seed=simulation.seed,
        frames=tuple(data for _, data in simulation.disk.store.scan()),
        acts=tuple(simulation.outside.acts),
        faults=tuple(simulation.faults_used),
        transcript=tuple(simulation.transcript),
        wrong=wrong,
        effects=simulation.seen.effects(),
    )


def _named(hosts: Hosts) -> dict[str, Program]:
    if isinstance(hosts, Mapping):
        return dict(hosts)
    programs = [hosts] if callable(hosts) else list(hosts)
    return {f"host-{at}": program for at, program in enumerate(programs, 1)}
