"""The drain's queue, what its runner brings back, and a whole night."""

import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from splittally import InvalidInput
from splittally.host.drain import (
    Price,
    Prices,
    Queue,
    QueueError,
    Run,
    RunAborted,
    StaleClaim,
    Watchdog,
    drain_jobs,
    resolve_settings,
    standup,
)  # fmt: skip
from splittally.host.drain.jobs import STATUSES, Job, usd, usd_text
from splittally.host.drain.settings import KNOWN

from tests import drain_night
from tests.drain_night import Clock, queue_of

CHAPTER = Path(__file__).parent.parent / "spec" / "13-drain.md"
CALL = {"lane": "local", "payload": {"model": "m", "max_tokens": 50}}


def test_a_night_of_forty_jobs_ends_as_its_transcript_says(tmp_path):
    document = json.loads((drain_night.FOLDER / "night.json").read_text("utf-8"))
    text = drain_night.play(document, tmp_path)
    assert len(document["jobs"]) == 40
    assert text == (drain_night.FOLDER / "night.txt").read_text("utf-8")
    assert not [job for job in document["jobs"] if job["payload"]["prompt"] in text]


# --- the queue --------------------------------------------------------------------------------------


def test_jobs_are_claimed_by_priority_then_age(tmp_path):
    clock = Clock()
    with queue_of(tmp_path, clock=clock) as queue:
        for priority in (0, 5, 0, 5, -1):
            queue.enqueue("local", priority=priority)
            clock.forward(1)
        assert [job.id for job in queue.jobs("queued")] == [2, 4, 1, 3, 5]
        order = [queue.claim("d").id for _ in range(5)]
        assert order == [2, 4, 1, 3, 5]
        assert queue.claim("d") is None


def test_a_claim_that_another_drain_took_over_can_write_nothing(tmp_path):
    with queue_of(tmp_path, CALL) as queue:
        job = queue.claim("first")
        queue.release(job, "recovered", "drain_died", {})
        assert queue.claim("second").claims == 2
        for late in (lambda: queue.dispatch(job), lambda: queue.release(job, "budget_defer", "x", {})):
            with pytest.raises(StaleClaim):
                late()
        assert (queue.job(1).claimed_by, len(queue.triggers(1))) == ("second", 1)


@pytest.mark.parametrize("amount", ["NaN", "inf", "-1", -0.01, float("nan"), True, "1e400", "", [], "1" * 50])
def test_what_is_no_amount_of_dollars_is_refused(tmp_path, amount):
    with pytest.raises(InvalidInput):
        usd(amount, "x")
    with queue_of(tmp_path) as queue, pytest.raises(InvalidInput):
        queue.enqueue("local", est_cost_usd=amount)


def test_dollars_are_exact_text():
    assert [usd_text(usd(x, "x")) for x in (0.1, "1.50", 3, Decimal("100"), "0.000001", 0)] == [
        "0.1", "1.5", "3", "100", "0.000001", "0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "terms", [{"lane_id": "two words"}, {"failure_class": "a\nb"}, {"payload": {"x": {1}}}]
)
def test_a_job_that_cannot_be_kept_is_refused(tmp_path, terms):
    with queue_of(tmp_path) as queue:
        with pytest.raises(InvalidInput):
            queue.enqueue(**terms)
        assert queue.jobs() == []


def test_a_file_that_is_no_queue_of_this_release_is_left_alone(tmp_path):
    for name, make in (("later", "PRAGMA user_version = 2"), ("other", "CREATE TABLE x (y)")):
        db = sqlite3.connect(tmp_path / name)
        db.execute(make)
        db.close()
        before = (tmp_path / name).read_bytes()
        with pytest.raises(QueueError):
            Queue(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at" * 20)
    with pytest.raises(QueueError):
        Queue(tmp_path / "text")
    with pytest.raises(QueueError):
        Queue(tmp_path / "none", create=False)


def test_an_operator_parks_promotes_and_resolves_and_each_leaves_a_row(tmp_path):
    with queue_of(tmp_path, CALL, CALL, CALL) as queue:
        queue.park(1, "too_big")
        assert queue.promote(1, "frontier") == 1
        assert (queue.job(1).status, queue.job(1).lane_id) == ("queued", "frontier")
        drain_jobs(queue, lambda job, run: {"failure_class": "context_overflow", "cost_usd": 2}, limit=1)
        copy = queue.promote(1, "frontier-2")
        assert (copy, queue.job(1).cost_usd, queue.spent_usd()) == (4, "2", 2)
        assert (queue.job(4).payload, queue.job(4).failure_class) == (CALL["payload"], "promoted")
        queue.mark_unknown(queue.dispatch(queue.claim("dead")), "drain_died")
        queue.resolve(2, "done", "0.5")
        assert (queue.job(2).status, queue.spent_usd()) == ("done", Decimal("2.5"))
        rows = [(row.job_id, row.trigger) for row in queue.triggers()][1:]
        assert rows == [(1, "park"), (1, "promote"), (4, "promote"), (2, "unknown"), (2, "resolve")]
        for refused in (
            lambda: queue.park(2),
            lambda: queue.promote(2, "x"),
            lambda: queue.resolve(3, "done"),
        ):
            with pytest.raises(InvalidInput):
                refused()


# --- what a runner brings back ----------------------------------------------------------------------


@pytest.mark.parametrize("result", [None, 3, {"cost_usd": "NaN"}, {"status": "maybe"}, {"x": float("nan")},
                                    {"runs": [3]}, {"runs": 3}])  # fmt: skip
def test_a_result_that_cannot_be_read_fails_its_job_and_keeps_what_was_accrued(tmp_path, result):
    with queue_of(tmp_path, CALL, CALL) as queue:
        drain_jobs(queue, lambda job, run: run.accrue("0.2") or (result if job.id == 1 else {}))
        job = queue.job(1)
        assert (job.status, job.failure_class, job.cost_usd) == ("failed", "bad_result", "0.2")
        assert queue.job(2).status == "done"


def test_what_a_runner_raises_fails_its_job_and_the_pass_goes_on(tmp_path):
    class GaveUp(Exception):
        failure_class = "local_low_confidence"

    raised = {1: ValueError("x"), 2: TimeoutError(), 3: GaveUp(), 4: RunAborted("of its own")}

    def runner(job, run):
        raise raised[job.id]

    with queue_of(tmp_path, CALL, CALL, CALL, CALL) as queue:
        assert drain_jobs(queue, runner).failed == (1, 2, 3, 4)
        found = [queue.job(at).failure_class for at in (1, 2, 3, 4)]
        assert found == ["crash", "timeout", "local_low_confidence", "crash"]


def test_a_payload_that_was_damaged_in_the_file_fails_its_job_before_anybody_is_asked(tmp_path):
    with queue_of(tmp_path, CALL) as queue:
        queue._db.execute("UPDATE jobs SET payload_json = '{'")
        drain_jobs(queue, pytest.fail, drain_night.StandIn(queue))
        assert queue.job(1).failure_class == "bad_payload"


def test_an_interruption_leaves_a_running_job_to_the_operator(tmp_path):
    def interrupted(job, run):
        raise KeyboardInterrupt

    with queue_of(tmp_path, CALL) as queue:
        with pytest.raises(KeyboardInterrupt):
            drain_jobs(queue, interrupted)
        assert drain_jobs(queue, pytest.fail).recovered == ({"job_id": 1, "became": "unknown"},)
        assert standup(queue)["staged"]["decisions"][0]["propose"] == "resolve"


def test_an_interruption_of_the_check_puts_its_job_back_and_says_so(tmp_path):
    class Interrupting:
        def check_budget(self, job):
            raise KeyboardInterrupt

    with queue_of(tmp_path, CALL) as queue:
        with pytest.raises(KeyboardInterrupt):
            drain_jobs(queue, pytest.fail, Interrupting())
        assert (queue.job(1).status, queue.job(1).claimed_by) == ("queued", None)
        assert [(row.trigger, row.reason) for row in queue.triggers(1)] == [
            ("recovered", "check_interrupted")
        ]


def test_a_job_counts_on_the_day_on_which_it_ended_from_the_first_instant_on(tmp_path):
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    instants = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(hours=24)]
    with queue_of(tmp_path, *[CALL] * 3) as queue:
        for cost, now in enumerate(instants, 1):
            drain_jobs(queue, lambda job, run, cost=cost: {"cost_usd": cost}, limit=1, now=now)
        days = [queue.spent_usd(midnight + timedelta(days=day)) for day in (-1, 0, 1)]
        assert days == [1, 2, 3]


def test_an_earlier_failure_speaks_for_a_job_that_fails_and_not_for_one_that_is_done(tmp_path):
    with queue_of(tmp_path) as queue:
        for _ in range(2):
            queue.enqueue("local", failure_class="cannot_solve")
        results = iter([{"status": "done"}, {"status": "failed"}])
        drain_jobs(queue, lambda job, run: next(results))
        assert [queue.job(at).status for at in (1, 2)] == ["done", "failed"]
        assert queue.job(1).failure_class is None
        assert queue.job(2).failure_class is not None


def test_a_runner_is_given_its_job_as_it_was_marked(tmp_path):
    seen = []
    with queue_of(tmp_path, CALL) as queue:
        drain_jobs(queue, lambda job, run: seen.append((job.status, job.dispatched_at, job.claims)) or {})
        assert [(status, bool(at), claims) for status, at, claims in seen] == [("dispatched", True, 1)]


def test_a_cost_by_the_token_is_rounded_up_to_a_millionth():
    prices = Prices("today", {"m": Price(Decimal("0.4"), Decimal(1))})
    for prompt, completion, cost in ((0, 0, "0"), (1, 0, "0.000001"), (5, 0, "0.000002"), (3, 1, "0.000003")):
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        assert prices.cost("m", usage) == Decimal(cost)


def test_a_listener_that_fails_cuts_off_no_job(tmp_path):
    with queue_of(tmp_path, CALL) as queue:
        assert drain_jobs(queue, lambda job, run: {}, on_event=lambda *_: 1 / 0).done == (1,)


def test_a_queue_can_be_read_where_it_cannot_be_written(tmp_path):
    with queue_of(tmp_path, CALL) as queue, sqlite3.connect(queue.path) as other:
        other.execute("BEGIN IMMEDIATE")
        with Queue(queue.path) as reader:
            assert standup(reader)["queued"] == 1
        other.rollback()
    other.close()


def test_a_queue_in_memory_needs_no_lock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Queue(":memory:") as queue:
        queue.enqueue("local")
        assert drain_jobs(queue, lambda job, run: {}).done == (1,)
    assert list(tmp_path.iterdir()) == []


def test_an_abort_reaches_who_listens_once_and_its_first_cause_stands():
    run, heard = Run(), []
    run.on_abort(lambda: heard.append("before"))
    run.abort("memory")
    run.abort("cost_cap")
    run.on_abort(lambda: heard.append("after"))
    assert (heard, run.aborted_by) == (["before", "after"], "memory")
    with pytest.raises(InvalidInput):
        Watchdog(samples=0)


def test_a_sampler_that_fails_never_trips(tmp_path):
    def broken():
        raise OSError

    with queue_of(tmp_path, CALL) as queue:
        wait = Watchdog(broken, period_s=0.001)
        assert drain_jobs(queue, lambda job, run: {"waited": run.signal.wait(0.05)}, watchdog=wait).done == (
            1,
        )


@pytest.mark.parametrize(("name", "bad"), [(name, bad) for name in KNOWN for bad in ("x", "-1", "nan")])
def test_a_bad_value_falls_to_the_next_source_and_is_said(name, bad):
    found = resolve_settings(None, {f"TALLY_DRAIN_{name.upper()}": bad})
    assert found.rows[name].source == "default"
    assert name in found.problems[0]


def test_the_example_of_the_chapter_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example = re.search(r"^```python\n(.*?)^```", CHAPTER.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    exec(example[1], {})
    told = capsys.readouterr().out
    assert told.startswith("hold (1,) oom_envelope\nstandup ")
    assert "staged only" not in told  # a job that was deferred once needs no decision


def test_the_chapter_names_every_status_column_and_setting(tmp_path):
    text = CHAPTER.read_text("utf-8")
    assert [word for word in (*STATUSES, *KNOWN) if f"`{word}`" not in text] == []
    assert [name for name in Job.__struct_fields__ if name not in text] == []
