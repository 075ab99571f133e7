"""Lessons for a drain: one at a time, stopped where memory or money runs out, and a standup that tells."""

import json
import os
import subprocess
import sys
from decimal import Decimal

import pytest
from splittally.edge.amounts import Amounts
from splittally.edge.prices import named_or_newest, read_snapshots
from splittally.host.drain import (
    Prices,
    Run,
    RunAborted,
    Watchdog,
    display,
    drain_jobs,
    memory_available_gb,
    resolve_settings,
    standup,
)  # fmt: skip
from splittally.host.drain.watchdog import Row

from tests.cli_tools import environment
from tests.drain_night import FREE, StandIn, queue_of, said

JOB = {"lane": "local", "payload": {"prompt": "the secret recipe"}}


def returns(**result):
    return lambda job, run: result


@pytest.mark.req("X3-15")
@pytest.mark.parametrize(
    ("result", "total"),
    [
        ({"cost_usd": 0.0515, "runs": [{"id": "a", "cost_usd": 0.0515}]}, "0.0515"),
        ({"runs": [{"id": "a", "cost_usd": "0.03"}, {"id": "b", "cost_usd": "0.0215"}]}, "0.0515"),
        ({"runs": [{"id": "a", "cost_usd": "0.0515"}, {"id": "a", "cost_usd": "0.0515"}]}, "0.0515"),
    ],
)
def test_what_an_evaluation_cost_is_in_the_total_once(folder, result, total):
    def evaluate(job, run):
        run.accrue("0.0515")  # told while it ran, and again in the result
        return result

    with queue_of(folder, {**JOB, "lane": "eval"}, JOB) as queue:
        drain_jobs(queue, lambda job, run: evaluate(job, run) if job.id == 1 else {"cost_usd": "0.25"})
        assert queue.job(1).cost_usd == total
        spend = standup(queue)["spend"]
        assert spend["total_usd"] == "0.3015"
        assert spend["by_lane"] == {"local": "0.25", "eval": "0.0515"}
        assert queue.spent_usd() == Decimal("0.3015")


@pytest.mark.req("X3-16")
def test_a_run_of_a_model_without_a_price_is_flagged(folder):
    runs = {
        1: {"model": "known"},
        2: {"model": "new"},
        3: {"model": "known", "runs": [{"model": "new"}]},
        4: {},
    }
    with queue_of(folder, JOB, JOB, JOB, JOB) as queue:
        drain_jobs(
            queue, lambda job, run: {"cost_usd": 1, **runs[job.id]}, prices=Prices("p1", {"known": FREE})
        )
        assert [queue.job(at).priced for at in (1, 2, 3, 4)] == [True, False, False, None]
        assert [queue.job(at).price_snapshot for at in (1, 2, 3, 4)] == ["p1", None, None, None]
        told = standup(queue)
        assert [row["job_id"] for row in told["unpriced"]] == [2, 3]
        assert "without a price" in told["warnings"][0]
        assert "without a price" in display(told)


@pytest.mark.req("X3-17")
def test_the_newest_snapshot_prices_a_run_and_a_pinned_one_reads_as_before(folder):
    tables = {
        "since": "2026-10-01",
        "resource": "USD",
        "models": {"m": {"prompt": "1 USD", "completion": "2 USD"}},
    }
    newer = {**tables, "since": "2026-11-01", "models": {"m": {"prompt": "3 USD", "completion": "4 USD"}}}
    snapshots = read_snapshots({"old": tables, "new": newer}, Amounts({"USD": 6}))
    result = {"model": "m", "usage": {"prompt_tokens": 1000, "completion_tokens": 501}}
    with queue_of(folder, JOB, JOB, JOB) as queue:
        for name, limit in (("newest", 1), ("old", 1), ("new", 1)):
            prices = Prices.of(named_or_newest("prices", name, snapshots), 6)
            drain_jobs(queue, lambda job, run: result, prices=prices, limit=limit)
        rows = [(queue.job(at).price_snapshot, queue.job(at).cost_usd) for at in (1, 2, 3)]
        assert rows == [("new", "0.005004"), ("old", "0.002002"), ("new", "0.005004")]


HOLDER = """
import sys, time
from splittally.host.drain import Queue, drain_jobs
def wait(job, run):
    print("running", flush=True)
    time.sleep(60)
with Queue(sys.argv[1]) as queue:
    drain_jobs(queue, wait)
"""


@pytest.mark.req("X3-18")
def test_a_live_drain_makes_another_skip_and_a_dead_one_loses_its_lock(folder):
    with queue_of(folder, JOB, JOB) as queue:
        lock = folder / "jobs.sqlite.lock"
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(queue.path)], env=environment(), stdout=subprocess.PIPE
        )
        with holder:
            assert holder.stdout.readline() == b"running\n"
            named = json.loads(lock.read_text())
            assert named["pid"] == holder.pid
            assert named["since"]
            report = drain_jobs(queue, returns())
            assert (report.stopped_by, report.claimed) == ("locked", ())
            assert report.skipped == {"pid": holder.pid, "since": named["since"]}
            holder.kill()
        assert json.loads(lock.read_text())["pid"] == holder.pid  # it died without a word
        report = drain_jobs(queue, returns())
        assert (report.stopped_by, report.dispatched) == ("empty", (2,))
        assert report.recovered == ({"job_id": 1, "became": "unknown"},)


@pytest.mark.req("X3-18")
def test_a_drain_within_a_drain_is_skipped(folder):
    inner = []
    with queue_of(folder, JOB) as queue:
        drain_jobs(queue, lambda job, run: inner.append(drain_jobs(queue, returns())) or {})
        assert (inner[0].stopped_by, inner[0].skipped["pid"]) == ("locked", os.getpid())
        assert queue.job(1).status == "done"


@pytest.mark.req("X3-19")
def test_the_standup_has_its_parts_and_never_what_was_asked_or_answered(folder):
    def runner(job, run):
        if job.id == 2:
            raise RuntimeError("the secret recipe")
        if job.id == 3:
            return {"failure_class": "the secret recipe", "text": "the secret recipe"}
        return {"regressed": True, "text": "the secret recipe", "cost_usd": 1}

    class Chatty(StandIn):
        def check_budget(self, job):
            verdict = super().check_budget(job)
            return (
                verdict
                if job.id < 4
                else said("defer", "the secret recipe", prompt=job.payload, why="the secret recipe")
            )

    with queue_of(folder, *[JOB] * 5) as queue:
        drain_jobs(queue, runner, Chatty(queue))
        told = standup(queue)
        assert {"ran", "failed", "regressed", "queued", "spend", "holds", "blockers", "unpriced"} <= set(told)
        assert (told["ran"], len(told["failed"]), told["queued"]) == (3, 2, 2)
        assert [row["job_id"] for row in told["regressed"]] == [1]
        assert told["failed_by_class"] == {"crash": 1, "unclassified": 1}
        assert "secret" not in json.dumps(told) + display(told)
        assert "secret" not in json.dumps([row.detail for row in queue.triggers()])


@pytest.mark.req("X3-20")
def test_a_job_that_was_held_on_three_passes_is_a_blocker_until_an_operator_touches_it(folder):
    with queue_of(folder, {**JOB, "est_cost_usd": "9"}, JOB) as queue:
        for times in (1, 2, 3):
            drain_jobs(queue, returns(), StandIn(queue))
            blockers = standup(queue)["blockers"]
            assert [(row["job_id"], row["times"]) for row in blockers] == ([(1, 3)] if times == 3 else [])
        assert "held 3 times" in display(standup(queue))
        queue.park(1)
        assert standup(queue)["blockers"] == []
        assert drain_jobs(queue, returns(), StandIn(queue)).dispatched == (2,)
        queue.promote(1, "local")
        drain_jobs(queue, returns(), StandIn(queue))
        assert (standup(queue)["holds"][0]["times"], standup(queue)["blockers"]) == (1, [])


@pytest.mark.req("X3-21")
def test_a_lane_whose_program_is_missing_is_deferred(folder):
    with queue_of(folder, JOB) as queue:
        governor = StandIn(queue)
        report = drain_jobs(queue, returns(), governor, lane_bin=lambda lane: False)
        assert (report.held["action"], report.held["reason"]) == ("defer", "lane_bin_absent")
        assert queue.triggers(1)[0].detail == {"lane_id": "local"}
        assert drain_jobs(queue, returns(), governor, lane_bin=lambda lane: True).done == (1,)


@pytest.mark.req("X3-22")
@pytest.mark.parametrize(
    ("samples", "trips"),
    [
        ([3.9, 3.9, 3.9, 3.9], True),
        ([3.9, 3.9, 3.9], False),
        ([4.0] * 9, False),
        ([3.9, 3.9, 3.9, 4.0, 3.9], False),
        ([None] * 9, False),
        ([3.9, 3.9, 3.9, None, None], False),
        ([3.9, 3.9, None, 3.9, 3.9], True),
        ([float("nan")] * 9, False),
    ],
)
def test_four_samples_below_four_gigabytes_trip_and_a_missing_one_never_does(samples, trips):
    watchdog = Watchdog()
    assert (watchdog.floor_gb, watchdog.samples, watchdog.period_s) == (4.0, 4, 0.5)
    row = Row(watchdog.floor_gb, watchdog.samples)
    assert [row.trips(sample) for sample in samples][-1] is trips


@pytest.mark.req("X3-22")
def test_the_watchdog_gives_a_running_job_its_signal(folder):
    def runner(job, run):
        assert run.signal.wait(30)
        return {"text": "half"}

    with queue_of(folder, JOB) as queue:
        drain_jobs(queue, runner, watchdog=Watchdog(lambda: 1.0, period_s=0.001))
        job = queue.job(1)
        assert (job.status, job.failure_class) == ("failed", "memory")
        assert json.loads(job.result_json)["aborted_by"] == "memory"


@pytest.mark.req("X3-22")
def test_available_memory_is_read_from_the_system_or_missing(tmp_path):
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 9 kB\nMemAvailable:    4194304 kB\n")
    assert memory_available_gb(file) == 4.0
    file.write_text("MemAvailable: many\n")
    assert memory_available_gb(file) is None
    assert memory_available_gb(tmp_path / "none") is None


@pytest.mark.req("X3-23")
@pytest.mark.parametrize("catches", [True, False])
def test_a_run_above_its_cost_cap_is_aborted_and_partial(folder, catches):
    def runner(job, run):
        try:
            run.accrue(5.01)
        except RunAborted:
            if not catches:
                raise
        return {"text": "half"}

    with queue_of(folder, JOB) as queue:
        drain_jobs(queue, runner, cost_cap_usd=5)
        told = json.loads(queue.job(1).result_json)
        assert (told["aborted_by"], told["partial"]) == ("cost_cap", True)
        assert (queue.job(1).status, queue.job(1).cost_usd) == ("failed", "5.01")
        (row,) = standup(queue)["failed"]
        assert (row["aborted_by"], row["partial"]) == ("cost_cap", True)


@pytest.mark.req("X3-23")
def test_cost_equal_to_the_cap_passes():
    run = Run(Decimal(5))
    run.accrue("4.99")
    run.accrue("0.01")
    assert (run.aborted_by, run.signal.is_set()) == (None, False)
    with pytest.raises(RunAborted):
        run.accrue("0.000001")
    assert run.aborted_by == "cost_cap"


@pytest.mark.req("X3-24")
def test_a_setting_comes_from_the_file_else_the_environment_else_the_default(tmp_path):
    file = tmp_path / "drain.toml"
    file.write_text("[drain]\nlimit = 7\n")
    found = resolve_settings(file, {"TALLY_DRAIN_LIMIT": "8", "TALLY_DRAIN_COST_CAP_USD": "1.50"})
    shown = {name: (row.value, row.source) for name, row in found.rows.items()}
    assert shown["limit"] == (7, "file")
    assert shown["cost_cap_usd"] == ("1.5", "environment")
    assert shown["memory_floor_gb"] == (4.0, "default")
    assert found.problems == ()


@pytest.mark.req("X3-24")
@pytest.mark.parametrize("text", [b"[drain", b"\xff", b"drain = 3\n", b"[drain]\nlimit = -1\n", None])
def test_a_bad_file_falls_back_and_says_so(tmp_path, text):
    file = tmp_path / "drain.toml"
    if text is not None:
        file.write_bytes(text)
    found = resolve_settings(file, {"TALLY_DRAIN_LIMIT": "8"})
    assert (found.rows["limit"].value, found.rows["limit"].source) == (8, "environment")
    assert len(found.problems) == 1
