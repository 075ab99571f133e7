"""What a public price list says of one model, in dollars or another resource, exactly.

Rule 1. Numbers are decimals from the text of the list to the text of the manifest; nothing is ever a float.
Rule 2. A model is taken whole or passed over with the reason. A price that is not there is not 0.
Rule 3. A column with a price that no row has is counted, never passed over silently.
"""

import json
from collections import Counter
from collections.abc import Mapping
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, NoReturn

from msgspec import Struct
from splittally.core.errors import InvalidInput
from splittally.core.prices import SHARE_MAX

LIST_BYTES_MAX = 32 * 1024 * 1024  # the largest public list has under 2 MB
EXACT = Context(prec=80)
Prices = dict[str, Decimal]


class Listed(Struct):
    """A model's prices: of 10^6 tokens, of a call, of a picture; above a prompt's size; the batch share."""

    prices: Prices
    tiers: dict[int, Prices] = {}
    batch: Fraction | None = None

    def rounded(self, decimals: int) -> bool:
        """Rounds what has more decimals up; whether anything had."""
        found = False
        for prices in (self.prices, *self.tiers.values()):
            for key, price in prices.items():
                if decimals_of(price) > decimals:
                    quantum = Decimal(1).scaleb(-decimals)
                    prices[key] = price.quantize(quantum, ROUND_CEILING, EXACT)
                    found = True
        return found

    @property
    def decimals(self) -> int:
        """The most decimals that one of the prices has."""
        return max(decimals_of(x) for prices in (self.prices, *self.tiers.values()) for x in prices.values())


class PriceList(Struct):
    """A list that was read: its models, those passed over with the reason, and the columns nobody takes."""

    models: dict[str, Listed]
    skipped: dict[str, str]
    ignored: Counter[str]


def read_json(data: bytes) -> Any:
    """The document, its fractions as decimals; `InvalidInput` where it is none."""
    if len(data) > LIST_BYTES_MAX:
        raise InvalidInput(f"a price list has at most {LIST_BYTES_MAX} bytes", field="list")
    try:
        return json.loads(
            data.decode("utf-8-sig"),
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the price list is not JSON: {error}", field="list") from error


def price(where: str, value: Any, shift: int = 0) -> Decimal:
    """The price times 10^shift; `InvalidInput` names what is none."""
    if type(value) is str:
        try:
            value = EXACT.create_decimal(value)
        except InvalidOperation:
            value = None
    if type(value) is int:
        value = Decimal(value)
    if type(value) is not Decimal or not value.is_finite() or value < 0 or value >= Decimal(10) ** 18:
        raise InvalidInput(f"`{where}` is not a price", field=where)
    exact = value.scaleb(shift, EXACT)
    if decimals_of(exact) > 60:
        raise InvalidInput(f"`{where}` has too many decimals", field=where)
    return exact


def decimals_of(value: Decimal) -> int:
    """How many decimals the value has, without the zeros behind them."""
    exponent = value.normalize(EXACT).as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def table(where: str, value: Any) -> Mapping[str, Any]:
    """The value, which is a JSON object."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"`{where}` is not an object", field=where)
    return value


def array(where: str, value: Any) -> list[Any]:
    """The value, which is a JSON array."""
    if not isinstance(value, list):
        raise InvalidInput(f"`{where}` is not an array", field=where)
    return value


def text(where: str, value: Any) -> str:
    """The value, which is text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"`{where}` is not text", field=where)
    return value


def share_of(part: Decimal, whole: Decimal) -> Fraction | None:
    """The share that one price is of another, None where a manifest cannot say it."""
    if not whole:
        return None
    share = Fraction(part) / Fraction(whole)
    return share if share <= 1 and share.denominator <= SHARE_MAX else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise InvalidInput(f"`{twice}` stands twice in one object", field=twice)
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise InvalidInput(f"`{word}` is not a price", field="list")
