"""Records as rows of lists and atoms, as they are recorded.

Rule 1. A field that came later stands in a row once it says something. So what an older format could say is
        written as it was, and hashes and roots over it stay.
"""

from typing import Any

import msgspec

from splittally.core.types import BudgetDef, EffectDef, Grant, Limit, Rule

GRANT_FIELDS, EFFECT_FIELDS, RULE_FIELDS, LIMIT_FIELDS, WINDOW_FIELDS = 18, 6, 9, 5, 3  # of format 1
BUDGET_FIELDS = 7
_LIMIT_DEFAULTS = (None,) * 3 + Limit.__struct_defaults__
_GRANT_LIMITS = Grant.__struct_fields__.index("limits")
_RULE_RATES = Rule.__struct_fields__.index("rates")


def grant_row(grant: Grant) -> list[Any]:
    """A grant as it is recorded, as lists and atoms."""
    row: list[Any] = msgspec.to_builtins(grant, builtin_types=(bytes,))
    shorten_grant(row)
    return row


def shorten_grant(row: list[Any]) -> None:
    """Leave out of the row of a grant what came later and says nothing."""
    leave_out(row, GRANT_FIELDS)
    for limit in row[_GRANT_LIMITS]:
        shorten_limit(limit)


def shorten_limit(row: list[Any]) -> None:
    """Leave out of the row of a limit what came later and says nothing."""
    while len(row) > LIMIT_FIELDS and row[-1] == _LIMIT_DEFAULTS[len(row) - 1]:
        row.pop()


def leave_out(row: list[Any], fields: int) -> None:
    """Drop what stands behind the first fields of a record and says nothing."""
    while len(row) > fields and not row[-1]:
        row.pop()


def effect_row(effect: EffectDef) -> list[Any]:
    """A kind of effect as it is recorded, as lists and atoms."""
    row: list[Any] = msgspec.to_builtins(effect, builtin_types=(bytes,))
    leave_out(row, EFFECT_FIELDS)
    return row


def budget_row(budget: BudgetDef) -> list[Any]:
    """A budget as it is recorded, as lists and atoms."""
    row: list[Any] = msgspec.to_builtins(budget, builtin_types=(bytes,))
    leave_out(row, BUDGET_FIELDS)
    return row


def rules_row(rules: list[Rule]) -> list[Any]:
    """Rules as they are recorded, as lists and atoms."""
    rows: list[Any] = msgspec.to_builtins(rules, builtin_types=(bytes,))
    for row in rows:
        leave_out(row, RULE_FIELDS)
        for rate in row[_RULE_RATES]:
            shorten_limit(rate)
    return rows
