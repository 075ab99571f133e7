"""Normalizes a value by the structure of its schema (spec/01, "JSON Schema").

Rule 1. Sets are sorted, secret references get one spelling, digits beyond 2^53 become integers.
Rule 2. Refused here: bytes outside `x-bytes`, an inline secret, a sixty-fifth level. No refusal repeats
        a value.
Rule 3. A value that is in normal form already comes back as the same object.
"""

import re
from collections.abc import Iterator
from typing import Any

from splittally.core.canonical import encode
from splittally.core.errors import CanonicalError
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN, NAME_BYTES_MAX, NATURAL_MAX
from splittally.edge.json_values import EXACT_IN_JSON
from splittally.edge.schema.places import Place, escaped
from splittally.edge.schema.structure import BYTES, SECRET, SET

_SECRET_KEYS = ("secret", "$secret")
_DIGITS = re.compile(r"-?[1-9][0-9]{15,19}")  # 2^53 has 16 digits, 2^64-1 has 20


class Misfit(ValueError):
    """A value that its schema does not admit, and why."""


def normalize(value: Any, at: Place, left: int = DEPTH_MAX) -> Any:
    """The normal form of a value that may open `left` levels; `Misfit` or `CanonicalError`."""
    is_map = type(value) is dict
    if not at.easy or not (is_map or type(value) is list):
        return _leaf(value, at)
    if not left:
        raise Misfit(f"nested deeper than {DEPTH_MAX}")
    named, rest = at.named, at.rest if is_map else at.items
    changed: dict[Any, Any] = {}
    for key, item in value.items() if is_map else enumerate(value):
        below = named.get(key, rest)
        if type(item) not in below.easy:
            normal = normalize(item, below, left - 1)
            if normal is not item:
                changed[key] = normal
    if is_map:
        return {**value, **changed} if changed else value
    items = [changed.get(index, item) for index, item in enumerate(value)] if changed else value
    return _as_set(items) if at.ours == SET else items


def first_misfit(value: Any, root: Place) -> tuple[str, str]:
    """Where a value that has no normal form or no canonical bytes goes wrong, as a JSON pointer, and why."""
    for place, part, pointer in positions(root, value):
        alone = dict.fromkeys(part) if type(part) is dict else [] if type(part) is list else part
        try:
            if alone is not part and pointer.count("/") == DEPTH_MAX:
                raise Misfit(f"nested deeper than {DEPTH_MAX}")
            encode(_leaf(part, place) if alone is part or not place.easy else alone)
        except (Misfit, CanonicalError) as misfit:
            return pointer, str(misfit)
    raise AssertionError("the value has a normal form")


def positions(place: Place, value: Any, pointer: str = "") -> Iterator[tuple[Place, Any, str]]:
    """Every position of a value with its place and pointer, from the root down and in order."""
    yield place, value, pointer
    is_map = type(value) is dict
    rest = place.rest if is_map else place.items
    for key, item in value.items() if is_map else enumerate(value) if type(value) is list else ():
        yield from positions(place.named.get(key, rest), item, f"{pointer}/{escaped(key)}")


def _as_set(items: list[Any]) -> list[Any]:
    """The items in the order of their canonical bytes, each once."""
    members = {encode(item): item for item in items}
    ordered = sorted(members)
    is_normal = len(ordered) == len(items) and ordered == list(members)
    return items if is_normal else [members[key] for key in ordered]


def _leaf(value: Any, at: Place) -> Any:
    """The normal form of a scalar, and of what stands where the schema says bytes or secret."""
    if at.ours == SECRET:
        return _reference(value)
    if at.ours == BYTES:
        if type(value) is not bytes:
            raise Misfit("bytes are expected here")
        for body in at.bodies:
            if not body.get("minLength", 0) <= len(value) <= body.get("maxLength", len(value)):
                raise Misfit("a length in bytes that the schema does not admit")
        return value
    if type(value) is bytes and bytes not in at.easy:
        raise Misfit("bytes stand only where the schema says `x-bytes`")
    return _number(value) if type(value) is str and str not in at.easy else value


def _number(text: str) -> Any:
    """The integer that JSON could not carry exactly; other text stays text, which the validator refuses."""
    value = int(text) if _DIGITS.fullmatch(text) else 0
    return value if abs(value) > EXACT_IN_JSON and INT_MIN <= value <= INT_MAX else text


def _reference(value: Any) -> dict[str, Any]:
    """`{"$secret": {"alias", "version"}}` out of either spelling; what stands there is never repeated."""
    if type(value) is dict and len(value) == 1:
        ((key, named),) = value.items()
        if key in _SECRET_KEYS and type(named) is dict and named.keys() == {"alias", "version"}:
            alias, version = named["alias"], named["version"]
            is_alias = type(alias) is str and 0 < len(alias.encode("utf-8", "replace")) <= NAME_BYTES_MAX
            if is_alias and type(version) is int and 0 <= version <= NATURAL_MAX:
                return {"$secret": named}
    raise Misfit('a secret is named, never given: {"secret": {"alias": text, "version": natural}}')
