"""The engine id: one text that changes when anything beside a module and its input could change a verdict.

Rule 1. The engine is named without being loaded: its version stands in its own metadata, beside the
        package that an import would load.
"""

from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path

from blake3 import blake3

from splittally.core import limits
from splittally.core.canonical import encode
from splittally.sandbox.admission import ADMISSION_CHECKS
from splittally.sandbox.settings import SETTINGS

ABI_VERSION = 1
ENGINE = "wasmtime"

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
    return f"{ENGINE} {engine_version()} / {digest}"


def engine_version() -> str:
    """The version of the engine that an import would load, such as `50.0.1`.

    `importlib.metadata` says the same and takes a third of the time in which a world is opened, so it is
    asked only where the engine does not lie in a folder with its metadata beside it.
    """
    spec = PathFinder.find_spec(ENGINE)
    folders = (spec.submodule_search_locations if spec is not None else None) or ()
    files = [
        file for folder in folders for file in Path(folder).parent.glob(f"{ENGINE}-*.dist-info/METADATA")
    ]
    if len(files) == 1:
        for line in files[0].read_text("utf-8").splitlines():
            if line.startswith("Version: "):
                return line.removeprefix("Version: ")
    return str(import_module("importlib.metadata").version(ENGINE))
