"""Amounts with units at the edge: `12.50 USD` is 1250 minor units of a resource with scale 2.

Rule 1. Only integers: no float, no rounding. More decimals than the resource has are refused.
Rule 2. One spelling of digits: ASCII, no sign, no exponent, no separators, no leading zeros.
Rule 3. A stated unit must be the resource's own name; nothing is converted.
"""

import re
from collections.abc import Mapping
from typing import Any

from splittally.core.errors import InvalidInput
from splittally.core.limits import NATURAL_MAX
from splittally.edge.json_values import printable

NEGATIVE, FRACTIONAL, TOO_LARGE = "amount.negative", "amount.fractional", "amount.too_large"
_NEGATIVE = re.compile(r"-[0-9]+(?:\.[0-9]+)?(?: .+)?", re.DOTALL)
_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?(?: (.+))?", re.DOTALL)
_CHARACTERS_SHOWN = 40


def parse_amount(text: str, resource: str, scale: int) -> int:
    """The minor units in `12.50` or `12.50 USD`; `InvalidInput` says what is wrong with the text."""
    if type(text) is not str:
        raise InvalidInput(f"an amount is text such as `{format_amount(0, resource, scale)}`")
    shown = printable(text[:_CHARACTERS_SHOWN])
    if _NEGATIVE.fullmatch(text):
        raise InvalidInput(f"`{shown}` is below 0; an amount is at least 0", code=NEGATIVE, text=shown)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        example = format_amount(1250, resource, scale)
        raise InvalidInput(
            f"`{shown}` is not an amount; write digits and a dot, such as `{example}`", text=shown
        )
    whole, decimals, unit = match.group(1), match.group(2) or "", match.group(3)
    if unit is not None and unit != resource:
        raise InvalidInput(f"`{shown}` is not in `{resource}`; nothing is converted", text=shown)
    if len(decimals) > scale:
        message = f"`{shown}` has more than the {scale} decimals of `{resource}`"
        raise InvalidInput(message, code=FRACTIONAL, text=shown)
    digits = whole + decimals.ljust(scale, "0")
    if len(digits.lstrip("0")) > len(str(NATURAL_MAX)) or (amount := int(digits)) > NATURAL_MAX:
        raise InvalidInput(f"`{shown}` is more than 2^64-1 minor units", code=TOO_LARGE, text=shown)
    return amount


def minor_units(value: Any, resource: str, scale: int) -> Any:
    """The minor units that a number or text stands for; anything that is neither is left to its type.

    `InvalidInput` with a code of its own for what is negative, fractional or too large.
    """
    if type(value) is str:
        return parse_amount(value, resource, scale)
    if type(value) is float:
        message = f"an amount of `{resource}` is an integer of minor units, or text with its unit"
        raise InvalidInput(message, code=FRACTIONAL)
    if type(value) is int and value < 0:
        raise InvalidInput(f"an amount of `{resource}` is at least 0", code=NEGATIVE)
    if type(value) is int and value > NATURAL_MAX:
        raise InvalidInput(f"an amount of `{resource}` is at most 2^64-1 minor units", code=TOO_LARGE)
    return value


def amounts_by_resource(amounts: Any, scales: Mapping[str, int]) -> Any:
    """A map of resource to amount with every amount in minor units; what is no such map is left alone."""
    if not isinstance(amounts, Mapping):
        return amounts
    return {
        name: minor_units(value, name, scales[name]) if name in scales else value
        for name, value in amounts.items()
    }


def format_amount(minor: int, resource: str, scale: int) -> str:
    """`12.50 USD` for 1250 minor units; a balance below zero has a minus sign."""
    return f"{decimal_text(minor, scale)} {resource}"


def decimal_text(minor: int, scale: int) -> str:
    """The same without its unit."""
    assert scale >= 0
    digits = str(abs(minor)).rjust(scale + 1, "0")
    whole = f"{'-' if minor < 0 else ''}{digits[: len(digits) - scale]}"
    return f"{whole}.{digits[len(digits) - scale :]}" if scale else whole
