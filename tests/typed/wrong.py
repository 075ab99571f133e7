"""Uses of the public face that a type checker must refuse: each line that says `# wrong`, and no other."""

import splittally
import splittally.aio
from splittally import Extend, Group, Intent, Kernel, Receipt
from splittally.aio import AsyncKernel
from splittally.client import connect, effect

HASH = bytes(32)
ASKED = Intent("llm.generate", {}, "g")

Intent(1, 2)  # wrong
Intent("kind", {}, 3)  # wrong
Intent("kind", {}, "g", expires_ns="soon")  # wrong
Receipt(HASH)  # wrong
Receipt(5, "ok")  # wrong
Extend(HASH)  # wrong
Group("all", ASKED)  # wrong
splittally.open(5)  # wrong
splittally.open(open_max="many")  # wrong
splittally.open(colour="red")  # wrong
splittally.open(clock=7)  # wrong
splittally.Kernal  # wrong


def asks(kernel: Kernel) -> None:
    decision = kernel.submit(ASKED)
    print(decision.alowed)  # wrong
    print(decision.outcom)  # wrong
    decision.reserve["tokens"].upper()  # wrong
    kernel.submit({})  # wrong
    kernel.submit(5)  # wrong
    kernel.submit("intent")  # wrong
    kernel.submit(Receipt(HASH, "ok"))  # wrong
    kernel.submit([ASKED], mode="some")  # wrong
    kernel.submit([ASKED]).allowed  # wrong
    kernel.submit([ASKED], mode="first")[0]  # wrong
    kernel.submit(ASKED, now="noon")  # wrong
    kernel.settle(ASKED)  # wrong
    kernel.settle({})  # wrong
    kernel.settle(Receipt(HASH, "ok")).staus  # wrong
    kernel.run(ASKED)  # wrong
    kernel.run([5])  # wrong
    kernel.run({})  # wrong
    kernel.decide({})  # wrong
    kernel.decide([ASKED])  # wrong
    kernel.release(5)  # wrong
    kernel.release(HASH).stat  # wrong
    kernel.extend(HASH, "later")  # wrong
    kernel.tick("now")  # wrong
    kernel.apply(5)  # wrong
    kernel.at(1.5).seq  # wrong
    kernel.trace("a", deep=3)  # wrong
    kernel.state.grant(5)  # wrong
    kernel.state.grants.pages()  # wrong
    kernel.submitt(ASKED)  # wrong


async def awaits(kernel: AsyncKernel) -> None:
    (await kernel.submit(ASKED)).alowed  # wrong
    await kernel.submit({})  # wrong
    await kernel.settle(ASKED)  # wrong
    await kernel.run(5)  # wrong
    kernel.submit(ASKED).allowed  # wrong
    (await kernel.decide(ASKED)).finding  # wrong
    await kernel.tick("now")  # wrong
    await splittally.aio.open("world", queue_max="few")  # wrong


@effect("mail.send", grant="mail")
def mail(to: str) -> str:
    return to


@effect("mail.send", grant="mail")
async def mail_later(to: str) -> int:
    return 7


def calls(kernel: Kernel) -> None:
    mail(5)  # wrong
    mail()  # wrong
    mail("ann").nothing  # wrong
    mail_later("ann").real  # wrong
    effect("mail.send")  # wrong
    effect("mail.send", grant="mail", keys="k")  # wrong
    effect("mail.send", grant="mail", dispatch="never")  # wrong
    connect(5)  # wrong
    connect(kernel, principal=5)  # wrong
    with connect(kernel) as client:
        client.effect("mail.send", grant=5)  # wrong
        client.submit({})  # wrong
        client.aio.submit(ASKED).allowed  # wrong
        with client.effect("mail.send", grant="mail") as call:
            call.used(5)  # wrong
            call.cost_cents = "5"  # wrong
            call.nothing  # wrong
