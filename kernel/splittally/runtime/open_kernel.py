"""Opening a world as a kernel: over a folder, over any store; ids for attempts."""

import os
from collections.abc import Callable
from pathlib import Path

from splittally.core.limits import ATTEMPT_BYTES, OPEN_HOLDS_MAX
from splittally.edge.arguments import require, require_natural
from splittally.edge.seal import Entropy
from splittally.journal.store import Store
from splittally.runtime.clock import Clock
from splittally.runtime.kernel import Kernel
from splittally.runtime.opening import open_or_create, open_over


def open_world(
    path: str | Path | None,
    clock: Clock | None = None,
    *,
    create: bool = True,
    open_max: int = OPEN_HOLDS_MAX,
    lock_seconds: float | None = None,
    entropy: Entropy | None = None,
) -> Kernel:
    """Open the world at `path`, or make one there; see `splittally.open`."""
    if path is not None:
        require(path, (str, os.PathLike), "path", "a path")
    if lock_seconds is not None:
        require(lock_seconds, (int, float), "lock_seconds", "a number of seconds")
    _require_options(open_max, entropy)
    return Kernel(
        open_or_create(
            path, clock, create=create, entropy=entropy, open_max=open_max, lock_seconds=lock_seconds
        )
    )


def open_store(
    store: Store,
    clock: Clock | None = None,
    *,
    open_max: int = OPEN_HOLDS_MAX,
    entropy: Entropy | None = None,
) -> Kernel:
    """The kernel of the world whose frames `store` holds; a new world where it holds none.

    For frames that are in no folder, and for stores that fail on purpose. `clock` is as in
    `splittally.open`.
    """
    _require_options(open_max, entropy)
    return Kernel(open_over(store, clock, entropy=entropy, open_max=open_max))


def new_attempt() -> bytes:
    """A fresh attempt id for a client that may have to send its intent again."""
    return os.urandom(ATTEMPT_BYTES)


def _require_options(open_max: int, entropy: Entropy | None) -> None:
    require_natural(open_max, "open_max")
    if entropy is not None:
        require(entropy, Callable, "entropy", "a function from a number of bytes to so many")  # type: ignore[arg-type]
