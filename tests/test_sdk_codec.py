"""The reader and the writer of each SDK, through its probe, against the codec of the kernel.

A probe answers canonical bytes with what it read, written again, and any others with one byte 0xFF. The bits
of a float are passed over in every language: an enforcer computes in integers.
"""

import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from splittally.core.abi import Fault
from splittally.core.canonical import decode, encode
from splittally.core.errors import CanonicalError
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN
from splittally.sandbox import failed_checks
from splittally_enforcers.toolchains import LANGUAGES
from wasmtime import Config, Engine, Instance, Module, Store

from tests.sdk_modules import (
    BROKEN_UTF8,
    INPUT_BYTES_SDK_MAX,
    NAMES,
    REFUSED,
    committed,
    head,
    loose_values,
    the_answer,
    with_plain_floats,
)

PAGE = 64 * 1024


def is_canonical(data: bytes) -> bool:
    try:
        decode(with_plain_floats(data))
    except CanonicalError:
        return False
    return True


def assert_judged(data: bytes) -> bool:
    """The probes accept the bytes where the kernel does, in every language, and write what they read."""
    accepted = is_canonical(data)
    assert the_answer("probe", data) == (data if accepted else REFUSED)
    return accepted


integers = st.integers(INT_MIN, INT_MAX) | st.sampled_from(
    [sign * (1 << bits) + off for bits in (0, 3, 5, 8, 16, 32, 63) for off in (-1, 0, 1) for sign in (-1, 1)][
        :-1
    ]
).filter(lambda integer: INT_MIN <= integer <= INT_MAX)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.binary(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_what_each_sdk_builds_is_admitted(name: str, language: str) -> None:
    assert failed_checks(committed(name, language)) == {}


@given(value=values)
def test_every_value_is_read_and_written_as_the_kernel_writes_it(value: Any) -> None:
    assert assert_judged(encode(value))


@settings(max_examples=400)
@given(data=loose_values)
def test_bytes_that_are_hardly_canonical_are_judged_as_the_kernel_judges_them(data: bytes) -> None:
    assert_judged(data)


@given(value=values, data=st.data())
def test_damaged_bytes_are_judged_as_the_kernel_judges_them(value: Any, data: st.DataObject) -> None:
    damaged = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        how = data.draw(st.sampled_from(["change", "drop", "add", "cut"]))
        if how == "add":
            damaged.insert(at, data.draw(st.integers(0, 255)))
        elif how == "cut":
            del damaged[at:]
        elif at < len(damaged):
            damaged[at : at + 1] = bytes([data.draw(st.integers(0, 255))]) if how == "change" else b""
    assert_judged(bytes(damaged))


@given(data=st.binary(max_size=40))
@example(b"")
def test_any_bytes_get_an_answer(data: bytes) -> None:
    assert_judged(data)


def test_every_first_byte_and_every_second_is_judged_as_the_kernel_judges_it() -> None:
    tails = (
        b"",
        b"\x00",
        b"\x17",
        b"\x18",
        b"\x80",
        b"\xff",
        b"\x61a",
        b"\x00" * 8,
        b"\xff" * 8,
        b"\x01" + b"\x00" * 7,
    )
    accepted = [assert_judged(bytes([first]) + tail) for first, tail in itertools.product(range(256), tails)]
    assert 50 < sum(accepted) < 200


@pytest.mark.parametrize("major", range(7))
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_an_argument_stands_in_its_shortest_form(major: int, width: int) -> None:
    for argument in (0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1):
        if argument < 1 << 8 * width:
            assert_judged(head(major, argument, width))
            assert_judged(head(major, argument, width) + b"\x00" * 300)


@pytest.mark.parametrize("text", BROKEN_UTF8)
def test_a_text_and_a_key_are_utf8(text: bytes) -> None:
    for around in (b"", b"a"):
        whole = around + text + around
        assert_judged(head(3, len(whole)) + whole)
        assert_judged(b"\xa1" + head(3, len(whole)) + whole + b"\x00")
        assert_judged(b"\x81" + head(2, len(whole)) + whole)


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x61a"])
@pytest.mark.parametrize("inmost", [b"\x00", b"\x80", b"\xa0"])
def test_nesting_is_bounded_as_in_the_kernel(opening: bytes, inmost: bytes) -> None:
    verdicts = [assert_judged(opening * depth + inmost) for depth in range(DEPTH_MAX + 3)]
    assert verdicts.count(False) == (2 if inmost == b"\x00" else 3)
    assert not assert_judged(opening * (8000 // len(opening)))


def test_what_ends_at_the_deepest_level_goes_on_above() -> None:
    nested: Any = []
    for _ in range(DEPTH_MAX - 1):
        nested = [nested, nested and 1, {"a": 1, "b": "text"}]
    assert assert_judged(encode([*nested, "behind"]))


@pytest.mark.parametrize(
    "data",
    [
        b"\x9b" + b"\xff" * 8,  # 2^64 - 1 elements
        b"\xbb\x80" + b"\x00" * 7,  # entries whose double is 0 in 64 bits
        b"\xba\x80\x00\x00\x00",  # and in 32
        b"\x5a\xff\xff\xff\xff",  # bytes that would end before they start
        b"\x7b\x00\x00\x00\x01\x00\x00\x00\x00",
        b"\x9f\xff",
        b"\xbf\xff",
        b"\x7f\x61a\xff",
        b"\xc2\x49\x01" + b"\x00" * 8,  # a bignum
        b"\xc1\x1a\x00\x00\x00\x00",  # a date
        b"\xa2\x61a\x00\x61a\x00",
        b"\xa2\x61b\x00\x61a\x00",
        b"\xa2\x62aa\x00\x61b\x00",
        b"\xa1\x00\x00",
        b"\xa1\x61a",
        b"\xf7",
        b"\xf8\x18",
        b"\x00\x00",
        b"\x3b\x80" + b"\x00" * 7,  # below -2^63
        b"\x3b\xff" + b"\xff" * 7,
    ],
)
def test_what_hosts_try_is_refused(data: bytes) -> None:
    assert not assert_judged(data)
    assert not assert_judged(b"\x81" + data)
    assert not assert_judged(b"\xa1\x60" + data)


@pytest.mark.parametrize(
    "bits", ["f97e00", "f97c00", "f90000", "fa3fc00000", "fb7ff0000000000000", "fb3ff0000000000000"]
)
def test_the_bits_of_a_float_are_passed_over(bits: str) -> None:
    """Not-a-number and forms that are not the shortest: only here is a probe laxer than the kernel."""
    data = b"\x82" + bytes.fromhex(bits) + b"\x00"
    assert assert_judged(data)


def test_a_value_of_24_kib_is_read_within_the_fuel_and_none_above_is_taken() -> None:
    size = INPUT_BYTES_SDK_MAX - 3
    assert assert_judged(head(3, size) + b"a" * size)
    assert the_answer("probe", bytes(INPUT_BYTES_SDK_MAX + 1)) == Fault("over_limit")


# --- no byte outside the input is read ----------------------------------------------------------------


class Bare:
    """A probe in a memory that the test fills, asked wherever the test puts the input."""

    def __init__(self, language: str) -> None:
        self.engine = Engine(Config())
        self.module = Module(self.engine, committed("probe", language))

    def answer(self, data: bytes, behind: int, at: int | None = None) -> bytes:
        """The answer to the input at `at`, or where `alloc` says with `behind` in each byte after it."""
        store = Store(self.engine)
        exports = Instance(store, self.module, []).exports(store)
        start = exports["alloc"](store, len(data)) if at is None else at
        if at is None:
            exports["memory"].write(store, bytes([behind]) * INPUT_BYTES_SDK_MAX, start)
        exports["memory"].write(store, data, start)
        packed = exports["run"](store, start, len(data)) % 2**64
        return bytes(exports["memory"].read(store, packed >> 32, (packed >> 32) + packed % 2**32))


@pytest.fixture(scope="module")
def bare() -> dict[str, Bare]:
    return {language: Bare(language) for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_stands_behind_the_input_changes_nothing(bare: dict[str, Bare], language: str) -> None:
    whole = encode({"a": [1, 2**40, "text", b"bytes"], "b": {"c": None, "d": 1.5}, "key": "é€"})
    for size in range(len(whole)):
        found = {bare[language].answer(whole[:size], behind) for behind in (0x00, 0x61, 0x80, 0xFF)}
        assert found == {REFUSED}


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_input_at_the_end_of_the_memory_is_read_to_its_end_and_no_further(
    bare: dict[str, Bare], language: str
) -> None:
    """One byte more would be a trap."""
    for data in (
        b"\x61",
        b"\x19\x01",
        b"\x62a",
        b"\x61\xe2",
        b"\x82\x00",
        b"\xa1\x61a",
        b"\xfb\x00",
        b"\x5b" + b"\xff" * 7,
    ):
        assert bare[language].answer(data, 0, PAGE - len(data)) == REFUSED
