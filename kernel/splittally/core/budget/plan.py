"""The plan of a budget: what it may hold, what it is for, what must stay true, what happens by itself.

Rule 1. A plan is data in canonical bytes; its hash is the budget's identity, wherever it is read.
Rule 2. Every amount is an integer in minor units; a share and a rate are two naturals. Nothing is a float.
Rule 3. A plan is judged by `require_valid` when somebody states it; a recorded one is read back as it is.
Rule 4. An expression that does not compile is refused with the plan; one that faults later is skipped.
"""

from functools import lru_cache

import msgspec
from msgspec import Struct

from splittally.core import expr
from splittally.core.amounts import fits, in_model
from splittally.core.canonical import decode
from splittally.core.errors import ExpressionError
from splittally.core.limits import (
    ACTIONS_PER_RULE_MAX,
    PART_NAME_BYTES_MAX,
    PLAN_ITEMS_MAX,
    WEIGHT_MAX,
)
from splittally.core.names import is_blank
from splittally.core.types import CALENDAR_WINDOWS, is_id

NATURES = ("maximise", "minimise", "capped", "spend", "output", "debt")
PARTIAL, FULL = "partial", "full"
TIERS = (PARTIAL, FULL)
TOTAL = "total"
PERIODS = (TOTAL, *CALENDAR_WINDOWS)
ALLOCATIONS = "allocations"  # the rule of every split: a deposit raises each part by its share
ON_DEPOSIT, ON_METRIC = "deposit", "metric"
TRIGGERS = (ON_DEPOSIT, ON_METRIC, *CALENDAR_WINDOWS)
NAMES: dict[str, expr.Type] = {
    "cause": expr.record({"amount": expr.INT, "dim": expr.STRING}),
    "balance": expr.map_of(expr.INT),
    "metric": expr.map_of(expr.INT),
    "input": expr.map_of(expr.INT),
    "now_ns": expr.INT,
}


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An item of the plan: so much of a resource per period. A debt has an amount below zero.

    `calendar` counts days from the plan's start, whatever is spent.
    """

    resource: str
    amount: int
    per: str = TOTAL
    calendar: bool = False
    description: str = ""

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        _require(is_id(self.resource), "a line's `resource` is a name")
        _require(in_model(self.amount), "a line's `amount` is an integer of the data model")
        _require(self.per in PERIODS, f"a line's `per` is one of {', '.join(PERIODS)}")


class Metric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured; the description is its official definition."""

    description: str
    nature: str
    unit: str = ""
    target: int | None = None
    threshold: int | None = None

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        _require(not is_blank(self.description), "a metric's `description` says what is measured")
        _require(self.nature in NATURES, f"a metric's `nature` is one of {', '.join(NATURES)}")


class Constraint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hard constraint: at least `minimum` of a resource, for the `partial` stage or for the `full` one."""

    name: str
    resource: str
    minimum: int
    tier: str = FULL
    description: str = ""

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        _require(is_id(self.name) and is_id(self.resource), "a constraint has a `name` and a `resource`")
        _require(fits(self.minimum), "a constraint's `minimum` is a natural below 2^64")
        _require(self.tier in TIERS, "a constraint's `tier` is partial or full")


class Conversion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One resource into another at a rate: `counter` must hold what it gives.

    `keeps` puts what is given on the budget's reserved account and not on the counter-account's.
    """

    gives: str
    gets: str
    rate: list[int]
    counter: str
    keeps: bool = False
    description: str = ""

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        _require(all(map(is_id, (self.gives, self.gets, self.counter))), "a conversion names what it moves")
        require_rate(self.rate)


class Transfer(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="transfer"
):
    """Move an amount to an account; of the resource that came in where none is stated."""

    to: str
    amount: str
    resource: str = ""

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        _require(is_id(self.to), "a transfer's `to` is an account")
        _require_expression(self.amount, expr.INT)


class Convert(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="convert"):
    """Give an amount under a conversion of the plan."""

    conversion: str
    amount: str

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        _require_expression(self.amount, expr.INT)


class PlanRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens by itself: `on` a deposit `of` a resource, a value `of` a metric, or with a period.

    A rule that does nothing is a signal: that it fired is the record.
    """

    name: str
    on: str
    of: str = ""
    when: str = ""
    do: list[Transfer | Convert] = []
    approval: bool = False
    description: str = ""

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        for action in self.do:
            action.require_valid()
        _require(is_id(self.name) and self.name != ALLOCATIONS, f"a rule's `name` is not `{ALLOCATIONS}`")
        _require(self.on in TRIGGERS, f"a rule's `on` is one of {', '.join(TRIGGERS)}")
        _require(self.on != ON_METRIC or self.of != "", "a rule on a metric says `of` which")
        _require(len(self.do) <= ACTIONS_PER_RULE_MAX, f"at most {ACTIONS_PER_RULE_MAX} actions a rule")
        if self.when:
            _require_expression(self.when, expr.BOOL)


class Formula(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cell of the solution: an integer expression over balances, metrics and inputs."""

    value: str
    unit: str = ""

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        _require_expression(self.value, expr.INT)


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The schema of a budget. `resources` maps what it may hold to the number of decimals.

    `allocations` maps a resource to the weights by which deposits of it are shared.
    """

    title: str = ""
    description: str = ""
    goals: list[str] = []
    resources: dict[str, int] = {}
    lines: dict[str, Line] = {}
    metrics: dict[str, Metric] = {}
    constraints: list[Constraint] = []
    allocations: dict[str, dict[str, int]] = {}
    conversions: dict[str, Conversion] = {}
    rules: list[PlanRule] = []
    formulas: dict[str, Formula] = {}
    starts_ns: int = 0
    ends_ns: int = 0

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        for name in (
            "goals",
            "resources",
            "lines",
            "metrics",
            "constraints",
            "conversions",
            "rules",
            "formulas",
        ):
            _require(len(getattr(self, name)) <= PLAN_ITEMS_MAX, f"at most {PLAN_ITEMS_MAX} `{name}`")
        parts: list[Line | Metric | Constraint | Conversion | PlanRule | Formula] = []
        parts += [*self.lines.values(), *self.metrics.values(), *self.constraints, *self.conversions.values()]
        for part in [*parts, *self.rules, *self.formulas.values()]:
            part.require_valid()
        _require(len(self.resources) > 0, "a plan lists the `resources` that the budget may hold")
        names = [*self.resources, *self.lines, *self.metrics, *self.conversions, *self.formulas]
        _require(all(map(is_id, names)), "what a plan lists has printable names")
        _require(all(0 <= scale <= 18 for scale in self.resources.values()), "a scale is 0 to 18")
        _require_once("constraint", [x.name for x in self.constraints])
        _require_once("rule", [x.name for x in self.rules])
        for shares in self.allocations.values():
            require_shares(shares)
        for named in self._resources_named():
            _require(named in self.resources, f"the plan names `{named}` and its `resources` do not list it")
        for rule in self.rules:
            known = rule.on != ON_METRIC or rule.of in self.metrics
            _require(known, f"rule `{rule.name}` is on a metric that the plan does not have")
            converts = [action.conversion for action in rule.do if isinstance(action, Convert)]
            _require(
                all(x in self.conversions for x in converts), f"rule `{rule.name}` has no such conversion"
            )

    def _resources_named(self) -> list[str]:
        named = [line.resource for line in self.lines.values() if not line.calendar]
        named += [x.resource for x in self.constraints] + [*self.allocations]
        for conversion in self.conversions.values():
            named += [conversion.gives, conversion.gets]
        for rule in self.rules:
            named += [x.resource for x in rule.do if isinstance(x, Transfer) and x.resource]
            named += [rule.of] if rule.on == ON_DEPOSIT and rule.of else []
        return named


@lru_cache(maxsize=1024)
def read_plan(data: bytes) -> Plan:
    """The plan in canonical bytes that were checked when the budget adopted them."""
    return msgspec.convert(decode(data), Plan, strict=True)


@lru_cache(maxsize=4096)
def amount_of(text: str) -> expr.Expression:
    """The compiled expression of an amount or a cell."""
    return expr.compile(text, NAMES, expr.INT)


@lru_cache(maxsize=4096)
def condition_of(text: str) -> expr.Expression:
    """The compiled condition of a rule."""
    return expr.compile(text, NAMES, expr.BOOL)


def require_shares(shares: dict[str, int]) -> None:
    """Raises `ValueError` unless these are names with weights."""
    _require(0 < len(shares) <= PLAN_ITEMS_MAX, f"a split has 1 to {PLAN_ITEMS_MAX} parts")
    _require(all(map(is_part, shares)), f"a part's name is text without `/`, {PART_NAME_BYTES_MAX} bytes")
    _require(all(0 <= x <= WEIGHT_MAX for x in shares.values()), f"a weight is 0 to {WEIGHT_MAX}")
    _require(sum(shares.values()) > 0, "a split gives something to somebody")


def is_part(name: object) -> bool:
    """Whether a part of a split may have this name."""
    return is_id(name) and "/" not in str(name) and len(str(name).encode()) <= PART_NAME_BYTES_MAX


def require_rate(rate: list[int]) -> None:
    """Raises `ValueError` unless this is a rate: what is got for what is given."""
    _require(len(rate) == 2 and all(0 < x <= WEIGHT_MAX for x in rate), f"a rate is two of 1 to {WEIGHT_MAX}")


def worth(amount: int, rate: list[int]) -> int:
    """What an amount is worth at a rate, rounded down; what the division leaves stays with who gives."""
    return amount * rate[0] // rate[1]


def _require_expression(text: str, result: expr.Type) -> None:
    try:
        (amount_of if result == expr.INT else condition_of)(text)
    except ExpressionError as error:
        raise ValueError(f"`{text}`: {error}") from error


def _require_once(what: str, names: list[str]) -> None:
    _require(len(names) == len(set(names)), f"two of the plan's {what}s have one name")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
