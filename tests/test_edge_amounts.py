"""Amounts with units: exact, in one spelling, and never converted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.errors import InvalidInput
from splittally.core.limits import NATURAL_MAX
from splittally.edge.amounts import format_amount, parse_amount

NAMES = st.text(st.characters(categories=["L", "Nd", "S"]), min_size=1, max_size=12)


@given(st.integers(0, NATURAL_MAX), NAMES, st.integers(0, 18))
def test_an_amount_comes_back_from_the_text_it_was_printed_as(minor: int, resource: str, scale: int) -> None:
    text = format_amount(minor, resource, scale)
    assert parse_amount(text, resource, scale) == minor
    bare = text.split(" ")[0]
    if scale and minor:
        with pytest.raises(InvalidInput, match="names no unit"):
            parse_amount(bare, resource, scale)
    else:
        assert parse_amount(bare, resource, scale) == minor


READS = [
    ("12.50 USD", 2, 1250),
    ("12.5 USD", 2, 1250),
    ("12 USD", 2, 1200),
    ("12", 0, 12),
    ("0", 2, 0),
    ("0.01 USD", 2, 1),
    ("7 USD", 0, 7),
    ("0.000000000000000001 USD", 18, 1),
    ("18446744073709551615", 0, NATURAL_MAX),
    ("184467440737095516.15 USD", 2, NATURAL_MAX),
]


@pytest.mark.parametrize(("text", "scale", "minor"), READS, ids=[row[0] for row in READS])
def test_an_amount_is_read_in_minor_units(text: str, scale: int, minor: int) -> None:
    assert parse_amount(text, "USD", scale) == minor


REFUSED = [
    ("15", "could be 15.00 USD or 0.15 USD: write `15.00 USD` or `0.15 USD`"),
    ("15.00", "could be 15.00 USD: write `15.00 USD`"),
    ("15.5", "could be 15.50 USD: write `15.50 USD`"),
    ("12.505", "more than the 2 decimals"),
    ("12.500", "more than the 2 decimals"),
    ("12.50 EUR", "not in `USD`"),
    ("12.50 usd", "not in `USD`"),
    ("12.50 USD ", "not in `USD`"),
    ("12.50  USD", "not in `USD`"),
    ("12.50 USD\n", "not in `USD`"),
    ("-1", "below 0"),
    ("+1", "not an amount"),
    ("1e2", "not an amount"),
    ("1,000", "not an amount"),
    ("1_000", "not an amount"),
    ("1.", "not an amount"),
    (".5", "not an amount"),
    ("01", "not an amount"),
    ("", "not an amount"),
    (" 1", "not an amount"),
    ("1\n", "not an amount"),
    ("1USD", "not an amount"),
    ("USD 1", "not an amount"),
    ("0x10", "not an amount"),
    ("NaN", "not an amount"),
    ("\u0661\u0662", "not an amount"),
    ("\uff11", "not an amount"),
    ("1.\u0665", "not an amount"),
    ("18446744073709551616", "2^64-1"),
    ("184467440737095516.16", "2^64-1"),
    ("9" * 5000, "2^64-1"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[ascii(text[:24]) for text, _ in REFUSED])
def test_what_is_not_exactly_an_amount_of_the_resource_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_amount(text, "USD", 2)
    assert why in str(refusal.value)
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 200


@pytest.mark.parametrize("odd", [12, 12.5, None, True, b"12", ["12"]], ids=repr)
def test_only_text_is_an_amount(odd: object) -> None:
    with pytest.raises(InvalidInput):
        parse_amount(odd, "USD", 2)  # type: ignore[arg-type]


def test_a_balance_below_zero_is_printed_and_never_read() -> None:
    assert format_amount(-1250, "USD", 2) == "-12.50 USD"
    assert format_amount(-5, "USD", 2) == "-0.05 USD"
    assert format_amount(7, "GPU-Hours", 0) == "7 GPU-Hours"
    with pytest.raises(InvalidInput):
        parse_amount(format_amount(-1250, "USD", 2), "USD", 2)
