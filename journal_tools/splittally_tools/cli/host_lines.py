"""`host`: requests of any kind and calls, a line of JSON each, for a program that has nothing else.

    {"id": 1, "kind": "mail.send", "grant": "mail", ...}    -> {"id": 1, "outcome": "allow", ...}
    {"id": 2, "intent_hash": "c3...", "status": "ok"}       -> {"id": 2, "status": "settled", ...}
    {"id": 3, "call": "outcome", "intent_hash": "c3..."}    -> {"id": 3, "status": "settled", ...}

Rule 1. Every line gets one answer line, in order: the document that a service answers, and the `id` of the
        line where it has one. What a call is refused is `{"problem": {...}}`.
Rule 2. Lines that are here together share a commit, up to a call; their answers are written, and pushed out,
        once it is durable. A line that cannot be read gets an answer with its number, and the rest goes on.
Rule 3. Without a service the same table of operations is asked in this process, and the world is held only
        while lines come (`turn.py`). While a call waits it is given back.
Rule 4. The end of the input is the end, with exit code 0: what was refused stands in the answers.
"""

import asyncio
import os
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import click
from splittally import runtime
from splittally.core.errors import InvalidInput, SplittallyError
from splittally.core.limits import GROUP_MAX, LINE_BYTES_MAX
from splittally.edge.answer_lines import told
from splittally.edge.json_values import parse_json
from splittally.host.service.fields import WAIT_SECONDS_MAX
from splittally.host.service.operations import called
from splittally.host.service.problems import Problem, problem_of
from splittally.host.service.service import Service
from splittally.runtime.callers import Caller

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.hashes import is_whole
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.lines import Line, Lines
from splittally_tools.cli.output import to_line
from splittally_tools.cli.served_world import ServedWorld
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.streams import FILE, opened
from splittally_tools.cli.turn import Turns
from splittally_tools.cli.waiting import waited_for
from splittally_tools.cli.writing import Writing

CALL, WAIT = "call", "wait"
WAIT_SECONDS = 30.0
ANSWER_SECONDS = 2 * WAIT_SECONDS_MAX
Document = dict[str, Any]


@click.command()
@shared
@FILE
@click.pass_obj
def host(session: Session, file: Path) -> int:
    """Answer the requests and calls in FILE (standard input), a JSON line each, as they come.

    \b
    an intent, a group, a receipt, a dispatch, a release, an extension: as `submit`, `settle` and /v1/run
    {"call": "outcome", "intent_hash": "..."}: also wait, approve, decide, native, grants, spend, apply, ...
    with an "id", which comes back in the answer
    """
    with opened(file) as stream, HostTurns(session) as turns:
        for batch in Lines(stream, turns.end).batches(GROUP_MAX):
            asked = [_read(session, line) for line in batch]
            for is_call, several in groupby(asked, lambda each: each.is_call):
                turns.begin()
                asked_now = list(several)
                _write(map(turns.called, asked_now) if is_call else turns.run_documents(asked_now))
    return DONE


class Asked(NamedTuple):
    """What a line asks: its document, or the error that it has none, and the `id` where it has one."""

    number: int
    document: Any
    identity: Document

    @property
    def is_call(self) -> bool:
        """Whether it names an operation."""
        return isinstance(self.document, dict) and CALL in self.document

    @property
    def is_unread(self) -> bool:
        """Whether it is no document at all."""
        return isinstance(self.document, SplittallyError)

    def answered(self, answer: Document) -> Document:
        """The answer as it is written."""
        return {**self.identity, **({"line": self.number} if self.is_unread else {}), **answer}


def _read(session: Session, line: Line) -> Asked:
    try:
        if line.text is None:
            raise InvalidInput(f"a line has at most {LINE_BYTES_MAX} bytes", bytes_max=LINE_BYTES_MAX)
        document = parse_json(line.text)
    except SplittallyError as error:
        return Asked(line.number, error, {})
    if not isinstance(document, dict):
        return Asked(line.number, document, {})
    identity = {"id": document.pop("id")} if "id" in document else {}
    if session.now_ns is not None and CALL not in document:
        document.setdefault("now_ns", session.now_ns)
    return Asked(line.number, document, identity)


def _write(answers: Iterable[Document]) -> None:
    for answer in answers:
        sys.stdout.write(to_line(answer) + "\n")
        sys.stdout.flush()


class HostTurns(Turns):
    """Turns in which documents are answered: by the world's service, or by the same table here."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._runner: asyncio.Runner | None = None
        self._service: Service | None = None

    def end(self) -> None:
        """Give the world back."""
        runner, service, self._runner, self._service = self._runner, self._service, None, None
        if runner is not None and service is not None:
            with whole(), runner:
                runner.run(service.close())
        super().end()

    def run_documents(self, several: list[Asked]) -> list[Document]:
        """The answers to requests, in order."""
        with whole():
            answers = iter(self._run([each.document for each in several if not each.is_unread]))
        return [each.answered(told(each.document) if each.is_unread else next(answers)) for each in several]

    def called(self, asked: Asked) -> Document:
        """The answer to a call."""
        document = asked.document
        if document[CALL] == WAIT and isinstance(self.kernel, runtime.Kernel):
            document = self._wait(document)
        return asked.answered(self._called(document))

    def _wait(self, document: Document) -> Document:
        """Wait while others may write; the call that then tells how things are."""
        timeout_s, digest = document.get("timeout_s", WAIT_SECONDS), document.get("intent_hash")
        is_time = isinstance(timeout_s, int | float) and 0 <= timeout_s <= WAIT_SECONDS_MAX
        if not (is_time and is_whole(digest)):
            return document  # the call itself says what is wrong with it
        self.end()
        waited_for(self._session, str(digest), timeout_s, document.get("ended") is True)
        self.begin()
        return {**document, "timeout_s": 0}

    def _run(self, documents: list[Document]) -> list[Document]:
        kernel = self.kernel
        if not documents:
            return []
        if isinstance(kernel, ServedWorld):
            return kernel.in_json.told_each(documents)
        try:
            runner, service, caller = self._here(kernel)
            return runner.run(service.run(caller, documents))
        except Problem as problem:
            return [{"problem": problem.document()}] * len(documents)

    def _called(self, document: Document) -> Document:
        kernel = self.kernel
        if isinstance(kernel, ServedWorld):
            answer: Document = kernel.in_json.told(document, ANSWER_SECONDS)
            return answer
        try:
            runner, service, caller = self._here(kernel)
            return runner.run(called(service, caller, document))
        except (Problem, SplittallyError) as error:
            problem = error if isinstance(error, Problem) else problem_of(error)
            return {"problem": problem.document()}

    def _here(self, kernel: Writing) -> tuple[asyncio.Runner, Service, Caller]:
        """A service without a socket, over the world that is open here."""
        if self._runner is None or self._service is None:
            assert isinstance(kernel, runtime.Kernel)
            self._runner, self._service = asyncio.Runner(), Service(kernel, os.getuid())
        caller = self._service.caller_of(os.getuid(), None, self._session.principal)
        return self._runner, self._service, caller
