"""The store of statistics for metrics: digests merge along time and segments, and old windows go."""

from fractions import Fraction

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally_tools.statistics.calendar import Kept
from splittally_tools.statistics.digests import by_segment, by_window
from splittally_tools.statistics.store import open_statistics

from tests.cli_tools import run
from tests.rows.budgets import BOTH, DAY, B, create, done
from tests.rows.digests import digests, figures, of, stats
from tests.rows.worlds import applied, few

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
KEYS = ["department", "project"]
METRICS = {"m": {"description": "d", "nature": "output", "segments": KEYS}}


def world(path):
    kernel = applied({"resources": BOTH}, path=path)
    create(kernel, {"metrics": METRICS})
    return kernel


def record(kernel, value, at_ns, department="sales", project="a"):
    segments = {"department": department, "project": project}
    done(kernel, "metric.record", now_ns=at_ns, budget=B, metric="m", value=value, segments=segments)


hours = st.integers(0, 70 * 24).map(lambda count: count * HOUR)  # of nanoseconds most would be near 0
raw = st.lists(
    st.tuples(hours, st.integers(-(2**63), 2**63), st.sampled_from("xy"), st.sampled_from("ab")),
    min_size=1,
    max_size=12,
)


@pytest.mark.req("X0-13", "X0-11")
@few
@given(values=raw)
def test_digests_of_days_and_of_projects_merge_to_that_of_the_months_and_departments_raw_values(
    tmp_path_factory, values
):
    """Days merge to the month, projects to their department; the month's raw values are the model."""
    path = tmp_path_factory.mktemp("merging") / "w"
    values = sorted(values, key=lambda each: each[0])
    with world(path) as kernel:
        for at_ns, value, department, project in values:
            record(kernel, value, at_ns, department, project)
    stats(path, "update")
    months = [0, 31 * DAY, 59 * DAY, 90 * DAY]
    expected = {}
    for at_ns, value, department, _ in values:
        start = max(each for each in months if each <= at_ns)
        expected.setdefault((start, department), []).append(value)
    shown = {
        (int(row["start_ns"]), row["segments"]["department"]): figures(row)
        for row in digests(path, "--per", "month", "--by", "department")
    }
    assert shown == {key: of(group) for key, group in expected.items()}
    with open_statistics(path / "statistics.sqlite") as statistics:
        days = statistics.digests(B, "m", "day")
        merged = by_window(by_segment(days, ["department"]).items(), "month", Kept())
        assert merged == by_segment(statistics.digests(B, "m", "month"), ["department"])
        assert merged == by_segment(by_window(days, "month", Kept()).items(), ["department"])
    everything = digests(path, "--per", "month")
    for row in everything:
        group = [x for (start, _), x in expected.items() if start == int(row["start_ns"])]
        assert Fraction(row["count"]) == sum(map(len, group))
    assert stats(path, "check")["equal"]


@pytest.mark.req("X0-14")
def test_minutes_are_dropped_after_fourteen_days_and_the_totals_of_the_days_stay(tmp_path):
    path = tmp_path / "w"
    with world(path) as kernel:
        for day in range(20):
            for minute in range(3):
                record(kernel, day + minute, day * DAY + 5 * HOUR + minute * MINUTE)
    stats(path, "update")
    before = {per: digests(path, "--per", per) for per in ("minute", "hour", "day", "month")}
    assert [len(before[per]) for per in ("minute", "hour", "day")] == [60, 20, 20]
    told = stats(path, "discard", "--older", "14d", "--finer-than", "hour")
    kept_from = 19 * DAY + 5 * HOUR - 14 * DAY
    assert told["dropped"] == {"minute": 2 * 3 * 5}, "of all values, and of the segment's"
    assert told["seq"] == 62 and told["behind"] == 0
    after = {per: digests(path, "--per", per) for per in before}
    assert after["minute"] == [row for row in before["minute"] if int(row["start_ns"]) >= kept_from]
    assert [after[per] for per in ("hour", "day", "month")] == [
        before[per] for per in ("hour", "day", "month")
    ]
    assert stats(path, "check")["equal"], "what was discarded is no difference"
    stats(path, "discard", "--older", "14d")
    assert [len(digests(path, "--per", per)) for per in ("hour", "day")] == [15, 20]
    with splittally.open(path) as kernel:
        record(kernel, 7, 40 * DAY)
    stats(path, "update")
    assert digests(path, "--per", "day")[:-1] == before["day"]
    assert stats(path, "check")["equal"]
    stats(path, "rebuild")
    assert digests(path, "--per", "minute")[:-1] == before["minute"], "the journal has them still"


def test_what_the_store_has_not_read_is_not_discarded(tmp_path):
    """The age is counted from the newest frame that was read, not from the journal's head."""
    path = tmp_path / "w"
    with world(path) as kernel:
        record(kernel, 1, 0)
        stats(path, "update")
        record(kernel, 2, 100 * DAY)
    assert stats(path, "discard", "--older", "14d")["dropped"] == {"minute": 0, "hour": 0}
    assert len(digests(path, "--per", "minute")) == 1
    assert stats(path, "metric", B, "m")["behind"] == 1
    stats(path, "update")
    assert stats(path, "discard", "--older", "14d")["dropped"] == {"minute": 2, "hour": 2}
    assert [row["count"] for row in digests(path, "--per", "day")] == [1, 1]


@pytest.mark.parametrize(
    "words",
    [
        ("discard",),
        ("discard", "--older", "soon"),
        ("discard", "--older", "0d"),
        ("discard", "--older", "-1d"),
        ("discard", "--older", "14d", "--finer-than", "minute"),
        ("discard", "--older", "14d", "--finer-than", "decade"),
        ("metric", B),
        ("metric", B, "m", "--per", "second"),
    ],
)
def test_what_says_no_window_or_age_is_refused_and_nothing_is_dropped(tmp_path, words):
    path = tmp_path / "w"
    with world(path) as kernel:
        record(kernel, 1, 0)
        record(kernel, 1, 100 * DAY)
    stats(path, "update")
    stats(path, *words, code=2)
    assert len(digests(path, "--per", "minute")) == 2


def test_a_key_that_no_record_carries_is_empty_in_its_group(tmp_path):
    path = tmp_path / "w"
    with world(path) as kernel:
        record(kernel, 3, 0)
        record(kernel, 5, 0, project="b")
    stats(path, "update")
    (row,) = digests(path, "--by", "planet", "--by", "department")
    assert row["segments"] == {"planet": "", "department": "sales"}
    assert (row["sum"], row["average"], row["last"]) == (8, 4, 5)
    told = run("-w", path, "stats", "metric", B, "m", "--by", "project")
    assert told.code == 0 and "as of frame 4" in told.out
