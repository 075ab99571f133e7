"""Uses of the public face that a type checker must accept, with the types that it must see."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import splittally
import splittally.aio
from splittally import (
    At,
    Decision,
    Extend,
    Finding,
    Group,
    HoldChange,
    Intent,
    InvalidInput,
    Kernel,
    Receipt,
    Refused,
    Release,
    Settlement,
    SplittallyError,
    new_attempt,
)
from splittally.client import AsyncClient, Call, Client, connect, effect, labels
from splittally.runtime.queries import Queries

HASH = bytes(32)
ASKED = Intent("llm.generate", {"max_tokens": 50}, "cap_llm", attempt=new_attempt())
USED = Receipt(HASH, "ok", "my-adapter", {"prompt_tokens": 10})


def some() -> Iterator[Intent]:
    yield ASKED


def ticking() -> int:
    return 7


def asks(kernel: Kernel) -> None:
    assert_type(kernel.submit(ASKED), Decision)
    assert_type(kernel.submit(ASKED, now_ns=5), Decision)
    assert_type(kernel.submit([ASKED]), list[Decision])
    assert_type(kernel.submit((ASKED, ASKED)), list[Decision])
    assert_type(kernel.submit(some()), list[Decision])
    assert_type(kernel.submit([ASKED], mode="all"), list[Decision])
    assert_type(kernel.submit([ASKED], mode="first"), Decision)
    assert_type(kernel.settle(USED), Settlement)
    assert_type(kernel.settle([USED]), list[Settlement])
    assert_type(kernel.run(ASKED for _ in range(2)), list[Decision])
    assert_type(kernel.run([At(5, ASKED)]), list[Decision])
    assert_type(kernel.run([USED]), list[Settlement | SplittallyError])
    assert_type(kernel.run([Release(HASH), Extend(HASH, 5)]), list[HoldChange | SplittallyError])
    for answer in kernel.run([ASKED, USED, Group("all", (ASKED,))]):
        if isinstance(answer, Decision):
            assert_type(answer.findings, tuple[Finding, ...])
    assert_type(kernel.decide(ASKED), Decision)
    assert_type(kernel.native("ledger.issue", resource="USD", amount=5, to="accounts/a"), Decision)
    assert_type(kernel.apply({"grants": {}}), Decision)
    assert_type(kernel.release(HASH), HoldChange)
    assert_type(kernel.extend(HASH.hex(), 9), HoldChange)
    assert_type(kernel.approve(HASH), Decision)
    assert_type(kernel.tick(), int)


def looks(kernel: Kernel) -> None:
    decision = kernel.submit(ASKED)
    assert_type(decision.allowed, bool)
    assert_type(decision.outcome, str)
    assert_type(decision.reserve, dict[str, int])
    assert_type(decision.intent_hash, bytes | None)
    assert_type(decision.reason, str)
    assert_type(decision.advice, str)
    assert_type(decision.or_raise(), Decision)
    assert_type(kernel.settle(USED).reason, str)
    assert_type(kernel.state.wording.amounts({"USD": 5}), str)
    try:
        decision.or_raise()
    except Refused as refused:
        assert_type(refused.decision, Decision)
    assert_type(kernel.state, Queries)
    assert_type(kernel.fork(), Kernel)
    assert_type(kernel.as_principal("ann"), Kernel)
    assert_type(kernel.repairs, tuple[str, ...])
    assert_type([level.amount for level in kernel.trace("accounts/a", depth=3, limit=9)], list[int])
    row = kernel.state.counter("g", "tokens")
    if row is not None:
        print(row.spent)
    for name, grant in kernel.state.grants.page(after="a", limit=5):
        assert_type(name, str)
        print(grant.holder)


def opens() -> None:
    with splittally.open("world", clock=ticking, open_max=5, lock_seconds=0.5) as kernel:
        assert_type(kernel, Kernel)
    try:
        splittally.open(clock="given", create=False, entropy=bytes).close()
    except InvalidInput as error:
        assert_type(error.facts, dict[str, object])


async def awaits() -> None:
    async with splittally.aio.open("world", queue_max=5) as kernel:
        assert_type(await kernel.submit(ASKED), Decision)
        assert_type(await kernel.submit([ASKED]), list[Decision])
        assert_type(await kernel.submit([ASKED], mode="first"), Decision)
        assert_type(await kernel.settle(USED), Settlement)
        assert_type(await kernel.settle([USED]), list[Settlement])
        assert_type(await kernel.run([ASKED]), list[Decision])
        assert_type(await kernel.release(HASH), HoldChange)
        assert_type(await kernel.tick(), int)
        assert_type(await kernel.upgrade(), int | None)
        assert_type((await kernel.at(3)).seq, int)
        async for answers in kernel.stream([ASKED]):
            assert_type(answers, list[Decision])


@effect("mail.send", grant="mail", key="welcome:{to}")
def mail(to: str, copies: int = 1) -> str:
    return to


@effect("mail.send", grant="mail", dispatch=False, labels={"run": "7"})
async def mail_later(to: str) -> int:
    return 7


@effect("mail.send", lambda arguments: {"n": arguments["many"]}, grant="mail", approval_timeout_s=None)
def mails(many: int) -> Iterator[int]:
    yield from range(many)


@effect("mail.send", grant="mail", pauses=(KeyError, "their.Pause"))
async def mails_later() -> AsyncIterator[str]:
    yield "one"


class Mailer:
    @effect("mail.send", grant="mail", used=lambda _: {"mails": 1})
    def send(self, to: str) -> bool:
        return True


def calls(kernel: Kernel) -> None:
    assert_type(mail("ann", copies=2), str)
    assert_type(mails(2), Iterator[int])
    assert_type(Mailer().send("ann"), bool)
    with connect(kernel, principal="agent", approval_timeout_s=None) as client, labels(run="7"):
        assert_type(client, Client)
        with client.effect("mail.send", {"to": "ann"}, grant="mail", key=bytes(32)) as call:
            assert_type(call, Call)
            call.used({"mails": 1}, cost_cents=5)
            assert_type(call.result("answer"), str)
            assert_type(call.payload, dict[str, Any] | None)
        assert_type(client.submit(ASKED), Decision)
        assert_type(client.settle(USED), Settlement)
        assert_type(client.release(HASH), HoldChange)
        assert_type(client.approve(HASH), Decision)
        assert_type(client.aio, AsyncClient)
        assert_type(client.unsettled, tuple[Receipt | Release, ...])


async def calls_later() -> None:
    assert_type(await mail_later("ann"), int)
    async for text in mails_later():
        assert_type(text, str)
    async with connect("world") as client:
        assert_type(client, AsyncClient)
        async with client.effect("mail.send", grant="mail") as call:
            assert_type(call, Call)
        assert_type(await client.submit(ASKED), Decision)
        assert_type(client.sync, Client)
    assert_type(await connect("world"), AsyncClient)
