"""Params of native effects as people write them: hex for bytes, units for amounts, maps for params.

Rule 1. The typed params of the table of native effects decide what is valid; here only the spelling
        changes.
Rule 2. Defaults are written out, so that an enforcer sees every account and amount that is meant.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import msgspec

from splittally.core.canonical import encode
from splittally.core.caps.rules import require_rules
from splittally.core.errors import InvalidInput
from splittally.core.native import NATIVE
from splittally.core.native.money import SCALE_MAX
from splittally.core.state import State
from splittally.edge.amounts import Amounts, scales_of
from splittally.edge.payers import spelled_payers
from splittally.edge.periods import spelled_per
from splittally.edge.permission import complete_terms
from splittally.edge.priced_params import issued_params
from splittally.edge.quantities import instant, share
from splittally.edge.schema.params import ParamsSchema

SchemaOf = Callable[[State, bytes], ParamsSchema]


def seal_native(state: State, kind: str, params: Any, schema_of: SchemaOf) -> bytes:
    """The canonical params of a native effect; `InvalidInput` or `CanonicalError` when they are not."""
    if not isinstance(params, Mapping):
        raise InvalidInput("params are a map", field="params")
    native = NATIVE[kind]
    hints = get_type_hints(native.params)
    spelled = {name: _spell(name, value, hints.get(name)) for name, value in params.items()}
    standing = standing_limits(state, spelled.get("name"))
    if isinstance(spelled.get("terms"), Mapping):
        spelled["terms"] = seal_terms(state, spelled["terms"], schema_of, standing)
    if kind == "grant.topup":
        _spell_topup(spelled, standing)
    _spell_amounts(state, spelled)
    typed = native.read(encode(spelled))
    return encode(msgspec.to_builtins(typed, builtin_types=(bytes,)))


def _spell_amounts(state: State, params: dict[str, Any]) -> None:
    """Every amount in minor units: of the resource or dimension that the params name, else of its own."""
    amounts = Amounts(scales_of(state))
    if isinstance(params.get("schema"), Mapping):
        params["schema"], amounts = _spelled_plan(amounts, params["schema"])
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


def standing_limits(state: State, name: Any) -> set[tuple[str, str]]:
    """Dimension and period of each limit of the grant of this name, where there is one."""
    grant = state.caps.grants.get(name) if type(name) is str else None
    return {(limit.dim, limit.per) for limit in grant.limits} if grant is not None else set()


def _spell_topup(params: dict[str, Any], standing: set[tuple[str, str]]) -> None:
    """Until when, as nanoseconds, and the `per` as the limit has it."""
    if "until" in params:
        params["until_ns"] = params.pop("until")
    if "until_ns" in params:
        params["until_ns"] = instant("until", params["until_ns"])
    if "per" in params:
        spelled_per("grant.topup", params, {}, standing)


def seal_terms(
    state: State, terms: Mapping[str, Any], schema_of: SchemaOf, standing: set[tuple[str, str]]
) -> dict[str, Any]:
    """A grant's terms with its permission compiled and its params sealed by the schema of its cap.

    `standing` are dimension and period of the limits that the grant has.
    """
    sealed = complete_terms(
        terms, scales_of(state), {name: cap.cap_type for name, cap in state.caps.caps.items()}
    )
    amounts = Amounts(scales_of(state))
    if "budget" in sealed:
        sealed["budget"] = amounts.each(sealed["budget"])
    if isinstance(sealed.get("limits"), list):
        sealed["limits"] = [
            spelled_limit(f"terms.limits[{at}]", x, standing, amounts) if isinstance(x, Mapping) else x
            for at, x in enumerate(sealed["limits"])
        ]
    if "draws_on" in sealed:
        sealed["draws_on"] = spelled_payers("terms.draws_on", sealed["draws_on"])
    params = sealed.get("params")
    cap = state.caps.caps.get(str(sealed.get("cap")))
    if params is not None and type(params) is not bytes:
        type_, enforcer = (cap.cap_type, cap.enforcer) if cap else ("", b"")
        params = issued_params(state, "terms.params.prices", params, type_, enforcer)
        sealed["params"] = schema_of(state, cap.params_schema if cap else b"").seal(params)
    if params is not None:
        require_rules(state.caps, cap.enforcer if cap else b"", "terms.params", sealed["params"])
    return sealed


def spelled_limit(
    where: str, limit: Mapping[str, Any], standing: set[tuple[str, str]], amounts: Amounts
) -> dict[str, Any]:
    """A limit with its window as the core spells it, amounts in minor units, its share as two numbers."""
    terms = dict(limit)
    if "rollover" in terms and terms["rollover"] != []:
        terms["rollover"] = share(f"{where}.rollover", terms["rollover"])
    if "rollover_max" in terms:
        terms["carried_max"] = terms.pop("rollover_max")
    for name in ("amount", "carried_max"):
        if name in terms:
            terms[name] = amounts.minor_units(terms[name], str(terms.get("dim")))
    spelled_per(where, terms, {}, standing)
    return terms


def _spell(name: str, value: Any, hint: Any) -> Any:
    if hint is bytes and type(value) is str:
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise InvalidInput(f"`{name}` is hex text", field=name) from None
    return value


def _spelled_plan(amounts: Amounts, plan: Mapping[str, Any]) -> tuple[dict[str, Any], Amounts]:
    """A plan with its lines and constraints in minor units; and how amounts are read beside it."""
    own = plan.get("resources")
    known = {x: n for x, n in own.items() if _is_scale(n)} if isinstance(own, Mapping) else {}
    amounts = amounts._replace(scales={**amounts.scales, **known})
    spelled = dict(plan)
    if isinstance(plan.get("lines"), Mapping):
        spelled["lines"] = {
            name: _spelled_item(item, "amount", amounts) for name, item in plan["lines"].items()
        }
    if isinstance(plan.get("constraints"), list):
        spelled["constraints"] = [_spelled_item(item, "minimum", amounts) for item in plan["constraints"]]
    return spelled, amounts


def _is_scale(value: Any) -> bool:
    return type(value) is int and 0 <= value <= SCALE_MAX


def _spelled_item(item: Any, field: str, amounts: Amounts) -> Any:
    """An item with its amount in minor units; a number may be below 0, where the plan says a debt."""
    if not isinstance(item, Mapping) or type(item.get(field)) is not str:
        return item
    resource = item.get("resource")
    if type(resource) is not str or resource not in amounts.scales:
        raise InvalidInput(f"`{field}` with a unit needs a `resource` that the plan lists", field=field)
    return {**item, field: amounts.minor_units(item[field], resource)}
