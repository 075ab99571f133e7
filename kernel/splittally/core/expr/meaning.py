"""Turns the tree of an expression into its type and its meaning: one closure a node, no tree at run time.

Rule 1. Everything that can be known before a run is: types, keys of records, sets of literals.
Rule 2. Where a type is `ANY` the closure checks the value when it is used, and only then.
Rule 3. Operands run from left to right; `&&`, `||` and `? :` run no more than they need.
"""

from collections.abc import Callable, Mapping
from typing import Any

from splittally.core.expr.operators import Operand, arithmetic, relation
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
    checked,
    expect,
    in_range,
    item_at,
    kind_of,
    searched,
)

Names = Mapping[str, Type]
Typed = tuple[Type, Meaning]
_MISSING = object()


def meaning_of(node: Node, names: Names) -> Typed:
    """The type of a node and the closure that gives its value; `ExpressionError` when it has none."""
    return _MEANINGS[node.op](node, names)


def needed(typed: Typed, wanted: Type, at: int) -> Meaning:
    """The closure as a value of `wanted`: certain, checked when it runs, or refused now."""
    found, run = typed
    if meeting(found, wanted) is None:
        refuse(at, f"this is {found}", str(wanted))
    return checked(run, wanted.kind, at) if found == ANY else run


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

    return found, checked(load, found.kind, at)


def _one_of(names: Mapping[str, object]) -> str:
    shown = sorted(names)[:8]
    return ("one of " if len(shown) > 1 else "") + ", ".join(
        f"`{name}`" for name in shown
    ) or "no name at all"


def _keyed(node: Node, names: Names) -> Typed:
    """The map that a node reads from."""
    found, run = meaning_of(node, names)
    if found.kind not in ("map", "record", "any"):
        refuse(node.at, f"this is {found}", "a map")
    return found, run


def _select(node: Node, names: Names) -> Typed:
    return _entry(_keyed(node.args[0], names), node.atom, node.at)


def _entry(keyed: Typed, key: str, at: int) -> Typed:
    container, base = keyed
    found = field_type(container, key)
    if found is None:
        refuse(at, f"no key `{key}`", _one_of(dict(container.fields)))

    def read(run: Run) -> Any:
        entries = base(run)
        if type(entries) is not dict:
            raise Stop("wrong_type", at, "only a map has keys")
        value = entries.get(key, _MISSING)
        if value is _MISSING:
            raise Stop("missing_key", at, "no such key")
        return value

    return found, checked(read, found.kind, at)


def _index(node: Node, names: Names) -> Typed:
    base, key = node.args
    container, items = meaning_of(base, names)
    if container.kind == "list":
        return _item(container, items, node, names)
    if container.kind not in ("map", "record", "any"):
        refuse(base.at, f"this is {container}", "a map or a list")
    if key.op == "literal" and type(key.atom) is str:
        return _entry((container, items), key.atom, key.at)
    place, where = meaning_of(key, names)
    is_any = container == ANY
    if meeting(place, STRING) is None and not (is_any and place == INT):
        refuse(key.at, f"this is {place}", "string")
    found, at = any_field_type(container), node.at

    def read(run: Run) -> Any:
        entries, wanted = items(run), where(run)
        if is_any and type(wanted) is int and type(entries) is list:
            return item_at(entries, wanted, at)
        value = expect(entries, "map", at).get(expect(wanted, "string", at), _MISSING)
        if value is _MISSING:
            raise Stop("missing_key", at, "no such key")
        return value

    return found, checked(read, found.kind, at)


def _item(container: Type, items: Meaning, node: Node, names: Names) -> Typed:
    index = needed(meaning_of(node.args[1], names), INT, node.args[1].at)
    item, at = container.item or ANY, node.at
    return item, checked(lambda run: item_at(items(run), index(run), at), item.kind, at)


def _has(node: Node, names: Names) -> Typed:
    container, base = _keyed(node.args[0], names)
    key, at = node.atom, node.at
    if field_type(container, key) is None:
        refuse(at, f"no key `{key}`", _one_of(dict(container.fields)))
    return BOOL, lambda run: key in expect(base(run), "map", at)


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
    ends: bool = node.atom[0][0] == "||"

    def run_logic(run: Run) -> bool:
        for claim in claims:
            if claim(run) == ends:
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


def _relation(node: Node, names: Names) -> Typed:
    ((sign, at),) = node.atom
    one, other = (Operand(*meaning_of(part, names), part) for part in node.args)
    return BOOL, relation(sign, at, one, other)


def _chain(node: Node, names: Names) -> Typed:
    """Sums or products, applied from left to right."""
    found, first = meaning_of(node.args[0], names)
    before = node.args[0]
    steps = []
    for (sign, at), part in zip(node.atom, node.args[1:], strict=True):
        other, operand = meaning_of(part, names)
        found, step = arithmetic(sign, at, Operand(found, first, before), Operand(other, operand, part))
        steps.append((step, operand))
        before = part
    if len(steps) == 1:
        ((step, operand),) = steps
        return found, lambda run: step(run, first(run), operand(run))

    def run_chain(run: Run) -> Any:
        value = first(run)
        for apply, following in steps:
            value = apply(run, value, following(run))
        return value

    return found, run_chain


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
    "relation": _relation,
    "chain": _chain,
    "logic": _logic,
    "choice": _choice,
}
