"""The standup for people: one screen of text, most urgent first."""

from collections.abc import Iterator
from typing import Any

from splittally.host.drain.jobs import usd_shown
from splittally.host.drain.programs import EXIT_CODE, exit_text


def display(told: dict[str, Any]) -> str:
    """A standup as lines of text."""
    return "\n".join(_lines(told))


def _lines(told: dict[str, Any]) -> Iterator[str]:
    spend = told["spend"]
    yield f"standup {told['since'][:16]} to {told['now'][:16]} UTC"
    yield f"ran {told['ran']}: {told['done']} done, {len(told['failed'])} failed; queued {told['queued']}"
    total, today = usd_shown(spend["total_usd"]), usd_shown(spend["today_usd"])
    yield f"spend {total} in {spend['n_paid_runs']} paid run(s); today {today}"
    yield from (f"  {lane}: {usd_shown(cost)}" for lane, cost in spend["by_lane"].items())
    yield from _section("warnings", [f"  {text}" for text in told["warnings"]])
    yield from _section("failed", [f"  {name}: {count}" for name, count in told["failed_by_class"].items()])
    yield from _section("ended badly", [_ended(row) for row in told["failed"] if row.get(EXIT_CODE)])
    yield from _section("stopped early", [_stopped(row) for row in told["failed"] if "aborted_by" in row])
    yield from _section("regressed", [_job(row) for row in told["regressed"]])
    yield from _section("held", [_hold(row) for row in told["holds"]])
    yield from _section("blockers", [f"{_job(row)}: held {row['times']} times" for row in told["blockers"]])
    yield from _section("unknown", [_job(row) for row in told["unknown"]])
    yield from _section("parked", [_job(row) for row in told["parked"]])
    yield from _section("unpriced", [_job(row) for row in told["unpriced"]])
    staged = [f"  {row['command']}  ({row['reason']})" for row in told["staged"]["decisions"]]
    yield from _section(f"for you to decide ({told['staged']['note']})", staged)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"{title}:"
        yield from lines


def _job(row: dict[str, Any]) -> str:
    return f"  job {row['job_id']} on {row['lane_id'] or 'no lane'}"


def _stopped(row: dict[str, Any]) -> str:
    return f"{_job(row)}: {row['aborted_by']}, partial, cost {usd_shown(row['cost_usd'] or 0)}"


def _ended(row: dict[str, Any]) -> str:
    return f"{_job(row)}: {exit_text(row[EXIT_CODE])}; see `tally drain queue --status failed`"


def _hold(row: dict[str, Any]) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in sorted(row["detail"].items()))
    return f"{_job(row)}: {row['action']}, {row['reason']}" + (f" ({facts})" if facts else "")
