"""The rules of a policy as a manifest writes them, to the terms of the core.

Rule 1. Only the spelling changes: `match` is read into the rule, `rate` beside `rates`. A rule without a name
        is called after its place, a rate without a dimension counts attempts.
"""

from collections.abc import Callable, Iterable
from typing import Any

from splittally.core.types import Limit, Rule
from splittally.edge.quantities import array, refuse_unknown, table

MATCH_KEYS = ("effect_kind", "cap_name", "cap_type", "origin_kind", "origin_name")
RULE_KEYS = ("name", "decision", *MATCH_KEYS, "when", "match", "rates", "rate", "approvers", "approvals")
ReadLimits = Callable[[str, Any, list[Limit]], list[dict[str, Any]]]


def spelled_rules(rules: list[Any], now: Iterable[Rule], read: ReadLimits) -> list[dict[str, Any]]:
    """The rules in order; `now` are those that stand, `read` spells the limits at a place beside the old."""
    standing = {rule.name: rule.rates for rule in now}
    return [_rule(f"policy[{at}]", f"rule-{at}", rule, standing, read) for at, rule in enumerate(rules)]


def _rule(
    where: str, name: str, rule: Any, standing: dict[str, list[Limit]], read: ReadLimits
) -> dict[str, Any]:
    rule = table(where, rule)
    refuse_unknown(f"rule `{where}`", rule, RULE_KEYS)
    match = table(f"{where}.match", rule.get("match", {}))
    refuse_unknown(f"`{where}.match`", match, MATCH_KEYS)
    terms = {key: value for key, value in rule.items() if key not in ("match", "rate", "rates")} | dict(match)
    terms.setdefault("name", name)
    rates = array(f"{where}.rates", rule.get("rates", [])) + ([rule["rate"]] if "rate" in rule else [])
    if rates:
        rates = [{"dim": "attempts", **table(f"{where}.rates", rate)} for rate in rates]
        terms["rates"] = read(f"{where}.rates", rates, standing.get(terms["name"], []))
    return terms
