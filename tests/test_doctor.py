"""The doctor says what is wrong, and the command that mends it; that command does."""

import json
import shlex
import sqlite3
import time

import pytest
import splittally
from splittally import Intent
from splittally.host.drain import Queue, drain_jobs
from splittally_tools import doctor
from splittally_tools.doctor import machine

from tests.cli_tools import busy_world, intent, make_world, run

APPROVED = {
    "grants": {"cap_llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}},
    "policy": [{"decision": "require_approval"}],
}


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path / "world")


def findings(*words):
    ran = run("doctor", "--json", *words)
    assert ran.code == 0, ran.out
    return {row["check"]: row for row in ran.json["findings"]}


def contents(folder):
    return {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_a_sound_world_has_nothing_to_mend_and_is_left_as_it_is(tmp_path):
    world = busy_world(tmp_path / "world")
    assert run("-w", world, "stats", "update").code == 0
    before = contents(world)
    found = findings("-w", world)
    assert {row["severity"] for row in found.values()} <= {"good", "note", "warning"}
    for check in ("journal", "writer", "files", "release", "statistics", "engine", "store", "locks", "sync"):
        assert found[check]["severity"] == "good", found[check]
    assert contents(world) == before
    assert "verify" in run("doctor", "-w", world).out


def test_damage_is_told_with_its_mend_and_ends_with_one(world, tmp_path):
    file = world / "journal" / "data.mdb"
    file.write_bytes(file.read_bytes()[:100])
    ran = run("-w", world, "doctor", "--json")
    assert (ran.code, ran.json["worst"]) == (1, "damage")
    assert ran.json["findings"][0]["check"] == "journal"
    assert ran.json["findings"][0]["mend"] == f"tally salvage {world} NEW"


def test_where_there_is_no_world_it_is_said_and_none_is_made(tmp_path):
    found = findings("-w", tmp_path / "none")
    assert found["world"]["mend"].endswith(" init")
    assert not (tmp_path / "none").exists()
    assert "world" not in findings()


def test_who_writes_the_world_is_named_and_not_waited_for(world):
    with splittally.open(world):
        began = time.monotonic()
        said = findings("-w", world)["writer"]
        assert time.monotonic() - began < 5
    assert said["severity"] == "note"
    assert "process " in said["text"]
    (world / "lock").write_text('{"pid": 1, "since": "long ago"}')  # left by one that was killed
    assert findings("-w", world)["writer"]["severity"] == "good"


def test_what_waits_for_somebody_is_told_until_it_is_done(world):
    with splittally.open(world) as kernel:
        kernel.submit(Intent("llm.generate", {"model": "m", "max_tokens": 100}, "cap_llm"))
        asked = Intent("llm.generate", {"model": "m", "max_tokens": 5}, "pool", attempt=bytes(16))
        started = kernel.submit(asked)
        kernel.dispatch(started.intent_hash, bytes(16))
    found = findings("-w", world)
    assert "cap_llm (tokens)" in found["limits"]["text"]
    assert "native grant.topup" in found["limits"]["mend"]
    assert started.intent_hash.hex()[:12] in found["orphans"]["text"]
    shown = run(*shlex.split(found["orphans"]["mend"])[1:], "--json").json["reservations"]
    assert {row["intent_hash"] for row in shown} == {started.intent_hash.hex()}
    raised = shlex.split(found["limits"]["mend"].replace("GRANT", "cap_llm").replace("DIM", "tokens"))[1:-1]
    assert run(*raised, "5").code == 0
    assert findings("-w", world)["limits"]["severity"] == "good"


def test_an_intent_that_waits_for_approval_is_told(tmp_path):
    world = make_world(tmp_path / "world", APPROVED)
    assert run("-w", world, "submit", text=intent()).code == 0
    said = findings("-w", world)["approvals"]
    assert (said["severity"], "1 intents" in said["text"]) == ("warning", True)
    assert run(*shlex.split(said["mend"].replace("HASH", _hash_of(world)))[1:]).code in (0, 1)


def _hash_of(world):
    return run("-w", world, "reservations", "--json").json["reservations"][0]["intent_hash"]


def test_statistics_that_are_behind_or_damaged_are_told_with_what_mends_them(world):
    assert run("-w", world, "stats", "update").code == 0
    assert run("-w", world, "submit", text=intent()).code == 0
    for expected in ("stats update", "stats rebuild"):
        said = findings("-w", world)["statistics"]
        assert said["mend"].endswith(expected)
        assert run(*shlex.split(said["mend"])[1:]).code == 0
        assert findings("-w", world)["statistics"]["severity"] == "good"
        (world / "statistics.sqlite").write_bytes(b"no database")


def test_index_runs_that_are_damaged_are_told_and_mended(tmp_path):
    world = busy_world(tmp_path / "world")
    runs = [file for file in (world / "index").rglob("*") if file.is_file()]
    for file in runs:
        file.write_bytes(b"no run")
    found = findings("-w", world)["files"]
    assert (found["severity"] == "note") == bool(runs)
    assert run(*shlex.split(found["mend"] or f"tally -w {world} tick")[1:]).code == 0
    assert findings("-w", world)["files"]["severity"] == "good"


def test_a_queue_that_is_blocked_is_told_with_the_job(tmp_path):
    path = tmp_path / "jobs.sqlite"
    with Queue(path) as queue:
        queue.enqueue("local")
        for _ in range(3):
            drain_jobs(queue, lambda job, run: {}, lane_bin=lambda lane: False)
    ran = run("doctor", "--queue", path, "--json")
    wrong = [row for row in ran.json["findings"] if row["check"] == "queue" and row["severity"] == "warning"]
    assert [row["mend"] for row in wrong] == ["tally drain park 1"]
    assert run(*wrong[0]["mend"].split()[1:], "--queue", path).code == 0
    assert "blocks" not in run("doctor", "--queue", path).out
    assert findings("--queue", tmp_path / "none")["queue"]["severity"] == "warning"
    (tmp_path / "text").write_text("no queue")
    assert findings("--queue", tmp_path / "text")["queue"]["severity"] == "warning"


@pytest.mark.parametrize(
    ("broken", "value", "check"),
    [
        ("WASMTIME_VERSION", "0.0.0", "engine"), ("FREE_BYTES_MIN", 2**80, "disk"),
        ("SYNC_SECONDS_MAX", 0, "sync"), ("BEGAN_NS", 2**63, "clock"), ("PYTHON_MIN", (9, 0), "python"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_machine_is_told_with_what_to_do(tmp_path, monkeypatch, broken, value, check):
    monkeypatch.setattr(machine, broken, value)
    (said,) = [each for each in doctor.check_machine(tmp_path) if each.check == check]
    assert said.severity == "warning"
    assert said.mend
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_told_and_a_folder_that_is_not_there_is_measured_above(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(
        machine, "version", lambda package: (_ for _ in ()).throw(machine.PackageNotFoundError)
    )
    found = {each.check: each for each in doctor.check_machine(tmp_path / "a" / "b")}
    assert {check: found[check].severity for check in ("store", "engine", "codec", "compiler")} == {
        "store": "warning", "engine": "warning", "codec": "note", "compiler": "note",
    }  # fmt: skip
    assert str(tmp_path) in found["disk"].text


def test_the_finding_of_a_queue_that_is_another_database(tmp_path):
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE jobs (id)")
    other.close()
    assert findings("--queue", tmp_path / "other")["queue"]["severity"] == "warning"
    assert json.loads(run("doctor", "--json").out)["worst"] in ("note", "good", "warning")
