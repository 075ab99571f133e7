"""A pass that is asked for wrongly burns nothing, and a program that fails leaves what it said."""

import json
import shlex
import sqlite3
import sys
from decimal import Decimal

import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.errors import BudgetError
from splittally.governor import BudgetGovernor, check_budget
from splittally.host.drain import KernelGate, Queue, display, drain_jobs, standup
from splittally.host.drain.command import CommandRunner
from splittally.host.drain.jobs import usd_shown
from splittally.host.drain.programs import STDERR_BYTES_MAX, STDERR_LINES_MAX, NoProgram

from tests.cli_tools import make_world, run

GOOD = 'import json; print(json.dumps({"cost_usd": "0.04"}))'
ASKED = {"model": "m", "max_tokens": 5, "prompt_tokens": 1}


@pytest.fixture
def queue(tmp_path):
    path = tmp_path / "jobs.sqlite"
    with Queue(path) as made:
        for _ in range(2):
            made.enqueue("local", ASKED)
    return path


def drained(queue, program, *options):
    runner = shlex.join([sys.executable, "-c", program])
    return run("drain", "run", "--queue", queue, "--runner", runner, *options)


def jobs(queue, status):
    with Queue(queue, create=False) as opened:
        return opened.jobs(status)


# --- nothing bounds it ------------------------------------------------------------------------------


@pytest.mark.req("X8-11")
def test_a_pass_without_any_cap_is_refused_and_runs_where_that_is_said(queue):
    refused = drained(queue, GOOD)
    assert (refused.code, refused.out) == (2, "")
    assert all(word in refused.err for word in ("--daily-cap", "--governor", "--under", "--uncapped"))
    assert [job.claims for job in jobs(queue, "queued")] == [0, 0]
    assert drained(queue, GOOD, "--uncapped").code == 0
    assert len(jobs(queue, "done")) == 2


def test_a_pass_that_has_a_cap_is_not_uncapped(queue, tmp_path):
    assert drained(queue, GOOD, "--uncapped", "--daily-cap", "5").code == 2
    assert drained(queue, GOOD, "--daily-cap", "0").code == 0
    world = make_world(tmp_path / "world")
    assert drained(queue, GOOD, "-w", world, "--under", "cap_llm").code == 0


# --- a program that cannot be started ---------------------------------------------------------------


@pytest.mark.req("X8-10")
def test_a_misspelt_runner_ends_with_the_environment_and_no_job_is_claimed(queue, tmp_path):
    (tmp_path / "notes.txt").write_text("no program")
    for runner, why in (("pyhton3 x.py", "no such program"), (tmp_path / "notes.txt", "not executable")):
        ran = run("drain", "run", "--queue", queue, "--daily-cap", "5", "--runner", runner, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (3, "no_program")
        assert why in ran.err
    assert [job.claims for job in jobs(queue, "queued")] == [0, 0]
    assert run("drain", "run", "--queue", queue, "--uncapped", "--runner", "a 'b").code == 2


def test_a_program_that_goes_away_during_a_pass_holds_its_job_and_fails_none(queue, tmp_path):
    """It is found when the pass begins, and no system can start it: a script without its first line."""
    world, script = make_world(tmp_path / "world"), tmp_path / "job"
    script.write_bytes(b"\x00 neither a program nor a script")
    script.chmod(0o755)
    with splittally.open(world) as kernel, Queue(queue, create=False) as opened:
        gate = KernelGate(kernel, "cap_llm")
        report = drain_jobs(opened, CommandRunner([str(script)]), kernel=gate)
        assert (report.stopped_by, report.held["reason"], report.failed) == ("hold", "runner_absent", ())
        assert report.dispatched == ()
        script.write_text(f"#!{sys.executable}\n{GOOD}\n")
        assert drain_jobs(opened, CommandRunner([str(script)]), kernel=gate).done == (1, 2)
        assert len(kernel.state.reservations) == 0


def test_a_runner_in_python_is_looked_up_when_it_is_made():
    with pytest.raises(NoProgram, match="no such program"):
        CommandRunner(["/no/such/program"])


# --- what a failed program leaves -------------------------------------------------------------------

CRASHES = (
    "import sys; sys.stderr.write('\\n'.join(f'line {n}' for n in range(9000)) + '\\n\\x1b[31mred\\n');"
    " sys.exit(7)"
)


@pytest.mark.req("X8-11")
def test_a_program_that_fails_leaves_its_exit_code_and_its_last_lines(queue):
    ran = drained(queue, CRASHES, "--daily-cap", "5")
    assert "exit code 7: \\x1b[31mred" in ran.out
    assert "line 0\n" in ran.err  # all of it goes where the errors of the drain go
    rows = run("drain", "queue", "--queue", queue, "--status", "failed", "--json").json["jobs"]
    for row in rows:
        assert (row["exit_code"], row["failure_class"]) == (7, "crash")
        assert row["stderr"][-2:] == ["line 8999", "\x1b[31mred"]
        assert len(row["stderr"]) <= STDERR_LINES_MAX
        assert len("\n".join(row["stderr"])) <= STDERR_BYTES_MAX
    shown = run("drain", "queue", "--queue", queue, "--status", "failed").out
    assert "job 1: exit code 7" in shown
    assert "\\x1b[31mred" in shown and "\x1b" not in shown


def test_the_standup_tells_how_a_program_ended_and_nothing_that_it_said(queue):
    drained(queue, "import sys; sys.exit('the secret recipe')", "--limit", "1", "--uncapped")
    drained(queue, "import os; os.kill(os.getpid(), 9)", "--uncapped")
    with Queue(queue, create=False) as opened:
        told = standup(opened)
    assert [row["exit_code"] for row in told["failed"]] == [1, -9]
    assert "secret" not in json.dumps(told)
    text = display(told)
    assert "job 1 on local: exit code 1" in text
    assert "job 2 on local: signal 9" in text


def test_output_that_is_no_result_is_kept_with_what_was_said_beside_it(queue):
    drained(queue, "import sys; print('hi'); print('no JSON here', file=sys.stderr)", "--uncapped")
    row = run("drain", "queue", "--queue", queue, "--status", "failed", "--json").json["jobs"][0]
    assert (row["failure_class"], row["exit_code"], row["stderr"]) == ("bad_result", 0, ["no JSON here"])


@pytest.mark.parametrize("lie", [{"exit_code": "x", "stderr": 5}, {"exit_code": True, "stderr": [1, {}]}])
def test_what_a_result_says_of_its_own_ending_is_read_with_care(queue, lie):
    with Queue(queue, create=False) as opened:
        drain_jobs(opened, lambda job, run: {"failure_class": "crash", **lie})
        assert standup(opened)["failed_by_class"] == {"crash": 2}
    row = run("drain", "queue", "--queue", queue, "--status", "failed", "--json").json["jobs"][0]
    assert (row["exit_code"], row["stderr"]) == (None, [])


# --- what a job may cost ----------------------------------------------------------------------------

MISSPELT = (
    "est_cost",
    "est_usd",
    "estimate",
    "estimated_cost_usd",
    "estCostUsd",
    "est_cost_usb",
    "est-cost-usd",
)


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_estimate_is_refused_and_not_read_as_nothing(name, tmp_path):
    for job in ({name: 900.0}, {"payload": {name: "900"}}, {"payload": json.dumps({name: 1})}):
        with pytest.raises(BudgetError, match="did you mean `est_cost_usd`"):
            check_budget(job, spend_today=0)
    assert check_budget({name: 900, "est_cost_usd": 1}, spend_today=0).allowed  # the estimate was said
    assert check_budget({name: "as the prompt says"}, spend_today=0).allowed  # no amount
    refused = run("drain", "add", "--queue", tmp_path / "q", json.dumps({name: 900}))
    assert (refused.code, f"`{name}`" in refused.err, (tmp_path / "q").exists()) == (2, True, False)
    assert run("drain", "add", "--queue", tmp_path / "q", "--est", "1", json.dumps({name: 900})).code == 0


@given(
    st.dictionaries(
        st.sampled_from(["cost_usd", "est_tokens", "latest_cost", "test", "price", "lane"]), st.integers(0)
    )
)
def test_other_numbers_of_a_job_are_its_own(fields):
    assert check_budget(fields, spend_today=0).allowed


def test_a_drain_holds_a_job_whose_estimate_was_misspelt_behind_its_back(queue):
    with Queue(queue, create=False) as opened:
        opened._db.execute("UPDATE jobs SET payload_json = '{\"est_cost\": 900}'")
        report = drain_jobs(opened, lambda job, run: {}, BudgetGovernor(ledger=opened))
    assert report.held["reason"] == "check_failed"
    assert report.held["detail"] == {"error": "BudgetError", "field": "est_cost"}


def test_a_store_that_has_no_table_of_spend_is_the_wrong_file_and_no_usage(tmp_path):
    """A misspelt path makes SQLite an empty file: that was told as `over_usage_cap`."""
    governor = BudgetGovernor(ledger=sqlite3.connect(tmp_path / "arnea.db"))
    with pytest.raises(BudgetError, match="right file") as error:
        governor.check_budget({})
    assert error.value.facts["cause"] == "no_tables"
    assert governor.check_budget({}, spend_today=0).allowed
    assert governor.spend_digest().display == "—"


@given(st.decimals(0, 10**6, places=4))
def test_dollars_have_two_decimals_or_more_and_keep_their_value(amount):
    shown = usd_shown(amount)
    assert Decimal(shown.removeprefix("$")) == amount
    assert len(shown.partition(".")[2]) >= 2
