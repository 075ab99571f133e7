"""Amounts with units at the edge: `12.50 USD` is 1250 minor units of a resource with scale 2.

Rule 1. Only integers: no float, no rounding. More decimals than the resource has are refused.
Rule 2. One spelling of digits: ASCII, no sign, no exponent, no separators, no leading zeros.
Rule 3. A stated unit must be the resource's own name; nothing is converted.
"""

import re

from splittally.core.errors import InvalidInput
from splittally.core.limits import NATURAL_MAX
from splittally.edge.json_values import printable

_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?(?: (.+))?", re.DOTALL)
_CHARACTERS_SHOWN = 40


def parse_amount(text: str, resource: str, scale: int) -> int:
    """The minor units in `12.50` or `12.50 USD`; `InvalidInput` says what is wrong with the text."""
    if type(text) is not str:
        raise InvalidInput(f"an amount is text such as `{format_amount(0, resource, scale)}`")
    shown = printable(text[:_CHARACTERS_SHOWN])
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
        raise InvalidInput(f"`{shown}` has more than the {scale} decimals of `{resource}`", text=shown)
    digits = whole + decimals.ljust(scale, "0")
    if len(digits.lstrip("0")) > len(str(NATURAL_MAX)) or (amount := int(digits)) > NATURAL_MAX:
        raise InvalidInput(f"`{shown}` is more than 2^64-1 minor units", text=shown)
    return amount


def format_amount(minor: int, resource: str, scale: int) -> str:
    """`12.50 USD` for 1250 minor units; a balance below zero has a minus sign."""
    assert scale >= 0
    digits = str(abs(minor)).rjust(scale + 1, "0")
    whole = f"{'-' if minor < 0 else ''}{digits[: len(digits) - scale]}"
    return f"{whole}.{digits[len(digits) - scale :]} {resource}" if scale else f"{whole} {resource}"
