"""`tally top`: a frame fits its screen, tells what the world says, and never waits for the writer."""

import os
import pty
import select
import signal
import subprocess
import time

import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally import Intent
from splittally.edge.wording import Wording
from splittally.runtime.reader import open_reader
from splittally_tools.cli.top_frame import frame_of, lines_of

from tests.cli_tools import busy_world, command, environment, run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return busy_world(tmp_path_factory.mktemp("top") / "world")


@pytest.fixture(scope="module")
def frame(world):
    with open_reader(world) as reader:
        return frame_of(reader)


def texts(frame, width=80, height=24):
    return [text for _, text in lines_of(frame, Wording({"USD": 2}), width, height)]


def test_a_frame_tells_what_the_world_says(world, frame):
    with open_reader(world) as reader:
        state = reader.state
        assert frame["open"]["reserved"] == len(state.reservations)
        assert frame["spend"]["charged"] == {"tokens": state.counters["child"]["tokens"].spent}
    assert [row["outcome"] for row in frame["decisions"]][:1] == ["deny"] or frame["decisions"]
    assert {row["account"] for row in frame["accounts"]} >= {"accounts/team", "accounts/vendor"}
    shares = [row["used"] / row["limit"] for row in frame["limits"]]
    assert shares == sorted(shares, reverse=True)


def test_a_frame_at_80_by_24_holds_every_section(frame):
    lines = texts(frame)
    assert len(lines) <= 24
    assert all(len(line) <= 80 for line in lines)
    for title in ("waiting for approval: none", "last decisions: ", "nearest their limit: ", "accounts: "):
        assert any(line.startswith(title) for line in lines), title
    assert any("deny (budget_exceeded)" in line for line in lines)
    assert any("accounts/team: 10.00 USD" in line for line in lines)
    assert any("child: " in line and "of 400 tokens in all" in line for line in lines)


@given(width=st.integers(20, 200), height=st.integers(11, 80))
def test_a_frame_fits_any_screen(frame, width, height):
    lines = texts(frame, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("accounts") for line in lines) == 1


def test_what_waits_is_shown_with_the_hash_to_answer(frame):
    digest = bytes(range(32))
    waits = {"intent_hash": digest, "kind": "a\x1b[31m", "principal": "bob", "age_ns": 65 * 10**9}
    lines = texts({**frame, "waiting": [waits] * 9})
    assert any(line == f"  {digest.hex()[:12]} a\\x1b[31m for bob, 1m 5s" for line in lines)
    assert "waiting for approval: 9, 5 more" in lines


def test_a_pipe_gets_one_frame_and_json_one_document(world):
    ran = run("-w", world, "top")
    assert (ran.code, ran.out.startswith("frame ")) == (0, True)
    assert run("-w", world, "top", "--once").out == ran.out
    document = run("-w", world, "top", "--json").json
    assert {"seq", "spend", "open", "waiting", "decisions", "limits", "accounts"} <= set(document)


def test_a_frame_is_read_beside_a_writer(tmp_path):
    world = busy_world(tmp_path / "world")
    with splittally.open(world) as kernel:
        before = run("-w", world, "top", "--json").json
        kernel.submit(Intent("llm.generate", {"model": "m", "max_tokens": 1}, "pool"))
        assert run("-w", world, "top", "--json").json["seq"] == before["seq"] + 1


@pytest.mark.parametrize("ending", ["q", "interrupt"])
def test_at_a_terminal_it_goes_on_until_it_is_ended(world, ending):
    master, slave = pty.openpty()
    child = subprocess.Popen(
        command("-w", world, "top", "--interval", "0.2"),
        env=environment(TERM="xterm", COLUMNS="80", LINES="24"), stdin=slave, stdout=slave, stderr=slave,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    seen, deadline = b"", time.monotonic() + 30
    while seen.count(b"last decisions") < 2 and time.monotonic() < deadline:
        if select.select([master], [], [], 0.5)[0]:
            seen += os.read(master, 65_536)
    os.write(master, b"q") if ending == "q" else child.send_signal(signal.SIGINT)
    while child.poll() is None and time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            os.read(master, 65_536)
    os.close(slave)
    os.close(master)
    assert child.wait(5) == 0
    assert seen.count(b"last decisions") >= 2
