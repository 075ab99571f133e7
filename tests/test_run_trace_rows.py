"""A trace is read exactly, line by line, and what is no call is said and skipped."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally_tools.run_trace.rows import HEADER, STEP_NS, NotATrace, Problem, Row, calls, read, survey

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = "2023-11-16 18:17:03.9799600,4808,10"


def written(folder, *lines, end="\r\n", last_end=""):
    path = folder / "trace.csv"
    path.write_bytes((end.join([HEADER.decode(), *lines]) + last_end).encode())
    return path


def only_problem(folder, line):
    items = list(read(written(folder, FIRST, line, last_end="\r\n")))
    assert isinstance(items[0], Row)
    assert isinstance(items[1], Problem) and len(items) == 2
    return items[1]


@given(st.integers(0, 2**31), st.integers(0, 10**7 - 1), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_time_of_seven_decimals_is_exact_to_the_nanosecond(
    tmp_path_factory, seconds, ticks, prompt, completion
):
    moment = EPOCH + timedelta(seconds=seconds)
    line = f"{moment:%Y-%m-%d %H:%M:%S}.{ticks:07d},{prompt},{completion}"
    path = written(tmp_path_factory.getbasetemp(), line)
    assert list(read(path)) == [Row(seconds * 10**9 + ticks * 100, prompt, completion)]


@pytest.mark.parametrize(("fraction", "nanoseconds"), [("", 0), (".5", 500_000_000), (".000000001", 1)])
def test_a_fraction_of_a_second_may_have_up_to_nine_digits(tmp_path, fraction, nanoseconds):
    path = written(tmp_path, f"1970-01-01 00:00:07{fraction},1,2")
    assert list(read(path)) == [Row(7 * 10**9 + nanoseconds, 1, 2)]


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("last_end", ["", "\r\n", "\n"])
def test_line_ends_do_not_matter_and_the_last_may_be_missing(tmp_path, end, last_end):
    path = written(tmp_path, FIRST, "2023-11-16 18:17:04.0319600,3180,8", end=end, last_end=last_end)
    assert [row.context_tokens for row in read(path)] == [4808, 3180]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "the line is empty"),
        (HEADER.decode(), "the header is repeated"),
        ("2023-11-16 18:17:04.0,3180,82023-11-16 18:17:05.0,110,27", "two rows are glued together"),
        (f"2023-11-16 18:17:04.0,3180,8{HEADER.decode()}", "a header is glued to a row"),
        ("2023-11-16 18:17:04.0,3180", "a row has 3 fields, this one 2"),
        ("2023-11-16 18:17:04.0,3180,8,9", "a row has 3 fields, this one 4"),
        ("2023-11-16 18:17:04.0,3180,-8", "GeneratedTokens is negative: `-8`"),
        ("2023-11-16 18:17:04.0,-1,8", "ContextTokens is negative: `-1`"),
        ("2023-11-16 18:17:04.0,many,8", "ContextTokens is not a whole number: `many`"),
        ("2023-11-16 18:17:04.0,1.5,8", "ContextTokens is not a whole number: `1.5`"),
        ("2023-11-16 18:17:04.0, 7,8", "ContextTokens is not a whole number"),
        ("2023-11-16 18:17:04.0,٣,8", "ContextTokens is not a whole number"),
        ("2023-11-16 18:17:04.0,99999999999,8", "too many digits"),
        ("2023-11-16 18:17:04.0,9999999999,8", "no call has more than 1000000000 tokens"),
        ("2023-11-16T18:17:04Z,1,8", "is not a time such as"),
        ("2023-02-30 18:17:04.0,1,8", "`2023-02-30 18:17:04` is no time of the calendar"),
        ("1969-12-31 23:59:59.9,1,8", "the time is before 1970"),
        ("2023-11-16 18:17:03.9799599,1,8", "the time goes back behind the row before it"),
        ("9" * 100_000, "a row has 3 fields, this one 1"),
        ("\x1b[31mred,1,2", "is not a time such as"),
    ],
)
def test_a_line_that_is_no_call_is_reported_by_its_number_with_the_reason(tmp_path, line, why):
    problem = only_problem(tmp_path, line)
    assert problem.line == 3
    assert why in problem.why
    assert problem.why.isprintable() and len(problem.why) < 200


def test_rows_after_a_damaged_line_are_still_read_and_times_compare_with_the_row_accepted_last(tmp_path):
    path = written(tmp_path, FIRST, "garbage", "2023-11-16 18:17:03.9799600,5,6", "2023-11-16 18:17:09,7,8")
    surveyed = survey(path)
    assert (surveyed.rows, surveyed.skipped) == (3, 1)
    assert (surveyed.context_tokens, surveyed.generated_tokens) == (4808 + 5 + 7, 10 + 6 + 8)


@pytest.mark.parametrize(
    "first", ["time,prompt,completion", FIRST, "TIMESTAMP;ContextTokens;GeneratedTokens"]
)
def test_a_file_without_the_header_is_not_a_trace(tmp_path, first):
    path = tmp_path / "trace.csv"
    path.write_text(f"{first}\n{FIRST}\n")
    with pytest.raises(NotATrace, match="header"):
        survey(path)


def test_a_byte_order_mark_before_the_header_is_no_part_of_it(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_bytes(b"\xef\xbb\xbf" + HEADER + b"\r\n" + FIRST.encode())
    assert survey(path).rows == 1


def test_problems_beyond_the_bound_are_counted_and_not_kept(tmp_path):
    surveyed = survey(written(tmp_path, FIRST, *["x"] * 500))
    assert surveyed.skipped == 500
    assert len(surveyed.problems) == 100


def test_copies_follow_each_other_by_the_span_in_strictly_increasing_time(tmp_path):
    path = written(tmp_path, FIRST, "2023-11-16 18:17:04.0319600,3180,8")
    surveyed = survey(path)
    rows = list(calls(path, surveyed, 3))
    assert [row.context_tokens for row in rows] == [4808, 3180] * 3
    assert all(before.at_ns < after.at_ns for before, after in pairwise(rows))
    assert rows[2].at_ns - rows[0].at_ns == surveyed.span_ns == 52_000_000 + STEP_NS
