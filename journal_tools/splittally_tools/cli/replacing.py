"""What would be judged otherwise, for people and programs, and the questions before something is recorded.

Rule 1. The report is made from the journal as it is, before anything is recorded, and writes nothing.
Rule 2. Only a person at a terminal is asked: where an installed module is replaced, and where a grant would
        be void for ever.
Rule 3. Differences are written as they are read, so that a program may get millions of them.
"""

import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click
from splittally.edge.records import Decision
from splittally.runtime import Kernel
from splittally.runtime.preview import Preview
from splittally.runtime.reader import Reader

from splittally_tools.audit.replay_diff import Report, judged_otherwise
from splittally_tools.audit.upgrades import Change, Row, change_of
from splittally_tools.cli.differences import show_changes
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, console, emit, for_people, progress, say, table, to_line, word
from splittally_tools.cli.session import Session

COLUMNS = ("dimension", "reserve was", "reserve now", "usage was", "usage now")
CONFIRM = click.option("--yes", is_flag=True, help="Answer every question with yes.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")


class Plan:
    """What an effect would be answered and change, and which installed modules it would replace.

    A context manager.
    """

    def __init__(self, preview: Preview, modules: list[Row], report: Report) -> None:
        self.preview = preview
        self.modules = modules
        self.report = report
        self.is_shown = False

    def __enter__(self) -> "Plan":
        return self

    def __exit__(self, *ending: object) -> None:
        self.report.close()


def planned(session: Session, act: Callable[[Kernel], Decision]) -> Plan:
    """The plan of an effect; nothing is written."""
    with reader_of(session) as reader, closing(reader.fork(session.principal)) as fork:
        preview = fork.preview(act, session.now_ns)
        change = change_of(preview.before, preview.after)
        report = report_of(session, reader, change) if change.modules else Report()
    return Plan(preview, change.modules, report)


def previewed(session: Session, act: Callable[[Kernel], Decision]) -> Preview:
    """What an effect would be answered and change, read beside whoever writes."""
    with reader_of(session) as reader, closing(reader.fork(session.principal)) as fork:
        return fork.preview(act, session.now_ns)


def report_of(session: Session, reader: Reader, change: Change) -> Report:
    """Asks the new modules of a change again, with a bar for people."""
    with progress(session) as bar:
        task = bar.add_task("asking the new modules", total=reader.head.size)
        return judged_otherwise(reader, change.replacement, change.wasm, lambda done: bar.advance(task, done))


def confirmed(session: Session, plan: Plan, yes: bool) -> bool:
    """Whether to go on: a person at a terminal sees the report and is asked; anybody else goes on."""
    if not plan.modules or not for_people(session):
        return True
    show_plan(console(), plan)
    return (
        yes or not sys.stdin.isatty() or _agreed("replace it?" if len(plan.modules) == 1 else "replace them?")
    )


def is_asked(session: Session) -> bool:
    """Whether there is a person at a terminal who can be asked."""
    return for_people(session) and sys.stdin.isatty()


def revocation_agreed(plan: Plan) -> bool:
    """Whether the person at the terminal agrees to what cannot be undone, which is shown before."""
    show_changes(console(), plan.preview)
    grants = plan.preview.revoked
    return _agreed(f"revoke {word(grants)} for ever?")


def _agreed(question: str) -> bool:
    if click.confirm(question, err=True):
        return True
    say(console(), "nothing was recorded")
    return False


def emit_plan(session: Session, document: dict[str, Any], plan: Plan, show: Callable[[Page], None]) -> None:
    """Prints an answer with what it replaces as `report`, null where that is nothing."""
    if not plan.modules:
        emit(session, {**document, "report": None}, show)
    elif session.as_json:
        inside = {"modules": plan.modules, **plan.report.document()}
        sys.stdout.write(to_line(document)[:-1] + ',"report":')
        _write_listing(inside, plan.report)
        sys.stdout.write("}\n")
    else:
        if not plan.is_shown:
            show_plan(console(), plan)
        show(console())


def emit_report(
    session: Session, document: dict[str, Any], report: Report, show: Callable[[Page], None]
) -> None:
    """Prints a document that holds a report, whose differences follow as `otherwise`."""
    if session.as_json:
        _write_listing({**document, **report.document()}, report)
        sys.stdout.write("\n")
    else:
        show(console())


def _write_listing(document: dict[str, Any], report: Report) -> None:
    sys.stdout.write(to_line(document)[:-1] + ',"otherwise":[')
    for at, line in enumerate(report.differences.lines()):
        sys.stdout.write(f",{line}" if at else line)
    sys.stdout.write("]}")


# --- for people -----------------------------------------------------------------------------------


def show_plan(out: Page, plan: Plan) -> None:
    """The modules with old and new hash, and the report; once."""
    plan.is_shown = True
    show_modules(out, plan.modules)
    show_report(out, plan.report)


def show_modules(out: Page, modules: list[Row]) -> None:
    """One line for each module that another takes the place of."""
    for module in modules:
        say(out, f"module {word(module['name'])}: {word(module['old'])} -> {module['new']}")


def show_report(out: Page, report: Report) -> None:
    """The first differences and the totals."""
    document, differences = report.document(), report.differences
    asked = f"{document['checks']} recorded checks and {document['settles']} settles asked again"
    say(out, f"{asked}, {differences.count} answered otherwise", "bold")
    for each in differences.first:
        verdicts = f"{word(each['was'])} -> {word(each['now'])}"
        where = f"{word(each['intent_hash'])} {word(each['kind'])} under {word(each['grant'])}"
        say(out, f"  seq {each['seq']} {each['asked']} {where}: {verdicts}")
    if differences.count > len(differences.first):
        say(out, f"  and {differences.count - len(differences.first)} more; `--json` lists them all")
    if differences.count:
        _show_totals(out, document["totals"])
    if document["reworded"]:
        say(out, f"{document['reworded']} say the same in other words")
    if document["other_engines"]:
        say(out, f"{document['other_engines']} were answered under another engine", "yellow")
    if document["unmatched"]:
        say(out, f"{document['unmatched']} questions have no answer here; run `tally verify`", "red")


def _show_totals(out: Page, totals: dict[str, Any]) -> None:
    none = {"was": None, "now": None}
    rows = []
    for dim in sorted({*totals["reserve"], *totals["usage"]}):
        reserve, usage = totals["reserve"].get(dim, none), totals["usage"].get(dim, none)
        rows.append((dim, reserve["was"], reserve["now"], usage["was"], usage["now"]))
    if rows:
        out.print(table(COLUMNS, rows))
    counts = ("newly_denied", "newly_allowed", "newly_faulting")
    told = ", ".join(f"{name.replace('_', ' ')} {totals[name]}" for name in counts)
    violations = totals["violations"]
    say(out, f"{told}, violations {violations['was']} -> {violations['now']}")
