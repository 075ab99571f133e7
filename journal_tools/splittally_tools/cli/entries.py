"""`ledger --entries`: the lines of the ledger, two for each posting, a debit and a credit.

Rule 1. A line is never changed or taken away; what corrects it is another line.
Rule 2. What is in flight has no account: such a side names the intent.
"""

import sys
from collections.abc import Iterator
from typing import Any

from splittally.edge.moments import Moment
from splittally.edge.wording import Wording, short_hash
from splittally.runtime.lineage.causes import LATE, REFUND, RELEASE, SETTLE, postings_of
from splittally.runtime.lineage.sources import RULE
from splittally.runtime.named import KINDS, Names
from splittally.runtime.reader import Reader

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.labelled import Labelled, Labels
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, console, say, to_line, word
from splittally_tools.cli.session import Session

CAUSES = Names(
    "kind",
    lambda state: {*KINDS.of_state(state), SETTLE, LATE, RELEASE, REFUND, RULE},
    KINDS.of_record,
)


def list_entries(
    session: Session,
    wanted: dict[str, str | None],
    since: Moment | None,
    until: Moment | None,
    labels: Labels,
) -> int:
    """The lines from one moment to another whose fields are what is wanted of them, in order."""
    said = {name: value for name, value in wanted.items() if value is not None}
    with reader_of(session) as reader:
        frames = reader.frames_between(since, until)
        every = entries(reader, *frames, Labelled(reader, labels, frames.start))
        rows = (row for row in every if said.items() <= row.items())
        if session.as_json:
            sys.stdout.writelines(to_line(row) + "\n" for row in rows)
        else:
            _show(console(), rows, reader.state.wording)
    return DONE


def entries(
    reader: Reader, start: int = 0, stop: int | None = None, labelled: Labelled | None = None
) -> Iterator[dict[str, Any]]:
    """A row for each side of each posting; the account is empty where value is in flight."""
    for record in reader.records(start, stop):
        postings = postings_of(record.body) if labelled is None or labelled(record) else ()
        for position, kind, permission, posted in postings:
            if labelled is not None and not labelled.has(posted.intent_hash):
                continue
            for direction, account in (("debit", posted.debit), ("credit", posted.credit)):
                yield {
                    "seq": record.seq,
                    "position": position,
                    "direction": direction,
                    "account": account,
                    "amount": posted.amount,
                    "unit": posted.resource,
                    "grant": posted.grant,
                    "permission": permission,
                    "intent_hash": posted.intent_hash,
                    "kind": kind,
                }


def _show(out: Page, rows: Iterator[dict[str, Any]], wording: Wording) -> None:
    for row in rows:
        place = word(row["account"]) if row["account"] else f"in flight of {short_hash(row['intent_hash'])}"
        amount = wording.amount(row["amount"], row["unit"])
        direction = row["direction"].upper()
        cause = f"seq {row['seq']}, {word(row['kind'])} under {word(row['permission'])}"
        say(out, f"{direction:<6}  {place}  {word(amount)}  ({cause})")
