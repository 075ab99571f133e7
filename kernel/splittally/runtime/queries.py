"""Read-only views of a state: grants, counters, reservations, accounts.

Rule 1. A view is a copy taken at one sequence number: nothing in it changes, and changing it changes
        nothing.
Rule 2. A row reads by key and by attribute; calling a table filters it.
Rule 3. A view is taken while no command runs, whichever thread asks.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from splittally.core.canonical import decode
from splittally.core.caps.state import NO_PARAMS, limits_of
from splittally.core.snapshot import state_root, tables
from splittally.core.state import State
from splittally.core.types import LIFE, RESERVED
from splittally.runtime.budget_views import budget_row
from splittally.runtime.governor_views import governor_row
from splittally.runtime.rows import Row


class Table(dict[Any, Any]):
    """Rows by key; called with fields it gives the rows that have these values."""

    def __call__(self, **fields: Any) -> "Table":
        return Table({key: row for key, row in self.items() if _matches(row, fields)})


def _matches(row: Any, fields: dict[str, Any]) -> bool:
    for name, wanted in fields.items():
        value = row.get(name) if isinstance(row, dict) else None
        if isinstance(value, list | dict) and not isinstance(wanted, list | dict):
            if wanted not in value:
                return False
        elif value != wanted:
            return False
    return True


P = ParamSpec("P")
R = TypeVar("R")


def _held_still(view: Callable[Concatenate["Queries", P], R]) -> Callable[Concatenate["Queries", P], R]:
    """The view, with every command waiting until it is taken."""

    @wraps(view)
    def taken(self: "Queries", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._still:
            return view(self, *args, **kwargs)

    return taken


class Queries:
    """The state of a world at one sequence number, for people and programs.

    Each view is of one sequence; `tables` gives everything at once. `still` keeps commands waiting.
    """

    def __init__(
        self, current: Callable[[], State], still: AbstractContextManager[Any] | None = None
    ) -> None:
        self._current = current
        self._still = nullcontext() if still is None else still

    @property
    @_held_still
    def seq(self) -> int:
        """How many frames this state has seen."""
        return self._current().size

    @property
    @_held_still
    def now_ns(self) -> int:
        """The logical time of the last frame."""
        return self._current().now_ns

    @property
    @_held_still
    def root(self) -> bytes:
        """The state root."""
        return state_root(self._current())

    @property
    @_held_still
    def clock(self) -> str:
        """The world's clock: host or given."""
        return self._current().clock

    @property
    @_held_still
    def engine(self) -> str:
        """The engine id under which the world was opened last."""
        return self._current().engine

    @_held_still
    def tables(self) -> dict[str, list[list[Any]]]:
        """Every table of the state as canonical rows."""
        return tables(self._current())

    @property
    @_held_still
    def grants(self) -> Table:
        """Grants by name, with their hashes, whether revoked, and their chain."""
        caps = self._current().caps
        rows = Table()
        for name in sorted(caps.grants):
            grant = caps.grants[name]
            row = Row(msgspec.structs.asdict(grant))
            row["limits"] = [Row(msgspec.structs.asdict(limit)) for limit in limits_of(grant)]
            row["chain"] = [above.name for above in caps.ancestors(name)]
            row["revoked"] = caps.is_revoked(name)
            row["exhausted"] = self._exhausted(name)
            row["permission"] = permission_of(caps.cap_params(grant))
            rows[name] = row
        return rows

    def _exhausted(self, name: str) -> bool:
        state = self._current()
        for limit in limits_of(state.caps.grants[name]):
            counter = state.ledger.counters.get((name, limit.dim, LIFE, 0))
            if limit.per == LIFE and counter is not None and counter.limit >= 0 and counter.available < 0:
                return True
        return False

    @_held_still
    def grant(self, name_or_hash: str | bytes) -> Row | None:
        """A grant by its name, or by its hash as bytes or hex."""
        grants = self.grants
        if isinstance(name_or_hash, str) and name_or_hash in grants:
            row: Row = grants[name_or_hash]
            return row
        wanted = name_or_hash if isinstance(name_or_hash, bytes) else _from_hex(name_or_hash)
        return next((row for row in grants.values() if row["grant_hash"] == wanted), None)

    @property
    @_held_still
    def counters(self) -> Table:
        """Life counters as grant -> dimension -> {limit, reserved, spent}, and refunded once used."""
        rows = Table()
        for (scope, dim, per, _), counter in sorted(self._current().ledger.counters.items()):
            if per == LIFE:
                rows.setdefault(scope, Table())[dim] = _counter_row(counter)
        return rows

    @property
    @_held_still
    def windows(self) -> Table:
        """Windowed counters as (scope, dim, per, start_ns) -> {limit, reserved, spent}."""
        return Table(
            {
                key: _counter_row(counter)
                for key, counter in sorted(self._current().ledger.counters.items())
                if key[2] != LIFE
            }
        )

    @property
    @_held_still
    def reservations(self) -> Table:
        """Open holds by intent hash, sorted by hash, with their age in logical nanoseconds.

        `attempt` dispatched the effect, at `started_ns`, None where nobody did; called with `is_orphan=True`
        it gives those that were started and have no answer, `running_ns` ago.
        """
        state = self._current()
        rows = Table()
        for digest in sorted(state.ledger.holds):
            hold = state.ledger.holds[digest]
            attempt, started_ns = state.ledger.started.get(digest, (None, None))
            rows[digest] = Row(
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
        return rows

    @property
    @_held_still
    def accounts(self) -> Table:
        """Accounts by name: {kind, debt_limit, balances: {resource: minor units}, in_flight, spendable}."""
        ledger = self._current().ledger
        rows = Table()
        for name in sorted(ledger.accounts):
            account = ledger.accounts[name]
            rows[name] = Row(
                kind=account.kind, debt_limit=account.debt_limit, balances={}, in_flight={}, spendable={}
            )
        for (name, resource), balance in sorted(ledger.balances.items()):
            rows[name]["balances"][resource] = balance
            free = 0 if rows[name]["kind"] == "external" else balance + rows[name]["debt_limit"]
            rows[name]["spendable"][resource] = free
        for hold in ledger.holds.values():
            for draw in hold.draws:
                flying = rows[draw.account]["in_flight"]
                flying[draw.resource] = flying.get(draw.resource, 0) + draw.amount
        return rows

    @property
    @_held_still
    def budgets(self) -> Table:
        """Budgets by name: schema, solution, input, stage, what is missing, funds, lines and parts."""
        return self.budgets_per("total")

    @_held_still
    def budgets_per(self, per: str) -> Table:
        """The same with lines at a horizon: hour, day, week, month, quarter or year."""
        state, accounts = self._current(), self.accounts
        return Table(
            {
                name: Row(budget_row(state, name, accounts[name].in_flight, per))
                for name in sorted(state.plans.budgets)
            }
        )

    @property
    @_held_still
    def resources(self) -> Table:
        """Resources by name with their scale, what is in flight, and the sum that must be zero."""
        ledger = self._current().ledger
        rows = Table()
        for name in sorted(ledger.resources):
            balances = sum(amount for (_, res), amount in ledger.balances.items() if res == name)
            flying = ledger.inflight.get(name, 0)
            rows[name] = Row(
                scale=ledger.resources[name].scale, in_flight=flying, imbalance=balances + flying
            )
        return rows

    @property
    @_held_still
    def governor(self) -> Row | None:
        """What the governor is told and sees now: caps with what counts against them, lanes, verdicts."""
        return governor_row(self._current())

    @property
    @_held_still
    def policy(self) -> list[Row]:
        """The policy's rules in order."""
        return [Row(msgspec.structs.asdict(rule)) for rule in self._current().rules]

    @property
    @_held_still
    def effects(self) -> Table:
        """The kinds of effects that are defined."""
        effects = self._current().caps.effects
        return Table({kind: Row(msgspec.structs.asdict(effects[kind])) for kind in sorted(effects)})

    @property
    @_held_still
    def caps(self) -> Table:
        """The caps that are defined, with the hash of the module that judges each."""
        caps = self._current().caps.caps
        return Table({name: Row(msgspec.structs.asdict(caps[name])) for name in sorted(caps)})

    @property
    @_held_still
    def manifests(self) -> Table:
        """The manifests that named modules: hash in hex -> module name -> module hash."""
        return Table({key: dict(named) for key, named in sorted(self._current().caps.manifests.items())})

    @property
    @_held_still
    def modules(self) -> Table:
        """Installed modules: name -> hash."""
        modules = self._current().caps.modules
        return Table({name: modules[name] for name in sorted(modules)})

    @_held_still
    def wasm(self, module: bytes) -> bytes | None:
        """The bytes of the module with this hash; None where the world has none."""
        return self._current().caps.blobs.get(module)


def _counter_row(counter: Any) -> Row:
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
