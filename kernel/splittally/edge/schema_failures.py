"""Says where a value does not fit its schema, in time bounded by the failures that are told.

The validator's own list of errors grows exponentially with nesting under `anyOf`, so an unfit value
of one kilobyte could hold a process for minutes. Here the validator only answers yes or no.

Rule 1. Only what failed is followed, and only down to `FAILURES_MAX` failures.
Rule 2. A failure is a JSON pointer into the value and a sentence about the schema; it repeats no value.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import jsonschema_rs

from splittally.edge.json_values import printable
from splittally.edge.schema_places import Place, escaped

FAILURES_MAX = 8
CHECKS_MAX = 5_000  # yes-or-no questions to the validator; then the failure is told where it was last seen
_REASON_CHARACTERS_MAX = 200
_MASK = "this"
_PLAIN = frozenset(
    {"type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"}
    | {
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxContains",
        "minContains",
    }
    | {"maxProperties", "minProperties", "required", "dependentRequired"}
)
_JOINED = (
    *("anyOf", "oneOf", "not", "if", "contains", "propertyNames", "dependentSchemas", "dependencies"),
    *("patternProperties", "additionalProperties", "unevaluatedProperties", "unevaluatedItems"),
)

Failure = tuple[str, str]


class Failures:
    """Finds failures for one schema; compiles its subschemas when the first value fails."""

    def __init__(self, document: Any, root: Place, options: dict[str, Any]) -> None:
        self.document = document
        self.root = root
        self.options = options
        self.fits = jsonschema_rs.validator_map_for(document, **options)

    def of(self, value: Any) -> list[Failure]:
        """The first failures of a value that does not fit, from the root down."""
        failures: list[Failure] = []
        pending = [(self.root, value, "")]
        left = CHECKS_MAX
        while pending and len(failures) < FAILURES_MAX:
            place, part, pointer = pending.pop()
            own = self.plain(place, part, pointer)
            asked = list(islice(_parts(place, part), left))
            left -= len(asked)
            inner = [
                (below, item, f"{pointer}/{escaped(token)}" if token is not None else pointer)
                for below, item, token in asked
                if self.is_unfit(below, item)
            ]
            failures += own or ([] if inner else [(pointer, _other(place))])
            pending += reversed(inner)
        return failures[:FAILURES_MAX]

    def is_unfit(self, place: Place, value: Any) -> bool:
        if place.is_closed:
            return True
        validator = self.fits.get(f"#{place.pointer}")
        return validator is not None and not validator.is_valid(value)

    def plain(self, place: Place, value: Any, pointer: str) -> list[Failure]:
        """What the keywords that need no subschema say."""
        plain = {word: place.body[word] for word in place.body if word in _PLAIN}
        if not plain:
            return []
        validator = jsonschema_rs.Draft202012Validator(plain, mask=_MASK, **self.options)
        messages = (error.message.removeprefix(f"{_MASK} ") for error in validator.iter_errors(value))
        return [(pointer, printable(message)[:_REASON_CHARACTERS_MAX]) for message in messages]


def _other(place: Place) -> str:
    """What is left to blame where no plain keyword and no single part failed."""
    words = " or ".join(f"`{word}`" for word in _JOINED if word in place.body)
    return f"does not fit {words}" if words else "has no place here" if place.is_closed else "does not fit"


def _parts(place: Place, value: Any) -> Iterator[tuple[Place, Any, str | None]]:
    """The value, and what it holds by its token, with each subschema that must hold for it."""
    for part in (*([place.ref] if place.ref else ()), *place.lists.get("allOf", ())):
        yield part, value, None
    if type(value) is dict:
        named, others = place.maps.get("properties", {}), place.ones.get("additionalProperties")
        has_patterns = bool(place.maps.get("patternProperties"))
        for key, item in value.items():
            if key in named:
                yield named[key], item, key
            elif others is not None and not has_patterns:
                yield others, item, key
    if type(value) is list:
        prefix, rest = place.lists.get("prefixItems", []), place.ones.get("items")
        for index, item in enumerate(value):
            if index < len(prefix):
                yield prefix[index], item, str(index)
            elif rest is not None:
                yield rest, item, str(index)
