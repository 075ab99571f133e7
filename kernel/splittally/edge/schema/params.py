"""JSON Schema 2020-12 at the edge: from a value to validated, normalized canonical bytes (spec/01).

Rule 1. A schema is loaded once and refused then, if ever; it opens no file and no connection.
Rule 2. A value is normalized first and validated in its normal form; what comes back is what is hashed.
Rule 3. A refusal names places and what the schema says there, never what the value holds.
"""

from functools import cached_property
from typing import Any, NoReturn

from splittally.core.canonical import decode, encode
from splittally.core.errors import CanonicalError, InvalidInput, InvalidSchema
from splittally.core.hashing import hash_schema
from splittally.edge.json_values import json_form, printable
from splittally.edge.schema.document import BYTES, POINTER_CHARACTERS_MAX, SECRET, Place, read_document
from splittally.edge.schema.errors import Error, Explainer
from splittally.edge.schema.normalize import Misfit, foreign, normalize
from splittally.edge.schema.structure import structure_of
from splittally.edge.schema.validator import EXACT, EXACT_OPTIONS, compiled, needs_exact

SCHEMA_BYTES_MAX = 256 * 1024
_FLOAT_HEADS = (0xF9, 0xFA, 0xFB)


class ParamsSchema:
    """A loaded schema: `data` its canonical bytes, `hash` their hash, `seal` what it is for.

    `has_secrets` says that a value may hold a secret where it should hold a reference to one.
    """

    def __init__(self, data: bytes, document: Any, places: list[Place]) -> None:
        self.data = data
        self.hash = hash_schema(data)
        self.has_secrets = any(place.body.get(SECRET) for place in places)
        self._has_bytes = any(place.body.get(BYTES) for place in places)
        self._root = structure_of(places)
        self._document = document
        self._has_floats = any(head in data for head in _FLOAT_HEADS)
        _show(places)
        self._is_valid = compiled(document).is_valid

    @classmethod
    def load(cls, schema: dict[str, Any] | bool) -> "ParamsSchema":
        """The schema ready to seal; `InvalidSchema` says what is wrong with it and where."""
        if type(schema) not in (dict, bool):
            raise InvalidSchema("a schema is a map, true or false")
        try:
            data = encode(schema)
        except CanonicalError as error:
            raise InvalidSchema(f"the schema {error}") from None
        if len(data) > SCHEMA_BYTES_MAX:
            raise InvalidSchema(f"the schema has more than {SCHEMA_BYTES_MAX} bytes")
        document = decode(data)  # a copy that nobody else can change
        compiled(document)  # its keywords have the right form from here on
        return cls(data, document, read_document(document))

    def seal(self, value: Any) -> bytes:
        """The canonical bytes of the normalized value; `InvalidInput` with `pointers` and `reasons`."""
        try:
            normal = normalize(value, self._root)
        except Misfit as misfit:
            _refuse([(misfit.pointer, misfit.why)])
        try:
            data = encode(normal)
        except CanonicalError:
            _refuse_foreign(normal)
        view = json_form(normal) if self._has_bytes else normal
        # The heads of floats, which may also be bytes of other values: then the exact answer is the same.
        may_float = self._has_floats or 0xF9 in data or 0xFA in data or 0xFB in data
        if not (self._is_valid_exactly if may_float else self._is_valid)(view):
            _refuse(self._explainer.first_errors(view))
        return data

    @cached_property
    def _is_valid_exactly(self) -> Any:
        return compiled(self._document, EXACT_OPTIONS).is_valid

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self._document, self._root)


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


def _show(places: list[Place]) -> None:
    """Makes the document what the validator is shown: `x-secret` and `x-bytes` are for `normalize` alone."""
    for place in places:
        if place.body.get(SECRET) or place.body.get(BYTES):
            place.body.clear()
        elif needs_exact(place.body):
            place.body[EXACT] = True


def _refuse_foreign(value: Any) -> NoReturn:
    misfit = foreign(value)
    _refuse([(misfit.pointer, misfit.why)])


def _refuse(errors: list[Error]) -> NoReturn:
    pointers = [printable(pointer)[:POINTER_CHARACTERS_MAX] for pointer, _ in errors]
    reasons = [why for _, why in errors]
    told = (f"`{at}` {why}" if at else why for at, why in zip(pointers, reasons, strict=True))
    raise InvalidInput(f"params do not fit the schema: {'; '.join(told)}", pointers=pointers, reasons=reasons)
