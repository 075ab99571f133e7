"""Params of native effects as people write them: hex for bytes, units for amounts, maps for params.

Rule 1. The typed params of the table of native effects decide what is valid; here only the spelling
        changes.
Rule 2. Defaults are written out, so that an enforcer sees every account and amount that is meant.
"""

from collections.abc import Mapping
from typing import Any, get_type_hints

import msgspec
from msgspec import UnsetType

from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput
from splittally.core.native import NATIVE
from splittally.core.state import State
from splittally.edge.amounts import Amounts, scales_of
from splittally.edge.grant_terms import SchemaOf, seal_patch, seal_terms, standing_limits
from splittally.edge.periods import PERIOD_KEYS, spelled_per
from splittally.edge.plans import amounts_of_plan, spelled_plan
from splittally.edge.quantities import instant, refuse_unknown
from splittally.edge.solutions import spell_solution

MORE_KEYS = {"grant.topup": ("until", *PERIOD_KEYS)}  # other names of params, which only people use


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
    if kind == "budget.solve":
        spell_solution(state, spelled)
    _spell_amounts(state, spelled)
    typed = native.read(encode(spelled))
    return encode(msgspec.to_builtins(typed, builtin_types=(bytes,)))


def _spell_amounts(state: State, params: dict[str, Any]) -> None:
    """Every amount in minor units: of the resource or dimension that the params name, else of its own."""
    amounts = Amounts(scales_of(state))
    if isinstance(params.get("schema"), Mapping):
        params["schema"] = spelled_plan(params["schema"], amounts)
        amounts = amounts_of_plan(params["schema"], amounts)
    unit = params.get("resource", params.get("dim", ""))
    if "amount" in params:
        params["amount"] = amounts.minor_units(params["amount"], str(unit))
    if "debt_limit" in params:
        params["debt_limit"] = amounts.debt_limit(params["debt_limit"])
    for name in ("usage", "amounts"):
        if isinstance(params.get(name), Mapping) and unit:
            params[name] = {key: amounts.minor_units(x, str(unit)) for key, x in params[name].items()}
        elif name in params:
            params[name] = amounts.each(params[name])


def _spell_topup(params: dict[str, Any], standing: set[tuple[str, str]]) -> None:
    """Until when, as nanoseconds, and the `per` as the limit has it."""
    if "until" in params:
        params["until_ns"] = params.pop("until")
    if "until_ns" in params:
        params["until_ns"] = instant("until", params["until_ns"])
    if "per" in params:
        spelled_per("grant.topup", params, {}, standing)


def _spell(name: str, value: Any, hint: Any) -> Any:
    if hint in (bytes, bytes | UnsetType) and type(value) is str:
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise InvalidInput(f"`{name}` is hex text", field=name) from None
    return value
