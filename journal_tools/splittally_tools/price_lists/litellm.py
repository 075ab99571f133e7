"""LiteLLM's list, `model_prices_and_context_window.json`: an object of models, prices for one token.

Rule 1. `X_above_200k_tokens` is X of a call whose prompt has more than 200,000 tokens; so are the `range`s of
        `tiered_pricing`. Of two columns that say one thing the first stands.
Rule 2. `X_batches` become one share of the call, where all of them are the same share of their X.
Rule 3. An embedding writes no tokens, so its completion is 0 where the list has none.

Example. `{"input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05, "input_cost_per_token_batches":
6.25e-07, "output_cost_per_token_batches": 5e-06}` is prompt 1.25, completion 10 and a batch share of 50%.
"""

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from splittally_tools.price_lists.listed import Listed, PriceList, Prices, array, price, share_of, table

MILLION = 6  # prices are for one token, ours for 10^6
PER_TOKEN = {
    "input_cost_per_token": "prompt",
    "output_cost_per_token": "completion",
    "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_prompt",
    "output_cost_per_audio_token": "audio_completion",
    "input_cost_per_image_token": "image_prompt",
}
PER_PIECE = {
    "input_cost_per_request": "call",
    "output_cost_per_image": "image",
}
EXAMPLE = "sample_spec"  # of the list itself: it says what the columns are
WRITES_NOTHING = ("embedding",)
_ABOVE = re.compile(r"(.+)_above_([1-9][0-9]{0,6})k_tokens")
_BATCHES = "_batches"


def is_litellm(document: Any) -> bool:
    """Whether the document looks like this list: an object of objects with its columns."""
    return isinstance(document, Mapping) and any(
        isinstance(entry, Mapping) and ("litellm_provider" in entry or "input_cost_per_token" in entry)
        for entry in document.values()
    )


def read_litellm(document: Mapping[str, Any]) -> PriceList:
    """The models of the list; `InvalidInput` names what is no price."""
    found = PriceList({}, {}, Counter())
    for model, entry in document.items():
        if model == EXAMPLE:
            continue
        entry = table(model, entry)
        listed = _listed(model, entry, found)
        if listed.prices.keys() >= {"prompt", "completion"}:
            found.models[model] = listed
        else:
            missing = "prompt" if "prompt" not in listed.prices else "completion"
            lacks = "no token prices" if missing == "prompt" else "no completion price"
            found.skipped[model] = lacks
    return found


def _listed(model: str, entry: Mapping[str, Any], found: PriceList) -> Listed:
    prices: Prices = {}
    tiers: dict[int, Prices] = {}
    batches: list[tuple[str, Any]] = []
    for column, value in entry.items():
        where = f"{model}.{column}"
        above = _ABOVE.fullmatch(column)
        if value is None:
            continue
        if column in PER_TOKEN:
            prices[PER_TOKEN[column]] = price(where, value, MILLION)
        elif column in PER_PIECE:
            prices[PER_PIECE[column]] = price(where, value)
        elif above is not None and above[1] in PER_TOKEN:
            tier = tiers.setdefault(int(above[2]) * 1000, {})
            tier[PER_TOKEN[above[1]]] = price(where, value, MILLION)
        elif column.removesuffix(_BATCHES) in PER_TOKEN:
            batches.append((PER_TOKEN[column.removesuffix(_BATCHES)], price(where, value, MILLION)))
        elif column == "tiered_pricing":
            _read_ranges(where, value, prices, tiers)
        elif "cost" in column and value:
            found.ignored[column] += 1
    if "prompt" in prices and entry.get("mode") in WRITES_NOTHING:
        prices.setdefault("completion", price(model, 0))
    shares = {
        share_of(value, prices[key]) for key, value in batches if key in prices and (value or prices[key])
    }
    batch: Fraction | None = next(iter(shares)) if len(shares) == 1 else None
    if batches and batch is None:
        found.ignored[f"*{_BATCHES}"] += 1
    return Listed(prices=prices, tiers=tiers, batch=batch)


def _read_ranges(where: str, value: Any, prices: Prices, tiers: dict[int, Prices]) -> None:
    """Prices by ranges of prompt tokens: the first range is the price, each later one a tier."""
    for at, row in enumerate(array(where, value)):
        place = f"{where}[{at}]"
        row = table(place, row)
        span = array(f"{place}.range", row.get("range"))
        start = int(price(f"{place}.range", span[0] if span else None))
        into = tiers.setdefault(start, {}) if start else prices
        for column, key in PER_TOKEN.items():
            if row.get(column) is not None:
                into.setdefault(key, price(f"{place}.{column}", row[column], MILLION))
