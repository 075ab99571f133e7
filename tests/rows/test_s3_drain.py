"""The governor's place in a drain: asked once before each job, obeyed, and never acting by itself."""

import inspect
import sqlite3

import pytest
from splittally.governor import BudgetGovernor
from splittally.host import drain
from splittally.host.drain import (
    Queue,
    cost_ledger,
    display,
    drain_jobs,
    public_figures,
    run_drain_cycle,
    standup,
)  # fmt: skip

from tests.drain_night import Clock, StandIn, queue_of, said

ALLOW = said("allow", "within_budget")
DEFER = said("defer", "over_daily_cap", projected=5.75, cap=5.0)
ESCALATE = said("escalate", "local_ceiling", ceiling=0.33)


class Scripted:
    """A governor that gives these verdicts in turn, and a runner that notes who came."""

    def __init__(self, *verdicts):
        self.verdicts, self.events = list(verdicts), []

    def check_budget(self, job):
        self.events.append(("check", job.id))
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]

    def run(self, job, run):
        self.events.append(("run", job.id))
        return {"cost_usd": "0.1", "failure_class": "crash"} if job.lane_id == "bad" else {"cost_usd": "0.1"}

    def of(self, event):
        return [job_id for name, job_id in self.events if name == event]


def jobs(count, lane="local"):
    return [{"lane": lane, "payload": {"prompt": f"secret {at}"}} for at in range(count)]


def statuses(queue):
    return [job.status for job in sorted(queue.jobs(), key=lambda job: job.id)]


@pytest.mark.req("S3-02", "S3-56")
def test_five_allowed_jobs_are_five_checks_each_between_its_claim_and_its_dispatch(folder):
    script, told = Scripted(ALLOW), []
    with queue_of(folder, *jobs(5)) as queue:
        drain_jobs(queue, script.run, script, on_event=lambda name, job, facts: told.append((name, job.id)))
    assert script.events == [(what, at) for at in range(1, 6) for what in ("check", "run")]
    steps = ("claim", "check", "dispatch", "settle")
    assert told == [(name, at) for at in range(1, 6) for name in steps]


@pytest.mark.req("S3-34")
@pytest.mark.parametrize("verdict", [ESCALATE, DEFER, said("stop", "x"), said("allow", "x")])
def test_only_allowed_dispatches(folder, verdict):
    verdict.allowed = verdict.action == "allow" and "yes"  # not the truth value of anything else
    script = Scripted(verdict)
    with queue_of(folder, *jobs(1)) as queue:
        drain_jobs(queue, script.run, script)
        assert (script.of("run"), statuses(queue)) == ([], ["queued"])


@pytest.mark.req("S3-34")
def test_a_governor_that_raises_holds_the_job(folder):
    class Broken:
        def check_budget(self, job):
            raise OSError("no ledger")

    script = Scripted(ALLOW)
    with queue_of(folder, *jobs(1)) as queue:
        report = drain_jobs(queue, script.run, Broken())
        assert (report.held["reason"], report.held["detail"]) == ("check_failed", {"error": "OSError"})
        assert (script.of("run"), statuses(queue)) == ([], ["queued"])


@pytest.mark.req("S3-52")
def test_a_lane_that_does_not_fit_is_held_and_never_run(folder):
    script = Scripted(ALLOW)
    with queue_of(folder, *jobs(1, "giant")) as queue:
        report = drain_jobs(queue, script.run, StandIn(queue, lane_gb={"giant": 200.0}))
        assert (report.held["action"], report.held["reason"]) == ("defer", "oom_envelope")
        assert (script.of("run"), statuses(queue)) == ([], ["queued"])


@pytest.mark.req("S3-55")
def test_the_cycle_passes_its_governor_on(folder):
    script = Scripted(ALLOW)
    with queue_of(folder, *jobs(2)) as queue:
        cycle = run_drain_cycle(queue, script.run, script)
    assert script.of("check") == [1, 2]
    assert (cycle["report"]["done"], cycle["standup"]["ran"]) == ((1, 2), 2)


@pytest.mark.req("S3-57")
def test_an_allow_ends_a_job_as_it_ends_without_a_governor(folder):
    ended = []
    for at, governed in enumerate((False, True)):
        script = Scripted(ALLOW)
        (folder / str(at)).mkdir()
        with queue_of(folder / str(at), *jobs(1), *jobs(1, "bad"), clock=Clock()) as queue:
            drain_jobs(queue, script.run, script if governed else None)
            kept = ("id", "status", "failure_class", "cost_usd", "result_json", "dispatched_at")
            ended.append([{name: job[name] for name in kept} for job in queue.jobs()])
    assert ended[0] == ended[1]
    assert [row["status"] for row in ended[0]] == ["done", "failed"]


@pytest.mark.req("S3-58", "S3-59")
@pytest.mark.parametrize("verdict", [DEFER, ESCALATE])
def test_a_hold_puts_the_job_back_and_leaves_a_row_with_reason_and_numbers(folder, verdict):
    script = Scripted(verdict)
    with queue_of(folder, *jobs(1)) as queue:
        drain_jobs(queue, script.run, script)
        job = queue.job(1)
        assert (job.status, job.dispatched_at, job.claimed_by) == ("queued", None, None)
        (row,) = queue.triggers(1)
        assert (row.trigger, row.reason) == (f"budget_{verdict.action}", verdict.reason)
        assert row.detail == verdict.detail


@pytest.mark.req("S3-60", "S3-61")
def test_a_hold_stops_the_pass_and_later_jobs_have_no_row(folder):
    script = Scripted(ALLOW, DEFER, ALLOW)
    with queue_of(folder, *jobs(5)) as queue:
        report = drain_jobs(queue, script.run, script)
        assert (report.stopped_by, report.dispatched) == ("hold", (1,))
        assert statuses(queue) == ["done", "queued", "queued", "queued", "queued"]
        assert [len(queue.triggers(at)) for at in range(1, 6)] == [0, 1, 0, 0, 0]
        assert [queue.job(at).claims for at in range(1, 6)] == [1, 1, 0, 0, 0]
        assert script.of("check") == [1, 2]


@pytest.mark.req("S3-62", "S3-63")
def test_an_escalated_job_waits_for_an_operator_and_is_staged_only(folder):
    lanes = []
    with queue_of(folder, {"lane": "local", "failure_class": "multi_step_planning"}) as queue:
        governor = StandIn(queue)
        for _ in range(5):
            drain_jobs(queue, lambda job, run: lanes.append(job.lane_id) or {}, governor)
        told = standup(queue)
        assert told["staged"]["note"] == "staged only"
        assert [row["propose"] for row in told["staged"]["decisions"]] == ["promote"]
        assert told["holds"][0]["reason"] == "local_ceiling"
        assert "staged only" in display(told)
        assert (lanes, queue.job(1).lane_id) == ([], "local")
        assert queue.promote(1, "frontier") == 1
        drain_jobs(queue, lambda job, run: lanes.append(job.lane_id) or {}, governor)
        assert lanes == ["frontier"]
        assert (queue.job(1).status, standup(queue)["staged"]["decisions"]) == ("done", [])


@pytest.mark.req("S3-63")
def test_nothing_of_a_pass_can_promote_park_or_resolve():
    for module in (drain.cycle, drain.takeover, drain.verdicts, drain.gate, inspect.getmodule(standup)):
        source = inspect.getsource(module)
        assert not [verb for verb in (".promote(", ".park(", ".resolve(") if verb in source], module


@pytest.mark.req("S3-64", "S3-65")
def test_a_cycle_changes_neither_schema_nor_version_and_keeps_no_policy(folder):
    def shape():
        with sqlite3.connect(folder / "jobs.sqlite") as db:
            schema = db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
            version = db.execute("PRAGMA user_version").fetchall()
        db.close()
        return schema, version

    with queue_of(folder, *jobs(3)) as queue:
        before = shape()
        run_drain_cycle(queue, lambda job, run: {"cost_usd": 1}, StandIn(queue, cap="2"))
        assert queue.version == 1
    assert shape() == before
    tables = {name for kind, name, _ in before[0] if kind == "table"}
    assert tables - {"sqlite_sequence"} == {"jobs", "job_triggers"}


@pytest.mark.req("S3-66")
def test_after_a_hold_the_queued_job_and_its_row_are_all_that_a_restart_needs(folder):
    script = Scripted(DEFER)
    with queue_of(folder, *jobs(1)) as queue:
        drain_jobs(queue, script.run, script)
    (folder / "jobs.sqlite.lock").unlink()
    copy = folder / "copy.sqlite"
    copy.write_bytes((folder / "jobs.sqlite").read_bytes())
    with Queue(copy) as queue:
        assert [row.trigger for row in queue.triggers(1)] == ["budget_defer"]
        assert standup(queue)["holds"][0]["job_id"] == 1
        report = drain_jobs(queue, script.run, Scripted(ALLOW))
        assert (report.dispatched, report.recovered) == ((1,), ())


def scored(queue, costs, score=0.5, limit=None):
    """Runs each job of the queue at the next of `costs`; all have the same score."""
    bills = iter(costs)
    told = {"score": score, "model": "secret-model"}
    drain_jobs(queue, lambda job, run: {"cost_usd": next(bills), **told}, limit=limit)


@pytest.mark.req("S3-04")
def test_the_ledger_tells_dollars_per_quality_point_and_the_governor_does_not(folder):
    with queue_of(folder, *jobs(4)) as queue:
        scored(queue, ("0.01", "0.02", "0.03"))  # the fourth finds no bill and fails
        told = cost_ledger(queue)
        assert told["quality"] == {
            "runs": 3,
            "mean_cost_usd": "0.02",
            "mean_score": "0.5",
            "usd_per_point": "0.04",
        }
        assert [row["cost_usd"] for row in told["runs"]] == ["0.01", "0.02", "0.03", None]
        governor = BudgetGovernor(ledger=queue)
        shown = {**governor.spend_digest().as_dict(), **governor.check_budget({"lane_id": "local"}).detail}
        assert not [name for name in shown if "score" in name or "point" in name]


@pytest.mark.parametrize("score", [None, True, -1, float("nan"), "high", "9" * 50, [1]])
def test_what_is_no_score_is_no_score(folder, score):
    with queue_of(folder, *jobs(1)) as queue:
        drain_jobs(queue, lambda job, run: {"cost_usd": "0.1", "score": score})
        assert cost_ledger(queue)["quality"]["usd_per_point"] is None


@pytest.mark.req("S3-48")
def test_what_is_published_holds_no_single_cost_no_lane_and_no_table(folder):
    costs = ("0.0111", "0.0222", "0.0333", "0.0444", "0.055")
    with queue_of(folder, *jobs(5, lane="secret-lane")) as queue:
        scored(queue, costs, limit=4)
        assert public_figures(queue)["usd_per_point"] is None  # a mean over few tells what one cost
        scored(queue, costs[4:])
        told = public_figures(queue)
        assert told == {
            "runs": 5,
            "mean_cost_usd": "0.0332",
            "mean_score": "0.5",
            "usd_per_point": "0.0664",
        }
        text = str(told)
        assert not [secret for secret in (*costs, "secret", "jobs", "chat_turns", "lane") if secret in text]
