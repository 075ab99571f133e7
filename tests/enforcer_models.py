"""Small, slow, obvious models of the enforcers; the tests compare the modules with them.

Each model answers a Check with a reserve (a map) or a deny code (a text), and a Settle with the usage and
the violation code. Messages are not modelled.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

NATURAL_MAX = 2**64 - 1
words = str.split
Reserve = dict[str, int] | str
Usage = tuple[dict[str, int], str]


class Denied(Exception):
    """Raised with the code."""


def require(is_held: bool, code: str) -> None:
    """Denies with the code unless something holds."""
    if not is_held:
        raise Denied(code)


# --- what a field may hold ----------------------------------------------------------------------------


def is_natural(value: Any) -> bool:
    return type(value) is int and 0 <= value <= NATURAL_MAX


def is_text(value: Any) -> bool:
    return type(value) is str


def is_list(value: Any) -> bool:
    return type(value) is list


def is_map(value: Any) -> bool:
    return type(value) is dict


def is_bool(value: Any) -> bool:
    return type(value) is bool


def is_anything(_: Any) -> bool:
    return True


def is_texts(value: Any) -> bool:
    return is_list(value) and all(map(is_text, value))


def is_naturals(value: Any) -> bool:
    return is_list(value) and all(map(is_natural, value))


def is_dimension(name: str) -> bool:
    return 1 <= len(name.encode()) <= 128


def is_amounts(value: Any) -> bool:
    return (
        is_map(value)
        and len(value) <= 64
        and all(map(is_dimension, value))
        and all(map(is_natural, value.values()))
    )


Fields = dict[str, Callable[[Any], bool]]


def read(value: Any, fields: Fields, code: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a map that are present; in cap params every name must be known and null is a misfit."""
    is_cap = code == "cap_params_invalid"
    if not is_map(value):
        raise Denied(code)
    if is_cap and any(name not in fields and not (name.startswith("x-") and len(name) > 2) for name in value):
        raise Denied(code)
    present = {name: value[name] for name in fields if name in value and (is_cap or value[name] is not None)}
    if not all(fields[name](item) for name, item in present.items()) or not set(required) <= set(present):
        raise Denied(code)
    return present


def reserve_of(check: Callable[..., dict[str, int]], *question: Any) -> Reserve:
    try:
        return check(*question)
    except Denied as denied:
        return str(denied)


def usage_of(settle: Callable[..., Usage], *question: Any) -> Usage:
    try:
        return settle(*question)
    except Denied as denied:
        return {}, str(denied)


def exceeded(usage: dict[str, int], reserve: dict[str, int]) -> str:
    over = any(0 < reserve.get(dim, 0) < amount for dim, amount in usage.items())
    return "usage_exceeds_reserve" if over else ""


# --- sys/CapAllowAll@1 --------------------------------------------------------------------------------


def allow_cap(cap: Any) -> dict[str, int] | None:
    if not is_map(cap) or ("reserve" in cap and not is_amounts(cap["reserve"])):
        raise Denied("cap_params_invalid")
    reserve: dict[str, int] | None = cap.get("reserve")
    return reserve


def allow_check(kind: str, cap: Any, params: Any) -> dict[str, int]:
    return allow_cap(cap) or {}


def allow_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> Usage:
    if allow_cap(cap) is None:
        return {}, ""
    usage = read(payload, {"usage": is_amounts}, "receipt_unreadable").get("usage", {})
    return usage, exceeded(usage, reserve)


# --- sys/CapEnforceBlob@1 -----------------------------------------------------------------------------

BLOB_CAP: Fields = {"namespaces": is_texts, "max_bytes": is_natural}
BLOB_PARAMS: Fields = {"namespace": is_text, "key": is_text, "size": is_natural}


def blob_check(kind: str, cap: Any, params: Any) -> dict[str, int]:
    if kind not in ("blob.put", "blob.get"):
        raise Denied("effect_kind_mismatch")
    cap = read(cap, BLOB_CAP, "cap_params_invalid")
    params = read(params, BLOB_PARAMS, "params_invalid")
    if cap.get("namespaces") and params.get("namespace") not in cap["namespaces"]:
        raise Denied("namespace_not_allowed")
    size = params.get("size", 0)
    if size > cap.get("max_bytes", NATURAL_MAX):
        raise Denied("blob_too_large")
    return {"bytes": size}


def blob_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> Usage:
    if kind not in ("blob.put", "blob.get"):
        raise Denied("effect_kind_mismatch")
    cap = read(cap, BLOB_CAP, "cap_params_invalid")
    params = read(params, BLOB_PARAMS, "params_invalid")
    payload = read(payload, {"size": is_natural, "bytes": is_natural}, "receipt_unreadable")
    stated = params.get("size") if status == "ok" else None
    size = payload.get("size", payload.get("bytes", stated))
    if size is None:
        return {}, "usage_missing" if status == "ok" else ""
    usage = {"bytes": size}
    too_large = "blob_too_large" if size > cap.get("max_bytes", NATURAL_MAX) else ""
    return usage, exceeded(usage, reserve) or too_large


# --- sys/CapEnforceCost@1 -----------------------------------------------------------------------------


def cost_cap(kind: str, cap: Any) -> tuple[str, int | None]:
    cap = read(
        cap, {"kinds": is_texts, "max_cost_cents": is_natural, "dimension": is_text}, "cap_params_invalid"
    )
    dimension = cap.get("dimension", "cost_cents")
    if not is_dimension(dimension):
        raise Denied("cap_params_invalid")
    if cap.get("kinds") and kind not in cap["kinds"]:
        raise Denied("effect_kind_mismatch")
    return dimension, cap.get("max_cost_cents")


def cost_check(kind: str, cap: Any, params: Any) -> dict[str, int]:
    dimension, most = cost_cap(kind, cap)
    return {dimension: most or 0}


def cost_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> Usage:
    dimension, most = cost_cap(kind, cap)
    usage = {dimension: cost or 0}
    is_over = most is not None and usage[dimension] > most
    return usage, exceeded(usage, reserve) or ("usage_exceeds_reserve" if is_over else "")


# --- sys/CapEnforceNative@1 ---------------------------------------------------------------------------

OPERATIONS = words(
    "manifest.apply module.install grant.issue grant.amend grant.topup grant.revoke account.open "
    "resource.define ledger.issue ledger.transfer ledger.convert approval.answer reservation.release "
    "settlement.refund outcome.attest metric.record usage.record token.issue token.revoke"
)
STRATEGIC = ("budget.create", "budget.amend", "budget.split")


def pattern_fits(pattern: str, tail: str) -> bool:
    stem = pattern.removesuffix(tail)
    return bool(stem) and "*" not in stem


def is_covered(name: str, patterns: list[str], tail: str) -> bool:
    stems = [pattern[:-1] for pattern in patterns if pattern.endswith(tail)]
    return name in patterns or any(name.startswith(stem) and name != stem for stem in stems)


def native_check(kind: str, cap: Any, params: Any) -> dict[str, int]:
    if kind not in OPERATIONS and not (kind.startswith("budget.") and kind != "budget."):
        raise Denied("effect_kind_mismatch")
    fields: Fields = {"operations": is_texts, "accounts": is_texts, "resources": is_texts, "rank": is_text}
    cap = read(cap, fields | {"rates": is_list}, "cap_params_invalid")
    operations, accounts = cap.get("operations", []), cap.get("accounts", [])
    if not all(pattern_fits(pattern, ".*") for pattern in operations):
        raise Denied("cap_params_invalid")
    if not all(pattern_fits(pattern, "/*") for pattern in accounts):
        raise Denied("cap_params_invalid")
    if operations and not is_covered(kind, operations, ".*"):
        raise Denied("operation_not_covered")
    if cap.get("rank", "strategic") not in ("strategic", "tactical"):
        raise Denied("cap_params_invalid")
    if cap.get("rank") == "tactical" and kind in STRATEGIC:
        raise Denied("rank_too_low")
    params = read(params, dict.fromkeys(("resource", "gets", "rate"), is_anything), "params_invalid")
    if kind == "ledger.convert" and cap.get("rates"):
        require_rate(params, cap["rates"])
    return {}


RATE: Fields = {"resource": is_text, "gets": is_text, "rate": is_anything}


def is_fraction(value: Any) -> bool:
    return is_naturals(value) and len(value) == 2 and value[1] > 0


def require_rate(params: dict[str, Any], rates: list[Any]) -> None:
    names = tuple(params.get(name) for name in ("resource", "gets"))
    if not all(map(is_text, names)) or not is_fraction(params.get("rate")):
        raise Denied("params_invalid")
    covered = []
    for rate in rates:
        listed = read(rate, RATE, "cap_params_invalid", ("resource", "gets"))
        if not is_fraction(listed.get("rate")):
            raise Denied("cap_params_invalid")
        covered.append((listed["resource"], listed["gets"], Fraction(*listed["rate"])))
    if (*names, Fraction(*params["rate"])) not in covered:
        raise Denied("rate_not_covered")


def native_settle(kind: str, *_: Any) -> Usage:
    if kind not in OPERATIONS and not (kind.startswith("budget.") and kind != "budget."):
        raise Denied("effect_kind_mismatch")
    return {}, ""


# --- sys/CapEnforceLlmBasic@1 -------------------------------------------------------------------------

LLM_CAP: Fields = {
    "providers": is_texts,
    "models": is_texts,
    "tools": is_texts,
    "max_tokens_max": is_natural,
    "max_tokens": is_natural,
    "default_tokens": is_natural,
    "prices": is_anything,
}
LLM_PARAMS: Fields = {
    "provider": is_text,
    "model": is_text,
    "max_tokens": is_natural,
    "prompt_tokens": is_natural,
    "messages": is_list,
    "tools": is_list,
}
PRICES: Fields = {"resource": is_text, "prompt": is_natural, "completion": is_natural, "models": is_map}
PRICE: Fields = {"prompt": is_natural, "completion": is_natural}


def llm_prices(cap: dict[str, Any]) -> dict[str, Any] | None:
    if "prices" not in cap:
        return None
    prices = read(cap["prices"], PRICES, "cap_params_invalid", ("resource",))
    if ("prompt" in prices) != ("completion" in prices):
        raise Denied("cap_params_invalid")
    if not is_dimension(prices["resource"]) or prices["resource"] == "tokens":
        raise Denied("cap_params_invalid")
    return prices


def llm_price(prices: dict[str, Any], model: str | None) -> tuple[int, int]:
    if model is not None and model in prices.get("models", {}):
        price = read(prices["models"][model], PRICE, "cap_params_invalid", ("prompt", "completion"))
        return price["prompt"], price["completion"]
    if "prompt" not in prices:
        raise Denied("price_missing")
    return prices["prompt"], prices["completion"]


def llm_cost(price: tuple[int, int], prompt: int, completion: int) -> int:
    return -((prompt * price[0] + completion * price[1]) // -(10**6))


def llm_tool_names(tool: Any) -> list[str]:
    if is_text(tool):
        return [tool]
    named = read(tool, {"name": is_text, "function": is_anything}, "params_invalid")
    names = [named["name"]] if "name" in named else []
    if "function" in named:
        names.append(read(named["function"], {"name": is_text}, "params_invalid", ("name",))["name"])
    if not names:
        raise Denied("params_invalid")
    return names


def content_bytes(value: Any) -> int:
    match value:
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case list():
            return sum(map(content_bytes, value))
        case dict():
            return sum(map(content_bytes, value.values()))
        case _:
            return 0


def llm_check(kind: str, cap: Any, params: Any) -> dict[str, int]:
    if kind != "llm.generate":
        raise Denied("effect_kind_mismatch")
    cap = read(cap, LLM_CAP, "cap_params_invalid")
    prices = llm_prices(cap)
    params = read(params, LLM_PARAMS, "params_invalid")
    if cap.get("providers") and params.get("provider") not in cap["providers"]:
        raise Denied("provider_not_allowed")
    if cap.get("models") and params.get("model") not in cap["models"]:
        raise Denied("model_not_allowed")
    for tool in params.get("tools", []):
        if not set(llm_tool_names(tool)) <= set(cap.get("tools") or llm_tool_names(tool)):
            raise Denied("tool_not_allowed")
    ceiling = min(cap.get("max_tokens_max", NATURAL_MAX + 1), cap.get("max_tokens", NATURAL_MAX + 1))
    completion = params.get("max_tokens", cap.get("default_tokens", ceiling))
    if completion > NATURAL_MAX:
        raise Denied("max_tokens_missing")
    if completion > ceiling:
        raise Denied("max_tokens_exceeded")
    prompt = params.get("prompt_tokens", content_bytes(params.get("messages", [])))
    if prompt + completion > NATURAL_MAX:
        raise Denied("tokens_overflow")
    reserve = {"tokens": prompt + completion}
    if prices is not None:
        reserve[prices["resource"]] = llm_cost(llm_price(prices, params.get("model")), prompt, completion)
    if max(reserve.values()) > NATURAL_MAX:
        raise Denied("cost_overflow")
    return reserve


def llm_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> Usage:
    if kind != "llm.generate":
        raise Denied("effect_kind_mismatch")
    prices = llm_prices(read(cap, LLM_CAP, "cap_params_invalid"))
    params = read(params, {"model": is_text}, "params_invalid")
    prompt, completion = llm_counts(payload)
    missing = "usage_missing" if status == "ok" and None in (prompt, completion) else ""
    if prompt is None and completion is None:
        return {}, missing
    prompt, completion = prompt or 0, completion or 0
    usage = {"tokens": min(prompt + completion, NATURAL_MAX)}
    violation = missing or exceeded(usage, reserve)
    if prices is not None:
        try:
            price = llm_price(prices, params.get("model"))
        except Denied as denied:
            return usage, violation or str(denied)
        usage[prices["resource"]] = min(llm_cost(price, prompt, completion), NATURAL_MAX)
    return usage, missing or exceeded(usage, reserve)


def llm_counts(payload: Any) -> tuple[int | None, int | None]:
    names = ("prompt_tokens", "input_tokens", "completion_tokens", "output_tokens")
    fields: Fields = dict.fromkeys(names, is_natural)
    top = read(payload, fields, "receipt_unreadable")
    if not top:
        usage = read(payload, {"usage": is_anything}, "receipt_unreadable").get("usage", {})
        top = read(usage, fields, "receipt_unreadable")
    prompt, inputs, completion, outputs = (top.get(name) for name in names)
    return inputs if prompt is None else prompt, outputs if completion is None else completion
