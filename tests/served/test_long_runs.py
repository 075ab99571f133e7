"""Under load, beside hostile clients and through kills: budgets are exact, and nothing answered is lost."""

import http.client
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest
import splittally
from splittally.core.events import Decided, Held
from splittally.core.types import ALLOW
from splittally.runtime.served import SOCKET

from tests.served.serving import MANIFEST, Clients, Served, asking, frames_of, intent, make_world, receipt
from tests.served.test_hostile import HELLO, POST, framed, said

SECONDS = float(os.environ.get("SERVE_SOAK_SECONDS", "60"))
GONE = (OSError, EOFError, ValueError, http.client.HTTPException)


def limited(tokens: int, **terms):
    own = {**MANIFEST["grants"]["own"], "budget": {"tokens": tokens}, **terms}
    return {**MANIFEST, "grants": {"own": own}}


# --- many clients, one of them hostile ---------------------------------------------------------


def hostile(served, is_over, chance):
    """One thing after the other that only somebody does who wants harm."""
    streams = [
        POST + b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 20,
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000,
        framed(0, said(HELLO)) + framed(1, b"{") * 100_000,
        framed(0, said(HELLO)) + framed(1, said({"call": "journal", "limit": 1_000})) * 5_000,
        framed(0, said(HELLO)) + framed(1, b"[" + b"{}," * 1_000_000 + b"1]"),
        b"POST /v1/run HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n" + b"{\n" * 2_000_000,
        bytes(chance.randbytes(100_000)),
    ]
    while not is_over.is_set():
        with suppress(*GONE), served.opened(0.5, over_tcp=chance.random() < 0.2) as connection:
            connection.sendall(chance.choice(streams))
            time.sleep(chance.random() / 5)


def working(served, is_over, seed, waits, used, over_frames):
    """Ask, and report what was used, again and again."""
    chance, frames = random.Random(seed), served.frames("cbor") if over_frames else None
    connection = None if over_frames else served.connection()

    def ask(document, path):
        begun = time.monotonic()
        told = frames.ask(document) if frames else asking(connection, "POST", path, document).json
        waits.append(time.monotonic() - begun)
        return told

    while not is_over.is_set():
        decision = ask(intent(tokens=10), "/v1/intents")
        if decision["allowed"]:
            told = ask(receipt(decision["intent_hash"]), "/v1/receipts")
            assert told["status"] == "settled"
            used.append(told["usage"]["tokens"])
        time.sleep(chance.random() / 5)


def hold_together(folder, seconds, clients):
    limit = 3 * clients * 4
    with Served(make_world(folder / "world", limited(limit))) as served:
        is_over, waits, used, failed = threading.Event(), [], [], []

        def guarded(work, *args):
            try:
                work(*args)
            except Exception as error:
                failed.append(error)

        threads = [
            threading.Thread(target=guarded, args=(working, served, is_over, seed, waits, used, seed % 2))
            for seed in range(clients)
        ]
        threads.append(
            threading.Thread(target=guarded, args=(hostile, served, is_over, random.Random(clients)))
        )
        for each in threads:
            each.start()
        time.sleep(seconds)
        is_over.set()
        for each in threads:
            each.join(60)
        assert not failed, failed[:3]
        counter = served.ask("GET", "/v1/counters/own").json["tokens"]
        assert (counter["reserved"], counter["spent"]) == (0, sum(used))
        assert counter["spent"] <= limit
        waits.sort()
        assert waits[len(waits) // 2] < 0.5, waits[-5:]
        assert waits[int(len(waits) * 0.99)] < 3, waits[-5:]
        assert served.rss_bytes < 600 << 20
        assert served.stderr == ""
        assert served.end() == 0


def test_beside_a_hostile_client_a_budget_is_exact_and_others_are_answered_in_time(folder):
    hold_together(folder, 2, 20)


@pytest.mark.soak
def test_beside_a_hostile_client_two_hundred_others_are_answered_in_time(folder):
    hold_together(folder, SECONDS, 200)


# --- kills -------------------------------------------------------------------------------------


class Host:
    """A client that asks again until it has its answer, with the same key and attempt."""

    def __init__(self, world, seed, shared):
        self.chance, self.shared = random.Random(seed), shared
        self.seed = seed
        self._clients = Clients(world / SOCKET)
        self.asked, self.allowed, self.started, self.settled = {}, [], [], {}

    def until_answered(self, method, path, document):
        while True:
            with suppress(*GONE):
                told = self._clients.ask(method, path, document)
                if told.status == 200:
                    return told.json
            self._clients.hang_up()
            time.sleep(0.03)

    def run(self, is_over):
        number = 0
        while not is_over.is_set():
            number += 1
            attempt = self.chance.randbytes(16).hex()
            key = f"{self.seed // 2 if self.shared else self.seed}.{number}"
            decision = self.until_answered("POST", "/v1/intents", intent(key=key, attempt=attempt))
            digest = decision["intent_hash"]
            self.asked[key] = digest
            if not decision["allowed"]:
                continue
            self.allowed.append(key)
            path = f"/v1/intents/{digest}/dispatch"
            if self.until_answered("POST", path, {"attempt": attempt})["status"] != "dispatched":
                continue
            self.started.append(key)
            if self.chance.random() < 0.8:
                told = self.until_answered("POST", "/v1/receipts", receipt(digest))
                assert told["status"] in ("settled", "duplicate"), told
                self.settled[key] = digest


def survive_kills(folder, seconds, limit):
    world = make_world(folder / "world", limited(limit, dispatch=True))
    now = [Served(world)]
    is_over, hosts = threading.Event(), [Host(world, seed, True) for seed in range(4)]
    failed = []

    def guarded(host):
        try:
            host.run(is_over)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(host,)) for host in hosts]
    for each in threads:
        each.start()
    chance, end, kills = random.Random(limit), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        time.sleep(0.2 + chance.random() / 2)
        now[0].end(signal.SIGKILL)
        assert now[0].stderr == ""
        kills += 1
        now[0] = Served(world)
    time.sleep(0.3)
    is_over.set()
    for each in threads:
        each.join(60)
    assert not failed, failed[:3]
    with now[0] as served:
        for host in hosts:
            for key, digest in host.asked.items():
                row = served.ask("GET", f"/v1/intents/{digest}").json
                assert row["outcome"] == ("allow" if key in host.allowed else row["outcome"])
                assert key not in host.settled or row["status"] == "settled"
                assert key not in host.started or row["status"] == "settled" or row["phase"] == "running"
        counter = served.ask("GET", "/v1/counters/own").json["tokens"]
    started = Counter(key for host in hosts for key in host.started)
    assert max(started.values()) == 1
    assert kills >= 2
    frames = frames_of(world)
    decided = Counter(
        event.intent_hash for frame in frames for event in frame.body.out
        if isinstance(event, Decided) and event.outcome == ALLOW
    )  # fmt: skip
    held = Counter(
        event.intent_hash for frame in frames for event in frame.body.out if isinstance(event, Held)
    )
    assert max(decided.values()) == max(held.values()) == 1
    assert counter["spent"] + counter["reserved"] <= limit
    with splittally.open(world) as kernel:
        assert kernel.state.counter("own", "tokens").spent == counter["spent"]


def test_what_was_answered_outlives_kills_and_nothing_happens_twice(folder):
    survive_kills(folder, 3, 5_000)


@pytest.mark.soak
def test_the_same_for_long(folder):
    survive_kills(folder, SECONDS, 20_000)
