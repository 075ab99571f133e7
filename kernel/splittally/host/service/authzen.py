"""The AuthZEN Authorization API 1.0: `/access/v1/evaluation`, answered by what `decide` would say now.

    {"subject": {"type": "host", "id": "agent"},          the principal that would ask
     "resource": {"type": "grant", "id": "mail"},         the grant it would ask under
     "action": {"name": "mail.send", "properties": {...}}} the effect kind, and its params

Rule 1. Nothing is held by an evaluation; a decision of true is no permission to act. `context` says so.
Rule 2. Who may act as anybody may ask for any subject; anybody else for itself.
"""

from collections.abc import Mapping
from typing import Any

from splittally.edge.answer_lines import finding_json
from splittally.edge.records import At, Intent
from splittally.host.service.problems import Problem
from splittally.host.service.service import Service
from splittally.runtime.callers import Caller

NOTHING_HELD = "nothing is held: submit the intent before you act"


async def evaluation(service: Service, caller: Caller, asked: Any) -> dict[str, Any]:
    """`decision`, and in `context` the reasons."""
    subject, resource, action = (_part(asked, name) for name in ("subject", "resource", "action"))
    principal, grant, kind = _text(subject, "id"), _text(resource, "id"), _text(action, "name")
    if principal != caller.principal:
        if not caller.may_name_others:
            raise Problem(403, "forbidden", f"you ask as `{caller.principal}` and may name nobody else")
        caller = Caller(principal, ())
    params = action.get("properties", {})
    decision = await service.judged(caller, At(None, Intent(kind, params, grant)))
    context = {
        "outcome": decision.outcome,
        "reason": decision.reason,
        "advice": decision.advice,
        "findings": [finding_json(finding) for finding in decision.findings],
        "note": NOTHING_HELD,
    }
    return {"decision": decision.allowed, "context": context}


def _part(asked: Any, name: str) -> Mapping[str, Any]:
    part = asked.get(name) if isinstance(asked, Mapping) else None
    if not isinstance(part, Mapping):
        raise Problem(400, "invalid_input", f"`{name}` is an object")
    return part


def _text(part: Mapping[str, Any], name: str) -> str:
    text = part.get(name)
    if not isinstance(text, str):
        raise Problem(400, "invalid_input", f"`{name}` is a text")
    return text
