"""What waits: bounded and typed, receipts first, nothing held for who gave up, nobody delayed by a view."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally import Intent
from splittally.core.events import Released
from splittally.host.service.beside import EACH_MAX, Threads
from splittally.host.service.shares import Shares

from tests.served.serving import MANIFEST, Running, Served, asking, intent, lines, make_world, receipt, until

LIMITED = {**MANIFEST, "grants": {"own": {**MANIFEST["grants"]["own"], "budget": {"tokens": 100}}}}


@contextmanager
def running(folder, **options):
    kernel = splittally.open(None, clock="given")
    kernel.apply(LIMITED)
    first = kernel.submit(Intent("llm.generate", intent()["params"], "own"))  # which compiles its module
    kernel.release(first.intent_hash, "not_dispatched")
    with Running(kernel, folder, **options) as clients:
        yield kernel, clients


def bodies(kernel):
    return [record.body for record in kernel._records_after(1)]


@contextmanager
def kept_busy(kernel):
    """The writer cannot decide, as when the disk takes its time."""
    with kernel._lock:
        yield
    # and goes on


FACES = {
    "http": lambda c: c.ask("POST", "/v1/intents", intent()).json,
    "array": lambda c: c.ask("POST", "/v1/intents", [intent()] * 3).json,
    "lines": lambda c: json.loads(c.ask("POST", "/v1/run", lines([intent()] * 3)).body.splitlines()[-1]),
    "frame": lambda c: c.frames("cbor").ask(intent()),
    "frames": lambda c: c.frames().ask([intent()] * 3),
    "decide": lambda c: c.frames().ask({"call": "decide", "intent": intent()}),
}


@pytest.mark.parametrize("face", FACES)
def test_a_request_whose_deadline_passes_holds_nothing(folder, face):
    with running(folder, deadline_s=0.3) as (kernel, clients):
        with ThreadPoolExecutor(1) as pool:
            with kept_busy(kernel):
                told = pool.submit(FACES[face], clients).result(20)
            problem = told.get("problem", told)
            assert (problem["status"], problem["code"]) == (504, "deadline")
        assert clients.ask("POST", "/v1/intents", intent(tokens=100)).json["allowed"]
        held = [event for body in bodies(kernel) for event in body.out if type(event).__name__ == "Held"]
        released = [event for body in bodies(kernel) for event in body.out if isinstance(event, Released)]
        assert len(held) == len(released) + 1
        assert {event.cause for event in released} <= {"not_dispatched"}


@pytest.mark.parametrize("over", ["http", "frames"])
def test_a_client_that_goes_while_it_waits_holds_nothing(folder, over):
    with running(folder) as (kernel, clients):
        with kept_busy(kernel):
            if over == "frames":
                frames = clients.frames()
                frames.send(1, intent())
                time.sleep(0.2)
                frames.close()
            else:
                with clients.opened() as connection:
                    body = json.dumps(intent()).encode()
                    head = b"POST /v1/intents HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
                    connection.sendall(head % len(body) + body)
                    time.sleep(0.2)
            time.sleep(0.2)
        assert clients.ask("POST", "/v1/intents", intent(tokens=100)).json["allowed"]


def test_intents_that_find_the_queue_full_are_told_so_and_receipts_and_releases_never(folder):
    with running(folder, queue_max=1) as (kernel, clients):
        first, second = (clients.ask("POST", "/v1/intents", intent()).json["intent_hash"] for _ in range(2))
        with ThreadPoolExecutor(40) as pool:
            with kept_busy(kernel):
                one = [pool.submit(clients.ask, "POST", "/v1/intents", intent(key=f"k{n}")) for n in range(8)]
                many = [pool.submit(clients.frames().ask, [intent(key=f"m{n}")] * 2) for n in range(8)]
                time.sleep(0.3)
                settled = pool.submit(clients.ask, "POST", "/v1/receipts", receipt(first))
                freed = pool.submit(clients.ask, "POST", f"/v1/intents/{second}/release", {})
                time.sleep(0.3)
            told = [each.result(20) for each in one]
            busy = [each for each in told if each.status == 429]
            assert busy
            assert {x.status for x in told} <= {200, 429}
            assert all(x.json["code"] == "busy" and x.headers["retry-after"] for x in busy)
            answers = [answer for each in many for answer in each.result(20)]
            refused = [x for x in answers if x["findings"] and x["findings"][0]["code"] == "busy"]
            assert refused
            assert all(x["seq"] is None and not x["allowed"] for x in refused)
            assert settled.result(20).json["status"] == "settled"
            assert freed.result(20).json["status"] == "released"
        again = clients.ask("POST", "/v1/intents", intent(key="k0")).json
        assert again["seq"] is not None


def test_of_what_comes_in_one_piece_receipts_and_releases_go_first(folder):
    """They make room for the intents beside them, whatever stands first; so do they beside groups."""
    with running(folder) as (_, clients):
        frames = clients.frames()
        for asked in (intent(tokens=100), {"all": [intent(tokens=50), intent(tokens=50)]}):
            held = frames.ask(intent(tokens=97))
            assert held["allowed"], held
            none = {"prompt_tokens": 0, "completion_tokens": 0}
            packed = [frames.packed(1, asked), frames.packed(2, receipt(held["intent_hash"], payload=none))]
            frames.socket.sendall(b"".join(packed))
            answers = dict(frames.take() for _ in packed)
            given = answers[1].get("all", [answers[1]])
            assert {x["outcome"] for x in given} == {"allow"}
            for each in given:
                frames.ask({"release": each["intent_hash"]})


def test_a_problem_amid_lines_is_the_last_line(folder):
    with running(folder, deadline_s=0.3) as (kernel, clients), clients.opened() as connection:
        connection.sendall(b"POST /v1/run HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for is_busy in (False, True):
            line = lines([intent(tokens=1)])
            if is_busy:
                kernel._lock.acquire()
            connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))
            said = b""
            while b"\n" not in said.partition(b"{")[2]:
                said += connection.recv(1 << 16)
        kernel._lock.release()
        assert b'{"problem":{' in said
        assert b'"code":"deadline"' in said


def test_the_loop_answers_while_the_writer_decides(folder):
    """Health, metrics, the greeting of a frame and refusals wait for no lock."""
    with running(folder) as (kernel, clients), kept_busy(kernel):
        for path in ("/health", "/ready", "/metrics", "/openapi.json"):
            assert clients.ask("GET", path).status == 200
        assert clients.frames().greeting["world"]
        assert clients.ask("POST", "/v1/intents", {}).status == 400


def test_who_lists_twenty_thousand_holds_delays_nobody(memory):
    world = memory / "many"
    with splittally.open(world, clock="given") as kernel:
        kernel.apply(MANIFEST)
        bob = kernel.as_principal("bob")
        ask = Intent("llm.generate", {"model": "m", "max_tokens": 1}, "bob/llm")
        for _ in range(20):
            bob.submit([ask] * 1_000)
        kernel.as_principal("alice").submit(Intent("llm.generate", ask.params, "alice/llm"))
    with Served(world) as served:
        is_over, listed = threading.Event(), []

        def every(principal, encoding, limit):
            client, after, count = served.frames(encoding, principal=principal), None, 0
            while not is_over.is_set():
                page = client.ask({"call": "reservations", "limit": limit, "after": after})
                after = page["next"]
                count += len(page["items"])
                if after is None:
                    listed.append((principal, count))
                    count = 0

        kinds = [
            ("bob", "json", 1_000),
            ("operator", "cbor", 1_000),
            ("alice", "json", 1),
        ]
        threads = [threading.Thread(target=every, args=kind) for kind in kinds]
        for each in threads:
            each.start()
        connection, waits = served.connection(), []
        end = time.monotonic() + 2
        while time.monotonic() < end:
            begun = time.monotonic()
            assert asking(connection, "GET", "/health").status == 200
            waits.append(time.monotonic() - begun)
            assert asking(connection, "POST", "/v1/intents", intent(tokens=1)).json["allowed"]
            time.sleep(0.002)
        until(lambda: {"bob", "operator", "alice"} <= {name for name, _ in listed})
        is_over.set()
        for each in threads:
            each.join(30)
        waits.sort()
        assert waits[len(waits) // 2] < 0.05, waits[-5:]
        assert waits[-1] < 0.5, waits[-5:]
        assert {count for name, count in listed if name == "bob"} == {20_000}
        assert {count for name, count in listed if name == "alice"} == {1}


# --- nobody has all of it ----------------------------------------------------------------------


names, weights, verbs = st.sampled_from("ab"), st.integers(1, 7), st.sampled_from("tgc")  # take, give, cancel


@given(st.integers(1, 5), st.lists(st.tuples(names, weights, verbs), max_size=40))
def test_shares_let_in_as_much_as_a_model_does(most, steps):
    """The model: for each name a list of what is in, and one of what waits; the first that fits goes in."""

    async def drive():
        shares, taken, waiting = Shares(most), {"a": [], "b": []}, {"a": [], "b": []}

        def go_on(name):
            while waiting[name] and (not taken[name] or sum(taken[name]) + waiting[name][0][0] <= most):
                taken[name].append(waiting[name].pop(0)[0])

        for name, weight, step in steps:
            if step == "t":
                task = asyncio.ensure_future(shares.take(name, weight))
                waiting[name].append((weight, task))
                go_on(name)
            elif step == "g" and taken[name]:
                given = taken[name].pop(0)
                go_on(name)
                shares.give(name, given)
            elif step == "c" and waiting[name]:
                waiting[name].pop(-1)[1].cancel()
                go_on(name)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for each in "ab":
                assert shares.waiting(each) == sum(weight for weight, _ in waiting[each])
                assert not any(task.done() for _, task in waiting[each])
        for name in "ab":
            while taken[name]:
                shares.give(name, taken[name].pop(0))
                go_on(name)
                await asyncio.sleep(0)
        assert not shares._shares

    asyncio.run(drive())


def test_threads_are_not_taken_by_who_asks_and_goes(folder):
    """A thread cannot be called back, so whoever gave up has no other meanwhile."""

    async def drive():
        threads, release, running = Threads(), threading.Event(), []

        def work():
            running.append(1)
            release.wait(10)

        for _ in range(20):
            task = asyncio.ensure_future(threads.do("mallory", work))
            await asyncio.sleep(0.005)
            task.cancel()
        assert len(running) == EACH_MAX
        assert await asyncio.wait_for(threads.do("alice", lambda: 7), 5) == 7
        release.set()
        assert await asyncio.wait_for(threads.do("mallory", lambda: 8), 5) == 8
        threads.close()

    asyncio.run(drive())


def test_who_floods_the_queue_keeps_nobody_else_waiting(folder):
    """Alice has thousands of intents on their way, and some that are only judged; Bob has one."""
    with Served(make_world(folder / "world")) as served:
        packed = []
        for _ in range(12):
            alice = served.frames(principal="alice")
            ask = intent("alice/llm", 1)
            asked = [alice.packed(n, [ask] * 900) for n in range(30)]
            asked += [alice.packed(99, {"call": "decide", "intent": ask})] * 200
            alice.socket.setblocking(False)
            with suppress(BlockingIOError):
                alice.socket.send(b"".join(asked))
            packed.append(alice)
        time.sleep(0.3)
        connection, waits = served.connection(), []
        for _ in range(20):
            begun = time.monotonic()
            told = asking(
                connection, "POST", "/v1/intents", intent("bob/llm"), {"splittally-principal": "bob"}
            )
            assert told.json["allowed"]
            told = asking(connection, "POST", "/v1/receipts", receipt(told.json["intent_hash"]),
                          {"splittally-principal": "bob"})  # fmt: skip
            assert told.json["status"] == "settled"
            waits.append(time.monotonic() - begun)
        waits.sort()
        assert waits[len(waits) // 2] < 0.5, waits


def test_more_than_a_principal_may_have_waiting_is_answered_busy_and_its_receipts_are_not(folder):
    with running(folder) as (kernel, clients):
        held = clients.ask("POST", "/v1/intents", intent()).json["intent_hash"]
        with ThreadPoolExecutor(20) as pool, kept_busy(kernel):
            asked = [pool.submit(clients.frames().ask, [intent(tokens=0)] * 250) for _ in range(14)]
            until(lambda: any(each.done() for each in asked))
            settled = pool.submit(clients.ask, "POST", "/v1/receipts", receipt(held))
            time.sleep(0.1)
        outcomes = [x for each in asked for x in each.result(20)]
        busy = [x for x in outcomes if x["findings"] and x["findings"][0]["code"] == "busy"]
        assert busy
        assert len(busy) < len(outcomes)
        assert settled.result(20).json["status"] == "settled"
