"""What an amended plan may do: readers of the old one keep working, and limits only tighten (D-16).

Rule 1. What the old plan has stays, and stays what it is: resources with their decimals, lines of their
        resource, metrics of their unit and nature, conversions, formulas of their unit, work orders.
Rule 2. A minimum may rise and never fall; a constraint may move to the tier that binds earlier.
Rule 3. What a constraint asks in words stays as it is, because nobody can tell which of two expressions binds
        more. It may block more parts, or let fewer act, and never the other way.
Rule 4. How a metric is read stays, and its bounds only narrow; its description may evolve.
Rule 5. What a target lets be spent may fall and never rise.
Rule 6. Every widening is named.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET

from splittally.core.budget.charter import spend_targets
from splittally.core.budget.parts import FULL, PARTIAL, Constraint, Metric
from splittally.core.budget.plan import Plan
from splittally.core.findings import Finding, find

READ_BY = ("per", "reads", "weights", "whole", "segments")  # how what was recorded is read
TYPES = {  # what a reader of the old plan takes a value of it to be
    "lines": ("resource", "calendar"),
    "metrics": ("kind", "unit"),
    "conversions": ("gives", "gets"),
    "formulas": ("unit",),
    "work": ("metric", "resource"),
}


def check_narrower(old: Plan, new: Plan) -> list[Finding]:
    """Everything in which the new plan is wider than the old, or lacks what its readers use."""
    findings = [
        find("plan_widened", field=field, name=name)
        for field in ("resources", "lines", "metrics", "conversions", "formulas", "work")
        for name in sorted(set(getattr(old, field)) - set(getattr(new, field)))
    ]
    findings += [
        find("cannot_change", resource=name, field="scale", value=new.resources[name], needed=scale)
        for name, scale in sorted(old.resources.items())
        if new.resources.get(name, scale) != scale
    ]
    findings += _other_types(old, new)
    findings += _wider_constraints(old, new)
    for name in sorted(set(old.metrics) & set(new.metrics)):
        findings += _wider_metric(name, old.metrics[name], new.metrics[name])
    findings += [find("plan_widened", **facts) for facts in _wider_terms(old, new)]
    if new.allocations != old.allocations:
        findings.append(find("cannot_change", field="allocations"))
    return findings + _wider_targets(old, new)


def _other_types(old: Plan, new: Plan) -> Iterator[Finding]:
    """Where a value of the same name is of another unit, resource or nature than before."""
    for field, parts in TYPES.items():
        before, after = getattr(old, field), getattr(new, field)
        for name in sorted(set(before) & set(after)):
            for part in parts:
                was, now = getattr(before[name], part), getattr(after[name], part)
                if was != now:
                    yield find("plan_widened", field=field, name=name, what=part, needed=was, value=now)


def _wider_targets(old: Plan, new: Plan) -> list[Finding]:
    """Where a target would let more be spent than before, or limits nothing any more."""
    now = spend_targets(new)
    return [
        find("plan_widened", field="metrics", name=name, needed=-most)
        for name, most in spend_targets(old).items()
        if name in new.metrics and (name not in now or now[name] > most)
    ]


# --- constraints ------------------------------------------------------------------------------------


def _wider_constraints(old: Plan, new: Plan) -> Iterator[Finding]:
    constraints = {x.name: x for x in new.constraints}
    for was in old.constraints:
        facts = _wider_constraint(was, constraints.pop(was.name, None))
        if facts is not None:
            yield find("plan_widened", field="constraints", name=was.name, **facts)
    tiers = {x.tier for x in old.constraints if not x.blocks}
    for name, x in constraints.items():
        if tiers == {FULL} and x.opens:  # all operation waited for the full tier until now
            yield find("plan_widened", field="constraints", name=name, what="opens")


def _wider_constraint(was: Constraint, now: Constraint | None) -> dict[str, Any] | None:
    """In what a constraint binds less, or may; None where it does not."""
    if now is None or now.resource != was.resource:
        return {}
    for what in ("needs", "holds"):
        if getattr(now, what) != getattr(was, what):
            return {"what": what}
    for what in ("minimum", "participants"):
        least, value = getattr(was, what), getattr(now, what)
        if least is not UNSET and (value is UNSET or value < least):
            return {"needed": least} | ({} if value is UNSET else {"value": value})
    if was.tier == PARTIAL and now.tier == FULL:
        return {"needed": was.tier}
    before, after = set(was.blocks or ()), set(now.blocks or ())
    if bool(before) != bool(after) or not before <= after:
        return {"what": "blocks"}
    before, after = set(was.opens or ()), set(now.opens or ())
    return {"what": "opens"} if bool(before) != bool(after) or not after <= before else None


# --- metrics ----------------------------------------------------------------------------------------


def _wider_metric(name: str, was: Metric, now: Metric) -> Iterator[Finding]:
    for what in READ_BY:
        if getattr(was, what) != getattr(now, what):
            yield find("plan_widened", field="metrics", name=name, what=what)
    if was.minimum is not UNSET and (now.minimum is UNSET or now.minimum < was.minimum):
        yield find("plan_widened", field="metrics", name=name, what="minimum", needed=was.minimum)
    if was.maximum is not UNSET and (now.maximum is UNSET or now.maximum > was.maximum):
        yield find("plan_widened", field="metrics", name=name, what="maximum", needed=was.maximum)


# --- what the plan states once ----------------------------------------------------------------------


def _wider_terms(old: Plan, new: Plan) -> Iterator[dict[str, Any]]:
    """Overdraft, limits of requests, quorum, contingency and who reads: the facts of each that is wider."""
    if new.overdraft is not None and new.overdraft != old.overdraft:
        was = old.overdraft
        is_less = was is not None and (was.resource, was.when) == (new.overdraft.resource, new.overdraft.when)
        if was is None or not is_less or new.overdraft.amount > was.amount:
            yield {"field": "overdraft", "name": new.overdraft.resource}
    for limit in old.funding_limits:
        kept = [x.percent for x in new.funding_limits if x.when == limit.when]
        if not kept or min(kept) > limit.percent:
            yield {"field": "funding_limits", "name": limit.when, "needed": limit.percent}
    if old.quorum is not None and not _binds_as_much(old, new):
        yield {"field": "quorum", "name": "agree", "needed": old.quorum.agree}
    if old.contingency is not None:
        was_first, now = old.contingency.priorities, new.contingency
        kept_first = [x for x in was_first if now is not None and x in now.priorities]
        if now is None or now.below < old.contingency.below or now.priorities != kept_first:
            yield {"field": "contingency", "name": "priorities"}
    if new.private and not old.private:
        yield {"field": "private", "name": "readers"}


def _binds_as_much(old: Plan, new: Plan) -> bool:
    """Whether as many must agree, of nobody whom the old quorum did not count."""
    was, now = old.quorum, new.quorum
    assert was is not None
    if now is None or now.agree < was.agree:
        return False
    return not was.of or (bool(now.of) and set(now.of) <= set(was.of))
