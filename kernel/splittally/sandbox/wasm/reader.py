"""The bytes of a WebAssembly module, read carefully.

Rule 1. Every read is checked against the end of its section before it happens, and every count against
        the bytes that are left before anything is looped over or allocated. Time and memory are linear
        in the size of the file.
Rule 2. Bytes that are no module are refused as `well_formed`; constructs outside the MVP and sign
        extension as `features`.
Rule 3. Nothing here recurses on what the bytes say.

Source: WebAssembly Core Specification 1.0, section 5.
"""

from typing import NoReturn

from splittally.core.errors import NotAdmitted
from splittally.sandbox.wasm import opcodes


def refuse(check: str, message: str) -> NoReturn:
    """Raise the refusal of a module by the admission check called `check`."""
    raise NotAdmitted(message, check=check)


def shown(name: str, characters_max: int = 64) -> str:
    """`name` in a form that is safe to print: ASCII, escaped, bounded."""
    text = ascii(name[:characters_max])[1:-1]
    return f"`{text}`"


class Reader:
    """A cursor over `data[at:end]`."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end

    def is_done(self) -> bool:
        return self.at == self.end

    def byte(self) -> int:
        at = self.at
        if at >= self.end:
            refuse("well_formed", f"bytes end at {at}, inside a value")
        self.at = at + 1
        return self.data[at]

    def u32(self) -> int:
        """An unsigned LEB128 integer of at most 32 bits and 5 bytes."""
        value = self.byte()
        if value < 0x80:
            return value
        value &= 0x7F
        for shift in (7, 14, 21, 28):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 32:
                    break
                return value
        refuse("well_formed", f"the integer that ends at {self.at} does not fit in 32 bits")

    def skip_signed(self, bits: int) -> None:
        """Step over a signed LEB128 integer of at most `bits` bits."""
        bytes_max = -(-bits // 7)
        for index in range(bytes_max):
            byte = self.byte()
            if byte < 0x80:
                # The unused bits of a last byte repeat the sign.
                used = bits - 7 * index
                if used < 7 and byte >> (used - 1) not in (0, 0x7F >> (used - 1)):
                    break
                return
        refuse("well_formed", f"the integer that ends at {self.at} does not fit in {bits} bits")

    def skip(self, size: int) -> None:
        if size > self.end - self.at:
            refuse("well_formed", f"{size} bytes are announced at {self.at} and fewer follow")
        self.at += size

    def count(self, item_bytes_min: int) -> int:
        """The length of a vector, refused when that many items cannot follow."""
        count = self.u32()
        if count * item_bytes_min > self.end - self.at:
            refuse("well_formed", f"{count} items are announced at {self.at} and fewer can follow")
        return count

    def name(self) -> str:
        size = self.u32()
        start = self.at
        self.skip(size)
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError:
            refuse("well_formed", f"the name at {start} is not UTF-8")

    def part(self, size: int) -> "Reader":
        """A reader over the next `size` bytes, which this reader steps over."""
        start = self.at
        self.skip(size)
        return Reader(self.data, start, self.at)

    def limits(self) -> tuple[int, int, int | None]:
        """Flags, minimum and maximum (None where absent) of a table or memory."""
        flags = self.byte()
        if flags > 3:
            refuse("features", "64-bit and custom-page memories and tables are outside ABI version 1")
        minimum = self.u32()
        return flags, minimum, self.u32() if flags & 1 else None

    def skip_constant(self) -> None:
        """Step over an initialiser: one constant and `end`."""
        match self.byte():
            case opcodes.I32_CONST:
                self.skip_signed(32)
            case opcodes.I64_CONST:
                self.skip_signed(64)
            case opcodes.F32_CONST:
                self.skip(4)
            case opcodes.F64_CONST:
                self.skip(8)
            case opcode:
                refuse("features", f"an initialiser is one constant, not opcode 0x{opcode:02x}")
        if self.byte() != opcodes.END:
            refuse("features", "an initialiser is one constant; computed ones are outside ABI version 1")
