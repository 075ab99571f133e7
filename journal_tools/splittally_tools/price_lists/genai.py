"""The list of pydantic's genai-prices (`data.json`): providers with their models, prices for 10^6 tokens.

Rule 1. A model has its own name where one provider lists it, or all at one price; else `PROVIDER/MODEL` for
        each. So has what it is called by exactly (`equals`); patterns of names are not taken.
Rule 2. Of prices from a date on, those stand that hold on the day of the snapshot, which is one day's list.
        Prices for hours of the day are not taken; the ones without a condition stand.
Rule 3. `{base, tiers: [{start, price}]}` is the price, and what each call with a prompt above `start` costs.
"""

import datetime
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from splittally_tools.price_lists.listed import Listed, PriceList, Prices, array, price, table, text

PER_MILLION = {
    "input_mtok": "prompt",
    "output_mtok": "completion",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio_prompt",
    "output_audio_mtok": "audio_completion",
    "input_image_mtok": "image_prompt",
}
PER_THOUSAND_CALLS = "requests_kcount"
WRITES_NOTHING = "embed"  # stands in the names of models that write no tokens


def is_genai(document: Any) -> bool:
    """Whether the document looks like this list."""
    return _providers(document) is not None


def read_genai(document: Any, day: datetime.date) -> PriceList:
    """The models of the list as they are priced on this day; `InvalidInput` names what is no price."""
    found = PriceList({}, {}, Counter())
    named: dict[str, dict[str, Listed]] = {}
    for at, provider in enumerate(_providers(document) or []):
        provider = table(f"[{at}]", provider)
        name = text(f"[{at}].id", provider.get("id"))
        for model in array(f"{name}.models", provider.get("models", [])):
            model = table(f"{name}.models", model)
            where = f"{name}/{text(f'{name}.models.id', model.get('id'))}"
            listed = _listed(where, model, day, found)
            if listed is not None:
                for called in _names(model):
                    named.setdefault(called, {})[name] = listed
    for called, by_provider in named.items():
        first = next(iter(by_provider.values()))
        if all(listed == first for listed in by_provider.values()):
            found.models[called] = first
        else:
            found.models |= {f"{name}/{called}": listed for name, listed in by_provider.items()}
    return found


def _providers(document: Any) -> list[Any] | None:
    if isinstance(document, Mapping):
        document = document.get("providers")
    is_list = isinstance(document, list) and bool(document)
    return document if is_list and all(isinstance(x, Mapping) and "models" in x for x in document) else None


def _names(model: Mapping[str, Any]) -> list[str]:
    """The name of a model, and those that it is called by exactly."""
    names, left = [str(model["id"])], [model.get("match")]
    for clause in left:  # which grows while it is walked
        if isinstance(clause, Mapping):
            left += clause["or"] if isinstance(clause.get("or"), list) else []
            names += [clause["equals"]] if isinstance(clause.get("equals"), str) else []
    return list(dict.fromkeys(name for name in names if name))


def _listed(where: str, model: Mapping[str, Any], day: datetime.date, found: PriceList) -> Listed | None:
    """What a model costs; None where it is passed over."""
    given = _on(where, model.get("prices"), day)
    if given is None:
        found.skipped[where] = "prices for hours of the day alone"
        return None
    prices: Prices = {}
    tiers: dict[int, Prices] = {}
    for column, value in given.items():
        place = f"{where}.{column}"
        if value is None:
            continue
        if column == PER_THOUSAND_CALLS:
            prices["call"] = price(place, value, -3)
        elif column not in PER_MILLION:
            found.ignored[column] += 1
        elif isinstance(value, Mapping):
            prices[PER_MILLION[column]] = price(f"{place}.base", value.get("base"))
            for start, tier in _tiers(place, value):
                tiers.setdefault(start, {})[PER_MILLION[column]] = tier
        else:
            prices[PER_MILLION[column]] = price(place, value)
    if "prompt" in prices and WRITES_NOTHING in where.lower():
        prices.setdefault("completion", Decimal(0))
    for key, lacks in (("prompt", "no token prices"), ("completion", "no completion price")):
        if key not in prices:
            found.skipped[where] = lacks
            return None
    return Listed(prices=prices, tiers=tiers)


def _tiers(where: str, value: Mapping[str, Any]) -> list[tuple[int, Decimal]]:
    tiers = []
    for at, tier in enumerate(array(f"{where}.tiers", value.get("tiers"))):
        tier = table(f"{where}.tiers[{at}]", tier)
        start = price(f"{where}.tiers[{at}].start", tier.get("start"))
        tiers.append((int(start), price(f"{where}.tiers[{at}].price", tier.get("price"))))
    return tiers


def _on(where: str, given: Any, day: datetime.date) -> Mapping[str, Any] | None:
    """The prices that hold on this day: the last of them whose condition is met."""
    if isinstance(given, Mapping):
        return given
    holds = None
    for at, entry in enumerate(array(f"{where}.prices", given)):
        place = f"{where}.prices[{at}]"
        entry = table(place, entry)
        constraint = table(f"{place}.constraint", entry.get("constraint") or {})
        if "start_time" in constraint or "end_time" in constraint:
            continue
        try:
            begins = datetime.date.fromisoformat(str(constraint.get("start_date", datetime.date.min)))
        except ValueError:
            begins = datetime.date.max  # a day that nobody can read has not come
        if begins <= day:
            holds = table(f"{place}.prices", entry.get("prices"))
    return holds
