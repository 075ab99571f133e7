"""Which keys have counters in the windows that are open, so that a window that ends finds them.

Rule 1. It is derived from the counters and stands in no root. A key may be named whose counter is gone.
Rule 2. A fork reads through to its base and writes only its own.
"""

Of = tuple[str, str, str, int]  # scope, dim, per, start of a window


class KeyIndex:
    """The keys of each window."""

    __slots__ = ("_base", "_own")

    def __init__(self, base: "KeyIndex | None" = None) -> None:
        self._base = base
        self._own: dict[Of, dict[bytes, None]] = {}

    def add(self, window: Of, key: bytes) -> None:
        self._own.setdefault(window, {})[key] = None

    def of(self, window: Of) -> list[bytes]:
        """The keys of a window."""
        below = self._base.of(window) if self._base is not None else []
        own = self._own.get(window)
        return [*below, *own] if own else below

    def drop(self, window: Of) -> None:
        self._own.pop(window, None)

    def copy(self) -> "KeyIndex":
        """An index of its own, which what happens here does not reach."""
        twin = self._base.copy() if self._base is not None else KeyIndex()
        for window, keys in self._own.items():
            twin._own[window] = twin._own.get(window, {}) | keys
        return twin

    def clear(self) -> None:
        self._base = None
        self._own.clear()
