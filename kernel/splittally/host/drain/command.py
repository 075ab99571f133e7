"""A runner that is a program: the job goes in as JSON, the result comes out as JSON.

Rule 1. A line `{"accrue_usd": ...}` on its standard output adds to the cost while it runs; the rest of the
        output is the result.
Rule 2. An aborted run ends the program and what it started in its group; what it printed until then counts.
Rule 3. A program that ends with another code than 0 failed, whatever it printed.
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import IO, Any

from splittally.core.errors import InvalidInput
from splittally.host.drain.jobs import FAILED, Job
from splittally.host.drain.results import BAD_RESULT, CRASH, TIMEOUT
from splittally.host.drain.run import Run, RunAborted

ACCRUE = "accrue_usd"
TOLD = ("id", "lane_id", "priority", "est_cost_usd", "failure_class", "claims", "payload")
OUTPUT_CHARACTERS_MAX = 16 * 2**20


class CommandRunner:
    """Runs `command` for each job, at most `timeout_s` seconds where it is given."""

    def __init__(self, command: Sequence[str], timeout_s: float | None = None) -> None:
        if not command:
            raise InvalidInput("the runner is a command such as `python run_job.py`", field="runner")
        self._command = list(command)
        self._timeout_s = timeout_s

    def __call__(self, job: Job, run: Run) -> Mapping[str, Any]:
        """What the program brought back for `job`."""
        told = json.dumps({name: job[name] for name in TOLD} | {"est_cost_usd": job.estimate_text})
        pipe = subprocess.PIPE
        with subprocess.Popen(
            self._command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8", start_new_session=True
        ) as child:
            assert child.stdin is not None and child.stdout is not None
            run.on_abort(lambda: _end(child))
            with self._limited(run):
                telling = threading.Thread(target=_say, args=(child.stdin, told), daemon=True)
                try:
                    telling.start()
                    output = _heard(child.stdout, run)
                    code = child.wait()
                finally:
                    _end(child)
                    telling.join()
        return _result(output, code, run)

    @contextlib.contextmanager
    def _limited(self, run: Run) -> Any:
        timer = None
        if self._timeout_s is not None:
            timer = threading.Timer(self._timeout_s, run.abort, (TIMEOUT,))
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()


def _say(stream: IO[str], text: str) -> None:
    with contextlib.suppress(OSError, ValueError), stream:
        stream.write(text + "\n")  # a program that does not read its job is not at fault


def _heard(stream: IO[str], run: Run) -> str:
    """The output without the lines that accrue cost; what an aborted run printed is kept."""
    kept: list[str] = []
    size = 0
    for line in stream:
        cost = _accrued(line)
        if cost is not None:
            with contextlib.suppress(RunAborted):  # the abort ends the program, and with it the stream
                run.accrue(cost)
        elif size + len(line) <= OUTPUT_CHARACTERS_MAX:
            size += len(line)
            kept.append(line)
    return "".join(kept)


def _accrued(line: str) -> object:
    if ACCRUE not in line:
        return None
    try:
        said = json.loads(line, parse_float=Decimal)
    except ValueError:
        return None
    return said[ACCRUE] if isinstance(said, dict) and set(said) == {ACCRUE} else None


def _result(output: str, code: int, run: Run) -> Mapping[str, Any]:
    try:
        result = json.loads(output, parse_float=Decimal)
    except ValueError:
        result = None
    is_result = isinstance(result, dict)
    if code != 0 or run.aborted_by is not None:
        told = result if isinstance(result, dict) else {}
        return {"failure_class": CRASH, **told, "status": FAILED, "exit_code": code}
    return result if is_result else {"status": FAILED, "failure_class": BAD_RESULT}


def _end(child: "subprocess.Popen[str]") -> None:
    """Ends what is left of the program's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
