"""JSON Schema 2020-12 at the edge: from a value to validated, normalized canonical bytes (spec/01).

Rule 1. A schema is loaded once and refused then, if ever; it opens no file and no connection.
Rule 2. A value is normalized first and validated in its normal form; what comes back is what is hashed.
Rule 3. A refusal names places and what the schema says there, never what the value holds.
"""

from functools import cache, cached_property, partial
from typing import Any, NoReturn

from splittally.core.canonical import decode, encode
from splittally.core.errors import CanonicalError, InvalidInput, InvalidSchema
from splittally.core.hashing import hash_schema
from splittally.edge.json_values import json_form
from splittally.edge.schema.bounds import VISITS_IN_ALL_MAX, visits_of
from splittally.edge.schema.cut import cut_above, kept
from splittally.edge.schema.normalize import Misfit, first_misfit, normalize
from splittally.edge.schema.places import NO_SCHEMA, shown
from splittally.edge.schema.structure import BYTES, CUT, SECRET, read_schema
from splittally.edge.schema.validator import EXACTLY, compiled, first_errors, judges_of

SCHEMA_BYTES_MAX = 256 * 1024
_FLOAT_HEADS = b"\xf9\xfa\xfb"
_FREE = {CUT, "properties", "title", "description", "$comment", "$ref", "$defs"}  # these refuse nothing


class ParamsSchema:
    """A loaded schema: `data` its canonical bytes, `hash` their hash, `seal` what it is for.

    Without `data` it stands where an effect declares no schema: any value of the data model fits, bytes too.
    So it does where a schema only cuts.
    `has_secrets` says that a value may hold a secret where it should hold a reference to one. `root` is the
    place of the whole value. `cut_above` is above how many bytes a receipt is cut to what is named, None
    where it never is.
    """

    def __init__(self, data: bytes) -> None:
        document = decode(data) if data else True  # a copy that nobody else can change
        if data:
            compiled(document)  # its keywords have the right form from here on
        places, self._visits = read_schema(document)
        self.data = data
        self.hash = hash_schema(data) if data else b""
        self.has_secrets = any(place.body.get(SECRET) for place in places)
        self._has_bytes = any(place.body.get(BYTES) for place in places)
        self._has_floats = any(head in data for head in _FLOAT_HEADS)
        self.root = places[0] if data else NO_SCHEMA
        self.cut_above = cut_above(places)
        self._is_free = all(place.body.keys() <= _FREE and not place.is_closed for place in places)
        self._takes_all = not data or (self._is_free and self.cut_above is not None)
        self._document = document
        self._judges = cache(partial(judges_of, document))

    @cached_property
    def _is_valid(self) -> Any:
        return compiled(self._document).is_valid

    @cached_property
    def _is_valid_exactly(self) -> Any:
        """Whether a value fits that may hold a float; of others `_is_valid` says the same, and faster."""
        return compiled(self._document, **EXACTLY).is_valid

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
        return cls(data)

    def seal(self, value: Any) -> bytes:
        """The canonical bytes of the normalized value; `InvalidInput` with `pointers` and `reasons`."""
        try:
            normal = value if self._takes_all else normalize(value, self.root)
            data = encode(normal)
        except (Misfit, CanonicalError):
            _refuse([first_misfit(value, NO_SCHEMA if self._takes_all else self.root)])
        if not self._is_free:
            self._require_fit(normal, data)
        return data

    def keeps(self, size: int) -> bool:
        """Whether a receipt of so many bytes that fits is recorded as it was sent, byte for byte."""
        return self._takes_all and (self.cut_above is None or size <= self.cut_above)

    def cut(self, value: Any) -> Any:
        """What `x-cut` keeps of a value, the same object where that is all of it."""
        return kept(value, self.root)

    def _require_fit(self, normal: Any, data: bytes) -> None:
        if self._visits and visits_of(normal, self._visits) > VISITS_IN_ALL_MAX:
            _refuse([("", "nests too deep for a schema whose subschemas lead back to themselves")])
        view = json_form(normal) if self._has_bytes else normal
        # The heads of floats, which may also be bytes of other values: then the exact answer is the same.
        may_float = self._has_floats or 0xF9 in data or 0xFA in data or 0xFB in data
        if not (self._is_valid_exactly if may_float else self._is_valid)(view):
            _refuse(first_errors(view, self.root, self._judges))


ANY_PARAMS = ParamsSchema(b"")


def _refuse(errors: list[tuple[str, str]]) -> NoReturn:
    pointers = [shown(pointer) for pointer, _ in errors]
    reasons = [why for _, why in errors]
    told = (f"`{at}` {why}" if at else why for at, why in zip(pointers, reasons, strict=True))
    raise InvalidInput(f"params do not fit the schema: {'; '.join(told)}", pointers=pointers, reasons=reasons)
