"""Normalises a value by its schema and refuses what the validator would let through (spec/01).

Rule 1. Sets are sorted, secret references get one spelling, digits beyond 2^53 become integers.
Rule 2. Refused here: bytes outside `x-bytes`, a float where an integer, constant or enumeration is meant,
        an inline secret, a sixty-fifth level. No refusal repeats a value.
Rule 3. A value that is in normal form already comes back as the same object.
"""

import re
from typing import Any

from splittally.core.canonical import encode
from splittally.core.errors import CanonicalError
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN, NAME_BYTES_MAX, NATURAL_MAX
from splittally.edge.json_values import BYTES_KEY, EXACT_IN_JSON
from splittally.edge.schema_places import escaped
from splittally.edge.schema_states import Position

_DIGITS = re.compile(r"-?[1-9][0-9]{15,19}")  # 2^53 has 16 digits, 2^64-1 has 20
_SECRET_KEYS = ("secret", "$secret")


class Misfit(Exception):
    """A value that its schema does not admit: where, as reference tokens from the inside out, and why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path: list[str] = []

    @property
    def pointer(self) -> str:
        return "".join("/" + escaped(token) for token in reversed(self.path))


def settle(value: Any, at: Position, left: int = DEPTH_MAX) -> Any:
    """The normal form of a value at a position; `Misfit` when it is refused."""
    kind = type(value)
    if at.is_secret:
        return _reference(value)
    if at.is_bytes:
        return _sized(value, at)
    if kind is dict:
        value = _settle_map(value, at, left)
    elif kind is list:
        value = _settle_list(value, at, left)
    elif kind is str:
        return _number(value) if at.reads_digits else value
    elif kind is bytes:
        raise Misfit("bytes stand only where the schema says `x-bytes`")
    elif kind is float and at.is_whole and value.is_integer():
        raise Misfit("a float where the schema says integer")
    if at.choices and kind in (int, float, dict, list):
        _refuse_lookalike(value, at)
    return value


def _settle_map(entries: dict[str, Any], at: Position, left: int) -> dict[str, Any]:
    if not left:
        raise Misfit(f"nested deeper than {DEPTH_MAX}")
    props, rest = at.props, at.rest
    changed: dict[str, Any] = {}
    for key, item in entries.items():
        below = props.get(key, rest)
        if type(item) in below.easy:
            continue
        try:
            settled = settle(item, below, left - 1)
        except Misfit as misfit:
            misfit.path.append(str(key))
            raise
        if settled is not item:
            changed[key] = settled
    return {**entries, **changed} if changed else entries


def _settle_list(items: list[Any], at: Position, left: int) -> list[Any]:
    if not left:
        raise Misfit(f"nested deeper than {DEPTH_MAX}")
    prefix, rest = at.prefix, at.items
    changed: dict[int, Any] = {}
    for index, item in enumerate(items):
        below = prefix[index] if index < len(prefix) else rest
        if type(item) in below.easy:
            continue
        try:
            settled = settle(item, below, left - 1)
        except Misfit as misfit:
            misfit.path.append(str(index))
            raise
        if settled is not item:
            changed[index] = settled
    if changed:
        items = [changed.get(index, item) for index, item in enumerate(items)]
    return _as_set(items) if at.is_set else items


def _as_set(items: list[Any]) -> list[Any]:
    """The items in the order of their canonical bytes, each once."""
    members: dict[bytes, Any] = {}
    for index, item in enumerate(items):
        members.setdefault(_canonical(item, str(index)), item)
    ordered = sorted(members)
    return (
        items
        if ordered == list(members) and len(ordered) == len(items)
        else [members[key] for key in ordered]
    )


def _canonical(value: Any, *path: str) -> bytes:
    try:
        return encode(value)
    except CanonicalError as error:
        misfit = Misfit(str(error))
        misfit.path.extend(path)
        raise misfit from None


def _number(text: str) -> Any:
    """The integer that JSON could not carry exactly; other text stays text, which the validator refuses."""
    if not _DIGITS.fullmatch(text):
        return text
    value = int(text)
    is_meant = abs(value) > EXACT_IN_JSON and INT_MIN <= value <= INT_MAX
    return value if is_meant else text


def _reference(value: Any) -> dict[str, Any]:
    """`{"$secret": {"alias", "version"}}` out of either spelling; what stands there is never repeated."""
    if type(value) is dict and len(value) == 1:
        ((key, inner),) = value.items()
        if key in _SECRET_KEYS and type(inner) is dict and inner.keys() == {"alias", "version"}:
            alias, version = inner["alias"], inner["version"]
            if _is_alias(alias) and type(version) is int and 0 <= version <= NATURAL_MAX:
                return value if key == "$secret" else {"$secret": {"alias": alias, "version": version}}
    raise Misfit('a secret is named, never given: {"secret": {"alias": text, "version": natural}}')


def _is_alias(alias: Any) -> bool:
    return type(alias) is str and 0 < len(alias.encode("utf-8", "replace")) <= NAME_BYTES_MAX


def _sized(value: Any, at: Position) -> bytes:
    if type(value) is not bytes:
        raise Misfit("bytes are expected here")
    if len(value) < at.bytes_min or (at.bytes_max is not None and len(value) > at.bytes_max):
        raise Misfit("a length in bytes that the schema does not admit")
    return value


def _refuse_lookalike(value: Any, at: Position) -> None:
    """1.0 is not 1, though the validator takes one for the other in `const` and `enum`."""
    data, view = _canonical(value), viewed(value)
    for takes, meant in at.choices:
        if data not in meant and takes(view):
            raise Misfit("a float where the schema says an integer, or an integer where it says a float")


def viewed(value: Any) -> Any:
    """What the validator is shown: the JSON form of bytes, which it has no type for."""
    if type(value) is dict:
        return {key: viewed(item) for key, item in value.items()}
    if type(value) is list:
        return [viewed(item) for item in value]
    return {BYTES_KEY: value.hex()} if type(value) is bytes else value


def foreign(value: Any, left: int = DEPTH_MAX) -> Misfit:
    """Where a value leaves the data model, for a value that `encode` refused."""
    parts = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for key, part in parts if left else ():
        try:
            encode(part)
        except CanonicalError:
            misfit = foreign(part, left - 1)
            misfit.path.append(str(key))
            return misfit
    try:
        encode(value)
    except CanonicalError as error:
        return Misfit(str(error))
    raise AssertionError("a value that encodes is not foreign")
