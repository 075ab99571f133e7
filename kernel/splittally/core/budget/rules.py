"""What happens by itself: rules of a plan with their actions, and the formulas of its cells.

Rule 1. An amount and a condition are expressions; one that does not compile is refused with the plan.
Rule 2. A rule posts only from its own budget's accounts, and by the plan's conversions.
"""

from collections.abc import Iterable

from msgspec import UNSET, Struct, UnsetType

from splittally.core.budget.expressions import require, require_amount, require_condition
from splittally.core.limits import ACTIONS_PER_RULE_MAX
from splittally.core.names import is_blank
from splittally.core.types import CALENDAR_WINDOWS, is_id

ALLOCATIONS = "allocations"  # the rule of every split: a deposit raises each part by its share
ON_DEPOSIT, ON_METRIC = "deposit", "metric"
TRIGGERS = (ON_DEPOSIT, ON_METRIC, *CALENDAR_WINDOWS)


class Action(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What a rule does."""


class Transfer(Action, frozen=True, kw_only=True, tag="transfer"):
    """Move an amount to an account; of the resource that came in where none is stated."""

    to: str
    amount: str
    resource: str = ""

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(is_id(self.to), "a transfer's `to` is an account")
        require_amount(self.amount)


class Convert(Action, frozen=True, kw_only=True, tag="convert"):
    """Give an amount under a conversion of the plan."""

    conversion: str
    amount: str

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require_amount(self.amount)


class Issue(Action, frozen=True, kw_only=True, tag="issue"):
    """Credit the budget with an amount of a resource that its adopter may issue: a token that is earned."""

    resource: str
    amount: str

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(is_id(self.resource), "what is issued is a `resource`")
        require_amount(self.amount)


class RecordValue(Action, frozen=True, kw_only=True, tag="record"):
    """Record a value of a metric of the plan, which may make other rules due."""

    metric: str
    value: str

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(is_id(self.metric), "what is recorded is a `metric`")
        require_amount(self.value)


class Review(Action, frozen=True, kw_only=True, tag="review"):
    """Open a review of the budget, for people to answer; one that is open already stays."""

    title: str

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(not is_blank(self.title), "a review has a `title`")


class Solve(Action, frozen=True, kw_only=True, tag="solve"):
    """Bring the solution up to date by the plan's own solver."""

    def require_valid(self) -> None:
        """Nothing may be wrong."""


AnyAction = Transfer | Convert | Issue | RecordValue | Review | Solve


class PlanRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens by itself: `on` a deposit `of` a resource, a value `of` a metric, or with a period.

    A rule that does nothing is a signal: that it fired is the record. One that fires `once` does so for the
    first cause whose condition holds, and never again.
    """

    name: str
    on: str
    of: str = ""
    when: str = ""
    do: list[AnyAction] = []
    approval: bool = False
    description: str = ""
    once: bool | UnsetType = UNSET

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        for action in self.do:
            action.require_valid()
        require(is_id(self.name) and self.name != ALLOCATIONS, f"a rule's `name` is not `{ALLOCATIONS}`")
        require(self.on in TRIGGERS, f"a rule's `on` is one of {', '.join(TRIGGERS)}")
        require(self.on != ON_METRIC or self.of != "", "a rule on a metric says `of` which")
        require(len(self.do) <= ACTIONS_PER_RULE_MAX, f"at most {ACTIONS_PER_RULE_MAX} actions a rule")
        if self.when:
            require_condition(self.when)


def issued_by(rules: Iterable[PlanRule], name: str = "") -> list[str]:
    """The resources that rules issue, or that the one of this name does, sorted and each once."""
    chosen = [rule for rule in rules if name in ("", rule.name)]
    return sorted({action.resource for rule in chosen for action in rule.do if isinstance(action, Issue)})


class Formula(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cell of the solution: an integer expression over balances, metrics, inputs and other cells."""

    value: str
    unit: str = ""

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require_amount(self.value)
