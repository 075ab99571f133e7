"""`enforcer`: the kit of an author of modules, and `enforcer list`."""

from typing import Any

import click
from splittally.core.hashing import hash_module
from splittally.sandbox import builtin, builtin_names

from splittally_tools.cli.enforcer_cases import test_cases
from splittally_tools.cli.enforcer_check import check
from splittally_tools.cli.enforcer_make import build_module, new
from splittally_tools.cli.enforcer_replay import replay
from splittally_tools.cli.enforcer_run import run
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.groups import Commands
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import emit, table
from splittally_tools.cli.session import Session, shared

COLUMNS = ("where", "name", "module", "bytes")


@click.group(cls=Commands)
@shared
def enforcer() -> None:
    """Write, check and try modules that judge; list those that this release and the world have."""


for _command in (new, build_module, check, run, test_cases, replay):
    enforcer.add_command(_command)


@enforcer.command(name="list")
@shared
@click.pass_obj
def list_modules(session: Session) -> int:
    """The modules of this release, and those of the world where one is named."""
    rows = [_row("release", name, hash_module(builtin(name)), len(builtin(name))) for name in builtin_names()]
    if session.is_named:
        with reader_of(session) as reader:
            caps = reader.folded.caps
            rows += [
                _row("world", name, digest, len(caps.blobs[digest]))
                for name, digest in sorted(caps.modules.items())
            ]
    emit(session, {"modules": rows}, lambda out: out.print(table(COLUMNS, (row.values() for row in rows))))
    return DONE


def _row(where: str, name: str, digest: bytes, size: int) -> dict[str, Any]:
    return dict(zip(COLUMNS, (where, name, digest.hex(), size), strict=True))
