"""The machine: versions, the engine, the store, the disk, locks, the clock, the terminal, completion.

Rule 1. What is measured is measured where the world is, or would be: disks and their locks differ.
Rule 2. A file to measure with has no name, so that it leaves nothing behind, however this ends.
"""

import fcntl
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from splittally.runtime.clock import read_boot_ns
from splittally_enforcers.toolchains import LANGUAGES, WASMTIME_VERSION

from splittally_tools.cli.completion import SHELLS, is_installed
from splittally_tools.doctor.finding import GOOD, NOTE, WARNING, Finding

PYTHON_MIN = (3, 11)
FREE_BYTES_MIN = 2**30
SYNC_SECONDS_MAX = 0.05  # a commit waits for one; twenty a second is little
SYNCS = 5
BEGAN_NS = 1_704_067_200 * 10**9  # 2024: a clock before it was never set
COLUMNS_MIN = 80


def check_machine(folder: Path) -> list[Finding]:
    """Every check of the machine, with the disk of `folder` or of what is above it."""
    near = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    made = (_python, _engine, _store, _codec, _compiler, _clock, _terminal, _completion)
    return [*(check() for check in made), *_disk(near)]


def _python() -> Finding:
    said = platform.python_version()
    if sys.version_info[:2] < PYTHON_MIN:
        return Finding("python", WARNING, f"Python {said} is older than 3.11", "install Python 3.11 or later")
    return Finding("python", GOOD, f"Python {said}")


def _engine() -> Finding:
    found = _version("wasmtime")
    mend = f"python -m pip install wasmtime=={WASMTIME_VERSION}"
    if found != WASMTIME_VERSION:
        text = f"verdicts are decided by wasmtime {WASMTIME_VERSION}; here is {found or 'none'}"
        return Finding("engine", WARNING, text, mend)
    return Finding("engine", GOOD, f"wasmtime {found}")


def _store() -> Finding:
    found = _version("lmdb")
    if found is None:
        return Finding(
            "store", WARNING, "lmdb is not installed: no world can be opened", "python -m pip install lmdb"
        )
    return Finding("store", GOOD, f"lmdb {found}")


def _codec() -> Finding:
    if _version("cbrrr") is None:
        text = "the fast codec is not installed; records are read and written by the plain one"
        return Finding("codec", NOTE, text, "python -m pip install cbrrr")
    return Finding("codec", GOOD, "the fast codec is there")


def _compiler() -> Finding:
    language = LANGUAGES["zig"]
    found = _version(language.package)
    if found != language.version:
        text = (
            f"the compiler of enforcers in Zig and C, {language.package} {language.version}, is not installed"
        )
        return Finding("compiler", NOTE, f"{text}; only `enforcer build` needs it", language.install_command)
    return Finding("compiler", GOOD, f"{language.package} {found}")


def _disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free at `{folder}`"
    is_short = free < FREE_BYTES_MIN
    yield Finding("disk", WARNING if is_short else GOOD, text, "make room on this disk" if is_short else "")
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            yield _sync(file.fileno())
            yield _lock(file.fileno())
    except OSError as error:
        text = f"nothing can be written at `{folder}`: {error.strerror}"
        yield Finding("writing", WARNING, text, f"give this user the right to write `{folder}`")


def _sync(fd: int) -> Finding:
    took = []
    for _ in range(SYNCS):
        os.write(fd, bytes(4_096))
        began = time.perf_counter()
        os.fdatasync(fd)
        took.append(time.perf_counter() - began)
    median = sorted(took)[SYNCS // 2]
    text = f"a commit waits {1_000 * median:.1f} ms for the disk"
    if median > SYNC_SECONDS_MAX:
        return Finding(
            "sync", WARNING, text, "keep the world on a faster disk, or submit several intents at once"
        )
    return Finding("sync", GOOD, text)


def _lock(fd: int) -> Finding:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        text = f"the file system gives no locks ({error.strerror}): two writers could not be kept apart"
        return Finding("locks", WARNING, text, "keep the world on a local disk")
    return Finding("locks", GOOD, "the file system gives locks")


def _clock() -> Finding:
    now_ns, boot_ns = time.time_ns(), read_boot_ns()
    if now_ns < BEGAN_NS or now_ns < boot_ns:
        return Finding("clock", WARNING, "the clock of this machine is not set", "timedatectl set-ntp true")
    return Finding("clock", GOOD, f"the clock is set; the machine is up for {boot_ns // 10**9:,} s")


def _terminal() -> Finding:
    if not sys.stdout.isatty():
        return Finding("terminal", GOOD, "standard output is no terminal: nothing is coloured or wrapped")
    columns = shutil.get_terminal_size().columns
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if columns < COLUMNS_MIN or encoding != "utf8":
        text = f"the terminal has {columns} columns and shows {encoding or 'no known encoding'}"
        return Finding("terminal", NOTE, text, "make it 80 columns wide, with a UTF-8 locale")
    return Finding("terminal", GOOD, f"the terminal has {columns} columns")


def _completion() -> Finding:
    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        return Finding("completion", GOOD, "your shell is none that `tally completion` knows")
    if is_installed(shell, os.environ):
        return Finding("completion", GOOD, f"{shell} completes the words of tally")
    return Finding(
        "completion", NOTE, f"{shell} does not complete the words of tally", "tally completion --install"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
