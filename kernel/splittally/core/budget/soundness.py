"""Whether a plan can hold at all: nothing in it contradicts itself, wherever it is adopted.

Rule 1. A plan whose parts are well formed may still be impossible; each way has a code of its own, with the
        numbers that do not fit.
Rule 2. It is asked where a plan is adopted, never of one that is in force.

Example. A metric from 10 to 5, formulas a = cell.b and b = cell.a, weights of 5 and 4 of a whole of 10:
`plan_impossible`, `formula_cycle`, `weights_unequal`.
"""

from msgspec import UNSET

from splittally.core.budget.equations import circle_of
from splittally.core.budget.parts import Metric
from splittally.core.budget.plan import Plan
from splittally.core.findings import Finding, find

PERCENT = 100


def unsound(plan: Plan) -> list[Finding]:
    """Everything that makes a plan impossible; empty where nothing does."""
    findings: list[Finding] = []
    for name, metric in sorted(plan.metrics.items()):
        findings += _impossible(name, metric)
        weights, whole = metric.weights, metric.whole or PERCENT
        if weights is not UNSET and sum(weights.values()) != whole:
            facts = {"needed": whole, "value": sum(weights.values())}
            findings.append(find("weights_unequal", metric=name, **facts))
    quorum = plan.quorum
    if quorum is not None and quorum.of and quorum.agree > len(quorum.of):
        facts = {"needed": quorum.agree, "available": len(quorum.of)}
        findings.append(find("plan_impossible", field="quorum", name="agree", **facts))
    circle = circle_of({name: formula.value for name, formula in plan.formulas.items()})
    return [*findings, find("formula_cycle", cells=circle)] if circle else findings


def _impossible(name: str, metric: Metric) -> list[Finding]:
    """Where no value can be within the bounds of a metric, or none that reaches what it should."""
    least, most = metric.minimum, metric.maximum
    if least is not UNSET and most is not UNSET and least > most:
        return [find("plan_impossible", field="metrics", name=name, needed=least, available=most)]
    if most is UNSET:
        return []
    return [
        find("plan_impossible", field="metrics", name=name, needed=wanted, available=most)
        for wanted in (metric.target, metric.threshold)
        if wanted is not None and wanted > most
    ]
