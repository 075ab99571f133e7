"""The terms of a grant as people write them in `grant.issue` and `grant.amend`, to those of the core.

Rule 1. Only the spelling changes: permissions are compiled, windows and accounts spelled, params sealed by
        the schema of their cap. What a patch does not name it does not get.
Rule 2. A patch is read beside the grant that it changes: params are those of the cap that the grant has,
        and a permission takes the place of the limits that an earlier one made and of no other.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from splittally.core.canonical import decode
from splittally.core.caps.grants import GrantTerms, LimitTerms
from splittally.core.caps.rules import PROGRAM, require_rules
from splittally.core.state import State
from splittally.core.types import LIFE, Grant
from splittally.edge.amounts import Amounts, scales_of
from splittally.edge.cap_params import require_known
from splittally.edge.limit_terms import spelled_limit
from splittally.edge.payers import spelled_payers
from splittally.edge.periods import PERIOD_KEYS
from splittally.edge.permission import TEXT_PARAM, complete_terms
from splittally.edge.priced_params import issued_params
from splittally.edge.quantities import refuse_unknown
from splittally.edge.schema.params import ParamsSchema

SchemaOf = Callable[[State, bytes], ParamsSchema]
Terms = Mapping[str, Any]
TERMS_KEYS = (*GrantTerms.__struct_fields__, "permission")
LIMIT_KEYS = (*LimitTerms.__struct_fields__, "rollover_max", *PERIOD_KEYS)


def standing_limits(state: State, name: Any) -> set[tuple[str, str]]:
    """Dimension and period of each limit of the grant of this name, where there is one."""
    grant = state.caps.grants.get(name) if type(name) is str else None
    return {(limit.dim, limit.per) for limit in grant.limits} if grant is not None else set()


def seal_terms(
    state: State, terms: Terms, schema_of: SchemaOf, standing: set[tuple[str, str]]
) -> dict[str, Any]:
    """All terms of a grant, with its permission compiled and its params sealed by the schema of its cap.

    `standing` are dimension and period of the limits that the grant has.
    """
    return _spelled(state, _completed(state, terms), schema_of, standing)


def seal_patch(state: State, name: Any, terms: Terms, schema_of: SchemaOf) -> dict[str, Any]:
    """The terms that a patch of the grant of this name states, sealed in the same way."""
    grant = state.caps.grants.get(name) if type(name) is str else None
    if grant is None:
        return seal_terms(state, terms, schema_of, set())
    whole = {"cap": grant.cap, **terms}
    if terms.get("permission") is not None and "limits" not in terms:
        whole["limits"] = _other_limits(state, grant)
    named = {*terms, *(("params", "limits") if "permission" in terms else ())}
    if whole["cap"] != grant.cap and "params" not in named and grant.params:
        _spelled(state, {"cap": whole["cap"], "params": _stated_params(state, grant)}, schema_of, set())
    sealed = _spelled(state, _completed(state, whole), schema_of, standing_limits(state, name))
    return {term: value for term, value in sealed.items() if term in named}


def _completed(state: State, terms: Terms) -> dict[str, Any]:
    refuse_unknown("a grant", terms, TERMS_KEYS)
    types = {name: cap.cap_type for name, cap in state.caps.caps.items()}
    return complete_terms(terms, scales_of(state), types)


def _stated_params(state: State, grant: Grant) -> Any:
    """The params of a grant as they were stated: without the program that the kernel made of its rules."""
    params = decode(state.caps.blobs[grant.params])
    return {name: value for name, value in params.items() if name != PROGRAM}


def _other_limits(state: State, grant: Grant) -> list[dict[str, Any]]:
    """The limits of a grant that no permission of it made."""
    params = decode(state.caps.cap_params(grant))
    made = params["resources"] if TEXT_PARAM in params else []
    return [
        msgspec.structs.asdict(limit)
        for limit in grant.limits
        if not (limit.dim in made and (limit.per, limit.over) == (LIFE, "deny"))
    ]


def _spelled(
    state: State, terms: dict[str, Any], schema_of: SchemaOf, standing: set[tuple[str, str]]
) -> dict[str, Any]:
    sealed = dict(terms)
    amounts = Amounts(scales_of(state))
    if "budget" in sealed:
        sealed["budget"] = amounts.each(sealed["budget"])

    def read(where: str, dim: str, value: Any) -> Any:
        return amounts.minor_units(value, dim)

    if isinstance(sealed.get("limits"), list):
        sealed["limits"] = [
            spelled_limit(f"terms.limits[{at}]", x, standing, read, {}, LIMIT_KEYS)
            if isinstance(x, Mapping)
            else x
            for at, x in enumerate(sealed["limits"])
        ]
    if "draws_on" in sealed:
        sealed["draws_on"] = spelled_payers("terms.draws_on", sealed["draws_on"])
    params = sealed.get("params")
    cap = state.caps.caps.get(str(sealed.get("cap")))
    if params is not None and type(params) is not bytes:
        type_, enforcer = (cap.cap_type, cap.enforcer) if cap else ("", b"")
        params = issued_params(state, "terms.params.prices", params, type_, enforcer)
        require_known(state.caps, enforcer, "terms.params", params)
        sealed["params"] = schema_of(state, cap.params_schema if cap else b"").seal(params)
    if params is not None:
        require_rules(state.caps, cap.enforcer if cap else b"", "terms.params", sealed["params"])
    return sealed
