"""Marks tests with the rows they show, and keeps which rows passing tests have shown."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

RECORD = Path(__file__).parent.parent / "out" / "requirements.json"
IDS_PER_TEST_MAX = 3

settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_shown: dict[str, list[str]] = {}


def pytest_collection_modifyitems(items):
    for item in items:
        ids = [row for mark in item.iter_markers("req") for row in mark.args]
        if len(ids) > IDS_PER_TEST_MAX:
            raise pytest.UsageError(f"{item.nodeid} shows {len(ids)} rows; at most {IDS_PER_TEST_MAX}")
        item.user_properties.append(("req", ids))


def pytest_runtest_logreport(report):
    if report.when == "call" and report.passed:
        for row in dict(report.user_properties).get("req", []):
            _shown.setdefault(row, []).append(report.nodeid)


def pytest_sessionfinish(session):
    if hasattr(session.config, "workerinput") or not _shown:
        return
    RECORD.parent.mkdir(exist_ok=True)
    is_whole = session.config.args == session.config.getini("testpaths") and not session.config.option.keyword
    kept = {} if is_whole or not RECORD.exists() else json.loads(RECORD.read_text())
    RECORD.write_text(json.dumps(kept | _shown, indent=1, sort_keys=True))
