"""A drain's queue: whether it opens, which jobs block it, which wait for an operator."""

import sqlite3
from pathlib import Path

from splittally.core.errors import WorldError
from splittally.host.drain import Queue, standup

from splittally_tools.doctor.finding import GOOD, WARNING, Finding


def check_queue(path: Path) -> list[Finding]:
    """Every check of the queue at `path`."""
    if not path.exists():
        return [Finding("queue", WARNING, f"there is no queue at `{path}`", "tally drain add")]
    try:
        with Queue(path, create=False) as queue:
            told = standup(queue)
    except (WorldError, sqlite3.Error) as error:
        return [Finding("queue", WARNING, str(error), "name another file with `--queue`")]
    found = [Finding("queue", GOOD, f"{told['queued']} jobs are queued")]
    for row in told["blockers"]:
        text = f"job {row['job_id']} blocks the queue: held {row['times']} times, {row['reason']}"
        found.append(Finding("queue", WARNING, text, f"tally drain park {row['job_id']}"))
    for row in told["unknown"]:
        text = f"job {row['job_id']} was given to its program and has no result"
        mend = f"tally drain resolve {row['job_id']} --status done|failed"
        found.append(Finding("queue", WARNING, text, mend))
    return found
