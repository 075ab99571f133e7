"""The tables `tokens` and `principals` of a manifest: who may reach the world where it is served.

Rule 1. A token is stated by the hash of its secret. What stands in the place of the hash and is none may be
        the secret itself, so no message repeats it.
"""

from collections.abc import Mapping
from typing import Any

from splittally.core.errors import InvalidInput, InvalidManifest
from splittally.core.limits import HASH_BYTES
from splittally.edge.hashes import require_hash
from splittally.edge.quantities import array, instant, refuse_unknown, table

TOKEN_KEYS = ("principal", "hash", "roles", "expires", "expires_ns")
PRINCIPAL_KEYS = ("uids", "roles")


def spelled_tokens(tokens: Mapping[str, Any]) -> dict[str, Any]:
    """The terms of the tokens by name; `InvalidManifest` says what is wrong and where."""
    return {name: _token(f"tokens.{name}", entry) for name, entry in tokens.items()}


def _token(where: str, entry: Any) -> dict[str, Any]:
    entry = table(where, entry)
    refuse_unknown(f"token `{where.removeprefix('tokens.')}`", entry, TOKEN_KEYS)
    for name in ("principal", "hash"):
        if name not in entry:
            raise InvalidManifest(f"`{where}` says no `{name}`", field=f"{where}.{name}")
    terms = {"principal": entry["principal"], "token_hash": _hash(f"{where}.hash", entry["hash"])}
    if "roles" in entry:
        terms["roles"] = array(f"{where}.roles", entry["roles"])
    expires = entry.get("expires", entry.get("expires_ns"))
    return terms if expires is None else terms | {"expires_ns": instant(f"{where}.expires", expires)}


def _hash(where: str, value: Any) -> bytes:
    try:
        return require_hash(value)
    except InvalidInput:
        raise InvalidManifest(
            f"`{where}` is the hash of a secret, {2 * HASH_BYTES} hex digits, and never the secret: "
            "`tally token new` draws both",
            field=where,
        ) from None


def spelled_principals(principals: Mapping[str, Any]) -> dict[str, Any]:
    """The terms of the principals by name; `InvalidManifest` says what is wrong and where."""
    terms = {}
    for name, entry in principals.items():
        where = f"principals.{name}"
        entry = table(where, entry)
        refuse_unknown(f"principal `{name}`", entry, PRINCIPAL_KEYS)
        terms[name] = {key: array(f"{where}.{key}", entry.get(key, [])) for key in PRINCIPAL_KEYS}
    return terms
