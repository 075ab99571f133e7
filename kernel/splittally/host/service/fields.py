"""The fields of what a served world can be asked, as types: what is wrong in them is refused by name."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from splittally.host.service.pages import PAGE_MAX, PAGE_ROWS

WAIT_SECONDS_MAX = 60.0

Hash = Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$", description="an intent's hash, 64 hex digits")]
Attempt = Annotated[str, Meta(pattern="^[0-9a-fA-F]{32}$", description="16 bytes in hex")]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Time = Annotated[int, Meta(ge=0, le=2**63 - 1, description="logical time in nanoseconds, of a given clock")]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]
Seq = Annotated[int, Meta(ge=-1, le=2**63 - 1)]
Seconds = Annotated[float, Meta(ge=0, le=WAIT_SECONDS_MAX)]
File = Annotated[Any, Meta(description="the bytes of a file, as hex", extra_json_schema={"type": "string"})]
Document = dict[str, Any]


class Fields(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """The fields of an operation."""


class Nothing(Fields, frozen=True):
    """No fields."""


class OfIntent(Fields, frozen=True):
    """Of one intent."""

    intent_hash: Hash


class Wait(OfIntent, frozen=True):
    """How long to wait: for the answer to an approval, or with `ended` for the end."""

    timeout_s: Seconds = 30.0
    ended: bool = False


class ToRelease(OfIntent, frozen=True):
    """`governance` needs `order`; what was dispatched needs its `attempt`."""

    cause: Literal["cancel", "not_dispatched", "governance"] = "cancel"
    order: Name | None = None
    attempt: Attempt | None = None
    now_ns: Time | None = None


class ToExtend(OfIntent, frozen=True):
    """Until when, in logical time."""

    expires_ns: Time
    now_ns: Time | None = None


class ToDispatch(OfIntent, frozen=True):
    """Who starts the effect."""

    attempt: Attempt
    now_ns: Time | None = None


class Approve(OfIntent, frozen=True):
    """The reasons that are answered; all that are the caller's without."""

    reasons: list[Name] | None = None
    now_ns: Time | None = None


class Reject(OfIntent, frozen=True):
    """No more than which."""

    now_ns: Time | None = None


class Decide(Fields, frozen=True):
    """An intent, as it would be submitted."""

    intent: Document


class Native(Fields, frozen=True):
    """A native effect: its kind, its params, and the grant it is asked under."""

    kind: Name
    params: Document = {}
    under: Name | None = None
    now_ns: Time | None = None


class Page(Fields, frozen=True):
    """A page: the rows after a key."""

    after: Name | None = None
    limit: Limit = PAGE_ROWS


class Named(Fields, frozen=True):
    """One row."""

    name: Name


class Spend(Fields, frozen=True):
    """Groups, by comma, and what is counted; `labels` is `name=text`, by comma."""

    by: Name = "grant"
    since: Name | None = None
    until: Name | None = None
    under: Name | None = None
    grant: Name | None = None
    principal: Name | None = None
    kind: Name | None = None
    resource: Name | None = None
    outcome: Name | None = None
    labels: Name | None = None


class Journal(Fields, frozen=True):
    """The frames after a sequence."""

    after: Seq = -1
    limit: Limit = PAGE_ROWS


class Apply(Fields, frozen=True):
    """A manifest: a document, or a text of TOML or JSON; and the files that it names, by those names."""

    manifest: Document | str
    form: Literal["json", "toml"] = "json"
    files: dict[str, File] = {}
    accept_modules: bool = False
    expect: Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")] | None = None
    allow_revoke: bool = False
    now_ns: Time | None = None


class Moment(Fields, frozen=True):
    """Until when."""

    now_ns: Time | None = None
