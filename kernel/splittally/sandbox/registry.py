"""The built-in enforcers of this release, read from the package `splittally_enforcers`.

Rule 1. The index file names each module with its hashes; bytes that do not match are never handed out.
Rule 2. A built-in is hashed and pinned like any module. Its admission was checked when the release was
        made, so its hash in the index stands for it; audit asks every check all the same.
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
    return tuple(sorted(_index()))


@cache
def builtin(name: str) -> bytes:
    """The bytes of the built-in `name`; `InvalidInput` when there is none."""
    return _bytes_of(files(PACKAGE), _index(), name)


def is_released(module: bytes) -> bool:
    """Whether `module`, a hash, is in the index of this release; one that cannot be read names none."""
    try:
        return module in _released()
    except (WorldError, ValueError):
        return False


@cache
def _released() -> frozenset[bytes]:
    return frozenset(bytes.fromhex(entry.blake3) for entry in _index().values())


@cache
def _index() -> dict[str, _Entry]:
    """The index of this release, read once a process."""
    return read_index(files(PACKAGE))


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
    """The bytes of `name` under `root`, compared with every fact that the index there states."""
    return _bytes_of(root, read_index(root), name)


def _bytes_of(root: Traversable, index: dict[str, _Entry], name: str) -> bytes:
    entry = index.get(name)
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
