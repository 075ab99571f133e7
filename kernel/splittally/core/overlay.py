"""A table that reads through to another and keeps its own writes: dry runs, groups, what-if.

Rule 1. The base is never written.
Rule 2. Values are replaced, never mutated; whoever changes an entry stores a new one.
Rule 3. It answers as a plain copy of the base would, also in the order of its rows. So every method that
        reads what is stored here is written anew; the others of `dict` write here, where a write belongs.
"""

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")
_NOTHING: Any = object()


# Example. Over {a: 1, b: 2}: `b = 3` is stored here and read at the place of `b` in the base. `del a` puts
# `a` into `gone`; `a = 4` is then stored here and comes last, because `gone` hides the base's `a` for good.
class Overlay(dict[K, V]):
    """`base` with the writes of one fork laid over it; `gone` are the rows of the base that it deleted."""

    __slots__ = ("base", "gone")

    def __init__(self, base: dict[K, V]) -> None:
        super().__init__()
        self.base = base
        self.gone: set[K] = set()

    # --- reading ------------------------------------------------------------------------------------

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

    def __iter__(self) -> Iterator[K]:
        for key in self.base:
            if key not in self.gone:
                yield key
        yield from self._own()

    def _own(self) -> Iterator[K]:
        """The rows that stand here and not in the base, or not any more."""
        for key in dict.__iter__(self):
            if key not in self.base or key in self.gone:
                yield key

    def __len__(self) -> int:
        return len(self.base) - len(self.gone) + sum(1 for _ in self._own())

    def __reversed__(self) -> Iterator[K]:
        return reversed(list(self))

    def keys(self) -> Any:
        return KeysView(self)

    def values(self) -> Any:
        return _Values(self)

    def items(self) -> Any:
        return _Items(self)

    def rows(self) -> Iterator[tuple[K, V]]:
        """Each key and value; those of the base are read in passing, and not looked up."""
        for key, value in self.base.items():
            if key not in self.gone:
                yield key, dict.get(self, key, value)
        for key in self._own():
            yield key, dict.__getitem__(self, key)

    def touched(self) -> list[K]:
        """The keys that were written or deleted here; every other row is the base's own."""
        return [*dict.__iter__(self), *(key for key in self.gone if not dict.__contains__(self, key))]

    def __eq__(self, other: object) -> bool:
        return self.copy() == other

    def __ne__(self, other: object) -> bool:
        return self.copy() != other

    __hash__ = None

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def copy(self) -> dict[K, V]:
        """All rows in a table of their own."""
        return dict(self.items())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (self.copy(),)

    def __repr__(self) -> str:
        return repr(self.copy())

    # --- writing ------------------------------------------------------------------------------------

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        dict.pop(self, key, None)
        if key in self.base:
            self.gone.add(key)

    def pop(self, key: K, default: Any = _NOTHING) -> Any:
        value = self.get(key, default)
        if value is _NOTHING:
            raise KeyError(key)
        if key in self:
            del self[key]
        return value

    def popitem(self) -> tuple[K, V]:
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("the table is empty")

    def setdefault(self, key: K, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        dict.clear(self)
        self.gone.update(self.base)


class _Items(ItemsView[K, V]):
    _mapping: Overlay[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping.rows()


class _Values(ValuesView[V]):
    _mapping: Overlay[Any, V]

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping.rows())
