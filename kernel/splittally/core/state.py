"""The state of a world: a fixed set of tables, their root, and forks of them.

Rule 1. State changes only in `evolve`. Everything here is a projection of the journal.
Rule 2. The root is over the canonical map table -> array of [key, value] in key order; it is computed
        for snapshots, checkpoints and verification, never per record.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from splittally.core.budget.state import Firing, Measure, Plans, Solution
from splittally.core.canonical import encode_record
from splittally.core.caps.state import Caps
from splittally.core.dumped import Shared, dumped_size, dumped_tables
from splittally.core.governor import evolve as governor
from splittally.core.governor.state import Governed
from splittally.core.governor.terms import GovernorTerms
from splittally.core.hashing import hash_state
from splittally.core.ledger.state import Counter, Hold, Ledger
from splittally.core.types import (
    POLICY_SCOPE,
    AccountDef,
    BudgetDef,
    CapDef,
    Draw,
    EffectDef,
    Grant,
    Leg,
    Limit,
    ResourceDef,
    Rule,
)

FORMAT = 1
LATER_TABLES = (  # in the root once they hold something
    "appointments", "budgets", "firings", "governor", "lanes", "metrics", "solutions", "spent", "verdicts",
)  # fmt: skip
POLICY = "policy"
_WORLD = ("clock", "engine", "format", "now_ns", "offset_ns", "policy_hash", "world")


class State:
    """A world as its journal tells it up to `size` frames, at logical time `now_ns`."""

    __slots__ = ("caps", "clock", "engine", "format", "governed", "ledger", "now_ns", "offset_ns", "plans",
                 "policy_hash", "size", "world")  # fmt: skip

    def __init__(self) -> None:
        self.world = b""
        self.clock = ""
        self.engine = ""
        self.format = 0
        self.offset_ns = 0
        self.policy_hash = b""
        self.size = 0
        self.now_ns = 0
        self.caps = Caps()
        self.ledger = Ledger()
        self.plans = Plans()
        self.governed = Governed()

    def fork(self) -> "State":
        """A state that reads through to this one and keeps its own changes."""
        child = State()
        for name in ("world", "clock", "engine", "format", "offset_ns", "policy_hash", "size", "now_ns"):
            setattr(child, name, getattr(self, name))
        for name in ("caps", "ledger", "plans", "governed"):
            setattr(child, name, getattr(self, name).fork())
        return child

    @property
    def rules(self) -> list[Rule]:
        """The policy's rules in order; empty where the world has no policy."""
        return self.caps.rules.get(POLICY, [])

    def limit_of(self, scope: str, dim: str, per: str) -> Limit | None:
        """The limit that sets a windowed counter's amount, where one still stands."""
        limits: Iterable[Limit]
        if scope.startswith(POLICY_SCOPE):
            limits = [rate for rule in self.rules if POLICY_SCOPE + rule.name == scope for rate in rule.rates]
        else:
            grant = self.caps.grants.get(scope)
            limits = grant.limits if grant and scope not in self.caps.revoked else []
        for limit in limits:
            if (limit.dim, limit.per, limit.over) == (dim, per, "deny"):
                return limit
        return None


def tables(state: State) -> dict[str, list[list[Any]]]:
    """Every table as an array of [key, value] in the order of the keys' canonical bytes."""
    return {name: _rows(table, _LISTED.get(name, _plain)) for name, table in _tables(state).items()}


def _tables(state: State) -> dict[str, dict[Any, Any]]:
    """The tables that stand in the root."""
    world = {name: getattr(state, name) for name in _WORLD}
    every = {"world": world, **_domains(state)}
    return {name: table for name, table in every.items() if table or name not in LATER_TABLES}


def _domains(state: State) -> dict[str, dict[Any, Any]]:
    """The tables of the four domains."""
    return {
        **state.caps.tables(), **state.ledger.tables(), **state.plans.tables(), **state.governed.tables(),
    }  # fmt: skip


def state_root(state: State) -> bytes:
    """The hash of all tables."""
    return hash_state(encode_record(tables(state)))


def dump_state(state: State) -> bytes:
    """The state as bytes, for a snapshot."""
    return encode_record([state.size, tables(state)])


def load_state(data: bytes) -> State:
    """The state that `dump_state` wrote, with the root that `dumped_root` gives.

    `ValueError` or `CanonicalError` where the state would be dumped otherwise than it is here.
    """
    state, shared = State(), Shared()
    state.size = dumped_size(data)
    world: dict[str, Any] = {}
    targets = {"world": world, **_domains(state)}
    names = []
    for name, rows in dumped_tables(data):
        names.append(name)
        if name == "holds":
            for key, value, _ in rows:
                state.ledger.holds[key] = _read_hold(value, shared)
            continue
        read, listed = _READ.get(name, _same), _LISTED.get(name, _plain)
        for key, value, found in rows:
            record = read(value)
            if encode_record([key, listed(record)]) != found:
                raise ValueError(f"a row of `{name}` is not in the form of this release")
            targets[name][_key(key)] = record
    if world.keys() != set(_WORLD):
        raise ValueError("it does not say of the world what this release does")
    for name, value in world.items():
        setattr(state, name, value)
    if names != sorted(_tables(state), key=encode_record):
        raise ValueError("it does not have the tables of this release")
    state.ledger.rebuild_agenda()
    state.ledger.rebuild_issued()
    for hold in state.ledger.holds.values():
        governor.reserve(state.governed, hold.legs[0].reserve, 1)
    return state


def _read_hold(row: list[Any], shared: Shared) -> Hold:
    *atoms, legs, draws = row
    return msgspec.convert(
        [
            *map(shared.part, atoms),
            [shared.record(leg, Leg) for leg in legs],
            [shared.record(draw, Draw) for draw in draws],
            b"",
        ],
        Hold,
    )


def _rows(table: dict[Any, Any], listed: Callable[[Any], Any]) -> list[list[Any]]:
    rows = [[list(key) if type(key) is tuple else key, listed(value)] for key, value in table.items()]
    rows.sort(key=lambda row: encode_record(row[0]))
    return rows


def _plain(value: Any) -> Any:
    return value


def _same(value: Any) -> Any:
    return value


def _builtin(value: Any) -> Any:
    return msgspec.to_builtins(value, builtin_types=(bytes,))


def _hold_row(hold: Hold) -> list[Any]:
    """A hold without its frame's hash, which stands in no root."""
    return [
        hold.seq, hold.member, hold.by, hold.kind, hold.phase, hold.at_ns, hold.due_ns, hold.expires_ns,
        [_builtin(leg) for leg in hold.legs], [_builtin(draw) for draw in hold.draws],
    ]  # fmt: skip


def _key(key: Any) -> Any:
    return tuple(key) if type(key) is list else key


def _reader(kind: Any) -> Callable[[Any], Any]:
    return lambda value: msgspec.convert(value, kind)


_LISTED: dict[str, Callable[[Any], Any]] = {
    "accounts": _builtin,
    "governor": _builtin,
    "spent": list,
    "verdicts": list,
    "budgets": _builtin,
    "firings": _builtin,
    "metrics": _builtin,
    "solutions": _builtin,
    "caps": _builtin,
    "counters": _builtin,
    "effects": _builtin,
    "grants": _builtin,
    "holds": _hold_row,
    "resources": _builtin,
    "rules": lambda rules: [_builtin(rule) for rule in rules],
    "windows": list,
}

_READ: dict[str, Callable[[Any], Any]] = {
    "accounts": _reader(AccountDef),
    "governor": _reader(GovernorTerms),
    "spent": tuple,
    "verdicts": tuple,
    "budgets": _reader(BudgetDef),
    "firings": _reader(Firing),
    "metrics": _reader(Measure),
    "solutions": _reader(Solution),
    "caps": _reader(CapDef),
    "counters": _reader(Counter),
    "effects": _reader(EffectDef),
    "grants": _reader(Grant),
    "resources": _reader(ResourceDef),
    "rules": _reader(list[Rule]),
    "windows": tuple,
}
