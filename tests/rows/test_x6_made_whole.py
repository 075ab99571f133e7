"""Row X6-31: a world is made whole or not at all.

Whatever ends or refuses the making, whoever asks next has a world, with the clock that is asked for.
What looks like anything but a making that was cut off is not ours: it is refused, and stays as it is.
"""

import errno
import json

import pytest
import splittally
from splittally.core.errors import NoWorld
from splittally.journal.lmdb import LmdbStore

from tests.cli_tools import run
from tests.failing_calls import enumerate_points, library

ENDED = -1
SAMPLE = 16  # calls between two that are tried in every run


def unfinished(folder, names):
    """A folder as a making leaves it that was cut off."""
    folder.mkdir()
    if "lock" in names:
        (folder / "lock").write_text(json.dumps({"pid": 1, "since": "2026-01-01T00:00:00+00:00"}))
    if "journal.new" in names:
        (folder / "journal.new").mkdir()
    if "data.mdb" in names:
        (folder / "journal.new" / "data.mdb").write_bytes(bytes(4096))
    return folder


def everything(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.req("X6-31")
@pytest.mark.parametrize("names", [["lock"], ["lock", "journal.new"], ["lock", "journal.new", "data.mdb"]])
def test_a_making_that_was_cut_off_is_made_again_with_the_clock_that_is_asked_for(folder, names):
    with splittally.open(unfinished(folder / "w", names), clock="given") as kernel:
        assert kernel.state.clock == "given"
    assert sorted(path.name for path in (folder / "w").iterdir()) == ["journal", "lock"]


@pytest.mark.req("X6-31")
def test_init_finishes_what_it_was_cut_off_in_and_nothing_else_makes_a_world_by_accident(folder):
    made = unfinished(folder / "w", ["lock", "journal.new", "data.mdb"])
    assert run("-w", made, "tick").code == 3
    assert run("-w", made, "init", "--clock", "given").code == 0
    with splittally.open(made) as kernel:
        assert kernel.state.clock == "given"


@pytest.mark.req("X6-31")
def test_a_journal_without_a_frame_is_no_world_for_whoever_does_not_make_one(folder):
    """It would have been made with another clock than `init` was asked for."""
    (folder / "cut").mkdir()
    LmdbStore(folder / "cut" / "journal", writable=True).close()
    assert run("-w", folder / "cut", "tick").code == 3
    assert run("-w", folder / "cut", "init", "--clock", "given").code == 0
    with splittally.open(folder / "cut") as kernel:
        assert kernel.state.clock == "given"


@pytest.mark.req("X6-31")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lock", b"my own notes"),
        ("lock", b"x" * 2_000),
        ("journal.new", b"a file of mine"),
        ("journal.new/notes", b"mine"),
        ("journal.new/data.mdb", bytes(100_000)),
        ("index/1", b"mine"),
        ("anything", b""),
    ],
)
def test_what_is_not_ours_is_refused_and_stays_as_it_is(folder, name, content):
    path = unfinished(folder / "w", []) / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    before = everything(folder)
    with pytest.raises(NoWorld):
        splittally.open(folder / "w")
    assert everything(folder) == before


@pytest.mark.req("X6-31")
def test_a_link_is_not_followed_to_what_is_elsewhere(folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "data.mdb").write_bytes(b"mine")
    (unfinished(folder / "w", []) / "journal.new").symlink_to(folder / "mine")
    with pytest.raises(NoWorld):
        splittally.open(folder / "w")
    assert (folder / "mine" / "data.mdb").read_bytes() == b"mine"


def made_whole(folder, step):
    """Tries every `step`-th call of a making, ended before it or refused; how many were tried."""
    shim = library(folder)
    for name in ("counted", "tried"):
        (folder / name).mkdir()
    counted = enumerate_points(shim, folder / "counted", [["making", "any", 0, 0, 0]])
    points = [
        ["making", "any", nth, error, 1]
        for error in (ENDED, errno.EIO, errno.ENOSPC, errno.EMFILE)
        for nth in range(1, counted[0].count + 1)
    ][::step]
    for came in enumerate_points(shim, folder / "tried", points):
        assert (came.later, came.clock, came.left) == ("fine", "given", []), came
    return len(points)


@pytest.mark.req("X6-31")
def test_a_making_that_is_ended_or_refused_at_some_call_is_finished_by_whoever_asks_next(folder):
    assert made_whole(folder, SAMPLE) > 15


@pytest.mark.soak
def test_a_making_that_is_ended_or_refused_at_any_call_is_finished_by_whoever_asks_next(folder):
    print(f"\na making was ended or refused at {made_whole(folder, 1)} points")
