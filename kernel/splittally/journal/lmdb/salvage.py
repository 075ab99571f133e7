"""Frames in an LMDB file: what opening rests on, and how far a damaged file is intact (spec/07-journal.md).

Rule 1. A row is the hash that was sealed with a frame, then the frame. It is intact when the hash fits.
Rule 2. Nothing is repaired here: a damaged file is told by its first bad frame, and the intact ones are
        handed out so that a person can start again from them.
Rule 3. Where the tree can be walked, the walk says which frame fails first. Where both meta pages are
        lost, every page is looked at: leaves say themselves which rows they hold.
Rule 4. Where one meta page is lost (`in_doubt`), a commit may have been acknowledged that only it told
        of. Its frames stand in pages that the other state does not use, and they are taken from there.
        A hole in them is damage: frames after it may have been acknowledged.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from splittally.core.errors import JournalDamaged
from splittally.core.hashing import hash_frame
from splittally.core.limits import HASH_BYTES
from splittally.journal import disk
from splittally.journal.frame import EMPTY, Frame, Head, follows, seq_of
from splittally.journal.lmdb import pages
from splittally.journal.lmdb.file import LmdbFile, fetch, newest, read
from splittally.journal.lmdb.pages import LEAF, METAS, BadPage

ENDLESS = 2**62  # the walk ends where it finds no more frames, whatever number the file claims


def load(fd: int, writable: bool) -> tuple[LmdbFile, Head, list[Frame]]:
    """The committed journal: its rows, the head they end with, and frames found beyond them.

    With `writable` also checked for the next commit. `JournalDamaged` names the first bad frame.
    """
    try:
        file = LmdbFile.load(fd, key_in if writable else None)
        head = EMPTY
        if file.size:
            value = file.get(file.size - 1)
            if hash_frame(value[HASH_BYTES:]) != value[:HASH_BYTES] or key_in(value) != file.size - 1:
                raise BadPage("its bytes are not those that were sealed")
            head = Head(file.size, value[:HASH_BYTES])
        return file, head, _lost_frames(fd, file, head) if file.meta.in_doubt else []
    except BadPage as bad:
        raise damaged(bad, first_bad(fd)) from bad


def hash_at(seq: int, file: LmdbFile, found: list[Frame]) -> bytes:
    """The hash kept with frame `seq` of a journal as `load` gives it."""
    if seq >= file.size:
        return found[seq - file.size].hash
    try:
        return file.get(seq)[:HASH_BYTES]
    except BadPage as bad:
        raise damaged(bad, seq) from bad


def damaged(bad: BadPage, seq: int) -> JournalDamaged:
    return JournalDamaged(f"the journal is damaged from frame {seq} on: {bad}", seq=seq)


def key_in(value: bytes) -> int | None:
    """The sequence that a stored value claims; None when it does not begin as a frame."""
    try:
        return seq_of(value[HASH_BYTES:])
    except JournalDamaged:
        return None


def first_bad(fd: int) -> int:
    """The first frame of a damaged file that cannot be read intact: all before it can."""
    try:
        return sum(1 for _ in walked(fd))
    except BadPage:
        return sum(1 for _ in intact(fd))


def walked(fd: int) -> Iterator[Frame]:
    """The intact frames that the tree leads to, chained from frame 0 on; `BadPage` without a meta page."""
    meta = newest(fd)
    head = EMPTY
    with suppress(BadPage):
        file = LmdbFile(fd, meta._replace(main=meta.main._replace(rows=ENDLESS)))
        while (frame := _next(file.get(head.size), head)) is not None:
            yield frame
            head = Head(frame.seq + 1, frame.hash)


def survey(fd: int) -> tuple[int | None, str]:
    """How many frames a file claims to hold, None where nothing says so, and what is damaged in it."""
    try:
        _, head, found = load(fd, writable=True)
        return head.size + len(found), ""
    except JournalDamaged as damage:
        try:
            return newest(fd).main.rows, str(damage)
        except BadPage:
            return None, str(damage)


def sound_prefix(fd: int, claimed: int | None) -> Iterator[Frame]:
    """The longest row of intact frames from frame 0 on that can be found, at most `claimed`.

    What a sound file holds beyond its last commit was never acknowledged and is left out.
    """
    if claimed is None:
        return intact(fd)
    by_tree = min(first_bad(fd), claimed)
    if by_tree == claimed or sum(1 for _ in islice(intact(fd), claimed)) <= by_tree:
        return islice(walked(fd), by_tree)
    return islice(intact(fd), claimed)


def intact(fd: int) -> Iterator[Frame]:
    """The frames that can still be found, chained from frame 0 on, whatever the tree says."""
    try:
        page_bytes = newest(fd).page_bytes
    except BadPage:
        page_bytes = min(os.sysconf("SC_PAGE_SIZE"), pages.PAGE_SIZES[-1])
    numbers = range(METAS, disk.size_of(fd) // page_bytes)
    return _chained(_rows_on(fd, page_bytes, numbers), EMPTY)


def _lost_frames(fd: int, file: LmdbFile, head: Head) -> list[Frame]:
    """The frames after `head` on pages that this state does not use."""
    page_bytes, page_last = file.meta.page_bytes, file.meta.page_last
    numbers = [*file.free_pages(), *range(page_last + 1, disk.size_of(fd) // page_bytes)]
    rows = [(key, value) for key, value in _rows_on(fd, page_bytes, numbers) if key >= head.size]
    found = list(_chained(rows, head))
    end = head.size + len(found)
    if any(key >= end for key, _ in rows):
        raise damaged(BadPage("one meta page is lost, and so is this frame of the last commit"), end)
    return found


def _rows_on(fd: int, page_bytes: int, numbers: Iterable[int]) -> Iterator[tuple[int, bytes | None]]:
    """Key and value of the rows on every page that looks like a leaf, by the first key of the page.

    A value is None where it cannot be read, and for the last key that a branch page says it leads to.
    Copies of one leaf may both be there.
    """
    file_bytes = disk.size_of(fd)
    keys_max = file_bytes // pages.NODE_BYTES  # keys of the free list, read as those of rows, are huge
    found = []
    for page in numbers:
        key = pages.key_on(read(fd, page * page_bytes, page_bytes), page, lambda _: None)
        if key is not None and key < keys_max:
            found.append((key, page))
    for lower, page in sorted(found):
        data = read(fd, page * page_bytes, page_bytes)
        try:
            count = pages.count_of(data, page, LEAF)
        except BadPage:
            yield lower, None
            continue
        for at, key in enumerate(range(lower, lower + count)):
            try:
                row = pages.read_row(data, at, key, file_bytes // page_bytes)
                yield key, row if isinstance(row, bytes) else fetch(fd, row, page_bytes)
            except BadPage:
                yield key, None


def _chained(rows: Iterable[tuple[int, bytes | None]], head: Head) -> Iterator[Frame]:
    """Those of `rows` that continue `head`, one after the other."""
    for key, value in rows:
        if key == head.size and value is not None and (frame := _next(value, head)) is not None:
            yield frame
            head = Head(frame.seq + 1, frame.hash)


def _next(value: bytes, head: Head) -> Frame | None:
    """The frame in a stored value, if it is sound and follows `head`."""
    hash_, data = value[:HASH_BYTES], value[HASH_BYTES:]
    is_next = hash_frame(data) == hash_ and follows(head.size, data, head.hash)
    return Frame(head.size, hash_, data) if is_next else None
