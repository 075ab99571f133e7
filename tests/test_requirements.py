"""The record of the rows that tests have shown: no run of some of the tests forgets what the others show."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROJECT = """
[tool.pytest.ini_options]
testpaths = ["tests"]
addopts = "-q -p no:cacheprovider -m 'not soak'"
markers = ["req(*ids): rows", "soak: long"]
"""
SUITE = """
import os
import pytest

@pytest.mark.req("A-1")
def test_one(): pass

@pytest.mark.req("A-2")
def test_two(): assert not os.environ.get("BROKEN")

@pytest.mark.soak
@pytest.mark.req("A-3")
def test_long(): pass
"""


@pytest.fixture
def suite(tmp_path):
    """Runs pytest in a small project and gives the rows that its record has afterwards."""
    (tmp_path / "tests").mkdir()
    shutil.copy(HERE / "requirements.py", tmp_path / "tests")
    (tmp_path / "tests" / "__init__.py").touch()
    (tmp_path / "tests" / "conftest.py").write_text('pytest_plugins = ["tests.requirements"]')
    (tmp_path / "tests" / "test_suite.py").write_text(SUITE)
    (tmp_path / "pyproject.toml").write_text(PROJECT)

    def run(*args):
        subprocess.run(
            [sys.executable, "-m", "pytest", *args],
            cwd=tmp_path,
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # which take longer than its tests
            capture_output=True,
            check=False,
        )
        return sorted(json.loads((tmp_path / "out" / "requirements.json").read_text()))

    return run


@pytest.mark.parametrize("some", [("-m", "soak"), ("-k", "one"), ("tests/test_suite.py::test_one",), ("-x",)])
def test_a_run_of_some_tests_keeps_what_the_others_show(suite, some):
    assert suite() == ["A-1", "A-2"]
    assert set(suite(*some)) >= {"A-1", "A-2"}


def test_a_row_whose_test_fails_is_shown_no_longer(suite, monkeypatch):
    assert suite() == ["A-1", "A-2"]
    monkeypatch.setenv("BROKEN", "1")
    assert suite("-k", "two") == ["A-1"]
    assert suite() == ["A-1"]
    monkeypatch.delenv("BROKEN")
    assert suite("-k", "two") == ["A-1", "A-2"]
