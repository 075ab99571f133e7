"""Judging a journal again in several processes, each from the state at a boundary.

Rule 1. The states at the boundaries come from a fold of ours, not from the world's snapshots; a range
        must end in the state that the next one begins with.
Rule 2. Of several drifts the first counts.
"""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NamedTuple

from splittally.core.errors import JournalDamaged
from splittally.core.snapshot import dumped_root, load_state, state_root
from splittally.core.state import State
from splittally.runtime.reader import Reader, open_reader

from splittally_tools.audit.rejudge import Drift, Progress, Result, full_index, rejudge_range


class Start(NamedTuple):
    """Where a range begins: after `size` frames, in the state that a file holds, which has this root."""

    size: int
    file: Path
    root: bytes


class Range(NamedTuple):
    """The work of one process: from `start` to before `stop`, where the state has `root`."""

    folder: Path
    is_index_trusted: bool
    start: Start | None
    stop: int
    root: bytes


def boundaries_of(size: int, jobs: int) -> list[int]:
    """The sizes at which the ranges of `jobs` processes begin, without the first."""
    return [size * at // jobs for at in range(1, jobs) if 0 < size * at // jobs < size]


def rejudge_here(reader: Reader, is_index_trusted: bool, stop: int, progress: Progress | None) -> Result:
    """The whole journal, in this process."""
    return rejudge_range(reader, full_index(reader, is_index_trusted), State(), stop, progress)


def rejudge_ranges(ranges: list[Range], progress: Progress | None) -> Result:
    """Every range in a process of its own; the results put together."""
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, SpawnProcess] = {}
    done: dict[int, Any] = {}
    try:
        for at, work in enumerate(ranges):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(theirs, at, work), daemon=True)
            process.start()
            theirs.close()
            workers[ours] = process
        while workers:
            for pipe in wait(list(workers)):
                assert isinstance(pipe, Connection)
                if not _receive(pipe, done, progress):
                    workers.pop(pipe).join()
                    pipe.close()
    finally:
        for process in workers.values():
            process.terminate()
    return _together([done[at] for at in sorted(done)], len(ranges))


def _receive(pipe: Connection, done: dict[int, Any], progress: Progress | None) -> bool:
    """Takes one message of a worker; False when it has no more."""
    try:
        at, message = pipe.recv()
    except EOFError:
        return False
    if isinstance(message, int):
        if progress is not None:
            progress(message)
        return True
    done[at] = message
    return True


def _together(results: list[Any], expected: int) -> Result:
    compared, others = 0, dict[str, int]()
    drift: Drift | None = None
    for result in results:
        if isinstance(result, JournalDamaged):
            raise result
        compared += result.compared
        for engine, frames in result.other_engines.items():
            others[engine] = others.get(engine, 0) + frames
        drift = drift or result.drift
    if len(results) != expected:
        raise RuntimeError("a process that judged a range again ended without a result")
    return Result(compared, dict(sorted(others.items())), drift)


def _work(pipe: Connection, at: int, work: Range) -> None:
    """The body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        pipe.send((at, _rejudge(work, lambda frames: pipe.send((at, frames)))))
    except JournalDamaged as error:
        pipe.send((at, error))
    except BrokenPipeError:
        pass  # nobody wants to know any more
    finally:
        pipe.close()


def _rejudge(work: Range, progress: Callable[[int], None]) -> Result:
    state = State()
    if work.start is not None:
        data = work.start.file.read_bytes()
        state = load_state(data)
        if dumped_root(data) != work.start.root:
            raise RuntimeError("the state at a boundary is not what was folded")
    with open_reader(work.folder) as reader:
        index = full_index(reader, work.is_index_trusted)
        result = rejudge_range(reader, index, state, work.stop, progress)
        index.close()
    if result.drift is None and state_root(state) != work.root:
        text = "the state after it is not the one with which the next range begins"
        return result._replace(drift=Drift(work.stop - 1, b"", text))
    return result
