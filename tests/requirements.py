"""Keeps which rows of the requirement list passing tests have shown, and prints those that none has.

A plugin of pytest that records the rows of each test that passed (`out/requirements.json`); as a program it
prints each row that is not in there, one id a line, and runs the tests first when there is nothing.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

RECORD = Path(__file__).parent.parent / "out" / "requirements.json"
ROWS = Path(__file__).parent.parent / "spec" / "requirements.md"
IDS_PER_TEST_MAX = 3
# Features to come, and fixtures to run.
LATER = {"X5-22", "X5-23", "X7-20", "S0-212", "S0-214", "S0-215", "S0-217"}

_shown: dict[str, list[str]] = {}
_ran: set[str] = set()


def main() -> None:
    if not RECORD.exists():
        subprocess.run([sys.executable, "-m", "pytest", "-q"], stdout=sys.stderr, check=False)
    shown = set(json.loads(RECORD.read_text())) if RECORD.exists() else set()
    rows = re.findall(r"^\| ([SX]\d+-\d+) \|", ROWS.read_text(), re.MULTILINE)
    for row in rows:
        if row not in shown and row not in LATER:
            print(row)


def pytest_collection_modifyitems(items):
    for item in items:
        ids = [row for mark in item.iter_markers("req") for row in mark.args]
        if len(ids) > IDS_PER_TEST_MAX:
            raise pytest.UsageError(f"{item.nodeid} shows {len(ids)} rows; at most {IDS_PER_TEST_MAX}")
        item.user_properties.append(("req", ids))


def pytest_runtest_logreport(report):
    if report.when == "call":
        _ran.add(report.nodeid)
        if report.passed:
            for row in dict(report.user_properties).get("req", []):
                _shown.setdefault(row, []).append(report.nodeid)


def pytest_sessionfinish(session):
    """A run of every test replaces the record; any other changes what it says of the tests that ran."""
    if hasattr(session.config, "workerinput") or not _ran:
        return
    RECORD.parent.mkdir(exist_ok=True)
    rows = {} if is_whole(session) or not RECORD.exists() else json.loads(RECORD.read_text())
    kept = {row: [test for test in tests if test not in _ran] for row, tests in rows.items()}
    for row, tests in _shown.items():
        kept[row] = kept.get(row, []) + tests
    shown = {row: tests for row, tests in kept.items() if tests}
    RECORD.write_text(json.dumps(shown, indent=1, sort_keys=True))


def is_whole(session) -> bool:
    """Whether the run was of every test that `make test` runs, to its end."""
    chosen, default = session.config.option, "not soak"
    is_all = session.config.args == session.config.getini("testpaths") and not chosen.keyword
    ended = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    is_ended = session.exitstatus in ended and not (session.shouldstop or session.shouldfail)
    return is_all and chosen.markexpr == default and is_ended


if __name__ == "__main__":
    main()
