"""Hashes for people: 12 digits out, and any beginning that only one has comes in."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.events import Decided
from splittally.core.limits import KEY_BYTES
from splittally.journal.frame import EMPTY, Head
from splittally.journal.index import Index
from splittally.runtime.reader import open_reader
from splittally_tools.cli import hashes

from tests.cli_tools import busy_world, intent, receipt, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return busy_world(tmp_path_factory.mktemp("hashes") / "w")


def decided(folder) -> list[str]:
    with open_reader(folder) as reader:
        told = [event for record in reader.records() for event in record.body.out]
    return [event.intent_hash.hex() for event in told if isinstance(event, Decided)]


@given(st.sets(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES), max_size=40), st.integers(2, 12))
def test_an_index_gives_the_keys_that_begin_so(keys: set[bytes], digits: int) -> None:
    index = Index(None)
    for key in keys:
        index.put(key, 1)
    for key in keys:
        beginning = key.hex()[:digits]
        assert index.keys(beginning) == sorted(x for x in keys if x.hex().startswith(beginning))


def test_an_index_finds_keys_in_its_files_too(tmp_path) -> None:
    index, keys = (
        Index(tmp_path / "i", writable=True),
        [bytes([7, n]) + os.urandom(KEY_BYTES - 2) for n in range(9)],
    )
    for size, key in enumerate(keys):
        index.put(key, size)
        if size % 3 == 2:
            index.flush(Head(size + 1, EMPTY.hash))
    assert index.keys("070") == sorted(keys)
    assert index.keys(keys[4].hex()[:7]) == [keys[4]]


@pytest.mark.req("X8-04")
@pytest.mark.parametrize("digits", [4, 5, 12, 63])
def test_a_beginning_is_taken_wherever_a_hash_is(folder, digits) -> None:
    every = decided(folder)
    whole = next(x for x in every if sum(y.startswith(x[:4]) for y in every) == 1)
    for command in (["outcome"], ["explain"], ["show"]):
        full, short = (run("-w", folder, "--json", *command, x).out for x in (whole, whole[:digits]))
        assert full == short
    (paid,) = run("-w", folder, "--json", "log", "--kind", "ledger.transfer").lines
    with open_reader(folder) as reader:
        moved = reader.record(paid["seq"]).body.command.members[0].intent_hash.hex()
    assert "2.50 USD" in run("-w", folder, "trace", moved[:digits]).out
    frame = paid["hash"]
    assert run("-w", folder, "--json", "show", frame[:12]).json["frames"][0]["hash"] == frame
    grant = run("-w", folder, "--json", "grants", "pool").json["grants"]["pool"]["grant_hash"]
    assert "pool" in run("-w", folder, "--json", "grants", grant[:8]).json["grants"]


@pytest.mark.req("X8-04")
def test_digits_alone_are_a_hash_where_there_is_no_such_frame(tmp_path) -> None:
    folder = busy_world(tmp_path / "w")
    lines = run("-w", folder, "submit", text=(intent("pool", 1) + "\n") * 200).lines
    asked = [line["intent_hash"] for line in lines]
    whole = next(x for x in asked if x[:4].isdecimal() and int(x[:4]) > 500)
    assert (
        run("-w", folder, "--json", "show", whole[:4]).json == run("-w", folder, "--json", "show", whole).json
    )
    assert "under" in run("-w", folder, "--json", "trace", whole[:4]).out
    for command in ("show", "trace"):
        told = run("-w", folder, command, "999999")
        assert told.code and "there is no frame 999999" in told.out + told.err
    assert run("-w", folder, "--json", "show", "3").json["seq"] == 3
    for digits in {x[:3] for x in asked if x[:3].isdecimal() and int(x[:3]) > 250}:  # too few to begin a hash
        assert "there is no frame" in run("-w", folder, "trace", digits).out


@pytest.mark.req("X8-04")
def test_what_changes_an_intent_takes_a_beginning(tmp_path) -> None:
    folder = busy_world(tmp_path / "w")
    asked = run("-w", folder, "submit", text=intent("pool", 3)).json["intent_hash"]
    answer = run("-w", folder, "--json", "release", asked[:10])
    assert (answer.json["status"], answer.json["intent_hash"]) == ("released", asked)
    asked = run("-w", folder, "submit", text=intent("pool", 3)).json["intent_hash"]
    released = run(
        "-w", folder, "--json", "native", "reservation.release", "--intent-hash", asked[:10], "--order", "o"
    )
    assert released.code == 0, released
    assert run("-w", folder, "settle", text=receipt(asked[:10])).json["status"] == "invalid"


@pytest.mark.req("X8-04")
def test_a_beginning_of_several_or_of_none_is_told(folder) -> None:
    missing = run("-w", folder, "outcome", "0123abcd")
    assert missing.code == 2 and "no hash here begins with `0123abcd`" in missing.err
    assert run("-w", folder, "outcome", "abc").code == 2
    assert run("-w", folder, "outcome", "f" * 64).code == 1
    for command in ("outcome", "explain", "show"):
        for text in ("f" * 64, "0123abcd"):
            told = run("-w", folder, command, text)
            assert "`tally log` lists what was decided" in told.out + told.err


@pytest.mark.req("X8-04")
def test_a_beginning_of_two_lists_both(folder, monkeypatch) -> None:
    every = decided(folder)
    twins = [bytes.fromhex(every[0]), bytes.fromhex(every[0][:6] + every[1][6:])]
    monkeypatch.setattr(hashes, "intents", lambda reader, beginning: twins)
    told = run("-w", folder, "explain", every[0][:6])
    assert told.code == 2 and all(twin.hex()[:12] in told.err for twin in twins)


@pytest.mark.parametrize("command", ["outcome", "explain", "release", "approve", "reject"])
@pytest.mark.parametrize("text", ["5", "zzzz", "0" * 65])
def test_what_is_no_hash_of_an_intent_is_told_where_hashes_are(folder, command, text) -> None:
    ran = run("-w", folder, command, text)
    assert (ran.code, f"`{text}` is no hash" in ran.err, "`tally log` lists them" in ran.err) == (
        2,
        True,
        True,
    )
