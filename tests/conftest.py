"""What many modules of tests share."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, settings
from splittally.core import canonical

from tests.journal_damage import Judges

pytest_plugins = ["tests.requirements"]

settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", deadline=None, max_examples=2_000, print_blob=True)
settings.register_profile(  # what `make mutants` looks for is a failure, not the smallest
    "mutants",
    settings.get_profile("ci"),
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
settings.load_profile(PROFILE)

if PROFILE != "mutants":  # whose sources change under the processes
    # What tests start shares its bytecode, also where the machine writes none: that halves what each costs.
    # So do the tests themselves: a run that finds them rewritten collects in a third of the time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).parent.parent / "out" / "bytecode"))
    sys.dont_write_bytecode, sys.pycache_prefix = False, os.environ["PYTHONPYCACHEPREFIX"]


@pytest.fixture(params=["fast", "plain"] if canonical.FAST else ["plain"])
def codec(request, monkeypatch):
    """The name of a codec of the canonical form, which is in use; every claim holds with each there is."""
    if request.param == "plain":
        monkeypatch.setattr(canonical, "_cbrrr", None)
    return request.param


@contextmanager
def folder_in_memory():
    """An empty folder where syncing costs nothing, if the machine has one: few claims rest on a disk."""
    shared = "/dev/shm"
    where = shared if os.access(shared, os.W_OK) else None
    with TemporaryDirectory(prefix="splittally-", dir=where, ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture
def folder():
    with folder_in_memory() as made:
        yield made


@pytest.fixture(scope="module")
def memory():
    """The same for all tests of a module."""
    with folder_in_memory() as made:
        yield made


@pytest.fixture(scope="module")
def judges():
    """A process that says what the store makes of a damaged journal."""
    made = Judges()
    yield made
    made.close()
