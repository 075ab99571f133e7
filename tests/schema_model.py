"""Sealing by the book: an obvious model of the part of JSON Schema that generated schemas use.

It walks schema and value together, knows nothing of positions or of a validator, and compares numbers by
their canonical bytes. `Maker` makes schemas with `x-` keywords in reach, and values that nearly fit.
"""

import random
from typing import Any

from tests.canonical_model import OutsideModel, encode_model

INTEGERS = [0, 1, 5, -3, 2**53, 2**53 + 1, -(2**53) - 1, 2**64 - 1]
SECRET = {"alias": "mail/key", "version": 3}


class Unfit(Exception):
    """The value does not fit."""


def seal_model(document: dict[str, Any], value: Any) -> bytes:
    """The canonical bytes of the normalised value; `Unfit` when it is refused."""
    try:
        settled = normal(value, [document], document)
        data = encode_model(settled)
    except OutsideModel:
        raise Unfit from None
    if not fits(settled, document, document):
        raise Unfit
    return data


def resolved(schema: Any, document: Any) -> list[dict[str, Any]]:
    """A schema with what its `$ref` leads to; `true` and `false` have no keywords."""
    found = []
    while isinstance(schema, dict):
        found.append(schema)
        if "$ref" not in schema:
            break
        schema = (
            document["$defs"][schema["$ref"].removeprefix("#/$defs/")] if "/" in schema["$ref"] else document
        )
    return found


def normal(value: Any, schemas: list[Any], document: Any) -> Any:
    """The normal form under the schemas that surely apply."""
    sure = [part for schema in schemas for part in resolved(schema, document)]
    if any(part.get("x-secret") for part in sure):
        for key in ("secret", "$secret"):
            if value == {key: SECRET} and type(value[key]["version"]) is int:
                return {"$secret": SECRET}
        raise Unfit
    if any(part.get("x-bytes") for part in sure):
        if type(value) is not bytes:
            raise Unfit
        return value
    if type(value) is bytes:
        raise Unfit
    if type(value) is dict:
        return {
            key: normal(item, [s for part in sure for s in below_key(part, key)], document)
            for key, item in value.items()
        }
    if type(value) is list:
        items = [
            normal(item, [s for part in sure for s in below_index(part, at)], document)
            for at, item in enumerate(value)
        ]
        if any(part.get("x-set") for part in sure):
            items = [item for _, item in sorted({encode_model(item): item for item in items}.items())]
        return items
    if type(value) is str and any(part.get("type") == "integer" for part in sure):
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit() and str(int(value)) == value and abs(int(value)) > 2**53:
            return int(value) if -(2**63) <= int(value) < 2**64 else value
    return value


def below_key(schema: dict[str, Any], key: str) -> list[Any]:
    if key in schema.get("properties", {}):
        return [schema["properties"][key]]
    return [schema["additionalProperties"]] if "additionalProperties" in schema else []


def below_index(schema: dict[str, Any], at: int) -> list[Any]:
    prefix = schema.get("prefixItems", [])
    if at < len(prefix):
        return [prefix[at]]
    return [schema["items"]] if "items" in schema else []


def fits(value: Any, schema: Any, document: Any) -> bool:
    """Whether a settled value fits, with 1 and 1.0 and true as three values."""
    if isinstance(schema, bool):
        return schema
    if schema.get("x-secret") or schema.get("x-bytes"):
        return True
    again = lambda part: fits(value, part, document)  # noqa: E731
    if "$ref" in schema and not all(map(again, resolved(schema, document)[1:2])):
        return False
    checks = {
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
    }
    if not all(checks[word](asked) for word, asked in schema.items() if word in checks):
        return False
    parts: list[tuple[Any, list[Any]]] = []
    if type(value) is dict:
        parts = [(item, below_key(schema, key)) for key, item in value.items()]
    if type(value) is list:
        parts = [(item, below_index(schema, at)) for at, item in enumerate(value)]
    return all(fits(item, part, document) for item, below in parts for part in below)


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


class Maker:
    """Makes schemas and values from one source of chance."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def document(self) -> dict[str, Any]:
        schema = self.plain(4, in_reach=True, refs=True)
        schema["$defs"] = {
            "a": self.schema(1, in_reach=True, refs=False),
            "b": self.schema(1, in_reach=False, refs=False),
        }
        return schema

    def schema(self, left: int, *, in_reach: bool, refs: bool = True) -> dict[str, Any]:
        rng = self.rng
        if refs and rng.random() < 0.12:
            return {"$ref": "#/$defs/a" if in_reach and rng.random() < 0.5 else "#/$defs/b"}
        if in_reach and rng.random() < 0.15:
            return dict(rng.choice([{"x-secret": True}, {"x-bytes": True}]))
        made = self.plain(left, in_reach=in_reach, refs=refs)
        if rng.random() < 0.25:
            word = rng.choice(["anyOf", "oneOf", "allOf"])
            made[word] = [self.schema(left - 2, in_reach=False, refs=refs) for _ in range(2)]
        if rng.random() < 0.06:
            made["not"] = self.schema(left - 2, in_reach=False, refs=refs)
        return made

    def plain(self, left: int, *, in_reach: bool, refs: bool) -> dict[str, Any]:
        rng = self.rng
        match rng.randrange(8 if left > 0 else 5):
            case 0:
                return {"type": rng.choice(["integer", ["integer", "null"], "number", "boolean"])}
            case 1:
                return {"type": "integer", "minimum": rng.choice([-10, 0, 1])}
            case 2:
                return {"type": "string", "maxLength": rng.choice([1, 16])}
            case 3:
                return rng.choice([{}, {"const": 1}, {"const": 1.5}, {"enum": [1, "a", [1.0, {"a": 2}]]}])
            case 4:
                return {"enum": [True, 0.0, "a"]}
            case 5 | 6:
                names = rng.sample("abcd", rng.randrange(1, 4))
                made: dict[str, Any] = {
                    "type": "object",
                    "properties": {
                        name: self.schema(left - 1, in_reach=in_reach, refs=refs) for name in names
                    },
                }
                if rng.random() < 0.5:
                    made["required"] = names[:1]
                if rng.random() < 0.6:
                    made["additionalProperties"] = rng.choice(
                        [False, True, self.schema(left - 1, in_reach=in_reach, refs=refs)]
                    )
                return made
        made = {"type": "array", "items": self.schema(left - 1, in_reach=in_reach, refs=refs)}
        if in_reach and rng.random() < 0.4:
            made["x-set"] = True
        elif rng.random() < 0.3:
            made["prefixItems"] = [self.schema(left - 1, in_reach=in_reach, refs=refs)]
        if rng.random() < 0.3:
            made[rng.choice(["minItems", "maxItems"])] = 2
        return made

    def value(self, schema: Any, document: Any, left: int = 6) -> Any:
        """A value that nearly fits."""
        rng = self.rng
        if rng.random() < 0.04 or left <= 0 or isinstance(schema, bool):
            return self.odd()
        sure = resolved(schema, document)
        last = sure[-1]
        if last.get("x-secret"):
            return {rng.choice(["secret", "$secret"]): dict(SECRET)}
        if last.get("x-bytes"):
            return rng.choice([b"", b"ab"])
        for word in ("const", "enum"):
            if word in last:
                return self.near(rng.choice([last[word]] if word == "const" else last[word]))
        if "anyOf" in last and rng.random() < 0.5:
            return self.value(rng.choice(last["anyOf"]), document, left - 1)
        types = last.get("type", "null")
        match rng.choice(types) if type(types) is list else types:
            case "integer":
                number = rng.choice(INTEGERS)
                return rng.choice([number, number, str(number), float(number)])
            case "number":
                return rng.choice([*INTEGERS, 0.5, 1.0])
            case "string":
                return rng.choice(["", "a", "b", "9007199254740993"])
            case "boolean":
                return rng.random() < 0.5
            case "array":
                size = rng.randrange(4)
                return [
                    self.value((below_index(last, at) or [True])[0], document, left - 1) for at in range(size)
                ]
            case "object":
                keys = [*last["properties"], *rng.sample("abcd", rng.randrange(2))]
                rng.shuffle(keys)
                return {
                    key: self.value((below_key(last, key) or [True])[0], document, left - 1) for key in keys
                }
        return self.odd()

    def near(self, value: Any) -> Any:
        """The value, or one that Python or the validator takes for it."""
        if type(value) is list:
            return [self.near(item) for item in value]
        if type(value) is dict:
            return {key: self.near(item) for key, item in value.items()}
        if value in (0, 1, 2):
            return self.rng.choice([value, value, int(value), float(value), bool(value)])
        return value

    def odd(self) -> Any:
        return self.rng.choice(
            [
                None,
                True,
                1,
                1.0,
                2.5,
                -0.0,
                "a",
                b"x",
                [],
                [1, 1.0],
                {},
                {"a": 1},
                {"a": b"x"},
                2**70,
                float("nan"),
            ]
        )
