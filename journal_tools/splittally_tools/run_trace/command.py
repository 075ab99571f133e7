"""`tally run-trace FILE`: the main job, from the command line.

Exit 0 done and verified; 1 no usable row, or what was written does not verify; 2 usage; 3 environment.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
from splittally.core.errors import WorldExists
from splittally.core.limits import GROUP_MAX, TIME_NS_MAX
from splittally.runtime.folder import is_world

from splittally_tools.cli.output import emit, progress
from splittally_tools.cli.session import Session, shared
from splittally_tools.run_trace.job import Order, run
from splittally_tools.run_trace.report import document, show
from splittally_tools.run_trace.rows import NotATrace, Problem, Survey, survey

AGENTS_MAX = 1_000
REPEAT_MAX = 100_000
AFTER_LAST_NS = 24 * 3600 * 10**9  # answers and time-outs may come so long after the last row
PROBLEMS_TOLD_MAX = 20


@click.command("run-trace")
@click.argument("trace", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--agents", type=click.IntRange(1, AGENTS_MAX), default=8, show_default=True, metavar="N",
              help="How many agents share the calls.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, metavar="N",
              help="Decides who makes each call and what becomes of it.")  # fmt: skip
@click.option("--repeat", type=click.IntRange(1, REPEAT_MAX), default=1, show_default=True, metavar="N",
              help="Copies of the trace, each shifted by its span.")  # fmt: skip
@click.option("--group", type=click.IntRange(1, GROUP_MAX), default=GROUP_MAX, show_default=True, metavar="N",
              help="The most requests that share a commit.")  # fmt: skip
@click.option("--keep", is_flag=True, help="Keep the temporary world and say where it is.")
@click.option("--no-verify", is_flag=True, help="Do not read the journal again at the end.")
@shared
@click.pass_obj
def run_trace(session: Session, /, trace: Path, keep: bool, no_verify: bool, **numbers: int) -> None:
    """Drive the LLM calls of FILE through the kernel as a fleet of agents.

    FILE is CSV with the columns TIMESTAMP,ContextTokens,GeneratedTokens of the Azure LLM inference trace
    2023. The world is made in a temporary folder that is removed, or in -w DIR, which must be new.
    """
    surveyed = _survey(trace)
    _refuse_unusable(session, surveyed)
    _refuse_too_late(surveyed, numbers["repeat"])
    is_temporary = session.world is None
    if session.world is not None and is_world(session.folder):
        raise WorldExists(f"`{session.world}` holds a world already; name a new folder for this run")
    world = Path(session.world or tempfile.mkdtemp(prefix="tally-run-trace-"))
    order = Order(
        trace=trace, world=world / "world" if is_temporary else world, is_kept=keep or not is_temporary,
        is_verified=not no_verify, **numbers,
    )  # fmt: skip
    try:
        _run(session, order, surveyed)
    finally:
        if is_temporary and not keep:
            shutil.rmtree(world, ignore_errors=True)


def _run(session: Session, order: Order, surveyed: Survey) -> None:
    with progress(session) as bar:
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        result = run(order, surveyed, tell)
    emit(session, document(result), lambda out: show(result, out))
    if result.verdict is not None and not result.verdict.is_sound:
        raise click.exceptions.Exit(1)


def _survey(trace: Path) -> Survey:
    try:
        return survey(trace)
    except NotATrace as error:
        raise click.UsageError(f"`{trace}`: {error}") from error


def _refuse_unusable(session: Session, surveyed: Survey) -> None:
    """End with 1 where the file has no call; every line that was skipped is said."""
    if surveyed.rows:
        return
    for problem in surveyed.problems[:PROBLEMS_TOLD_MAX]:
        click.echo(f"tally: line {problem.line} skipped: {problem.why}", err=True)
    _say_more(surveyed.problems, surveyed.skipped)
    click.echo("tally: the file holds no call that could be run", err=True)
    if session.as_json:
        problems = [problem._asdict() for problem in surveyed.problems]
        emit(session, {"error": {"code": "no_rows", "facts": {"problems": problems}}}, lambda out: None)
    raise click.exceptions.Exit(1)


def _say_more(problems: list[Problem], skipped: int) -> None:
    more = skipped - min(len(problems), PROBLEMS_TOLD_MAX)
    if more:
        click.echo(f"tally: {more:,} more lines skipped", err=True)


def _refuse_too_late(surveyed: Survey, repeat: int) -> None:
    last_ns = surveyed.last_ns + (repeat - 1) * surveyed.span_ns + AFTER_LAST_NS
    if last_ns > TIME_NS_MAX:
        raise click.UsageError("the last copy would end after the year 2262; say a smaller --repeat")
