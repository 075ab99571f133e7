"""Turns a typed tree into what evaluates it: one closure a part, no tree at run time.

Rule 1. Operands run from left to right; `&&`, `||` and `? :` run no more than they need.
Rule 2. What the typed tree is certain of is not looked at again.
"""

from collections.abc import Callable
from typing import Any

from splittally.core.expr.operators import chain, related
from splittally.core.expr.typed import RELATIONS, Typed
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

_MISSING = object()


def meaning_of(part: Typed) -> Meaning:
    """The closure that gives the part's value in a run, or ends the run with a fault."""
    return _MEANINGS[part.op](part)


def _literal(part: Typed) -> Meaning:
    value = part.atom
    return lambda run: value


def _list(part: Typed) -> Meaning:
    runs = [meaning_of(arg) for arg in part.args]
    return lambda r: [run(r) for run in runs]


def _name(part: Typed) -> Meaning:
    name, at = part.atom, part.at

    def load(run: Run) -> Any:
        value = run.values.get(name, _MISSING)
        if value is _MISSING:
            raise Stop("missing_key", at, f"no value for `{name}`")
        return value

    return checked(load, part.type.kind, at)


def _check(part: Typed) -> Meaning:
    return checked(meaning_of(part.args[0]), part.atom, part.at)


def _key(part: Typed) -> Meaning:
    base, key, at = meaning_of(part.args[0]), part.atom, part.at

    def read(run: Run) -> Any:
        entries = base(run)
        if type(entries) is not dict:
            raise Stop("wrong_type", at, "only a map has keys")
        value = entries.get(key, _MISSING)
        if value is _MISSING:
            raise Stop("missing_key", at, "no such key")
        return value

    return read


def _index(part: Typed) -> Meaning:
    items, where = map(meaning_of, part.args)
    at = part.at

    def read(run: Run) -> Any:
        entries, wanted = items(run), where(run)
        if type(wanted) is int and type(entries) is list:
            return item_at(entries, wanted, at)
        value = expect(entries, "map", at).get(expect(wanted, "string", at), _MISSING)
        if value is _MISSING:
            raise Stop("missing_key", at, "no such key")
        return value

    return read


def _item(part: Typed) -> Meaning:
    items, index = map(meaning_of, part.args)
    at = part.at
    return lambda run: item_at(items(run), index(run), at)


def _has(part: Typed) -> Meaning:
    base, key, at = meaning_of(part.args[0]), part.atom, part.at
    return lambda run: key in expect(base(run), "map", at)


def _size(part: Typed) -> Meaning:
    run, at = meaning_of(part.args[0]), part.at

    def count(r: Run) -> int:
        value = run(r)
        if kind_of(value, at) in ("int", "bool"):
            raise Stop("wrong_type", at, "only a string, list or map has a size")
        return len(value)

    return count


def _method(part: Typed) -> Meaning:
    text, sought = map(meaning_of, part.args)
    at = part.at
    match part.atom:
        case "startsWith":
            return lambda run: text(run).startswith(sought(run))
        case "endsWith":
            return lambda run: text(run).endswith(sought(run))
        case _:
            return lambda run: searched(run, text(run), sought(run), at)


def _not(part: Typed) -> Meaning:
    claim = meaning_of(part.args[0])
    return lambda run: not claim(run)


def _negate(part: Typed) -> Meaning:
    number, at = meaning_of(part.args[0]), part.at
    return lambda run: in_range(-number(run), at)


def _logic(part: Typed) -> Meaning:
    claims = tuple(map(meaning_of, part.args))
    ends: bool = part.atom == "||"

    def run_logic(run: Run) -> bool:
        for claim in claims:
            if claim(run) == ends:
                return ends
        return not ends

    return run_logic


def _choice(part: Typed) -> Meaning:
    *pairs, otherwise = map(meaning_of, part.args)
    arms = list(zip(pairs[::2], pairs[1::2], strict=True))

    def choose(run: Run) -> Any:
        for claim, value in arms:
            if claim(run):
                return value(run)
        return otherwise(run)

    return choose


def _relation(part: Typed) -> Meaning:
    one, other = map(meaning_of, part.args)
    return related(part, one, other)


def _chain(part: Typed) -> Meaning:
    return chain(part.atom, [meaning_of(arg) for arg in part.args])


_MEANINGS: dict[str, Callable[[Typed], Meaning]] = {
    "literal": _literal,
    "list": _list,
    "name": _name,
    "check": _check,
    "key": _key,
    "index": _index,
    "item": _item,
    "has": _has,
    "size": _size,
    "method": _method,
    "not": _not,
    "negate": _negate,
    "chain": _chain,
    "logic": _logic,
    "choice": _choice,
    **dict.fromkeys(RELATIONS, _relation),
}
