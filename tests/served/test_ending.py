"""How a service ends, and starts again: nothing that was answered is lost, and no older copy is served."""

import json
import os
import shutil
import signal
import socket
import threading
import time
from functools import partial

import pytest
import splittally
from splittally.core.errors import DiskFull, JournalOlder, KernelStopped, NoWorld, WorldLocked
from splittally.core.events import Held
from splittally.host.service import head, listening

from tests.cli_tools import process
from tests.served.serving import (
    MANIFEST,
    Clients,
    Running,
    Served,
    asking,
    frames_of,
    intent,
    make_world,
    receipt,
    until,
)


def held_in(frame):
    """The intents that a frame holds for."""
    return {event.intent_hash.hex() for event in frame.body.out if isinstance(event, Held)}


def acknowledged(served, count, found):
    """Clients that ask as fast as they can until the service is gone; what each was answered."""

    def over_http(at):
        connection = served.connection()
        try:
            while True:
                found[at].append(asking(connection, "POST", "/v1/intents", intent(tokens=1)).json)
        except (OSError, EOFError, ValueError, json.JSONDecodeError):
            connection.close()
        except Exception as error:  # http.client names it otherwise
            found[at].append({"ended": type(error).__name__})
            connection.close()

    def over_frames(at):
        try:
            client = served.frames((at % 4 == 1 and "cbor") or "json")
            client.socket.sendall(b"".join(client.packed(n, intent(tokens=1)) for n in range(20)))
            number = 20
            while True:
                found[at].append(client.take()[1])
                client.send(number, intent(tokens=1))
                number += 1
        except (OSError, EOFError):
            client.close()

    threads = [
        threading.Thread(target=over_frames if at % 2 else over_http, args=(at,)) for at in range(count)
    ]
    for each in threads:
        each.start()
    return threads


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGTERM] * 2, [signal.SIGINT]])
def test_a_service_that_is_told_to_end_under_load_loses_nothing_it_answered(folder, signals):
    world = make_world(folder / "world")
    served = Served(world)
    found = [[] for _ in range(8)]
    threads = acknowledged(served, 8, found)
    until(lambda: all(len(each) > 5 for each in found))
    for each in signals[:-1]:
        served.process.send_signal(each)
    code = served.end(signals[-1])
    for each in threads:
        each.join(20)
        assert not each.is_alive()
    served.hang_up()
    assert code == 0
    assert served.stderr == ""
    assert not served.path.exists()
    answered = [x for each in found for x in each if x.get("seq") is not None]
    recorded = {frame.seq: frame for frame in frames_of(world)}
    assert all(x["allowed"] for x in answered)
    for each in answered:
        decided = {
            event.intent_hash.hex()
            for event in recorded[each["seq"]].body.out
            if hasattr(event, "intent_hash")
        }
        assert each["intent_hash"] in decided
    told = {each["intent_hash"] for each in answered}
    with splittally.open(world) as kernel:
        still = {digest.hex() for digest in kernel.state.reservations}
    assert told <= still


def test_it_starts_again_at_once_and_the_new_one_is_reached(folder):
    """The next one waits for the lock while the first ends; it must find its own socket afterwards."""
    world = make_world(folder / "world")
    for _ in range(3):
        first = Served(world)
        first.ask("POST", "/v1/intents", intent())
        first.process.send_signal(signal.SIGTERM)
        with Served(world) as second:
            assert first.end() == 0
            assert second.ask("GET", "/health").status == 200
            first.hang_up()


def test_followers_and_waits_do_not_hold_up_the_end(folder):
    with Served(make_world(folder / "world")) as served:
        hashed = served.ask("POST", "/v1/intents", intent()).json["intent_hash"]
        waits = f"/v1/intents/{hashed}/wait?ended=true&timeout_s=60"
        client = served.frames()
        client.send(5, {"call": "wait", "intent_hash": hashed, "ended": True, "timeout_s": 60})
        with served.opened() as follower, served.opened() as waiting, served.opened() as silent:
            follower.sendall(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
            waiting.sendall(f"GET {waits} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            silent.sendall(b"GET /v1")
            followed = b""
            while b"event: splittally.submit" not in followed:
                followed += follower.recv(1 << 16)
            time.sleep(0.2)
            begun = time.monotonic()
            assert served.end() == 0
            assert time.monotonic() - begun < 4
            assert b'"status":"reserved"' in waiting.recv(1 << 16)
            assert client.take()[1]["status"] == "reserved"


def test_who_takes_no_answers_does_not_hold_up_the_end_for_long(folder):
    with Served(make_world(folder / "world")) as served:
        for _ in range(300):
            served.frames().ask([intent(tokens=1)] * 3)
            served.hang_up()
        with served.opened(0.5) as stuck:
            many = b"GET /v1/journal?limit=1000 HTTP/1.1\r\nhost: x\r\n\r\n" * 40
            stuck.sendall(many)
            client = served.frames()
            client.socket.sendall(
                b"".join(client.packed(n, {"call": "journal", "limit": 1_000}) for n in range(99))
            )
            time.sleep(0.5)
            begun = time.monotonic()
            assert served.end() == 0
            assert time.monotonic() - begun < 12
        assert served.stderr == ""


def test_a_request_that_is_on_its_way_when_it_ends_is_answered(folder):
    """The head is there and half of the body: a service that ends does not wait for the rest for long."""
    with Served(make_world(folder / "world")) as served:
        client = served.frames()
        client.socket.sendall(b"".join(client.packed(n, intent(tokens=1)) for n in range(200)))
        served.process.send_signal(signal.SIGTERM)
        answered = []
        try:
            while True:
                answered.append(client.take()[1])
        except (EOFError, OSError):
            pass
        assert served.end() == 0
        held = set().union(*map(held_in, frames_of(served.folder)))
        assert {x["intent_hash"] for x in answered if x.get("allowed")} <= held


# --- the journal that is served ----------------------------------------------------------------


def served_for(world, requests):
    with Served(world) as served:
        for _ in range(requests):
            served.ask("POST", "/v1/intents", intent())


def test_a_world_says_how_far_it_was_served(folder):
    world = make_world(folder / "world")
    served_for(world, 3)
    said = json.loads((world / head.FILE).read_bytes())
    frames = frames_of(world)
    assert (said["size"], said["hash"]) == (len(frames), frames[-1].hash.hex())


@pytest.mark.parametrize("forked", [False, True])
def test_an_older_copy_of_a_journal_is_not_served_and_the_refusal_says_how_to_go_on(folder, forked):
    world = make_world(folder / "world")
    shutil.copytree(world, folder / "copy")
    served_for(world, 3)
    shutil.copy(world / head.FILE, folder / "copy" / head.FILE)
    if forked:  # as long, and with other frames
        with splittally.open(folder / "copy") as kernel:
            for _ in range(9):
                kernel.submit(splittally.Intent("llm.generate", intent()["params"], "own"))
    with pytest.raises(JournalOlder, match=r"removing `serve\.head`"):
        head.refuse_behind(folder / "copy")
    told = process("-w", folder / "copy", "serve", "--json")
    assert told.code in (1, 3)
    assert "serve.head" in told.out + told.err
    (folder / "copy" / head.FILE).unlink()
    served_for(folder / "copy", 1)


@pytest.mark.parametrize(
    "said",
    [
        *(b"", b"{", b"[]", b"\xff", b'{"size": -1, "hash": ""}', b'{"size": "1", "hash": "00"}'),
        *(b'{"size": true, "hash": "00"}', b'{"size": 1e400, "hash": "zz"}', b'{"size": 1.5, "hash": "00"}'),
    ],
)
def test_a_head_that_cannot_be_read_says_nothing(folder, said):
    world = make_world(folder / "world")
    (world / head.FILE).write_bytes(said)
    head.refuse_behind(world)


def test_a_journal_that_went_on_without_a_service_is_served(folder):
    world = make_world(folder / "world")
    served_for(world, 1)
    with splittally.open(world) as kernel:
        kernel.submit(splittally.Intent("llm.generate", intent()["params"], "own"))
    served_for(world, 1)


# --- starting ----------------------------------------------------------------------------------


def test_a_world_that_is_served_is_not_served_twice_and_the_first_goes_on(folder, monkeypatch):
    monkeypatch.setattr(listening, "open_world", partial(listening.open_world, lock_seconds=0.2))
    with Served(make_world(folder / "world")) as served:
        with pytest.raises(WorldLocked):
            listening.serve(served.folder)
        assert served.ask("GET", "/health").status == 200


def test_a_socket_that_a_killed_service_left_is_in_nobodys_way(folder):
    world = make_world(folder / "world")
    first = Served(world)
    first.ask("POST", "/v1/intents", intent())
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    first.hang_up()
    assert first.path.exists()
    with Served(world) as served:
        assert served.ask("GET", "/v1/reservations").json["items"]


def test_an_address_that_is_taken_is_said_and_leaves_no_socket_behind(folder):
    world = make_world(folder / "world")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = process("-w", world, "serve", "--http", f"127.0.0.1:{port}", "--json")
    assert told.code == 3
    assert f"127.0.0.1:{port}" in told.out + told.err
    assert not (world / "serve.sock").exists()


def test_a_long_path_is_served_as_a_short_one(folder):
    deep = folder / ("x" * 90) / ("y" * 90)
    deep.mkdir(parents=True)
    with Served(make_world(deep / "world")) as served:
        hashed = served.ask("POST", "/v1/intents", intent()).json["intent_hash"]
        assert served.ask("POST", "/v1/receipts", receipt(hashed)).json["status"] == "settled"


# --- while it runs -----------------------------------------------------------------------------


def test_how_far_a_world_is_served_is_written_while_it_is(folder, monkeypatch):
    monkeypatch.setattr(head, "HEAD_SECONDS", 0.05)
    kernel = splittally.open(folder / "world", clock="given")
    kernel.apply(MANIFEST)
    with Running(kernel, folder / "world") as clients:
        for _ in range(2):
            clients.ask("POST", "/v1/intents", intent())
            size = clients.ask("GET", "/health").json["seq"] + 1
            until(lambda size=size: json.loads((folder / "world" / head.FILE).read_bytes())["size"] == size)


def test_a_world_that_stopped_ends_its_service_so_that_the_next_goes_on(folder, monkeypatch):
    """Its state is ahead of its journal; opened again it is not."""
    world, served = make_world(folder / "world"), []

    def opened(path, **options):
        kernel = splittally.open(path, **options)
        served.append(kernel._world)
        return kernel

    def full(*_):
        raise DiskFull("the disk is full")

    answers = []

    def ask():
        until(lambda: (world / "serve.sock").exists())
        clients = Clients(world / "serve.sock")
        assert clients.ask("POST", "/v1/intents", intent()).status == 200
        monkeypatch.setattr(served[0].store, "append", full)
        answers.extend(clients.ask("POST", "/v1/intents", intent()) for _ in range(2))

    monkeypatch.setattr(listening, "open_world", opened)
    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(KernelStopped, match="serve the world again"):
        listening.serve(world)
    asking.join(20)
    assert [x.status for x in answers] == [507, 503]
    assert not (world / "serve.sock").exists()
    monkeypatch.undo()
    with splittally.open(world) as kernel:
        assert len(kernel.state.reservations) == 1


def test_signals_are_as_before_once_it_has_ended(folder):
    before = [signal.getsignal(each) for each in listening.SIGNALS]
    with pytest.raises(NoWorld):
        listening.serve(folder / "nothing")
    world = make_world(folder / "world")
    ended = threading.Thread(target=lambda: (until((world / "serve.sock").exists), time.sleep(0.3),
                                             os.kill(os.getpid(), signal.SIGTERM)))  # fmt: skip
    ended.start()
    listening.serve(world)
    ended.join(20)
    assert [signal.getsignal(each) for each in listening.SIGNALS] == before
