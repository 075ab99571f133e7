"""`enforcer new` makes a folder, `enforcer build` its module."""

import sys
from pathlib import Path
from typing import Any

import click
from splittally.edge.json_values import printable
from splittally_enforcers.toolchains import LANGUAGES

from splittally_tools.cli.enforcer_place import FOLDER
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.output import Page, emit, for_people, say, word
from splittally_tools.cli.session import Session, shared
from splittally_tools.enforcers.building import (
    Built,
    NoCompiler,
    NotCompiled,
    build,
    compare,
    fetch_compiler,
)
from splittally_tools.enforcers.project import open_project
from splittally_tools.enforcers.scaffold import make_folder, words_of


@click.command()
@shared
@click.argument("name")
@click.option("--lang", type=click.Choice(sorted(LANGUAGES)), default="zig", help="The language (zig).")
@click.option(
    "--into", type=click.Path(path_type=Path), metavar="DIR", help="The folder to make (the name's word)."
)
@click.option("--kind", metavar="KIND", help="The kind of effect that it judges (WORD.use).")
@click.option("--dim", metavar="NAME", help="The dimension that it counts (WORD_count).")
@click.pass_obj
def new(session: Session, name: str, lang: str, into: Path | None, kind: str | None, dim: str | None) -> int:
    """Make a folder for an enforcer NAME, such as acme/CapEnforceMail@1, or a plain word.

    It builds, is admitted and passes its cases as it stands; change it from there.
    """
    words = words_of(name, lang, kind, dim)
    folder = into or Path(words.word)
    made = make_folder(folder, words)
    next_commands = [f"tally enforcer {verb} {folder}" for verb in ("build", "test", "check")]
    document = {
        "folder": str(folder),
        "name": words.name,
        "cap": words.cap,
        "kind": words.kind,
        "dimension": words.dim,
        "language": lang,
        "files": made,
        "next": next_commands,
    }
    emit(session, document, lambda out: _show_new(out, document))
    return DONE


def _show_new(out: Page, document: dict[str, Any]) -> None:
    say(out, f"made {word(document['folder'])}: {word(document['name'])} in {document['language']}", "green")
    for name in document["files"]:
        say(out, f"  {name}")
    say(out, "next:")
    for command in document["next"]:
        say(out, f"  {command}")


@click.command(name="build")
@shared
@FOLDER
@click.option("--check", "is_check", is_flag=True, help="Build from nothing and compare; write nothing.")
@click.option("--fetch", is_flag=True, help="Install the compiler with pip where it is missing.")
@click.pass_obj
def build_module(session: Session, folder: Path, is_check: bool, fetch: bool) -> int:
    """Compile the enforcer in DIR to enforcer.wasm; the same source gives the same bytes everywhere."""
    project = open_project(folder)
    project.described()
    make = compare if is_check else build
    try:
        try:
            built = make(project)
        except NoCompiler as missing:
            if not (fetch or _is_wanted(session, missing)):
                raise
            fetch_compiler(project.described().language)
            built = make(project)
    except NotCompiled as refused:
        return _refused(session, refused)
    document = {"folder": str(folder), "written": not is_check and not built.is_same, **built.document()}
    emit(session, document, lambda out: _show_build(out, built, document, is_check))
    return REFUSED if is_check and not built.is_same else DONE


def is_asked() -> bool:
    """Whether somebody can answer a question: standard input is a terminal."""
    return sys.stdin.isatty()


def _is_wanted(session: Session, missing: NoCompiler) -> bool:
    """Asks who sits at a terminal whether the compiler may be installed; nobody else."""
    if not for_people(session) or not is_asked():
        return False
    click.echo(f"tally: {printable(str(missing))}", err=True)
    return click.confirm("fetch it now?", err=True)


def _refused(session: Session, refused: NotCompiled) -> int:
    """Shows what the compiler said, line by line."""
    error = {"code": refused.code, "message": str(refused), "facts": refused.facts}
    click.echo("tally: the source does not compile", err=True)
    for line in str(refused).splitlines():
        click.echo(f"  {printable(line)}", err=True)
    if session.as_json:
        emit(session, {"error": error}, lambda out: None)
    return REFUSED


def _show_build(out: Page, built: Built, document: dict[str, Any], is_check: bool) -> None:
    say(out, f"module {document['module']}, {document['bytes']} bytes")
    was = document["was"]
    if built.is_same:
        say(out, "enforcer.wasm is what the source builds", "green")
    elif is_check:
        text = (
            "there is no enforcer.wasm"
            if was is None
            else f"enforcer.wasm is {was['module']}, {was['bytes']} bytes"
        )
        say(out, f"{text}; run `tally enforcer build {word(document['folder'])}`", "red")
    elif was is not None:
        grown = document["bytes"] - was["bytes"]
        say(out, f"in place of {was['module']}, {was['bytes']} bytes ({grown:+d})")
