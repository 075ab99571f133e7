"""The store of statistics: windows, amounts of any size, a file that is rebuilt and never repaired."""

import json
import sqlite3
from datetime import datetime, timedelta

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core.events import Posted
from splittally.runtime.reader import open_reader
from splittally_tools.statistics import feed
from splittally_tools.statistics.feed import FILE
from splittally_tools.statistics.store import APPLICATION_ID, open_statistics

from tests.cli_tools import copied, run
from tests.rows.worlds import few

HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS
ACCOUNTS = {"accounts/a": {}, "accounts/b": {}}
A, B = ACCOUNTS
MANIFEST = {"resources": {"USD": 0, "EUR": 0}, "accounts": ACCOUNTS}
METRIC = {"description": "stars given", "nature": "maximise"}


def stats(path, *arguments, code=0):
    ran = run("-w", path, "--json", "stats", *arguments)
    assert ran.code == code, ran
    return ran.json


def windows(path, *arguments):
    """Windows of US dollars by account, direction and start."""
    rows = stats(path, "show", "--resource", "USD", "--per", *arguments)["windows"]
    return {(row["account"], row["direction"], int(row["start_ns"])): row for row in rows}


def issue(kernel, amount, at_ns=None, to=A, resource="USD"):
    decision = kernel.native("ledger.issue", now_ns=at_ns, resource=resource, amount=amount, to=to)
    assert decision.allowed, decision


@pytest.fixture
def small(tmp_path):
    """A world with three postings on two days."""
    path = tmp_path / "w"
    with splittally.open(path, clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed
        issue(kernel, 500, 1)
        issue(kernel, 20, 2, resource="EUR")
        issue(kernel, 300, DAY_NS + 5 * HOUR_NS)
    stats(path, "update")
    return path


# --- windows ----------------------------------------------------------------------------------------


def started(per, now_ns, offset):
    """The start of a window by the calendar of the standard library."""
    local = datetime(1970, 1, 1) + timedelta(microseconds=now_ns // 1_000) + offset
    start = local.replace(minute=0, second=0, microsecond=0)
    if per != "hour":
        start = start.replace(hour=0)
    match per:
        case "week":
            start -= timedelta(days=start.weekday())
        case "month":
            start = start.replace(day=1)
        case "quarter":
            start = start.replace(day=1, month=(start.month - 1) // 3 * 3 + 1)
        case "year":
            start = start.replace(day=1, month=1)
    return (start - offset - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1_000


postings = st.lists(
    st.tuples(st.integers(0, 800 * DAY_NS), st.integers(1, 1_000), st.booleans()), min_size=1, max_size=12
)


@few
@given(postings=postings, minutes=st.integers(-14 * 60, 14 * 60), batch=st.integers(1, 5))
def test_every_window_counts_what_was_posted_in_it(tmp_path_factory, postings, minutes, batch):
    """At the world's offset, however many frames are taken at a time."""
    path = tmp_path_factory.mktemp("windows") / "w"
    offset = timedelta(minutes=minutes)
    sign, whole = ("-" if minutes < 0 else "+"), abs(minutes)
    utc_offset = f"{sign}{whole // 60:02}:{whole % 60:02}"
    done = []
    with splittally.open(path, clock="given") as kernel:
        assert kernel.apply({**MANIFEST, "world": {"utc_offset": utc_offset}}).allowed
        for at_ns, amount, is_issue in sorted(postings):
            verb, debit = ("ledger.issue", "external/issuer") if is_issue else ("ledger.transfer", A)
            params = {"resource": "USD", "amount": amount, "from": debit, "to": A if is_issue else B}
            if kernel.submit(Intent(verb, params, "root"), now_ns=at_ns).allowed:
                done += [(debit, "out", at_ns, amount), (params["to"], "in", at_ns, amount)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "BATCH_FRAMES", batch)
        stats(path, "update")
    for per in ("hour", "day", "week", "month", "quarter", "year"):
        expected = {}
        for account, direction, at_ns, amount in done:
            key = (account, direction, started(per, at_ns, offset))
            expected.setdefault(key, []).append(amount)
        assert {
            key: [row[name] for name in ("count", "sum", "min", "max", "last")]
            for key, row in windows(path, per).items()
        } == {key: [len(of), sum(of), min(of), max(of), of[-1]] for key, of in expected.items()}
    assert stats(path, "check")["equal"]


def test_sums_that_no_integer_of_the_file_could_hold_are_exact(tmp_path):
    path, huge = tmp_path / "w", 2**63
    with splittally.open(path, clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed
        issue(kernel, huge)
        for debit, to in [(A, B), (B, A)] * 3:
            params = {"resource": "USD", "amount": huge, "from": debit, "to": to}
            assert kernel.submit(Intent("ledger.transfer", params, "root")).allowed
    stats(path, "update")
    row = windows(path, "year")[A, "in", 0]
    assert [row[name] for name in ("count", "sum", "max")] == [4, str(4 * huge), str(huge)]
    shown = stats(path, "show")["accounts"]
    assert shown[A]["resources"]["USD"]["balance"] == str(huge)
    assert shown["external/issuer"]["resources"]["USD"] == {
        "balance": str(-huge), "in_flight": 0, "spendable": 0,
    }  # fmt: skip
    assert stats(path, "check")["equal"]


def test_values_of_a_metric_are_counted_under_their_budget(tmp_path):
    path, budget = tmp_path / "w", "budgets/shop"
    schema = {"resources": {"USD": 0}, "metrics": {"stars": METRIC}}
    with splittally.open(path, clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed
        assert kernel.native("budget.create", budget=budget, schema=schema).allowed
        for at_ns, value in [(1, 4), (2, -3), (DAY_NS, 2**63)]:
            decision = kernel.native(
                "metric.record", now_ns=at_ns, budget=budget, metric="stars", value=value
            )
            assert decision.allowed, decision
    stats(path, "update")
    rows = stats(path, "show", "--per", "day", "--account", budget)["windows"]
    assert [(row["resource"], row["direction"], int(row["start_ns"])) for row in rows] == [
        ("stars", "measured", 0), ("stars", "measured", DAY_NS),
    ]  # fmt: skip
    assert [rows[0][name] for name in ("count", "sum", "min", "max", "last")] == [2, 1, -3, 4, -3]
    assert rows[1]["sum"] == str(2**63)
    assert stats(path, "check")["equal"]
    assert "stars" not in json.dumps(stats(path, "show"))  # a metric is no balance


def test_windows_are_chosen_by_account_resource_and_time(small):
    assert len(windows(small, "day")) == 4
    assert set(windows(small, "day", "--account", A)) == {(A, "in", 0), (A, "in", DAY_NS)}
    euros = stats(small, "show", "--per", "day", "--resource", "EUR")
    assert {row["sum"] for row in euros["windows"]} == {20}
    assert list(euros["accounts"][A]["resources"]) == ["EUR"]
    for first in ("1970-01-02", str(DAY_NS + 1), str(2 * DAY_NS - 1)):
        assert {start for _, _, start in windows(small, "day", "--from", first)} == {DAY_NS}
    for last in ("1970-01-01", "0", str(DAY_NS - 1)):
        assert {start for _, _, start in windows(small, "day", "--to", last)} == {0}
    assert len(windows(small, "day", "--from", "1970-01-01", "--to", "1970-01-02")) == 4
    hours = windows(small, "hour", "--from", "1970-01-02", "--to", "1970-01-02")  # the whole of that day
    assert {start for _, _, start in hours} == {DAY_NS + 5 * HOUR_NS}
    assert not windows(small, "day", "--from", "1970-01-03")
    unknown = stats(small, "show", "--account", "nobody", code=2)
    assert unknown["error"]["message"] == "there is no account `nobody`"


@pytest.mark.parametrize(
    "said", [["--from", "1970-01-01"], ["--per", "day", "--from", "soon"], ["--per", "decade"]]
)
def test_what_cannot_be_shown_is_a_usage_error(small, said):
    assert stats(small, "show", *said, code=2)["error"]["code"] == "usage"


def test_people_see_days_amounts_and_the_standing(small):
    ran = run("-w", small, "stats", "show", "--per", "day")
    assert " USD" in ran.out
    assert "minor units" not in ran.out
    assert "1970-01-02 00:00" in ran.out
    assert "0 behind the journal" in ran.out
    assert "equal" in run("-w", small, "stats", "check").out


# --- the file ---------------------------------------------------------------------------------------


def test_the_file_may_stand_elsewhere_and_the_world_stays_as_it_was(small, tmp_path):
    (small / FILE).unlink()
    before = {file: file.stat().st_size for file in small.rglob("*") if file.is_file()}
    other = tmp_path / "else where" / "s.sqlite"
    other.parent.mkdir()
    stats(small, "update", "--file", other)
    assert stats(small, "show", "--file", other)["behind"] == 0
    assert stats(small, "check", "--file", other)["equal"]
    stats(small, "rebuild", "--file", other)
    assert {file: file.stat().st_size for file in small.rglob("*") if file.is_file()} == before
    assert [file.name for file in other.parent.iterdir()] == [other.name]
    assert stats(small, "show", code=3)["error"]["code"] == "no_statistics"


def test_it_only_reads_the_world_so_a_writer_may_work(small):
    with splittally.open(small) as kernel:
        issue(kernel, 1, 2 * DAY_NS)
        assert stats(small, "update")["behind"] == 0
        assert stats(small, "check")["equal"]
        assert stats(small, "rebuild")["behind"] == 0


def test_statistics_of_another_journal_are_refused_and_rebuilt(small, tmp_path):
    """A world that was brought back from a copy goes on otherwise than the statistics have read."""
    copy = copied(small, tmp_path / "copy")
    with splittally.open(small) as kernel:
        issue(kernel, 1, 2 * DAY_NS)
    stats(small, "update")
    (copy / FILE).write_bytes((small / FILE).read_bytes())
    for grown in (False, True):
        if grown:
            with splittally.open(copy) as kernel:
                issue(kernel, 7, 2 * DAY_NS)
                issue(kernel, 7, 2 * DAY_NS)
        for verb in ("update", "show", "check"):
            error = stats(copy, verb, code=1)["error"]
            assert error["code"] == "statistics_damaged"
            assert "tally stats rebuild" in error["message"]
    stats(copy, "rebuild")
    assert stats(copy, "check")["equal"]
    assert stats(copy, "show")["accounts"][A]["resources"]["USD"]["balance"] == 814


def test_a_file_of_another_release_says_so(small):
    db = sqlite3.connect(small / FILE)
    db.execute("PRAGMA user_version=9")
    db.close()
    for verb in ("update", "show", "check"):
        assert "another release" in stats(small, verb, code=1)["error"]["message"]
    assert stats(small, "rebuild")["behind"] == 0
    assert stats(small, "check")["equal"]


@pytest.mark.parametrize("kind", ["database", "text"])
def test_what_is_not_ours_is_never_written(small, tmp_path, kind):
    other = tmp_path / "other"
    if kind == "text":
        other.write_text(json.dumps(MANIFEST))
    else:
        db = sqlite3.connect(other)
        db.execute("CREATE TABLE mine (x)")
        db.close()
    before = other.read_bytes()
    for verb, code in [("update", 1), ("show", 1), ("check", 1), ("rebuild", 2)]:
        stats(small, verb, "--file", other, code=code)
        assert other.read_bytes() == before


def test_what_a_crash_left_beside_the_old_file_does_not_reach_the_new_one(small):
    """A hot journal would be rolled back into whatever file has the name."""
    right = stats(small, "show", "--per", "day")
    (small / f"{FILE}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(2_000))
    stats(small, "rebuild")
    assert not (small / f"{FILE}-journal").exists()
    assert stats(small, "show", "--per", "day") == right


def test_a_rebuild_that_fails_leaves_the_old_file(small, monkeypatch):
    right = stats(small, "show", "--per", "day")
    names = {file.name for file in small.iterdir()}

    def dying(*_):
        raise OSError(5, "the disk is gone", "somewhere")

    monkeypatch.setattr(feed, "update", dying)
    assert run("-w", small, "stats", "rebuild").code == 3
    assert stats(small, "show", "--per", "day") == right
    assert {file.name for file in small.iterdir()} == names


def test_a_file_that_somebody_writes_is_waited_for_and_then_named(small, monkeypatch):
    monkeypatch.setattr("splittally_tools.statistics.store.WAIT_SECONDS", 0.01)
    db = sqlite3.connect(small / FILE, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    assert stats(small, "update", code=3)["error"]["code"] == "locked"
    db.execute("ROLLBACK")
    db.close()
    stats(small, "update")


def test_frames_that_another_took_meanwhile_are_not_counted_twice(small, tmp_path):
    """Two that read at once begin at the same cursor; the second to write meets frames that are there."""
    with open_reader(small) as reader, open_statistics(small / FILE) as right:
        for taken in range(reader.head.size):
            with open_statistics(tmp_path / str(taken), create=True) as statistics:
                statistics.take(reader.records(0, taken))
                statistics.take(reader.records())
                assert statistics.totals() == right.totals()
                assert statistics.balances() == right.balances()


def test_an_empty_file_is_one_that_was_not_made_yet(small):
    (small / FILE).write_bytes(b"")
    assert stats(small, "show", code=3)["error"]["code"] == "no_statistics"
    assert stats(small, "update")["behind"] == 0
    assert stats(small, "check")["equal"]
    assert (small / FILE).read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")


def test_every_posting_of_the_journal_is_counted(small):
    with open_reader(small) as reader:
        posted = [event for record in reader.records() for event in record.body.out if type(event) is Posted]
    for per in ("hour", "year"):
        rows = stats(small, "show", "--per", per)["windows"]
        assert sum(row["count"] for row in rows) == 2 * len(posted)
    assert stats(small, "rebuild")["postings"] == len(posted) == 3


@pytest.mark.req("X7-10")
def test_windows_stand_in_the_zone_of_the_world_and_days_are_asked_for_in_it(tmp_path):
    path, noon = tmp_path / "w", 1_774_699_200 * 10**9  # 2026-03-28 12:00 UTC; the next day has 23 hours
    document = {**MANIFEST, "world": {"timezone": "Europe/Amsterdam"}}
    with splittally.open(path, clock="given") as kernel:
        assert kernel.apply(document, now_ns=noon).allowed
        issue(kernel, 1, noon + 11 * HOUR_NS - 1)
    stats(path, "update")
    with splittally.open(path) as kernel:
        for hours in (11, 33, 34):
            issue(kernel, hours, noon + hours * HOUR_NS)
    stats(path, "update")
    sums = {start: row["sum"] for (name, _, start), row in windows(path, "day").items() if name == A}
    midnights = [noon + hours * HOUR_NS for hours in (-13, 11, 34)]
    assert sums == dict(zip(midnights, (1, 44, 34), strict=True))
    asked = windows(path, "day", "--from", "2026-03-29", "--to", "2026-03-29")
    assert {start for _, _, start in asked} == {midnights[1]}
    shown = run("-w", path, "stats", "show", "--per", "day").out
    assert all(f"2026-03-{day} 00:00" in shown for day in (28, 29, 30))
