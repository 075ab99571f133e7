"""Compiles a typed tree to a program: instructions for a stack of values (spec/expressions.md, "Programs").

Rule 1. A program means what its text means: the same value, or the same fault at the same character.
Rule 2. It is one flat list of items in canonical form: an opcode, a character and, for some opcodes, an
        operand. What is passed over is counted in items and only ever lies ahead, so each runs at most once.
Rule 3. An instruction checks the types of what it takes, so only what a later operand must not run before is
        checked apart (`need`), and there is one opcode where the typed tree has several forms.

`size(params.to) > 3`, where `params` is the first name, is

    [load, 5, 0,  key, 12, "to",  size, 12,  push, 18, 3,  more, 16]
"""

from collections.abc import Callable, Sequence
from typing import Any

from splittally.core.expr.typed import Typed
from splittally.core.expr.types import ANY

# An opcode is the place of its name; from 24 on it takes two bytes, so what a program rarely has stands last.
OPCODES = (
    *("push", "load", "key", "has", "index", "size", "need", "not", "negate", "and", "or", "else", "skip"),
    *("same", "equal", "less", "more", "in", "among", "startsWith", "endsWith", "contains"),
    *("+", "-", "*", "/", "%", "list"),
)
KINDS = ("int", "bool", "string", "list", "map")  # the operand of `need` is a place in this list

Code = list[Any]
_CODES = {name: code for code, name in enumerate(OPCODES)}


def code_of(part: Typed, names: Sequence[str]) -> Code:
    """The items that give the part's value; the operand of `load` is the place of a name in `names`."""
    return _CODE[part.op](part, names)


def _instruction(name: str, at: int, *operand: Any) -> Code:
    return [_CODES[name], at, *operand]


def _all(parts: Sequence[Typed], names: Sequence[str]) -> Code:
    return [item for part in parts for item in code_of(part, names)]


def _literal(part: Typed, _: Sequence[str]) -> Code:
    return _instruction("push", part.at, part.atom)


def _name(part: Typed, names: Sequence[str]) -> Code:
    return _instruction("load", part.at, names.index(part.atom))


def _list(part: Typed, names: Sequence[str]) -> Code:
    """A list of literals stands in the program; another is made of its items."""
    items = [code_of(arg, names) for arg in part.args]
    if all(len(item) == 3 and item[0] == _CODES["push"] for item in items):
        return _instruction("push", part.at, [value for _, _, value in items])
    return [*(word for item in items for word in item), *_instruction("list", part.at, len(items))]


def _check(part: Typed, names: Sequence[str]) -> Code:
    """What has a declared type is of it, because the values of names are: only `any` is checked."""
    (value,) = part.args
    if value.type != ANY:
        return code_of(value, names)
    kind = "map" if part.atom == "record" else part.atom
    return code_of(value, names) + _instruction("need", part.at, KINDS.index(kind))


def _keyed(part: Typed, names: Sequence[str]) -> Code:
    return _all(part.args, names) + _instruction(part.op, part.at, part.atom)


def _plain(part: Typed, names: Sequence[str]) -> Code:
    return _all(part.args, names) + _instruction(_PLAIN.get(part.op, part.op), part.at)


def _method(part: Typed, names: Sequence[str]) -> Code:
    return _all(part.args, names) + _instruction(part.atom, part.at)


def _related(part: Typed, names: Sequence[str]) -> Code:
    name, is_denied = _SIGNS[part.atom]
    if name == "same" and part.op == "equal":
        name = "equal"
    claim = _all(part.args, names) + _instruction(name, part.at)
    return claim + _instruction("not", part.at) if is_denied else claim


def _chain(part: Typed, names: Sequence[str]) -> Code:
    first, *others = part.args
    code = code_of(first, names)
    for (sign, at, _), other in zip(part.atom, others, strict=True):
        code += code_of(other, names) + _instruction(sign, at)
    return code


def _logic(part: Typed, names: Sequence[str]) -> Code:
    """Behind each claim but the last stands where to go on when it decides: behind them all."""
    name = "or" if part.atom == "||" else "and"
    *claims, last = part.args
    code = code_of(last, names)
    for claim in reversed(claims):
        code = [*code_of(claim, names), *_instruction(name, part.at, len(code)), *code]
    return code


def _choice(part: Typed, names: Sequence[str]) -> Code:
    """`claim, else, value, skip, what follows`: `else` passes over `skip`, and `skip` over what follows."""
    *pairs, otherwise = part.args
    code = code_of(otherwise, names)
    for claim, value in reversed(list(zip(pairs[::2], pairs[1::2], strict=True))):
        chosen = code_of(value, names) + _instruction("skip", part.at, len(code))
        code = [*code_of(claim, names), *_instruction("else", part.at, len(chosen)), *chosen, *code]
    return code


_PLAIN = {"item": "index", "key_in": "in", "item_in": "in", "any_in": "in"}
# The opcode of a sign, and whether the claim is its contrary.
_SIGNS = {
    "==": ("same", False),
    "!=": ("same", True),
    "<": ("less", False),
    ">=": ("less", True),
    ">": ("more", False),
    "<=": ("more", True),
}
_CODE: dict[str, Callable[[Typed, Sequence[str]], Code]] = {
    "literal": _literal,
    "name": _name,
    "list": _list,
    "check": _check,
    "method": _method,
    "chain": _chain,
    "logic": _logic,
    "choice": _choice,
    **dict.fromkeys(("key", "has"), _keyed),
    **dict.fromkeys(("compare", "equal", "order"), _related),
    **dict.fromkeys(("index", "size", "not", "negate", "among", *_PLAIN), _plain),
}
