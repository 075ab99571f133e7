"""The native effect that installs a module outside a manifest.

Rule 1. A module enters a world only when admission let it in; a cap uses it once a manifest says so.
"""

from msgspec import Struct

from splittally.core.canonical import encode
from splittally.core.events import Defined, Event
from splittally.core.findings import Finding, find
from splittally.core.hashing import hash_module
from splittally.core.limits import NAME_BYTES_MAX
from splittally.core.native.manifest import define_blob
from splittally.core.native.row import NOTHING, Native, NativeCall
from splittally.core.state import State
from splittally.core.types import SYS, is_name


class InstallModule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A module under a name; a cap uses it once a manifest says so."""

    name: str
    wasm: bytes

    def __post_init__(self) -> None:
        if not is_name(self.name) or len(self.name) > NAME_BYTES_MAX:
            raise ValueError("a module's name is like acme/mail@1")


def _check_install(state: State, call: NativeCall, params: InstallModule) -> list[Finding]:
    if params.name.startswith(SYS):
        return [find("name_reserved", name=params.name)]
    failed = call.admitted.get(hash_module(params.wasm), "")
    return [find("not_admitted", module=hash_module(params.wasm), failed=failed)] if failed else []


def _make_install(state: State, call: NativeCall, params: InstallModule) -> list[Event]:
    events: list[Event] = []
    digest = hash_module(params.wasm)
    define_blob(state, events, digest, params.wasm)
    if state.caps.modules.get(params.name) != digest:
        events.append(Defined("modules", params.name, encode(digest)))
    return events


ROWS = {
    "module.install": Native(
        InstallModule,
        lambda state, call, params: NOTHING,
        _check_install,
        _make_install,
        "install a module",
        modules=lambda params: [params.wasm],
    ),
}
