"""Normalizes a value by the structure of its schema (spec/01, "JSON Schema").

Rule 1. Sets are sorted, secret references get one spelling, digits beyond 2^53 become integers.
Rule 2. Refused here: bytes outside `x-bytes`, an inline secret, a sixty-fifth level. No refusal repeats
        a value.
Rule 3. A value that is in normal form already comes back as the same object.
"""

import re
from typing import Any

from splittally.core.canonical import encode
from splittally.core.errors import CanonicalError
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN, NAME_BYTES_MAX, NATURAL_MAX
from splittally.edge.json_values import EXACT_IN_JSON
from splittally.edge.schema.document import escaped
from splittally.edge.schema.structure import Node

_DIGITS = re.compile(r"-?[1-9][0-9]{15,19}")  # 2^53 has 16 digits, 2^64-1 has 20
_SECRET_KEYS = ("secret", "$secret")


class Misfit(Exception):
    """A value that its schema does not admit: where, as reference tokens from the inside out, and why."""

    def __init__(self, why: str, *path: str) -> None:
        super().__init__(why)
        self.why = why
        self.path = list(path)

    @property
    def pointer(self) -> str:
        return "".join("/" + escaped(token) for token in reversed(self.path))


def normalize(value: Any, at: Node, left: int = DEPTH_MAX) -> Any:
    """The normal form of a value that may open `left` levels; `Misfit` when it is refused."""
    kind = type(value)
    is_map = kind is dict
    if at.is_opaque or not (is_map or kind is list):
        return _leaf(value, at)
    if not left:
        raise Misfit(f"nested deeper than {DEPTH_MAX}")
    named, rest = at.named, at.rest if is_map else at.items
    changed: dict[Any, Any] = {}
    for key, item in value.items() if is_map else enumerate(value):
        below = named.get(key, rest)
        if type(item) in below.easy:
            continue
        try:
            normal = normalize(item, below, left - 1)
        except Misfit as misfit:
            misfit.path.append(str(key))
            raise
        if normal is not item:
            changed[key] = normal
    if is_map:
        return {**value, **changed} if changed else value
    items = [changed.get(index, item) for index, item in enumerate(value)] if changed else value
    return _as_set(items) if at.is_set else items


def _leaf(value: Any, at: Node) -> Any:
    """The normal form of a scalar, and of what stands where the schema says bytes or secret."""
    if at.is_secret:
        return _reference(value)
    if at.is_bytes:
        return _sized(value, at)
    if type(value) is bytes:
        raise Misfit("bytes stand only where the schema says `x-bytes`")
    return _number(value) if type(value) is str and at.reads_digits else value


def _as_set(items: list[Any]) -> list[Any]:
    """The items in the order of their canonical bytes, each once."""
    members: dict[bytes, Any] = {}
    for index, item in enumerate(items):
        try:
            members.setdefault(encode(item), item)
        except CanonicalError as error:
            raise Misfit(str(error), str(index)) from None
    ordered = sorted(members)
    is_normal = len(ordered) == len(items) and ordered == list(members)
    return items if is_normal else [members[key] for key in ordered]


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


def _sized(value: Any, at: Node) -> bytes:
    if type(value) is not bytes:
        raise Misfit("bytes are expected here")
    if len(value) < at.bytes_min or (at.bytes_max is not None and len(value) > at.bytes_max):
        raise Misfit("a length in bytes that the schema does not admit")
    return value


def foreign(value: Any, left: int = DEPTH_MAX) -> Misfit:
    """Where and why a value that `encode` refused leaves the data model."""
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
