"""Asks the validator of the standard whether a value in normal form fits, and where and why it does not.

Rule 1. No file and no connection is opened, formats assert nothing, patterns do not backtrack.
Rule 2. 1 and 1.0 are two values. The validator takes them for one, so where a value or a schema holds a float
        `_Exact` stands in for the keywords to which that matters.
Rule 3. Told are the keywords that fail by themselves; where none does, the innermost constraint that fails.
        An error is a JSON pointer into the value and a sentence about the schema; it repeats no value.
Rule 4. The library is loaded with the first schema: opening a world needs none, and loading it takes a tenth
        of the time that opening does.

The validator's own errors hold those of every branch of every `anyOf`: for a megabyte of params they take
seconds and a gigabyte. So the structure is walked and the validator asked about one position after another.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import quote

from splittally.core.canonical import encode
from splittally.core.errors import InvalidSchema
from splittally.edge.json_values import printable
from splittally.edge.schema.normalize import positions
from splittally.edge.schema.places import Place
from splittally.edge.schema.structure import DEFINITIONS, STRUCTURE

ERRORS_MAX = 8
_REASON_CHARACTERS_MAX = 200
_URI = "urn:splittally:schema"
_MASK = "this"  # stands in a message where the value would
_TYPES = {
    type(None): {"null"}, bool: {"boolean"}, int: {"integer", "number"}, float: {"number"},
    str: {"string"}, list: {"array"}, dict: {"object"},
}  # fmt: skip


class _Exact:
    """`type`, `const` or `enum` that tells 1 from 1.0: its types by name, its values by their bytes."""

    def __init__(self, _body: dict[str, Any], asked: Any, path: list[Any]) -> None:
        self._is_type = path[-1] == "type"
        listed = [asked] if path[-1] == "const" or type(asked) is str else asked
        self._taken = frozenset(listed if self._is_type else map(encode, listed))

    def validate(self, value: Any) -> None:
        """Raises what is told of a value that only the keyword of the standard takes."""
        if self._is_type and self._taken.isdisjoint(_TYPES[type(value)]):
            raise ValueError("a float where the schema says integer")
        if not self._is_type and encode(value) not in self._taken:
            raise ValueError("none of the values that the schema lists, where 1 and 1.0 are two")


_MASKED: dict[str, Any] = {"mask": _MASK}
EXACTLY = _MASKED | {"keywords": dict.fromkeys(("type", "const", "enum"), _Exact)}

Judges = tuple[Any, Any, Any]


@cache
def _library() -> Any:
    return import_module("jsonschema_rs")


def compiled(document: Any, **options: Any) -> Any:
    """What judges values by a document; `InvalidSchema` where a keyword of the standard has a wrong form."""
    library = _library()
    bounded = {
        "offline": True,  # the default opens files and connections
        "validate_formats": False,
        "pattern_options": library.RegexOptions(),  # the default engine backtracks
    }
    try:
        return library.Draft202012Validator(document, **bounded, **options)
    except (library.ValidationError, ValueError) as error:
        reason = printable(str(getattr(error, "message", error)))[:_REASON_CHARACTERS_MAX]
        raise InvalidSchema(f"not a JSON Schema of 2020-12: {reason}") from None


def judges_of(document: Any, place: Place) -> Judges:
    """What judges a position by keywords without subschemas, twice, and by all; and what then is told."""
    left_out = {"$ref", "$id", *STRUCTURE, *DEFINITIONS, *place.words}
    kept = [{word: body[word] for word in body if word not in left_out} for body in place.bodies]
    alone = not place.easy or {"allOf": kept}
    whole = {"$ref": f"{_URI}#{quote(place.pointer)}"} if place.words else True
    registry = _library().Registry([(_URI, document)])
    return (
        compiled(alone, **_MASKED),
        compiled(alone, **EXACTLY),
        compiled(whole, registry=registry, **EXACTLY),
    )


def first_errors(value: Any, root: Place, judges: Callable[[Place], Judges]) -> list[tuple[str, str]]:
    """The first errors of a value that does not fit, from the root down and in order."""
    told: list[tuple[str, str]] = []
    innermost = "", "does not fit"
    for place, part, pointer in positions(root, value):
        plain, exact, whole = judges(place)
        errors = list(plain.iter_errors(part)) or exact.iter_errors(part)
        said = ["has no place here"] if place.is_closed else []
        said += [printable(error.message.removeprefix(f"{_MASK} ")) for error in errors]
        told += [(pointer, why[:_REASON_CHARACTERS_MAX]) for why in said]
        if len(told) >= ERRORS_MAX:
            break
        if not told and not whole.is_valid(part):
            innermost = pointer, f"does not fit `{'` or `'.join(place.words)}`"
    return told[:ERRORS_MAX] or [innermost]
