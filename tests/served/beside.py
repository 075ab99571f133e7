"""What tests of processes beside a service share: the service as a process, and a world to compare with."""

import json
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

from tests.cli_tools import command, environment, run

ASKED = {"dim": "tokens", "per": "intent", "amount": 50, "over": "ask"}
WORLD = {
    "resources": {"USD": 2},
    "accounts": {"accounts/team": {}, "accounts/vendor": {}},
    "grants": {
        "cap_llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}, "delegations": 2},
        "ask": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}, "limits": [ASKED]},
        "bobs": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}, "holder": "bob"},
    },
}
_OWN = re.compile(r"[0-9a-f]{64}|[0-9a-f]{32}")


@contextmanager
def serving(folder: Path):
    """`tally serve` on a world, ready to be asked; it ended well unless the test killed it."""
    words = [*command("-w", folder, "serve"), "--json"]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, env=environment(), **piped) as process:
        try:
            assert process.stdout is not None and process.stdout.readline(), process.stderr.read().decode()
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=30)[1]
    assert process.returncode in (0, -signal.SIGTERM, -signal.SIGKILL), said.decode()
    assert not said, said.decode()


def made(folder: Path, clock: str = "given", world: object = WORLD) -> Path:
    """A world of the manifest above, or of another."""
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(world))
    assert run("-w", folder, "init", "--clock", clock).code == 0
    assert run("-w", folder, "apply", file).code == 0
    return folder


def plainly(ran, *names: Path):
    """Exit code and output, without what the kernel draws and where a world lies."""
    said = [json.loads(line) for line in ran.out.splitlines()]
    text = json.dumps(said, sort_keys=True)
    for name in names:
        text = text.replace(str(name), "WORLD")
    return ran.code, json.loads(_OWN.sub("DRAWN", text))
