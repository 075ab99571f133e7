"""Reads a JSON Schema document into its places: every subschema, what it holds, and where its `$ref` leads.

Rule 1. Only 2020-12, only `$ref` by JSON pointer into the same document: nothing outside is ever opened.
Rule 2. What would silently mean something else is refused when the schema is loaded, never when it is used:
        another `$schema`, a nested `$id`, a dynamic reference, an unknown `x-` keyword.
Rule 3. The number of subschemas that apply to one value is bounded, one after the other and in all.
"""

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, NoReturn
from urllib.parse import unquote

from msgspec import Struct

from splittally.core.errors import InvalidSchema
from splittally.edge.json_values import printable

SCHEMA_REACH_MAX = 32  # subschemas one after the other for the same value: `$ref` to `$ref` to ...
SCHEMA_VISITS_MAX = 10_000  # of one value: `allOf` of `allOf` of ... doubles them with every line
POINTER_CHARACTERS_MAX = 200  # of a place that a message shows

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SET, SECRET, BYTES = "x-set", "x-secret", "x-bytes"
OURS = (SET, SECRET, BYTES)
_FOREIGN = ("$dynamicRef", "$recursiveRef", "$recursiveAnchor")

# Keywords by what they hold (one subschema, a list, a map of them) and by what these apply to.
_ONE = {"not", "if", "then", "else", "items", "additionalProperties", "contains", "propertyNames"}
_ONE |= {"unevaluatedItems", "unevaluatedProperties", "contentSchema"}
_LIST = {"allOf", "anyOf", "oneOf", "prefixItems"}
_MAP = {"properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"}
_SAME_VALUE = {"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"}
DEFINITIONS = {"$defs", "definitions"}
STRUCTURE = {"properties", "items", "prefixItems", "additionalProperties"}
CONSTRAINTS = (_ONE | _LIST | _MAP) - STRUCTURE - DEFINITIONS


class Place(Struct, eq=False):
    """A subschema where it stands; `parts` are the subschemas in it by keyword and by key or index."""

    pointer: str
    body: dict[str, Any]
    is_closed: bool  # the schema `false`
    parts: "list[tuple[str, str, Place]]"
    ref: "Place | None" = None

    def here(self) -> "list[Place]":
        """The places that apply to the same value."""
        same = [part for keyword, _, part in self.parts if keyword in _SAME_VALUE]
        return same if self.ref is None else [self.ref, *same]

    def within(self) -> "list[Place]":
        """The places that apply to the value or to what it holds."""
        parts = [part for keyword, _, part in self.parts if keyword not in DEFINITIONS]
        return parts if self.ref is None else [self.ref, *parts]


def refuse(place: Place, why: str) -> NoReturn:
    """Raises `InvalidSchema` naming the place in the document."""
    pointer = printable(place.pointer)[:POINTER_CHARACTERS_MAX]
    raise InvalidSchema(f"in the schema at `#{pointer}`: {why}", pointer=place.pointer)


def escaped(key: str) -> str:
    """A key as a reference token of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def read_document(document: Any) -> list[Place]:
    """Every place of a document whose keywords have the right form, the root first, or `InvalidSchema`."""
    places: dict[str, Place] = {}
    _read(document, "", places)
    for place in places.values():
        reference = place.body.get("$ref", "#")
        target = places.get(unquote(reference[1:])) if reference.startswith("#") else None
        if target is None:
            shown = printable(reference)[:POINTER_CHARACTERS_MAX]
            refuse(place, f"`$ref` leads, by JSON pointer, to no subschema of the document: `{shown}`")
        place.ref = target if "$ref" in place.body else None
    _refuse_circles(places.values())
    _refuse_explosion(places.values())
    return list(places.values())


def _read(schema: Any, pointer: str, places: dict[str, Place]) -> Place:
    """The place at `pointer` with all that is in it; `true` and `false` have no keywords."""
    place = places[pointer] = Place(pointer, schema if type(schema) is dict else {}, schema is False, [])
    _refuse_foreign(place)
    for keyword, value in place.body.items():
        for token, part in _entries(keyword, value):
            below = f"{pointer}/{keyword}" + ("" if keyword in _ONE else "/" + escaped(token))
            place.parts.append((keyword, token, _read(part, below, places)))
    return place


def _entries(keyword: str, value: Any) -> Iterable[tuple[str, Any]]:
    """The subschemas of a keyword by key or index; `dependencies` may list names instead."""
    if keyword in _ONE:
        return [("", value)]
    if keyword in _LIST:
        return [(str(at), part) for at, part in enumerate(value)]
    return [(name, part) for name, part in value.items() if type(part) is not list] if keyword in _MAP else []


def _refuse_foreign(place: Place) -> None:
    for keyword, value in place.body.items():
        if keyword in _FOREIGN:
            refuse(place, f"`{keyword}` is not read; use `$ref`")
        if keyword.startswith("x-") and keyword not in OURS:
            refuse(place, f"no keyword `{printable(keyword)[:64]}`; there are {', '.join(OURS)}")
        if keyword in OURS and type(value) is not bool:
            refuse(place, f"`{keyword}` is true or false")
    if place.pointer and "$id" in place.body:
        refuse(place, "only the whole document may have an `$id`")
    if place.body.get("$schema", DIALECT) not in (DIALECT, f"{DIALECT}#"):
        refuse(place, f"`$schema` is `{DIALECT}` or absent")


# --- bounds -------------------------------------------------------------------------------------
def _refuse_circles(places: Iterable[Place]) -> None:
    """A place that applies itself to the same value would say nothing, and so admit everything."""
    reach: dict[Place, int] = {}
    try:
        for place in TopologicalSorter({place: place.here() for place in places}).static_order():
            reach[place] = 1 + max((reach[part] for part in place.here()), default=0)
            if reach[place] > SCHEMA_REACH_MAX:
                refuse(place, f"more than {SCHEMA_REACH_MAX} subschemas lead to one another here")
    except CycleError as error:
        refuse(error.args[1][0], "`$ref` leads back to this place for the same value")


def _refuse_explosion(places: Iterable[Place]) -> None:
    """Bounds how often the validator visits one value, which it counts by paths and not by places.

    Of several properties or positions a value has one. The validator remembers what it found where a
    subschema leads back to itself, so the way back costs nothing.
    """
    visits: dict[Place, int] = {}
    for place in _inner_first(places):
        apart = [part for keyword, _, part in place.parts if keyword in ("properties", "prefixItems")]
        once = max((visits.get(part, 0) for part in apart), default=0)
        all_parts = sum(visits.get(part, 0) for part in place.within())
        visits[place] = 1 + once + all_parts - sum(visits.get(part, 0) for part in apart)
        if visits[place] > SCHEMA_VISITS_MAX:
            refuse(place, "too many subschemas apply to one value")


def _inner_first(places: Iterable[Place]) -> Iterator[Place]:
    """Each place after those that it leads to; one that leads back to itself comes before its return."""
    seen: set[Place] = set()
    for root in places:
        stack = [] if root in seen else [(root, iter(root.within()))]
        seen.add(root)
        while stack:
            following = next((part for part in stack[-1][1] if part not in seen), None)
            if following is None:
                yield stack.pop()[0]
            else:
                seen.add(following)
                stack.append((following, iter(following.within())))
