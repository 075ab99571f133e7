"""Read-only views of a state: grants, counters, reservations, accounts, budgets.

Rule 1. Nothing copies the world: tables are lazy (`table.py`), and a row is built when it is asked for.
Rule 2. A row reads by key and by attribute; calling a table filters it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from splittally.core.caps.state import limits_of
from splittally.core.errors import InvalidInput
from splittally.core.ledger.state import Counter, CounterKey, KeyedKey
from splittally.core.state import State
from splittally.core.types import LIFE
from splittally.core.value_keys import key_of_value
from splittally.edge.arguments import require
from splittally.edge.labels import NO_LABELS
from splittally.edge.moments import When
from splittally.runtime.budget_views import budget_row
from splittally.runtime.charges import Book
from splittally.runtime.definitions import Definitions, Rows
from splittally.runtime.grant_views import forgotten_row, grant_row
from splittally.runtime.history import History
from splittally.runtime.ledger_views import (
    account_names,
    account_row,
    counter_row,
    hold_row,
    keyed_row,
    raised_by,
    resource_row,
)
from splittally.runtime.metric_history import metric_history
from splittally.runtime.rows import Row
from splittally.runtime.solution_views import cell_row
from splittally.runtime.spend import GRANT, SpendQuery, require_groups, spend
from splittally.runtime.table import Table


class Queries(Definitions):
    """The state of a world, for people and programs; `still` keeps commands waiting while a row is built.

    `history` is where `grant` looks for one that the state has forgotten; without it there is none. `book`
    gives the frames that led to the state, where there are any to read.
    """

    def __init__(
        self,
        current: Callable[[], State],
        still: AbstractContextManager[Any] | None = None,
        history: Callable[[], History] | None = None,
        book: Callable[[], Book] | None = None,
    ) -> None:
        super().__init__(current, still)
        self._history = history
        self._book = book

    # --- authority and limits --------------------------------------------------------------------

    @property
    def grants(self) -> Rows:
        """Grants by name, with their hashes, whether revoked, their chain, and the limits nothing counts.

        Of those that were revoked the last are here; `grant` finds the others.
        """
        return self._table(
            lambda: self._current().caps.grants.keys(), lambda name: grant_row(self._current(), name)
        )

    def grant(self, name_or_hash: str | bytes) -> Row | None:
        """A grant by its name, also one that is forgotten, or by its hash as bytes or hex."""
        require(name_or_hash, (str, bytes), "grant", "a name or a hash")
        if isinstance(name_or_hash, str):
            found = self.grants.get(name_or_hash) or self._forgotten(name_or_hash)
            if found is not None:
                return found
        wanted = name_or_hash if isinstance(name_or_hash, bytes) else _from_hex(name_or_hash)
        with self._still:
            grants = list(self._current().caps.grants.values())
        named = min((grant.name for grant in grants if grant.grant_hash == wanted), default=None)
        return None if named is None else self.grants.get(named)

    def _forgotten(self, name: str) -> Row | None:
        if self._history is None:
            return None
        with self._still:
            return forgotten_row(self._current(), self._history(), name)

    @property
    def counters(self) -> Table[str, Rows]:
        """Life counters as grant -> dimension -> {limit, reserved, spent}, and refunded once used."""
        return self._table(
            lambda: {scope for scope, _, per, _ in self._counters() if per == LIFE},
            self._counters_of,
        )

    def counter(self, grant: str, dim: str) -> Row | None:
        """The life counter of a grant's dimension; None where nothing is counted."""
        with self._still:
            return self._counter_row((grant, dim, LIFE, 0))

    def _counter_row(self, key: CounterKey) -> Row | None:
        return counter_row(self._counters().get(key), raised_by(self._current(), key))

    def _counters(self) -> dict[CounterKey, Counter]:
        return self._current().ledger.counters

    def _counters_of(self, scope: str) -> Rows | None:
        rows = Table(
            lambda: [key[1] for key in self._counters() if key[0] == scope and key[2] == LIFE],
            lambda dim: self._counter_row((scope, dim, LIFE, 0)),
            self._still,
        )
        is_limited = any((scope, x.dim, LIFE, 0) in self._counters() for x in self._limits(scope))
        return rows if is_limited or any(x[0] == scope and x[2] == LIFE for x in self._counters()) else None

    def _limits(self, scope: str) -> tuple[Any, ...]:
        grant = self._current().caps.grants.get(scope)
        return limits_of(grant) if grant is not None else ()

    @property
    def windows(self) -> Table[CounterKey, Row]:
        """Windowed counters as (scope, dim, per, start_ns) -> {limit, reserved, spent}, and raised by
        top-ups.

        A rolling window has one for each of its slices, under the last instant of the slice. That of a limit
        per value says what the limit is; what was used stands in `keyed`.
        """
        return self._table(
            lambda: [key for key in self._counters() if key[2] != LIFE],
            lambda key: self._counter_row(key) if key[2] != LIFE else None,
        )

    @property
    def keyed(self) -> Table[KeyedKey, Row]:
        """Counters of limits per value as (scope, dim, per, start_ns, key) -> {limit, reserved, spent}.

        `key_of` says which key a value is.
        """
        return self._table(
            lambda: self._current().ledger.keyed.keys(), lambda key: keyed_row(self._current(), key)
        )

    @staticmethod
    def key_of(value: Any) -> bytes:
        """The key of a param or label of this value in `keyed`."""
        return key_of_value(value)

    # --- holds and money -------------------------------------------------------------------------

    @property
    def reservations(self) -> Table[bytes, Row]:
        """Open holds by intent hash, with their age in logical nanoseconds.

        `attempt` dispatched the effect, at `started_ns`, None where nobody did; called with `is_orphan=True`
        it gives those that were started and have no answer, `running_ns` ago; with `labels={"run": "7"}`
        those whose intents have that label.
        """
        return self._table(
            lambda: self._current().ledger.holds.keys(), lambda digest: hold_row(self._current(), digest)
        )

    @property
    def accounts(self) -> Rows:
        """Accounts by name: {kind, debt_limit, balances: {resource: minor units}, in_flight, spendable}.

        A name that older records credit and nobody defined is of kind `undefined`.
        """
        return self._table(
            lambda: account_names(self._current()), lambda name: account_row(self._current(), name)
        )

    @property
    def budgets(self) -> Rows:
        """Budgets by name: schema, solution, input, stage, what is missing, funds, lines and parts."""
        return self.budgets_per("total")

    def budgets_per(self, per: str) -> Rows:
        """The same with lines at a horizon: hour, day, week, month, quarter or year."""
        return self._table(
            lambda: self._current().plans.budgets.keys(),
            lambda name: self._budget_row(name, per),
        )

    def metric_history(self, budget: str, metric: str) -> Row:
        """Every value of a budget's metric with the version of its definition, and who wrote which when.

        It reads the journal once. `InvalidInput` where there never was such a metric.
        """
        if self._book is None:
            raise InvalidInput("a history is read from a journal, and this state has none", field="metric")
        return metric_history(self._book(), self._current(), budget, metric)

    def cell(self, budget: str, name: str) -> Row | None:
        """One cell of a budget's solution: {name, value, unit, version, solver, seq}; None where none is."""
        return cell_row(self._current(), budget, name)

    def _budget_row(self, name: str, per: str) -> Row | None:
        state = self._current()
        if name not in state.plans.budgets:
            return None
        account = account_row(state, name)
        assert account is not None
        return Row(budget_row(state, name, account["in_flight"], per))

    @property
    def resources(self) -> Rows:
        """Resources by name with their scale, what is in flight, and the sum that must be zero."""
        return self._table(
            lambda: self._current().ledger.resources.keys(), lambda name: resource_row(self._current(), name)
        )

    def spend(
        self,
        by: Sequence[str] = (GRANT,),
        *,
        since: When | None = None,
        until: When | None = None,
        under: str | None = None,
        grant: str | None = None,
        principal: str | None = None,
        kind: str | None = None,
        resource: str | None = None,
        outcome: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[Row]:
        """What was charged, refunded and paid, in minor units: a row for each group and resource.

        Groups are grant, principal, kind, outcome, resource, `label:NAME` and `window:PERIOD` (hour to year;
        a row has its start in nanoseconds). An intent counts under the leaf of its chain; with `under` what
        that grant was charged counts. A row has also `charges`, `charged`, `refunded`, `net`, `paid`,
        `repaid`. It reads the journal once (spec/08, "Spend"). `InvalidInput` where a name is none.
        """
        if self._book is None:
            raise InvalidInput("spend is read from a journal, and this state has none", field="spend")
        query = SpendQuery(
            by=require_groups(by),
            since=since,
            until=until,
            under=under,
            grant=grant,
            principal=principal,
            kind=kind,
            resource=resource,
            outcome=outcome,
            labels=NO_LABELS if labels is None else labels,
        )
        return spend(self._book(), self._current(), query)


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
