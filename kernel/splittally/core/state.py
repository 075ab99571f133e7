"""The state of a world: one fixed set of tables, and forks of it.

Rule 1. State changes only in `evolve`. Everything here is a projection of the journal.
Rule 2. `TABLES` is the only list of tables: the root, snapshots, forks and definitions are driven by it. A
        new table is one row here and one attribute of its domain.
Rule 3. Nothing that decides depends on the order of a table's rows: who iterates one, sorts.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from splittally.core.asks import Ask
from splittally.core.budget.rows import Digest, Proposal
from splittally.core.budget.state import Fired, Firing, Measure, Plans, Solution
from splittally.core.calendars import Calendar
from splittally.core.callers import Principal, Token
from splittally.core.caps.state import Caps
from splittally.core.governor.state import Governed
from splittally.core.governor.terms import GovernorTerms
from splittally.core.ledger.state import Counter, Hold, Ledger
from splittally.core.limits import CLOCK_JUMP_NS
from splittally.core.overlay import Overlay
from splittally.core.topups import TopUp
from splittally.core.types import (
    POLICY_SCOPE,
    TELL,
    AccountDef,
    AdapterDef,
    BudgetDef,
    CapDef,
    EffectDef,
    Grant,
    Lender,
    Limit,
    ResourceDef,
    Rule,
)
from splittally.core.zones import Zone

FORMAT = 2
POLICY = "policy"
WORLD_FIELDS = ("clock", "engine", "format", "now_ns", "offset_ns", "policy_hash", "world")
# Those that came later, with what they are where nobody said anything: then they stand in no root.
WORLD_LATER = {"accepted_ns": 0, "clock_jump_ns": CLOCK_JUMP_NS, "revoked_kept": 0}
FIXED, LATER = False, True


class Table(NamedTuple):
    """A table of the state: the attribute `name` of the domain `domain`, a dict of `key` to `row`.

    A table that came later (`is_later`) stands in the root once it holds something, so that older roots
    stay what they were. `is_defined` says that `Defined` events write it.
    """

    name: str
    domain: str
    key: Any
    row: Any
    is_later: bool = FIXED
    is_defined: bool = False


TABLES = (
    Table("accounts", "ledger", str, AccountDef, is_defined=True),
    Table("adapters", "caps", str, AdapterDef, LATER, is_defined=True),
    Table("appointments", "ledger", tuple[int, int], int, LATER),
    Table("asked", "ledger", bytes, list[Ask], LATER),
    Table("balances", "ledger", tuple[str, str], int),
    Table("bearers", "caps", str, Token, LATER, is_defined=True),
    Table("blobs", "caps", bytes, bytes),
    Table("budgets", "plans", str, BudgetDef, LATER, is_defined=True),
    Table("caps", "caps", str, CapDef, is_defined=True),
    Table("consumed", "plans", str, bytes, LATER, is_defined=True),
    Table("counters", "ledger", tuple[str, str, str, int], Counter),
    Table("digests", "plans", str, Digest, LATER, is_defined=True),
    Table("effects", "caps", str, EffectDef, is_defined=True),
    Table("failures", "governed", bytes, str, LATER),
    Table("fired", "plans", tuple[bytes, int], list[Fired], LATER),
    Table("firings", "plans", tuple[int, int], Firing, LATER),
    Table("forgotten", "caps", str, bytes, LATER),
    Table("governor", "governed", str, GovernorTerms, LATER, is_defined=True),
    Table("grants", "caps", str, Grant),
    Table("holds", "ledger", bytes, Hold),
    Table("inflight", "ledger", str, int),
    Table("keyed", "ledger", tuple[str, str, str, int, bytes], Counter, LATER),
    Table("labels", "ledger", bytes, dict[str, str], LATER),
    Table("lanes", "governed", bytes, str, LATER),
    Table("lenders", "ledger", str, Lender, LATER, is_defined=True),
    Table("manifests", "caps", str, dict[str, bytes], is_defined=True),
    Table("metrics", "plans", tuple[str, str], Measure, LATER),
    Table("modules", "caps", str, bytes, is_defined=True),
    Table("moved", "ledger", tuple[str, str, str, int], tuple[str, int], LATER),
    Table("overdrawn", "plans", str, int, LATER),
    Table("principals", "caps", str, Principal, LATER, is_defined=True),
    Table("proposals", "plans", str, Proposal, LATER, is_defined=True),
    Table("refused", "ledger", bytes, list[str], LATER),
    Table("resources", "ledger", str, ResourceDef, is_defined=True),
    Table("revoked", "caps", str, str),
    Table("revoked_at", "caps", str, int, LATER),
    Table("rules", "caps", str, list[Rule], is_defined=True),
    Table("solutions", "plans", str, Solution, LATER),
    Table("spent", "governed", tuple[str, str], tuple[int, int], LATER),
    Table("started", "ledger", bytes, tuple[bytes, int], LATER),
    Table("stated", "caps", str, dict[str, bytes], LATER, is_defined=True),
    Table("topups", "ledger", str, TopUp, LATER, is_defined=True),
    Table("verdicts", "governed", str, tuple[int, int], LATER),
    Table("windows", "ledger", tuple[str, str, str], tuple[int, int, int, int]),
    Table("zones", "ledger", str, Zone, LATER, is_defined=True),
)
DEFINITIONS = {table.name: table for table in TABLES if table.is_defined}


class State:
    """A world as its journal tells it up to `size` frames, at logical time `now_ns`."""

    __slots__ = ("accepted_ns", "caps", "clock", "clock_jump_ns", "engine", "format", "governed", "ledger",
                 "now_ns", "offset_ns", "plans", "policy_hash", "revoked_kept", "size", "world")  # fmt: skip

    def __init__(self) -> None:
        self.world = b""
        self.clock = ""
        self.engine = ""
        self.format = 0
        self.offset_ns = 0
        self.accepted_ns = 0  # the last reading of a clock that jumped which the operator accepted
        self.clock_jump_ns = CLOCK_JUMP_NS
        self.policy_hash = b""
        self.revoked_kept = 0  # how many revoked grants it remembers; 0 for all, as older journals do
        self.size = 0
        self.now_ns = 0
        self.caps = Caps()
        self.ledger = Ledger()
        self.plans = Plans()
        self.governed = Governed()

    def table(self, table: Table) -> dict[Any, Any]:
        """The rows of one of `TABLES`."""
        rows: dict[Any, Any] = getattr(getattr(self, table.domain), table.name)
        return rows

    def fork(self) -> "State":
        """A state that reads through to this one and keeps its own changes."""
        child = State()
        child.size = self.size
        for name in (*WORLD_FIELDS, *WORLD_LATER):
            setattr(child, name, getattr(self, name))
        child.caps, child.ledger = self.caps.fork(), self.ledger.fork()
        child.plans, child.governed = self.plans.fork(), self.governed.fork()
        for table in TABLES:
            setattr(getattr(child, table.domain), table.name, Overlay(self.table(table)))
        return child

    def copy(self) -> "State":
        """A state of its own, which what happens here does not reach: rows are shared, no table is."""
        child = self.fork()
        for table in TABLES:
            setattr(getattr(child, table.domain), table.name, dict(self.table(table).items()))
        child.caps.token_names = dict(self.caps.token_names.items())
        child.caps.uids = dict(self.caps.uids.items())
        books = child.ledger
        books.drawn, books.issued = dict(self.ledger.drawn), dict(self.ledger.issued)
        books.raised, books.keys = dict(self.ledger.raised), self.ledger.keys.copy()
        child.governed.reserved = dict(self.governed.reserved)
        books.agenda, books.agenda_is_shared = list(self.ledger.agenda), False
        return child

    @property
    def calendar(self) -> Calendar:
        """What the clock of the world shows."""
        return Calendar(self.offset_ns, self.ledger.zones.get(""))

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
            limits = grant.limits if grant and not self.caps.is_revoked(scope) else []
        for limit in limits:
            if (limit.dim, limit.per, limit.over) == (dim, per, "deny"):
                return limit
        return None

    def soft_limits_of(self, scope: str) -> list[Limit]:
        """The limits of a grant that only tell; none of one that is forgotten."""
        grant = self.caps.grants.get(scope)
        return [limit for limit in grant.limits if limit.over == TELL] if grant is not None else []
