"""Answers as documents: a line of output, the body of a response (spec/02-records.md).

Rule 1. Hashes and keys are lower-case hex. An integer beyond 2^53, which not every reader keeps, is text.
        CBOR has bytes and whole integers, and there they stand as they are.
Rule 2. What could not be asked at all is answered in the shape of what it would have been.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from splittally.core.errors import SplittallyError
from splittally.core.findings import Finding, find
from splittally.core.limits import INT_MAX, INT_MIN
from splittally.core.types import DENY
from splittally.edge.records import Answer, Decision, HoldChange, Settlement

Say = Callable[[Any], Any]  # a value as an encoding has it: `readable` for JSON, `exact` for CBOR
INVALID = "invalid"  # the status of a receipt or a change that could not be asked


def readable(value: Any) -> Any:
    """A value with bytes as hex and integers beyond 2^53 as text, for JSON output."""
    match value:
        case bytes():
            return value.hex()
        case bool() | None | str() | float():
            return value
        case int():
            return value if -(2**53) <= value <= 2**53 else str(value)
        case Mapping():
            return {key: readable(item) for key, item in value.items()}
        case list() | tuple():
            return [readable(item) for item in value]
        case _:
            return readable(msgspec.to_builtins(value, builtin_types=(bytes,)))


def exact(value: Any) -> Any:
    """A value of the data model as it is, for CBOR; an integer beyond 64 bits as text."""
    match value:
        case bytes() | bool() | None | str() | float():
            return value
        case int():
            return value if INT_MIN <= value <= INT_MAX else str(value)
        case Mapping():
            return {key: exact(item) for key, item in value.items()}
        case list() | tuple():
            return [exact(item) for item in value]
        case _:
            return exact(msgspec.to_builtins(value, builtin_types=(bytes,)))


def finding_json(finding: Finding, say: Say = readable) -> dict[str, Any]:
    """A finding as a JSON object; hashes as hex."""
    return {"stage": finding.stage, "code": finding.code, "facts": say(finding.facts)}


def answer_json(answer: Answer, say: Say = readable) -> dict[str, Any]:
    """An answer as the JSON object of its output line, or as `say` says its values."""
    match answer:
        case Decision():
            line: dict[str, Any] = {
                "seq": answer.seq,
                "intent_hash": say(answer.intent_hash) if answer.intent_hash else None,
                "outcome": answer.outcome,
                "findings": [finding_json(finding, say) for finding in answer.findings]
                if answer.findings
                else [],
                "reserve": _amounts(answer.reserve) if say is readable else answer.reserve,
                "duplicate": answer.duplicate,
            }
            if answer.attempt is not None:
                line["attempt"] = say(answer.attempt)
            return line
        case Settlement():
            return {
                "seq": answer.seq,
                "intent_hash": say(answer.intent_hash),
                "status": answer.status,
                "usage": say(answer.usage),
                "violation": finding_json(answer.violation, say) if answer.violation else None,
                "violations": [finding_json(violation, say) for violation in answer.violations],
                **({"findings": [finding_json(x, say) for x in answer.findings]} if answer.findings else {}),
            }
        case HoldChange():
            return {
                "seq": answer.seq,
                "intent_hash": say(answer.intent_hash),
                "status": answer.status,
                "due_ns": answer.due_ns,
            }


def _amounts(amounts: dict[str, int]) -> dict[str, Any]:
    """What `readable` makes of amounts, for the answer that every intent gets."""
    return {name: n if n <= 2**53 else str(n) for name, n in amounts.items()}


def finding_of(error: SplittallyError) -> Finding:
    """An error as the finding of an answer."""
    facts = {key: value for key, value in error.facts.items() if key not in ("code", "message", "line")}
    code = "input.too_large" if "bytes_max" in facts else str(error.facts.get("code", "input.invalid"))
    return find(code, message=str(error).removeprefix("line 1, "), **facts)


def refused_intent(finding: Finding) -> dict[str, Any]:
    """The answer to an intent that was not asked."""
    return {
        "seq": None,
        "intent_hash": None,
        "outcome": DENY,
        "findings": [finding_json(finding)],
        "reserve": {},
        "duplicate": False,
    }


def refused_change(finding: Finding) -> dict[str, Any]:
    """The answer to a receipt, a release, an extension or a dispatch that was not asked."""
    return {"seq": None, "intent_hash": None, "status": INVALID, "findings": [finding_json(finding)]}


def told(answer: Any, document: Any = None, say: Say = readable) -> dict[str, Any]:
    """An answer as its document, with what a host asks first: may it act, and why not.

    An error is told in the shape of what was asked.
    """
    if isinstance(answer, list):
        return {"all": [told(each, say=say) for each in answer]}
    if isinstance(answer, SplittallyError):
        is_intent = isinstance(document, dict) and not document.keys().isdisjoint(("kind", "all", "first"))
        finding = finding_of(answer)
        refused = {**refused_intent(finding), "allowed": False} if is_intent else refused_change(finding)
        return {**refused, "reason": str(answer)}
    line = answer_json(answer, say)
    if type(answer) is Decision:
        line["allowed"] = answer.allowed
        if answer.findings:
            line["reason"], line["advice"] = answer.reason, answer.advice
    elif reason := answer.reason:
        line["reason"] = reason
    return line
