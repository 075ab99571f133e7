"""Price tables as dated snapshots, `[prices."2026-11"]` in a manifest, as people write them.

Rule 1. Amounts come with their unit; what they become, and what may stand in a table, is `core/prices.py`.
Rule 2. Of people's keys none is guessed: one that is not known is refused with the one that was meant.
Rule 3. A snapshot begins at midnight of its day on the world's clock; a day before 1970 is the beginning.
Rule 4. An entry may be the path of a file with the table, as `tally prices import` writes it.
"""

import datetime
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from msgspec import Struct

from splittally.core.calendars import Calendar
from splittally.core.canonical import encode
from splittally.core.errors import InvalidManifest, SplittallyError
from splittally.core.hashing import hash_prices
from splittally.core.limits import MODEL_BYTES_MAX, PRICE_MODELS_MAX, PRICES_BYTES_MAX
from splittally.core.prices import (
    ABOVE,
    BATCH,
    MODELS,
    PER_MILLION,
    PER_PIECE,
    REQUIRED,
    RESOURCE,
    ROW_KEYS,
    SCALE,
    TIERS,
    is_model,
    row_fault,
    table_fault,
)
from splittally.core.types import is_id
from splittally.edge.amounts import Amounts
from splittally.edge.quantities import array, natural, refuse_unknown, share, table

UTC = Calendar()
NEWEST = "newest"
PRICE_KEYS = REQUIRED
KEYS = ("since", RESOURCE, "source", "source_hash", *ROW_KEYS, MODELS)
AMOUNTS = (*PER_MILLION, *PER_PIECE)
DAY_NS = 86_400 * 10**9
# What other price lists call the same things.
MEANT = {
    "input": "prompt", "input_mtok": "prompt", "output": "completion", "output_mtok": "completion",
    "cache_read": "cached", "cached_prompt": "cached", "input_cached": "cached", "prompt_cached": "cached",
    "cache_creation": "cache_write", "thinking": "reasoning", "thoughts": "reasoning", "request": "call",
    "per_call": "call", "per_image": "image", "thresholds": TIERS, "above_200k": TIERS, "batches": BATCH,
    "audio_input": "audio_prompt", "audio_output": "audio_completion", "image_input": "image_prompt",
}  # fmt: skip


class Snapshot(Struct, frozen=True):
    """Prices in minor units of `resource`, which has `scale` decimals; `prices` are its rows.

    `since_ns` is when it begins. `source` and `source_hash` say where it is imported from, empty for nowhere.
    """

    name: str
    since: str
    resource: str
    prices: dict[str, Any]
    scale: int = 0
    since_ns: int = 0
    source: str = ""
    source_hash: str = ""

    @property
    def data(self) -> bytes:
        """The table as canonical bytes, as the journal holds it."""
        return encode({**self.prices, SCALE: self.scale})

    @property
    def digest(self) -> bytes:
        """The hash of the table, in the context `splittally 1 prices`."""
        return hash_prices(self.data)

    @property
    def digest_before(self) -> bytes:
        """The same of a table as older releases had it, without the decimals of its resource."""
        return hash_prices(encode(self.prices))

    @property
    def noted(self) -> dict[str, str]:
        """Where the prices come from, as far as it was said."""
        noted = {"source": self.source, "source_hash": self.source_hash}
        return {key: text for key, text in noted.items() if text}


def read_snapshots(
    given: Mapping[str, Any],
    amounts: Amounts,
    calendar: Calendar = UTC,
    load: Callable[[str], tuple[Mapping[str, Any], bool]] | None = None,
) -> dict[str, Snapshot]:
    """The snapshots of the table `prices`, by name; `InvalidManifest` where one cannot be read.

    Days begin where those of `calendar` do. `load` reads a file that an entry names, and says whether its
    numbers are a person's.
    """
    found = {}
    for name, entry in given.items():
        if isinstance(entry, str) and load is not None:
            document, by_people = load(entry)
            entry = _in_file(f"prices.{name}", name, document)
            found[name] = _snapshot(name, entry, amounts._replace(by_people=by_people), calendar)
        else:
            found[name] = _snapshot(name, entry, amounts, calendar)
    return found


def ordered(snapshots: Mapping[str, Snapshot]) -> list[Snapshot]:
    """The snapshots as they begin; `InvalidManifest` where there is none, or two begin on one day."""
    if not snapshots:
        raise InvalidManifest("there are no price snapshots; add `[prices.NAME]`", field="prices")
    rows = sorted(snapshots.values(), key=lambda each: (each.since_ns, each.since, each.name))
    for one, other in pairwise(rows):
        if one.since_ns == other.since_ns:
            text = f"price snapshots `{one.name}`, `{other.name}` begin on the same day; name one"
            raise InvalidManifest(text, field="prices")
    return rows


def newest(snapshots: Mapping[str, Snapshot]) -> Snapshot:
    """The snapshot that begins last; `InvalidManifest` where there is none, or two on one day."""
    return ordered(snapshots)[-1]


def in_force(snapshots: Mapping[str, Snapshot], now_ns: int) -> Snapshot:
    """The snapshot that began last at this time; the first where none has begun."""
    rows = ordered(snapshots)
    return next((each for each in reversed(rows) if each.since_ns <= now_ns), rows[0])


def named_or_newest(
    where: str, name: str, snapshots: Mapping[str, Snapshot], now_ns: int | None = None
) -> Snapshot:
    """The snapshot called `name`, or the one in force; without a time the one that begins last."""
    if name == NEWEST:
        return newest(snapshots) if now_ns is None else in_force(snapshots, now_ns)
    if name not in snapshots:
        known = ", ".join(sorted(snapshots)) or "none"
        raise InvalidManifest(f"`{where}`: no price snapshot `{name}`; there is {known}", field=where)
    return snapshots[name]


def _in_file(where: str, name: str, document: Mapping[str, Any]) -> Any:
    """The table of this snapshot in the file that is named in its place."""
    refuse_unknown(f"the file of `{where}`", document, ("prices",))
    entries = table(f"{where} (in its file)", document.get("prices", {}))
    if name not in entries:
        there = ", ".join(sorted(entries)) or "none"
        raise InvalidManifest(f"the file of `{where}` has no `[prices.{name}]`; it has {there}", field=where)
    return entries[name]


def _snapshot(name: str, entry: Any, amounts: Amounts, calendar: Calendar) -> Snapshot:
    where = f"prices.{name}"
    given = table(where, entry)
    _refuse_unknown(f"price snapshot `{name}`", given, KEYS)
    if not is_id(name) or name == NEWEST:
        raise InvalidManifest(f"`{name}` cannot be the name of a price snapshot", field=where)
    resource = given.get(RESOURCE)
    if not isinstance(resource, str) or resource not in amounts.scales:
        text = f"`{where}.resource` is a resource that `[resources]` defines"
        raise InvalidManifest(text, field=f"{where}.resource")
    prices: dict[str, Any] = {RESOURCE: resource}
    others = {key: given[key] for key in ROW_KEYS if key in given}
    if others:
        prices |= _row(where, others, resource, amounts)
    models = table(f"{where}.models", given.get(MODELS, {}))
    if models:
        prices[MODELS] = {
            model: _row(f"{where}.models.{model}", row, resource, amounts)
            for model, row in models.items()
            if _named(where, model)
        }
    if len(prices) == 1:
        text = f"`{where}` has no price; add `models`, or `prompt` and `completion`"
        raise InvalidManifest(text, field=where)
    _require_fitting(where, prices)
    day = _day(f"{where}.since", given.get("since"))
    return Snapshot(
        name=name,
        since=day.isoformat(),
        since_ns=max(0, calendar.instant((day - datetime.date(1970, 1, 1)).days * DAY_NS)),
        resource=resource,
        scale=amounts.scales[resource],
        prices=prices,
        source=_text(f"{where}.source", given.get("source", "")),
        source_hash=_text(f"{where}.source_hash", given.get("source_hash", "")),
    )


def _row(where: str, entry: Any, resource: str, amounts: Amounts) -> dict[str, Any]:
    """One row: amounts in minor units, shares as two numbers, tiers in the order in which they begin."""
    given = table(where, entry)
    _refuse_unknown(f"price `{where}`", given, ROW_KEYS)
    row: dict[str, Any] = {
        key: _price(f"{where}.{key}", given.get(key), resource, amounts)
        for key in AMOUNTS
        if key in given or key in REQUIRED
    }
    if BATCH in given:
        row[BATCH] = share(f"{where}.{BATCH}", given[BATCH])
    if TIERS in given:
        tiers = array(f"{where}.{TIERS}", given[TIERS])
        row[TIERS] = [
            _tier(f"{where}.{TIERS}[{at}]", tier, resource, amounts) for at, tier in enumerate(tiers)
        ]
    if fault := row_fault(row):
        raise InvalidManifest(f"`{where}`: {fault}", field=where)
    return row


def _tier(where: str, entry: Any, resource: str, amounts: Amounts) -> dict[str, int]:
    given = table(where, entry)
    _refuse_unknown(f"tier `{where}`", given, (ABOVE, *PER_MILLION))
    tier = {ABOVE: natural(f"{where}.{ABOVE}", given.get(ABOVE))}
    prices = {
        key: _price(f"{where}.{key}", given[key], resource, amounts) for key in PER_MILLION if key in given
    }
    return tier | prices


def _price(where: str, value: Any, resource: str, amounts: Amounts) -> int:
    try:
        return natural(where, amounts.minor_units(value, resource))
    except InvalidManifest:
        raise
    except SplittallyError as error:
        raise InvalidManifest(f"`{where}`: {error}", field=where) from error


def _named(where: str, model: Any) -> bool:
    if not is_model(model):
        text = f"`{where}.models`: the name of a model has 1 to {MODEL_BYTES_MAX} bytes"
        raise InvalidManifest(text, field=f"{where}.models")
    return True


def _require_fitting(where: str, prices: dict[str, Any]) -> None:
    """Refuses a table that is too large, with the number of models that fit."""
    models = prices.get(MODELS, {})
    left = PRICES_BYTES_MAX - len(encode({**prices, MODELS: {}, SCALE: 0}))
    for fit, (model, row) in enumerate(models.items()):
        left -= len(encode(model)) + len(encode(row))
        if left < 9 or fit == PRICE_MODELS_MAX:  # the head of the map may have nine bytes
            text = f"`{where}` has {len(models)} models; the first {fit} of them fit into a price table"
            raise InvalidManifest(text, field=where, needed=len(models), available=fit)
    if fault := table_fault(encode({**prices, SCALE: 0})):
        raise InvalidManifest(f"`{where}`: {fault}", field=where)


def _refuse_unknown(what: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuses a key that is not known, with the one that other price lists call so."""
    for key in given:
        meant = MEANT.get(str(key))
        if key not in known and meant in known:
            text = f"{what} has no `{key}`; did you mean `{meant}`? It has {', '.join(known)}"
            raise InvalidManifest(text, field=str(key), known=list(known))
    refuse_unknown(what, given, known)


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MODEL_BYTES_MAX:
        raise InvalidManifest(f"`{where}` is text of at most {MODEL_BYTES_MAX} characters", field=where)
    return value


def _day(where: str, value: Any) -> datetime.date:
    try:
        day = datetime.date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        day = None
    if not isinstance(day, datetime.date) or isinstance(day, datetime.datetime):
        raise InvalidManifest(f"`{where}` is a day such as 2026-11-01", field=where)
    return day
