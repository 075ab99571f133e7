"""One world under both faces: threads and tasks at once, one writer, one winner for each key."""

import asyncio
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import splittally
import splittally.aio
from splittally import KernelStopped, NoWorld
from splittally.client import AlreadyDone, AsyncClient, Client, NotYours, Unreachable, connect
from splittally.core.errors import InvalidInput

from tests.client.worlds import manifest, world

MANY = 12


def test_threads_and_tasks_over_one_world_spend_what_there_is_and_no_more():
    with world(limit=30) as kernel, connect(kernel, principal="agent") as client:
        done = Counter()

        def in_thread(number):
            try:
                with client.effect("mail.send", {"n": number}, grant="mail") as call:
                    call.used({"mails": 1})
                done["acted"] += 1
            except splittally.Refused:
                done["refused"] += 1

        async def in_task(number):
            try:
                async with client.effect("mail.send", {"t": number}, grant="mail") as call:
                    call.used({"mails": 1})
                done["acted"] += 1
            except splittally.Refused:
                done["refused"] += 1

        async def tasks():
            await asyncio.gather(*map(in_task, range(25)))

        with ThreadPoolExecutor(8) as pool:
            looped = pool.submit(asyncio.run, tasks())
            list(pool.map(in_thread, range(25)))
            looped.result()
        assert done == {"acted": 30, "refused": 20}
        assert dict(kernel.state.counters["mail"]["mails"]) == {"limit": 30, "reserved": 0, "spent": 30}


def test_of_many_who_do_one_thing_at_once_one_does_it():
    with world() as kernel, connect(kernel, principal="agent") as client:
        ran, heard = [], Counter()
        barrier = threading.Barrier(MANY)

        @client.effect("mail.send", grant="mail", key="refund:{payment}", used=lambda _: {"mails": 1})
        def refund(payment: str) -> None:
            ran.append(payment)

        def race(_):
            barrier.wait()
            try:
                refund("p-7")
            except (AlreadyDone, NotYours) as error:
                heard[type(error).__name__] += 1

        with ThreadPoolExecutor(MANY) as pool:
            list(pool.map(race, range(MANY)))
        assert ran == ["p-7"]
        assert sum(heard.values()) == MANY - 1


def test_of_many_tasks_that_do_one_thing_at_once_one_does_it_also_after_an_approval():
    async def drive():
        with world() as kernel:
            async with connect(kernel, principal="agent", approval_timeout_s=20) as client:
                ran = []

                @client.effect(
                    "mail.send", grant="asked", key="refund:{payment}", used=lambda _: {"mails": 1}
                )
                async def refund(payment: str) -> None:
                    ran.append(payment)

                tasks = [asyncio.ensure_future(refund("p-7")) for _ in range(MANY)]
                while not (waiting := list(kernel.state.reservations(phase="approval"))):
                    await asyncio.sleep(0.005)
                assert ran == []
                assert (await asyncio.to_thread(kernel.approve, waiting[0])).allowed
                heard = await asyncio.gather(*tasks, return_exceptions=True)
                assert ran == ["p-7"]
                assert sum(isinstance(each, AlreadyDone | NotYours) for each in heard) == MANY - 1

    asyncio.run(drive())


def test_either_face_gives_the_other_over_the_same_world():
    async def drive():
        with world() as kernel:
            async with connect(kernel, principal="agent") as client:
                assert type(client) is AsyncClient
                assert type(client.sync) is Client
                assert type(client.sync.aio) is AsyncClient
                with client.sync.effect("mail.send", {}, grant="mail", key="k") as call:
                    call.used({"mails": 1})
                assert (await client.outcome(call.intent_hash))["status"] == "settled"
                assert client.sync.outcome(call.intent_hash.hex())["status"] == "settled"
                return client.principal

    assert asyncio.run(drive()) == "agent"


def test_a_kernel_of_asyncio_is_shared_with_who_has_it():
    async def drive():
        async with splittally.aio.open(None, clock="given") as kernel:
            assert (await kernel.apply(manifest())).allowed
            async with connect(kernel, principal="agent") as client:

                async def act(number):
                    async with client.effect("mail.send", {"n": number}, grant="mail") as call:
                        call.used({"mails": 1})

                await asyncio.gather(*map(act, range(20)))
                with client.sync.effect("mail.send", {}, grant="mail") as call:
                    call.used({"mails": 1})
            assert (await kernel.tick()) == 0  # it is left open
            return kernel.state.counters["mail"]["mails"]["spent"]

    assert asyncio.run(drive()) == 21


# --- ways ---------------------------------------------------------------------------------------------


def test_a_folder_is_opened_and_closed_with_the_client(tmp_path):
    with splittally.open(tmp_path / "w") as kernel:
        kernel.apply(manifest())
    for _ in range(2):  # it is free again after the first
        with (
            connect(tmp_path / "w", principal="agent") as client,
            client.effect("mail.send", {}, grant="mail") as call,
        ):
            call.used({"mails": 1})

    async def drive():
        connecting = connect(str(tmp_path / "w"), principal="agent")
        async with connecting as client, client.effect("mail.send", {}, grant="mail") as call:
            call.used({"mails": 1})

    asyncio.run(drive())
    with splittally.open(tmp_path / "w") as kernel:
        assert kernel.state.counters["mail"]["mails"]["spent"] == 3


def test_a_kernel_that_was_handed_over_stays_open_and_a_client_that_was_opened_is_closed():
    with world() as kernel:
        client = connect(kernel, principal="agent").open()
        with client.effect("mail.send", {}, grant="mail") as call:
            call.used({"mails": 1})
        client.close()
        client.close()
        assert kernel.tick() == 0

        async def drive():
            again = await connect(kernel, principal="agent")
            async with again.effect("mail.send", {}, grant="mail") as call:
                call.used({"mails": 1})
            await again.close()
            with pytest.raises(KernelStopped):
                await again.outcome(call.intent_hash)

        asyncio.run(drive())
        assert kernel.state.counters["mail"]["mails"]["spent"] == 2


def test_where_no_kernel_is_nothing_is_made(tmp_path):
    with pytest.raises(NoWorld), connect(tmp_path / "mispelt"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["unix:/run/tally.sock", "http://localhost:1", "https://localhost:1"])
def test_a_service_is_unreachable_in_words(address):
    with pytest.raises(Unreachable, match=re.escape(address)), connect(address, token="t"):
        pass


@pytest.mark.parametrize(
    "wrong", [{"target": 5}, {"target": None}, {"token": "t"}, {"principal": "no such\n"}, {"adapter_id": ""},
              {"labels": {"": "x"}}, {"labels": {"run": 7}}],
    ids=repr,
)  # fmt: skip
def test_what_is_no_way_to_connect_is_a_typed_error(wrong):
    with world() as kernel, pytest.raises(InvalidInput), connect(**{"target": kernel} | wrong):
        pass


def test_a_connection_and_a_context_are_entered_once():
    with world() as kernel:
        connecting = connect(kernel)
        with connecting, pytest.raises(InvalidInput, match="once"), connecting:
            pass
        with connect(kernel, principal="agent") as client:
            effect = client.effect("mail.send", {}, grant="mail")
            with effect as call:
                call.used({"mails": 1})
            with pytest.raises(InvalidInput, match="once"), effect:
                pass
            with pytest.raises(InvalidInput, match="before it is entered"):
                effect(print)
