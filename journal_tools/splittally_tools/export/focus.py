"""Charges in the columns of FOCUS 1.2, the open specification of cost data (FinOps Foundation).

Rule 1. A row is a charge or a refund of money: of a resource of the world whose name is three capital
        letters, as ISO 4217 writes currencies. What only counts, such as tokens, is no cost.
Rule 2. The cost is what the leaf of the chain was charged or, where it counts none of it, what accounts paid.
        A refund is a `Credit` below zero.
Rule 3. What this journal does not know stays empty, such as the provider where nobody was paid, and columns
        that it knows nothing for are left out, such as list prices. What is ours has `x_` in front.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from splittally.core.dates import SECOND_NS
from splittally.core.ledger.windows import window_end, window_start
from splittally.runtime.charges import REFUND, Charged, charges

from splittally_tools.export.columns import INTEGER, TIME, Column, Table
from splittally_tools.export.intents import Source

CURRENCY = re.compile("[A-Z]{3}")
_COSTS = ("BilledCost", "EffectiveCost")


def focus(source: Source) -> Table:
    """The table, in the order of the journal."""
    columns = (
        Column("BillingAccountId"),
        Column("BillingCurrency"),
        Column("BillingPeriodStart", TIME),
        Column("BillingPeriodEnd", TIME),
        Column("ChargePeriodStart", TIME),
        Column("ChargePeriodEnd", TIME),
        Column("ChargeCategory"),
        Column("ChargeFrequency"),
        Column("ChargeDescription"),
        *(Column(name, source.amount) for name in _COSTS),
        Column("ProviderName"),
        Column("ServiceName"),
        Column("ServiceCategory"),
        Column("ResourceId"),
        Column("ResourceType"),
        Column("SubAccountId"),
        Column("SubAccountName"),
        Column("Tags"),
        Column("x_Principal"),
        Column("x_Sequence", INTEGER),
        Column("x_Payer"),
    )
    return Table("focus", columns, _rows(source))


def _rows(source: Source) -> Iterator[list[Any]]:
    range_ = source.range
    for charged in charges(source.book, range_.start, range_.stop, source.seen):
        for resource in sorted(source.state.ledger.resources):
            amount = _cost(charged, resource)
            if amount and CURRENCY.fullmatch(resource):
                yield _row(source, charged, resource, amount)


def _cost(charged: Charged, resource: str) -> int:
    return charged.leaf.get(resource) or charged.paid_by_resource.get(resource, 0)


def _row(source: Source, charged: Charged, resource: str, amount: int) -> list[Any]:
    asked, cells, state = charged.asked, source.cells, source.state
    is_refund = charged.how == REFUND
    month_ns = window_start("month", charged.at_ns, state.offset_ns, state.ledger.zones)
    end_ns = window_end("month", month_ns, state.offset_ns, state.ledger.zones)
    began_ns = charged.at_ns if is_refund else asked.at_ns
    began_s, ended_s = began_ns // SECOND_NS, charged.at_ns // SECOND_NS + 1  # the end is not included
    cost = cells.amount(-amount if is_refund else amount, resource)
    payers = sorted({account for account, of in charged.paid if of == resource})
    return [
        state.world,
        resource,
        cells.time(month_ns),
        cells.time(end_ns),
        cells.time(began_s * SECOND_NS),
        cells.time(ended_s * SECOND_NS),
        "Credit" if is_refund else "Usage",
        "Usage-Based",
        f"{asked.kind} under {charged.grant}, {charged.how}",
        *[cost] * len(_COSTS),
        charged.payees[0] if charged.payees else None,
        asked.kind,
        "Other",
        asked.intent_hash,
        "intent",
        charged.grant,
        charged.grant,
        json.dumps(asked.labels, sort_keys=True) if asked.labels else None,
        asked.principal,
        charged.seq,
        " ".join(payers) or None,
    ]
