"""For those who write property-based replay tests of their own enforcers, manifests and hosts (spec/15).

The names below are loaded when they are first used: the pytest plug-in, which loads this in every test
suite of an environment, costs next to nothing, and Hypothesis and the kernel are not imported by it.
"""

from importlib import import_module
from typing import Any

_MENU = {
    "Crash": "splittally_tools.testing.faults",
    "Disk": "splittally_tools.testing.faults",
    "FaultyStore": "splittally_tools.testing.faults",
    "Broken": "splittally_tools.testing.scheduler",
    "NothingHappened": "splittally_tools.testing.scheduler",
    "Run": "splittally_tools.testing.scheduler",
    "explore": "splittally_tools.testing.scheduler",
    "simulate": "splittally_tools.testing.scheduler",
    "Port": "splittally_tools.testing.hosts",
    "ReplyLost": "splittally_tools.testing.hosts",
    "answered": "splittally_tools.testing.hosts",
    "WorldMachine": "splittally_tools.testing.machine",
    "assert_conserved": "splittally_tools.testing.assertions",
    "assert_idempotent": "splittally_tools.testing.assertions",
    "assert_no_overspend": "splittally_tools.testing.assertions",
    "assert_replays": "splittally_tools.testing.assertions",
    "make_world": "splittally_tools.testing.worlds",
    "open_journal": "splittally_tools.testing.worlds",
    "save_world": "splittally_tools.testing.worlds",
    "saved_on_failure": "splittally_tools.testing.worlds",
}

__all__ = [*_MENU]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MENU:
        raise AttributeError(f"module `splittally_tools.testing` has no `{name}`")
    return getattr(import_module(_MENU[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
