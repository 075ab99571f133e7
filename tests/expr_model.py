"""An obvious interpreter of the expression language.

A tree is a tuple whose first member is its operator. The model walks trees, never text, so the text
printed from a tree checks the parser of the kernel as well as its meaning.
"""

from fractions import Fraction
from typing import Any

from splittally.core.expr import ANY, BOOL, INT, STRING, Type, list_of, map_of, record

Tree = tuple[Any, ...]
NAMES: dict[str, Type] = {
    "i": INT,
    "j": INT,
    "s": STRING,
    "t": STRING,
    "b": BOOL,
    "c": BOOL,
    "ints": list_of(INT),
    "texts": list_of(STRING),
    "m": map_of(INT),
    "r": record({"x": INT, "y": STRING, "z": BOOL, "in": INT}),
    "p": ANY,
}
KINDS = {bool: "bool", int: "int", str: "string", list: "list", dict: "map"}


class ModelFault(Exception):
    """The expression has no value; the message is the code."""


def kind(value: Any) -> str:
    if type(value) not in KINDS or (type(value) is int and not -(2**63) <= value < 2**64):
        raise ModelFault("wrong_type")
    return KINDS[type(value)]


def want(value: Any, *kinds: str) -> Any:
    if kind(value) not in kinds:
        raise ModelFault("wrong_type")
    return value


def same(one: Any, other: Any) -> bool:
    if kind(one) != kind(other):
        raise ModelFault("wrong_type")
    if type(one) is list:
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if type(one) is dict:
        keys = sorted(one)
        return keys == sorted(other) and all(same(one[key], other[key]) for key in keys)
    return bool(one == other)


def bounded(value: int, seen: list[int]) -> int:
    if not -(2**63) <= value < 2**64:
        raise ModelFault("overflow")
    seen.append(value)
    return value


class Model:
    """Evaluates one tree; `seen` collects every integer met, for oracles with fewer bits."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.seen: list[int] = []

    def result(self, tree: Tree, found: Type) -> Any:
        """The value as the expression's result, or the fault."""
        try:
            value = want(self.of(tree), found.kind)
            if found.item is not None:
                [want(item, found.item.kind) for item in value]
            return value
        except ModelFault as fault:
            return fault

    def of(self, tree: Tree) -> Any:
        value = getattr(self, "on_" + tree[0])(*tree[1:])
        if type(value) is int:
            self.seen.append(value)
        return value

    def on_lit(self, value: Any) -> Any:
        return value

    def on_name(self, name: str) -> Any:
        return self.get(self.values, name, NAMES[name])

    def on_list(self, items: list[Tree]) -> Any:
        return [self.of(item) for item in items]

    def get(self, entries: Any, key: str, found: Type = ANY) -> Any:
        if key not in want(entries, "map"):
            raise ModelFault("missing_key")
        return entries[key] if found == ANY else want(entries[key], found.kind.replace("record", "map"))

    def on_key(self, base: Tree, key: str, found: Type, _: str) -> Any:
        return self.get(self.of(base), key, found)

    def on_at(self, base: Tree, index: Tree, found: Type) -> Any:
        items, at = self.of(base), self.of(index)
        want(items, "list"), want(at, "int")
        if not 0 <= at < len(items):
            raise ModelFault("missing_key")
        return items[at] if found == ANY else want(items[at], found.kind)

    def on_has(self, base: Tree, key: str) -> Any:
        return key in want(self.of(base), "map")

    def on_size(self, part: Tree) -> Any:
        return len(want(self.of(part), "string", "list", "map"))

    def on_method(self, name: str, text: Tree, part: Tree) -> Any:
        one, other = want(self.of(text), "string"), want(self.of(part), "string")
        return {"startsWith": one.startswith(other), "endsWith": one.endswith(other)}.get(name, other in one)

    def on_not(self, part: Tree) -> Any:
        return not want(self.of(part), "bool")

    def on_neg(self, part: Tree) -> Any:
        return bounded(-want(self.of(part), "int"), self.seen)

    def on_and(self, one: Tree, other: Tree) -> Any:
        return want(self.of(one), "bool") and want(self.of(other), "bool")

    def on_or(self, one: Tree, other: Tree) -> Any:
        return want(self.of(one), "bool") or want(self.of(other), "bool")

    def on_if(self, claim: Tree, one: Tree, other: Tree) -> Any:
        return self.of(one) if want(self.of(claim), "bool") else self.of(other)

    def on_bin(self, sign: str, one: Tree, other: Tree, item: Type) -> Any:
        a, b = self.of(one), self.of(other)
        if sign == "in":
            if kind(b) == "map":
                return want(a, "string") in b
            want(a, item.kind) if item != ANY else None
            return any(same(a, member) for member in want(b, "list"))
        if sign in ("==", "!="):
            return same(a, b) == (sign == "==")
        if sign in ("<", "<=", ">", ">="):
            if kind(want(a, "int", "string")) != kind(b):
                raise ModelFault("wrong_type")
            return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign]
        if sign == "+" and kind(want(a, "int", "string", "list")) == kind(b) != "int":
            return a + b
        return self.number(sign, want(a, "int"), want(b, "int"))

    def number(self, sign: str, a: int, b: int) -> int:
        if sign in "/%" and not b:
            raise ModelFault("zero_divisor")
        quotient = int(Fraction(a, b)) if b else 0  # towards zero
        values = {"+": a + b, "-": a - b, "*": a * b, "/": quotient, "%": a - b * quotient}
        return bounded(values[sign], self.seen)
