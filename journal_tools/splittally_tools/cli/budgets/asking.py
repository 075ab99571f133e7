"""How a command of `budgets` asks for its native effect, and what it shows of the answer."""

from collections.abc import Callable
from typing import Any

import click
from splittally.edge.answer_lines import answer_json
from splittally.edge.records import Decision

from splittally_tools.cli.answers import code_of_answer, show_answer
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.open_world import writer_of
from splittally_tools.cli.output import Page, emit
from splittally_tools.cli.session import Session
from splittally_tools.cli.writing import Writing

under_option = click.option("--under", metavar="GRANT", help="The grant to act under.")
Shown = Callable[[Page, Decision, dict[str, Any]], None]


def asked(
    session: Session,
    kind: str,
    params: dict[str, Any],
    under: str | None = None,
    beside: Callable[[Writing], dict[str, Any]] = lambda kernel: {},
    show: Shown = lambda out, decision, beside: None,
) -> int:
    """Asks for one native effect; the exit code.

    `beside` is read from the world after an effect that was allowed, stands in the `--json` document, and is
    given to `show`, which says it to people below the answer.
    """
    with writer_of(session) as kernel, whole():
        decision = kernel.native(kind, under=under, now_ns=session.now_ns, **params)
        told = beside(kernel) if decision.allowed else {}

    def shown(out: Page) -> None:
        show_answer(out, decision)
        if decision.allowed:
            show(out, decision, told)

    emit(session, {**answer_json(decision), **told}, shown)
    return code_of_answer(decision)
