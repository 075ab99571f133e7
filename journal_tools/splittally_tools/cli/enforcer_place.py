"""What the commands on an enforcer's folder share: how it is named, and a note when it is out of date."""

from pathlib import Path

import click
from splittally.edge.json_values import printable

from splittally_tools.enforcers.project import Project

FOLDER = click.argument("folder", type=click.Path(path_type=Path), default=".", metavar="[DIR]")
PLACE = click.argument("place", type=click.Path(path_type=Path), default=".", metavar="[DIR|FILE.wasm]")


def warn_if_stale(project: Project) -> None:
    """Says on standard error that the module may not be what its source says."""
    if project.is_stale:
        text = f"a source is newer than its module; run `tally enforcer build {project.folder}`"
        click.echo(f"tally: note: {printable(text)}", err=True)
