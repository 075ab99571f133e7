"""Functions that ask before they act and tell afterwards, in four colours, each with the signature it had.

Rule 1. A function ends where it returns; a stream, which is a generator, where it is exhausted. It begins
        with its first item, so one that nobody reads asks for nothing.
Rule 2. A stream that is closed before its end is `abandoned`: what it used is what was said, else the
        reserve.
Rule 3. The body of a decorated function says what was used with `current_call().used(...)`, or `used` of
        its effect reads it out of what comes back.
Rule 4. A function that gives back something that has yet to run, such as a coroutine, is refused: it would
        be told of before it acts.
"""

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import partial, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from splittally.client.call import Asked, Call
from splittally.client.context import acting
from splittally.client.errors import SettleFailed
from splittally.client.session import Session
from splittally.core.errors import InvalidInput

P = ParamSpec("P")
R = TypeVar("R")


class Calls(NamedTuple):
    """How calls become what is asked for, and what was used out of what comes back."""

    asked: Callable[[tuple[Any, ...], Mapping[str, Any]], tuple[Session, Asked]]
    used: Callable[[Any], Any] | None

    def take(self, call: Call, value: Any) -> None:
        """Note what was used; an error of the host's function in it is a misreport."""
        if self.used is None:
            return
        call.is_misreported = True
        call.payload = self.used(value)


def decorated(function: Callable[P, R], calls: Calls) -> Callable[P, R]:
    """The function in its own colour."""
    is_stream = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if is_stream and calls.used is not None:
        raise InvalidInput("a stream says what it used with `current_call().used(...)`", field="used")
    if inspect.isasyncgenfunction(function):
        return cast(Callable[P, R], _async_stream(function, calls))
    if inspect.isgeneratorfunction(function):
        return cast(Callable[P, R], _stream(function, calls))
    if inspect.iscoroutinefunction(function):
        return cast(Callable[P, R], _coroutine(function, calls))
    return _plain(function, calls)


def _plain(function: Callable[P, R], calls: Calls) -> Callable[P, R]:
    @wraps(function)
    def act(*args: P.args, **kwargs: P.kwargs) -> R:
        session, asked = calls.asked(args, kwargs)
        call = session.begin(asked)
        try:
            with acting(call):
                value = _whole(function(*args, **kwargs))
            calls.take(call, value)
        except BaseException as error:
            session.end(call, error)
            raise
        try:
            session.end(call, None)
        except SettleFailed as failed:
            failed.value = value
            raise
        return value

    return act


def _coroutine(function: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    @wraps(function)
    async def act(*args: Any, **kwargs: Any) -> Any:
        session, asked = calls.asked(args, kwargs)
        call = await session.begin_async(asked)
        try:
            with acting(call):
                value = await function(*args, **kwargs)
            calls.take(call, value)
        except BaseException as error:
            await session.end_async(call, error)
            raise
        try:
            await session.end_async(call, None)
        except SettleFailed as failed:
            failed.value = value
            raise
        return value

    return act


def _stream(function: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    @wraps(function)
    def act(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        session, asked = calls.asked(args, kwargs)
        call = session.begin(asked)
        try:
            value = yield from _steps(function(*args, **kwargs), call)
        except BaseException as error:
            session.end(call, error, is_abandoned=isinstance(error, GeneratorExit))
            raise
        session.end(call, None)
        return value

    return act


def _steps(inner: Generator[Any, Any, Any], call: Call) -> Generator[Any, Any, Any]:
    """The items of a stream; the call is current while it makes one, and not while its reader has it."""
    step = partial(inner.send, None)
    while True:
        with acting(call):
            try:
                item = step()
            except StopIteration as done:
                return done.value
        try:
            step = partial(inner.send, (yield item))
        except GeneratorExit:
            with acting(call):
                inner.close()
            raise
        except BaseException as error:
            step = partial(inner.throw, error)


def _async_stream(function: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    @wraps(function)
    async def act(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        session, asked = calls.asked(args, kwargs)
        call = await session.begin_async(asked)
        try:
            inner: AsyncGenerator[Any, Any] = function(*args, **kwargs)
            step = partial(inner.asend, None)
            while True:
                with acting(call):
                    try:
                        item = await step()
                    except StopAsyncIteration:
                        break
                try:
                    step = partial(inner.asend, (yield item))
                except GeneratorExit:
                    with acting(call):
                        await inner.aclose()
                    raise
                except BaseException as error:
                    step = partial(inner.athrow, error)
        except BaseException as error:
            await session.end_async(call, error, is_abandoned=isinstance(error, GeneratorExit))
            raise
        await session.end_async(call, None)

    return act


def _whole(value: R) -> R:
    """What came back, unless it has yet to run."""
    if inspect.isawaitable(value) or inspect.isgenerator(value) or inspect.isasyncgen(value):
        if inspect.iscoroutine(value) or inspect.isgenerator(value):
            value.close()
        raise InvalidInput(
            f"the function gave back a {type(value).__name__} that has yet to run: decorate what runs, "
            "such as the `async def`",
            field="function",
        )
    return value
