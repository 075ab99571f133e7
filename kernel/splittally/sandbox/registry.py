"""The built-in enforcers of this release, read from the package `splittally_enforcers`.

Rule 1. The index file names each module with its hashes; bytes that do not match are never handed out.
Rule 2. Nothing else about a built-in is special: it is admitted, hashed and pinned like any module.
"""

import tomllib
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct, ValidationError, convert

from splittally.core.errors import InvalidInput, WorldError
from splittally.core.hashing import hash_module

PACKAGE = "splittally_enforcers"
INDEX = "HASHES.toml"


class _Entry(Struct, frozen=True):
    file: str
    blake3: str
    sha256: str
    bytes: int


def builtin_names() -> tuple[str, ...]:
    """The names of the built-in enforcers, sorted, such as `sys/CapEnforceLlmBasic@1`."""
    return tuple(sorted(read_index(files(PACKAGE))))


@cache
def builtin(name: str) -> bytes:
    """The bytes of the built-in `name`; `InvalidInput` when there is none."""
    return read_builtin(files(PACKAGE), name)


def read_index(root: Traversable) -> dict[str, _Entry]:
    """The entries of the index file under `root`, by enforcer name."""
    try:
        document = tomllib.loads((root / INDEX).read_text(encoding="utf-8"))
        return convert(document.get("modules", {}), dict[str, _Entry])
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise WorldError(
            f"the index of built-in enforcers cannot be read; reinstall or run `make enforcers`: {error}"
        ) from error


def read_builtin(root: Traversable, name: str) -> bytes:
    """The bytes of `name` under `root`, compared with every fact that the index states."""
    entry = read_index(root).get(name)
    if entry is None:
        raise InvalidInput(f"there is no built-in enforcer `{name}`", name=name)
    try:
        wasm = (root / entry.file).read_bytes()
    except OSError as error:
        raise WorldError(f"the built-in enforcer `{name}` cannot be read; reinstall", name=name) from error
    found = _Entry(entry.file, hash_module(wasm).hex(), sha256(wasm).hexdigest(), len(wasm))
    if found != entry:
        raise WorldError(f"the built-in enforcer `{name}` does not match its hash; reinstall", name=name)
    return wasm
