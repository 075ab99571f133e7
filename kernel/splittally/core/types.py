"""The things a world is made of, as records that every domain shares.

Rule 1. Records are frozen and positional (`array_like`): their field order is a released format
        (`schemas/records-2.cddl`), so a field is only ever added at the end.
Rule 2. Sequences inside records are lists because the fast codec takes exact types; nobody mutates them.
Rule 3. Records cannot form cycles, so the collector does not track them (`gc=False`).
Rule 4. Amounts are naturals below 2^64 in the minor unit of what they count; times are nanoseconds.
"""

import re
from functools import lru_cache

from msgspec import Struct

from splittally.core.limits import NAME_BYTES_MAX
from splittally.core.names import is_seen
from splittally.core.periods import read_period

ROOT = "root"
CAP_ALL = "sys/all@1"
CAP_NATIVE = "sys/native@1"
CAP_SPEND = "sys/spend@1"
CAP_NATIVE_TYPE = "native"
CAP_ANY_TYPE = "*"
CAP_SPEND_TYPE = "spend"
OPERATOR = "operator"
KERNEL = ""  # the principal of what the kernel does by itself
CLOCKS = ("host", "given")
SYS = "sys/"
EXTERNAL = "external/"
ISSUER = "external/issuer"  # whom an issue debits where nobody else is named
BUDGETS = "budgets/"
POLICY_SCOPE = "policy/"  # of the counters of policy rules, so no grant may be called so

ALLOW, DENY, REQUIRE_APPROVAL, ESCALATE, DEFER = "allow", "deny", "require_approval", "escalate", "defer"
STRICTEST_FIRST = (DENY, DEFER, ESCALATE, REQUIRE_APPROVAL, ALLOW)
ADMITTED = (ALLOW, REQUIRE_APPROVAL)
FINAL = (ALLOW, DENY, REQUIRE_APPROVAL)

OPEN, APPROVAL, RUNNING, UNKNOWN = "open", "approval", "running", "unknown"  # phases of a reserved hold
RESERVED, SETTLED, RELEASED = "reserved", "settled", "released"  # a hold's status

LIFE, PER_INTENT = "life", "intent"
CALENDAR_WINDOWS = ("hour", "day", "week", "month", "quarter", "year")
TELL = "tell"
OVERS = ("deny", "defer", "ask", TELL, "shadow")

RELEASE_CAUSES = ("cancel", "expiry", "governance", "rejected", "approval_timeout", "not_dispatched")
ASKED_CAUSES = ("cancel", "not_dispatched")  # what a caller may say; an order is a native effect
RECEIPT_STATUSES = ("ok", "error", "timeout")
STATUS_UNKNOWN = "unknown"
ORIGIN_KINDS = ("plan", "reducer")

_NAME = re.compile(r"[A-Za-z0-9._:-]+(?:/[A-Za-z0-9._:-]+)+@[0-9]+")
_KIND = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


def is_name(text: object) -> bool:
    """A versioned name such as `sys/llm.basic@1`: a namespace, a name, a version."""
    return type(text) is str and len(text) <= NAME_BYTES_MAX and _NAME.fullmatch(text) is not None


def is_kind(text: object) -> bool:
    """An effect kind such as `llm.generate`: lower case words joined by dots."""
    return type(text) is str and len(text) <= NAME_BYTES_MAX and _KIND.fullmatch(text) is not None


def is_id(text: object) -> bool:
    """A name that people chose: grant, account, resource, dimension or principal."""
    return type(text) is str and 0 < len(text) <= NAME_BYTES_MAX and _is_seen_id(text)


def is_principal(text: object) -> bool:
    """The name of who asks, which is the middle of the name of its host: `host/NAME@1`."""
    return is_id(text) and is_name(f"host/{text}@1")


@lru_cache(maxsize=4096)
def _is_seen_id(text: str) -> bool:
    return is_seen(text) and len(text.encode()) <= NAME_BYTES_MAX and text[0] != " " != text[-1]


LABELS = "labels"  # the subject under which the labels of what is held are noted
LATE = "late"  # the subject under which a value is noted whose period is over
OVERDRAFT = "overdraft"  # the subject under which it is noted what a parent gave, and by what
REFUSED_RECEIPT = "refused_receipt"  # the subject under which it is noted why a receipt was refused


class Limit(Struct, frozen=True, array_like=True, gc=False):
    """One bound: at most `amount` of `dim` per `per`; `over` says what happens above it.

    `per` is `life`, `intent`, or a window (`core/periods.py`). `rollover` is the share of what is left that a
    window hands to the next, as numerator and denominator; empty for none. `carried_max` is the most that it
    hands on, -1 for no bound.
    """

    dim: str
    per: str
    amount: int
    over: str = "deny"
    rollover: list[int] = []
    carried_max: int = -1


class Payer(Struct, frozen=True, array_like=True, gc=False):
    """An account that pays until its end; 0 for none."""

    account: str
    until_ns: int


class Grant(Struct, frozen=True, array_like=True, gc=False):
    """Authority: who may do what, under which limits, paid by whom. `spec/04-pipeline.md`.

    `params` is the BLAKE3 of the canonical cap params; `expiry_ns`, `hold_ns_max`, `approval_ns` and
    `unknown_ns` are 0 for none. `made_by` is `manifest` when the manifest owns the grant. `dispatch`
    requires that an effect is dispatched before it is carried out; what a grant above requires holds below.
    A resource that several accounts pay stands in `payers`, in the order of their use, and not in `draws_on`.
    """

    name: str
    cap: str
    params: bytes
    budget: dict[str, int] | None
    expiry_ns: int
    parent: str
    holder: str
    limits: list[Limit]
    draws_on: dict[str, str]
    pays_to: list[str]
    delegations: int
    hold_ns_max: int
    approval_ns: int
    unknown_ns: int
    doubt: str
    above: str
    made_by: str
    grant_hash: bytes
    dispatch: bool = False
    payers: dict[str, list[Payer]] = {}

    @property
    def paid_by(self) -> dict[str, list[Payer]]:
        """Who pays each resource that the grant draws, in the order of their use: the last has no end."""
        return {resource: [Payer(account, 0)] for resource, account in self.draws_on.items()} | self.payers


class CapDef(Struct, frozen=True, array_like=True, gc=False):
    """A kind of capability: its enforcer by module hash, and the schema of its params."""

    name: str
    cap_type: str
    enforcer: bytes
    params_schema: bytes


class EffectDef(Struct, frozen=True, array_like=True, gc=False):
    """A kind of effect: the type of cap that covers it, its schemas, and who may settle it.

    `price_key` names the param whose text says which row of a price table prices it; empty for none.
    """

    kind: str
    cap_type: str
    params_schema: bytes
    receipt_schema: bytes
    adapters: list[str]
    params_bytes_max: int
    price_key: str = ""


class AdapterDef(Struct, frozen=True, array_like=True, gc=False):
    """Who signs the receipts of these kinds: its name, as receipts give it, and its Ed25519 public key."""

    name: str
    key: bytes
    kinds: list[str]


class ResourceDef(Struct, frozen=True, array_like=True, gc=False):
    """A quantity that accounts hold, in integers of 10^-scale."""

    name: str
    scale: int


class AccountDef(Struct, frozen=True, array_like=True, gc=False):
    """A place that holds resources; `debt_limit` is how far each balance may go below zero."""

    name: str
    kind: str
    debt_limit: int


class Lender(Struct, frozen=True, array_like=True, gc=False):
    """The grant that lends a debt limit, and out of which accounts, by resource."""

    grant: str
    backs: dict[str, list[str]]


class Window(Struct, frozen=True, array_like=True, gc=False):
    """An instance of a windowed counter that a leg touches, for a `key` where its limit is per value.

    `end_ns` is 0 in records of format 1.
    """

    dim: str
    per: str
    start_ns: int
    end_ns: int = 0
    key: bytes = b""


class Leg(Struct, frozen=True, array_like=True, gc=False):
    """What one grant of the chain holds for an intent, and the code that will settle it.

    `enforcer_ref` is the pinned module's hash, empty for a grant that asks nobody. `params` names the
    cap params that were in force.
    """

    grant: str
    grant_hash: bytes
    terms_hash: bytes
    enforcer_ref: bytes
    cap: str
    params: bytes
    reserve: dict[str, int]
    windows: list[Window]
    above: str


class Draw(Struct, frozen=True, array_like=True, gc=False):
    """Money taken from an account for a hold and in flight until it ends."""

    resource: str
    account: str
    amount: int
    leg: int
    pays_to: list[str]
    doubt: str


class Rule(Struct, frozen=True, array_like=True, gc=False):
    """A policy rule: every non-empty field and the condition must match.

    Where it asks, `approvals` of the `approvers` must approve: one where it says 0, anybody where it names
    nobody.
    """

    name: str
    decision: str
    effect_kind: str
    cap_name: str
    cap_type: str
    origin_kind: str
    origin_name: str
    when: str
    rates: list[Limit]
    approvers: list[str] = []
    approvals: int = 0


class BudgetDef(Struct, frozen=True, array_like=True, gc=False):
    """A budget: an account of its own name under a plan. `schema` is the hash of the plan's bytes.

    `grant` is its charter, below that of `parent` where it has one. `adopted_by` is the grant under
    which this version of the plan was adopted, `template` the budget whose plan it took over, `replaced_by`
    the budget to which it was migrated.
    """

    name: str
    parent: str
    grant: str
    schema: bytes
    version: int
    template: str
    adopted_by: str
    replaced_by: str = ""


class Cell(Struct, frozen=True, array_like=True, gc=False):
    """A row of a solution: an integer of a named unit."""

    name: str
    value: int
    unit: str


def strictest(outcomes: list[str]) -> str:
    """The strictest of these outcomes; allow when there is none."""
    if outcomes:
        for word in STRICTEST_FIRST:
            if word in outcomes:
                return word
    return ALLOW


def is_per(per: object) -> bool:
    """Whether `per` names a limit's period; a duration is at most as long as time is."""
    return type(per) is str and (per in (LIFE, PER_INTENT) or read_period(per) is not None)


def is_plain(entry: str) -> bool:
    """Whether an entry of a list of payees is one account, no prefix."""
    return not entry.endswith(("/", "*"))


def covers_account(entry: str, account: str) -> bool:
    """Whether an entry of any list of accounts covers this account, or this entry of another list.

    An entry is a name, or a prefix ending in `/` or `/*`, whichever list it stands in: a grant's `pays_to`,
    the `accounts` of a native grant.
    """
    if entry.endswith(("/", "/*")):
        return account.startswith(entry.rstrip("*"))
    return entry == account
