"""Pure enforcers: who is admitted, and one call, in a fresh instance (spec/03-abi.md).

Rule 1. This package is the only one that knows the WebAssembly engine.
Rule 2. The names below are loaded when they are first used, and the engine when a module is compiled.
Rule 3. It answers with bytes or a fault; what the bytes mean is read by `core.abi`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MENU = {
    "ADMISSION_CHECKS": "admission",
    "ReferenceSandbox": "reference",
    "Sandbox": "sandbox",
    "admit": "admission",
    "admit_anew": "admission",
    "builtin": "registry",
    "builtin_names": "registry",
    "engine_id": "identity",
    "failed_checks": "admission",
}


if TYPE_CHECKING:
    from splittally.sandbox.admission import ADMISSION_CHECKS, admit, admit_anew, failed_checks
    from splittally.sandbox.identity import engine_id
    from splittally.sandbox.reference import ReferenceSandbox
    from splittally.sandbox.registry import builtin, builtin_names
    from splittally.sandbox.sandbox import Sandbox
else:

    def __getattr__(name: str) -> Any:
        if name not in _MENU:
            raise AttributeError(f"module `splittally.sandbox` has no `{name}`")
        return getattr(import_module(f"splittally.sandbox.{_MENU[name]}"), name)


__all__ = (
    "ADMISSION_CHECKS",
    "ReferenceSandbox",
    "Sandbox",
    "admit",
    "admit_anew",
    "builtin",
    "builtin_names",
    "engine_id",
    "failed_checks",
)
