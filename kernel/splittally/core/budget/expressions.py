"""The expressions of a plan: what they may read, compiled once (spec/expressions.md).

Rule 1. An expression that does not compile is refused with the plan; one that faults later is skipped.
Rule 2. Every name is a map of integers of the data model, or a record of them: nothing is a float.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from splittally.core import expr
from splittally.core.errors import ExpressionError
from splittally.core.expr.parser import Node, read

DIGEST = {"average": expr.INT, "count": expr.INT, "last": expr.INT, "max": expr.INT, "min": expr.INT,
          "sum": expr.INT}  # fmt: skip
NAMES: dict[str, expr.Type] = {
    "cause": expr.record({"amount": expr.INT, "dim": expr.STRING}),
    "balance": expr.map_of(expr.INT),  # what the budget's account holds, by resource
    "metric": expr.map_of(expr.INT),  # what each metric says now
    "input": expr.map_of(expr.INT),  # what a solver was given
    "cell": expr.map_of(expr.INT),  # other formulas, and cells of the solution in force
    "digest": expr.map_of(expr.record(DIGEST)),  # a metric's values of its period
    "spent": expr.map_of(expr.INT),  # what the budget's grants used and reserve, by resource
    "surplus": expr.map_of(expr.INT),  # what is held beyond all lines, by resource
    "supply": expr.map_of(expr.INT),  # what the counter-account of each conversion holds of what it gives
    "now_ns": expr.INT,
}


@lru_cache(maxsize=4096)
def amount_of(text: str) -> expr.Expression:
    """The compiled expression of an amount or a cell."""
    return expr.compile(text, NAMES, expr.INT)


@lru_cache(maxsize=4096)
def condition_of(text: str) -> expr.Expression:
    """The compiled condition of a rule or a constraint."""
    return expr.compile(text, NAMES, expr.BOOL)


@lru_cache(maxsize=4096)
def names_read(text: str) -> tuple[tuple[str, ...], ...]:
    """What an expression that compiles states to read, sorted: `balance.USD` is `("balance", "USD")`."""
    return tuple(sorted(set(_paths(read(text)))))


def _paths(node: Node) -> Iterator[tuple[str, ...]]:
    """The paths of names in a tree; a key that is computed ends one, and is looked at by itself."""
    keys: list[str] = []
    below = node
    while below.op in ("select", "has", "index"):
        key: Any = below.atom if below.op != "index" else below.args[1].atom
        if below.op == "index" and below.args[1].op != "literal":
            yield from _paths(below.args[1])
            keys.clear()  # what stands behind a computed key is no part of the path
        else:
            keys.insert(0, str(key))
        below = below.args[0]
    if below.op == "name":
        yield (str(below.atom), *keys)
        return
    for part in below.args:
        yield from _paths(part)


def require_amount(text: str) -> None:
    """Raises `ValueError` unless this is an expression that gives an integer."""
    try:
        amount_of(text)
    except ExpressionError as error:
        raise ValueError(f"`{text}`: {error}") from error


def require_condition(text: str) -> None:
    """Raises `ValueError` unless this is an expression that is true or false."""
    try:
        condition_of(text)
    except ExpressionError as error:
        raise ValueError(f"`{text}`: {error}") from error


def require(holds: bool, message: str) -> None:
    """Raises `ValueError` with this message unless it holds."""
    if not holds:
        raise ValueError(message)
