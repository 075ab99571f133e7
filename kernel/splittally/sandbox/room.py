"""How long an input a module takes, as its own `alloc` says: for a refusal that names both numbers.

Rule 1. Nothing here decides: a module that does not take a question gave no answer, and that is what is
        recorded where it is (`over_limit`). This tells a caller how much less would have been taken.
Rule 2. Asked of the reference engine, after a question was refused, and once for each module.
"""

from functools import lru_cache
from typing import Any

from wasmtime import Instance, Module, Store, Trap, WasmtimeError

from splittally.core.limits import CHECK_FUEL_MAX, INPUT_BYTES_MAX
from splittally.sandbox.engine import compile_module, reference_engine

_MASK_32 = 0xFFFF_FFFF


@lru_cache(maxsize=64)
def input_room(wasm: bytes) -> int:
    """The most bytes of input for which the module, which was admitted, gives memory."""
    module = compile_module(reference_engine(), wasm)
    try:
        least, most = 0, INPUT_BYTES_MAX
        while least < most:
            middle = (least + most + 1) // 2
            least, most = (middle, most) if _takes(module, middle) else (least, middle - 1)
        return least
    finally:
        module.close()


def _takes(module: Module, size: int) -> bool:
    store = Store(reference_engine())
    try:
        store.set_fuel(CHECK_FUEL_MAX)
        exports: Any = Instance(store, module, []).exports(store)
        start: int = exports["alloc"](store, size) & _MASK_32
        most: int = exports["memory"].data_len(store) - size
        return 0 < start <= most
    except (Trap, WasmtimeError):
        return False
    finally:
        store.close()
