"""The writer's time, shared out: no principal's intents keep those of others waiting for long.

Rule 1. Before the writer stand at most `SHARE_MAX` intents of one principal; its next come when these are
        decided. A list longer than that is asked piece by piece, in order.
Rule 2. `WAITING_MAX` of them wait for that; more are answered `busy`. Receipts, releases, extensions and
        dispatches take no turn.
Rule 3. What would be decided costs the writer as much as what is, so it takes a turn, too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from splittally.aio import AsyncKernel
from splittally.core.limits import GROUP_MAX
from splittally.edge.records import At, Decision, Intent
from splittally.host.service.shares import Shares
from splittally.runtime.asking import busy_answer, may_be_busy
from splittally.runtime.writer import Writer

SHARE_MAX = 2 * GROUP_MAX  # while one commit is made, the next one waits already
WAITING_MAX = 1_024
JUDGED_WEIGHT = SHARE_MAX // 4  # a commit of its own each


class Turns:
    """The turns of all principals before one writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._shares = Shares(SHARE_MAX)

    async def run(self, principal: str, kernel: AsyncKernel, asked: list[At]) -> list[Any]:
        """The answers to requests, in order."""
        answers: list[Any] = []
        try:
            while len(answers) < len(asked):
                some = asked[len(answers) : len(answers) + SHARE_MAX]
                answers += await self._piece(principal, kernel, some)
        except asyncio.CancelledError:  # nobody hears what was answered already
            self._writer.give_back(kernel._kernel, asked[: len(answers)], answers)
            raise
        return answers

    async def decide(self, principal: str, kernel: AsyncKernel, asked: At[Intent]) -> Decision:
        """What would be decided."""
        if self._shares.waiting(principal) + JUDGED_WEIGHT > WAITING_MAX:
            answer: Decision = busy_answer(asked)
            return answer
        async with self._turn(principal, JUDGED_WEIGHT):
            return await kernel.decide(asked.request, asked.now_ns)

    async def _piece(self, principal: str, kernel: AsyncKernel, asked: list[At]) -> list[Any]:
        weight = sum(map(may_be_busy, asked))
        if not weight:
            return await kernel.run(asked)
        if self._shares.waiting(principal) + weight > WAITING_MAX:
            others = [item for item in asked if not may_be_busy(item)]
            rest = iter(await kernel.run(others) if others else ())
            return [busy_answer(item) if may_be_busy(item) else next(rest) for item in asked]
        async with self._turn(principal, weight):
            return await kernel.run(asked)

    @asynccontextmanager
    async def _turn(self, principal: str, weight: int) -> AsyncIterator[None]:
        await self._shares.take(principal, weight)
        try:
            yield
        finally:
            self._shares.give(principal, weight)
