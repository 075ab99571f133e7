"""Native effects on resources and accounts: define, open, issue, transfer.

Rule 1. Only `ledger.issue` debits an `external/` account, and nothing else draws on one.
Rule 2. An account never goes below its `debt_limit`; amounts are positive naturals below 2^64.
Rule 3. What is issued and what may be owed is bounded (`ISSUED_MAX`, `DEBTS_MAX`), so that no payment
        that is due can ever overflow a balance.
"""

from msgspec import Struct

from splittally.core.canonical import encode
from splittally.core.events import Defined, Event, Posted
from splittally.core.findings import Finding, find
from splittally.core.ledger.check import spendable
from splittally.core.limits import DEBTS_MAX, ISSUED_MAX, NATURAL_MAX
from splittally.core.native.row import Native, NativeCall
from splittally.core.state import State
from splittally.core.types import EXTERNAL, is_id

SCALE_MAX = 18
ISSUER = "external/issuer"


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
        if not is_id(self.account) or not 0 <= self.debt_limit <= NATURAL_MAX:
            raise ValueError("`account` is a name and `debt_limit` a natural below 2^64")


class IssueMoney(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"debit": "from"}):
    """Value that enters the world: an external account is debited and `to` is credited."""

    resource: str
    amount: int
    to: str
    debit: str = ISSUER

    def __post_init__(self) -> None:
        _require_amount(self.amount)


class TransferMoney(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"debit": "from"}):
    """Value that moves from one account to another, both kept here."""

    resource: str
    amount: int
    debit: str
    to: str

    def __post_init__(self) -> None:
        _require_amount(self.amount)


def _require_amount(amount: int) -> None:
    if not 0 < amount <= NATURAL_MAX:
        raise ValueError("`amount` is a positive natural below 2^64")


def account_value(name: str, debt_limit: int) -> bytes:
    """The recorded definition of an account."""
    kind = "external" if name.startswith(EXTERNAL) else "plain"
    return encode([name, kind, debt_limit])


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
    return findings + check_debts(state, {params.account: params.debt_limit})


def check_debts(state: State, changed: dict[str, int]) -> list[Finding]:
    """Whether the debt limits of all accounts, some of them changed, stay within their bound."""
    debts = {name: account.debt_limit for name, account in state.ledger.accounts.items()} | changed
    total = sum(debts.values())
    return [find("amount_overflow", debts=total, available=DEBTS_MAX)] if total > DEBTS_MAX else []


def _make_open(state: State, call: NativeCall, params: OpenAccount) -> list[Event]:
    return [Defined("accounts", params.account, account_value(params.account, params.debt_limit))]


def _check_issue(state: State, call: NativeCall, params: IssueMoney) -> list[Finding]:
    findings = _check_exist(state, params.resource, [params.debit, params.to])
    if not findings and not params.debit.startswith(EXTERNAL):
        findings.append(find("external_account", account=params.debit, needed=EXTERNAL))
    issued = sum(
        -balance
        for (account, resource), balance in state.ledger.balances.items()
        if resource == params.resource and account.startswith(EXTERNAL)
    )
    if not findings and issued + params.amount > ISSUED_MAX:
        left = ISSUED_MAX - issued
        findings.append(
            find("amount_overflow", resource=params.resource, needed=params.amount, available=left)
        )
    return findings


def _check_transfer(state: State, call: NativeCall, params: TransferMoney) -> list[Finding]:
    findings = _check_exist(state, params.resource, [params.debit, params.to])
    if findings:
        return findings
    if params.debit.startswith(EXTERNAL):
        return [find("external_account", account=params.debit)]
    available = spendable(state.ledger, params.debit, params.resource)
    if params.amount > available:
        facts = {"needed": params.amount, "available": available, "shortage": params.amount - available}
        return [find("insufficient_balance", account=params.debit, resource=params.resource, **facts)]
    return []


def _check_exist(state: State, resource: str, accounts: list[str]) -> list[Finding]:
    findings = []
    if resource not in state.ledger.resources:
        findings.append(find("not_found", resource=resource))
    findings += [find("not_found", account=name) for name in accounts if name not in state.ledger.accounts]
    return findings


def _make_posting(state: State, call: NativeCall, params: IssueMoney | TransferMoney) -> list[Event]:
    return [Posted(params.debit, params.to, params.resource, params.amount, call.grant, call.intent_hash)]


ROWS = {
    "resource.define": Native(DefineResource, _check_define, _make_define, "define a resource"),
    "account.open": Native(OpenAccount, _check_open, _make_open, "open an account"),
    "ledger.issue": Native(IssueMoney, _check_issue, _make_posting, "let value enter the world"),
    "ledger.transfer": Native(TransferMoney, _check_transfer, _make_posting, "move value between accounts"),
}
