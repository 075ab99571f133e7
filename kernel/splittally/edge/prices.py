"""Price tables as dated snapshots, `[prices."2026-11"]` in a manifest, and the grants that name one.

Rule 1. A grant says a snapshot's name or `newest`; the table itself is recorded in its place, with name and
        hash, so that a priced record can be priced again from the journal alone.
Rule 2. A snapshot never changes: other prices are another name.
Rule 3. `newest` is the snapshot that begins last, whatever day it is; no clock is read here.
"""

import datetime
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from splittally.core.canonical import decode, encode
from splittally.core.errors import InvalidManifest, SplittallyError
from splittally.core.hashing import hash_prices
from splittally.core.state import State
from splittally.edge.amounts import minor_units
from splittally.edge.quantities import natural, refuse_unknown, table

NEWEST = "newest"
NAME, HASH = "x-snapshot", "x-hash"
KEYS = ("since", "resource", "prompt", "completion", "models")
PRICE_KEYS = ("prompt", "completion")


class Snapshot(Struct, frozen=True):
    """Prices in minor units of `resource` for 10^6 tokens; `prices` is the table as an enforcer reads it."""

    name: str
    since: str
    resource: str
    prices: dict[str, Any]

    @property
    def digest(self) -> bytes:
        """The hash of the prices, in the context `splittally 1 prices`."""
        return hash_prices(encode(self.prices))

    @property
    def named(self) -> dict[str, Any]:
        """The table with its name and hash, as cap params hold it."""
        return {**self.prices, NAME: self.name, HASH: self.digest.hex()}


def read_snapshots(given: Mapping[str, Any], scales: Mapping[str, int]) -> dict[str, Snapshot]:
    """The snapshots of the table `prices`, by name; `InvalidManifest` where one cannot be read."""
    return {name: _snapshot(name, entry, scales) for name, entry in given.items()}


def newest(snapshots: Mapping[str, Snapshot]) -> Snapshot:
    """The snapshot that begins last; `InvalidManifest` where there is none, or two on that day."""
    if not snapshots:
        raise InvalidManifest("there are no price snapshots; add `[prices.NAME]`", field="prices")
    last = max(each.since for each in snapshots.values())
    found = sorted(name for name, each in snapshots.items() if each.since == last)
    if len(found) > 1:
        text = f"price snapshots {', '.join(f'`{name}`' for name in found)} begin on the same day; name one"
        raise InvalidManifest(text, field="prices")
    return snapshots[found[0]]


def named_or_newest(where: str, name: str, snapshots: Mapping[str, Snapshot]) -> Snapshot:
    """The snapshot called `name`, or the newest one."""
    if name == NEWEST:
        return newest(snapshots)
    if name not in snapshots:
        known = ", ".join(sorted(snapshots)) or "none"
        raise InvalidManifest(f"`{where}`: no price snapshot `{name}`; there is {known}", field=where)
    return snapshots[name]


def priced_params(
    where: str, params: Any, snapshots: Mapping[str, Snapshot], recorded: Mapping[str, set[str]]
) -> Any:
    """Cap params with the table in place of its name; params that name no snapshot are left alone.

    `recorded` is `recorded_hashes` of the world.
    """
    name = params.get("prices") if isinstance(params, Mapping) else None
    if not isinstance(name, str) or not snapshots:
        return params
    snapshot = named_or_newest(where, name, snapshots)
    if recorded.get(snapshot.name, set()) - {snapshot.digest.hex()}:
        text = f"price snapshot `{snapshot.name}` is in use with other prices; give these another name"
        raise InvalidManifest(f"`{where}`: {text}", field=where)
    return {**params, "prices": snapshot.named}


def recorded_hashes(state: State) -> dict[str, set[str]]:
    """The hashes of the prices that grants of the world hold, by the snapshot's name."""
    found: dict[str, set[str]] = {}
    for digest in {grant.params for grant in state.caps.grants.values()}:
        named = snapshot_of(state.caps.blobs.get(digest, b""))
        if named is not None:
            found.setdefault(named["snapshot"], set()).add(named["hash"])
    return found


def snapshot_of(params: bytes) -> dict[str, str] | None:
    """Name and hash of the snapshot within canonical cap params; None where they hold none."""
    try:
        prices = decode(params).get("prices", {})
        return {"snapshot": str(prices[NAME]), "hash": str(prices[HASH])}
    except (SplittallyError, AttributeError, KeyError, TypeError):
        return None


def _snapshot(name: str, entry: Any, scales: Mapping[str, int]) -> Snapshot:
    where = f"prices.{name}"
    given = table(where, entry)
    refuse_unknown(f"price snapshot `{name}`", given, KEYS)
    if not name or name == NEWEST:
        raise InvalidManifest(f"`{name}` cannot be the name of a price snapshot", field=where)
    resource = given.get("resource")
    if not isinstance(resource, str) or resource not in scales:
        text = f"`{where}.resource` is a resource that `[resources]` defines"
        raise InvalidManifest(text, field=f"{where}.resource")
    prices: dict[str, Any] = {"resource": resource}
    if any(key in given for key in PRICE_KEYS):
        prices |= _price(where, {key: given[key] for key in PRICE_KEYS if key in given}, resource, scales)
    if models := table(f"{where}.models", given.get("models", {})):
        prices["models"] = {
            model: _price(f"{where}.models.{model}", price, resource, scales)
            for model, price in models.items()
        }
    if len(prices) == 1:
        raise InvalidManifest(
            f"`{where}` has no price; add `models`, or `prompt` and `completion`", field=where
        )
    return Snapshot(
        name=name, since=_day(f"{where}.since", given.get("since")), resource=resource, prices=prices
    )


def _price(where: str, entry: Any, resource: str, scales: Mapping[str, int]) -> dict[str, int]:
    given = table(where, entry)
    refuse_unknown(f"price `{where}`", given, PRICE_KEYS)
    try:
        return {
            key: natural(f"{where}.{key}", minor_units(given.get(key), resource, scales[resource]))
            for key in PRICE_KEYS
        }
    except InvalidManifest:
        raise
    except SplittallyError as error:
        raise InvalidManifest(f"`{where}`: {error}", field=where) from error


def _day(where: str, value: Any) -> str:
    try:
        day = datetime.date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        day = None
    if not isinstance(day, datetime.date) or isinstance(day, datetime.datetime):
        raise InvalidManifest(f"`{where}` is a day such as 2026-11-01", field=where)
    return day.isoformat()
