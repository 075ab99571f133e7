"""`log` and `show`: the frames themselves.

Rule 1. `log` is a change feed: whoever has seen frame N resumes with `--from N+1` and misses nothing.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.core.events import Decided, Noted, Released, Settled
from splittally.core.types import REFUSED_RECEIPT
from splittally.edge.arguments import require_frame
from splittally.edge.json_values import printable
from splittally.edge.moments import Moment
from splittally.edge.wording import Wording
from splittally.runtime.frame_documents import frame_json, type_of
from splittally.runtime.named import GRANTS, PRINCIPALS
from splittally.runtime.reader import Reader
from splittally.runtime.record import Record

from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.filters import by_name, by_outcome
from splittally_tools.cli.hashes import LOOK_UP, frames, intents, whole_or_sequence
from splittally_tools.cli.labelled import Labelled, Labels, by_label
from splittally_tools.cli.matching import WORDS, Wanted
from splittally_tools.cli.moments import since_option, until_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, console, emit, for_people, say, to_line, word
from splittally_tools.cli.session import Session, shared

POLL_SECONDS = 0.1


@click.command()
@shared
@since_option()
@until_option()
@by_name("--kind", WORDS, "Only frames with this command, event, effect kind, or `grant`, `money`.")
@by_name("--grant", GRANTS, "Only frames that speak of this grant.")
@by_name("--principal", PRINCIPALS, "Only frames that this principal caused.")
@by_outcome
@by_label
@click.option("--follow", is_flag=True, help="Go on with the frames that come.")
@click.option("--full", is_flag=True, help="Show long bytes, such as modules, in full.")
@click.pass_obj
def log(
    session: Session,
    since: Moment | None,
    until: Moment | None,
    kind: str | None,
    grant: str | None,
    principal: str | None,
    outcome: str | None,
    labels: Labels,
    follow: bool,
    full: bool,
) -> int:
    """The frames of the journal, one a line, oldest first."""
    is_person = for_people(session)
    wanted = Wanted(kind=kind, grant=grant, principal=principal, outcome=outcome)
    with reader_of(session) as reader, suppress(KeyboardInterrupt):
        labelled = Labelled(reader, labels, reader.frames_between(since, None).start if labels else 0)
        wording = reader.state.wording if is_person else Wording()
        for record in _feed(reader, since, until, follow):
            if not (labelled(record) and wanted(record)):
                continue
            if is_person:
                say(console(), _line(record, wording))
            else:
                sys.stdout.write(to_line(frame_json(record, brief=not full)) + "\n")
    return DONE


def _feed(reader: Reader, since: Moment | None, until: Moment | None, follow: bool) -> Iterator[Record]:
    """The frames from one moment to another, waiting for those that are not there yet when following."""
    start = reader.frames_between(since, until).start
    while True:
        stop = reader.frames_between(None, until).stop
        for record in reader.records(start, stop):
            yield record
            start = record.seq + 1
        is_over = stop is not None and start >= stop and (stop < reader.head.size or _is_frame(until))
        if is_over or not follow:
            return
        sys.stdout.flush()
        while reader.refresh().size <= start:
            time.sleep(POLL_SECONDS)


def _is_frame(moment: Moment | None) -> bool:
    """Whether a moment is a frame, which may be still to come, and no time, in which more frames may come."""
    return moment is not None and moment.seq is not None


def _line(record: Record, wording: Wording) -> str:
    """A frame in one line for people."""
    body = record.body
    told = []
    for event in body.out:
        match event:
            case Decided():
                codes = ",".join(finding.code for finding in event.findings)
                told.append(
                    f"{event.outcome} {wording.hash(event.intent_hash)}{f' ({codes})' if codes else ''}"
                )
            case Settled():
                usage = printable(wording.amounts(event.legs[0].usage)) if event.legs else ""
                told.append(f"settled {wording.hash(event.intent_hash)}, used {usage or 'nothing'}")
            case Released():
                told.append(f"released {wording.hash(event.intent_hash)} ({event.cause})")
            case Noted() if event.subject == REFUSED_RECEIPT:
                told.append(f"receipt of {wording.hash(event.intent_hash)} refused ({event.facts['code']})")
            case _:
                told.append(type_of(event))
    kinds = sorted({member.kind for member in getattr(body.command, "members", ())})
    what = " ".join([type_of(body.command), *kinds])
    return (
        f"{record.seq} at {wording.moment(body.at_ns)} {word(body.by)} {what}: {'; '.join(_shortened(told))}"
    )


def _shortened(told: list[str]) -> list[str]:
    most = 6
    return told if len(told) <= most else [*told[:most], f"and {len(told) - most} more"]


@click.command()
@shared
@click.argument("what", metavar="SEQ|HASH")
@click.option("--full", is_flag=True, help="Show long bytes, such as modules, in full.")
@click.pass_obj
def show(session: Session, what: str, full: bool) -> int:
    """One frame by its sequence or hash, or every frame that speaks of an intent, evidence included."""
    with reader_of(session) as reader:
        meant = whole_or_sequence(reader, what, intents, frames)
        found = [frame_json(record, not full, with_evidence=True) for record in _found(reader, meant)]
    if not found:
        text = "no frame has this hash or speaks of this intent"
        emit(session, {"frames": [], "message": text}, lambda out: say(out, f"{text}; {LOOK_UP}", "red"))
        return REFUSED
    document = found[0] if isinstance(meant, int) else {"frames": found}
    emit(session, document, lambda out: _show_frames(out, found))
    return DONE


def _found(reader: Reader, meant: str | int) -> list[Record]:
    if isinstance(meant, int):
        return [reader.record(require_frame(meant, reader.head.size))]
    if len(meant) != 64:
        raise InvalidInput(
            "say a sequence, or a hash: all 64 hex digits, or its first 4 or more", field="hash"
        )
    try:
        digest = bytes.fromhex(meant)
    except ValueError:
        raise InvalidInput("a hash is hex text", field="hash") from None
    seqs = reader.seqs(digest)
    if not seqs:
        seqs = tuple(seq for seq, hash_, _ in reader.entries() if hash_ == digest)
    return [reader.record(seq) for seq in seqs]


def _show_frames(out: Page, frames: list[dict[str, Any]]) -> None:
    for frame in frames:
        for name, value in frame.items():
            if name in ("command", "seen", "events"):
                say(out, f"{name}:", "bold")
                for item in value if isinstance(value, list) else [value]:
                    _show_item(out, item, 1)
            else:
                say(out, f"{name}: {word(value)}")


def _show_item(out: Page, item: dict[str, Any], depth: int) -> None:
    lead = "  " * depth
    say(out, f"{lead}{item.get('type', '-')}")
    for name, value in item.items():
        if name == "type":
            continue
        if isinstance(value, list) and value and isinstance(value[0], dict):
            say(out, f"{lead}  {name}:")
            for inner in value:
                _show_item(out, inner, depth + 2)
        else:
            say(out, f"{lead}  {name}: {word(value)}")
