"""Read-only views of a state: grants, counters, reservations, accounts, budgets.

Rule 1. Nothing copies the world: tables are lazy (`table.py`), and a row is built when it is asked for.
Rule 2. A row reads by key and by attribute; calling a table filters it.
Rule 3. `tables` and `root` alone take everything at once, at one sequence number.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import msgspec

from splittally.core.canonical import decode
from splittally.core.caps.state import NO_PARAMS, limits_of
from splittally.core.ledger.state import Counter, CounterKey
from splittally.core.snapshot import state_root, tables
from splittally.core.state import State
from splittally.core.types import LIFE, RESERVED, AccountDef
from splittally.edge.arguments import require
from splittally.edge.dimensions import uncounted
from splittally.runtime.budget_views import budget_row
from splittally.runtime.governor_views import governor_row
from splittally.runtime.rows import Row
from splittally.runtime.table import K, R, Table

Rows = Table[str, Row]
UNDEFINED = "undefined"  # of an account that is only named


class Queries:
    """The state of a world, for people and programs; `still` keeps commands waiting while a row is built."""

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
    def engine(self) -> str:
        """The engine id under which the world was opened last."""
        return self._current().engine

    def tables(self) -> dict[str, list[list[Any]]]:
        """Every table of the state as canonical rows, at one sequence number."""
        with self._still:
            return tables(self._current())

    # --- authority and limits --------------------------------------------------------------------

    @property
    def grants(self) -> Rows:
        """Grants by name, with their hashes, whether revoked, their chain, and the limits nothing counts."""
        return self._table(lambda: self._current().caps.grants.keys(), self._grant_row)

    def _grant_row(self, name: str) -> Row | None:
        state = self._current()
        grant = state.caps.grants.get(name)
        if grant is None:
            return None
        row = Row(msgspec.structs.asdict(grant))
        row["limits"] = [Row(msgspec.structs.asdict(limit)) for limit in limits_of(grant)]
        row["chain"] = [above.name for above in state.caps.ancestors(name)]
        row["revoked"] = state.caps.is_revoked(name)
        row["exhausted"] = _is_exhausted(state, name)
        row["uncounted"] = uncounted(state, name)
        row["permission"] = permission_of(state.caps.cap_params(grant))
        return row

    def grant(self, name_or_hash: str | bytes) -> Row | None:
        """A grant by its name, or by its hash as bytes or hex."""
        require(name_or_hash, (str, bytes), "grant", "a name or a hash")
        if isinstance(name_or_hash, str):
            found = self.grants.get(name_or_hash)
            if found is not None:
                return found
        wanted = name_or_hash if isinstance(name_or_hash, bytes) else _from_hex(name_or_hash)
        with self._still:
            grants = list(self._current().caps.grants.values())
        named = min((grant.name for grant in grants if grant.grant_hash == wanted), default=None)
        return None if named is None else self.grants.get(named)

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
            return _counter_row(self._counters().get((grant, dim, LIFE, 0)))

    def _counters(self) -> dict[CounterKey, Counter]:
        return self._current().ledger.counters

    def _counters_of(self, scope: str) -> Rows | None:
        rows = Table(
            lambda: [key[1] for key in self._counters() if key[0] == scope and key[2] == LIFE],
            lambda dim: _counter_row(self._counters().get((scope, dim, LIFE, 0))),
            self._still,
        )
        is_limited = any((scope, x.dim, LIFE, 0) in self._counters() for x in self._limits(scope))
        return rows if is_limited or any(x[0] == scope and x[2] == LIFE for x in self._counters()) else None

    def _limits(self, scope: str) -> tuple[Any, ...]:
        grant = self._current().caps.grants.get(scope)
        return limits_of(grant) if grant is not None else ()

    @property
    def windows(self) -> Table[CounterKey, Row]:
        """Windowed counters as (scope, dim, per, start_ns) -> {limit, reserved, spent}."""
        return self._table(
            lambda: [key for key in self._counters() if key[2] != LIFE],
            lambda key: _counter_row(self._counters().get(key)) if key[2] != LIFE else None,
        )

    @property
    def policy(self) -> list[Row]:
        """The policy's rules in order."""
        return [Row(msgspec.structs.asdict(rule)) for rule in self._current().rules]

    @property
    def governor(self) -> Row | None:
        """What the governor is told and sees now: caps with what counts against them, lanes, verdicts."""
        with self._still:
            return governor_row(self._current())

    # --- holds and money -------------------------------------------------------------------------

    @property
    def reservations(self) -> Table[bytes, Row]:
        """Open holds by intent hash, with their age in logical nanoseconds.

        `attempt` dispatched the effect, at `started_ns`, None where nobody did; called with `is_orphan=True`
        it gives those that were started and have no answer, `running_ns` ago.
        """
        return self._table(lambda: self._current().ledger.holds.keys(), self._hold_row)

    def _hold_row(self, digest: bytes) -> Row | None:
        state = self._current()
        hold = state.ledger.holds.get(digest)
        if hold is None:
            return None
        attempt, started_ns = state.ledger.started.get(digest, (None, None))
        return Row(
            intent_hash=digest,
            seq=hold.seq,
            principal=hold.by,
            kind=hold.kind,
            status=RESERVED,
            phase=hold.phase,
            at_ns=hold.at_ns,
            age_ns=state.now_ns - hold.at_ns,
            due_ns=hold.due_ns or None,
            attempt=attempt,
            started_ns=started_ns,
            running_ns=None if started_ns is None else state.now_ns - started_ns,
            is_orphan=started_ns is not None,
            grant=hold.legs[0].grant,
            reserve=dict(hold.legs[0].reserve),
            dim=sorted(hold.legs[0].reserve),
            legs=[Row(msgspec.structs.asdict(leg)) for leg in hold.legs],
            draws=[Row(msgspec.structs.asdict(draw)) for draw in hold.draws],
        )

    @property
    def accounts(self) -> Rows:
        """Accounts by name: {kind, debt_limit, balances: {resource: minor units}, in_flight, spendable}.

        A name that older records credit and nobody defined is of kind `undefined`.
        """
        return self._table(self._account_names, self._account_row)

    def _account_names(self) -> set[str]:
        ledger = self._current().ledger
        return {*ledger.accounts, *(name for name, _ in ledger.balances)}

    def _account_row(self, name: str) -> Row | None:
        ledger = self._current().ledger
        resources = sorted(ledger.resources)
        held = {x: ledger.balances[name, x] for x in resources if (name, x) in ledger.balances}
        account = ledger.accounts.get(name)
        if account is None and not held:
            return None
        account = account or AccountDef(name=name, kind=UNDEFINED, debt_limit=0)
        free = {x: 0 if account.kind == "external" else held[x] + account.debt_limit for x in held}
        return Row(
            kind=account.kind,
            debt_limit=account.debt_limit,
            balances=held,
            in_flight={x: ledger.drawn[name, x] for x in resources if ledger.drawn.get((name, x))},
            spendable=free,
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

    def _budget_row(self, name: str, per: str) -> Row | None:
        state = self._current()
        if name not in state.plans.budgets:
            return None
        account = self._account_row(name)
        assert account is not None
        return Row(budget_row(state, name, account["in_flight"], per))

    @property
    def resources(self) -> Rows:
        """Resources by name with their scale, what is in flight, and the sum that must be zero."""
        return self._table(lambda: self._current().ledger.resources.keys(), self._resource_row)

    def _resource_row(self, name: str) -> Row | None:
        ledger = self._current().ledger
        resource = ledger.resources.get(name)
        if resource is None:
            return None
        balances = sum(amount for (_, held), amount in ledger.balances.items() if held == name)
        flying = ledger.inflight.get(name, 0)
        return Row(scale=resource.scale, in_flight=flying, imbalance=balances + flying)

    # --- definitions -----------------------------------------------------------------------------

    @property
    def effects(self) -> Rows:
        """The kinds of effects that are defined."""
        return self._definitions(lambda: self._current().caps.effects)

    @property
    def caps(self) -> Rows:
        """The caps that are defined, with the hash of the module that judges each."""
        return self._definitions(lambda: self._current().caps.caps)

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


def _is_exhausted(state: State, name: str) -> bool:
    """Whether a lifetime limit of a grant was passed by usage."""
    for limit in limits_of(state.caps.grants[name]):
        counter = state.ledger.counters.get((name, limit.dim, LIFE, 0))
        if limit.per == LIFE and counter is not None and counter.limit >= 0 and counter.available < 0:
            return True
    return False


def _counter_row(counter: Counter | None) -> Row | None:
    if counter is None:
        return None
    row = Row(
        limit=counter.limit if counter.limit >= 0 else None, reserved=counter.reserved, spent=counter.spent
    )
    if counter.refunded:
        row["refunded"] = counter.refunded
    return row


@lru_cache(maxsize=4096)
def permission_of(params: bytes) -> str | None:
    """The permission as its author wrote it, where the grant was made from one (spec/06-manifest.md)."""
    text = decode(params).get("x-permission") if params != NO_PARAMS else None
    return text if type(text) is str else None


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
