"""Cases of an enforcer as files, and what its answers owe to the limits that rest on them.

A case is a JSON file `{"name", "input", "expect", "bounds"?}`: `input` is a CapEnforcerInput whose
`cap_params`, `effect_params` and receipt `payload` are written as values in place of byte strings,
`expect` the whole answer, `bounds` what the input says of the most that a dimension can use.

1. Nothing here calls a module: the caller has a sandbox and passes the answer's bytes.
2. A bound that is known is reserved: reserving nothing is for a dimension without any possible bound.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import cbor2

_EMBEDDED = ("cap_params", "effect_params")
_BYTES = "$bytes"


def read_cases(folder: Traversable) -> dict[str, dict[str, Any]]:
    """The cases in the `cases` folder of an enforcer, by file name, sorted."""
    found = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in (folder / "cases").iterdir()}
    return dict(sorted(found.items()))


def builtin_folder(folder: str) -> Traversable:
    """The folder of a built-in, such as `llm_basic`."""
    return files(__package__) / folder


def encode_input(message: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a case's `input`."""
    ((variant, body),) = _from_json(message).items()
    asked = _embed(body, _EMBEDDED)
    if "receipt" in body:
        asked["receipt"] = _embed(body["receipt"], ("payload",))
    return cbor2.dumps({variant: asked}, canonical=True)


def differences(case: Mapping[str, Any], answer: bytes) -> list[str]:
    """What is wrong with the answer to a case; empty when it is as expected and reserves each bound."""
    found = cbor2.loads(answer)
    wrong = [] if found == case["expect"] else [f"expected {case['expect']}, got {found}"]
    body = found.get("Check", {})
    if "bounds" in case and body.get("constraints_ok"):
        dims = unreserved_bounds(case["bounds"], body["reserve_estimate"])
        wrong += [f"`{dim}` has a bound and nothing is reserved" for dim in dims]
    return wrong


def unreserved_bounds(bounds: Mapping[str, int], reserve: Mapping[str, int]) -> tuple[str, ...]:
    """The dimensions that have a bound above 0 and no reserve: what they use would never be held back."""
    return tuple(sorted(dim for dim, most in bounds.items() if most > 0 and not reserve.get(dim)))


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_BYTES}:
            return bytes.fromhex(value[_BYTES])
        return {key: _from_json(item) for key, item in value.items()}
    return [_from_json(item) for item in value] if isinstance(value, list) else value


def _embed(fields: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The fields with these written as byte strings, where they are not already."""
    return {
        key: cbor2.dumps(value, canonical=True) if key in names and type(value) is not bytes else value
        for key, value in fields.items()
    }
