"""What the governor remembers: its terms, what was spent, which lanes are resident, what it has said.

Rule 1. `reserved` is derived from open holds: all of them count in the current window, whenever they began.
        It stands in no root and may pass every amount, where caps came later than what is open.
Rule 2. Of spend only the window that is open is kept: the day's and the week's of what a cap counts, or
        counted before the caps were changed.
"""

from splittally.core.amounts import Natural
from splittally.core.governor.terms import GovernorTerms
from splittally.core.overlay import Overlay

GOVERNOR = "governor"
SPENT = "spent"


class Governed:
    """The tables of the governor."""

    __slots__ = ("failures", "governor", "lanes", "reserved", "spent", "verdicts")

    def __init__(self) -> None:
        self.governor: dict[str, GovernorTerms] = {}
        self.spent: dict[tuple[str, str], tuple[int, Natural]] = {}  # resource, per -> start, amount
        self.lanes: dict[bytes, str] = {}  # open intent -> its lane
        self.failures: dict[bytes, str] = {}  # intent that waited for approval -> its failure class
        self.verdicts: dict[str, tuple[int, int]] = {}  # action -> start of the day, count
        self.reserved: dict[str, int] = {}

    @property
    def terms(self) -> GovernorTerms | None:
        """The governor in force; None where the world has none."""
        return self.governor.get(GOVERNOR)

    def fork(self) -> "Governed":
        """What is derived, for a fork; its tables are laid over these by `State.fork`."""
        child = Governed()
        child.reserved = Overlay(self.reserved)
        return child
