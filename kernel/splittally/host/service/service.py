"""A served world: one writer behind every face, and what a caller may ask of it.

Rule 1. Every face asks here, so a rule that stands here has no other door.
Rule 2. Who acts for several principals asks in each one's name; whose grants may be used the kernel
        decides.
Rule 3. A caller sees its own intents and the grants that it holds; operators and auditors see all.
Rule 4. What waits is bounded and typed: intents that find the queue full are `busy`. Receipts, releases and
        extensions are never refused for that. Nobody has more than a share of the queue (`turns.py`).
Rule 5. That somebody else holds a grant is told as that there is none.
Rule 6. The loop never takes the world's lock: what does is asked of the writer, or read beside it
        (`beside.py`).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from splittally.aio import AsyncKernel
from splittally.core.commands import Open
from splittally.core.errors import SplittallyError
from splittally.core.limits import QUEUE_MAX
from splittally.core.types import OPERATOR
from splittally.edge.answer_lines import Say, readable, told
from splittally.edge.records import At, Decision, Intent
from splittally.edge.request_lines import request_of
from splittally.host.service.beside import Threads
from splittally.host.service.deadline import Deadline
from splittally.host.service.problems import Problem, busy, problem_of
from splittally.host.service.telling import is_busy, may_see, veiled
from splittally.host.service.turns import Turns
from splittally.journal.frame import Head
from splittally.runtime.callers import Caller, caller_by_token, caller_by_uid
from splittally.runtime.clock import GIVEN
from splittally.runtime.kernel import Kernel
from splittally.runtime.queries import Queries
from splittally.runtime.record import Record
from splittally.runtime.rows import Row
from splittally.runtime.writer import Writer

LINGER_S = 0.0005
DEADLINE_S = 30.0
MANY_MAX = 1_000  # requests in one array
PRINCIPALS_KEPT = 1_024
TICK_SECONDS_MAX = 1.0
R = TypeVar("R")


class Service:
    """One world, open for writing, and those who ask it. `owner_uid` may name any principal."""

    def __init__(
        self,
        kernel: Kernel,
        owner_uid: int,
        queue_max: int = QUEUE_MAX,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.kernel = kernel
        self.owner_uid = owner_uid
        self.deadline_s = deadline_s
        self.started = time.monotonic()
        self.counted: dict[tuple[str, str], int] = {}  # requests by face and outcome
        self._deadline = Deadline(deadline_s)
        self._writer = Writer(queue_max, LINGER_S)
        self._operator = AsyncKernel(kernel, self._writer)
        self._kernels: OrderedDict[str, AsyncKernel] = OrderedDict()
        self.closing = asyncio.Event()
        self.connections = 0
        self.clock_state = str(kernel.health()["state"])
        command = kernel._records_after(-1)[0].body.command
        assert isinstance(command, Open)
        self.world_id = command.world.hex()  # which it was given when it was made
        self._threads = Threads()
        self._turns = Turns(self._writer)
        self._ticking: asyncio.Task[None] | None = None

    # --- its life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Work through what falls due, from now on; to be called in the loop that serves."""
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    def end(self) -> None:
        """Nothing is waited for any more: who follows and who waits is told what is so now."""
        self.closing.set()
        self.kernel._world.signals.closed()

    async def close(self) -> None:
        """Answer what is queued, then close the world."""
        self.end()
        if self._ticking is not None:
            self._ticking.cancel()
        self._threads.close()
        await self._operator.close()

    async def _tick(self) -> None:
        """What falls due happens at its time, although nobody asks."""
        world = self.kernel._world
        while not world.stopped:
            await asyncio.sleep(TICK_SECONDS_MAX)
            due = world.state.ledger.agenda[:1]
            with suppress(SplittallyError):  # the clock stands, or the world stopped: requests hear of it
                if due and world.clock.kind != GIVEN and due[0].due_ns <= time.time_ns():
                    await self._operator.tick()
                self.clock_state = str((await self._operator.health())["state"])

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
        return world.state.now_ns if world.clock.kind == GIVEN else max(time.time_ns(), world.state.now_ns)

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

    async def run(
        self, caller: Caller, documents: Sequence[Any], say: Say = readable
    ) -> list[dict[str, Any]]:
        """The answers to documents of requests, in order; one that cannot be read is answered so."""
        kernel = self.asking(caller)
        if len(documents) > MANY_MAX:
            raise Problem(413, "too_many", f"an array has at most {MANY_MAX} requests")
        read = [_read(document) for document in documents]
        asked = [each for each in read if isinstance(each, At)]
        answers = iter(await self.within(self._turns.run(caller.principal, kernel, asked)) if asked else ())
        return [
            told(self.veiled(caller, each, next(answers)) if isinstance(each, At) else each, document, say)
            for each, document in zip(read, documents, strict=True)
        ]

    async def one(self, caller: Caller, document: Any) -> dict[str, Any]:
        """The answer to one document; `Problem` where it cannot be read, or finds the queue full."""
        kernel = self.asking(caller)
        asked = _read(document)
        if isinstance(asked, SplittallyError):
            raise problem_of(asked)
        (answer,) = await self.within(self._turns.run(caller.principal, kernel, [asked]))
        if isinstance(answer, SplittallyError):
            raise problem_of(answer)
        if isinstance(answer, Decision) and answer.seq is None and is_busy(answer):
            raise busy()
        return told(self.veiled(caller, asked, answer), document)

    async def judged(self, caller: Caller, asked: At[Intent]) -> Decision:
        """What would be decided now, with nothing written."""
        answer = await self.within(self._turns.decide(caller.principal, self.asking(caller), asked))
        decision: Decision = self.veiled(caller, asked, answer)
        return decision

    def veiled(self, caller: Caller, asked: At, answer: Any) -> Any:
        """An answer as this caller may know it: under a grant that is another's, as if there were none."""
        return veiled(caller, self.kernel._world.state.caps.grants, asked.request, answer)

    async def within(self, asked: Awaitable[R]) -> R:
        """The answer within a deadline; `Problem` 504 after it, and what nobody hears of is not held."""
        try:
            return await self._deadline.within(asked)
        except TimeoutError:
            text = f"no decision within {self.deadline_s:g} s; ask again"
            raise Problem(504, "deadline", text) from None
        except SplittallyError as error:
            raise problem_of(error) from None

    async def wait(self, intent_hash: str, timeout_s: float, ended: bool) -> None:
        """Until an intent no longer waits for approval, or has ended, or time is up, or the service ends."""
        waiting = asyncio.ensure_future(self._operator.wait(intent_hash, timeout_s, ended=ended))
        ending = asyncio.ensure_future(self.closing.wait())
        try:
            await asyncio.wait((waiting, ending), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                await waiting
        except SplittallyError as error:
            raise problem_of(error) from None
        finally:
            waiting.cancel()
            ending.cancel()

    async def look(self, caller: Caller, read: Callable[[Queries], R]) -> R:
        """What a view says, read beside the writer: it is kept waiting for one row at a time."""
        try:
            return await self.beside(caller, lambda: read(self.kernel.state))
        except SplittallyError as error:
            raise problem_of(error) from None

    async def beside(self, caller: Caller, work: Callable[[], R]) -> R:
        """What `work` gives, done in a thread when it is this caller's turn."""
        return await self._threads.do(caller.principal, work)

    async def outcome(self, caller: Caller, intent_hash: str) -> Row | None:
        """What happened to an intent that the caller may see; None of any other."""
        found = await self.look(caller, lambda _: self.kernel.outcome(intent_hash))
        return found if found is not None and may_see(caller, found) else None

    def is_own(self, caller: Caller, intent_hash: bytes) -> bool:
        """Whether the caller asked for an intent; it takes the world's lock."""
        found = self.kernel.outcome(intent_hash)
        return found is not None and may_see(caller, found)

    def records_after(self, seq: int, limit: int) -> list[Record]:
        """At most `limit` durable frames after a sequence; it takes the world's lock."""
        found: list[Record] = []
        while len(found) < limit:
            more = self.kernel._records_after(found[-1].seq if found else seq)
            if not more:
                break
            found += more
        return found[:limit]

    @property
    def head(self) -> Head:
        """How many frames are durable, and the hash of the last."""
        head: Head = self.kernel._world.store.head
        return head

    @property
    def waiting(self) -> int:
        """How many entries wait for the writer."""
        return self._writer.size

    @property
    def is_closing(self) -> bool:
        """Whether nothing new is taken."""
        return self.closing.is_set()

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
