"""The options that say a past moment, `--at`, `--since` and `--until`, read in one way for every command."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

import click
from splittally.core.errors import InvalidInput
from splittally.core.periods import rolling_ns
from splittally.core.state import State
from splittally.edge.moments import Moment, read_moment
from splittally.runtime.moments import last_ns
from splittally.runtime.queries import Queries
from splittally.runtime.reader import Reader

from splittally_tools.cli.writing import Writing

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Decorator(Protocol):
    """What gives a command an option and leaves its type as it is."""

    def __call__(self, function: Decorated, /) -> Decorated: ...


_SPELLED = "SEQ|DAY|TIME|NS"


def moment_option(*names: str, help: str) -> Decorator:
    """An option that takes a past moment."""
    return click.option(*names, callback=_read, metavar=_SPELLED, help=help)


def _read(ctx: click.Context, option: click.Parameter, value: str | None) -> Moment | None:
    if value is None:
        return None
    is_number = value.isascii() and value.isdecimal()
    try:
        return read_moment(int(value) if is_number else value, option.name or "")
    except InvalidInput as error:
        raise click.BadParameter(str(error), ctx, option) from None


at_option = moment_option("--at", help="As it stood then, not now; a day is its end.")


def since_option(what: str = "frames") -> Decorator:
    """The option that says from when, as `since`; `--from` is its other name."""
    return moment_option("--since", "--from", "since", help=f"Only {what} from then on.")


def until_option(what: str = "frames") -> Decorator:
    """The option that says until when, as `until`; `--to` is its other name."""
    return moment_option("--until", "--to", "until", help=f"Only {what} until then, included.")


def state_of(reader: Reader, at: Moment | None) -> State:
    """The state that a view is of: that of a past moment, or the last."""
    return reader.folded if at is None else reader.state_after(at)


def queries_at(reader: Reader, at: Moment | None) -> Queries:
    """The queries on that state."""
    return reader.state if at is None else reader.at(at)


def expiry_of(kernel: Writing, text: str, given_ns: int | None) -> int:
    """A time to come, in nanoseconds: the end of a day or a time by the world's clock, or a span from now."""
    if text.startswith("+"):
        length_ns = rolling_ns(text[1:])
        if not length_ns:
            raise InvalidInput(f"`{text}` is no span such as +90s, +2h or +7d", field="expires")
        return length_ns + _now_ns(kernel, given_ns)
    moment = read_moment(text, "expires")
    return last_ns(moment, lambda: kernel.state.wording.calendar)


def _now_ns(kernel: Writing, given_ns: int | None) -> int:
    health = kernel.health()
    now_ns: int = max(given_ns or 0, health["now_ns"], health["clock_ns"] or 0)
    return now_ns


def utc_of(moment: Moment) -> datetime:
    """The first microsecond of a moment that is no sequence, for what knows no world; its days are UTC's."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment.first_ns // 1_000)
