"""Where worlds of these tests stand: in memory where there is such a folder, because they sync often."""

import shutil
import tempfile
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(tmp_path):
    """An empty folder whose writes need no disk, where there is one."""
    if not _MEMORY.is_dir():
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(prefix="splittally-", dir=_MEMORY))
    yield made
    shutil.rmtree(made, ignore_errors=True)
