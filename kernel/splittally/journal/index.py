"""Which frames speak of a key: a projection of the journal (spec/07-journal.md, "Index").

Rule 1. Rows since the last run live in memory. `flush` makes them one run, and neighbouring runs of
        like size are merged, so that the sizes at least double from run to run and runs stay few.
Rule 2. Opening checks every run and that they cover the journal from frame 0 without a gap. A run that
        does not hold is dropped with all after it, and the frames from there on are read again: a lost
        row would decide an intent twice.
Rule 3. The index answers where to look. What a frame says is read from the frame.
"""

from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from pathlib import Path

from splittally.core.errors import JournalDamaged, WorldError
from splittally.core.limits import KEY_BYTES
from splittally.journal import disk
from splittally.journal.frame import Head
from splittally.journal.runs import Cover, Run, bounds_of, seq_bytes, write_run
from splittally.journal.store import Store

SUFFIXES = (".run", ".new")
MERGED_ROWS_MAX = 4_194_304  # a merge of so many takes one or two seconds, in which nothing is decided
HELD_BYTES_MAX = 16 * 1024 * 1024  # some 350,000 rows, the last 100,000 decisions or so
Find = Callable[[bytes, int], tuple[int, ...]]
FindHeld = Callable[[bytes, int, int], tuple[int, ...]]


class Index:
    """Sequences by 32-byte key. Without `folder` in memory only; if not `writable` the disk is left alone.

    `repairs` says after `open` which runs had to be dropped.
    """

    def __init__(self, folder: Path | None, writable: bool = True) -> None:
        self.repairs: list[str] = []
        self.size_in_memory = 0
        self._folder = folder
        self._is_kept = folder is not None and writable
        self._rows: dict[bytes, tuple[int, ...]] = {}
        self._runs: list[Run] = []
        self._finds: list[Find] = []  # of the older runs
        self._held: list[tuple[memoryview, int, FindHeld]] = []  # what `seqs` needs of each newer one

    def open(self, store: Store, named: Container[bytes] | None = None) -> int:
        """The sequence from which frames must be read again, after checking the runs against `store`.

        Only runs whose digest is `named` are taken, all that are sound for None. Files that are not taken
        stay until `remove_others`: another opening may follow, which begins anew.
        """
        self.close()
        self.repairs = []
        files = {bounds: path for path in self._files() if (bounds := bounds_of(path)) is not None}
        stop = 0
        for bounds in sorted(files, key=lambda bounds: (bounds[0], -bounds[1])):
            if bounds[0] == stop and (run := self._open_run(files[bounds], store, named)) is not None:
                self._runs.append(run)
                stop = run.cover.stop
        self._aim()
        return stop

    @property
    def digests(self) -> list[bytes]:
        """The digests of the runs, the oldest first."""
        return [run.digest for run in self._runs]

    def remove_others(self) -> None:
        """Remove the files that are no run of this index: merged, dropped or not finished."""
        live = {run.path for run in self._runs}
        for path in self._files() if self._is_kept else ():
            if path not in live:
                disk.remove(path)

    def frames_covered(self, more_than: int) -> int:
        """The most frames that a sound run covers, where those are more than this; else 0."""
        found = 0
        for path in self._files():
            bounds = bounds_of(path)
            if bounds is not None and bounds[1] > max(more_than, found):
                with suppress(JournalDamaged, FileNotFoundError):
                    Run(path).close()
                    found = bounds[1]
        return found

    def put(self, key: bytes, seq: int) -> None:
        """Adds that frame `seq` speaks of `key`; sequences of one key come in ascending order."""
        rows = self._rows
        known = rows.get(key)
        rows[key] = (seq,) if known is None else (*known, seq)
        self.size_in_memory += 1

    def seqs(self, key: bytes) -> tuple[int, ...]:
        """Every sequence that was put for `key`, ascending."""
        found: tuple[int, ...] = ()
        prefix = int.from_bytes(key[:4])
        for find in self._finds:
            found += find(key, prefix)
        for starts, shift, find_held in self._held:
            bucket = prefix >> shift
            low, high = starts[bucket], starts[bucket + 1]
            if low != high:
                found += find_held(key, low, high)
        return found + self._rows.get(key, ())

    def keys(self, beginning: str) -> list[bytes]:
        """Every key whose hex begins so, which is at least two digits; in order."""
        first_byte, begins = int(beginning[:2], 16), bytes.fromhex(beginning[: len(beginning) // 2 * 2])
        found = {row[:KEY_BYTES] for run in self._runs for row in run.rows_of(first_byte)} | self._rows.keys()
        return sorted(key for key in found if key.startswith(begins) and key.hex().startswith(beginning))

    def flush(self, head: Head) -> None:
        """Makes the rows in memory a run that covers the journal up to `head`.

        Merged runs stay as files until `remove_others`: they are named already.
        Raises `WorldError` when it cannot be written; the rows then stay in memory and nothing is lost.
        """
        first = self._runs[-1].cover.stop if self._runs else 0
        if self._folder is None or not self._is_kept or head.size <= first:
            return
        disk.make_folder(self._folder)
        groups: list[list[bytes]] = [[] for _ in range(256)]
        for key, seqs in self._rows.items():
            for seq in seqs:
                groups[key[0]].append(key + seq_bytes(seq))
        for group in groups:
            group.sort()
        cover = Cover(first, head.size, head.hash)
        self._runs.append(write_run(self._folder, cover, self.size_in_memory, groups))
        self._rows.clear()
        self.size_in_memory = 0
        self._aim()
        self._merge(self._folder)

    def close(self) -> None:
        """Lets go of the files; rows that were not flushed are gone."""
        self._finds, self._held = [], []
        for run in self._runs:
            run.close()
        self._runs = []
        self._rows = {}
        self.size_in_memory = 0

    def _aim(self) -> None:
        """Every run is asked: the newest in memory, as far as `HELD_BYTES_MAX` goes, others in files."""
        runs = self._runs
        self._finds, self._held = [run.find for run in runs], []
        at, held_bytes = len(runs), 0
        with suppress(WorldError):  # it stays in its file, and the look-up that needs it says so
            while at and (held_bytes := held_bytes + runs[at - 1].size) <= HELD_BYTES_MAX:
                runs[at - 1].hold()
                at -= 1
        for run in runs[:at]:
            run.let_go()
        self._finds = [run.find for run in runs[:at]]
        self._held = [(run.starts, run.shift, run.find_held) for run in runs[at:]]

    def _merge(self, folder: Path) -> None:
        """Merges the newest runs until each is at least twice as large as all that follow."""
        at, count = len(self._runs) - 1, self._runs[-1].rows
        while at > 0 and self._runs[at - 1].rows < min(2 * count, MERGED_ROWS_MAX - count):
            at -= 1
            count += self._runs[at].rows
        old = self._runs[at:]
        if len(old) == 1:
            return
        cover = old[-1].cover._replace(first=old[0].cover.first)
        try:
            merged = write_run(folder, cover, count, _merged(old))
        except (WorldError, JournalDamaged):  # the runs stay as they are, and the next flush tries again
            return
        self._runs[at:] = [merged]
        self._aim()
        for run in old:
            run.close()

    def _files(self) -> list[Path]:
        if self._folder is None:
            return []
        paths = map(self._folder.joinpath, disk.names_in(self._folder))
        return [path for path in paths if path.suffix in SUFFIXES]

    def _open_run(self, path: Path, store: Store, named: Container[bytes] | None) -> Run | None:
        try:
            run = Run(path)
        except (JournalDamaged, FileNotFoundError) as error:
            self.repairs.append(f"index run `{path.name}` was dropped and is rebuilt: {error}")
            return None
        problem = ""
        if run.cover.stop > store.head.size or store.verified(run.cover.stop - 1)[0] != run.cover.hash:
            problem = "it is of another journal"
        elif run.is_older:
            problem = "an older release wrote it, which did not enter grants"
        elif named is not None and run.digest not in named:
            problem = "the last anchor of the journal does not name it"
        if problem:
            self.repairs.append(f"index run `{path.name}` was dropped and is rebuilt: {problem}")
            run.close()
            return None
        return run


def _merged(runs: list[Run]) -> Iterator[list[bytes]]:
    for first_byte in range(256):
        rows: list[bytes] = []
        for run in runs:
            rows += run.rows_of(first_byte)
        rows.sort()
        yield rows
