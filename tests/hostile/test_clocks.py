"""Time that is not the caller's to say, goes back, jumps to its end, or stands still."""

import json
import time

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, InvalidInput, Receipt

from tests.hostile.test_inputs import is_readable
from tests.rows.worlds import (
    ACT,
    act,
    apply,
    bodies,
    books,
    codes,
    few,
    held,
    manifest,
    reserves,
    settle,
    tally,
    world,
)

LAST = 2**63 - 1


class Clock:
    """A host's clock that a test sets."""

    def __init__(self, *readings):
        self.readings = list(readings)

    def __call__(self):
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]


def host_world(*readings, path=None, **terms):
    kernel = splittally.open(path, clock=Clock(*readings))
    apply(kernel, manifest({"g": {"budget": {"tokens": 1_000}, **terms}}))
    return kernel


@pytest.mark.parametrize("now_ns", [0, 1, LAST, 2**63, -1, "soon", 1.0, True])
def test_nobody_says_the_time_in_a_world_whose_clock_is_the_hosts(now_ns):
    """One line with 2^63 would expire everything."""
    with host_world(1_000, hold_ns_max=10) as kernel:
        digest = held(kernel, {"tokens": 1})
        frames, before = kernel.state.seq, books(kernel)
        intent = Intent(ACT, {"a": reserves({})}, "g")
        for told in (kernel.submit(intent, now_ns=now_ns), kernel.decide(intent, now_ns=now_ns)):
            assert (told.seq, codes(told)) == (None, ["time.not_yours"])
        for group in (
            kernel.submit([intent] * 2, mode="all", now_ns=now_ns),
            [kernel.submit([intent], "first", now_ns)],
        ):
            assert all(codes(told) == ["time.not_yours"] for told in group)
        for ask in (
            lambda: kernel.settle(Receipt(digest, "ok"), now_ns=now_ns),
            lambda: kernel.release(digest, now_ns=now_ns),
            lambda: kernel.extend(digest, LAST, now_ns=now_ns),
            lambda: kernel.tick(now_ns=now_ns),
        ):
            with pytest.raises(InvalidInput) as error:
                ask()
            assert error.value.facts["code"] == "time.not_yours"
        assert codes(kernel.approve(digest, now_ns=now_ns)) == ["time.not_yours"]
        assert (kernel.state.seq, books(kernel)) == (frames, before)


def test_a_line_that_says_the_time_is_refused_on_the_command_line_too(folder):
    path = folder / "w"
    assert tally(path, "init")[0] == 0
    line = {"kind": "account.open", "params": {"account": "a"}, "grant": "root"}
    code, told = tally(
        path, "submit", stdin=json.dumps({**line, "now_ns": 2**62}) + "\n" + json.dumps(line) + "\n"
    )
    assert code == 1
    assert [answer["outcome"] for answer in told] == ["deny", "allow"]
    assert told[0]["findings"][0]["code"] == "time.not_yours"
    assert tally(path, "--now-ns", "5", "tick")[0] == 2


@few
@given(readings=st.lists(st.integers(0, LAST) | st.integers(0, 100), min_size=1, max_size=12))
def test_a_host_clock_that_jumps_never_takes_time_back_nor_past_its_end(readings):
    with host_world(*readings) as kernel:
        last = 0
        for _ in range(len(readings) + 2):
            act(kernel, {"tokens": 1})
            assert last <= kernel.state.now_ns <= LAST
            last = kernel.state.now_ns
        times = [body.at_ns for body in bodies(kernel)]
        assert times == sorted(times)
        is_readable(kernel)


@few
@given(
    times=st.lists(st.integers(0, 100) | st.integers(LAST - 3, LAST), min_size=1, max_size=10),
    lives=st.integers(1, 50),
)
def test_a_given_time_that_goes_back_counts_as_no_time_at_all(times, lives):
    with world({"g": {"hold_ns_max": lives}}) as kernel:
        last, due = 0, {}
        for now in times:
            last = max(last, now)
            digest = held(kernel, {"tokens": 1}, now_ns=now)
            due[digest] = last + lives
            assert kernel.state.now_ns == last
            assert set(kernel.state.reservations) == {name for name, end in due.items() if end > last}
        is_readable(kernel)


def test_nothing_expires_early_while_a_host_clock_is_wrong_and_nothing_late_once_it_is_right():
    with host_world(1_000, 1_000, 1_000, 500, 1_009, 400, 1_010, hold_ns_max=10) as kernel:
        digest = held(kernel, {"tokens": 1})
        assert kernel.tick() == 0
        assert kernel.tick() == 0
        assert kernel.tick() == 0
        assert digest in kernel.state.reservations
        assert kernel.tick() == 1
        assert digest not in kernel.state.reservations


def test_a_world_at_the_end_of_time_still_decides_settles_and_opens_again(folder):
    grants = {
        "g": {
            "budget": {"tokens": 100},
            "hold_ns_max": LAST,
            "unknown_ns": LAST,
            "approval_ns": LAST,
            "limits": [
                {"dim": "tokens", "per": per, "amount": 50} for per in ("hour", "month", "9999999999ms")
            ],
        }
    }
    with world(grants, folder / "w") as kernel:
        digest = held(kernel, {"tokens": 9}, now_ns=LAST)
        unknown = held(kernel, {"tokens": 9}, expires_ns=None)
        assert settle(kernel, unknown, {}, "unknown").status == "held"
        assert settle(kernel, digest, {"tokens": 9}).status == "settled"
        assert codes(act(kernel, {}, expires_ns=LAST)) == ["already_expired"]
        assert kernel.extend(unknown, LAST).status == "refused"
        root = kernel.state.root
    with splittally.open(folder / "w") as kernel:
        assert kernel.state.root == root
        assert act(kernel, {"tokens": 9}).allowed


def test_opening_again_reads_no_time_into_what_was_recorded(folder):
    """A restart with a clock years ahead changes nothing until somebody says that it is right."""
    path = folder / "w"
    with host_world(1_000, path=path, hold_ns_max=10) as kernel:
        digest = held(kernel, {"tokens": 1})
        root = kernel.state.root
    with splittally.open(path, clock=Clock(time.time_ns() * 2)) as kernel:
        assert kernel.state.root == root
        assert digest in kernel.state.reservations
        assert codes(act(kernel, {"tokens": 1})) == ["clock_jump"]
        assert digest in kernel.state.reservations
        assert kernel.native("clock.accept").allowed
        act(kernel, {"tokens": 1})
        assert digest not in kernel.state.reservations
    with splittally.open(path, clock=Clock(5)) as kernel:
        before = kernel.state.now_ns
        assert act(kernel, {"tokens": 1}).allowed
        assert kernel.state.now_ns == before


def test_the_clock_of_a_world_is_fixed_when_it_is_made(folder):
    splittally.open(folder / "w", clock="given").close()
    for other in ("host", Clock(5)):
        with pytest.raises(InvalidInput):
            splittally.open(folder / "w", clock=other)
    with splittally.open(folder / "w") as kernel:
        assert kernel.state.clock == "given"
    for nonsense in ("sundial", 5, b"given"):
        with pytest.raises(InvalidInput):
            splittally.open(None, clock=nonsense)


def test_what_fell_due_while_nobody_looked_comes_before_the_record_of_another_engine(folder, monkeypatch):
    path = folder / "w"
    with host_world(1_000, path=path, hold_ns_max=10) as kernel:
        held(kernel, {"tokens": 1})
    monkeypatch.setattr("splittally.runtime.opening.current_engine", lambda: "another engine")
    with splittally.open(path, clock=Clock(5_000)) as kernel:
        assert [type(body.command).__name__ for body in bodies(kernel)][-2:] == ["Tick", "Open"]
        assert not kernel.state.reservations
