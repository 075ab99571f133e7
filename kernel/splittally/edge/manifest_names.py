"""Names by which one entry of a manifest means another: a misspelt one is met before anything is recorded.

Rule 1. A name that nothing has, here or in the world, is misspelt where it is very close to one that
        something has: `InvalidManifest` says which. Any other is left to the core, which knows what may be
        named before it is there: a rule may, a grant may not.
Rule 2. What stands in the world already is not looked at again: an unchanged manifest means what it meant.

Example. `[grants.g] cap = "sys/llm.basc@1"`: "`grants.g.cap`: nothing is called `sys/llm.basc@1`; did you
mean `sys/llm.basic@1`?"
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from splittally.core.errors import InvalidManifest
from splittally.core.native import NATIVE
from splittally.core.state import State
from splittally.core.types import CAP_ALL, ROOT
from splittally.edge.near import meant

VERY_CLOSE = 0.8  # `a/none@1` is not `a/fee@1` misspelt, and names of one family share half their letters


class Named(NamedTuple):
    """A name at a place of a manifest, and the names that it may be."""

    where: str
    name: str
    known: set[str]


def refuse_misspelt(state: State, params: dict[str, Any]) -> None:
    """Returns where no name in the params of `manifest.apply` is misspelt; else `InvalidManifest`."""
    for where, name, known in _names(state, params):
        near = "" if name in known else meant(name, known, VERY_CLOSE)
        if near:
            raise InvalidManifest(f"`{where}`: nothing is called `{name}`{near}", field=where)


def _names(state: State, params: dict[str, Any]) -> Iterator[Named]:
    """Every name of a cap, an effect or a grant that a manifest states anew."""
    caps = {CAP_ALL, *state.caps.caps, *params["caps"]}
    kinds = {*NATIVE, *state.caps.effects, *params["effects"]}
    grants = {ROOT, *state.caps.grants, *params["grants"]}
    for name, terms in params["grants"].items():
        where, old = f"grants.{name}", state.caps.grants.get(name)
        yield from _stated(terms, {"cap": caps, "parent": grants}, where, old)
    rules = {rule.name: rule for rule in state.rules}
    for at, rule in enumerate(params["policy"]):
        named = {"effect_kind": kinds, "cap_name": caps}
        yield from _stated(rule, named, f"policy[{at}]", rules.get(rule["name"]))


def _stated(terms: dict[str, Any], known: dict[str, set[str]], where: str, old: Any) -> Iterator[Named]:
    """The names of an entry that are not those of the entry that stands."""
    for field, names in known.items():
        name = terms.get(field)
        if type(name) is str and name and name != getattr(old, field, None):
            yield Named(f"{where}.{field}", name, names)
