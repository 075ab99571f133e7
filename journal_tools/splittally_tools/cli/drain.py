"""`drain`: a queue of jobs, one pass over it, and the standup after it.

Rule 1. `run` makes one pass and ends: whatever starts it again is the operator's scheduler.
Rule 2. Only `park`, `promote` and `resolve` decide about a job; they are for people.
Rule 3. A pass that stopped at a hold, or that found another drain at work, did what it should: 0.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.core.limits import LINE_BYTES_MAX
from splittally.edge.json_values import parse_json, printable
from splittally.edge.moments import Moment
from splittally.edge.prices import NEWEST
from splittally.governor.estimates import require_spelt
from splittally.host.drain import (
    Job,
    KernelGate,
    Queue,
    Settings,
    Watchdog,
    cost_ledger,
    display,
    public_figures,
    resolve_settings,
    run_drain_cycle,
    standup,
)  # fmt: skip
from splittally.host.drain.command import CommandRunner
from splittally.host.drain.costs import PUBLIC_RUNS_MIN
from splittally.host.drain.jobs import DONE, FAILED, QUEUED, STATUSES, usd_shown
from splittally.host.drain.programs import EXIT_CODE, STDERR, ending_told, exit_text
from splittally.runtime.named import unknown_name

from splittally_tools.cli.drain_parts import (
    FILE_PATH,
    ended_by_terminate,
    ending_text,
    governor_of,
    lane_programs,
    prices_of,
    require_cap,
    with_queue,
    words_of,
)
from splittally_tools.cli.exit_codes import DONE as ENDED
from splittally_tools.cli.filters import by_word
from splittally_tools.cli.groups import Commands
from splittally_tools.cli.moments import since_option, utc_of
from splittally_tools.cli.open_world import writer_of
from splittally_tools.cli.output import Page, console, emit, say, table
from splittally_tools.cli.session import Session, shared


@click.group(cls=Commands)
@shared
def drain() -> None:
    """A durable queue of jobs, and one unattended pass over it."""


@drain.command()
@with_queue
@click.option("--lane", metavar="LANE", help="The lane that the job runs in.")
@click.option("--priority", type=int, default=0, help="A greater one goes first (0).")
@click.option("--est", metavar="USD", help="What it is estimated to cost.")
@click.option("--failure-class", metavar="WORD", help="How an earlier try of it failed.")
@click.argument("payload", metavar="[JSON|@FILE|-]", default="{}")
@click.pass_obj
def add(
    session: Session, path: Path, lane: str | None, priority: int, est: str | None, failure_class: str | None,
    payload: str,
) -> int:  # fmt: skip
    """Puts a job into the queue; makes the queue where there is none."""
    text = sys.stdin.read() if payload == "-" else payload
    data = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
    body = parse_json(data[: LINE_BYTES_MAX + 1])
    if not isinstance(body, dict):
        raise InvalidInput("the payload of a job is a JSON object", field="payload")
    if est is None:
        require_spelt(body)
    with Queue(path) as queue:
        job_id = queue.enqueue(lane, body, priority=priority, est_cost_usd=est, failure_class=failure_class)
    emit(session, {"id": job_id}, lambda out: say(out, f"job {job_id} is queued"))
    return ENDED


@drain.command()
@with_queue
@click.option("--runner", metavar="CMD", required=True, help="The program that runs a job; no shell.")
@click.option("--governor", metavar="MODULE:NAME", help="Who is asked before each job.")
@click.option("--daily-cap", metavar="USD", help="Ask the governor of this release, with this cap a day.")
@click.option("--uncapped", is_flag=True, help="Nothing bounds what a pass costs, and that is meant.")
@click.option("--under", metavar="GRANT", help="Ask the world (-w DIR) for each job, under this grant.")
@click.option("--limit", type=click.IntRange(0), help="At most so many jobs.")
@click.option("--cost-cap", metavar="USD", help="The most that one run may cost.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds that one run may take.")
@click.option("--lane", "lanes", metavar="LANE=PROGRAM", multiple=True, help="What serves a lane.")
@click.option("--prices", type=FILE_PATH, help="A file with [resources] and [prices], such as a manifest.")
@click.option("--price-snapshot", default=NEWEST, help="Which of its snapshots (the newest).")
@click.option("--settings", "file", type=FILE_PATH, help="TOML with a table [drain].")
@click.option(
    "--retry-dispatched", is_flag=True, help="The runner is idempotent: run again what was cut off."
)
@click.pass_obj
def run(
    session: Session, path: Path, runner: str, governor: str | None, daily_cap: str | None,
    uncapped: bool, under: str | None, limit: int | None, cost_cap: str | None, timeout: float | None,
    lanes: tuple[str, ...], prices: Path | None, price_snapshot: str,
    file: Path | None, retry_dispatched: bool,
) -> int:  # fmt: skip
    """Makes one pass: claims, checks, runs and settles until a hold or the end of the queue.

    What bounds its cost is `--daily-cap`, a `--governor` or a grant of a world (`--under`); without any, say
    `--uncapped`.
    """
    require_cap(governor, daily_cap, under, uncapped)
    command = CommandRunner(words_of(runner), timeout)
    settings = resolve_settings(file)
    for problem in settings.problems:
        click.echo(f"tally: note: {problem}", err=True)
    with ExitStack() as held, ended_by_terminate():
        queue = held.enter_context(Queue(path, create=False))
        gate = KernelGate(held.enter_context(writer_of(session)), under) if under else None
        document = run_drain_cycle(
            queue,
            command,
            governor_of(governor, daily_cap, queue),
            limit=settings["limit"] if limit is None else limit,
            cost_cap_usd=settings["cost_cap_usd"] if cost_cap is None else cost_cap,
            watchdog=_watchdog(settings),
            lane_bin=lane_programs(lanes),
            kernel=gate,
            prices=None if prices is None else prices_of(prices, price_snapshot),
            retry_dispatched=retry_dispatched,
            on_event=None if session.as_json else _progress(console()),
        )
    document |= settings.as_dict()
    emit(session, document, lambda out: _show_pass(out, document))
    return ENDED


def _watchdog(settings: Settings) -> Watchdog:
    names = ("memory_floor_gb", "memory_samples", "memory_period_s")
    floor_gb, samples, period_s = (settings[name] for name in names)
    return Watchdog(floor_gb=floor_gb, samples=samples, period_s=period_s)


def _progress(out: Page) -> Callable[[str, Job, dict[str, Any]], None]:
    """A line for each step that a person waits for."""

    def tell(event: str, job: Job, facts: dict[str, Any]) -> None:
        place = f"job {job.id} on {job.lane_id or 'no lane'}"
        if event == "dispatch":
            say(out, f"{place}: running", "dim")
        elif event == "settle":
            cost = f", {usd_shown(job.cost_usd)}" if job.cost_usd is not None else ""
            failure = f" ({job.failure_class})" if job.status == FAILED else ""
            say(out, f"{place}: {job.status}{failure}{cost}", "green" if job.status == DONE else "red")
            if ending := ending_text(job):
                say(out, f"  {ending}", "red")
        elif event == "hold":
            say(out, f"{place}: held, {facts['action']}, {facts['reason']}", "yellow")

    return tell


def _show_pass(out: Page, document: dict[str, Any]) -> None:
    report = document["report"]
    if report["skipped"] is not None:
        say(out, f"skipped: process {report['skipped'].get('pid', '?')} drains this queue", "yellow")
        return
    say(out, f"pass ended: {report['stopped_by']}", "bold")
    _show_standup(out, document["standup"])


def _show_standup(out: Page, told: dict[str, Any]) -> None:
    for line in display(told).splitlines():
        say(out, line)


@drain.command(name="queue")
@with_queue
@by_word("--status", STATUSES, "Only jobs of this status (queued); may be said again.", multiple=True)
@click.option("--lane", metavar="LANE", help="Only jobs of this lane.")
@since_option("jobs that were added")
@click.pass_obj
def queue_command(
    session: Session, path: Path, status: tuple[str, ...], lane: str | None, since: Moment | None
) -> int:
    """Jobs in the order in which they are claimed, without what they ask."""
    start = _since(since)
    names = ("id", "lane_id", "priority", "status", "est_cost_usd", "failure_class", "cost_usd", "claims")
    with Queue(path, create=False) as queue:
        lanes = {job.lane_id for job in queue.jobs()} if lane is not None else set()
        rows = [
            {name: job[name] for name in names}
            | {"est_cost_usd": job.estimate_text}
            | ending_told(job.told[1])
            for job in queue.jobs(*(status or (QUEUED,)))
            if lane in (None, job.lane_id)
            if start is None or datetime.fromisoformat(job.created_at) >= start
        ]
    if lane is not None and lane not in lanes:
        raise unknown_name("lane", lane, filter(None, lanes))
    columns = ("job", "lane", "priority", "status", "estimate", "class", "cost", "claims")

    def show(out: Page) -> None:
        out.print(table(columns, [[row[name] for name in names] for row in rows]))
        for row in rows:
            if row[EXIT_CODE] is not None:
                say(out, f"job {row['id']}: {exit_text(row[EXIT_CODE])}", "red")
            for line in row[STDERR]:
                say(out, f"  {printable(line)}")

    emit(session, {"jobs": rows}, show)
    return ENDED


def _since(moment: Moment | None) -> datetime | None:
    """Since when, for a queue, which knows no frames."""
    if moment is not None and moment.seq is not None:
        raise click.UsageError("a queue has no frames; `--since` is a day or a time")
    return None if moment is None else utc_of(moment)


@drain.command(name="standup")
@with_queue
@click.pass_obj
def standup_command(session: Session, path: Path) -> int:
    """What ran in the last 24 hours, what it cost, what is held, and what waits for a decision."""
    with Queue(path, create=False) as queue:
        told = standup(queue)
    emit(session, told, lambda out: _show_standup(out, told))
    return ENDED


@drain.command()
@with_queue
@since_option("runs that ended")
@click.option("--public", is_flag=True, help="Only the figures that are fit to be published.")
@click.pass_obj
def costs(session: Session, path: Path, since: Moment | None, public: bool) -> int:
    """What each run cost, and dollars per quality point of the runs that have a score."""
    start = _since(since)
    with Queue(path, create=False) as queue:
        told = public_figures(queue, start) if public else cost_ledger(queue, start)
    quality = told if public else told["quality"]

    def show(out: Page) -> None:
        if not public:
            names = ("job_id", "lane_id", "status", "cost_usd", "score", "price_snapshot")
            rows = ([row[name] for name in names] for row in told["runs"])
            out.print(table(("job", "lane", "status", "cost", "score", "prices"), rows))
            say(out, f"{usd_shown(told['total_usd'])} in {len(told['runs'])} run(s)", "bold")
        if quality["usd_per_point"] is None:
            few = f": fewer than {PUBLIC_RUNS_MIN} scored runs" if "withheld" in quality else ""
            say(out, f"no dollars per quality point{few}; a result names its `score`")
        else:
            mean = f"{usd_shown(quality['mean_cost_usd'])} a run at a mean score of {quality['mean_score']}"
            per_point = usd_shown(quality["usd_per_point"])
            say(out, f"{per_point} per quality point: {mean}, {quality['runs']} run(s)")

    emit(session, told, show)
    return ENDED


@drain.command()
@with_queue
@click.argument("job_id", metavar="JOB", type=int)
@click.option("--reason", default="operator", help="Why, for the audit row.")
@click.pass_obj
def park(session: Session, path: Path, job_id: int, reason: str) -> int:
    """Takes a job out of the queue until it is promoted."""
    with Queue(path, create=False) as queue:
        queue.park(job_id, reason)
    emit(session, {"id": job_id, "status": "parked"}, lambda out: say(out, f"job {job_id} is parked"))
    return ENDED


@drain.command()
@with_queue
@click.argument("job_id", metavar="JOB", type=int)
@click.option("--lane", required=True, help="The lane that it is to run in.")
@click.option("--reason", default="operator", help="Why, for the audit row.")
@click.pass_obj
def promote(session: Session, path: Path, job_id: int, lane: str, reason: str) -> int:
    """Puts a job that is held, parked, failed or unknown into the queue of a lane."""
    with Queue(path, create=False) as queue:
        promoted = queue.promote(job_id, lane, reason)
    document = {"id": promoted, "status": QUEUED, "lane_id": lane}
    emit(session, document, lambda out: say(out, f"job {promoted} is queued on {lane}"))
    return ENDED


@drain.command()
@with_queue
@click.argument("job_id", metavar="JOB", type=int)
@click.option("--status", type=click.Choice((DONE, FAILED)), required=True, help="How it ended.")
@click.option("--cost", metavar="USD", help="What it cost.")
@click.pass_obj
def resolve(session: Session, path: Path, job_id: int, status: str, cost: str | None) -> int:
    """Says how a job ended that was cut off while it ran."""
    with Queue(path, create=False) as queue:
        queue.resolve(job_id, status, cost)
    emit(session, {"id": job_id, "status": status}, lambda out: say(out, f"job {job_id} is {status}"))
    return ENDED
