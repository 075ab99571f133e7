"""A host in one line: a day of refunds, with a provider that fails in every way there is.

Run it with a Python that has splittally: `python examples/client.py`. Nothing is written to disk.

    a value             ok                the refund was made
    an exception        error             the provider said no
    NotDone             released          it was never sent
    a time-out          unknown           held until somebody has looked
    a cancelled task    unknown           the same
    the same key again  -                 never made twice
"""

import asyncio
from collections.abc import Callable

import splittally
from splittally import Kernel, Receipt
from splittally.client import AlreadyDone, AsyncClient, NotDone, NotYours, connect, labels

SHOP = {
    "effects": {"shop.refund": {"cap_type": "shop"}},
    "caps": {"acme/shop@1": {"enforcer": "sys/CapEnforceRules@2", "cap_type": "shop"}},
    "grants": {
        "refunds": {
            "cap": "acme/shop@1",
            "holder": "desk",
            "budget": {"cents": 10_000},
            "params": {
                "reserve": {"cents": "params.cents"},
                "usage": {"cents": 'receipt.status == "ok" ? payload.cents : 0'},
            },
        }
    },
}
FAILURES: dict[str, Callable[[], BaseException]] = {
    "p-2": lambda: LookupError("no such payment"),
    "p-3": lambda: NotDone("the account is closed, so it was never sent"),
    "p-4": lambda: TimeoutError("no answer"),
}


async def provider(payment: str) -> None:
    """Somebody else's system: slow, and not to be relied upon."""
    await asyncio.sleep(10 if payment == "p-5" else 0)
    if payment in FAILURES:
        raise FAILURES[payment]()


async def day(client: AsyncClient, kernel: Kernel) -> None:
    """Five refunds and what becomes of each; then the first and the fourth once more."""

    @client.effect(
        "shop.refund", grant="refunds", key="refund:{payment}", used=lambda cents: {"cents": cents}
    )
    async def refund(payment: str, cents: int) -> int:
        print(f"  the provider is asked: {payment}")
        await asyncio.wait_for(provider(payment), 0.1)
        return cents

    unknown: list[bytes] = []
    for payment in ("p-1", "p-2", "p-3", "p-4", "p-5", "p-1", "p-4"):
        try:
            print(f"{payment}: refunded {await refund(payment, 500)}")
        except AlreadyDone as done:
            print(f"{payment}: not again, it is {done.row['status'] if done.row else 'gone'}")
        except NotYours as lost:
            unknown.append(lost.intent_hash)
            print(f"{payment}: not again, nobody knows what became of it")
        except (LookupError, NotDone, TimeoutError) as error:
            print(f"{payment}: {type(error).__name__}")
    print(kernel.state.counters["refunds"]["cents"])

    print("somebody looks: p-4 was made after all")
    told = await client.settle(Receipt(unknown[0], "ok", "desk", {"cents": 500}))
    print(f"  {told.status}, {told.usage}")
    print(kernel.state.counters["refunds"]["cents"])


async def main() -> None:
    """One world in memory, one client of the desk."""
    with splittally.open(None) as kernel:
        assert kernel.apply(SHOP).allowed
        async with connect(kernel, principal="desk") as client:
            with labels(day="monday"):
                await day(client, kernel)


if __name__ == "__main__":
    asyncio.run(main())
