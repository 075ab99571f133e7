"""liblmdb as the journal uses it: one format, synced, unlocked (spec/07-journal.md, "The file").

Rule 1. What a setting is here it is everywhere; nothing of the surroundings changes it.
Rule 2. A new journal gets its name only when it is whole and lasting.
Rule 3. liblmdb opens a file only with two meta pages. One that is lost is made anew from the other,
        under a transaction number that leaves the state in doubt until the next commit takes its place.
"""

import os
import stat
from pathlib import Path
from struct import pack_into

import lmdb

from splittally.core.errors import KernelStopped, NoWorld
from splittally.core.limits import MAP_BYTES_FIRST
from splittally.journal import disk
from splittally.journal.lmdb.file import read
from splittally.journal.lmdb.pages import META_BYTES, METAS, PAGE_SIZES, Meta

FILE = "data.mdb"
EMPTY_BYTES_MAX = METAS * PAGE_SIZES[-1]  # both meta pages, which is all of a journal without a row
LIBRARY_MAJOR = 0  # the binding also bundles LMDB 1.0, which writes other pages


def open_environment(folder: Path, map_bytes: int, create: bool = False) -> "lmdb.Environment":
    """The environment in `folder`; `KernelStopped` when liblmdb refuses, as when address space is short."""
    try:
        return lmdb.open(
            str(folder),
            map_size=map_bytes,
            create=create,
            mode=0o600,
            sync=True,
            metasync=True,
            writemap=False,
            lock=False,
            max_spare_txns=0,
            lib_version=LIBRARY_MAJOR,
        )
    except lmdb.Error as error:
        raise KernelStopped(f"the journal cannot be opened for writing: {error}") from error


def create_journal(folder: Path) -> None:
    """An empty journal at `folder`, whose parent is there; `DiskFull` without room for it."""
    if not disk.is_folder(folder.parent):
        raise NoWorld(f"there is no folder `{folder.parent}`")
    disk.refuse_full(folder.parent, 0)
    unfinished = folder.with_name(f"{folder.name}.new")
    try:
        if not is_unfinished(unfinished):
            raise NoWorld(f"`{unfinished}` is not ours; move it away and try again", path=str(unfinished))
        unfinished.mkdir(mode=0o700, exist_ok=True)
        (unfinished / FILE).unlink(missing_ok=True)
        open_environment(unfinished, MAP_BYTES_FIRST, create=True).close()
        disk.sync(unfinished / FILE)
        disk.sync(unfinished)
        unfinished.rename(folder)
        disk.sync(folder.parent)
    except OSError as error:
        raise disk.refusal(f"a journal cannot be made at `{folder}`", error) from error


def is_unfinished(folder: Path) -> bool:
    """Whether `folder` is what a making that was cut off left: at most a journal without a row."""
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return False
        found = [(name, os.lstat(folder / name)) for name in os.listdir(folder)]
    except FileNotFoundError:  # whoever makes the world has finished it meanwhile
        return True
    except OSError as error:
        raise disk.refusal(f"`{folder}` cannot be looked at", error) from error
    return all(
        name == FILE and stat.S_ISREG(file.st_mode) and file.st_size <= EMPTY_BYTES_MAX
        for name, file in found
    )


def mend_meta(file: Path, fd: int, meta: Meta) -> None:
    """Writes the meta page that is not `meta` anew, older than it: liblmdb then goes on from `meta`.

    Three transactions back and not one, so that whoever opens next still looks for what was lost.
    """
    data = bytearray(read(fd, meta.slot * meta.page_bytes, META_BYTES))
    slot = 1 - meta.slot
    pack_into("=Q", data, 0, slot)
    pack_into("=Q", data, META_BYTES - 8, max(meta.txn - 3, 0))
    try:
        to_write = os.open(file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.pwrite(to_write, data, slot * meta.page_bytes)
            os.fsync(to_write)
        finally:
            disk.close(to_write)
    except OSError as error:
        raise disk.refusal("a lost meta page of the journal cannot be written", error) from error
