"""The public records: what a host sends and what it gets back, and their JSON lines.

Shapes, units and codes are in spec/02-records.md. Hashes and keys are bytes in Python and lower-case
hex in JSON.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from splittally.core.errors import SplittallyError
from splittally.core.findings import Finding
from splittally.core.types import ALLOW
from splittally.edge.phrases import NO_CHANGE, NO_SETTLEMENT
from splittally.edge.sentences import advice, sentences
from splittally.edge.wording import Wording


class Origin(Struct, frozen=True):
    """Where an intent comes from: `kind` is plan or reducer, `name` a versioned name."""

    kind: str
    name: str


class Intent(Struct, frozen=True):
    """An effect that is asked for.

    `params` is a mapping of the data model (spec/01), `grant` the grant it is asked under.
    `idempotency_key` has 32 bytes, or is text, which is hashed: the same key with the same payload is the
    same intent; without one the runtime draws a fresh key. `expires_ns` is the logical time at which the hold
    ends by itself. `labels` say what the intent belongs to (a trace, a run, a user): recorded, in no hash.
    `attempt` (16 bytes) is kept by a client across its own transport retries (D-07).
    """

    kind: str
    params: Any
    grant: str
    origin: Origin | dict[str, str] | tuple[str, str] | None = None
    idempotency_key: bytes | str | None = None
    expires_ns: int | None = None
    labels: Mapping[str, str] | None = None
    attempt: bytes | None = None


class Receipt(Struct, frozen=True):
    """What became of an effect: `status` is ok, error, timeout, or unknown (the host cannot tell).

    `payload` is a mapping of the data model, or bytes that are canonical CBOR already.
    `cost_cents` is a natural; `pays_to` names one of the payees that the grant lists. `signature` is that of
    the adapter (`splittally.sign_receipt`), which a kind with registered adapters asks for.
    """

    intent_hash: bytes
    status: str
    adapter_id: str = ""
    payload: Any = None
    cost_cents: int | None = None
    pays_to: str | None = None
    signature: bytes | None = None


class Findings(tuple[Finding, ...]):
    """Findings that know how their world says values, for `reason`; equal to a tuple of the same.

    `text` is how somebody who knows that world said them, where they came from there.
    """

    wording: Wording = Wording()
    text: str = ""

    @classmethod
    def said(cls, findings: Iterable[Finding], wording: Wording) -> "Findings":
        """These findings, said with this wording."""
        made = cls(findings)
        made.wording = wording
        return made

    @classmethod
    def told(cls, findings: Iterable[Finding], text: str) -> "Findings":
        """These findings as they were told, with the text that came with them."""
        made = cls(findings)
        made.text = text
        return made


def wording_in(findings: tuple[Finding, ...]) -> Wording:
    """How the values of findings are said: as their world does, or in minor units where they know of none."""
    return findings.wording if isinstance(findings, Findings) else Wording()


def words_for(findings: tuple[Finding, ...]) -> str:
    """Why, in the words that came with these findings, or else in those of the world that they know."""
    told = findings.text if isinstance(findings, Findings) else ""
    return told or sentences(findings, wording_in(findings))


class Decision(Struct, frozen=True, gc=False):
    """The answer to an intent. `seq` is None where nothing was recorded and the same key may be tried
    again; `reserve` is what the leaf's leg holds; `attempt` is the recorded one.

    `may_act` is said of an intent that was answered before; where it is None the outcome says it.
    """

    seq: int | None
    intent_hash: bytes | None
    outcome: str
    findings: tuple[Finding, ...] = ()
    reserve: dict[str, int] = {}
    duplicate: bool = False
    attempt: bytes | None = None
    may_act: bool | None = None

    @property
    def allowed(self) -> bool:
        """Whether who asked may carry the effect out now (D-28).

        True for a fresh allow, and for one that the same attempt got before while its hold is open. Where
        an intent that was allowed before is not allowed now, a finding of stage `known` says why.
        """
        return self.outcome == ALLOW if self.may_act is None else self.may_act

    @property
    def reason(self) -> str:
        """Why, for people: what was found, in words; empty for a plain allow (`edge/sentences.py`)."""
        return words_for(self.findings) if self.findings else ""

    @property
    def advice(self) -> str:
        """What the caller can do next, for people; empty where there is nothing to do."""
        return advice(self.findings, None if self.seq is None else self.intent_hash) if self.findings else ""

    def or_raise(self) -> "Decision":
        """This decision where it allows; else `Refused`, which has it as `decision`, is raised."""
        if not self.allowed:
            raise Refused(self)
        return self


class Refused(SplittallyError):
    """What an intent was answered instead of an allow, for who wants an exception: `decision` has it all.

    Its text is the decision's reason and advice; `facts` has the outcome and the codes.
    """

    code = "refused"

    def __init__(self, decision: Decision) -> None:
        told = "; ".join(text for text in (decision.reason, decision.advice) if text)
        codes = [finding.code for finding in decision.findings]
        super().__init__(told or decision.outcome, outcome=decision.outcome, codes=codes)
        self.decision = decision

    def __reduce__(self) -> tuple[type["Refused"], tuple[Decision]]:
        return type(self), (self.decision,)


class Settlement(Struct, frozen=True, gc=False):
    """The answer to a receipt: `status` is settled, held, late, duplicate, not_found or refused.

    `usage` is the leaf's; `violation` the first of `violations`, or None. `findings` are no violations: the
    limits that only tell and that this receipt reached. A receipt is refused where its signature is missing
    or none of its adapter's: nothing was changed, and `violation` says which.
    """

    seq: int | None
    intent_hash: bytes
    status: str
    usage: dict[str, int] = {}
    violation: Finding | None = None
    violations: tuple[Finding, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def reason(self) -> str:
        """What there is to say about it, for people: violations, limits reached; empty where all is plain."""
        first = self.violations or self.findings
        if not first:
            return NO_SETTLEMENT.get(self.status, "")
        if isinstance(first, Findings) and first.text:
            return first.text
        return sentences((*self.violations, *self.findings), wording_in(first))


class HoldChange(Struct, frozen=True):
    """The answer to a dispatch, a release or an extension: dispatched, already_dispatched, not_approved,
    released, extended, duplicate, not_reserved or refused."""

    seq: int | None
    intent_hash: bytes
    status: str
    due_ns: int | None = None

    @property
    def reason(self) -> str:
        """Why nothing was done, for people; empty where it was."""
        return NO_CHANGE.get(self.status, "")


Answer = Decision | Settlement | HoldChange
Answered = TypeVar("Answered")


def worded(answer: Answered, wording: Callable[[], Wording]) -> Answered:
    """An answer, or a list of them, whose findings know how to say their values; it is the same in all else.

    `wording` is asked only where there are findings.
    """
    said: Any = answer
    if type(said) is Decision and not said.findings:  # most are such
        return answer
    match said:
        case Decision(findings=found):
            said = replace(said, findings=Findings.said(found, wording()))
        case Settlement(violations=violations, findings=found) if violations or found:
            told = {
                "violations": Findings.said(violations, wording()),
                "findings": Findings.said(found, wording()),
            }
            said = replace(said, **told)
        case list():
            said = [worded(each, wording) for each in said]
    answered: Answered = said
    return answered


class Release(Struct, frozen=True):
    """Ask to end a hold without a receipt; `cause` is cancel or not_dispatched.

    What was dispatched only the `attempt` that started it may end.
    """

    intent_hash: bytes
    cause: str = "cancel"
    order: str | None = None
    attempt: bytes | None = None


class Dispatch(Struct, frozen=True):
    """Ask to start the effect of an open hold, for this `attempt` (16 bytes); the first one wins."""

    intent_hash: bytes
    attempt: bytes


class Extend(Struct, frozen=True):
    """Ask to move a hold's expiry to `expires_ns`."""

    intent_hash: bytes
    expires_ns: int


class Group(Struct, frozen=True):
    """Intents decided together: `mode` is `all` (one frame, all or nothing) or `first`."""

    mode: str
    intents: tuple[Intent, ...]


Request = Intent | Receipt | Release | Extend | Group | Dispatch


if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    Asked_co = TypeVarWithDefault("Asked_co", bound=Request, covariant=True, default=Request)
else:
    Asked_co = TypeVar("Asked_co", covariant=True)


class At(Struct, Generic[Asked_co], frozen=True):
    """A request with the logical time at which it is made, for worlds whose clock is given."""

    now_ns: int | None
    request: Asked_co
