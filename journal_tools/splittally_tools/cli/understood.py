"""The amounts of a native effect as they were understood, so that whoever typed them sees what they meant.

Rule 1. It is read from the params that were recorded and not from what was typed.
Rule 2. A debt limit is one number for every resource of its account, so it is said in each that has decimals.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from splittally.core.canonical import decode
from splittally.core.commands import Submit
from splittally.edge.records import Decision
from splittally.edge.wording import Wording

from splittally_tools.cli.open_world import frames_of
from splittally_tools.cli.writing import Writing

MAPS = ("budget", "usage", "amounts")


def understood(kernel: Writing, decision: Decision) -> str:
    """The amounts of a native effect that was recorded, in words; empty where there are none."""
    if decision.seq is None:
        return ""
    with frames_of(kernel) as frames:
        command = frames.record(decision.seq).body.command
    assert isinstance(command, Submit)
    params = decode(command.members[0].params)
    terms = params.get("terms")
    told = [*_amounts(params, kernel.state.wording)]
    told += _amounts(terms, kernel.state.wording) if isinstance(terms, Mapping) else []
    return "; ".join(told)


def _amounts(params: Mapping[str, Any], wording: Wording) -> Iterator[str]:
    unit = params.get("resource") or params.get("dim") or ""
    if params.get("amount") and unit:
        yield f"amount {wording.amount(params['amount'], unit)}"
    if params.get("debt_limit"):
        units = sorted(name for name, scale in (wording.scales or {}).items() if scale)
        said = [wording.amount(params["debt_limit"], each) for each in units]
        yield f"debt limit {' or '.join(said) or params['debt_limit']}"
    for name in MAPS:
        given = params.get(name)
        if not isinstance(given, Mapping):  # the name of a budget
            continue
        if unit:
            said = [f"{key} {wording.amount(amount, unit)}" for key, amount in given.items()]
            yield f"{name} {', '.join(said)}"
        else:
            yield f"{name} {wording.amounts(given)}"
    for limit in params.get("limits") or ():
        yield f"limit {wording.amount(limit['amount'], limit['dim'])}"
