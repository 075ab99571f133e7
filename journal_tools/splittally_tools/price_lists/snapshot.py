"""A price list as a snapshot of a manifest: a document for programs, TOML for people.

Rule 1. What is written was read again by the reader of manifests: no list becomes a table that it refuses.
Rule 2. Amounts are written exactly, with their resource; each model has one line.
"""

import datetime
import json
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from typing import Any

from splittally.core.errors import InvalidInput
from splittally.core.limits import MODEL_BYTES_MAX, PRICE_TIERS_MAX
from splittally.core.native.money import SCALE_MAX
from splittally.core.prices import ABOVE, BATCH, MODELS, PER_MILLION, PER_PIECE, TIERS, is_model
from splittally.edge.amounts import Amounts
from splittally.edge.prices import read_snapshots

from splittally_tools.price_lists.genai import is_genai, read_genai
from splittally_tools.price_lists.listed import Listed, PriceList, Prices, read_json
from splittally_tools.price_lists.litellm import is_litellm, read_litellm


def read_list(data: bytes, day: datetime.date) -> tuple[str, PriceList]:
    """Whose list these bytes are, and what it says on this day; `InvalidInput` where nobody's is known."""
    document = read_json(data)
    if is_genai(document):
        name, found = "genai-prices", read_genai(document, day)
    elif is_litellm(document):
        name, found = "litellm", read_litellm(document)
    else:
        message = "this is neither LiteLLM's list (an object of models) nor that of genai-prices (providers)"
        raise InvalidInput(message, field="list")
    for model, listed in list(found.models.items()):
        why = _unsayable(model, listed)
        if why:
            found.skipped[model] = why
            del found.models[model]
    if not found.models:
        raise InvalidInput("the list has no model with a prompt and a completion price", field="list")
    return name, found


def snapshot_of(
    found: PriceList, name: str, resource: str, day: datetime.date, source: str, data: bytes
) -> dict[str, Any]:
    """The entry of `[prices]` that this list is; `InvalidInput` where a manifest could not hold it."""
    entry = {
        "since": day.isoformat(),
        "resource": resource,
        "source": source,
        "source_hash": f"sha256:{sha256(data).hexdigest()}",
        MODELS: {model: _row(listed, resource) for model, listed in sorted(found.models.items())},
    }
    decimals = max(listed.decimals for listed in found.models.values())
    if decimals > SCALE_MAX:
        text = (
            f"a price has {decimals} decimals, and a resource at most {SCALE_MAX}; say `--scale {SCALE_MAX}`"
        )
        raise InvalidInput(text, field="scale", needed=decimals, available=SCALE_MAX)
    read_snapshots({name: entry}, Amounts({resource: decimals}))
    return entry


def to_toml(name: str, entry: Mapping[str, Any]) -> str:
    """The entry as a part of a manifest in TOML."""
    lines = [f"[prices.{_quoted(name)}]"]
    lines += [f"{key} = {_toml(value)}" for key, value in entry.items() if key not in (MODELS, "since")]
    lines.insert(1, f"since = {entry['since']}")
    lines += ["", f"[prices.{_quoted(name)}.models]"]
    lines += [f"{_quoted(model)} = {_toml(row)}" for model, row in entry[MODELS].items()]
    return "\n".join(lines) + "\n"


def _unsayable(model: str, listed: Listed) -> str:
    if not is_model(model):
        return f"its name has more than {MODEL_BYTES_MAX} bytes"
    return f"it has more than {PRICE_TIERS_MAX} tiers" if len(listed.tiers) > PRICE_TIERS_MAX else ""


def _row(listed: Listed, resource: str) -> dict[str, Any]:
    row: dict[str, Any] = _amounts(listed.prices, resource)
    if listed.batch is not None:
        row[BATCH] = _share(listed.batch)
    tiers = [{ABOVE: above, **_amounts(prices, resource)} for above, prices in sorted(listed.tiers.items())]
    if tiers:
        row[TIERS] = tiers
    return row


def _amounts(prices: Prices, resource: str) -> dict[str, str]:
    return {key: f"{_plain(prices[key])} {resource}" for key in (*PER_MILLION, *PER_PIECE) if key in prices}


def _plain(value: Decimal) -> str:
    """The value in digits and a dot, without zeros at its end."""
    digits = f"{value:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _share(share: Fraction) -> str:
    percent = share * 100
    if percent.denominator == 1:
        return f"{percent.numerator}%"
    return f"{share.numerator}/{share.denominator}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    """A basic string of TOML: that of JSON, with the one control character more that TOML has none of."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
