"""Says where a value does not fit its schema, and what the schema says there.

The validator's own errors hold those of every branch of every `anyOf`: for a megabyte of params they take
seconds and a gigabyte. Here the structure is walked and the validator asked about one position after another.

Rule 1. Told are the keywords that fail by themselves; where none does, the innermost constraint that fails.
Rule 2. An error is a JSON pointer into the value and a sentence about the schema; it repeats no value.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import quote

import jsonschema_rs

from splittally.edge.json_values import printable
from splittally.edge.schema.document import CONSTRAINTS, DEFINITIONS, STRUCTURE, escaped
from splittally.edge.schema.structure import Node, constraints_at
from splittally.edge.schema.validator import EXACT, EXACT_OPTIONS

ERRORS_MAX = 8
_REASON_CHARACTERS_MAX = 200
_URI = "urn:splittally:schema"
_MASK = "this"  # stands in a message where the value would

Error = tuple[str, str]


class Explainer:
    """Finds the errors of values that do not fit one schema."""

    def __init__(self, document: Any, root: Node) -> None:
        self._root = root
        self._registry = jsonschema_rs.Registry([(_URI, document)])
        self._plain: dict[Node, Any] = {}
        self._whole: dict[Node, Any] = {}

    def first_errors(self, value: Any) -> list[Error]:
        """The first errors of a value that does not fit, from the root down and in order."""
        plain = (
            (pointer, why)
            for node, part, pointer in _positions(self._root, value)
            for why in self._plain_errors(node, part)
        )
        return list(islice(plain, ERRORS_MAX)) or [self._constraint_error(value)]

    def _plain_errors(self, node: Node, value: Any) -> Iterator[str]:
        if any(place.is_closed for place in node.places):
            yield "has no place here"
        errors = list(self._plain_of(node).iter_errors(value))
        for error in [error for error in errors if error.schema_path[-1] != EXACT] or errors:
            yield printable(error.message.removeprefix(f"{_MASK} "))[:_REASON_CHARACTERS_MAX]

    def _constraint_error(self, value: Any) -> Error:
        found = "", "does not fit"
        for node, part, pointer in _positions(self._root, value):
            words = [word for place in node.places for word in constraints_at(place)]
            if words and not self._whole_of(node).is_valid(part):
                found = pointer, f"does not fit `{'` or `'.join(words)}`"
        return found

    def _plain_of(self, node: Node) -> Any:
        """The validator of the keywords at a position that hold no subschema."""
        if node not in self._plain:
            left_out = STRUCTURE | CONSTRAINTS | DEFINITIONS | {"$ref", "$id"}
            bodies = [
                {word: asked for word, asked in place.body.items() if word not in left_out}
                for place in node.places
            ]
            self._plain[node] = jsonschema_rs.Draft202012Validator(
                {"allOf": bodies}, mask=_MASK, **EXACT_OPTIONS
            )
        return self._plain[node]

    def _whole_of(self, node: Node) -> Any:
        """The validator of everything that the schema says of a position."""
        if node not in self._whole:
            schema = {"$ref": f"{_URI}#{quote(node.places[0].pointer)}"}
            self._whole[node] = jsonschema_rs.Draft202012Validator(
                schema, registry=self._registry, **EXACT_OPTIONS
            )
        return self._whole[node]


def _positions(root: Node, value: Any) -> Iterator[tuple[Node, Any, str]]:
    """Every position of a value with its node and pointer, from the root down and in order."""
    pending = [(root, value, "")]
    while pending:
        node, part, pointer = pending.pop()
        yield node, part, pointer
        is_map = type(part) is dict
        entries = part.items() if is_map else enumerate(part) if type(part) is list else ()
        below = [
            (node.named.get(key, node.rest if is_map else node.items), item, f"{pointer}/{escaped(str(key))}")
            for key, item in entries
        ]
        pending += reversed(below)
