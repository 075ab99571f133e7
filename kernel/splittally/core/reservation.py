"""What an intent would hold: its legs, the money that they draw, and the events that reserve them.

Rule 1. Planning changes nothing: limits are compared here (stage 5) and counted only by the events.
Rule 2. For each resource the nearest grant of the chain that declares accounts pays, once, its own leg's
        amount: each that has not ended what may be taken from it, in their order, and the last the rest.
Rule 3. A native effect is never held: it uses what it reserves, in the record that decides it.
Rule 4. Whom a draw pays first is a plain account that exists, or the intent is refused.

Example. Grant `agent` below `team` below root; `team` draws USD on `accounts/team`. Enforcers estimate 300
tokens for `agent`, and 300 tokens and 12 USD for `team`; root asks nobody:

    legs   agent {tokens: 300}   team {tokens: 300, USD: 12}   root {}
    draws  USD 12 from accounts/team for leg 1
    events Held(legs, draws), Posted(accounts/team -> in flight, USD 12)
"""

from msgspec import Struct
from msgspec.structs import replace

from splittally.core.asks import Ask, are_plain
from splittally.core.canonical import decode
from splittally.core.caps.state import Chain
from splittally.core.commands import Member
from splittally.core.events import Charge, Event, Held, HoldChanged, Noted, Posted, Settled
from splittally.core.findings import Finding, find
from splittally.core.ledger.check import LimitCheck, Scope, check_counted, check_limits
from splittally.core.ledger.moves import spendable
from splittally.core.ledger.settle import first_payee, uncounted_dims
from splittally.core.ledger.state import Ledger
from splittally.core.state import State
from splittally.core.types import (
    APPROVAL,
    CAP_SPEND_TYPE,
    DENY,
    LABELS,
    OPEN,
    REQUIRE_APPROVAL,
    Draw,
    Leg,
    Payer,
    Window,
    covers_account,
)
from splittally.core.value_keys import NO_KEYS, keys_of

NO_WINDOWS: list[Window] = []  # shared: most legs touch life counters only
NO_FINDINGS: list[Finding] = []


class Reservation(Struct, frozen=True, gc=False):
    """The legs of an intent, what the limits of those that have some say, and the money they draw.

    `payee_findings` say why nobody may be paid as the intent says.
    """

    legs: list[Leg]
    limit_checks: list[LimitCheck]
    draws: list[Draw]
    payee_findings: list[Finding]


def plan_reservation(
    state: State, now_ns: int, principal: str, chain: Chain, member: Member, estimates: list[dict[str, int]]
) -> Reservation:
    """What the intent would hold by these estimates, one for each leg, leaf first."""
    legs: list[Leg] = []
    checks: list[LimitCheck] = []
    for at, link in enumerate(chain.links):
        grant, estimate, windows = link.grant, estimates[at], NO_WINDOWS
        if not (estimate or link.limits or grant.draws_on):  # as of the root
            legs.append(link.leg)
            continue
        scope = Scope(grant.name, at == 0 or grant.holder == principal)
        if not link.counted.issuperset(estimate):
            uncounted = check_counted(state.ledger, scope, link.limits, estimate)
            if uncounted:
                checks.append(LimitCheck(outcomes=[DENY], findings=uncounted, windows=[], events=[]))
        if link.limits:
            keys = keys_of(member.params, member.labels, link.keyed) if link.keyed else NO_KEYS
            checked = check_limits(state.ledger, scope, link.limits, estimate, now_ns, state.offset_ns, keys)
            windows = checked.windows or NO_WINDOWS
            if checked.outcomes or checked.findings or checked.events:
                checks.append(checked)
        legs.append(replace(link.leg, reserve=estimate, windows=windows))
    draws = draws_of(state.ledger, now_ns, chain, estimates) if chain.payers else []
    reservation = Reservation(legs=legs, limit_checks=checks, draws=draws, payee_findings=NO_FINDINGS)
    if not draws:
        return reservation
    if state.caps.effects[member.kind].cap_type == CAP_SPEND_TYPE:
        reservation = _with_payee(state, chain, member, reservation)
    return _with_first(state, reservation)


def draws_of(ledger: Ledger, now_ns: int, chain: Chain, amounts: list[dict[str, int]]) -> list[Draw]:
    """What the accounts of a chain pay of these amounts, one map for each leg: Rule 2."""
    draws: list[Draw] = []
    drawn: set[str] = set()
    for at, resource, payers in chain.payers:
        if resource in amounts[at] and resource not in drawn:
            drawn.add(resource)
            amount = amounts[at][resource]
            first = Draw(
                resource=resource,
                account=payers[0].account,
                amount=amount,
                leg=at,
                pays_to=chain.pays_to,
                doubt=chain.links[at].grant.doubt,
            )
            draws += [first] if len(payers) == 1 else _shared(ledger, now_ns, payers, first)
    return draws


# Example. 5 USD from `promo`, which holds 3 and ends in April, then `paid`: 3 and 2. In April: 0 and 5. The
# last stands there with 0, too, because it owes what is used above the reserve.
def _shared(ledger: Ledger, now_ns: int, payers: list[Payer], whole: Draw) -> list[Draw]:
    """A draw as several accounts pay it; that the last holds its part is asked with all draws."""
    draws: list[Draw] = []
    left = whole.amount
    for payer in payers[:-1]:
        is_live = not payer.until_ns or now_ns < payer.until_ns
        amount = min(left, spendable(ledger, payer.account, whole.resource)) if is_live else 0
        if amount > 0:
            left -= amount
            draws.append(replace(whole, account=payer.account, amount=amount))
    return [*draws, replace(whole, account=payers[-1].account, amount=left)]


def _with_first(state: State, reservation: Reservation) -> Reservation:
    """The same with a finding for each list of payees that does not begin with an account to credit.

    A list may have lost its first entries to a list above it; one that lost all is found with the accounts.
    """
    if reservation.payee_findings:
        return reservation
    for draw in reservation.draws:
        if draw.pays_to and not first_payee(state.ledger, draw.pays_to):
            found = find("payee_unlisted", account=draw.pays_to[0], available=draw.pays_to)
            return replace(reservation, payee_findings=[found])
    return reservation


def _with_payee(state: State, chain: Chain, member: Member, reservation: Reservation) -> Reservation:
    """The same, every draw paying first whom a spending intent names; findings where it may not."""
    payee = decode(member.params).get("payee")
    if type(payee) is not str:
        return reservation
    is_listed = any(covers_account(entry, payee) for entry in chain.pays_to)
    if payee not in state.ledger.accounts or not is_listed:
        return replace(
            reservation, payee_findings=[find("payee_unlisted", account=payee, available=chain.pays_to)]
        )
    draws = []
    for draw in reservation.draws:
        others = [entry for entry in draw.pays_to if entry != payee]
        draws.append(replace(draw, pays_to=[payee, *others]))
    return replace(reservation, draws=draws)


def hold_events(
    now_ns: int,
    chain: Chain,
    member: Member,
    at: int,
    outcome: str,
    reservation: Reservation,
    asks: list[Ask],
) -> list[Event]:
    """The events that hold an admitted intent, the member at this place of its command.

    `asks` are the reasons for which it waits, if it does; one answer of anybody need not be remembered.
    """
    expires_ns = member.expires_ns
    if chain.hold_ns_max:
        latest = now_ns + chain.hold_ns_max
        expires_ns = min(expires_ns, latest) if expires_ns else latest
    phase, due_ns = OPEN, expires_ns
    if outcome == REQUIRE_APPROVAL:
        phase = APPROVAL
        waits = next((link.grant.approval_ns for link in chain.links if link.grant.approval_ns), 0)
        deadline = now_ns + waits if waits else 0
        due_ns = min(due_ns, deadline) if due_ns and deadline else due_ns or deadline
    events: list[Event] = [
        Held(
            intent_hash=member.intent_hash,
            member=at,
            kind=member.kind,
            phase=phase,
            due_ns=due_ns,
            expires_ns=expires_ns,
            legs=reservation.legs,
            draws=reservation.draws,
        )
    ]
    if reservation.draws:
        events += _commitments(member, reservation)
    if asks:
        reasons = list({ask.reason: ask for ask in asks}.values())
        if not are_plain(reasons):
            events.append(HoldChanged(member.intent_hash, APPROVAL, due_ns, asks=reasons))
    if member.labels:
        events.append(Noted(member.intent_hash, LABELS, dict(member.labels)))
    return events


def _commitments(member: Member, reservation: Reservation) -> list[Event]:
    """The postings that take what is drawn out of its accounts."""
    return [
        Posted(
            debit=draw.account,
            credit="",
            resource=draw.resource,
            amount=draw.amount,
            grant=reservation.legs[draw.leg].grant,
            intent_hash=member.intent_hash,
        )
        for draw in reservation.draws
        if draw.amount
    ]


def native_charge_events(ledger: Ledger, member: Member, reservation: Reservation) -> list[Event]:
    """A native effect uses what it reserved; nothing where it reserved nothing."""
    if not any(leg.reserve for leg in reservation.legs):
        return []
    charges = [
        Charge(
            grant=leg.grant,
            grant_hash=leg.grant_hash,
            terms_hash=leg.terms_hash,
            enforcer_ref=leg.enforcer_ref,
            usage=leg.reserve,
            charged=leg.reserve,
            violations=[],
            windows=leg.windows,
            uncounted=uncounted_dims(ledger, leg.grant, leg.reserve),
        )
        for leg in reservation.legs
    ]
    return [Settled(intent_hash=member.intent_hash, how="native", status="ok", legs=charges, violations=[])]
