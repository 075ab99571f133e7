"""One operation, interrupted before each of its lines; a program, because an interrupt may spoil a process.

    python -m tests.interrupted OPERATION FIRST COUNT STEP

Every time in a fresh world in memory: the interrupt is raised before line n of the product's code, then the
operation is asked for again, with the same keys. What is wrong is printed, a line each. The last line says
how often it was interrupted: fewer times than COUNT once n is past the end.
"""

import sys
from collections import Counter
from collections.abc import Callable
from ctypes import byref, c_uint64, c_void_p
from types import FrameType
from typing import Any, NamedTuple

import splittally
from splittally import Intent, KernelStopped, Receipt
from splittally.core.events import Decided, Released, Settled
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.journal.store import Store
from splittally.runtime import open_store
from splittally.runtime.kernel import Kernel
from splittally.runtime.recover import fold
from splittally.sandbox import capi, pooled
from splittally.sandbox.registry import builtin
from wasmtime import _ffi

from tests.golden_questions import bodies_of

SLOTS = 8  # of the pool of instances
MANIFEST: dict[str, Any] = {
    "resources": {"USD": 0},
    "accounts": {"accounts/a": {}, "accounts/b": {}},
    "governor": {"caps": [{"resource": "USD", "per": "day", "amount": 10**6}]},
    "grants": {
        "g": {
            "cap": "sys/spend@1",
            "budget": {"USD": 1000},
            "draws_on": {"USD": "accounts/a"},
            "pays_to": ["accounts/b"],
        },
    },
}


def task(amount: int, key: bytes, **fields: Any) -> Intent:
    params = {"result": "x", "amounts": {"USD": amount}}
    return Intent("task.post", params, "g", idempotency_key=key * 32, attempt=key * 16, **fields)


FIRST = task(1, b"f", expires_ns=100)
MORE = [task(7, b"q"), task(8, b"r")]


class Operation(NamedTuple):
    """What is asked, given the hash of an intent that is held, and whether it is done afterwards."""

    ask: Callable[[Kernel, bytes], Any]
    is_done: Callable[[Kernel, bytes], bool]


def held(kernel: Kernel, *intents: Intent) -> bool:
    """Whether these are decided already: asked again, each is a duplicate that this attempt may act on."""
    answers = kernel.submit(list(intents))
    return all(answer.duplicate and answer.allowed for answer in answers)


def status(word: str) -> Callable[[Kernel, bytes], bool]:
    return lambda kernel, digest: kernel.outcome(digest).status == word  # type: ignore[union-attr]


OPERATIONS = {
    "submit": Operation(lambda k, _: k.submit(MORE[0]), lambda k, _: held(k, MORE[0])),
    "each": Operation(lambda k, _: k.submit(MORE), lambda k, _: held(k, *MORE)),
    "all": Operation(lambda k, _: k.submit(MORE, mode="all"), lambda k, _: held(k, *MORE)),
    "settle": Operation(lambda k, h: k.settle(Receipt(h, "ok")), status("settled")),
    "release": Operation(lambda k, h: k.release(h), status("released")),
    "tick": Operation(lambda k, _: k.tick(now_ns=200), status("released")),
    "decide": Operation(lambda k, _: k.decide(MORE[0]), lambda k, _: not k.submit(MORE[0]).duplicate),
    "apply": Operation(
        lambda k, _: k.apply({**MANIFEST, "accounts": {**MANIFEST["accounts"], "accounts/c": {}}}),
        lambda k, _: "accounts/c" in k.state.accounts,
    ),
}


class Interrupt:
    """Raises before the line of the product's code with this number; `where` says which that was."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.where = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if "/splittally/" in frame.f_code.co_filename else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.left -= 1
            if self.left == 0:
                code = frame.f_code
                self.where = f"{code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {code.co_name}"
                sys.settrace(None)
                raise KeyboardInterrupt
        return self._line


def interrupted(operation: Operation, number: int) -> tuple[str, str] | None:
    """Where it was interrupted and what is wrong afterwards; None where the operation has no such line."""
    kernel = splittally.open(None, clock="given")
    assert kernel.apply(MANIFEST).allowed
    assert kernel.native("ledger.issue", resource="USD", amount=1000, to="accounts/a").allowed
    digest = kernel.submit(FIRST).intent_hash
    interrupt = Interrupt(number)
    sys.settrace(interrupt)
    try:
        operation.ask(kernel, digest)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    if not interrupt.where:
        return None
    try:
        try:
            wrong = again(operation, kernel, digest)
        except KernelStopped:  # what is durable is sound, and opened again it goes on
            wrong = again(operation, open_store(kernel._world.store), digest)
    except Exception as error:
        wrong = f"{type(error).__name__} afterwards: {error}"
    return interrupt.where, wrong


def again(operation: Operation, kernel: Kernel, digest: bytes) -> str:
    """What is wrong with a world after the operation was asked for again; empty if nothing is."""
    operation.ask(kernel, digest)
    is_done = operation.is_done(kernel, digest)
    kernel.submit(task(1, b"z"))
    state, store = kernel._world.state, kernel._world.store
    found = fold(store)
    checks = {
        "it was not done": is_done,
        "state is ahead of the journal": state.size == store.head.size,
        "the root differs from the fold's": state_root(found) == state_root(state),
        "the governor's reserve differs": dict(found.governed.reserved) == dict(state.governed.reserved),
        "the agenda differs": standing(state) == standing(load_state(dump_state(state))),
        "something was decided or ended twice": not twice(store),
    }
    return "; ".join(name for name, is_so in checks.items() if not is_so)


def standing(state: Any) -> list[Any]:
    """What is on the agenda, each item once."""
    ledger = state.ledger
    return sorted({item for item in ledger.agenda if ledger._stands(item)})


def twice(store: Store) -> list[bytes]:
    told: Counter[tuple[str, bytes]] = Counter()
    for body in bodies_of(data for _, data in store.scan()):
        for event in body.out:
            if isinstance(event, Decided):
                told["decided", event.intent_hash] += 1
            elif isinstance(event, Settled | Released):
                told["ended", event.intent_hash] += 1
    return [digest for (_, digest), count in told.items() if count > 1]


def slots_left() -> int:
    """How many instances the pool of this process still has room for."""
    prepared = pooled.prepare(builtin("sys/CapEnforceSpend@1"))
    stores, left = [], 0
    for _ in range(SLOTS):
        store = capi.store_new(pooled._pointer(pooled._shared_engine().ptr()), None, None)
        stores.append(store)
        context = capi.store_context(store)
        capi.set_fuel(context, c_uint64(10**9))
        instance, trap = _ffi.wasmtime_instance_t(), c_void_p()
        error = capi.instantiate(prepared.pointer, context, byref(instance), byref(trap))
        if error:
            capi.error_delete(c_void_p(error))
        left += not error and not trap
    for store in stores:
        capi.store_delete(store)
    return left


def main(name: str, first: int, count: int, step: int) -> None:
    done = 0
    for number in range(first, first + count * step, step):
        found = interrupted(OPERATIONS[name], number)
        if found is None:
            break
        done += 1
        where, wrong = found
        if wrong:
            print(f"{name} line {number}, {where}: {wrong}")
    if slots_left() != SLOTS:
        print(f"{name}: the pool has room for {slots_left()} of {SLOTS} instances")
    print(done)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
