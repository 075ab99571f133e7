"""A budget's charter in words: what it may spend, what is wanted of it, and what it may draw beyond."""

from typing import Any

from splittally.edge.wording import Wording

from splittally_tools.cli.output import Page, say


def show_charter(out: Page, row: dict[str, Any], wording: Wording) -> None:
    """Targets for spending, work orders and the overdraft of a budget, where its plan states any."""
    for name, target in row["targets"].items():
        if "spent" in target:
            say(out, _spend(name, target, wording), "" if target["is_met"] else "red")
    for order in row["work"].values():
        say(out, _order(order, wording))
    overdraft = row["overdraft"]
    if overdraft is not None:
        drawn, most = (wording.amount(overdraft[key], overdraft["resource"]) for key in ("drawn", "amount"))
        state = "open" if overdraft["is_open"] else "closed"
        say(out, f"overdraft: {drawn} of {most} drawn; {state} now, by {overdraft['when']}")


def _spend(name: str, target: dict[str, Any], wording: Wording) -> str:
    """`spends at most 10.00 USD: 4.00 USD spent, 6.00 USD left`."""
    most, spent = wording.amount(-target["target"], name), wording.amount(target["spent"], name)
    rest = wording.amount(abs(target["left"]), name)
    return f"spends at most {most}: {spent} spent, " + (
        f"{rest} left" if target["left"] >= 0 else f"{rest} more than that"
    )


def _order(order: dict[str, Any], wording: Wording) -> str:
    """`work order article: 3 of 10 done, 2 under way, 5 missing at 1000.00 USD each`."""
    parts = [f"{order['done']} of {order['wanted']} done"]
    parts += [f"{order['posted']} under way"] if order["posted"] else []
    if order["missing"]:
        each = f" at {wording.amount(order['pays'], order['resource'])} each" if order["resource"] else ""
        parts.append(f"{order['missing']} missing{each}")
    return f"work order {order['name']}: {', '.join(parts)} - {order['result']}"
