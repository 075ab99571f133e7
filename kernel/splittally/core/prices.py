"""Price tables: what may stand in one, which of them is in force, and the row of a model.

A *table* is canonical bytes that the journal holds once, under their hash. A grant's cap params name tables
as *snapshots*: each by a name, with the time from which it holds. Who is asked gets one row, never a table.

Rule 1. In force is the snapshot that began last. Before the first begins, the first holds.
Rule 2. A model's row stands in the place of the price for all; nothing of the one is added to the other.
Rule 3. Amounts are minor units of the table's resource: `PER_MILLION` for 10^6 tokens, `PER_PIECE` for each.
Rule 4. What is in another form is not ours: such params stay as they are.

Example. `{"snapshots": [{hash: A, name: "autumn", resource: "USD", since_ns: 100},
{hash: W, name: "winter", ..., since_ns: 200}]}`: at 50 and at 199 table A is in force, from 200 on W. A call
of `m` at 199 is asked about with `{"prices": A, "row": {"completion": 9, "model": "m", "prompt": 3, ...}}`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from splittally.core.amounts import is_natural
from splittally.core.canonical import decode, encode
from splittally.core.errors import CanonicalError
from splittally.core.limits import (
    HASH_BYTES,
    MODEL_BYTES_MAX,
    PRICE_MODELS_MAX,
    PRICE_TIERS_MAX,
    PRICES_BYTES_MAX,
    SNAPSHOTS_MAX,
    TIME_NS_MAX,
)
from splittally.core.types import is_id

PRICES, SNAPSHOTS, MODELS, RESOURCE, SCALE = "prices", "snapshots", "models", "resource", "scale"
REQUIRED = ("prompt", "completion")
PER_MILLION = (*REQUIRED, "cached", "cache_write", "reasoning", "audio_prompt", "audio_completion",
               "image_prompt")  # fmt: skip
PER_PIECE = ("call", "image")
BATCH, TIERS, ABOVE = "batch", "tiers", "above"
ROW_KEYS = (*PER_MILLION, *PER_PIECE, BATCH, TIERS)
SHARE_MAX = 10**9  # of the numbers of a batch share: products stay far below 2^128
_SNAPSHOT_KEYS = {"hash", "name", "resource", "since_ns"}
_NOTED_KEYS = {"source", "source_hash"}  # of a snapshot, for people
_MARK = b"isnapshots"  # the key in canonical bytes


class Snapshot(NamedTuple):
    """A table by hash, under a name, and from when on it holds."""

    hash: bytes
    name: str
    resource: str
    since_ns: int


class PriceTable:
    """A table that was read: its rows by model and the row for all others, None where there is none.

    Each row says its resource, and the resource's decimals where the table does.
    """

    __slots__ = ("_models", "_others", "_unit", "digest", "resource")

    def __init__(self, digest: bytes, table: Mapping[str, Any]) -> None:
        self.digest = digest
        self.resource: str = table[RESOURCE]
        self._unit = {key: table[key] for key in (RESOURCE, SCALE) if key in table}
        self._models: Mapping[str, Any] = table.get(MODELS, {})
        others = {key: table[key] for key in ROW_KEYS if key in table}
        self._others = others or None

    def key_of(self, model: object) -> str:
        """The name of the row that prices a model; empty for the price for all, or for none."""
        return model if type(model) is str and model in self._models else ""

    def row(self, key: str) -> dict[str, Any] | None:
        """The row of this name as it stands in a question; None where there is no price."""
        if key:
            return {**self._models[key], "model": key, **self._unit}
        return None if self._others is None else {**self._others, **self._unit}

    def rows(self) -> list[dict[str, Any]]:
        """Every row, that for all others first."""
        named = [self.row(key) for key in ("", *sorted(self._models))]
        return [row for row in named if row is not None]


class PriceBook:
    """The snapshots in the params of a grant, in the order in which they begin."""

    __slots__ = ("_params", "snapshots")

    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params
        rows = params[PRICES][SNAPSHOTS]
        self.snapshots = [Snapshot(x["hash"], x["name"], x[RESOURCE], x["since_ns"]) for x in rows]

    def at(self, now_ns: int) -> Snapshot:
        """The snapshot that is in force at this time."""
        for snapshot in reversed(self.snapshots):
            if snapshot.since_ns <= now_ns:
                return snapshot
        return self.snapshots[0]

    def asked_with(self, table: PriceTable, key: str) -> bytes:
        """The params as an enforcer gets them: with one row in the place of the snapshots."""
        return encode({**self._params, PRICES: {PRICES: table.digest, "row": table.row(key)}})


def read_book(params: bytes) -> PriceBook | None:
    """The snapshots in canonical cap params; None where there are none in the form of this release."""
    if _MARK not in params:
        return None
    try:
        found = decode(params)
    except CanonicalError:
        return None
    prices = found.get(PRICES) if type(found) is dict else None
    return PriceBook(found) if type(prices) is dict and not snapshots_fault(prices) else None


def snapshots_fault(prices: Mapping[str, Any]) -> str:
    """Why `prices` of cap params are no snapshots in their order; empty where they are."""
    rows = prices.get(SNAPSHOTS)
    if prices.keys() != {SNAPSHOTS} or type(rows) is not list or not 0 < len(rows) <= SNAPSHOTS_MAX:
        return f"it holds `snapshots` alone, 1 to {SNAPSHOTS_MAX} of them"
    last = -1
    for row in rows:
        if type(row) is not dict or not _SNAPSHOT_KEYS <= row.keys() <= _SNAPSHOT_KEYS | _NOTED_KEYS:
            return f"a snapshot has {', '.join(sorted(_SNAPSHOT_KEYS))}"
        if type(row["hash"]) is not bytes or len(row["hash"]) != HASH_BYTES:
            return f"the `hash` of a snapshot has {HASH_BYTES} bytes"
        if not is_id(row["name"]) or not is_id(row["resource"]):
            return "a snapshot and its resource have names"
        if not is_natural(row["since_ns"]) or not last < row["since_ns"] <= TIME_NS_MAX:
            return "`since_ns` are times, and each is later than the one before it"
        last = row["since_ns"]
    return ""


def read_table(digest: bytes, data: bytes) -> PriceTable | None:
    """The table in these bytes; None where they are none."""
    return None if table_fault(data) else PriceTable(digest, decode(data))


def table_fault(data: bytes) -> str:
    """Why these bytes are no price table; empty where they are one."""
    if len(data) > PRICES_BYTES_MAX:
        return f"a price table has at most {PRICES_BYTES_MAX} bytes"
    try:
        table = decode(data)
    except CanonicalError as error:
        return str(error)
    if type(table) is not dict or not is_id(table.get(RESOURCE)):
        return "a price table has a `resource`"
    if not is_natural(table.get(SCALE, 0)):
        return "the `scale` of a price table is a natural"
    models = table.get(MODELS, {})
    if type(models) is not dict or len(models) > PRICE_MODELS_MAX:
        return f"`models` are at most {PRICE_MODELS_MAX} rows by name"
    for model, row in models.items():
        if not is_model(model):
            return f"the name of a model has 1 to {MODEL_BYTES_MAX} bytes"
        if fault := row_fault(row):
            return f"`{model}`: {fault}"
    others = {key: value for key, value in table.items() if key not in (RESOURCE, SCALE, MODELS)}
    return row_fault(others) if others else "" if models else "a price table has a price"


def is_model(text: object) -> bool:
    """Whether a row may have this name."""
    return type(text) is str and 0 < len(text.encode()) <= MODEL_BYTES_MAX


def row_fault(row: Any) -> str:
    """Why this is no row of a price table; empty where it is one."""
    if type(row) is not dict or not row.keys() <= set(ROW_KEYS):
        return f"a row has {', '.join(ROW_KEYS)}"
    if not all(key in row for key in REQUIRED):
        return "a row has `prompt` and `completion`"
    if not all(is_natural(row[key]) for key in (*PER_MILLION, *PER_PIECE) if key in row):
        return "a price is a natural below 2^64"
    if BATCH in row and not _is_share(row[BATCH]):
        return "`batch` is a share between 0 and 1, as numerator and denominator"
    return _tiers_fault(row[TIERS]) if TIERS in row else ""


def _is_share(share: Any) -> bool:
    if type(share) is not list or len(share) != 2 or not all(is_natural(part) for part in share):
        return False
    part, whole = share
    return bool(0 < whole <= SHARE_MAX and part <= whole)


def _tiers_fault(tiers: Any) -> str:
    if type(tiers) is not list or not 0 < len(tiers) <= PRICE_TIERS_MAX:
        return f"`tiers` are 1 to {PRICE_TIERS_MAX} rows"
    last = -1
    for tier in tiers:
        if type(tier) is not dict or not {ABOVE} < tier.keys() <= {ABOVE, *PER_MILLION}:
            return f"a tier has `above` and prices: {', '.join(PER_MILLION)}"
        if not all(is_natural(value) for value in tier.values()):
            return "`above` and the prices of a tier are naturals below 2^64"
        if tier[ABOVE] <= last:
            return "each `above` is more than the one before it"
        last = tier[ABOVE]
    return ""
