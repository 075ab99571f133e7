"""Plans of budgets as people write them, and the budgets of a manifest, to the records of the core.

Rule 1. Only amounts are spelled here, in the decimals of the resources that the plan lists or the world has;
        what a plan may say is decided by the core.
Rule 2. A charter that lists no `resources` holds those that its spending targets name, with the decimals that
        the world gives them, or none.
Rule 3. An unknown key is refused by name, with the nearest that is known.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import fields

from splittally.core.budget.parts import Constraint, Conversion, Line, Metric
from splittally.core.budget.plan import FundingLimit, Overdraft, Plan, Work
from splittally.core.budget.rules import Formula, PlanRule
from splittally.core.errors import InvalidInput, InvalidManifest, SplittallyError
from splittally.core.native.budgets import CreateBudget
from splittally.core.native.money import SCALE_MAX
from splittally.edge.amounts import Amounts
from splittally.edge.quantities import refuse_unknown, table

PARTS = {
    "lines": Line, "metrics": Metric, "conversions": Conversion, "formulas": Formula, "work": Work,
}  # fmt: skip
LISTS = {"constraints": Constraint, "rules": PlanRule, "funding_limits": FundingLimit}
AMOUNTS = {
    "lines": "amount",
    "constraints": "minimum",
    "work": "pays",
    "overdraft": "amount",
}  # the field of a part that is an amount


def spelled_budgets(entries: Mapping[str, Any], amounts: Amounts) -> list[dict[str, Any]]:
    """The params of `budget.create` for each entry of the table `[budgets]` of a manifest."""
    return [_spelled_budget(name, entry, amounts) for name, entry in entries.items()]


def _spelled_budget(name: str, entry: Any, amounts: Amounts) -> dict[str, Any]:
    where = f"budgets.{name}"
    terms = dict(table(where, entry))
    refuse_unknown(f"budget `{name}`", terms, tuple(key for key in _keys(CreateBudget) if key != "budget"))
    try:
        if isinstance(terms.get("schema"), Mapping):
            terms["schema"] = spelled_plan(terms["schema"], amounts)
            amounts = amounts_of_plan(terms["schema"], amounts)
        if "amount" in terms:
            terms["amount"] = amounts.minor_units(terms["amount"], str(terms.get("resource", "")))
    except InvalidManifest:
        raise
    except SplittallyError as error:
        raise InvalidManifest(f"`{where}`: {error}", field=where) from error
    return {"budget": name, **terms}


def spelled_plan(plan: Mapping[str, Any], amounts: Amounts) -> dict[str, Any]:
    """A plan with the amounts of its lines and constraints in minor units."""
    refuse_unknown("a plan", plan, _keys(Plan))
    plan = _with_resources(plan, amounts)
    known = amounts_of_plan(plan, amounts)
    spelled = dict(plan)
    if isinstance(plan.get("overdraft"), Mapping):
        spelled["overdraft"] = _part("overdraft", "overdraft", plan["overdraft"], Overdraft, known)
    for name, record in PARTS.items():
        if isinstance(plan.get(name), Mapping):
            spelled[name] = {
                key: _part(f"{name}.{key}", name, x, record, known) for key, x in plan[name].items()
            }
            if name == "metrics":
                spelled[name] = {key: _with_target(key, x, known) for key, x in spelled[name].items()}
    for name, record in LISTS.items():
        if isinstance(plan.get(name), list):
            spelled[name] = [
                _part(f"{name}[{at}]", name, x, record, known) for at, x in enumerate(plan[name])
            ]
    return spelled


def _with_resources(plan: Mapping[str, Any], amounts: Amounts) -> Mapping[str, Any]:
    """The plan with the resources that its spending targets name, where it lists none."""
    metrics = plan.get("metrics")
    if "resources" in plan or not isinstance(metrics, Mapping):
        return plan
    named = sorted(key for key, x in metrics.items() if type(key) is str and _is_spending(x))
    return {**plan, "resources": {name: amounts.scales.get(name, 0) for name in named}} if named else plan


def _is_spending(metric: Any) -> bool:
    """Whether a metric is a target for the most that is spent: below 0, and no nature says otherwise."""
    if not isinstance(metric, Mapping) or "nature" in metric:
        return False
    target = metric.get("target")
    return target.startswith("-") if type(target) is str else type(target) is int and target < 0


# Example. `target = "-10000.00 USD"` of a metric `USD` is -1000000 minor units, which a program says itself.
def _with_target(name: str, metric: Any, amounts: Amounts) -> Any:
    """A metric whose spending target names its unit, with that in minor units; another as it is."""
    if name not in amounts.scales or not _is_spending(metric):
        return metric
    target = metric["target"]
    if type(target) is int:
        amounts.minor_units(-target, name)  # a person's number without a unit has two meanings
        return metric
    return {**metric, "target": -amounts.minor_units(target.removeprefix("-"), name)}


def amounts_of_plan(plan: Mapping[str, Any], amounts: Amounts) -> Amounts:
    """How amounts are read in a plan and beside it: with the decimals of the resources that it lists, too."""
    own = plan.get("resources")
    known = {name: x for name, x in own.items() if _is_scale(x)} if isinstance(own, Mapping) else {}
    return amounts._replace(scales={**amounts.scales, **known})


def _is_scale(value: Any) -> bool:
    return type(value) is int and 0 <= value <= SCALE_MAX


def _part(where: str, name: str, part: Any, record: type, amounts: Amounts) -> Any:
    """A part with its amount in minor units; a number may be below 0, where the plan says a debt."""
    if not isinstance(part, Mapping):
        return part
    refuse_unknown(f"`{where}` of a plan", part, _keys(record))
    field = AMOUNTS.get(name, "")
    value = part.get(field)
    if type(value) is not str and not (amounts.by_people and type(value) is int and value > 0):
        return part
    resource = part.get("resource")
    if type(value) is str and (type(resource) is not str or resource not in amounts.scales):
        raise InvalidInput(f"`{field}` with a unit needs a `resource` that the plan lists", field=field)
    return {**part, field: amounts.minor_units(value, str(resource))}


def _keys(record: Any) -> tuple[str, ...]:
    return tuple(field.encode_name for field in fields(record))
