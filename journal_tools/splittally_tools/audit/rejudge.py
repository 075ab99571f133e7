"""Was everything decided as the journal says? Every module is asked again, every step taken again.

Rule 1. The evidence is rebuilt, not read: the pinned modules are asked, the index is looked up as it
        was, every check of admission is asked of every module, also of those of this release, and the
        whole frame that follows is compared byte for byte with the recorded one.
Rule 2. The first frame that comes out otherwise ends it. What follows rests on that frame.
Rule 3. A frame of another engine is folded and counted, never compared: only its own engine may say.
"""

import json
from collections import Counter
from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

import msgspec
from msgspec import Struct
from splittally.core.canonical import encode_record
from splittally.core.commands import Open
from splittally.core.errors import JournalDamaged, WorldError
from splittally.core.frames import Body, body_rows
from splittally.core.state import State
from splittally.journal.index import Index
from splittally.runtime.frame_documents import tagged_json
from splittally.runtime.history import History, index_events
from splittally.runtime.judge import Judge
from splittally.runtime.opening import current_engine
from splittally.runtime.pipeline import decide
from splittally.runtime.reader import Reader
from splittally.runtime.record import Record
from splittally.runtime.recover import apply_events
from splittally.sandbox import Sandbox, admit_anew

from splittally_tools.audit.records import intent_of

KEPT_FRAMES = 4_096  # between two clearings of what the history keeps
PROGRESS_FRAMES = 256
SHOWN_CHARACTERS_MAX = 600
Progress = Callable[[int], None]  # told how many frames more are done


class Drift(NamedTuple):
    """The first frame that comes out otherwise: which intent, and in what."""

    seq: int
    intent_hash: bytes
    message: str


class Result(NamedTuple):
    """What judging again a range found; `other_engines` counts the frames that were not compared."""

    compared: int
    other_engines: dict[str, int]
    drift: Drift | None


class PastIndex(Index):
    """An index as it was before frame `stop`."""

    def __init__(self, base: Index) -> None:
        super().__init__(None)
        self._base = base
        self.stop = 0

    def seqs(self, key: bytes) -> tuple[int, ...]:
        found = self._base.seqs(key)
        if found and found[-1] >= self.stop:
            return tuple(seq for seq in found if seq < self.stop)
        return found


class Rejudge:
    """Frames in order, each decided again in the state before it."""

    def __init__(self, reader: Reader, index: Index, state: State) -> None:
        self.state = state
        self.engine = current_engine()
        self.compared = 0
        self.other_engines: Counter[str] = Counter()
        self._judge = Judge(Sandbox(), admit_anew)
        self._index = PastIndex(index)
        self._history = History(reader.store, self._index)

    def see(self, record: Record) -> Drift | None:
        """Decides the frame again and then remembers what was recorded; a drift if they differ."""
        body, seq = record.body, record.seq
        self._index.stop = seq
        engine = body.command.engine if isinstance(body.command, Open) else self.state.engine
        drift = None
        if engine == self.engine:
            drift = self._compare(record)
            self.compared += 1
        else:
            self.other_engines[engine] += 1
        if drift is None:
            apply_events(self.state, body.at_ns, body.by, body.out, seq)
            self._history.keep_held(seq, body.at_ns, body.command, self.state.ledger.holds)
            if seq % KEPT_FRAMES == 0:
                self._history.clear_pending()
        return drift

    def _compare(self, record: Record) -> Drift | None:
        body = record.body
        try:
            seen, decided = decide(self.state, self._judge, self._history, body.by, body.command, body.at_ns)
        except (JournalDamaged, WorldError):
            raise
        except Exception as error:  # recorded data that no kernel can have decided
            text = f"cannot be decided again ({type(error).__name__})"
            return Drift(record.seq, intent_of(body.command), text)
        rows = body_rows(body.at_ns, body.by, body.command, seen, decided.events, body.version)
        if encode_record([record.seq, record.prev, rows]) == record.data:
            return None
        return _drift(
            record.seq,
            body,
            Body(at_ns=body.at_ns, by=body.by, command=body.command, seen=seen, out=decided.events),
        )


def rejudge_range(
    reader: Reader, index: Index, state: State, stop: int, progress: Progress | None = None
) -> Result:
    """Judges the frames from `state.size` to before `stop` again; `state` is left after the last."""
    rejudge = Rejudge(reader, index, state)
    drift = None
    for record in reader.records(state.size, stop):
        drift = rejudge.see(record)
        if drift is not None:
            break
        if progress is not None and (record.seq + 1) % PROGRESS_FRAMES == 0:
            progress(PROGRESS_FRAMES)
    return Result(rejudge.compared, dict(rejudge.other_engines), drift)


def full_index(reader: Reader, is_trusted: bool) -> Index:
    """The rows of every frame: the runs on disk where they were found equal, else built anew."""
    index = Index(reader.folder / "index" if is_trusted else None, writable=False)
    for record in reader.records(index.open(reader.store)):
        index_events(index, record.seq, record.body.command, record.body.out)
    return index


def _drift(seq: int, recorded: Body, again: Body) -> Drift:
    """The first piece of evidence, or else the first event, that comes out otherwise."""
    for name, old, new in (("evidence", recorded.seen, again.seen), ("event", recorded.out, again.out)):
        for at, (was, now) in enumerate(zip_longest(old, new)):
            if _bytes(was) != _bytes(now):
                named = getattr(was, "intent_hash", b"") or getattr(now, "intent_hash", b"")
                text = f"{name} {at} is recorded as {_shown(was)} and judged again as {_shown(now)}"
                return Drift(seq, named or intent_of(recorded.command), text)
    return Drift(seq, intent_of(recorded.command), "its bytes come out otherwise")


def _bytes(record: Struct | None) -> bytes:
    return b"" if record is None else encode_record(msgspec.to_builtins(record, builtin_types=(bytes,)))


def _shown(record: Struct | None) -> str:
    if record is None:
        return "nothing"
    text = json.dumps(tagged_json(record), separators=(",", ":"))
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}..."
