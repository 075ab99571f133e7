"""Whatever becomes of what lies beside the journal, and whenever: an opened world goes on as it was."""

import os
import random
import shutil
from pathlib import Path

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given, settings
from splittally import Intent
from splittally.runtime.reader import open_reader
from splittally_tools.audit.verify import verify

from tests.conftest import folder_in_memory
from tests.rows.worlds import ACT, budget, manifest, reserves, save_snapshot, settle

BESIDE = ("snapshots", "index")

steps = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 9)),
    st.tuples(st.just("runs"), st.integers(9, 27)),
    st.tuples(st.just("settle"), st.integers(0, 9)),
    st.tuples(st.just("flush"), st.just(0)),
    st.tuples(st.just("save"), st.just(0)),
    st.tuples(st.just("close"), st.just(0)),
    st.tuples(st.just("crash"), st.just(0)),
    st.tuples(st.sampled_from(["lose", "cut", "older", "other"]), st.integers(0, 99)),
)


class World:
    """A world under test: what was answered, and the folder as it was at earlier times."""

    def __init__(self, home: Path) -> None:
        self.home, self.folders, self.copies = home, 0, []
        self.path = self.folder()
        self.kernel = opened(self.path)
        assert self.kernel.apply(manifest(budget(tokens=10**6))).allowed
        self.answers: dict[bytes, int] = {}  # the frame that decided a key
        self.held: list[bytes] = []

    def folder(self) -> Path:
        self.folders += 1
        return self.home / str(self.folders)

    def ask(self, count: int) -> None:
        for _ in range(count):
            key = len(self.answers).to_bytes(32)
            decision = self.kernel.submit(asked(key))
            assert (decision.allowed, decision.duplicate) == (True, False)
            self.answers[key] = decision.seq
            self.held.append(decision.intent_hash)
            if len(self.answers) % 2:  # what has ended is known by the index alone
                self.settle(-1)

    def settle(self, at: int) -> None:
        if self.held:
            digest = self.held.pop(at % len(self.held))
            assert settle(self.kernel, digest, {"tokens": 1}).status == "settled"

    def flush(self, _: int) -> None:
        self.kernel._world.flush_index()

    def runs(self, count: int) -> None:
        """Three runs that are not merged, because each is much smaller than the one before."""
        for part in (count, count // 3, count // 9):
            self.ask(part)
            self.flush(0)

    def save(self, _: int) -> None:
        save_snapshot(self.kernel)

    def close(self, _: int) -> None:
        self.reopen(self.path, is_whole=True)

    def crash(self, _: int) -> None:
        """What a process that is killed between two commits leaves."""
        self.reopen(self.copy(), is_whole=True)

    def lose(self, at: int) -> None:
        path = self.copy()
        if file := chosen(path, at):
            file.unlink()
        self.reopen(path)

    def cut(self, at: int) -> None:
        path = self.copy()
        if file := chosen(path, at):
            os.truncate(file, file.stat().st_size // 2)
        self.reopen(path)

    def older(self, at: int) -> None:
        """The files beside the journal are those of an earlier time."""
        path = self.copy()
        if self.copies:
            mix(self.copies[at % len(self.copies)], path)
        self.reopen(path)

    def other(self, at: int) -> None:
        """The files beside the journal are those of another world, which has no more frames than this one."""
        path, foreign = self.copy(), self.folder()
        with opened(foreign, seed=at) as kernel:
            assert kernel.apply(manifest(budget(tokens=5))).allowed
            save_snapshot(kernel)
        if self.kernel.state.seq >= foreign_size(foreign):
            mix(foreign, path)
        self.reopen(path)

    def copy(self) -> Path:
        path = self.folder()
        shutil.copytree(self.path, path)
        self.copies.append(path)
        return shutil.copytree(path, self.folder())

    def reopen(self, path: Path, is_whole: bool = False) -> None:
        root, size = self.kernel.state.root, self.kernel.state.seq
        self.kernel.close()
        self.path, self.kernel = path, opened(path)
        assert not (is_whole and self.kernel.repairs)
        assert self.kernel.state.root == root
        assert self.kernel.state.seq == size or not is_whole
        self.require_as_it_was()
        with open_reader(path) as reader:
            report = verify(reader)
            assert (report.is_sound, report.problems) == (True, [])

    def require_as_it_was(self) -> None:
        """Every key has its first answer still, and who is asked again decides nothing."""
        before = self.kernel.state.seq
        for key, seq in self.answers.items():
            again = self.kernel.submit(asked(key))
            assert (again.duplicate, again.seq) == (True, seq)
        assert self.kernel.state.seq == before
        assert sorted(self.kernel.state.reservations) == sorted(self.held)


def opened(path: Path, seed: int = 0):
    return splittally.open(path, clock="given", entropy=random.Random(seed).randbytes)


def asked(key: bytes) -> Intent:
    return Intent(ACT, {"a": reserves({"tokens": 1})}, "g", idempotency_key=key)


def chosen(path: Path, at: int) -> Path | None:
    files = sorted(file for name in BESIDE for file in (path / name).glob("*"))
    return files[at % len(files)] if files else None


def mix(source: Path, path: Path) -> None:
    for name in BESIDE:
        shutil.rmtree(path / name, ignore_errors=True)
        if (source / name).exists():
            shutil.copytree(source / name, path / name)


def foreign_size(path: Path) -> int:
    with open_reader(path) as reader:
        return reader.head.size


@pytest.mark.req("X6-18", "X6-34")
@settings(max_examples=12)
@given(st.lists(steps, min_size=4, max_size=16))
def test_a_world_goes_on_as_it_was_whatever_became_of_the_files_beside_its_journal(steps):
    with folder_in_memory() as home:
        tested = World(home)
        try:
            for name, at in [*steps, ("close", 0)]:
                getattr(tested, name)(at)
        finally:
            tested.kernel.close()
