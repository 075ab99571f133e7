"""Grants that name price snapshots: what their cap params become.

Rule 1. `prices = NAME` is that snapshot, at all times. `prices = "newest"` is every snapshot of the manifest;
        the kernel takes the one in force when it is asked (`core/prices.py`). No clock is read here.
Rule 2. A snapshot never changes: while a grant holds one of its name, other prices are another name.
Rule 3. Tables are recorded by hash, each once, beside the params. Only a module of an older release, which
        reads whole tables (`WHOLE_TABLES`), has one in its params: that in force at the world's own time.
Rule 4. What cannot work is refused: a snapshot under a cap that covers nothing with a `price_key`, a table
        that leaves a module no room for the call.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from splittally.core.canonical import decode, encode
from splittally.core.caps.state import Caps, covers_type
from splittally.core.errors import InvalidManifest, SplittallyError
from splittally.core.limits import INLINE_PRICES_BYTES_MAX, SNAPSHOTS_MAX
from splittally.core.prices import MODELS, PRICES, REQUIRED, RESOURCE, SNAPSHOTS, read_book
from splittally.core.state import State
from splittally.edge.prices import NEWEST, Snapshot, named_or_newest, ordered

NAME, HASH = "x-snapshot", "x-hash"  # of a whole table in cap params
WHOLE_TABLES = ("sys/CapEnforceLlmBasic@1",)
_OWN_KEYS = {NAME, HASH, RESOURCE, MODELS, *REQUIRED}


class Priced:
    """The grants of one manifest, and the tables that travel with it."""

    def __init__(self, state: State, snapshots: Mapping[str, Snapshot], kinds: Iterable[tuple[str, str]]):
        self.tables: dict[bytes, bytes] = {}
        self._caps, self._now_ns = state.caps, state.now_ns
        self._snapshots = snapshots
        self._recorded = recorded_hashes(state) if snapshots else {}
        known = {kind: (effect.cap_type, effect.price_key) for kind, effect in state.caps.effects.items()}
        self._types = {cap_type for cap_type, key in known.values() if key}
        self._types |= {cap_type for cap_type, key in kinds if key}

    def params(self, where: str, params: Any, cap_type: str, enforcer: bytes) -> Any:
        """Cap params with snapshots in place of their name; params that name none are left alone."""
        name = params.get(PRICES) if isinstance(params, Mapping) else None
        is_whole = reads_whole(self._caps, enforcer)
        if not isinstance(name, str) or not (self._snapshots or is_whole or cap_type in self._types):
            if is_whole:
                require_room(where, params)
            return params
        if not is_whole and not any(covers_type(cap_type, each) for each in self._types):
            text = f"`{where}`: this cap covers no kind of effect that has a `price_key`"
            raise InvalidManifest(text, field=where)
        chosen = self._chosen(where, name)
        if is_whole:
            begun = [snapshot for snapshot in chosen if snapshot.since_ns <= self._now_ns]
            whole = {**params, PRICES: _whole(where, [chosen[0], *begun][-1])}
            require_room(where, whole)
            return whole
        for snapshot in chosen:
            if snapshot.digest not in self._caps.blobs:
                self.tables[snapshot.digest] = snapshot.data
        return {**params, PRICES: {SNAPSHOTS: [_row(snapshot) for snapshot in chosen]}}

    def _chosen(self, where: str, name: str) -> list[Snapshot]:
        chosen = (
            ordered(self._snapshots) if name == NEWEST else [named_or_newest(where, name, self._snapshots)]
        )
        if len(chosen) > SNAPSHOTS_MAX:
            text = f"`{where}`: there are {len(chosen)} snapshots; a grant has at most {SNAPSHOTS_MAX}"
            raise InvalidManifest(text, field=where, needed=len(chosen), available=SNAPSHOTS_MAX)
        for snapshot in chosen:
            same = {snapshot.digest.hex(), snapshot.digest_before.hex()}
            if self._recorded.get(snapshot.name, set()) - same:
                text = (
                    f"price snapshot `{snapshot.name}` is in use with other prices; give these another name"
                )
                raise InvalidManifest(f"`{where}`: {text}", field=where)
        return chosen


def issued_params(state: State, where: str, params: Any, cap_type: str, enforcer: bytes) -> Any:
    """Cap params of a grant that is issued: a name is that of a snapshot that another grant has."""
    name = params.get(PRICES) if isinstance(params, Mapping) else None
    if reads_whole(state.caps, enforcer) and not isinstance(name, str):
        require_room(where, params)
    types = {effect.cap_type for effect in state.caps.effects.values() if effect.price_key}
    if not isinstance(name, str) or not any(covers_type(cap_type, each) for each in types):
        return params
    rows = _recorded_rows(state)
    if name == NEWEST and rows:
        chosen = sorted(rows.values(), key=lambda row: row["since_ns"])
    elif name in rows:
        chosen = [rows[name]]
    else:
        known = ", ".join(sorted(rows)) or "none"
        raise InvalidManifest(
            f"`{where}`: no grant has a price snapshot `{name}`; there is {known}", field=where
        )
    return {**params, PRICES: {SNAPSHOTS: chosen}}


def reads_whole(caps: Caps, enforcer: bytes) -> bool:
    """Whether this module reads whole tables."""
    return bool(enforcer) and any(caps.modules.get(name) == enforcer for name in WHOLE_TABLES)


def require_room(where: str, params: Any) -> None:
    """Refuses params whose table leaves a module no room for the call, with the number of models that fit."""
    prices = params.get(PRICES) if isinstance(params, Mapping) else None
    models = prices.get(MODELS) if isinstance(prices, Mapping) else None
    if not isinstance(models, Mapping) or not models:
        return
    try:
        size = len(encode(dict(params)))
        sizes = [len(encode(model)) + len(encode(row)) for model, row in models.items()]
    except SplittallyError:
        return  # it is refused where it is sealed
    if size <= INLINE_PRICES_BYTES_MAX:
        return
    left, fit = INLINE_PRICES_BYTES_MAX - (size - sum(sizes)), 0
    while fit < len(sizes) and left >= sizes[fit]:
        left -= sizes[fit]
        fit += 1
    text = (
        f"`{where}` has {len(models)} models; the first {fit} fit into the params of this cap, whose module"
        " reads the whole table; name a snapshot of `[prices]` under `sys/llm@1`, which gets one row"
    )
    raise InvalidManifest(text, field=where, needed=len(models), available=fit)


def recorded_hashes(state: State) -> dict[str, set[str]]:
    """The hashes of the prices that grants of the world hold, by the snapshot's name."""
    found: dict[str, set[str]] = {}
    for digest in {grant.params for grant in state.caps.grants.values()}:
        for name, hashed in _named(state.caps.blobs.get(digest, b"")):
            found.setdefault(name, set()).add(hashed)
    return found


def _named(params: bytes) -> list[tuple[str, str]]:
    """The name and hash of each snapshot in canonical cap params."""
    book = read_book(params)
    if book is not None:
        return [(snapshot.name, snapshot.hash.hex()) for snapshot in book.snapshots]
    whole = whole_table(params)
    return [(str(whole[NAME]), str(whole[HASH]))] if whole is not None else []


def whole_table(params: bytes) -> dict[str, Any] | None:
    """The table of a snapshot that stands whole in canonical cap params; None where there is none."""
    if NAME.encode() not in params:
        return None
    prices = decode(params).get(PRICES)
    return prices if type(prices) is dict and {NAME, HASH} <= prices.keys() else None


def _recorded_rows(state: State) -> dict[str, dict[str, Any]]:
    """The snapshots that grants which are not revoked hold, by name."""
    rows: dict[str, dict[str, Any]] = {}
    for grant in state.caps.grants.values():
        params = state.caps.cap_params(grant)
        if grant.name not in state.caps.revoked and read_book(params) is not None:
            rows |= {row["name"]: row for row in decode(params)[PRICES][SNAPSHOTS]}
    return rows


def _row(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "hash": snapshot.digest,
        "name": snapshot.name,
        "resource": snapshot.resource,
        "since_ns": snapshot.since_ns,
        **snapshot.noted,
    }


def _whole(where: str, snapshot: Snapshot) -> dict[str, Any]:
    """The table itself with its name and hash, for a module that reads whole tables."""
    rows = [snapshot.prices, *snapshot.prices.get(MODELS, {}).values()]
    foreign = sorted({key for row in rows for key in row if key not in _OWN_KEYS})
    if foreign:
        text = f"the module of this cap knows no `{foreign[0]}`; `tally upgrade`, then `sys/llm@1` does"
        raise InvalidManifest(f"`{where}`: {text}", field=where)
    return {**snapshot.prices, NAME: snapshot.name, HASH: snapshot.digest_before.hex()}
