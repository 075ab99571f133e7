"""Which tests run which line of the kernel: a plug-in of pytest that `make mutants-all` begins with.

It writes `{"tests": [...], "seconds": [...], "lines": {file: {line: [number of a test, ...]}}}`; a line that
is run before any test (as a module is imported) names -1. Tests that fail are left out.
"""

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest
from coverage import Coverage


def pytest_configure(config):
    config.pluginmanager.register(Reach(Path(os.environ["MUTANTS_REACH"]), os.environ["MUTANTS_KERNEL"]))


class Reach:
    """The lines of one folder, by test."""

    def __init__(self, file: Path, kernel: str) -> None:
        self.file, self.kernel = file, kernel
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()
        self.coverage = Coverage(data_file=None, include=[f"{kernel}/*"], config_file=False, messages=False)
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.coverage.switch_context(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.failed.add(report.nodeid)

    def pytest_sessionfinish(self):
        self.coverage.stop()
        data = self.coverage.get_data()
        tests = sorted({*self.seconds} - self.failed)
        numbers = {test: number for number, test in enumerate(tests)} | {"": -1}
        lines = {
            str(Path(file).relative_to(self.kernel)): {
                line: sorted(numbers[test] for test in reached if test in numbers)
                for line, reached in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        seconds = [round(self.seconds[test], 3) for test in tests]
        self.file.write_text(json.dumps({"tests": tests, "seconds": seconds, "lines": lines}))
