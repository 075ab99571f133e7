"""A forger: one field of one frame is changed, and all frames after it are chained anew.

Fields are found by walking the records themselves, so a new record or field is forged as soon as it is there.
"""

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from msgspec import Struct
from splittally.core.canonical import encode_record
from splittally.core.errors import FormatTooNew, JournalDamaged
from splittally.core.frames import Body, read_body
from splittally.core.hashing import hash_frame
from splittally.core.limits import INT_MAX
from splittally.core.state import State
from splittally.journal.frame import EMPTY, Frame, open_frame, seal
from splittally.journal.memory import MemoryStore
from splittally.runtime.reader import read_store
from splittally.runtime.recover import apply_events
from splittally_tools.audit.rejudge import full_index, rejudge_range
from splittally_tools.audit.verify import verify

# Words of a record that stand in for one another.
WORDS = (
    ("ok", "error", "timeout", "unknown"), ("cancel", "not_dispatched", "governance", "expiry"),
    ("host", "given"), ("plan", "reducer"), ("each", "all", "first"),
    ("allow", "deny", "defer", "escalate", "require_approval"),
    ("open", "approval", "running", "unknown"), ("ok", "misfit", "too_large", "withheld"),
    ("receipt", "late", "native", "attested", "recorded"), ("charge", "debt", "cap"),
    ("due", "done", "skipped", "waiting"),
)  # fmt: skip
Field = tuple[str, str]  # a record type and one of its fields
Path = tuple[int | str, ...]  # through the rows of a body


class Place(NamedTuple):
    """A field of a record in a frame: where it stands in the rows of the body."""

    seq: int
    field: Field
    path: Path


class Journal:
    """The frames of an honest journal as rows, and what the forger may change in them."""

    def __init__(self, frames: list[bytes]) -> None:
        self.frames = frames
        self.bodies = [read_body(open_frame(data)[2], seq) for seq, data in enumerate(frames)]
        self._honest = [Frame(seq, hash_frame(data), data) for seq, data in enumerate(frames)]
        self.places = [
            Place(seq, field, path)
            for seq, body in enumerate(self.bodies)
            for field, path in _places(body, open_frame(frames[seq])[2])
        ]

    def states(self, seqs: list[int]) -> Iterator[State]:
        """The state before each of these frames, in ascending order; what is done to it stays there."""
        state = State()
        for seq in seqs:
            while state.size < seq:
                body = self.bodies[state.size]
                apply_events(state, body.at_ns, body.by, body.out, state.size)
            yield state.fork() if seq else State()

    def forged(self, place: Place, chance: Random) -> tuple[list[Frame], str] | None:
        """The chained frames with another value in this place, and what it was; None where there is none."""
        rows = open_frame(self.frames[place.seq])[2]
        parent = rows
        for step in place.path[:-1]:
            parent = parent[step]
        was = parent[place.path[-1]]
        now = other_value(was, chance)
        if now is None:
            return None
        parent[place.path[-1]] = now
        frames = self._honest[: place.seq]
        for seq in range(place.seq, len(self.frames)):
            prev = frames[-1].hash if frames else EMPTY.hash
            frames.append(seal(seq, prev, rows if seq == place.seq else open_frame(self.frames[seq])[2]))
        return frames, f"{place.field} of frame {place.seq}: {_shown(was)} became {_shown(now)}"


def finding(frames: list[Frame], state: State) -> str:
    """What audit says of these frames, `state` being that before the forged one; empty for sound."""
    store = MemoryStore()
    store.append(store.head, frames)
    reader = read_store(store)
    try:
        report = verify(reader)
    except FormatTooNew as error:
        return f"a later format: {error}"
    if report.damage is not None:
        return f"damaged: {report.damage['message']}"
    try:
        result = rejudge_range(reader, full_index(reader, False), state, len(frames))
    except JournalDamaged as error:
        return f"damaged: {error}"
    if result.other_engines:
        return f"not judged again: {result.other_engines}"
    return f"drift: {result.drift.message}" if result.drift is not None else ""


def other_value(was: Any, chance: Random) -> Any:
    """Another value of the same type; None where there is none."""
    match was:
        case bool():
            return not was
        case int():
            return chance.choice([x for x in (was + 1, was - 1, was + 2**20) if min(was, 0) <= x <= INT_MAX])
        case str():
            others = [word for words in WORDS if was in words for word in words if word != was]
            return chance.choice([*others, was + "x", "x" + was, was[:-1] if len(was) > 1 else was + "y"])
        case bytes():
            if not was:
                return b"x"
            at = chance.randrange(len(was))
            return was[:at] + bytes([was[at] ^ 1 << chance.randrange(8)]) + was[at + 1 :]
        case list() if was:
            return was[:-1] if chance.random() < 0.5 else [*was, was[-1]]
        case dict() if was:
            key = chance.choice(sorted(was))
            value = other_value(was[key], chance)
            return {k: v for k, v in was.items() if k != key} if value is None else {**was, key: value}
    return None


def _places(record: Struct, rows: list[Any], path: Path = ()) -> Iterator[tuple[Field, Path]]:
    """Every field of a record and of the records in it."""
    name, config = type(record).__name__, type(record).__struct_config__
    names = [*type(record).__struct_fields__]
    if isinstance(record, Body):  # the version stands first in the rows and last in the record
        names = [names[-1], *names[:-1]]
    first = 0 if config.tag is None else 1
    for at, field in enumerate(names, first):
        if at >= len(rows):
            return  # left out, because it says nothing
        value, here = getattr(record, field), (*path, at)
        inner = value if isinstance(value, list | tuple) else [value]
        if inner and all(isinstance(each, Struct) for each in inner):
            for where, each in enumerate(inner):
                nested = rows[at] if each is value else rows[at][where]
                yield from _places(each, nested, here if each is value else (*here, where))
        if not isinstance(value, Struct):
            yield (name, field), here


def _shown(value: Any) -> str:
    text = encode_record(value).hex() if isinstance(value, bytes) else repr(value)
    return text[:80]
