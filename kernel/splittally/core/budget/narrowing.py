"""What an amended plan may do: readers of the old one keep working, and limits only tighten (D-16).

Rule 1. What the old plan has stays: resources with their decimals, lines, metrics, conversions, formulas.
Rule 2. A minimum may rise and never fall; a constraint may move to the tier that binds earlier.
Rule 3. What a target lets be spent may fall and never rise, and an overdraft may shrink, keeping its
        condition.
Rule 4. Every widening is named.
"""

from splittally.core.budget.charter import spend_targets
from splittally.core.budget.parts import FULL, PARTIAL
from splittally.core.budget.plan import Plan
from splittally.core.findings import Finding, find


def check_narrower(old: Plan, new: Plan) -> list[Finding]:
    """Everything in which the new plan is wider than the old, or lacks what its readers use."""
    findings = [
        find("plan_widened", field=field, name=name)
        for field in ("resources", "lines", "metrics", "conversions", "formulas")
        for name in sorted(set(getattr(old, field)) - set(getattr(new, field)))
    ]
    findings += [
        find("cannot_change", resource=name, field="scale", value=new.resources[name], needed=scale)
        for name, scale in sorted(old.resources.items())
        if new.resources.get(name, scale) != scale
    ]
    constraints = {x.name: x for x in new.constraints}
    for was in old.constraints:
        now = constraints.get(was.name)
        if now is None or now.resource != was.resource:
            findings.append(find("plan_widened", field="constraints", name=was.name))
        elif now.minimum < was.minimum:
            findings.append(
                find(
                    "plan_widened", field="constraints", name=was.name, needed=was.minimum, value=now.minimum
                )
            )
        elif was.tier == PARTIAL and now.tier == FULL:
            findings.append(find("plan_widened", field="constraints", name=was.name, needed=was.tier))
    if new.allocations != old.allocations:
        findings.append(find("cannot_change", field="allocations"))
    return findings + _wider_targets(old, new) + _wider_overdraft(old, new)


def _wider_targets(old: Plan, new: Plan) -> list[Finding]:
    """Where a target would let more be spent than before, or limits nothing any more."""
    now = spend_targets(new)
    return [
        find("plan_widened", field="metrics", name=name, needed=-most)
        for name, most in spend_targets(old).items()
        if name in new.metrics and (name not in now or now[name] > most)
    ]


def _wider_overdraft(old: Plan, new: Plan) -> list[Finding]:
    had, has = old.overdraft, new.overdraft
    if has is None or has == had:
        return []
    is_same = had is not None and (had.resource, had.when) == (has.resource, has.when)
    if had is not None and is_same and has.amount <= had.amount:
        return []
    return [find("plan_widened", field="overdraft", name=has.resource)]
