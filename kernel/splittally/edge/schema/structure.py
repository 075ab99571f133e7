"""Reads a JSON Schema into its structure: one place for each position in a value (spec/01, "JSON Schema").

Rule 1. Only 2020-12, only `$ref` by JSON pointer into the same document: nothing outside is ever opened.
Rule 2. Structure is what `properties`, `items`, `prefixItems`, `additionalProperties` and `$ref` lead to.
        Only there do the `x-` keywords count and digits become integers. None stands beside `$ref`.
Rule 3. Every other subschema is a constraint: it may refuse a value and never changes how it is read. An
        `x-` keyword in one is refused by its name and place, for it would hold or not by what the value is.
Rule 4. How many subschemas apply to one value is bounded, one after the other and in all.
Rule 5. `x-cut` says of a map that only what `properties` names is kept; a number at the root says above how
        many bytes of the whole value that begins. It is for receipts (`cut.py`).

    {"properties": {"to": {"$ref": "#/$defs/names"}},          the root is one position, `to` another: a set,
     "anyOf": [{"required": ["to"]}, {"maxProperties": 0}],    for `$ref` leads to it; the two subschemas
     "$defs": {"names": {"x-set": true}}}                      of `anyOf` are constraints on the root

    {"anyOf": [{"properties": {"to": {"x-set": true}}}, {}]}   refused at `#/anyOf/0/properties/to`
"""

from collections.abc import Iterable
from typing import Any, NoReturn
from urllib.parse import unquote

from splittally.core.errors import InvalidSchema
from splittally.core.limits import NATURAL_MAX
from splittally.edge.json_values import printable

SCHEMA_REACH_MAX = 32  # subschemas one after the other for the same value: `$ref` to `$ref` to ...
SCHEMA_VISITS_MAX = 10_000  # of one value: `allOf` of `allOf` of ... doubles them with every line
_POINTER_CHARACTERS_MAX = 200  # of a place that a message shows

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
SECRET, BYTES, SET = OURS = ("x-secret", "x-bytes", "x-set")
CUT = "x-cut"
_EVERY = (*OURS, CUT)
_FOREIGN = ("$dynamicRef", "$recursiveRef", "$recursiveAnchor")

# The keywords that hold subschemas: `_MAPS` a map of them, the others one or a list.
STRUCTURE = {"properties", "items", "prefixItems", "additionalProperties"}
DEFINITIONS = {"$defs", "definitions"}
_OF_VALUE = {"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"}
_OF_PARTS = {"patternProperties", "propertyNames", "contains", "unevaluatedItems", "unevaluatedProperties"}
_CONSTRAINTS = _OF_VALUE | _OF_PARTS | {"contentSchema"}
_MAPS = {"properties", "patternProperties", "dependentSchemas", "dependencies"} | DEFINITIONS

# What may stand beside a secret and beside bytes, for the validator is shown neither.
_NOTES = {"title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"}
_NOTES |= {"type", "$ref", "$anchor", "$schema", "$id"} | DEFINITIONS
_BESIDE = {SECRET: _NOTES | {SECRET}, BYTES: _NOTES | {BYTES, "minLength", "maxLength"}}


class Place:
    """A subschema, and what it asks of a position in a value where the structure leads to it.

    `named` leads to the positions below by key or index, `rest` to those under other keys, `items` to those
    at other indexes. `ours` is the `x-` keyword that counts, if any, `sizes` how many bytes there may be.
    `easy` are the types that need no look: none where a secret or bytes stand, no text where digits may.
    """

    def __init__(self, pointer: str, schema: Any) -> None:
        self.pointer = pointer
        self.body: dict[str, Any] = schema if type(schema) is dict else {}
        self.is_closed = schema is False
        self.refs: list[Place] = []  # what its `$ref` leads to, or nothing
        self.constraints: list[tuple[str, Place]] = []  # with the keyword of each
        self.named: dict[str | int | None, Place] = {}
        self.rest = self.items = self  # so `ANYTHING` holds anything
        self.ours = ""
        self.cuts = False  # whether what `named` does not lead to is left out of a receipt
        self.sizes = range(0)
        self.easy = frozenset({type(None), bool, int, float, str})

    def chain(self) -> "list[Place]":
        """The place, what its `$ref` leads to, and so on; the structure is that of the last."""
        return [self, *(link for target in self.refs for link in target.chain())]


ANYTHING = Place("", True)  # where a schema says nothing


def shown(pointer: str) -> str:
    """A JSON pointer for a message."""
    return printable(pointer)[:_POINTER_CHARACTERS_MAX]


def escaped(key: str | int) -> str:
    """A key or index as a reference token of a JSON pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")


def _refuse(place: Place, why: str) -> NoReturn:
    raise InvalidSchema(f"in the schema at `#{shown(place.pointer)}`: {why}", pointer=place.pointer)


def read_schema(document: Any) -> list[Place]:
    """Every place of a document whose keywords have the right form, the root first, or `InvalidSchema`."""
    by_pointer: dict[str, Place] = {}
    _read(document, "", by_pointer, is_structure=True)
    places = list(by_pointer.values())
    for place in places:
        if "$ref" in place.body:
            _refer(place, by_pointer)
    reach: dict[Place, int] = {}
    for place in places:
        _reach(place, reach)
    visits = {ANYTHING: 0}
    for place in places:
        _refuse_constraints(place, visits)
    for place in places:
        _complete(place)
    return places


def _read(schema: Any, pointer: str, places: dict[str, Place], *, is_structure: bool) -> Place:
    """The place at `pointer` with all that is in it; `true` and `false` have no keywords.

    `additionalProperties` beside `patternProperties` only constrains: a key that matches a pattern is no
    additional one, so what stands under it would depend on the key.
    """
    place = places[pointer] = Place(pointer, schema)
    place.rest = place.items = ANYTHING
    _refuse_foreign(place)
    if is_structure and "$ref" in place.body:
        _refuse_beside_ref(place)
    beside = {"additionalProperties"} if "patternProperties" in place.body else set()
    for keyword, held in place.body.items():
        only_constrains = keyword in _CONSTRAINTS | beside
        leads = keyword in DEFINITIONS or (is_structure and not only_constrains)
        for key, part in _entries(keyword, held):
            at = f"{pointer}/{keyword}" + ("" if key is None else f"/{escaped(key)}")
            below = _read(part, at, places, is_structure=leads)
            if only_constrains:
                place.constraints.append((keyword, below))
            elif keyword == "items":
                place.items = below
            elif keyword == "additionalProperties":
                place.rest = below
            elif keyword not in DEFINITIONS:
                place.named[key] = below
    return place


def _entries(keyword: str, held: Any) -> Iterable[tuple[str | int | None, Any]]:
    """The subschemas of a keyword by key or index, if any; `dependencies` may list names instead."""
    if keyword not in STRUCTURE | DEFINITIONS | _CONSTRAINTS:
        return []
    if keyword in _MAPS:
        return [(name, part) for name, part in held.items() if type(part) is not list]
    return enumerate(held) if type(held) is list else [(None, held)]


def _refuse_foreign(place: Place) -> None:
    for keyword, value in place.body.items():
        if keyword in _FOREIGN:
            _refuse(place, f"`{keyword}` is not read; use `$ref`")
        if keyword.startswith("x-") and keyword not in _EVERY:
            _refuse(place, f"no keyword `{printable(keyword)[:64]}`; there are {', '.join(_EVERY)}")
        if keyword in OURS and type(value) is not bool:
            _refuse(place, f"`{keyword}` is true or false")
        if keyword == CUT:
            _refuse_cut(place, value)
    if place.pointer and "$id" in place.body:
        _refuse(place, "only the whole document may have an `$id`")
    if place.body.get("$schema", _DIALECT) not in (_DIALECT, f"{_DIALECT}#"):
        _refuse(place, f"`$schema` is `{_DIALECT}` or absent")


def _refuse_cut(place: Place, value: Any) -> None:
    is_size = not place.pointer and type(value) is int and value > 0
    if type(value) is not bool and not is_size:
        _refuse(place, f"`{CUT}` is true or false, and at the root also a number of bytes")
    if value and not place.body.get("properties"):
        _refuse(place, f"`{CUT}` keeps what `properties` names, and there are none beside it")


def _refuse_beside_ref(place: Place) -> None:
    for keyword in sorted({*STRUCTURE, SET, CUT} & place.body.keys()):
        instead = "state it where `$ref` leads, or under `allOf` if it is only to constrain"
        _refuse(place, f"`{keyword}` beside `$ref` gives a value two structures; {instead}")


def _refer(place: Place, places: dict[str, Place]) -> None:
    reference = place.body["$ref"]
    target = places.get(unquote(reference[1:])) if reference.startswith("#") else None
    if target is None:
        where = f"to no subschema of the document: `{shown(reference)}`"
        _refuse(place, f"`$ref` leads, by JSON pointer, {where}")
    place.refs.append(target)


# --- positions ----------------------------------------------------------------------------------
def _complete(place: Place) -> None:
    """Adds what is asked of a position, which its `$ref` and what stands beside it say together."""
    chain = place.chain()
    bodies = [link.body for link in chain]
    place.ours = _our_keyword(chain)
    place.named, place.rest, place.items = chain[-1].named, chain[-1].rest, chain[-1].items
    place.cuts = bool(chain[-1].body.get(CUT))
    if any(body.get("type") == "integer" for body in bodies):
        place.easy -= {str}
    if place.ours in (SECRET, BYTES):
        place.easy = frozenset()
    least = max(body.get("minLength", 0) for body in bodies)
    most = min(body.get("maxLength", NATURAL_MAX) for body in bodies)
    place.sizes = range(int(least), int(most) + 1)


def _our_keyword(chain: list[Place]) -> str:
    """The `x-` keyword of a position, if any; refuses what would stand beside it without effect."""
    ours = [keyword for keyword in OURS for place in chain if place.body.get(keyword)]
    for place in chain if ours else ():
        words = set(place.body)
        beside = words & {"prefixItems"} if ours[0] == SET else words - _BESIDE[ours[0]]
        if beside:
            _refuse(place, f"`{printable(min(beside))[:64]}` has no place beside `{ours[0]}`")
        if ours[0] != SET and place.body.get("type", "object") not in ("object", "string"):
            _refuse(place, f"`type` beside `{ours[0]}` is object or absent")
    return ours[0] if ours else ""


# --- bounds -------------------------------------------------------------------------------------
def _reach(place: Place, reach: dict[Place, int], above: int = 0) -> int:
    """How many subschemas apply to one value from here on, one after the other.

    What leads back to itself for the same value is refused: it would say nothing, and so admit everything.
    """
    if reach.get(place) == 0:
        _refuse(place, "`$ref` leads back to this place for the same value")
    if above + reach.get(place, 1) > SCHEMA_REACH_MAX:
        _refuse(place, f"more than {SCHEMA_REACH_MAX} subschemas lead to one another here")
    if place not in reach:
        reach[place] = 0  # until those that it leads to are known
        here = [*place.refs, *(part for keyword, part in place.constraints if keyword in _OF_VALUE)]
        reach[place] = 1 + max([_reach(part, reach, above + 1) for part in here], default=0)
    return reach[place]


def _refuse_constraints(place: Place, visits: dict[Place, int]) -> None:
    """Refuses an `x-` keyword to which a constraint leads, and more visits of one value than the bound."""
    ways = [(part, f"{place.pointer}/{keyword}") for keyword, part in place.constraints]
    if sum([_visits(part, source, visits) for part, source in ways]) > SCHEMA_VISITS_MAX:
        _refuse(place, "too many subschemas apply to one value")


def _visits(constraint: Place, source: str, visits: dict[Place, int]) -> int:
    """How often the validator visits one value for a constraint, which it counts by paths and not by places.

    Of several properties or positions a value has one. The validator remembers what it found where a
    subschema leads back to itself, so the way back costs nothing.
    """
    pending = [constraint]
    while pending:
        place = pending[-1]
        apart = list(place.named.values())
        parts = [place.rest, place.items, *place.refs, *(part for _, part in place.constraints)]
        if place not in visits:
            _refuse_ours(place, source)
            visits[place] = 0  # until those below are counted
            pending += [part for part in apart + parts if part not in visits]
        else:
            once = max([visits[part] for part in apart], default=0)
            visits[place] = visits[place] or 1 + once + sum([visits[part] for part in parts])
            pending.pop()
    return visits[constraint]


def _refuse_ours(place: Place, source: str) -> None:
    for keyword in _EVERY:
        if place.body.get(keyword):
            ways = "`properties`, `items`, `prefixItems`, `additionalProperties` and `$ref`"
            only = f"`#{shown(source)}` only constrains, so state it outside of that"
            _refuse(place, f"`{keyword}` counts only where {ways} lead; {only}")
