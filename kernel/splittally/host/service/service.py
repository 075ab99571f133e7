"""A served world: one writer behind every face, and what a caller may ask of it.

Rule 1. Every face asks here, so a rule that stands here has no other door.
Rule 2. Who acts for several principals asks in each one's name; whose grants may be used the kernel
        decides.
Rule 3. A caller sees its own intents and the grants that it holds; operators and auditors see all.
Rule 4. What waits is bounded and typed: intents that find the queue full are `busy`. Receipts, releases and
        extensions are never refused for that.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

from splittally.aio import AsyncKernel
from splittally.core.commands import Open
from splittally.core.errors import SplittallyError
from splittally.core.limits import QUEUE_MAX
from splittally.core.types import OPERATOR
from splittally.edge.answer_lines import answer_json, finding_of, refused_change, refused_intent
from splittally.edge.records import At, Decision
from splittally.edge.request_lines import request_of
from splittally.host.service.deadline import Deadline
from splittally.host.service.problems import Problem, busy, problem_of
from splittally.runtime.callers import Caller, caller_by_token, caller_by_uid
from splittally.runtime.kernel import Kernel
from splittally.runtime.queries import Queries
from splittally.runtime.record import Record
from splittally.runtime.writer import Writer

LINGER_S = 0.0005
DEADLINE_S = 30.0
PRINCIPALS_KEPT = 1_024
TICK_SECONDS_MAX = 1.0
R = TypeVar("R")


class Service:
    """One world, open for writing, and those who ask it. `owner_uid` may name any principal."""

    def __init__(self, kernel: Kernel, owner_uid: int, queue_max: int = QUEUE_MAX) -> None:
        self.kernel = kernel
        self.owner_uid = owner_uid
        self.started = time.monotonic()
        self.counted: dict[tuple[str, str], int] = {}  # requests by face and outcome
        self._deadline = Deadline(DEADLINE_S)
        self._writer = Writer(queue_max, LINGER_S)
        self._operator = AsyncKernel(kernel, self._writer)
        self._kernels: OrderedDict[str, AsyncKernel] = OrderedDict()
        self.is_closing = False
        self.connections = 0
        self._ticking: asyncio.Task[None] | None = None

    # --- its life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Work through what falls due, from now on; to be called in the loop that serves."""
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def close(self) -> None:
        """Answer what is queued, then close the world."""
        self.is_closing = True
        if self._ticking is not None:
            self._ticking.cancel()
        await self._operator.close()

    async def _tick(self) -> None:
        """What falls due happens at its time, although nobody asks."""
        world = self.kernel._world
        while True:
            await asyncio.sleep(TICK_SECONDS_MAX)
            due = world.state.ledger.agenda[:1]
            if due and world.clock.kind != "given" and due[0].due_ns <= time.time_ns():
                await self._operator.tick()

    # --- who asks ------------------------------------------------------------------------------

    def caller_of(self, uid: int | None, secret: str | None, named: str | None) -> Caller:
        """Who asks: by a token, or by the uid at the other end of a Unix socket; `Problem` 401 or 403.

        Who may act as anybody acts as the principal that it names.
        """
        state = self.kernel._world.state
        caller: Caller | None = None
        if secret is not None:
            caller = caller_by_token(state, secret, self._now_ns())
        elif uid == self.owner_uid:
            caller = Caller(OPERATOR, (OPERATOR,))
        elif uid is not None:
            caller = caller_by_uid(state, uid)
        if caller is None:
            advice = "send a token: `tally token issue NAME --principal P` makes one"
            raise Problem(401, "unauthenticated", advice)
        if named is None or named == caller.principal:
            return caller
        if not caller.may_name_others:
            raise Problem(403, "forbidden", f"you ask as `{caller.principal}` and may name nobody else")
        return Caller(named, () if named != OPERATOR else (OPERATOR,))

    def _now_ns(self) -> int:
        world = self.kernel._world
        return world.state.now_ns if world.clock.kind == "given" else max(time.time_ns(), world.state.now_ns)

    def asking(self, caller: Caller) -> AsyncKernel:
        """The kernel as this caller's principal; `Problem` where the caller may only read."""
        if not caller.may_change:
            raise Problem(403, "forbidden", f"`{caller.principal}` may read here and ask for nothing")
        kernel = self._kernels.get(caller.principal)
        if kernel is None:
            try:
                kernel = self._operator.as_principal(caller.principal)
            except SplittallyError as error:
                raise problem_of(error) from None
            self._kernels[caller.principal] = kernel
            if len(self._kernels) > PRINCIPALS_KEPT:
                self._kernels.popitem(last=False)
        return kernel

    # --- requests ------------------------------------------------------------------------------

    async def run(self, caller: Caller, documents: Sequence[Any]) -> list[dict[str, Any]]:
        """The answers to documents of requests, in order; one that cannot be read is answered so."""
        kernel = self.asking(caller)
        read = [_read(document) for document in documents]
        asked = [each for each in read if isinstance(each, At)]
        answers = iter(await self.within(kernel.run(asked)) if asked else ())
        return [
            told(next(answers) if isinstance(each, At) else each, document)
            for each, document in zip(read, documents, strict=True)
        ]

    async def one(self, caller: Caller, document: Any) -> dict[str, Any]:
        """The answer to one document; `Problem` where it cannot be read, or finds the queue full."""
        kernel = self.asking(caller)
        asked = _read(document)
        if isinstance(asked, SplittallyError):
            raise problem_of(asked)
        (answer,) = await self.within(kernel.run([asked]))
        if isinstance(answer, SplittallyError):
            raise problem_of(answer)
        if isinstance(answer, Decision) and answer.seq is None and is_busy(answer):
            raise busy()
        return told(answer, document)

    async def within(self, asked: Awaitable[R], deadline_s: float = DEADLINE_S) -> R:
        """The answer within a deadline; `Problem` 504 after it, and what nobody hears of is not held."""
        try:
            if deadline_s == DEADLINE_S:
                return await self._deadline.within(asked)
            async with asyncio.timeout(deadline_s):
                return await asked
        except TimeoutError:
            raise Problem(504, "deadline", f"no decision within {deadline_s:g} s; ask again") from None
        except SplittallyError as error:
            raise problem_of(error) from None

    async def look(self, read: Callable[[Queries], R]) -> R:
        """What a view says, read beside the writer: it is kept waiting for one row at a time."""
        try:
            return await asyncio.to_thread(read, self.kernel.state)
        except SplittallyError as error:
            raise problem_of(error) from None

    def records_after(self, seq: int, limit: int) -> list[Record]:
        """At most `limit` durable frames after a sequence."""
        found: list[Record] = []
        while len(found) < limit:
            more = self.kernel._records_after(found[-1].seq if found else seq)
            if not more:
                break
            found += more
        return found[:limit]

    async def seq_before(self, after: str) -> int:
        """The sequence after which a feed begins; of a negative number so many frames back from the end."""
        seq = int(after)
        return seq if seq >= -1 else self.kernel.state.seq + seq - 1

    def asked_by(self, intent_hash: bytes) -> str | None:
        """Who asked for an intent; None where no frame decides it."""
        found = self.kernel.outcome(intent_hash)
        return None if found is None else str(found.principal)

    @cached_property
    def world_id(self) -> str:
        """The id that the world was given when it was made, as hex."""
        command = self.records_after(-1, 1)[0].body.command
        assert isinstance(command, Open)
        return command.world.hex()

    @property
    def waiting(self) -> int:
        """How many entries wait for the writer."""
        return self._writer.size

    @property
    def reading(self) -> AsyncKernel:
        """The kernel for what changes nothing."""
        return self._operator

    def count(self, face: str, outcome: str) -> None:
        """Count what was answered, for `/metrics`."""
        self.counted[face, outcome] = self.counted.get((face, outcome), 0) + 1


def _read(document: Any) -> At | SplittallyError:
    if isinstance(document, SplittallyError):  # a line that is no document
        return document
    try:
        return request_of(document)
    except SplittallyError as error:
        return error


def is_busy(decision: Decision) -> bool:
    """Whether an intent found the queue full."""
    return any(finding.code == "busy" for finding in decision.findings)


def told(answer: Any, document: Any = None) -> dict[str, Any]:
    """An answer as its document, with what a host asks first: may it act, and why not.

    An error is told in the shape of what was asked.
    """
    if isinstance(answer, list):
        return {"all": [told(each) for each in answer]}
    if isinstance(answer, SplittallyError):
        is_intent = isinstance(document, dict) and not document.keys().isdisjoint(("kind", "all", "first"))
        refused = refused_intent if is_intent else refused_change
        return {**refused(finding_of(answer)), "reason": str(answer)}
    line = answer_json(answer)
    if type(answer) is Decision:
        line["allowed"] = answer.allowed
        if answer.findings:
            line["reason"], line["advice"] = answer.reason, answer.advice
    elif reason := answer.reason:
        line["reason"] = reason
    return line
