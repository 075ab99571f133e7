"""What is asked for is what the call says: params and labels from arguments, whatever Python they are."""

import asyncio
import datetime
import functools
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from splittally import Receipt
from splittally.client import NoClient, SettleFailed, Waiting, connect, effect, labels
from splittally.client.arguments import LONG_VALUE_BYTES, Parameters, digest_of, with_digests
from splittally.core.errors import InvalidInput

from tests.client.worlds import client_of, world


class Size(Enum):
    SMALL = "s"


@dataclass
class Order:
    id: int
    size: Size


class Model:
    """As pydantic has them."""

    def model_dump(self):
        return {"order": Order(7, Size.SMALL), "at": datetime.date(2026, 3, 1)}


ARGUMENTS = {
    "a tuple": ((1, 2), [1, 2]),
    "integer keys": ({7: "a"}, {"7": "a"}),
    "a date": (datetime.date(2026, 3, 1), "2026-03-01"),
    "bytes": (b"\x00\xff", b"\x00\xff"),
    "a dataclass": (Order(7, Size.SMALL), {"id": 7, "size": "s"}),
    "a model": (Model(), {"order": {"id": 7, "size": "s"}, "at": "2026-03-01"}),
    "a short text": ("x" * LONG_VALUE_BYTES, "x" * LONG_VALUE_BYTES),
    "a long text": ("é" * LONG_VALUE_BYTES, digest_of("é".encode() * LONG_VALUE_BYTES)),
    "long bytes inside": ([b"x" * 9_000], [digest_of(b"x" * 9_000)]),
}


def seen_by(link):
    """The params of every intent that goes over this link."""
    found = []

    def note(name, given):
        if name == "run":
            found.extend(item.request.params for item in given if hasattr(item.request, "params"))

    link.fault = note
    return found


@pytest.mark.parametrize(("given_", "expected"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_become_params_as_values_of_the_data_model(given_, expected):
    with world() as kernel, client_of(kernel) as (client, link):
        asked = seen_by(link)

        @client.effect("mail.send", grant="mail", used=lambda _: {"mails": 1})
        def send(to, body="hello", *more, subject=None, **rest):
            return to

        assert send(given_) is given_  # the function gets what it was given
        assert asked == [{"to": expected, "body": "hello", "more": [], "subject": None, "rest": {}}]


LEAVES = st.text(max_size=30) | st.binary(max_size=30) | st.integers(0, 9)


@given(
    st.recursive(LEAVES, lambda x: st.lists(x) | st.dictionaries(st.text(max_size=3), x)), st.integers(0, 40)
)
def test_every_long_value_is_a_digest_and_nothing_else_changes(value, most):
    shown = with_digests(value, most)

    def same(a, b):
        if isinstance(a, str | bytes):
            data = a.encode() if isinstance(a, str) else a
            return b == (
                a if len(data) <= most else {"$digest": blake3(data).hexdigest(), "bytes": len(data)}
            )
        if isinstance(a, list):
            return len(a) == len(b) and all(map(same, a, b))
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
        return a == b

    assert same(value, shown)
    assert with_digests(value, None) is value


def test_a_call_that_is_spelled_otherwise_asks_for_the_same():
    parameters = Parameters(lambda a, b=2, *, c=3: None)
    spelled = [((1,), {}), ((1, 2), {}), ((), {"a": 1, "b": 2}), ((1,), {"c": 3})]
    assert [parameters.of(*each) for each in spelled] == [{"a": 1, "b": 2, "c": 3}] * 4
    with pytest.raises(TypeError):
        parameters.of((), {})


def test_a_method_leaves_itself_out_and_what_it_is_told_to():
    with world() as kernel, client_of(kernel) as (client, link):
        asked = seen_by(link)

        class Mailer:
            @client.effect("mail.send", grant="mail", leave_out=("session",), used=lambda _: {"mails": 1})
            def send(self, to: str, session: object) -> str:
                return to

            @classmethod
            @client.effect("mail.send", grant="mail", used=lambda _: {"mails": 1})
            def all(cls) -> None: ...

        Mailer().send("ann", object())
        Mailer.all()
        assert asked == [{"to": "ann"}, {}]
        with pytest.raises(InvalidInput, match="`leave_out` names no parameter with `nobody`"):
            client.effect("mail.send", grant="mail", leave_out=("nobody",))(Mailer.send)


def test_params_are_made_of_arguments_where_a_kind_wants_them_otherwise():
    with world() as kernel, client_of(kernel) as (client, link):
        asked = seen_by(link)

        @client.effect(
            "mail.send", lambda a: {"server": "s", "arguments": a}, grant="mail", used=lambda _: {"mails": 1}
        )
        def send(to: str) -> None: ...

        @client.effect("mail.send", {"fixed": 1}, grant="mail", used=lambda _: {"mails": 1})
        def fixed(to: str) -> None: ...

        send("ann")
        fixed("ann")
        assert asked == [{"server": "s", "arguments": {"to": "ann"}}, {"fixed": 1}]


@pytest.mark.parametrize(
    "wrong",
    [object(), float("nan"), {1, 2}, datetime.timedelta(1), 2**70],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_has_no_value_is_refused_and_the_body_does_not_run(wrong):
    with world() as kernel, client_of(kernel) as (client, link):
        ran = []

        @client.effect("mail.send", grant="mail")
        def send(to):
            ran.append(to)

        with pytest.raises(InvalidInput, match="/to"):
            send(wrong)
        assert (ran, link.asked) == ([], [])


def test_decorated_functions_are_what_they_were():
    with world() as kernel, client_of(kernel) as (client, _):

        def send(to: str, *, copy: bool = False) -> str:
            """Sends."""
            return to

        async def later(to: str) -> str:
            return to

        def items():
            yield 1

        async def async_items():
            yield 1

        for function in (send, later, items, async_items):
            made = client.effect("mail.send", grant="mail")(function)
            assert inspect.signature(made) == inspect.signature(function)
            assert (made.__name__, made.__doc__, made.__wrapped__) == (
                function.__name__,
                function.__doc__,
                function,
            )
            for is_it in (
                inspect.iscoroutinefunction,
                inspect.isgeneratorfunction,
                inspect.isasyncgenfunction,
            ):
                assert is_it(made) == is_it(function)


def test_a_function_that_gives_back_what_has_yet_to_run_is_refused():
    async def later(to):
        raise AssertionError

    with world() as kernel, client_of(kernel) as (client, _):
        for hidden in (lambda to: later(to), functools.wraps(print)(lambda to: (x for x in to))):
            with pytest.raises(InvalidInput, match="yet to run"):
                client.effect("mail.send", grant="mail")(hidden)("ann")
        with pytest.raises(InvalidInput, match="decorates a function"):
            client.effect("mail.send", grant="mail")(classmethod(later))
        assert (
            asyncio.run(
                client.effect("mail.send", grant="mail", used=lambda _: {"mails": 1})(
                    functools.partial(_ok)
                )()
            )
            == 7
        )


async def _ok():
    return 7


def test_a_stream_can_be_sent_to_and_thrown_into():
    with world() as kernel, client_of(kernel) as (client, _):

        @client.effect("mail.send", grant="mail")
        def stream():
            heard = []
            while len(heard) < 3:
                try:
                    heard.append((yield len(heard)))
                except KeyError:
                    heard.append("thrown")
            return heard

        items = stream()
        assert (next(items), items.send("a"), items.throw(KeyError())) == (0, 1, 2)
        with pytest.raises(StopIteration) as done:
            items.send("b")
        assert done.value.value == ["a", "thrown", "b"]

        @client.effect("mail.send", grant="mail")
        async def async_stream():
            heard = yield 0
            try:
                yield heard
            except KeyError:
                yield "thrown"

        async def read():
            items = async_stream()
            return (
                await anext(items),
                await items.asend("a"),
                await items.athrow(KeyError()),
                [x async for x in items],
            )

        assert asyncio.run(read()) == (0, "a", "thrown", [])
        assert len(kernel.state.reservations) == 0
        with pytest.raises(InvalidInput, match="a stream says what it used"):
            client.effect("mail.send", grant="mail", used=len)(stream)


def test_a_stream_that_nobody_reads_asks_for_nothing():
    with world() as kernel, client_of(kernel) as (client, link):

        @client.effect("mail.send", grant="mail")
        def stream():
            yield 1

        stream().close()
        assert link.asked == []


# --- what was used ----------------------------------------------------------------------------------------


class Broken:
    """An answer of a provider that breaks when it is looked at."""

    def model_dump(self):
        raise RuntimeError

    def keys(self):
        raise RuntimeError


def test_usage_is_merged_and_an_answer_is_taken_whole():
    with world() as kernel, client_of(kernel) as (client, _):
        with client.effect("mail.send", {}, grant="mail") as call:
            call.used({"mails": 1})
            call.used({"mails": 2, "note": (1, 2)}, cost_cents=5)
            assert (call.payload, call.cost_cents) == ({"mails": 2, "note": [1, 2]}, 5)
        assert call.settlement.usage == {"mails": 2}
        with client.effect("mail.send", {}, grant="mail") as call:
            answer = Model()
            assert call.result(answer) is answer
            assert call.payload["at"] == "2026-03-01"
            call.payload = {"mails": 3}
        assert call.settlement.usage == {"mails": 3}
        for nothing in (Broken(), 5, None, [1]):
            with client.effect("mail.send", {}, grant="mail") as call:
                assert call.result(nothing) is nothing
            assert (call.payload, call.ending, call.settlement.usage) == (None, "returned", {"mails": 1})


@pytest.mark.parametrize(
    "say",
    [
        lambda call: call.used(Broken()),
        lambda call: call.used([1]),
        lambda call: call.used({}, cost_cents=-1),
        lambda call: setattr(call, "cost_cents", 1.5),
        lambda call: setattr(call, "cost_cents", True),
        lambda call: setattr(call, "pays_to", "\n"),
        lambda call: setattr(call, "payload", {"a": object()}),
    ],
)
def test_a_misreport_is_never_cheaper_than_the_truth_and_can_be_mended(say):
    with world() as kernel, client_of(kernel) as (client, _):
        with pytest.raises(InvalidInput), client.effect("mail.send", {}, grant="mail") as call:
            say(call)
        assert (call.ending, len(kernel.state.reservations)) == ("misreported", 1)
        with client.effect("mail.send", {}, grant="mail") as call:
            with pytest.raises(InvalidInput):
                say(call)
            call.used({"mails": 1}, cost_cents=0)
            call.pays_to = None
        assert (call.ending, call.settlement.status) == ("returned", "settled")


def test_a_host_whose_reading_of_the_usage_fails_has_misreported():
    with world() as kernel, client_of(kernel) as (client, _):

        @client.effect("mail.send", grant="mail", used=lambda answer: answer["no such"])
        def send() -> dict[str, int]:
            return {}

        with pytest.raises(KeyError):
            send()
        assert [hold["phase"] for _, hold in kernel.state.reservations.items()] == ["unknown"]


# --- labels, and which client -----------------------------------------------------------------------------


def test_labels_are_merged_and_the_nearest_counts():
    with world() as kernel, client_of(kernel, labels={"team": "a", "run": "0"}) as (client, _):

        def recorded(**named):
            with client.effect("mail.send", {}, grant="mail", labels=named) as call:
                call.used({"mails": 1})
            return kernel.outcome(call.intent_hash).labels

        with labels(run="7", user="ann"):
            with labels(user="bob"):
                assert recorded(step="1") == {"run": "7", "step": "1", "team": "a", "user": "bob"}
            assert recorded(team="b") == {"run": "7", "team": "b", "user": "ann"}
        assert recorded() == {"run": "0", "team": "a"}


def test_labels_of_one_task_are_not_those_of_another():
    async def drive():
        with world() as kernel:
            async with connect(kernel, principal="agent") as client:

                async def act(number):
                    with labels(run=str(number)):
                        await asyncio.sleep(0)
                        async with client.effect("mail.send", {}, grant="mail") as call:
                            await asyncio.sleep(0)
                            call.used({"mails": 1})
                    return kernel.outcome(call.intent_hash).labels

                return await asyncio.gather(*map(act, range(10)))

    assert asyncio.run(drive()) == [{"run": str(number)} for number in range(10)]


@effect("mail.send", grant="mail", used=lambda _: {"mails": 1})
def of_a_module(to: str) -> str:
    return to


@effect("mail.send", grant="mail", used=lambda _: {"mails": 1})
async def later_of_a_module(to: str) -> str:
    return to


def test_an_effect_of_a_module_is_one_of_whichever_client_is_current():
    with pytest.raises(NoClient, match="open one"):
        of_a_module("ann")
    with world() as kernel, world() as other:
        with connect(kernel, principal="agent"):
            assert of_a_module("ann") == "ann"
            with connect(other, principal="agent"):
                assert asyncio.run(later_of_a_module("ann")) == "ann"
            of_a_module("ann")
        spent = [each.state.counters["mail"]["mails"]["spent"] for each in (kernel, other)]
    assert spent == [2, 1]
    with pytest.raises(NoClient):
        of_a_module("ann")


def test_a_thread_that_sees_no_client_takes_the_only_one_and_of_two_none():
    with world() as kernel, ThreadPoolExecutor(1) as pool, connect(kernel, principal="agent"):
        assert pool.submit(of_a_module, "ann").result() == "ann"
        with connect(kernel, principal="agent"), pytest.raises(NoClient, match="2 are open"):
            pool.submit(of_a_module, "ann").result()


def test_errors_of_a_client_go_through_a_queue_of_processes():
    with world() as kernel, client_of(kernel) as (client, _):
        effect = client.effect("mail.send", {}, grant="asked", key="k")
        with pytest.raises(Waiting) as waiting, effect:
            pass
    failed = SettleFailed(Receipt(bytes(32), "ok"), "gone", True, 7)
    for error in (waiting.value, failed):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.intent_hash) == (type(error), str(error), error.intent_hash)
