"""What the journal says of an intent, found by the index and read back verified.

Rule 1. A hit is checked against its frame: a row that names a frame without the intent is ignored.
Rule 2. The cache is bounded and holds frames by sequence; a frame is verified before it enters.
"""

from collections import OrderedDict

from splittally.core.ask import Recall
from splittally.core.commands import Known, Member, Submit
from splittally.core.frames import Body, read_body
from splittally.core.history import Trace, known_of, trace
from splittally.core.intent import key_digest
from splittally.core.ledger.state import Hold
from splittally.core.limits import RECALL_FRAMES_MAX
from splittally.journal.index import Index
from splittally.journal.store import Store


class Recaller:
    """Reads decided intents back from the journal."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index
        self._bodies: OrderedDict[int, Body] = OrderedDict()
        self.pending: dict[int, Body] = {}  # frames of the group that is not appended yet

    def keep(self, seq: int, body: Body) -> None:
        """Remember the body of a frame that is about to be appended."""
        self.pending[seq] = body

    def settle_pending(self) -> None:
        """The pending frames are durable: they may be forgotten when room is needed."""
        bodies = self._bodies
        bodies.update(self.pending)
        self.pending.clear()
        while len(bodies) > RECALL_FRAMES_MAX:
            bodies.popitem(last=False)

    def body(self, seq: int) -> Body:
        """The verified body of frame `seq`."""
        body = self.pending.get(seq) or self._bodies.get(seq)
        if body is None:
            _, rows = self._store.verified(seq)
            body = self._bodies[seq] = read_body(rows, seq)
        return body

    def recall(self, intent_hash: bytes, hold: Hold | None) -> Recall | None:
        """The decided intent, for the questions of a Settle."""
        if hold is not None:
            body = self.body(hold.seq)
            assert isinstance(body.command, Submit)
            member = body.command.members[hold.member]
            assert member.intent_hash == intent_hash
            return _recall(member, body.at_ns)
        found = self.trace(intent_hash)
        return _recall(found.member, found.at_ns) if found is not None else None

    def trace(self, intent_hash: bytes) -> Trace | None:
        """The life of an intent; None when no frame decides it."""
        return trace(intent_hash, ((seq, self.body(seq)) for seq in self._index.seqs(intent_hash)))

    def known(self, intent_hash: bytes) -> Known | None:
        """The evidence on an intent that is not open; None when no frame decides it."""
        found = self.trace(intent_hash)
        return known_of(found) if found is not None else None

    def twin(self, member: Member) -> Member | None:
        """The decided intent that used this intent's key under its grant, whatever its payload."""
        for seq in self._index.seqs(key_digest(member.grant, member.key)):
            body = self.body(seq)
            if not isinstance(body.command, Submit):
                continue
            for other in body.command.members:
                if (other.grant, other.key) == (member.grant, member.key):
                    return other
        return None


def _recall(member: Member, at_ns: int) -> Recall:
    return Recall(member.kind, member.params, member.origin_kind, member.origin_name, at_ns)
