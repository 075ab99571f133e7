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
from typing import NamedTuple

EMPTY_ROOT = sha256().digest()


class Peaks(NamedTuple):
    """A tree that can be continued: its size and its perfect subtrees, the largest first."""

    size: int
    hashes: tuple[bytes, ...]


NO_PEAKS = Peaks(0, ())


class Frontier:
    """The root of a growing tree, from `peaks` on, in memory that grows with the logarithm of its size."""

    def __init__(self, peaks: Peaks = NO_PEAKS) -> None:
        assert len(peaks.hashes) == peaks.size.bit_count()
        self.size = peaks.size
        self._hashes = list(peaks.hashes)

    def append(self, leaf: bytes) -> None:
        """Adds the next leaf."""
        hash_ = leaf_hash(leaf)
        size = self.size
        while size & 1:
            hash_ = _node_hash(self._hashes.pop(), hash_)
            size >>= 1
        self._hashes.append(hash_)
        self.size += 1

    def peaks(self) -> Peaks:
        """What it takes to continue from here."""
        return Peaks(self.size, tuple(self._hashes))

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


def consistency_proof(leaves: Iterable[bytes], first: int) -> list[bytes]:
    """The hashes that show the tree of the first `first` leaves to be the beginning of the whole."""
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert 0 <= first <= len(hashes)
    return _subproof(hashes, first, is_whole=True) if first else []


def verify_consistency(first: int, first_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows a tree to have only grown from `first` to `size` (RFC 9162 section 2.1.4.2)."""
    if first == size or first == 0:
        return not proof and first_root == (root if first == size else EMPTY_ROOT)
    if not 0 < first < size or not proof:
        return False
    steps = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    left, last = first - 1, size - 1
    while left & 1:
        left, last = left >> 1, last >> 1
    first_hash = hash_ = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if left & 1 or left == last:
            first_hash, hash_ = _node_hash(step, first_hash), _node_hash(step, hash_)
            left, last = _up_past_zeros(left, last)
        else:
            hash_ = _node_hash(hash_, step)
        left, last = left >> 1, last >> 1
    return last == 0 and first_hash == first_root and hash_ == root


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _up_past_zeros(left: int, last: int) -> tuple[int, int]:
    while left and not left & 1:
        left, last = left >> 1, last >> 1
    return left, last


def _joined(hashes: list[bytes]) -> list[bytes]:
    pairs = zip_longest(hashes[::2], hashes[1::2])
    return [left if right is None else _node_hash(left, right) for left, right in pairs]


def _root_of(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = _joined(hashes)
    return hashes[0]


def _subproof(hashes: list[bytes], first: int, is_whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2; `is_whole` while the verifier knows the root of this part."""
    if first == len(hashes):
        return [] if is_whole else [_root_of(hashes)]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    if first <= split:
        return [*_subproof(hashes[:split], first, is_whole), _root_of(hashes[split:])]
    return [*_subproof(hashes[split:], first - split, is_whole=False), _root_of(hashes[:split])]
