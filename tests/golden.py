"""Golden journals, vectors and generated tables: written by one command, reviewed as a diff.

    python -m tests.golden            rewrite fixtures/journals/today, fixtures/vectors, the tables in spec/
    python -m tests.golden roots      print size, head hash and state root of each run

A run is deterministic: the clock is given, chance is a seeded stream, the world opens at time 0. Whoever
changes the kernel sees here what that changes for a journal. `journals/v1` is never written again: what it
holds folds to the same state for ever, whatever the rules of today would decide.
"""

import json
import os
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

from splittally.core.commands import Open
from splittally.core.frames import read_body
from splittally.core.snapshot import state_root
from splittally.core.state import State
from splittally.journal.frame import open_frame
from splittally.runtime import opening as worlds
from splittally.runtime.kernel import Kernel

from tests import golden_bulk, golden_tour, golden_vectors, spec
from tests.golden_teller import DAY_ONE, Tour

FIXTURES = Path(__file__).parent.parent / "fixtures"
RELEASED = FIXTURES / "journals" / "v1"
JOURNALS = FIXTURES / "journals" / "today"
OPEN_MAX = {"tour": 12, "bulk": 1_000}  # the tour shows what happens above it


class Chance:
    """A stream of bytes that looks random and is the same in every run."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.drawn = 0

    def __call__(self, size: int) -> bytes:
        self.drawn += 1
        block = sha256(f"{self.seed} {self.drawn}".encode()).digest()
        assert size <= len(block)
        return block[:size]


def new_world(seed: str, path: Path | None = None, genesis: Open | None = None) -> worlds.World:
    """A new world of this release, or of the release and engine that `genesis` recorded."""
    given: dict[str, Any] = {"clock": "given", "entropy": Chance(seed), "open_max": OPEN_MAX[seed]}
    if genesis is None:
        return worlds.open_or_create(path, **given)
    with (
        patch.object(worlds, "current_engine", lambda: genesis.engine),
        patch.object(worlds, "current_release", lambda: genesis.release),
    ):
        return worlds.open_or_create(path, **given)


def play_tour(genesis: Open | None = None) -> Tour:
    """The tour: every kind of record, in a world in memory."""
    world = new_world("tour", genesis=genesis)
    tour = Tour(Kernel(world), world)
    golden_tour.play(tour)
    return tour


def play_host() -> Tour:
    """What only a world with the host's clock shows."""
    reading = [DAY_ONE]
    world = worlds.open_or_create(None, (lambda: reading[0], lambda: 0), entropy=Chance("host"))
    tour = Tour(Kernel(world), world)
    golden_tour.play_host(tour, reading)
    return tour


def transcript(*tours: Tour) -> str:
    """What the tours wrote down, as the text of one file."""
    return "\n".join(line for tour in tours for line in tour.lines).lstrip() + "\n"


def frames_of(world: worlds.World) -> list[bytes]:
    """The frames of a world as bytes."""
    return [data for _, data in world.store.scan()]


def stored_frames(folder: Path = JOURNALS) -> list[bytes]:
    """The frames of a stored golden journal."""
    return list(split_sequence((folder / "tour.cborseq").read_bytes()))


def read_vectors(name: str) -> Any:
    """The stored vectors of this name."""
    return json.loads((FIXTURES / "vectors" / f"{name}.json").read_text("utf-8"))


def genesis_of(frames: list[bytes]) -> Open:
    """The command that made the world of these frames."""
    _, _, rows = open_frame(frames[0])
    command = read_body(rows, 0).command
    assert isinstance(command, Open)
    return command


def split_sequence(data: bytes) -> Iterator[bytes]:
    """The items of a CBOR sequence (RFC 8742) of definite lengths, as frames are."""
    start = 0
    while start < len(data):
        end = _item_end(data, start)
        yield data[start:end]
        start = end


def _item_end(data: bytes, at: int) -> int:
    left = 1
    while left:
        left -= 1
        major, info = data[at] >> 5, data[at] & 31
        size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
        argument = int.from_bytes(data[at + 1 : at + 1 + size]) if size else info
        at += 1 + size
        if major in (2, 3):
            at += argument
        elif major in (4, 5):
            left += argument * (major - 3)
    return at


def roots_of(state: State, head: bytes) -> dict[str, Any]:
    """What a fold of a journal must come to."""
    return {"frames": state.size, "head": head.hex(), "root": state_root(state).hex()}


def all_roots() -> dict[str, Any]:
    """The roots of both runs: the tour under the stored genesis, the bulk run in batches as `BATCH` says."""
    tour = play_tour(genesis_of(stored_frames()))
    world = golden_bulk.play(new_world("bulk"), int(os.environ.get("BATCH", "64")))
    return {
        "tour": roots_of(tour.world.state, tour.world.store.head.hash),
        "bulk": roots_of(world.state, world.store.head.hash),
    }


def write() -> None:
    """Rewrite everything that is generated."""
    tour, host = play_tour(), play_host()
    frames = frames_of(tour.world)
    JOURNALS.mkdir(parents=True, exist_ok=True)
    (JOURNALS / "tour.cborseq").write_bytes(b"".join(frames))
    (JOURNALS / "tour.txt").write_text(transcript(tour, host), "utf-8")
    facts = {
        "format": tour.world.state.format,
        "engine": tour.world.state.engine,
        "world": tour.world.state.world.hex(),
        **roots_of(tour.world.state, tour.world.store.head.hash),
    }
    (JOURNALS / "tour.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    golden_vectors.write(FIXTURES / "vectors")
    spec.write(tour.found + host.found)


if __name__ == "__main__":
    if sys.argv[1:] == ["roots"]:
        print(json.dumps(all_roots()))
    else:
        write()
