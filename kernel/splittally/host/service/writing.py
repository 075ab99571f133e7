"""A transport that joins what is written in one step of the loop: a response is one write, not two.

A write to a connection is a call of the system, and wakes whoever reads. The server writes the head of a
response and its body apart.

Rule 1. What is written stays here until the step of the loop ends, or the connection is closed.
        Where the connection is gone by then, nobody hears it.
Rule 2. Everything else the transport does by itself.
"""

import asyncio
from typing import Any


class Joining:
    """The transport of one connection."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Write this when the step ends."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Write what is left, then close."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))
