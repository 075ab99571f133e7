"""The table `world` of a manifest: where its days begin, and what it makes of its clock."""

from collections.abc import Mapping
from typing import Any

from splittally.core.errors import InvalidManifest
from splittally.core.zones import Zone
from splittally.edge.quantities import array, refuse_unknown, span, utc_offset_ns
from splittally.edge.zones import read_zone

WORLD_KEYS = ("utc_offset", "timezone", "zones", "clock_jump")


def read_world(world: Mapping[str, Any], zones: dict[str, Zone]) -> dict[str, int]:
    """The world's offset from UTC, and how far its clock may step; its zones are added to `zones`."""
    refuse_unknown("`world`", world, WORLD_KEYS)
    terms = {"offset_ns": 0}
    for name in array("world.zones", world.get("zones", [])):
        zones[str(name)] = read_zone("world.zones", name)
    if "timezone" not in world:
        terms["offset_ns"] = utc_offset_ns("world.utc_offset", world.get("utc_offset", "+00:00"))
    elif "utc_offset" in world:
        raise InvalidManifest("a world has a `timezone` or a `utc_offset`", field="world.timezone")
    else:
        zones[""] = read_zone("world.timezone", world["timezone"])
    if "clock_jump" in world:
        terms["clock_jump_ns"] = span("world.clock_jump", world["clock_jump"])
    return terms
