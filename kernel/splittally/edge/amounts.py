"""Amounts with units at the edge: `12.50 USD` is 1250 minor units of a resource with scale 2.

Rule 1. Only integers: no float, no rounding. More decimals than the resource has are refused.
Rule 2. One spelling of digits: ASCII, no sign, no exponent, no separators, no leading zeros.
Rule 3. A stated unit must be the resource's own name; nothing is converted.
Rule 4. An amount means one thing (D-29). What people write names its unit where the resource has decimals, or
        is refused with both readings. An integer of a program is one of minor units.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from splittally.core.errors import InvalidInput
from splittally.core.limits import NATURAL_MAX
from splittally.core.state import State
from splittally.edge.json_values import printable
from splittally.edge.near import meant

NEGATIVE, FRACTIONAL, TOO_LARGE = "amount.negative", "amount.fractional", "amount.too_large"
BESIDE = ".provider"  # of a dimension that counts the same resource as another party tells it
_NEGATIVE = re.compile(r"-[0-9]+(?:\.[0-9]+)?(?: .+)?", re.DOTALL)
_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?(?: (.+))?", re.DOTALL)
_CHARACTERS_SHOWN = 40


class Amounts(NamedTuple):
    """How the amounts at one door are read: the decimals of each resource, and whose its bare numbers are.

    A number of a program is one of minor units. Where a person wrote it (`by_people`: TOML), it is read as
    text is. A dimension that is no resource is counted in whole numbers.
    """

    scales: Mapping[str, int]
    by_people: bool = False

    def minor_units(self, value: Any, unit: Any) -> Any:
        """The minor units that a number or text stands for; what is neither is left to its type.

        `InvalidInput` for what is negative, fractional, too large, in another unit, or has two meanings.
        A number of what is no resource is left to its type, too, and text of it names it.
        """
        if type(unit) is not str:
            return value
        scale = scale_of_unit(self.scales, unit)
        if scale is None:
            return parse_amount(value, unit, 0, self._undeclared(unit)) if type(value) is str else value
        if type(value) is str:
            return parse_amount(value, unit, scale)
        if type(value) is float:
            hint = "an integer of minor units, or text with its unit"
            raise InvalidInput(f"an amount of `{unit}` is {hint}", code=FRACTIONAL)
        if type(value) is int and value < 0:
            raise InvalidInput(f"an amount of `{unit}` is at least 0", code=NEGATIVE)
        if type(value) is int and value > NATURAL_MAX:
            raise InvalidInput(f"an amount of `{unit}` is at most 2^64-1 minor units", code=TOO_LARGE)
        if type(value) is int and value and scale and self.by_people:
            raise _ambiguous(str(value), unit, scale)
        return value

    def each(self, amounts: Any) -> Any:
        """A map of unit to amount with every amount in minor units; what is no such map is left alone."""
        if not isinstance(amounts, Mapping):
            return amounts
        return {name: self.minor_units(value, str(name)) for name, value in amounts.items()}

    def _undeclared(self, unit: str) -> str:
        """That a unit is no resource, with the one that may be meant."""
        near = meant(unit, self.scales)
        return f"`{unit}` is no declared resource, which is counted in whole numbers{near}"

    def debt_limit(self, value: Any) -> Any:
        """The minor units of a debt limit, which is one number for every resource that the account holds.

        Text names the resource whose decimals it has; a bare number is a person's where none has any.
        """
        unit = value.partition(" ")[2] if type(value) is str else ""
        if unit and unit not in self.scales:
            shown = printable(value[:_CHARACTERS_SHOWN])
            raise InvalidInput(f"`{shown}`: `{printable(unit)}` is no declared resource")
        unit = unit or min(self.scales, key=lambda name: (not self.scales[name], name), default="")
        return self.minor_units(value, unit) if unit or type(value) is not str else parse_amount(value, "", 0)


def scales_of(state: State) -> dict[str, int]:
    """The decimals of every defined resource."""
    return {name: resource.scale for name, resource in state.ledger.resources.items()}


def scale_of_unit(scales: Mapping[str, int], unit: str) -> int | None:
    """The decimals of a resource, also where another party's figure of it is counted beside; else None."""
    return scales.get(unit, scales.get(unit.removesuffix(BESIDE)))


def parse_amount(text: str, unit: str, scale: int, undeclared: str = "") -> int:
    """The minor units in `12.50 USD`; `InvalidInput` says what is wrong with the text.

    A resource may be left out where it has no decimals, and of 0. `undeclared` says of a unit that is no
    resource why it has no decimals; text names it.
    """
    if type(text) is not str:
        raise InvalidInput(f"an amount is text such as `{format_amount(0, unit, scale)}`")
    shown = printable(text[:_CHARACTERS_SHOWN])
    if _NEGATIVE.fullmatch(text):
        raise InvalidInput(f"`{shown}` is below 0; an amount is at least 0", code=NEGATIVE, text=shown)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        example = format_amount(1250, unit, scale)
        raise InvalidInput(
            f"`{shown}` is not an amount; write digits and a dot, such as `{example}`", text=shown
        )
    whole, decimals, stated = match.group(1), match.group(2) or "", match.group(3)
    if stated is not None and stated != unit:
        more = f", and {undeclared}" if undeclared else ""
        raise InvalidInput(f"`{shown}` is not in `{unit}`; nothing is converted{more}", text=shown)
    if len(decimals) > scale:
        why = f"decimals, and {undeclared}" if undeclared else f"more than the {scale} decimals of `{unit}`"
        raise InvalidInput(f"`{shown}` has {why}", code=FRACTIONAL, text=shown)
    digits = whole + decimals.ljust(scale, "0")
    if len(digits.lstrip("0")) > len(str(NATURAL_MAX)) or (amount := int(digits)) > NATURAL_MAX:
        raise InvalidInput(f"`{shown}` is more than 2^64-1 minor units", code=TOO_LARGE, text=shown)
    if stated is None and scale and amount:
        raise _ambiguous(text, unit, scale)
    if stated is None and undeclared:
        raise InvalidInput(f"`{shown}` is text: write {amount}, or `{amount} {unit}`", text=shown)
    return amount


def _ambiguous(text: str, unit: str, scale: int) -> InvalidInput:
    """That an amount names no unit, with what it could mean."""
    whole, _, decimals = text.partition(".")
    meant = [format_amount(int(whole + decimals.ljust(scale, "0")), unit, scale)]
    meant += [] if decimals else [format_amount(int(whole), unit, scale)]
    could = " or ".join(meant)
    write = " or ".join(f"`{each}`" for each in meant)
    return InvalidInput(f"`{text}` names no unit and could be {could}: write {write}", text=text)


def format_amount(minor: int, resource: str, scale: int) -> str:
    """`12.50 USD` for 1250 minor units; a balance below zero has a minus sign."""
    return f"{decimal_text(minor, scale)} {resource}"


def decimal_text(minor: int, scale: int) -> str:
    """The same without its unit."""
    assert scale >= 0
    digits = str(abs(minor)).rjust(scale + 1, "0")
    whole = f"{'-' if minor < 0 else ''}{digits[: len(digits) - scale]}"
    return f"{whole}.{digits[len(digits) - scale :]}" if scale else whole
