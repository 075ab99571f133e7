"""A drain that is killed at any moment and started again loses no job and runs none twice."""

import os
import random
import subprocess
import sys
import time
from collections import Counter

import pytest
import splittally
from splittally.host.drain import KernelGate, Queue, drain_jobs, standup

from tests.cli_tools import environment

JOBS = 400
SECONDS = 3.0
KILLS_MIN = 3
KILL_AFTER_SECONDS_MAX = 0.12
GRANT = {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 10**9}}}}

# A pass whose runner notes each start, durably, before it does anything else.
DRAIN = """
import os, sys, time
from contextlib import nullcontext
from splittally.host.drain import KernelGate, Queue, drain_jobs
queue, log, world, retry = sys.argv[1:]
notes = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def runner(job, run):
    os.write(notes, b"%d\\n" % job.id)
    time.sleep(0.001 * (job.id % 3))
    return {"cost_usd": "0.01", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}

def opened():
    import splittally
    return splittally.open(world)

with Queue(queue) as jobs, (opened() if world else nullcontext()) as kernel:
    gate = KernelGate(kernel, "g") if world else None
    print("ready", flush=True)
    drain_jobs(jobs, runner, kernel=gate, retry_dispatched=retry == "retry")
"""


def fill(folder, jobs):
    with Queue(folder / "jobs.sqlite") as queue:
        for at in range(jobs):
            queue.enqueue("local", {"model": "m", "max_tokens": 5}, priority=at % 3)


def kill_often(folder, seconds, world="", retry="", chance=None):
    """Starts drains and kills them until the time is up and enough died on duty; how many did."""
    arguments = [str(folder / "jobs.sqlite"), str(folder / "log"), str(world), retry]
    kills, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline or kills < KILLS_MIN:
        child = subprocess.Popen(
            [sys.executable, "-c", DRAIN, *arguments], env=environment(), stdout=subprocess.PIPE
        )
        with child:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0, KILL_AFTER_SECONDS_MAX))
            is_on_duty = child.poll() is None
            child.kill()
        kills += is_on_duty
        if not is_on_duty:  # it came to the end of the queue
            assert child.returncode == 0
            fill(folder, JOBS // 4)
    return kills


def starts(folder):
    return Counter(map(int, (folder / "log").read_text().split()))


def finish(folder, gate=None, **options):
    """The last pass, in this process; the queue stays open."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def runner(job, run):
        os.write(log, b"%d\n" % job.id)
        return {"cost_usd": "0.01"}

    queue = Queue(folder / "jobs.sqlite")
    assert drain_jobs(queue, runner, kernel=gate, **options).stopped_by == "empty"
    os.close(log)
    return queue


def check(queue, folder, kills):
    """Every job is done once, or was cut off and waits for the operator, who was told."""
    jobs, started = {job.id: job for job in queue.jobs()}, starts(folder)
    assert set(jobs) == set(range(1, len(jobs) + 1))
    assert max(started.values()) == 1
    assert {job.status for job in jobs.values()} <= {"done", "unknown"}
    unknown = [job.id for job in jobs.values() if job.status == "unknown"]
    assert len(unknown) <= kills
    assert set(started) | set(unknown) == set(jobs)
    assert sorted(row["job_id"] for row in standup(queue)["unknown"]) == sorted(unknown)
    return unknown


@pytest.fixture
def chance():
    seed = int(time.time() * 1000)
    print(f"seed {seed}")
    return random.Random(seed)


def show_no_job_is_lost(folder, seconds, chance):
    fill(folder, JOBS)
    kills = kill_often(folder, seconds, chance=chance)
    with finish(folder) as queue:
        check(queue, folder, kills)
        assert queue.version == 1


def show_intents_match_jobs(folder, seconds, chance):
    fill(folder, JOBS)
    with splittally.open(folder / "world") as kernel:
        assert kernel.apply(GRANT).allowed
    kills = kill_often(folder, seconds, folder / "world", chance=chance)
    with splittally.open(folder / "world") as kernel, finish(folder, KernelGate(kernel, "g")) as queue:
        unknown = check(queue, folder, kills)
        rows = {job.id: kernel.outcome(job.intent_hash) for job in queue.jobs()}
        ended = {job_id: (row["status"], row["phase"]) for job_id, row in rows.items()}
        for job_id, how in ended.items():
            assert how == (("reserved", "unknown") if job_id in unknown else ("settled", "")), job_id
        assert len(kernel.state.reservations) == len(unknown)  # nothing that was never run is reserved


@pytest.mark.req("S3-66", "X3-18")
def test_killed_drains_lose_no_job_and_run_none_twice(folder, chance):
    show_no_job_is_lost(folder, SECONDS, chance)


def test_killed_drains_over_a_kernel_leave_no_reservation_but_those_of_unknown_jobs(folder, chance):
    show_intents_match_jobs(folder, SECONDS, chance)


def test_with_an_idempotent_runner_every_job_is_done(folder, chance):
    fill(folder, JOBS)
    kills = kill_often(folder, SECONDS / 2, retry="retry", chance=chance)
    with finish(folder, retry_dispatched=True) as queue:
        assert {job.status for job in queue.jobs()} == {"done"}
        assert sum(starts(folder).values()) <= len(queue.jobs()) + kills


@pytest.mark.soak
@pytest.mark.parametrize("show", [show_no_job_is_lost, show_intents_match_jobs])
def test_killed_drains_for_minutes(tmp_path, chance, show):
    show(tmp_path, 120, chance)
