"""Reads the text of an expression into a tree (spec/expressions.md, a subset of CEL's grammar).

Rule 1. A run of `&&`, of `||`, of sums, of products or of `? :` is one node, so it is wide, not deep.
Rule 2. Text, nodes, nesting and the height of the tree are bounded before anything is built from them.
Rule 3. What CEL has and this language has not is refused with a position and what was expected.
"""

import re
from typing import Any, NamedTuple, NoReturn

from msgspec import Struct

from splittally.core.errors import ExpressionError
from splittally.core.limits import (
    EXPR_BYTES_MAX,
    EXPR_DEPTH_MAX,
    EXPR_NODES_MAX,
    INT_MAX,
)

METHODS = ("contains", "endsWith", "startsWith")
FUNCTIONS = ("has", "size")

# How tightly an operator binds; `? :` binds least and is read apart.
_RELATION = 3
_LEVELS: dict[str, int] = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), _RELATION),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}
# CEL's reserved words: none of them can name a value.
RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let"}
    | {"loop", "null", "package", "namespace", "return", "true", "var", "void", "while"}
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)")
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n\f]+|//[^\n]*)
      | (?P<int>0[xX][0-9a-fA-F]+|[0-9]+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<string>"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*')
      | (?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]])""",
    re.VERBOSE,
)


class Node(Struct, frozen=True):
    """One step of meaning: what it does, where it stands, what it works on, and its own word.

    `op` is one of literal, list, name, select, index, has, size, method, unary, relation, chain, logic,
    choice. The last four but `choice` keep their operators in `atom`; a choice keeps its condition-value
    pairs and the last value in `args`.
    """

    op: str
    at: int
    args: tuple["Node", ...] = ()
    atom: Any = None
    height: int = 1


class _Token(NamedTuple):
    kind: str  # int, name, string, sign, end
    text: str  # a string keeps its quotes, so no word or sign is ever equal to one
    at: int


def refuse(at: int, message: str, expected: str = "") -> NoReturn:
    """Raises `ExpressionError` naming the character, counted from 1, and what was expected there."""
    tail = f", expected {expected}" if expected else ""
    raise ExpressionError(f"at character {at + 1}: {message}{tail}", at=at + 1, expected=expected)


def read(text: str) -> Node:
    """The tree of `text`; `ExpressionError` when it is not an expression or passes a bound."""
    if type(text) is not str:
        raise ExpressionError("an expression is text", at=1, expected="text")
    if len(text) > EXPR_BYTES_MAX or len(text.encode("utf-8", "replace")) > EXPR_BYTES_MAX:
        refuse(EXPR_BYTES_MAX, f"longer than {EXPR_BYTES_MAX} bytes", "a shorter expression")
    reader = _Reader(_tokens(text))
    tree = reader.expression(EXPR_DEPTH_MAX)
    if reader.here.kind != "end":
        reader.unexpected("an operator or the end")
    return tree


def parts_of(tree: Node) -> int:
    """How many parts the reader has counted in a tree; a `has` was a key first and counts twice."""
    return (2 if tree.op == "has" else 1) + sum(map(parts_of, tree.args))


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            if text[at] in "\"'":
                refuse(at, "this string does not end on its line", "a closing quote")
            refuse(at, f"{text[at]!a} has no meaning here", "a value or an operator")
        if match.lastgroup != "space":
            tokens.append(_Token(match.lastgroup, match.group(), at))
        at = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


class _Reader:
    """Recursive descent with one method a level of the grammar; `left` is how deep it may still go."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.next = 0
        self.nodes = 0

    @property
    def here(self) -> _Token:
        return self.tokens[self.next]

    def unexpected(self, expected: str) -> NoReturn:
        token = self.here
        found = {"end": "the expression ends too early", "string": "a string has no place here"}
        refuse(token.at, found.get(token.kind, f"unexpected `{token.text[:32]}`"), expected)

    def accept(self, *signs: str) -> _Token | None:
        token = self.here
        if token.text not in signs:
            return None
        self.next += 1
        return token

    def require(self, sign: str) -> None:
        if not self.accept(sign):
            self.unexpected(f"`{sign}`")

    def node(self, op: str, at: int, args: tuple[Node, ...] = (), atom: Any = None) -> Node:
        self.nodes += 1
        if self.nodes > EXPR_NODES_MAX:
            refuse(at, f"more than {EXPR_NODES_MAX} parts", "a smaller expression")
        height = 1 + max((arg.height for arg in args), default=0)
        if height > EXPR_DEPTH_MAX:
            refuse(at, f"nested deeper than {EXPR_DEPTH_MAX}", "fewer levels")
        return Node(op, at, args, atom, height)

    def expression(self, left: int) -> Node:
        """`a ? b : c ? d : e` is one choice with two conditions."""
        at, parts = self.here.at, []
        while True:
            parts.append(self.binary(1, left))
            if not self.accept("?"):
                break
            parts.append(self.binary(1, left))
            self.require(":")
        return parts[0] if len(parts) == 1 else self.node("choice", at, tuple(parts))

    def binary(self, level: int, left: int) -> Node:
        """Operators that bind at `level` or tighter; each run of one level is one node, but for relations."""
        first = self.unary(left)
        while (tightest := _LEVELS.get(self.here.text, 0)) >= level:
            signs: list[tuple[str, int]] = []
            parts = [first]
            while _LEVELS.get(self.here.text) == tightest and not (signs and tightest == _RELATION):
                signs.append((self.here.text, self.here.at))
                self.next += 1
                parts.append(self.binary(tightest + 1, left))
            op = "chain" if tightest > _RELATION else "relation" if tightest == _RELATION else "logic"
            first = self.node(op, signs[0][1], tuple(parts), tuple(signs))
        return first

    def unary(self, left: int) -> Node:
        signs = []
        while sign := self.accept("!", "-"):
            signs.append(sign)
        node = self.member(left)
        for sign in reversed(signs):
            node = self.node("unary", sign.at, (node,), sign.text)
        return node

    def member(self, left: int) -> Node:
        node = self.primary(left)
        while sign := self.accept(".", "["):
            if sign.text == "[":
                key = self.nested(left)
                self.require("]")
                node = self.node("index", sign.at, (node, key))
                continue
            name = self.here
            if name.kind != "name" or name.text in ("true", "false", "null", "in"):
                self.unexpected("the name of a key")
            self.next += 1
            node = self.method(node, name, left) if self.accept("(") else self.select(node, name)
        return node

    def select(self, node: Node, name: _Token) -> Node:
        return self.node("select", name.at, (node,), name.text)

    def method(self, node: Node, name: _Token, left: int) -> Node:
        if name.text not in METHODS:
            refuse(name.at, f"no method `{name.text}`", "one of `contains`, `endsWith`, `startsWith`")
        argument = self.nested(left)
        self.require(")")
        return self.node("method", name.at, (node, argument), name.text)

    def nested(self, left: int) -> Node:
        if not left:
            refuse(self.here.at, f"nested deeper than {EXPR_DEPTH_MAX}", "fewer levels")
        return self.expression(left - 1)

    def primary(self, left: int) -> Node:
        token = self.here
        self.next += 1
        if token.kind == "int":
            if self.here.at == token.at + len(token.text) and (
                self.here.text == "." or self.here.kind == "name"
            ):
                refuse(
                    self.here.at, "numbers are integers, without fraction, exponent or suffix", "an operator"
                )
            return self.node("literal", token.at, (), _integer(token))
        if token.kind == "string":
            return self.node("literal", token.at, (), _unquoted(token))
        if token.text in ("true", "false"):
            return self.node("literal", token.at, (), token.text == "true")
        if token.kind == "name" and token.text not in RESERVED:
            return self.call(token, left) if self.accept("(") else self.node("name", token.at, (), token.text)
        if token.text == "(":
            node = self.nested(left)
            self.require(")")
            return node
        if token.text == "[":
            return self.node("list", token.at, self.items(left))
        self.next -= 1
        return self.unexpected("a value")

    def items(self, left: int) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self.accept("]"):
            items.append(self.nested(left))
            if not self.accept(","):
                self.require("]")
                break
        return tuple(items)

    def call(self, name: _Token, left: int) -> Node:
        if name.text not in FUNCTIONS:
            refuse(name.at, f"no function `{name.text}`", "`has` or `size`")
        argument = self.nested(left)
        self.require(")")
        if name.text == "size":
            return self.node("size", name.at, (argument,))
        if argument.op != "select":
            refuse(argument.at, "`has` asks for a key", "`has(map.key)`")
        return self.node("has", argument.at, argument.args, argument.atom)


def _integer(token: _Token) -> int:
    digits = token.text.lower()
    is_hex = digits.startswith("0x")
    digits = digits.removeprefix("0x").lstrip("0")
    if len(digits) > 20 or (value := int(digits or "0", 16 if is_hex else 10)) > INT_MAX:
        refuse(token.at, "an integer above 2^64-1", "a smaller integer")
    return value


def _unquoted(token: _Token) -> str:
    def meant(match: re.Match[str]) -> str:
        word = match.group(1)
        at = token.at + match.start() + 1
        if len(word) == 1:
            if word not in _ESCAPES:
                refuse(at, "no such escape", "one of " + " ".join(f"\\{known}" for known in _ESCAPES))
            return _ESCAPES[word]
        code = int(word[1:], 16)
        if code > 0x10FFFF:
            refuse(at, "a code point above U+10FFFF", "a character")
        return chr(code)

    text = _ESCAPE.sub(meant, token.text[1:-1])
    if any("\ud800" <= character <= "\udfff" for character in text):
        refuse(token.at, "text holds a lone surrogate", "characters")
    return text
