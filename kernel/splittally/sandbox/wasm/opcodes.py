"""The instructions that an enforcer may hold: the WebAssembly MVP and sign extension.

Rule 1. An opcode without a row is outside ABI version 1 and refused by name of the check `features`.
Rule 2. Floating-point opcodes have rows, so that they are refused as `floats`, which says why.
Rule 3. `pops` and `pushes` count operands. They are not a validator (the engine has one); they bound
        the operand stack for the check `stack`.

Source: WebAssembly Core Specification 1.0, section 5.4; sign extension, section 5.4.5 of 2.0.
"""

from enum import IntEnum
from typing import NamedTuple


class Immediate(IntEnum):
    """What follows an opcode."""

    NONE = 0
    INDEX = 1  # u32
    MEMARG = 2  # u32 align, u32 offset
    MEMORY = 3  # the byte 0: the only memory
    S32 = 4
    S64 = 5
    BYTES4 = 6
    BYTES8 = 7


class Plain(NamedTuple):
    """An instruction that is neither control nor a call."""

    immediate: Immediate
    pops: int
    pushes: int
    is_float: bool


BLOCK, LOOP, IF, ELSE, END = 0x02, 0x03, 0x04, 0x05, 0x0B
BR, BR_IF, BR_TABLE = 0x0C, 0x0D, 0x0E
CALL, CALL_INDIRECT = 0x10, 0x11
MEMORY_GROW = 0x40
HEAVY = frozenset((CALL, *range(0x6D, 0x71), *range(0x7F, 0x83)))  # calls, divisions and remainders
LOADS = range(0x28, 0x36)

I32, I64, F32, F64 = 0x7F, 0x7E, 0x7D, 0x7C
INTEGERS = bytes((I32, I64))
NUMBERS = bytes((I32, I64, F32, F64))
EMPTY_BLOCK = 0x40
I32_CONST, I64_CONST, F32_CONST, F64_CONST = 0x41, 0x42, 0x43, 0x44

# first opcode, last opcode, immediate, pops, pushes
_RANGES = (
    (0x00, 0x01, Immediate.NONE, 0, 0),  # unreachable, nop
    (0x0F, 0x0F, Immediate.NONE, 0, 0),  # return
    (0x1A, 0x1A, Immediate.NONE, 1, 0),  # drop
    (0x1B, 0x1B, Immediate.NONE, 3, 1),  # select
    (0x20, 0x20, Immediate.INDEX, 0, 1),  # local.get
    (0x21, 0x21, Immediate.INDEX, 1, 0),  # local.set
    (0x22, 0x22, Immediate.INDEX, 1, 1),  # local.tee
    (0x23, 0x23, Immediate.INDEX, 0, 1),  # global.get
    (0x24, 0x24, Immediate.INDEX, 1, 0),  # global.set
    (0x28, 0x35, Immediate.MEMARG, 1, 1),  # loads
    (0x36, 0x3E, Immediate.MEMARG, 2, 0),  # stores
    (0x3F, 0x3F, Immediate.MEMORY, 0, 1),  # memory.size
    (0x40, 0x40, Immediate.MEMORY, 1, 1),  # memory.grow
    (0x41, 0x41, Immediate.S32, 0, 1),
    (0x42, 0x42, Immediate.S64, 0, 1),
    (0x43, 0x43, Immediate.BYTES4, 0, 1),
    (0x44, 0x44, Immediate.BYTES8, 0, 1),
    (0x45, 0x45, Immediate.NONE, 1, 1),  # i32.eqz
    (0x46, 0x4F, Immediate.NONE, 2, 1),  # i32 comparisons
    (0x50, 0x50, Immediate.NONE, 1, 1),  # i64.eqz
    (0x51, 0x5A, Immediate.NONE, 2, 1),  # i64 comparisons
    (0x5B, 0x66, Immediate.NONE, 2, 1),  # f32 and f64 comparisons
    (0x67, 0x69, Immediate.NONE, 1, 1),  # i32 clz, ctz, popcnt
    (0x6A, 0x78, Immediate.NONE, 2, 1),  # i32 arithmetic
    (0x79, 0x7B, Immediate.NONE, 1, 1),  # i64 clz, ctz, popcnt
    (0x7C, 0x8A, Immediate.NONE, 2, 1),  # i64 arithmetic
    (0x8B, 0x91, Immediate.NONE, 1, 1),  # f32 abs ... sqrt
    (0x92, 0x98, Immediate.NONE, 2, 1),  # f32 add ... copysign
    (0x99, 0x9F, Immediate.NONE, 1, 1),  # f64 abs ... sqrt
    (0xA0, 0xA6, Immediate.NONE, 2, 1),  # f64 add ... copysign
    (0xA7, 0xBF, Immediate.NONE, 1, 1),  # conversions
    (0xC0, 0xC4, Immediate.NONE, 1, 1),  # sign extension
)

_FLOAT_RANGES = (
    (0x2A, 0x2B),  # loads
    (0x38, 0x39),  # stores
    (0x43, 0x44),  # constants
    (0x5B, 0x66),
    (0x8B, 0xA6),
    (0xA8, 0xAB),  # i32.trunc
    (0xAE, 0xBF),  # i64.trunc and every conversion to or from a float
)


def _is_float(opcode: int) -> bool:
    return any(first <= opcode <= last for first, last in _FLOAT_RANGES)


def _rows() -> tuple[Plain | None, ...]:
    rows: list[Plain | None] = [None] * 256
    for first, last, immediate, pops, pushes in _RANGES:
        for opcode in range(first, last + 1):
            rows[opcode] = Plain(immediate=immediate, pops=pops, pushes=pushes, is_float=_is_float(opcode))
    return tuple(rows)


PLAIN = _rows()
