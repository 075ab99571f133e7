"""Values that a JSON Schema admits, for the subset of 2020-12 in which effects are described.

Rule 1. A keyword outside the subset is refused by name: to ignore it would give values that do not fit.
Rule 2. What comes out was sealed by the kernel's own reader of schemas, so it fits.
Rule 3. Values are as a host gives them: secrets are references, bytes are bytes, sets are lists.
"""

import math
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from splittally.core.canonical import encode
from splittally.core.errors import CanonicalError, SplittallyError
from splittally.core.limits import INT_MAX, INT_MIN
from splittally.edge.schema.params import ParamsSchema

Values = st.SearchStrategy[Any]
_NOTES = {
    "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples",
    "deprecated", "readOnly", "writeOnly", "format",
}  # fmt: skip
_BY_TYPE = {
    "object": {
        "properties", "required", "additionalProperties", "minProperties", "maxProperties",
        "patternProperties",
    },
    "array": {"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "x-set"},
    "string": {"minLength", "maxLength", "pattern"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}  # fmt: skip
_ANYWHERE = {"type", "const", "enum", "$ref", "allOf", "anyOf", "oneOf", "x-secret", "x-bytes", "x-cut"}
KEYWORDS = _ANYWHERE.union(_NOTES, *_BY_TYPE.values()) - {"patternProperties"}
ITEMS_MORE_MAX = 3  # optional items and keys beyond what the schema asks for

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
atoms = st.none() | st.booleans() | st.integers(-5, 100) | texts
anything = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


def params(schema: Mapping[str, Any] | bool) -> Values:
    """Values that fit `schema`; `InvalidArgument` names a keyword outside the subset."""
    loaded = ParamsSchema.load(schema if isinstance(schema, bool) else dict(schema))

    def fits(value: Any) -> bool:
        try:
            loaded.seal(value)
        except (SplittallyError, CanonicalError):
            return False
        return True

    return _Reader(schema).values(schema).filter(fits)


class _Reader:
    """The strategies of one document; a `$ref` that leads back is followed when a value is drawn."""

    def __init__(self, document: Mapping[str, Any] | bool) -> None:
        self._document = document
        self._referred: dict[str, Values] = {}

    def values(self, schema: Any) -> Values:
        """Values that should fit a subschema."""
        if isinstance(schema, bool):
            return anything if schema else st.nothing()
        unknown = sorted(set(schema) - KEYWORDS)
        if unknown:
            raise InvalidArgument(f"the keyword `{unknown[0]}` is not in the subset that `params` reads")
        if schema.get("x-secret"):
            reference = st.fixed_dictionaries({"alias": texts.filter(len), "version": st.integers(0, 9)})
            return st.fixed_dictionaries({"secret": reference})
        if schema.get("x-bytes"):
            return st.binary(min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 16))
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                rest = {key: value for key, value in schema.items() if key != keyword}
                return st.one_of([self.values(_joined(rest, self._plain(x))) for x in schema[keyword]])
        if "allOf" in schema:
            whole = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                whole = _joined(whole, self._plain(part))
            return self.values(whole)
        if "$ref" in schema:
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            if not set(rest) - _NOTES:
                return self._follow(schema["$ref"])
            return self.values(_joined(rest, self._target(schema["$ref"])))
        return st.one_of([getattr(self, f"_{name}")(schema) for name in _types(schema)])

    def _plain(self, schema: Any) -> Mapping[str, Any]:
        """A subschema whose keywords can be put beside others; `$ref` is replaced by what it leads to."""
        found: Mapping[str, Any] = {} if schema is True else {"enum": []} if schema is False else schema
        if "$ref" in found:
            rest = {key: value for key, value in found.items() if key != "$ref"}
            return _joined(rest, self._plain(self._target(found["$ref"])))
        return found

    def _follow(self, reference: str) -> Values:
        if reference not in self._referred:
            self._referred[reference] = st.deferred(lambda: made[0])
            made = [self.values(self._target(reference))]
        return self._referred[reference]

    def _target(self, reference: str) -> Any:
        found: Any = self._document
        for token in reference.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            found = found[int(token)] if isinstance(found, list) else found[key]
        return found

    # --- one type each ---------------------------------------------------------------------------

    def _null(self, _: Any) -> Values:
        return st.none()

    def _boolean(self, _: Any) -> Values:
        return st.booleans()

    def _integer(self, schema: Mapping[str, Any]) -> Values:
        low, high = _bounds(schema)
        step = schema.get("multipleOf", 1)
        if type(step) is not int:
            return st.integers(low, high) if low <= high else st.nothing()
        first, last = -(-low // step), high // step
        return st.integers(first, last).map(lambda n: n * step) if first <= last else st.nothing()

    def _number(self, schema: Mapping[str, Any]) -> Values:
        low, high = _bounds(schema)
        whole = self._integer(schema)
        if "multipleOf" in schema or low > high:
            return whole
        return whole | st.floats(float(low), float(high), allow_nan=False, allow_infinity=False)

    def _string(self, schema: Mapping[str, Any]) -> Values:
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if "pattern" in schema:
            return st.from_regex(schema["pattern"])
        most = least + 8 if most is None else most
        return st.text(st.characters(exclude_categories=["Cs"]), min_size=least, max_size=most)

    def _array(self, schema: Mapping[str, Any]) -> Values:
        prefix = [self.values(part) for part in schema.get("prefixItems", [])]
        rest = self.values(schema.get("items", not prefix))
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, len(prefix)) + ITEMS_MORE_MAX)
        is_unique = schema.get("uniqueItems") or schema.get("x-set")
        if not prefix:
            if _is_closed(schema.get("items")):
                return st.just([])
            unique_by = encode if is_unique else None
            return st.lists(rest, min_size=least, max_size=most, unique_by=unique_by)
        front = st.tuples(*prefix[:most]).map(list)
        if _is_closed(schema.get("items", False)) or most <= len(prefix):
            return front
        more = st.lists(rest, min_size=max(0, least - len(prefix)), max_size=most - len(prefix))
        return st.tuples(front, more).map(lambda pair: pair[0] + pair[1])

    def _object(self, schema: Mapping[str, Any]) -> Values:
        properties = schema.get("properties", {})
        stated = {name: self.values(part) for name, part in properties.items() if not _is_closed(part)}
        needed = schema.get("required", [])
        extra = schema.get("additionalProperties", {})
        others = self.values(extra)
        required = {name: stated.get(name, others) for name in needed}
        optional = {name: part for name, part in stated.items() if name not in required}
        entries = st.fixed_dictionaries(required, optional=optional)
        least = max(0, schema.get("minProperties", 0) - len(required))
        is_open = "additionalProperties" in schema and extra is not False
        if _is_closed(extra) or not (is_open or least > len(optional)):
            return entries
        names = texts.filter(lambda name: name not in properties)
        more = st.dictionaries(names, others, min_size=least, max_size=least + ITEMS_MORE_MAX)
        return st.tuples(entries, more).map(lambda pair: {**pair[1], **pair[0]})


def _is_closed(schema: Any) -> bool:
    """Whether nothing fits a subschema, as far as that shows at once."""
    return schema is False or (isinstance(schema, Mapping) and schema.get("enum") == [])


def _types(schema: Mapping[str, Any]) -> list[str]:
    """The types that a schema asks for, stated or by its keywords; every one where it says nothing."""
    stated = schema.get("type")
    if stated is not None:
        return [stated] if isinstance(stated, str) else list(stated)
    implied = [name for name, keywords in _BY_TYPE.items() if keywords & set(schema)]
    return implied or ["null", "boolean", "integer", "string"]


def _bounds(schema: Mapping[str, Any]) -> tuple[int, int]:
    """The least and the largest integer between the bounds."""
    lows = [INT_MIN, math.ceil(schema.get("minimum", INT_MIN))]
    highs = [INT_MAX, math.floor(schema.get("maximum", INT_MAX))]
    lows.append(math.floor(schema.get("exclusiveMinimum", INT_MIN - 1)) + 1)
    highs.append(math.ceil(schema.get("exclusiveMaximum", INT_MAX + 1)) - 1)
    return max(lows), min(highs)


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """One schema that asks for what both do, as far as keywords can say it; the rest is filtered."""
    whole = {**one, **other}
    for name in set(one) & set(other):
        a, b = one[name], other[name]
        if name in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
            whole[name] = max(a, b)
        elif name in ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"):
            whole[name] = min(a, b)
        elif name == "required":
            whole[name] = [*a, *(x for x in b if x not in a)]
        elif name == "properties":
            both = {key: {"allOf": [a[key], b[key]]} for key in set(a) & set(b)}
            whole[name] = {**a, **b, **both}
        elif name == "enum":
            whole[name] = [x for x in a if x in b]
    return whole
