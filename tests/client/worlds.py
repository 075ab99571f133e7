"""What tests of the client share: a world with mail in it, links that fail on order, and six ways to act."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import splittally
from splittally import Kernel
from splittally.client import Client, Link, connect, current_call
from splittally.client.embedded import Embedded

LIMIT = 100
MAIL = {"reserve": {"mails": "1"}, "usage": {"mails": 'receipt.status == "ok" ? payload.mails : 0'}}
ASKS = {"dim": "mails", "per": "intent", "amount": 0, "over": "ask"}


def manifest(limit: int = LIMIT) -> dict[str, Any]:
    """One mail is reserved for each, what the receipt says is used; under `asked` every mail waits."""
    grant = {"cap": "acme/mail@1", "holder": "agent", "params": MAIL}
    return {
        "effects": {"mail.send": {"cap_type": "mail"}},
        "caps": {"acme/mail@1": {"enforcer": "sys/CapEnforceRules@2", "cap_type": "mail"}},
        "grants": {
            "mail": {**grant, "budget": {"mails": limit}},
            "asked": {**grant, "limits": [ASKS]},
            "guarded": {**grant, "dispatch": True},
        },
    }


@contextmanager
def world(limit: int = LIMIT, **options: Any) -> Iterator[Kernel]:
    """An open world, as its operator."""
    with splittally.open(None, **{"clock": "given", **options}) as kernel:
        assert kernel.apply(manifest(limit)).allowed
        yield kernel


@contextmanager
def embedded(kernel: Kernel) -> Iterator[Link]:
    """The link of the agent to a kernel of this process."""
    yield Embedded(kernel.as_principal("agent"))


ways = [embedded]  # how a client reaches its kernel: the last one counts


@contextmanager
def client_of(kernel: Kernel, **options: Any) -> Iterator[tuple[Client, "Faulty"]]:
    """A client of the agent, and the link that it goes over."""
    with ways[-1](kernel) as way:
        link = Faulty(way)
        with connect(link, **options) as client:
            yield client, link


class Faulty:
    """A link that raises what `fault` does before something is asked: it sees the name of what is asked and
    the requests. `after` is the same once the answer is there, which is lost then."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.fault: Callable[..., object] = lambda *asked: None
        self.after: Callable[..., object] = lambda *asked: None
        self.asked: list[str] = []

    principal = property(lambda self: self.link.principal)
    threads = property(lambda self: FaultyThreads(self))
    tasks = property(lambda self: FaultyTasks(self))

    def close(self) -> None:
        self.link.close()

    async def close_async(self) -> None:
        await self.link.close_async()

    def meet(self, name: str, given: Any) -> None:
        self.asked += [type(item.request).__name__ for item in given] if name == "run" else [name]
        self.fault(name, given)


class FaultyThreads:
    def __init__(self, owner: Faulty) -> None:
        self.owner = owner

    def __getattr__(self, name: str) -> Any:
        def ask(given: Any, *more: Any) -> Any:
            self.owner.meet(name, given)
            answer = getattr(self.owner.link.threads, name)(given, *more)
            self.owner.after(name, given)
            return answer

        return ask


class FaultyTasks:
    def __init__(self, owner: Faulty) -> None:
        self.owner = owner

    def __getattr__(self, name: str) -> Any:
        async def ask(given: Any, *more: Any) -> Any:
            self.owner.meet(name, given)
            answer = await getattr(self.owner.link.tasks, name)(given, *more)
            self.owner.after(name, given)
            return answer

        return ask


def kinds(given: Any) -> set[str]:
    """The names of the requests of a run."""
    return {type(item.request).__name__ for item in given} if isinstance(given, list) else set()


class Acted(NamedTuple):
    """What a host got from an act: a value or an exception, and the call where one began."""

    value: Any
    error: BaseException | None
    call: Any


Body = Callable[[Any], Any]


def as_context(client: Client, body: Body, options: dict[str, Any], calls: list[Any]) -> Any:
    with client.effect("mail.send", {"to": "ann"}, **options) as call:
        calls.append(call)
        return body(call)


def as_async_context(client: Client, body: Body, options: dict[str, Any], calls: list[Any]) -> Any:
    async def act() -> Any:
        async with client.effect("mail.send", {"to": "ann"}, **options) as call:
            calls.append(call)
            await asyncio.sleep(0)
            return body(call)

    return asyncio.run(act())


def as_function(client: Client, body: Body, options: dict[str, Any], calls: list[Any]) -> Any:
    @client.effect("mail.send", **options)
    def act(to: str) -> Any:
        calls.append(current_call())
        return body(current_call())

    return act("ann")


def as_coroutine(client: Client, body: Body, options: dict[str, Any], calls: list[Any]) -> Any:
    @client.effect("mail.send", **options)
    async def act(to: str) -> Any:
        calls.append(current_call())
        await asyncio.sleep(0)
        return body(current_call())

    return asyncio.run(act("ann"))


def as_stream(client: Client, body: Body, options: dict[str, Any], calls: list[Any]) -> Any:
    @client.effect("mail.send", **options)
    def act(to: str) -> Any:
        calls.append(current_call())
        yield "first"
        yield body(current_call())

    *_, last = act("ann")
    return last


def as_async_stream(client: Client, body: Body, options: dict[str, Any], calls: list[Any]) -> Any:
    @client.effect("mail.send", **options)
    async def act(to: str) -> Any:
        calls.append(current_call())
        yield "first"
        await asyncio.sleep(0)
        yield body(current_call())

    async def read() -> Any:
        return [item async for item in act("ann")][-1]

    return asyncio.run(read())


FORMS = {
    "with": as_context,
    "async with": as_async_context,
    "function": as_function,
    "coroutine": as_coroutine,
    "stream": as_stream,
    "async stream": as_async_stream,
}
STREAMS = ("stream", "async stream")


def act(form: str, client: Client, body: Body = lambda call: "value", **options: Any) -> Acted:
    """Act in one of the six forms."""
    calls: list[Any] = []
    try:
        value = FORMS[form](client, body, {"grant": "mail", **options}, calls)
    except BaseException as error:
        return Acted(None, error, calls[-1] if calls else None)
    return Acted(value, None, calls[-1])


def abandon(form: str, client: Client, **options: Any) -> Any:
    """Read the first item of a stream and close it; the call."""
    calls: list[Any] = []
    options = {"grant": "mail", **options}

    @client.effect("mail.send", **options)
    def stream(to: str) -> Any:
        calls.append(current_call())
        yield "first"
        yield "second"

    @client.effect("mail.send", **options)
    async def async_stream(to: str) -> Any:
        calls.append(current_call())
        yield "first"
        yield "second"

    async def read() -> None:
        items = async_stream("ann")
        assert await anext(items) == "first"
        await items.aclose()

    if form == "stream":
        items = stream("ann")
        assert next(items) == "first"
        items.close()
    else:
        asyncio.run(read())
    return calls[0]


def raiser(error: BaseException) -> Body:
    """A body that raises this."""

    def body(call: Any) -> Any:
        raise error

    return body


def used(mails: int) -> Body:
    """A body that used so many mails."""

    def body(call: Any) -> str:
        call.used({"mails": mails})
        return "value"

    return body
