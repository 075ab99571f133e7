"""Waiting for others: an approval is heard of when it is given, and the feed misses nothing."""

import asyncio
import threading
import time

import pytest
import splittally
from splittally import Intent, KernelStopped, Receipt, aio

MANIFEST = {
    "grants": {
        "pay": {
            "cap": "sys/mcp@1",
            "budget": {"calls": 50},
            "params": {"tools": [{"server": "*", "tool": "pay"}]},
        }
    },
    "policy": [{"name": "ask", "decision": "require_approval", "effect_kind": "mcp.call"}],
}
ASK = Intent("mcp.call", {"server": "s", "tool": "pay", "arguments": {}}, "pay")
SOON_S = 0.1
LONG_S = 30.0


@pytest.fixture
def kernel():
    with splittally.open(None) as kernel:
        assert kernel.apply(MANIFEST).allowed
        yield kernel


@pytest.mark.parametrize(
    ("answer", "status", "phase"), [("approve", "reserved", "open"), ("reject", "released", "")]
)
def test_who_waits_hears_the_answer_of_another_thread(kernel, answer, status, phase) -> None:
    held = kernel.submit(ASK)
    threading.Timer(SOON_S, lambda: getattr(kernel, answer)(held.intent_hash)).start()
    row = kernel.wait(held.intent_hash, LONG_S)
    assert (row.status, row.phase or "") == (status, phase)


def test_nobody_waits_for_what_does_not_wait(kernel) -> None:
    held = kernel.submit(ASK)
    assert kernel.wait(bytes(32), LONG_S) is None
    kernel.approve(held.intent_hash)
    assert kernel.wait(held.intent_hash, LONG_S).phase == "open"
    kernel.settle(Receipt(held.intent_hash, "ok", "a", {}))
    assert kernel.wait(held.intent_hash, LONG_S, ended=True).status == "settled"


def test_a_wait_ends_with_its_time_and_changes_nothing(kernel) -> None:
    held = kernel.submit(ASK)
    seq = kernel.state.seq
    assert kernel.wait(held.intent_hash, SOON_S).phase == "approval"
    assert kernel.state.seq == seq
    for wrong in (-1, "1", True):
        with pytest.raises(splittally.InvalidInput):
            kernel.wait(held.intent_hash, wrong)


def test_with_ended_the_receipt_is_waited_for(kernel) -> None:
    held = kernel.submit(ASK)
    kernel.approve(held.intent_hash)
    threading.Timer(SOON_S, lambda: kernel.settle(Receipt(held.intent_hash, "ok", "a", {}))).start()
    assert kernel.wait(held.intent_hash, LONG_S, ended=True).status == "settled"


def test_an_approval_that_ends_while_somebody_waits_ends_at_its_time() -> None:
    with splittally.open(None) as kernel:
        grant = MANIFEST["grants"]["pay"] | {"approval_ns": int(0.2e9)}
        assert kernel.apply(MANIFEST | {"grants": {"pay": grant}}).allowed
        held = kernel.submit(ASK)
        start = time.monotonic()
        row = kernel.wait(held.intent_hash, LONG_S)
    assert (row.status, row.cause) == ("released", "approval_timeout")
    assert time.monotonic() < start + LONG_S / 2


def test_closing_a_world_ends_what_waits(kernel) -> None:
    held = kernel.submit(ASK)
    threading.Timer(SOON_S, kernel.close).start()
    start = time.monotonic()
    with pytest.raises(KernelStopped):
        kernel.wait(held.intent_hash, LONG_S)
    assert time.monotonic() < start + LONG_S / 2


def test_the_feed_gives_each_durable_frame_once_and_in_order(tmp_path) -> None:
    with splittally.open(tmp_path / "w") as kernel:
        kernel.apply(MANIFEST)
        start, told = kernel.state.seq, []

        def feed() -> None:
            told.extend(record.seq for record in kernel.watch(start - 1))

        watcher = threading.Thread(target=feed)
        watcher.start()
        for _ in range(3):
            kernel.submit([ASK] * 70)
            time.sleep(SOON_S / 10)
        last = kernel.state.seq
        until = time.monotonic() + LONG_S
        while len(told) < last - start and time.monotonic() < until:
            time.sleep(SOON_S / 10)
    watcher.join(LONG_S)
    assert told == list(range(start, last)) and not watcher.is_alive()


def test_tasks_wait_and_watch_alike() -> None:
    async def drive():
        async with aio.open(None) as kernel:
            await kernel.apply(MANIFEST)
            held = [await kernel.submit(ASK) for _ in range(3)]
            after, told = kernel.state.seq - 1, []

            async def feed() -> None:
                async for record in kernel.watch(after):
                    told.append(record.seq)

            feeding = asyncio.create_task(feed())
            waiting = [asyncio.create_task(kernel.wait(x.intent_hash, LONG_S)) for x in held]
            late = await kernel.wait(held[2].intent_hash, SOON_S)
            await kernel.approve(held[0].intent_hash)
            await kernel.reject(held[1].intent_hash)
            rows = [await waiting[0], await waiting[1]]
            waiting[2].cancel()
            last = kernel.state.seq
        await asyncio.wait_for(feeding, LONG_S)
        return late, rows, told, list(range(after + 1, last))

    late, rows, told, every = asyncio.run(drive())
    assert late.phase == "approval"
    assert [(row.status, row.phase or "") for row in rows] == [("reserved", "open"), ("released", "")]
    assert told == every
