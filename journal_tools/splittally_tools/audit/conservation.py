"""Is any money made or lost, and is every reservation somebody's?

Rule 1. Books of our own are kept from the events alone, and compared with the state after every record:
        each account that moved, and per resource what is in flight. Their sum is zero by construction.
Rule 2. Each posting is asked of the function that every door of the kernel asks (`core/ledger/moves.py`), on
        the books as the events before it leave them. So what the kernel let happen is never called damage.
Rule 3. Value comes in by `ledger.issue`, or by a rule of the plan in force that issues this resource to its
        own budget from the issuer.
Rule 4. What is in flight belongs to open intents and is what they drew. What else must stand is the list that
        the models of tests use, too (`core/ledger/invariants.py`).
"""

from collections import Counter

import msgspec
from splittally.core.amounts import Balance
from splittally.core.budget.evolve import DONE
from splittally.core.budget.plan import read_plan
from splittally.core.budget.rules import issued_by
from splittally.core.canonical import decode
from splittally.core.commands import Submit
from splittally.core.errors import JournalDamaged
from splittally.core.events import Defined, Posted, RuleFired
from splittally.core.findings import Finding
from splittally.core.ledger.invariants import Refunds, broken_invariants
from splittally.core.ledger.moves import Move, refused_moves
from splittally.core.ledger.state import Ledger
from splittally.core.state import DEFINITIONS, State
from splittally.core.types import ISSUER, BudgetDef
from splittally.runtime.record import Record

FRAMES_BETWEEN = 65_536  # between two comparisons of whole tables
ISSUE = "ledger.issue"
DEFINED = ("accounts", "resources")


class Conservation:
    """The books of the audit."""

    def __init__(self) -> None:
        self._books = Ledger()  # accounts, resources and balances of our own; nothing else of it is used
        self._flying: Counter[tuple[bytes, str]] = Counter()  # by intent
        self._aloft: Counter[str] = Counter()  # by resource
        self._refunds = Refunds()
        self._plans: dict[str, bytes] = {}  # which plan each budget has

    def see(self, record: Record, state: State) -> None:
        """Looks at what a record moves, event by event, and compares it with the `state` after it."""
        postings = []
        fired: list[RuleFired] = []
        for event in record.body.out:
            for broken in self._refunds.see(event):
                raise _unequal(record.seq, *broken)
            match event:
                case Defined() if event.table in DEFINED:
                    self._define(event)
                case Defined(table="budgets"):
                    self._plans[event.key] = msgspec.convert(decode(event.value), BudgetDef).schema
                case RuleFired() if event.status == DONE:
                    fired.append(event)
                case Posted():
                    by_issue = _issues(record, event.intent_hash) or self._issued_by(fired, event, state)
                    self._post(record.seq, event, by_issue)
                    postings.append(event)
        for posting in postings:
            self._compare(record.seq, posting, state)
        if record.seq % FRAMES_BETWEEN == FRAMES_BETWEEN - 1:
            self.compare_all(state)

    def _define(self, event: Defined) -> None:
        table = self._books.accounts if event.table == "accounts" else self._books.resources
        table[event.key] = msgspec.convert(decode(event.value), DEFINITIONS[event.table].row)

    def _issued_by(self, fired: list[RuleFired], posting: Posted, state: State) -> bool:
        """Whether a rule that fired before in this record issues what is posted, to its own budget."""
        if posting.debit != ISSUER:
            return False
        data = state.caps.blobs.get(self._plans.get(posting.credit, b""))
        return data is not None and any(
            (x.cause, x.budget) == (posting.intent_hash, posting.credit)
            and posting.resource in issued_by(read_plan(data).rules, x.rule)
            for x in fired
        )

    def _post(self, seq: int, posting: Posted, by_issue: bool) -> None:
        resource, amount = posting.resource, posting.amount
        move = Move(posting.debit, posting.credit, resource, amount)
        refused = refused_moves(self._books, [move], by_issue=by_issue)
        if refused:
            raise JournalDamaged(f"frame {seq} {_told(refused[0])}", seq=seq)
        for account, change in ((posting.debit, -amount), (posting.credit, amount)):
            if account:
                key = (account, resource)
                self._books.balances[key] = Balance(self._books.balances.get(key, 0) + change)
            else:
                self._aloft[resource] += change
                self._flying[posting.intent_hash, resource] += change
                if not self._flying[posting.intent_hash, resource]:
                    del self._flying[posting.intent_hash, resource]
        if self._flying[posting.intent_hash, resource] < 0:
            raise JournalDamaged(f"frame {seq} moves `{resource}` that was not there", seq=seq)

    def _compare(self, seq: int, posting: Posted, state: State) -> None:
        books, resource = state.ledger, posting.resource
        for account in filter(None, (posting.debit, posting.credit)):
            key = (account, resource)
            posted, stands = self._books.balances[key], books.balances.get(key, 0)
            if posted != stands:
                raise _unequal(seq, f"account {account} in {resource}", posted, stands)
        aloft, stands = self._aloft[resource], books.inflight.get(resource, 0)
        if aloft != stands:
            raise _unequal(seq, f"{resource} in flight", aloft, stands)

    def compare_all(self, state: State) -> None:
        """Compares every balance and everything in flight with the state, and asks what must hold of it."""
        books, own, seq = state.ledger, self._books.balances, state.size - 1
        for key in sorted({*own, *books.balances}):
            if own.get(key, 0) != books.balances.get(key, 0):
                raise _unequal(seq, " in ".join(key), own.get(key, 0), books.balances.get(key, 0))
        drawn: Counter[tuple[bytes, str]] = Counter()
        for digest, hold in books.holds.items():
            for draw in hold.draws:
                drawn[digest, draw.resource] += draw.amount
        for draw_key in sorted({*drawn, *self._flying}):
            if drawn[draw_key] != self._flying[draw_key]:
                what = f"what open intents drew and what is in flight of {draw_key[0].hex()} in {draw_key[1]}"
                raise _unequal(seq, what, self._flying[draw_key], drawn[draw_key])
        for broken in broken_invariants(books):
            raise _unequal(seq, *broken)


def _told(refused: Finding) -> str:
    """What a posting does that no door lets through, for people."""
    facts = refused.facts
    match refused.code:
        case "external_account":
            return "lets value in without an issue"
        case "insufficient_balance":
            least = facts["needed"] - facts["available"]
            return (
                f"takes more from {facts['account']} than it may give: {least} {facts['resource']} too much"
            )
        case "not_found":
            return f"moves value of {facts.get('account', facts.get('resource'))}, which does not exist"
    return f"moves {facts['needed']} `{facts['resource']}`, which no balance can hold"


def _issues(record: Record, intent_hash: bytes) -> bool:
    command = record.body.command
    members = command.members if isinstance(command, Submit) else []
    return any(x.kind == ISSUE and x.intent_hash == intent_hash for x in members)


def _unequal(seq: int, what: str, posted: int, stands: int) -> JournalDamaged:
    text = (
        f"after frame {seq} the postings and the state differ: {what}: {posted} posted, {stands} in the state"
    )
    return JournalDamaged(text, seq=seq)
