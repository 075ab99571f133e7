"""Answers as documents: a line of output, the body of a response (spec/02-records.md).

Rule 1. Hashes and keys are lower-case hex. An integer beyond 2^53, which not every reader keeps, is text.
Rule 2. What could not be asked at all is answered in the shape of what it would have been.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from splittally.core.errors import SplittallyError
from splittally.core.findings import Finding, find
from splittally.core.types import DENY
from splittally.edge.records import Answer, Decision, HoldChange, Settlement

INVALID = "invalid"  # the status of a receipt or a change that could not be asked


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as a JSON object; hashes as hex."""
    return {"stage": finding.stage, "code": finding.code, "facts": readable(finding.facts)}


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as the JSON object of its output line."""
    match answer:
        case Decision():
            line: dict[str, Any] = {
                "seq": answer.seq,
                "intent_hash": answer.intent_hash.hex() if answer.intent_hash else None,
                "outcome": answer.outcome,
                "findings": [finding_json(finding) for finding in answer.findings] if answer.findings else [],
                "reserve": _amounts(answer.reserve),
                "duplicate": answer.duplicate,
            }
            if answer.attempt is not None:
                line["attempt"] = answer.attempt.hex()
            return line
        case Settlement():
            return {
                "seq": answer.seq,
                "intent_hash": answer.intent_hash.hex(),
                "status": answer.status,
                "usage": readable(answer.usage),
                "violation": finding_json(answer.violation) if answer.violation else None,
                "violations": [finding_json(violation) for violation in answer.violations],
                **({"findings": list(map(finding_json, answer.findings))} if answer.findings else {}),
            }
        case HoldChange():
            return {
                "seq": answer.seq,
                "intent_hash": answer.intent_hash.hex(),
                "status": answer.status,
                "due_ns": answer.due_ns,
            }


def _amounts(amounts: dict[str, int]) -> dict[str, Any]:
    """What `readable` makes of amounts, for the answer that every intent gets."""
    return {name: n if n <= 2**53 else str(n) for name, n in amounts.items()}


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
