"""What budgets remember: which plan is in force, what was measured and solved, which rules wait.

Rule 1. A budget's name is its account's. Entries are replaced, never mutated.
Rule 2. What a cause set off is remembered while it is under way, keyed by the cause and its time.
Rule 3. A firing is keyed by the sequence and place of the event that made it fall due.
"""

from msgspec import Struct

from splittally.core.budget.rows import Digest, Proposal
from splittally.core.types import BudgetDef, Cell

FiringKey = tuple[int, int]


def of_budget(budget: str, name: str) -> str:
    """The key of what a budget has under a name of its own."""
    return f"{budget}\n{name}"


class Measure(Struct, frozen=True, array_like=True, gc=False):
    """The last value of a metric, how many there were, and the frame that told it."""

    value: int
    count: int
    seq: int


class Solution(Struct, frozen=True, array_like=True, gc=False):
    """What a solver said, and what it had read."""

    version: int
    solver: str
    cells: list[Cell]
    input: dict[str, dict[str, int]]
    seq: int
    by: str


class Firing(Struct, frozen=True, array_like=True, gc=False):
    """A rule that fell due, or waits for an answer; the fields are those of `RuleFired`."""

    budget: str
    rule: str
    version: int
    status: str
    cause: bytes
    dim: str
    amount: int
    depth: int
    due_ns: int


class Fired(Struct, frozen=True, array_like=True, gc=False):
    """A rule that fired in a cascade for a resource: its firing, and whether it was named as bounded."""

    budget: str
    rule: str
    version: int
    dim: str
    seq: int
    position: int
    is_named: bool


class Plans:
    """The tables of budgets."""

    __slots__ = (
        "budgets",
        "consumed",
        "digests",
        "fired",
        "firings",
        "metrics",
        "overdrawn",
        "proposals",
        "solutions",
    )

    def __init__(self) -> None:
        self.budgets: dict[str, BudgetDef] = {}
        self.consumed: dict[str, bytes] = {}  # `of_budget`: what counts once -> the intent that brought it
        self.digests: dict[str, Digest] = {}  # `of_budget`: a metric that states its period
        self.proposals: dict[str, Proposal] = {}  # `of_budget`: its name
        self.overdrawn: dict[str, int] = {}  # `of_budget`: a resource -> what its overdraft gave so far
        self.metrics: dict[tuple[str, str], Measure] = {}
        self.solutions: dict[str, Solution] = {}
        self.firings: dict[FiringKey, Firing] = {}
        self.fired: dict[tuple[bytes, int], list[Fired]] = {}  # cause, logical time -> what fired for it

    def fork(self) -> "Plans":
        """Nothing here is derived; the tables of a fork are laid over these by `State.fork`."""
        return Plans()
