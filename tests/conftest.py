"""Keeps which rows of the requirement list passing tests have shown, and holds what many modules share."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from splittally.core import canonical

from tests.journal_damage import Judges

RECORD = Path(__file__).parent.parent / "out" / "requirements.json"
IDS_PER_TEST_MAX = 3

settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_shown: dict[str, list[str]] = {}
_ran: set[str] = set()


@pytest.fixture(params=["fast", "plain"])
def codec(request, monkeypatch):
    """The name of a codec of the canonical form, which is in use; every claim holds with each."""
    if request.param == "plain":
        monkeypatch.setattr(canonical, "_cbrrr", None)
    elif canonical._cbrrr is None:
        pytest.skip("the optional codec is not there; `make setup` builds it where it can")
    return request.param


@pytest.fixture(scope="module")
def memory():
    """A folder where syncing costs nothing, if the machine has one: damage is no question of durability."""
    shared = "/dev/shm"
    with TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def judges():
    """A process that says what the store makes of a damaged journal."""
    made = Judges()
    yield made
    made.close()


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
