"""The committed modules of `fixtures/sdk`, asked in every language, and bytes to ask the probes with."""

import struct
from functools import cache
from pathlib import Path

from hypothesis import strategies as st
from splittally.core.abi import Fault
from splittally.sandbox import ReferenceSandbox
from splittally_enforcers.toolchains import LANGUAGES

FOLDER = Path(__file__).parent.parent / "fixtures" / "sdk"
NAMES = ("every", "mail", "probe")
INPUT_BYTES_SDK_MAX = 24 * 1024
REFUSED = b"\xff"  # how a probe answers what is not canonical


@cache
def sandbox() -> ReferenceSandbox:
    return ReferenceSandbox()


def committed(name: str, language: str) -> bytes:
    return (FOLDER / name / f"{language}.wasm").read_bytes()


@cache
def module(name: str, language: str) -> bytes:
    return sandbox().load(committed(name, language))


def answers(name: str, question: bytes) -> dict[str, bytes | Fault]:
    """What the enforcer answers, by language."""
    return {language: sandbox().judge(module(name, language), question) for language in LANGUAGES}


def the_answer(name: str, question: bytes) -> bytes | Fault:
    """What the enforcer answers in all languages; the test fails where they differ."""
    found = answers(name, question)
    assert len(set(found.values())) == 1, found
    return found["zig"]


# --- bytes that are hardly canonical ------------------------------------------------------------------

_ARGUMENT_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
# Of each size a float that no smaller one can hold.
_FLOATS = {2: struct.pack(">e", 1.0), 4: struct.pack(">f", 100_000.0), 8: struct.pack(">d", 1.1)}


def with_plain_floats(data: bytes) -> bytes:
    """The same bytes with the bits of each float replaced: the SDKs pass over those bits unread."""
    plain, at = bytearray(data), 0
    while at < len(data) and data[at] & 31 <= 27:
        major, info = data[at] >> 5, data[at] & 31
        size = _ARGUMENT_BYTES.get(info, 0)
        body = at + 1 + size
        if major == 7 and size > 1 and body <= len(data):
            plain[at + 1 : body] = _FLOATS[size]
        at = body + (int.from_bytes(data[at + 1 : body]) if size else info) * (major in (2, 3))
    return bytes(plain)


def head(major: int, argument: int, width: int | None = None) -> bytes:
    """A head with an argument of `width` bytes, the shortest without one."""
    if width is None:
        fits = [bits for bits in (0, 1, 2, 4, 8) if argument < (1 << 8 * bits if bits else 24)]
        width = fits[0]
    if width == 0:
        return bytes([major << 5 | argument])
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[width]]) + argument.to_bytes(width)


edges = st.sampled_from(
    [
        0,
        1,
        22,
        23,
        24,
        25,
        254,
        255,
        256,
        257,
        65534,
        65535,
        65536,
        2**32 - 1,
        2**32,
        2**63 - 1,
        2**63,
        2**64 - 1,
    ]
)
arguments = edges | st.integers(0, 40) | st.integers(0, 2**64 - 1)
widths = st.sampled_from([None, None, None, None, 1, 2, 4, 8])


@st.composite
def loose_heads(draw: st.DrawFn, major: int, argument: int) -> bytes:
    """Mostly the shortest head, sometimes a longer one, seldom one without a length."""
    width = draw(widths)
    if width is not None and argument < 1 << 8 * width:
        return head(major, argument, width)
    return head(major, argument)


@st.composite
def loose_texts(draw: st.DrawFn, major: int) -> bytes:
    content = draw(st.text(max_size=3).map(str.encode) | st.binary(max_size=3) | st.sampled_from(BROKEN_UTF8))
    claimed = len(content) + draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2**32 - 1]))
    return draw(loose_heads(major, claimed)) + content


@st.composite
def loose_containers(draw: st.DrawFn, inner: st.SearchStrategy[bytes]) -> bytes:
    major = draw(st.sampled_from([4, 5]))
    keys = loose_texts(3) | st.sampled_from([b"\x60", b"\x61a", b"\x61b", b"\x62aa", b"\x00"])
    entry = inner if major == 4 else st.tuples(keys, inner).map(b"".join)
    entries = draw(st.lists(entry, max_size=4))
    claimed = len(entries) + draw(st.sampled_from([0] * 8 + [1, 2**31, 2**32]))
    if draw(st.integers(0, 12)) == 0:
        return bytes([major << 5 | 31]) + b"".join(entries) + b"\xff"
    if draw(st.booleans()):
        entries = sorted(set(entries), key=lambda entry: (len(entry), entry))
        claimed = len(entries)
    return draw(loose_heads(major, claimed)) + b"".join(entries)


@st.composite
def loose_scalars(draw: st.DrawFn) -> bytes:
    major = draw(st.sampled_from([0, 1, 2, 3, 3, 7, 7, 6]))
    if major in (0, 1):
        return draw(loose_heads(major, draw(arguments)))
    if major in (2, 3):
        return draw(loose_texts(major))
    if major == 6:
        return draw(loose_heads(6, draw(st.sampled_from([0, 1, 2, 3, 42, 55799])))) + b"\x41\x00"
    if draw(st.booleans()):
        return bytes([draw(st.sampled_from([0xF4, 0xF5, 0xF6]))])
    first = draw(st.integers(0xE0, 0xFF))
    return bytes([first]) + draw(st.binary(min_size=8, max_size=8))[: _ARGUMENT_BYTES.get(first & 31, 0)]


BROKEN_UTF8 = [
    b"\x80",
    b"\xc0\x80",  # zero in two bytes
    b"\xc1\xbf",
    b"\xc3",
    b"\xe0\x9f\xbf",  # too long a form
    b"\xe0\xa0\x80",  # the first of three bytes
    b"\xed\x9f\xbf",
    b"\xed\xa0\x80",  # a surrogate
    b"\xed\xbf\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf0\x90\x80\x80",  # the first of four bytes
    b"\xf4\x8f\xbf\xbf",  # the last code point
    b"\xf4\x90\x80\x80",  # beyond it
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
]
loose_values = st.recursive(loose_scalars(), loose_containers, max_leaves=10)
