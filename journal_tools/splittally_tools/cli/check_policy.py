"""`check-policy`: what a manifest does when things fail, shown on a copy before anything goes live.

Rule 1. Nothing of the user's is changed: a manifest is applied in memory, a world is opened for reading.
Rule 2. The exit code is 1 where something is open that is not accepted, and where no effect could be made for
        a grant, which is not checked then; with `--strict` also where something costs that is not accepted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from splittally.core.errors import InvalidInput, SplittallyError
from splittally.edge.json_values import parse_json, printable
from splittally.edge.near import meant

from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.output import Page, emit, emit_refusal, progress, say, table
from splittally_tools.cli.session import Session, shared
from splittally_tools.policy_check import (
    BY_MANIFEST,
    BY_NAME,
    CATALOGUE,
    COSTS,
    HELD,
    NOT_PLAYED,
    OPEN,
    WORST_FIRST,
    Checked,
    Ground,
    Report,
    Row,
    Scenario,
    check,
    ground_of_manifest,
    ground_of_world,
    report_json,
    wanted_grants,
)

_STYLES = {OPEN: "red", COSTS: "yellow", NOT_PLAYED: "", HELD: "green"}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SEVERAL: dict[str, Any] = {"multiple": True, "metavar": "NAME"}


@click.command("check-policy")
@shared
@click.argument("manifest", type=_FILE, required=False)
@click.option("--grant", "grants", help="This grant alone (several times).", **_SEVERAL)
@click.option("--scenario", "scenarios", help="This scenario alone (several times).", **_SEVERAL)
@click.option(
    "--accept", "accepted", help="Let this scenario be: no exit code 1 for it (several times).", **_SEVERAL
)
@click.option(
    "--effects", type=_FILE, help="Effects to play, one intent a line, in place of those that are made."
)
@click.option("--list", "only_list", is_flag=True, help="Show the catalogue and check nothing.")
@click.option(
    "--all", "show_all", is_flag=True, help="Show people also what held and what could not be played."
)
@click.option("--strict", is_flag=True, help="Exit code 1 also for what costs.")
@click.pass_obj
def check_policy(
    session: Session,
    manifest: Path | None,
    grants: tuple[str, ...],
    scenarios: tuple[str, ...],
    accepted: tuple[str, ...],
    effects: Path | None,
    only_list: bool,
    show_all: bool,
    strict: bool,
) -> int:
    """What MANIFEST, or the world of -w, does when things fail: crashes, retries, lost replies, approvals by
    the wrong one, hostile receipts.

    Every scenario is played for every grant that hosts use, on a copy in memory that has a clock of its own;
    nothing of yours is changed. Each is held, costs (allowed, and worth knowing) or is open, with the line of
    the manifest that changes it. Exit code 1 where something is open, or a grant could not be checked.
    """
    wanted = tuple(_scenario(name) for name in scenarios) or CATALOGUE
    for name in accepted:
        _scenario(name)
    if only_list:
        _list(session, wanted)
        return DONE
    try:
        with _ground(session, manifest) as ground:
            given = _effects(effects) if effects is not None else []
            report = _checked(session, ground, grants, wanted, given)
    except SplittallyError as error:
        if error.code == "refused":
            return emit_refusal(session, error)
        raise
    emit(session, report_json(report), lambda out: _show(out, report, show_all))
    counted = (OPEN, COSTS) if strict else (OPEN,)
    is_bad = report.unchecked or any(report.count(result, accepted) for result in counted)
    return REFUSED if is_bad else DONE


def _scenario(name: str) -> Scenario:
    """The scenario of this name; a usage error with the one that was meant."""
    if name not in BY_NAME:
        raise click.UsageError(f"there is no scenario `{name}`{meant(name, BY_NAME)}; `--list` shows them")
    return BY_NAME[name]


def _list(session: Session, scenarios: tuple[Scenario, ...]) -> None:
    rows = [{"scenario": each.name, "fails": each.fails, "claim": each.claim} for each in scenarios]
    cells = [(each.name, each.fails, each.claim) for each in scenarios]
    emit(
        session, {"scenarios": rows}, lambda out: out.print(table(("scenario", "what fails", "claim"), cells))
    )


@contextmanager
def _ground(session: Session, manifest: Path | None) -> Iterator[Ground]:
    """The copy to play on: a world of the manifest where one is named, else the world of the session."""
    if manifest is not None:
        with ground_of_manifest(manifest, session.now_ns) as ground:
            yield ground
    elif session.is_named:
        with ground_of_world(session.folder, session.now_ns) as ground:
            yield ground
    else:
        raise click.UsageError("which manifest? say `tally check-policy MANIFEST`, or a world with `-w DIR`")


def _effects(path: Path) -> list[tuple[str, Any]]:
    """Kinds and params of the lines of a file."""
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        value = parse_json(line)
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str) or "params" not in value:
            raise InvalidInput(
                f"line {number} of `{path}` is no intent: it needs `kind` and `params`", field="effects"
            )
        found.append((value["kind"], value["params"]))
    return found


def _checked(
    session: Session, ground: Ground, grants: tuple[str, ...], scenarios: tuple[Scenario, ...], given: Any
) -> Report:
    known = ground.state.caps.grants
    for name in grants:
        if name not in known:
            raise click.UsageError(f"there is no grant `{printable(name)}`{meant(name, known)}")
    count = len(wanted_grants(ground, grants)[0])
    with progress(session) as bar:
        task = bar.add_task("playing", total=count * len(scenarios))
        return check(ground, grants, scenarios, given, lambda: bar.advance(task))


def _show(out: Page, report: Report, show_all: bool) -> None:
    for each in report.checked:
        effect = each.case.effect
        reserves = each.case.amounts(effect.reserve)
        say(out, printable(f"{each.grant.name}: `{effect.kind}`, which reserves {reserves}"), "bold")
        for row in each.rows:
            if show_all or row.result.result in (OPEN, COSTS):
                told = printable(f"{row.scenario.fails}: {row.result.told}")
                say(out, f"  {_word(row):<10} {row.scenario.name:<16} {told}", _STYLES[row.result.result])
        _show_advice(out, each)
    for name, why in sorted(report.left_out.items()):
        say(out, printable(f"{name}: not checked: {why}"), "yellow")
    if report.filled:
        say(out, printable(f"filled on the copy: {', '.join(report.filled)}"))
    counts = ", ".join(f"{report.count(result)} {result.replace('_', ' ')}" for result in WORST_FIRST)
    say(out, f"{len(report.checked)} grants checked: {counts}", "bold")


def _word(row: Row) -> str:
    return row.result.result.replace("_", " ")


def _show_advice(out: Page, checked: Checked) -> None:
    """The lines that would change something, each once with the scenarios that it changes."""
    beside = (
        "" if checked.grant.made_by == BY_MANIFEST else ", by `tally native grant.amend`: no manifest made it"
    )
    lines: dict[str, list[str]] = {}
    for row in checked.rows:
        advised = [f"write {change.line}{beside}" for change in row.result.changes]
        for line in [*advised, *([row.result.advice] if row.result.advice else [])]:
            lines.setdefault(line, []).append(row.scenario.name)
    for line, names in lines.items():
        say(out, printable(f"  {line}  ({', '.join(names)})"))
