"""A script as solver: any program that reads a budget as JSON and prints cells.

Rule 1. The program runs here, before anything is asked of the kernel; no replay runs it.
Rule 2. Its id is its name and the hash of its bytes, so what it was then can be told from what it is now.
Rule 3. It has `SCRIPT_SECONDS_MAX` and a status to end with; one that fails proposes nothing.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from splittally.core.errors import InvalidInput
from splittally.core.hashing import hash_payload
from splittally.core.limits import NAME_BYTES_MAX
from splittally.edge.json_values import json_form
from splittally.host.solvers.proposals import Proposal, table_in

SCRIPT_SECONDS_MAX = 60.0
DIGITS = 16  # of the hash in the id: 64 bits tell two versions of one's own script apart
SAID_MAX = 300  # characters of what a failed script said


def script_id(file: Path) -> str:
    """`script:NAME@VERSION` of the program in a file."""
    version = hash_payload(file.read_bytes()).hex()[:DIGITS]
    room = NAME_BYTES_MAX - len(f"script:@{version}")
    return f"script:{file.name.encode()[:room].decode('utf-8', 'ignore')}@{version}"


def ask_script(file: Path, question: Mapping[str, Any]) -> Proposal:
    """What the program proposes; `InvalidInput` where it fails, takes too long, or prints no table."""
    program = [sys.executable, str(file)] if file.suffix == ".py" else [str(file.resolve())]
    solver = script_id(file)
    try:
        done = subprocess.run(
            program,
            input=json.dumps(json_form(question)),
            capture_output=True,
            encoding="utf-8",
            timeout=SCRIPT_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(
            f"`{file}` did not end within {SCRIPT_SECONDS_MAX:.0f} s", field="script"
        ) from error
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"`{file}` cannot be run: {error}", field="script") from error
    if done.returncode:
        said = done.stderr.strip()[-SAID_MAX:]
        raise InvalidInput(f"`{file}` ended with status {done.returncode}: {said}", field="script")
    try:
        cells = table_in(done.stdout)
    except InvalidInput as error:
        raise InvalidInput(f"`{file}` printed no table: {error}", field="script") from error
    return Proposal(
        solver=solver,
        cells=cells,
        input=dict(question["input"]),
        input_hash=bytes.fromhex(question["input_hash"]),
    )
