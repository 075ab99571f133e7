"""The governor as a library: one check before each job, for a scheduler without a kernel."""

import ast
import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import splittally
from splittally import governor as library
from splittally.core.governor import terms
from splittally.governor import (
    LOCAL_CEILING,
    BudgetDecision,
    BudgetError,
    BudgetGovernor,
    EscalationReason,
    MemoryEnvelope,
    SpendDigest,
    check_budget,
)

from tests.governor_stores import ArenaStore, CostLedger, Told, store, today

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "kernel/splittally/governor", ROOT / "kernel/splittally/core/governor")
NAMES = (
    "BudgetGovernor", "BudgetDecision", "SpendDigest", "EscalationReason", "MemoryEnvelope", "check_budget",
    "BudgetError",
)  # fmt: skip
GIANT = MemoryEnvelope(lane_gb={"giant": 200.0, "whole": 300.0})


def made(ledger=None, **settings):
    return BudgetGovernor(ledger=ledger, now=today, **settings)


def verdict(decision):
    return decision.action, decision.reason


def imported():
    """Every module that the library's files import."""
    for path in (path for folder in FOLDERS for path in folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                yield node.module


# --- the module -------------------------------------------------------------------------------------


@pytest.mark.req("S3-01")
@pytest.mark.parametrize("name", NAMES)
def test_the_module_and_the_menu_offer(name):
    assert getattr(library, name) is getattr(splittally, name)
    assert set(library.__all__) == {*NAMES, "LOCAL_CEILING"}


@pytest.mark.req("S3-03", "S3-69")
def test_a_hundred_checks_leave_the_store_and_its_folder_as_they_were(tmp_path):
    path = tmp_path / "arena.db"
    connection = store(path=path)
    before, schema = path.read_bytes(), list(connection.execute("SELECT * FROM sqlite_master"))
    governor = made(connection)
    for _ in range(100):
        governor.check_budget({"est_cost_usd": 0.1, "lane_id": "coder"})
    governor.spend_digest()
    assert path.read_bytes() == before
    assert list(connection.execute("SELECT * FROM sqlite_master")) == schema
    assert connection.total_changes == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["arena.db"]


@pytest.mark.req("S3-05", "S3-16", "S3-32")
def test_the_spend_of_the_ledger_and_the_estimate_together_may_not_pass_the_cap():
    decision = made(store()).check_budget({"est_cost_usd": 1.0, "lane_id": "coder"})
    assert verdict(decision) == ("defer", "over_daily_cap")
    assert decision.detail == {
        "spend_usd": 4.75, "est_cost_usd": 1.0, "projected_usd": 5.75, "cap_usd": 5.0
    }  # fmt: skip


@pytest.mark.req("S3-06", "S3-17", "S3-18")
def test_one_call_guards_usage_and_memory():
    used = check_budget({"lane_id": "coder"}, envelope=GIANT, weekly_usage_pct=95)
    assert verdict(used) == ("defer", "over_usage_cap")
    assert used.detail == {"weekly_usage_pct": 95.0, "cap_pct": 80.0}
    whole = check_budget({"lane_id": "whole"}, envelope=GIANT, weekly_usage_pct=10)
    assert verdict(whole) == ("defer", "oom_envelope")
    for ledger in (None, store(())):
        giant = made(ledger, envelope=GIANT).check_budget({"lane_id": "giant"}, weekly_usage_pct=10)
        assert verdict(giant) == ("defer", "oom_envelope")
        sizes = {"lane_gb": 200.0, "reserved_gb": 31.8, "total_gb": 128.0}
        assert giant.detail == {"lane_id": "giant", **sizes}


# --- verdicts ---------------------------------------------------------------------------------------


@pytest.mark.req("S3-08", "S3-33")
def test_allow_means_that_money_and_memory_leave_room():
    envelope = MemoryEnvelope(lane_gb={"coder": 5.5})
    governor = made(store(()), envelope=envelope, daily_cap_usd=5)
    decision = governor.check_budget({"est_cost_usd": 1, "lane_id": "coder"})
    assert decision == BudgetDecision("allow", "within_budget", {"lane_id": "coder"})
    assert decision.allowed is True
    assert BudgetDecision("escalate", "local_ceiling", {}).allowed is False
    assert BudgetDecision("defer", "over_daily_cap", {}).allowed is False


@pytest.mark.req("S3-09", "S3-10", "S3-13")
@pytest.mark.parametrize("name", ["multi_step_planning", "kv_cache_derivation"])
def test_a_local_model_that_gave_up_is_escalated_with_the_ceiling(name):
    decision = made(store(())).check_budget({"failure_class": name, "lane_id": "coder"})
    assert verdict(decision) == ("escalate", "local_ceiling")
    assert LOCAL_CEILING == 0.33
    assert decision.detail == {"failure_class": name, "ceiling": 0.33, "lane_id": "coder"}


@pytest.mark.req("S3-11", "S3-12")
def test_how_it_failed_decides_and_not_how_large_it_was():
    governor = made(store(()))
    huge = {"est_tokens": 10**12, "max_tokens": 10**12, "failure_class": "crash"}
    assert verdict(governor.check_budget(huge)) == ("allow", "within_budget")
    tiny = {"est_cost_usd": 0.000001, "failure_class": "kv_cache_derivation"}
    assert governor.check_budget(tiny).action == "escalate"


@pytest.mark.req("S3-14", "S3-15")
def test_the_classes_are_data_that_name_their_boundary_and_take_more():
    chapter = (ROOT / "spec/12-governor.md").read_text("utf-8")
    for text in (chapter, terms.BOUNDARY):
        assert all(words in text for words in ("30B-A3B", "8 of 12", "12 of 12"))
    assert all(f"`{name}`" in chapter for name in terms.GIVE_UP)
    job = {"failure_class": "proof_search"}
    assert made(store(())).check_budget(job).allowed
    more = {**terms.GIVE_UP, "proof_search": "the local model found no proof"}
    assert made(store(()), give_up_classes=more).check_budget(job).action == "escalate"


# --- the ledger -------------------------------------------------------------------------------------


@pytest.mark.req("S3-19", "S3-22", "S3-27")
def test_three_wirings_of_one_store_give_equal_decisions_and_digests():
    connection = store()
    wirings = (connection, ArenaStore(connection), CostLedger(ArenaStore(connection)))
    job = {"est_cost_usd": 0.26, "failure_class": "multi_step_planning"}
    decisions = [made(wiring).check_budget(job, weekly_usage_pct=10) for wiring in wirings]
    assert decisions[0].detail["spend_usd"] == 4.75
    assert [verdict(decision) for decision in decisions] == [("defer", "over_daily_cap")] * 3
    assert decisions.count(decisions[0]) == 3
    digests = [made(wiring).spend_digest() for wiring in wirings]
    assert digests.count(digests[0]) == 3
    assert made(None).check_budget(job, weekly_usage_pct=10).allowed


@pytest.mark.req("S3-20", "S3-21")
def test_without_a_ledger_the_same_program_guards_usage_and_with_one_money():
    def program(ledger):
        jobs = ({"failure_class": "multi_step_planning"}, {"est_cost_usd": 9})
        calls = [(job, usage) for job in jobs for usage in (10, 95)]
        return [made(ledger).check_budget(job, weekly_usage_pct=usage).action for job, usage in calls]

    assert program(None) == ["allow", "defer", "allow", "defer"]
    assert program(Told(0.0)) == ["escalate", "escalate", "defer", "defer"]


@pytest.mark.req("S3-23", "S3-24", "S3-68")
def test_the_library_imports_no_arena_no_scheduler_and_nothing_that_waits():
    allowed = {
        "collections",
        "datetime",
        "decimal",
        "enum",
        "json",
        "msgspec",
        "sqlite3",
        "splittally",
        "typing",
    }
    names = set(imported())
    assert {name.split(".")[0] for name in names} <= allowed
    ours = {name for name in names if name.startswith("splittally")}
    assert all(name.startswith(("splittally.core.", "splittally.governor")) for name in ours)
    public = {name for name in dir(library) if not name.startswith("_")}
    assert not {"run", "loop", "start", "main", "serve", "drain_jobs"} & public


# --- the governor -----------------------------------------------------------------------------------


@pytest.mark.req("S3-25", "S3-26")
def test_it_keeps_its_four_settings_and_nothing_else():
    settings = {"ledger": store(), "envelope": GIANT, "daily_cap_usd": 7, "weekly_usage_cap_pct": 60}
    governor = BudgetGovernor(**settings, now=today)
    before = {name: getattr(governor, name) for name in governor.__struct_fields__}
    jobs = [{"est_cost_usd": 1}, {"est_cost_usd": 3}, {"lane_id": "giant"}]
    forward = [governor.check_budget(job) for job in jobs]
    assert [governor.check_budget(job) for job in reversed(jobs)] == forward[::-1]
    assert {name: getattr(governor, name) for name in governor.__struct_fields__} == before
    assert {name: getattr(governor, name) for name in settings} == settings
    with pytest.raises(AttributeError):
        governor.daily_cap_usd = 100


@pytest.mark.req("S3-28", "S3-29")
def test_what_is_passed_replaces_what_would_be_read():
    job = {"est_cost_usd": 0.2}
    for ledger in (None, store(()), object(), Told(0.0)):
        decision = made(ledger).check_budget(job, spend_today=4.9)
        assert isinstance(decision, BudgetDecision)
        assert verdict(decision) == ("defer", "over_daily_cap")
        assert made(ledger).check_budget(job, spend_today=4.8).allowed
    with pytest.raises(TypeError):
        made(None).check_budget(job, 4.9)
    assert verdict(made(None).check_budget(job, spend_today=0, weekly_usage_pct=95))[1] == "over_usage_cap"


@pytest.mark.req("S3-31", "S3-35")
def test_each_of_the_five_reasons_is_a_plain_string_that_something_produces():
    governor = made(store(()), envelope=GIANT)
    jobs = ({}, {"failure_class": "context_overflow"}, {"est_cost_usd": 6}, {"lane_id": "giant"})
    decisions = [*map(governor.check_budget, jobs), made(None).check_budget({}, weekly_usage_pct=81)]
    assert {decision.reason for decision in decisions} == set(EscalationReason)
    assert len(EscalationReason) == 5
    assert {name.lower() for name in EscalationReason.__members__} == set(EscalationReason)
    for decision in decisions:
        assert (type(decision.action), type(decision.reason), type(decision.detail)) == (str, str, dict)
        json.dumps(decision.detail)


@pytest.mark.req("S3-53")
def test_one_call_answers_as_a_governor_that_lives_long():
    assert check_budget({}, weekly_usage_pct=0).allowed
    for job in ({}, {"est_cost_usd": 1}, {"lane_id": "giant"}, {"failure_class": "context_overflow"}):
        once = check_budget(job, ledger=store(), envelope=GIANT, daily_cap_usd=5, now=today)
        assert once == made(store(), envelope=GIANT, daily_cap_usd=5).check_budget(job)


@pytest.mark.req("S3-54")
def test_what_cannot_be_read_or_configured_raises(tmp_path):
    closed = store()
    closed.close()
    (tmp_path / "broken.db").write_bytes(b"no database" * 500)
    broken = sqlite3.connect(tmp_path / "broken.db")
    for ledger in (object(), 7, "arena.db", closed, broken, Told(OSError("gone")), Told("much"), Told(-1.0)):
        with pytest.raises(BudgetError):
            check_budget({}, ledger=ledger)
        with pytest.raises(splittally.SplittallyError):
            SpendDigest.from_store(ledger)
    for cap in (float("nan"), float("inf"), -1, "5", True):
        with pytest.raises(BudgetError):
            BudgetGovernor(daily_cap_usd=cap)
        with pytest.raises(BudgetError):
            BudgetGovernor(weekly_usage_cap_pct=cap)


# --- what it is not ---------------------------------------------------------------------------------


@pytest.mark.req("S3-67", "S3-70")
def test_an_escalation_calls_nobody_and_needs_no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the governor reached for the outside")

    for owner, name in ((socket, "socket"), (subprocess, "Popen"), (os, "system")):
        monkeypatch.setattr(owner, name, refuse)
    ledger = store()
    told = made(ledger).check_budget({"failure_class": "context_overflow"})
    assert told.action == "escalate"
    assert ledger.total_changes == 2


@pytest.mark.req("S3-70")
def test_two_processes_give_the_same_answers():
    program = (
        "from splittally.governor import check_budget, MemoryEnvelope\n"
        "jobs = [{'est_cost_usd': 0.1 * n, 'lane_id': str(n), 'failure_class': 'crash'} for n in range(80)]\n"
        "print([check_budget(job, spend_today=0.1) for job in jobs])"
    )
    path = os.pathsep.join(str(ROOT / name) for name in ("kernel", "enforcers", "journal_tools"))
    told = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(told) == 1
    assert "over_daily_cap" in told.pop()
