"""Asks the tests about one place after the other: a plug-in of pytest that `make mutants-all` runs them with.

The tests are collected once. For each place the process forks, the child puts the changed function in
(`swap.py`) and runs the tests that reach its line, those that noticed its neighbours first, then the
quickest, until one fails. A place that is run as a module is imported gets a process of its own.
"""

import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.swap import functions_below, swaps

FIRST = re.compile(r"tests/test_(golden|(history|plan)_model)\.py::\w+(\[[0-2]\])?")  # they meet most at once
TESTS_SECONDS_MAX = 60  # of tests that ran so long together while they were timed
PLACE_SECONDS_MAX = 90  # of a processor: a change that never ends is noticed, too
WAITING_SECONDS_MAX = 900  # where it waits for something, or the machine is busy
FRESH_FILES = 6  # test files that reach a module most, for what only its import runs


def pytest_configure(config):
    config.pluginmanager.register(Forks(Path(os.environ["MUTANTS_FOLDER"]), os.environ["MUTANTS_KERNEL"]))


class Forks:
    """The places to ask about, and what was said so far."""

    def __init__(self, folder: Path, kernel: str) -> None:
        self.kernel, self.results = kernel, folder / "results.jsonl"
        reach = json.loads((folder / "reach.json").read_text())
        self.tests, self.lines = reach["tests"], reach["lines"]
        self.seconds = dict(zip(self.tests, reach["seconds"], strict=True))
        self.places = json.loads((folder / "places.json").read_text())
        self.noticed: Counter[tuple[str, str]] = Counter()
        self.sound: dict[str, bool] = {}
        self.pipe = -1

    def pytest_runtest_logreport(self, report):
        if report.failed and self.pipe >= 0:
            os.write(self.pipe, report.nodeid.encode())
            os._exit(1)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        self.items = {item.nodeid: item for item in session.items}
        self.functions = functions_below(self.kernel)
        known = self.results.read_text().splitlines() if self.results.exists() else []
        done = {json.loads(line)["id"] for line in known}
        with self.results.open("a") as file:
            for place in self.places:
                if place["id"] not in done:
                    told = {key: value for key, value in place.items() if key != "text"}
                    file.write(json.dumps(told | self.verdict(place)) + "\n")
                    file.flush()
        return True

    def verdict(self, place: dict) -> dict:
        """`killed` by a test, `survived`, or `unreached` by any."""
        file = place["file"]
        path = f"{self.kernel}/{file}"
        reached = self.lines.get(file, {}).get(str(place["line"]), [])
        tests = self.ordered(file, [self.tests[x] for x in reached if x >= 0 and self.tests[x] in self.items])
        changed = swaps(path, Path(path).read_text(), place["text"], self.functions)
        if changed is not None and tests:
            for test in self.failures(tests, changed):
                self.noticed[file, test] += 1
                return {"said": "killed", "by": test}
        if changed is None or -1 in reached:
            return self.fresh(file, path, place["text"])
        return {"said": "survived" if tests else "unreached", "by": ""}

    def ordered(self, file: str, tests: list[str]) -> list[str]:
        """Those that noticed most in this file, the models, then the quickest, while there is time."""
        chosen, total = [], 0.0

        def rank(test: str) -> tuple:
            return -self.noticed[file, test], FIRST.fullmatch(test) is None, self.seconds[test], test

        for test in sorted(tests, key=rank):
            total += self.seconds[test]
            if total > TESTS_SECONDS_MAX and chosen:
                break
            chosen.append(test)
        return chosen

    def failures(self, tests: list[str], changed: list) -> Iterator[str]:
        """The first test that fails with the change and does not fail without it."""
        while tests:
            test = self.forked(tests, changed)
            if test is None:
                return
            if test not in self.sound:
                self.sound[test] = test == "" or self.forked([test], []) is None
            if self.sound[test]:
                yield test
            tests = [x for x in tests if x != test]

    def forked(self, tests: list[str], changed: list) -> str | None:
        """The test that fails in a child with these functions; "" if none ends, None if all pass."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self.run(tests, changed, reading, writing)
        os.close(writing)
        ready, _, _ = select.select([reading], [], [], WAITING_SECONDS_MAX)
        said = os.read(reading, 4096).decode() if ready else ""
        if not ready:
            os.kill(child, signal.SIGKILL)
        os.close(reading)
        _, status = os.waitpid(child, 0)
        return None if status == 0 else said

    def run(self, tests: list[str], changed: list, reading: int, writing: int) -> None:
        """What a child does: it never returns."""
        try:
            os.close(reading)
            resource.setrlimit(resource.RLIMIT_CPU, (PLACE_SECONDS_MAX, PLACE_SECONDS_MAX))
            nothing = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(nothing, number)
            self.pipe = writing
            for function, code in changed:
                function.__code__ = code
            for test in tests:
                item = self.items[test]
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            os._exit(0)
        finally:
            os._exit(2)

    def fresh(self, file: str, path: str, text: str) -> dict:
        """The same in a process that imports the changed module."""
        reached = [x for each in self.lines.get(file, {}).values() for x in each if x >= 0]
        reaching = Counter(self.tests[x].partition("::")[0] for x in reached)
        files = ["tests/test_golden.py", *(x for x, _ in reaching.most_common(FRESH_FILES))]
        whole = Path(path).read_text()
        Path(path).write_text(text)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", *dict.fromkeys(files)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=WAITING_SECONDS_MAX, check=False)
            return {"said": "killed" if done.returncode else "survived", "by": "a process of its own"}
        except subprocess.TimeoutExpired:
            return {"said": "killed", "by": "the clock"}
        finally:
            Path(path).write_text(whole)
