"""A value that a JSON Schema should admit, made without chance: for effects whose params have a schema.

Rule 1. What the schema itself shows comes first: `const`, `default`, `examples`, `enum`.
Rule 2. Where a keyword is not understood the value may not fit; the kernel says so when it is sealed.
"""

from collections.abc import Mapping
from typing import Any

DEPTH_MAX = 12
LENGTH_MAX = 4_096  # of a text or list; what must be longer is for effects of one's own
_SHOWN = ("const", "default")
_FEW = 3  # values for one property


def values_of(schema: Any, depth: int = 0, whole: Any = None) -> list[Any]:
    """Values to try, in order; one at least."""
    whole = schema if whole is None else whole
    if not isinstance(schema, Mapping) or depth > DEPTH_MAX:
        return ["a"]
    for name in _SHOWN:
        if name in schema:
            return [schema[name]]
    shown = schema.get("examples") or schema.get("enum")
    if shown:
        return list(shown)
    if schema.get("x-secret"):
        return [{"secret": {"alias": "a", "version": 1}}]
    if schema.get("x-bytes"):
        return [bytes(min(schema.get("minLength", 1), LENGTH_MAX))]
    if "$ref" in schema:
        return values_of(_target(whole, schema["$ref"]), depth + 1, whole)
    for name in ("anyOf", "oneOf"):
        if name in schema:
            return [
                value
                for part in schema[name]
                for value in values_of({**schema, name: [], **part}, depth + 1, whole)
            ] or [None]
    return _of_type(schema, depth, whole)


def _of_type(schema: Mapping[str, Any], depth: int, whole: Any) -> list[Any]:
    stated = schema.get("type")
    types = [stated] if isinstance(stated, str) else list(stated or [])
    match types[0] if types else _implied(schema):
        case "object":
            return _objects(schema, depth, whole)
        case "array":
            return [_array(schema, depth, whole)]
        case "integer" | "number":
            return _numbers(schema)
        case "boolean":
            return [True, False]
        case "null":
            return [None]
    least = schema.get("minLength", 1)
    return ["a" * min(max(least, 1), LENGTH_MAX)]


def _implied(schema: Mapping[str, Any]) -> str:
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "integer" if "minimum" in schema or "maximum" in schema else "string"


def _numbers(schema: Mapping[str, Any]) -> list[Any]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 101) - 1)
    step = schema.get("multipleOf", 1)
    near = [min(max(low, n), high) // step * step for n in (100, 10, 1)]
    return [n for n in dict.fromkeys([*near, low, high]) if low <= n <= high] or [low]


def _array(schema: Mapping[str, Any], depth: int, whole: Any) -> list[Any]:
    items = [values_of(part, depth + 1, whole)[0] for part in schema.get("prefixItems", [])]
    rest = values_of(schema["items"], depth + 1, whole) if isinstance(schema.get("items"), Mapping) else ["a"]
    count = min(max(schema.get("minItems", 1), 1), LENGTH_MAX) - len(items)
    return items + [rest[at % len(rest)] for at in range(min(count, schema.get("maxItems", count)))]


def _objects(schema: Mapping[str, Any], depth: int, whole: Any) -> list[Any]:
    """The object with the first value of every property, those with others of one property, and the least."""
    properties = schema.get("properties", {})
    options = {name: values_of(part, depth + 1, whole)[:_FEW] for name, part in properties.items()}
    for name in schema.get("required", []):
        options.setdefault(name, ["a"])
    first = {name: values[0] for name, values in options.items()}
    found = [first]
    found += [first | {name: value} for name, values in options.items() for value in values[1:]]
    return [*found, {name: first[name] for name in schema.get("required", [])}]


def _target(whole: Any, reference: str) -> Any:
    found = whole
    for token in str(reference).split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found.get(key, {})
    return found
