"""A place of a schema document: a subschema, and the position in a value to which it leads."""

from typing import Any, NoReturn

from splittally.core.errors import InvalidSchema
from splittally.edge.json_values import printable

_POINTER_CHARACTERS_MAX = 200  # of a place that a message shows

# The keywords that apply subschemas to the same value.
OF_VALUE = {"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"}


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
        self.rest = self.items = self  # so `ANYTHING` holds anything
        self.ours = ""
        self.cuts = False  # whether what `named` does not lead to is left out of a receipt
        self.easy = frozenset({type(None), bool, int, float, str})


ANYTHING = Place("", True)  # where a schema says nothing
NO_SCHEMA = Place("", True)  # where there is no schema: bytes, too
NO_SCHEMA.easy |= {bytes}


def shown(pointer: str) -> str:
    """A JSON pointer for a message."""
    return printable(pointer)[:_POINTER_CHARACTERS_MAX]


def escaped(key: str | int) -> str:
    """A key or index as a reference token of a JSON pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")


def refuse(place: Place, why: str) -> NoReturn:
    """Raises `InvalidSchema` for what stands at a place."""
    raise InvalidSchema(f"in the schema at `#{shown(place.pointer)}`: {why}", pointer=place.pointer)
