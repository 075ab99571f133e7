"""The definition of a call: a new store and a new instance, through the engine's public interface.

Rule 1. Fuel is set once, before instantiation, and covers instantiation, `alloc` and `run`.
Rule 2. Numbers come back signed and slices forgive: mask, compare with the memory's size, then touch it.
Rule 3. `Sandbox` may be faster. It may not answer otherwise; tests compare output, fault and fuel.
"""

from typing import Any

from wasmtime import Instance, Module, Store, Trap, WasmtimeError

from splittally.core.abi import Fault
from splittally.core.hashing import hash_module
from splittally.core.limits import (
    CHECK_FUEL_MAX,
    ENFORCER_TABLE_ELEMENTS_MAX,
    INPUT_BYTES_MAX,
    OUTPUT_BYTES_MAX,
)
from splittally.sandbox.admission import inspect
from splittally.sandbox.engine import compile_module, reference_engine
from splittally.sandbox.faults import OVER_LIMIT, engine_failed, fault_of
from splittally.sandbox.settings import ENFORCER_MEMORY_BYTES_MAX

_MASK_32 = 0xFFFF_FFFF
_MASK_64 = 0xFFFF_FFFF_FFFF_FFFF


class ReferenceSandbox:
    """Modules by content hash, each call in a store of its own; slow, and the oracle of `Sandbox`."""

    def __init__(self) -> None:
        self.fuel_used = 0
        self._engine = reference_engine()
        self._wasm: dict[bytes, bytes] = {}
        self._modules: dict[bytes, Module] = {}  # those that were asked, compiled

    def load(self, wasm: bytes) -> bytes:
        """The hash under which `wasm` can be judged; `NotAdmitted` by the first static check it fails."""
        module = hash_module(wasm)
        if module not in self._wasm:
            inspect(wasm)
            self._wasm[module] = wasm
        return module

    def knows(self, module: bytes) -> bool:
        """Whether `module`, the hash of a module's bytes, is loaded."""
        return module in self._wasm

    def judge(self, module: bytes, data: bytes) -> bytes | Fault:
        """What the loaded `module` answers to `data`, or the fault that kept it from answering.

        `ModuleNotCompiled` when it is asked for the first time and the engine refuses it.
        """
        self.fuel_used = 0
        if module not in self._modules:
            self._modules[module] = compile_module(self._engine, self._wasm[module])
        compiled = self._modules[module]
        if len(data) > INPUT_BYTES_MAX:
            return OVER_LIMIT
        store = self._store()
        try:
            return _call(store, compiled, data)
        except Trap as trap:
            return fault_of(trap.trap_code)
        except WasmtimeError as error:
            raise engine_failed(error) from error
        finally:
            self.fuel_used = CHECK_FUEL_MAX - store.get_fuel()
            store.close()

    def close(self) -> None:
        """Forget every module."""
        for module in self._modules.values():
            module.close()
        self._modules.clear()
        self._wasm.clear()

    def _store(self) -> Store:
        store = Store(self._engine)
        store.set_limits(
            memory_size=ENFORCER_MEMORY_BYTES_MAX,
            table_elements=ENFORCER_TABLE_ELEMENTS_MAX,
            instances=1,
            tables=1,
            memories=1,
        )
        store.set_fuel(CHECK_FUEL_MAX)
        return store


def _call(store: Store, module: Module, data: bytes) -> bytes | Fault:
    exports: Any = Instance(store, module, []).exports(store)
    memory = exports["memory"]
    memory_bytes = memory.data_len(store)
    size = len(data)

    start = exports["alloc"](store, size) & _MASK_32
    if start == 0 or start + size > memory_bytes:
        return OVER_LIMIT
    if data:
        memory.write(store, data, start)

    packed = exports["run"](store, _signed(start), size) & _MASK_64
    start, size = packed >> 32, packed & _MASK_32
    if size > OUTPUT_BYTES_MAX or start + size > memory_bytes:
        return OVER_LIMIT
    return bytes(memory.read(store, start, start + size))


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number
