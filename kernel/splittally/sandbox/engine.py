"""Engines under the pinned configuration, and modules compiled for them.

Rule 1. Every engine is made from `settings.SETTINGS`; the pool below only says where instances live and
        is not part of the id, because the reference sandbox, which has no pool, must agree with it.
Rule 2. What is compiled are the bytes that were inspected and hashed. Native code is never loaded.
"""

from functools import cache

from wasmtime import Config, Engine, Module, WasmtimeError, _ffi

from splittally.core.errors import ModuleNotCompiled, WorldError
from splittally.core.limits import ENFORCER_TABLE_ELEMENTS_MAX
from splittally.sandbox.settings import ENFORCER_MEMORY_BYTES_MAX, PAGE_BYTES, SETTINGS
from splittally.sandbox.wasm.reader import shown

# One call at a time needs one of each; the spares outlive an interrupt that strikes between two calls
# of the engine and leaves an instance behind.
_POOL = {
    "total_core_instances": 8,
    "total_memories": 8,
    "total_tables": 8,
    "max_memories_per_module": 1,
    "max_tables_per_module": 1,
    "max_memory_size": ENFORCER_MEMORY_BYTES_MAX,
    "table_elements": ENFORCER_TABLE_ELEMENTS_MAX,
    "linear_memory_keep_resident": PAGE_BYTES,  # zeroed in place, without the kernel of the machine
    "table_keep_resident": PAGE_BYTES,
    "max_core_instance_size": 1024 * 1024,  # far above what the bounds of admission can need
    "max_unused_warm_slots": 8,
    "total_component_instances": 0,
    "total_gc_heaps": 0,
    "total_stacks": 0,
}


def pooled_engine() -> Engine:
    """An engine whose instances come from slots that are kept and cleared."""
    config = _configuration()
    pool = _ffi.wasmtime_pooling_allocation_config_new()
    for name, value in _POOL.items():
        getattr(_ffi, f"wasmtime_pooling_allocation_config_{name}_set")(pool, value)
    _ffi.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
    _ffi.wasmtime_pooling_allocation_config_delete(pool)
    return _engine(config)


@cache
def reference_engine() -> Engine:
    """The engine without a pool; shared by admission and every reference sandbox."""
    return _engine(_configuration())


def _configuration() -> Config:
    config = Config()
    for name, value, _reason in SETTINGS:
        if value is not None:
            getattr(_ffi, f"wasmtime_config_{name}")(config.ptr(), value)
    return config


def _engine(config: Config) -> Engine:
    try:
        return Engine(config)
    except WasmtimeError as error:
        raise WorldError(f"the WebAssembly engine does not start: {error}") from error


def compile_module(engine: Engine, wasm: bytes) -> Module:
    """`wasm` validated and compiled; `ModuleNotCompiled` when the engine refuses it."""
    try:
        return Module(engine, wasm)
    except WasmtimeError as error:
        reason = " ".join(str(error).split())
        raise ModuleNotCompiled(f"the engine refuses the module: {shown(reason, 300)}") from error


def try_compile(wasm: bytes) -> None:
    """Nothing when `wasm` compiles; `ModuleNotCompiled` when it does not."""
    compile_module(reference_engine(), wasm).close()
