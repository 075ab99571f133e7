"""The functions of the engine's C interface that a fast call needs, on a handle of our own.

Rule 1. `PyDLL` keeps the interpreter's lock: a call lasts microseconds, and giving the lock up and
        taking it back costs more than the call (and up to 40 µs beside a busy thread).
Rule 2. No argument types are declared: callers pass prepared arguments, which costs no conversion. An
        `int` must never be passed where a pointer is wanted; it would be cut to 32 bits.
Rule 3. Nothing here keeps anything alive. Whoever passes a pointer holds its owner.
"""

from ctypes import PyDLL, c_bool, c_void_p
from typing import Any

from wasmtime import _ffi

_library = PyDLL(_ffi.dll._name)


def _bound(name: str, result: Any) -> Any:
    function = getattr(_library, name)
    function.restype = result
    return function


class Pointer(c_void_p):
    """A pointer that stays an object, so it can be passed on without conversion."""


store_new = _bound("wasmtime_store_new", Pointer)
store_context = _bound("wasmtime_store_context", Pointer)
store_delete = _bound("wasmtime_store_delete", None)
# Functions that give c_void_p return None or the address of an error, which the caller deletes.
set_fuel = _bound("wasmtime_context_set_fuel", c_void_p)
get_fuel = _bound("wasmtime_context_get_fuel", c_void_p)
instantiate = _bound("wasmtime_instance_pre_instantiate", c_void_p)
export_get = _bound("wasmtime_instance_export_get", c_bool)
call = _bound("wasmtime_func_call_unchecked", c_void_p)
memory_data = _bound("wasmtime_memory_data", c_void_p)
trap_code = _bound("wasmtime_trap_code", c_bool)
trap_delete = _bound("wasm_trap_delete", None)
error_delete = _bound("wasmtime_error_delete", None)
