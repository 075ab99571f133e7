"""Reads a JSON Schema document into its places: every subschema, by JSON pointer, and what it leads to.

Rule 1. Only 2020-12, only local `$ref`: nothing outside the document is ever named, so nothing is opened.
Rule 2. What would silently mean something else is refused when the schema is loaded, never when it is used:
        another `$schema`, a nested `$id`, dynamic references, an unknown `x-` keyword.
Rule 3. A schema is bounded in places and in how often one value can be visited.
"""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, NoReturn
from urllib.parse import unquote

from msgspec import Struct

from splittally.core.errors import InvalidSchema

SCHEMA_PLACES_MAX = 4_096
SCHEMA_REACH_MAX = 32  # subschemas one after the other for the same value: `$ref` to `$ref` to ...
SCHEMA_VISITS_MAX = 10_000  # of one value: `allOf` of `allOf` of ... doubles them with every line

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SET, SECRET, BYTES = "x-set", "x-secret", "x-bytes"
_OURS = (SET, SECRET, BYTES)
_NOTES = {
    "title",
    "description",
    "$comment",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "type",
}
_BESIDE = {SECRET: _NOTES | {SECRET}, BYTES: _NOTES | {BYTES, "minLength", "maxLength"}}
_FOREIGN = ("$dynamicRef", "$recursiveRef", "$recursiveAnchor")

# Where subschemas stand, by what they are applied to.
_HERE_ONE = ("not", "if", "then", "else")
_HERE_LIST = ("allOf", "anyOf", "oneOf")
_HERE_MAP = ("dependentSchemas", "dependencies")
_BELOW_ONE = (
    "items",
    "additionalProperties",
    "contains",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_BELOW_LIST = ("prefixItems",)
_BELOW_MAP = ("properties", "patternProperties")
_ASIDE_ONE = ("propertyNames", "contentSchema")
_ASIDE_MAP = ("$defs", "definitions")
_ONE = (*_HERE_ONE, *_BELOW_ONE, *_ASIDE_ONE)
_LISTS = (*_HERE_LIST, *_BELOW_LIST)
_MAPS = (*_HERE_MAP, *_BELOW_MAP, *_ASIDE_MAP)


class Place(Struct, eq=False):
    """One subschema: its keywords, where `$ref` leads, and its subschemas by keyword."""

    pointer: str
    body: dict[str, Any]
    is_closed: bool  # the schema `false`
    ref: "Place | None"
    ones: "dict[str, Place]"
    lists: "dict[str, list[Place]]"
    maps: "dict[str, dict[str, Place]]"

    def here(self) -> "Iterator[Place]":
        """The places that apply to the same value, without `$ref`."""
        for keyword in _HERE_ONE:
            if keyword in self.ones:
                yield self.ones[keyword]
        for keyword in _HERE_LIST:
            yield from self.lists.get(keyword, ())
        for keyword in _HERE_MAP:
            yield from self.maps.get(keyword, {}).values()

    def all_here(self) -> "Iterator[Place]":
        """`here`, with `$ref`."""
        if self.ref is not None:
            yield self.ref
        yield from self.here()

    def below(self) -> "Iterator[Place]":
        """The places that apply to what the value holds."""
        for keyword in (*_BELOW_ONE, *_ASIDE_ONE):
            if keyword in self.ones:
                yield self.ones[keyword]
        yield from self.lists.get("prefixItems", ())
        for keyword in _BELOW_MAP:
            yield from self.maps.get(keyword, {}).values()


def refuse(pointer: str, why: str) -> NoReturn:
    """Raises `InvalidSchema` naming the place in the document."""
    raise InvalidSchema(f"in the schema at `#{pointer}`: {why}", pointer=pointer)


def places_of(document: Any) -> dict[str, Place]:
    """Every subschema of a document by pointer, the root first; `InvalidSchema` when it is refused."""
    places: dict[str, Place] = {}
    anchors: dict[str, Place] = {}
    _read(document, "", places, anchors)
    for place in places.values():
        place.ref = _target(place, places, anchors)
    _refuse_circles(places)
    _refuse_explosion(places)
    return places


def _read(body: Any, pointer: str, places: dict[str, Place], anchors: dict[str, Place]) -> Place:
    """The place at `pointer`; a schema that is `true` or `false` has no keywords."""
    place = Place(pointer, body if type(body) is dict else {}, body is False, None, {}, {}, {})
    if len(places) == SCHEMA_PLACES_MAX:
        refuse(pointer, f"more than {SCHEMA_PLACES_MAX} subschemas")
    places[pointer] = place
    _refuse_foreign(place)
    _refuse_misused(place)
    for keyword in ("$anchor", "$dynamicAnchor"):
        name = place.body.get(keyword)
        if name is not None and anchors.setdefault(name, place) is not place:
            refuse(pointer, f"the anchor `{name}` stands in the document already")
    for keyword, value in place.body.items():
        below = f"{pointer}/{escaped(keyword)}"
        if keyword in _ONE:
            place.ones[keyword] = _read(value, below, places, anchors)
        elif keyword in _LISTS:
            place.lists[keyword] = [
                _read(part, f"{below}/{at}", places, anchors) for at, part in enumerate(value)
            ]
        elif keyword in _MAPS:
            place.maps[keyword] = {
                name: _read(part, f"{below}/{escaped(name)}", places, anchors)
                for name, part in value.items()
                if type(part) is not list  # `dependencies` may list names instead
            }
    return place


def escaped(key: str) -> str:
    """A key as a reference token of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def unescaped(token: str) -> str:
    """The key that a reference token stands for."""
    return token.replace("~1", "/").replace("~0", "~")


def _refuse_foreign(place: Place) -> None:
    for keyword in place.body:
        if keyword in _FOREIGN:
            refuse(place.pointer, f"`{keyword}` is not read; use `$ref`")
        if keyword.startswith("x-") and keyword not in _OURS:
            refuse(place.pointer, f"no keyword `{keyword[:64]}`; there are {', '.join(_OURS)}")
    if place.pointer and "$id" in place.body:
        refuse(place.pointer, "only the whole document may have an `$id`")
    dialect = place.body.get("$schema", DIALECT)
    if dialect.rstrip("#") != DIALECT:
        refuse(place.pointer, f"`$schema` is `{DIALECT}` or absent")


def _refuse_misused(place: Place) -> None:
    """An `x-` keyword is true or false; what cannot hold beside it is refused, not ignored."""
    for keyword in _OURS:
        if keyword not in place.body:
            continue
        if type(place.body[keyword]) is not bool:
            refuse(place.pointer, f"`{keyword}` is true or false")
        if not place.body[keyword]:
            continue
        beside = sorted(set(place.body) - _BESIDE.get(keyword, set(place.body) - {"prefixItems"}))
        if beside:
            refuse(place.pointer, f"`{beside[0]}` has no place beside `{keyword}`")
        if keyword != SET and place.body.get("type", "object") not in ("object", "string"):
            refuse(place.pointer, f"`type` beside `{keyword}` is object or absent")


def _target(place: Place, places: dict[str, Place], anchors: dict[str, Place]) -> Place | None:
    reference = place.body.get("$ref")
    if reference is None:
        return None
    if not reference.startswith("#"):
        refuse(place.pointer, "`$ref` stays inside the document: it begins with `#`")
    fragment = unquote(reference[1:])
    found = places.get(fragment) if fragment[:1] in ("", "/") else anchors.get(fragment)
    if found is None:
        refuse(place.pointer, f"`$ref` leads to no subschema: `{reference[:128]}`")
    return found


def _refuse_circles(places: dict[str, Place]) -> None:
    """A place that applies itself to the same value would say nothing, and so admit everything."""
    reach: dict[Place, int] = {}
    try:
        for place in TopologicalSorter(
            {place: list(place.all_here()) for place in places.values()}
        ).static_order():
            reach[place] = 1 + max((reach[part] for part in place.all_here()), default=0)
            if reach[place] > SCHEMA_REACH_MAX:
                refuse(place.pointer, f"more than {SCHEMA_REACH_MAX} subschemas lead to one another here")
    except CycleError as error:
        refuse(error.args[1][0].pointer, "`$ref` leads back to this place for the same value")


def _refuse_explosion(places: dict[str, Place]) -> None:
    """Bounds how often the validator visits one value, which it counts by paths and not by places."""
    visits: dict[Place, int] = {}
    for place in _children_first(places):
        here = 1 + sum(visits.get(part, 0) for part in place.all_here())
        apart = [*place.maps.get("properties", {}).values(), *place.lists.get("prefixItems", ())]
        once = max((visits.get(part, 0) for part in apart), default=0)
        again = sum(visits.get(part, 0) for part in place.below()) - sum(
            visits.get(part, 0) for part in apart
        )
        visits[place] = here + once + again
        if visits[place] > SCHEMA_VISITS_MAX:
            refuse(place.pointer, "too many subschemas apply to one value")


def _children_first(places: dict[str, Place]) -> Iterator[Place]:
    """Each place after those it leads to; a place that leads back to itself comes before its return."""
    seen: set[Place] = set()
    for root in places.values():
        stack = [(root, iter((*root.all_here(), *root.below())))]
        if root in seen:
            continue
        seen.add(root)
        while stack:
            place, parts = stack[-1]
            following = next((part for part in parts if part not in seen), None)
            if following is None:
                stack.pop()
                yield place
            else:
                seen.add(following)
                stack.append((following, iter((*following.all_here(), *following.below()))))
