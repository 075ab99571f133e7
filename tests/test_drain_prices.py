"""What a drain makes of counts and prices: to the millionth of a dollar, never less than it was."""

from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally.core.errors import InvalidInput
from splittally.edge.prices import Snapshot
from splittally.host.drain import Prices
from splittally.host.drain.prices import Price

TIERS = ((1000, {"prompt": Decimal(4)}), (2000, {"prompt": Decimal(8), "cached": Decimal(3)}))
TIERED = Price(prompt=Decimal(2), completion=Decimal(10), cached=Decimal("0.5"), tiers=TIERS)
PLAIN = Price(prompt=Decimal("0.1"), completion=Decimal(10), call=Decimal("0.25"))
FREE = Price(prompt=Decimal(2), completion=Decimal(10), cached=Decimal(0))


def cost(price, **usage):
    return Prices("s", {"m": price}).cost("m", usage)


@pytest.mark.parametrize(
    ("price", "usage", "dollars"),
    [
        (TIERED, {"prompt_tokens": 1000}, "0.002"),
        (TIERED, {"prompt_tokens": 1001}, "0.004004"),
        (TIERED, {"prompt_tokens": 2000}, "0.008"),
        (TIERED, {"prompt_tokens": 2001}, "0.016008"),
        (TIERED, {"input_tokens": 900, "cache_read_input_tokens": 100}, "0.00185"),
        (TIERED, {"input_tokens": 900, "cache_read_input_tokens": 101}, "0.003651"),
        (TIERED, {"input_tokens": 2001, "cache_read_input_tokens": 10}, "0.016038"),
        (TIERED, {"completion_tokens": 7}, "0.00007"),
        (TIERED, {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 40}}, "0.00014"),
        (TIERED, {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 50}}, "0.000005"),
        (FREE, {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 40}}, "0.00012"),
        (FREE, {"output_tokens": 10, "output_tokens_details": {"reasoning_tokens": 4}}, "0.0001"),
        (PLAIN, {"prompt_tokens": 0}, "0.25"),
        (PLAIN, {"prompt_tokens": 1}, "0.250001"),
        (PLAIN, {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 10}}, "0.250001"),
    ],
)
def test_a_call_costs_its_tokens_at_the_prices_of_its_tier_each_once(price, usage, dollars):
    assert cost(price, **usage) == Decimal(dollars)


@pytest.mark.parametrize(
    "usage", [{}, {"prompt_tokens": -1}, {"prompt_tokens": "7"}, {"tokens": 9}, None, []]
)
def test_a_run_without_counts_has_no_cost_and_is_not_free(usage):
    assert Prices("s", {"m": PLAIN}).cost("m", usage) is None


def test_a_model_without_a_price_costs_what_every_other_does_or_nothing_is_known():
    usage = {"prompt_tokens": 10**6}
    assert Prices("s", {"m": TIERED}, PLAIN).cost("n", usage) == Decimal("0.35")
    assert Prices("s", {"m": TIERED}).cost("n", usage) is None
    assert Prices("s", {"m": TIERED}, PLAIN).cost(None, usage) is None


PRICES = st.decimals(0, 100, places=4)
COUNTS = st.integers(0, 10**7)


@given(PRICES, PRICES, PRICES, PRICES, COUNTS, COUNTS, COUNTS, COUNTS)
def test_a_cost_is_the_exact_sum_rounded_up(prompt, completion, cached, reasoning, a, b, of_a, of_b):
    price = Price(prompt=prompt, completion=completion, cached=cached, reasoning=reasoning)
    usage = {
        "prompt_tokens": a,
        "completion_tokens": b,
        "prompt_tokens_details": {"cached_tokens": of_a},
        "completion_tokens_details": {"reasoning_tokens": of_b},
    }
    of_a, of_b = min(a, of_a), min(b, of_b)
    each = [((a - of_a), prompt), (of_a, cached), ((b - of_b), completion), (of_b, reasoning)]
    exact = sum(Fraction(count) * Fraction(dollars) for count, dollars in each) / 10**6
    found = cost(price, **usage)
    assert 0 <= Fraction(found) - exact < Fraction(1, 10**6)
    assert found == found.quantize(Decimal("0.000001"), ROUND_CEILING)


def test_a_snapshot_is_in_dollars_at_the_scale_of_its_resource_or_refused():
    rows = {"prompt": 7, "completion": 9, "models": {"m": {"prompt": 150, "completion": 200, "call": 3}}}
    prices = Prices.of(Snapshot("s", "2026-01-01", "USD", rows), 2)
    assert prices.snapshot == "s"
    assert prices.of_model("m") == Price(Decimal("1.5"), Decimal(2), call=Decimal("0.03"))
    assert prices.of_model("n") == Price(Decimal("0.07"), Decimal("0.09"))
    with pytest.raises(InvalidInput, match="counts dollars"):
        Prices.of(Snapshot("s", "2026-01-01", "EUR", rows), 2)
