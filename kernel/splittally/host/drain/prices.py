"""What a model costs, by one named snapshot of prices.

Rule 1. Every row that was priced names its snapshot, so it can be priced again by the same one.
Rule 2. A cost is rounded up to a millionth of a dollar: what nobody stated is never understated.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from msgspec import Struct

from splittally.core.errors import InvalidInput
from splittally.edge.prices import PRICE_KEYS, Snapshot

MILLIONTH = Decimal("0.000001")
TOKENS = 10**6  # a price is for so many
DOLLARS = "USD"
_COUNTS = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))


class Price(Struct, frozen=True):
    """Dollars for 10^6 tokens."""

    prompt: Decimal
    completion: Decimal


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
        models = {model: _dollars(price, scale) for model, price in table.get("models", {}).items()}
        return cls(snapshot.name, models, _dollars(table, scale) if PRICE_KEYS[0] in table else None)

    def of_model(self, model: str) -> Price | None:
        """The price of a model, None where the snapshot has none."""
        return self.models.get(model, self.otherwise)

    def cost(self, model: object, usage: object) -> Decimal | None:
        """What the counts of `usage` cost, None where model, price or counts are missing."""
        price = self.of_model(model) if isinstance(model, str) else None
        counts = [_count(usage, names) for names in _COUNTS] if isinstance(usage, Mapping) else []
        if price is None or not counts or all(count is None for count in counts):
            return None
        prompt, completion = (count or 0 for count in counts)
        exact = (price.prompt * prompt + price.completion * completion) / TOKENS
        return exact.quantize(MILLIONTH, ROUND_CEILING)


def _dollars(price: Mapping[str, Any], scale: int) -> Price:
    return Price(*(Decimal(price[key]).scaleb(-scale) for key in PRICE_KEYS))


def _count(usage: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        count = usage.get(name)
        if type(count) is int and 0 <= count < 2**53:
            return count
    return None
