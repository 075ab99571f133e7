"""Bytes and values made to confuse: each row is refused, or is different from its neighbours."""

import subprocess
import sys
from typing import Any

import pytest
from splittally.core import canonical
from splittally.core.errors import CanonicalError
from splittally.core.limits import DEPTH_MAX

from tests.canonical_model import encode_model

pytestmark = pytest.mark.usefixtures("codec")

NOT_CANONICAL = {
    "no bytes": "",
    "bytes follow the value": "0000",
    "a break follows the value": "00ff",
    "an integer ends early": "19ff",
    "text ends early": "6261",
    "an array ends early": "8201",
    "a map ends early": "a16161",
    "an array claims 2^64-1 items": "9bffffffffffffffff",
    "a text claims 2^63 bytes": "7b8000000000000000",
    "duplicate keys": "a2616101616102",
    "duplicate keys of different lengths of head": "a261610178016102",
    "unsorted keys": "a2616201616101",
    "unsorted keys, longer first": "a262616101616201",
    "a key that is an integer": "a10101",
    "a key that is bytes": "a1416101",
    "a key that is null": "a1f601",
    "23 in two bytes": "1817",
    "255 in three bytes": "1900ff",
    "65535 in five bytes": "1a0000ffff",
    "2^32-1 in nine bytes": "1b00000000ffffffff",
    "-24 in two bytes": "3817",
    "the length of text in two bytes": "780161",
    "the length of bytes in two bytes": "580161",
    "the length of an array in two bytes": "980101",
    "the length of a map in two bytes": "b801616101",
    "1.5 in 32 bits": "fa3fc00000",
    "1.5 in 64 bits": "fb3ff8000000000000",
    "0.1f in 64 bits": "fb3fb99999a0000000",
    "minus zero in 64 bits": "fb8000000000000000",
    "not-a-number": "f97e00",
    "not-a-number with a payload": "fb7ff8000000000001",
    "infinity": "f97c00",
    "minus infinity in 64 bits": "fbfff0000000000000",
    "an integer below -2^63": "3b8000000000000000",
    "the lowest integer of CBOR": "3bffffffffffffffff",
    "an integer below -2^63 in a map": "a161613b8000000000000000",
    "a bignum": "c249010000000000000000",
    "a negative bignum": "c349010000000000000000",
    "a bignum that would fit": "c24101",
    "a date": "c074323031332d30332d32315432303a30343a30305a",
    "a regular expression": "d8236161",
    "a shared value": "d81c81d81d00",
    "a content identifier": "d82a4100",
    "a set": "d9010281 01".replace(" ", ""),
    "the tag of self-described CBOR": "d9d9f700",
    "undefined": "f7",
    "an unassigned simple value": "e0",
    "a simple value in two bytes": "f8ff",
    "false in two bytes": "f814",
    "a lone break": "ff",
    "indefinite bytes": "5f4161ff",
    "indefinite text": "7f6161ff",
    "an indefinite array": "9f01ff",
    "an indefinite map": "bf616101ff",
    "a reserved argument": "1c",
    "text that is not UTF-8": "62c328",
    "text with an overlong form": "62c0af",
    "text with half of a surrogate pair": "63eda080",
    "a key with half of a surrogate pair": "a163eda08001",
}


@pytest.mark.parametrize("data", NOT_CANONICAL.values(), ids=NOT_CANONICAL)
def test_bytes_that_are_not_canonical_are_refused(data: str) -> None:
    for decode in (canonical.decode, canonical.decode_plain):
        with pytest.raises(CanonicalError):
            decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    "data",
    [
        bytearray(b"\x01"),
        memoryview(b"\x01"),
        "\x01",
        None,
        1,
        [1],
        bytearray(b"\xfb"),
        type("B", (bytes,), {})(b"\x01"),
    ],
    ids=lambda data: type(data).__name__,
)
def test_only_bytes_are_decoded(data: Any) -> None:
    with pytest.raises(CanonicalError):
        canonical.decode(data)


def test_values_that_python_holds_equal_have_different_bytes() -> None:
    for alike in ([0, 0.0, -0.0, False], [1, 1.0, True], ["a", b"a"], [[], {}], ["", b"", None]):
        assert len({canonical.encode(value) for value in alike}) == len(alike)
    assert [canonical.encode(value).hex() for value in (0, 0.0, -0.0, False)] == [
        "00",
        "f90000",
        "f98000",
        "f4",
    ]


def test_text_is_never_normalised() -> None:
    """Composed and decomposed forms look alike and are different names."""
    assert canonical.encode("\u00e9") != canonical.encode("e\u0301")


@pytest.mark.parametrize("head", ["81", "a16161"], ids=["arrays", "maps"])
def test_sixty_four_levels_are_the_most(head: str) -> None:
    for levels, is_taken in ((DEPTH_MAX - 1, True), (DEPTH_MAX, True), (DEPTH_MAX + 1, False)):
        data = bytes.fromhex(head) * levels + b"\x01"
        value: Any = 1
        for _ in range(levels):
            value = [value] if head == "81" else {"a": value}
        if is_taken:
            assert canonical.decode(data) == value
            assert canonical.encode(value) == data == encode_model(value)
            continue
        for function, given in (
            (canonical.decode, data),
            (canonical.decode_plain, data),
            (canonical.encode, value),
            (canonical.encode_plain, value),
        ):
            with pytest.raises(CanonicalError, match="deeper than 64"):
                function(given)


def test_a_value_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append({"a": circle})
    with pytest.raises(CanonicalError):
        canonical.encode(circle)


_DEEP = """
import sys
from splittally.core import canonical
from splittally.core.errors import CanonicalError
if sys.argv[1] == "plain":
    canonical._cbrrr = None
value = 1
for _ in range(10_000):
    value = [value] if _ % 2 else {"a": value}
refused = 0
for call, given in (
    (canonical.encode, value), (canonical.encode_plain, value),
    (canonical.decode, b"\\x81" * 10_000), (canonical.decode, b"\\x81" * 10_000 + b"\\x01"),
    (canonical.decode, b"\\xa1aa" * 10_000 + b"\\x01"), (canonical.decode, b"\\xd8\\x1c" * 10_000),
    (canonical.decode_plain, b"\\xfb" + b"\\x81" * 10_000), (canonical.decode_plain, b"\\x9f" * 10_000),
):
    try:
        call(given)
    except CanonicalError:
        refused += 1
print(refused)
"""


def test_ten_thousand_levels_are_refused_by_a_process_that_lives_on(codec: str) -> None:
    run = subprocess.run([sys.executable, "-c", _DEEP, codec], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "8\n", "")
