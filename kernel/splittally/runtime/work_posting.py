"""Posting what a budget's work orders want: one task for each unit that is missing, by the ordinary road.

Rule 1. A task is submitted like any other, under the charter or the part that the order names, and is decided
        by the same rules: posting grants nothing.
Rule 2. Its key comes of the budget, the plan's version, the order and a number, so no number is posted twice,
        by whomever and whenever. A number that was used goes to the next.
Rule 3. No more is posted than is missing and affordable when it is posted; the first refusal ends it.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from splittally.core.errors import InvalidInput
from splittally.edge.near import meant
from splittally.edge.records import Decision, Intent
from splittally.runtime.work_views import WORK_LABEL

TASK = "task.post"


class Posting(Protocol):
    """A world to post in: an open kernel, or the service that has it open."""

    @property
    def state(self) -> Any: ...
    @property
    def submit(self) -> Any: ...


def post_work(
    kernel: Posting, budget: str, order: str = "", under: str | None = None, now_ns: int | None = None
) -> list[Decision]:
    """The decisions of the tasks that were posted for a budget's work orders, or for the one that is named.

    A refusal is the last of them. `InvalidInput` where the budget or the order is not there, or pays nothing.
    """
    row = kernel.state.budgets.get(budget)
    if row is None:
        raise InvalidInput(f"there is no budget `{budget}`; `tally budgets` lists them", field="budget")
    orders = row["work"]
    if order and order not in orders:
        near = meant(order, orders)
        raise InvalidInput(f"`{budget}` has no work order `{order}`{near}", field="order")
    if order and not orders[order]["resource"]:
        raise InvalidInput(
            f"the work order `{order}` pays nothing: the plan's `work` says what", field="order"
        )
    names = [order] if order else [name for name, each in orders.items() if each["resource"]]
    posted: list[Decision] = []
    for name in names:
        said = _post(kernel, budget, name, under, now_ns)
        posted += said
        if said and not said[-1].allowed:
            break
    return posted


def _post(kernel: Posting, budget: str, name: str, under: str | None, now_ns: int | None) -> list[Decision]:
    """The tasks of one work order; the state is read again for each, so that nobody posts beside another."""
    posted: list[Decision] = []
    number = 0
    while True:
        row = kernel.state.budgets[budget]
        order = row["work"][name]
        if not order["missing"] or not order["affordable"]:
            return posted
        number += 1
        grant = under or (f"{row['grant']}/{order['part']}" if order["part"] else row["grant"])
        decision = kernel.submit(_task(row, order, number, grant), now_ns=now_ns)
        if decision.duplicate:
            continue
        posted.append(decision)
        if not decision.allowed:
            return posted


def _task(row: Mapping[str, Any], order: Mapping[str, Any], number: int, grant: str) -> Intent:
    return Intent(
        TASK,
        {"result": order["result"], "amounts": {order["resource"]: order["pays"]}},
        grant,
        idempotency_key=f"work {row['version']} {number} {row['name']} {order['name']}",
        labels={WORK_LABEL: order["name"]},
    )
