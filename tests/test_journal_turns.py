"""Who waits for the writer's lock, and in which order: the places of a lock file, on a clock of the test."""

import fcntl
import json
import os
from contextlib import ExitStack

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from splittally.core.errors import WorldLocked
from splittally.journal import lock as locks
from splittally.journal.lock import (
    HOLDER_BYTES_MAX,
    PASS_SECONDS,
    POLL_SECONDS,
    WriterLock,
    is_lock_text,
    is_waited_for,
)
from splittally.journal.turns import Ticket, is_wanted


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


@settings(max_examples=60, deadline=None)
@given(places=st.lists(st.integers(0, 5), min_size=1, max_size=24))
def test_whoever_waits_longest_is_next_whoever_of_them_leaves(tmp_path_factory, places):
    """The model is a queue: who is not in it comes to its end, who is in it leaves, wherever that stands."""
    path, queue = tmp_path_factory.mktemp("turns") / "lock", []
    with ExitStack() as files:
        *fds, watching = [files.enter_context(open(path, "ab+")).fileno() for _ in range(7)]
        tickets = [Ticket(fd) for fd in fds]
        for who in places:
            if who in queue:
                tickets[who].give_back()
                queue.remove(who)
            else:
                tickets[who].take()
                queue.append(who)
            assert is_wanted(watching) == bool(queue)
            assert [x for x in queue if tickets[x].is_next] == queue[:1]


class Clock:
    """Seconds that pass only while somebody sleeps; `then` is done once they are past `at`."""

    def __init__(self, at, then):
        self.now, self.at, self.then = 100.0, 100.0 + at, then

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert 0 < seconds <= POLL_SECONDS
        self.now += seconds
        if self.now >= self.at:
            self.at = float("inf")
            self.then()


def waited(path, monkeypatch, held_for, seconds, is_behind):
    """How long a writer waits for a lock that is given back after `held_for`; behind one who is stopped."""
    holder = WriterLock(path)
    holder.acquire()
    clock = Clock(held_for, holder.release)
    monkeypatch.setattr(locks, "time", clock)
    with open(path, "ab+") as file:
        if is_behind:
            Ticket(file.fileno()).take()
        with WriterLock(path, seconds):
            return clock.now - 100


@pytest.mark.parametrize(
    ("held_for", "is_behind", "has_it_after"),
    [
        (0.5 * PASS_SECONDS, False, 0.5 * PASS_SECONDS),
        (1.5 * PASS_SECONDS, False, 1.5 * PASS_SECONDS),
        (0.5 * PASS_SECONDS, True, PASS_SECONDS),
        (1.5 * PASS_SECONDS, True, 2 * PASS_SECONDS),
        (2.25 * PASS_SECONDS, True, 3 * PASS_SECONDS),
    ],
)
def test_behind_one_who_is_stopped_a_writer_tries_once_in_a_while(
    path, monkeypatch, held_for, is_behind, has_it_after
):
    """Else one that is stopped keeps all away, or nobody is next any more once they have waited for long."""
    took = waited(path, monkeypatch, held_for, 60, is_behind)
    assert -1e-6 < took - has_it_after < 4 * POLL_SECONDS


@pytest.mark.parametrize("is_behind", [False, True])
def test_whoever_waited_as_long_as_they_would_gives_up_and_leaves_no_place(path, monkeypatch, is_behind):
    with pytest.raises(WorldLocked) as refused:
        waited(path, monkeypatch, 60, 0.75, is_behind)
    assert refused.value.facts["pid"] == os.getpid()
    assert -1e-6 < locks.time.now - 100.75 < 4 * POLL_SECONDS
    assert not is_waited_for(path)


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        (b'{"pid": 7, "since": "2026-03-03T00:00:00+00:00"}', True),
        (b'{"pid": null, "since": ""}', False),
        (b'["pid", "since"]', False),
        (b'{"pid": 7}', False),
        (b"\xff", False),
        (b"", False),
    ],
)
def test_who_holds_the_lock_is_told_where_the_file_says_it(path, text, is_told):
    path.write_bytes(text)
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(WorldLocked) as refused:
            WriterLock(path, seconds=0).acquire()
    assert (refused.value.facts.get("pid") == 7) == is_told
    assert path.read_bytes() == text


def test_the_file_says_its_holder_and_nothing_else_and_nothing_when_it_is_given_back(path):
    path.write_bytes(b"x" * 300)
    with WriterLock(path):
        assert json.loads(path.read_bytes())["pid"] == os.getpid()
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    ("text", "is_lock"),
    [
        (None, True),
        (b"", True),
        (b'{"p', True),
        (b'{"pid": 7, "since": ""}', True),
        (b'{"pid": ' + b"7" * (HOLDER_BYTES_MAX - 8), True),
        (b'{"pid": ' + b"7" * (HOLDER_BYTES_MAX - 7), False),
        (b'{"p": 7}', False),
        (b"x", False),
    ],
)
def test_a_file_is_taken_for_a_lock_where_it_says_what_a_lock_does(path, text, is_lock):
    """What is none is somebody's file: a world is not made over it."""
    if text is not None:
        path.write_bytes(text)
    assert is_lock_text(path) == is_lock
