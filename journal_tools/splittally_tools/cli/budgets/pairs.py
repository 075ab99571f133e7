"""Options that say `NAME=VALUE`, several times."""

from collections.abc import Iterable

from splittally.core.errors import InvalidInput


def pair_of(text: str, field: str) -> tuple[str, str]:
    """The name and the value; `InvalidInput` where it is no such pair."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InvalidInput(f"`{text}` is no NAME=VALUE", field=field)
    return name, value


def integers_of(stated: Iterable[str], field: str = "input") -> dict[str, int]:
    """The whole numbers of options `NAME=N`."""
    found: dict[str, int] = {}
    for text in stated:
        name, number = pair_of(text, field)
        if not number.removeprefix("-").isdecimal():
            raise InvalidInput(f"`{text}` is not NAME=N with a whole number", field=field)
        found[name] = int(number)
    return found
