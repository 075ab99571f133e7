"""Plans of budgets as people write them, and the budgets of a manifest, to the records of the core.

Rule 1. Only amounts are spelled here, in the decimals of the resources that the plan lists or the world has;
        what a plan may say is decided by the core.
Rule 2. An unknown key is refused by name, with the nearest that is known.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import fields

from splittally.core.budget.plan import Constraint, Conversion, Formula, Line, Metric, Plan, PlanRule
from splittally.core.errors import InvalidInput, InvalidManifest, SplittallyError
from splittally.core.native.budgets import CreateBudget
from splittally.core.native.money import SCALE_MAX
from splittally.edge.amounts import minor_units, parse_amount
from splittally.edge.quantities import refuse_undeclared, refuse_unknown, table

PARTS = {"lines": Line, "metrics": Metric, "conversions": Conversion, "formulas": Formula}
LISTS = {"constraints": Constraint, "rules": PlanRule}
AMOUNTS = {"lines": "amount", "constraints": "minimum"}  # the field of a part that is an amount
Scales = Mapping[str, Any]


def spelled_budgets(entries: Mapping[str, Any], scales: Mapping[str, int]) -> list[dict[str, Any]]:
    """The params of `budget.create` for each entry of the table `[budgets]` of a manifest."""
    return [_spelled_budget(name, entry, scales) for name, entry in entries.items()]


def _spelled_budget(name: str, entry: Any, scales: Mapping[str, int]) -> dict[str, Any]:
    where = f"budgets.{name}"
    terms = dict(table(where, entry))
    refuse_unknown(f"budget `{name}`", terms, tuple(key for key in _keys(CreateBudget) if key != "budget"))
    try:
        if isinstance(terms.get("schema"), Mapping):
            terms["schema"] = spelled_plan(terms["schema"], scales)
        plan = terms.get("schema")
        own = plan.get("resources") if isinstance(plan, Mapping) else None
        known = {**scales, **(own if isinstance(own, Mapping) else {})}
        resource = terms.get("resource")
        if "amount" in terms and type(resource) is str:
            if resource not in known:
                refuse_undeclared(f"{where}.amount", resource, terms["amount"], known)
            else:
                terms["amount"] = minor_units(terms["amount"], resource, known[resource])
    except InvalidManifest:
        raise
    except SplittallyError as error:
        raise InvalidManifest(f"`{where}`: {error}", field=where) from error
    return {"budget": name, **terms}


def spelled_plan(plan: Mapping[str, Any], scales: Scales) -> dict[str, Any]:
    """A plan with the amounts of its lines and constraints in minor units."""
    refuse_unknown("a plan", plan, _keys(Plan))
    own = plan.get("resources")
    known = {**scales, **(own if isinstance(own, Mapping) else {})}
    spelled = dict(plan)
    for name, record in PARTS.items():
        if isinstance(plan.get(name), Mapping):
            spelled[name] = {
                key: _part(f"{name}.{key}", name, x, record, known) for key, x in plan[name].items()
            }
    for name, record in LISTS.items():
        if isinstance(plan.get(name), list):
            spelled[name] = [
                _part(f"{name}[{at}]", name, x, record, known) for at, x in enumerate(plan[name])
            ]
    return spelled


def _part(where: str, name: str, part: Any, record: type, scales: Scales) -> Any:
    if not isinstance(part, Mapping):
        return part
    refuse_unknown(f"`{where}` of a plan", part, _keys(record))
    field = AMOUNTS.get(name, "")
    if type(part.get(field)) is not str:
        return part
    resource = part.get("resource")
    scale = scales.get(resource) if type(resource) is str else None
    if type(resource) is not str or type(scale) is not int or not 0 <= scale <= SCALE_MAX:
        raise InvalidInput(f"`{field}` with a unit needs a `resource` that the plan lists", field=field)
    return {**part, field: parse_amount(part[field], resource, scale)}


def _keys(record: Any) -> tuple[str, ...]:
    return tuple(field.encode_name for field in fields(record))
