"""Turns the tree of an expression into a typed tree, or refuses it (spec/expressions.md, "Types").

Rule 1. Everything that can be known before a run is: types, keys of records, which form of an operator.
Rule 2. Where a type is `ANY` a `check` stands around the value that is used as one type.
Rule 3. What is refused first does not depend on values: the parts are looked at in one order.

`params.to[0] == "a"`, where `params` is `any`, becomes (types behind the colons)

    compare "==": bool
        check string: string
            index: any
                key "to": any
                    name "params": any
                literal 0: int
        literal "a": string
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from splittally.core.expr.parser import Node, refuse
from splittally.core.expr.types import (
    ANY,
    BOOL,
    INT,
    NEVER,
    SCALARS,
    STRING,
    Type,
    any_field_type,
    field_type,
    list_of,
    meeting,
)

Names = Mapping[str, Type]
RELATIONS = ("compare", "equal", "order", "key_in", "item_in", "any_in", "among")


class Typed(Struct, frozen=True):
    """One step of meaning with the type of its value; `at` is the character that its faults name.

    `op` is literal, name, list, key, index, item, has, size, method, not, negate, logic, choice, check, one
    of `RELATIONS`, or chain. `atom` is its own word: the value, name, key, method, kind or sign. Of a chain
    it is a sign, a character and a form for each operand but the first: `int` where both sides are ints,
    `number` where that is checked, `join` of texts or lists, `add` where it is any of these.
    """

    op: str
    type: Type
    at: int
    args: tuple["Typed", ...] = ()
    atom: Any = None


def typed(node: Node, names: Names) -> Typed:
    """The typed tree of a node; `ExpressionError` when it has none."""
    return _TYPED[node.op](node, names)


def needed(part: Typed, wanted: Type, at: int) -> Typed:
    """The part as a value of `wanted`: certain, checked when it runs, or refused now."""
    if meeting(part.type, wanted) is None:
        refuse(at, f"this is {part.type}", str(wanted))
    return checked(part, wanted, at) if part.type == ANY else part


def checked(part: Typed, wanted: Type, at: int) -> Typed:
    """The part with its value checked at this place; `any` is left unchecked until it is used."""
    if wanted.kind in ("any", "never"):
        return part
    return Typed("check", wanted, at, (part,), wanted.kind)


def _known_as(side: Typed, wanted: Type, at: int) -> Typed:
    return checked(side, wanted, at) if side.type == ANY else side


def _literal(node: Node, _: Names) -> Typed:
    types: dict[type, Type] = {bool: BOOL, int: INT, str: STRING}
    return Typed("literal", types[type(node.atom)], node.at, (), node.atom)


def _list(node: Node, names: Names) -> Typed:
    item: Type = NEVER
    parts = []
    for arg in node.args:
        part = typed(arg, names)
        both = meeting(item, part.type)
        if both is None:
            refuse(arg.at, f"this is {part.type}", f"{item} as the items before it")
        item = both
        parts.append(part)
    return Typed("list", list_of(item), node.at, tuple(parts))


def _name(node: Node, names: Names) -> Typed:
    found = names.get(node.atom)
    if found is None:
        refuse(node.at, f"no value is named `{node.atom}`", _one_of(names))
    return Typed("name", found, node.at, (), node.atom)


def _one_of(names: Mapping[str, object]) -> str:
    shown = sorted(names)[:8]
    return ("one of " if len(shown) > 1 else "") + ", ".join(
        f"`{name}`" for name in shown
    ) or "no name at all"


def _keyed(node: Node, names: Names) -> Typed:
    """The map that a node reads from."""
    part = typed(node, names)
    if part.type.kind not in ("map", "record", "any"):
        refuse(node.at, f"this is {part.type}", "a map")
    return part


def _select(node: Node, names: Names) -> Typed:
    return _entry(_keyed(node.args[0], names), node.atom, node.at)


def _entry(container: Typed, key: str, at: int) -> Typed:
    found = _field(container, key, at)
    return checked(Typed("key", found, at, (container,), key), found, at)


def _field(container: Typed, key: str, at: int) -> Type:
    found = field_type(container.type, key)
    if found is None:
        refuse(at, f"no key `{key}`", _one_of(dict(container.type.fields)))
    return found


def _index(node: Node, names: Names) -> Typed:
    base, key = node.args
    container = typed(base, names)
    if container.type.kind == "list":
        place = needed(typed(key, names), INT, key.at)
        item = container.type.item or ANY
        return checked(Typed("item", item, node.at, (container, place)), item, node.at)
    if container.type.kind not in ("map", "record", "any"):
        refuse(base.at, f"this is {container.type}", "a map or a list")
    if key.op == "literal" and type(key.atom) is str:
        return _entry(container, key.atom, key.at)
    place = typed(key, names)
    if meeting(place.type, STRING) is None and not (container.type == ANY and place.type == INT):
        refuse(key.at, f"this is {place.type}", "string")
    found = any_field_type(container.type)
    return checked(Typed("index", found, node.at, (container, place)), found, node.at)


def _has(node: Node, names: Names) -> Typed:
    container = _keyed(node.args[0], names)
    _field(container, node.atom, node.at)
    return Typed("has", BOOL, node.at, (container,), node.atom)


def _size(node: Node, names: Names) -> Typed:
    part = typed(node.args[0], names)
    if part.type in (INT, BOOL):
        refuse(node.args[0].at, f"this is {part.type}", "a string, list or map")
    return Typed("size", INT, node.args[0].at, (part,))


def _method(node: Node, names: Names) -> Typed:
    text, part = (needed(typed(arg, names), STRING, arg.at) for arg in node.args)
    return Typed("method", BOOL, node.at, (text, part), node.atom)


def _unary(node: Node, names: Names) -> Typed:
    (arg,) = node.args
    op, wanted = ("not", BOOL) if node.atom == "!" else ("negate", INT)
    return Typed(op, wanted, node.at, (needed(typed(arg, names), wanted, arg.at),))


def _logic(node: Node, names: Names) -> Typed:
    claims = tuple(needed(typed(arg, names), BOOL, arg.at) for arg in node.args)
    return Typed("logic", BOOL, node.at, claims, node.atom[0][0])


def _choice(node: Node, names: Names) -> Typed:
    *pairs, last = node.args
    otherwise = typed(last, names)
    found, parts = otherwise.type, [otherwise]
    for condition, value in reversed(list(zip(pairs[::2], pairs[1::2], strict=True))):
        claim = needed(typed(condition, names), BOOL, condition.at)
        part = typed(value, names)
        both = meeting(part.type, found)
        if both is None:
            refuse(value.at, f"one side is {part.type}, the other {found}", "one type")
        found = both
        parts += [part, claim]
    return Typed("choice", found, node.at, tuple(reversed(parts)))


# --- two sides ----------------------------------------------------------------------------------------


def _relation(node: Node, names: Names) -> Typed:
    ((sign, at),) = node.atom
    one, other = (typed(arg, names) for arg in node.args)
    if sign == "in":
        return _membership(at, node, one, other)
    if other.type in SCALARS:
        one = _known_as(one, other.type, node.args[0].at)
    if one.type in SCALARS:
        other = _known_as(other, one.type, node.args[1].at)
    both = meeting(one.type, other.type)
    if both is None:
        refuse(at, f"{one.type} and {other.type} are never compared", "values of one type")
    is_equality = sign in ("==", "!=")
    if both in (INT, STRING) or (both == BOOL and is_equality):
        op = "compare"
    elif is_equality:
        op = "equal"
    elif both == ANY:
        op = "order"
    else:
        refuse(at, f"{both} has no order", "two ints or two strings")
    return Typed(op, BOOL, at, (one, other), sign)


def _membership(at: int, node: Node, one: Typed, other: Typed) -> Typed:
    place, around = node.args
    if other.type.kind in ("map", "record"):
        one = _known_as(one, STRING, place.at)
        if one.type != STRING:
            refuse(place.at, f"this is {one.type}", "string")
        return Typed("key_in", BOOL, at, (one, other))
    if other.type.kind != "list":
        if other.type != ANY:
            refuse(around.at, f"this is {other.type}", "a list or a map")
        return Typed("any_in", BOOL, at, (one, other))
    item = other.type.item or ANY
    if item in SCALARS:
        one = _known_as(one, item, place.at)
    if meeting(one.type, item) is None:
        refuse(place.at, f"this is {one.type}", f"{item}, as in the list")
    is_among = item in (INT, STRING) and all(part.op == "literal" for part in other.args)
    return Typed("among" if other.op == "list" and is_among else "item_in", BOOL, at, (one, other))


def _chain(node: Node, names: Names) -> Typed:
    """Sums or products, applied from left to right."""
    first, *others = node.args
    parts = [typed(first, names)]
    found, before, signs = parts[0].type, first, []
    for (sign, at), arg in zip(node.atom, others, strict=True):
        part = typed(arg, names)
        found, form = _arithmetic(sign, at, (found, before), (part.type, arg))
        parts.append(part)
        signs.append((sign, at, form))
        before = arg
    return Typed("chain", found, node.at, tuple(parts), tuple(signs))


def _arithmetic(sign: str, at: int, one: tuple[Type, Node], other: tuple[Type, Node]) -> tuple[Type, str]:
    """The type of `one sign other` and its form; `ExpressionError` when it has none."""
    if sign == "+":
        return _sum(at, one[0], other[0])
    for found, node in (one, other):
        if found not in (INT, ANY):
            refuse(node.at, f"this is {found}", "int")
    return INT, "int" if one[0] == INT == other[0] else "number"


def _sum(at: int, one: Type, other: Type) -> tuple[Type, str]:
    known = one if one != ANY else other
    both = meeting(one, other)
    if both is None or known.kind not in ("int", "string", "list", "any"):
        refuse(at, f"`+` does not join {one} and {other}", "two ints, two strings or two lists")
    if known == INT:
        return INT, "int" if one == INT == other else "number"
    if both != ANY:
        return both, "join"
    return (STRING if known == STRING else ANY), "add"


_TYPED: dict[str, Callable[[Node, Names], Typed]] = {
    "literal": _literal,
    "list": _list,
    "name": _name,
    "select": _select,
    "index": _index,
    "has": _has,
    "size": _size,
    "method": _method,
    "unary": _unary,
    "relation": _relation,
    "chain": _chain,
    "logic": _logic,
    "choice": _choice,
}
