"""A checkpoint is a C2SP signed note that says what a journal was, and it convinces nobody once changed."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.errors import InvalidInput, JournalDamaged
from splittally.journal.frame import seal
from splittally.journal.memory import MemoryStore
from splittally.journal.proof.checkpoint import Checkpoint, checkpoint_of, compare, parse_and_verify, sign
from splittally.journal.proof.merkle import EMPTY_ROOT, root
from splittally.journal.proof.signed_note import (
    VerifierKey,
    generate_key,
    key_id,
    load_key,
    open_note,
    parse_key,
    sign_note,
    verifier_of,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NAME = "example.org/world"
VERIFIER = verifier_of(KEY, NAME)
CHECKPOINT = Checkpoint(NAME, 1000, bytes(range(32)), b"\x11" * 32, b"\x22" * 32)
SIGNED = """\
example.org/world
1000
AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
head 1111111111111111111111111111111111111111111111111111111111111111
state 2222222222222222222222222222222222222222222222222222222222222222

— example.org/world \
YZ/0FjjfKyharK2W1CmX9Ow11tVpp9jWnTtq6hwyn9iiwy1+m8/dZ06DKNlWv2XNZDgLElxf35x5LJ4wG52U5spfWA4=
"""


def journal(count, change=None):
    store = MemoryStore()
    for seq in range(count):
        store.append(store.head, [seal(seq, store.head.hash, [seq, "changed" if seq == change else ""])])
    return store


def test_the_text_of_a_signed_checkpoint_is_fixed():
    signed = sign(CHECKPOINT, KEY, NAME)
    assert signed == SIGNED
    assert parse_and_verify(signed, VERIFIER) == CHECKPOINT
    assert parse_and_verify(signed, VERIFIER.text) == CHECKPOINT


def test_the_published_example_of_a_signed_note_verifies():
    """From the documentation of golang.org/x/mod/sumdb/note, whose format c2sp.org/signed-note describes."""
    key = parse_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    note = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "— PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert open_note(note, key).endswith("what your problem is.\n")
    assert key.text == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


@given(st.data())
def test_no_changed_note_is_accepted(data):
    signed = sign(CHECKPOINT, KEY, NAME)
    at = data.draw(st.integers(0, len(signed) - 1))
    how = data.draw(st.sampled_from(["replace", "delete", "insert"]))
    char = data.draw(st.characters(exclude_categories=["Cs"]))
    changed = (
        signed[:at] + {"replace": char, "delete": "", "insert": char}[how] + signed[at + (how != "insert") :]
    )
    if changed != signed:
        with pytest.raises(InvalidInput):
            parse_and_verify(changed, VERIFIER)


def test_signatures_of_others_are_ignored_and_one_of_ours_must_hold():
    other = Ed25519PrivateKey.generate()
    signed = sign(CHECKPOINT, KEY, NAME)
    witness = sign(CHECKPOINT, other, "witness.example").splitlines()[-1] + "\n"
    namesake = sign(CHECKPOINT, other, NAME).splitlines()[-1] + "\n"
    assert parse_and_verify(signed + witness + namesake, VERIFIER) == CHECKPOINT
    assert parse_and_verify(signed + witness, verifier_of(other, "witness.example")) == CHECKPOINT
    forged = base64.b64encode(key_id(VERIFIER) + bytes(64)).decode()
    for refused in (
        sign(CHECKPOINT, other, NAME),
        sign(CHECKPOINT, KEY, "another.name"),
        signed + f"— {NAME} {forged}\n",
        signed.replace("— ", "- "),
        signed.rstrip("\n"),
        signed + "\n",
        CHECKPOINT.text,
        "",
    ):
        with pytest.raises(InvalidInput):
            parse_and_verify(refused, VERIFIER)


@pytest.mark.parametrize(
    "text",
    [
        "hello\n",
        CHECKPOINT.text + "extra line\n",
        CHECKPOINT.text.replace("1000", "01000"),
        CHECKPOINT.text.replace("1000", "-1"),
        CHECKPOINT.text.replace("head", "tail"),
        CHECKPOINT.text.replace("1111", "AAAA"),
        CHECKPOINT.text.replace("Hh8=", "Hh9="),
        CHECKPOINT.text.replace("state", "\nstate"),
    ],
)
def test_a_signed_note_that_is_no_checkpoint_is_refused(text):
    with pytest.raises(InvalidInput):
        parse_and_verify(sign_note(text, KEY, NAME), VERIFIER)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\nb", "a\u00a0b"])
def test_a_name_with_a_space_or_a_plus_sign_signs_nothing(name):
    with pytest.raises(InvalidInput):
        sign(CHECKPOINT, KEY, name)
    with pytest.raises(InvalidInput):
        sign(CHECKPOINT._replace(origin=name), KEY, NAME)


@pytest.mark.parametrize(
    "text", ["", "a", "a+b", "a+b+c", VERIFIER.text[:-4], VERIFIER.text.replace("org", "com")]
)
def test_a_text_that_is_no_key_is_refused(text):
    with pytest.raises(InvalidInput):
        parse_key(text)


# --- points of low order ----------------------------------------------------------------------------
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point


def added(one, two):
    """The sum of two points of edwards25519, by the formula of RFC 8032, 5.1.4, in plain coordinates."""
    (x1, y1), (x2, y2) = one, two
    cross = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + cross, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - cross, -1, P) % P,
    )


def multiple(times, point):
    total = (0, 1)
    while times:
        if times & 1:
            total = added(total, point)
        point, times = added(point, point), times >> 1
    return total


def point_of(y):
    """A point with this y; None where there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x, y) if x * x % P == square else None


def low_order_keys():
    """All 32 bytes that some reader takes for a point of low order: eight points as they may be spelled."""
    points = set()
    for y in range(2, 40):
        point = point_of(y)
        if point is not None:
            step = multiple(L, point)  # what is left of it in the small subgroup
            points |= {multiple(times, step) for times in range(8)}
    assert len(points) == 8
    spelled = {y for _, y in points} | {y + P for _, y in points if y + P < 2**255}
    return [(y + (sign << 255)).to_bytes(32, "little") for y in sorted(spelled) for sign in (0, 1)]


def test_no_signature_under_a_key_of_low_order_counts():
    keys = low_order_keys()
    assert len(keys) == 14
    for public in keys:
        weak = VerifierKey(NAME, public)
        with pytest.raises(InvalidInput, match="low order"):
            parse_key(weak.text)
        everything = public + bytes(32)  # R is the key and S is 0: fits any text under some of these keys
        signature = base64.b64encode(key_id(weak) + everything).decode()
        note = f"{CHECKPOINT.text}\n\N{EM DASH} {NAME} {signature}\n"
        with pytest.raises(InvalidInput, match="low order"):
            open_note(note, weak)
        with pytest.raises(InvalidInput, match="low order"):
            parse_and_verify(note, weak)


def test_a_key_whose_y_is_not_below_the_prime_is_refused():
    for y in range(P, 2**255):
        with pytest.raises(InvalidInput, match="low order"):
            parse_key(VerifierKey(NAME, y.to_bytes(32, "little")).text)


@given(st.binary(min_size=32, max_size=32))
def test_every_key_that_somebody_generates_is_taken(seed):
    made = verifier_of(Ed25519PrivateKey.from_private_bytes(seed), NAME)
    assert parse_key(made.text) == made


def test_the_one_line_form_of_a_key_reads_back():
    assert parse_key(VERIFIER.text + "\n") == VERIFIER == VerifierKey(NAME, VERIFIER.public)


# --- keys in files --------------------------------------------------------------------------------


def test_a_generated_key_is_private_and_reads_back(tmp_path):
    path = tmp_path / "key.pem"
    key = generate_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert verifier_of(load_key(path), NAME) == verifier_of(key, NAME)
    with pytest.raises(InvalidInput):
        generate_key(path)


def test_a_key_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "key.pem"
    generate_key(path)
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="0600"):
        load_key(path)


@pytest.mark.parametrize("what", ["absent", "noise", "other kind"])
def test_a_file_that_is_no_key_is_refused(tmp_path, what):
    path = tmp_path / "key.pem"
    if what != "absent":
        other = generate_private_key(SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        path.write_bytes(other if what == "other kind" else b"noise")
        path.chmod(0o600)
    with pytest.raises(InvalidInput):
        load_key(path)


# --- against a journal ----------------------------------------------------------------------------


def test_a_checkpoint_of_a_journal_holds_for_it_and_for_all_that_follows():
    store = journal(20)
    checkpoint = checkpoint_of(store, NAME, b"\x33" * 32)
    assert checkpoint == (NAME, 20, root(data for _, data in store.scan()), store.head.hash, b"\x33" * 32)
    compare(store, checkpoint)
    compare(journal(35), checkpoint)
    empty = checkpoint_of(MemoryStore(), NAME, bytes(32))
    assert (empty.size, empty.root, empty.head) == (0, EMPTY_ROOT, bytes(32))
    compare(store, empty)


@pytest.mark.parametrize(
    ("other", "seq"), [(journal(19), 19), (MemoryStore(), 0), (journal(25, change=3), 19)]
)
def test_a_shorter_or_another_journal_is_not_the_one_that_the_checkpoint_saw(other, seq):
    with pytest.raises(JournalDamaged) as caught:
        compare(other, checkpoint_of(journal(20), NAME, bytes(32)))
    assert caught.value.facts["seq"] == seq


@pytest.mark.parametrize("field", ["root", "head"])
def test_both_the_root_and_the_head_must_agree(field):
    store = journal(20)
    with pytest.raises(JournalDamaged):
        compare(store, checkpoint_of(store, NAME, bytes(32))._replace(**{field: bytes(32)}))


def test_changes_after_a_checkpoint_are_out_of_its_reach():
    """What a checkpoint vouches for ends with it: take them often and keep them elsewhere."""
    compare(journal(30, change=25), checkpoint_of(journal(20), NAME, bytes(32)))
