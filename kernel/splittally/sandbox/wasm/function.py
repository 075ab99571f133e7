"""One function body, reduced to what admission asks about it.

Rule 1. A body is read once, in order, without recursion; its blocks are kept on a list.
Rule 2. The operand height is exact for valid code that can be reached and never too low for the rest;
        code that is not valid is refused later, by the engine's validator.
Rule 3. An opcode outside the MVP and sign extension ends the reading: what follows it means nothing here.
"""

from typing import Protocol

from msgspec import Struct

from splittally.sandbox.wasm import opcodes
from splittally.sandbox.wasm.opcodes import PLAIN, Immediate
from splittally.sandbox.wasm.reader import Reader, refuse


class FuncType(Struct, frozen=True):
    """A signature: the value types it takes and gives."""

    params: bytes
    results: bytes


class Signatures(Protocol):
    """What a body may refer to: the types of the module and of its functions, by index."""

    @property
    def types(self) -> list[FuncType]: ...
    @property
    def functions(self) -> list[FuncType]: ...


class Body(Struct, frozen=True):
    """What admission asks about one function.

    `slots` counts parameters, locals and the highest operand stack; `branches` every place where
    control parts or joins, each target of a table counted; `heavy` the calls and divisions and `loads` the
    loads among the `instructions`, which the compiler turns into many of its own.
    """

    variables: int
    slots: int
    branches: int
    instructions: int
    heavy: int
    loads: int
    calls: tuple[int, ...]
    has_float: bool
    has_call_indirect: bool
    has_memory_grow: bool


def read_body(reader: Reader, signature: FuncType, known: Signatures) -> Body:
    """The facts about the body that `reader` spans; `NotAdmitted` when it cannot be read."""
    count, has_float = _read_locals(reader)
    scan = _Scan(reader, signature, known)
    scan.has_float |= has_float
    scan.run()
    if not reader.is_done():
        refuse("well_formed", f"bytes follow the end of a function at {reader.at}")
    variables = len(signature.params) + count
    return Body(
        variables=variables,
        slots=variables + scan.peak,
        branches=scan.branches,
        instructions=scan.instructions,
        heavy=scan.heavy,
        loads=scan.loads,
        calls=tuple(sorted(scan.calls)),
        has_float=scan.has_float,
        has_call_indirect=scan.has_call_indirect,
        has_memory_grow=scan.has_memory_grow,
    )


def _read_locals(reader: Reader) -> tuple[int, bool]:
    """How many locals a body declares, and whether one is a float; nothing is expanded."""
    total, has_float = 0, False
    for _ in range(reader.count(item_bytes_min=2)):
        total += reader.u32()
        kind = reader.byte()
        if kind not in opcodes.NUMBERS:
            refuse("features", f"a local of type 0x{kind:02x} is outside ABI version 1")
        has_float |= kind not in opcodes.INTEGERS
    return total, has_float


class _Block(Struct):
    """An open block: the operand height below it, what it leaves, and whether `else` may follow."""

    below: int
    results: int
    may_else: bool = False


class _Scan:
    """The walk over the instructions of one body."""

    def __init__(self, reader: Reader, signature: FuncType, known: Signatures) -> None:
        self.reader = reader
        self.known = known
        self.blocks = [_Block(0, len(signature.results))]
        self.height = 0
        self.peak = 0
        self.branches = 0
        self.instructions = 0
        self.heavy = 0
        self.loads = 0
        self.calls: set[int] = set()
        self.has_float = False
        self.has_call_indirect = False
        self.has_memory_grow = False

    def run(self) -> None:
        byte = self.reader.byte
        while self.blocks:
            opcode = byte()
            self.instructions += 1
            self.heavy += opcode in opcodes.HEAVY
            self.loads += opcode in opcodes.LOADS
            row = PLAIN[opcode]
            if row is None:
                self._control(opcode)
                continue
            if row.immediate:
                self._skip_immediate(row.immediate)
            self.has_float |= row.is_float
            self.has_memory_grow |= opcode == opcodes.MEMORY_GROW
            self._move(row.pops, row.pushes)

    def _move(self, pops: int, pushes: int) -> None:
        height = max(self.blocks[-1].below, self.height - pops) + pushes
        self.height = height
        if height > self.peak:
            self.peak = height

    def _skip_immediate(self, immediate: Immediate) -> None:
        reader = self.reader
        match immediate:
            case Immediate.INDEX:
                reader.u32()
            case Immediate.MEMARG:
                if reader.u32() > 3:
                    refuse("features", "only memory 0 and natural alignment are in ABI version 1")
                reader.u32()
            case Immediate.MEMORY:
                if reader.byte():
                    refuse("features", "only memory 0 is in ABI version 1")
            case Immediate.S32:
                reader.skip_signed(32)
            case Immediate.S64:
                reader.skip_signed(64)
            case Immediate.BYTES4:
                reader.skip(4)
            case Immediate.BYTES8:
                reader.skip(8)

    def _control(self, opcode: int) -> None:
        match opcode:
            case opcodes.BLOCK | opcodes.LOOP | opcodes.IF:
                self._open(opcode)
            case opcodes.ELSE:
                self._else()
            case opcodes.END:
                self._close()
            case opcodes.BR:
                self.reader.u32()
                self.branches += 1
            case opcodes.BR_IF:
                self.reader.u32()
                self._move(1, 0)
                self.branches += 1
            case opcodes.BR_TABLE:
                self._branch_table()
            case opcodes.CALL:
                self._call()
            case opcodes.CALL_INDIRECT:
                self._call_indirect()
            case _:
                refuse("features", f"opcode 0x{opcode:02x} at {self.reader.at - 1} is outside ABI version 1")

    def _open(self, opcode: int) -> None:
        kind = self.reader.byte()
        if kind != opcodes.EMPTY_BLOCK and kind not in opcodes.NUMBERS:
            refuse("features", "a block takes nothing and leaves at most one number in ABI version 1")
        is_if = opcode == opcodes.IF
        if is_if:
            self._move(1, 0)
        self.has_float |= kind in opcodes.NUMBERS and kind not in opcodes.INTEGERS
        self.blocks.append(_Block(self.height, int(kind != opcodes.EMPTY_BLOCK), is_if))
        self.branches += 1

    def _else(self) -> None:
        block = self.blocks[-1]
        if not block.may_else:
            refuse("well_formed", f"`else` without `if` at {self.reader.at - 1}")
        block.may_else = False
        self.height = block.below
        self.branches += 1

    def _close(self) -> None:
        block = self.blocks.pop()
        self.height = block.below + block.results
        self.peak = max(self.peak, self.height)

    def _branch_table(self) -> None:
        targets = self.reader.count(item_bytes_min=1)
        for _ in range(targets + 1):
            self.reader.u32()
        self._move(1, 0)
        self.branches += targets + 1

    def _call(self) -> None:
        callee = self.reader.u32()
        if callee >= len(self.known.functions):
            refuse("well_formed", f"a call to function {callee}, which does not exist")
        self.calls.add(callee)
        signature = self.known.functions[callee]
        self._move(len(signature.params), len(signature.results))

    def _call_indirect(self) -> None:
        index = self.reader.u32()
        if index >= len(self.known.types):
            refuse("well_formed", f"an indirect call of type {index}, which does not exist")
        if self.reader.byte():
            refuse("features", "only table 0 is in ABI version 1")
        self.has_call_indirect = True
        signature = self.known.types[index]
        self._move(len(signature.params) + 1, len(signature.results))
