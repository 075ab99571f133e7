"""The Merkle tree of RFC 6962 over frames: one root for a journal, short proofs about it.

Rule 1. A leaf is SHA-256 of 0x00 and the frame's canonical bytes, a node that of 0x01 and its children.
        SHA-256 because the auditors' tools know it; inside the journal the chain is BLAKE3.
Rule 2. A tree of n leaves splits at the largest power of two below n. Joining neighbours level by level
        and passing an odd last one up unchanged builds the same tree.
Rule 3. A verifier needs no journal: index, sizes, roots and the proof decide, and nothing else.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import zip_longest

EMPTY_ROOT = sha256().digest()


class Frontier:
    """The root of a growing tree, in memory that grows with the logarithm of its size."""

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []  # its perfect subtrees, the largest first

    def append(self, leaf: bytes) -> None:
        """Adds the next leaf."""
        hash_ = leaf_hash(leaf)
        size = self.size
        while size & 1:
            hash_ = _node_hash(self._hashes.pop(), hash_)
            size >>= 1
        self._hashes.append(hash_)
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._hashes:
            return EMPTY_ROOT
        hash_ = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            hash_ = _node_hash(left, hash_)
        return hash_


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """The root over `leaves`."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(leaves: Iterable[bytes], index: int) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root over `leaves` (RFC 6962 section 2.1.1)."""
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert 0 <= index < len(hashes)
    proof = []
    while len(hashes) > 1:
        if (index ^ 1) < len(hashes):
            proof.append(hashes[index ^ 1])
        hashes = _joined(hashes)
        index >>= 1
    return proof


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` leads from `leaf` at `index` to the root over `size` (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    left, last, hash_ = index, size - 1, leaf_hash(leaf)
    for step in proof:
        if last == 0:
            return False
        if left & 1 or left == last:
            hash_ = _node_hash(step, hash_)
            left, last = _up_past_zeros(left, last)
        else:
            hash_ = _node_hash(hash_, step)
        left, last = left >> 1, last >> 1
    return last == 0 and hash_ == root


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _up_past_zeros(left: int, last: int) -> tuple[int, int]:
    while left and not left & 1:
        left, last = left >> 1, last >> 1
    return left, last


def _joined(hashes: list[bytes]) -> list[bytes]:
    pairs = zip_longest(hashes[::2], hashes[1::2])
    return [left if right is None else _node_hash(left, right) for left, right in pairs]
