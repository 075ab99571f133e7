"""Random bytes for keys and ids, drawn from the system in larger pieces: one call for sixty-four intents.

Rule 1. A byte is given once. A process that was forked may not use its parent's world, nor so its pool.
"""

import os

POOL_BYTES = 4_096


class Pool:
    """Random bytes of the operating system; calling it gives so many."""

    __slots__ = ("_at", "_bytes")

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0

    def __call__(self, size: int) -> bytes:
        start = self._at
        end = start + size
        if end > len(self._bytes):
            self._bytes = os.urandom(max(POOL_BYTES, size))
            start, end = 0, size
        self._at = end
        return self._bytes[start:end]
