"""What is done to one intent or reservation: decide, outcome, dispatch, release, approve, ...; and tick."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace
from splittally import runtime
from splittally.core.limits import ATTEMPT_BYTES, TIME_NS_MAX
from splittally.core.native.approvals import APPROVE, REJECT
from splittally.edge.answer_lines import answer_json, finding_json
from splittally.edge.hashes import require_hash
from splittally.edge.records import Answer, Decision
from splittally.edge.wording import Wording
from splittally.runtime.reader import Reader
from splittally.runtime.rows import Row

from splittally_tools.cli.answers import code_of_answer, reason, show_answer
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.hashes import LOOK_UP, intent_in, intent_of
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.labelled import shown_labels
from splittally_tools.cli.moments import expiry_of
from splittally_tools.cli.open_world import reader_of, writer_of
from splittally_tools.cli.output import Page, emit, say, word
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.streams import FILE, answer_stream, intent_reader, opened, refused_intent

ANSWERED = {APPROVE: "approved", REJECT: "rejected"}
_HASH = click.argument("intent_hash", metavar="HASH")


def _attempt(context: click.Context, option: click.Parameter, text: str | None) -> bytes | None:
    """The 16 bytes of an attempt, stated as hex."""
    if text is None:
        return None
    try:
        attempt = bytes.fromhex(text)
    except ValueError:
        attempt = b""
    if len(attempt) != ATTEMPT_BYTES:
        raise click.BadParameter(f"an attempt is {2 * ATTEMPT_BYTES} hex digits", context, option)
    return attempt


@click.command()
@shared
@FILE
@click.pass_obj
def decide(session: Session, file: Path) -> int:
    """What `submit` would answer to each line of FILE now. Nothing is written, nobody is kept waiting."""
    with opened(file) as stream, reader_of(session) as reader:
        asked = _Dry(reader, session.principal)
        return answer_stream(session, stream, asked, intent_reader(session, None), refused_intent)


class _Dry:
    """A world that is asked what it would answer."""

    def __init__(self, reader: Reader, principal: str) -> None:
        self._reader = reader
        self._principal = principal

    def run(self, requests: list["runtime.At"]) -> list[Any]:
        """What each would be answered if it were asked alone."""
        return [_dry(self._reader.fork(self._principal).run([request])[0]) for request in requests]

    def wording(self) -> Wording:
        """How its values are said to people."""
        return self._reader.state.wording


def _dry(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_dry(each) for each in answer]
    if isinstance(answer, Decision):
        return replace(answer, seq=None, attempt=None)
    return answer


@click.command()
@shared
@_HASH
@click.pass_obj
def outcome(session: Session, intent_hash: str) -> int:
    """What became of an intent: its decision, its reservation, and what ended it."""
    with reader_of(session) as reader:
        intent_hash = intent_in(reader, intent_hash)
        row, wording = reader.outcome(intent_hash), reader.state.wording
    if row is None:
        return not_found(session, intent_hash)
    emit_outcome(session, row, wording)
    return DONE


def emit_outcome(session: Session, row: Row, wording: Wording) -> None:
    """Says what became of an intent."""
    emit(session, outcome_json(row), lambda out: _show_outcome(out, row, wording))


def outcome_json(row: Row) -> dict[str, Any]:
    """An outcome as JSON."""
    return {**row, "findings": [finding_json(finding) for finding in row["findings"]]}


def not_found(session: Session, intent_hash: str) -> int:
    """Says that no frame decides an intent."""
    digest = require_hash(intent_hash).hex()
    text = "no frame decides this intent; what was answered without a sequence may be asked again"
    document = {"intent_hash": digest, "status": "not_found", "message": text}

    def show(out: Page) -> None:
        say(out, text, "red")
        say(out, f"  next: {LOOK_UP}", "bold")

    emit(session, document, show)
    return REFUSED


def _show_outcome(out: Page, row: Row, wording: Wording) -> None:
    say(out, f"{row['outcome']} {row['kind']} under {row['grant']} for {row['principal']} (seq {row['seq']})")
    for finding in row["findings"]:
        say(out, f"  {reason(finding, wording)}")
    if row["labels"]:
        say(out, f"  labelled {shown_labels(row['labels'])}")
    if row["reserve"]:
        say(out, f"  reserved {wording.amounts(row['reserve'])}")
    if row["status"]:
        phase = f", {row['phase']}" if row["phase"] else ""
        cause = f" ({row['cause']})" if row["cause"] else ""
        ended = f" at seq {row['ended_seq']}" if row["ended_seq"] is not None else ""
        say(out, f"  {row['status']}{phase}{cause}{ended}")
    show_answers(out, row, wording)
    if row["usage"] is not None:
        used, charged = (wording.amounts(row[name]) or "nothing" for name in ("usage", "charged"))
        say(out, f"  used {used}, charged {charged}")


def show_answers(out: Page, row: Mapping[str, Any], wording: Wording) -> None:
    """Who answered an approval, to which reasons, when, and who is waited for."""
    for answer in row["answers"]:
        reasons = f" of {', '.join(map(word, answer['reasons']))}" if answer["reasons"] else ""
        said = f"{ANSWERED.get(answer['answer'], answer['answer'])}{reasons} by {word(answer['by'])}"
        say(out, f"  {said}, seq {answer['seq']} at {wording.moment(answer['at_ns'])}")
    for ask in row["waits_for"]:
        reason, who = ask["reason"], " or ".join(map(word, ask["approvers"])) or "anybody who may answer"
        say(out, f"  waits for {ask['missing']} of {who}{f' ({word(reason)})' if reason else ''}")


@click.command()
@shared
@_HASH
@click.option(
    "--cause",
    type=click.Choice(["cancel", "not_dispatched", "governance"]),
    default="cancel",
    show_default=True,
    help="Why it ends.",
)
@click.option("--order", help="The order behind it; needed for governance.")
@click.option("--attempt", callback=_attempt, metavar="HEX", help="Who dispatched it, where somebody did.")
@click.pass_obj
def release(session: Session, intent_hash: str, cause: str, order: str | None, attempt: bytes | None) -> int:
    """End a reservation without a receipt."""
    if cause == "governance" and not order:
        raise click.UsageError("governance needs `--order`, which names the order behind it")
    intent_hash = intent_of(session, intent_hash)
    with writer_of(session) as kernel, whole():
        answer = kernel.release(intent_hash, cause, order, now_ns=session.now_ns, attempt=attempt)
        wording = kernel.state.wording
    return _answered(session, answer, wording)


@click.command()
@shared
@_HASH
@click.option(
    "--attempt", callback=_attempt, required=True, metavar="HEX", help="Who starts it: 32 hex digits."
)
@click.pass_obj
def dispatch(session: Session, intent_hash: str, attempt: bytes) -> int:
    """Start an effect that was allowed; the first attempt wins, and others are refused."""
    intent_hash = intent_of(session, intent_hash)
    with writer_of(session) as kernel, whole():
        answer = kernel.dispatch(intent_hash, attempt, now_ns=session.now_ns)
        wording = kernel.state.wording
    return _answered(session, answer, wording)


@click.command()
@shared
@_HASH
@click.option(
    "--expires", metavar="DAY|TIME|+SPAN", help="The new expiry: a day, a time, or a span from now, +2h."
)
@click.option("--expires-ns", type=click.IntRange(1, TIME_NS_MAX), help="The same in logical time.")
@click.pass_obj
def extend(session: Session, intent_hash: str, expires: str | None, expires_ns: int | None) -> int:
    """Move a reservation's expiry, at most to what its grants allow."""
    if (expires is None) == (expires_ns is None):
        raise click.UsageError("say `--expires` or `--expires-ns`")
    intent_hash = intent_of(session, intent_hash)
    with writer_of(session) as kernel, whole():
        until_ns = expires_ns or expiry_of(kernel, str(expires), session.now_ns)
        answer = kernel.extend(intent_hash, until_ns, now_ns=session.now_ns)
        wording = kernel.state.wording
    return _answered(session, answer, wording)


@click.command()
@shared
@_HASH
@click.option("--reason", "reasons", multiple=True, help="Answer this reason alone; else all that are yours.")
@click.pass_obj
def approve(session: Session, intent_hash: str, reasons: tuple[str, ...]) -> int:
    """Approve an intent that waits; approving again changes nothing. It may wait for others, too."""
    intent_hash = intent_of(session, intent_hash)
    with writer_of(session) as kernel, whole():
        answer = kernel.approve(intent_hash, now_ns=session.now_ns, reasons=reasons or None)
        wording = kernel.state.wording
    return _answered(session, answer, wording)


@click.command()
@shared
@_HASH
@click.pass_obj
def reject(session: Session, intent_hash: str) -> int:
    """Reject an intent that waits, which ends its reservation."""
    intent_hash = intent_of(session, intent_hash)
    with writer_of(session) as kernel, whole():
        answer = kernel.reject(intent_hash, now_ns=session.now_ns)
        wording = kernel.state.wording
    return _answered(session, answer, wording)


@click.command()
@shared
@click.pass_obj
def tick(session: Session) -> int:
    """Work through what is due by now: expiries, approvals, unknowns, windows."""
    with writer_of(session) as kernel, whole():
        frames = kernel.tick(now_ns=session.now_ns)
        document = {"frames": frames, "seq": kernel.state.seq - 1, "now_ns": kernel.state.now_ns}
        now = kernel.state.wording.moment(kernel.state.now_ns)
    emit(session, document, lambda out: say(out, f"{frames} frames, logical time {now}"))
    return DONE


def _answered(session: Session, answer: Answer, wording: Wording) -> int:
    emit(session, answer_json(answer), lambda out: show_answer(out, answer, wording))
    return code_of_answer(answer)
