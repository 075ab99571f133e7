"""`serve`: the world as a service, for other processes and languages."""

import sys
from importlib import import_module
from signal import SIG_IGN, SIGTERM, signal

import click
from splittally.core.errors import WorldError, WorldLocked
from splittally.runtime.served import SOCKET, is_served

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.output import to_line
from splittally_tools.cli.session import Session, shared


class _Address(click.ParamType[tuple[str, int]]):
    name = "HOST:PORT"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """The two parts."""
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            self.fail("say HOST:PORT, such as 127.0.0.1:8080", param, ctx)
        return host.strip("[]"), int(port)


@click.command()
@shared
@click.option("--http", type=_Address(), help="Speak HTTP there, too; with port 0 any free one.")
@click.pass_obj
def serve(session: Session, http: tuple[str, int] | None) -> int:
    """Serve the world to other processes: a Unix socket in its folder, HTTP where you say.

    It ends on SIGTERM or Ctrl-C: what was decided is answered first. Beside it every command goes on working.
    """

    def tell(addresses: list[str]) -> None:
        if session.as_json:
            sys.stdout.write(to_line({"serving": addresses}) + "\n")
        else:
            for address in addresses:
                click.echo(f"serving {session.folder} at {address}")
        sys.stdout.flush()

    try:
        listening = import_module("splittally.host.service.listening")
    except ImportError as error:
        raise WorldError("a service needs more packages: `pip install 'splittally[serve]'`") from error
    try:
        listening.serve(session.folder, http, tell)
    except WorldLocked as error:  # one that was just ending has been waited for
        if is_served(session.folder):
            address = session.folder / SOCKET
            text = f"the world at `{session.folder}` is served already, at `{address}`"
            raise WorldLocked(text, **error.facts) from error
        raise
    signal(SIGTERM, SIG_IGN)  # it has ended: asked once more, it does not end otherwise
    return DONE
