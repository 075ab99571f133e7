"""What `drain run` is given by name: the governor, the programs of lanes, the models that have a price.

Rule 1. What is named and not there is a usage error before the pass begins.
"""

import shutil
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from splittally.core.errors import InvalidInput
from splittally.edge.json_values import parse_json
from splittally.governor import BudgetGovernor
from splittally.host.drain import Queue


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


def prices_of(file: Path) -> set[str]:
    """The models that a price table names: the keys of its table `models`, else of all of it."""
    try:
        data = file.read_bytes()
        document = parse_json(data) if file.suffix == ".json" else tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        raise InvalidInput(f"the price table `{file}` cannot be read: {error}", field="prices") from error
    models = document.get("models", document) if isinstance(document, dict) else None
    if not isinstance(models, dict):
        raise InvalidInput("a price table is a map from model to price", field="prices")
    return set(models)


@contextmanager
def ended_by_terminate() -> Iterator[None]:
    """While a pass runs, SIGTERM ends it as an interruption does: the program of the job ends too."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
