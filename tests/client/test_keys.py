"""A key of an effect says which calls are one: equal exactly where every value in it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally import Receipt
from splittally.client import AlreadyDone, NotDone, Refused, connect, course
from splittally.client.keys import attempt_of, canonical_text, filled, key_bytes, read_template
from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput, SplittallyError
from splittally.edge.identity import sealed_key

from tests.client.worlds import act, client_of, manifest, raiser, used, world

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    | st.text(':[]"{},\\ h0', max_size=6)
    | st.binary(max_size=4)
)
VALUES = st.recursive(
    SCALARS,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=3), each, max_size=3),
    max_leaves=5,
)
TEMPLATES = ["{a}:{b}", "{a}{b}", "x{a}y{b}z", "{b}-{a}"]


@given(st.sampled_from(TEMPLATES), VALUES, VALUES, VALUES, VALUES)
def test_two_calls_have_one_key_exactly_where_all_their_values_are_the_same(template, a, b, c, d):
    holes = read_template(template, ["a", "b"])
    one, other = filled(holes, {"a": a, "b": b}), filled(holes, {"a": c, "b": d})
    assert (one == other) == (encode([a, b]) == encode([c, d]))
    assert key_bytes(one) != key_bytes(other) or one == other


@given(st.from_regex(r"[1-9]{3,6}", fullmatch=True), st.data())
def test_numbers_that_stand_side_by_side_do_not_run_together(digits, data):
    first, second = (data.draw(st.integers(1, len(digits) - 1)) for _ in range(2))
    holes = read_template("{a}{b}", ["a", "b"])
    keys = [filled(holes, {"a": int(digits[:at]), "b": int(digits[at:])}) for at in (first, second)]
    assert (keys[0] == keys[1]) == (first == second)


@given(VALUES)
def test_the_text_of_a_value_is_json_but_for_bytes(value):
    text = canonical_text(value)
    if 'h"' not in text:
        assert encode(json.loads(text)) == encode(value)


def test_what_is_moved_from_one_hole_to_the_next_is_another_key():
    holes = read_template("move:{a}:{b}", ["a", "b"])
    assert filled(holes, {"a": "a", "b": "b:c"}) == 'move:["a"]:["b:c"]'
    assert filled(holes, {"a": "a:b", "b": "c"}) == 'move:["a:b"]:["c"]'
    assert filled(holes, {"a": 1, "b": "1"}) == 'move:[1]:["1"]'


def test_a_hole_takes_a_part_of_an_argument():
    holes = read_template("order:{order.id}{{}}", ["order"])
    assert filled(holes, {"order": {"id": 7, "note": "x"}}) == "order:[7]{}"
    with pytest.raises(InvalidInput, match=r"no value at `order\.id`"):
        filled(holes, {"order": {}})


@pytest.mark.parametrize(
    "template", ["{c}", "{}", "{0}", "{a!r}", "{a:>3}", "{a[0]}", "{a", "a}", "{a b}", "{self}", "{.a}"]
)
def test_what_is_no_hole_is_refused_when_the_function_is_decorated(template):
    with (
        world() as kernel,
        client_of(kernel) as (client, _),
        pytest.raises(InvalidInput, match=r"key|hole|parameter"),
    ):

        @client.effect("mail.send", grant="mail", key=template)
        def send(a: str) -> None: ...


@given(st.text(min_size=1, max_size=2_000))
def test_a_key_of_text_is_the_one_of_every_other_door_and_may_be_long(text):
    try:
        found = key_bytes(text)
    except SplittallyError:
        found = b""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        assert found == b""
        return
    assert len(found) == 32
    if len(text.encode()) <= 512:
        assert found == sealed_key(text)


def test_the_attempt_of_a_key_is_its_own_and_shows_nothing_of_it():
    keys = [bytes([n]) * 32 for n in range(50)]
    attempts = {attempt_of(key) for key in keys}
    assert len(attempts) == 50
    assert all(len(attempt) == 16 and attempt not in key for attempt in attempts for key in keys)


def test_a_key_makes_two_calls_one_and_none_leaves_each_its_own():
    with world() as kernel, client_of(kernel) as (client, _):
        sent = []

        @client.effect("mail.send", grant="mail", key="welcome:{to}", used=lambda _: {"mails": 1})
        def welcome(to: str, *, again: bool = False) -> None:
            sent.append(to)

        @client.effect("mail.send", grant="mail", used=lambda _: {"mails": 1})
        def remind(to: str) -> None:
            sent.append(to)

        welcome("ann")
        welcome(to="bob")
        for call in (lambda: welcome("ann"), lambda: welcome(to="ann", again=False)):
            with pytest.raises(AlreadyDone):
                call()
        remind("ann")
        remind("ann")
        assert sent == ["ann", "bob", "ann", "ann"]


def test_a_key_that_is_given_with_a_call_is_no_template():
    with world() as kernel, connect(kernel, principal="agent") as client:
        with client.effect("mail.send", {}, grant="mail", key="{to} {") as call:
            call.used({"mails": 1})
        assert call.key == sealed_key("{to} {")


def test_what_did_not_happen_can_be_asked_for_again_under_its_key_by_anybody():
    """A refusal that a top-up mends, an act that never left the house; the kernel keeps its first answers."""
    with world(limit=0) as kernel:
        with client_of(kernel) as (client, _):
            for _ in range(3):
                assert type(act("with", client, key="k").error) is Refused
            assert kernel.apply(manifest(5)).allowed
            for _ in range(3):
                assert act("with", client, raiser(NotDone()), key="k").call.ending == "not_done"
        with client_of(kernel) as (other, link):  # it knows nothing of those keys, and finds the same one
            assert act("with", other, used(1), key="k").error is None
            assert link.asked.count("Intent") == 7
            assert type(act("with", other, key="k").error) is AlreadyDone
        with client_of(kernel) as (third, _):
            assert type(act("with", third, key="k").error) is AlreadyDone
        assert kernel.state.counters["mail"]["mails"]["spent"] == 1


@pytest.mark.parametrize("cause", ["cancel", "rejected", "late"])
def test_a_key_that_anything_else_ended_stays_used_up(cause):
    with world() as kernel, client_of(kernel) as (client, _):
        waiting = act("with", client, grant="asked", key="k").error
        if cause == "rejected":
            kernel.reject(waiting.intent_hash)
        else:
            client.release(waiting.intent_hash, cause="cancel" if cause == "cancel" else "not_dispatched")
        if cause == "late":  # it happened after all
            assert client.settle(Receipt(waiting.intent_hash, "ok", "a", {"mails": 1})).status == "late"
        assert type(act("with", client, grant="asked", key="k").error) is AlreadyDone


def test_a_key_that_was_refused_ever_so_often_gives_its_last_answer(monkeypatch):
    monkeypatch.setattr(course, "FOLLOWERS_MAX", 2)
    with world(limit=0) as kernel:
        with client_of(kernel) as (client, _):
            for _ in range(5):
                assert type(act("with", client, key="k").error) is Refused
        with client_of(kernel) as (client, link):
            last = act("with", client, key="k").error
            assert (type(last), last.decision.duplicate, link.asked) == (Refused, True, ["Intent"] * 3)
