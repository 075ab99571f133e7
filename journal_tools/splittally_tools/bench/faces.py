"""What the faces of a service cost: single posts, lines of JSON, and pipelined frames.

    face  = served - in process     processor time of a request, by the process that answers
    ratio = face / echo             the echo has the same stack and decides nothing (`face_echo.py`)

Rule 1. The same intents are asked in process, of a world on the same disk with as many tasks as a face has
        connections, each list as long as the face makes it; of the service; and of the echo. They take
        turns, and what is compared is of the same turn.
Rule 2. Service and echo are processes of their own. Who asks is a third, whose time is not counted.
Rule 3. A first turn warms up and is not counted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import uvloop
from splittally import Intent, aio
from splittally.core.limits import GROUP_MAX
from splittally.edge.answer_lines import told
from splittally.host.service.listening import serve
from splittally.runtime.served import SOCKET, connected

from splittally_tools.bench import face_load
from splittally_tools.bench.face_echo import FRAMES, HTTP, serve_echo
from splittally_tools.bench.face_load import Connection
from splittally_tools.bench.face_work import Work
from splittally_tools.bench.stats import Series
from splittally_tools.bench.workload import KIND, Workload, params

STARTING_SECONDS = 20.0
CPUCLOCK_SCHED = 2  # of a process, all of its threads: clock_getcpuclockid(3)
Ask = Callable[[], Awaitable[int]]  # asks a fixed number of intents, and says how many were allowed


class Face(NamedTuple):
    """One face: its three contestants, turn by turn."""

    served: Series
    in_process: Series
    echo: Series

    @property
    def ratios(self) -> list[float]:
        """What the face costs against the echo, turn by turn."""
        rows = zip(
            self.served.processor_rates,
            self.in_process.processor_rates,
            self.echo.processor_rates,
            strict=True,
        )
        return [(1 / served - 1 / alone) * echo for served, alone, echo in rows]

    def document(self, name: str) -> dict[str, Any]:
        """The measurement as JSON; rates are a second, costs microseconds of the processor."""
        return {
            f"{name}_face_ratio": round(median(self.ratios), 3),
            f"{name}_face_ratio_least": round(min(self.ratios), 3),
            f"{name}_face_ratio_most": round(max(self.ratios), 3),
            f"{name}_per_s": round(self.served.rate, 1),
            f"{name}_in_process_per_s": round(self.in_process.rate, 1),
            f"{name}_echo_per_s": round(self.echo.rate, 1),
            f"{name}_us": round(1e6 / self.served.processor_rate, 1),
            f"{name}_in_process_us": round(1e6 / self.in_process.processor_rate, 1),
            f"{name}_echo_us": round(1e6 / self.echo.processor_rate, 1),
        }


class Faces(NamedTuple):
    """All of them."""

    http: Face
    ndjson: Face
    frames: Face

    def document(self) -> dict[str, Any]:
        """The measurements as JSON."""
        return {
            key: value for name, face in self._asdict().items() for key, value in face.document(name).items()
        }


def measure(folder: Path, work: Work, tell: Callable[[str], None]) -> Faces:
    """Measure every face, with worlds and sockets in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tell("the faces of a service")
    for name in ("alone", "served"):
        Workload(folder / name, clock="host").close()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(folder, work, tell))


async def _measure(folder: Path, work: Work, tell: Callable[[str], None]) -> Faces:
    async with aio.open(folder / "alone", create=False) as kernel:
        answer = told(await kernel.submit(_intents(1)[0]))
        context = get_context("spawn")
        service = context.Process(target=serve, args=(folder / "served",))
        echo = context.Process(target=serve_echo, args=(folder, answer))
        try:
            for process, path in ((service, folder / "served" / SOCKET), (echo, folder / HTTP)):
                process.start()
                await _answers(process, path)
            return await _faces(_Ends(folder, kernel, service, echo), work, tell)
        finally:
            for process in (service, echo):
                if process.pid is not None:
                    process.terminate()
                    process.join()


class _Ends(NamedTuple):
    """Where is asked: sockets, the kernel in this process, and the processes that answer."""

    folder: Path
    kernel: aio.AsyncKernel
    service: SpawnProcess
    echo: SpawnProcess

    async def turns(self, socket: str, open_face: Callable[[Path], Any], alone: Ask, turns: int) -> Face:
        """In process, served and echoed, in turns."""
        series = Face(Series("served"), Series("in_process"), Series("echo"))
        async with (
            open_face(self.folder / "served" / SOCKET) as served,
            open_face(self.folder / socket) as echoed,
        ):
            for turn in range(turns + 1):
                for one, ask, process in (
                    (series.in_process, alone, None),
                    (series.served, served, self.service),
                    (series.echo, echoed, self.echo),
                ):
                    taken = await _timed(ask, process)
                    if turn:
                        one.enter(*taken)
        return series


async def _faces(ends: _Ends, work: Work, tell: Callable[[str], None]) -> Faces:
    kernel = ends.kernel
    tell("single posts")
    http = await ends.turns(
        HTTP,
        partial(
            _asking, face_load.HTTP_CONNECTIONS, face_load.ends_of_posts, face_load.posts(work.posts), 1, 1
        ),
        partial(_singly, kernel, face_load.HTTP_CONNECTIONS, work.posts),
        work.turns,
    )
    tell("lines of JSON")
    bodies = face_load.bodies(work.bodies, work.lines)
    ndjson = await ends.turns(
        HTTP,
        partial(_asking, face_load.NDJSON_CONNECTIONS, face_load.ends_of_lines, bodies, 1, work.lines),
        partial(_in_lists, kernel, face_load.NDJSON_CONNECTIONS, work.bodies * _lists(work.lines, GROUP_MAX)),
        work.turns,
    )
    tell("pipelined frames")
    depth = min(face_load.FRAME_DEPTH, work.frames)
    frames = await ends.turns(
        FRAMES,
        partial(
            _asking,
            face_load.FRAME_CONNECTIONS,
            face_load.ends_of_frames,
            face_load.frames(work.frames),
            depth,
            1,
        ),
        partial(_in_lists, kernel, face_load.FRAME_CONNECTIONS, _lists(work.frames, depth)),
        work.turns,
    )
    return Faces(http=http, ndjson=ndjson, frames=frames)


def _lists(count: int, most: int) -> list[int]:
    """How long the lists are that so many intents are asked in."""
    return [min(most, count - at) for at in range(0, count, most)]


# --- who asks -------------------------------------------------------------------------------------


@asynccontextmanager
async def _asking(
    connections: int, ends: face_load.Ends, requests: Sequence[bytes], depth: int, intents: int, socket: Path
) -> AsyncIterator[Ask]:
    """Connections that ask all of these, each the same; a frame's begin with a hello."""
    opened: list[Connection] = [await face_load.connect(socket, ends) for _ in range(connections)]
    if ends is face_load.ends_of_frames:
        for connection in opened:
            await connection.ask([face_load.hello()], 1)

    async def ask() -> int:
        allowed = sum(await asyncio.gather(*(each.ask(requests, depth) for each in opened)))
        assert allowed == connections * len(requests) * intents
        return allowed

    try:
        yield ask
    finally:
        for connection in opened:
            connection.close()


async def _singly(kernel: aio.AsyncKernel, tasks: int, count: int) -> int:
    async def ask() -> None:
        for at in range(count):
            decision = await kernel.submit(Intent(KIND, params(at), "leaf"))
            assert decision.allowed

    await asyncio.gather(*(ask() for _ in range(tasks)))
    return tasks * count


async def _in_lists(kernel: aio.AsyncKernel, tasks: int, lists: Sequence[int]) -> int:
    async def ask() -> None:
        for size in lists:
            assert all(decision.allowed for decision in await kernel.run(_intents(size)))

    await asyncio.gather(*(ask() for _ in range(tasks)))
    return tasks * sum(lists)


def _intents(count: int) -> list[Intent]:
    return [Intent(KIND, params(at), "leaf") for at in range(count)]


# --- who answers ----------------------------------------------------------------------------------


async def _answers(process: SpawnProcess, path: Path) -> None:
    """Wait until a process takes connections at `path`."""
    until = time.monotonic() + STARTING_SECONDS
    while (connection := connected(path)) is None:
        assert process.is_alive() and time.monotonic() < until, f"nobody answers at {path}"
        await asyncio.sleep(0.05)
    connection.close()


async def _timed(ask: Ask, process: SpawnProcess | None) -> tuple[int, float, float]:
    """What was asked, and the seconds it took: by the clock, and of the processor in who answered."""
    processor_started, started = _processor_seconds(process), time.perf_counter()
    count = await ask()
    return count, time.perf_counter() - started, _processor_seconds(process) - processor_started


def _processor_seconds(process: SpawnProcess | None) -> float:
    """What a process used of the processor so far, user and system; this one for None."""
    if process is None:
        return time.process_time()
    assert process.pid is not None
    return time.clock_gettime(~process.pid << 3 | CPUCLOCK_SCHED)
