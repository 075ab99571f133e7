"""`digest`: what was spent and what the governor said, for the morning's standup.

Rule 1. Of a queue: what its jobs cost in the last 24 hours, by lane. Of a world: what counts against the
        caps of its governor, today's charges by lane, resident lanes, and what was allowed or held.
Rule 2. Lines add up: what has no lane has a line of its own. No payload is shown.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from splittally.edge.amounts import format_amount
from splittally.edge.moments import Moment
from splittally.host.drain import Queue, standup
from splittally.host.drain.jobs import usd_shown
from splittally.runtime.queries import Queries
from splittally.runtime.reader import Reader

from splittally_tools.audit.governor_spend import spent_by_lane
from splittally_tools.cli.drain_parts import FILE_PATH, QUEUE_VARIABLE
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.moments import moment_option, since_option, state_of, utc_of
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, progress, say, table, word
from splittally_tools.cli.session import Session, shared

Document = dict[str, Any]
NO_LANE = "no lane"


@click.command()
@shared
@click.option(
    "--queue", "path", type=FILE_PATH, envvar=QUEUE_VARIABLE, help=f"A queue (or {QUEUE_VARIABLE})."
)
@moment_option("--at", "--until", "at", help="Of a world: as it stood then.")
@since_option("what was spent")
@click.pass_obj
def digest(session: Session, path: Path | None, at: Moment | None, since: Moment | None) -> int:
    """What was spent, by lane: by the jobs of a queue, or in a world (-w DIR) with a governor.

    Without --since it is the last 24 hours of a queue, and the day of a world's calendar.
    """
    if path is None and not session.is_named:
        raise click.UsageError("of what? say `--queue FILE`, or `-w DIR` for a world with a governor")
    if path is not None and (at or (since and since.seq is not None)):
        raise click.UsageError(
            "a queue has no frames and no past: beside `--queue` stands `--since` a day or time"
        )
    document: Document = {}
    if path is not None:
        with Queue(path, create=False) as queue:
            told = standup(queue, since and utc_of(since))
        document = {**told["spend"], "unpriced": len(told["unpriced"]), "since": told["since"]}
    if session.is_named:
        with reader_of(session) as reader, progress(session) as bar:
            task = bar.add_task("reading the journal", total=reader.head.size)
            document["governor"] = _governor(reader, at, since, lambda done: bar.advance(task, done))
    emit(session, document, lambda out: _show(out, document))
    return DONE


def _governor(
    reader: Reader, at: Moment | None, since: Moment | None, seen: Callable[[int], None]
) -> Document | None:
    reader.frames_between(since, at)  # which may be no range
    state = state_of(reader, at)
    row = Queries(lambda: state).governor
    if row is None:
        return None
    by_lane = spent_by_lane(reader, state, since, seen)
    return {
        **row,
        "spent_since" if since else "spent_today": {
            name: [{"lane_id": lane or None, "amount": amount} for lane, amount in lanes.items()]
            for name, lanes in by_lane.items()
        },
        "scales": {name: state.ledger.resources[name].scale for name in by_lane},
    }


def _show(out: Page, document: Document) -> None:
    if "total_usd" in document:
        say(out, f"{usd_shown(document['total_usd'])} in {document['n_paid_runs']} paid run(s)", "bold")
        out.print(table(("lane", "USD"), document["by_lane"].items()))
    if "governor" in document:
        _show_governor(out, document["governor"])


def _show_governor(out: Page, governor: Document | None) -> None:
    if governor is None:
        say(out, "this world has no governor; add [governor] to its manifest")
        return
    scales = governor["scales"]
    for cap in governor["caps"]:
        name = cap["resource"]
        counted, reserved, amount = (
            format_amount(cap[key], name, scales[name]) for key in ("counted", "reserved", "amount")
        )
        over = "" if cap["counted"] <= cap["amount"] else ", above the cap"
        say(out, f"{counted} of {amount} a {cap['per']}, {reserved} of it reserved{over}", "bold")
    spent = "spent_since" if "spent_since" in governor else "spent_today"
    rows = [
        (name, line["lane_id"] or NO_LANE, format_amount(line["amount"], name, scales[name]))
        for name, lines in governor[spent].items()
        for line in lines
    ]
    out.print(table(("resource", "lane", spent.replace("_", " ")), rows))
    said = ", ".join(f"{count} {action}" for action, count in sorted(governor["verdicts"].items()))
    share = f"; share raised to a frontier model: {governor['escalated']}" if said else ""
    say(out, f"verdicts today: {said or 'none'}{share}")
    say(out, f"lanes with open jobs: {word(', '.join(governor['lanes']) or 'none')}")
