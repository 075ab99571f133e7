"""Are the snapshots and the index what the journal says they are?

Rule 1. Both can be rebuilt, so nothing is lost when they are wrong; but opening would rest on them.
Rule 2. The first differing entry is named.
Rule 3. An anchor is a frame: one that names another root than that of the state before it is damage of the
        journal. A run that is right and that no anchor up to its end names was not written by the kernel.
"""

from pathlib import Path

from splittally.core.errors import JournalDamaged
from splittally.core.events import Anchored
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.core.state import State
from splittally.journal.index import Index
from splittally.journal.runs import ROW_BYTES, Run, bounds_of, seq_bytes
from splittally.journal.snapshot import Snapshot, Snapshots
from splittally.runtime.history import index_events
from splittally.runtime.record import Record
from splittally.runtime.recover import first_difference

from splittally_tools.audit.records import Digests


class SavedStates:
    """The snapshots of a world, compared with the fold."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._by_seq = {snapshot.seq: snapshot for snapshot in snapshots.all()}
        self._problems = snapshots.problems()
        self.equal = 0

    def see(self, record: Record, state: State) -> None:
        for anchor in anchors_in(record):
            if anchor.size != record.seq or (anchor.root and anchor.root != state_root(state)):
                raise JournalDamaged(f"frame {record.seq} anchors another state", seq=record.seq)
        snapshot = self._by_seq.pop(record.seq, None)
        if snapshot is None:
            return
        problem = _snapshot_problem(snapshot, record, state)
        if problem:
            self._problems.append(f"snapshot {snapshot.seq}: {problem}")
        else:
            self.equal += 1

    def finish(self) -> list[str]:
        left = [f"snapshot {seq}: the journal has no such frame" for seq in sorted(self._by_seq)]
        return [*self._problems, *left]


def anchors_in(record: Record) -> list[Anchored]:
    """What a frame says of files: it changes no table, so the state after it is the one that it names."""
    return [event for event in record.body.out if isinstance(event, Anchored)]


def _snapshot_problem(snapshot: Snapshot, record: Record, state: State) -> str:
    if snapshot.frame_hash != record.hash:
        return "it is of another journal"
    if snapshot.data == dump_state(state):
        return "" if snapshot.root == state_root(state) else "its root is not that of its tables"
    try:
        saved = load_state(snapshot.data)
    except Exception as error:  # whatever the bytes are, the journal decides
        return f"it cannot be read ({type(error).__name__})"
    return f"its entry {first_difference(state, saved)} is not what the journal says"


class IndexRuns:
    """The runs of a world's index, each compared with the rows of the frames that it covers."""

    def __init__(self, folder: Path) -> None:
        self._problems: list[str] = []
        self._open: list[tuple[Run, Digests]] = []
        self._sound: dict[bytes, tuple[str, int]] = {}  # name and end of the runs found right, by digest
        self._anchored = 0
        self.equal = 0
        for path in sorted(folder.glob("*.run")) if folder.is_dir() else []:
            try:
                if bounds_of(path) is not None:
                    self._open.append((Run(path), Digests()))
            except FileNotFoundError:
                continue  # a writer has merged it since
            except (JournalDamaged, OSError, ValueError) as error:
                self._problems.append(f"index run `{path.name}`: {error}")

    def see(self, record: Record, state: State) -> None:
        for anchor in anchors_in(record):
            self._anchored = anchor.size
            for digest in anchor.runs:
                self._sound.pop(digest, None)
        for run, rows in list(self._open):
            first, stop, last = run.cover
            if first <= record.seq < stop:
                index_events(_Rows(rows), record.seq, record.body.command, record.body.out)
            if record.seq == stop - 1:
                self._close(
                    run, "it is of another journal" if last != record.hash else _difference(run, rows)
                )

    def finish(self) -> list[str]:
        for run, _ in list(self._open):
            self._close(run, "it covers frames that the journal does not have")
        for name, stop in self._sound.values():
            if stop <= self._anchored:
                self._problems.append(f"index run `{name}`: no anchor of the journal names it")
                self.equal -= 1
        return self._problems

    def _close(self, run: Run, problem: str) -> None:
        self._open = [pair for pair in self._open if pair[0] is not run]
        if problem:
            self._problems.append(f"index run `{run.path.name}`: {problem}")
        else:
            self.equal += 1
            self._sound[run.digest] = (run.path.name, run.cover.stop)
        run.close()


class _Rows(Index):
    """Takes the rows of frames as the index does, and keeps them in little room."""

    def __init__(self, rows: Digests) -> None:
        super().__init__(None)
        self._digests = rows

    def put(self, key: bytes, seq: int) -> None:
        self._digests.add(key, seq)


def _difference(run: Run, rows: Digests) -> str:
    for first_byte in range(256):
        ours = [key + seq_bytes(seq) for key, seq in rows.rows(first_byte)]
        theirs = run.rows_of(first_byte)
        if ours == theirs:
            continue
        row = min(set(ours) ^ set(theirs), default=b"")
        if not row:
            return "a row stands in it twice"
        key, seq = row[: ROW_BYTES - 8].hex(), int.from_bytes(row[ROW_BYTES - 8 :])
        verb = "lacks" if row in set(ours) else "holds"
        return f"it {verb} key {key} of frame {seq}"
    return ""
