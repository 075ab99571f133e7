"""A module, reduced to what admission asks about it.

Rule 1. Sections come in the order of the specification, each at most once; custom sections are stepped
        over wherever they stand.
Rule 2. Imports and a start function are refused where they are met: nothing after an import could be
        numbered, and neither has a place in ABI version 1.
"""

from msgspec import Struct

from splittally.sandbox.wasm import opcodes
from splittally.sandbox.wasm.function import Body, FuncType, read_body
from splittally.sandbox.wasm.reader import Reader, refuse, shown

MAGIC = b"\0asm\x01\0\0\0"

CUSTOM, TYPE, IMPORT, FUNCTION, TABLE, MEMORY = range(6)
GLOBAL, EXPORT, START, ELEMENT, CODE, DATA = range(6, 12)
DATA_COUNT, TAG = 12, 13

EXPORT_FUNCTION, EXPORT_TABLE, EXPORT_MEMORY, EXPORT_GLOBAL = range(4)
FUNCTION_TYPE = 0x60
FUNCTION_REFERENCE = 0x70


class Memory(Struct, frozen=True):
    """A linear memory, in pages; `maximum` is None where the module names none."""

    minimum: int
    maximum: int | None
    is_shared: bool


class Module:
    """The facts about one module; filled while its sections are read and then left alone."""

    def __init__(self) -> None:
        self.types: list[FuncType] = []
        self.functions: list[FuncType] = []
        self.bodies: list[Body] = []
        self.memories: list[Memory] = []
        self.tables: list[int] = []  # elements at the start
        self.globals = 0
        self.exports: dict[str, tuple[int, int]] = {}  # name to (kind, index)
        self.segments = 0
        self.elements = 0  # entries that instantiation writes into tables
        self.has_float_global = False


def read_module(wasm: bytes) -> Module:
    """The facts about `wasm`, whose header was checked; `NotAdmitted` when it cannot be read."""
    module = Module()
    reader = Reader(wasm, len(MAGIC), len(wasm))
    last = CUSTOM
    while not reader.is_done():
        section = reader.byte()
        part = reader.part(reader.u32())
        if section == CUSTOM:
            part.name()
            continue
        if section in (DATA_COUNT, TAG):
            refuse("features", f"section {section} is outside ABI version 1")
        if section > DATA:
            refuse("well_formed", f"there is no section {section}")
        if section <= last:
            refuse("well_formed", f"section {section} stands after section {last}")
        last = section
        _SECTIONS[section](part, module)
        if not part.is_done():
            refuse("well_formed", f"bytes follow the items of section {section}")
    if len(module.bodies) != len(module.functions):
        refuse("well_formed", "the function and code sections differ in length")
    return module


def _read_types(part: Reader, module: Module) -> None:
    for _ in range(part.count(item_bytes_min=3)):
        form = part.byte()
        if form != FUNCTION_TYPE:
            refuse("features", f"a type of form 0x{form:02x} is outside ABI version 1")
        signature = FuncType(_read_values(part), _read_values(part))
        if len(signature.results) > 1:
            refuse("features", "a function gives at most one result in ABI version 1")
        module.types.append(signature)


def _read_values(part: Reader) -> bytes:
    size = part.count(item_bytes_min=1)
    start = part.at
    part.skip(size)
    values = part.data[start : part.at]
    if values.strip(opcodes.NUMBERS):
        refuse(
            "features",
            f"the types at {start} are not numbers; references and vectors are outside ABI version 1",
        )
    return values


def _refuse_import(part: Reader, _: Module) -> None:
    if part.count(item_bytes_min=4):
        library, name = part.name(), part.name()
        refuse(
            "imports",
            f"{shown(library)} {shown(name)} is imported; an enforcer is given nothing but its input",
        )


def _read_functions(part: Reader, module: Module) -> None:
    for _ in range(part.count(item_bytes_min=1)):
        index = part.u32()
        if index >= len(module.types):
            refuse("well_formed", f"a function of type {index}, which does not exist")
        module.functions.append(module.types[index])


def _read_tables(part: Reader, module: Module) -> None:
    for _ in range(part.count(item_bytes_min=3)):
        kind = part.byte()
        if kind != FUNCTION_REFERENCE:
            refuse("features", f"a table of type 0x{kind:02x} is outside ABI version 1")
        flags, minimum, _maximum = part.limits()
        if flags > 1:
            refuse("features", "a shared table is outside ABI version 1")
        module.tables.append(minimum)


def _read_memories(part: Reader, module: Module) -> None:
    for _ in range(part.count(item_bytes_min=2)):
        flags, minimum, maximum = part.limits()
        module.memories.append(Memory(minimum, maximum, flags > 1))


def _read_globals(part: Reader, module: Module) -> None:
    for _ in range(part.count(item_bytes_min=4)):
        kind = part.byte()
        if kind not in opcodes.NUMBERS:
            refuse("features", f"a global of type 0x{kind:02x} is outside ABI version 1")
        if part.byte() > 1:
            refuse("well_formed", f"the mutability before {part.at} is neither 0 nor 1")
        part.skip_constant()
        module.globals += 1
        module.has_float_global |= kind not in opcodes.INTEGERS


def _read_exports(part: Reader, module: Module) -> None:
    for _ in range(part.count(item_bytes_min=3)):
        name = part.name()
        kind = part.byte()
        if kind > EXPORT_GLOBAL:
            refuse("features", f"{shown(name)} is exported as kind {kind}, which is outside ABI version 1")
        if name in module.exports:
            refuse("well_formed", f"{shown(name)} is exported twice")
        module.exports[name] = (kind, part.u32())


def _refuse_start(_part: Reader, _module: Module) -> None:
    refuse("start", "a start function runs before the input is there; do its work in `run`")


def _read_elements(part: Reader, module: Module) -> None:
    for _ in range(part.count(item_bytes_min=5)):
        _read_offset(part)
        count = part.count(item_bytes_min=1)
        for _ in range(count):
            part.u32()
        module.segments += 1
        module.elements += count


def _read_code(part: Reader, module: Module) -> None:
    count = part.count(item_bytes_min=3)
    if count != len(module.functions):
        refuse("well_formed", "the function and code sections differ in length")
    for signature in module.functions:
        module.bodies.append(read_body(part.part(part.u32()), signature, module))


def _read_data(part: Reader, module: Module) -> None:
    for _ in range(part.count(item_bytes_min=5)):
        _read_offset(part)
        part.skip(part.u32())
        module.segments += 1


def _read_offset(part: Reader) -> None:
    if part.u32():
        refuse("features", "passive, declared and numbered segments are outside ABI version 1")
    part.skip_constant()


_SECTIONS = {
    TYPE: _read_types,
    IMPORT: _refuse_import,
    FUNCTION: _read_functions,
    TABLE: _read_tables,
    MEMORY: _read_memories,
    GLOBAL: _read_globals,
    EXPORT: _read_exports,
    START: _refuse_start,
    ELEMENT: _read_elements,
    CODE: _read_code,
    DATA: _read_data,
}
