"""A runner that is a program: the job goes in as JSON, the result comes out as JSON.

Rule 1. A line `{"accrue_usd": ...}` on its standard output adds to the cost while it runs; the rest of the
        output is the result.
Rule 2. An aborted run ends the program and what it started in its group; what it printed until then counts.
Rule 3. A program that ends with another code than 0 failed, whatever it printed. Its code and the last lines
        of its standard error are kept with the job.
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
from splittally.host.drain.programs import EXIT_CODE, STDERR, Listening, NoProgram, require_program
from splittally.host.drain.results import BAD_RESULT, CRASH, TIMEOUT
from splittally.host.drain.run import Run, RunAborted

ACCRUE = "accrue_usd"
TOLD = ("id", "lane_id", "priority", "est_cost_usd", "failure_class", "claims", "payload")
OUTPUT_CHARACTERS_MAX = 16 * 2**20
LAST_WORDS_S = 1.0  # for what a program that was left behind still writes; its group is ended by then


class CommandRunner:
    """Runs `command` for each job, at most `timeout_s` seconds where it is given.

    `NoProgram` where it cannot be started, here or when a job would be its first.
    """

    def __init__(self, command: Sequence[str], timeout_s: float | None = None) -> None:
        if not command:
            raise InvalidInput("the runner is a command such as `python run_job.py`", field="runner")
        require_program(command)
        self._command = list(command)
        self._timeout_s = timeout_s

    def __call__(self, job: Job, run: Run) -> Mapping[str, Any]:
        """What the program brought back for `job`."""
        told = json.dumps({name: job[name] for name in TOLD} | {"est_cost_usd": job.estimate_text})
        with self._started() as child:
            assert child.stdin is not None and child.stdout is not None and child.stderr is not None
            run.on_abort(lambda: _end(child))
            listening = Listening(child.stderr)
            with self._limited(run):
                telling = threading.Thread(target=_say, args=(child.stdin, told), daemon=True)
                try:
                    telling.start()
                    output = _heard(child.stdout, run)
                    code = child.wait()
                finally:
                    _end(child)
                    telling.join()
            ending = {EXIT_CODE: code, STDERR: listening.lines(LAST_WORDS_S)}
        return _result(output, ending, run)

    def _started(self) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(
                self._command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except OSError as error:
            text = f"the runner `{self._command[0]}` cannot be started: {error.strerror}"
            raise NoProgram(text, program=self._command[0]) from error

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


def _say(stream: IO[bytes], text: str) -> None:
    with contextlib.suppress(OSError, ValueError), stream:
        stream.write(text.encode() + b"\n")  # a program that does not read its job is not at fault


def _heard(stream: IO[bytes], run: Run) -> str:
    """The output without the lines that accrue cost; what an aborted run printed is kept."""
    kept: list[str] = []
    size = 0
    for line in map(bytes.decode, stream):
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


def _result(output: str, ending: Mapping[str, Any], run: Run) -> Mapping[str, Any]:
    try:
        result = json.loads(output, parse_float=Decimal)
    except ValueError:
        result = None
    told = result if isinstance(result, dict) else None
    if ending[EXIT_CODE] != 0 or run.aborted_by is not None:
        return {"failure_class": CRASH, **(told or {}), "status": FAILED, **ending}
    return {"status": FAILED, "failure_class": BAD_RESULT, **ending} if told is None else told


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Ends what is left of the program's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
