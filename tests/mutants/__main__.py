"""`make mutants`: break the product in each kept way and see that the named test notices.

`python -m tests.mutants [WORD ...]` takes the mutants whose name or file has one of these words, or all.
Each process works on a copy of the sources; Hypothesis looks for one failure and does not shrink it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from tests.mutants import PROJECT, Mutant, mutants

SOURCES = ("kernel", "enforcers", "journal_tools")
COPIED = (*SOURCES, "tests")  # tests that start a process look for the sources beside themselves
TOLD_EACH = 50  # so often it says how far it is
SECONDS_MAX = 120  # a breakage that never ends is noticed, too
NOTICED, SURVIVED, BROKEN_TEST = "noticed", "survived", "its test fails without it"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    chosen = [x for x in mutants() if not args.words or any(word in x.name + x.file for word in args.words)]
    for mutant in chosen:  # one that does not apply is an error before anything runs
        mutant.broken((PROJECT / mutant.file).read_text())
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(args.jobs):
            copies.put(copy_of_sources(Path(folder) / str(number)))
        with ThreadPoolExecutor(args.jobs) as pool:
            sound = sorted({mutant.test for mutant in chosen})
            failing = {
                test for test, ok in zip(sound, pool.map(passes_in(copies), sound), strict=True) if not ok
            }
            results = pool.map(lambda mutant: verdict(copies, mutant, failing), chosen)
            verdicts = []
            for mutant, said in zip(chosen, results, strict=True):
                verdicts.append(said)
                if said != NOTICED:
                    print(f"{said}: {mutant.name}\n    {mutant.file}  {mutant.test}", flush=True)
                if len(verdicts) % TOLD_EACH == 0:
                    print(f"{len(verdicts)} of {len(chosen)}", file=sys.stderr, flush=True)
    report(chosen, verdicts, time.monotonic() - began)
    return 0 if set(verdicts) <= {NOTICED} else 1


def copy_of_sources(folder: Path) -> Path:
    """A copy of what is broken and of the tests; everything else of the project is a link."""
    folder.mkdir()
    for path in PROJECT.iterdir():
        if path.name in COPIED:
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.name not in ("out", ".git"):
            (folder / path.name).symlink_to(path)
    return folder


def passes_in(copies: "SimpleQueue[Path]"):
    """Whether a test passes in one of the copies, as it is."""

    def passes(test: str) -> bool:
        with taken(copies) as copy:
            return is_passed(copy, test)

    return passes


def verdict(copies: "SimpleQueue[Path]", mutant: Mutant, failing: set[str]) -> str:
    """What the named test says of the broken product."""
    if mutant.test in failing:
        return BROKEN_TEST
    with taken(copies) as copy:
        file = copy / mutant.file
        whole = file.read_text()
        file.write_text(mutant.broken(whole))
        try:
            return SURVIVED if is_passed(copy, mutant.test) else NOTICED
        finally:
            file.write_text(whole)


@contextmanager
def taken(copies: "SimpleQueue[Path]"):
    """One of the copies, for as long as it is used."""
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def environment(copy: Path) -> dict[str, str]:
    """That in which the sources of the copy come before the installed ones."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(str(copy / name) for name in SOURCES),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_PROFILE": "mutants",
    }


def is_passed(copy: Path, test: str) -> bool:
    """Whether pytest runs this test in the copy to a good end; no test at all is no good end."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", "-p", "no:randomly", test]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment(copy), capture_output=True, timeout=SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def report(chosen: list[Mutant], verdicts: list[str], seconds: float) -> None:
    every = Counter(mutant.folder for mutant in chosen)
    noticed = Counter(x.folder for x, said in zip(chosen, verdicts, strict=True) if said == NOTICED)
    for folder in sorted(every):
        print(f"{folder:40} {noticed[folder]:4} of {every[folder]:4}")
    print(f"{'all':40} {sum(noticed.values()):4} of {len(chosen):4}  in {seconds:.0f} s")


if __name__ == "__main__":
    raise SystemExit(main())
