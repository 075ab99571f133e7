"""The journal in an LMDB file: `LmdbFile` reads it, `LmdbStore` appends to it (spec/07-journal.md).

An LMDB file is a row of pages of one size (4096 bytes here). Pages in use are never changed: a commit
writes copies of what it changes to pages that are free, syncs, and only then writes one meta page.

    page 0   meta: magic, page size, transaction 6 ----- root ---.       transactions take turns: the even
    page 1   meta: magic, page size, transaction 5 (older)       |       ones in page 0, the odd in page 1
    page 2   branch: [0 -> 4, 7 -> 5]  <-------------------------'       keys of this child and all after it
    page 3   overflow of 2 pages: a value too large for its leaf         (page 4 of the value has no header)
    page 5   leaf: [0: value, 1: value, 2: overflow page 3, ... 6]       16 bytes a node: size, flags, key
    page 6   leaf: [7: value, 8: value]                                  the right edge, copied by each commit
    page 7   leaf of the second tree: [5: pages 8, 9]                    pages that transaction 5 freed
    page 8   free ...

Keys are the integers 0, 1, 2, ..., eight bytes, big-endian. So the number of rows says which keys stand
in which page, every page left of the right edge is final, and only the right edge is ever copied.

liblmdb writes and does not read, because a process in which it follows a damaged page dies by a signal
(SIGBUS for a file cut short, SIGABRT for a page in the place of another), and because its readers need
a lock file and permission to write. It finds no damage either: a page has no checksum.

| file | what it knows |
|---|---|
| `pages` | one page: bytes in, records out, every offset checked before it is followed |
| `file` | the reader: rows by key, whether the next commit may be written. No frames, no hashes |
| `salvage` | which rows are frames: what opening rests on, the first bad one, those that no tree leads to |
| `environment` | liblmdb's settings, a new journal, a lost meta page made anew |
| `store` | the writer, and the reader as a `Store` |
"""

from splittally.journal.lmdb.file import LmdbFile
from splittally.journal.lmdb.store import LmdbStore

__all__ = ("LmdbFile", "LmdbStore")
