"""Ways to damage a journal file, and a child process that says what the store makes of it.

`python journal_damage.py` judges each path read from standard input in a fork of its own and
prints one JSON line: exit code or signal, and the verdict. Exit 0 is the same frames as before, exit 1 is
`JournalDamaged` with the first bad sequence, anything else is a fault of the store.
"""

import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import weakref
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import lmdb
from splittally.core.errors import JournalDamaged
from splittally.journal.frame import EMPTY, Frame, Head, seal
from splittally.journal.lmdb import LmdbFile, LmdbStore
from splittally.journal.lmdb.pages import BRANCH, LEAF, METAS, nodes_of
from splittally.journal.lmdb.salvage import intact
from splittally.journal.store import Store

SECONDS_MAX = 30
Damage = Callable[[Path, random.Random], object]


# --- a journal worth damaging ---------------------------------------------------------------------


def build(folder: Path, groups: int = 24, seed: int = 1) -> list[bytes]:
    """A journal of frames of many sizes in groups of many sizes; the hash of each frame."""
    chance = random.Random(seed)
    store = LmdbStore(folder, writable=True)
    for _ in range(groups):
        append(store, chance.choice([1, 1, 3, 8, 20]), chance)
    hashes = [kept for kept, _ in store.entries(0, store.head.size)]
    store.close()
    return hashes


def frames_after(head: Head, count: int, chance: random.Random) -> list[Frame]:
    """Frames of many sizes that continue `head`."""
    frames, prev = [], head.hash
    for seq in range(head.size, head.size + count):
        size = chance.choice([300, 300, 350, 400, 900, 2_500] + [9_000] * (chance.random() < 0.1))
        frame = seal(seq, prev, [seq, chance.randbytes(size)])
        frames.append(frame)
        prev = frame.hash
    return frames


def append(store: LmdbStore, count: int, chance: random.Random) -> Head:
    head = store.append(store.head, frames_after(store.head, count, chance))
    assert isinstance(head, Head), head
    return head


def chain_head(store: Store, start: Head = EMPTY, stop: int | None = None) -> Head:
    """The head that the frames from `start` on give, every hash checked."""
    head = start
    for seq, hash_, _ in store.chained(start, stop):
        head = Head(seq + 1, hash_)
    return head


def loaded(file: Path) -> LmdbFile:
    """The committed state of a data file; its descriptor goes with it."""
    fd = os.open(file, os.O_RDONLY)
    rows = LmdbFile.load(fd)
    weakref.finalize(rows, os.close, fd)
    return rows


def places(file: Path) -> dict[int, tuple[int, int]]:
    """Where in the file the value of each frame begins, and its size."""
    rows, data, found = loaded(file), file.read_bytes(), {}
    for seq, value in enumerate(rows.range(0, rows.size)):
        for number in rows.pages_to(seq):
            at = data.find(value, number * 4096, (number + 1) * 4096 + len(value))
            if number * 4096 <= at < (number + 1) * 4096 and data[number * 4096 + 10] != BRANCH:
                found[seq] = (at, len(value))
    return found


# --- damage ---------------------------------------------------------------------------------------


def flip(file: Path, offset: int, bit: int) -> None:
    with open(file, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 1 << bit]))


def write(file: Path, offset: int, data: bytes) -> None:
    with open(file, "r+b") as f:
        f.seek(offset)
        f.write(data)


def page(file: Path, number: int) -> bytes:
    with open(file, "rb") as f:
        f.seek(number * 4096)
        return f.read(4096)


def pages(file: Path) -> int:
    return file.stat().st_size // 4096


def random_flip(file: Path, chance: random.Random) -> object:
    at, bit = chance.randrange(file.stat().st_size), chance.randrange(8)
    flip(file, at, bit)
    return at, bit


def truncated(file: Path, chance: random.Random) -> object:
    size = chance.choice([chance.randrange(file.stat().st_size), 4096 * chance.randrange(pages(file))])
    os.truncate(file, size)
    return size


def zeroed_tail(file: Path, chance: random.Random) -> object:
    at = chance.randrange(file.stat().st_size)
    write(file, at, bytes(file.stat().st_size - at))
    return at


def torn_page(file: Path, chance: random.Random) -> object:
    number, cut = chance.randrange(pages(file)), 512 * chance.randrange(1, 8)
    other = page(file, chance.randrange(pages(file)))
    write(file, number * 4096 + cut, chance.choice([bytes(4096), other])[cut:])
    return number, cut


def swapped_pages(file: Path, chance: random.Random) -> object:
    first, second = chance.sample(range(pages(file)), 2)
    a, b = page(file, first), page(file, second)
    if chance.random() < 0.5:  # misdirected, with the page numbers that they claim put right
        a, b = b[:8] + a[8:], a[:8] + b[8:]
    write(file, first * 4096, b)
    write(file, second * 4096, a)
    return first, second


def copied_page(file: Path, chance: random.Random) -> object:
    source, target = chance.sample(range(pages(file)), 2)
    data = page(file, source)
    write(file, target * 4096, chance.choice([data, target.to_bytes(8, "little") + data[8:]]))
    return source, target


def noise_in_header(file: Path, chance: random.Random) -> object:
    """Counts, bounds and offsets of one page set to anything."""
    number = chance.randrange(METAS, pages(file))
    at = number * 4096 + 2 * chance.randrange(4, 40)
    write(file, at, chance.randbytes(2))
    return number, at


def noise_in_meta(file: Path, chance: random.Random) -> object:
    slot, field = chance.randrange(2), chance.randrange(0, 152, 2)
    data = chance.choice(
        [chance.randbytes(8), bytes(8), b"\xff" * 8, struct.pack("=Q", chance.randrange(300))]
    )
    data = data[: chance.choice([1, 2, 4, 8])]
    write(file, slot * 4096 + field, data)
    return slot, field, data


def noise_in_transaction_number(file: Path, chance: random.Random) -> object:
    """Not the newest dated two back, which is a sound file of yesterday (see `rolled_back`)."""
    slot, number = chance.randrange(2), chance.choice([chance.randrange(1 << 64), chance.randrange(100)])
    txns = [struct.unpack_from("=Q", page(file, slot), 144)[0] for slot in range(2)]
    if number not in (max(txns) - 2, max(txns) + 1):
        write(file, slot * 4096 + 144, struct.pack("=Q", number))
    return slot, number


def swapped_metas(file: Path, chance: random.Random) -> object:
    a, b = page(file, 0), page(file, 1)
    write(file, 0, b[:8] + a[8:] if chance.random() < 0.5 else b)
    write(file, 4096, a)
    return None


def free_page_in_use(file: Path, chance: random.Random) -> object:
    """A page in use entered into the list of free pages: the next writer would write over it."""
    meta = loaded(file).meta
    leaf = page(file, meta.free.root)
    slot = nodes_of(leaf, meta.free.root, LEAF)[0]
    count = struct.unpack_from("=Q", leaf, slot + 16)[0]
    at = slot + 24 + 8 * chance.randrange(count)
    number = chance.randrange(METAS, meta.page_last + 1)
    write(file, meta.free.root * 4096 + at, number.to_bytes(8, "little"))
    return number


def rolled_back(file: Path, chance: random.Random) -> object:
    """The newest commit undone: the meta page of the last transaction dated before the one before it."""
    txns = [struct.unpack_from("=Q", page(file, slot), 144)[0] for slot in range(2)]
    slot = txns.index(max(txns))
    write(file, slot * 4096 + 144, struct.pack("=Q", max(txns) - 2))
    return slot


FILE_DAMAGE: dict[str, tuple[Damage, int]] = {
    "flipped bit": (random_flip, 240),
    "cut short": (truncated, 80),
    "zeroed tail": (zeroed_tail, 40),
    "torn page": (torn_page, 80),
    "swapped pages": (swapped_pages, 80),
    "copied page": (copied_page, 60),
    "noise in a page header": (noise_in_header, 120),
    "noise in a meta page": (noise_in_meta, 120),
    "swapped meta pages": (swapped_metas, 4),
    "free page in use": (free_page_in_use, 40),
}


# --- damage by the library itself, which leaves a file that LMDB calls sound ------------------------


def edited(file: Path, edit: Callable[[lmdb.Transaction], object]) -> None:
    env = lmdb.open(str(file.parent), map_size=1 << 30, lock=False, max_dbs=1)
    with env.begin(write=True) as txn:
        edit(txn)
    env.close()


def key(seq: int) -> bytes:
    return seq.to_bytes(8)


def stored(frame: Frame) -> bytes:
    return frame.hash + frame.data


RECORD_DAMAGE: dict[str, Callable[[lmdb.Transaction, int], object]] = {
    "deleted": lambda txn, seq: txn.delete(key(seq)),
    "duplicated over the next": lambda txn, seq: txn.put(key(seq + 1), txn.get(key(seq))),
    "swapped with the next": lambda txn, seq: [
        txn.put(k, v) for k, v in [(key(seq), txn.get(key(seq + 1))), (key(seq + 1), txn.get(key(seq)))]
    ],
    "moved to a far key": lambda txn, seq: txn.put(key(seq + 10_000), txn.pop(key(seq))),
    "emptied": lambda txn, seq: txn.put(key(seq), b""),
    "cut short": lambda txn, seq: txn.put(key(seq), txn.get(key(seq))[:-1]),
    "lengthened": lambda txn, seq: txn.put(key(seq), txn.get(key(seq)) + b"\0"),
    "another of the same place": lambda txn, seq: txn.put(key(seq), stored(seal(seq, bytes(32), ["other"]))),
}

INSERTED: dict[str, Callable[[lmdb.Transaction, int], object]] = {
    "a copy behind the end": lambda txn, size: txn.put(key(size), txn.get(key(size - 1))),
    "noise behind the end": lambda txn, size: txn.put(key(size), b"noise" * 20),
    "a gap behind the end": lambda txn, size: txn.put(key(size + 3), txn.get(key(size - 1))),
    "a short key": lambda txn, size: txn.put(b"k", b"value"),
    "a long key": lambda txn, size: txn.put(key(3) + b"\0", b"value" * 20),
}


# --- the judge ------------------------------------------------------------------------------------


def judge(folder: Path) -> dict[str, object]:
    """What a reader and then a writer make of the journal; raises nothing but `JournalDamaged`."""
    reader = LmdbStore(folder, writable=False)
    head = chain_head(reader)
    for seq in range(0, head.size, 7):
        reader.verified(seq)
    digest = sha256(b"".join(kept for kept, _ in reader.entries(0, head.size))).hexdigest()
    reader.close()
    writer = LmdbStore(folder, writable=True)
    chance = random.Random(2)
    for _ in range(6):
        append(writer, 3, chance)
    writer.close()
    again = LmdbStore(folder, writable=False)
    after = chain_head(again)
    assert after.size == head.size + 18
    assert sha256(b"".join(kept for kept, _ in again.entries(0, head.size))).hexdigest() == digest
    again.close()
    return {"size": head.size, "digest": digest}


def judge_and_exit(folder: Path) -> None:
    try:
        verdict, code = judge(folder), 0
    except JournalDamaged as error:
        verdict, code = {"seq": error.facts.get("seq"), "text": str(error)}, 1
        file = folder / "data.mdb"
        if file.is_file() and not file.is_symlink():
            fd = os.open(file, os.O_RDONLY)
            verdict["intact"] = sum(1 for _ in intact(fd))
    sys.stdout.write(json.dumps(verdict))
    sys.stdout.flush()
    os._exit(code)


def serve() -> None:
    """One verdict a line for each folder a line; every folder is judged in a fork."""
    for line in sys.stdin:
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(into, 1)
            os.dup2(into, 2)
            try:
                judge_and_exit(Path(line.rstrip("\n")))
            except BaseException as error:
                sys.stdout.write(f"{type(error).__name__}: {error}")
                sys.stdout.flush()
                os._exit(70)
        os.close(into)
        text = b""
        while select.select([out], [], [], SECONDS_MAX)[0] and (piece := os.read(out, 65536)):
            text += piece
        os.close(out)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(json.dumps({"exit": status, "out": text.decode(errors="replace")}) + "\n")
        sys.stdout.flush()


class Judges:
    """A process that forks a child for every damaged copy; `judge` returns exit code and verdict."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def judge(self, folder: Path) -> tuple[int, dict[str, object]]:
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["exit"] in (0, 1), answer
        return answer["exit"], json.loads(answer["out"])

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(SECONDS_MAX)


def copy(source: Path, target: Path) -> Path:
    """A copy of the journal folder; its data file."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target / "data.mdb"


if __name__ == "__main__":
    serve()
