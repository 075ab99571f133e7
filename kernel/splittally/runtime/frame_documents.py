"""A frame as JSON: every field by name, hashes as hex, canonical params as what they say.

Rule 1. Nothing is left out, except that `brief` shows bytes beyond `BRIEF_BYTES` by size and digest. It opens
        what a grant's params and a definition say, and shows the program of rules by size and digest: the
        rules are their text, which stands beside it.
Rule 2. A record is shown as an object; command, event and evidence have a `type` in front.
"""

from typing import Any, NamedTuple

from blake3 import blake3
from msgspec import Struct
from msgspec.structs import asdict

from splittally.core.canonical import decode, encode
from splittally.core.caps.rules import PROGRAM
from splittally.core.commands import Judged, Member, Open, Settle, Submit
from splittally.core.errors import CanonicalError
from splittally.core.events import Defined, GrantRevoked, GrantSet, LimitSet, Posted
from splittally.core.frames import Body
from splittally.edge.answer_lines import readable
from splittally.runtime.record import Record

BRIEF_BYTES = 256
PARAMS = "params"
_CANONICAL = (
    (Member, "params"),
    (Settle, "payload"),
    (Judged, "answer"),
)  # whose bytes say something


def frame_json(record: Record, brief: bool = True, with_evidence: bool = False) -> dict[str, Any]:
    """A frame as an object; `seen` only where the evidence is wanted."""
    body = record.body
    shown: dict[str, Any] = {
        "seq": record.seq,
        "hash": record.hash.hex(),
        "prev": record.prev.hex(),
        "at_ns": body.at_ns,
        "by": body.by,
        "command": tagged_json(body.command, brief),
    }
    if with_evidence:
        shown["seen"] = [tagged_json(evidence, brief) for evidence in body.seen]
    shown["events"] = [tagged_json(event, brief) for event in body.out]
    return shown


def type_of(record: Struct) -> str:
    """The name of a command's, event's or evidence's type, such as `hold_changed`."""
    return name_of(type(record))


def name_of(kind: type) -> str:
    """The same of the type itself."""
    name = kind.__name__
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


def kinds_of(body: Body) -> set[str]:
    """The words that a frame is found by: command, events, effect kinds, and what they are about."""
    command = body.command
    words = {type_of(command)}
    if isinstance(command, Submit):
        words |= {member.kind for member in command.members}
    for event in body.out:
        words.add(type_of(event))
        match event:
            case GrantSet() | GrantRevoked():
                words.add("grant")
            case LimitSet():
                words.add("limit")
            case Posted():
                words.add("money")
            case Defined():
                words.add(event.table)
    if isinstance(command, Open):
        words.add("release")
    return words


def tagged_json(record: Struct, brief: bool = True) -> dict[str, Any]:
    """A command, event or piece of evidence as an object with its `type` in front."""
    return {"type": type_of(record), **_fields(record, brief)}


def _fields(record: Struct, brief: bool) -> dict[str, Any]:
    shown = {name: _value(value, brief) for name, value in asdict(record).items()}
    for kind, name in _CANONICAL:
        if isinstance(record, kind):
            shown[name] = canonical_json(getattr(record, name), brief)
    if brief and isinstance(record, Defined):
        shown["value"] = _definition(record.value)
    return shown


def _value(value: Any, brief: bool) -> Any:
    match value:
        case Struct():
            return _fields(value, brief)
        case list() | tuple():
            return [_value(item, brief) for item in value]
        case dict():
            return {key: _entry(key, item, brief) for key, item in value.items()}
        case bytes() if brief and len(value) > BRIEF_BYTES:
            return _digest(value)
        case _:
            return readable(value)


def _entry(key: Any, value: Any, brief: bool) -> Any:
    """An entry of a map; `params` of a grant's terms are the canonical bytes of a map."""
    if brief and key == PARAMS and type(value) is bytes:
        said = canonical_json(value)
        if type(said) is dict:
            return said
    return _value(value, brief)


def canonical_json(data: bytes, brief: bool = True) -> Any:
    """What canonical bytes say; their hex where they are not canonical."""
    try:
        value = decode(data)
    except CanonicalError:
        return _value(data, brief)
    shown = _value(value, brief)
    if brief and type(value) is dict and "rules" in value and type(value.get(PROGRAM)) is dict:
        shown[PROGRAM] = _digest(encode(value[PROGRAM]))
    return shown


def _definition(data: bytes) -> Any:
    """What a definition says: a short one, and a grant's rules; schemas and modules are too long."""
    said = canonical_json(data)
    is_read = len(data) <= BRIEF_BYTES or (type(said) is dict and PROGRAM in said)
    return said if is_read else _digest(data)


class _Long(NamedTuple):
    """Bytes that are too long to show: how many they are, and their hash."""

    bytes: int
    blake3: str


def _digest(data: bytes) -> dict[str, Any]:
    return _Long(len(data), blake3(data).hexdigest())._asdict()
