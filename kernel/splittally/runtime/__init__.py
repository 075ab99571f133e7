"""The only writer: ask, judge, step, append, evolve, publish; group commit.

Rule 1. The names below are loaded when they are first used: who only reads a world loads no writer.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MENU = {
    "At": "answering",
    "Kernel": "kernel",
    "kernel_over": "what_if",
    "new_attempt": "kernel",
    "open_store": "kernel",
    "open_world": "kernel",
}


def __getattr__(name: str) -> Any:
    if name not in _MENU:
        raise AttributeError(f"module `splittally.runtime` has no `{name}`")
    return getattr(import_module(f"splittally.runtime.{_MENU[name]}"), name)


if TYPE_CHECKING:
    from splittally.runtime.answering import At
    from splittally.runtime.kernel import Kernel, new_attempt, open_store, open_world
    from splittally.runtime.what_if import kernel_over

__all__ = ["At", "Kernel", "kernel_over", "new_attempt", "open_store", "open_world"]
