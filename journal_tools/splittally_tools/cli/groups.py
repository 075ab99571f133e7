"""A group of commands, as people meet it: `tally` itself and every command that has commands of its own.

Rule 1. A group that is asked for nothing shows its help on standard output and ends as usage does, so that
        a script that lost its command does not go on. With `--json` it is an error, as any other.
Rule 2. The help of a group says what each command is for in whole words; it is never cut.
Rule 3. A command may be listed without being imported: the menu of `tally` names what it has.
"""

from collections.abc import Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from splittally_tools.cli.exit_codes import USAGE
from splittally_tools.cli.session import Session


class NoSuchCommand(click.UsageError):
    """A word where a command was expected; `mistakes` says what may have been meant."""

    def __init__(self, name: str, ctx: click.Context) -> None:
        super().__init__(f"no such command `{name}`", ctx)
        self.name = name


class Commands(click.Group):
    """A group whose commands are told of by `purposes`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings |= {"invoke_without_command": True, "subcommand_metavar": "COMMAND [ARGS]..."}
        super().__init__(*args, **settings)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order in which they were added, which is that of use."""
        return list(self.commands)

    def purposes(self, ctx: click.Context) -> Iterator[tuple[str, str, str]]:
        """Heading, name and purpose of each command, as they are shown."""
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert command is not None
            yield "Commands", name, _purpose_of(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = list(self.purposes(ctx))
        widest = max(len(name) for _, name, _ in lines)
        for heading in dict.fromkeys(heading for heading, _, _ in lines):
            with formatter.section(heading):
                formatter.write_dl(
                    [(name.ljust(widest), why) for place, name, why in lines if place == heading]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            raise NoSuchCommand(args[0], ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        code = super().invoke(ctx)
        if ctx.invoked_subcommand is not None:
            return code
        if ctx.ensure_object(Session).as_json:
            raise click.UsageError("which command?", ctx)
        click.echo(ctx.get_help())
        return USAGE

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and options that begin so; no command is imported for its name."""
        found = [
            CompletionItem(name, help=why)
            for _, name, why in self.purposes(ctx)
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


def _purpose_of(command: click.Command) -> str:
    """What a command is for: its short help, or the first paragraph of its help."""
    text = command.short_help or (command.help or "").partition("\n\n")[0]
    return " ".join(text.split()).rstrip(".:")
