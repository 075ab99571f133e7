"""The structure of a schema: a tree of nodes, one for each position in a value (spec/01, "JSON Schema").

Rule 1. Structure is what `properties`, `items`, `prefixItems`, `additionalProperties` and `$ref` lead to.
        Only there do the `x-` keywords count and digits become integers.
Rule 2. Every other subschema is a constraint: it may refuse a value and never changes how it is read. An
        `x-` keyword in one is refused by its name and place, for it would hold or not by what the value is.
Rule 3. A position has one structure: none stands beside `$ref`.

    {"properties": {"to": {"$ref": "#/$defs/names"}},          the root is one node, `to` another: a set,
     "anyOf": [{"required": ["to"]}, {"maxProperties": 0}],    for `$ref` leads to it; the two subschemas
     "$defs": {"names": {"x-set": true}}}                      of `anyOf` are constraints on the root

    {"anyOf": [{"properties": {"to": {"x-set": true}}}, {}]}   refused at `#/anyOf/0/properties/to`
"""

from collections.abc import Iterable

from splittally.edge.json_values import printable
from splittally.edge.schema.document import (
    BYTES,
    CONSTRAINTS,
    DEFINITIONS,
    OURS,
    POINTER_CHARACTERS_MAX,
    SECRET,
    SET,
    STRUCTURE,
    Place,
    refuse,
)

_NOTES = {"title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"}
_NOTES |= {"type", "$ref", "$anchor", "$schema", "$id", *DEFINITIONS}
_BESIDE = {SECRET: _NOTES | {SECRET}, BYTES: _NOTES | {BYTES, "minLength", "maxLength"}}


class Node:
    """What a schema asks of one position in a value.

    `named` leads to the positions below it by key or index, `rest` to those under other keys, `items` to
    those at other indexes. `places` are its subschema and what `$ref` leads to from there, one after the
    other. `easy` are the types that need no look.
    """

    __slots__ = (
        *("bytes_max", "bytes_min", "easy", "is_bytes", "is_opaque", "is_secret", "is_set"),
        *("items", "named", "places", "reads_digits", "rest"),
    )

    def __init__(self, place: Place) -> None:
        self.places = [place]
        while (target := self.places[-1].ref) is not None:
            self.places.append(target)
        bodies = [place.body for place in self.places]
        self.is_set = any(body.get(SET) for body in bodies)
        self.is_secret = any(body.get(SECRET) for body in bodies)
        self.is_bytes = any(body.get(BYTES) for body in bodies)
        self.bytes_min = max(body.get("minLength", 0) for body in bodies)
        self.bytes_max = min((body["maxLength"] for body in bodies if "maxLength" in body), default=None)
        self.reads_digits = any(body.get("type") == "integer" for body in bodies)
        self.is_opaque = self.is_secret or self.is_bytes
        easy = set() if self.is_opaque else {type(None), bool, int, float, str}
        self.easy = frozenset(easy - {str} if self.reads_digits else easy)
        self.named: dict[str | int, Node] = {}
        self.rest = self.items = self  # so `ANYTHING` holds anything


ANYTHING = Node(Place("", {}, False, []))  # where a schema says nothing


def structure_of(places: list[Place]) -> Node:
    """The node of the whole value; `InvalidSchema` where an `x-` keyword or structure is out of place.

    A schema that refers to itself gives a circle of nodes.
    """
    nodes: dict[Place, Node] = {}
    pending = [part for place in places for keyword, _, part in place.parts if keyword in DEFINITIONS]
    pending.append(places[0])
    while pending:
        place = pending.pop()
        if place not in nodes:
            nodes[place] = Node(place)
            pending += [part for keyword, _, part in nodes[place].places[-1].parts if keyword in STRUCTURE]
    for node in nodes.values():
        _refuse_misused(node)
        _lead_on(node, nodes)
    _refuse_constrained(nodes.values())
    return nodes[places[0]]


def _lead_on(node: Node, nodes: dict[Place, Node]) -> None:
    node.rest = node.items = ANYTHING
    for keyword, token, part in node.places[-1].parts:
        if keyword == "properties":
            node.named[token] = nodes[part]
        elif keyword == "prefixItems":
            node.named[int(token)] = nodes[part]
        elif keyword == "items":
            node.items = nodes[part]
        elif keyword == "additionalProperties" and keyword not in constraints_at(node.places[-1]):
            node.rest = nodes[part]


def constraints_at(place: Place) -> list[str]:
    """The keywords of a place that hold constraints.

    `additionalProperties` is one beside `patternProperties`: a key that matches a pattern is no additional
    one, so what stands under it would depend on the key.
    """
    unsure = {"additionalProperties"} if "patternProperties" in place.body else set()
    return [keyword for keyword in place.body if keyword in CONSTRAINTS | unsure]


def _refuse_misused(node: Node) -> None:
    """Refuses what would give a position two meanings, or stand beside an `x-` keyword without effect."""
    for place in node.places[:-1]:
        for keyword in sorted({*STRUCTURE, SET} & place.body.keys()):
            instead = "state it where `$ref` leads, or under `allOf` if it is only to constrain"
            refuse(place, f"`{keyword}` beside `$ref` gives a value two structures; {instead}")
    ours = [keyword for place in node.places for keyword in OURS if place.body.get(keyword)]
    if len(ours) > 1:
        refuse(node.places[0], f"a value has one `x-` keyword, not `{'` and `'.join(ours)}`")
    for place in node.places if ours else ():
        words = set(place.body)
        beside = words & {"prefixItems"} if node.is_set else words - _BESIDE[ours[0]]
        if beside:
            refuse(place, f"`{printable(min(beside))[:64]}` has no place beside `{ours[0]}`")
        if node.is_opaque and place.body.get("type", "object") not in ("object", "string"):
            refuse(place, f"`type` beside `{ours[0]}` is object or absent")


def _refuse_constrained(nodes: Iterable[Node]) -> None:
    """Refuses an `x-` keyword wherever a constraint leads; `source` is the constraint it is reached from."""
    pending: list[tuple[Place, str]] = []
    for place in [place for node in nodes for place in node.places]:
        only = constraints_at(place)
        pending += [(part, f"{place.pointer}/{word}") for word, _, part in place.parts if word in only]
    seen: set[Place] = set()
    while pending:
        place, source = pending.pop()
        for keyword in OURS:
            if place.body.get(keyword):
                ways = "`properties`, `items`, `prefixItems`, `additionalProperties` and `$ref`"
                source = printable(source)[:POINTER_CHARACTERS_MAX]
                refuse(
                    place,
                    f"`{keyword}` counts only where {ways} lead; `#{source}` only constrains, "
                    "so state it outside of that",
                )
        pending += [(part, source) for part in place.within() if part not in seen]
        seen.update(place.within())
