"""Expressions: a closed, statically typed subset in CEL's syntax (spec/expressions.md).

Rule 1. `compile` decides everything that does not depend on values; what passes can only fault.
Rule 2. `evaluate` is pure, bounded and total: a value of the stated type or an `ExprFault`.
Rule 3. A fault is neither true nor false; whoever asked says what it means (deny, skip).
"""

from collections.abc import Mapping
from typing import Any

from splittally.core.expr.meaning import meaning_of
from splittally.core.expr.syntax import read
from splittally.core.expr.typed import needed, typed
from splittally.core.expr.types import ANY, BOOL, INT, STRING, Type, list_of, map_of, record
from splittally.core.expr.values import FAULT_CODES, ExprFault, Meaning, Run, Stop, conforming

__all__ = [
    "ANY",
    "BOOL",
    "EXPRESSION_VERSION",
    "FAULT_CODES",
    "INT",
    "STRING",
    "ExprFault",
    "Expression",
    "Type",
    "compile",
    "list_of",
    "map_of",
    "record",
]

EXPRESSION_VERSION = 1  # part of the engine id: another meaning of any text is another version


class Expression:
    """A compiled expression; immutable, and safe to share."""

    __slots__ = ("_meaning", "result", "text")

    def __init__(self, text: str, result: Type, meaning: Meaning) -> None:
        self.text = text
        self.result = result
        self._meaning = meaning

    def evaluate(self, values: Mapping[str, object]) -> Any:
        """The value under these names, or an `ExprFault`. A list or map shares structure with `values`."""
        try:
            return self._meaning(Run(values))
        except Stop as stop:
            return stop.fault


def compile(text: str, names: Mapping[str, Type], result: Type = BOOL) -> Expression:
    """The expression `text` over these named values, giving a `result`.

    `ExpressionError` when it does not parse or type-check; its facts are `at` (a character, from 1) and
    `expected`.
    """
    tree = read(text)
    meaning = meaning_of(needed(typed(tree, names), result, tree.at))
    if result not in (INT, BOOL):
        unchecked = meaning

        def meaning(run: Run) -> Any:
            return conforming(run, unchecked(run), result, tree.at)

    return Expression(text, result, meaning)
