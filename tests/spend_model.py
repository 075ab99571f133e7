"""A small, slow, obvious model of sys/CapEnforceSpend@1, as those in `test_enforcers_models`."""

from datetime import datetime, timedelta
from typing import Any

from tests.enforcer_models import (
    Denied,
    Fields,
    Usage,
    exceeded,
    is_amounts,
    is_anything,
    is_list,
    is_map,
    is_natural,
    is_naturals,
    is_text,
    is_texts,
    read,
    require,
)

TASK = "task.post"
SECOND_NS = 10**9

CAP: Fields = {
    "kinds": is_texts,
    "resources": is_texts,
    "purposes": is_texts,
    "payees": is_texts,
    "seasons": is_map,
    "offset_minutes": is_anything,
    "failure_returns": is_anything,
}
PARAMS: Fields = {
    "result": is_text,
    "amounts": is_amounts,
    "title": is_text,
    "purpose": is_text,
    "payee": is_text,
    "qualifying": is_amounts,
    "compute": is_amounts,
    "time": is_anything,
    "failure_returns": is_anything,
    "part_of": is_text,
    "criteria": is_list,
}


def is_share(value: Any) -> bool:
    return is_naturals(value) and len(value) == 2 and 0 <= value[0] <= value[1] and value[1] > 0


def is_season(value: Any) -> bool:
    return is_naturals(value) and value != [] and all(1 <= month <= 12 for month in value)


def is_pattern(pattern: str) -> bool:
    return "*" not in pattern.removesuffix("/*") and pattern not in ("", "/", "/*")


def is_paid(payee: str | None, patterns: list[str]) -> bool:
    prefixes = [pattern.removesuffix("*") for pattern in patterns if pattern.endswith(("/", "/*"))]
    exact = [pattern for pattern in patterns if not pattern.endswith(("/", "/*"))]
    return payee is not None and (
        payee in exact or any(payee.startswith(prefix) and payee != prefix for prefix in prefixes)
    )


def month_of(now_ns: int, offset_minutes: int) -> int:
    return (datetime(1970, 1, 1) + timedelta(seconds=now_ns // SECOND_NS, minutes=offset_minutes)).month


def model_cap(kind: str, cap: Any) -> dict[str, Any]:
    code = "cap_params_invalid"
    if kind != TASK:
        require(is_map(cap) and is_texts(cap.get("kinds", [])), code)
        require(kind in cap.get("kinds", []), "effect_kind_mismatch")
    cap = read(cap, CAP, code)
    offset = cap.get("offset_minutes", 0)
    require(all(map(is_pattern, cap.get("payees", []))), code)
    require(all(map(is_season, cap.get("seasons", {}).values())), code)
    require(type(offset) is int and -840 <= offset <= 840, code)
    require(is_share(cap.get("failure_returns", [1, 1])), code)
    return cap


def model_params(kind: str, params: Any) -> dict[str, Any]:
    code = "params_invalid"
    params = read(params, PARAMS, code)
    require(kind != TASK or params.get("result", "") != "", code)
    require("amounts" in params, code)
    read(params.get("time", {}), {"deadline_ns": is_natural, "hours": is_natural}, code)
    require(is_share(params.get("failure_returns", [1, 1])), code)
    compute = params.get("compute", {})
    require(not set(compute) & set(params["amounts"]) and len(compute) + len(params["amounts"]) <= 64, code)
    return params


def model_check(kind: str, cap: Any, params: Any, now_ns: int) -> dict[str, int]:
    cap, params = model_cap(kind, cap), model_params(kind, params)
    reserve: dict[str, int] = params["amounts"] | params.get("compute", {})
    if cap.get("resources"):
        require(set(reserve) <= set(cap["resources"]), "resource_not_permitted")
    if cap.get("purposes"):
        require(params.get("purpose") in cap["purposes"], "purpose_not_permitted")
    if cap.get("payees"):
        require(is_paid(params.get("payee"), cap["payees"]), "payee_not_permitted")
    seasons = cap.get("seasons", {})
    month = month_of(now_ns, cap.get("offset_minutes", 0))
    for resource in reserve:
        season = seasons.get(resource, seasons.get("*"))
        require(season is None or month in season, "out_of_season")
    return reserve


def model_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str
) -> Usage:
    cap, params = model_cap(kind, cap), model_params(kind, params)
    try:
        stated = read(payload, {"amounts": is_amounts}, "receipt_unreadable").get("amounts")
    except Denied as denied:
        return reserve, str(denied)
    if stated is not None:
        return stated, exceeded(stated, reserve)
    if status == "ok":
        return reserve, ""
    share, whole = params.get("failure_returns", cap.get("failure_returns", [1, 1]))
    return {dim: amount - amount * share // whole for dim, amount in reserve.items()}, ""
