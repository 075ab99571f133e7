"""A frame is canonical bytes chained to the frame before; anything else is refused."""

import struct
from contextlib import suppress

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core import canonical
from splittally.core.canonical import decode_plain, encode_plain
from splittally.core.errors import JournalDamaged
from splittally.core.hashing import hash_frame
from splittally.journal.frame import EMPTY, Head, extend, open_frame, prev_of, seal, seq_of

atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.text(max_size=9),
    st.binary(max_size=300),
)
bodies = st.lists(st.recursive(atoms, lambda inner: st.lists(inner, max_size=4), max_leaves=12), max_size=6)
seqs = st.integers(0, 2**64 - 1) | st.sampled_from([23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32])
hashes = st.binary(min_size=32, max_size=32)


@given(seqs, hashes, bodies)
def test_a_sealed_frame_opens_to_what_was_sealed(seq, prev, body):
    frame = seal(seq, prev, body)
    assert frame.data == encode_plain([seq, prev, body])
    assert frame.hash == hash_frame(frame.data)
    assert open_frame(frame.data) == (seq, prev, body)
    assert prev_of(seq, frame.data) == prev
    assert seq_of(frame.data) == seq


def test_the_bytes_of_a_frame_are_fixed():
    frame = seal(7, bytes(range(32)), [1, 2, "operator", [], [], [["Opened", 1]]])
    body = "860102686f70657261746f7280808182664f70656e656401"
    assert frame.data.hex() == "83075820" + bytes(range(32)).hex() + body
    assert frame.hash.hex() == "30a469ac1688c41dd510c5accadc7dd902c0576d6f2dc5b9647d1c54f217d864"


@given(seqs, hashes, bodies, st.data())
def test_frame_bytes_with_one_bit_changed_are_another_frame_or_none(seq, prev, body, data):
    original = seal(seq, prev, body).data
    at = data.draw(st.integers(0, len(original) * 8 - 1))
    changed = bytearray(original)
    changed[at // 8] ^= 1 << at % 8
    with suppress(JournalDamaged):
        assert open_frame(bytes(changed)) != (seq, prev, body)


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        [1, bytes(32)],
        [1, bytes(32), [], []],
        [True, bytes(32), []],
        [-1, bytes(32), []],
        ["1", bytes(32), []],
        [1, bytes(31), []],
        [1, "0" * 32, []],
        [1, bytes(32), {}],
        [1, bytes(32), [1.5]],
        [1, bytes(32), [[{"a": 0.5e300}]]],
        {"seq": 1},
        [1, bytes(32), [[[-(2**63) - 1]]]],
    ],
)
def test_canonical_bytes_that_are_no_frame_are_refused(value, is_fast, monkeypatch):
    if not is_fast:
        monkeypatch.setattr(canonical, "_cbrrr", None)
    with pytest.raises(JournalDamaged):
        open_frame(cbor2.dumps(value, canonical=True))


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x83",
        b"\x83\x01",
        b"\x83\x18\x01\x58\x20" + bytes(32) + b"\x80",  # a sequence in a longer form
        b"\x83\x01\x58\x20" + bytes(32) + b"\x80\x00",  # bytes behind
        b"\x9f\x01\x58\x20" + bytes(32) + b"\x80\xff",  # an indefinite length
        b"\x83\x01\x58\x20" + bytes(32) + b"\x81\xc0\x60",  # a tag
        b"\x83\x01\x58\x20" + bytes(32) + b"\x81\xf9\x3c\x00",  # a float
        b"\x83\x01\x58\x20" + bytes(32) + b"\x81\xa2\x61b\x00\x61a\x00",  # keys out of order
    ],
)
def test_bytes_that_are_not_canonical_are_refused(data, is_fast, monkeypatch):
    if not is_fast:
        monkeypatch.setattr(canonical, "_cbrrr", None)
    with pytest.raises(JournalDamaged):
        open_frame(data)


@given(bodies)
def test_a_byte_that_begins_a_float_inside_text_or_bytes_is_no_float(body):
    data = seal(1, b"\xfb" * 32, [*body, b"\xfb\xfb"]).data
    assert open_frame(data)[2] == decode_plain(data)[2]


def places_of(value, at=()):
    """The path of every list and map in a value, whose items and entries are all the places there are."""
    if isinstance(value, list | dict):
        yield at
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places_of(item, (*at, key))


def with_item(value, path, item):
    """A copy of `value` with one item, or one entry, more in the list or map at `path`."""
    copy = decode_plain(encode_plain(value))
    inner = copy
    for key in path:
        inner = inner[key]
    if isinstance(inner, list):
        inner.append(item)
    else:
        inner["$bytes"] = item  # a key that the fast codec's other mode takes for its own
    return copy


RECORD = [
    1, 5, "operator",
    [1, "each", [["a.b", b"\xa0", "team", bytes(32), "plan", "host/a@1", 0, b"", b"", True, b"\xfb" * 32]]],
    [[0, b"\x3b\xff" * 16, b"\xfb", ""], [1, bytes(32), 4, "allow", "b", "k", "", "", False, -1, [], [], []]],
    [
        [1, b"\xfb" * 32, "deny", [["ledger", "code", {"needed": -(2**63), "inner": {"deep": [[], {}]}}]], [],
         b"", -2, []],
        [4, b"\x3b\x80" * 16, "receipt", "ok",
         [["g", b"", b"", b"", {"tokens": 2**64 - 1}, {}, [["s", "c", {}]], [["d", "life", 0]]]],
         [["enforcer", "c", {"message": "m"}]]],
        [5, bytes(32), "rejected", "", [], [["s", "c", {"next": None}]]],
    ],
]  # fmt: skip


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize(
    "foreign", [0.5, 1.0, -1e300, -(2**64), -(2**63) - 1, [{"a": [2.5]}], {"a": [-(2**64)]}]
)
@pytest.mark.parametrize("place", list(places_of(RECORD)), ids=str)
def test_a_float_or_an_integer_out_of_range_is_refused_wherever_it_stands(
    place, foreign, is_fast, monkeypatch
):
    if not is_fast:
        monkeypatch.setattr(canonical, "_cbrrr", None)
    kept = with_item(RECORD, place, -(2**63))
    assert open_frame(seal(1, bytes(32), kept).data)[2] == kept
    body = encode_out_of_range(with_item(RECORD, place, [FOREIGN]), foreign)
    with pytest.raises(JournalDamaged):
        open_frame(b"\x83\x01\x58\x20" + bytes(32) + body)


FOREIGN = "here stands what has no place in a record"


def encode_out_of_range(value, foreign):
    """The bytes of `value` with `foreign`, which no encoder of ours would write, for its marker."""
    marker = encode_plain(FOREIGN)
    data = encode_plain(value)
    assert data.count(marker) == 1
    if type(foreign) is int:
        return data.replace(marker, b"\x3b" + (-1 - foreign).to_bytes(8))
    if type(foreign) is dict:
        return data.replace(marker, b"\xa1\x61a\x81\x3b" + bytes([255]) * 8)
    if type(foreign) is list:
        return data.replace(marker, b"\x81\xa1\x61a\x81\xfb" + struct.pack(">d", 2.5))
    return data.replace(marker, b"\xfb" + struct.pack(">d", foreign))


@given(bodies, st.sampled_from(["$bytes", "$link", "a"]))
def test_what_looks_like_a_float_or_too_small_and_is_neither_is_read(body, key):
    data = seal(1, b"\x3b\xff" * 16, [*body, {key: b"\xfb"}, "\u06fb", -(2**63)]).data
    assert open_frame(data)[2] == decode_plain(data)[2]


def test_deep_nesting_after_a_doubtful_byte_is_judged_and_does_not_overflow():
    front = b"\x83\x01\x58\x20" + b"\x3b\xfb" * 16
    for inner, is_sound in ((b"\x80", True), (b"\xfb" + bytes(8), False), (b"\x3b" + b"\xff" * 8, False)):
        data = front + b"\x81" * 50_000 + inner
        if is_sound:
            assert open_frame(data)[1] == b"\x3b\xfb" * 16
        else:
            with pytest.raises(JournalDamaged):
                open_frame(data)


@pytest.mark.parametrize("data", [b"", b"\x83", b"\x83\x18", b"\x82\x01\x58\x20" + bytes(32)])
def test_bytes_that_do_not_begin_as_a_frame_have_no_sequence(data):
    with pytest.raises(JournalDamaged):
        seq_of(data)


def test_a_prev_is_read_only_from_the_frame_of_that_sequence():
    frame = seal(5, bytes(32), [])
    with pytest.raises(JournalDamaged) as caught:
        prev_of(6, frame.data)
    assert caught.value.facts["seq"] == 6


def test_frames_extend_a_head_one_by_one():
    first = seal(0, EMPTY.hash, [])
    second = seal(1, first.hash, [])
    assert extend(EMPTY, []) == EMPTY
    assert extend(EMPTY, [first, second]) == Head(2, second.hash)
    for wrong in (
        [second],
        [first, first],
        [first, seal(1, EMPTY.hash, [])],
        [first, seal(2, first.hash, [])],
    ):
        with pytest.raises(AssertionError):
            extend(EMPTY, wrong)
