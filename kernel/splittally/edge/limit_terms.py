"""A limit as people write it, in a grant or as the rate of a rule, to the terms of the core.

Rule 1. Only the spelling changes: its window is that of `periods.py`, its share two numbers, the most that it
        hands on is `carried_max`. Amounts are read by the door at which the limit came.
"""

from collections.abc import Callable, Mapping
from typing import Any

from splittally.core.zones import Zone
from splittally.edge.periods import PERIOD_KEYS, spelled_per
from splittally.edge.quantities import refuse_unknown, share

LIMIT_KEYS = ("dim", "amount", "per", "over", "rollover", "rollover_max", *PERIOD_KEYS)
UNBOUNDED = ("carried_max", -1)  # as the core says that a window hands on all that is left
ReadAmount = Callable[[str, str, Any], Any]  # place, dimension and what stands there, to minor units


def spelled_limit(
    where: str,
    limit: Mapping[str, Any],
    standing: set[tuple[str, str]],
    read: ReadAmount,
    zones: dict[str, Zone],
    keys: tuple[str, ...] = LIMIT_KEYS,
) -> dict[str, Any]:
    """The terms of a limit; its zone is put into `zones`.

    `standing` are dimension and period of the limits that stand now, `keys` what it may say.
    `InvalidManifest` says what is wrong and where.
    """
    terms = dict(limit)
    refuse_unknown(f"limit `{where}`", terms, keys)
    dim = str(terms.get("dim"))
    if terms.get("rollover", []) != []:
        terms["rollover"] = share(f"{where}.rollover", terms["rollover"])
    for name in ("amount", "carried_max", "rollover_max"):
        if name in terms and (name, terms[name]) != UNBOUNDED:
            terms[name] = read(f"{where}.{name}", dim, terms[name])
    if "rollover_max" in terms:
        terms["carried_max"] = terms.pop("rollover_max")
    spelled_per(where, terms, zones, standing)
    return terms
