"""Which dimensions a grant can count: a limit on any other never binds, and that is said when it is made.

Rule 1. What is counted is what the cap's enforcer reserves or uses; the table is that of the READMEs.
Rule 2. A module that is not of the release may count anything, so nothing is said of it.
Rule 3. It is a warning beside the answer and in views, never a refusal: decisions do not rest on it.

Example. `{"cap": "sys/llm.basic@1", "budget": {"tokns": 5, "USD": 9}}`: tokens are counted, and USD only
with `prices` in USD, so `limit_uncounted` names `USD` and `tokns`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from splittally.core.canonical import decode
from splittally.core.caps.state import limits_of
from splittally.core.findings import Finding, find
from splittally.core.state import State
from splittally.core.topups import TopUp
from splittally.core.types import CAP_ALL, Grant
from splittally.edge.amounts import BESIDE
from splittally.edge.records import Decision
from splittally.edge.small_prices import below_unit

Params = Mapping[str, Any]
ANY = None  # of a grant that may count every dimension


def _map(value: Any) -> Params:
    return value if isinstance(value, Mapping) else {}


def _fixed(*dims: str) -> Callable[[Params], set[str] | None]:
    return lambda params: set(dims)


def _llm(params: Params) -> set[str]:
    return {"tokens", *(row["resource"] for row in _priced(params))}


def _llm_beside(params: Params) -> set[str]:
    """The same, and the provider's own figure where the table says the scale of its resource."""
    told = (row["resource"] for row in _priced(params) if "since_ns" in row or row.get("scale") is not None)
    return _llm(params) | {f"{resource}{BESIDE}" for resource in told}


def _priced(params: Params) -> list[Params]:
    """What names a resource in `prices`: the snapshots of a grant, whose tables say its scale, or a table."""
    prices = _map(params.get("prices"))
    rows = prices.get("snapshots", [prices])
    found = [_map(row) for row in rows] if isinstance(rows, list) else []
    return [row for row in found if isinstance(row.get("resource"), str)]


def _allow(params: Params) -> set[str] | None:
    return ANY if "reserve" in params else set()  # without one the receipt is not read


def _cost(params: Params) -> set[str]:
    return {str(params.get("dimension", "cost_cents"))}


def _spend(params: Params) -> set[str] | None:
    listed = params.get("resources")
    return set(map(str, listed)) if isinstance(listed, list) and listed else ANY


def _rules(params: Params) -> set[str]:
    return {*_map(params.get("reserve")), *_map(params.get("usage"))}


COUNTED: dict[str, Callable[[Params], set[str] | None]] = {
    "sys/CapAllowAll@1": _allow,
    "sys/CapEnforceBlob@1": _fixed("bytes"),
    "sys/CapEnforceCost@1": _cost,
    "sys/CapEnforceEmail@1": _fixed("mails", "recipients", "bytes"),
    "sys/CapEnforceFs@1": _fixed("calls", "bytes_read", "bytes_written"),
    "sys/CapEnforceHttpOut@1": _fixed("requests", "bytes", "bytes_received"),
    "sys/CapEnforceLlm@1": _llm_beside,
    "sys/CapEnforceLlmBasic@1": _llm,
    "sys/CapEnforceMcp@1": _fixed("calls", "cost_cents"),
    "sys/CapEnforceNative@1": _fixed(),
    "sys/CapEnforceRules@1": _rules,
    "sys/CapEnforceRules@2": _rules,
    "sys/CapEnforceShell@1": _fixed("runs", "seconds"),
    "sys/CapEnforceSpend@1": _spend,
    "sys/CapEnforceSql@1": _fixed("statements", "rows"),
}


def counted_by(state: State, grant: Grant) -> set[str] | None:
    """The dimensions that the enforcer of a grant reserves or uses; `ANY` where that cannot be told."""
    if grant.cap == CAP_ALL:
        return set()  # it asks nobody
    enforcer = state.caps.caps[grant.cap].enforcer
    names = [name for name in COUNTED if state.caps.modules.get(name) == enforcer]
    return COUNTED[names[0]](decode(state.caps.cap_params(grant))) if names else ANY


def uncounted(state: State, name: str) -> list[str]:
    """The dimensions that a grant limits and nothing counts, sorted."""
    grant = state.caps.grants[name]
    limited = {limit.dim for limit in limits_of(grant)}
    counted = counted_by(state, grant) if limited else ANY
    return [] if counted is ANY else sorted(limited - counted)


def standing_topups(state: State, name: str) -> list[TopUp]:
    """The top-ups of a grant that have not ended yet, the first to end first."""
    found = [topup for topup in state.ledger.topups.values() if topup.scope == name]
    return sorted(found, key=lambda x: (x.until_ns, x.dim, x.per, x.amount))


def warned(decision: Decision, state: State, names: Iterable[str]) -> Decision:
    """The answer to what made these grants, with a finding for each that limits what nothing counts.

    So is a price table that is too small for its resource (`small_prices.py`), and each top-up that stands
    beside what was stated.
    """
    if not decision.allowed:
        return decision
    names = list(names)
    findings: list[Finding] = below_unit(state, names)
    for name in names:
        for topup in standing_topups(state, name) if state.ledger.topups else ():
            facts = {"amount": topup.amount, "until_ns": topup.until_ns}
            findings.append(find("topup_stands", grant=name, dim=topup.dim, per=topup.per, **facts))
        dims = uncounted(state, name)
        if dims:
            grant = state.caps.grants[name]
            counted = sorted(counted_by(state, grant) or ())
            findings.append(find("limit_uncounted", grant=name, cap=grant.cap, dims=dims, available=counted))
    return replace(decision, findings=(*decision.findings, *findings)) if findings else decision
