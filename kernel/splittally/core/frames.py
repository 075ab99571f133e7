"""The body of a frame as records: `[v, at, by, cmd, seen, out]` (schemas/records-2.cddl).

Rule 1. What is read back equals what was written, or reading refuses; nothing is repaired.
Rule 2. A frame says the format it was written in; older formats are read for ever. A field that a later
        format added at the end of a record is left out where it says nothing, so that what an older format
        could say is written as it was.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from splittally.core.canonical import UNENCODABLE, encode_record
from splittally.core.commands import Command, Evidence, Known, Release, Settle, Submit
from splittally.core.errors import FormatTooNew, JournalDamaged
from splittally.core.events import (
    Charge,
    Decided,
    Event,
    GrantSet,
    Held,
    HoldChanged,
    LimitCrossed,
    Refunded,
    RefundLeg,
    Settled,
    WindowRolled,
)
from splittally.core.rows import WINDOW_FIELDS, leave_out, shorten_grant
from splittally.core.state import FORMAT
from splittally.core.types import Leg

# of format 1, the tag included
RELEASE_FIELDS, HOLD_CHANGED_FIELDS, SETTLE_FIELDS, WINDOW_ROLLED_FIELDS = 4, 4, 8, 7
MEMBER_FIELDS, LIMIT_CROSSED_FIELDS, COUNT_FIELDS = 11, 8, 5
CHARGE_FIELDS, REFUND_LEG_FIELDS, KNOWN_LEG_FIELDS, KNOWN_FIELDS = 8, 3, 3, 13  # of format 1
SIGNATURE_AT = 1 + Settle.__struct_fields__.index("signature")
WINDOW_ENDS_FORMAT = 2  # from it on a window is named by its end, too


class Body(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A frame's body: logical time, principal, command, evidence, events; and the format of the frame.

    One record and not five values, because msgspec looks at a bare union anew whenever it is used.
    """

    at_ns: int
    by: str
    command: Command
    seen: list[Evidence]
    out: list[Event]
    version: int = FORMAT


class _Asked(Struct, frozen=True, gc=False, array_like=True):
    command: Command


class _Told(Struct, frozen=True, gc=False, array_like=True):
    out: list[Event]


def body_rows(
    at_ns: int, by: str, command: Command, seen: list[Evidence], out: list[Event], version: int = FORMAT
) -> list[Any]:
    """The body as lists and atoms, ready to be encoded."""
    cmd, told, events = msgspec.to_builtins((command, seen, out), builtin_types=(bytes,))
    if type(command) is Submit:
        for row in cmd[2]:
            if not row[-1]:
                row.pop()  # one field came later
    elif type(command) is Settle:
        if not command.signature:
            del cmd[SETTLE_FIELDS if not command.sent and not command.sent_bytes else SIGNATURE_AT :]
    elif type(command) is Release:
        leave_out(cmd, RELEASE_FIELDS)
    if Known in map(type, seen):
        _shorten(seen, told)
    is_settled = type(command) is Settle and out and type(out[0]) in _LATER
    if is_settled and LimitCrossed not in map(type, out):
        _SHORTENED[type(out[0])](events[0])  # what it is about comes first; nothing after that came later
    elif not _LATER.isdisjoint(map(type, out)):
        _shorten(out, events)
    if version < WINDOW_ENDS_FORMAT:
        _leave_out_ends([*seen, *out], [*told, *events])
    return [version, at_ns, by, cmd, told, events]


def _leave_out_of_legs(struct: type[Struct], fields: int) -> Callable[[list[Any]], None]:
    at = 1 + struct.__struct_fields__.index("legs")

    def shorten(row: list[Any]) -> None:
        for leg in row[at]:
            if not leg[fields]:  # one field came later
                del leg[fields]

    return shorten


_shorten_known_legs = _leave_out_of_legs(Known, KNOWN_LEG_FIELDS)


def _shorten_known(row: list[Any]) -> None:
    leave_out(row, KNOWN_FIELDS)
    _shorten_known_legs(row)


_SHORTENED: dict[type, Callable[[list[Any]], None]] = {
    GrantSet: lambda row: shorten_grant(row[1]),
    HoldChanged: lambda row: leave_out(row, HOLD_CHANGED_FIELDS),
    Known: _shorten_known,
    Refunded: _leave_out_of_legs(Refunded, REFUND_LEG_FIELDS),
    LimitCrossed: lambda row: leave_out(row, LIMIT_CROSSED_FIELDS),
    Settled: _leave_out_of_legs(Settled, CHARGE_FIELDS),
    WindowRolled: lambda row: leave_out(row, WINDOW_ROLLED_FIELDS),
}


_LATER = frozenset(_SHORTENED)
_COUNTED = 1 + Decided.__struct_fields__.index("counted")
_LEGS_OF: dict[type, type[Struct]] = {Held: Leg, Known: Leg, Refunded: RefundLeg, Settled: Charge}


def _leave_out_ends(records: Sequence[Struct], rows: list[list[Any]]) -> None:
    """Leave ends and keys out of the windows and counts in these records of format 1, which knew none."""
    for record, row in zip(records, rows, strict=True):
        if type(record) is Decided:
            for counted in row[_COUNTED]:
                leave_out(counted, COUNT_FIELDS)
        leg = _LEGS_OF.get(type(record))
        if leg is None:
            continue
        at = leg.__struct_fields__.index("windows")
        for each in row[1 + record.__struct_fields__.index("legs")]:
            for window in (each[0] if type(record) is Known else each)[at]:
                leave_out(window, WINDOW_FIELDS)


def _shorten(records: Sequence[Struct], rows: list[list[Any]]) -> None:
    """Leave out of these rows what came later and says nothing."""
    for record, row in zip(records, rows, strict=True):
        if type(record) in _LATER:
            _SHORTENED[type(record)](row)


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
        return msgspec.convert([*body, version], Body)
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
