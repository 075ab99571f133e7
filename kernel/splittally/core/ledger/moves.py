"""May these values move? One answer for every door through which value moves, and for audit.

Rule 1. A move goes from an account to an account, or from or to what is in flight: an empty name.
Rule 2. Its accounts and its resource exist and its amount is a positive natural below 2^64. Only an issue
        debits an `external/` account. No other account goes below its debt limit, and every balance stays in
        the data model.
Rule 3. Moves are looked at in their order, each on the balances that those before it leave.
Rule 4. Nothing else is asked here. What more a door refuses (what may be issued, what plans and lists allow)
        bounds what is asked for and can never make what is recorded wrong.

Example. `accounts/a` holds 60 USD and may owe nothing, `accounts/m` holds 50 EUR. A conversion of 100 USD
for 50 EUR is two moves: the first lacks 40 (`insufficient_balance`), the second leaves m with 0 EUR.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from splittally.core.amounts import fits, in_model
from splittally.core.events import Posted
from splittally.core.findings import Finding, find
from splittally.core.ledger.state import Ledger
from splittally.core.limits import NATURAL_MAX
from splittally.core.types import EXTERNAL


class Move(NamedTuple):
    """Value from `debit` to `credit`; `is_got` marks what a counter-account gives for a conversion."""

    debit: str
    credit: str
    resource: str
    amount: int
    is_got: bool = False

    def posted(self, grant: str, intent_hash: bytes) -> Posted:
        """The event that it happened, under this grant and because of this intent."""
        return Posted(
            debit=self.debit,
            credit=self.credit,
            resource=self.resource,
            amount=self.amount,
            grant=grant,
            intent_hash=intent_hash,
        )


def spendable(ledger: Ledger, account: str, resource: str, balance: int | None = None) -> int:
    """What may be taken from an account now, or at this balance: that and the debt that it may make, less the
    debt limits of others that come out of it.

    Nothing is taken from an external account: what it gives is an issue.
    """
    if account.startswith(EXTERNAL):
        return 0
    known = ledger.accounts.get(account)
    held = ledger.balances.get((account, resource), 0) if balance is None else balance
    lent = ledger.lent.get((account, resource), 0)
    return held - lent + known.debt_limit if known is not None else held - lent


def refused_moves(
    ledger: Ledger, moves: Iterable[Move], by_issue: bool = False, opened: Collection[str] = ()
) -> list[Finding]:
    """Everything that is wrong with these moves, in their order; empty where all of them may happen.

    `by_issue` lets value in from an external account. `opened` names accounts that the same record opens.
    """
    moves = list(moves)
    if len(moves) == 1 and _is_covered(ledger, moves[0]):
        return []
    findings: list[Finding] = []
    for move in moves:
        findings += [finding for finding in _unknown(ledger, move, opened) if finding not in findings]
    if findings:
        return findings
    left: dict[tuple[str, str], int] = {}
    for move in moves:
        findings += _refused(ledger, move, left, by_issue)
    return findings


def _is_covered(ledger: Ledger, move: Move) -> bool:
    """Whether one move is all right beyond doubt, as most are: into flight, and the balance holds it."""
    debit, credit, resource, amount, _ = move
    if credit or ledger.lent or not 0 < amount <= ledger.balances.get((debit, resource), 0):
        return False
    return debit in ledger.accounts and resource in ledger.resources and not debit.startswith(EXTERNAL)


def _unknown(ledger: Ledger, move: Move, opened: Collection[str]) -> list[Finding]:
    findings = [] if move.resource in ledger.resources else [find("not_found", resource=move.resource)]
    for account in (move.debit, move.credit):
        if account and account not in ledger.accounts and account not in opened:
            findings.append(find("not_found", account=account))
    return findings


def _refused(ledger: Ledger, move: Move, left: dict[tuple[str, str], int], by_issue: bool) -> list[Finding]:
    """What is wrong with one move; `left` has the balances that it and those before it leave."""
    debit, credit, resource, amount, is_got = move
    if is_got and amount <= 0:
        return [find("conversion_too_small", resource=resource)]
    findings: list[Finding] = []
    if not amount or not fits(amount):
        findings.append(find("amount_overflow", resource=resource, needed=amount, available=NATURAL_MAX))
    is_external = debit.startswith(EXTERNAL)
    if is_external and not by_issue:
        findings.append(find("external_account", account=debit))
    if debit and not is_external:
        available = spendable(ledger, debit, resource, _balance(ledger, left, debit, resource))
        if amount > available:
            facts = {"needed": amount, "available": available, "shortage": amount - available}
            lacking = "conversion_uncovered" if is_got else "insufficient_balance"
            findings.append(find(lacking, account=debit, resource=resource, **facts))
    for name, change in ((debit, -amount), (credit, amount)):
        if name:
            left[name, resource] = _balance(ledger, left, name, resource) + change
    for name in (debit, credit) if not findings else ():
        if name and not in_model(left[name, resource]):
            findings.append(find("amount_overflow", account=name, resource=resource, needed=amount))
    return findings


def _balance(ledger: Ledger, left: dict[tuple[str, str], int], account: str, resource: str) -> int:
    key = (account, resource)
    return left[key] if key in left else ledger.balances.get(key, 0)
