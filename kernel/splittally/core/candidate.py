"""One intent on its way through the stages of a decision, and what a stage says of it (`pipeline.py`)."""

from typing import Any

from msgspec import Struct

from splittally.core.asks import Ask
from splittally.core.caps.state import Chain
from splittally.core.commands import Evidence, Member
from splittally.core.events import Count, Event
from splittally.core.findings import Finding
from splittally.core.ledger.check import draw_moves
from splittally.core.ledger.moves import Move
from splittally.core.native import Native, NativeCall
from splittally.core.native.overdraft import NOTHING_GIVEN, Given
from splittally.core.policy import NO_STAGE
from splittally.core.reservation import NO_FINDINGS, Reservation
from splittally.core.state import State
from splittally.core.types import ALLOW, ROOT

NO_EVENTS: list[Event] = []
NO_RESERVATION = Reservation(legs=[], limit_checks=[], draws=[], payee_findings=NO_FINDINGS)


class StageResult(Struct, frozen=True, gc=False):
    """An outcome and why, what admitting would record, what is recorded either way, and who is asked."""

    outcome: str
    findings: list[Finding] = NO_FINDINGS
    admitted: list[Event] = NO_EVENTS
    always: list[Event] = NO_EVENTS
    asks: list[Ask] = []


PASSED = StageResult(ALLOW)


class Candidate(Struct, gc=False):
    """One intent on its way through the stages; a stage fills in what the later ones rest on.

    `seen` is the evidence, each leg's answer in the order of the chain. `call` and `params` are there for a
    native effect. `given` is what overdrafts gave, which `state` then has. `rule` and `counted` are what
    policy said.
    """

    state: State
    now_ns: int
    principal: str
    member: Member
    chain: Chain
    seen: list[Evidence]
    native: Native | None = None
    call: NativeCall | None = None
    params: Any = None
    estimates: list[dict[str, int]] = []
    reservation: Reservation = NO_RESERVATION
    given: Given = NOTHING_GIVEN
    rule: int = NO_STAGE
    counted: list[Count] = []
    asks: list[Ask] = []

    @property
    def moves(self) -> list[Move]:
        """What it takes from accounts: what it draws, or what a native effect moves."""
        if self.native is None:
            return draw_moves(self.reservation.draws)
        return self.native.moves(self.params) if self.native.moves is not None else []

    @property
    def is_above_rules(self) -> bool:
        """Whether no plan, policy or governor is asked: so nothing can lock the operator out."""
        return self.native is not None and self.member.grant == ROOT
