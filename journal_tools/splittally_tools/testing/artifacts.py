"""Where the journals of failed tests are kept, and what a reader of the failure is told.

Rule 1. A folder is named after what failed. The next failure of the same thing takes its place. Of a
        generated test only the smallest failing example is kept, not those on the way to it.
Rule 2. Only a folder that holds a world is ever replaced.
Rule 3. Nothing heavy is imported: the pytest plug-in loads this in every test suite.
"""

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

NAME_CHARACTERS_MAX = 100


class Keeping:
    """The folder under which journals are kept; a temporary one unless somebody says where."""

    def __init__(self) -> None:
        self._find: Callable[[], Path] = lambda: Path(tempfile.mkdtemp(prefix="splittally-"))

    def under(self, find: Callable[[], Path]) -> Callable[[], Path]:
        """Keep journals under the folder that `find` gives when the first is kept; who was asked before."""
        before, self._find = self._find, find
        self.__dict__.pop("root", None)
        return before

    @cached_property
    def root(self) -> Path:
        """The folder under which every journal goes."""
        return self._find().absolute()

    def folder_for(self, name: str) -> Path:
        """A folder for the journal of what is called `name`; what was kept there before is gone."""
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[-NAME_CHARACTERS_MAX:].strip("-.")
        folder = self.root / (slug or "world")
        if (folder / "journal").is_dir():
            shutil.rmtree(folder)
        return folder


KEEPING = Keeping()


def named_in_test(name: str) -> str:
    """The name of something in the test that runs, where pytest runs one."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rsplit(" ", maxsplit=1)[0]
    return f"{test}-{name}" if test else name


def how_to_open(folder: Path) -> str:
    """The commands that show a world, for people."""
    shown = shlex.quote(str(folder))
    return f"the journal is kept; see it with\n  tally -w {shown} log\n  tally -w {shown} verify"


def is_kept(error: BaseException) -> bool:
    """Whether the journal of an error is to be kept: it is a failure, and the smallest that will be found.

    Hypothesis and pytest leave a test by errors, too. While Hypothesis shrinks, every smaller failure is
    one; the last run, which it reports, is its final one.
    """
    if not isinstance(error, Exception) or type(error).__module__.startswith("hypothesis"):
        return False
    control = sys.modules.get("hypothesis.control")
    if control is None or not control.currently_in_test_context():
        return True
    return bool(control.current_build_context().is_final)
