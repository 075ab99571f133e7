"""Where the cells of `budgets solve` come from: its options, to the params of `budget.solve`.

Rule 1. There is one source: a built-in solver, cells that a person enters, a script, a model's answer, a
        linear program, or candidates to choose from.
Rule 2. A solver reads the world beside whoever writes, and before anything is asked: while a script runs,
        nobody waits for it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from splittally.core.budget.parts import Metric
from splittally.core.errors import InvalidInput
from splittally.edge.json_values import parse_json
from splittally.host.solvers.answers import read_answer
from splittally.host.solvers.candidates import prefer, read_candidates
from splittally.host.solvers.linear import solve_program
from splittally.host.solvers.proposals import Proposal, question_of
from splittally.host.solvers.scripts import ask_script

from splittally_tools.cli.budgets.pairs import integers_of, pair_of
from splittally_tools.cli.budgets.show import row_of
from splittally_tools.cli.moments import queries_at
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.session import Session

PERSON = "person"


class Sources(Struct, frozen=True, kw_only=True):
    """What the options say."""

    solver: str | None = None
    given: Sequence[str] = ()
    cells: Sequence[str] = ()
    script: Path | None = None
    answer: Path | None = None
    model: str = ""
    lp: Path | None = None
    candidates: Path | None = None

    @property
    def is_stated(self) -> bool:
        """Whether any option says anything."""
        return any(msgspec.structs.astuple(self))


def proposed(session: Session, name: str, asked: Sources) -> dict[str, Any]:
    """The params of `budget.solve` for the budget `name`; `InvalidInput` where the options do not fit."""
    stated = [
        x for x in (asked.solver, asked.cells, asked.script, asked.answer, asked.lp, asked.candidates) if x
    ]
    if len(stated) > 1:
        raise InvalidInput(
            "say one of `--solver`, `--cell`, `--script`, `--answer`, `--lp` and `--candidates`",
            field="solver",
        )
    given = integers_of(asked.given)
    if asked.cells:
        cells = [list(pair_of(text, "cell")) for text in asked.cells]
        return Proposal(solver=PERSON, cells=cells, input=given).params(name)
    if not stated or asked.solver:
        solver = {"solver": asked.solver} if asked.solver else {}
        return {"budget": name, "input": given, **solver}
    with reader_of(session) as reader:
        row = row_of(queries_at(reader, None).budgets, name)
    return _made(asked, question_of(row, given)).params(name)


def _made(asked: Sources, question: dict[str, Any]) -> Proposal:
    """What the solver that the options name proposes."""
    if asked.script is not None:
        return ask_script(asked.script, question)
    if asked.answer is not None:
        return read_answer(asked.answer.read_text("utf-8"), question, asked.model)
    if asked.lp is not None:
        return solve_program(parse_json(asked.lp.read_bytes()), question)
    assert asked.candidates is not None
    found = read_candidates(parse_json(asked.candidates.read_bytes()))
    best = prefer(msgspec.convert(question["schema"].get("metrics", {}), dict[str, Metric]), found)
    books = bytes.fromhex(question["input_hash"])
    return Proposal(
        solver=f"candidate:{best}", cells=found[best].cells, input=question["input"], input_hash=books
    )
