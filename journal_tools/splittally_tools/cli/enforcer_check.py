"""`enforcer check`: every rule that a module must keep, by name."""

from pathlib import Path
from typing import Any

import click

from splittally_tools.cli.enforcer_place import PLACE, warn_if_stale
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.output import Page, emit, say, table, word
from splittally_tools.cli.session import Session, shared
from splittally_tools.enforcers.cases import read_project_cases
from splittally_tools.enforcers.checking import (
    CONDUCT,
    FAILED,
    NOT_ASKED,
    PASSED,
    Rule,
    admission_rules,
    conduct_rules,
    memory_of,
    try_cases,
)
from splittally_tools.enforcers.project import Module, Project, open_project, read_module

COST_COLUMNS = ("case", "fuel", "% of limit", "input bytes", "output bytes")


@click.command()
@shared
@PLACE
@click.pass_obj
def check(session: Session, place: Path) -> int:
    """Whether a module would be admitted; of a folder, also what it shows when it is asked.

    Of FILE.wasm the admission checks alone. Of DIR also its cases with fuel and memory, the same answer a
    thousand times and in another process, an answer to every generated hostile question, and a reserve
    wherever a case states a bound.
    """
    project = open_project(place) if place.is_dir() else None
    cases = read_project_cases(project) if project else []
    module = read_module(place)
    if project is not None:
        warn_if_stale(project)
    rules = admission_rules(module.wasm)
    is_admitted = not any(rule.status == FAILED for rule in rules)
    document: dict[str, Any] = {"admitted": is_admitted, "module": module.hash.hex()}
    if project is not None:
        tried = try_cases(module, cases) if is_admitted else []
        rules += conduct_rules(module, tried) if is_admitted else [Rule(name, NOT_ASKED) for name in CONDUCT]
        document["memory"] = memory_of(module.wasm) if is_admitted else None
        document["cases"] = [{"case": each.case.file.name, **each.asked.cost} for each in tried]
    document["failed"] = {rule.name: rule.message for rule in rules if rule.status == FAILED}
    document["rules"] = [rule.document() for rule in rules]
    emit(session, document, lambda out: _show(out, document, rules, module, project))
    return REFUSED if document["failed"] else DONE


def _show(
    out: Page, document: dict[str, Any], rules: list[Rule], module: Module, project: Project | None
) -> None:
    if document["admitted"]:
        say(out, f"admitted: module {document['module']}", "green")
    for rule in rules:
        if rule.status == FAILED and rule.name not in CONDUCT:
            say(out, f"refused: {rule.name}: {word(rule.message)}", "red")
    if project is None:
        return
    passed = [rule for rule in rules if rule.name not in CONDUCT and rule.status == PASSED]
    say(out, f"{len(passed)} admission checks passed: {', '.join(rule.name for rule in passed)}")
    if document["memory"]:
        memory = document["memory"]
        say(out, f"{len(module.wasm)} bytes, {memory['pages']} of {memory['pages_max']} pages of memory")
    if document["cases"]:
        out.print(table(COST_COLUMNS, (row.values() for row in document["cases"])))
    for rule in rules:
        if rule.name in CONDUCT:
            style = {PASSED: "green", FAILED: "red"}.get(rule.status, "yellow")
            reason = f": {word(rule.message)}" if rule.message else ""
            say(out, f"{rule.status.replace('_', ' ')} {rule.name}{reason}", style)
            if rule.input is not None:
                say(out, "  `--json` shows the question as the `input` of a case")
