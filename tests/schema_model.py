"""Sealing by the book: an obvious model of the part of JSON Schema that generated schemas use.

`normal` follows the structure (properties, items, prefixItems, additionalProperties, `$ref`), nothing else;
`fits` is JSON Schema with numbers compared by their canonical bytes; `out_of_place` says which `x-` keywords
a constraint leads to.
"""

import re
from collections.abc import Iterator
from typing import Any

from tests.canonical_model import OutsideModel, encode_model

SECRET = {"alias": "mail/key", "version": 3}
OURS = ("x-set", "x-secret", "x-bytes")


class Unfit(Exception):
    """The value does not fit."""


def seal_model(document: dict[str, Any], value: Any) -> bytes:
    """The canonical bytes of the normalized value; `Unfit` when it is refused."""
    try:
        normalized = normal(value, document, document)
        data = encode_model(normalized)
    except OutsideModel:
        raise Unfit from None
    if not fits(shown(normalized), document, document):
        raise Unfit
    return data


def shown(value: Any) -> Any:
    """The value with its bytes in their JSON form, as constraints see them."""
    if type(value) is dict:
        return {key: shown(item) for key, item in value.items()}
    if type(value) is list:
        return list(map(shown, value))
    return {"$bytes": value.hex()} if type(value) is bytes else value


def target(reference: str, document: Any) -> Any:
    return document if reference == "#" else document["$defs"][reference.removeprefix("#/$defs/")]


def resolved(schema: Any, document: Any) -> list[dict[str, Any]]:
    """A schema and what its `$ref` leads to, the structure last; `true` and `false` have no keywords."""
    found = [schema if isinstance(schema, dict) else {}]
    while "$ref" in found[-1]:
        found.append(target(found[-1]["$ref"], document))
    return found


def normal(value: Any, schema: Any, document: Any) -> Any:
    """The normal form by the structure of the schema."""
    places = resolved(schema, document)
    structure = places[-1]
    if structure.get("x-secret"):
        for key in ("secret", "$secret"):
            if value == {key: SECRET} and type(value[key]["version"]) is int:
                return {"$secret": SECRET}
        raise Unfit
    if structure.get("x-bytes"):
        if type(value) is not bytes:
            raise Unfit
        return value
    if type(value) is bytes:
        raise Unfit
    if type(value) is dict:
        has_patterns = "patternProperties" in structure
        return {
            key: normal(
                item,
                True if has_patterns and is_extra(structure, key) else below_key(structure, key),
                document,
            )
            for key, item in value.items()
        }
    if type(value) is list:
        items = [normal(item, below_index(structure, at), document) for at, item in enumerate(value)]
        if structure.get("x-set"):
            items = [item for _, item in sorted({encode_model(item): item for item in items}.items())]
        return items
    if type(value) is str and any(place.get("type") == "integer" for place in places):
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit() and str(int(value)) == value and abs(int(value)) > 2**53:
            return int(value) if -(2**63) <= int(value) < 2**64 else value
    return value


def is_extra(schema: dict[str, Any], key: str) -> bool:
    return key not in schema.get("properties", {})


def below_key(schema: dict[str, Any], key: str) -> Any:
    """What `properties` or, for other keys, `additionalProperties` says."""
    return schema.get("properties", {}).get(key, schema.get("additionalProperties", True))


def below_index(schema: dict[str, Any], at: int) -> Any:
    prefix = schema.get("prefixItems", [])
    return prefix[at] if at < len(prefix) else schema.get("items", True)


def fits(value: Any, schema: Any, document: Any) -> bool:
    """Whether a normalized value fits, with 1 and 1.0 and true as three values."""
    if isinstance(schema, bool):
        return schema
    if schema.get("x-secret") or schema.get("x-bytes"):
        return True
    again = lambda part: fits(value, part, document)  # noqa: E731
    checks = {
        "$ref": lambda reference: again(target(reference, document)),
        "type": lambda types: any(
            is_type(value, name) for name in ([types] if type(types) is str else types)
        ),
        "enum": lambda allowed: encode_model(value) in map(encode_model, allowed),
        "const": lambda allowed: encode_model(value) == encode_model(allowed),
        "minimum": lambda least: type(value) not in (int, float) or value >= least,
        "maxLength": lambda most: type(value) is not str or len(value) <= most,
        "minItems": lambda least: type(value) is not list or len(value) >= least,
        "maxItems": lambda most: type(value) is not list or len(value) <= most,
        "required": lambda keys: type(value) is not dict or all(key in value for key in keys),
        "allOf": lambda parts: all(map(again, parts)),
        "anyOf": lambda parts: any(map(again, parts)),
        "oneOf": lambda parts: sum(map(again, parts)) == 1,
        "not": lambda part: not again(part),
        "if": lambda part: again(schema.get("then" if again(part) else "else", True)),
        "contains": lambda part: type(value) is not list or any(fits(x, part, document) for x in value),
    }
    if not all(checks[word](asked) for word, asked in schema.items() if word in checks):
        return False
    if type(value) is list:
        return all(fits(item, below_index(schema, at), document) for at, item in enumerate(value))
    if type(value) is dict:
        return all(fits(item, part, document) for key, item in value.items() for part in by_key(schema, key))
    return True


def by_key(schema: dict[str, Any], key: str) -> list[Any]:
    """All that applies to what stands under a key."""
    found = [part for word, part in schema.get("patternProperties", {}).items() if re.search(word, key)]
    return found if found and is_extra(schema, key) else [*found, below_key(schema, key)]


def is_type(value: Any, name: str) -> bool:
    kinds: dict[str, tuple[type, ...]] = {
        "integer": (int,),
        "number": (int, float),
        "string": (str,),
        "boolean": (bool,),
        "array": (list,),
        "object": (dict,),
        "null": (type(None),),
    }
    return type(value) in kinds[name]


def parts_of(schema: Any) -> Iterator[tuple[bool, str, Any]]:
    """Every subschema directly in one: whether it is structure, its place below, and itself."""
    for word, held in schema.items() if isinstance(schema, dict) else ():
        is_structure = word in ("properties", "items", "prefixItems") or (
            word == "additionalProperties" and "patternProperties" not in schema
        )
        if word in ("items", "additionalProperties", "not", "if", "then", "else", "contains"):
            yield is_structure, f"/{word}", held
        if word in ("prefixItems", "allOf", "anyOf", "oneOf"):
            yield from ((is_structure, f"/{word}/{at}", part) for at, part in enumerate(held))
        if word in ("properties", "patternProperties"):
            yield from ((is_structure, f"/{word}/{name}", part) for name, part in held.items())


def out_of_place(document: dict[str, Any]) -> set[str]:
    """The places of the `x-` keywords that a constraint leads to."""
    found: set[str] = set()
    seen: set[tuple[str, bool]] = set()

    def look(schema: Any, pointer: str, *, is_constraint: bool) -> None:
        if (pointer, is_constraint) in seen or not isinstance(schema, dict):
            return
        seen.add((pointer, is_constraint))
        if is_constraint and any(schema.get(word) for word in OURS):
            found.add(pointer)
        if "$ref" in schema:
            reference = schema["$ref"]
            look(target(reference, document), reference.removeprefix("#"), is_constraint=is_constraint)
        for is_structure, below, part in parts_of(schema):
            look(part, pointer + below, is_constraint=is_constraint or not is_structure)

    look(document, "", is_constraint=False)
    for name, part in document["$defs"].items():
        look(part, f"/$defs/{name}", is_constraint=False)
    return found
