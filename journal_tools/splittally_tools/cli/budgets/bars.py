"""How much of a whole is there, as a bar that a reader takes in before the number."""

from fractions import Fraction
from typing import Any

CELLS = 10
FULL, EMPTY = "█", "░"


def bar(share: Any) -> str:
    """`█████░░░░░  57 %`: ten cells, full ones rounded down; above the whole all are full."""
    exact = Fraction(share)
    full = max(0, min(CELLS, int(exact * CELLS)))
    return f"{FULL * full}{EMPTY * (CELLS - full)} {int(exact * 100):>3} %"
