"""A draft of a plan and the plan in force, which both came from one plan: put together, part by part.

Rule 1. A part that only one of them changed is as that one has it. One that both changed alike is so.
Rule 2. A part that both changed otherwise is a conflict, and is named. Nothing is guessed.
Rule 3. Parts are the keys of a plan, and within lines, metrics and the like their entries by name. A quorum,
        a contingency and an overdraft are each one part.

Example. Version 1 has the line `ads`. A draft of it adds the line `rent`; meanwhile version 2 changed the
title. Merged: the new title and both lines. Had version 2 added a line `rent` of its own with another
amount, `lines.rent` would be a conflict.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from splittally.core.budget.plan import Plan

_NONE = object()  # in the place of what is not there
_NAMED = ("constraints", "rules")  # lists whose entries have names
_MAPS = (
    "resources", "lines", "metrics", "allocations", "conversions", "formulas", "surplus", "work", *_NAMED,
)  # fmt: skip


class Merged(NamedTuple):
    """The plan put together, or the parts on which it cannot be."""

    plan: Plan | None
    conflicts: list[str]


def merged(base: Plan, ours: Plan, theirs: Plan) -> Merged:
    """The plan in force (`ours`) with what a draft (`theirs`) changed in `base`; conflicts by name."""
    conflicts: list[str] = []
    whole = _merged("", _tree(base), _tree(ours), _tree(theirs), conflicts)
    if conflicts:
        return Merged(None, conflicts)
    for name in _NAMED:
        whole[name] = list(whole[name].values())
    try:
        plan = msgspec.convert(whole, Plan, strict=True)
        plan.require_valid()
    except ValueError as error:
        return Merged(None, [str(error)])
    return Merged(plan, [])


def _tree(plan: Plan) -> dict[str, Any]:
    tree: dict[str, Any] = msgspec.to_builtins(plan, builtin_types=(bytes,))
    for name in _NAMED:
        tree[name] = {entry["name"]: entry for entry in tree.get(name, [])}
    return {name: {} for name in _MAPS} | tree


def _merged(
    where: str, base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any], found: list[str]
) -> dict[str, Any]:
    """Entry by entry, in the order of `ours` and then of what `theirs` adds."""
    whole: dict[str, Any] = {}
    for name in dict.fromkeys([*ours, *theirs]):
        was, here, there = (x.get(name, _NONE) for x in (base, ours, theirs))
        path = f"{where}{name}"
        if there == was or here == there:
            picked = here
        elif here == was:
            picked = there
        elif not where and name in _MAPS:
            picked = _merged(f"{path}.", was, here, there, found)
        else:
            found.append(path)
            continue
        if picked is not _NONE:
            whole[name] = picked
    return whole
