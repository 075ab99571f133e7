"""What the tests of the command line share: running it as a user does, a small world, a forged one."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner
from splittally.journal.frame import EMPTY, open_frame, seal
from splittally.journal.lmdb import LmdbStore
from splittally_tools.cli import tally

ROOT = Path(__file__).parent.parent
SOURCES = os.pathsep.join(str(ROOT / name) for name in ("kernel", "enforcers", "journal_tools"))
MANIFEST = {
    "resources": {"USD": 2},
    "accounts": {"accounts/team": {}, "accounts/vendor": {}},
    "grants": {
        "cap_llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}, "params": {"models": ["m"]}},
        "pool": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}},
        "child": {"cap": "sys/llm.basic@1", "budget": {"tokens": 400}, "parent": "pool"},
    },
}


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def run(*args: object, text: str | bytes = "") -> Ran:
    """`tally` in this process; a traceback of ours fails the test."""
    result = CliRunner().invoke(tally, [str(arg) for arg in args], input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "splittally_tools", *map(str, args)]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SOURCES, **extra}


def process(*args: object, **extra: str) -> Ran:
    """`tally` in a process of its own."""
    done = subprocess.run(
        command(*args), env=environment(**extra), capture_output=True, text=True, timeout=300, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def at_a_terminal(answer: str, *args: object) -> tuple[int, str, bool]:
    """The command at a terminal, where `answer` is typed when it asks; its exit code and what is seen."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        command(*args),
        env=environment(TERM="dumb", COLUMNS="200"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen, is_answered, until = "", False, time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([ours], [], [], 0.1)[0]:
            if child.poll() is not None:
                break
            continue
        try:
            seen += os.read(ours, 65_536).decode()
        except OSError:  # the other end is closed
            break
        if "[y/N]" in seen and not is_answered:
            is_answered = True
            os.write(ours, f"{answer}\n".encode())
    code = child.wait(timeout=60)
    os.close(ours)
    return code, seen, is_answered


def intent(grant: str = "cap_llm", tokens: int = 10, **fields: Any) -> str:
    """A line of input."""
    params = {"model": "m", "max_tokens": tokens}
    return json.dumps({"kind": "llm.generate", "params": params, "grant": grant, **fields}) + "\n"


def receipt(intent_hash: str, prompt: int = 1, completion: int = 2, **fields: Any) -> str:
    payload = {"prompt_tokens": prompt, "completion_tokens": completion}
    line = {"intent_hash": intent_hash, "status": "ok", "adapter_id": "me", "payload": payload, **fields}
    return json.dumps(line) + "\n"


def make_world(folder: Path, manifest: dict[str, Any] | None = None) -> Path:
    """A world with a given clock and the manifest above."""
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(manifest or MANIFEST))
    assert run("-w", folder, "init", "--clock", "given").code == 0
    assert run("-w", folder, "apply", file).code == 0
    return folder


def busy_world(folder: Path) -> Path:
    """A world in which something of everything happened."""
    world = make_world(folder)
    asked = "".join(intent("child", 5, now_ns=at) for at in range(1, 9)) + intent("cap_llm", 500)
    decided = run("-w", world, "submit", text=asked).lines
    told = "".join(receipt(decision["intent_hash"]) for decision in decided[:4])
    assert run("-w", world, "settle", text=told).code == 0
    assert run("-w", world, "release", decided[4]["intent_hash"]).code == 0
    assert run("-w", world, "native", "ledger.issue", "--resource", "USD", "--amount", "12.50 USD",
               "--to", "accounts/team").code == 0  # fmt: skip
    assert run("-w", world, "native", "ledger.transfer", "--resource", "USD", "--amount", "2.50 USD",
               "--from", "accounts/team", "--to", "accounts/vendor").code == 0  # fmt: skip
    return world


Edit = Callable[[int, list[Any]], list[Any] | None]


def forged(world: Path, target: Path, edit: Edit, index: bool = False) -> Path:
    """A copy of a world whose bodies went through `edit` and were chained anew; None drops the rest.

    A body is `[v, at, by, cmd, seen, out]`. Without its index, which opening builds from the frames.
    """
    source = LmdbStore(world / "journal", writable=False)
    frames, prev = [], EMPTY.hash
    for seq, data in source.scan():
        body = edit(seq, open_frame(data)[2])
        if body is None:
            break
        frame = seal(len(frames), prev, body)
        frames.append(frame)
        prev = frame.hash
    source.close()
    target.mkdir()
    copy = LmdbStore(target / "journal", writable=True)
    copy.append(copy.head, frames)
    copy.close()
    if index and (world / "index").is_dir():
        shutil.copytree(world / "index", target / "index")
    return target


def copied(world: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(world, target)
    return target
