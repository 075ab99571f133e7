"""The pinned engine configuration: every switch that the binding exports, decided here with a reason.

Rule 1. A setter without a row fails a test: an upgrade of the engine cannot open anything unnoticed.
Rule 2. `value` is what the setter is called with; None means that it is never called.
Rule 3. Every row is part of the engine id, so a change of any value is a change of engine.

An inconsistent configuration aborts the process inside the engine, so a change here is tried in a
process of its own first (`tests/test_sandbox_engine.py` does).
"""

from typing import NamedTuple

from splittally.core.limits import ENFORCER_PAGES_MAX, ENFORCER_STACK_BYTES_MAX

PAGE_BYTES = 64 * 1024
ENFORCER_MEMORY_BYTES_MAX = ENFORCER_PAGES_MAX * PAGE_BYTES

CRANELIFT = 1
OPTIMISE_SPEED = 1
REGALLOC_BACKTRACKING = 0
PROFILER_NONE = 0
ASYNC_STACK_BYTES = 2 * 1024 * 1024


class Setting(NamedTuple):
    """One `wasmtime_config_*` function: its name without that prefix, our value, and why."""

    name: str
    value: bool | int | None
    reason: str


_PROPOSAL = "outside the MVP; no enforcer needs it"
_COMPONENTS = "enforcers are core modules"
_NOT_CALLED = "not called: "

SETTINGS: tuple[Setting, ...] = (
    # What decides an answer.
    Setting("consume_fuel_set", True, "the only meter; counted per instruction, the same everywhere"),
    Setting("epoch_interruption_set", False, "wall time never decides anything"),
    Setting(
        "cranelift_nan_canonicalization_set", True, "floats are refused; were one let through, its bits agree"
    ),
    Setting(
        "max_wasm_stack_set",
        ENFORCER_STACK_BYTES_MAX,
        "explicit; the check `stack` keeps frames far below it",
    ),
    Setting("strategy_set", CRANELIFT, "one compiler, so frames and traps come from one place"),
    Setting("cranelift_opt_level_set", OPTIMISE_SPEED, "frame sizes depend on it, so it is pinned"),
    Setting(
        "cranelift_regalloc_algorithm_set", REGALLOC_BACKTRACKING, "frame sizes depend on it, so it is pinned"
    ),
    Setting("target_set", None, _NOT_CALLED + "code is for the machine it runs on"),
    Setting("cranelift_flag_enable", None, _NOT_CALLED + "no compiler flag beyond the rows above"),
    Setting("cranelift_flag_set", None, _NOT_CALLED + "no compiler flag beyond the rows above"),
    # The language.
    Setting(
        "wasm_bulk_memory_set", False, "outside the MVP; keeps tables and segments constant while running"
    ),
    Setting("wasm_reference_types_set", False, "outside the MVP; keeps tables constant while running"),
    Setting("wasm_multi_value_set", False, _PROPOSAL),
    Setting("wasm_multi_memory_set", False, _PROPOSAL),
    Setting("wasm_memory64_set", False, _PROPOSAL),
    Setting("wasm_custom_page_sizes_set", False, _PROPOSAL),
    Setting("wasm_simd_set", False, _PROPOSAL),
    Setting("wasm_relaxed_simd_set", False, "its results may differ from machine to machine"),
    Setting(
        "wasm_relaxed_simd_deterministic_set", True, "off with the row above; deterministic were it ever on"
    ),
    Setting("wasm_threads_set", False, "threads are not deterministic"),
    Setting("shared_memory_set", False, "an enforcer's memory is its own"),
    Setting("wasm_tail_call_set", False, _PROPOSAL),
    Setting("wasm_function_references_set", False, _PROPOSAL),
    Setting("wasm_gc_set", False, _PROPOSAL),
    Setting("gc_support_set", False, "nothing is collected, so no pause and no heap"),
    Setting("wasm_exceptions_set", False, _PROPOSAL),
    Setting("wasm_stack_switching_set", False, _PROPOSAL),
    Setting("wasm_wide_arithmetic_set", False, _PROPOSAL),
    Setting("wasm_branch_hinting_set", False, "a custom section must not steer the compiler"),
    Setting("wasm_compact_imports_set", False, "there are no imports"),
    # Components.
    Setting("wasm_component_model_set", False, _COMPONENTS),
    Setting("wasm_component_model_accessors_set", False, _COMPONENTS),
    Setting("wasm_component_model_async_set", False, _COMPONENTS),
    Setting("wasm_component_model_async_stackful_set", False, _COMPONENTS),
    Setting("wasm_component_model_canonical_names_set", False, _COMPONENTS),
    Setting("wasm_component_model_implements_set", False, _COMPONENTS),
    Setting("wasm_component_model_map_set", False, _COMPONENTS),
    Setting("wasm_component_model_more_async_builtins_set", False, _COMPONENTS),
    Setting("concurrency_support_set", False, "a call runs to its end on the thread that made it"),
    Setting("async_stack_size_set", ASYNC_STACK_BYTES, "unused; must not be smaller than the stack above"),
    Setting("host_stack_creator_set", None, _NOT_CALLED + "there are no asynchronous stacks"),
    # The host.
    Setting(
        "signals_based_traps_set", False, "a trap is a return, not a signal, so debuggers and tests can watch"
    ),
    Setting("macos_use_mach_ports_set", False, "belongs to signals, which no trap uses"),
    Setting("memory_init_cow_set", False, "memory is copied, so switching modules maps nothing"),
    Setting("memory_may_move_set", False, "the size is fixed, so the address is"),
    Setting(
        "memory_reservation_set", ENFORCER_MEMORY_BYTES_MAX, "no address space beyond the largest memory"
    ),
    Setting("memory_reservation_for_growth_set", 0, "memories do not grow"),
    Setting("memory_guard_size_set", 0, "bounds are checked by code, not by signals"),
    Setting("host_memory_creator_set", None, _NOT_CALLED + "the engine's own memories are used"),
    Setting("parallel_compilation_set", False, "the kernel starts no threads of its own"),
    Setting(
        "cache_config_load",
        None,
        _NOT_CALLED + "a cache of native code is trusted code; compiling takes 50 ms",
    ),
    Setting("native_unwind_info_set", True, "debuggers and profilers can walk through a call"),
    Setting("debug_info_set", False, "the engine reads no debug sections"),
    Setting("profiler_set", PROFILER_NONE, "nothing is written outside the journal"),
    Setting("cranelift_debug_verifier_set", False, "for developers of the compiler"),
)
