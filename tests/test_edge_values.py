"""Times, spans, prices and memory of a manifest as the world keeps them."""

import itertools

import pytest
import splittally
from splittally import InvalidInput
from splittally.edge.amounts import Amounts
from splittally.edge.answer_lines import readable
from splittally.edge.governor_terms import spelled_governor
from splittally.edge.prices import newest, read_snapshots
from splittally.edge.quantities import instant, share, span

HOUR_NS = 3_600 * 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T02:00:01+02:00", 10**9),
        ("1969-12-31T23:00:00-02:00", HOUR_NS),
        ("1970-01-02T00:00:00.000001Z", 24 * HOUR_NS + 1_000),
        (5, 5),
    ],
)
def test_an_instant_is_that_of_its_own_offset(text, expected):
    assert instant("grants.g.expiry", text) == expected


@pytest.mark.parametrize(("text", "expected"), [("1h", HOUR_NS), ("90s", 90 * 10**9), (7, 7)])
def test_a_span_is_told_in_nanoseconds(text, expected):
    assert span("grants.g.hold", text) == expected


def test_a_share_is_of_a_hundred_or_of_what_it_says():
    assert [share("s", text) for text in ("50%", "1/2", [2, 3])] == [[50, 100], [1, 2], [2, 3]]


@pytest.mark.req("X5-24")
def test_the_newest_prices_are_those_that_begin_last_wherever_they_stand():
    days = {"a": "2026-01-31", "b": "2026-02-01", "c": "2025-12-31"}
    for order in itertools.permutations(days):
        given = {
            name: {"since": days[name], "resource": "USD", "prompt": 1, "completion": 1} for name in order
        }
        assert newest(read_snapshots(given, Amounts({"USD": 6}))).name == "b"


@pytest.mark.parametrize(
    ("text", "mib"), [("5.5 GiB", 5_632), ("0.1 GiB", 103), ("0.1 MiB", 1), ("7 MiB", 7)]
)
def test_memory_is_told_in_whole_mib_rounded_up(text, mib):
    table = {"envelope": {"total": text, "lanes": {"a": text}}}
    assert spelled_governor(table, {})["envelope"] == {"total": mib, "lanes": {"a": mib}}


def test_what_has_no_order_is_no_list_and_truth_is_no_number():
    with splittally.open(None, clock="given") as kernel:
        for requests in (set(), frozenset(), {}, "text", b"bytes"):
            with pytest.raises(InvalidInput):
                kernel.run(requests)
        for seq in (True, False, 0.0):
            with pytest.raises(InvalidInput, match="seq"):
                kernel.at(seq)
            with pytest.raises(InvalidInput, match="after_seq"):
                kernel.watch(seq)


def test_integers_that_json_carries_exactly_are_numbers_and_all_others_text():
    edge = 2**53
    numbers, texts = [edge, -edge, 0], [edge + 1, -edge - 1, 2**64 - 1]
    assert readable({"n": numbers}) == {"n": numbers}
    assert readable({"n": tuple(texts)}) == {"n": [str(number) for number in texts]}
    assert readable([True, b"\x00\xff", None]) == [True, "00ff", None]
