"""A frame of a journal as it is read back: verified, with what it says."""

from typing import NamedTuple

from splittally.core.frames import Body, read_body
from splittally.journal.frame import open_frame


class Record(NamedTuple):
    """A verified frame: `data` is its canonical bytes, `body` what they say."""

    seq: int
    hash: bytes
    prev: bytes
    data: bytes
    body: Body


def read_record(seq: int, hash_: bytes, data: bytes) -> Record:
    """What frame `seq` says, from its bytes as a store gives them, checked."""
    _, prev, rows = open_frame(data)
    return Record(seq=seq, hash=hash_, prev=prev, data=data, body=read_body(rows, seq))
