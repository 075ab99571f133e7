"""Asks the validator of the standard whether a value in normal form fits, and where and why it does not.

Rule 1. No file and no connection is opened, formats assert nothing, patterns do not backtrack.
Rule 2. 1 and 1.0 are two values. The validator takes them for one, so where a value or a schema holds a float
        it is asked with the keyword `_EXACT` beside each `type`, `const` and `enum` for which that matters.
Rule 3. Told are the keywords that fail by themselves; where none does, the innermost constraint that fails.
        An error is a JSON pointer into the value and a sentence about the schema; it repeats no value.

The validator's own errors hold those of every branch of every `anyOf`: for a megabyte of params they take
seconds and a gigabyte. So the structure is walked and the validator asked about one position after another.
"""

from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from typing import Any
from urllib.parse import quote

import jsonschema_rs

from splittally.core.canonical import encode
from splittally.core.errors import InvalidSchema
from splittally.edge.json_values import printable
from splittally.edge.schema.normalize import Error, entries
from splittally.edge.schema.structure import BYTES, DEFINITIONS, SECRET, STRUCTURE, Place, escaped

ERRORS_MAX = 8
_REASON_CHARACTERS_MAX = 200
_URI = "urn:splittally:schema"
_MASK = "this"  # stands in a message where the value would
_EXACT = "x-exact"  # stands in what the validator is shown, never in a document


class _Exact:
    """Refuses a float where `type` says integer, and what only resembles a value of `const` or `enum`."""

    def __init__(self, body: dict[str, Any], *_: Any) -> None:
        self._is_whole = _is_whole(body)
        self._choices = [frozenset(map(encode, listed)) for listed in _listed(body)]

    def validate(self, value: Any) -> None:
        if self._is_whole and type(value) is float:
            raise ValueError("a float where the schema says integer")
        if any(encode(value) not in choices for choices in self._choices):
            raise ValueError("none of the values that the schema lists, where 1 and 1.0 are two")


def _is_whole(body: dict[str, Any]) -> bool:
    types = body.get("type", "")
    return "integer" in types and "number" not in types  # whether that is one name or a list of them


def _listed(body: dict[str, Any]) -> list[list[Any]]:
    constant = [[body["const"]]] if "const" in body else []
    return [body["enum"], *constant] if "enum" in body else constant


_OPTIONS: dict[str, Any] = {
    "offline": True,  # the default opens files and connections
    "validate_formats": False,
    "pattern_options": jsonschema_rs.RegexOptions(),  # the default engine backtracks
}
_EXACTLY: dict[str, Any] = _OPTIONS | {"keywords": {_EXACT: _Exact}, "mask": _MASK}


def compiled(document: Any, options: dict[str, Any] = _OPTIONS) -> Any:
    """What judges values by a document; `InvalidSchema` where a keyword of the standard has a wrong form."""
    try:
        return jsonschema_rs.Draft202012Validator(document, **options)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        reason = printable(str(getattr(error, "message", error)))[:_REASON_CHARACTERS_MAX]
        raise InvalidSchema(f"not a JSON Schema of 2020-12: {reason}") from None


class Validator:
    """Judges values in normal form by a document that nobody else changes, and its places, the root first."""

    def __init__(self, document: Any, places: list[Place]) -> None:
        for place in places:
            _show(place.body)
        self._document = document
        self._root = places[0]
        self._judges_of = cache(self._compiled)
        self.is_valid = compiled(document).is_valid

    @cached_property
    def is_valid_exactly(self) -> Any:
        """Whether a value fits that may hold a float; of others `is_valid` says the same, and faster."""
        return compiled(self._document, _EXACTLY).is_valid

    @cached_property
    def _registry(self) -> Any:
        return jsonschema_rs.Registry([(_URI, self._document)])

    def first_errors(self, value: Any) -> list[Error]:
        """The first errors of a value that does not fit, from the root down and in order."""
        told: list[Error] = []
        innermost = "", "does not fit"
        for place, part, pointer in _positions(self._root, value):
            plain, whole = self._judges_of(place)
            told += [(pointer, why) for why in _reasons(place, plain.iter_errors(part))]
            if len(told) >= ERRORS_MAX:
                break
            if not told and not whole.is_valid(part):
                innermost = pointer, f"does not fit `{'` or `'.join(_constraints(place))}`"
        return told[:ERRORS_MAX] or [innermost]

    def _compiled(self, place: Place) -> tuple[Any, Any]:
        """What judges by the keywords that hold no subschema and, where there are constraints, by all."""
        words = _constraints(place)
        left_out = {"$ref", "$id", *STRUCTURE, *DEFINITIONS, *words}
        bodies = [
            {word: asked for word, asked in link.body.items() if word not in left_out}
            for link in place.chain()
        ]
        whole = {"$ref": f"{_URI}#{quote(place.pointer)}"} if words else True
        options = _EXACTLY | {"registry": self._registry}
        return compiled({"allOf": bodies}, options), compiled(whole, options)


def _show(body: dict[str, Any]) -> None:
    """Makes a subschema what the validator is shown: `x-secret` and `x-bytes` are for `normalize` alone."""
    if body.get(SECRET) or body.get(BYTES):
        body.clear()
    elif _is_whole(body) or any(type(value) is not str for listed in _listed(body) for value in listed):
        body[_EXACT] = True


def _constraints(place: Place) -> list[str]:
    """The keywords that constrain a position, each once."""
    return list(dict.fromkeys(keyword for link in place.chain() for keyword, _ in link.constraints))


def _reasons(place: Place, found: Iterable[Any]) -> list[str]:
    """The sentences for errors of keywords; of what is no number, `_EXACT` has nothing to add."""
    errors = list(found)
    errors = [error for error in errors if error.schema_path[-1] != _EXACT] or errors
    said = [printable(error.message.removeprefix(f"{_MASK} "))[:_REASON_CHARACTERS_MAX] for error in errors]
    return ["has no place here", *said] if any(link.is_closed for link in place.chain()) else said


def _positions(place: Place, value: Any, pointer: str = "") -> Iterator[tuple[Place, Any, str]]:
    """Every position of a value with its place and pointer, from the root down and in order."""
    yield place, value, pointer
    rest = place.rest if type(value) is dict else place.items
    for key, item in entries(value):
        yield from _positions(place.named.get(key, rest), item, f"{pointer}/{escaped(key)}")
