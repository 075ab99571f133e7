"""The body of a frame as records: `[v, at, by, cmd, seen, out]` (schemas/records.cddl).

Rule 1. What is read back equals what was written, or reading refuses; nothing is repaired.
Rule 2. A field is only ever added at the end of a record, with a default that is empty (`is_same_record`).
"""

from typing import Any

import msgspec
from msgspec import Struct

from splittally.core.canonical import UNENCODABLE, encode_record
from splittally.core.commands import Command, Evidence
from splittally.core.errors import FormatTooNew, JournalDamaged
from splittally.core.events import Event
from splittally.core.state import FORMAT


class Body(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A frame's body: logical time, principal, command, evidence, events.

    One record and not five values, because msgspec looks at a bare union anew whenever it is used.
    """

    at_ns: int
    by: str
    command: Command
    seen: list[Evidence]
    out: list[Event]


class _Asked(Struct, frozen=True, gc=False, array_like=True):
    command: Command


class _Told(Struct, frozen=True, gc=False, array_like=True):
    out: list[Event]


def body_rows(at_ns: int, by: str, command: Command, seen: list[Evidence], out: list[Event]) -> list[Any]:
    """The body as lists and atoms, ready to be encoded."""
    cmd, told, events = msgspec.to_builtins((command, seen, out), builtin_types=(bytes,))
    return [FORMAT, at_ns, by, cmd, told, events]


# Example. A charge that was written before `uncounted` was added, and the same charge written now:
#
#     [grant, ..., windows]   against   [grant, ..., windows, []]      the same record
#     [grant, ..., windows]   against   [grant, ..., windows, ["x"]]   another
def is_same_record(recorded: Any, rows: Any) -> bool:
    """Whether a body, or a part of one, says what `rows` say that were read from it and built again.

    Fields that were added to a record since stand at its end and are empty in what was written before.
    """
    if type(recorded) is list and type(rows) is list:
        known = len(recorded)
        return known <= len(rows) and not any(rows[known:]) and all(map(is_same_record, recorded, rows))
    if type(recorded) is dict and type(rows) is dict:
        return recorded.keys() == rows.keys() and all(
            is_same_record(value, rows[name]) for name, value in recorded.items()
        )
    return type(recorded) is type(rows) and bool(recorded == rows)


def is_encodable(events: list[Event]) -> bool:
    """Whether bytes are defined for these events: no number in them is beyond 64 bits."""
    try:
        encode_record(msgspec.to_builtins(events, builtin_types=(bytes,)))
    except UNENCODABLE:
        return False
    return True


def read_body(rows: Any, seq: int) -> Body:
    """The body in `rows`; `JournalDamaged` names `seq` when it is not one."""
    try:
        version, *body = rows
        if version > FORMAT:
            raise FormatTooNew(f"frame {seq} was written by a later release", seq=seq, format=version)
        return msgspec.convert(body, Body)
    except (ValueError, TypeError) as error:  # msgspec.ValidationError is a ValueError
        raise JournalDamaged(f"frame {seq} does not hold a record", seq=seq) from error


def read_command(rows: Any, seq: int) -> tuple[int, Command]:
    """Time and command of a body: all that a Settle reads back."""
    try:
        _, at_ns, _, command, _, _ = rows
        return at_ns, msgspec.convert([command], _Asked).command
    except (ValueError, TypeError) as error:
        raise JournalDamaged(f"frame {seq} does not hold a record", seq=seq) from error


def read_events(rows: Any, seq: int) -> tuple[int, str, list[Event]]:
    """Time, principal and events of a body: all that folding needs."""
    try:
        version, at_ns, by, _, _, out = rows
        if version > FORMAT:
            raise FormatTooNew(f"frame {seq} was written by a later release", seq=seq, format=version)
        return at_ns, by, msgspec.convert([out], _Told).out
    except (ValueError, TypeError) as error:
        raise JournalDamaged(f"frame {seq} does not hold a record", seq=seq) from error
