"""Roots and proofs agree with RFC 6962 as written: the definition below is its text, slow and obvious."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from splittally.journal.proof.merkle import (
    EMPTY_ROOT,
    inclusion_proof,
    root,
    verify_inclusion,
)


def mth(leaves):
    """MTH of RFC 6962 section 2.1."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def path(m, leaves):
    """PATH of RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


KNOWN_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
KNOWN_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_published_roots_of_certificate_transparency_come_out():
    assert [root(KNOWN_LEAVES[: n + 1]).hex() for n in range(8)] == KNOWN_ROOTS
    assert root([]) == EMPTY_ROOT == mth([])


leaves_of = st.integers(0, 70).map(lambda n: [b"leaf %d" % i for i in range(n)])


@given(leaves_of)
def test_every_root_and_proof_is_that_of_the_definition(leaves):
    assert root(leaves) == mth(leaves)
    for index in range(len(leaves)):
        proof = inclusion_proof(leaves, index)
        assert proof == path(index, leaves)
        assert verify_inclusion(leaves[index], index, len(leaves), proof, mth(leaves))


def changes(proof):
    """Every proof that differs in one place: a step changed, dropped, doubled, added, or two exchanged."""
    for at in range(len(proof)):
        yield [*proof[:at], sha256(proof[at]).digest(), *proof[at + 1 :]]
        yield [*proof[:at], *proof[at + 1 :]]
        yield [*proof[: at + 1], *proof[at:]]
        yield (
            [*proof[:at], *reversed(proof[at : at + 2]), *proof[at + 2 :]]
            if at + 1 < len(proof)
            else [
                *proof,
                bytes(32),
            ]
        )
    yield [*proof, bytes(32)]


@given(leaves_of.filter(len), st.data())
def test_no_changed_inclusion_proof_convinces(leaves, data):
    size = len(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof, top = inclusion_proof(leaves, index), root(leaves)
    for changed in changes(proof):
        assert not verify_inclusion(leaves[index], index, size, changed, top)
    assert not verify_inclusion(b"other", index, size, proof, top)
    assert not verify_inclusion(leaves[index], index, size, proof, bytes(32))
    for other in (-1, size, size + 5):
        assert not verify_inclusion(leaves[index], other, size, proof, top)
    for other in set(range(size)) - {index}:
        assert not verify_inclusion(leaves[index], other, size, proof, top)
