"""`budgets work`: open work orders over all budgets, by outcome; `--post` posts what is missing.

Rule 1. Listing reads. Posting is the ordinary road: each task is a decision of its own, under the charter.
"""

from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.edge.answer_lines import answer_json
from splittally.edge.wording import Wording
from splittally.runtime.work_posting import post_work

from splittally_tools.cli.answers import code_of_answer, show_answer
from splittally_tools.cli.budgets.asking import under_option
from splittally_tools.cli.budgets.show import row_of
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.open_world import reader_of, writer_of
from splittally_tools.cli.output import Figure, Page, emit, say, table
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.views import head_of

COLUMNS = ("budget", "order", "wants", "done", "under way", "missing", "pays each")


@click.command()
@shared
@click.argument("name", required=False)
@click.option("--find", "text", metavar="TEXT", help="Only orders whose outcome has this text.")
@click.option("--all", "is_all", is_flag=True, help="Those that are met, too.")
@click.option("--post", is_flag=True, help="Post one task for each unit that is missing and affordable.")
@click.option("--order", default="", help="With --post: only this work order.")
@under_option
@click.pass_obj
def work(
    session: Session,
    name: str | None,
    text: str | None,
    is_all: bool,
    post: bool,
    order: str,
    under: str | None,
) -> int:
    """Open work orders: what is wanted, done, under way and paid; of the budget NAME, or of all.

    `tally budgets work NAME --post` posts tasks for what is missing, within funds.
    """
    if post and name is None:
        raise InvalidInput("say which budget posts: `tally budgets work NAME --post`", field="name")
    if order and not post:
        raise InvalidInput("`--order` goes with `--post`; `--find` narrows the list", field="order")
    if post and name is not None:
        return _post(session, name, order, under)
    with reader_of(session) as reader:
        state = reader.state
        rows = {name: row_of(state.budgets, name)} if name else dict(state.budgets.items())
        head, wording = head_of(state), state.wording
        found = [x for budget, row in rows.items() for x in _orders(budget, row, text, is_all)]
    emit(session, {**head, "work": found}, lambda out: _show(out, found, wording))
    return DONE


def _orders(budget: str, row: Any, text: str | None, is_all: bool) -> list[dict[str, Any]]:
    """The work orders of a budget that are open, and whose outcome says the text."""
    needle = (text or "").casefold()
    return [
        {"budget": budget, **order}
        for order in row["work"].values()
        if (is_all or order["done"] < order["wanted"])
        and any(needle in x.casefold() for x in _outcome(row, order))
    ]


def _outcome(row: Any, order: Any) -> tuple[str, ...]:
    """What says the outcome of a work order: its names, its result, and what its metric means."""
    meaning = row["metrics"][order["metric"]]["description"]
    return order["name"], order["metric"], order["result"], meaning


def _show(out: Page, orders: list[dict[str, Any]], wording: Wording) -> None:
    if not orders:
        say(out, "no open work orders; a plan's `work` or a target above 0 makes one")
        return
    rows = [
        (
            x["budget"], x["name"], x["result"], Figure(f"{x['done']} of {x['wanted']}"), Figure(x["posted"]),
            Figure(x["missing"]), Figure(wording.amount(x["pays"], x["resource"]) if x["resource"] else "-"),
        )
        for x in orders
    ]  # fmt: skip
    out.print(table(COLUMNS, rows))
    payable = next((x for x in orders if x["affordable"]), None)
    if payable is not None:
        say(out, f"next: post what is missing: `tally budgets work {payable['budget']} --post`", "bold")


def _post(session: Session, name: str, order: str, under: str | None) -> int:
    with writer_of(session) as kernel, whole():
        decisions = post_work(kernel, name, order, under, session.now_ns)
        orders = {x: dict(y) for x, y in kernel.state.budgets[name]["work"].items()}
        wording = kernel.state.wording
    posted = sum(decision.allowed for decision in decisions)
    document = {
        "budget": name,
        "posted": posted,
        "work": orders,
        "decisions": list(map(answer_json, decisions)),
    }

    def show(out: Page) -> None:
        say(out, f"posted {posted} {'task' if posted == 1 else 'tasks'} for {name}")
        for decision in decisions[-1:] if posted < len(decisions) else []:
            show_answer(out, decision, wording)
        for x in orders.values():
            if x["missing"] and x["resource"]:
                lacks = wording.amount(x["missing"] * x["pays"], x["resource"])
                say(out, f"  {x['missing']} of {x['name']} are missing, and would cost {lacks}")

    emit(session, document, show)
    return code_of_answer(decisions[-1]) if decisions else DONE
