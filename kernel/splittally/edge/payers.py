"""Who pays, as people write it, to the terms of the core: `{USD = ["accounts/promo", "accounts/paid"]}`.

Rule 1. An account alone stays as it is written. Several are a list of names or of tables with `account` and
        `until` (`until_ns` is another name for it).
"""

from collections.abc import Mapping
from typing import Any

from splittally.core.errors import InvalidManifest
from splittally.edge.quantities import instant, refuse_unknown

PAYER_KEYS = ("account", "until", "until_ns")


def spelled_payers(where: str, draws_on: Any) -> Any:
    """`draws_on` of a grant as the core takes it; what is no table of names and lists is left to it."""
    if not isinstance(draws_on, Mapping):
        return draws_on
    return {resource: _payers(f"{where}.{resource}", payers) for resource, payers in draws_on.items()}


def _payers(where: str, payers: Any) -> Any:
    if isinstance(payers, Mapping):
        payers = [payers]
    if not isinstance(payers, list | tuple):
        return payers
    return [_payer(f"{where}[{at}]", payer) for at, payer in enumerate(payers)]


def _payer(where: str, payer: Any) -> dict[str, Any]:
    if isinstance(payer, str):
        return {"account": payer}
    if not isinstance(payer, Mapping):
        raise InvalidManifest(f"`{where}` is an account, or a table of `account` and `until`", field=where)
    refuse_unknown(f"`{where}`", payer, PAYER_KEYS)
    if "account" not in payer:
        raise InvalidManifest(f"`{where}` names no `account`", field=where)
    until = payer.get("until", payer.get("until_ns"))
    ends = {} if until is None else {"until_ns": instant(f"{where}.until", until)}
    return {"account": payer["account"]} | ends
