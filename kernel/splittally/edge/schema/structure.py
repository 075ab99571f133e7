"""Reads a JSON Schema into its structure: one place for each position in a value (spec/01, "JSON Schema").

Rule 1. Only 2020-12, only `$ref` by JSON pointer into the same document: nothing outside is ever opened.
Rule 2. Structure is what `properties`, `items`, `prefixItems`, `additionalProperties` and `$ref` lead to.
        Only there do the `x-` keywords count and digits become integers. None stands beside `$ref`.
Rule 3. Every other subschema is a constraint: it may refuse a value and never changes how it is read. An
        `x-` keyword in one is refused by its name and place, for it would hold or not by what the value is.
Rule 4. How many subschemas apply to one value is bounded (`bounds.py`).
Rule 5. `x-cut` says of a map that only what `properties` names is kept; a number at the root says above how
        many bytes of the whole value that begins. It is for receipts (`cut.py`).

    {"properties": {"to": {"$ref": "#/$defs/names"}},          the root is one position, `to` another: a set,
     "anyOf": [{"required": ["to"]}, {"maxProperties": 0}],    for `$ref` leads to it; the two subschemas
     "$defs": {"names": {"x-set": true}}}                      of `anyOf` are constraints on the root
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from splittally.edge.json_values import printable
from splittally.edge.schema.bounds import each_after_what_it_applies, visits_by_level
from splittally.edge.schema.places import ANYTHING, OF_VALUE, Place, escaped, refuse, shown

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
SECRET, BYTES, SET = OURS = ("x-secret", "x-bytes", "x-set")
CUT = "x-cut"

# The keywords that hold subschemas: `_MAPS` a map of them, the others one or a list.
STRUCTURE = {"properties", "items", "prefixItems", "additionalProperties"}
DEFINITIONS = {"$defs", "definitions"}
_OF_PARTS = {"patternProperties", "propertyNames", "contains", "unevaluatedItems", "unevaluatedProperties"}
_CONSTRAINTS = OF_VALUE | _OF_PARTS | {"contentSchema"}
_MAPS = {"properties", "patternProperties", "dependentSchemas", "dependencies"} | DEFINITIONS
_HOLDERS = STRUCTURE | DEFINITIONS | _CONSTRAINTS

# What may stand beside a secret and beside bytes, for the validator is shown neither.
_NOTES = {"title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"}
_NOTES |= {"type", "$ref", "$anchor", "$schema", "$id"} | DEFINITIONS
_BESIDE = {SECRET: _NOTES | {SECRET}, BYTES: _NOTES | {BYTES, "minLength", "maxLength"}}


def read_schema(document: Any) -> tuple[list[Place], list[int]]:
    """Every place of a document whose keywords have the right form, the root first, or `InvalidSchema`;
    and how often constraints visit what stands so many levels deep (`visits_by_level`).
    """
    found: dict[str, Place] = {}
    _read(document, "", found, is_structure=True)
    places = list(found.values())
    for place in places:
        place.refs = [_target(place, found)] if "$ref" in place.body else []
    constrained = _constrained(places)
    ordered = each_after_what_it_applies(places)
    visits = visits_by_level(places, [place for place in ordered if place in constrained])
    for place in ordered:
        _complete(place)
    return places, visits


# --- reading ------------------------------------------------------------------------------------
def _read(schema: Any, pointer: str, found: dict[str, Place], *, is_structure: bool) -> Place:
    """The place at `pointer` with all that is in it; `true` and `false` have no keywords.

    `additionalProperties` beside `patternProperties` only constrains: a key that matches a pattern is no
    additional one, so what stands under it would depend on the key.
    """
    place = found[pointer] = Place(pointer, schema)
    place.rest = place.items = ANYTHING
    _refuse_keywords(place, is_structure=is_structure)
    only_constrain = _CONSTRAINTS | ({"additionalProperties"} if "patternProperties" in place.body else set())
    for keyword, key, part in _parts(place.body):
        at = f"{pointer}/{keyword}" + ("" if key is None else f"/{escaped(key)}")
        leads = keyword in DEFINITIONS or (is_structure and keyword not in only_constrain)
        below = _read(part, at, found, is_structure=leads)
        if keyword in only_constrain:
            place.constraints.append((keyword, below))
        elif keyword == "items":
            place.items = below
        elif keyword == "additionalProperties":
            place.rest = below
        elif keyword not in DEFINITIONS:
            place.named[key] = below
    return place


def _parts(body: dict[str, Any]) -> Iterator[tuple[str, str | int | None, Any]]:
    """The subschemas of each keyword by key or index, if any; `dependencies` may list names instead."""
    for keyword in filter(_HOLDERS.__contains__, body):
        held: Any = body[keyword]
        if keyword not in _MAPS and type(held) is not list:
            held = {None: held}
        entries = enumerate(held) if type(held) is list else held.items()
        yield from ((keyword, key, part) for key, part in entries if type(part) is not list)


def _refuse_keywords(place: Place, *, is_structure: bool) -> None:
    """Refuses what is not read, and in structure what may not stand beside `$ref`."""
    body = place.body
    for keyword, value in body.items():
        if keyword in ("$dynamicRef", "$recursiveRef", "$recursiveAnchor"):
            refuse(place, f"`{keyword}` is not read; use `$ref`")
        if keyword.startswith("x-") and keyword not in (*OURS, CUT):
            refuse(place, f"no keyword `{printable(keyword)[:64]}`; there are {', '.join(OURS)} and {CUT}")
        is_size = keyword == CUT and not place.pointer and type(value) is int and value > 0
        if keyword in (*OURS, CUT) and type(value) is not bool and not is_size:
            also = ", and at the root also a number of bytes" if keyword == CUT else ""
            refuse(place, f"`{keyword}` is true or false{also}")
        if is_structure and "$ref" in body and keyword in {*STRUCTURE, SET}:
            instead = "state it where `$ref` leads, or under `allOf` if it is only to constrain"
            refuse(place, f"`{keyword}` beside `$ref` gives a value two structures; {instead}")
    if body.get(CUT) and not body.get("properties"):
        refuse(place, f"`{CUT}` keeps what `properties` names, and there are none beside it")
    if place.pointer and "$id" in body:
        refuse(place, "only the whole document may have an `$id`")
    if body.get("$schema", _DIALECT) not in (_DIALECT, f"{_DIALECT}#"):
        refuse(place, f"`$schema` is `{_DIALECT}` or absent")


def _target(place: Place, found: dict[str, Place]) -> Place:
    """The place that a `$ref` leads to."""
    reference = place.body["$ref"]
    target = found.get(unquote(reference[1:])) if reference.startswith("#") else None
    if target is None:
        where = f"to no subschema of the document: `{shown(reference)}`"
        refuse(place, f"`$ref` leads, by JSON pointer, {where}")
    return target


# --- constraints --------------------------------------------------------------------------------
def _constrained(places: list[Place]) -> set[Place]:
    """The places that constraints lead to, whose `x-` keywords are refused."""
    found: set[Place] = set()
    for place in places:
        for keyword, part in place.constraints:
            pending = [part]
            while pending:
                below = pending.pop()
                if below not in found:
                    found.add(below)
                    _refuse_ours(below, f"{place.pointer}/{keyword}")
                    pending += [*below.named.values(), below.rest, below.items, *below.refs]
                    pending += [part for _, part in below.constraints]
    return found


def _refuse_ours(place: Place, source: str) -> None:
    for keyword in filter(place.body.get, (*OURS, CUT)):
        ways = "`properties`, `items`, `prefixItems`, `additionalProperties` and `$ref`"
        only = f"`#{shown(source)}` only constrains, so state it outside of that"
        refuse(place, f"`{keyword}` counts only where {ways} lead; {only}")


# --- positions ----------------------------------------------------------------------------------
def _complete(place: Place) -> None:
    """Adds what is asked of a position, which its `$ref` and what stands beside it say together."""
    words = dict.fromkeys(keyword for keyword, _ in place.constraints)
    for target in place.refs:
        place.bodies += target.bodies
        words |= dict.fromkeys(target.words)
        place.is_closed = target.is_closed
        place.named, place.rest, place.items = target.named, target.rest, target.items
    place.words = list(words)
    place.ours = _our_keyword(place)
    place.cuts = any(body.get(CUT) for body in place.bodies)
    if any(body.get("type") == "integer" for body in place.bodies):
        place.easy -= {str}
    if place.ours in (SECRET, BYTES):  # `normalize` judges what stands there, the validator takes anything
        place.easy = frozenset()
        place.body.pop("type", None)
        place.body.pop("$ref", None)


def _our_keyword(place: Place) -> str:
    """The `x-` keyword of a position, if any; refuses what would stand beside it without effect."""
    ours = next((keyword for keyword in OURS if any(body.get(keyword) for body in place.bodies)), "")
    for body in place.bodies if ours else ():
        beside = body.keys() & {"prefixItems"} if ours == SET else body.keys() - _BESIDE[ours]
        if beside:
            refuse(place, f"`{printable(min(beside))[:64]}` has no place beside `{ours}`")
        if ours != SET and body.get("type", "object") not in ("object", "string"):
            refuse(place, f"`type` beside `{ours}` is object or absent")
    return ours
