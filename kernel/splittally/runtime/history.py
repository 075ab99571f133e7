"""What the journal says of an intent, or a forgotten grant, found by the index and read back verified.

Rule 1. A hit is checked against its frame: a row that names a frame without the intent is ignored.
Rule 2. The cache of held intents is bounded and keyed by intent hash; what enters it was held here.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from splittally.core.ask import Recall
from splittally.core.caps.names import digest_of
from splittally.core.commands import Command, Known, Member, Submit
from splittally.core.errors import JournalDamaged
from splittally.core.events import INDEXED, Defined, Event, GrantRevoked, GrantSet, Noted
from splittally.core.frames import Body, read_body, read_command
from splittally.core.intent import key_digest
from splittally.core.intent_history import Trace, known_of, own_members, trace
from splittally.core.ledger.state import Hold
from splittally.core.limits import RECALL_FRAMES_MAX
from splittally.core.types import REFUSED_RECEIPT
from splittally.journal.frame import Frame, open_frame
from splittally.journal.index import Index
from splittally.journal.store import Store

Holds = Mapping[bytes, Hold]
NAMED = frozenset((Defined, GrantRevoked, GrantSet))  # what is found again beside intents


class History:
    """Reads decided intents back from the journal, and keeps where each is spoken of."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index
        self._recalls: OrderedDict[bytes, tuple[Member, int]] = OrderedDict()  # each with its time
        self._pending: dict[int, bytes] = {}  # frames of the group that is not appended yet

    def keep(self, frame: Frame, at_ns: int, command: Command, out: list[Event], holds: Holds) -> None:
        """Remember a frame that is about to be appended, as bytes: most are never asked for again."""
        self._pending[frame.seq] = frame.data
        index_events(self._index, frame.seq, command, out)
        self.keep_held(frame.seq, at_ns, command, holds)

    def keep_held(self, seq: int, at_ns: int, command: Command, holds: Holds) -> None:
        """Remember the intents that frame `seq`, which was applied, holds."""
        if type(command) is Submit:
            for member in command.members:
                hold = holds.get(member.intent_hash)
                if hold is not None and hold.seq == seq:
                    self._recalls[member.intent_hash] = (member, at_ns)

    def clear_pending(self) -> None:
        """The pending frames are durable and can be read back."""
        self._pending.clear()
        while len(self._recalls) > RECALL_FRAMES_MAX:
            self._recalls.popitem(last=False)

    def body(self, seq: int) -> Body:
        """The verified body of frame `seq`."""
        data = self._pending.get(seq)
        return read_body(open_frame(data)[2] if data is not None else self._store.verified(seq)[1], seq)

    def recall(self, intent_hash: bytes, hold: Hold | None) -> Recall | None:
        """The decided intent, for the questions of a Settle."""
        kept = self._recalls.get(intent_hash)
        if kept is not None:
            return _recall(*kept)
        if hold is not None:
            return self.recall_at(hold.seq, intent_hash)
        found = self.trace(intent_hash)
        return _recall(found.member, found.at_ns) if found is not None else None

    def recall_at(self, seq: int, intent_hash: bytes) -> Recall:
        """The decided intent as frame `seq`, which decided it, holds it."""
        at_ns, command = read_command(self._store.verified(seq)[1], seq)
        assert isinstance(command, Submit)
        member = next(each for each in command.members if each.intent_hash == intent_hash)
        return _recall(member, at_ns)

    def trace(self, intent_hash: bytes, hold: Hold | None = None, before: int | None = None) -> Trace | None:
        """The life of an intent; None when no frame decides it. What is held is known without any index.

        With `before` as the frames before that one tell it.
        """
        seqs = tuple(seq for seq in self._index.seqs(intent_hash) if before is None or seq < before)
        if hold is not None and hold.seq not in seqs:
            seqs = (hold.seq, *(seq for seq in seqs if seq > hold.seq))
        return trace(intent_hash, ((seq, self.body(seq)) for seq in seqs))

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
            for other in own_members(body):
                if (other.grant, other.key) == (member.grant, member.key):
                    return other
        return None

    def grant_events(self, name: str, stop: int) -> list[tuple[int, GrantSet | GrantRevoked]]:
        """What set and revoked the grant of this name before frame `stop`, in order, each with its frame."""
        seqs = [seq for seq in self._index.seqs(digest_of(name)) if seq < stop]
        spoken = [(seq, event) for seq in seqs for event in self.body(seq).out]
        return [
            (seq, event)
            for seq, event in spoken
            if (type(event) is GrantSet and event.grant.name == name)
            or (type(event) is GrantRevoked and event.name == name)
        ]

    def params_of(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """The cap params with these hashes, as the frames that defined them have them."""
        return {digest: self._blob(digest) for digest in digests}

    def _blob(self, digest: bytes) -> bytes:
        for seq in self._index.seqs(digest):
            for event in self.body(seq).out:
                if type(event) is Defined and event.key == digest.hex():
                    return event.value
        raise JournalDamaged(f"no frame defines the params {digest.hex()}", seq=0)


def index_events(index: Index, seq: int, command: Command, out: list[Event]) -> None:
    """Enter what a frame speaks of into the index, each once, and the keys that hosts gave."""
    done: set[bytes] = set()
    for event in out:
        kind, key = type(event), b""
        if kind in INDEXED:
            key = event.intent_hash  # type: ignore[union-attr]
        elif kind in NAMED:
            key = _key_of(event)
        elif kind is Noted and event.subject == REFUSED_RECEIPT:  # type: ignore[union-attr]
            key = event.intent_hash  # type: ignore[union-attr]
        if key and key not in done:
            done.add(key)
            index.put(key, seq)
    if type(command) is Submit:
        for member in command.members:
            if member.keyed and member.intent_hash in done:
                index.put(key_digest(member.grant, member.key), seq)


def _key_of(event: Event) -> bytes:
    """A grant by its name, a definition by the hash of its bytes; empty for what has neither."""
    match event:
        case GrantSet():
            return digest_of(event.grant.name)
        case GrantRevoked():
            return digest_of(event.name)
        case Defined(table="blobs"):
            return bytes.fromhex(event.key)
    return b""


def _recall(member: Member, at_ns: int) -> Recall:
    return Recall(
        kind=member.kind,
        params=member.params,
        origin_kind=member.origin_kind,
        origin_name=member.origin_name,
        at_ns=at_ns,
    )
