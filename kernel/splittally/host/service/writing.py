"""A transport that joins what is written in one step of the loop: a response is one write, not two.

A write to a connection is a call of the system, and wakes whoever reads. The server writes the head of a
response and its body apart.

Rule 1. What is written stays here until the step of the loop ends, or the connection is closed.
        Where the connection is gone by then, nobody hears it.
Rule 2. At most `HELD_BYTES_MAX` stay: what is more is written, so that who writes hears when nobody takes it.
Rule 3. Everything else the transport does by itself.
"""

import asyncio
from typing import Any

HELD_BYTES_MAX = 4_096  # a head and the body of one decision have a quarter of it


class Joining:
    """The transport of one connection."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._held_bytes = 0

    def write(self, data: bytes) -> None:
        """Write this when the step ends."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HELD_BYTES_MAX:
            self._flush()

    def close(self) -> None:
        """Write what is left, then close."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        parts, self._parts, self._held_bytes = self._parts, [], 0
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))
