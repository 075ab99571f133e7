"""`enforcer replay`: what a world's journal would have been answered by another build of a module."""

import re
from pathlib import Path
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.core.types import SYS
from splittally.runtime.reader import Reader, open_reader
from splittally.sandbox import builtin, builtin_names

from splittally_tools.audit.replay_diff import Report
from splittally_tools.audit.upgrades import Change, build_after, build_for
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.hashes import modules, whole
from splittally_tools.cli.output import Page, say
from splittally_tools.cli.replacing import emit_report, report_of, show_report
from splittally_tools.cli.session import Session, shared
from splittally_tools.enforcers.project import Module, admitted_module, open_project

NAMES_SHOWN_MAX = 20
_HASH = re.compile(r"[0-9a-fA-F]{64}")


@click.command()
@shared
@click.argument("journal", type=click.Path(path_type=Path))
@click.option(
    "--module", "file", type=click.Path(path_type=Path), metavar="FILE|DIR",
    help="The new build (the folder here; of a name of the release, its module).",
)  # fmt: skip
@click.option("--name", metavar="NAME", help="Whose calls: a module or cap of the journal (enforcer.toml's).")
@click.option("--old", metavar="HASH", help="Whose calls: one module by its hash.")
@click.option("--strict", is_flag=True, help="Exit with 1 when anything comes out otherwise.")
@click.pass_obj
def replay(
    session: Session, journal: Path, file: Path | None, name: str | None, old: str | None, strict: bool
) -> int:
    """Ask a new build of a module every Check and Settle that the world JOURNAL recorded of the old.

    Each question is asked byte for byte as it was recorded, so a Settle names the reserve that was held.
    Nothing is written.
    """
    if name is not None and old is not None:
        raise click.UsageError("say --name or --old, not both")
    module, names = _new_module(file, name)
    with open_reader(journal) as reader:
        change = _change(reader, module, names, old)
        frames = reader.head.size
        report = report_of(session, reader, change)
    with report:
        document = {
            "frames": frames,
            "name": names[0] if old is None else None,
            "module": module.hash.hex(),
            "asked_of": {asked.hex(): count for asked, count in sorted(report.asked_of.items())},
        }
        emit_report(session, document, report, lambda out: _show(out, document, report))
        return REFUSED if strict and report.differences.count else DONE


def _new_module(file: Path | None, name: str | None) -> tuple[Module, tuple[str, ...]]:
    """The new build, and the names whose calls it is asked."""
    if file is None and name is not None and name in builtin_names():
        return Module(Path(name), builtin(name)), (name,)
    place = file or Path()
    names = (name,) if name is not None else open_project(place).names if place.is_dir() else ()
    return admitted_module(place), names


def _change(reader: Reader, module: Module, names: tuple[str, ...], old: str | None) -> Change:
    caps = reader.folded.caps
    if old is not None:
        said = whole(reader, old, modules)
        digest = bytes.fromhex(said) if _HASH.fullmatch(said) else b""
        if digest not in caps.blobs:
            advice = "say --old with one of the hashes that `tally -w WORLD enforcer list` names"
            raise InvalidInput(f"this journal has no module `{old}`; {advice}", field="old")
        return build_after(digest, module.wasm)
    known = sorted({*caps.modules, *caps.caps})
    if not names:
        raise InvalidInput(f"whose calls? say --name with one of {_listed(known)}", field="name")
    if not any(name in known for name in names):
        text = f"no module or cap of this journal is called `{names[0]}`"
        raise InvalidInput(f"{text}; say --name with one of {_listed(known)}", field="name", known=known)
    return build_for(reader, names, module.wasm)


def _listed(known: list[str]) -> str:
    """Names of a journal, the world's own before those of the release."""
    ordered = sorted(known, key=lambda name: (name.startswith(SYS), name))
    more = "" if len(known) <= NAMES_SHOWN_MAX else f" and {len(known) - NAMES_SHOWN_MAX} more"
    return ", ".join(ordered[:NAMES_SHOWN_MAX]) + more


def _show(out: Page, document: dict[str, Any], report: Report) -> None:
    for asked, count in document["asked_of"].items():
        say(out, f"{count} calls of module {asked} asked of {document['module']}")
    if not document["asked_of"]:
        say(out, "the journal records no call of it")
    show_report(out, report)
