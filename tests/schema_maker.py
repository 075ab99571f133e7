"""Makes JSON Schemas of the part that `schema_model` knows, and values that nearly fit them."""

import random
from typing import Any

from tests.schema_model import SECRET, below_index, below_key, resolved

INTEGERS = [0, 1, 5, -3, 2**53, 2**53 + 1, -(2**53) - 1, 2**64 - 1]


class Maker:
    """Makes schemas and values from one source of chance.

    `$defs/a` may hold `x-` keywords, `b` and `c` not; constraints and `b` do with the chance `anywhere`.
    """

    def __init__(self, rng: random.Random, *, anywhere: float = 0.0) -> None:
        self.rng = rng
        self.anywhere = anywhere

    def document(self) -> dict[str, Any]:
        schema = self.plain(4, ours=True, refs=True)
        schema["$defs"] = {
            "a": self.schema(1, ours=True, refs=False),
            "b": self.schema(1, ours=self.rng.random() < self.anywhere, refs=False),
            "c": self.schema(1, ours=False, refs=False),
        }
        return schema

    def schema(self, left: int, *, ours: bool, refs: bool = True) -> dict[str, Any]:
        rng = self.rng
        if refs and rng.random() < 0.12:
            beside = rng.choice([{"type": "integer"}, {"enum": [1, "a"]}, {"not": {"const": 1}}])
            name = rng.choice("abc" if ours else "bc")
            return {"$ref": f"#/$defs/{name}", **(beside if name == "c" else {})}
        if ours and rng.random() < 0.15:
            return dict(rng.choice([{"x-secret": True}, {"x-bytes": True}]))
        made = self.plain(left, ours=ours, refs=refs)
        if left < -4:
            return made
        if rng.random() < 0.25:
            word = rng.choice(["anyOf", "oneOf", "allOf"])
            made[word] = [self.constraint(left, refs=refs) for _ in range(2)]
        if rng.random() < 0.06:
            made["not"] = self.constraint(left, refs=refs)
        if rng.random() < 0.06:
            made |= {word: self.constraint(left, refs=refs) for word in ("if", "then", "else")}
        return made

    def constraint(self, left: int, *, refs: bool) -> dict[str, Any]:
        return self.schema(left - 2, ours=self.rng.random() < self.anywhere, refs=refs)

    def plain(self, left: int, *, ours: bool, refs: bool) -> dict[str, Any]:
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
                return self.object(left, ours=ours, refs=refs)
        made = {"type": "array", "items": self.schema(left - 1, ours=ours, refs=refs)}
        if ours and rng.random() < 0.4:
            made["x-set"] = True
        elif rng.random() < 0.3:
            made["prefixItems"] = [self.schema(left - 1, ours=ours, refs=refs)]
        if rng.random() < 0.3:
            made[rng.choice(["minItems", "maxItems"])] = 2
        if rng.random() < 0.1:
            made["contains"] = self.constraint(left, refs=refs)
        return made

    def object(self, left: int, *, ours: bool, refs: bool) -> dict[str, Any]:
        rng = self.rng
        names = rng.sample("abcd", rng.randrange(1, 4))
        made: dict[str, Any] = {
            "type": "object",
            "properties": {name: self.schema(left - 1, ours=ours, refs=refs) for name in names},
        }
        if ours and refs and rng.random() < 0.06:
            made["properties"][names[0]] = {"$ref": "#"}
        if rng.random() < 0.5:
            made["required"] = names[:1]
        if rng.random() < 0.1:
            made["patternProperties"] = {"[ab]": self.constraint(left, refs=refs)}
        if rng.random() < 0.6:
            is_ours = ours and ("patternProperties" not in made or rng.random() < self.anywhere)
            extra = self.schema(left - 1, ours=is_ours, refs=refs)
            made["additionalProperties"] = rng.choice([False, True, extra])
        return made

    def value(self, schema: Any, document: Any, left: int = 6) -> Any:
        """A value that nearly fits."""
        rng = self.rng
        if rng.random() < 0.04 or left <= 0 or isinstance(schema, bool):
            return self.odd()
        last = resolved(schema, document)[-1]
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
                return [self.value(below_index(last, at), document, left - 1) for at in range(size)]
            case "object":
                keys = [*last["properties"], *rng.sample("abcd", rng.randrange(2))]
                rng.shuffle(keys)
                return {key: self.value(below_key(last, key), document, left - 1) for key in keys}
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
