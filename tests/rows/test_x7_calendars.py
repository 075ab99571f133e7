"""Row X7-10: windows know calendars. Zones against the standard library, any sixty seconds against a list."""

import datetime as dt

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import example, given
from splittally import Intent, Receipt
from splittally.core.calendars import Calendar
from splittally.core.events import Held
from splittally.core.ledger.windows import periods_until, window_end, window_start
from splittally.edge.zones import read_zone, zone_names
from splittally.runtime.recover import fold

from tests.calendar_model import WEEKDAYS, begins, window_of, zone_of
from tests.rows.worlds import codes, few, recorded, tally

SECOND = 10**9
HOUR = 3600 * SECOND
CHANGING = [
    "Europe/Amsterdam", "America/New_York", "America/Sao_Paulo", "America/Havana", "America/St_Johns",
    "Australia/Lord_Howe", "Asia/Tehran", "Africa/Casablanca", "Pacific/Apia", "Asia/Gaza", "Europe/Dublin",
    "Antarctica/Troll", "America/Nuuk", "Asia/Kathmandu", "Africa/Cairo",
]  # fmt: skip
JOB = {"kinds": ["job.run"], "reserve": {"usd": "params.usd"}, "usage": {"usd": "params.usd"}}


def ns(text):
    moment = dt.datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()) * SECOND


def in_ns(moment):
    return int(moment.timestamp()) * SECOND


def manifest(*limits, **more):
    grant = {"cap": "sys/rules@1", "params": JOB, "limits": [{"dim": "usd", **limit} for limit in limits]}
    return {"effects": {"job.run": {}}, "grants": {"g": grant}, **more}


def ask(kernel, usd, at=None):
    return kernel.submit(Intent("job.run", {"usd": usd}, "g"), now_ns=at)


def use(kernel, usd, at=None):
    asked = ask(kernel, usd, at)
    if asked.allowed:
        kernel.settle(Receipt(asked.intent_hash, "ok", "h", {}))
    return asked.outcome


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as opened:
        yield opened


# --- windows in zones -------------------------------------------------------------------------------

ANCHORS = st.one_of(
    st.just(("day", None, "")),
    st.sampled_from(WEEKDAYS).map(lambda day: ("week", day, "" if day == "monday" else f":{day}")),
    st.integers(1, 31).map(lambda day: ("month", (1, day), "" if day == 1 else f":{day}")),
    st.tuples(st.integers(1, 3), st.integers(1, 31)).map(
        lambda at: ("quarter", at, "" if at == (1, 1) else f":{at[0]:02}-{at[1]:02}")
    ),
    st.tuples(st.integers(1, 12), st.integers(1, 28)).map(
        lambda at: ("year", at, "" if at == (1, 1) else f":{at[0]:02}-{at[1]:02}")
    ),
)
INSTANTS = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2060, 12, 31)).map(
    lambda moment: moment.replace(tzinfo=dt.UTC, microsecond=0)
)


@pytest.mark.req("X7-10")
@few
@given(name=st.sampled_from(CHANGING) | st.sampled_from(zone_names()), anchor=ANCHORS, at=INSTANTS)
@example("Pacific/Apia", ("day", None, ""), dt.datetime(2011, 12, 30, 9, 59, 59, tzinfo=dt.UTC))
@example("Pacific/Apia", ("day", None, ""), dt.datetime(2011, 12, 30, 10, tzinfo=dt.UTC))
@example("America/St_Johns", ("day", None, ""), dt.datetime(2010, 11, 7, 2, 31, tzinfo=dt.UTC))
@example("America/Havana", ("day", None, ""), dt.datetime(2026, 11, 1, 5, 30, tzinfo=dt.UTC))
@example("America/Sao_Paulo", ("day", None, ""), dt.datetime(2017, 10, 15, 3, tzinfo=dt.UTC))
def test_a_window_is_the_one_of_the_standard_librarys_clock_and_meets_its_neighbours(name, anchor, at):
    per, begin, spelled = anchor
    zones, period, now = {name: read_zone("", name)}, f"{per}{spelled}@{name}", in_ns(at)
    start = window_start(period, now, 0, zones)
    end = window_end(period, start, 0, zones)
    assert (start, end) == tuple(map(in_ns, window_of(name, per, begin, at)))
    assert start <= now < end
    assert [window_start(period, x, 0, zones) for x in (start, end - 1)] == [start, start]
    assert window_start(period, end, 0, zones) == end
    assert window_end(period, window_start(period, start - 1, 0, zones), 0, zones) == start
    assert periods_until(period, start, end, 0, zones)[1] == end


@pytest.mark.req("X7-10")
@pytest.mark.parametrize(
    ("name", "date", "hours"),
    [
        ("Europe/Amsterdam", "2026-03-29", 23), ("Europe/Amsterdam", "2026-10-25", 25),
        ("Europe/Amsterdam", "2059-03-30", 23), ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5), ("Pacific/Apia", "2011-12-29", 24),
        ("America/Sao_Paulo", "2017-10-15", 23), ("Asia/Kathmandu", "2026-06-01", 24),
    ],
)  # fmt: skip
def test_a_day_has_the_hours_that_its_zone_gives_it(name, date, hours):
    zones, start = {"": read_zone("", name)}, in_ns(begins(name, dt.date.fromisoformat(date)))
    assert window_start("day", start, 0, zones) == start
    assert window_end("day", start, 0, zones) - start == hours * HOUR


@pytest.mark.req("X7-10")
@given(name=st.sampled_from(zone_names()), at=st.integers(0, 2**62))
def test_an_hour_has_sixty_minutes_in_every_zone(name, at):
    zones = {"": read_zone("", name)}
    start = window_start("hour", at, 0, zones)
    assert start <= at < start + HOUR == window_end("hour", start, 0, zones)
    assert window_start("hour", start + HOUR, 0, zones) == start + HOUR


@pytest.mark.soak
@pytest.mark.parametrize("name", zone_names())
def test_every_day_of_every_zone_meets_the_next(name):
    zones, at, last = {"": read_zone("", name)}, ns("1990-01-01"), ns("2061-01-01")
    at = window_start("day", at, 0, zones)
    while at < last:
        end = window_end("day", at, 0, zones)
        assert at < end <= at + 32 * HOUR  # Vostok set its clock back by seven hours in 1994
        assert window_start("day", end - 1, 0, zones) == at
        at = end
    day = dt.date(1990, 1, 2)
    while day.year < 2061:
        start = in_ns(begins(name, day))
        assert window_start("day", start, 0, zones) == start
        day += dt.timedelta(days=1)


@pytest.mark.req("X7-10")
def test_the_days_of_a_world_follow_its_zone_and_another_limit_its_own(kernel):
    kernel.apply(
        manifest(
            {"per": "day", "amount": 10},
            {"per": "day", "amount": 15, "timezone": "America/New_York"},
            world={"timezone": "Europe/Amsterdam"},
        ),
        now_ns=ns("2026-03-28T12:00"),
    )
    assert use(kernel, 10, ns("2026-03-28T22:59")) == "allow"
    assert use(kernel, 1) == "deny"
    assert use(kernel, 5, ns("2026-03-28T23:00")) == "allow"  # Sunday in Amsterdam, Saturday in New York
    assert codes(ask(kernel, 1)) == ["budget_exceeded"]
    assert use(kernel, 5, ns("2026-03-29T04:00")) == "allow"  # Sunday in New York
    assert use(kernel, 1, ns("2026-03-29T21:59")) == "deny"  # a day of 23 hours
    assert use(kernel, 10, ns("2026-03-29T22:00")) == "allow"


@pytest.mark.req("X7-10")
def test_a_month_from_the_31st_begins_with_the_last_day_of_a_shorter_one(kernel):
    kernel.apply(manifest({"per": "month", "starts": 31, "amount": 10}), now_ns=ns("2026-04-29T12:00"))
    assert [use(kernel, 10), use(kernel, 1)] == ["allow", "deny"]
    assert [use(kernel, 10, ns("2026-04-30T00:00")), use(kernel, 1, ns("2026-05-30T23:59"))] == [
        "allow",
        "deny",
    ]
    assert use(kernel, 10, ns("2026-05-31T00:00")) == "allow"


# --- how they are said ------------------------------------------------------------------------------


@pytest.mark.req("X7-10")
@pytest.mark.parametrize(
    ("said", "per"),
    [
        ({"per": "week", "starts": "Sunday"}, "week:sunday"), ({"per": "week:monday"}, "week"),
        ({"per": "month", "starts": 1}, "month"), ({"per": "month:15"}, "month:15"),
        ({"per": "quarter", "starts": "11-01"}, "quarter:02-01"), ({"per": "quarter", "starts": 15},
        "quarter:01-15"), ({"per": "year", "starts": "04-06"}, "year:04-06"),
        ({"per": "week:sunday", "timezone": "Asia/Tokyo"}, "week:sunday@Asia/Tokyo"),
        ({"per": "day@Asia/Tokyo"}, "day@Asia/Tokyo"), ({"per": "60s"}, "rolling:60s"),
        ({"per": "60s", "rolling": True}, "rolling:60s"), ({"per": "60s", "rolling": False}, "60s"),
        ({"per": "30d", "rolling": True}, "rolling:30d"), ({"per": "rolling:24h"}, "rolling:24h"),
    ],
)  # fmt: skip
def test_a_period_has_one_spelling_in_the_records(kernel, said, per):
    terms = {"cap": "sys/rules@1", "params": JOB, "limits": [{"dim": "usd", "amount": 5, **said}]}
    assert kernel.apply(manifest({"amount": 5, **said}, world={"zones": ["Asia/Tokyo"]})).allowed
    assert kernel.native("grant.issue", name="other", terms=terms).allowed
    for name in ("g", "other"):
        assert [limit.per for limit in kernel.state.grants[name].limits] == [per]


@pytest.mark.req("X7-10")
@pytest.mark.parametrize(
    ("limit", "world", "why"),
    [
        ({"per": "day", "timezone": "Europe/Amsterdm"}, {}, "did you mean `Europe/Amsterdam`"),
        ({"per": "day"}, {"timezone": "../posixrules"}, "no time zone"),
        ({"per": "day"}, {"timezone": "UTC", "utc_offset": "+01:00"}, "`timezone` or a `utc_offset`"),
        ({"per": "day"}, {"utc_offset": "Europe/Amsterdam"}, "is a `timezone`"),
        ({"per": "week", "starts": "sonday"}, {}, "did you mean `sunday`"),
        ({"per": "month", "starts": 32}, {}, "a day from 1 to 31"),
        ({"per": "month", "starts": "02-01"}, {}, "a day from 1 to 31"),
        ({"per": "year", "starts": "02-30"}, {}, "such as 04-06"),
        ({"per": "year", "starts": "13-01"}, {}, "04-06"),
        ({"per": "day", "starts": 5}, {}, "no day starts anywhere else"),
        ({"per": "life", "starts": 5}, {}, "needs a calendar window"),
        ({"per": "60s", "timezone": "UTC"}, {}, "needs a calendar window"),
        ({"per": "week:sunday", "starts": "monday"}, {}, "says `starts` twice"),
        ({"per": "day", "rolling": True}, {}, "such as 60s"),
        ({"per": "60s", "rolling": "yes"}, {}, "true or false"),
        ({"per": "day", "tz": "UTC"}, {}, "has no `tz`"), ({"per": "day"}, {"tz": "UTC"}, "has no `tz`"),
    ],
)  # fmt: skip
def test_what_is_no_window_is_refused_at_apply_by_name(kernel, limit, world, why):
    with pytest.raises(splittally.SplittallyError, match=why):
        kernel.apply(manifest({"amount": 1, **limit}, world=world))


@pytest.mark.req("X7-10")
def test_a_grant_is_issued_in_zones_that_the_world_knows(kernel):
    kernel.apply(manifest({"per": "day", "amount": 1, "timezone": "Asia/Tokyo"}))
    terms = {"cap": "sys/rules@1", "params": JOB}
    for zone, found in (("Asia/Tokyo", []), ("Asia/Seoul", ["not_found"])):
        limits = [{"dim": "usd", "amount": 1, "per": "day", "timezone": zone}]
        made = kernel.native("grant.issue", name=zone, terms={**terms, "limits": limits})
        assert codes(made) == found


# --- an edit inside a window ------------------------------------------------------------------------


@pytest.mark.req("X7-10")
@pytest.mark.parametrize("whose", ["world", "limit", "anchor"])
def test_an_edit_of_the_zone_inside_a_day_carries_what_was_used_and_what_is_held_follows(
    kernel, whose, tmp_path
):
    def stated(is_new):
        per = {"per": "week", "starts": "wednesday"} if whose == "anchor" and is_new else {"per": "day"}
        per = {"per": "week"} if whose == "anchor" and not is_new else per
        zone = {"timezone": "America/New_York"} if is_new else {}
        limit = {**per, "amount": 100, **(zone if whose == "limit" else {})}
        other = {"per": "60s", "amount": 1000}
        return manifest(limit, other, world=zone if whose == "world" else {})

    kernel.apply(stated(False), now_ns=ns("2026-03-04T06:00"))
    settled, kept, let_go = ask(kernel, 30), ask(kernel, 40), ask(kernel, 20)
    kernel.settle(Receipt(settled.intent_hash, "ok", "h", {}))
    assert kernel.apply(stated(True), now_ns=ns("2026-03-04T10:00")).allowed
    (row,) = [row for key, row in kernel.state.windows.items() if "rolling" not in key[2]]
    assert row == {"limit": 100, "reserved": 60, "spent": 30}
    assert [use(kernel, 11), use(kernel, 10)] == ["deny", "allow"]
    kernel.release(let_go.intent_hash)
    assert [use(kernel, 21), use(kernel, 20)] == ["deny", "allow"]
    kernel.settle(
        Receipt(kept.intent_hash, "ok", "h", {})
    )  # what it reserved is charged where it was carried
    kernel.native("settlement.refund", intent_hash=settled.intent_hash, amounts={"usd": 30})
    assert [use(kernel, 31), use(kernel, 30)] == ["deny", "allow"]
    kernel.settle(Receipt(let_go.intent_hash, "ok", "h", {}))  # late
    held = [row for key, row in kernel.state.windows.items() if "rolling" not in key[2]]
    assert [(x.spent, x.refunded, x.reserved) for x in held] == [(150, 30, 0)]
    assert use(kernel, 1, ns("2026-03-05T04:59")) == "deny"
    following = ns("2026-03-11T00:00" if whose == "anchor" else "2026-03-05T05:00")
    assert [use(kernel, 100, following), use(kernel, 1)] == ["allow", "deny"]
    assert fold(kernel._world.store).ledger.counters == kernel._world.state.ledger.counters


@pytest.mark.req("X7-10")
def test_another_offset_or_newer_data_moves_windows_and_the_same_again_writes_nothing(kernel):
    kernel.apply(manifest({"per": "day", "amount": 10, "rollover": "50%"}), now_ns=ns("2026-03-04T00:00"))
    assert use(kernel, 0) == "allow"
    assert use(kernel, 4, ns("2026-03-05T01:00")) == "allow"  # 10 + 5 carried, 11 left
    assert kernel.apply(manifest({"per": "day", "amount": 10, "rollover": "50%"},
                                 world={"utc_offset": "-02:00"})).allowed  # fmt: skip
    assert [use(kernel, 12), use(kernel, 11)] == ["deny", "allow"]
    same = manifest({"per": "day", "amount": 10, "rollover": "50%"}, world={"timezone": "Etc/GMT+2"})
    kernel.apply(same)
    assert kernel.apply(same).seq is None
    assert use(kernel, 1) == "deny"  # the same window, in a zone of that offset


@pytest.mark.req("X7-10")
def test_what_a_governor_counted_goes_on_when_the_worlds_zone_changes(kernel):
    caps = {"caps": [{"resource": "USD", "per": "day", "amount": 100}]}
    grants = {
        "g": {
            "cap": "sys/rules@1",
            "params": {**JOB, **{x: {"USD": "params.usd"} for x in ("reserve", "usage")}},
        }
    }
    document = {"resources": {"USD": 0}, "effects": {"job.run": {}}, "grants": grants, "governor": caps}
    kernel.apply(document, now_ns=ns("2026-03-04T06:00"))
    asked = ask(kernel, 80)
    kernel.settle(Receipt(asked.intent_hash, "ok", "h", {}))
    kernel.apply({**document, "world": {"timezone": "America/New_York"}}, now_ns=ns("2026-03-04T10:00"))
    assert kernel.state.governor.caps[0].counted == 80
    assert ask(kernel, 90, ns("2026-03-05T04:59")).outcome == "defer"
    assert ask(kernel, 90, ns("2026-03-05T05:00")).allowed


@pytest.mark.req("X7-10")
def test_a_world_in_a_zone_is_sound_and_is_read_back_without_the_data(tmp_path, monkeypatch):
    path = tmp_path / "w"
    with splittally.open(path, clock="given") as kernel:
        kernel.apply(
            manifest(
                {"per": "day", "amount": 9}, {"per": "60s", "amount": 5}, world={"timezone": "Europe/Paris"}
            ),
            now_ns=ns("2026-03-28T22:30"),
        )
        assert use(kernel, 4) == "allow"
        root = kernel.state.root
    assert tally(path, "verify", "--rejudge")[0] == 0
    monkeypatch.setattr("splittally.edge.zones._zone", lambda name: pytest.fail("zone data is read"))
    with splittally.open(path) as kernel:
        assert kernel.state.root == root
        assert [use(kernel, 4), use(kernel, 5, ns("2026-03-28T23:00"))] == ["deny", "allow"]


# --- any sixty seconds ------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.integers(0, 4_000), st.integers(0, 30), st.sampled_from(["use", "hold", "drop"])),
    min_size=1,
    max_size=60,
)


@pytest.mark.req("X7-10")
@few
@given(steps=STEPS, amount=st.integers(0, 60))
def test_no_ten_seconds_let_more_through_than_the_amount_and_what_fits_is_let_through(steps, amount):
    """The model is the list of what was let through and still counts, by its instant in milliseconds."""
    with splittally.open(None, clock="given") as kernel:
        kernel.apply(manifest({"per": "10s", "amount": amount}))
        now, through = 0, []
        for wait, usd, ending in steps:
            now += wait
            used = sum(x for at, x in through if at > now - 10_000)
            asked = ask(kernel, usd, now * 10**6)
            assert asked.allowed == (used + usd <= amount)  # exact, for each instant has its slice
            if not asked.allowed:
                continue
            if ending == "drop":
                kernel.release(asked.intent_hash)
            else:
                through.append((now, usd))
            if ending == "use":
                kernel.settle(Receipt(asked.intent_hash, "ok", "h", {}))
        assert fold(kernel._world.store).ledger.slices == kernel._world.state.ledger.slices
        kernel.tick(now_ns=(now + 10_000) * 10**6)
        assert not kernel._world.state.ledger.slices
        assert not kernel.state.windows


@pytest.mark.req("X7-10")
@few
@given(waits=st.lists(st.integers(0, 90), min_size=100, max_size=400), amount=st.integers(20, 200))
@example(waits=[1] * 400, amount=400)  # each at an instant of its own, all within one window
def test_with_many_instants_slices_count_at_most_a_sixtieth_too_long_and_stay_few(waits, amount):
    length, piece = 6_000, 100
    with splittally.open(None, clock="given") as kernel:
        kernel.apply(manifest({"per": "6s", "amount": amount}))
        now, through = 0, []
        for wait in waits:
            now += wait
            allowed = ask(kernel, 1, now * 10**6).allowed
            used = sum(at > now - length for at in through)
            longest = sum(at > now - length - piece for at in through)
            assert used < amount if allowed else longest >= amount
            through += [now] if allowed else []
            assert len(kernel.state.windows) <= 200


@pytest.mark.req("X7-10")
def test_what_is_charged_or_given_back_after_it_left_changes_nothing_of_what_counts_now(kernel):
    kernel.apply(manifest({"per": "60s", "amount": 10}, {"per": "day", "amount": 1000}))
    first, second = ask(kernel, 10, 0), ask(kernel, 10, 60 * SECOND)
    assert second.allowed
    for late in (first, second):
        assert (
            kernel.settle(Receipt(late.intent_hash, "ok", "h", {}), now_ns=200 * SECOND).status == "settled"
        )
    kernel.native("settlement.refund", intent_hash=first.intent_hash, amounts={"usd": 10})
    assert [use(kernel, 11), use(kernel, 10), use(kernel, 1)] == ["deny", "allow", "deny"]
    assert {key[2]: row.spent for key, row in kernel.state.windows.items()} == {"day": 30, "rolling:60s": 10}


@pytest.mark.req("X7-10")
def test_a_rate_and_soft_limits_roll_too(kernel):
    rule = {"name": "calls", "decision": "allow", "rates": [{"per": "60s", "amount": 2}]}
    limits = ({"per": "60s", "amount": 3, "over": "tell"}, {"per": "60s", "amount": 4, "over": "shadow"})
    kernel.apply(manifest(*limits, policy=[rule]))
    told = [codes(ask(kernel, 3, at * SECOND)) for at in (0, 59, 60, 61)]
    assert told[:2] == [["limit_approaching"], ["shadow_exceeded"]]
    assert told[2] == ["limit_approaching", "shadow_exceeded"]  # what told at 0 has left
    assert told[3] == ["shadow_exceeded", "rate_exceeded"]


@pytest.mark.req("X7-10")
def test_a_limit_of_an_older_world_keeps_its_window_until_it_is_asked_to_roll(kernel):
    kernel.apply(manifest({"per": "60s", "amount": 60, "rolling": False}), now_ns=0)
    same = manifest({"per": "60s", "amount": 60})
    assert kernel.apply(same).seq is None
    asked = ((1, 7), (59, 66), (1, 66), (60, 67))  # the first use begins it, at no round time
    said = [use(kernel, amount, second * SECOND) for amount, second in asked]
    assert said == ["allow", "allow", "deny", "allow"]
    kernel.apply(manifest({"per": "60s", "amount": 60, "rolling": True}))
    assert [x.per for x in kernel.state.grants["g"].limits] == ["rolling:60s"]


@pytest.mark.req("X7-10")
def test_a_leg_names_a_window_by_its_start_and_its_end(kernel):
    zone = {"timezone": "Europe/Amsterdam"}
    kernel.apply(manifest({"per": "day", "amount": 9}, {"per": "60s", "amount": 9}, world=zone))
    at = ns("2026-03-29T12:00")
    held = ask(kernel, 1, at)
    windows = kernel.state.reservations[held.intent_hash].legs[0].windows
    assert [(x.per, x.start_ns, x.end_ns) for x in windows] == [
        ("day", ns("2026-03-28T23:00"), ns("2026-03-29T22:00")),
        ("rolling:60s", at, at + 60 * SECOND),
    ]
    assert recorded(kernel, Held)[0].legs[0].windows == windows


@pytest.mark.req("X7-10")
@pytest.mark.parametrize(
    "name", ["Antarctica/Troll", "America/Scoresbysund", "Europe/Amsterdam", "Asia/Gaza"]
)
@given(at=st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2100, 1, 1)))
def test_a_rule_holds_after_the_last_transition_alone(name, at):
    moment = at.replace(microsecond=0, tzinfo=dt.UTC)
    shown = moment.astimezone(zone_of(name)).replace(tzinfo=dt.UTC)
    assert Calendar(0, read_zone("", name)).local(in_ns(moment)) == in_ns(shown)
