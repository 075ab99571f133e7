"""Words that cannot be understood, and those that may have been meant; loaded for an error alone.

Rule 1. A command of another group is meant where the word is its name: `tally standup` is one of `drain`. So
        is a name of two parts by its second: `transfer` is `native ledger.transfer`.
Rule 2. Else it is the nearest name of the same group or command.
"""

from collections.abc import Iterator
from difflib import get_close_matches

import click

from splittally_tools.cli.groups import NoSuchCommand


def words_of(error: click.ClickException) -> str:
    """The message of a usage error, with what may have been meant."""
    if isinstance(error, NoSuchCommand):
        assert error.ctx is not None
        return error.message + _hint(_command_meant(error.name, error.ctx))
    if isinstance(error, click.NoSuchOption):
        return f"no such option `{error.option_name}`" + _hint(_option_meant(error))
    return error.format_message()


def _hint(meant: str | None) -> str:
    return "" if meant is None else f"; did you mean `{meant}`?"


def _command_meant(name: str, ctx: click.Context) -> str | None:
    group, root = ctx.command, ctx.find_root()
    assert isinstance(group, click.Group)
    for path in _paths(root.command, root.command_path, root):
        last = path.rpartition(" ")[2]
        if name in (last, last.rpartition(".")[2]):
            return path
    near = get_close_matches(name, group.list_commands(ctx), n=1)
    return near[0] if near else None


def _paths(command: click.Command, path: str, ctx: click.Context) -> Iterator[str]:
    """A command and those below it, each as it is typed."""
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from _paths(below, f"{path} {name}", ctx)


def _option_meant(error: click.NoSuchOption) -> str | None:
    """The nearest option of the command; dashes alone make nothing alike."""
    if error.ctx is None:
        return None
    params = error.ctx.command.get_params(error.ctx)
    names = {name.lstrip("-"): name for param in params for name in (*param.opts, *param.secondary_opts)}
    near = get_close_matches(error.option_name.lstrip("-"), names, n=1)
    return names[near[0]] if near else None
