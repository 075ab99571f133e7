"""`enforcer check FILE.wasm` and `enforcer list`."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from splittally.core.hashing import hash_module
from splittally.core.limits import ENFORCER_BYTES_MAX
from splittally.sandbox import builtin, builtin_names, failed_checks

from splittally_tools.cli.ending import DONE, REFUSED
from splittally_tools.cli.opening import reader_of
from splittally_tools.cli.output import emit, say, table, word
from splittally_tools.cli.session import Session, shared

COLUMNS = ("where", "name", "module", "bytes")


@click.group()
@shared
def enforcer() -> None:
    """Check modules that want to judge, and list those that this release and the world have."""


@enforcer.command()
@shared
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def check(session: Session, file: Path) -> int:
    """Whether the module in FILE would be admitted; every check that it fails is named."""
    with open(file, "rb") as module:
        wasm = module.read(ENFORCER_BYTES_MAX + 1)
    failed = failed_checks(wasm)
    document = {"admitted": not failed, "module": hash_module(wasm).hex(), "failed": failed}
    emit(session, document, lambda out: _show_check(out, document))
    return REFUSED if failed else DONE


def _show_check(out: Console, document: dict[str, Any]) -> None:
    if document["admitted"]:
        say(out, f"admitted: module {document['module']}", "green")
    for name, message in document["failed"].items():
        say(out, f"refused: {name}: {word(message)}", "red")


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
