"""What a task costs in a large economy against an empty one: the same posts, in turns, in one process.

Rule 1. Both worlds have one budget with a hard constraint and cards below it; they differ in accounts and in
        what was posted before.
Rule 2. Time on the processor is compared, repeat by repeat: the disk is the same for both.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import splittally
from splittally import Intent, Receipt
from splittally.runtime import Kernel

from splittally_tools.bench.stats import timed

BUDGET, DEEP = "budgets/b", "card-2"
AMPLE = 2**50
ACCOUNTS_A_RECORD = 20_000
POSTS, WARM_POSTS, REPEATS = 640, 2_000, 7


class Economy(NamedTuple):
    """How many accounts and postings the large world has, and the ratios of a post at two depths."""

    accounts: int
    postings: int
    depth1: float
    depth3: float

    def document(self) -> dict[str, Any]:
        """The measurement as JSON."""
        return {
            "economy_accounts": self.accounts,
            "economy_postings": self.postings,
            "post_large_over_empty_depth1": round(self.depth1, 3),
            "post_large_over_empty_depth3": round(self.depth3, 3),
        }


def measure_economy(folder: Path, accounts: int, postings: int, tell: Callable[[str], None]) -> Economy:
    """Posts in a world of so many accounts and postings over posts in an empty one."""
    tell("an economy of many accounts")
    small, large = _world(folder / "small", 1), _world(folder / "large", accounts)
    made = 0
    while made < postings:
        _post(large, BUDGET, WARM_POSTS, accounts)
        made += 2 * WARM_POSTS  # each task is posted and settled
    tell("tasks in both, in turns")
    ratios = {grant: _ratio(small, large, grant, accounts) for grant in (BUDGET, DEEP)}
    small.close()
    large.close()
    return Economy(accounts=accounts, postings=made, depth1=ratios[BUDGET], depth3=ratios[DEEP])


def _ratio(small: Kernel, large: Kernel, grant: str, accounts: int) -> float:
    pairs = [(_post(small, grant, POSTS, 1), _post(large, grant, POSTS, accounts)) for _ in range(REPEATS)]
    return median(much / little for little, much in pairs)


def _world(folder: Path, accounts: int) -> Kernel:
    kernel: Kernel = splittally.open(folder, clock="given")
    names = [f"accounts/{at}" for at in range(accounts)]
    for start in range(0, accounts, ACCOUNTS_A_RECORD):
        some: dict[str, Any] = {name: {} for name in names[start : start + ACCOUNTS_A_RECORD]}
        assert kernel.apply({"resources": {"USD": 2}, "accounts": some}).allowed
    plan = {
        "resources": {"USD": 2},
        "constraints": [{"name": "reserve", "resource": "USD", "minimum": 1}],
    }
    made = kernel.native("budget.create", budget=BUDGET, schema=plan, pays_to=["accounts/0", "accounts/"])
    assert made.allowed
    assert kernel.native("ledger.issue", resource="USD", amount=AMPLE, to=BUDGET).allowed
    parent = BUDGET
    for name in ("card-1", DEEP):
        terms = {
            "cap": "sys/spend@1",
            "budget": {"USD": AMPLE},
            "delegations": 2,
            "draws_on": {"USD": BUDGET},
        }
        assert kernel.native("grant.issue", grant=parent, name=name, terms=terms).allowed
        parent = name
    return kernel


def _post(kernel: Kernel, grant: str, tasks: int, accounts: int) -> float:
    """Seconds on the processor for posting so many tasks, which are then settled untimed."""
    intents = [
        Intent(
            "task.post",
            {"result": "done", "amounts": {"USD": 1 + at}, "payee": f"accounts/{at % accounts}"},
            grant,
        )
        for at in range(tasks)
    ]
    decisions: list[Any] = []

    def run() -> int:
        decisions.extend(kernel.submit(intents))
        return tasks

    _, _, processor = timed(run)
    assert all(decision.allowed for decision in decisions)
    kernel.settle([Receipt(decision.intent_hash, "ok", "bench", {}) for decision in decisions])
    return processor
