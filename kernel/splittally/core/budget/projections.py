"""What an expression of a plan reads, by name: so that a request can say what it was computed from.

Rule 1. Only what stands in the text is named: `metric.price` and `metric["price"]` are `metric`, `price`.
"""

from functools import lru_cache

from splittally.core.expr.parser import Node, read

NEEDED = "needed"  # a formula whose name begins so says what the budget needs in all
MAPS = ("balance", "cell", "digest", "input", "metric", "spent", "supply", "surplus")


@lru_cache(maxsize=4096)
def reads_of(text: str) -> tuple[tuple[str, str], ...]:
    """The maps and keys that an expression names, sorted; those it computes are not known."""
    return tuple(sorted(set(_reads(read(text)))))


def _reads(node: Node) -> list[tuple[str, str]]:
    found = [name for part in node.args for name in _reads(part)]
    if node.op in ("select", "has", "index") and node.args[0].op == "name" and node.args[0].atom in MAPS:
        key = node.args[1].atom if node.op == "index" else node.atom
        found += [(node.args[0].atom, key)] if isinstance(key, str) else []
    return found
