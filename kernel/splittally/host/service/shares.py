"""How much of what is scarce one principal has at a time; what it asks beyond that waits for its own.

Rule 1. Of each principal so much is on its way at most; its next goes on, in order, when that has made room.
Rule 2. Of each principal so much waits at most; what is more is not taken.
Rule 3. Something larger than a share goes alone.
"""

import asyncio
from collections import deque


class _Share:
    def __init__(self) -> None:
        self.taken = 0
        self.waits = 0  # the weight of those
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()


class Shares:
    """The shares of all who ask, each of `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._shares: dict[str, _Share] = {}

    def waiting(self, name: str) -> int:
        """How much of this principal waits."""
        share = self._shares.get(name)
        return 0 if share is None else share.waits

    async def take(self, name: str, weight: int) -> None:
        """Wait until there is room for so much; whoever took gives it back."""
        share = self._shares.setdefault(name, _Share())
        if not share.waiting and self._fits(share, weight):
            share.taken += weight
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        share.waiting.append((weight, turn))
        share.waits += weight
        try:
            await turn
        except asyncio.CancelledError:
            if (weight, turn) in share.waiting:
                share.waiting.remove((weight, turn))
                share.waits -= weight
                self._go_on(name, share)
            else:  # it was given just now
                self.give(name, weight)
            raise

    def give(self, name: str, weight: int) -> None:
        """So much of it is done."""
        share = self._shares[name]
        share.taken -= weight
        self._go_on(name, share)

    def _go_on(self, name: str, share: _Share) -> None:
        while share.waiting and self._fits(share, share.waiting[0][0]):
            weight, turn = share.waiting.popleft()
            share.waits -= weight
            share.taken += weight
            if not turn.done():  # else its task is about to give it back
                turn.set_result(None)
        if not share.taken and not share.waiting:
            self._shares.pop(name, None)

    def _fits(self, share: _Share, weight: int) -> bool:
        return not share.taken or share.taken + weight <= self._most
