"""The same questions in another process: a fresh interpreter, another hash seed, the reference sandbox.

`python -m splittally_tools.enforcers.other_process` reads `{"wasm": FILE, "questions": [hex]}` from standard
input and writes `[[hex or null, fault, fuel]]`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from splittally.core.abi import Fault
from splittally.core.errors import WorldError
from splittally.sandbox import ReferenceSandbox

from splittally_tools.enforcers.call import Asked, asked

SELF = "splittally_tools.enforcers.other_process"
SECONDS_MAX = 600


def asked_elsewhere(file: Path, questions: list[bytes]) -> list[Asked]:
    """Each question asked of the module in `file` by a process of its own."""
    told = json.dumps({"wasm": str(file.absolute()), "questions": [each.hex() for each in questions]})
    surroundings = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONHASHSEED": "1",
    }
    command = [sys.executable, "-m", SELF]
    done = subprocess.run(
        command,
        input=told,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if done.returncode != 0:
        raise WorldError(f"a second interpreter could not be asked: {done.stderr.strip()[-300:]}")
    return [
        Asked(question, Fault(fault) if fault else bytes.fromhex(answer), fuel)
        for question, (answer, fault, fuel) in zip(questions, json.loads(done.stdout), strict=True)
    ]


def main() -> None:
    told = json.load(sys.stdin)
    sandbox = ReferenceSandbox()
    module = sandbox.load(Path(told["wasm"]).read_bytes())
    rows: list[list[object]] = []
    for question in told["questions"]:
        _, answer, fuel = asked(sandbox, module, bytes.fromhex(question))
        rows.append(["", answer.cls, fuel] if isinstance(answer, Fault) else [answer.hex(), "", fuel])
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
