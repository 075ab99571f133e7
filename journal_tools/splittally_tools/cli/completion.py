"""`completion`: the script by which a shell completes commands and options, printed or installed.

Rule 1. The script is click's for this program; bash, zsh and fish have one.
Rule 2. To install is to write the script into the user's folder of data and, where a shell reads nothing
        from there by itself, one line into its start file that reads it. A line that stands is not written
        twice, and to uninstall takes away the two and nothing else.
Rule 3. Nothing is installed but by `--install`, and every file that was touched is named.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import click
from click.shell_completion import get_completion_class

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.output import emit, say
from splittally_tools.cli.session import Session, shared

SHELLS = ("bash", "zsh", "fish")
PROGRAM, VARIABLE = "tally", "_TALLY_COMPLETE"
ZSH_NEEDS = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }\n"


class Place(NamedTuple):
    """Where a shell's script goes, and the start file that must read it; None where it is found by itself."""

    script: Path
    start: Path | None

    @property
    def line(self) -> str:
        return f'[ -r "{self.script}" ] && . "{self.script}"  # completion of tally\n'


@click.command()
@shared
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.option("--install", is_flag=True, help="Write it where your shell finds it.")
@click.option("--uninstall", is_flag=True, help="Take away what --install wrote.")
@click.pass_obj
def completion(session: Session, shell: str | None, install: bool, uninstall: bool) -> int:
    """Have SHELL complete commands and options of tally; without --install, print the script.

    SHELL is the one that you are in, as the variable SHELL says, where you name none.
    """
    if install and uninstall:
        raise click.UsageError("say `--install` or `--uninstall`, not both")
    shell = shell or _shell_of(os.environ)
    script, place = script_of(shell), place_of(shell, os.environ)
    changed = _installed(place, script) if install else _uninstalled(place) if uninstall else []
    document = {"shell": shell, "files": [str(file) for file in changed]}
    if not (install or uninstall):
        emit(session, {**document, "script": script}, lambda _: click.echo(script, nl=False))
        return DONE
    done, already = ("written", "installed already") if install else ("taken away", "nothing was installed")
    text = f"{done}: {', '.join(document['files'])}; begin a new {shell}" if changed else already
    emit(session, document, lambda out: say(out, text))
    return DONE


def script_of(shell: str) -> str:
    """What `shell` reads to complete the words of tally."""
    kind = get_completion_class(shell)
    assert kind is not None
    text = kind(click.Command(PROGRAM), {}, PROGRAM, VARIABLE).source()
    return (ZSH_NEEDS if shell == "zsh" else "") + text.rstrip("\n") + "\n"


def place_of(shell: str, environment: Mapping[str, str]) -> Place:
    """Where a user's shell looks, or can be made to look."""
    home = Path(environment.get("HOME") or Path.home())
    if shell == "fish":
        settings = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        return Place(settings / "fish" / "completions" / f"{PROGRAM}.fish", None)
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    start = home / ".bashrc" if shell == "bash" else Path(environment.get("ZDOTDIR") or home) / ".zshrc"
    return Place(data / "splittally" / f"completion.{shell}", start)


def is_installed(shell: str, environment: Mapping[str, str]) -> bool:
    """Whether what `--install` writes is there, whatever release wrote it."""
    place = place_of(shell, environment)
    return place.script.is_file() and (place.start is None or place.line in _text_of(place.start))


def _shell_of(environment: Mapping[str, str]) -> str:
    name = Path(environment.get("SHELL", "")).name
    if name not in SHELLS:
        raise click.UsageError(f"which shell? say one of {', '.join(SHELLS)}")
    return name


def _installed(place: Place, script: str) -> list[Path]:
    """Writes what is missing or of another release; the files that were changed."""
    changed = []
    if _text_of(place.script) != script:
        place.script.parent.mkdir(parents=True, exist_ok=True)
        place.script.write_text(script, "utf-8", "surrogateescape")
        changed.append(place.script)
    if place.start is not None and place.line not in (before := _text_of(place.start)):
        end = "" if not before or before.endswith("\n") else "\n"
        place.start.parent.mkdir(parents=True, exist_ok=True)
        with place.start.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(end + place.line)
        changed.append(place.start)
    return changed


def _uninstalled(place: Place) -> list[Path]:
    """Takes away the script and its line; the files that were changed."""
    changed = []
    if place.start is not None and place.line in (before := _text_of(place.start)):
        place.start.write_text(before.replace(place.line, ""), "utf-8", "surrogateescape")
        changed.append(place.start)
    if place.script.is_file():
        place.script.unlink()
        changed.append(place.script)
    return changed


def _text_of(file: Path) -> str:
    return file.read_text("utf-8", "surrogateescape") if file.is_file() else ""
