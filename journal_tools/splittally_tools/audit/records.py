"""Does every frame say exactly what its bytes say, and is every intent what its hash says?

Rule 1. A record is read back to the very bytes that were hashed, but for fields that were added to it since:
        nothing hides beside its fields.
Rule 2. The hash of an intent is computed again from kind, params, grant and key.
Rule 3. No intent is decided finally twice, and a frame decides only what it was asked.
"""

from array import array
from collections.abc import Iterator

from splittally.core.canonical import decode, encode_record
from splittally.core.commands import Open, Submit
from splittally.core.errors import JournalDamaged
from splittally.core.events import Decided, Opened
from splittally.core.frames import body_rows, is_same_record
from splittally.core.intent import intent_hash
from splittally.core.intent_history import is_foreign
from splittally.core.limits import HASH_BYTES
from splittally.core.types import FINAL
from splittally.runtime.reader import Record

_BUCKETS = 256


class Records:
    """Frames in order: their bytes and their times."""

    def __init__(self) -> None:
        self._at_ns = 0

    def see(self, record: Record) -> None:
        body, seq = record.body, record.seq
        again = [seq, record.prev, body_rows(body.at_ns, body.by, body.command, body.seen, body.out)]
        if encode_record(again) != record.data and not is_same_record(decode(record.data), again):
            raise JournalDamaged(f"frame {seq} holds more than its record says", seq=seq)
        if body.at_ns < self._at_ns:
            raise JournalDamaged(f"frame {seq} is dated before the one before it", seq=seq)
        self._at_ns = body.at_ns
        is_opening = isinstance(body.command, Open)
        if (seq == 0 and not is_opening) or is_opening != any(isinstance(x, Opened) for x in body.out):
            raise JournalDamaged(f"frame {seq} does not open a world as it should", seq=seq)


class Intents:
    """Intents in order: their hashes, and that each has one final decision."""

    def __init__(self) -> None:
        self.count = 0
        self._finals = Digests()

    def see(self, record: Record) -> None:
        command = record.body.command
        asked: set[bytes] = set()
        for member in command.members if isinstance(command, Submit) else ():
            again = intent_hash(member.kind, member.params, member.grant, member.key)
            if again != member.intent_hash:
                named = member.intent_hash.hex()
                raise JournalDamaged(
                    f"frame {record.seq}: intent {named} is not the hash of what it asks for",
                    seq=record.seq,
                    intent_hash=member.intent_hash,
                )
            asked.add(again)
        self.count += len(asked)
        for event in record.body.out:
            if isinstance(event, Decided):
                if event.intent_hash not in asked:
                    raise JournalDamaged(f"frame {record.seq} decides what was not asked", seq=record.seq)
                if event.outcome in FINAL and not is_foreign(event):
                    self._finals.add(event.intent_hash, record.seq)

    def finish(self) -> None:
        """Refuses the first decision of an intent that had been decided finally before."""
        found = min(((again, digest) for digest, again in self._finals.repeated()), default=None)
        if found is not None:
            seq, digest = found
            raise JournalDamaged(
                f"frame {seq} decides intent {digest.hex()} a second time", seq=seq, intent_hash=digest
            )


class Digests:
    """Digests with sequences in 40 bytes each, so that ten million of them fit in memory."""

    def __init__(self) -> None:
        self._digests = [bytearray() for _ in range(_BUCKETS)]
        self._seqs = [array("Q") for _ in range(_BUCKETS)]

    def add(self, digest: bytes, seq: int) -> None:
        self._digests[digest[0]] += digest
        self._seqs[digest[0]].append(seq)

    def rows(self, first_byte: int) -> list[tuple[bytes, int]]:
        """The digests that begin with this byte, sorted, each with its sequence."""
        digests, seqs = bytes(self._digests[first_byte]), self._seqs[first_byte]
        return sorted((digests[at * HASH_BYTES : (at + 1) * HASH_BYTES], seq) for at, seq in enumerate(seqs))

    def repeated(self) -> Iterator[tuple[bytes, int]]:
        """Each digest that was added before, with the sequence at which it came again."""
        for first_byte in range(_BUCKETS):
            last = b""
            for digest, seq in self.rows(first_byte):
                if digest == last:
                    yield digest, seq
                last = digest
