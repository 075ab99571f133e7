"""The formulas of a plan as a system of equations: which cells each reads, and the order to solve them in.

Rule 1. A formula reads cells by names that it states: `cell.price`, `cell["ads.USD"]`, `has(cell.price)`. One
        that reads `cell` in another way has no place in an order and is refused with the plan.
Rule 2. It reads formulas of its plan and cells of its lines; a circle is told by name (`soundness.py`).
Rule 3. The order is that of dependency, then of names. One solution is solved from nothing but what is read
        now: no formula reads a cell of an earlier solution, so solving twice gives the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from heapq import heapify, heappop, heappush

from splittally.core.budget.expressions import require
from splittally.core.expr.parser import Node, read

CELL = "cell"
UNALLOCATED = "unallocated"  # what stands for a line in the name of the cell of what no line has


def cell_of(line: str, resource: str) -> str:
    """The name of the cell that says how much of a resource a line has."""
    return f"{line}.{resource}"


@lru_cache(maxsize=4096)
def cells_read(text: str) -> tuple[str, ...]:
    """The names of the cells that an expression reads, sorted; `ValueError` where it states no name."""
    return tuple(sorted(set(_names(read(text), text))))


def _names(node: Node, text: str) -> Iterator[str]:
    is_cell = bool(node.args) and (node.args[0].op, node.args[0].atom) == ("name", CELL)
    if is_cell and node.op in ("select", "has"):
        yield node.atom
        return
    if is_cell and node.op == "index" and node.args[1].op == "literal" and type(node.args[1].atom) is str:
        yield node.args[1].atom
        return
    require((node.op, node.atom) != ("name", CELL), f'`{text}` reads `cell` by a name: cell.x or cell["a.b"]')
    for part in node.args:
        yield from _names(part, text)


# Example. c reads b, and b reads a:
#
#     {"a": "metric.m", "b": "cell.a * 2", "c": "cell.a + cell.b"}  ->  a, b, c
#     {"a": "cell.b", "b": "cell.a"}                                ->  nothing; in a circle: `a`, `b`
def in_order(formulas: Mapping[str, str]) -> list[str]:
    """The names of these formulas, each behind all that it reads; without those that circles keep back."""
    needs = {name: [x for x in cells_read(text) if x in formulas] for name, text in formulas.items()}
    readers: dict[str, list[str]] = {name: [] for name in formulas}
    for name in sorted(needs):
        for other in needs[name]:
            readers[other].append(name)
    open_needs = {name: len(others) for name, others in needs.items()}
    ready = [name for name, count in open_needs.items() if not count]
    heapify(ready)
    order: list[str] = []
    while ready:
        name = heappop(ready)
        order.append(name)
        for reader in readers[name]:
            open_needs[reader] -= 1
            if not open_needs[reader]:
                heappush(ready, reader)
    return order


def circle_of(formulas: Mapping[str, str]) -> list[str]:
    """One circle in which formulas read each other, sorted; empty where there is none."""
    left = set(formulas) - set(in_order(formulas))
    if not left:
        return []
    seen: list[str] = []
    name = min(left)
    while name not in seen:
        seen.append(name)
        name = min(x for x in cells_read(formulas[name]) if x in left)
    return sorted(seen[seen.index(name) :])


def require_equations(formulas: Mapping[str, str], lines: Iterable[str], resources: Iterable[str]) -> None:
    """Raises `ValueError` unless the formulas read cells that their plan has."""
    for name in sorted(formulas):
        for other in cells_read(formulas[name]):
            allocations = (cell_of(line, unit) for line in [*lines, UNALLOCATED] for unit in resources)
            is_there = other in formulas or other in allocations
            require(is_there, f"the formula `{name}` reads the cell `{other}`, which the plan does not have")
