"""Views as lazy mappings: a look-up costs a look-up, a list is taken page by page.

Rule 1. A table is a window on the state: each look-up is of the state as it is then. A row is a copy of one
        moment: nothing in it changes, and changing it changes nothing. Where a row is a table itself, as in
        `state.counters`, it is a window again.
Rule 2. Commands wait while a row is built or keys are copied, never while a caller goes through them.
Rule 3. Keys come in their order; a page names the key after which the next begins. It sorts no more keys than
        it gives: sorting a million holds up every thread of the process.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from heapq import nsmallest
from typing import Any, Generic, TypeVar, overload

K = TypeVar("K")
R = TypeVar("R")
D = TypeVar("D")
PAGE_ROWS = 100


class Table(Mapping[K, R], Generic[K, R]):
    """Rows by key, built when they are asked for; called with fields, the rows that have these values.

    `keys` gives the keys that there are now in any order, `find` the row of one, None where there is none.
    """

    __slots__ = ("_find", "_keys", "_still")

    def __init__(
        self,
        keys: Callable[[], Iterable[K]],
        find: Callable[[K], R | None],
        still: AbstractContextManager[Any],
    ) -> None:
        self._keys = keys
        self._find = find
        self._still = still

    def __getitem__(self, key: K) -> R:
        row = self._row(key)
        if row is None:
            raise KeyError(key)
        return row

    @overload
    def get(self, key: K, /) -> R | None: ...
    @overload
    def get(self, key: K, /, default: R | D) -> R | D: ...
    def get(self, key: K, /, default: Any = None) -> Any:
        """The row of a key; `default` where there is none."""
        row = self._row(key)
        return default if row is None else row

    def __contains__(self, key: object) -> bool:
        return self._row(key) is not None

    def _row(self, key: Any) -> R | None:
        with self._still:
            return self._find(key)

    def __iter__(self) -> Iterator[K]:
        with self._still:
            keys = list(self._keys())
        return iter(sorted(keys))  # type: ignore[type-var]

    def __len__(self) -> int:
        with self._still:
            return len(list(self._keys()))

    def items(self) -> list[tuple[K, R]]:  # type: ignore[override]
        """Every key that is still there when its turn comes, with its row."""
        rows = ((key, self.get(key)) for key in self)
        return [(key, row) for key, row in rows if row is not None]

    def values(self) -> list[R]:  # type: ignore[override]
        """The rows alone."""
        return [row for _, row in self.items()]

    def page(self, after: K | None = None, limit: int = PAGE_ROWS) -> list[tuple[K, R]]:
        """At most `limit` rows whose keys come after `after`, in order; the first ones where it is None."""
        with self._still:
            keys = list(self._keys())
        coming = (key for key in keys if after is None or after < key)  # type: ignore[operator]
        rows = ((key, self.get(key)) for key in nsmallest(limit, coming))  # type: ignore[type-var]
        return [(key, row) for key, row in rows if row is not None]

    def __call__(self, **fields: Any) -> dict[K, R]:
        """The rows that have these values: of a list or a map this item or key, of a map these entries."""
        return {key: row for key, row in self.items() if _matches(row, fields)}

    def __eq__(self, other: object) -> bool:
        return dict(self.items()) == (dict(other.items()) if isinstance(other, Mapping) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(dict(self.items()))


def _matches(row: Any, fields: dict[str, Any]) -> bool:
    for name, wanted in fields.items():
        value = row.get(name) if isinstance(row, Mapping) else None
        if isinstance(value, dict) and isinstance(wanted, dict):
            if not wanted.items() <= value.items():
                return False
        elif isinstance(value, list | dict) and not isinstance(wanted, list | dict):
            if wanted not in value:
                return False
        elif value != wanted:
            return False
    return True
