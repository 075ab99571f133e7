"""Makes typed expressions, their text, and values for their names, for the model of the language."""

import random
from typing import Any

from splittally.core.expr import ANY, BOOL, INT, STRING, Type, list_of

from tests.expr_model import Tree

EDGES = [0, 1, 2, 3, 7, -1, -2, -7, 2**31, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64 - 1]
TEXTS = ["", "a", "b", "ab", "a\"b'", "é", "😀", "\n", "\\", "\u202e"]
KEYS = ["x", "y", "k", "in"]

# --- text ---------------------------------------------------------------------------------------
LEVELS = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    "<": 3,
    "<=": 3,
    ">": 3,
    ">=": 3,
    "in": 3,
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
}
ESCAPES = {"\n": "\\n", "\\": "\\\\", '"': '\\"', "\u202e": "\\u202e"}


def quoted(text: str, rng: random.Random) -> str:
    if rng.random() < 0.5:
        return '"' + "".join(ESCAPES.get(char, char) for char in text) + '"'
    return "'" + "".join(f"\\U{ord(char):08x}" if char in "\n\\'" else char for char in text) + "'"


def text_of(tree: Tree, rng: random.Random, around: int = 0) -> str:
    """The text of a tree with the brackets it needs, some it does not, and odd spaces."""
    level, text = _text(tree, rng)
    if level < around or rng.random() < 0.05:
        text = f"( {text} )"
    return rng.choice(["", "", " ", "\n"]) + text + rng.choice(["", " "])


def _text(tree: Tree, rng: random.Random) -> tuple[int, str]:
    op, *args = tree
    if op == "lit":
        value = args[0]
        if type(value) is bool:
            return 7, str(value).lower()
        if type(value) is str:
            return 7, quoted(value, rng)
        shown = hex(abs(value)) if rng.random() < 0.2 else str(abs(value))
        return (6, "-" + shown) if value < 0 else (7, shown)
    if op == "name":
        return 7, args[0]
    if op == "list":
        return 7, "[" + ",".join(text_of(item, rng) for item in args[0]) + "]"
    if op == "key":
        base = text_of(args[0], rng, 7)
        return 7, f"{base}.{args[1]}" if args[3] == "." else f"{base}[{quoted(args[1], rng)}]"
    if op == "at":
        return 7, f"{text_of(args[0], rng, 7)}[{text_of(args[1], rng)}]"
    if op == "has":
        return 7, f"has({text_of(args[0], rng, 7)}.{args[1]})"
    if op == "size":
        return 7, f"size({text_of(args[0], rng)})"
    if op == "method":
        return 7, f"{text_of(args[1], rng, 7)}.{args[0]}({text_of(args[2], rng)})"
    if op in ("not", "neg"):
        return 6, ("!" if op == "not" else "-") + text_of(args[0], rng, 6)
    if op == "if":
        claim, one, other = (text_of(part, rng, level) for part, level in zip(args, (1, 1, 0), strict=True))
        return 0, f"{claim}?{one}:{other}"
    sign = {"and": "&&", "or": "||"}.get(op) or args.pop(0)
    level = LEVELS[sign]
    return level, f"{text_of(args[0], rng, level)} {sign} {text_of(args[1], rng, level + 1)}"


# --- trees --------------------------------------------------------------------------------------
class Maker:
    """Makes typed trees; with `any_share` above 0 some operands come out of the `ANY` value `p`."""

    def __init__(
        self, rng: random.Random, any_share: float = 0.0, edges: list[int] = EDGES, methods_on: int = 9
    ) -> None:
        self.rng = rng
        self.methods_on = methods_on  # how large a tree may be whose method is called
        self.any_share = any_share
        self.edges = edges

    def tree(self, found: Type, left: int) -> Tree:
        if self.rng.random() < self.any_share:
            return self.any(left)
        if left <= 0 or self.rng.random() < 0.15:
            return self.leaf(found)
        if self.rng.random() < 0.1:
            return ("if", self.tree(BOOL, left - 1), self.sure(found, left - 1), self.sure(found, left - 1))
        make = {BOOL: self.claim, INT: self.number, STRING: self.text}.get(found)
        return make(left - 1) if make else self.items(found, left - 1)

    def sure(self, found: Type, left: int) -> Tree:
        share, self.any_share = self.any_share, 0.0
        tree = self.tree(found, left)
        self.any_share = share
        return tree

    def any(self, left: int) -> Tree:
        tree: Tree = ("name", "p")
        for _ in range(self.rng.randrange(3)):
            tree = ("key", tree, self.rng.choice(KEYS[:3]), ANY, self.rng.choice(".["))
        if self.rng.random() < 0.2:
            tree = ("at", tree, ("lit", self.rng.randrange(2)), ANY)
        return tree

    def leaf(self, found: Type) -> Tree:
        rng = self.rng
        if found.kind == "list":
            name = "ints" if found.item == INT else "texts"
            return rng.choice([("name", name), ("list", [("lit", self.literal(found.item))])])
        names = {INT: "ij", STRING: "st", BOOL: "bc"}[found]
        reads = {INT: ["x"], STRING: ["y"], BOOL: ["z"]}[found]
        leaves = [("lit", self.literal(found)), ("name", rng.choice(names))]
        leaves.append(("key", ("name", "r"), rng.choice(reads), found, rng.choice(".[")))
        if found == INT:
            leaves.append(("key", ("name", "m"), rng.choice(KEYS[:3]), INT, rng.choice(".[")))
            leaves.append(("key", ("name", "r"), "in", INT, "["))
        return rng.choice(leaves)

    def literal(self, found: Any) -> Any:
        return self.rng.choice({INT: self.edges, STRING: TEXTS, BOOL: [True, False]}[found])

    def claim(self, left: int) -> Tree:
        rng = self.rng
        match rng.randrange(7):
            case 0:
                return ("not", self.tree(BOOL, left))
            case 1 | 2:
                return (rng.choice(["and", "or"]), self.tree(BOOL, left), self.tree(BOOL, left))
            case 3:
                word = rng.choice(["startsWith", "endsWith", "contains"])
                text = self.tree(STRING, min(left, self.methods_on))
                return ("method", word, text, self.tree(STRING, left))
            case 4:
                base: Tree = ("name", rng.choice(["m", "r"] + ["p"] * bool(self.any_share)))
                return ("has", base, rng.choice(["x", "y"]))
            case 5:
                return self.membership(left)
        found = rng.choice([INT, STRING, BOOL, list_of(INT), list_of(STRING)])
        signs = ["==", "!="] + ["<", "<=", ">", ">="] * (found in (INT, STRING))
        return ("bin", rng.choice(signs), self.tree(found, left), self.tree(found, left), ANY)

    def membership(self, left: int) -> Tree:
        found = self.rng.choice([INT, STRING])
        if self.rng.random() < 0.3:
            return ("bin", "in", self.tree(STRING, left), ("name", self.rng.choice("mr")), STRING)
        return ("bin", "in", self.tree(found, left), self.sure(list_of(found), left), found)

    def number(self, left: int) -> Tree:
        rng = self.rng
        match rng.randrange(6):
            case 0:
                return ("neg", self.tree(INT, left))
            case 1:
                return ("size", self.tree(rng.choice([STRING, list_of(INT), list_of(STRING)]), left))
            case 2:
                return ("at", self.sure(list_of(INT), left), self.tree(INT, left), INT)
        return ("bin", rng.choice("+-*/%"), self.tree(INT, left), self.sure(INT, left), ANY)

    def text(self, left: int) -> Tree:
        if self.rng.random() < 0.3:
            return ("at", self.sure(list_of(STRING), left), ("lit", self.rng.randrange(3)), STRING)
        return ("bin", "+", self.tree(STRING, left), self.sure(STRING, left), ANY)

    def items(self, found: Type, left: int) -> Tree:
        if self.rng.random() < 0.4:
            return ("bin", "+", self.sure(found, left), self.sure(found, left), ANY)
        assert found.item is not None
        return ("list", [self.sure(found.item, left) for _ in range(self.rng.randrange(1, 4))])


def some_values(rng: random.Random, edges: list[int]) -> dict[str, Any]:
    """Values for the names of the model; `p` may hold anything, and keys may be missing."""
    number, text = (lambda: rng.choice(edges)), (lambda: rng.choice(TEXTS))
    odd = [None, 1.0, 1.5, b"x", True, 1, "a", [1], ["a"], {"x": 1}, {"k": {"y": "a"}}, 2**70, []]
    values: dict[str, Any] = {
        "i": number(),
        "j": number(),
        "s": text(),
        "t": text(),
        "b": rng.random() < 0.5,
        "c": rng.random() < 0.5,
        "ints": [number() for _ in range(rng.randrange(4))],
        "texts": [text() for _ in range(rng.randrange(4))],
        "m": {key: number() for key in KEYS if rng.random() < 0.7},
        "r": {"x": number(), "y": text(), "z": rng.random() < 0.5, "in": number()},
        "p": rng.choice([{key: rng.choice(odd) for key in KEYS if rng.random() < 0.8}, rng.choice(odd)]),
    }
    if rng.random() < 0.1:
        del values["r"][rng.choice("xyz")]
    return values
