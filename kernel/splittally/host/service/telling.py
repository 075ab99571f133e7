"""What a caller is told of an answer: nothing of what is another's. Its document is made in the edge.

Rule 1. A caller sees its own intents; operators and auditors see all.
Rule 2. That somebody else holds a grant is told as that there is none. Root stands in every world, so it is
        named.
"""

from collections.abc import Mapping
from typing import Any

from splittally.core.findings import Finding, find, has_code
from splittally.core.types import ROOT, Grant
from splittally.edge.records import Decision, Group, Intent, Request
from splittally.edge.seal import Refused
from splittally.runtime.answers import answer_refused
from splittally.runtime.callers import Caller
from splittally.runtime.rows import Row


def may_see(caller: Caller, outcome: Row) -> bool:
    """Whether a caller may see an intent: its own, unless the grant is another's, which it does not know."""
    is_own = outcome.principal == caller.principal and not any(map(_is_foreign, outcome.findings))
    return is_own or caller.may_see_all


def _is_foreign(finding: Finding) -> bool:
    return has_code(finding, "not_holder") and finding.facts.get("grant") != ROOT


def veiled(caller: Caller, grants: Mapping[str, Grant], request: Request, answer: Any) -> Any:
    """An answer as this caller may know it: under a grant that is another's, as if there were none."""
    if caller.may_see_all or not isinstance(request, Intent | Group):
        return answer
    for intent in request.intents if isinstance(request, Group) else (request,):
        grant = grants.get(intent.grant) if type(intent.grant) is str else None
        if grant is not None and grant.holder != caller.principal and grant.name != ROOT:
            unknown = Refused(find("unknown_grant", grant=intent.grant))
            return answer_refused(request, unknown) if _looked_at_grants(answer) else answer
    return answer


def _looked_at_grants(answer: Any) -> bool:
    """Whether an answer comes from where an unknown grant would have been seen."""
    if type(answer) is Decision:
        return not any(finding.code in ("busy", "unknown_kind") for finding in answer.findings)
    return type(answer) is list


def is_busy(decision: Decision) -> bool:
    """Whether an intent found the queue full."""
    return any(finding.code == "busy" for finding in decision.findings)
