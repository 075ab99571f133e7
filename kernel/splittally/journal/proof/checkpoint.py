"""Checkpoints: what a journal was at some size, signed and kept outside it (c2sp.org/tlog-checkpoint).

A chain shows that frames follow one another. It cannot show that the last ones are still there, nor
that the whole was not written anew. A checkpoint can, for everything before it.

Rule 1. A checkpoint names origin, size and RFC 6962 root, and on two lines more the hash of the last
        frame and the state root.
Rule 2. Whoever compares reads every frame up to the checkpoint, so the answer rests on no index.
"""

import base64
import re
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from splittally.core.errors import InvalidInput, JournalDamaged
from splittally.journal.frame import EMPTY
from splittally.journal.proof.merkle import Frontier
from splittally.journal.proof.signed_note import VerifierKey, is_name, open_note, parse_key, sign_note
from splittally.journal.store import Store

_TEXT = re.compile(
    r"([^\n]+)\n(0|[1-9][0-9]{0,19})\n([A-Za-z0-9+/]{43}=)\nhead ([0-9a-f]{64})\nstate ([0-9a-f]{64})\n"
)


class Checkpoint(NamedTuple):
    """A journal of `size` frames: its Merkle root, the hash of its last frame, the root of its state."""

    origin: str
    size: int
    root: bytes
    head: bytes
    state: bytes

    @property
    def text(self) -> str:
        """The lines that are signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\nhead {self.head.hex()}\nstate {self.state.hex()}\n"


def checkpoint_of(store: Store, origin: str, state: bytes) -> Checkpoint:
    """The checkpoint of the whole journal, every frame verified on the way; `state` is its state root."""
    size = store.head.size
    root, head = _root_and_head(store, size)
    return Checkpoint(origin=origin, size=size, root=root, head=head, state=state)


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey, name: str) -> str:
    """The checkpoint as a signed note; `name` is that of the key and should be the origin."""
    if not is_name(checkpoint.origin) or not is_name(name):
        raise InvalidInput("an origin and a key name hold no spaces and no plus signs", field="origin")
    return sign_note(checkpoint.text, key, name)


def parse_and_verify(text: str, public_key: VerifierKey | str) -> Checkpoint:
    """The checkpoint that `public_key` signed; `InvalidInput` for anything else."""
    key = parse_key(public_key) if isinstance(public_key, str) else public_key
    signed = open_note(text, key)
    found = _TEXT.fullmatch(signed)
    if found is not None:
        origin, size, root, head, state = found.groups()
        parsed = base64.b64decode(root), bytes.fromhex(head), bytes.fromhex(state)
        checkpoint = Checkpoint(origin, int(size), *parsed)
        if checkpoint.text == signed:
            return checkpoint
    raise InvalidInput("the note is signed and is not a checkpoint of a journal", field="note")


def compare(store: Store, checkpoint: Checkpoint) -> None:
    """Nothing when the journal begins as `checkpoint` says; `JournalDamaged` otherwise.

    The state root is not compared: folding the frames is the kernel's work.
    """
    size = checkpoint.size
    if store.head.size < size:
        raise JournalDamaged(
            f"the journal ends after {store.head.size} frames, and the checkpoint saw {size}",
            seq=store.head.size,
        )
    root, head = _root_and_head(store, size)
    if (root, head) != (checkpoint.root, checkpoint.head):
        raise JournalDamaged(
            f"the first {size} frames are not those that the checkpoint saw: one was changed, "
            "and those after it were chained anew",
            seq=max(size - 1, 0),
        )


def _root_and_head(store: Store, size: int) -> tuple[bytes, bytes]:
    frontier, head = Frontier(), EMPTY.hash
    for _, hash_, data in store.chained(EMPTY, size):
        frontier.append(data)
        head = hash_
    return frontier.root(), head
