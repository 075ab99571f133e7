"""The native effect that converts one resource into another at a rate.

Rule 1. A conversion is two transfers with a counter-account that must hold what it gives. What is got is
        rounded down; the remainder stays with the counter-account.
Rule 2. Who names a conversion of the plan of the budget that gives states its terms too, and is refused where
        they are others by now: nobody converts at a rate that they did not see. That rate is recorded.
"""

from msgspec import UNSET, Struct, UnsetType

from splittally.core.budget.parts import require_rate, worth
from splittally.core.budget.plan import Plan
from splittally.core.events import Event
from splittally.core.findings import Finding, find
from splittally.core.ledger.moves import Move, refused_moves
from splittally.core.native.money import require_note, require_positive
from splittally.core.native.plans import plan_of
from splittally.core.native.rates import Rate, is_rate, rate_now
from splittally.core.native.reading import reading_of
from splittally.core.native.row import Native, NativeCall, Touches
from splittally.core.state import State


class ConvertMoney(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"debit": "from"}):
    """One resource for another at a stated rate, `[got, given]`, in minor units of each.

    `from` gives `amount` of `resource` to `counter`, which gives `to` the worth of it in `gets`. Where it
    names a `conversion` of the plan of the budget that gives, it is that one, at the rate that it has now.
    """

    resource: str
    amount: int
    gets: str
    rate: list[int]
    counter: str
    debit: str
    to: str
    note: str | UnsetType = UNSET
    conversion: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        require_positive(self.amount)
        require_rate(self.rate)
        require_note(self.note)

    @property
    def got(self) -> int:
        """What the amount is worth at the rate, rounded down."""
        return worth(self.amount, self.rate)


def _conversion(params: ConvertMoney) -> list[Move]:
    return [
        Move(params.debit, params.counter, params.resource, params.amount),
        Move(params.counter, params.to, params.gets, params.got, is_got=True),
    ]


def _check_convert(state: State, call: NativeCall, params: ConvertMoney) -> list[Finding]:
    findings = _check_named(state, call, params) if params.conversion else []
    return findings or refused_moves(state.ledger, _conversion(params))


def _check_named(state: State, call: NativeCall, params: ConvertMoney) -> list[Finding]:
    """Everything in which this is not the conversion of the plan that it names."""
    name = str(params.conversion)
    budget = state.plans.budgets.get(params.debit)
    if budget is None:
        return [find("not_found", budget=params.debit)]
    plan: Plan = plan_of(state, budget)
    if name not in plan.conversions:
        return [find("not_found", conversion=name, budget=budget.name)]
    stated = plan.conversions[name]
    terms = (
        ("resource", params.resource, stated.gives),
        ("gets", params.gets, stated.gets),
        ("counter", params.counter, stated.counter),
        ("keeps", False, stated.keeps),  # what the plan keeps aside is given by its rules alone
    )
    findings = [
        find("cannot_change", conversion=name, field=field, value=value, needed=needed)
        for field, value, needed in terms
        if value != needed
    ]
    rate = _rate(state, call, params)
    if not is_rate(rate.pair, params.rate):
        findings.append(find("rate_moved", conversion=name, value=params.rate, needed=rate.pair))
    return findings


def _rate(state: State, call: NativeCall, params: ConvertMoney) -> Rate:
    """The rate that the conversion which is named has now."""
    budget = state.plans.budgets[params.debit]
    reading = reading_of(state, budget, None, call.now_ns)
    return rate_now(plan_of(state, budget), str(params.conversion), reading)


def _tell_rate(state: State, call: NativeCall, params: ConvertMoney) -> list[Finding]:
    return _rate(state, call, params).findings if params.conversion else []


def _make_convert(state: State, call: NativeCall, params: ConvertMoney) -> list[Event]:
    return [move.posted(call.grant, call.intent_hash) for move in _conversion(params)]


ROWS = {
    "ledger.convert": Native(
        ConvertMoney,
        lambda state, call, params: Touches(
            accounts=[params.debit, params.counter, params.to],
            resources=[params.resource, params.gets],
            budgets=[params.debit] if params.conversion else [],
        ),
        _check_convert,
        _make_convert,
        "convert one resource into another at a rate",
        moves=_conversion,
        tell=_tell_rate,
    ),
}
