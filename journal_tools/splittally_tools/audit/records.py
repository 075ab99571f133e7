"""Does every frame say exactly what its bytes say, and is every intent what its hash says?

Rule 1. A record is read back to the very bytes that were hashed: nothing hides beside its fields.
Rule 2. The hash of an intent is computed again from kind, params, grant and key.
Rule 3. No intent is decided finally twice, and a frame decides only what it was asked.
Rule 4. A key that a host gave stands for no other payload of its grant afterwards, drawn or not.
"""

from array import array
from collections.abc import Iterator

from msgspec.structs import astuple
from splittally.core.canonical import decode, encode_record
from splittally.core.commands import FITS, Anchor, Command, Open, Settle, Submit
from splittally.core.errors import CanonicalError, JournalDamaged
from splittally.core.events import Anchored, Decided, Opened
from splittally.core.frames import body_rows
from splittally.core.intent import intent_hash, key_digest
from splittally.core.intent_history import is_foreign, own_members
from splittally.core.limits import HASH_BYTES
from splittally.core.step import opened_by
from splittally.core.types import FINAL
from splittally.runtime.record import Record

_BUCKETS = 256
_HALF = HASH_BYTES // 2


def intent_of(command: Command) -> bytes:
    """The intent that a command is about; of a group its first."""
    if isinstance(command, Submit):
        return command.members[0].intent_hash if command.members else b""
    return getattr(command, "intent_hash", b"")


class Records:
    """Frames in order: their bytes and their times."""

    def __init__(self) -> None:
        self._at_ns = 0
        self._format = 0

    def see(self, record: Record) -> None:
        body, seq = record.body, record.seq
        again = [seq, record.prev, body_rows(*astuple(body))]
        if encode_record(again) != record.data:
            raise JournalDamaged(f"frame {seq} holds more than its record says", seq=seq)
        if body.at_ns < self._at_ns:
            raise JournalDamaged(f"frame {seq} is dated before the one before it", seq=seq)
        self._at_ns = body.at_ns
        command, opened = body.command, [event for event in body.out if isinstance(event, Opened)]
        if (seq == 0 and not isinstance(command, Open)) or opened != _openings(command):
            raise JournalDamaged(f"frame {seq} does not open a world as it should", seq=seq)
        self._format = command.format if isinstance(command, Open) else self._format
        if body.version != self._format:
            raise JournalDamaged(f"frame {seq} is not of the format in which the world was opened", seq=seq)
        if isinstance(command, Anchor) and body.out != [Anchored(command.size, command.root, command.runs)]:
            raise JournalDamaged(f"frame {seq} anchors otherwise than it was asked", seq=seq)
        if not body.out:
            raise JournalDamaged(f"frame {seq} records nothing", seq=seq, intent_hash=intent_of(command))


def _openings(command: Command) -> list[Opened]:
    return [opened_by(command)] if isinstance(command, Open) else []


class Intents:
    """Intents in order: their hashes, that each has one final decision, and each key one payload."""

    def __init__(self) -> None:
        self.count = 0
        self._finals = Digests()
        self._keys = Digests()  # half a digest of the key, half of the intent's; odd where the host gave it

    def see(self, record: Record) -> None:
        command = record.body.command
        if isinstance(command, Settle) and command.fits == FITS and command.payload:
            _require_canonical(record.seq, "a payload", command.payload, command.intent_hash)
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
            _require_canonical(record.seq, "params", member.params, again)
            asked.add(again)
        self.count += len(asked)
        decided: set[bytes] = set()
        for event in record.body.out:
            if isinstance(event, Decided):
                decided.add(event.intent_hash)
                if event.intent_hash not in asked:
                    raise JournalDamaged(f"frame {record.seq} decides what was not asked", seq=record.seq)
                if event.outcome in FINAL and not is_foreign(event):
                    self._finals.add(event.intent_hash, record.seq)
        for member in own_members(record.body) if decided else ():
            if member.intent_hash in decided:
                key = key_digest(member.grant, member.key)
                digest = bytearray(key[:_HALF] + member.intent_hash[:_HALF])
                digest[-1] = digest[-1] & 0xFE | member.keyed
                self._keys.add(bytes(digest), record.seq)

    def finish(self) -> None:
        """Refuses a second final decision of an intent, and a second payload of a key: the first of each."""
        found = min(((again, digest) for digest, again in self._finals.repeated()), default=None)
        if found is not None:
            seq, digest = found
            raise JournalDamaged(
                f"frame {seq} decides intent {digest.hex()} a second time", seq=seq, intent_hash=digest
            )
        seq = min(self._second_payloads(), default=-1)
        if seq >= 0:
            raise JournalDamaged(f"frame {seq} decides another payload under a key that was used", seq=seq)

    def _second_payloads(self) -> Iterator[int]:
        """Where a key that a host had given for one intent came with another.

        A drawn key stands in no index, so nobody finds it when a host gives it later: that is no fault.
        """
        for first_byte in range(_BUCKETS):
            last, given = b"", b""
            rows = [(x[:_HALF], seq, x[-1] & 1, x[_HALF:-1]) for x, seq in self._keys.rows(first_byte)]
            for key, seq, is_given, intent in sorted(rows):
                if key != last:
                    last, given = key, b""
                if given and intent != given:
                    yield seq
                elif is_given:
                    given = intent


def _require_canonical(seq: int, what: str, data: bytes, digest: bytes) -> None:
    """Refuses bytes that the edge would not have made."""
    try:
        decode(data)
    except CanonicalError as error:
        text = f"frame {seq} holds {what} that the edge does not make: {error}"
        raise JournalDamaged(text, seq=seq, intent_hash=digest) from error


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
