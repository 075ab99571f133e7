"""What happened, named in the past: the only thing that changes state. One page.

Rule 1. Events are facts: `evolve` remembers them without deciding anything, and replay needs nothing
        else. A tag is never reused (`schemas/records-2.cddl`).
Rule 2. A twentieth event needs an argument. That of the nineteenth, `Anchored`: what lies beside the journal
        can be believed only where a frame names it, and no other event says anything of files.
"""

from typing import Any

from msgspec import Struct

from splittally.core.asks import Ask
from splittally.core.findings import Finding
from splittally.core.types import Cell, Draw, Grant, Leg, Window


class Authority(Struct, frozen=True, array_like=True, gc=False):
    """A grant of the chain as it stood: its name beside its hashes."""

    grant: str
    grant_hash: bytes
    terms_hash: bytes


class Charge(Struct, frozen=True, array_like=True, gc=False):
    """What one leg used (as reported) and was charged (as added), with what was wrong about it.

    `uncounted` are the charged dimensions that no counter for life counted; older records do not say it.
    """

    grant: str
    grant_hash: bytes
    terms_hash: bytes
    enforcer_ref: bytes
    usage: dict[str, int]
    charged: dict[str, int]
    violations: list[Finding]
    windows: list[Window]
    uncounted: list[str] = []


class Count(Struct, frozen=True, array_like=True, gc=False):
    """One more counted in a window of a policy rule, for a key where the rate is per value."""

    scope: str
    dim: str
    per: str
    start_ns: int
    amount: int
    key: bytes = b""


class RefundLeg(Struct, frozen=True, array_like=True, gc=False):
    """What one leg gets back; a counter for life of an `uncounted` dimension never counted it."""

    grant: str
    amounts: dict[str, int]
    windows: list[Window]
    uncounted: list[str] = []


class Opened(Struct, frozen=True, array_like=True, gc=False, tag=0):
    """The world was opened for writing under this engine."""

    world: bytes
    clock: str
    format: int
    engine: str


class Decided(Struct, frozen=True, array_like=True, gc=False, tag=1):
    """An intent got its answer. `rule` is the policy rule that decided: -1 no rule matched, -2 the
    stage was not reached or the world has no policy. `authority` is empty where legs follow.
    `counted` is what a rule's rates count."""

    intent_hash: bytes
    outcome: str
    findings: list[Finding]
    authority: list[Authority]
    policy: bytes
    rule: int
    counted: list[Count]


class Held(Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Amounts are reserved for an intent until a receipt, a release or `due_ns` (0 for never)."""

    intent_hash: bytes
    member: int
    kind: str
    phase: str
    due_ns: int
    expires_ns: int
    legs: list[Leg]
    draws: list[Draw]


class HoldChanged(Struct, frozen=True, array_like=True, gc=False, tag=3):
    """A hold moved to another phase or got another due time; `attempt` started its effect.

    `asks` are the reasons for which it waits, where that is more than one answer of anybody; `answers` those
    of them that the principal of the record approves.
    """

    intent_hash: bytes
    phase: str
    due_ns: int
    attempt: bytes = b""
    asks: list[Ask] = []
    answers: list[str] = []


class Settled(Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Usage was charged. `how` is receipt, late, unknown, attested, native or recorded."""

    intent_hash: bytes
    how: str
    status: str
    legs: list[Charge]
    violations: list[Finding]


class Released(Struct, frozen=True, array_like=True, gc=False, tag=5):
    """A hold ended without usage."""

    intent_hash: bytes
    cause: str
    order: str
    authority: list[Authority]
    findings: list[Finding]


class Refunded(Struct, frozen=True, array_like=True, gc=False, tag=6):
    """Part of what a settled intent was charged was given back."""

    intent_hash: bytes
    legs: list[RefundLeg]


class Posted(Struct, frozen=True, array_like=True, gc=False, tag=7):
    """Value moved; an empty account is what is in flight under `intent_hash`."""

    debit: str
    credit: str
    resource: str
    amount: int
    grant: str
    intent_hash: bytes


class LimitSet(Struct, frozen=True, array_like=True, gc=False, tag=8):
    """A counter got its limit; `amount` is -1 where the counter only counts."""

    scope: str
    dim: str
    per: str
    start_ns: int
    amount: int


class WindowRolled(Struct, frozen=True, array_like=True, gc=False, tag=9):
    """A window closed; the one that holds now opens at `next_ns` with `amount`, or none when that is 0.

    Where it slept for several periods, those between closed unused: `amount` is what they carried. `into` is
    not empty where an edit of its zone or anchor ended it: what was used in it is in the window of that
    period.
    """

    scope: str
    dim: str
    per: str
    start_ns: int
    next_ns: int
    amount: int
    into: str = ""


class LimitCrossed(Struct, frozen=True, array_like=True, gc=False, tag=10):
    """A limit was reached (`tell`), would have refused (`shadow`), or was passed (`exhausted`), by a key
    where it is per value."""

    scope: str
    dim: str
    per: str
    start_ns: int
    over: str
    amount: int
    balance: int
    key: bytes = b""


class GrantSet(Struct, frozen=True, array_like=True, gc=False, tag=11):
    """A grant was made or changed."""

    grant: Grant


class GrantRevoked(Struct, frozen=True, array_like=True, gc=False, tag=12):
    """A grant, and with it all that descends from it, is void."""

    name: str
    order: str


class Defined(Struct, frozen=True, array_like=True, gc=False, tag=13):
    """A definition entered or left (`value` empty) one of the tables of definitions."""

    table: str
    key: str
    value: bytes


class Measured(Struct, frozen=True, array_like=True, gc=False, tag=14):
    """A budget's metric got a value."""

    budget: str
    metric: str
    value: int


class Solved(Struct, frozen=True, array_like=True, gc=False, tag=15):
    """A budget got a solution: rows of name, value and unit, and the input that was read for them."""

    budget: str
    version: int
    solver: str
    cells: list[Cell]
    input: dict[str, dict[str, int]]


class RuleFired(Struct, frozen=True, array_like=True, gc=False, tag=16):
    """A rule of a budget fell due, or what became of it: due, done, skipped or waiting.

    `item` is the sequence and place of the event that said `due`. In that event itself it is the number of
    the firing in its cascade where a deposit made it due, else empty, and empty where a rule does not fire
    because its cascade is bounded. `cause` is the intent that made it fall due, for the calendar the one
    that adopted the plan; `dim` and `amount` are what came in or was measured.
    """

    budget: str
    rule: str
    version: int
    status: str
    item: list[int]
    cause: bytes
    dim: str
    amount: int
    depth: int
    due_ns: int
    findings: list[Finding]


class Noted(Struct, frozen=True, array_like=True, gc=False, tag=17):
    """Something that is remembered beside a decision: what the governor said, with its numbers, the labels of
    what is held, what an overdraft gave, a value that came late, or why a receipt was refused."""

    intent_hash: bytes
    subject: str
    facts: dict[str, Any]


class Anchored(Struct, frozen=True, array_like=True, gc=False, tag=18):
    """The state after `size` frames, those before this one, has this root; these runs hold for the index.

    `root` is empty where no snapshot was written with the runs.
    """

    size: int
    root: bytes
    runs: list[bytes]


Event = (
    Opened
    | Decided
    | Held
    | HoldChanged
    | Settled
    | Released
    | Refunded
    | Posted
    | LimitSet
    | WindowRolled
    | LimitCrossed
    | GrantSet
    | GrantRevoked
    | Defined
    | Measured
    | Solved
    | RuleFired
    | Noted
    | Anchored
)

# By these an intent is found again in the index.
INDEXED = frozenset((Decided, HoldChanged, Settled, Released, Refunded))

# In these stands a map that the kernel made and that is remembered.
MAPPED = frozenset((GrantSet, Refunded, Solved))
