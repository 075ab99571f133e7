"""How far a served world was: `DIR/serve.head`, so that an older copy of its journal is not served as it.

    {"size": 1041, "hash": "9c7d..."}       how many frames were durable, and the hash of the last

Rule 1. It is written every `HEAD_SECONDS` where something was recorded, by a thread that serves nobody, and
        once more at the end. It says no more than what was durable.
Rule 2. A start is refused where the journal has fewer frames, or another one there: what was answered since
        is missing. A file that cannot be read says nothing.
"""

import json
from pathlib import Path

from splittally.core.errors import JournalOlder
from splittally.journal import disk
from splittally.journal.frame import Head
from splittally.journal.lmdb import LmdbStore

FILE = "serve.head"
HEAD_SECONDS = 5.0
_ADVICE = "put the newest `journal/data.mdb` back, or give up what was answered since by removing `{file}`"


def keep(folder: Path, head: Head) -> None:
    """Write how far the world is; `WorldError` where the disk refuses."""
    said = {"size": head.size, "hash": head.hash.hex()}
    disk.write_file(folder / FILE, [json.dumps(said).encode()])


def refuse_behind(folder: Path) -> None:
    """`JournalOlder` where the journal is not the one that was served, or ends before it."""
    said = _read(folder / FILE)
    if said is None or not (folder / "journal").is_dir():
        return
    store = LmdbStore(folder / "journal", writable=False)
    try:
        size = store.head.size
        is_there = said.size <= size and store.entry(said.size - 1)[0] == said.hash
    finally:
        store.close()
    if is_there:
        return
    why = f"ends at frame {size - 1}" if said.size > size else "is another one there"
    raise JournalOlder(
        f"this world was served up to frame {said.size - 1}, and its journal {why}: it is an older copy; "
        + _ADVICE.format(file=FILE),
        seq=size,
        last=size - 1,
        covered=said.size - 1,
    )


def _read(file: Path) -> Head | None:
    try:
        said = json.loads(file.read_bytes())
        found = Head(said["size"], bytes.fromhex(said["hash"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if type(found.size) is int and found.size > 0 else None
