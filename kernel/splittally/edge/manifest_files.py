"""What a manifest carries from files: documents, modules and schemas, each by its hash once.

Rule 1. What the world has already does not travel again.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from splittally.core.errors import InvalidManifest, SplittallyError
from splittally.core.hashing import hash_module, hash_schema
from splittally.core.limits import ENFORCER_BYTES_MAX, HASH_BYTES, NATIVE_PARAMS_BYTES_MAX
from splittally.core.state import State
from splittally.core.types import is_name
from splittally.edge.json_values import parse_json
from splittally.edge.manifest_places import Beside, Place
from splittally.edge.near import meant
from splittally.edge.quantities import refuse_unknown
from splittally.edge.schema.params import ParamsSchema

_HASH = re.compile(r"[0-9a-fA-F]{64}")


def load(path: Path) -> dict[str, Any]:
    """The table in a TOML or JSON file; `InvalidManifest` where it cannot be read."""
    return table_in(Beside(path.parent), path.name)


def table_in(place: Place, name: str) -> dict[str, Any]:
    """The same of a file in a place."""
    shown = place.shown(name)
    try:
        size = place.size(name)
        if size is None:
            raise InvalidManifest(f"there is no file `{shown}`", path=shown)
        if size > NATIVE_PARAMS_BYTES_MAX:
            raise InvalidManifest(f"`{shown}` is larger than {NATIVE_PARAMS_BYTES_MAX} bytes", path=shown)
        text = _newlines(place.read(name).decode("utf-8"))
        document = parse_json(text) if PurePath(name).suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, SplittallyError) as error:
        raise InvalidManifest(f"`{shown}` cannot be read: {error}", path=shown) from error
    if not isinstance(document, dict):
        raise InvalidManifest(f"`{shown}` is not a table", path=shown)
    return document


def _newlines(text: str) -> str:
    """A text as editors of every system mean it: `\n` ends a line."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_by_people(path: PurePath) -> bool:
    """Whether a person writes the numbers of a file: of TOML, while JSON is a program's (D-29)."""
    return path.suffix != ".json"


class Carried:
    """The modules and schemas of one manifest; `place` is where its files lie."""

    def __init__(self, place: Place, state: State) -> None:
        self.place = place
        self.state = state
        self.wasm: dict[bytes, bytes] = {}
        self.schemas: dict[bytes, bytes] = {}
        self.loaded: dict[bytes, ParamsSchema] = {}
        self.modules: dict[str, bytes] = {}

    def module(self, where: str, source: Any) -> bytes:
        """The hash of a module given by name, by hash, by file or as bytes; its bytes travel along."""
        if isinstance(source, bytes) and not source.startswith(b"\0asm") and len(source) == HASH_BYTES:
            return source
        if isinstance(source, bytes):
            return self._carry(source)
        if isinstance(source, Mapping):
            return self._named_by_manifest(where, source)
        if not isinstance(source, str):
            raise InvalidManifest(f"`{where}` is a module's name, hash or file", field=where)
        if is_name(source):
            digest = self.named(source)
            if digest is None:
                near = meant(source, {*self.modules, *self.state.caps.modules})
                raise InvalidManifest(f"`{where}`: no module `{source}` is installed{near}", field=where)
            return digest
        if _HASH.fullmatch(source):
            return bytes.fromhex(source)
        return self._carry(self._file(where, source))

    def _file(self, where: str, name: str) -> bytes:
        """The bytes of a module in a file."""
        shown = self.place.shown(name)
        try:
            size = self.place.size(name)
            if size is None:
                text = f"`{where}`: there is no file `{shown}`; `tally enforcer build DIR` makes a module"
                raise InvalidManifest(text, field=where)
            if size > ENFORCER_BYTES_MAX:
                text = f"`{where}`: `{shown}` is larger than {ENFORCER_BYTES_MAX} bytes"
                raise InvalidManifest(text, field=where)
            return self.place.read(name)
        except (OSError, ValueError) as error:
            raise InvalidManifest(f"`{where}`: `{shown}` cannot be read", field=where) from error

    def named(self, name: str) -> bytes | None:
        """The module that a name means now: in this manifest, else in the world."""
        return self.modules.get(name) or self.state.caps.modules.get(name)

    def _named_by_manifest(self, where: str, source: Mapping[str, Any]) -> bytes:
        """The module that an applied manifest, named by its hash, installed under a name."""
        refuse_unknown(f"`{where}`", source, ("manifest_hash", "module_name"))
        modules = self.state.caps.manifests.get(str(source.get("manifest_hash")).lower(), {})
        digest = modules.get(str(source.get("module_name")))
        if digest is None:
            raise InvalidManifest(
                f"`{where}`: no applied manifest of this hash names this module", field=where
            )
        return digest

    def _carry(self, wasm: bytes) -> bytes:
        digest = hash_module(wasm)
        if digest not in self.state.caps.blobs:
            self.wasm[digest] = wasm
        return digest

    def params_schema(self, where: str, entry: Mapping[str, Any]) -> bytes:
        """The hash of the params schema that an entry states, if any; params are never cut."""
        where = f"{where}.params_schema"
        digest = self.schema(where, entry.get("params_schema"))
        if digest and self.loaded[digest].cut_above is not None:
            raise InvalidManifest(f"`{where}`: `x-cut` is for receipts, and params stay whole", field=where)
        return digest

    def schema(self, where: str, source: Any) -> bytes:
        if source is None:
            return b""
        if isinstance(source, str):
            source = table_in(self.place, source)
        try:
            schema = ParamsSchema.load(source)
        except SplittallyError as error:
            raise InvalidManifest(f"`{where}`: {error}", field=where) from error
        assert schema.hash == hash_schema(schema.data)
        self.loaded[schema.hash] = schema
        if schema.hash not in self.state.caps.blobs:
            self.schemas[schema.hash] = schema.data
        return schema.hash
