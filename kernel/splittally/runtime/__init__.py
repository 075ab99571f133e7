"""The only writer: seal, tick, ask, judge, step, record, commit.

Rule 1. The names below are loaded when they are first used: who only reads a world loads no writer.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MENU = {
    "At": "splittally.edge.records",
    "Kernel": "splittally.runtime.kernel",
    "kernel_over": "splittally.runtime.what_if",
    "new_attempt": "splittally.runtime.open_kernel",
    "open_store": "splittally.runtime.open_kernel",
    "open_world": "splittally.runtime.open_kernel",
}


if TYPE_CHECKING:
    from splittally.edge.records import At
    from splittally.runtime.kernel import Kernel
    from splittally.runtime.open_kernel import new_attempt, open_store, open_world
    from splittally.runtime.what_if import kernel_over
else:

    def __getattr__(name: str) -> Any:
        if name not in _MENU:
            raise AttributeError(f"module `splittally.runtime` has no `{name}`")
        return getattr(import_module(_MENU[name]), name)


__all__ = ["At", "Kernel", "kernel_over", "new_attempt", "open_store", "open_world"]
