"""Late data in its own bucket: a value of a period that is over changes nothing that was reported in time."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally.core.events import Measured, Noted, RuleFired
from splittally_tools.statistics.calendar import Kept
from splittally_tools.statistics.digests import Digest, by_segment, by_window
from splittally_tools.statistics.store import open_statistics

from tests.cli_tools import run
from tests.rows.budgets import BOTH, DAY, B, create, done, world
from tests.rows.digests import digests, figures, of, stats
from tests.rows.worlds import applied, codes, few, recorded

HOUR = DAY // 24
COUNTED = {"description": "d", "nature": "output", "per": "day", "reads": "sum"}
TEAMS = {"metrics": {"m": {**COUNTED, "segments": ["team"]}}}
PLAIN = {"description": "d", "nature": "output"}


def record(kernel, value, now_ns, metric="m", **more):
    return kernel.native("metric.record", now_ns=now_ns, budget=B, metric=metric, value=value, **more)


def teamed(path):
    kernel = applied({"resources": BOTH}, path=path)
    create(kernel, TEAMS)
    return kernel


def shown(kernel, metric="m"):
    return kernel.state.budgets[B].metrics[metric]


def late(kernel):
    """What was noted as late: metric, value and time."""
    notes = [x.facts for x in recorded(kernel, Noted) if x.subject == "late"]
    return [(x["metric"], x["value"], x["at_ns"]) for x in notes]


# --- what the kernel does -----------------------------------------------------------------------------


@pytest.mark.req("X0-13")
def test_a_late_value_is_noted_and_neither_digest_nor_last_value_hears_of_it():
    with world() as kernel:
        create(kernel, {"metrics": {"m": COUNTED}})
        assert record(kernel, 3, HOUR).allowed
        assert record(kernel, 4, DAY + HOUR).allowed
        before = dict(shown(kernel))
        assert record(kernel, 90, DAY + 2 * HOUR, at_ns=DAY - 1).allowed
        assert dict(shown(kernel)) == before
        assert late(kernel) == [("m", 90, DAY - 1)]
        assert len(recorded(kernel, Measured)) == 2


@pytest.mark.parametrize(("at_ns", "is_late"), [(DAY - 1, True), (DAY, False), (DAY + 2 * HOUR, False)])
def test_a_period_begins_with_its_first_instant_and_ends_before_the_next(at_ns, is_late):
    with world() as kernel:
        create(kernel, {"metrics": {"m": COUNTED}})
        assert record(kernel, 4, DAY + 2 * HOUR, at_ns=at_ns).allowed
        assert (shown(kernel)["value"], bool(late(kernel))) == ((0, True) if is_late else (4, False))


def test_what_states_no_period_is_of_its_moment_so_every_earlier_time_is_late():
    with world() as kernel:
        create(kernel, {"metrics": {"m": PLAIN, "ever": {**COUNTED, "per": "total"}}})
        assert record(kernel, 1, DAY).allowed
        assert record(kernel, 2, DAY, at_ns=DAY - 1).allowed
        assert shown(kernel)["value"] == 1
        assert record(kernel, 3, DAY, at_ns=DAY).allowed
        assert shown(kernel)["value"] == 3
        assert record(kernel, 5, DAY, "ever", at_ns=0).allowed
        assert shown(kernel, "ever")["value"] == 5, "the whole life is one period, and nothing is late for it"
        assert late(kernel) == [("m", 2, DAY - 1)]


def test_no_rule_falls_due_for_a_late_value_and_one_does_for_the_next():
    pays = {"kind": "transfer", "to": "accounts/log", "amount": "1", "resource": "USD"}
    with world() as kernel:
        create(
            kernel,
            {"metrics": {"m": COUNTED}, "rules": [{"name": "r", "on": "metric", "of": "m", "do": [pays]}]},
        )
        done(kernel, "ledger.issue", resource="USD", amount=9, to=B)
        assert record(kernel, 7, DAY, at_ns=0).allowed
        assert not recorded(kernel, RuleFired)
        assert record(kernel, 7, DAY).allowed
        assert recorded(kernel, RuleFired)


def test_each_value_of_an_object_is_late_by_its_own_period():
    metrics = {"day": COUNTED, "week": {**COUNTED, "per": "week"}, "plain": PLAIN}
    with world() as kernel:
        create(kernel, {"metrics": metrics})
        values = {"plain": 1, "week": 2, "day": 3}
        at_ns = 5 * DAY + HOUR  # a Tuesday, and recorded on the Wednesday
        done(kernel, "metric.record", now_ns=6 * DAY, budget=B, values=values, at_ns=at_ns)
        assert recorded(kernel, Measured) == [Measured(B, "week", 2)]
        assert late(kernel) == [("day", 3, at_ns), ("plain", 1, at_ns)]
        values["day"], values["lost"] = 5, 1
        refused = kernel.native("metric.record", now_ns=6 * DAY, budget=B, values=values, at_ns=at_ns)
        assert codes(refused) == ["not_found"] and len(late(kernel)) == 2, "all are recorded, or none"


def test_the_history_says_which_values_came_late_and_of_when_they_are():
    with world() as kernel:
        create(kernel, {"metrics": {"m": COUNTED}})
        assert record(kernel, 1, DAY).allowed
        assert record(kernel, 2, DAY, at_ns=5, source="x").allowed
        assert record(kernel, 3, DAY + 1, at_ns=DAY).allowed
        plain, was_late, timely = kernel.state.metric_history(B, "m")["values"]
        assert "is_late" not in plain and "of_ns" not in plain
        assert (was_late["value"], was_late["is_late"], was_late["of_ns"], was_late["at_ns"]) == (
            2,
            True,
            5,
            DAY,
        )
        assert was_late["source"] == "x"
        assert (timely["value"], timely["is_late"], timely["of_ns"]) == (3, False, DAY)


def test_a_late_value_counts_once_too():
    with world() as kernel:
        create(kernel, {"metrics": {"m": COUNTED}})
        assert record(kernel, 1, DAY, at_ns=0, once="monday").allowed
        assert codes(record(kernel, 1, DAY, at_ns=0, once="monday")) == ["recorded_before"]
        assert codes(record(kernel, 1, DAY, once="monday")) == ["recorded_before"]
        assert codes(record(kernel, 1, DAY, at_ns=DAY + 1, once="tuesday")) == ["time_ahead"]
        assert record(kernel, 1, DAY, at_ns=0, once="tuesday").allowed, "what was refused used nothing up"
        assert len(late(kernel)) == 2


def test_a_late_value_fits_its_metric_as_any_other():
    bounded = {**COUNTED, "segments": ["team"], "maximum": 9}
    whole = {"description": "d", "nature": "maximise", "weights": {"m": 100}}
    with world() as kernel:
        create(kernel, {"metrics": {"m": bounded, "all": whole}})
        team = {"segments": {"team": "a"}}
        assert codes(record(kernel, 1, DAY, at_ns=0)) == ["segment_missing"]
        assert codes(record(kernel, 10, DAY, at_ns=0, **team)) == ["value_out_of_bounds"]
        assert codes(record(kernel, 1, DAY, "all", at_ns=0)) == ["metric_computed"]
        assert not late(kernel)


def test_a_late_value_that_no_sum_could_take_in_is_noted_all_the_same():
    with world() as kernel:
        create(kernel, {"metrics": {"m": COUNTED}})
        highest = 2**64 - 1
        assert record(kernel, highest, DAY).allowed
        assert record(kernel, highest, DAY, at_ns=0).allowed
        assert codes(record(kernel, highest, DAY, at_ns=DAY)) == ["amount_overflow"]


def test_a_time_that_is_still_to_come_is_refused_and_names_the_time_of_now():
    with world() as kernel:
        create(kernel, {"metrics": {"m": COUNTED}})
        refused = record(kernel, 1, DAY, at_ns=DAY + 1)
        assert [(x.code, x.facts["at_ns"], x.facts["now_ns"]) for x in refused.findings] == [
            ("time_ahead", DAY + 1, DAY)
        ]
        assert codes(record(kernel, 1, DAY, at_ns=2**63 - 1)) == ["time_ahead"]
        assert shown(kernel)["count"] == 0 and not late(kernel)


@pytest.mark.parametrize("at_ns", [-1, 2**63, 2**64, 2**70, "soon", None, True, 1.5])
def test_what_is_no_time_is_no_record(at_ns):
    with world() as kernel:
        create(kernel, {"metrics": {"m": COUNTED}})
        seq = kernel.state.seq
        assert codes(record(kernel, 1, DAY, at_ns=at_ns)) == ["params.invalid"]
        assert kernel.state.seq == seq


# --- what the statistics say --------------------------------------------------------------------------

hours = st.integers(0, 70 * 24).map(lambda count: count * HOUR)  # of nanoseconds most would be near 0
raw = st.lists(
    st.tuples(
        hours,  # when it comes
        st.none() | hours,  # how long before that it is of
        st.integers(-(2**63), 2**63),
        st.sampled_from("ab"),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.req("X0-13")
@few
@given(values=raw)
def test_own_and_late_buckets_are_apart_and_together_they_are_the_raw_values(tmp_path_factory, values):
    """The model keeps each value with its day: that of the record in time, that of the value where late."""
    path = tmp_path_factory.mktemp("late") / "w"
    days: dict[tuple[int, str, bool], list[int]] = {}
    with teamed(path) as kernel:
        for now_ns, ago, value, team in sorted(values, key=lambda each: each[0]):
            of_ns = now_ns if ago is None else max(0, now_ns - ago)
            stated = {} if ago is None else {"at_ns": of_ns}
            assert record(kernel, value, now_ns, segments={"team": team}, **stated).allowed
            is_late = of_ns // DAY < now_ns // DAY
            days.setdefault((of_ns // DAY * DAY, team, is_late), []).append(value)
    stats(path, "update")
    found = {}
    for row in digests(path, "--per", "day", "--by", "team"):
        place = int(row["start_ns"]), row["segments"]["team"]
        if row["count"]:
            found[*place, False] = figures(row)
        if "late" in row:
            found[*place, True] = figures(row["late"])
    assert found == {place: of(group) for place, group in days.items()}
    months = [0, 31 * DAY, 59 * DAY, 90 * DAY]
    with open_statistics(path / "statistics.sqlite") as statistics:
        merged = by_window(by_segment(statistics.digests(B, "m", "day"), []).items(), "month", Kept())
        assert merged == by_segment(statistics.digests(B, "m", "month"), [])
    for start in {max(x for x in months if x <= day) for day, _, _ in days}:
        buckets = [digest for place, digest in merged.items() if place.start_ns == start]
        both = buckets[0] if len(buckets) == 1 else buckets[0].with_(buckets[1])
        assert isinstance(both, Digest)
        group = [
            x
            for (day, _, _), each in days.items()
            if max(y for y in months if y <= day) == start
            for x in each
        ]
        expected = (len(group), sum(group), min(group), max(group))
        assert (both.count, both.sum, both.min, both.max) == expected
    assert stats(path, "check")["equal"]


def test_what_was_reported_stays_when_late_values_come_and_both_are_shown(tmp_path):
    path = tmp_path / "w"
    with teamed(path) as kernel:
        for value in (3, 4):
            assert record(kernel, value, HOUR, segments={"team": "a"}).allowed
    stats(path, "update")
    (reported,) = digests(path)
    with splittally.open(path) as kernel:
        assert record(kernel, 90, 2 * DAY, segments={"team": "a"}, at_ns=2 * HOUR).allowed
        assert record(kernel, 8, 2 * DAY, segments={"team": "b"}, at_ns=DAY).allowed
    stats(path, "update")
    first, second = digests(path)
    assert {name: first[name] for name in reported} == reported
    assert (first["late"]["count"], first["late"]["sum"]) == (1, 90)
    assert (second["count"], second["sum"], second["average"], second["late"]["last"]) == (0, 0, None, 8)
    (month,) = digests(path, "--per", "month")
    assert (month["count"], month["sum"], month["late"]["count"], month["late"]["max"]) == (2, 7, 2, 90)
    only_b = digests(path, "--by", "team")[-1]
    assert (only_b["segments"], only_b["count"], only_b["late"]["sum"]) == ({"team": "b"}, 0, 8)
    told = run("-w", path, "stats", "metric", B, "m")
    assert told.code == 0 and "late count" in told.out and "as of frame 6" in told.out
    told = run("-w", path, "budgets", "metric", B, "m")
    assert told.code == 0 and "late, of 1970-01-01" in told.out
    windows = {x["direction"] for x in stats(path, "show", "--account", B, "--per", "day")["windows"]}
    assert windows == {"measured", "late"}


def test_a_value_that_comes_after_its_windows_were_discarded_stands_in_the_coarser_ones(tmp_path):
    path = tmp_path / "w"
    with teamed(path) as kernel:
        assert record(kernel, 3, HOUR, segments={"team": "a"}).allowed
        assert record(kernel, 4, 40 * DAY, segments={"team": "a"}).allowed
    stats(path, "update")
    hours = digests(path, "--per", "hour")
    stats(path, "discard", "--older", "14d")
    with splittally.open(path) as kernel:
        assert record(kernel, 5, 40 * DAY, segments={"team": "a"}, at_ns=2 * HOUR).allowed
    stats(path, "update")
    assert len(digests(path, "--per", "hour")) == 1, "no window comes back"
    assert digests(path, "--per", "day")[0]["late"]["sum"] == 5
    assert stats(path, "check")["equal"]
    stats(path, "discard", "--older", "14d", "--finer-than", "month")
    assert [row["late"]["sum"] for row in digests(path, "--per", "month") if "late" in row] == [5]
    assert stats(path, "check")["equal"]
    stats(path, "rebuild")
    first, late_one, last = digests(path, "--per", "hour")
    assert ([first, last], late_one["late"]["sum"]) == (hours, 5)
    assert stats(path, "check")["equal"]
