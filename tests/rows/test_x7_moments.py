"""A past moment is a sequence, a date or a time, in every view."""

from datetime import UTC, date, datetime, timedelta, timezone

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, InvalidInput, Receipt
from splittally.edge.moments import SEQ_LIMIT, read_moment
from splittally.runtime.moments import Frames, frame_at, frames_between
from splittally.runtime.reader import open_reader

from tests.cli_tools import run
from tests.rows.worlds import few

JANUARY, FEBRUARY = 1_768_000_000 * 10**9, 1_770_500_000 * 10**9  # 2026-01-09 23:06:40, 2026-02-07 21:33:20
DAY_NS = 86_400 * 10**9
BASE_NS = 2 * SEQ_LIMIT
ACCOUNT = "accounts/a"
MANIFEST = {
    "resources": {"USD": 2, "EUR": 2},
    "accounts": {ACCOUNT: {}},
    "grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1000}, "params": {"models": ["m"]}}},
}
CALL = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}


def issue(kernel, now_ns, amount, resource="USD"):
    asked = {"resource": resource, "amount": amount, "to": ACCOUNT}
    assert kernel.native("ledger.issue", now_ns=now_ns, **asked).allowed


@pytest.fixture
def books(folder):
    """10.00 USD on the ninth of January, 5.00 USD and 3.00 EUR on the seventh of February, a call between."""
    with splittally.open(folder / "w", clock="given") as kernel:
        kernel.apply(MANIFEST, now_ns=JANUARY - DAY_NS)
        issue(kernel, JANUARY, 1_000)
        hash_ = kernel.submit(Intent("llm.generate", CALL, "g"), now_ns=JANUARY + DAY_NS).intent_hash
        usage = {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        kernel.settle(Receipt(hash_, "ok", "adapter", usage))
        issue(kernel, FEBRUARY, 500)
        issue(kernel, FEBRUARY, 300, "EUR")
    return folder / "w"


# --- the state at a moment --------------------------------------------------------------------------


@pytest.mark.req("X7-21")
@pytest.mark.parametrize(
    ("at", "balances"),
    [
        ("2026-01-31", {"USD": 1_000}),
        ("2026-01-31T23:59:59Z", {"USD": 1_000}),
        ("1769903999000000000", {"USD": 1_000}),
        ("2026-01-08", {}),
        ("2026-01-09", {"USD": 1_000}),  # a day is its end
        ("2026-01-09T23:06:39.999999999Z", {}),
        ("2026-01-09T23:06:40Z", {"USD": 1_000}),
        ("2026-01-10 01:06:40+02:00", {"USD": 1_000}),
        ("2026-01-10T01:06:39+02:00", {}),
        ("2026-02-07T21:33:20", {"USD": 1_500, "EUR": 300}),  # every frame of that nanosecond
        ("2030-01-01", {"USD": 1_500, "EUR": 300}),
    ],
)
def test_the_balance_of_a_day_or_a_time_is_that_of_the_last_frame_until_then(books, at, balances):
    told = run("-w", books, "accounts", "--at", at, "--json").json
    assert told["accounts"][ACCOUNT]["balances"] == balances
    with open_reader(books) as reader:
        last = max(record.seq for record in reader.records() if record.seq <= told["seq"])
        assert reader.state_after(last).size == told["seq"] + 1


@pytest.mark.req("X7-21")
def test_every_view_takes_a_day_and_shows_what_stood_at_its_end(books):
    def at(day, *words):
        return run("-w", books, *words, "--at", day, "--json").json

    assert [at(day, "ledger")["ledger"]["g"]["tokens"]["spent"] for day in ("2026-01-09", "2026-01-10")] == [
        0,
        3,
    ]
    assert set(at("2026-01-09", "grants")["grants"]) == {"g", "root"}
    assert at("2026-01-09", "grants", "g")["grants"]["g"]["cap_params"] == {"models": ["m"]}
    assert at("2026-01-10", "reservations")["reservations"] == []
    assert at("2026-01-10", "budgets")["budgets"] == {}
    early, late = (at(day, "state", "--root")["root"] for day in ("2026-01-09", "2026-01-10"))
    assert early != late
    assert (
        run("-w", books, "trace", ACCOUNT, "--sums", "--at", "2026-01-31", "--json").json["origins"][0][
            "amount"
        ]
        == 1_000
    )
    assert at("2026-01-08", "grants", "g", "--history")["history"][0]["first_intent"] is None
    assert at("2026-01-10", "grants", "g", "--history")["history"][0]["first_intent"] is not None


@pytest.mark.req("X7-21")
@pytest.mark.parametrize(
    "moment",
    [
        date(2026, 1, 31),
        datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 1, 31),  # of the world's calendar
        "2026-01-31",
        "2026-01-31T23:59:59Z",
        1_769_903_999 * 10**9,
    ],
    ids=repr,
)
def test_a_program_asks_with_a_date_a_datetime_or_their_text(books, moment):
    with splittally.open(books) as kernel, open_reader(books) as reader:
        for then in (kernel.at(moment), reader.at(moment)):
            assert then.accounts[ACCOUNT].balances == {"USD": 1_000}
        assert kernel.at(then.seq - 1).root == then.root


@pytest.mark.req("X7-21")
@pytest.mark.parametrize(
    ("offset", "balances"), [("+02:00", {}), ("-02:00", {"USD": 1}), ("+00:00", {"USD": 1})]
)
def test_a_day_is_one_of_the_worlds_calendar(folder, offset, balances):
    """At 23:06:40 UTC it is the tenth already two hours to the east."""
    with splittally.open(folder / "w", clock="given") as kernel:
        kernel.apply({"world": {"utc_offset": offset}, **MANIFEST})
        issue(kernel, JANUARY, 1)
        for at in ("2026-01-09", date(2026, 1, 9), "2026-01-09T23:59:59", datetime(2026, 1, 9, 23, 59)):
            assert kernel.at(at).accounts[ACCOUNT].balances == balances
        assert kernel.at("2026-01-09T23:06:40Z").accounts[ACCOUNT].balances == {"USD": 1}


# --- what happened between two moments ------------------------------------------------------------------


@pytest.mark.req("X7-21")
def test_records_are_listed_from_a_day_to_a_day_both_included(books):
    def seqs(*words):
        return [line["seq"] for line in run("-w", books, *words, "--json").lines]

    frames = seqs("log")
    with open_reader(books) as reader:
        times = {record.seq: record.body.at_ns for record in reader.records()}
    january = [seq for seq in frames if JANUARY - DAY_NS <= times[seq] < FEBRUARY]
    february = [seq for seq in frames if times[seq] >= FEBRUARY]
    for command in (["log"], ["export"]):
        assert seqs(*command, "--since", "2026-01-08", "--until", "2026-01-31") == january
        assert seqs(*command, "--from", "2026-02-07") == seqs(*command, "--since", february[0]) == february
        assert seqs(*command, "--to", "2026-01-31") == [seq for seq in frames if seq not in february]
        assert seqs(*command, "--since", "2026-03-01") == seqs(*command, "--until", "1969-12-31") == []
        backward = run("-w", books, *command, "--since", february[0], "--until", january[0], "--json")
        assert (backward.code, backward.json["error"]["facts"]) == (2, {"field": "until"})
    lines = run("-w", books, "ledger", "--entries", "--since", "2026-02-01", "--json").lines
    assert {(line["account"], line["amount"]) for line in lines if line["direction"] == "credit"} == {
        (ACCOUNT, 500),
        (ACCOUNT, 300),
    }
    run("-w", books, "stats", "update")
    asked = ("stats", "show", "--per", "month", "--account", ACCOUNT, "--until")
    for until in ("2026-01-31", "2026-01-31T23:59:59Z", january[-1]):
        windows = run("-w", books, *asked, until, "--json").json["windows"]
        assert [(row["resource"], row["sum"]) for row in windows] == [("USD", 1_000)]


@pytest.mark.req("X7-21")
def test_a_follower_until_a_time_ends_when_a_later_frame_shows_that_it_is_past(books):
    told = run("-w", books, "log", "--follow", "--until", "2026-01-31", "--json").lines
    assert told[-1]["at_ns"] == str(JANUARY + DAY_NS)


@pytest.mark.req("X7-21")
@few
@given(
    times=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    first=st.integers(-1, 7),
    last=st.integers(-1, 7),
)
def test_the_frames_of_a_time_are_those_that_a_look_at_each_finds(times, first, last):
    """Frames of one nanosecond stand together, and a time may be before, between or after all."""
    times = sorted(times)
    with splittally.open(None, clock="given") as kernel:
        for now_ns in times:
            kernel.apply({"resources": {f"R{kernel.state.seq}": 0}}, now_ns=BASE_NS + now_ns)
        store = kernel._world.store
        found = [record.at_ns for record in map(kernel._world.history.body, range(store.head.size))]
        since, until = (read_moment(BASE_NS + at) for at in (first, last))
        expected = [seq for seq, at in enumerate(found) if BASE_NS + first <= at <= BASE_NS + last]
        if first > last:
            with pytest.raises(InvalidInput, match="ends before it begins"):
                frames_between(store, since, until, lambda: 0)
        else:
            start, stop = frames_between(store, since, until, lambda: 0)
            assert list(range(start, stop)) == expected
        assert frames_between(store, None, None, lambda: 0) == Frames(0, None)
        until_then = [seq for seq, at in enumerate(found) if at <= BASE_NS + last]
        if until_then:
            assert frame_at(store, until, lambda: 0) == until_then[-1]


@pytest.mark.req("X7-21")
def test_a_queue_takes_days_and_times_and_has_no_frames(tmp_path):
    queue = tmp_path / "q"
    assert run("drain", "add", "--queue", queue, '{"a": 1}').code == 0
    for since in ("2026-01-31", "2026-01-31T12:00:00+01:00"):
        assert run("drain", "costs", "--queue", queue, "--since", since, "--json").json["runs"] == []
        assert (
            run("digest", "--queue", queue, "--since", since, "--json").json["since"].startswith("2026-01-31")
        )
    for words in (
        ["drain", "costs", "--since", "7"],
        ["digest", "--since", "7"],
        ["digest", "--at", "2026-01-31"],
    ):
        assert run(*words, "--queue", queue).code == 2


# --- what is no moment ------------------------------------------------------------------------------


WRONG = ["soon", "2026-02-30", "2026-13-01", "2026-1-31", "2026-01-31T24:00", "2026-01-31T23:59:60Z",
         "26-01-31", "2026-01-31T10:00+25:00", "2026-01-31x", "", str(2**63), "1e15"]  # fmt: skip


@pytest.mark.req("X7-21")
@pytest.mark.parametrize("said", WRONG)
def test_what_is_no_moment_is_a_usage_error_that_says_what_is_one(books, said):
    for words in (
        ["accounts", "--at"],
        ["log", "--since"],
        ["export", "--until"],
        ["stats", "show", "--per", "day", "--from"],
    ):
        ran = run("-w", books, *words, said)
        assert ran.code == 2
        assert "2026-01-31T23:59:59Z" in ran.err or f"no day {said}" in ran.err
    with splittally.open(books) as kernel, pytest.raises(InvalidInput):
        kernel.at(said)


@pytest.mark.req("X7-21")
def test_before_the_first_frame_there_is_no_state(books):
    ran = run("-w", books, "accounts", "--at", "1969-12-31")
    assert (ran.code, "nothing was recorded" in ran.err) == (2, True)
    with splittally.open(books) as kernel:
        for moment in (date(1969, 12, 31), "1969-12-31T23:59:59Z"):
            with pytest.raises(InvalidInput, match="the first frame is of"):
                kernel.at(moment)


@pytest.mark.req("X7-21")
def test_a_number_is_a_sequence_below_a_bound_and_nanoseconds_from_it_on(books):
    assert read_moment(SEQ_LIMIT - 1).seq == SEQ_LIMIT - 1
    assert read_moment(SEQ_LIMIT)[:3] == (None, SEQ_LIMIT, SEQ_LIMIT)
    with splittally.open(books) as kernel:
        with pytest.raises(InvalidInput, match="there is no frame"):
            kernel.at(SEQ_LIMIT - 1)
        assert kernel.at(SEQ_LIMIT).seq == 1  # the frame that made the world, at time 0
