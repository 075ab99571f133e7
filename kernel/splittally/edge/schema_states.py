"""What a schema asks of each position in a value, beyond what the validator can check.

Rule 1. A position is the set of subschemas that *surely* apply to it (reached through `properties`, `items`,
        `prefixItems`, `additionalProperties` and local `$ref`) and those that *may* (through all others).
Rule 2. An `x-` keyword, and reading digits as an integer, count only where they surely apply; an `x-`
        keyword that only may apply is refused when the schema is loaded.
Rule 3. A prohibition counts wherever it may apply: refusing more is safe, accepting more is not.
Rule 4. The positions are finite, so a schema that refers to itself ends as a cycle of positions.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from splittally.core.canonical import encode
from splittally.edge.schema_places import BYTES, SECRET, SET, Place, refuse

SCHEMA_POSITIONS_MAX = 4_096
SCHEMA_WORK_MAX = 400_000  # looks at a subschema while the positions are drawn; about half a second
_COMPLICATED = "too complicated; use fewer combinations or split it"

Choice = tuple[Callable[[Any], bool], frozenset[bytes]]  # what the validator takes, and what is meant
CompileEnum = Callable[[list[Any]], Callable[[Any], bool]]
_Places = frozenset[Place]


class Position:
    """What is asked of one position; `props`, `prefix`, `rest` and `items` lead to those below it."""

    __slots__ = (
        "bytes_max",
        "bytes_min",
        "choices",
        "easy",
        "is_bytes",
        "is_secret",
        "is_set",
        "is_whole",
        "items",
        "prefix",
        "props",
        "reads_digits",
        "rest",
    )
    props: "dict[str, Position]"
    rest: "Position"
    prefix: "list[Position]"
    items: "Position"

    def __init__(self, sure: _Places, may: _Places, choices: list[Choice]) -> None:
        bodies = [place.body for place in sure]
        self.is_set = any(body.get(SET) is True for body in bodies)
        self.is_secret = any(body.get(SECRET) is True for body in bodies)
        self.is_bytes = any(body.get(BYTES) is True for body in bodies)
        self.bytes_min = max((body.get("minLength", 0) for body in bodies), default=0)
        self.bytes_max = min((body["maxLength"] for body in bodies if "maxLength" in body), default=None)
        self.reads_digits = any(body.get("type") == "integer" for body in bodies)
        self.is_whole = any(_is_whole(place.body.get("type")) for place in sure | may)
        self.choices = choices
        self.easy = self.easy_types()

    def easy_types(self) -> frozenset[type]:
        """The scalar types whose values need no look at this position."""
        if self.is_secret or self.is_bytes:
            return frozenset()
        easy = {type(None), bool}
        if not self.reads_digits:
            easy.add(str)
        if not self.choices:
            easy.add(int)
        if not (self.choices or self.is_whole):
            easy.add(float)
        return frozenset(easy)


def _is_whole(types: Any) -> bool:
    return "integer" in types and "number" not in types if type(types) is list else types == "integer"


def choices_in(body: dict[str, Any]) -> Iterator[list[Any]]:
    """The values of `enum` and `const` where a number in them could be taken for another number."""
    if "const" in body and _holds_number(body["const"]):
        yield [body["const"]]
    if "enum" in body and _holds_number(body["enum"]):
        yield body["enum"]


def _holds_number(value: Any) -> bool:
    if type(value) in (dict, list):
        return any(map(_holds_number, value.values() if type(value) is dict else value))
    return type(value) in (int, float)


def root_position(root: Place, compile_enum: CompileEnum) -> Position:
    """The position of the whole value; `InvalidSchema` when an `x-` keyword is out of reach."""
    return _Map(compile_enum).draw(root)


class _Map:
    """Draws all positions of a schema, each pair of sets once."""

    def __init__(self, compile_enum: CompileEnum) -> None:
        self.compile_enum = compile_enum
        self.positions: dict[tuple[_Places, _Places], Position] = {}
        self.pending: list[tuple[Position, _Places, _Places]] = []
        self.choices: dict[Place, list[Choice]] = {}
        self.work = 0

    def draw(self, root: Place) -> Position:
        start = self.position([root], [])
        while self.pending:
            position, sure, may = self.pending.pop()
            self.lead_on(position, sure, may)
        return start

    def position(self, sure: Iterable[Place], may: Iterable[Place]) -> Position:
        """The position where these apply, with all that they apply to the same value."""
        certain = _closed(sure, lambda place: () if place.ref is None else (place.ref,))
        inner = (part for place in certain for part in place.here())
        possible = _closed((*may, *inner), Place.all_here) - certain
        self.spend(len(certain) + len(possible))
        key = (certain, possible)
        if key in self.positions:
            return self.positions[key]
        if len(self.positions) == SCHEMA_POSITIONS_MAX:
            refuse("", _COMPLICATED)
        for place in possible:
            if found := next((name for name in (SET, SECRET, BYTES) if place.body.get(name)), None):
                refuse(place.pointer, _out_of_reach(found))
        everything = sorted(certain | possible, key=lambda place: place.pointer)
        choices = [choice for place in everything for choice in self.choices_of(place)]
        position = self.positions[key] = Position(certain, possible, choices)
        if position.is_secret + position.is_bytes + position.is_set > 1:
            refuse(min(place.pointer for place in certain), "a value has one `x-` keyword")
        self.pending.append((position, certain, possible))
        return position

    def spend(self, work: int) -> None:
        self.work += work + 1
        if self.work > SCHEMA_WORK_MAX:
            refuse("", _COMPLICATED)

    def choices_of(self, place: Place) -> list[Choice]:
        if place not in self.choices:
            self.choices[place] = [
                (self.compile_enum(allowed), frozenset(map(encode, allowed)))
                for allowed in choices_in(place.body)
            ]
        return self.choices[place]

    def lead_on(self, position: Position, sure: _Places, may: _Places) -> None:
        names = {name for place in (*sure, *may) for name in place.maps.get("properties", {})}
        sizes = [len(place.lists.get("prefixItems", ())) for place in (*sure, *may)]
        position.props = {name: self.property(name, sure, may) for name in sorted(names)}
        position.rest = self.property(None, sure, may)
        position.prefix = [self.item(at, sure, may) for at in range(max(sizes, default=0))]
        position.items = self.item(None, sure, may)
        for place in sorted((*sure, *may), key=lambda place: place.pointer):
            for keyword in ("propertyNames", "contentSchema"):
                if keyword in place.ones:
                    self.position([], [place.ones[keyword]])

    def property(self, name: str | None, sure: _Places, may: _Places) -> Position:
        """The position under a key; under every key that no `properties` names when `name` is None."""
        self.spend(len(sure) + len(may))
        certain: list[Place] = []
        possible: list[Place] = []
        for place in (*sure, *may):
            is_sure = place in sure
            named = place.maps.get("properties", {})
            patterns = place.maps.get("patternProperties", {})
            possible.extend(patterns.values())
            if "unevaluatedProperties" in place.ones:
                possible.append(place.ones["unevaluatedProperties"])
            if name in named:
                (certain if is_sure else possible).append(named[name])
            elif "additionalProperties" in place.ones:
                (certain if is_sure and not patterns else possible).append(place.ones["additionalProperties"])
        return self.position(certain, possible)

    def item(self, at: int | None, sure: _Places, may: _Places) -> Position:
        """The position at an index; behind every `prefixItems` when `at` is None."""
        self.spend(len(sure) + len(may))
        certain: list[Place] = []
        possible: list[Place] = []
        for place in (*sure, *may):
            prefix = place.lists.get("prefixItems", [])
            possible.extend(
                place.ones[word] for word in ("contains", "unevaluatedItems") if word in place.ones
            )
            if at is not None and at < len(prefix):
                (certain if place in sure else possible).append(prefix[at])
            elif "items" in place.ones:
                (certain if place in sure else possible).append(place.ones["items"])
        return self.position(certain, possible)


def _closed(start: Iterable[Place], step: Callable[[Place], Iterable[Place]]) -> _Places:
    """The places and all that `step` leads to from them."""
    found = set(start)
    pending = list(found)
    while pending:
        new = set(step(pending.pop())) - found
        found |= new
        pending.extend(new)
    return frozenset(found)


def _out_of_reach(keyword: str) -> str:
    return (
        f"`{keyword}` counts only where `properties`, `items`, `prefixItems`, local `$ref` and, without "
        "`patternProperties`, `additionalProperties` lead to it"
    )
