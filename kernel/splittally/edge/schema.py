"""JSON Schema 2020-12 at the edge: from a value to validated, normalised canonical bytes (spec/01).

Rule 1. A schema is loaded once and refused then, if ever; it opens no file and no connection.
Rule 2. A value is normalised first and validated in its normal form; what comes back is what is hashed.
Rule 3. Formats assert nothing; patterns run in linear time; a value costs time in proportion to its size.
Rule 4. A refusal names places and what the schema says there, never what the value holds.
"""

from functools import cached_property
from typing import Any, NoReturn

import jsonschema_rs

from splittally.core.canonical import decode, encode
from splittally.core.errors import CanonicalError, InvalidInput, InvalidSchema
from splittally.core.hashing import hash_schema
from splittally.edge.json_values import printable
from splittally.edge.schema_failures import Failure, Failures
from splittally.edge.schema_places import BYTES, DIALECT, SECRET, Place, places_of, unescaped
from splittally.edge.schema_states import root_position
from splittally.edge.schema_walk import Misfit, foreign, settle, viewed

SCHEMA_BYTES_MAX = 256 * 1024
_REASON_CHARACTERS_MAX = 300
_POINTER_CHARACTERS_MAX = 200
_OPTIONS: dict[str, Any] = {
    "offline": True,  # the default opens files and connections
    "validate_formats": False,
    "pattern_options": jsonschema_rs.RegexOptions(),  # the default engine backtracks
}


class ParamsSchema:
    """A loaded schema: `data` its canonical bytes, `hash` their hash, `seal` what it is for.

    `has_secrets` says that a value may hold a secret where it should hold a reference to one.
    """

    def __init__(self, data: bytes, document: Any, places: dict[str, Place]) -> None:
        self.data = data
        self.hash = hash_schema(data)
        self._root = places[""]
        self._document = document
        self.has_secrets = any(place.body.get(SECRET) for place in places.values())
        self._has_bytes = any(place.body.get(BYTES) for place in places.values())
        self._start = root_position(self._root, lambda allowed: _compiled({"enum": allowed}).is_valid)
        self._is_valid = _compiled(document).is_valid

    @classmethod
    def load(cls, schema: dict[str, Any] | bool) -> "ParamsSchema":
        """The schema ready to seal; `InvalidSchema` says what is wrong with it and where."""
        data, document = _document(schema)
        _compiled(document)  # its keywords have the right form from here on
        places = places_of(document)
        return cls(data, _shown(data, document, places), places)

    def seal(self, value: Any) -> bytes:
        """The canonical bytes of the normalised value; `InvalidInput` with `pointers` and `reasons`."""
        try:
            settled = settle(value, self._start)
        except Misfit as misfit:
            _refuse([(misfit.pointer, misfit.why)])
        try:
            data = encode(settled)
        except CanonicalError:
            _refuse_foreign(settled)
        view = viewed(settled) if self._has_bytes else settled
        if not self._is_valid(view):
            _refuse(self._failures.of(view))
        return data

    @cached_property
    def _failures(self) -> Failures:
        return Failures(self._document, self._root, _OPTIONS)


class _AnyParams(ParamsSchema):
    """Stands where an effect declares no schema: any value of the data model, bytes too."""

    def __init__(self) -> None:
        self.data = b""
        self.hash = b""
        self.has_secrets = False

    def seal(self, value: Any) -> bytes:
        try:
            return encode(value)
        except CanonicalError:
            _refuse_foreign(value)


ANY_PARAMS: ParamsSchema = _AnyParams()


def _document(schema: Any) -> tuple[bytes, Any]:
    """The canonical bytes of a schema and a copy of it that nobody else can change."""
    if type(schema) not in (dict, bool):
        raise InvalidSchema("a schema is a map, true or false")
    try:
        data = encode(schema)
    except CanonicalError as error:
        raise InvalidSchema(f"the schema {error}") from None
    if len(data) > SCHEMA_BYTES_MAX:
        raise InvalidSchema(f"the schema has more than {SCHEMA_BYTES_MAX} bytes")
    document = decode(data)
    if type(document) is dict and document.get("$schema", DIALECT) not in (DIALECT, f"{DIALECT}#"):
        raise InvalidSchema(f"`$schema` is `{DIALECT}` or absent", pointer="")
    return data, document


def _compiled(document: Any) -> Any:
    try:
        return jsonschema_rs.Draft202012Validator(document, **_OPTIONS)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        reason = printable(str(getattr(error, "message", error)))[:_REASON_CHARACTERS_MAX]
        raise InvalidSchema(f"not a JSON Schema of 2020-12: {reason}") from None


def _shown(data: bytes, document: Any, places: dict[str, Place]) -> Any:
    """The document for the validator, in which `x-secret` and `x-bytes` stand as `{}`: `settle` asks them."""
    ours = [place for place in places.values() if place.body.get(SECRET) or place.body.get(BYTES)]
    if not ours:
        return document
    shown = decode(data)
    for place in ours:
        found = shown
        for token in place.pointer.split("/")[1:]:
            found = found[int(token)] if type(found) is list else found[unescaped(token)]
        found.clear()
    return shown


def _refuse_foreign(value: Any) -> NoReturn:
    misfit = foreign(value)
    _refuse([(misfit.pointer, misfit.why)])


def _refuse(failures: list[Failure]) -> NoReturn:
    pointers = [printable(pointer)[:_POINTER_CHARACTERS_MAX] for pointer, _ in failures]
    reasons = [reason for _, reason in failures]
    told = "; ".join(
        f"`{pointer}` {reason}" if pointer else reason
        for pointer, reason in zip(pointers, reasons, strict=True)
    )
    raise InvalidInput(f"params do not fit the schema: {told}", pointers=pointers, reasons=reasons)
