"""The frames from the command line: the feed of changes, one intent's life, why, and export."""

import csv
import io
import json
import subprocess

import cbor2
import pytest
import splittally
from splittally import Intent
from splittally.core.errors import InvalidInput
from splittally.core.hashing import hash_frame
from splittally.runtime.reader import open_reader
from splittally_tools.cli import records

from tests.cli_tools import MANIFEST, busy_world, command, environment, intent, make_world, receipt, run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return busy_world(tmp_path_factory.mktemp("records") / "world")


@pytest.fixture
def fresh(tmp_path):
    return make_world(tmp_path / "world")


# --- the feed of changes ----------------------------------------------------------------------------


@pytest.mark.req("X5-20")
def test_a_reader_that_resumes_sees_exactly_what_came_since(fresh):
    with splittally.open(fresh) as kernel:
        kernel.submit([Intent("llm.generate", {"model": "m", "max_tokens": 1}, "pool") for _ in range(698)])
    first = run("-w", fresh, "log").lines
    assert [line["seq"] for line in first] == list(range(700))
    with splittally.open(fresh) as kernel:
        kernel.submit([Intent("llm.generate", {"model": "m", "max_tokens": 1}, "pool") for _ in range(300)])
    resumed = run("-w", fresh, "log", "--from", first[-1]["seq"] + 1).lines
    assert [line["seq"] for line in resumed] == list(range(700, 1_001))  # the last anchors the snapshot
    assert resumed[0]["prev"] == first[-1]["hash"]
    assert run("-w", fresh, "log", "--from", 1_001).out == ""
    assert [line["seq"] for line in run("-w", fresh, "log", "--from", 5, "--to", 7).lines] == [5, 6, 7]


@pytest.mark.req("X5-20")
def test_a_follower_is_told_of_every_frame_that_comes(fresh):
    child = subprocess.Popen(
        command("-w", fresh, "log", "--from", 2, "--follow"), env=environment(), stdout=subprocess.PIPE
    )
    run("-w", fresh, "submit", text=intent("pool", 1) * 70)
    run("-w", fresh, "submit", text=intent("pool", 1) * 30)
    seqs = [json.loads(child.stdout.readline())["seq"] for _ in range(100)]
    child.terminate()
    child.wait(30)
    child.stdout.close()
    assert seqs == list(range(2, 102))


def test_a_follower_sees_each_frame_once_and_ends_with_the_last_that_it_was_told(fresh, monkeypatch):
    """Nobody need write another frame for that."""

    def somebody_writes(_):
        with splittally.open(fresh) as kernel:
            assert kernel.state.seq < 6, "it waits for a frame that it was not told to show"
            kernel.submit([Intent("llm.generate", {"model": "m", "max_tokens": 1}, "pool")] * 2)

    monkeypatch.setattr(records.time, "sleep", somebody_writes)
    for last in (1, 5):
        lines = run("-w", fresh, "log", "--from", 0, "--to", last, "--follow").lines
        assert [line["seq"] for line in lines] == list(range(last + 1))


def test_an_export_has_the_frames_from_the_first_to_the_last_that_are_named(world):
    lines = run("-w", world, "export", "--from", 2, "--to", 4).lines
    assert [line["seq"] for line in lines] == [2, 3, 4]


def test_the_feed_can_be_narrowed_to_a_kind(world):
    assert {line["command"]["type"] for line in run("-w", world, "log", "--kind", "settle").lines} == {
        "settle"
    }
    assert len(run("-w", world, "log", "--kind", "released").lines) == 1
    assert len(run("-w", world, "log", "--kind", "money").lines) == 2
    assert [line["seq"] for line in run("-w", world, "log", "--kind", "grant").lines] == [0, 1]
    assert len(run("-w", world, "log", "--kind", "llm.generate").lines) == 9


def test_an_intent_shows_every_frame_that_speaks_of_it(world):
    settled = run("-w", world, "log", "--kind", "settle").lines[0]
    digest = settled["command"]["intent_hash"]
    frames = run("-w", world, "show", digest, "--json").json["frames"]
    assert [frame["command"]["type"] for frame in frames] == ["submit", "settle"]  # each once
    assert frames[0]["command"]["members"][0]["params"] == {"model": "m", "max_tokens": 5}
    assert "Check" in frames[0]["seen"][0]["answer"]
    by_seq = run("-w", world, "show", settled["seq"], "--json").json
    assert by_seq == run("-w", world, "show", by_seq["hash"], "--json").json["frames"][0]


# --- why --------------------------------------------------------------------------------------------


def test_a_refusal_names_grant_module_numbers_and_what_to_do(world):
    denied = next(
        event
        for line in run("-w", world, "log").lines
        for event in line["events"]
        if event["type"] == "decided" and event["outcome"] == "deny"
    )
    found = run("-w", world, "explain", denied["intent_hash"], "--json").json
    leaf, root = found["chain"]
    modules = {
        row["name"]: row["module"] for row in run("-w", world, "enforcer", "list", "--json").json["modules"]
    }
    assert leaf["module"] == {
        "name": "sys/CapEnforceLlm@1", "hash": modules["sys/CapEnforceLlm@1"],
    }  # fmt: skip
    assert leaf["answer"] == {"constraints_ok": True, "reserve_estimate": {"tokens": 500}}
    assert (root["grant"], root["module"]) == ("root", None)
    finding = found["findings"][0]
    facts = finding["facts"]
    assert (finding["stage"], finding["code"], facts["grant"]) == ("ledger", "budget_exceeded", "cap_llm")
    assert (facts["needed"], facts["available"], facts["dim"]) == (500, 100, "tokens")
    assert found["next"] == ["top_up"]
    people = run("-w", world, "explain", denied["intent_hash"]).out
    for said in (
        "budget_exceeded",
        "500 tokens are needed and 100 tokens are left",
        "sys/CapEnforceLlm@1",
        "raise the limit",
    ):
        assert said in people


def test_an_allowed_intent_is_explained_with_its_whole_life(world):
    settled = run("-w", world, "log", "--kind", "settle").lines[0]
    found = run("-w", world, "explain", settled["command"]["intent_hash"], "--json").json
    assert (found["outcome"], found["status"], found["reserve"]) == ("allow", "settled", {"tokens": 5})
    assert [link["grant"] for link in found["chain"]] == ["child", "pool", "root"]
    assert [later["type"] for later in found["then"]] == ["settled"]
    assert not found["policy"]["exists"]


def test_an_explanation_is_of_the_time_of_the_decision(fresh):
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["policy"] = [
        {"name": "no-models", "decision": "deny", "effect_kind": "llm.generate", "cap_name": "pool"},
        {"name": "rest", "decision": "allow"},
    ]
    file = fresh.with_suffix(".policy.json")
    file.write_text(json.dumps(manifest))
    run("-w", fresh, "apply", file)
    denied = run("-w", fresh, "submit", text=intent("pool", 1, idempotency_key="ab" * 32)).lines[0]
    run("-w", fresh, "apply", fresh.with_suffix(".json"))
    found = run("-w", fresh, "explain", denied["intent_hash"], "--json").json
    assert found["policy"]["name"] == "no-models"
    assert found["policy"]["rule"] == 0
    assert found["findings"][0]["code"] == "policy_denied"
    assert "new_key" in found["next"]


# --- export -----------------------------------------------------------------------------------------


def test_a_cbor_sequence_is_the_journal_byte_for_byte(world, tmp_path):
    file = tmp_path / "journal.cborseq"
    assert run("-w", world, "export", "--format", "cborseq", "--out", file).code == 0
    data, frames = io.BytesIO(file.read_bytes()), []
    while data.tell() < len(file.read_bytes()):
        start = data.tell()
        cbor2.load(data)
        frames.append(file.read_bytes()[start : data.tell()])
    hashes = [line["hash"] for line in run("-w", world, "log").lines]
    assert [hash_frame(frame).hex() for frame in frames] == hashes


def test_an_ndjson_export_leaves_nothing_out(world):
    lines = run("-w", world, "export").lines
    assert len(lines) == len(run("-w", world, "log").lines)
    wasm = [event["value"] for event in lines[0]["events"] if event.get("table") == "blobs"]
    assert any(value.startswith("0061736d") for value in wasm)
    assert lines[2]["seen"]


def test_a_csv_cell_starts_no_formula(fresh):
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["grants"]["=1+1"] = {"cap": "sys/allow@1"}
    file = fresh.with_suffix(".csv.json")
    file.write_text(json.dumps(manifest))
    run("-w", fresh, "apply", file)
    decided = run("-w", fresh, "submit", text=intent("=1+1", 1)).lines[0]
    run("-w", fresh, "settle", text=receipt(decided["intent_hash"]))
    rows = list(csv.DictReader(io.StringIO(run("-w", fresh, "export", "--format", "csv").out)))
    (row,) = (row for row in rows if row["intent_hash"] == decided["intent_hash"])
    assert (row["grant_name"], row["chain"], row["status"]) == ("'=1+1", "'=1+1 < root", "settled")


def test_an_export_that_cannot_be_written_says_so_and_leaves_nothing(world, tmp_path):
    ran = run("-w", world, "export", "--out", tmp_path / "none" / "file")
    assert ran.code == 3
    assert list(tmp_path.iterdir()) == []


# --- a frame that is not there ----------------------------------------------------------------------


@pytest.mark.parametrize("beyond", [0, 1, 10**6])
def test_every_door_says_alike_that_a_frame_is_not_there(world, beyond):
    with open_reader(world) as reader:
        last = reader.head.size - 1
        seq = last + 1 + beyond
        text = f"there is no frame {seq}; the last is {last}"
        with pytest.raises(InvalidInput, match=text):
            reader.at(seq)
    with splittally.open(world) as kernel, pytest.raises(InvalidInput, match=text):
        kernel.at(seq)
    for words in (
        ["show", seq],
        ["state", "--at", seq],
        ["trace", seq],
        ["prove", seq],
    ):
        assert text in json.dumps(run("-w", world, "--json", *words).json), words


@pytest.mark.parametrize("seq", [-1, -(10**30), True, 1.0, "1", None])
def test_what_is_no_sequence_is_refused_by_who_reads_an_older_state(world, seq):
    with open_reader(world) as reader, splittally.open(world) as kernel:
        for read in (reader.at, kernel.at):
            with pytest.raises(InvalidInput):
                read(seq)
