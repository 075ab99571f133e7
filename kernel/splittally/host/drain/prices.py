"""What a model costs, by one named snapshot of prices.

Rule 1. Every row that was priced names its snapshot, so it can be priced again by the same one.
Rule 2. A cost is rounded up to a millionth of a dollar: what nobody stated is never understated.
Rule 3. Tokens of which a count says nothing more cost what prompt or completion costs; a part with a price of
        its own costs that. The size of the whole prompt decides the tier of the whole call.

Example. 2,006 prompt tokens, 1,920 of them cached, and 300 completion tokens at 2.50, 1.25 and 10 dollars:
(86 x 2.50 + 1,920 x 1.25 + 300 x 10) / 10^6 = 0.005615 dollars.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from splittally.core.errors import InvalidInput
from splittally.core.prices import ABOVE, PER_MILLION, PER_PIECE, TIERS
from splittally.edge.prices import PRICE_KEYS, Snapshot

MILLIONTH = Decimal("0.000001")
TOKENS = 10**6  # a price is for so many
DOLLARS = "USD"
_PROMPT = ("prompt_tokens", "input_tokens")
_COMPLETION = ("completion_tokens", "output_tokens")
# Parts of a count: the price, where it stands, and whether the whole count has it already.
_WITHIN, _BESIDE = True, False
_PROMPT_PARTS = (
    ("cached", "prompt_tokens_details.cached_tokens", _WITHIN),
    ("cached", "input_tokens_details.cached_tokens", _WITHIN),
    ("cached", "cache_read_input_tokens", _BESIDE),
    ("cache_write", "cache_creation_input_tokens", _BESIDE),
    ("audio_prompt", "prompt_tokens_details.audio_tokens", _WITHIN),
)
_COMPLETION_PARTS = (
    ("reasoning", "completion_tokens_details.reasoning_tokens", _WITHIN),
    ("reasoning", "output_tokens_details.reasoning_tokens", _WITHIN),
    ("audio_completion", "completion_tokens_details.audio_tokens", _WITHIN),
)


class Price(Struct, frozen=True):
    """Dollars for 10^6 tokens, a part without a price of its own None; `call` is for each call.

    `tiers` are the prices of calls with more prompt tokens than a number, in rising order.
    """

    prompt: Decimal
    completion: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    audio_prompt: Decimal | None = None
    audio_completion: Decimal | None = None
    image_prompt: Decimal | None = None
    call: Decimal = Decimal(0)
    tiers: tuple[tuple[int, Mapping[str, Decimal]], ...] = ()

    def at(self, prompt: int) -> "Price":
        """The price of a call with so many prompt tokens."""
        reached = [row for above, row in self.tiers if above < prompt]
        return replace(self, **reached[-1]) if reached else self


class Prices(Struct, frozen=True):
    """The prices of a snapshot by model; `otherwise` is the price of every other, None for none."""

    snapshot: str
    models: Mapping[str, Price]
    otherwise: Price | None = None

    @classmethod
    def of(cls, snapshot: Snapshot, scale: int) -> "Prices":
        """The prices of a manifest's snapshot in dollars, a resource with `scale` decimals."""
        if snapshot.resource != DOLLARS:
            text = f"a drain counts dollars; `{snapshot.name}` is in `{snapshot.resource}`, not `{DOLLARS}`"
            raise InvalidInput(text, field="prices")
        table = snapshot.prices
        models = {model: _price(row, scale) for model, row in table.get("models", {}).items()}
        return cls(snapshot.name, models, _price(table, scale) if PRICE_KEYS[0] in table else None)

    def of_model(self, model: str) -> Price | None:
        """The price of a model, None where the snapshot has none."""
        return self.models.get(model, self.otherwise)

    def cost(self, model: object, usage: object) -> Decimal | None:
        """What the counts of `usage` cost, None where model, price or counts are missing."""
        price = self.of_model(model) if isinstance(model, str) else None
        if price is None or not isinstance(usage, Mapping):
            return None
        prompt, completion = _first(usage, _PROMPT), _first(usage, _COMPLETION)
        if prompt is None and completion is None:
            return None
        beside = sum(_count(usage, name) or 0 for _, name, within in _PROMPT_PARTS if not within)
        price = price.at((prompt or 0) + beside)
        exact = _cost(price, price.prompt, prompt or 0, usage, _PROMPT_PARTS)
        exact += _cost(price, price.completion, completion or 0, usage, _COMPLETION_PARTS)
        return (exact / TOKENS + price.call).quantize(MILLIONTH, ROUND_CEILING)


def _cost(
    price: Price,
    plain: Decimal,
    count: int,
    usage: Mapping[str, Any],
    parts: tuple[tuple[str, str, bool], ...],
) -> Decimal:
    """What a count costs, its parts by their own prices; the parts within it are at most what is left."""
    exact, left = Decimal(0), count
    for key, name, within in parts:
        part = _count(usage, name) or 0
        if within:
            part = min(part, left)
            left -= part
        own = getattr(price, key)
        exact += part * (plain if own is None else own)
    return exact + left * plain


def _price(row: Mapping[str, Any], scale: int) -> Price:
    dollars = {
        key: _dollars(row[key], scale) for key in (*PER_MILLION, *PER_PIECE) if key in row and key != "image"
    }
    tiers = tuple(
        (tier[ABOVE], {key: _dollars(value, scale) for key, value in tier.items() if key != ABOVE})
        for tier in row.get(TIERS, [])
    )
    return Price(**dollars, tiers=tiers)


def _dollars(minor: int, scale: int) -> Decimal:
    return Decimal(minor).scaleb(-scale)


def _first(usage: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((count for name in names if (count := _count(usage, name)) is not None), None)


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    """The count under a name, or under a name within another; None where there is none."""
    value: Any = usage
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if type(value) is int and 0 <= value < 2**53 else None
