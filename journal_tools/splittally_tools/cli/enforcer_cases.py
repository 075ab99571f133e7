"""`enforcer test`: the cases of a folder as tests, and cases out of a journal."""

import json
from pathlib import Path
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.edge.arguments import require_frame
from splittally.edge.hashes import require_hash
from splittally.runtime.reader import open_reader

from splittally_tools.cli.enforcer_place import FOLDER, warn_if_stale
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.hashes import intent_in
from splittally_tools.cli.output import Page, emit, say, word
from splittally_tools.cli.session import Session, shared
from splittally_tools.enforcers.cases import Difference, differences, require_cases, rewrite_case, unreserved
from splittally_tools.enforcers.checking import Tried, try_cases
from splittally_tools.enforcers.project import Project, admitted_module, open_project
from splittally_tools.enforcers.recording import calls_at, recorded_cases, write_cases


@click.command(name="test")
@shared
@FOLDER
@click.option("--rewrite", is_flag=True, help="Write what the module answers now; review the difference.")
@click.option(
    "--record", "world", type=click.Path(path_type=Path), metavar="WORLD",
    help="Write a case from a call that this world recorded.",
)  # fmt: skip
@click.option("--seq", type=click.IntRange(0), metavar="N", help="With --record: the calls of this frame.")
@click.option("--intent", metavar="HASH", help="With --record: the calls of this intent.")
@click.option("--as-case", metavar="NAME", help="With --record: the name of the case.")
@click.pass_obj
def test_cases(
    session: Session,
    folder: Path,
    rewrite: bool,
    world: Path | None,
    seq: int | None,
    intent: str | None,
    as_case: str | None,
) -> int:
    """Ask the module of DIR each of its cases/*.json, and show where an answer is not the expected one."""
    project = open_project(folder)
    if world is not None:
        if (seq is None) == (intent is None):
            raise click.UsageError("say which call to record: --seq N or --intent HASH")
        return _record(session, project, world, seq, intent, as_case)
    if seq is not None or intent is not None or as_case is not None:
        raise click.UsageError("--seq, --intent and --as-case go with --record WORLD")
    cases = require_cases(project)
    warn_if_stale(project)
    tried = try_cases(admitted_module(folder), cases)
    rows = [_row(each) for each in tried]
    rewritten = _rewrite(tried, rows) if rewrite else []
    failed = [row for row in rows if not row["passed"] and row["case"] not in rewritten]
    document = {
        "passed": sum(row["passed"] for row in rows),
        "failed": len(failed),
        "rewritten": rewritten,
        "cases": rows,
    }
    emit(session, document, lambda out: _show(out, document))
    return REFUSED if failed else DONE


def _row(each: Tried) -> dict[str, Any]:
    wrong = list(differences(each.case.expect, each.found))
    wrong += [
        Difference(f"bounds.{dim}", each.case.bounds[dim], 0) for dim in unreserved(each.case, each.found)
    ]
    return {
        "case": each.case.file.name,
        "name": each.case.name,
        "passed": not wrong,
        "differences": [difference._asdict() for difference in wrong],
        **each.asked.cost,
    }


def _rewrite(tried: list[Tried], rows: list[dict[str, Any]]) -> list[str]:
    """Expects what was found, but for a bound, which no answer makes right."""
    done = []
    for each, row in zip(tried, rows, strict=True):
        if not row["passed"] and not unreserved(each.case, each.found):
            rewrite_case(each.case, each.found)
            done.append(row["case"])
    return done


def _show(out: Page, document: dict[str, Any]) -> None:
    for row in document["cases"]:
        say(out, f"{'pass' if row['passed'] else 'FAIL'}  {word(row['case'])}  {row['fuel']} fuel",
            "green" if row["passed"] else "red")  # fmt: skip
        for difference in row["differences"]:
            say(out, f"      {word(difference['place'])}")
            say(out, f"        - {_value(difference['expected'])}", "red")
            say(out, f"        + {_value(difference['found'])}", "green")
    if document["rewritten"]:
        say(
            out, f"rewritten: {', '.join(map(word, document['rewritten']))}; review them before you keep them"
        )
    say(
        out,
        f"{document['passed']} passed, {document['failed']} failed",
        "red" if document["failed"] else "green",
    )


def _value(value: Any) -> str:
    return "nothing" if value is None else word(json.dumps(value))


def _record(
    session: Session, project: Project, world: Path, seq: int | None, intent: str | None, as_case: str | None
) -> int:
    seqs: tuple[int, ...]
    with open_reader(world) as reader:
        if seq is not None:
            seqs, base = (require_frame(seq, reader.head.size),), f"frame_{seq}"
        else:
            digest = require_hash(intent_in(reader, str(intent)))
            seqs, base = reader.seqs(digest), f"intent_{digest.hex()[:12]}"
        calls = calls_at(reader, seqs, project.names)
    if not calls:
        text = "no module was asked there; `tally log` names the frames that decide and settle intents"
        raise InvalidInput(text, seq=seq, intent=intent)
    cases = recorded_cases(project, calls, as_case or base)
    write_cases(cases)
    document = {"recorded": [str(case.file) for case in cases]}
    emit(session, document, lambda out: _show_recorded(out, document))
    return DONE


def _show_recorded(out: Page, document: dict[str, Any]) -> None:
    for file in document["recorded"]:
        say(out, f"recorded {word(file)}", "green")
