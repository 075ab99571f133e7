"""What drains are given by name: the queue, the governor, the programs of lanes, the prices of models.

Rule 1. What is named and not there is a usage error before the pass begins.
"""

import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click
from splittally.core.errors import InvalidInput, InvalidManifest
from splittally.edge.amounts import Amounts
from splittally.edge.json_values import printable
from splittally.edge.manifest_files import is_by_people, load
from splittally.edge.prices import named_or_newest, read_snapshots
from splittally.edge.quantities import scale_of
from splittally.governor import BudgetGovernor
from splittally.host.drain import Job, Prices, Queue
from splittally.host.drain.jobs import FAILED
from splittally.host.drain.programs import EXIT_CODE, STDERR, ending_told, exit_text

from splittally_tools.cli.session import shared

QUEUE_VARIABLE = "TALLY_QUEUE"
FILE_PATH = click.Path(dir_okay=False, path_type=Path)
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def with_queue(function: Decorated) -> Decorated:
    """Gives a command the options that every command has, and the queue as `path`."""
    text = f"The queue (or {QUEUE_VARIABLE})."
    option = click.option("--queue", "path", type=FILE_PATH, envvar=QUEUE_VARIABLE, required=True, help=text)
    return option(shared(function))


def require_cap(governor: str | None, daily_cap: str | None, under: str | None, uncapped: bool) -> None:
    """A pass that nothing bounds is one that was asked for in so many words."""
    is_capped = any(said is not None for said in (governor, daily_cap, under))
    if uncapped and is_capped:
        raise click.UsageError("`--uncapped` means that nothing bounds the pass; leave it out beside a cap")
    if not uncapped and not is_capped:
        raise click.UsageError(
            "nothing bounds what this pass may cost: say `--daily-cap USD`, `--governor MODULE:NAME` or"
            " `--under GRANT`, or `--uncapped` where that is meant"
        )


def words_of(runner: str) -> list[str]:
    """The words of a command line, as a shell would part them."""
    try:
        return shlex.split(runner)
    except ValueError as error:
        text = f"the runner `{runner}` cannot be parted into words: {error}"
        raise InvalidInput(text, field="runner") from error


def ending_text(job: Job) -> str:
    """How the program of a failed job ended and what it said last; empty where that is not known."""
    told = ending_told(job.told[1])
    if job.status != FAILED or told[EXIT_CODE] is None:
        return ""
    last = next((line for line in reversed(told[STDERR]) if line.strip()), "")
    return exit_text(told[EXIT_CODE]) + (f": {printable(last)}" if last else "")


def governor_of(named: str | None, daily_cap: str | None, queue: Queue) -> Any:
    """The governor of a pass: the library's, with this cap over the queue's own spend, or `MODULE:NAME`.

    What is named is an object with `check_budget`, or a callable that makes one for a queue.
    """
    if named is not None and daily_cap is not None:
        raise InvalidInput("say `--governor` or `--daily-cap`, not both", field="governor")
    if daily_cap is not None:
        return BudgetGovernor(ledger=queue, daily_cap_usd=_decimal(daily_cap))
    if named is None:
        return None
    module, _, name = named.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        text = f"there is no governor `{named}`; say MODULE:NAME"
        raise InvalidInput(text, field="governor") from error
    made = found if hasattr(found, "check_budget") and not isinstance(found, type) else found(queue)
    if not hasattr(made, "check_budget"):
        raise InvalidInput(f"`{named}` has no `check_budget`", field="governor")
    return made


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise InvalidInput("`--daily-cap` is an amount in dollars", field="daily_cap") from error


def lane_programs(lanes: tuple[str, ...]) -> Callable[[str], bool] | None:
    """Whether the program of a lane can be started; a lane that is not listed needs none."""
    programs = {}
    for text in lanes:
        lane, mark, program = text.partition("=")
        if not (lane and mark and program):
            raise InvalidInput(f"`{text}` is no LANE=PROGRAM", field="lane")
        programs[lane] = program
    if not programs:
        return None
    return lambda lane: lane not in programs or shutil.which(programs[lane]) is not None


def prices_of(file: Path, name: str) -> Prices:
    """The prices of the snapshot `name` in a file with `[resources]` and `[prices]`.

    `newest` is the one that is in force now; days are those of UTC.
    """
    try:
        document = load(file)
        scales = {each: scale_of(each, value) for each, value in document.get("resources", {}).items()}
        entries = document.get("prices", {})
        amounts = Amounts(scales, is_by_people(file))
        snapshots = read_snapshots(
            entries, amounts, load=lambda path: (load(file.parent / path), is_by_people(Path(path)))
        )
        snapshot = named_or_newest("prices", name, snapshots, time.time_ns())
    except (InvalidManifest, AttributeError) as error:
        raise InvalidInput(f"the price table `{file}` cannot be used: {error}", field="prices") from error
    return Prices.of(snapshot, scales[snapshot.resource])


@contextmanager
def ended_by_terminate() -> Iterator[None]:
    """While a pass runs, SIGTERM ends it as an interruption does: the program of the job ends too."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
