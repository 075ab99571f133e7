"""Findings: why a decision is what it is, as values with numbers.

Rule 1. A finding is `{stage, code, facts}`; text never decides anything.
Rule 2. A number in the facts that the data model cannot hold, nested or not, is shown as the nearest it can.
Rule 3. `facts["next"]` says what the caller can do: retry_after, replan, top_up, ask_approval, escalate,
        look_again, confirm, new_key. It comes with the code (`reasons.py`), so the same refusal gives the
        same advice; it is another only where the numbers say that this advice cannot help (`advising`).
"""

from typing import Any

from msgspec import Struct

from splittally.core.amounts import shown
from splittally.core.reasons import REASONS

Facts = dict[str, Any]


class Finding(Struct, frozen=True, array_like=True, gc=False):
    """One reason: the stage that found it, its code, and the numbers that made it so."""

    stage: str
    code: str
    facts: Facts


def find(code: str, **facts: Any) -> Finding:
    """The finding with this code of the kernel's closed list, its stage and its advice."""
    reason = REASONS[code]
    facts = shown_facts(facts)
    if reason.advice:
        facts["next"] = reason.advice
    return Finding(reason.stage, code, facts)


def advising(finding: Finding, advice: str, **facts: Any) -> Finding:
    """The same finding with other advice, and more facts."""
    return Finding(finding.stage, finding.code, {**finding.facts, **facts, "next": advice})


def shown_facts(value: Any) -> Any:
    """The value with every integer in it, at any depth, as `shown` gives it; facts of records pass here."""
    match value:
        case bool():
            return value
        case int():
            return shown(value)
        case dict():
            return {name: shown_facts(each) for name, each in value.items()}
        case list():
            return [shown_facts(each) for each in value]
    return value


def has_code(finding: Finding, code: str) -> bool:
    """Whether this is the kernel's own finding with this code: an enforcer may use the same word."""
    return finding.code == code and finding.stage == REASONS[code].stage
