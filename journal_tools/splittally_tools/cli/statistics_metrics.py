"""`stats metric` and `stats discard`: digests of a metric by window and segment, and dropping finer windows.

Rule 1. Every answer names the frame that it is of, and how many frames of the journal it has not seen.
Rule 2. Finer windows are discarded only of what the store has read: the coarser ones hold all of it. Made
        anew from the journal they are back.
Rule 3. What came late for a window stands beside what came in time, never in it.
"""

import json
from fractions import Fraction
from typing import Any

import click
from msgspec.structs import asdict
from splittally.core.calendars import Calendar
from splittally.core.errors import InvalidInput
from splittally.core.periods import rolling_ns
from splittally.core.types import CALENDAR_WINDOWS, LATE
from splittally.edge.moments import Moment
from splittally.runtime.metric_views import exact
from splittally.runtime.moments import refuse_backward

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.moments import since_option, until_option
from splittally_tools.cli.output import Figure, Page, emit, say, table
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.statistics_shown import (
    bounds_of,
    head_of_store,
    in_file,
    journal_of,
    local,
    path_of,
    standing,
)
from splittally_tools.statistics.batch import MEASURED
from splittally_tools.statistics.calendar import WINDOWS
from splittally_tools.statistics.digests import by_segment
from splittally_tools.statistics.store import Statistics, open_statistics

FIGURES = ("count", "sum", "average", "min", "max", "last")
NONE_IN_TIME: dict[str, Any] = {**dict.fromkeys(FIGURES), "count": 0, "sum": 0}


@click.command()
@shared
@click.argument("budget")
@click.argument("metric")
@in_file
@click.option("--per", type=click.Choice(WINDOWS), default="day", help="The kind of window; the day.")
@click.option("--by", multiple=True, metavar="KEY", help="A digest for each value of this key of segments.")
@since_option("windows")
@until_option("windows")
@click.pass_obj
def metric(
    session: Session,
    budget: str,
    metric: str,
    file: Any,
    per: str,
    by: tuple[str, ...],
    since: Moment | None,
    until: Moment | None,
) -> int:
    """Digests of METRIC of BUDGET by window: count, sum, average, min, max, last; what came late beside."""
    path = path_of(session, file)
    with open_statistics(path) as statistics, statistics.held_still():
        cursor = statistics.cursor
        size, _ = journal_of(session, cursor, path)
        kept = cursor.kept
        refuse_backward(since, until, lambda: kept.calendar)
        bounds = bounds_of(session, kept, per, since, until)
        rows = _rows(statistics, budget, metric, per, by, bounds)
    document = {
        **head_of_store(cursor, size),
        "budget": budget,
        "metric": metric,
        "per": per,
        "digests": rows,
    }
    emit(session, document, lambda out: _show(out, document, by, cursor.kept.calendar))
    return DONE


def _rows(
    statistics: Statistics,
    budget: str,
    metric: str,
    per: str,
    by: tuple[str, ...],
    bounds: tuple[int | None, int | None],
) -> list[dict[str, Any]]:
    """The digests by window, of all values or of those that carry segments, by these keys."""
    found: dict[tuple[int, str], dict[bool, Any]] = {}
    if by:
        merged = by_segment(statistics.digests(budget, metric, per, *bounds), by)
        for place, digest in merged.items():
            found.setdefault((place.start_ns, place.segments), {})[place.is_late] = digest
    else:
        for key, total in statistics.totals(per, budget, metric, *bounds):
            if key.direction in (MEASURED, LATE):
                found.setdefault((key.start_ns, "{}"), {})[key.direction == LATE] = total
    rows = [_row(start_ns, json.loads(said), buckets) for (start_ns, said), buckets in found.items()]
    return sorted(rows, key=lambda row: (row["start_ns"], *(row["segments"][key] for key in by)))


def _row(start_ns: int, segments: dict[str, str], buckets: dict[bool, Any]) -> dict[str, Any]:
    """A window: what came in time, and under `late` what came for it when it was over, where there is any."""
    own = _figures(buckets[False]) if False in buckets else NONE_IN_TIME
    late = {"late": _figures(buckets[True])} if True in buckets else {}
    return {"start_ns": start_ns, "segments": segments, **own, **late}


def _figures(digest: Any) -> dict[str, Any]:
    fields = asdict(digest)
    fields["average"] = exact(Fraction(fields["sum"], fields["count"]))
    return {name: fields[name] for name in FIGURES}


def _show(out: Page, document: dict[str, Any], by: tuple[str, ...], calendar: Calendar) -> None:
    buckets = ["", "late"] if any("late" in row for row in document["digests"]) else [""]
    columns = [f"{bucket} {name}".strip() for bucket in buckets for name in FIGURES]
    rows = []
    for row in document["digests"]:
        shown = [row, row.get("late", {})][: len(buckets)]
        figures = [Figure(_said(each.get(name))) for each in shown for name in FIGURES]
        keys = (row["segments"][key] for key in by)
        rows.append((local(row["start_ns"], calendar), *keys, *figures))
    out.print(table(("from", *by, *columns), rows))
    say(out, standing(document), "dim")


def _said(value: int | str | None) -> str:
    """A figure; of an average that is no integer the floor, marked; nothing where there is none."""
    if value is None:
        return ""
    return str(value) if type(value) is int else f"about {Fraction(value).__floor__()}"


@click.command()
@shared
@in_file
@click.option("--older", required=True, metavar="SPAN", help="How old a window must be: `14d`, `36h`.")
@click.option(
    "--finer-than",
    type=click.Choice(CALENDAR_WINDOWS),
    default="day",
    help="Only windows finer than these; the day.",
)
@click.pass_obj
def discard(session: Session, file: Any, older: str, finer_than: str) -> int:
    """Drops old windows of the finer kinds; sums by the coarser ones stay what they are."""
    older_ns = rolling_ns(older)
    if not older_ns:
        raise InvalidInput(f"`{older}` is no span such as 14d or 36h", field="older")
    path = path_of(session, file)
    with open_statistics(path) as statistics:
        cursor = statistics.cursor
        size, _ = journal_of(session, cursor, path)
        dropped = statistics.discard(finer_than, older_ns)
    document = {**head_of_store(cursor, size), "dropped": dropped, "file": str(path)}
    told = ", ".join(f"{count} of {per}" for per, count in dropped.items())
    emit(session, document, lambda out: say(out, f"dropped windows: {told}; {standing(document)}"))
    return DONE
