"""Pure enforcers: who is admitted, and one call, in a fresh instance (spec/03-abi.md).

Rule 1. This package is the only one that knows the WebAssembly engine.
Rule 2. It answers with bytes or a fault; what the bytes mean is read by `core.abi`.
"""

from splittally.sandbox.admission import ADMISSION_CHECKS, admit, failed_checks
from splittally.sandbox.identity import engine_id
from splittally.sandbox.pooled import Sandbox
from splittally.sandbox.reference import ReferenceSandbox
from splittally.sandbox.registry import builtin, builtin_names

__all__ = (
    "ADMISSION_CHECKS",
    "ReferenceSandbox",
    "Sandbox",
    "admit",
    "builtin",
    "builtin_names",
    "engine_id",
    "failed_checks",
)
