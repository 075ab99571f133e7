"""Where the fixture modules are, how they are read, and a way to build modules around one oddity.

A fixture is WebAssembly text (`.wat`) or bytes in hexadecimal (`.hex`) where text cannot say it. The part
of its name before `--` says what must happen: the check that refuses it, or the fault that it ends in.
"""

from functools import cache
from pathlib import Path

import pytest
from splittally.core.abi import FAULT_CLASSES
from splittally.sandbox import ADMISSION_CHECKS
from wasmtime import wat2wasm

FIXTURES = Path(__file__).parent.parent / "fixtures" / "enforcers"
REFUSED = sorted((FIXTURES / "refused").iterdir())
FAULTY = sorted((FIXTURES / "faulty").iterdir())
PURE = sorted((FIXTURES / "pure").iterdir())

MEMORY = '(memory (export "memory") 1 1)'
MARKER = '(func (export "splittally_abi_1"))'
ALLOC = '(func $alloc (export "alloc") (param i32) (result i32) (i32.const 1024))'
RUN = '(func $run (export "run") (param i32 i32) (result i64) (i64.const 0))'
ECHO = """(func (export "run") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1))))"""


@cache
def fixture(path: Path) -> bytes:
    text = path.read_text()
    if path.suffix == ".wat":
        return bytes(wat2wasm(text))
    return bytes.fromhex("".join(line.partition(";")[0] for line in text.splitlines()))


def expected(path: Path) -> str:
    return path.stem.partition("--")[0]


def module(*extra: str, memory: str = MEMORY, alloc: str = ALLOC, run: str = RUN) -> bytes:
    return bytes(wat2wasm(" ".join(("(module", memory, *extra, MARKER, alloc, run, ")"))))


def answering(packed: int) -> bytes:
    """A module whose `run` gives the same number whatever it is asked."""
    return module(run=f'(func (export "run") (param i32 i32) (result i64) (i64.const 0x{packed:016x}))')


def padded(size: int) -> bytes:
    """An admissible module of exactly `size` bytes, filled by a custom section."""
    bare = module()
    body = size - len(bare) - 4  # section number and a size of three bytes
    length = bytes((body & 0x7F | 0x80, body >> 7 & 0x7F | 0x80, body >> 14))
    return bare + b"\0" + length + b"\3pad" + bytes(body - 4)


def named(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", REFUSED + FAULTY + PURE, ids=named)
def test_every_fixture_opens_with_its_claim_and_promises_something_known(path):
    assert path.read_text().startswith(";; ")
    promises = {"refused": ADMISSION_CHECKS, "faulty": FAULT_CLASSES, "pure": (path.stem,)}
    assert expected(path) in promises[path.parent.name]
