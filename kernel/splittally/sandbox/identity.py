"""The engine id: one text that changes when anything beside a module and its input could change a verdict."""

from functools import cache
from importlib.metadata import version

from blake3 import blake3

from splittally.core import limits
from splittally.core.canonical import encode
from splittally.sandbox.admission import ADMISSION_CHECKS
from splittally.sandbox.settings import SETTINGS

ABI_VERSION = 1

_LIMITS = (
    "CHECK_FUEL_MAX",
    "INPUT_BYTES_MAX",
    "OUTPUT_BYTES_MAX",
    "OUTPUT_DIMS_MAX",
    "NAME_BYTES_MAX",
    "DENY_CODE_BYTES_MAX",
    "DENY_MESSAGE_BYTES_MAX",
    "DEPTH_MAX",
    "NATURAL_MAX",
    *sorted(name for name in vars(limits) if name.startswith("ENFORCER_")),
)


def decisions() -> dict[str, object]:
    """Everything that the engine id stands for, except the engine's version."""
    return {
        "abi": ABI_VERSION,
        "admission": list(ADMISSION_CHECKS),
        "limits": {name: getattr(limits, name) for name in _LIMITS},
        "settings": {setting.name: setting.value for setting in SETTINGS},
    }


@cache
def engine_id() -> str:
    """The engine's version and the hash of `decisions()`; the same text on every machine."""
    digest = blake3(encode(decisions()), derive_key_context="splittally 1 engine").hexdigest()
    return f"wasmtime {version('wasmtime')} / {digest}"
