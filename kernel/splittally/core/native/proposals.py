"""The rows of proposals: how they are found, opened, taken further, and forgotten.

Rule 1. Whoever sees a budget sees what was proposed to it; the record of each step has who and when.
Rule 2. Open proposals of a budget are bounded, and so are steps and votes of each. Of those that have ended
        the last stay; the journal has all of them.
Rule 3. What is done because people agreed, or at a later time than it was allowed, is done by a grant that
        may do it then: the one that adopted the plan, or the one under which the offer was made.
"""

from collections.abc import Iterator

import msgspec

from splittally.core.budget.parts import is_part
from splittally.core.budget.proposals import AGREE, ASKED, OPEN, VERSION, has_ended
from splittally.core.budget.rows import Proposal, Step
from splittally.core.budget.state import of_budget
from splittally.core.canonical import decode, encode
from splittally.core.events import Defined, Event
from splittally.core.findings import Finding, find
from splittally.core.limits import PROPOSALS_ENDED_MAX, PROPOSALS_OPEN_MAX, TEXT_BYTES_MAX
from splittally.core.native.authority import may_ask
from splittally.core.native.row import NativeCall
from splittally.core.state import State
from splittally.core.types import CAP_NATIVE, BudgetDef

PROPOSALS = "proposals"
TACTICAL = "tactical"


def require_new_name(name: str) -> None:
    """Raises `ValueError` unless a proposal may be called so: its key must name one budget and one of it."""
    if not is_part(name) or "#" in name:
        raise ValueError("a proposal's `name` is text without `/` and `#`")


def require_text(**texts: str) -> None:
    """Raises `ValueError` for a text that is too long."""
    for name, text in texts.items():
        if len(text.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX:
            raise ValueError(f"`{name}` has at most {TEXT_BYTES_MAX} bytes")


def proposal_of(state: State, budget: str, name: str) -> Proposal | None:
    """A budget's proposal of this name; None where there is none."""
    row = state.plans.proposals.get(of_budget(budget, name))
    return row if row is not None and (row.budget, row.name) == (budget, name) else None


def proposals_of(state: State, budget: str) -> Iterator[Proposal]:
    """Every proposal to a budget that is remembered, by name."""
    rows = state.plans.proposals
    beginning = of_budget(budget, "")
    keys = sorted(key for key in rows if key.startswith(beginning))
    return (rows[key] for key in keys if rows[key].budget == budget)


def proposed(
    call: NativeCall, budget: BudgetDef, name: str, kind: str, note: str, amount: int = 0
) -> Proposal:
    """A proposal as it begins: open, of the plan in force, with its first step."""
    return Proposal(
        budget=budget.name,
        name=name,
        kind=kind,
        status=OPEN,
        by=call.principal,
        at_ns=call.now_ns,
        title="",
        resource="",
        amount=amount,
        part="",
        holder="",
        schema=b"",
        base=budget.version,
        basis={},
        steps=[step_of(call, ASKED, amount, note)],
        votes={},
    )


def step_of(call: NativeCall, act: str, amount: int, note: str) -> Step:
    """What the caller says now."""
    return Step(by=call.principal, at_ns=call.now_ns, act=act, amount=amount, note=note)


def standing(state: State, call: NativeCall, budget: BudgetDef, name: str) -> Proposal | None:
    """The proposal of this name; without a name the one on the version in force, which is there at once."""
    if name:
        return proposal_of(state, budget.name, name)
    version = f"{VERSION}{budget.version}"
    found = proposal_of(state, budget.name, version)
    return found if found is not None else proposed(call, budget, version, AGREE, "")


def check_known(state: State, call: NativeCall, budget: str, name: str) -> list[Finding]:
    """Whether there are this budget and this proposal of it."""
    known = state.plans.budgets.get(budget)
    if known is None:
        return [find("not_found", budget=budget)]
    is_there = standing(state, call, known, name) is not None
    return [] if is_there else [find("not_found", proposal=name, budget=budget)]


def known(state: State, call: NativeCall, budget: str, name: str) -> tuple[BudgetDef, Proposal]:
    """A budget and a proposal of it in which `check_known` found nothing missing."""
    found = state.plans.budgets[budget]
    row = standing(state, call, found, name)
    assert row is not None
    return found, row


def check_opening(state: State, budget: str, name: str) -> list[Finding]:
    """Whether one more proposal of this name may be opened; the budget exists."""
    if of_budget(budget, name) in state.plans.proposals:
        return [find("name_taken", name=name, budget=budget)]
    version = state.plans.budgets[budget].version
    opened = sum(row.kind != AGREE and not has_ended(row, version) for row in proposals_of(state, budget))
    if opened >= PROPOSALS_OPEN_MAX:
        return [find("proposals_full", budget=budget, field="proposals", most=PROPOSALS_OPEN_MAX)]
    return []


def recorded(state: State, row: Proposal) -> list[Event]:
    """The events that record a proposal, and forget the oldest that have ended where too many have."""
    events: list[Event] = [proposal_event(row)]
    version = state.plans.budgets[row.budget].version
    others = [other for other in proposals_of(state, row.budget) if other.name != row.name]
    ended = [other for other in [*others, row] if has_ended(other, version)]
    oldest = sorted(ended, key=lambda other: (_last_ns(other), other.name))
    events += [
        Defined(PROPOSALS, of_budget(other.budget, other.name), b"")
        for other in oldest[: max(0, len(ended) - PROPOSALS_ENDED_MAX)]
        if other.name != row.name
    ]
    return events


def proposal_event(row: Proposal) -> Defined:
    """The row of a proposal as it is from now on."""
    value = encode(msgspec.to_builtins(row, builtin_types=(bytes,)))
    return Defined(PROPOSALS, of_budget(row.budget, row.name), value)


def _last_ns(row: Proposal) -> int:
    """When the last was said of it; a review that a rule opened begins without a word."""
    return row.steps[-1].at_ns if row.steps else row.at_ns


def check_covered(
    state: State, grant: str, operation: str, resource: str, account: str, now_ns: int
) -> list[Finding]:
    """Whether a grant and all above it are live and cover an operation on this account now.

    What people decide for good is strategic, whichever effect it is asked by (D-20).
    """
    facts = {"grant": grant, "operation": operation, "account": account}
    if not may_ask(state, grant, operation, resource, account, now_ns):
        return [find("authority_lacking", **facts)]
    params = [state.caps.cap_params(x) for x in state.caps.ancestors(grant) if x.cap == CAP_NATIVE]
    is_low = any(decode(each).get("rank") == TACTICAL for each in params)
    return [find("authority_lacking", **facts, rank=TACTICAL)] if is_low else []
