"""Pages that print what happens: their blocks are run as they stand, in order, in one empty folder.

Rule 1. `sh` is run by a shell at a terminal; what one block exports, and the folder it goes to, hold for the
        next. `python` is a program of its own. `sql` is a query that DuckDB answers in the first folder.
        `text` is what the block before it prints.
Rule 2. A block whose first line is a comment that names a file (`# host.py`) is that file: it is written and
        not run.
Rule 3. `console` is what only a checkout can do, such as `make test`: it is not run, but what it names is
        there. A block without a language is a figure. Any other block fails, so that nothing is printed that
        nobody runs.

A page with these two blocks passes when the second command prints `hello jane` somewhere after a line that
begins with `made`:

    ```sh                     ```text
    make_it                   made …
    say hello to=jane         hello jane
    ```                       ```

In `text` an ellipsis stands for anything within a line, and runs of spaces are one. What a program prints is
compared whole; of what commands print only the lines shown must be there, in their order.
"""

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.cli_tools import ROOT, SOURCES

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^# ([\w.-]+\.(?:py|toml|json|sh))\n")
BLOCK_SECONDS_MAX = 180
STYLED = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SHELL = """set -e
if [ -f "$KEPT/exports" ]; then . "$KEPT/exports"; cd "$(cat "$KEPT/folder")"; fi
{block}
export -p > "$KEPT/exports"
pwd > "$KEPT/folder"
"""
QUERY = """import duckdb, sys
answer = duckdb.sql(sys.argv[1])
for row in (answer.columns, *answer.fetchall()):
    print(*("-" if cell is None else cell for cell in row), sep="   ")
"""


class Block(NamedTuple):
    """A fenced block of a page: its language, its text and the line on which it begins."""

    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page in order."""
    text = page.read_text("utf-8")
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in BLOCK.finditer(text)]


def run_page(page: Path, scratch: Path) -> int:
    """Runs every block of a page; how many commands and programs that were. `scratch` is an empty folder."""
    folder, kept = scratch / "empty", scratch / "kept"
    folder.mkdir()
    kept.mkdir()
    ran, said, is_program = 0, "", False
    for block in blocks_of(page):
        where = f"{page.name}:{block.line}"
        named = FILE.match(block.text)
        if named is not None:
            (folder / named[1]).write_text(block.text, "utf-8")
        elif block.language == "sh":
            ran, is_program = ran + 1, False
            said = _run(["sh", "-c", SHELL.format(block=block.text)], folder, scratch, where)
        elif block.language in ("python", "sql"):
            ran, is_program = ran + 1, True
            program = [block.text] if block.language == "python" else [QUERY, block.text]
            said = _run([sys.executable, "-c", *program], folder, scratch, where)
        elif block.language == "text":
            require_said(block.text, said, is_program, where)
        elif block.language == "console":
            assert missing_in(block.text) == [], where
        elif block.language:
            raise AssertionError(f"{where}: nobody runs a block of `{block.language}`")
    return ran


def require_said(expected: str, said: str, is_whole: bool, where: str) -> None:
    """Every expected line stands in `said`, in order; where `is_whole`, nothing else does."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    wanted = [" ".join(line.split()) for line in expected.splitlines() if line.strip()]
    assert wanted, where
    at = 0
    for line in wanted:
        shape = re.compile(".*".join(re.escape(part.strip()) for part in line.split("…")) + r"\Z")
        found = next((n for n in range(at, len(lines)) if shape.match(lines[n])), None)
        assert found is not None, f"{where}: `{line}` is not printed after line {at} of\n{said}"
        at = found + 1
    assert not is_whole or len(wanted) == len(lines), f"{where}: what is printed is\n{said}"


def missing_in(console: str) -> list[str]:
    """Targets of `make` and files of the repository that a block names and that are not there."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    commands = "\n".join(line.split("  #")[0] for line in console.splitlines())
    targets = re.findall(r"\bmake ([\w-]+)", commands)
    files = re.findall(r"\b(?:tests|spec|docs|examples|fixtures|kernel|schemas)/[\w./-]+", commands)
    return [name for name in targets if f"\n{name}:" not in makefile] + [
        name for name in files if not (ROOT / name).exists()
    ]


def _run(arguments: list[str], folder: Path, scratch: Path, where: str) -> str:
    """What a block prints at a terminal of 120 columns; it must end with 0."""
    mine, theirs = os.openpty()
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env=_environment(scratch),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    printed, until = b"", time.monotonic() + BLOCK_SECONDS_MAX
    while piece := _read(mine, until):
        printed += piece
    os.close(mine)
    assert time.monotonic() < until, f"{where} keeps its terminal: let what stands in the background go of it"
    said = STYLED.sub("", printed.decode("utf-8")).replace("\r\n", "\n")
    assert process.wait() == 0, f"{where}:\n{said}"
    return said


def _read(terminal: int, until: float) -> bytes:
    if not select.select([terminal], [], [], max(0.0, until - time.monotonic()))[0]:
        return b""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the last that held the other end has gone
        return b""


def _environment(scratch: Path) -> dict[str, str]:
    """That of somebody who has installed this checkout: `tally`, `python` and `pytest` are in the path."""
    programs = scratch / "bin"
    if not programs.exists():
        programs.mkdir()
        for name, module in (("python", ""), ("tally", "-m splittally_tools"), ("pytest", "-m pytest")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
            program.chmod(0o755)
    hidden = {
        "TALLY_WORLD",
        "TALLY_QUEUE",
        "TALLY_KEY",
        "TALLY_PUBLIC_KEY",
        "PYTEST_ADDOPTS",
        "PYTHONDONTWRITEBYTECODE",
    }
    return {
        **{name: value for name, value in os.environ.items() if name not in hidden},
        "PYTHONPATH": SOURCES,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPYCACHEPREFIX": str(ROOT / "out" / "bytecode"),  # an installed package has its bytecode
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "CHECKOUT": str(ROOT),
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "TERM": "xterm",
        "KEPT": str(scratch / "kept"),
    }
