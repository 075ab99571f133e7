"""Turns the tree of an expression into its type and its meaning: one closure a node, no tree at run time.

Rule 1. Everything that can be known before a run is: types, keys of records, sets of literals.
Rule 2. Where a type is `ANY` the closure checks the value when it is used, and only then.
Rule 3. Operands run from left to right; `&&`, `||` and `? :` run no more than they need.
"""

from collections.abc import Callable, Mapping
from typing import Any

from splittally.core.expr.syntax import Node, refuse
from splittally.core.expr.types import (
    ANY,
    BOOL,
    INT,
    NEVER,
    STRING,
    Type,
    any_field_type,
    field_type,
    list_of,
    meeting,
)
from splittally.core.expr.values import (
    Meaning,
    Run,
    Stop,
    equal,
    expect,
    has_item,
    in_range,
    item_at,
    joined,
    kind_of,
    quotient,
    remainder,
    searched,
)

Names = Mapping[str, Type]
Typed = tuple[Type, Meaning]
Step = Callable[[Run, Any, Any], Any]
_MISSING = object()

ARITHMETIC: dict[str, Callable[[int, int, int], int]] = {
    "+": lambda one, other, at: in_range(one + other, at),
    "-": lambda one, other, at: in_range(one - other, at),
    "*": lambda one, other, at: in_range(one * other, at),
    "/": quotient,
    "%": remainder,
}
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def meaning_of(node: Node, names: Names) -> Typed:
    """The type of a node and the closure that gives its value; `ExpressionError` when it has none."""
    return _MEANINGS[node.op](node, names)


def needed(typed: Typed, wanted: Type, at: int) -> Meaning:
    """The closure as a value of `wanted`: certain, checked when it runs, or refused now."""
    found, run = typed
    if meeting(found, wanted) is None:
        refuse(at, f"this is {found}", str(wanted))
    return _checked(run, wanted.kind, at) if found is ANY and wanted is not ANY else run


def _checked(run: Meaning, kind: str, at: int) -> Meaning:
    """`run` with its value checked at this place; `ANY` is left unchecked."""
    if kind in ("any", "never"):
        return run
    return lambda r: expect(run(r), kind, at)


def _literal(node: Node, _: Names) -> Typed:
    value = node.atom
    types: dict[type, Type] = {bool: BOOL, int: INT, str: STRING}
    return types[type(value)], lambda run: value


def _list(node: Node, names: Names) -> Typed:
    item: Type = NEVER
    runs = []
    for part in node.args:
        found, run = meaning_of(part, names)
        both = meeting(item, found)
        if both is None:
            refuse(part.at, f"this is {found}", f"{item} as the items before it")
        item = both
        runs.append(run)
    return list_of(item), lambda r: [run(r) for run in runs]


def _name(node: Node, names: Names) -> Typed:
    name, at = node.atom, node.at
    found = names.get(name)
    if found is None:
        refuse(at, f"no value is named `{name}`", _one_of(names))

    def load(run: Run) -> Any:
        value = run.values.get(name, _MISSING)
        if value is _MISSING:
            raise Stop("missing_key", at, f"no value for `{name}`")
        return value

    return found, _checked(load, found.kind, at)


def _one_of(names: Mapping[str, object]) -> str:
    shown = sorted(names)[:8]
    return ("one of " if len(shown) > 1 else "") + ", ".join(
        f"`{name}`" for name in shown
    ) or "no name at all"


def _keyed(node: Node, names: Names) -> tuple[Type, Meaning]:
    """The map that a node reads from and its type."""
    found, run = meaning_of(node, names)
    if found.kind not in ("map", "record", "any"):
        refuse(node.at, f"this is {found}", "a map")
    return found, _checked(run, "map", node.at) if found is ANY else run


def _select(node: Node, names: Names) -> Typed:
    container, base = _keyed(node.args[0], names)
    key, at = node.atom, node.at
    found = field_type(container, key)
    if found is None:
        refuse(at, f"no key `{key}`", _one_of(dict(container.fields)))

    def read(run: Run) -> Any:
        value = base(run).get(key, _MISSING)
        if value is _MISSING:
            raise Stop("missing_key", at, "no such key")
        return value

    return found, _checked(read, found.kind, at)


def _index(node: Node, names: Names) -> Typed:
    base, key = node.args
    if key.op == "literal" and type(key.atom) is str:
        return _select(Node("select", key.at, (base,), key.atom), names)
    container, items = meaning_of(base, names)
    if container.kind == "list":
        return _item(container, items, node, names)
    if container.kind not in ("map", "record", "any"):
        refuse(base.at, f"this is {container}", "a map or a list")
    found, at = any_field_type(container), node.at
    is_any = container is ANY
    place = meaning_of(key, names)
    if meeting(place[0], STRING) is None and not (is_any and place[0] == INT):
        refuse(key.at, f"this is {place[0]}", "string")

    def read(run: Run) -> Any:
        entries = items(run)
        where = place[1](run)
        if is_any and type(where) is int and type(entries) is list:
            return item_at(entries, where, at)
        value = expect(entries, "map", at).get(expect(where, "string", at), _MISSING)
        if value is _MISSING:
            raise Stop("missing_key", at, "no such key")
        return value

    return found, _checked(read, found.kind, at)


def _item(container: Type, items: Meaning, node: Node, names: Names) -> Typed:
    index = needed(meaning_of(node.args[1], names), INT, node.args[1].at)
    item, at = container.item or ANY, node.at
    return item, _checked(lambda run: item_at(items(run), index(run), at), item.kind, at)


def _has(node: Node, names: Names) -> Typed:
    container, base = _keyed(node.args[0], names)
    key = node.atom
    if field_type(container, key) is None:
        refuse(node.at, f"no key `{key}`", _one_of(dict(container.fields)))
    return BOOL, lambda run: key in base(run)


def _size(node: Node, names: Names) -> Typed:
    (part,) = node.args
    found, run = meaning_of(part, names)
    if found in (INT, BOOL):
        refuse(part.at, f"this is {found}", "a string, list or map")

    def count(r: Run) -> int:
        value = run(r)
        if kind_of(value, part.at) in ("int", "bool"):
            raise Stop("wrong_type", part.at, "only a string, list or map has a size")
        return len(value)

    return INT, count


def _method(node: Node, names: Names) -> Typed:
    text, part = (needed(meaning_of(arg, names), STRING, arg.at) for arg in node.args)
    at = node.at
    match node.atom:
        case "startsWith":
            return BOOL, lambda run: text(run).startswith(part(run))
        case "endsWith":
            return BOOL, lambda run: text(run).endswith(part(run))
        case _:
            return BOOL, lambda run: searched(run, text(run), part(run), at)


def _unary(node: Node, names: Names) -> Typed:
    (part,) = node.args
    at = node.at
    if node.atom == "!":
        claim = needed(meaning_of(part, names), BOOL, part.at)
        return BOOL, lambda run: not claim(run)
    number = needed(meaning_of(part, names), INT, part.at)
    return INT, lambda run: in_range(-number(run), at)


def _logic(node: Node, names: Names) -> Typed:
    claims = tuple(needed(meaning_of(part, names), BOOL, part.at) for part in node.args)
    ends = node.atom[0][0] == "||"

    def run_logic(run: Run) -> bool:
        for claim in claims:
            if claim(run) is ends:
                return ends
        return not ends

    return BOOL, run_logic


def _choice(node: Node, names: Names) -> Typed:
    *pairs, last = node.args
    found, otherwise = meaning_of(last, names)
    arms = []
    for condition, value in reversed(list(zip(pairs[::2], pairs[1::2], strict=True))):
        claim = needed(meaning_of(condition, names), BOOL, condition.at)
        kind, run = meaning_of(value, names)
        both = meeting(kind, found)
        if both is None:
            refuse(value.at, f"one side is {kind}, the other {found}", "one type")
        found = both
        arms.append((claim, run))
    arms.reverse()

    def choose(run: Run) -> Any:
        for claim, value in arms:
            if claim(run):
                return value(run)
        return otherwise(run)

    return found, choose


def _chain(node: Node, names: Names) -> Typed:
    """Operators of one level, applied from left to right."""
    found, first = meaning_of(node.args[0], names)
    before = node.args[0]
    steps = []
    for (sign, at), part in zip(node.atom, node.args[1:], strict=True):
        other = meaning_of(part, names)
        found, step = _step(sign, at, (found, before.at), (other[0], part))
        steps.append((step, other[1]))
        before = part
    ((step, operand), *more) = steps
    if not more:
        return found, lambda run: step(run, first(run), operand(run))

    def run_chain(run: Run) -> Any:
        value = first(run)
        for apply, following in steps:
            value = apply(run, value, following(run))
        return value

    return found, run_chain


def _step(sign: str, at: int, one: tuple[Type, int], other: tuple[Type, Node]) -> tuple[Type, Step]:
    if sign in ("==", "!="):
        return BOOL, _equality(sign, at, one[0], other[0])
    if sign == "in":
        return BOOL, _membership(at, one, other)
    if sign in ORDER:
        return BOOL, _ordering(sign, at, one, (other[0], other[1].at))
    if sign == "+":
        return _sum(at, one, (other[0], other[1].at))
    _require_kinds((INT,), one, (other[0], other[1].at))
    return INT, _arithmetic(sign, at, one[0] is INT is other[0])


def _require_kinds(kinds: tuple[Type, ...], *operands: tuple[Type, int]) -> None:
    for found, at in operands:
        if found is not ANY and found not in kinds:
            refuse(at, f"this is {found}", " or ".join(str(kind) for kind in kinds))


def _equality(sign: str, at: int, one: Type, other: Type) -> Step:
    both = meeting(one, other)
    if both is None:
        refuse(at, f"{one} and {other} are never equal", "values of one type")
    wanted = sign == "=="
    if both in (INT, BOOL, STRING):
        return (lambda _, a, b: a == b) if wanted else (lambda _, a, b: a != b)
    return lambda run, a, b: equal(run, a, b, at) is wanted


def _ordering(sign: str, at: int, one: tuple[Type, int], other: tuple[Type, int]) -> Step:
    _require_kinds((INT, STRING), one, other)
    both = meeting(one[0], other[0])
    if both is None:
        refuse(at, f"{one[0]} and {other[0]} have no order", "values of one type")
    compare = ORDER[sign]
    if both is not ANY:
        return lambda _, a, b: compare(a, b)

    def ordered(_: Run, a: Any, b: Any) -> bool:
        kind = kind_of(a, at)
        if kind not in ("int", "string") or kind != kind_of(b, at):
            raise Stop("wrong_type", at, "only two ints or two strings have an order")
        return compare(a, b)

    return ordered


def _membership(at: int, one: tuple[Type, int], other: tuple[Type, Node]) -> Step:
    found, node = other
    if found.kind in ("map", "record"):
        _require_kinds((STRING,), one)
        return lambda run, a, b: expect(a, "string", at) in b
    if found.kind == "list":
        if meeting(one[0], found.item or ANY) is None:
            refuse(one[1], f"this is {one[0]}", f"{found.item}, as in the list")
        if node.op == "list" and one[0] in (INT, STRING) and all(part.op == "literal" for part in node.args):
            chosen = frozenset(part.atom for part in node.args)
            return lambda _, a, b: a in chosen
        return lambda run, a, b: has_item(run, a, b, at)
    if found is not ANY:
        refuse(node.at, f"this is {found}", "a list or a map")

    def contained(run: Run, a: Any, b: Any) -> bool:
        if kind_of(b, at) == "map":
            return expect(a, "string", at) in b
        return has_item(run, a, expect(b, "list", at), at)

    return contained


def _sum(at: int, one: tuple[Type, int], other: tuple[Type, int]) -> tuple[Type, Step]:
    both = meeting(one[0], other[0])
    if both is None or both.kind not in ("int", "string", "list", "any"):
        refuse(at, f"`+` does not join {one[0]} and {other[0]}", "two ints, two strings or two lists")
    if both == INT:
        return INT, _arithmetic("+", at, one[0] is INT is other[0])
    if both is not ANY:
        return both, lambda run, a, b: joined(run, a, b, at)

    def added(run: Run, a: Any, b: Any) -> Any:
        kind = kind_of(a, at)
        if kind not in ("int", "string", "list") or kind != kind_of(b, at):
            raise Stop("wrong_type", at, "`+` joins two ints, two strings or two lists")
        return in_range(a + b, at) if kind == "int" else joined(run, a, b, at)

    known = one[0] if one[0] is not ANY else other[0]
    return (known if known.kind in ("int", "string") else ANY), added


def _arithmetic(sign: str, at: int, is_certain: bool) -> Step:
    apply = ARITHMETIC[sign]
    if is_certain:
        return lambda _, a, b: apply(a, b, at)
    return lambda _, a, b: apply(expect(a, "int", at), expect(b, "int", at), at)


_MEANINGS: dict[str, Callable[[Node, Names], Typed]] = {
    "literal": _literal,
    "list": _list,
    "name": _name,
    "select": _select,
    "index": _index,
    "has": _has,
    "size": _size,
    "method": _method,
    "unary": _unary,
    "chain": _chain,
    "logic": _logic,
    "choice": _choice,
}
