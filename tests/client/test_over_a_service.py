"""A client over a service is one over a kernel of its own process: the same endings, nothing left behind."""

import asyncio
import json
import signal
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import splittally
from splittally.client import Refused, SettleFailed, Unreachable, connect, course
from splittally.client.endings import ACTED, ASKED, ROWS
from splittally.client.ways import to_service
from splittally.runtime.reader import open_reader
from splittally.wire.http_calls import HttpCalls

from tests.cli_tools import run
from tests.client import worlds
from tests.client.test_endings import EVERY, SCENES, VALUES
from tests.client.worlds import client_of, manifest, used, world
from tests.served.serving import Running, Served

LONG_S = 30.0


@contextmanager
def over_frames(kernel, folder):
    with Running(kernel, folder):
        yield to_service(f"unix:{folder}", "agent", None)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Every client of `client_of` asks a service of its kernel."""
    monkeypatch.setattr(course, "AGAIN_AFTER_S", (0.0,))
    monkeypatch.setattr(worlds, "ways", [lambda kernel: over_frames(kernel, tmp_path)])


@pytest.mark.parametrize(("row", "form"), EVERY)
def test_every_row_of_the_table_holds_over_a_service(served, row, form):
    got = SCENES[row](form)
    assert (got.error is None) == (row in VALUES)
    if ROWS[row].when == ASKED:
        assert got.call is None
    elif ROWS[row].when == ACTED:
        assert got.call.ending == row


def test_a_task_that_is_cancelled_anywhere_leaves_no_hold_that_nobody_knows(served):
    """After each number of steps: nothing is held, or the body began, which nobody can call off."""

    async def act(client, began):
        async with client.aio.effect("mail.send", {}, grant="mail") as call:
            began.append(call)
            await asyncio.sleep(0.01)
            call.used({"mails": 1})

    async def drive(client):
        began = []
        for steps in range(40):
            task = asyncio.create_task(act(client, began))
            for _ in range(steps):
                await asyncio.sleep(0 if steps % 2 else 0.0005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await client.aio.close()
        return began

    with world() as kernel, client_of(kernel) as (client, _):
        began = asyncio.run(drive(client))
        held = kernel.state.reservations
        assert {row.phase for row in held.values()} <= {"unknown"}
        assert {call.intent_hash for call in began} >= set(held)


def test_threads_and_tasks_ask_one_service_at_once(served):
    async def tasks(client):
        async def one(number):
            async with client.aio.effect("mail.send", {"n": number}, grant="mail") as call:
                call.used({"mails": 1})

        answers = await asyncio.gather(*(one(n) for n in range(60)), return_exceptions=True)
        return sum(isinstance(answer, Refused) for answer in answers)

    def threads(client, refused):
        for _ in range(15):
            got = worlds.act("with", client, used(1))
            refused.append(isinstance(got.error, Refused))

    with world() as kernel, client_of(kernel) as (client, _):
        refused: list[bool] = []
        every = [threading.Thread(target=threads, args=(client, refused)) for _ in range(4)]
        for each in every:
            each.start()
        late = asyncio.run(tasks(client))
        for each in every:
            each.join(LONG_S)
        assert sum(refused) + late == 20  # 120 ask for 100
        assert kernel.state.counters["mail"]["mails"]["spent"] == 100


@pytest.mark.parametrize("way", ["folder", "unix", "http"])
def test_one_line_connects_to_a_world_however_it_is_served(tmp_path, way):
    folder = tmp_path / "w"
    with splittally.open(folder) as kernel:
        assert kernel.apply(manifest()).allowed
        secret = kernel.issue_token("laptop", "agent").secret
    with Served(folder) as service:
        target, said = {
            "folder": (folder, {"principal": "agent"}),
            "unix": (f"unix:{folder}", {"token": secret}),
            "http": (http_of(service), {"token": secret}),
        }[way]
        with connect(target, **said) as client:
            assert worlds.act("with", client, used(1)).value == "value"
            assert worlds.act("coroutine", client, used(1)).value == "value"
            waiting = worlds.act("with", client, grant="asked", approval_timeout_s=0)
            digest = waiting.error.decision.intent_hash
            threading.Timer(0.2, lambda: run("-w", folder, "approve", digest.hex())).start()
            assert client.wait(digest, LONG_S)["phase"] == "open"
            assert client.outcome(bytes(32)) is None
    with open_reader(folder) as reader:
        assert reader.state.counters["mail"]["mails"]["spent"] == 2


def test_who_is_not_known_is_told_and_who_is_not_there_is_unreachable(tmp_path):
    folder = tmp_path / "w"
    with splittally.open(folder) as kernel:
        assert kernel.apply(manifest()).allowed
    with Served(folder) as service:
        address = http_of(service)
        for target in (address, f"unix:{folder}"):
            with pytest.raises(splittally.SplittallyError, match="token"):
                connect(target, token="tally_" + "x" * 43).open()
    for target in (address, f"unix:{folder}"):
        with pytest.raises(Unreachable):
            connect(target, token="t").open()


def test_a_connection_that_was_ended_while_idle_is_made_anew():
    """As a proxy or a service ends one that nobody used for a while."""
    asked, body = [], json.dumps({"principal": "agent"}).encode()
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    missing = json.dumps({"status": 404, "code": "not_found", "detail": "none"}).encode()

    def serve(listening):
        for status, said in ((b"200 OK", body), (b"404 Not Found", missing)):
            with listening.accept()[0] as connection:
                asked.append(connection.recv(1 << 16).split(b" ")[:2])
                connection.sendall(head % (status, len(said)) + said)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=(listening,))
        server.start()
        calls = HttpCalls(f"http://127.0.0.1:{listening.getsockname()[1]}")
        try:
            assert calls.principal == "agent"
            time.sleep(0.2)  # the end of the first connection arrives
            assert calls.outcome(bytes(32)) is None
        finally:
            calls.close()
            server.join(LONG_S)
    assert [path for _, path in asked] == [b"/v1/me", b"/v1/intents/" + b"00" * 32]


def test_a_service_that_ends_in_the_middle_costs_no_receipt(tmp_path):
    """It is told with the next call, once somebody serves the world again."""
    folder = tmp_path / "w"
    with splittally.open(folder) as kernel:
        assert kernel.apply(manifest()).allowed
    first = Served(folder)
    with connect(f"unix:{folder}", principal="agent") as client:
        killed = worlds.act("with", client, lambda call: first.end(signal.SIGKILL) and used(1)(call))
        assert isinstance(killed.error, SettleFailed)
        assert client.unsettled
        with Served(folder):
            assert worlds.act("with", client, used(1)).value == "value"
            assert client.unsettled == ()
            client.close()
    with open_reader(folder) as reader:
        assert reader.state.counters["mail"]["mails"]["spent"] == 2


def http_of(service):
    return f"http://127.0.0.1:{service.port}"
