"""Payloads of receipts that say what was used, wherever somebody may read it.

Rule 1. Every field that may say a usage says it: those that the release's enforcers read, those that the
        rules of the grant name, and the dimensions themselves.
"""

from collections.abc import Callable, Mapping
from typing import Any

from splittally.core.limits import NATURAL_MAX

from splittally_tools.policy_check.rule_texts import payload_names

_READ = ("bytes_sent", "size", "bytes", "seconds", "rows", "recipients", "calls")
_IN_MAPS = ("usage", "amounts")
COST = "cost_cents"
Said = Callable[[int], Any]  # what is said instead of an amount


def payload_of(
    params: Any, cap_params: Mapping[str, Any], reserve: Mapping[str, int], said: Said
) -> dict[str, Any]:
    """A payload for an effect with these params that reserved so much; `said` stands for each amount."""
    most = max(reserve.values(), default=0)
    payload: dict[str, Any] = {name: said(reserve.get(name, most)) for name in _READ}
    payload |= {name: {dim: said(amount) for dim, amount in reserve.items()} for name in _IN_MAPS}
    payload["bytes_received"] = said(reserve.get("bytes_received", 0))
    sizes = params if isinstance(params, Mapping) else {}
    payload["prompt_tokens"] = said(_natural(sizes.get("prompt_tokens")))
    payload["completion_tokens"] = said(_natural(sizes.get("max_tokens", reserve.get("tokens", 0))))
    for first, *rest in _named(cap_params):
        payload[first] = {name: said(most) for name in rest} if rest else said(most)
    return payload


def cost_of(reserve: Mapping[str, int], said: Said) -> int | None:
    """What a receipt says of its cost: None where that is no natural."""
    cost = said(reserve.get(COST, 0))
    return cost if type(cost) is int and 0 <= cost <= NATURAL_MAX else None


def _natural(value: Any) -> int:
    return value if type(value) is int else 0


def _named(cap_params: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What the rules of the grant read of a payload."""
    usage = cap_params.get("usage")
    values = usage.values() if isinstance(usage, Mapping) else []
    return payload_names([text for text in values if isinstance(text, str)])
