"""Native effects on resources and accounts: define, open, issue, transfer.

Rule 1. Only an issue debits an `external/` account, and nothing draws on one: `ledger.issue`, and the rules
        of plans whose adopter may issue (`actions.py`).
Rule 2. Whether values may move is asked of one function (`ledger/moves.py`), here as at every other door.
Rule 3. What is issued and what may be owed is bounded (`ISSUED_MAX`, `DEBTS_MAX`), so that no payment
        that is due can ever overflow a balance. What one external account takes back lets no other give more.
"""

from collections.abc import Iterable

from msgspec import UNSET, Struct, UnsetType

from splittally.core.amounts import fits
from splittally.core.canonical import encode
from splittally.core.events import Defined, Event
from splittally.core.findings import Finding, find
from splittally.core.ledger.moves import Move, refused_moves
from splittally.core.limits import DEBTS_MAX, ISSUED_MAX, TEXT_BYTES_MAX
from splittally.core.native.credit import backs, check_credit
from splittally.core.native.row import Native, NativeCall, Touches
from splittally.core.state import State
from splittally.core.types import EXTERNAL, ISSUER, ROOT, Lender, is_id

SCALE_MAX = 18


class DefineResource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A quantity that accounts can hold, in integers of 10^-scale."""

    resource: str
    scale: int = 0

    def __post_init__(self) -> None:
        if not is_id(self.resource) or not 0 <= self.scale <= SCALE_MAX:
            raise ValueError(f"`resource` is a name and `scale` a number from 0 to {SCALE_MAX}")


class OpenAccount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new account; `debt_limit` is how far each of its balances may go below zero."""

    account: str
    debt_limit: int = 0

    def __post_init__(self) -> None:
        if not is_id(self.account) or not fits(self.debt_limit):
            raise ValueError("`account` is a name and `debt_limit` a natural below 2^64")


class IssueMoney(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"debit": "from"}):
    """Value that enters the world: an external account is debited and `to` is credited.

    `note` says what it is or how it was valued.
    """

    resource: str
    amount: int
    to: str
    debit: str = ISSUER
    note: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        require_positive(self.amount)
        require_note(self.note)


class TransferMoney(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"debit": "from"}):
    """Value that moves from one account to another, both kept here."""

    resource: str
    amount: int
    debit: str
    to: str
    note: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        require_positive(self.amount)
        require_note(self.note)


def require_positive(amount: int) -> None:
    """Raises `ValueError` unless this may be moved."""
    if not amount or not fits(amount):
        raise ValueError("`amount` is a positive natural below 2^64")


def require_note(note: str | UnsetType) -> None:
    """Raises `ValueError` for a note that is too long."""
    if note is not UNSET and len(note.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX:
        raise ValueError(f"`note` has at most {TEXT_BYTES_MAX} bytes")


def account_value(name: str, debt_limit: int) -> bytes:
    """The recorded definition of an account."""
    kind = "external" if name.startswith(EXTERNAL) else "plain"
    return encode([name, kind, debt_limit])


def account_events(name: str, debt_limit: int, lender: Lender) -> list[Event]:
    """The events that open an account, and that remember who lends its debt limit where root does not."""
    events: list[Event] = [Defined("accounts", name, account_value(name, debt_limit))]
    if debt_limit and lender.grant != ROOT:
        events.append(Defined("lenders", name, encode([lender.grant, lender.backs])))
    return events


def resource_value(name: str, scale: int) -> bytes:
    """The recorded definition of a resource."""
    return encode([name, scale])


def _check_define(state: State, call: NativeCall, params: DefineResource) -> list[Finding]:
    taken = params.resource in state.ledger.resources
    return [find("name_taken", name=params.resource)] if taken else []


def _make_define(state: State, call: NativeCall, params: DefineResource) -> list[Event]:
    return [Defined("resources", params.resource, resource_value(params.resource, params.scale))]


def _check_open(state: State, call: NativeCall, params: OpenAccount) -> list[Finding]:
    taken = params.account in state.ledger.accounts
    findings = [find("name_taken", name=params.account)] if taken else []
    findings += check_debts(state, {params.account: params.debt_limit})
    return findings + check_credit(state, call, params.debt_limit, state.ledger.resources)


def check_debts(state: State, changed: dict[str, int]) -> list[Finding]:
    """Whether the debt limits of all accounts, some of them changed, stay within their bound.

    Where an account owes more than its limit allows by now, what it owes counts.
    """
    debts = {name: account.debt_limit for name, account in state.ledger.accounts.items()}
    if all(debt <= debts.get(name, 0) for name, debt in changed.items()):
        return []
    debts |= changed
    for (account, _), balance in state.ledger.balances.items():
        if not account.startswith(EXTERNAL) and -balance > debts.get(account, 0):
            debts[account] = -balance
    total = sum(debts.values())
    return [find("amount_overflow", debts=total, available=DEBTS_MAX)] if total > DEBTS_MAX else []


def check_scales(state: State, scales: Iterable[tuple[str, int]]) -> list[Finding]:
    """Whether each resource that is there already has this scale, in the order in which they are named."""
    there = [(name, scale, state.ledger.resources.get(name)) for name, scale in scales]
    return [
        find("cannot_change", resource=name, field="scale", value=scale, needed=now.scale)
        for name, scale, now in there
        if now is not None and now.scale != scale
    ]


def _make_open(state: State, call: NativeCall, params: OpenAccount) -> list[Event]:
    lender = Lender(call.grant, backs(state, [call.grant], state.ledger.resources))
    return account_events(params.account, params.debt_limit, lender)


def _move(params: IssueMoney | TransferMoney) -> list[Move]:
    return [Move(params.debit, params.to, params.resource, params.amount)]


def _check_issue(state: State, call: NativeCall, params: IssueMoney) -> list[Finding]:
    return refused_issue(state, _move(params)[0])


def refused_issue(state: State, move: Move) -> list[Finding]:
    """Everything that keeps value from entering the world by this move, whoever asks for it."""
    findings = refused_moves(state.ledger, [move], by_issue=True)
    unknown = [finding for finding in findings if finding.code == "not_found"]
    if unknown:
        return unknown
    if not move.debit.startswith(EXTERNAL):
        return [find("external_account", account=move.debit, needed=EXTERNAL)]
    kept = max(0, state.ledger.balances.get((move.debit, move.resource), 0))
    left = ISSUED_MAX - state.ledger.issued.get(move.resource, 0) + kept
    if move.amount > left:
        return [find("amount_overflow", resource=move.resource, needed=move.amount, available=left)]
    return findings


def _check_transfer(state: State, call: NativeCall, params: TransferMoney) -> list[Finding]:
    return refused_moves(state.ledger, _move(params))


def _make_posting(state: State, call: NativeCall, params: IssueMoney | TransferMoney) -> list[Event]:
    return [move.posted(call.grant, call.intent_hash) for move in _move(params)]


def _touches_move(state: State, call: NativeCall, params: IssueMoney | TransferMoney) -> Touches:
    return Touches(accounts=[params.debit, params.to], resources=[params.resource])


ROWS = {
    "resource.define": Native(
        DefineResource,
        lambda state, call, params: Touches(resources=[params.resource]),
        _check_define,
        _make_define,
        "define a resource",
    ),
    "account.open": Native(
        OpenAccount,
        lambda state, call, params: Touches(accounts=[params.account]),
        _check_open,
        _make_open,
        "open an account",
    ),
    "ledger.issue": Native(
        IssueMoney, _touches_move, _check_issue, _make_posting, "let value enter the world"
    ),
    "ledger.transfer": Native(
        TransferMoney,
        _touches_move,
        _check_transfer,
        _make_posting,
        "move value between accounts",
        moves=_move,
    ),
}
