"""Read-only views of the world itself: how far it is, and what is defined in it.

Rule 1. Nothing copies the world: tables are lazy (`table.py`), and a row is built when it is asked for.
Rule 2. `tables` and `root` alone take everything at once, at one sequence number.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from splittally.core.snapshot import state_root, tables
from splittally.core.state import State
from splittally.edge.wording import Wording, wording_of
from splittally.runtime.callers import token_row
from splittally.runtime.governor_views import governor_row
from splittally.runtime.rows import Row
from splittally.runtime.table import K, R, Table

Rows = Table[str, Row]


class Definitions:
    """What a state says of its world; `still` keeps commands waiting while a row is built."""

    def __init__(
        self, current: Callable[[], State], still: AbstractContextManager[Any] | None = None
    ) -> None:
        self._current = current
        self._still = nullcontext() if still is None else still

    def _table(self, keys: Callable[[], Iterable[K]], find: Callable[[K], R | None]) -> Table[K, R]:
        """A window on the state; where there is no state to look at, that is said at once."""
        self._current()
        return Table(keys, find, self._still)

    @property
    def seq(self) -> int:
        """How many frames this state has seen."""
        return self._current().size

    @property
    def now_ns(self) -> int:
        """The logical time of the last frame."""
        return self._current().now_ns

    @property
    def root(self) -> bytes:
        """The state root, over every table at one sequence number."""
        with self._still:
            return state_root(self._current())

    @property
    def clock(self) -> str:
        """The world's clock: host or given."""
        return self._current().clock

    @property
    def wording(self) -> Wording:
        """How values of this world are said to people: its units and its clock."""
        with self._still:
            return wording_of(self._current())

    @property
    def engine(self) -> str:
        """The engine id under which the world was opened last."""
        return self._current().engine

    def tables(self) -> dict[str, list[list[Any]]]:
        """Every table of the state as canonical rows, at one sequence number."""
        with self._still:
            return tables(self._current())

    # --- what is defined -------------------------------------------------------------------------

    @property
    def policy(self) -> list[Row]:
        """The policy's rules in order."""
        return [Row(msgspec.structs.asdict(rule)) for rule in self._current().rules]

    @property
    def governor(self) -> Row | None:
        """What the governor is told and sees now: caps with what counts against them, lanes, verdicts."""
        with self._still:
            return governor_row(self._current())

    @property
    def effects(self) -> Rows:
        """The kinds of effects that are defined."""
        return self._definitions(lambda: self._current().caps.effects)

    @property
    def caps(self) -> Rows:
        """The caps that are defined, with the hash of the module that judges each."""
        return self._definitions(lambda: self._current().caps.caps)

    @property
    def tokens(self) -> Rows:
        """The tokens by which the served world is reached: by name, as they stand at the logical time."""
        return self._table(
            lambda: self._current().caps.bearers.keys(),
            lambda name: token_row(self._current(), name, self._current().now_ns),
        )

    @property
    def principals(self) -> Rows:
        """As whom users of the machine act on the socket: uids and roles, by the name of the principal."""
        return self._definitions(lambda: self._current().caps.principals)

    def _definitions(self, table: Callable[[], dict[str, Any]]) -> Rows:
        def find(name: str) -> Row | None:
            found = table().get(name)
            return None if found is None else Row(msgspec.structs.asdict(found))

        return self._table(lambda: table().keys(), find)

    @property
    def manifests(self) -> Table[str, dict[str, bytes]]:
        """The manifests that named modules: hash in hex -> module name -> module hash."""
        named = self._current().caps.manifests
        return self._table(lambda: named.keys(), lambda key: dict(named[key]) if key in named else None)

    @property
    def modules(self) -> Table[str, bytes]:
        """Installed modules: name -> hash."""
        return self._table(
            lambda: self._current().caps.modules.keys(),
            lambda name: self._current().caps.modules.get(name),
        )

    def wasm(self, module: bytes) -> bytes | None:
        """The bytes of the module with this hash; None where the world has none."""
        return self._current().caps.blobs.get(module)
