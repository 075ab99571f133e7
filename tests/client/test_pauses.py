"""What goes on later: approvals that come, runs that a framework stops and starts again, who may go on."""

import asyncio

import pytest
import splittally
from splittally.client import AlreadyDone, NotDone, NotYours, Waiting, connect, current_call, notes
from splittally.client.keys import attempt_of, key_bytes

from tests.client.worlds import FORMS, act, client_of, manifest, raiser, used, world


class Pause(Exception):
    """As a framework stops a run that goes on later."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dispatch", [True, False])
def test_what_paused_goes_on_and_is_done_once(form, dispatch):
    with world() as kernel, client_of(kernel, pauses=(Pause,), dispatch=dispatch) as (client, _):
        for _ in range(2):  # it may pause again
            assert type(act(form, client, raiser(Pause()), key="k").error) is Pause
        got = act(form, client, used(1), key="k")
        assert (got.error, got.call.ending, got.call.settlement.status) == (None, "returned", "settled")
        assert kernel.state.counters["mail"]["mails"]["spent"] == 1
        assert type(act(form, client, key="k").error) is AlreadyDone


@pytest.mark.parametrize("form", FORMS)
def test_of_two_who_go_on_with_one_pause_one_does(form):
    with world() as kernel, client_of(kernel, pauses=(Pause,)) as (client, _):
        assert type(act("with", client, raiser(Pause()), key="k").error) is Pause
        others = []

        def body(call):
            others.append(act("with", client, key="k").error)
            return used(1)(call)

        assert act(form, client, body, key="k").error is None
        assert [type(error) for error in others] == [NotYours]


@pytest.mark.parametrize("dispatch", [True, False])
def test_a_note_of_what_waited_lets_nobody_act_beside_another_who_started_it(dispatch):
    """This client waited without a start on record; meanwhile somebody else began."""
    with world() as kernel, client_of(kernel, dispatch=False) as (client, _):
        waiting = act("with", client, grant="asked", key="k").error
        assert kernel.approve(waiting.intent_hash).allowed
        assert client.dispatch(waiting.intent_hash, bytes(16)).status == "dispatched"
        assert type(act("with", client, grant="asked", key="k", dispatch=dispatch).error) is NotYours


def test_what_paused_and_did_not_happen_after_all_is_released_by_who_started_it():
    with world() as kernel, client_of(kernel, pauses=(Pause,)) as (client, _):
        assert type(act("with", client, raiser(Pause()), key="k").error) is Pause
        got = act("with", client, raiser(NotDone()), key="k")
        assert (got.call.ending, got.call.settlement.status) == ("not_done", "released")


def test_another_process_goes_on_only_where_it_says_which_attempt_paused(tmp_path):
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        kernel.apply(manifest())
        with client_of(kernel, pauses=(Pause,)) as (client, _):
            attempt = act("with", client, raiser(Pause()), key="k").call.attempt
    with splittally.open(tmp_path / "w") as kernel, client_of(kernel) as (client, _):
        assert type(act("with", client, key="k").error) is NotYours
        got = act("with", client, raiser(NotDone()), key="k", resumes=attempt)
        assert got.call.settlement.status == "released"


def test_a_pause_without_a_key_stays_an_orphan_and_the_next_call_is_another():
    with world() as kernel, client_of(kernel, pauses=("tests.client.test_pauses.Pause",)) as (client, _):
        assert type(act("with", client, raiser(Pause())).error) is Pause
        assert act("with", client, used(1)).error is None
        assert [hold["phase"] for _, hold in kernel.state.reservations.items()] == ["running"]


def test_notes_of_pauses_are_bounded_and_the_oldest_go(monkeypatch):
    monkeypatch.setattr(notes, "NOTES_MAX", 3)
    kept, left = notes.Notes(), notes.Left(b"a", is_started=True)
    for number in range(5):
        kept.keep_left(bytes([number]), left)
        kept.keep_key(bytes([number]), b"later")
    assert [kept.latest_key(bytes([n])) for n in range(5)] == [b"\0", b"\1", b"later", b"later", b"later"]
    assert [kept.take_left(bytes([n])) for n in range(5)] == [None, None, left, left, left]
    assert kept.take_left(bytes([4])) is None


# --- approvals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_an_approval_that_comes_in_time_lets_the_body_run(form):
    with world() as kernel, client_of(kernel) as (client, link):
        link.fault = lambda name, given: name == "wait" and kernel.approve(given)
        got = act(form, client, used(1), grant="asked", approval_timeout_s=30)
        assert (got.error, got.call.settlement.status) == (None, "settled")
        assert got.call.settlement.violations == ()


def test_a_wait_for_an_approval_ends_with_its_time_and_the_hold_stays():
    with world() as kernel, client_of(kernel, approval_timeout_s=0.01) as (client, _):
        got = act("with", client, grant="asked")
        assert type(got.error) is Waiting
        assert kernel.outcome(got.error.intent_hash).phase == "approval"


@pytest.mark.parametrize("dispatch", [True, False])
def test_what_waited_is_asked_again_with_its_key_in_this_process_or_another(dispatch):
    with world() as kernel:
        with client_of(kernel, dispatch=dispatch) as (client, _):
            waiting = act("with", client, grant="asked", key="k").error
            assert type(act("with", client, grant="asked", key="k").error) is Waiting
            assert waiting.key == act("with", client, grant="asked", key="k").error.key
            assert kernel.approve(waiting.intent_hash).allowed
            if not dispatch:
                assert act("with", client, used(1), grant="asked", key=waiting.key).error is None
        if dispatch:
            with client_of(kernel) as (client, _):
                assert act("with", client, used(1), grant="asked", key=waiting.key).error is None


def test_without_a_start_on_record_another_process_does_not_act_for_this_one():
    with world() as kernel:
        with client_of(kernel, dispatch=False) as (client, _):
            waiting = act("with", client, grant="asked", key="k").error
        kernel.approve(waiting.intent_hash)
        with client_of(kernel, dispatch=False) as (client, _):
            assert type(act("with", client, grant="asked", key="k").error) is NotYours


def test_a_host_that_was_killed_before_it_began_goes_on_and_after_it_began_does_not():
    """Its next life knows the key and nothing else."""
    with world() as kernel:
        with client_of(kernel) as (client, _):
            key = key_bytes("k")
            asked = splittally.Intent("mail.send", {}, "mail", idempotency_key=key, attempt=attempt_of(key))
            assert client.submit(asked).allowed  # and killed here
        with client_of(kernel) as (client, _):
            got = client.effect("mail.send", {}, grant="mail", key="k")
            call = got.__enter__()  # and killed here
            assert call.decision.duplicate
        with client_of(kernel) as (client, _), pytest.raises(NotYours):
            client.effect("mail.send", {}, grant="mail", key="k").__enter__()


def test_a_client_can_wait_answer_and_be_told_from_either_face():
    with world() as kernel, client_of(kernel) as (client, _), connect(kernel) as operator:
        first = act("with", client, grant="asked", key="a").error
        second = act("with", client, grant="asked", key="b").error
        assert client.wait(first.intent_hash, 0.01)["phase"] == "approval"
        assert operator.approve(first.intent_hash).allowed
        assert client.wait(first.intent_hash.hex(), 5)["phase"] == "open"

        async def drive():
            assert (await operator.aio.reject(second.intent_hash)).allowed
            assert (await client.aio.wait(second.intent_hash, 5))["status"] == "released"
            third = await client.aio.submit(splittally.Intent("mail.send", {}, "mail"))
            assert (await client.aio.dispatch(third.intent_hash, bytes(16))).status == "dispatched"
            told = splittally.Receipt(third.intent_hash, "ok", "a", {"mails": 1})
            assert (await client.aio.settle(told)).status == "settled"
            assert (await client.aio.release(third.intent_hash)).status == "not_reserved"

        asyncio.run(drive())
        third = client.submit(splittally.Intent("mail.send", {}, "mail"))
        assert client.release(third.intent_hash).status == "released"


def test_a_decorated_body_alone_has_a_current_call():
    with world() as kernel, client_of(kernel) as (client, _):
        outside = pytest.raises(Exception, match="no decorated effect runs here")
        with outside:
            current_call()

        @client.effect("mail.send", grant="mail")
        def stream():
            current_call().used({"mails": 1})
            yield "one"
            assert current_call().payload == {"mails": 1}
            yield "two"

        items = stream()
        next(items)
        with outside:
            current_call()
        assert list(items) == ["two"]
