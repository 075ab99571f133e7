"""Drives a fleet's calls through the kernel, in the time of the trace.

Rule 1. Requests go in time order: a row's intent at its own time, its answer 20 ms for each generated
        token later. The world's clock is `given`, so nothing waits.
Rule 2. The host names a call by its hash, so that an answer may stand in the same commit as its call. An
        answer to a call that is known to be refused is not sent.
Rule 3. What the operator does (fund, approve, upgrade) is asked between commits, never inside one.
Rule 4. Memory holds what is in flight and the counts, whatever the length of the trace.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import Any, NamedTuple

from splittally import At, Decision, Group, HoldChange, Settlement, SplittallyError
from splittally.core.findings import has_code
from splittally.core.limits import GROUP_MAX
from splittally.runtime import Kernel

from splittally_tools.run_trace.calls import Call
from splittally_tools.run_trace.fleet import CAP, HOST, RESOURCE, TEAM, Fleet, upgraded
from splittally_tools.run_trace.outcomes import STARTS_GROUP, Scenario, draw
from splittally_tools.run_trace.rows import Row
from splittally_tools.run_trace.totals import Totals, Upgrade

AGAIN_NS = 10**9  # a host that lost the reply asks again after this
APPROVAL_NS = 5 * 10**9  # a person answers after this
FUND_NS = 10 * 10**9  # the team gets more money so long after a call was refused for want of it

ASK, GROUP, AGAIN, ANSWER = "ask", "group", "again", "answer"
APPROVAL, FUND = "approval", "fund"  # what the operator is waited for


class Due(NamedTuple):
    """Something that happens to a call later; `number` keeps the order of equals."""

    due_ns: int
    number: int
    what: str
    call: Call


class Drive:
    """One run of one fleet over one trace of `calls` calls."""

    def __init__(self, kernel: Kernel, fleet: Fleet, seed: int, calls: int, group: int) -> None:
        self.totals = Totals(fleet.agents)
        self._operator = kernel
        self._host = kernel.as_principal(HOST)
        self._fleet = fleet
        self._seed = seed
        self._requests_max = group if group < GROUP_MAX else sys.maxsize  # the kernel cuts at GROUP_MAX
        self._now_ns = 0
        self._made = 0
        self._numbered = 0
        self._rows: Iterator[Row] = iter(())
        self._row: Row | None = None
        self._due: list[Due] = []
        self._sent: deque[tuple[str, tuple[Call, ...]]] = deque()
        self._waits_for_partner: Call | None = None
        self._operators_turn: list[Callable[[], None]] = []
        self._upgrade_after = max(1, calls // 2)
        self._is_short = False

    def run(self, rows: Iterable[Row], progress: Callable[[int], None]) -> Totals:
        """Make every call, hear every answer; `progress` is told how many calls were made so far."""
        self._rows = iter(rows)
        self._row = next(self._rows, None)
        self._now_ns = self._row.at_ns if self._row is not None else 0
        self._prepare()
        while self._row is not None or self._due or self._waits_for_partner is not None:
            for answers in self._host.stream(self._requests()):
                for answer in answers:
                    self._take(answer)
                progress(self._made)
            acts, self._operators_turn = self._operators_turn, []
            for act in acts:
                act()
        assert not self._sent
        return self.totals

    # --- what is asked ---------------------------------------------------------------------------

    def _requests(self) -> Iterator[At]:
        """Requests in time order, up to the operator's turn."""
        sent = 0
        while not self._operators_turn and sent < self._requests_max:
            row = self._row
            if self._due and (row is None or self._due[0].due_ns <= row.at_ns):
                request = self._continue(heappop(self._due))
            elif row is not None:
                self._row = next(self._rows, None)
                request = self._make(row)
            elif self._waits_for_partner is not None:
                request = self._ask(self._waits_for_partner)
                self._waits_for_partner = None
            else:
                return
            if request is not None:
                sent += 1
                yield request

    def _make(self, row: Row) -> At | None:
        """The intent of a row; None where it waits for the next one, to be asked together."""
        drawn = draw(self._seed, self._made, len(self._fleet.agents))
        self._made += 1
        self._now_ns = row.at_ns
        if self._made == self._upgrade_after:
            self._operators_turn.append(self._upgrade)
        first = self._waits_for_partner
        if first is not None:
            scenario = Scenario.OTHER_MODEL if first.scenario is Scenario.BROKEN_LINK else Scenario.ANSWERED
            self._waits_for_partner = None
            return self._ask_group(first, Call(row, drawn, scenario, self._fleet))
        call = Call(row, drawn, drawn.scenario, self._fleet)
        if call.scenario in STARTS_GROUP:
            self._waits_for_partner = call
            return None
        return self._ask(call)

    def _ask(self, call: Call) -> At:
        self._plan_ending(call)
        if call.scenario in (Scenario.ASKED_TWICE, Scenario.KEY_REUSED):
            self._schedule(call.row.at_ns + AGAIN_NS, AGAIN, call)
        return self._send(ASK, call.intent, call)

    def _ask_group(self, *calls: Call) -> At:
        for call in calls:
            self._plan_ending(call)
        return self._send(GROUP, Group("all", tuple(call.intent for call in calls)), *calls)

    def _plan_ending(self, call: Call) -> None:
        ends_ns = call.ends_ns(self._fleet.hold_ns)
        if ends_ns is not None:
            self._schedule(max(ends_ns, self._now_ns), ANSWER, call)

    def _continue(self, due: Due) -> At | None:
        """The request that is due; None where the call is refused or it is the operator's turn."""
        self._now_ns = due.due_ns
        call = due.call
        if due.what == FUND:
            self._operators_turn.append(self._fund)
            return None
        if call.is_refused:
            return None
        if due.what == APPROVAL:
            self._operators_turn.append(lambda: self._answer_approval(call))
            return None
        if due.what == AGAIN:
            again = call.altered() if call.scenario is Scenario.KEY_REUSED else call.intent
            return self._send(AGAIN, again, call)
        return self._send(ANSWER, call.ending(self._fleet), call)

    def _send(self, what: str, request: Any, *calls: Call) -> At:
        self._sent.append((what, calls))
        return At(self._now_ns, request)

    def _schedule(self, due_ns: int, what: str, call: Call) -> None:
        self._numbered += 1
        heappush(self._due, Due(due_ns=due_ns, number=self._numbered, what=what, call=call))

    # --- what is answered ------------------------------------------------------------------------

    def _take(self, answer: Any) -> None:
        what, calls = self._sent.popleft()
        if isinstance(answer, SplittallyError):
            raise answer
        if what == ASK:
            self._enter(calls[0], answer)
        elif what == GROUP:
            self._enter_group(calls, answer)
        elif what == AGAIN:
            self.totals.enter_again(answer)
        elif isinstance(answer, Settlement):
            self.totals.enter_settlement(answer)
        else:
            assert isinstance(answer, HoldChange)
            self.totals.enter_release(answer)

    def _enter(self, call: Call, decision: Decision) -> None:
        assert decision.intent_hash in (None, call.hash)
        self.totals.enter_decision(call.agent, decision)
        call.is_refused = decision.outcome not in ("allow", "require_approval")
        if decision.outcome == "require_approval" and call.scenario is not Scenario.UNAPPROVED:
            self._schedule(max(call.row.at_ns + APPROVAL_NS, self._now_ns), APPROVAL, call)
        if not self._is_short and any(has_code(found, "insufficient_balance") for found in decision.findings):
            self._is_short = True
            self._schedule(max(call.row.at_ns + FUND_NS, self._now_ns), FUND, call)

    def _enter_group(self, calls: tuple[Call, ...], decisions: list[Decision]) -> None:
        for call, decision in zip(calls, decisions, strict=True):
            self._enter(call, decision)
        is_allowed = all(decision.allowed for decision in decisions)
        self.totals.groups["allowed" if is_allowed else "refused"] += 1

    # --- what the operator does ------------------------------------------------------------------

    def _prepare(self) -> None:
        _require(self._operator.apply(self._fleet.manifest, now_ns=self._now_ns))
        self._fund()

    def _fund(self) -> None:
        amount = self._fleet.payment
        _require(
            self._operator.native(
                "ledger.issue", resource=RESOURCE, amount=amount, to=TEAM, now_ns=self._now_ns
            )
        )
        self.totals.funded.append(amount)
        self._is_short = False

    def _answer_approval(self, call: Call) -> None:
        """Approve or reject; an approved call is made now and answered as its row says."""
        if call.scenario is Scenario.REJECTED:
            decision = self._operator.reject(call.hash, now_ns=self._now_ns)
        else:
            decision = self._operator.approve(call.hash, now_ns=self._now_ns)
        if call.scenario is Scenario.APPROVED and decision.allowed:
            self._schedule(self._now_ns + call.answer_ns, ANSWER, call)
        word = "rejected" if call.scenario is Scenario.REJECTED else "approved"
        self.totals.approvals[word if decision.allowed else decision.findings[0].code] += 1

    def _upgrade(self) -> None:
        """Apply a manifest whose agents are judged by another module, whatever is in flight."""
        state = self._operator.state
        old = state.caps[CAP].enforcer
        holds = state.reservations
        in_flight = frozenset(digest for digest, row in holds.items() if row.legs[0].enforcer_ref == old)
        decision = _require(self._operator.apply(upgraded(self._fleet.manifest), now_ns=self._now_ns))
        assert decision.seq is not None
        new = self._operator.state.caps[CAP].enforcer
        self.totals.upgrade = Upgrade(
            seq=decision.seq, at_call=self._made, old_module=old, new_module=new, in_flight=in_flight
        )


def _require(decision: Decision) -> Decision:
    """A decision that must be an allow, because the job's own manifest says so."""
    assert decision.allowed, decision.findings
    return decision
