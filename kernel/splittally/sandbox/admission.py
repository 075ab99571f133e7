"""Which modules may be enforcers: a list of named static checks, asked before anything is compiled.

`admit` is what the kernel asks. A module of this release was admitted when the release was made, so its
hash is enough; `admit_anew` asks every check of it too, and is what audit asks.

Rule 1. The first check that fails refuses the module by name; none of them runs a byte of it.
Rule 2. `size` and `magic` come first, so nothing else sees a large or a foreign file. `well_formed`,
        `features`, `imports` and `start` are found while the bytes are read, in the order of the file.
Rule 3. A bound exists for what fuel cannot meter: compiling, instantiating, and the host's stack.
Rule 4. `compile` is last: the engine's own validator and compiler, under the pinned configuration. The
        engine is loaded for it and for nothing before it.

The reasons are in `spec/03-abi.md`; every check has a fixture in `fixtures/enforcers/refused`.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module

from splittally.core.errors import ModuleNotCompiled, NotAdmitted
from splittally.core.hashing import hash_module
from splittally.core.limits import (
    ENFORCER_BYTES_MAX,
    ENFORCER_COMPILE_WORK_MAX,
    ENFORCER_EXPORTS_MAX,
    ENFORCER_FRAMES_BYTES_MAX,
    ENFORCER_FUNCTIONS_MAX,
    ENFORCER_GLOBALS_MAX,
    ENFORCER_HEAVY_SLOT_WORK,
    ENFORCER_HEAVY_WORK,
    ENFORCER_LOAD_SLOT_WORK,
    ENFORCER_LOCALS_MAX,
    ENFORCER_PAGES_MAX,
    ENFORCER_SEGMENTS_MAX,
    ENFORCER_TABLE_ELEMENTS_MAX,
)
from splittally.sandbox.registry import is_released
from splittally.sandbox.wasm.callgraph import frames_bytes, order_of_calls
from splittally.sandbox.wasm.function import FuncType
from splittally.sandbox.wasm.module import EXPORT_FUNCTION, EXPORT_MEMORY, MAGIC, Module, read_module
from splittally.sandbox.wasm.opcodes import I32, I64, INTEGERS
from splittally.sandbox.wasm.reader import refuse

_ENGINE = "splittally.sandbox.engine"
ABI_MARKER = "splittally_abi_1"
_ALLOC = FuncType(bytes((I32,)), bytes((I32,)))
_RUN = FuncType(bytes((I32, I32)), bytes((I64,)))
_MARKER = FuncType(b"", b"")
_TYPE_NAMES = {I32: "i32", I64: "i64", 0x7D: "f32", 0x7C: "f64"}


def admit(wasm: bytes) -> None:
    """Nothing when `wasm` may be an enforcer; `NotAdmitted` naming the first check it fails."""
    if not is_released(hash_module(wasm)):
        admit_anew(wasm)


@lru_cache(maxsize=128)
def admit_anew(wasm: bytes) -> None:
    """The same, with every check asked of any module, also of one of this release.

    The answer for the same bytes is the same, so those that were admitted last are remembered.
    """
    inspect(wasm)
    _compile(wasm)


def inspect(wasm: bytes) -> Module:
    """The facts about `wasm` when it passes every check but `compile`, which needs an engine."""
    module = _read(wasm)
    for name, fault_in in _CHECKS:
        if message := fault_in(module):
            refuse(name, message)
    return module


def failed_checks(wasm: bytes) -> dict[str, str]:
    """Every check that `wasm` fails, with its message: what an author wants to see at once.

    A file that cannot be read, or that imports or starts, fails only the check that stopped the reading.
    """
    try:
        module = _read(wasm)
        failed = {name: message for name, fault_in in _CHECKS if (message := fault_in(module))}
        if not failed:
            _compile(wasm)
    except NotAdmitted as refusal:
        return {str(refusal.facts["check"]): str(refusal)}
    return failed


def _compile(wasm: bytes) -> None:
    try:
        import_module(_ENGINE).try_compile(wasm)
    except ModuleNotCompiled as error:
        refuse("compile", str(error))


def _read(wasm: bytes) -> Module:
    if len(wasm) > ENFORCER_BYTES_MAX:
        refuse("size", f"{len(wasm)} bytes; at most {ENFORCER_BYTES_MAX} are allowed")
    if not wasm.startswith(MAGIC):
        refuse("magic", "not a binary WebAssembly module; assemble text and unwrap components first")
    return read_module(wasm)


def _exports(module: Module) -> str:
    memory = module.exports.get("memory")
    if memory is None:
        return "`memory` is missing; export the linear memory under that name"
    if memory[0] != EXPORT_MEMORY:
        return "`memory` is not a memory"
    return _wrong_function(module, "alloc", _ALLOC) or _wrong_function(module, "run", _RUN)


def _abi_marker(module: Module) -> str:
    return _wrong_function(module, ABI_MARKER, _MARKER)


def _wrong_function(module: Module, name: str, wanted: FuncType) -> str:
    if name not in module.exports:
        return f"`{name}` is missing; export it as a function {_signature(wanted)}"
    kind, index = module.exports[name]
    if kind != EXPORT_FUNCTION or index >= len(module.functions):
        return f"`{name}` is not a function; export it as {_signature(wanted)}"
    if module.functions[index] != wanted:
        return f"`{name}` has type {_signature(module.functions[index])}; it must be {_signature(wanted)}"
    return ""


def _signature(kind: FuncType) -> str:
    params, results = (
        ", ".join(_TYPE_NAMES[value] for value in values) for values in (kind.params, kind.results)
    )
    return f"({params}) -> ({results})"


def _memory(module: Module) -> str:
    if len(module.memories) != 1:
        return f"{len(module.memories)} memories; an enforcer has exactly one"
    memory = module.memories[0]
    if memory.is_shared:
        return "the memory is shared; an enforcer's is its own"
    if memory.minimum != memory.maximum:
        return "minimum and maximum differ; fix the size with equal ones (--initial-memory, --max-memory)"
    if not 1 <= memory.minimum <= ENFORCER_PAGES_MAX:
        return f"{memory.minimum} pages; from 1 to {ENFORCER_PAGES_MAX} are allowed"
    return ""


def _tables(module: Module) -> str:
    if len(module.tables) > 1:
        return f"{len(module.tables)} tables; at most one is allowed"
    return _above(max(sum(module.tables), module.elements), ENFORCER_TABLE_ELEMENTS_MAX, "table elements")


def _segments(module: Module) -> str:
    return _above(module.segments, ENFORCER_SEGMENTS_MAX, "data and element segments")


def _functions(module: Module) -> str:
    return _above(len(module.functions), ENFORCER_FUNCTIONS_MAX, "functions")


def _locals(module: Module) -> str:
    most = max((body.variables for body in module.bodies), default=0)
    return _above(most, ENFORCER_LOCALS_MAX, "parameters and locals in one function")


def _exports_count(module: Module) -> str:
    return _above(len(module.exports), ENFORCER_EXPORTS_MAX, "exports")


def _globals(module: Module) -> str:
    return _above(module.globals, ENFORCER_GLOBALS_MAX, "globals")


def _above(count: int, count_max: int, what: str) -> str:
    return f"{count} {what}; at most {count_max} are allowed" if count > count_max else ""


def _floats(module: Module) -> str:
    reason = "floating point has no place in an amount; use integers of a named unit"
    if module.has_float_global:
        return f"a global is a float; {reason}"
    if any((kind.params + kind.results).strip(INTEGERS) for kind in module.types):
        return f"a signature has a float; {reason}"
    for index, body in enumerate(module.bodies):
        if body.has_float:
            return f"function {index} uses floats; {reason}"
    return ""


def _recursion(module: Module) -> str:
    order = order_of_calls([body.calls for body in module.bodies])
    if isinstance(order, int):
        return f"function {order} can reach itself; write the recursion as a loop"
    return ""


def _call_indirect(module: Module) -> str:
    for index, body in enumerate(module.bodies):
        if body.has_call_indirect:
            return f"function {index} calls through a table; call functions by name"
    return ""


def _memory_grow(module: Module) -> str:
    for index, body in enumerate(module.bodies):
        if body.has_memory_grow:
            return f"function {index} grows the memory; its size is fixed"
    return ""


def _stack(module: Module) -> str:
    calls = [body.calls for body in module.bodies]
    order = order_of_calls(calls)
    if isinstance(order, int):
        return ""  # the check `recursion` speaks of it
    deepest = frames_bytes(order, calls, [body.slots for body in module.bodies])
    return _above(deepest, ENFORCER_FRAMES_BYTES_MAX, "bytes of frames on the deepest call path")


def _compile_cost(module: Module) -> str:
    work = sum(
        body.branches * (ENFORCER_HEAVY_WORK + body.branches + 256 * body.slots)
        + body.heavy * (ENFORCER_HEAVY_WORK + ENFORCER_HEAVY_SLOT_WORK * body.slots)
        + body.loads * ENFORCER_LOAD_SLOT_WORK * body.slots
        + body.instructions * body.slots
        for body in module.bodies
    )
    advice = "; split functions with many locals across many branches or loads; call and divide in loops"
    message = _above(work, ENFORCER_COMPILE_WORK_MAX, "units of compile work")
    return message and message + advice


_CHECKS: tuple[tuple[str, Callable[[Module], str]], ...] = (
    ("exports", _exports),
    ("abi_marker", _abi_marker),
    ("memory", _memory),
    ("tables", _tables),
    ("segments", _segments),
    ("functions", _functions),
    ("locals", _locals),
    ("exports_count", _exports_count),
    ("globals", _globals),
    ("floats", _floats),
    ("recursion", _recursion),
    ("call_indirect", _call_indirect),
    ("memory_grow", _memory_grow),
    ("stack", _stack),
    ("compile_cost", _compile_cost),
)

ADMISSION_CHECKS: tuple[str, ...] = (
    "size",
    "magic",
    "well_formed",
    "features",
    "imports",
    "start",
    *(name for name, _ in _CHECKS),
    "compile",
)
