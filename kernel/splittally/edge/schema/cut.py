"""Cuts a receipt to what its schema names, where the schema says `x-cut` (spec/01, "JSON Schema").

Rule 1. Only whole entries of maps are left out, never a part of a text or of a list. Where an entry is cut
        itself and is no map, it holds nothing of what is named, and is left out.
Rule 2. What is cut is not judged: a receipt fits or not by what is left of it.

    {"x-cut": true, "properties": {"usage": {}}}      {"usage": {...}, "text": ...}  ->  {"usage": {...}}
    {"x-cut": 16384, "properties": {"usage": {}}}     the same, for receipts of more than 16 KiB
"""

from typing import Any

from splittally.core.limits import DEPTH_MAX
from splittally.edge.schema.places import Place
from splittally.edge.schema.structure import CUT


def cut_above(places: list[Place]) -> int | None:
    """Above how many canonical bytes a value is cut; None for a schema that never cuts, the root first."""
    if not any(place.cuts for place in places):
        return None
    said = places[0].body.get(CUT)
    return said if type(said) is int else 0


def kept(value: Any, at: Place, left: int = DEPTH_MAX) -> Any:
    """The value without what its places cut, the same object where nothing is."""
    is_map = type(value) is dict
    leads_nowhere = at.rest is at and at.items is at and not at.named
    if leads_nowhere or not left or not (is_map or type(value) is list):
        return value
    if not is_map:
        items = [kept(item, at.named.get(place, at.items), left - 1) for place, item in enumerate(value)]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    parts: dict[str, Any] = {}
    for key, part in value.items():
        below = at.named.get(key, at.rest)
        if (not at.cuts or key in at.named) and (not below.cuts or type(part) is dict):
            parts[key] = kept(part, below, left - 1)
    is_whole = len(parts) == len(value) and all(parts[key] is part for key, part in value.items())
    return value if is_whole else parts
