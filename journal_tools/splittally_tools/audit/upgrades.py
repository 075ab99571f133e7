"""Which modules a world is about to get in place of others: by its release, its manifest or by hand.

Rule 1. A call is asked of the module that its cap would get, else of the one that takes over the name of
        its own. What would be asked of the very same module is passed over.
"""

from collections.abc import Mapping
from typing import NamedTuple

from splittally.core.canonical import decode
from splittally.core.events import Defined
from splittally.core.hashing import hash_module
from splittally.core.native.manifest import read_manifest
from splittally.core.state import State
from splittally.runtime.opening import current_release, release_changes
from splittally.runtime.queries import Queries
from splittally.runtime.reader import Reader
from splittally.runtime.record import read_record

from splittally_tools.audit.replay_diff import Replacement

_MODULES_TABLE = b"gmodules"  # the name of the table as it stands in a frame
Row = dict[str, str | None]


class Change(NamedTuple):
    """Modules by name with old and new hash, who would be asked in whose place, and the new bytes."""

    modules: list[Row]
    replacement: Replacement
    wasm: dict[bytes, bytes]


class Release(NamedTuple):
    """What this release would define in a world: entries, and its modules that the world lacks."""

    entries: list[dict[str, str]]
    change: Change


def release_of(state: State) -> Release:
    """What this release would change in the world of `state`."""
    manifest = read_manifest(current_release(state))
    defined = [event for event in release_changes(state) if isinstance(event, Defined)]
    entries = [{"table": x.table, "key": x.key} for x in defined if x.table != "blobs"]
    enforcers = {name: cap.enforcer for name, cap in manifest.caps.items() if cap.enforcer}
    wasm = {hash_module(data): data for data in manifest.wasm}
    rows = _rows(state.caps.modules, manifest.modules)
    return Release(entries, Change(rows, _in_place_of(enforcers, {}), wasm))


def change_of(before: Queries, after: Queries) -> Change:
    """Which modules that were there before are others after; empty `modules` where none is."""
    old_modules, new_modules = before.modules, after.modules
    rows = [row for row in _rows(old_modules, new_modules) if row["old"]]
    modules = {old: new_modules[name] for name, old in old_modules.items() if new_modules[name] != old}
    old_caps = {name: cap.enforcer for name, cap in before.caps.items() if cap.enforcer}
    new_caps = {name: cap.enforcer for name, cap in after.caps.items()}
    caps = {name: new_caps[name] for name, old in old_caps.items() if new_caps[name] != old}
    rows += [row for row in _rows(old_caps, caps) if row["old"] not in {x.hex() for x in modules}]
    wasm = {new: after.wasm(new) or b"" for new in (*modules.values(), *caps.values())}
    return Change(rows, _in_place_of(caps, modules), wasm)


def build_for(reader: Reader, names: tuple[str, ...], wasm: bytes) -> Change:
    """The module `wasm` in place of every module that these names, of modules or caps, have meant here."""
    new, meant = hash_module(wasm), _meanings(reader, names)
    return Change([], lambda cap, module: new if cap in names or module in meant else None, {new: wasm})


def build_after(old: bytes, wasm: bytes) -> Change:
    """The module `wasm` in place of the one with the hash `old`."""
    new = hash_module(wasm)
    return Change([], lambda cap, module: new if module == old else None, {new: wasm})


def _meanings(reader: Reader, names: tuple[str, ...]) -> set[bytes]:
    """The hash of each module that a frame gives one of these names."""
    found = set()
    for seq, hash_, data in reader.entries():
        if _MODULES_TABLE in data:
            for event in read_record(seq, hash_, data).body.out:
                if isinstance(event, Defined) and event.table == "modules" and event.key in names:
                    found.add(decode(event.value))
    return found


def _rows(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[Row]:
    """Each name that means another module, with old and new hash."""
    rows: list[Row] = []
    for name, new in sorted(after.items()):
        old = before.get(name)
        if old != new:
            rows.append({"name": name, "old": old.hex() if old else None, "new": new.hex()})
    return rows


def _in_place_of(caps: Mapping[str, bytes], modules: Mapping[bytes, bytes]) -> Replacement:
    """The new module of a cap, else that of a module; None where it stays the same."""

    def replacement(cap: str, module: bytes) -> bytes | None:
        new = caps.get(cap) or modules.get(module)
        return new if new != module else None

    return replacement
