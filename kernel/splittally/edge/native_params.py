"""Params of native effects as people write them: hex for bytes, units for amounts, maps for params.

Rule 1. The typed params of the table of native effects decide what is valid; here only the spelling
        changes.
Rule 2. Defaults are written out, so that an enforcer sees every account and amount that is meant.
"""

from collections.abc import Mapping
from typing import Any, get_type_hints

import msgspec

from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput
from splittally.core.native import NATIVE
from splittally.core.state import State
from splittally.edge.amounts import amounts_by_resource, minor_units
from splittally.edge.grant_terms import SchemaOf, seal_patch, seal_terms, standing_limits
from splittally.edge.periods import spelled_per
from splittally.edge.plans import spelled_plan
from splittally.edge.quantities import instant, refuse_unknown

MORE_KEYS = {"grant.topup": ("until",)}  # other names of params, which only people use


def seal_native(state: State, kind: str, params: Any, schema_of: SchemaOf) -> bytes:
    """The canonical params of a native effect; `InvalidInput` or `CanonicalError` when they are not."""
    if not isinstance(params, Mapping):
        raise InvalidInput("params are a map", field="params")
    native = NATIVE[kind]
    known = [field.encode_name for field in msgspec.structs.fields(native.params)]
    refuse_unknown(f"`{kind}`", params, (*known, *MORE_KEYS.get(kind, ())))
    hints = get_type_hints(native.params)
    spelled = {name: _spell(name, value, hints.get(name)) for name, value in params.items()}
    standing = standing_limits(state, spelled.get("name"))
    if isinstance(spelled.get("terms"), Mapping):
        is_patch = kind == "grant.amend" and spelled.get("replace") is not True
        spelled["terms"] = (
            seal_patch(state, spelled.get("name"), spelled["terms"], schema_of)
            if is_patch
            else seal_terms(state, spelled["terms"], schema_of, standing)
        )
    if kind == "grant.topup":
        _spell_topup(spelled, standing)
    if "amount" in spelled:
        spelled["amount"] = _amount(state, spelled, spelled["amount"])
    if isinstance(spelled.get("amounts"), Mapping) and "resource" in spelled:
        spelled["amounts"] = {name: _amount(state, spelled, x) for name, x in spelled["amounts"].items()}
    for name in ("usage", "amounts"):
        if name in spelled and "resource" not in spelled:
            spelled[name] = amounts_by_resource(spelled[name], scales_of(state))
    if isinstance(spelled.get("schema"), Mapping):
        spelled["schema"] = spelled_plan(spelled["schema"], scales_of(state))
    typed = native.read(encode(spelled))
    return encode(msgspec.to_builtins(typed, builtin_types=(bytes,)))


def _spell_topup(params: dict[str, Any], standing: set[tuple[str, str]]) -> None:
    """Until when, as nanoseconds, and the `per` as the limit has it."""
    if "until" in params:
        params["until_ns"] = params.pop("until")
    if "until_ns" in params:
        params["until_ns"] = instant("until", params["until_ns"])
    if "per" in params:
        spelled_per("grant.topup", params, {}, standing)


def _spell(name: str, value: Any, hint: Any) -> Any:
    if hint is bytes and type(value) is str:
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise InvalidInput(f"`{name}` is hex text", field=name) from None
    return value


def scales_of(state: State) -> dict[str, int]:
    """The decimals of every defined resource."""
    return {name: resource.scale for name, resource in state.ledger.resources.items()}


def _amount(state: State, params: Mapping[str, Any], value: Any) -> Any:
    name = params.get("resource")
    resource = state.ledger.resources.get(name) if type(name) is str else None
    if resource is None and type(value) is str:
        raise InvalidInput("an amount with a unit needs a defined resource", field="amount")
    return minor_units(value, str(name), resource.scale if resource is not None else 0)
