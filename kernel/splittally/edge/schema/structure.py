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
"""

from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import unquote

from splittally.core.errors import InvalidSchema
from splittally.edge.json_values import printable

SCHEMA_REACH_MAX = 32  # subschemas one after the other for the same value: `$ref` to `$ref` to ...
SCHEMA_VISITS_MAX = 10_000  # of one value: `allOf` of `allOf` of ... doubles them with every line
_POINTER_CHARACTERS_MAX = 200  # of a place that a message shows

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
SECRET, BYTES, SET = OURS = ("x-secret", "x-bytes", "x-set")
CUT = "x-cut"

# The keywords that hold subschemas: `_MAPS` a map of them, the others one or a list.
STRUCTURE = {"properties", "items", "prefixItems", "additionalProperties"}
DEFINITIONS = {"$defs", "definitions"}
_OF_VALUE = {"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"}
_OF_PARTS = {"patternProperties", "propertyNames", "contains", "unevaluatedItems", "unevaluatedProperties"}
_CONSTRAINTS = _OF_VALUE | _OF_PARTS | {"contentSchema"}
_MAPS = {"properties", "patternProperties", "dependentSchemas", "dependencies"} | DEFINITIONS
_HOLDERS = STRUCTURE | DEFINITIONS | _CONSTRAINTS

# What may stand beside a secret and beside bytes, for the validator is shown neither.
_NOTES = {"title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"}
_NOTES |= {"type", "$ref", "$anchor", "$schema", "$id"} | DEFINITIONS
_BESIDE = {SECRET: _NOTES | {SECRET}, BYTES: _NOTES | {BYTES, "minLength", "maxLength"}}


class Place:
    """A subschema, and what it asks of a position in a value where the structure leads to it.

    `bodies` are its keywords, then those of what its `$ref` leads to, and so on; `words` are the keywords of
    all their constraints. `named` leads to the positions below by key or index, `rest` to those under other
    keys, `items` to those at other indexes. `ours` is the `x-` keyword that counts, if any. `easy` are the
    types that need no look: none where a secret or bytes stand, no text where digits may.
    """

    def __init__(self, pointer: str, schema: Any) -> None:
        self.pointer = pointer
        self.body: dict[str, Any] = schema if type(schema) is dict else {}
        self.bodies = [self.body]
        self.is_closed = schema is False
        self.refs: list[Place] = []  # what its `$ref` leads to, or nothing
        self.constraints: list[tuple[str, Place]] = []  # with the keyword of each
        self.words: list[str] = []
        self.named: dict[str | int | None, Place] = {}
        self.rest = self.items = self  # so `_ANYTHING` holds anything
        self.ours = ""
        self.cuts = False  # whether what `named` does not lead to is left out of a receipt
        self.easy = frozenset({type(None), bool, int, float, str})


_ANYTHING = Place("", True)  # where a schema says nothing
NO_SCHEMA = Place("", True)  # where there is no schema: bytes, too
NO_SCHEMA.easy |= {bytes}


def shown(pointer: str) -> str:
    """A JSON pointer for a message."""
    return printable(pointer)[:_POINTER_CHARACTERS_MAX]


def escaped(key: str | int) -> str:
    """A key or index as a reference token of a JSON pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")


def read_schema(document: Any) -> list[Place]:
    """Every place of a document whose keywords have the right form, the root first, or `InvalidSchema`."""
    found: dict[str, Place] = {}
    _read(document, "", found, is_structure=True)
    places = list(found.values())
    for place in places:
        place.refs = [_target(place, found)] if "$ref" in place.body else []
    visits = {_ANYTHING: 0}
    for place in places:
        ways = [(part, f"{place.pointer}/{keyword}") for keyword, part in place.constraints]
        if sum([_visits(part, source, visits) for part, source in ways]) > SCHEMA_VISITS_MAX:
            _refuse(place, "too many subschemas apply to one value")
    _complete_in_order(places)
    return places


def _refuse(place: Place, why: str) -> NoReturn:
    raise InvalidSchema(f"in the schema at `#{shown(place.pointer)}`: {why}", pointer=place.pointer)


# --- reading ------------------------------------------------------------------------------------
def _read(schema: Any, pointer: str, found: dict[str, Place], *, is_structure: bool) -> Place:
    """The place at `pointer` with all that is in it; `true` and `false` have no keywords.

    `additionalProperties` beside `patternProperties` only constrains: a key that matches a pattern is no
    additional one, so what stands under it would depend on the key.
    """
    place = found[pointer] = Place(pointer, schema)
    place.rest = place.items = _ANYTHING
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
            _refuse(place, f"`{keyword}` is not read; use `$ref`")
        if keyword.startswith("x-") and keyword not in (*OURS, CUT):
            _refuse(place, f"no keyword `{printable(keyword)[:64]}`; there are {', '.join(OURS)} and {CUT}")
        is_size = keyword == CUT and not place.pointer and type(value) is int and value > 0
        if keyword in (*OURS, CUT) and type(value) is not bool and not is_size:
            also = ", and at the root also a number of bytes" if keyword == CUT else ""
            _refuse(place, f"`{keyword}` is true or false{also}")
        if is_structure and "$ref" in body and keyword in {*STRUCTURE, SET}:
            instead = "state it where `$ref` leads, or under `allOf` if it is only to constrain"
            _refuse(place, f"`{keyword}` beside `$ref` gives a value two structures; {instead}")
    if body.get(CUT) and not body.get("properties"):
        _refuse(place, f"`{CUT}` keeps what `properties` names, and there are none beside it")
    if place.pointer and "$id" in body:
        _refuse(place, "only the whole document may have an `$id`")
    if body.get("$schema", _DIALECT) not in (_DIALECT, f"{_DIALECT}#"):
        _refuse(place, f"`$schema` is `{_DIALECT}` or absent")


def _target(place: Place, found: dict[str, Place]) -> Place:
    """The place that a `$ref` leads to."""
    reference = place.body["$ref"]
    target = found.get(unquote(reference[1:])) if reference.startswith("#") else None
    if target is None:
        where = f"to no subschema of the document: `{shown(reference)}`"
        _refuse(place, f"`$ref` leads, by JSON pointer, {where}")
    return target


# --- constraints --------------------------------------------------------------------------------
def _visits(constraint: Place, source: str, visits: dict[Place, int]) -> int:
    """How often the validator visits one value for a constraint; refuses the `x-` keywords on the way.

    It counts by paths and not by places. Of several positions below a value has one. The validator
    remembers what it found where a subschema leads back to itself, so the way back costs nothing.
    """
    pending = [constraint]
    while pending:
        place = pending[-1]
        below = [*place.named.values(), place.rest, place.items]
        applied = [*place.refs, *(part for _, part in place.constraints)]
        if place not in visits:
            _refuse_ours(place, source)
            visits[place] = 0  # until those below are counted
            pending += [part for part in below + applied if part not in visits]
        else:
            once = max([visits[part] for part in below])
            visits[place] = visits[place] or 1 + once + sum([visits[part] for part in applied])
            pending.pop()
    return visits[constraint]


def _refuse_ours(place: Place, source: str) -> None:
    for keyword in filter(place.body.get, (*OURS, CUT)):
        ways = "`properties`, `items`, `prefixItems`, `additionalProperties` and `$ref`"
        only = f"`#{shown(source)}` only constrains, so state it outside of that"
        _refuse(place, f"`{keyword}` counts only where {ways} lead; {only}")


# --- positions ----------------------------------------------------------------------------------
def _complete_in_order(places: list[Place]) -> None:
    """Completes the places in rounds, each after those that it applies to the same value.

    For what leads back to itself for the same value no round comes: it would say nothing, and so admit
    everything.
    """
    waiting = {
        place: [*place.refs, *(part for keyword, part in place.constraints if keyword in _OF_VALUE)]
        for place in places
    }
    for _ in range(SCHEMA_REACH_MAX):
        for place in [place for place, applied in waiting.items() if waiting.keys().isdisjoint(applied)]:
            _complete(place)
            del waiting[place]
    stuck = next(iter(waiting), None)
    if stuck:
        for _ in range(SCHEMA_REACH_MAX):  # onwards, into the circle
            stuck = next(filter(waiting.__contains__, waiting[stuck]), stuck)
        _refuse(stuck, f"`$ref` leads back for the same value, or on for more than {SCHEMA_REACH_MAX} steps")


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
            _refuse(place, f"`{printable(min(beside))[:64]}` has no place beside `{ours}`")
        if ours != SET and body.get("type", "object") not in ("object", "string"):
            _refuse(place, f"`type` beside `{ours}` is object or absent")
    return ours
