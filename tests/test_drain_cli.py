"""`tally drain` as its user meets it: a program that runs jobs, and decisions that only people make."""

import json
import os
import subprocess
import sys
import time

import pytest
import splittally

from tests.cli_tools import command, environment, make_world, process, run
from tests.drain_night import StandIn

GOVERNOR = StandIn  # found by name: tests.test_drain_cli:GOVERNOR

RUNNER = """
import json, os, sys, time
job = json.load(sys.stdin)
does = job["payload"].get("does", "work")
if does == "crash":
    print(json.dumps({"cost_usd": "0.2"})); sys.exit(3)
if does == "babble":
    print("no JSON"); sys.exit(0)
if does == "hang":
    print(os.getpid(), file=open(job["payload"]["pid"], "w"), flush=True); time.sleep(60)
for cost in job["payload"].get("accrues", []):
    print(json.dumps({"accrue_usd": cost}), flush=True)
    time.sleep(job["payload"].get("pause", 0))
result = {"cost_usd": 0.25, "model": "m", "usage": {"prompt_tokens": 1}, "echo": job["payload"]}
print(json.dumps(result, indent=1))
"""


@pytest.fixture
def queue(tmp_path):
    (tmp_path / "runner.py").write_text(RUNNER)
    return tmp_path / "jobs.sqlite"


def add(queue, payload=None, *options):
    added = run(
        "drain", "add", "--queue", queue, "--lane", "local", *options, json.dumps(payload or {}), "--json"
    )
    assert added.code == 0, added.err
    return added.json["id"]


def drained(queue, *options):
    runner = f"{sys.executable} {queue.parent / 'runner.py'}"
    cap = () if {"--governor", "--daily-cap", "--under"} & set(options) else ("--uncapped",)
    ran = run("drain", "run", "--queue", queue, "--runner", runner, *cap, *options, "--json")
    assert ran.code == 0, ran.err
    return ran.json


def jobs(queue, status):
    return run("drain", "queue", "--queue", queue, "--status", status, "--json").json["jobs"]


def test_a_queue_is_filled_drained_and_told_of(queue):
    assert [add(queue, {"prompt": "the secret recipe"}), add(queue, None, "--priority", "3")] == [1, 2]
    assert [row["id"] for row in run("drain", "queue", "--queue", queue, "--json").json["jobs"]] == [2, 1]
    document = drained(queue)
    assert document["report"]["done"] == [2, 1]
    assert document["settings"]["memory_samples"] == {"value": 4, "source": "default"}
    told = run("drain", "standup", "--queue", queue)
    assert "ran 2: 2 done, 0 failed; queued 0" in told.out
    assert "secret" not in told.out + json.dumps(document)
    assert run("digest", "--queue", queue, "--json").json["by_lane"] == {"local": "0.5"}
    assert "$0.50 in 2 paid run(s)" in run("digest", "--queue", queue).out


def test_people_see_each_job_as_it_ends(queue):
    add(queue)
    add(queue, {"does": "crash"})
    runner = f"{sys.executable} {queue.parent / 'runner.py'}"
    out = run("drain", "run", "--queue", queue, "--uncapped", "--runner", runner).out
    assert "job 1 on local: done, $0.25" in out
    assert "job 2 on local: failed (crash), $0.20\n  exit code 3" in out
    assert "pass ended: empty" in out


def test_what_a_program_does_wrong_is_a_class_of_failure(queue):
    add(queue, {"does": "crash"})
    add(queue, {"does": "babble"})
    assert drained(queue)["standup"]["failed_by_class"] == {"bad_result": 1, "crash": 1}


def test_a_program_that_takes_too_long_is_ended(queue, tmp_path):
    add(queue, {"does": "hang", "pid": str(tmp_path / "pid")})
    (failed,) = drained(queue, "--timeout", "2")["standup"]["failed"]
    assert (failed["failure_class"], failed["aborted_by"]) == ("timeout", "timeout")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_terminating_a_pass_ends_the_program_and_leaves_its_job_to_the_operator(queue, tmp_path):
    add(queue, {"does": "hang", "pid": str(tmp_path / "pid")})
    runner = f"{sys.executable} {tmp_path / 'runner.py'}"
    child = subprocess.Popen(
        command("drain", "run", "--queue", queue, "--uncapped", "--runner", runner), env=environment()
    )
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert child.poll() is None
        time.sleep(0.01)
    child.terminate()
    assert child.wait(30) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert drained(queue)["report"]["recovered"] == [{"job_id": 1, "became": "unknown"}]
    assert run("drain", "resolve", "--queue", queue, "1", "--status", "failed", "--cost", "0.1").code == 0
    assert run("digest", "--queue", queue, "--json").json["total_usd"] == "0.1"


def test_a_program_that_costs_too_much_is_ended(queue):
    add(queue, {"accrues": [0.5, 0.6, 0.7], "pause": 5})
    begun = time.monotonic()
    (failed,) = drained(queue, "--cost-cap", "0.4")["standup"]["failed"]
    assert (failed["aborted_by"], failed["partial"], failed["cost_usd"]) == ("cost_cap", True, "0.5")
    assert time.monotonic() - begun < 5


def test_a_governor_is_found_by_name_and_a_missing_lane_program_holds(queue):
    add(queue, None, "--est", "1")
    add(queue, None, "--est", "9")
    report = drained(queue, "--governor", "tests.test_drain_cli:GOVERNOR")["report"]
    assert (report["done"], report["held"]["reason"]) == ([1], "over_daily_cap")
    report = drained(queue, "--lane", "local=/no/such/server")["report"]
    assert (report["held"]["reason"], report["stopped_by"]) == ("lane_bin_absent", "hold")
    assert drained(queue, "--lane", f"local={sys.executable}")["report"]["done"] == [2]
    ran = run("drain", "run", "--queue", queue, "--runner", sys.executable, "--governor", "no.such:thing")
    assert (ran.code, "MODULE:NAME" in ran.err) == (2, True)


def test_a_model_without_a_price_and_a_bad_settings_file_are_said(queue, tmp_path):
    add(queue)
    snapshot = {"since": "2026-11-01", "resource": "USD", "models": {"other": {"prompt": 1, "completion": 1}}}
    prices = {"resources": {"USD": 6}, "prices": {"p1": snapshot}}
    (tmp_path / "prices.json").write_text(json.dumps(prices))
    (tmp_path / "drain.toml").write_text("[drain")
    runner = f"{sys.executable} {tmp_path / 'runner.py'}"
    ran = run("drain", "run", "--queue", queue, "--uncapped", "--runner", runner,
              "--prices", tmp_path / "prices.json", "--settings", tmp_path / "drain.toml")  # fmt: skip
    assert ran.code == 0
    assert "without a price" in ran.out
    assert "cannot be read" in ran.err


def test_only_an_operator_decides(queue):
    add(queue)
    assert run("drain", "park", "--queue", queue, "1").code == 0
    assert drained(queue)["report"]["claimed"] == []
    assert run("drain", "promote", "--queue", queue, "1", "--lane", "frontier", "--json").json["id"] == 1
    assert drained(queue)["report"]["done"] == [1]
    assert jobs(queue, "done")[0]["lane_id"] == "frontier"
    for refused in (
        ("park", 1),
        ("promote", 1, "--lane", "x"),
        ("resolve", 1, "--status", "done"),
        ("park", 9),
    ):
        ran = run("drain", refused[0], "--queue", queue, *refused[1:])
        assert (ran.code, ran.err.count("\n")) == (2, 1)


def test_a_missing_queue_is_never_made_by_a_reader(tmp_path):
    a_pass = ["drain", "run", "--uncapped", "--runner", sys.executable]
    for words in (["drain", "queue"], ["drain", "standup"], ["digest"], a_pass):
        ran = run(*words, "--queue", tmp_path / "none")
        assert (ran.code, "tally drain add" in ran.err) == (3, True)
    assert list(tmp_path.iterdir()) == []


def test_a_drain_asks_the_world_that_it_is_given(queue, tmp_path):
    world = make_world(tmp_path / "world")
    add(queue, {"model": "m", "max_tokens": 60, "prompt_tokens": 1})
    add(queue, {"model": "m", "max_tokens": 600})
    report = drained(queue, "-w", world, "--under", "cap_llm")["report"]
    assert (report["done"], report["failed"]) == ([1], [2])
    with splittally.open(world) as kernel:
        spent = kernel.state.counters["cap_llm"]["tokens"].spent
        assert spent == 61  # the runner tells no completion, so all that it might have is charged


def test_the_queue_may_be_named_by_the_environment(queue):
    add(queue)
    assert process("drain", "standup", "--json", TALLY_QUEUE=str(queue)).json["queued"] == 1


def test_a_pass_may_ask_the_governor_of_this_release_with_a_daily_cap(queue):
    runner = f"{sys.executable} {queue.parent / 'runner.py'}"
    for estimate in ("0.3", "0.1"):
        assert run("drain", "add", "--queue", queue, "--lane", "local", "--est", estimate, "{}").code == 0
    done = run("drain", "run", "--queue", queue, "--runner", runner, "--daily-cap", "0.3", "--json").json
    assert (done["report"]["dispatched"], done["report"]["stopped_by"]) == ([1], "hold")
    both = ("--daily-cap", "2", "--governor", "tests.test_drain_cli:GOVERNOR")
    refused = run("drain", "run", "--queue", queue, "--runner", runner, *both)
    assert refused.code == 2
    assert "not both" in refused.err
