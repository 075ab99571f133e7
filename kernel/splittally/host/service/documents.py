"""The shapes of documents on the wire, for `/openapi.json`; the codecs are in `splittally.edge`."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from splittally.core.limits import MEMBERS_MAX

Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
HashIn = Annotated[str, Meta(pattern="^([0-9a-fA-F]{2}){32}$")]
Attempt = Annotated[str, Meta(pattern="^([0-9a-fA-F]{2}){16}$")]
Text = Annotated[str, Meta(max_length=256)]
Nanoseconds = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Amounts = dict[str, int | str]  # minor units; text beyond 2^53
Labels = dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=256)]]


class Origin(Struct, forbid_unknown_fields=True):
    """Where an intent comes from."""

    kind: Literal["plan", "reducer"]
    name: Text


class Intent(Struct, forbid_unknown_fields=True):
    """An effect that is asked for."""

    kind: Text
    grant: Text
    params: dict[str, Any] = {}
    origin: Origin | UnsetType = UNSET
    key: Text | UnsetType = UNSET
    idempotency_key: HashIn | UnsetType = UNSET
    expires_ns: Nanoseconds | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    attempt: Attempt | UnsetType = UNSET
    now_ns: Nanoseconds | UnsetType = UNSET


Members = Annotated[list[Intent], Meta(min_length=1, max_length=MEMBERS_MAX)]


class All(Struct, forbid_unknown_fields=True):
    """Effects of which all are allowed or none."""

    all: Members
    now_ns: Nanoseconds | UnsetType = UNSET


class First(Struct, forbid_unknown_fields=True):
    """Effects of which the first that is allowed is."""

    first: Members
    now_ns: Nanoseconds | UnsetType = UNSET


class Receipt(Struct, forbid_unknown_fields=True):
    """What became of an effect."""

    intent_hash: HashIn
    status: Literal["ok", "error", "timeout", "unknown"]
    adapter_id: Text = ""
    payload: dict[str, Any] | UnsetType = UNSET
    payload_cbor: Annotated[str, Meta(pattern="^([0-9a-fA-F]{2})*$")] | UnsetType = UNSET
    cost_cents: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    pays_to: Text | UnsetType = UNSET
    signature: Annotated[str, Meta(pattern="^[0-9a-fA-F]{128}$")] | UnsetType = UNSET
    now_ns: Nanoseconds | UnsetType = UNSET


class Finding(Struct):
    """One reason."""

    stage: str
    code: str
    facts: dict[str, Any]


class Decision(Struct):
    """The answer to an intent: `allowed` says whether the effect may be carried out now."""

    seq: int | None
    intent_hash: Hash | None
    outcome: Literal["allow", "deny", "require_approval", "escalate", "defer"]
    findings: list[Finding]
    reserve: Amounts
    duplicate: bool
    allowed: bool
    attempt: Attempt | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    advice: str | UnsetType = UNSET


class Decisions(Struct):
    """The answers to the members of `all`."""

    all: list[Decision]


class Settlement(Struct):
    """The answer to a receipt."""

    seq: int | None
    intent_hash: Hash
    status: str
    usage: Amounts
    violation: Finding | None
    violations: list[Finding]
    findings: list[Finding] | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class HoldChange(Struct):
    """The answer to a release, an extension or a dispatch."""

    seq: int | None
    intent_hash: Hash
    status: str
    due_ns: int | str | None
    reason: str | UnsetType = UNSET


class Refused(Struct):
    """The answer to a receipt or a change in a list that could not be read."""

    seq: None
    intent_hash: None
    status: Literal["invalid"]
    findings: list[Finding]
    reason: str


class Outcome(Struct):
    """What happened to an intent."""

    intent_hash: Hash
    seq: int
    kind: str
    grant: str
    principal: str
    outcome: str
    findings: list[Finding]
    status: str
    phase: str | None


class Row(Struct):
    """A row of a view."""


class Page(Struct):
    """Rows, and where the next page begins."""

    items: list[dict[str, Any]]
    next: str | int | None


class Rows(Struct):
    """All rows."""

    items: list[dict[str, Any]]


class Plan(Struct):
    """What a manifest would change; `plan` is its hash, for `expect`."""

    decision: Decision
    plan: Hash
    changes: list[dict[str, Any]]


class Problem(Struct):
    """Why there is no answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    facts: dict[str, Any] | UnsetType = UNSET


ANSWERS: dict[str, type[Struct]] = {
    kind.__name__: kind
    for kind in (
        Decision,
        Decisions,
        Settlement,
        HoldChange,
        Refused,
        Outcome,
        Row,
        Page,
        Rows,
        Plan,
        Problem,
    )
}
