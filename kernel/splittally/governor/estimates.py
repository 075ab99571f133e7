"""The names under which people misspell what a job may cost.

An estimate that nobody reads counts as 0, and a job that costs anything runs. So an amount under a name that
means `est_cost_usd` and is not it is an error of the job.

Rule 1. It is one where the letters of the name are a word for an estimate, alone or before one for money:
        `est_cost`, `estimate`, `estCostUsd`. What a job has cost, `cost_usd`, is another thing.
Rule 2. A job that says `est_cost_usd` may say what it likes beside it.
"""

from collections.abc import Mapping
from typing import Any

from splittally.core.errors import BudgetError

ESTIMATE = "est_cost_usd"
_GUESSES = ("estimated", "estimate", "estim", "est")  # the longest first
_MONEY = ("cost", "usd", "dollar", "price", "cents")


def require_spelt(*sources: Mapping[str, Any]) -> None:
    """Raises `BudgetError`, the name as `field`, where an estimate stands under a name that nobody reads."""
    if any(source.get(ESTIMATE) is not None for source in sources):
        return
    for source in sources:
        for name in source:
            if name != ESTIMATE and _means_estimate(str(name)) and _is_amount(source[name]):
                text = f"a job has no `{str(name)[:60]}`; did you mean `{ESTIMATE}`?"
                raise BudgetError(text, field=str(name)[:60])


def _means_estimate(name: str) -> bool:
    letters = "".join(filter(str.isalpha, name.lower()))
    guess = next((word for word in _GUESSES if letters.startswith(word)), None)
    rest = letters.removeprefix(guess or "")
    return guess is not None and (not rest or rest.startswith(_MONEY))


def _is_amount(value: object) -> bool:
    """A number, or a text that begins like one: `"5.00 USD"` is meant as an amount, too."""
    if isinstance(value, str):
        return value.strip().removeprefix("$")[:1].isdigit()
    return not isinstance(value, bool | None | Mapping | list | tuple)
