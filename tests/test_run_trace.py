"""`tally run-trace`: the whole job, as a user runs it."""

import csv
import tempfile
from pathlib import Path

import pytest
from splittally_tools.run_trace.rows import HEADER

from tests.cli_tools import process, run

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "fixtures" / "traces" / "sample.csv"
PUBLISHED = ROOT.parent / "shared" / "data" / "AzureLLMInferenceTrace_code.csv"
STAGES = {"edge", "caps", "enforcer", "ledger", "policy", "group"}
ROW = "2023-11-16 18:17:03.9799600,4808,10"


def tally(*arguments):
    return run("run-trace", *arguments)


def report(*arguments):
    done = tally("--json", *arguments)
    assert done.code == 0, done.err
    return done.json


def report_of_a_process(*arguments, **environment):
    """The same of a process of its own, which has the memory and the settings that are looked at."""
    done = process("run-trace", "--json", *arguments, **environment)
    assert done.code == 0, done.err
    return done.json


@pytest.fixture(scope="module")
def sample():
    return report(SAMPLE)


def test_the_sample_run_verifies_what_it_wrote(sample):
    verified = sample["verified"]
    assert verified["sound"] and verified["same_root"] and not verified["problems"]
    assert verified["frames"] == sample["world"]["frames"]
    assert verified["state_root"] == sample["world"]["state_root"]


def test_the_sample_shows_denials_of_every_stage(sample):
    assert set(sample["calls"]["denied_by_code"]) == STAGES
    assert set(sample["calls"]["denied_by_code"]["ledger"]) >= {"budget_exceeded", "insufficient_balance"}
    assert "idempotency.conflict" in sample["asked_again"]["refused"]["known"]


def test_the_sample_shows_approvals_groups_and_every_way_a_call_ends(sample):
    assert sample["approvals"]["approved"] > 0 and sample["approvals"]["rejected"] > 0
    assert sample["calls"]["waited"] > sum(sample["approvals"].values())  # some time out unanswered
    assert sample["groups"]["allowed"] > 0 and sample["groups"]["refused"] > 0
    assert sample["answers"]["cancellations"]["released"] > 0
    assert all(sample["answers"]["receipts"][status] > 0 for status in ("settled", "late", "held"))
    assert "usage_exceeds_reserve" in sample["answers"]["violations"]["settle"]
    assert sample["asked_again"]["duplicates"] > 0


@pytest.mark.req("S4-42")
def test_calls_in_flight_at_an_upgrade_are_settled_by_the_module_that_checked_them(sample):
    upgrade = sample["upgrade"]
    assert upgrade["old_module"] != upgrade["new_module"]
    assert upgrade["settled_by_old"] > 0
    assert upgrade["settled_by_other"] == 0
    ended = upgrade["settled_by_old"] + upgrade["released"] + upgrade["still_open"]
    assert ended == upgrade["in_flight"]


def test_every_call_of_an_agent_is_allowed_or_waits_or_is_denied_by_a_code(sample):
    for agent in sample["agents"].values():
        by_code = sum(count for codes in agent["denied_by_code"].values() for count in codes.values())
        assert agent["calls"] == agent["allowed"] + agent["waited"] + by_code
        for dim in ("tokens", "USD"):
            use = agent[dim]
            assert use["limit"] == use["reserved"] + use["spent"] + use["left"]
    assert sum(agent["calls"] for agent in sample["agents"].values()) == sample["trace"]["rows"]


def test_the_money_of_the_team_is_spent_in_flight_or_left(sample):
    team = sample["team"]
    assert team["funded"] == team["paid"] + team["in_flight"] + team["balance"]
    assert team["imbalance"] == 0
    spent = sum(agent["USD"]["spent"] for agent in sample["agents"].values())
    assert sample["answers"]["violations"]["settle"]["unfunded"] == 1  # the runaway answer, above its reserve
    assert 0 < spent - team["paid"] < 1_000


def test_damaged_lines_of_the_sample_are_reported_by_number_and_skipped(sample):
    problems = {problem["line"]: problem["why"] for problem in sample["trace"]["problems"]}
    assert problems[202] == "the header is repeated"
    assert "two rows are glued together" in problems[403]
    assert len(problems) == sample["trace"]["skipped"] == 2
    assert sample["trace"]["rows"] == 598


def test_people_get_a_table_per_agent_the_rate_and_a_last_line_that_says_verified():
    done = process("run-trace", SAMPLE, "--agents", 3)
    lines = done.out.splitlines()
    assert done.code == 0
    assert "line 202 skipped: the header is repeated" in lines
    assert sum(line.startswith("agent-3 ") for line in lines) == 2
    assert any(line.startswith("rate ") for line in lines) and any(line.startswith("team ") for line in lines)
    assert lines[-1].startswith("verified: ")
    assert done.err == ""


def test_the_same_file_and_seed_write_the_same_journal_whatever_the_process():
    heads = {
        report_of_a_process(SAMPLE, "--no-verify", PYTHONHASHSEED=seed, TZ=zone, LC_ALL=locale)["world"][
            "head_hash"
        ]
        for seed, zone, locale in (("0", "UTC", "C"), ("4711", "Pacific/Chatham", "C.UTF-8"))
    }
    assert len(heads) == 1


def test_another_seed_or_another_fleet_writes_another_journal(sample):
    for other in (("--seed", 2), ("--agents", 2)):
        assert report(SAMPLE, "--no-verify", *other)["world"]["head_hash"] != sample["world"]["head_hash"]


def test_memory_does_not_grow_with_the_length_of_the_trace():
    short, long = (report_of_a_process(SAMPLE, "--no-verify", "--repeat", copies) for copies in (2, 12))
    assert long["calls"]["made"] == 12 * 598
    grown = long["memory"]["rss_anon_peak_bytes"] - short["memory"]["rss_anon_peak_bytes"]
    assert grown < 16 * 1024 * 1024  # the journal of these 6,000 calls more is larger than that


@pytest.mark.parametrize("group", [1, 7])
def test_requests_may_share_a_commit_or_not_and_the_run_verifies(group, tmp_path):
    short = tmp_path / "short.csv"
    short.write_bytes(b"\r\n".join(SAMPLE.read_bytes().split(b"\r\n")[:60]))
    assert report(short, "--group", group)["verified"]["sound"]


def test_one_call_is_a_trace_too(tmp_path):
    path = tmp_path / "one.csv"
    path.write_bytes(HEADER + b"\r\n" + ROW.encode())
    found = report(path, "--agents", 1, "--repeat", 3)
    assert found["calls"]["made"] == 3
    assert found["verified"]["sound"]


def test_a_kept_world_stays_and_is_not_written_over(tmp_path):
    world = tmp_path / "world"
    found = report(SAMPLE, "--no-verify", "-w", world)
    assert (world / "journal").is_dir()
    assert found["world"]["folder"] == str(world)
    again = tally(SAMPLE, "-w", world)
    assert again.code == 3
    assert "holds a world already" in again.err


def test_the_temporary_world_is_removed_unless_it_is_to_be_kept(tmp_path, monkeypatch):
    trace, temporary = tmp_path / "one.csv", tmp_path / "temporary"
    trace.write_bytes(HEADER + b"\r\n" + ROW.encode())
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert tally(trace, "--no-verify").code == 0
    assert list(temporary.iterdir()) == []
    found = report(trace, "--no-verify", "--keep")
    assert Path(found["world"]["folder"]).is_relative_to(temporary)
    assert Path(found["world"]["folder"], "journal").is_dir()


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 1, "no call that could be run"),
        (HEADER, 1, "no call that could be run"),
        (HEADER + b"\r\nrubbish\r\n", 1, "line 2 skipped"),
        (b"a,b,c\r\n1,2,3", 2, "header"),
        (b"\x00\xff\xfe\x1b[2J", 2, "header"),
    ],
)
def test_a_file_without_a_usable_row_is_refused_with_the_reason(tmp_path, content, code, said):
    path = tmp_path / "trace.csv"
    path.write_bytes(content)
    done = tally(path)
    assert done.code == code
    assert said in done.err
    assert "\x1b" not in done.err


@pytest.mark.parametrize(
    "arguments", [("missing.csv",), (ROOT,), (SAMPLE, "--agents", 0), (SAMPLE, "--repeat", -1)]
)
def test_a_missing_file_and_impossible_numbers_are_usage_errors(arguments):
    assert tally(*arguments).code == 2


def test_copies_that_would_end_after_the_last_time_are_refused(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(f"{HEADER.decode()}\n{ROW}\n2223-11-16 18:17:03,1,1\n")
    done = tally(path, "--repeat", 2)
    assert done.code == 2
    assert "2262" in done.err


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published trace is not beside the repository")
def test_the_published_trace_runs_whole():
    with PUBLISHED.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = report(PUBLISHED)
    assert found["trace"]["rows"] == len(rows) == 8_819
    assert found["trace"]["skipped"] == 0
    assert found["trace"]["context_tokens"] == sum(int(row["ContextTokens"]) for row in rows)
    assert found["verified"]["sound"]
