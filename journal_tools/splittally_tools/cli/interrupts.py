"""Ctrl-C leaves nothing half-done: what has begun is finished and answered first.

Rule 1. The signal waits while a group is decided, committed and answered, and arrives after it.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def whole() -> Iterator[None]:
    """Holds an interruption back until the block has ended."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
