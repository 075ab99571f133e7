"""Params of native effects as people write them: hex for bytes, units for amounts, maps for params.

Rule 1. The typed params of the table of native effects decide what is valid; here only the spelling
        changes.
Rule 2. Defaults are written out, so that an enforcer sees every account and amount that is meant.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import msgspec

from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput
from splittally.core.native import NATIVE
from splittally.core.state import State
from splittally.edge.amounts import parse_amount
from splittally.edge.permission import complete_terms
from splittally.edge.schema import ParamsSchema

SchemaOf = Callable[[State, bytes], ParamsSchema]


def seal_native(state: State, kind: str, params: Any, schema_of: SchemaOf) -> bytes:
    """The canonical params of a native effect; `InvalidInput` or `CanonicalError` when they are not."""
    if not isinstance(params, Mapping):
        raise InvalidInput("params are a map", field="params")
    native = NATIVE[kind]
    hints = get_type_hints(native.params)
    spelled = {name: _spell(name, value, hints.get(name)) for name, value in params.items()}
    if isinstance(spelled.get("terms"), Mapping):
        spelled["terms"] = seal_terms(state, spelled["terms"], schema_of)
    if isinstance(spelled.get("amount"), str):
        spelled["amount"] = _amount(state, spelled)
    typed = native.read(encode(spelled))
    return encode(msgspec.to_builtins(typed, builtin_types=(bytes,)))


def seal_terms(state: State, terms: Mapping[str, Any], schema_of: SchemaOf) -> dict[str, Any]:
    """A grant's terms with its permission compiled and its params sealed by the schema of its cap."""
    scales = {name: resource.scale for name, resource in state.ledger.resources.items()}
    sealed = complete_terms(terms, scales, {name: cap.cap_type for name, cap in state.caps.caps.items()})
    params = sealed.get("params")
    if params is not None and type(params) is not bytes:
        cap = state.caps.caps.get(str(sealed.get("cap")))
        sealed["params"] = schema_of(state, cap.params_schema if cap else b"").seal(params)
    return sealed


def _spell(name: str, value: Any, hint: Any) -> Any:
    if hint is bytes and type(value) is str:
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise InvalidInput(f"`{name}` is hex text", field=name) from None
    return value


def _amount(state: State, params: Mapping[str, Any]) -> int:
    resource = state.ledger.resources.get(str(params.get("resource")))
    if resource is None:
        raise InvalidInput("an amount with a unit needs a defined resource", field="amount")
    return parse_amount(params["amount"], resource.name, resource.scale)
