"""`submit` and `settle`: lines in, one answer a line out, in the same order.

Rule 1. Every line gets exactly one answer line; one that cannot be read gets an error line with its
        number, and the rest goes on.
Rule 2. Lines that are here together share a commit; their answers are written once it is durable.
Rule 3. The exit code is 1 when any line was refused.
Rule 4. The world is held only while lines come (`turn.py`).
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import click
from splittally import runtime
from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput, SplittallyError
from splittally.core.findings import Finding
from splittally.core.hashing import hash_key
from splittally.core.limits import GROUP_MAX, LINE_BYTES_MAX
from splittally.edge import answer_lines
from splittally.edge.answer_lines import answer_json, finding_of
from splittally.edge.request_lines import read_intents, read_receipt
from splittally.edge.wording import Wording

from splittally_tools.cli.answers import code_of_answer, reason, show_answer
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.lines import Line, Lines
from splittally_tools.cli.output import console, for_people, say, to_line
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.turn import Turns

PIECE_BYTES = 1 << 20
Read = Callable[[Line], "runtime.At"]


class Asked(Protocol):
    """A world that a stream asks."""

    def run(self, requests: "list[runtime.At]") -> list[Any]:
        """The answers to these requests, in order."""

    def wording(self) -> Wording:
        """How its values are said to people."""


class Refused(NamedTuple):
    """A line that was not asked at all: its number, and the finding."""

    number: int
    finding: Finding


Told = Callable[[Refused], dict[str, Any]]  # the answer line of such a line


class InputFile(click.Path):
    """A file of lines, or `-`; a line that stands in its place is told how it gets in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; a usage error where there is no such file."""
        if str(value).lstrip().startswith("{"):
            self.fail("this is a line and no file: `echo '{...}' | tally ...` sends it", param, ctx)
        return super().convert(value, param, ctx)


FILE = click.argument(
    "file", type=InputFile(exists=True, dir_okay=False, allow_dash=True, path_type=Path), default="-"
)


@click.command()
@shared
@FILE
@click.option(
    "--keys",
    type=click.Choice(["from-line"]),
    help="Keys from the file's digest and the line's number, so that a file can be run again.",
)
@click.pass_obj
def submit(session: Session, file: Path, keys: str | None) -> int:
    """Ask for the effects in FILE (standard input), one a line; a decision comes back for each.

    \b
    {"kind": "llm.generate", "params": {...}, "grant": "cap_llm"}
    optional: origin, idempotency_key (64 hex digits), expires_ns, attempt, now_ns
    {"all": [intent, ...]}    one record, all or nothing; the answer line is {"all": [...]}
    {"first": [intent, ...]}  several offers, the first allow wins
    """
    with opened(file, is_read_twice=keys is not None) as stream, Turns(session) as turns:
        read = intent_reader(session, _digest(stream) if keys else None)
        return answer_stream(session, stream, turns, read, refused_intent, turns)


@click.command()
@shared
@FILE
@click.pass_obj
def settle(session: Session, file: Path) -> int:
    """Report the receipts in FILE (standard input), one a line; a settlement comes back for each.

    \b
    {"intent_hash": "...", "status": "ok", "adapter_id": "me", "payload": {...}}
    status is ok, error, timeout, or unknown when nobody can tell
    optional: payload_cbor (hex) instead of payload, cost_cents, pays_to, now_ns
    """
    with opened(file) as stream, Turns(session) as turns:
        return answer_stream(
            session,
            stream,
            turns,
            lambda line: read_receipt(line.text or b"", session.now_ns),
            _refused_receipt,
            turns,
        )


def answer_stream(
    session: Session, stream: IO[bytes], asked: Asked, read: Read, refused: Told, turns: Turns | None = None
) -> int:
    """Answers every line of a stream; 1 when one was refused. A world that is written is held in `turns`."""
    is_person = for_people(session)
    code = DONE
    for batch in Lines(stream, turns.end if turns else None).batches(GROUP_MAX):
        if turns is not None:
            turns.begin()
        with whole():
            for told in _answers(asked.run, batch, read):
                code = max(code, _code(told))
                if is_person:
                    _show(told, asked.wording())
                else:
                    sys.stdout.write(
                        to_line(refused(told) if isinstance(told, Refused) else _document(told)) + "\n"
                    )
            sys.stdout.flush()
    return code


def _answers(run: Callable[[list["runtime.At"]], list[Any]], batch: list[Line], read: Read) -> Iterator[Any]:
    """Each line's answer, or `Refused` where it was not asked."""
    asked: list[runtime.At | SplittallyError] = []
    for line in batch:
        try:
            if line.text is None:
                raise InvalidInput(f"a line has at most {LINE_BYTES_MAX} bytes", bytes_max=LINE_BYTES_MAX)
            asked.append(read(line))
        except SplittallyError as error:
            asked.append(error)
    answers = iter(run([request for request in asked if isinstance(request, runtime.At)]))
    for line, request in zip(batch, asked, strict=True):
        answer = next(answers) if isinstance(request, runtime.At) else request
        yield Refused(line.number, finding_of(answer)) if isinstance(answer, SplittallyError) else answer


def _code(told: Any) -> int:
    if isinstance(told, Refused):
        return REFUSED
    return max(code_of_answer(answer) for answer in (told if isinstance(told, list) else [told]))


def _show(told: Any, wording: Wording) -> None:
    if isinstance(told, Refused):
        say(console(), f"line {told.number}: {reason(told.finding, wording)}", "red")
    else:
        for answer in told if isinstance(told, list) else [told]:
            show_answer(console(), answer, wording)


def _document(answer: Any) -> dict[str, Any]:
    if isinstance(answer, list):
        return {"all": [answer_json(each) for each in answer]}
    return answer_json(answer)


def refused_intent(told: Refused) -> dict[str, Any]:
    """The answer line of an intent that was not asked."""
    return {"line": told.number, **answer_lines.refused_intent(told.finding)}


def _refused_receipt(told: Refused) -> dict[str, Any]:
    return {"line": told.number, **answer_lines.refused_change(told.finding)}


# --- files and keys -----------------------------------------------------------------------------


def intent_reader(session: Session, digest: bytes | None) -> Read:
    """Reads intents and groups; with a file's digest, a line without a key gets one of its own."""

    def read(line: Line) -> "runtime.At":
        def key_of(place: int) -> bytes | None:
            return None if digest is None else hash_key(encode([digest, line.number, place]))

        return read_intents(line.text or b"", session.now_ns, key_of)

    return read


def opened(file: Path, is_read_twice: bool = False) -> IO[bytes]:
    """A file, or standard input; kept aside when it must be read twice."""
    if str(file) != "-":
        return open(file, "rb")
    stream = sys.stdin.buffer
    if not is_read_twice:
        return stream
    kept = tempfile.TemporaryFile()  # noqa: SIM115
    while piece := stream.read(PIECE_BYTES):
        kept.write(piece)
    kept.seek(0)
    return kept


def _digest(stream: IO[bytes]) -> bytes:
    digest = sha256()
    while piece := stream.read(PIECE_BYTES):
        digest.update(piece)
    stream.seek(0)
    return digest.digest()
