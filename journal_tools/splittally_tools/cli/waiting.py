"""`wait`: for the answer to an approval, or for the end of an intent, beside whoever writes the world.

Rule 1. Nobody is kept from writing by it: a service is asked to wait, else the journal is read again where it
        grew. What falls due meanwhile, such as the end of an approval, is worked through at its time.
Rule 2. A service that ends, or begins, changes nothing: each slice of the wait finds out anew whom to ask.
Rule 3. The exit code is 0 once what was waited for came, 1 where time was up before, or nothing is known.
"""

import time
from contextlib import suppress

import click
from splittally.core.errors import WorldError
from splittally.edge.hashes import require_hash
from splittally.runtime.clock import GIVEN
from splittally.runtime.reader import open_reader
from splittally.runtime.rows import Row
from splittally.wire.calls import calls_to
from splittally.wire.errors import AnswerLost, ConnectionLost, NotServed, RefusedByService
from splittally.wire.exchanges import is_awaited

from splittally_tools.cli.effects import emit_outcome, not_found
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.hashes import intent_of
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.open_world import reader_of, writer_of
from splittally_tools.cli.session import Session, shared

SLICE_SECONDS = 5.0  # after which it is asked anew whether somebody serves the world
LOOK_SECONDS = 0.1


@click.command()
@shared
@click.argument("intent_hash", metavar="HASH")
@click.option("--timeout", type=click.FloatRange(0), metavar="S", help="So many seconds at most.")
@click.option("--ended", is_flag=True, help="Wait for its end, not only for the answer to its approval.")
@click.pass_obj
def wait(session: Session, intent_hash: str, timeout: float | None, ended: bool) -> int:
    """Wait until an intent no longer waits for approval, or has ended, and say what became of it."""
    digest = intent_of(session, intent_hash)
    require_hash(digest)
    waited_for(session, digest, timeout, ended)
    with reader_of(session) as reader:
        row, wording = reader.outcome(digest), reader.state.wording
    if row is None:
        return not_found(session, digest)
    emit_outcome(session, row, wording)
    return REFUSED if is_awaited(row, ended) else DONE


def waited_for(session: Session, digest: str, timeout_s: float | None, ended: bool) -> None:
    """Returns when an intent no longer waits, is unknown, or time is up."""
    until = float("inf") if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left_s = max(0.0, min(SLICE_SECONDS, until - time.monotonic()))
        try:
            with calls_to(session.folder) as calls:
                row = calls.wait(digest, left_s, ended=ended)
        except (NotServed, ConnectionLost, AnswerLost, RefusedByService):
            row = _read_until(session, digest, left_s, ended)
        if row is None or not is_awaited(row, ended) or time.monotonic() >= until:
            return


def _read_until(session: Session, digest: str, left_s: float, ended: bool) -> Row | None:
    """The outcome once it is awaited no more, or after some seconds, in a world that nobody serves."""
    until = time.monotonic() + left_s
    with open_reader(session.folder) as reader:
        row, size = reader.outcome(digest), reader.head.size
        if row is None or not is_awaited(row, ended):
            return row
        agenda = reader.folded.ledger.agenda[:1] if reader.folded.clock != GIVEN else []
        while time.monotonic() < until and reader.refresh().size == size:
            if agenda and agenda[0].due_ns <= time.time_ns():
                _work_through(session)
                break
            time.sleep(LOOK_SECONDS)
    return row


def _work_through(session: Session) -> None:
    """What fell due is recorded, unless somebody else writes, who does it then."""
    with suppress(WorldError), writer_of(session) as kernel, whole():
        kernel.tick()
