"""Every row of the table of endings, in every form that an effect is written in.

Whoever adds a row adds a scene here: the set of scenes is the set of rows.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from splittally import Decision, KernelStopped, Receipt
from splittally.client import (
    AlreadyDone,
    NotApproved,
    NotDone,
    NotYours,
    Refused,
    SettleFailed,
    Unreachable,
    Waiting,
    connect,
    course,
)
from splittally.client.endings import ACTED, ASKED, ENDINGS, PAUSES, ROWS, ending_of
from splittally.core.errors import InvalidInput

from tests.client.worlds import (
    FORMS,
    STREAMS,
    abandon,
    act,
    client_of,
    kinds,
    raiser,
    used,
    world,
)


class Pause(Exception):
    """As a framework stops a run that goes on later."""


def ended(kernel, call):
    """What the journal says of a call: status, phase or cause, what was charged."""
    row = kernel.outcome(call.intent_hash)
    return row.status, row.phase or row.cause or "", (row.charged or {}).get("mails")


def counter(kernel, grant="mail"):
    found = kernel.state.counters[grant]["mails"]
    return found["reserved"], found["spent"]


# --- before the act: the body never runs ------------------------------------------------------------


def refused(form):
    with world(limit=0) as kernel, client_of(kernel) as (client, _):
        got = act(form, client)
        assert type(got.error) is Refused
        assert got.error.decision.findings[0].code == "budget_exceeded"
        return got


def waits(form):
    with world() as kernel, client_of(kernel) as (client, _):
        got = act(form, client, grant="asked", key="k")
        assert type(got.error) is Waiting
        assert kernel.outcome(got.error.intent_hash).phase == "approval"
        assert got.error.row["phase"] == "approval"
        assert kernel.approve(got.error.intent_hash).allowed
        again = act(form, client, used(1), grant="asked", key="k")
        assert (again.error, again.call.ending) == (None, "returned")
        return got


def not_approved(form):
    with world() as kernel, client_of(kernel) as (client, link):

        def reject(name, given):
            if name == "wait":
                assert kernel.reject(given).allowed

        link.fault = reject
        got = act(form, client, grant="asked", approval_timeout_s=30)
        assert type(got.error) is NotApproved
        assert (got.error.row["status"], got.error.row["cause"]) == ("released", "rejected")
        return got


def ended_before(form):
    with world() as kernel, client_of(kernel) as (client, _):
        assert act(form, client, used(1), key="k").error is None
        got = act(form, client, key="k")
        assert type(got.error) is AlreadyDone
        assert got.error.row["status"] == "settled"
        assert counter(kernel) == (0, 1)
        return got


def started_before(form):
    with world() as kernel, client_of(kernel) as (client, _):
        with client.effect("mail.send", {"to": "ann"}, grant="mail", key="k") as call:
            got = act(form, client, key="k")
            call.used({"mails": 1})
        assert type(got.error) is NotYours
        assert got.error.row["phase"] == "running"
        assert counter(kernel) == (0, 1)
        return got


def not_asked(form):
    with world() as kernel, client_of(kernel) as (client, link):
        link.fault = lambda *asked: (_ for _ in ()).throw(Unreachable("gone"))
        got = act(form, client)
        link.fault = lambda *asked: None
        assert type(got.error) is Unreachable
        assert counter(kernel) == (0, 0)
        return got


def given_up(form):
    with world() as kernel, client_of(kernel) as (client, link):
        seen = []

        def interrupt(name, given):
            if name == "wait":
                seen.append(given)
                raise asyncio.CancelledError if form.startswith(("async", "coroutine")) else KeyboardInterrupt

        link.fault = interrupt
        got = act(form, client, grant="asked", approval_timeout_s=30)
        assert isinstance(got.error, asyncio.CancelledError | KeyboardInterrupt)
        row = kernel.outcome(seen[0])
        assert (row.status, row.cause) == ("released", ROWS["given_up"].told)
        return got


# --- the act -----------------------------------------------------------------------------------------


def acted(form, body, expected, options=None):
    """The body acts in this way, and the journal says this of it afterwards."""
    with world() as kernel, client_of(kernel, pauses=(Pause,)) as (client, _):
        got = act(form, client, body, **(options or {}))
        assert ended(kernel, got.call) == expected
        assert counter(kernel) == (int(expected[0] == "reserved"), expected[2] or 0)
        return got


def returned(form):
    got = acted(form, used(3), ("settled", "", 3))
    assert (got.value, got.call.settlement.status) == ("value", "settled")
    return got


def raised(form):
    return acted(form, raiser(LookupError("no")), ("settled", "", 0))


def not_done(form):
    return acted(form, raiser(NotDone()), ("released", "not_dispatched", None))


def timed_out(form):
    return acted(form, raiser(TimeoutError()), ("reserved", "unknown", None))


def cancelled(form):
    return acted(form, raiser(asyncio.CancelledError()), ("reserved", "unknown", None))


def paused(form):
    return acted(form, raiser(Pause()), ("reserved", "running", None))


def mixed(form):
    group = BaseExceptionGroup("several", [LookupError(), NotDone()])
    return acted(form, raiser(group), ("reserved", "unknown", None))


def said_unknown(form):
    got = acted(form, lambda call: call.unknown() or "value", ("reserved", "unknown", None))
    assert got.value == "value"
    return got


def misreported(form):
    got = acted(form, lambda call: call.used({"mails": object()}), ("reserved", "unknown", None))
    assert type(got.error) is InvalidInput
    return got


def abandoned(form):
    with world() as kernel, client_of(kernel) as (client, _):
        call = abandon(form, client)
        assert ended(kernel, call) == ("settled", "", 1)
        return act(form, client)._replace(call=call, error=None)


# --- telling it --------------------------------------------------------------------------------------


def late(form):
    with world() as kernel, client_of(kernel, dispatch=False) as (client, _):

        def body(call):
            kernel.tick(now_ns=100)
            return used(1)(call)

        got = act(form, client, body, expires_ns=50)
        assert got.call.settlement.status == "late"
        assert ended(kernel, got.call)[0] == "released"
        assert counter(kernel) == (0, 1)
        return got


def told_before(form):
    with world() as kernel, client_of(kernel) as (client, _):

        def body(call):
            client.settle(Receipt(call.intent_hash, "ok", "other", {"mails": 2}))
            return used(1)(call)

        got = act(form, client, body)
        assert got.call.settlement.status == "duplicate"
        assert counter(kernel) == (0, 2)
        return got


def not_told(form):
    with world() as kernel, client_of(kernel) as (client, link):

        def lose(name, given):
            if name == "run" and kinds(given) == {"Receipt"}:
                raise Unreachable("gone")

        link.fault = lose
        got = act(form, client, used(1))
        assert type(got.error) is SettleFailed
        assert got.error.request.payload == {"mails": 1}
        assert ended(kernel, got.call) == ("reserved", "running", None)
        other = act(form, client, raiser(LookupError("no")))
        assert type(other.error) is LookupError
        assert "could not be told" in other.error.__notes__[0]
        assert [each.status for each in client.unsettled] == ["error"]  # the first was told with the intent
        assert ended(kernel, got.call) == ("settled", "", 1)
        link.fault = lambda *asked: None
        assert act(form, client, used(1)).error is None
        assert client.unsettled == ()
        assert counter(kernel) == (0, 2)
        return got


SCENES = {
    scene.__name__: scene
    for scene in (
        refused, waits, not_approved, ended_before, started_before, not_asked, given_up, returned, raised,
        not_done, timed_out, cancelled, paused, mixed, said_unknown, misreported, abandoned, late,
        told_before, not_told,
    )
}  # fmt: skip
VALUES = {"returned", "said_unknown", "abandoned", "late", "told_before"}
EVERY = [(row.name, form) for row in ENDINGS for form in (STREAMS if row.name == "abandoned" else FORMS)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(course, "AGAIN_AFTER_S", (0.0,))


@pytest.mark.parametrize(("row", "form"), EVERY)
def test_every_row_of_the_table_holds_in_every_form(row, form):
    got = SCENES[row](form)
    ending = ROWS[row]
    assert (got.error is None) == (row in VALUES)
    if ending.when == ASKED:
        assert got.call is None
    elif ending.when == ACTED:
        assert got.call.ending == row
    else:
        assert got.call.ending == "returned"


def test_there_is_a_scene_for_every_row_and_a_row_for_every_scene():
    assert list(SCENES) == list(ROWS) == [row.name for row in ENDINGS]


# --- which exception is which ---------------------------------------------------------------------------


def lost(name, base=Exception):
    """An exception of a package that is not here."""
    return type(name, (base,), {})


class ReadTimeout(lost("TimeoutException", lost("TransportError"))):
    """As httpx has it."""


class ConnectionLost(lost("ConnectionError", OSError)):
    """As requests has it."""


@pytest.mark.parametrize(
    ("error", "row"),
    [
        (None, "returned"),
        (ValueError(), "raised"),
        (OSError(), "raised"),
        (ConnectionResetError(), "timed_out"),
        (TimeoutError(), "timed_out"),
        (ReadTimeout(), "timed_out"),
        (ConnectionLost(), "timed_out"),
        (lost("APITimeoutError", lost("APIConnectionError"))(), "timed_out"),
        (KeyboardInterrupt(), "cancelled"),
        (SystemExit(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
        (lost("Odd", BaseException)(), "cancelled"),
        (NotDone(), "not_done"),
        (Pause(), "paused"),
        (lost("Finer", Pause)(), "paused"),
        (ExceptionGroup("g", [ValueError(), KeyError()]), "raised"),
        (ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [TimeoutError()])]), "mixed"),
        (ExceptionGroup("g", [NotDone(), NotDone()]), "not_done"),
        (BaseExceptionGroup("g", [Pause(), asyncio.CancelledError()]), "mixed"),
    ],
    ids=repr,
)
def test_an_exception_has_the_row_of_what_it_means(error, row):
    assert ending_of(error, (Pause,)).name == row


@pytest.mark.parametrize("name", PAUSES)
def test_pauses_of_frameworks_are_known_by_their_full_name_alone(name):
    module, _, short = name.rpartition(".")
    ours, theirs = lost(short), lost(short)
    theirs.__module__ = module
    assert ending_of(lost("Interrupt", theirs)(), PAUSES).name == "paused"
    assert ending_of(ours(), PAUSES).name == "raised"


def raised_in_an_except(error, cause):
    """An error that is raised while a time-out is being handled, with this explicit cause."""
    try:
        try:
            raise TimeoutError
        except TimeoutError:
            raise error from cause
    except ValueError as caught:
        return caught


def test_an_exception_counts_with_what_it_was_raised_from_and_not_with_what_was_being_handled():
    failed = raised_in_an_except(ValueError("the tool failed"), ConnectionError())
    assert ending_of(failed, ()).name == "timed_out"
    fallback = ValueError("the fallback failed")
    try:
        raise TimeoutError
    except TimeoutError as handled:
        fallback.__context__ = handled
    assert ending_of(fallback, ()).name == "raised"
    round_about = ValueError()
    round_about.__cause__ = round_about
    assert ending_of(round_about, ()).name == "raised"


# --- around the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_of_a_kernel_that_is_closed_while_the_body_runs_the_ending_is_kept_and_nothing_is_silent(form):
    with world() as kernel:
        link_holder = pytest.raises(SettleFailed)
        with link_holder, client_of(kernel) as (client, _):

            def body(call):
                kernel.close()
                return used(1)(call)

            got = act(form, client, body)
            assert type(got.error) is SettleFailed
            assert isinstance(got.error.__cause__, KernelStopped)
            assert [each.status for each in client.unsettled] == ["ok"]
            ran = []
            assert isinstance(act(form, client, ran.append).error, KernelStopped)
            assert ran == []


@pytest.mark.parametrize("form", ["function", "coroutine"])
def test_a_value_whose_receipt_could_not_be_told_is_not_lost(form):
    with world() as kernel, client_of(kernel) as (client, link):
        link.fault = lambda name, given: "Receipt" in kinds(given) and (_ for _ in ()).throw(OSError("gone"))
        got = act(form, client, used(1))
        link.fault = lambda *asked: None
        assert isinstance(got.error, SettleFailed)
        assert got.error.value == "value"


def test_a_way_that_is_lost_for_a_moment_is_tried_again_and_tells_once():
    with world() as kernel, client_of(kernel) as (client, link):
        tries = []

        def once(name, given):
            if "Receipt" in kinds(given):
                tries.append(given)
                if len(tries) == 1:
                    raise ConnectionError("reset")

        link.after = once  # the answer is lost, and the receipt was taken
        got = act("with", client, used(1))
        assert (got.error, got.call.settlement.status, len(tries)) == (None, "duplicate", 2)
        assert counter(kernel) == (0, 1)


def test_a_stranger_who_may_not_tell_is_told_so_and_nothing_is_kept():
    with world() as kernel, connect(kernel, principal="agent") as client:

        def body(call):
            call.decision = Decision(seq=1, intent_hash=bytes(32), outcome="allow")

        failed = act("with", client, body).error
        assert "not_found" in str(failed)
        assert (type(failed), failed.is_kept, client.unsettled) == (SettleFailed, False, ())


def test_a_start_costs_a_record_and_can_be_left_out():
    for dispatch, records in ((True, 3), (False, 2)):
        with world() as kernel, connect(kernel, principal="agent", dispatch=dispatch) as client:
            before = kernel.state.seq
            with client.effect("mail.send", {}, grant="mail") as call:
                call.used({"mails": 1})
            assert kernel.state.seq - before == records


def test_a_grant_that_requires_a_dispatch_has_nothing_to_say_of_a_client():
    with world() as kernel, connect(kernel, principal="agent") as client:
        with client.effect("mail.send", {}, grant="guarded") as call:
            call.used({"mails": 1})
        assert call.settlement.violations == ()


def test_a_not_done_of_one_call_says_nothing_of_the_call_around_it():
    with world() as kernel, client_of(kernel) as (client, _):
        inner = []

        def body(call):
            inner.append(act("with", client, raiser(NotDone())))
            raise inner[0].error

        outer = act("with", client, body)
        assert type(outer.error) is NotDone
        assert (inner[0].call.ending, outer.call.ending) == ("not_done", "raised")


def test_a_stream_of_a_model_that_is_abandoned_without_a_word_is_charged_its_reserve():
    with world() as kernel, client_of(kernel) as (client, _):
        kernel.apply(
            {"grants": {"llm": {"cap": "sys/llm.basic@1", "holder": "agent", "budget": {"tokens": 999}}}}
        )

        @client.effect("llm.generate", {"max_tokens": 200, "prompt_tokens": 50}, grant="llm")
        def words():
            yield "a"
            yield "few"

        items = words()
        next(items)
        items.close()
        assert kernel.state.counters["llm"]["tokens"]["spent"] == 250


def test_a_client_that_is_closed_begins_nothing_and_tells_what_runs():
    with world() as kernel:
        client = connect(kernel, principal="agent").open()
        with client.effect("mail.send", {}, grant="mail") as call:
            client.close()
            with pytest.raises(KernelStopped, match="closed"):
                client.effect("mail.send", {}, grant="mail").__enter__()
            call.used({"mails": 1})
        assert call.settlement.status == "settled"


@pytest.mark.parametrize("form", ["with", "async with"])
def test_a_kernel_that_is_closed_while_an_approval_is_waited_for_lets_nothing_run(form):
    with world() as kernel:
        client = connect(kernel, principal="agent", approval_timeout_s=30).open()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(act, form, client, grant="asked")
            while not kernel.state.reservations(phase="approval"):
                time.sleep(0.002)
            kernel.close()
            got = waiting.result(30)
        assert (type(got.error), got.call) == (KernelStopped, None)
