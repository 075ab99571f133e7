"""The `[governor]` table of a manifest to the typed terms of the core: amounts and memory with units.

Rule 1. Only the spelling changes here; an unknown key is refused with the keys that are known.
"""

import re
from collections.abc import Mapping
from typing import Any

from splittally.core.errors import InvalidManifest
from splittally.edge.amounts import Amounts
from splittally.edge.near import meant
from splittally.edge.quantities import refuse_unknown

CAP_KEYS = ("resource", "per", "amount")
FIELDS_KEYS = ("lane", "failure_class")
KEYS = ("caps", "envelope", "classes", "fields")
ENVELOPE_KEYS = ("total", "reserved", "default_lane", "lanes")
_MEMORY = re.compile(r"([0-9]{1,12})(?:\.([0-9]))? ?(MiB|GiB)")


def spelled_governor(table: Any, amounts: Amounts) -> dict[str, Any]:
    """The terms of a governor as a manifest states them; `InvalidManifest` for what is no such table."""
    if not isinstance(table, Mapping):
        raise InvalidManifest("`governor` is a table", field="governor")
    refuse_unknown("`governor`", table, KEYS)
    terms = dict(table)
    if isinstance(table.get("caps"), list):
        terms["caps"] = [
            _spelled_cap(f"governor.caps[{at}]", x, amounts) for at, x in enumerate(table["caps"])
        ]
    for kind, pointers in dict(table.get("fields") or {}).items():
        if isinstance(pointers, Mapping):
            refuse_unknown(f"`governor.fields.{kind}`", pointers, FIELDS_KEYS)
    if isinstance(table.get("envelope"), Mapping):
        terms["envelope"] = _spelled_envelope(table["envelope"])
    return terms


def _spelled_cap(where: str, cap: Any, amounts: Amounts) -> Any:
    if not isinstance(cap, Mapping):
        return cap
    refuse_unknown(f"`{where}`", cap, CAP_KEYS)
    if type(cap.get("resource")) is not str:
        return cap
    if type(cap.get("amount")) is str and cap["resource"] not in amounts.scales:
        near = meant(cap["resource"], amounts.scales)
        raise InvalidManifest(f"`{where}`: `{cap['resource']}` is no declared resource{near}", field=where)
    return {**cap, "amount": amounts.minor_units(cap.get("amount"), cap["resource"])}


def _spelled_envelope(envelope: Mapping[str, Any]) -> dict[str, Any]:
    refuse_unknown("`governor.envelope`", envelope, ENVELOPE_KEYS)
    spelled = {key: _mib(key, value) for key, value in envelope.items() if key != "lanes"}
    lanes = envelope.get("lanes")
    if isinstance(lanes, Mapping):
        spelled["lanes"] = {lane: _mib(f"lanes.{lane}", value) for lane, value in lanes.items()}
    return spelled


def _mib(where: str, value: Any) -> Any:
    """MiB, as a number or as text such as `5632 MiB` or `5.5 GiB`; a part of a MiB is rounded up."""
    if not isinstance(value, str):
        return value
    match = _MEMORY.fullmatch(value)
    if match is None:
        raise InvalidManifest(
            f"`governor.envelope.{where}` is memory such as `5.5 GiB`", field="governor.envelope"
        )
    tenths = int(match[1]) * 10 + int(match[2] or 0)
    return -(-tenths * (1024 if match[3] == "GiB" else 1) // 10)
