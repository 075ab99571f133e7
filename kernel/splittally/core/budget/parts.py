"""What a plan lists: lines, metrics, constraints, conversions. Each part judges its own fields.

Rule 1. Every amount is an integer in minor units; a share and a rate are two naturals. Nothing is a float.
Rule 2. A field that came later is left out of the plan's bytes where nobody states it, so that the hash of
        an older plan stays what it was.
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from splittally.core.amounts import fits, in_model
from splittally.core.budget.expressions import require, require_amount, require_condition
from splittally.core.limits import PART_NAME_BYTES_MAX, PLAN_ITEMS_MAX, WEIGHT_MAX
from splittally.core.names import is_blank
from splittally.core.types import CALENDAR_WINDOWS, is_id

MAXIMISE, MINIMISE, CAPPED, SPEND, OUTPUT, DEBT = (
    "maximise", "minimise", "capped", "spend", "output", "debt",
)  # fmt: skip
NATURES = (MAXIMISE, MINIMISE, CAPPED, SPEND, OUTPUT, DEBT)
PARTIAL, FULL = "partial", "full"
TIERS = (PARTIAL, FULL)
TOTAL = "total"
PERIODS = (TOTAL, *CALENDAR_WINDOWS)
READS = ("last", "sum", "count", "average", "min", "max")
Text = str | UnsetType
Number = int | UnsetType


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An item of the plan: so much of a resource per period. A debt has an amount below zero.

    `calendar` counts days from the plan's start, whatever is spent. Lines of a lower `priority` are funded
    first, those of one in the proportion of their amounts. `metric` fills the line by what it says; `part`
    is the part of the budget that spends for it.
    """

    resource: str
    amount: int
    per: str = TOTAL
    calendar: bool = False
    description: str = ""
    priority: Number = UNSET
    metric: Text = UNSET
    part: Text = UNSET

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(is_id(self.resource), "a line's `resource` is a name")
        require(in_model(self.amount), "a line's `amount` is an integer of the data model")
        require(self.per in PERIODS, f"a line's `per` is one of {', '.join(PERIODS)}")
        require(_is_natural(self.priority), "a line's `priority` is a natural, and the lowest comes first")
        require(not self.part or is_part(self.part), "a line's `part` is the name of a part")


class Frees(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a metric that is good enough sets free for others."""

    resource: str
    amount: int


class Metric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured; the description is its official definition.

    Without a `nature` a target below 0 is the most that may be spent, and any other one an output.
    `threshold` is good enough: at it (`enough`) attention should move to the metrics that come next by
    `priority`, with what it `frees`; beyond it (`excess`) `follow_up` says what comes first. `per` is the
    period whose values count, and `reads` what is taken of them. `weights` over other metrics, which sum to
    `whole`, make it a composite. `minimum` and `maximum` bound each value; `segments` are the keys that each
    record must carry.
    """

    description: str
    nature: Text = UNSET
    unit: str = ""
    target: int | None = None
    threshold: int | None = None
    priority: Number = UNSET
    follow_up: Text = UNSET
    frees: Frees | UnsetType = UNSET
    per: Text = UNSET
    reads: Text = UNSET
    weights: dict[str, int] | UnsetType = UNSET
    whole: Number = UNSET
    minimum: Number = UNSET
    maximum: Number = UNSET
    segments: list[str] | UnsetType = UNSET

    @property
    def kind(self) -> str:
        """The nature: what is stated, else what the sign of the target says."""
        if self.nature is not UNSET:
            return str(self.nature)
        return SPEND if (self.target or 0) < 0 else OUTPUT

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(not is_blank(self.description), "a metric's `description` says what is measured")
        require(self.kind in NATURES, f"a metric's `nature` is one of {', '.join(NATURES)}")
        require(self.nature is not UNSET or self.target is not None, "a metric has a `nature` or a `target`")
        require(self.per is UNSET or self.per in PERIODS, f"a metric's `per` is one of {', '.join(PERIODS)}")
        require(
            self.reads is UNSET or self.reads in READS, f"a metric's `reads` is one of {', '.join(READS)}"
        )
        require(
            self.reads is UNSET or self.per is not UNSET, "a metric that `reads` states its period, `per`"
        )
        require(_is_natural(self.priority), "a metric's `priority` is a natural, and the lowest comes first")
        for bound in (self.minimum, self.maximum, self.target, self.threshold):
            require(not bound or in_model(bound), "a metric's bounds are integers of the data model")
        if self.frees:
            require(is_id(self.frees.resource) and fits(self.frees.amount), "a metric `frees` an amount")
        if self.segments:
            require(all(map(is_id, self.segments)), "a metric's `segments` are names")
        self._require_weights()

    def _require_weights(self) -> None:
        if self.weights is UNSET:
            require(self.whole is UNSET, "only a composite metric has a `whole`")
            return
        require(0 < len(self.weights) <= PLAN_ITEMS_MAX, f"a composite has 1 to {PLAN_ITEMS_MAX} weights")
        require(all(0 <= x <= WEIGHT_MAX for x in self.weights.values()), f"a weight is 0 to {WEIGHT_MAX}")
        require(self.per is UNSET, "a composite metric is computed and has no `per`")


class Constraint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hard constraint, for the `partial` stage or for the `full` one.

    It keeps at least `minimum` of a resource, or what `needs` gives, an expression; or `holds` is true; or
    at least `participants` principals are active in the parts that it blocks. Unmet, it stops the parts that
    it `blocks`, as things stand; where it names none, everything, and it holds after each commitment, too.
    One of the tier `partial` that is met lets the parts that it `opens` act before the rest may, and what
    those used counts as there.
    """

    name: str
    resource: str = ""
    minimum: int = 0
    tier: str = FULL
    description: str = ""
    needs: Text = UNSET
    holds: Text = UNSET
    participants: Number = UNSET
    blocks: list[str] | UnsetType = UNSET
    opens: list[str] | UnsetType = UNSET

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(is_id(self.name), "a constraint has a `name`")
        kinds = [x is not UNSET for x in (self.holds, self.participants)] + [bool(self.resource)]
        require(sum(kinds) == 1, "a constraint has a `name` and a `resource`, or `holds`, or `participants`")
        require(not self.resource or is_id(self.resource), "a constraint has a `name` and a `resource`")
        require(fits(self.minimum), "a constraint's `minimum` is a natural below 2^64")
        require(bool(self.resource) or not self.minimum, "a `minimum` is of a `resource`")
        require(self.tier in TIERS, "a constraint's `tier` is partial or full")
        if self.needs is not UNSET:
            require(bool(self.resource) and not self.minimum, "`needs` stands in the place of a `minimum`")
            require_amount(self.needs)
        if self.holds is not UNSET:
            require_condition(self.holds)
        require(self.participants is UNSET or _is_natural(self.participants), "`participants` is a natural")
        for part in [*(self.blocks or ()), *(self.opens or ())]:
            require(is_part(part), "a constraint `blocks` and `opens` parts by their names")
        opens = self.opens is UNSET or (self.tier == PARTIAL and bool(self.resource))
        require(opens, "only a minimum of the tier `partial` `opens` parts")
        require(not (self.blocks and self.opens), "a constraint `blocks` parts or `opens` parts")


class Conversion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One resource into another at a rate: `counter` must hold what it gives.

    `keeps` puts what is given on the budget's reserved account and not on the counter-account's. A rate that
    `floats` is what this expression gives for `rate[1]`; `rate` is the one that holds where it faults.
    """

    gives: str
    gets: str
    rate: list[int]
    counter: str
    keeps: bool = False
    description: str = ""
    floats: Text = UNSET

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(all(map(is_id, (self.gives, self.gets, self.counter))), "a conversion names what it moves")
        require_rate(self.rate)
        if self.floats is not UNSET:
            require_amount(self.floats)


def require_shares(shares: dict[str, int]) -> None:
    """Raises `ValueError` unless these are names with weights."""
    require(0 < len(shares) <= PLAN_ITEMS_MAX, f"a split has 1 to {PLAN_ITEMS_MAX} parts")
    require(all(map(is_part, shares)), f"a part's name is text without `/`, {PART_NAME_BYTES_MAX} bytes")
    require(all(0 <= x <= WEIGHT_MAX for x in shares.values()), f"a weight is 0 to {WEIGHT_MAX}")
    require(sum(shares.values()) > 0, "a split gives something to somebody")


def is_part(name: object) -> bool:
    """Whether a part of a split may have this name."""
    return is_id(name) and "/" not in str(name) and len(str(name).encode()) <= PART_NAME_BYTES_MAX


def require_rate(rate: list[int]) -> None:
    """Raises `ValueError` unless this is a rate: what is got for what is given."""
    require(len(rate) == 2 and all(0 < x <= WEIGHT_MAX for x in rate), f"a rate is two of 1 to {WEIGHT_MAX}")


def worth(amount: int, rate: list[int]) -> int:
    """What an amount is worth at a rate, rounded down; what the division leaves stays with who gives."""
    return amount * rate[0] // rate[1]


def _is_natural(value: Any) -> bool:
    return value is UNSET or (type(value) is int and 0 <= value <= WEIGHT_MAX)
