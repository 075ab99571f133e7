"""Values for people: units, the world's clock, spans and short hashes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.calendars import Calendar
from splittally.edge.moments import read_moment
from splittally.edge.wording import Wording, short_hash, span, wording_of
from splittally.edge.zones import read_zone

from tests.rows.worlds import world

SECOND_NS = 10**9
FAR_S = int(datetime(2400, 1, 1, tzinfo=UTC).timestamp())
ZONES = ("Europe/Amsterdam", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "UTC")


def local(name: str) -> Calendar:
    return Calendar(zone=read_zone("timezone", name))


@given(st.sampled_from(ZONES), st.integers(0, FAR_S), st.integers(0, SECOND_NS - 1))
def test_a_time_is_shown_as_the_clock_on_the_wall_shows_it(name: str, at_s: int, part: int) -> None:
    wall = datetime.fromtimestamp(at_s, ZoneInfo(name))
    offset = wall.utcoffset() or timedelta(0)
    if offset.seconds % 60:  # Kathmandu and Apia once kept seconds, which ISO offsets say in full
        return
    shown = Wording(calendar=local(name)).moment(at_s * SECOND_NS + part)
    iso = wall.isoformat(sep=" ", timespec="seconds")
    assert shown == f"{iso[:19]} {iso[19:]}"
    read = read_moment(shown)
    assert (read.first_ns, read.is_local) == (at_s * SECOND_NS, False)
    assert Wording(calendar=local(name)).minute(at_s * SECOND_NS) == shown[:16]
    assert Wording(calendar=local(name)).day(at_s * SECOND_NS) == shown[:10]


def test_a_world_with_an_offset_shows_times_at_it() -> None:
    half_past = Calendar(offset_ns=-(3 * 3600 + 1800) * SECOND_NS)
    assert Wording(calendar=half_past).moment(0) == "1969-12-31 20:30:00 -03:30"


def test_an_offset_with_seconds_shows_them() -> None:
    assert Wording(calendar=Calendar(offset_ns=4772 * SECOND_NS)).moment(0) == "1970-01-01 01:19:32 +01:19:32"


AMOUNTS = [
    ({"USD": 1250}, "12.50 USD"),
    ({"tokens": 12, "USD": 5}, "0.05 USD, 12 tokens"),
    ({"USD.provider": 40}, "0.40 USD.provider"),
    ({"USD": -1}, "-0.01 USD"),
    ({"GPU": 3}, "3 GPU"),
    ({}, ""),
]


@pytest.mark.parametrize(("amounts", "said"), AMOUNTS)
def test_an_amount_has_the_unit_and_the_decimals_of_its_resource(amounts: dict[str, int], said: str) -> None:
    assert Wording({"USD": 2, "GPU": 0}).amounts(amounts) == said


def test_a_wording_is_that_of_its_world() -> None:
    with world({}, resources={"USD": 2}, world={"utc_offset": "+02:00"}) as kernel:
        said = wording_of(kernel._world.state)
    assert said.amount(1500, "USD") == "15.00 USD"
    assert said.moment(0) == "1970-01-01 02:00:00 +02:00"


def test_a_hash_is_short_or_has_the_name_that_is_known() -> None:
    digest = bytes(range(32))
    assert Wording().hash(digest) == short_hash(digest) == "000102030405"
    assert Wording(names={digest: "first"}).hash(digest) == "`first`"


def test_any_value_is_said_on_one_line() -> None:
    value = {"a": [1, {"b": True}], "h": bytes(32), "t": "x"}
    assert Wording().value(value) == "{a [1, {b true}], h 000000000000, t x}"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "5 ns"), (61, "1m 1s"), (3_601, "1h"), (3_661, "1h 1m"), (90_061, "1d 1h"), (86_460, "1d")],
)
def test_a_span_is_told_in_its_two_largest_units_rounded_down(seconds: int, said: str) -> None:
    assert span(seconds * SECOND_NS + 5) == said
