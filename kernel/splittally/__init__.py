"""Splittally: a deterministic, event-sourced microkernel between a program that wants to act and the act.

    with splittally.open(path) as kernel:
        kernel.apply("team.toml")
        decision = kernel.submit(Intent("llm.generate", {"model": "m", "max_tokens": 50}, "cap_llm"))
        ...
        kernel.settle(Receipt(decision.intent_hash, "ok", "my-adapter", {"prompt_tokens": 10, ...}))

The names below are loaded when they are first used, so that `import splittally.core` loads no Wasm
and no store.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splittally.core.limits import OPEN_HOLDS_MAX

_MENU = {
    "At": "splittally.runtime",
    "Decision": "splittally.edge.records",
    "Dispatch": "splittally.edge.records",
    "Extend": "splittally.edge.records",
    "Finding": "splittally.core.findings",
    "Group": "splittally.edge.records",
    "HoldChange": "splittally.edge.records",
    "Intent": "splittally.edge.records",
    "Kernel": "splittally.runtime",
    "Origin": "splittally.edge.records",
    "Receipt": "splittally.edge.records",
    "Refused": "splittally.edge.records",
    "Release": "splittally.edge.records",
    "Settlement": "splittally.edge.records",
    "SplittallyError": "splittally.core.errors",
    "new_attempt": "splittally.runtime",
    "post_work": "splittally.runtime.work_posting",
    "sign_receipt": "splittally.edge.receipt_signatures",
}
_GOVERNOR = (
    "BudgetDecision", "BudgetGovernor", "EscalationReason", "MemoryEnvelope", "SpendDigest", "check_budget",
)  # fmt: skip
_ERRORS = (
    "BudgetError", "CanonicalError", "DiskFull", "ExpressionError", "FormatTooNew", "InvalidInput",
    "InvalidManifest", "InvalidSchema", "JournalDamaged", "KernelStopped", "ModuleNotCompiled", "NoWorld",
    "NotAdmitted", "WorldError", "WorldExists", "WorldLocked",
)  # fmt: skip
_MENU |= dict.fromkeys(_GOVERNOR, "splittally.governor")
_MENU |= dict.fromkeys(_ERRORS, "splittally.core.errors")

if TYPE_CHECKING:
    from splittally.core.errors import (
        BudgetError,
        CanonicalError,
        DiskFull,
        ExpressionError,
        FormatTooNew,
        InvalidInput,
        InvalidManifest,
        InvalidSchema,
        JournalDamaged,
        KernelStopped,
        ModuleNotCompiled,
        NotAdmitted,
        NoWorld,
        SplittallyError,
        WorldError,
        WorldExists,
        WorldLocked,
    )
    from splittally.core.findings import Finding
    from splittally.edge.receipt_signatures import sign_receipt
    from splittally.edge.records import (
        At,
        Decision,
        Dispatch,
        Extend,
        Group,
        HoldChange,
        Intent,
        Origin,
        Receipt,
        Refused,
        Release,
        Settlement,
    )
    from splittally.governor import (
        BudgetDecision,
        BudgetGovernor,
        EscalationReason,
        MemoryEnvelope,
        SpendDigest,
        check_budget,
    )
    from splittally.runtime import Kernel, new_attempt
    from splittally.runtime.work_posting import post_work
else:

    def __getattr__(name: str) -> Any:
        if name not in _MENU:
            raise AttributeError(f"module `splittally` has no `{name}`")
        return getattr(import_module(_MENU[name]), name)


__all__ = [
    "At",
    "BudgetDecision",
    "BudgetError",
    "BudgetGovernor",
    "CanonicalError",
    "Decision",
    "DiskFull",
    "Dispatch",
    "EscalationReason",
    "ExpressionError",
    "Extend",
    "Finding",
    "FormatTooNew",
    "Group",
    "HoldChange",
    "Intent",
    "InvalidInput",
    "InvalidManifest",
    "InvalidSchema",
    "JournalDamaged",
    "Kernel",
    "KernelStopped",
    "MemoryEnvelope",
    "ModuleNotCompiled",
    "NoWorld",
    "NotAdmitted",
    "Origin",
    "Receipt",
    "Refused",
    "Release",
    "Settlement",
    "SpendDigest",
    "SplittallyError",
    "WorldError",
    "WorldExists",
    "WorldLocked",
    "check_budget",
    "new_attempt",
    "open",
    "post_work",
    "sign_receipt",
]


def open(
    path: str | Path | None = None,
    clock: str | Callable[[], int] | tuple[Callable[[], int], Callable[[], int]] | None = None,
    *,
    create: bool = True,
    open_max: int = OPEN_HOLDS_MAX,
    lock_seconds: float | None = None,
    entropy: Callable[[int], bytes] | None = None,
) -> "Kernel":
    """The world at `path`, opened for writing; a new one in a folder that is empty or missing.

    `path` None is a world in memory. `clock` is `host` (the default: the runtime reads it), `given`
    (every call may say `now_ns`), or a callable that gives nanoseconds; it is fixed when the world is
    made. A clock that steps a day further than the machine's boot-time clock has jumped (`clock_jump`); a
    pair of callables is such a clock and the one that it is compared with. `create=False` refuses to make
    a world, `open_max` bounds open intents, `lock_seconds` how long to wait for another writer, `entropy`
    gives so many random bytes for keys and ids.
    Raises `WorldLocked`, `NoWorld`, `DiskFull`, `JournalDamaged`, `InvalidInput`.
    """
    opened: Kernel = import_module("splittally.runtime").open_world(
        path, clock, create=create, open_max=open_max, lock_seconds=lock_seconds, entropy=entropy
    )
    return opened


def __dir__() -> list[str]:
    return sorted(__all__)
