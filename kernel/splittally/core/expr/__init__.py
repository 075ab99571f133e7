"""Expressions: a closed, statically typed subset in CEL's syntax (spec/expressions.md).

Rule 1. `compile` decides everything that does not depend on values; what passes can only fault.
Rule 2. `evaluate` is pure, bounded and total: a value of the stated type or an `ExprFault`.
Rule 3. A fault is neither true nor false; whoever asked says what it means (deny, skip).
Rule 4. `program` gives what another machine runs in place of the text, and `evaluate` is its definition.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from splittally.core.canonical import encode
from splittally.core.expr.evaluator import meaning_of
from splittally.core.expr.parser import parts_of, read
from splittally.core.expr.program import code_of
from splittally.core.expr.typed import Typed, needed, typed
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
    "Program",
    "Type",
    "compile",
    "list_of",
    "map_of",
    "program",
    "record",
]

# Part of the engine id: another meaning or another program of any text is another version.
EXPRESSION_VERSION = 1


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


class Program(Struct, frozen=True):
    """An expression for another machine: canonical bytes of its instructions, and how many parts it has."""

    code: bytes
    parts: int


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


def program(text: str, names: Mapping[str, Type], result: Type = BOOL, is_denied: bool = False) -> Program:
    """The program of the same expression, whose result is an int or a bool; errors are those of `compile`.

    The order of `names` is that in which the values are given to whoever runs it. A bool that `is_denied`
    is turned into its contrary.
    """
    assert result == BOOL or (result == INT and not is_denied)
    tree = read(text)
    whole = needed(typed(tree, names), result, tree.at)
    if is_denied:
        whole = Typed("not", BOOL, tree.at, (whole,))
    return Program(code=encode(code_of(whole, list(names))), parts=parts_of(tree))
