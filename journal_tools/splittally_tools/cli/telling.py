"""An error as the command line says it: one line for people, and a document for programs.

Rule 1. With `--json` the error is also the document that was asked for, on standard output.
"""

import sys
from collections.abc import Mapping

import click
from splittally.edge.json_values import printable

from splittally_tools.cli.output import to_line
from splittally_tools.cli.session import Session
from splittally_tools.cli.watched import silence


def tell_error(session: Session, name: str, message: str, facts: Mapping[str, object], usage: str) -> None:
    """Says an error by its code, message and facts; `usage` is where to look further."""
    text = " ".join(printable(message).split())
    try:
        click.echo(f"tally: {text}" + (f" ({usage})" if usage else ""), err=True)
    except BrokenPipeError:
        raise
    except OSError:  # there is nowhere to say it
        silence(sys.stderr)
    if session.as_json:
        click.echo(to_line({"error": {"code": name, "message": message, "facts": dict(facts)}}))
