"""What every command is told: the world, for whom, at what time, and for whom the output is.

Rule 1. The options may stand before the command or after it; what stands later wins.
Rule 2. Nothing is opened or imported here that the help does not need.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

OPERATOR = "operator"
WORLD_VARIABLE = "TALLY_WORLD"
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Session:
    """The options that every command shares."""

    def __init__(self) -> None:
        self.world: str | None = None
        self.principal = OPERATOR
        self.now_ns: int | None = None
        self.as_json = False
        self.wait_seconds: float | None = None
        self.is_writing = False  # whether the world was opened for writing

    @property
    def is_named(self) -> bool:
        """Whether anybody said which world."""
        return bool(self.world or os.environ.get(WORLD_VARIABLE))

    @property
    def folder(self) -> Path:
        """The folder of the world; a usage error where nobody named one."""
        named = self.world or os.environ.get(WORLD_VARIABLE)
        if not named:
            raise click.UsageError(f"which world? say `tally -w DIR ...` or set {WORLD_VARIABLE}")
        return Path(named)


def shared(function: Decorated) -> Decorated:
    """Gives a command the options of `Session`; they are kept there and not passed on."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None and value is not False:
        session = ctx.find_object(Session)
        assert session is not None and option.name is not None
        setattr(session, option.name, value)


def _option(*names: str, **settings: Any) -> Callable[[Decorated], Decorated]:
    return click.option(*names, callback=_keep, expose_value=False, is_eager=True, **settings)


_OPTIONS = (
    _option("-w", "--world", metavar="DIR", help="The folder of the world (or TALLY_WORLD)."),
    _option("--as", "principal", metavar="NAME", help="Act for this principal (operator)."),
    _option(
        "--now-ns", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Logical time, where it is given."
    ),
    _option("--json", "as_json", is_flag=True, help="One JSON document, or one a line for streams."),
    _option(
        "--wait",
        "wait_seconds",
        type=click.FloatRange(0, 3600),
        metavar="SECONDS",
        help="How long to wait for another writer (10).",
    ),
)
