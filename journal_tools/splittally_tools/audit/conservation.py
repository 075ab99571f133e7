"""Is any money made or lost, and is every reservation somebody's?

Rule 1. Books of our own are kept from the postings alone and compared with the state after every record:
        each account that moved, and per resource what is in flight. Their sum is zero by construction.
Rule 2. Only `ledger.issue` debits an `external/` account; no other account passes its debt limit.
Rule 3. What is in flight belongs to open intents and is what they drew; what a counter has reserved is
        what open intents hold.
"""

from collections import Counter

from splittally.core.commands import Submit
from splittally.core.errors import JournalDamaged
from splittally.core.events import Posted
from splittally.core.state import State
from splittally.core.types import EXTERNAL, LIFE
from splittally.runtime.reader import Record

FRAMES_BETWEEN = 65_536  # between two comparisons of whole tables
ISSUE = "ledger.issue"


class Conservation:
    """The books of the audit."""

    def __init__(self) -> None:
        self._balances: Counter[tuple[str, str]] = Counter()
        self._flying: Counter[tuple[bytes, str]] = Counter()  # by intent
        self._aloft: Counter[str] = Counter()  # by resource

    def see(self, record: Record, state: State) -> None:
        """Compares what a record moved with the `state` after it."""
        postings = [event for event in record.body.out if isinstance(event, Posted)]
        for posting in postings:
            self._post(posting)
        for posting in postings:
            self._compare(record, posting, state)
        if record.seq % FRAMES_BETWEEN == FRAMES_BETWEEN - 1:
            self.compare_all(state)

    def _post(self, posting: Posted) -> None:
        resource, amount = posting.resource, posting.amount
        for account, change in ((posting.debit, -amount), (posting.credit, amount)):
            if account:
                self._balances[account, resource] += change
            else:
                self._aloft[resource] += change
                self._flying[posting.intent_hash, resource] += change
                if not self._flying[posting.intent_hash, resource]:
                    del self._flying[posting.intent_hash, resource]

    def _compare(self, record: Record, posting: Posted, state: State) -> None:
        books, resource, seq = state.ledger, posting.resource, record.seq
        if posting.amount <= 0 or self._flying[posting.intent_hash, resource] < 0:
            raise JournalDamaged(f"frame {seq} moves `{resource}` that was not there", seq=seq)
        for account in filter(None, (posting.debit, posting.credit)):
            posted, stands = self._balances[account, resource], books.balances.get((account, resource), 0)
            if posted != stands:
                raise _unequal(seq, f"account {account} in {resource}", posted, stands)
        aloft, stands = self._aloft[resource], books.inflight.get(resource, 0)
        if aloft != stands:
            raise _unequal(seq, f"{resource} in flight", aloft, stands)
        debit = posting.debit
        if debit.startswith(EXTERNAL):
            if not _issues(record, posting.intent_hash):
                raise JournalDamaged(f"frame {seq} lets value in without an issue", seq=seq)
        elif debit and self._balances[debit, resource] < -books.accounts[debit].debt_limit:
            left, least = self._balances[debit, resource], -books.accounts[debit].debt_limit
            text = f"frame {seq} takes more from {debit} than it may give"
            raise JournalDamaged(f"{text}: {left} {resource} are left, not {least} or more", seq=seq)

    def compare_all(self, state: State) -> None:
        """Compares every balance, everything in flight and every reserve with the state."""
        books, seq = state.ledger, state.size - 1
        for key in sorted({*self._balances, *books.balances}):
            if self._balances[key] != books.balances.get(key, 0):
                raise _unequal(seq, " in ".join(key), self._balances[key], books.balances.get(key, 0))
        drawn: Counter[tuple[bytes, str]] = Counter()
        reserved: Counter[tuple[str, str, str, int]] = Counter()
        for digest, hold in books.holds.items():
            for draw in hold.draws:
                drawn[digest, draw.resource] += draw.amount
            for leg in hold.legs:
                for dim, amount in leg.reserve.items():
                    reserved[leg.grant, dim, LIFE, 0] += amount
                for window in leg.windows:
                    amount = leg.reserve.get(window.dim, 0)
                    reserved[leg.grant, window.dim, window.per, window.start_ns] += amount
        for draw_key in sorted({*drawn, *self._flying}):
            if drawn[draw_key] != self._flying[draw_key]:
                what = f"what open intents drew and what is in flight of {draw_key[0].hex()} in {draw_key[1]}"
                raise _unequal(seq, what, self._flying[draw_key], drawn[draw_key])
        for counter_key, counter in sorted(books.counters.items()):
            if counter.reserved != reserved[counter_key]:
                what = f"the reserve of {counter_key[0]} in {counter_key[1]}"
                raise _unequal(seq, what, reserved[counter_key], counter.reserved)


def _issues(record: Record, intent_hash: bytes) -> bool:
    command = record.body.command
    members = command.members if isinstance(command, Submit) else []
    return any(x.kind == ISSUE and x.intent_hash == intent_hash for x in members)


def _unequal(seq: int, what: str, posted: int, stands: int) -> JournalDamaged:
    text = (
        f"after frame {seq} the postings and the state differ: {what}: {posted} posted, {stands} in the state"
    )
    return JournalDamaged(text, seq=seq)
