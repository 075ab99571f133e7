"""`reservations`: what is held at one sequence, and for whom.

Rule 1. The view is of one sequence number, which it names, read beside whoever writes.
Rule 2. The amounts of a grant and dimension add up to what its counter says is reserved.
"""

from typing import Any

import click
from splittally.core.types import APPROVAL, OPEN, RUNNING, UNKNOWN
from splittally.edge.labels import has_labels
from splittally.edge.moments import Moment
from splittally.edge.wording import Wording, span
from splittally.runtime.health import JUMPED
from splittally.runtime.named import GRANTS, KINDS, PRINCIPALS, RESOURCES
from splittally.runtime.queries import Queries
from splittally.runtime.reader import Reader
from splittally.runtime.rows import Row

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.filters import by_name, by_word
from splittally_tools.cli.labelled import Labels, by_label, shown_labels
from splittally_tools.cli.moments import at_option, queries_at, since_option, until_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Figure, Page, emit, table
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.views import head_of
from splittally_tools.cli.wide import wide_option

PHASES = (OPEN, APPROVAL, RUNNING, UNKNOWN)
_HOLD = ("intent_hash", "seq", "kind", "principal", "phase", "age_ns", "due_ns", "attempt", "running_ns",
         "labels")  # fmt: skip


@click.command()
@shared
@by_name("--grant", GRANTS, "Only what this grant holds, also for grants below it.")
@by_name("--dim", RESOURCES, "Only this dimension.")
@by_name("--kind", KINDS, "Only effects of this kind.")
@by_name("--principal", PRINCIPALS, "Only what this principal asked for.")
@by_word("--phase", PHASES, "Only what is in this phase.")
@since_option("what was reserved")
@until_option("what was reserved")
@click.option("--orphans", is_flag=True, help="Only what was dispatched and has no answer.")
@at_option
@by_label
@wide_option
@click.pass_obj
def reservations(
    session: Session,
    grant: str | None,
    dim: str | None,
    kind: str | None,
    principal: str | None,
    phase: str | None,
    since: Moment | None,
    until: Moment | None,
    orphans: bool,
    at: Moment | None,
    labels: Labels,
    wide: bool,
) -> int:
    """What is reserved, by intent, grant and dimension; the amounts add up to the counter's reserved."""
    with reader_of(session) as reader:
        state = queries_at(reader, at)
        head, wording = head_of(state), state.wording
        start, stop = reader.frames_between(since, until)
        passed_ns = 0 if at is not None else _since_last_frame(reader)
        rows = [
            row
            for hold in state.reservations.values()
            if (hold.is_orphan or not orphans) and has_labels(hold.labels, labels)
            if kind in (None, hold.kind)
            and principal in (None, hold.principal)
            and phase in (None, hold.phase)
            if start <= hold.seq < (state.seq if stop is None else stop)
            for row in _reserved(hold, passed_ns)
            if grant in (None, row["grant"]) and dim in (None, row["dim"])
        ]
    totals: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row["grant"], row["dim"])
        totals[key] = totals.get(key, 0) + row["amount"]
    sums = [
        {"grant": name, "dim": dim, "amount": amount, "reserved": _reserved_in(state, name, dim)}
        for (name, dim), amount in sorted(totals.items())
    ]
    document = {**head, "reservations": rows, "totals": sums}
    emit(session, document, lambda out: _show_reservations(out, document, wording, wide))
    return DONE


def _since_last_frame(reader: Reader) -> int:
    """How much the host's clock has gone on since the last frame; 0 where time is given or stands."""
    health = reader.health()
    return 0 if health["state"] == JUMPED else max(0, health["differs_ns"] or 0)


def _reserved(hold: Row, passed_ns: int) -> list[dict[str, Any]]:
    """A hold as one row for each grant and dimension; one row without either where it reserves nothing."""
    common = {name: hold[name] for name in _HOLD}
    common["age_ns"] += passed_ns
    if common["running_ns"] is not None:
        common["running_ns"] += passed_ns
    rows = [
        {**common, "grant": leg["grant"], "dim": dim, "amount": amount}
        for leg in hold["legs"]
        for dim, amount in sorted(leg["reserve"].items())
    ]
    return rows or [{**common, "grant": hold["grant"], "dim": "", "amount": 0}]


def _reserved_in(state: Queries, grant: str, dim: str) -> int | None:
    """What the counters of a grant and dimension say is reserved: for life, else the most of a window."""
    life = state.counter(grant, dim)
    windows = [
        row["reserved"] for (scope, name, _, _), row in state.windows.items() if (scope, name) == (grant, dim)
    ]
    return int(life["reserved"]) if life is not None else max(windows, default=None)


def _show_reservations(out: Page, document: dict[str, Any], wording: Wording, wide: bool) -> None:
    def amount(row: dict[str, Any], name: str) -> Figure:
        known = row["dim"] and row[name] is not None
        return Figure(wording.amount(row[name], row["dim"]) if known else "-")

    columns: tuple[str, ...] = ("intent", "grant", "amount", "phase", "age", "kind")
    if wide:
        columns += ("running", "until", "for", "labels")
    rows = []
    for row in document["reservations"]:
        cells = [
            row["intent_hash"],
            row["grant"],
            amount(row, "amount"),
            row["phase"],
            span(row["age_ns"]),
            row["kind"],
        ]
        if wide:
            running, due = row["running_ns"], row["due_ns"]
            cells += ["" if running is None else span(running), wording.moment(due) if due else "",
                      row["principal"], shown_labels(row["labels"])]  # fmt: skip
        rows.append(cells)
    out.print(table(columns, rows))
    sums = [(row["grant"], amount(row, "amount"), amount(row, "reserved")) for row in document["totals"]]
    out.print(table(("grant", "sum", "counter's reserved"), sums))
