"""The native effect on what budgets measure: record a value of a metric, or several as one metric object.

Rule 1. All values of a record stand or none: each is of a metric that is recorded, within its bounds, with
        every key of a segment that it requires.
Rule 2. What counts `once` is remembered by its identity; the second is refused and adds nothing.
Rule 3. A metric that states its period has a digest of the values in it, and a new one in a new period. An
        amended plan goes on with it; the digest names the version of its last value.
Rule 4. A value may state the time that it is of. It is late where that time lies before the period that holds
        now; what states no period is of its moment, so every earlier time is late. A late value is noted and
        nothing else: no digest, no last value and no rule hears of it.

Example. `stars` counts per week and `reads` the sum. 3 and 4 on Monday, 5 a week later:

    Measured(stars, 3), Defined(digests, b#stars, [monday, count 1, sum 3, min 3, max 3, last 3, version 1])
    Measured(stars, 4), Defined(digests, b#stars, [monday, count 2, sum 7, min 3, max 4, last 4, version 1])
    Measured(stars, 5), Defined(digests, b#stars, [next monday, count 1, sum 5, ...])
    Noted(late, [b, stars, 2, at that sunday])      two stars of the first week, which is over
"""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Struct, UnsetType

from splittally.core.amounts import in_model
from splittally.core.budget.parts import TOTAL, Metric
from splittally.core.budget.plan import Plan
from splittally.core.budget.rows import Digest
from splittally.core.budget.state import of_budget
from splittally.core.canonical import encode
from splittally.core.events import Defined, Event, Measured, Noted
from splittally.core.findings import Finding, find
from splittally.core.limits import PLAN_ITEMS_MAX, TEXT_BYTES_MAX, TIME_NS_MAX
from splittally.core.native.plans import metric_events, plan_of, touches_budget
from splittally.core.native.reading import digest_now, period_start
from splittally.core.native.row import Native, NativeCall
from splittally.core.state import State
from splittally.core.types import LATE, BudgetDef, is_id

NO_SEGMENTS: Mapping[str, str] = {}


class RecordMetric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value of a metric of a budget, in the metric's unit, or `values` of several as one metric object.

    `segments` say whose values they are, `source` links to what was measured, and `once` is the identity of
    what must not count twice: the object, or a period that was ingested. `at_ns` is the time that the values
    are of, where it is not that of the record. What is not stated is not in the bytes, so that a plain record
    has the hash that it always had.
    """

    budget: str
    metric: str | UnsetType = UNSET
    value: int | UnsetType = UNSET
    values: dict[str, int] | UnsetType = UNSET
    segments: dict[str, str] | UnsetType = UNSET
    source: str | UnsetType = UNSET
    once: str | UnsetType = UNSET
    at_ns: int | UnsetType = UNSET

    def __post_init__(self) -> None:
        stated = [x is not UNSET for x in (self.metric, self.value, self.values)]
        if stated not in ([True, True, False], [False, False, True]) or not self.recorded:
            raise ValueError("a record is a `metric` with its `value`, or `values` by metric")
        segments = self.segments or {}
        if len(self.recorded) > PLAN_ITEMS_MAX or len(segments) > PLAN_ITEMS_MAX:
            raise ValueError(f"at most {PLAN_ITEMS_MAX} values and segments")
        if not all(map(in_model, self.recorded.values())):
            raise ValueError("`value` is an integer of the data model")
        if not all(map(is_id, [*segments, *segments.values()])):
            raise ValueError("`segments` are names by their keys")
        if len((self.source or "").encode()) > TEXT_BYTES_MAX:
            raise ValueError(f"`source` has at most {TEXT_BYTES_MAX} bytes")
        if self.once is not UNSET and not is_id(self.once):
            raise ValueError("`once` is a name")
        if self.at_ns is not UNSET and not 0 <= self.at_ns <= TIME_NS_MAX:
            raise ValueError("`at_ns` is a time of the data model")

    @property
    def recorded(self) -> dict[str, int]:
        """The values by metric."""
        if self.metric is not UNSET and self.value is not UNSET:
            return {self.metric: self.value}
        return self.values or {}


def _check_metric(state: State, call: NativeCall, params: RecordMetric) -> list[Finding]:
    budget = state.plans.budgets.get(params.budget)
    if budget is None:
        return [find("not_found", budget=params.budget)]
    if params.at_ns is not UNSET and params.at_ns > call.now_ns:
        return [find("time_ahead", at_ns=params.at_ns, now_ns=call.now_ns)]
    before = state.plans.consumed.get(of_budget(budget.name, params.once)) if params.once else None
    if before is not None:
        return [find("recorded_before", budget=budget.name, name=params.once, intent_hash=before)]
    plan = plan_of(state, budget)
    findings = check_values(budget.name, plan, params.recorded, params.segments or NO_SEGMENTS)
    if findings:
        return findings
    timely, _ = _by_time(state, plan, params, call.now_ns)
    return _check_sums(state, budget, plan, timely, call.now_ns)


def check_values(
    budget: str, plan: Plan, values: Mapping[str, int], segments: Mapping[str, str] = NO_SEGMENTS
) -> list[Finding]:
    """Everything that keeps these values from being recorded under a plan."""
    findings: list[Finding] = []
    for name, value in sorted(values.items()):
        metric = plan.metrics.get(name)
        if metric is None:
            findings.append(find("not_found", metric=name, budget=budget))
            continue
        findings += _check_value(name, metric, value)
        findings += [
            find("segment_missing", metric=name, budget=budget, segment=key)
            for key in sorted(metric.segments or ())
            if key not in segments
        ]
    return findings


def _check_value(name: str, metric: Metric, value: int) -> list[Finding]:
    """Whether a metric takes values, and this one. Who may record hears the bounds: no budget is named."""
    if metric.weights is not UNSET:
        return [find("metric_computed", metric=name)]
    bounds = {"minimum": metric.minimum, "maximum": metric.maximum}
    stated = {key: bound for key, bound in bounds.items() if bound is not UNSET}
    if stated.get("minimum", value) <= value <= stated.get("maximum", value):
        return []
    return [find("value_out_of_bounds", metric=name, value=value, **stated)]


def _check_sums(
    state: State, budget: BudgetDef, plan: Plan, values: Mapping[str, int], now_ns: int
) -> list[Finding]:
    """Whether the sum of each period stays an integer of the data model."""
    after = {name: _after(state, budget, plan, name, values[name], now_ns) for name in sorted(values)}
    return [
        find("amount_overflow", metric=name, budget=budget.name, needed=digest.sum)
        for name, digest in after.items()
        if not in_model(digest.sum)
    ]


def _make_metric(state: State, call: NativeCall, params: RecordMetric) -> list[Event]:
    events: list[Event] = []
    if params.once:
        events.append(Defined("consumed", of_budget(params.budget, params.once), encode(call.intent_hash)))
    budget = state.plans.budgets[params.budget]
    timely, late = _by_time(state, plan_of(state, budget), params, call.now_ns)
    events += measured_events(state, budget, timely, call.intent_hash, call.now_ns)
    return events + [
        Noted(
            call.intent_hash,
            LATE,
            {"at_ns": params.at_ns, "budget": budget.name, "metric": name, "value": value},
        )
        for name, value in sorted(late.items())
    ]


def _by_time(
    state: State, plan: Plan, params: RecordMetric, now_ns: int
) -> tuple[dict[str, int], dict[str, int]]:
    """The values that are of the period that holds now, and those that are late, by metric."""
    values = params.recorded
    if params.at_ns is UNSET:
        return values, {}
    late = {
        name: value
        for name, value in values.items()
        if params.at_ns < _earliest(state, plan.metrics[name], now_ns)
    }
    return {name: value for name, value in values.items() if name not in late}, late


def _earliest(state: State, metric: Metric, now_ns: int) -> int:
    """The earliest time of which a value is not late: the start of the period, or now where there is none."""
    return now_ns if metric.per is UNSET else period_start(state, metric.per, now_ns)


def measured_events(
    state: State, budget: BudgetDef, values: Mapping[str, int], cause: bytes, now_ns: int
) -> list[Event]:
    """The events of values in which `check_values` found nothing, with the rules that fall due for each."""
    plan = plan_of(state, budget)
    events: list[Event] = []
    for name, value in sorted(values.items()):
        measured = Measured(budget.name, name, value)
        events.append(measured)
        if plan.metrics[name].per is not UNSET:
            after = _after(state, budget, plan, name, value, now_ns)
            events.append(Defined("digests", of_budget(budget.name, name), _digest_value(after)))
        events += metric_events(state, measured, cause, now_ns)
    return events


def _after(state: State, budget: BudgetDef, plan: Plan, name: str, value: int, now_ns: int) -> Digest:
    """The digest of a metric's period after one more value."""
    start_ns = period_start(state, plan.metrics[name].per or TOTAL, now_ns)
    before = digest_now(state, budget, plan, name, now_ns)
    if before is None:
        return Digest(start_ns, 1, value, value, value, value, budget.version)
    return Digest(
        start_ns=start_ns,
        count=before.count + 1,
        sum=before.sum + value,
        min=min(before.min, value),
        max=max(before.max, value),
        last=value,
        version=budget.version,
    )


def _digest_value(digest: Digest) -> bytes:
    return encode(msgspec.to_builtins(digest))


ROWS = {
    "metric.record": Native(
        RecordMetric, touches_budget, _check_metric, _make_metric, "record a value of a metric"
    ),
}
