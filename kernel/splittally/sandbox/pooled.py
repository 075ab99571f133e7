"""The calls of the hot path: a fresh instance for every call, out of a pool, through the C interface.

`Sandbox` loads this file, and with it the engine, when it is asked its first question.

Rule 1. Purity is by construction: each call has a store and an instance of its own, and the pool clears
        the memory, globals and tables of a slot before it is used again. Nothing is reset by us.
Rule 2. `ReferenceSandbox` is the definition. Output, fault class and fuel are the same, and tested so.
Rule 3. Arguments are prepared once, because a call is twelve foreign calls of half a microsecond. They
        are shared by all calls of one sandbox. Threads take turns: a call keeps the interpreter's lock
        anyway, and so the pool needs one slot, however many worlds and forks there are.
Rule 4. A trap is read, deleted and its pointer cleared; the engine clears it too when it instantiates.
        Prepared pointers keep nothing alive, so what they point to stays in the sandbox.
Rule 5. Every offset that a module gives is masked and compared with the memory's size before it is used.
"""

import os
import sys
from ctypes import byref, c_char_p, c_size_t, c_uint8, c_uint64, c_void_p, cast, memmove, string_at
from functools import cache, lru_cache
from threading import RLock
from types import FrameType
from typing import Any, NamedTuple

from wasmtime import Engine, InstancePre, Linker, MemoryType, Module, TrapCode, _ffi

from splittally.core.abi import Fault
from splittally.core.limits import CHECK_FUEL_MAX, INPUT_BYTES_MAX, OUTPUT_BYTES_MAX
from splittally.sandbox import capi
from splittally.sandbox.engine import compile_module, pooled_engine
from splittally.sandbox.faults import OVER_LIMIT, engine_failed, fault_of
from splittally.sandbox.settings import PAGE_BYTES

MODULES_KEPT = 128  # compiled modules a process keeps beside those its sandboxes hold
_MASK_32 = 0xFFFF_FFFF
_NULL = c_void_p.from_param(None)
_FUEL = c_uint64(CHECK_FUEL_MAX)
_ONE, _TWO = c_size_t(1), c_size_t(2)


class Prepared(NamedTuple):
    """A compiled module: its owner, the prepared pointer to it, and the size of its memory."""

    owner: InstancePre
    pointer: Any
    memory_bytes: int


_turn = RLock()  # one thread at a time makes the engine, compiles for it, and calls


def _let_go() -> None:
    """A forked process has one thread, and what another had begun is not its own."""
    global _turn
    _turn = RLock()


os.register_at_fork(after_in_child=_let_go)


@cache
def _shared_engine() -> Engine:
    """The one pooled engine of the process: compiled code and memory slots are shared by its sandboxes."""
    return pooled_engine()


@lru_cache(maxsize=MODULES_KEPT)
def prepare(wasm: bytes) -> Prepared:
    """`wasm` compiled, once a process, and ready to be instantiated; compiling costs some 50 ms.

    The caller vouches for its admission. `ModuleNotCompiled` when the engine refuses it.
    """
    with _turn:
        engine = _shared_engine()
        compiled = compile_module(engine, wasm)
        memory_bytes = _memory_bytes(compiled)
        owner = Linker(engine).instantiate_pre(compiled)
        compiled.close()
        return Prepared(owner, _pointer(owner.ptr()), memory_bytes)


def _memory_bytes(compiled: Module) -> int:
    """The size of the memory that a module exports; it is fixed, so its minimum is all of it."""
    (memory,) = (export.type for export in compiled.exports if export.name == "memory")
    assert isinstance(memory, MemoryType)
    return memory.limits.min * PAGE_BYTES


class _Export:
    """Room for one export of the instance of a call, looked up by name."""

    def __init__(self, name: bytes) -> None:
        self.room = _ffi.wasmtime_extern_t()
        self.lookup = (c_char_p(name), c_size_t(len(name)), byref(self.room))
        self.item = byref(self.room, _ffi.wasmtime_extern_t.of.offset)


class PooledCalls:
    """One call at a time, each in a fresh instance; threads take turns."""

    def __init__(self) -> None:
        self.fuel_used = 0
        self._is_busy = False
        self._stores: list[Any] = []  # of the call that is under way, or that was interrupted
        with _turn:
            self._engine = _shared_engine()
        self._engine_pointer = _pointer(self._engine.ptr())
        self._fuel_left = c_uint64()
        self._trap = c_void_p()
        self._instance = _ffi.wasmtime_instance_t()
        self._values = (c_uint64 * 4)()  # two raw values of 16 bytes: parameters in, result out
        self._memory, self._alloc, self._run = _Export(b"memory"), _Export(b"alloc"), _Export(b"run")
        self._lookups = tuple(export.lookup for export in (self._memory, self._alloc, self._run))
        self._at_fuel_left = byref(self._fuel_left)
        self._at_trap = byref(self._trap)
        self._at_instance = byref(self._instance)
        self._at_values = byref(self._values)

    def prepare(self, wasm: bytes) -> Prepared:
        """`wasm` compiled and ready to be called."""
        return prepare(wasm)

    def call(self, prepared: Prepared, data: bytes) -> bytes | Fault:
        """What a module answers to `data`, or the fault that kept it from answering.

        An interruption may leave a store, and with it its instance, to the next call. It is taken off the
        list by the very line that deletes it, so it is deleted once.
        """
        self.fuel_used = 0
        if len(data) > INPUT_BYTES_MAX:
            return OVER_LIMIT
        stores = self._stores
        with _turn:
            if self._is_busy:
                self._refuse_inside()
            try:
                self._is_busy = True
                while stores:  # of a call that was interrupted
                    capi.store_delete(stores.pop())
                stores.append(capi.store_new(self._engine_pointer, _NULL, _NULL))
                context = capi.store_context(stores[-1])
                capi.set_fuel(context, _FUEL)
                answer = self._call(context, prepared, data)
                capi.get_fuel(context, self._at_fuel_left)
                self.fuel_used = CHECK_FUEL_MAX - self._fuel_left.value
                return answer
            finally:
                while stores:
                    capi.store_delete(stores.pop())
                self._is_busy = False

    def _refuse_inside(self) -> None:
        """A call inside a call, as from a signal's handler, would mix up the arguments.

        What says `busy` and does not stand on the stack was interrupted.
        """
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            is_call = frame.f_code is PooledCalls.call.__code__ and frame.f_locals.get("self") is self
            assert not is_call, "one sandbox serves one call at a time"
            frame = frame.f_back

    def _call(self, context: Any, prepared: Prepared, data: bytes) -> bytes | Fault:
        instance, trap, values = self._at_instance, self._at_trap, self._values
        error = capi.instantiate(prepared.pointer, context, instance, trap)
        if error or self._trap:
            return self._fault(error)
        for name, length, room in self._lookups:
            capi.export_get(context, instance, name, length, room)

        size = len(data)
        values[0] = size
        error = capi.call(context, self._alloc.item, self._at_values, _ONE, trap)
        if error or self._trap:
            return self._fault(error)
        start = values[0] & _MASK_32
        if start == 0 or start + size > prepared.memory_bytes:
            return OVER_LIMIT
        memory = capi.memory_data(context, self._memory.item)
        memmove(memory + start, data, size)

        values[0], values[2] = start, size
        error = capi.call(context, self._run.item, self._at_values, _TWO, trap)
        if error or self._trap:
            return self._fault(error)
        packed = values[0]
        start, size = packed >> 32, packed & _MASK_32
        if size > OUTPUT_BYTES_MAX or start + size > prepared.memory_bytes:
            return OVER_LIMIT
        return string_at(memory + start, size)

    def _fault(self, error: int | None) -> Fault:
        """The fault of the trap that just happened; `WorldError` for an error that is no trap."""
        if error:
            capi.error_delete(c_void_p(error))
            raise engine_failed("no instance or no call was possible; is the machine out of memory?")
        code = c_uint8()
        has_code = capi.trap_code(self._trap, byref(code))
        capi.trap_delete(self._trap)
        self._trap.value = None
        return fault_of(TrapCode(code.value) if has_code else None)


def _pointer(pointer: Any) -> Any:
    return c_void_p.from_param(cast(pointer, c_void_p).value)
