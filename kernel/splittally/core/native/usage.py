"""The native effect that books spend which happened without a hold: what only an invoice shows.

Rule 1. It is a fact, so no limit, plan or balance refuses it: every leg of the grant's chain is charged,
        above its limits too, in its counters for life and in the windows of now.
Rule 2. The record says that nothing was reserved (`unreserved`), and each counter that is passed by it.
Rule 3. An account on which the chain draws for a resource pays what it can, to the first payee of the grant;
        what it cannot is `unfunded`. Counters are charged in full all the same.
Rule 4. It reaches grants below the scope of the one under which it is asked (`authority.py`), also revoked
        and expired ones: an invoice comes when it comes. One that is forgotten has no counters and no chain
        any more; what comes for it is booked under the grant that it stood below.

Example. `team` may spend 100 USD, has spent 90 and draws on `accounts/team`, which holds 25. 40 are booked:

    Settled(recorded, team charged {USD: 40}, unreserved, unfunded 40 against 25)
    Posted(accounts/team -> accounts/vendor, USD 25)      LimitCrossed(team USD, exhausted, -30)
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from splittally.core.abi import SettleVerdict
from splittally.core.amounts import is_natural
from splittally.core.canonical import encode
from splittally.core.caps.state import Chain
from splittally.core.events import Event, LimitCrossed, Settled
from splittally.core.findings import Finding, find
from splittally.core.ledger.check import Scope, check_limits, told
from splittally.core.ledger.settle import Ending, charge_leg, crossings, first_payee, pay_draws
from splittally.core.limits import OUTPUT_DIMS_MAX
from splittally.core.native.money import require_note
from splittally.core.native.row import Native, NativeCall, Touches
from splittally.core.reservation import draws_of
from splittally.core.state import State
from splittally.core.types import ROOT, TELL, Draw, Leg, is_id
from splittally.core.value_keys import NO_KEYS, keys_of

KIND = "usage.record"


class RecordUsage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spend under a grant that nobody asked for before it happened; `note` says how it became known.

    `params` are those of the call that happened, as far as limits count by their values.
    """

    grant: str
    usage: dict[str, int]
    params: dict[str, Any] = {}
    note: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        if not self.usage or len(self.usage) > OUTPUT_DIMS_MAX:
            raise ValueError(f"`usage` has 1 to {OUTPUT_DIMS_MAX} dimensions")
        if not all(map(is_id, self.usage)) or not all(x and is_natural(x) for x in self.usage.values()):
            raise ValueError("`usage` maps dimensions to positive naturals below 2^64")
        require_note(self.note)


def _chain(state: State, params: RecordUsage) -> Chain | None:
    """The chain that is charged; None where there is no such grant. Root has no counters."""
    is_there = params.grant in state.caps.grants and params.grant != ROOT
    return state.caps.chain(params.grant, KIND) if is_there else None


def _draws(state: State, call: NativeCall, chain: Chain, params: RecordUsage) -> list[Draw]:
    """What the accounts of the chain are to pay."""
    return draws_of(state.ledger, call.now_ns, chain, [params.usage] * len(chain.links))


def _touches_usage(state: State, call: NativeCall, params: RecordUsage) -> Touches:
    """The grant, and what it may draw on and pay."""
    chain = _chain(state, params)
    draws = _draws(state, call, chain, params) if chain is not None else []
    return Touches(
        accounts=[draw.account for draw in draws],
        payees=chain.pays_to[:1] if chain is not None and draws else [],
        resources=[draw.resource for draw in draws],
        spenders=[params.grant],
    )


def _check_usage(state: State, call: NativeCall, params: RecordUsage) -> list[Finding]:
    chain = _chain(state, params)
    if chain is None:
        is_forgotten = state.caps.is_forgotten(params.grant)
        return [find("not_found", grant=params.grant, **({"revoked": True} if is_forgotten else {}))]
    draws = _draws(state, call, chain, params)
    if draws and not first_payee(state.ledger, chain.pays_to):
        return [find("payee_missing", resource=draws[0].resource)]
    return []


# The windows of now are those that a check opens; that it finds the limits passed refuses nothing here.
def _make_usage(state: State, call: NativeCall, params: RecordUsage) -> list[Event]:
    chain = _chain(state, params)
    assert chain is not None
    books, usage = state.ledger, params.usage
    opened: list[Event] = []
    legs: list[Leg] = []
    for link in chain.links:
        scope, limits = Scope(link.grant.name, True), tuple(x for x in link.limits if x.dim in usage)
        keys = keys_of(encode(params.params), call.labels, link.keyed) if link.keyed else NO_KEYS
        checked = check_limits(books, scope, limits, usage, call.now_ns, state.offset_ns, keys)
        opened += checked.events
        legs.append(replace(link.leg, enforcer_ref=b"", windows=checked.windows))
    ending = Ending(
        intent_hash=call.intent_hash,
        legs=tuple(legs),
        draws=tuple(_draws(state, call, chain, params)),
        answers=[SettleVerdict(usage) for _ in legs],
        pays_to="",
        is_late=True,  # nothing is in flight and nothing is reserved
    )
    charges = [charge_leg(books, leg, SettleVerdict(usage), True) for leg in legs]
    postings, unpaid = pay_draws(books, ending)
    violations = [find("unreserved", grant=params.grant, usage=usage), *unpaid]
    settled = Settled(
        intent_hash=call.intent_hash, how="recorded", status="ok", legs=charges, violations=violations
    )
    exhausted = crossings(books, ending.legs, charges, True, lambda grant: [])  # the check told of the others
    return [*opened, settled, *postings, *exhausted]


def _tell_usage(state: State, call: NativeCall, params: RecordUsage) -> list[Finding]:
    """The limits that only tell and that this reaches."""
    events = _make_usage(state, call, params)
    return [told(event) for event in events if isinstance(event, LimitCrossed) and event.over == TELL]


ROWS = {
    KIND: Native(
        RecordUsage,
        _touches_usage,
        _check_usage,
        _make_usage,
        "book spend that happened without a hold",
        tell=_tell_usage,
    ),
}
