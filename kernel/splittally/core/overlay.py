"""A table that reads through to another and keeps its own writes: dry runs, groups, what-if.

Rule 1. The base is never written.
Rule 2. Values are replaced, never mutated; whoever changes an entry stores a new one.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Overlay(dict[K, V]):
    """`base` with the writes and deletions of one fork laid over it."""

    __slots__ = ("base", "gone")

    def __init__(self, base: dict[K, V]) -> None:
        super().__init__()
        self.base = base
        self.gone: set[K] = set()

    def __missing__(self, key: K) -> V:
        if key in self.gone:
            raise KeyError(key)
        return self.base[key]

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key) or (key not in self.gone and key in self.base)

    def get(self, key: K, default: Any = None) -> Any:
        if dict.__contains__(self, key):
            return dict.__getitem__(self, key)
        return default if key in self.gone else self.base.get(key, default)

    def __setitem__(self, key: K, value: V) -> None:
        self.gone.discard(key)
        dict.__setitem__(self, key, value)

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        dict.pop(self, key, None)
        if key in self.base:
            self.gone.add(key)

    def pop(self, key: K, default: Any = None) -> Any:
        value = self.get(key, default)
        if key in self:
            del self[key]
        return value

    def __iter__(self) -> Iterator[K]:
        for key in self.base:
            if key not in self.gone:
                yield key
        for key in dict.__iter__(self):
            if key not in self.base:
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> Any:
        return list(self)

    def values(self) -> Any:
        return [self[key] for key in self]

    def items(self) -> Any:
        return [(key, self[key]) for key in self]
