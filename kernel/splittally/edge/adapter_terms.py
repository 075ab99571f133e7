"""The `[adapters]` of a manifest: who signs receipts, with the key as people write it."""

from collections.abc import Mapping
from typing import Any

from splittally.core.errors import InvalidInput, InvalidManifest
from splittally.core.public_keys import is_weak
from splittally.edge.hashes import require_hash
from splittally.edge.quantities import array, refuse_unknown, table

ADAPTER_KEYS = ("key", "kinds")


def spelled_adapters(adapters: Mapping[str, Any]) -> dict[str, Any]:
    """The adapters with their keys as bytes; `InvalidManifest` names the entry that is wrong."""
    return {name: _adapter(f"adapters.{name}", name, entry) for name, entry in adapters.items()}


def _adapter(where: str, name: str, entry: Any) -> dict[str, Any]:
    entry = table(where, entry)
    refuse_unknown(f"adapter `{name}`", entry, ADAPTER_KEYS)
    for key in ADAPTER_KEYS:
        if key not in entry:
            raise InvalidManifest(f"adapter `{name}` has no `{key}`", field=where)
    return {"key": _key(f"{where}.key", entry["key"]), "kinds": array(f"{where}.kinds", entry["kinds"])}


def _key(where: str, key: Any) -> bytes:
    try:
        public = require_hash(key, where)
    except InvalidInput as error:
        text = f"`{where}` is an Ed25519 public key: 64 hex digits, or 32 bytes"
        raise InvalidManifest(text, field=where) from error
    if is_weak(public):
        raise InvalidManifest(f"`{where}` is of low order: signatures under it show nothing", field=where)
    return public
