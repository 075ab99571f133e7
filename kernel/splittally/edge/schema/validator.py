"""The validator of the standard, set up to open nothing, to run in linear time and to tell 1.0 from 1.

Rule 1. No file and no connection is opened, formats assert nothing, patterns do not backtrack.
Rule 2. 1 and 1.0 are two values. The validator takes them for one, so where a value or a schema holds a float
        it is asked with the keyword `EXACT` beside each `type`, `const` and `enum` for which that matters.
"""

from typing import Any

import jsonschema_rs

from splittally.core.canonical import encode
from splittally.core.errors import InvalidSchema
from splittally.edge.json_values import printable

EXACT = "x-exact"  # stands in what the validator is shown, never in a document
_REASON_CHARACTERS_MAX = 300


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


OPTIONS: dict[str, Any] = {
    "offline": True,  # the default opens files and connections
    "validate_formats": False,
    "pattern_options": jsonschema_rs.RegexOptions(),  # the default engine backtracks
}
EXACT_OPTIONS: dict[str, Any] = OPTIONS | {"keywords": {EXACT: _Exact}}


def compiled(document: Any, options: dict[str, Any] = OPTIONS) -> Any:
    """A validator; `InvalidSchema` where a keyword of the standard has the wrong form."""
    try:
        return jsonschema_rs.Draft202012Validator(document, **options)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        reason = printable(str(getattr(error, "message", error)))[:_REASON_CHARACTERS_MAX]
        raise InvalidSchema(f"not a JSON Schema of 2020-12: {reason}") from None


def needs_exact(body: dict[str, Any]) -> bool:
    """Whether the validator could take a number for another one by the keywords of a subschema."""
    return _is_whole(body) or any(map(_holds_number, _listed(body)))


def _is_whole(body: dict[str, Any]) -> bool:
    types = body.get("type")
    return "integer" in types and "number" not in types if type(types) is list else types == "integer"


def _listed(body: dict[str, Any]) -> list[list[Any]]:
    return [listed for listed in (body.get("enum"), [body["const"]] if "const" in body else None) if listed]


def _holds_number(value: Any) -> bool:
    if type(value) in (dict, list):
        return any(map(_holds_number, value.values() if type(value) is dict else value))
    return type(value) in (int, float)
