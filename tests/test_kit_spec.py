"""Chapter 14 prints what happens: its commands are run as they stand."""

import json
import os
import re
import subprocess
import sys

from splittally_tools.cli.enforcer import enforcer
from splittally_tools.enforcers import checking
from splittally_tools.enforcers.cases import case_of

from tests.cli_tools import ROOT, SOURCES

CHAPTER = (ROOT / "spec" / "14-writing-enforcers.md").read_text("utf-8")
COMMANDS = (ROOT / "spec" / "09-command-line.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", CHAPTER, re.MULTILINE | re.DOTALL)


def words(text: str) -> list[str]:
    """The lines of a text without what only lines them up."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_chapter_can_be_followed_in_an_empty_folder(tmp_path):
    tally = tmp_path / "bin" / "tally"
    tally.parent.mkdir()
    tally.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m splittally_tools "$@"\n')
    tally.chmod(0o755)
    folder = tmp_path / "empty"
    folder.mkdir()
    surroundings = {
        **os.environ,
        "PYTHONPATH": SOURCES,
        "PATH": f"{tally.parent}{os.pathsep}{os.environ['PATH']}",
    }
    surroundings["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    surroundings.pop("TALLY_WORLD", None)
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(blocks("sh"))],
        cwd=folder,
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = "\n".join(words(done.stdout))
    assert [line for block in blocks("text") for line in words(block) if line not in told] == []


def test_the_case_of_the_chapter_is_a_case(tmp_path):
    (example,) = blocks("json")
    assert case_of(tmp_path / "x.json", json.loads(example)).bounds == {"mails": 3}


def test_the_chapter_names_every_rule_and_the_list_of_commands_every_command():
    assert [name for name in checking.CONDUCT if f"| `{name}` |" not in CHAPTER] == []
    assert [name for name in enforcer.commands if f"`enforcer {name}" not in COMMANDS] == []
    for command in enforcer.commands.values():
        shared = {"world", "principal", "now_ns", "as_json", "wait_seconds"}
        options = [
            x.opts[0] for x in command.params if x.param_type_name == "option" and x.name not in shared
        ]
        row = "".join(line for line in COMMANDS.splitlines() if f"| `enforcer {command.name}" in line)
        assert [option for option in options if option not in row] == [], command.name
