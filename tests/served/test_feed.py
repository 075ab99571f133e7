"""The frames as they come: none lost and none twice, whoever reconnects, writes or does not listen."""

import json
import random
import socket
import threading
import time
from contextlib import ExitStack

import pytest
from splittally.host.service.feed import cursor

from tests.served.serving import asking, intent, receipt, until


class Follower:
    """A client of server-sent events that goes on where it was."""

    def __init__(self, served, seen=-1, principal=None, by_header=False):
        headers = [f"splittally-principal: {principal}"] if principal else []
        headers += [f"last-event-id: {seen}"] if by_header else []
        path = "/v1/events" if by_header else f"/v1/events?after={seen}"
        self._opened = served.opened()
        self._socket = self._opened.__enter__()
        self._socket.sendall("\r\n".join([f"GET {path} HTTP/1.1", "host: x", *headers, "", ""]).encode())
        self._rest = b""
        self.head = b""

    def take(self, seconds=0.3):
        """The events that come in this time, as (id, event, data)."""
        self._socket.settimeout(0.05)
        end, found = time.monotonic() + seconds, []
        while time.monotonic() < end:
            try:
                more = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            if not more:
                break
            self._rest += more
            if not self.head and b"\r\n\r\n" in self._rest:
                self.head, _, self._rest = self._rest.partition(b"\r\n\r\n")
            *whole, self._rest = self._rest.split(b"\n\n")
            found += [each for each in map(_event, whole) if each is not None]
        return found

    def close(self):
        self._opened.__exit__(None, None, None)


def _event(text):
    fields = {}
    for line in text.replace(b"\r", b"").split(b"\n"):
        name, _, value = line.partition(b": ")
        if name in (b"id", b"event", b"data"):
            fields[name.decode()] = value.decode()
    return (int(fields["id"]), fields["event"], json.loads(fields["data"])) if len(fields) == 3 else None


@pytest.fixture(scope="module")
def writing(served):
    """Two clients that write all the while."""
    is_over = threading.Event()

    def write(seed):
        chance, connection, open_hashes = random.Random(seed), served.connection(), []
        principal = ("alice", "bob")[seed % 2]
        named = {"splittally-principal": principal}
        while not is_over.is_set():
            if open_hashes and chance.random() < 0.5:
                asking(connection, "POST", "/v1/receipts", receipt(open_hashes.pop()), named)
            else:
                told = asking(connection, "POST", "/v1/intents", intent(f"{principal}/llm", tokens=1), named)
                open_hashes.append(told.json["intent_hash"])
            time.sleep(chance.random() / 100)
        connection.close()

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(2)]
    for each in threads:
        each.start()
    yield
    is_over.set()
    for each in threads:
        each.join(20)


@pytest.fixture(autouse=True)
def hung_up():
    """The writers' connections stay."""


@pytest.mark.parametrize("by_header", [False, True])
def test_no_frame_is_lost_or_doubled_over_reconnections_while_others_write(served, writing, by_header):
    chance, seen, ids = random.Random(by_header), -1, []
    for _ in range(12):
        follower = Follower(served, seen, by_header=by_header)
        ids += [number for number, _, _ in follower.take(chance.random() / 3)]
        seen = ids[-1] if ids else -1
        follower.close()
    assert ids == list(range(len(ids)))
    assert len(ids) > 20


def test_a_principal_follows_its_own_frames_and_their_cursor(served, writing):
    follower = Follower(served, principal="alice")
    told = follower.take(1)
    follower.close()
    assert len(told) > 5
    assert all(data["data"]["by"] in ("alice", "kernel") for _, _, data in told)
    again = Follower(served, told[4][0], principal="alice")
    assert again.take(0.5)[: len(told) - 5] == told[5:]
    again.close()


def test_an_event_is_one_of_cloud_events(served, writing):
    world = served.frames().greeting["world"]
    follower = Follower(served)
    told = follower.take(0.5)
    follower.close()
    assert b"content-type: text/event-stream" in follower.head
    for number, kind, data in told:
        assert data["specversion"] == "1.0"
        assert (data["id"], data["type"], data["source"]) == (str(number), kind, f"/worlds/{world}")
        assert data["datacontenttype"] == "application/json"
        assert data["time"].endswith("+00:00")
        assert data["data"]["seq"] == number
        assert data.get("subject", "0" * 64).isalnum()
    kinds = {kind for _, kind, _ in told}
    assert {"splittally.open", "splittally.submit", "splittally.settle"} <= kinds
    page = served.ask("GET", "/v1/journal?limit=5").json
    assert [x["data"] for _, _, x in told[:5]] == page["items"]


def test_a_follower_that_never_reads_holds_nobody_back(served, writing):
    with ExitStack() as stack:
        for _ in range(40):
            connection = stack.enter_context(served.opened())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
            connection.sendall(b"GET /v1/events?after=-1 HTTP/1.1\r\nhost: x\r\n\r\n")
        size = served.ask("GET", "/health").json["seq"]
        follower = Follower(served, size)
        until(lambda: served.ask("GET", "/health").json["seq"] > size + 20)
        ids = [number for number, _, _ in follower.take(2)]
        follower.close()
        assert len(ids) > 20
        assert ids == list(range(size + 1, size + 1 + len(ids)))


def test_a_cursor_of_a_newer_journal_is_refused_and_one_that_is_none_is_not_guessed(served):
    told = served.ask("GET", "/v1/events?after=999999999")
    assert (told.status, told.json["code"]) == (409, "journal_older")
    for after in ("x", "--1", "1.5", "", "9" * 30, "%00"):
        told = served.ask("GET", f"/v1/events?after={after}", last_event_id=after) if after else None
        assert told is None or told.status == 400


def test_a_feed_may_begin_so_many_frames_before_the_end(served):
    size = served.ask("GET", "/health").json["seq"] + 1
    follower = Follower(served, -4)
    ids = [number for number, _, _ in follower.take(0.5)]
    follower.close()
    assert ids[0] >= size - 4
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_a_cursor_far_before_the_beginning_is_the_beginning(served):
    class Journal:
        head = type("Head", (), {"size": 9})

    assert [cursor(Journal, str(n)) for n in (-1, 0, 8, -2, -10, -99)] == [-1, 0, 8, 6, -1, -1]
