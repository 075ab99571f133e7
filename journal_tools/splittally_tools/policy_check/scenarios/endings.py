"""Effects whose end nobody reports, or reports late: does what is reserved come back, and who pays?"""

from splittally.core.types import OPEN as IS_OPEN
from splittally.core.types import RESERVED, SETTLED
from splittally.edge.wording import span

from splittally_tools.policy_check.case import (
    DAY_NS,
    HOUR_NS,
    SECOND_NS,
    STRANGER,
    YEARS_NS,
    Case,
    attempt,
)
from splittally_tools.policy_check.ground import Stage
from splittally_tools.policy_check.results import COSTS, HELD, OPEN, Change, NotPlayed, Result

HOLD, GIVE_UP, APPROVE = "15m", "24h", "1h"  # what is advised where nothing is stated


def host_dies(case: Case) -> Result:
    """A host is allowed an effect and dies before it starts it."""
    stage = case.ground.stage()
    decision = case.opened(stage)
    assert decision.intent_hash is not None
    due_ns = stage.due_ns(decision.intent_hash)
    begun_ns = stage.now_ns
    stage.later(YEARS_NS)
    row = stage.outcome(decision.intent_hash)
    reserved = case.amounts(decision.reserve)
    if row.status == RESERVED and row.phase == IS_OPEN:
        return Result(OPEN, f"{reserved} stay reserved for ever", (case.set("hold_ns_max", value=HOLD),))
    return Result(HELD, f"{reserved} come back after {span(due_ns - begun_ns)}")


def never_answers(case: Case) -> Result:
    """A host starts an effect and is never heard of again."""
    stage = case.ground.stage()
    decision = case.opened(stage)
    assert decision.intent_hash is not None
    stage.dispatch(decision.intent_hash, attempt("a"), case.who)
    stage.later(YEARS_NS)
    return _given_up(case, stage, decision.intent_hash)


def outcome_unknown(case: Case) -> Result:
    """A host starts an effect and says that it cannot tell what became of it."""
    stage = case.ground.stage()
    decision = case.opened(stage)
    assert decision.intent_hash is not None
    case.begin(stage, decision)
    stage.settle(case.receipt(decision, status="unknown"), case.who)
    stage.later(YEARS_NS)
    return _given_up(case, stage, decision.intent_hash)


def _given_up(case: Case, stage: Stage, digest: bytes) -> Result:
    """What is held after ten years more of an effect whose outcome nobody told."""
    stage.later(YEARS_NS)  # what was unknown only from the first of these times on has its own span
    row = stage.outcome(digest)
    if row.status != RESERVED:
        return Result(COSTS, f"given up in the end, {_borne(case, row)}")
    lines: list[Change] = []
    if row.phase != "unknown" and not case.states("hold_ns_max"):
        lines.append(case.set("hold_ns_max", value=HOLD))
    if not case.states("unknown_ns"):
        lines.append(case.set("unknown_ns", value=GIVE_UP))
    return Result(OPEN, f"{case.amounts(row.reserve)} stay reserved for ever", tuple(lines))


def _borne(case: Case, row: object) -> str:
    charged = case.amounts(getattr(row, "charged", None) or {})
    if getattr(row, "status", "") != SETTLED:
        return f"charged {charged}"
    pays = "" if not case.states("paid_by") else f"; the money goes by `doubt`, here {case.grant.doubt}"
    return f"charged {charged} although nobody knows{pays}"


def receipt_late(case: Case) -> Result:
    """An effect takes longer than its reservation lasts, and its receipt comes afterwards."""
    stage = case.ground.stage()
    decision = case.opened(stage)
    assert decision.intent_hash is not None
    due_ns = stage.due_ns(decision.intent_hash)
    if not due_ns:
        stage.later(YEARS_NS)
    case.begin(stage, decision)
    if due_ns:
        stage.later(due_ns - stage.now_ns + SECOND_NS)
    settled = stage.settle(case.receipt(decision), case.who)
    charged = case.amounts(stage.outcome(decision.intent_hash).charged or {})
    if settled.status != "late":
        return Result(HELD, f"it is `{settled.status}` and charged {charged}")
    told = f"charged {charged} after the reservation was given back: by so much limits may be passed"
    return Result(COSTS, told, (case.set("dispatch", value=True),))


def receipt_twice(case: Case) -> Result:
    """A receipt is sent twice."""
    stage = case.ground.stage()
    decision = case.opened(stage)
    assert decision.intent_hash is not None
    case.begin(stage, decision)
    stage.settle(case.receipt(decision), case.who)
    before = stage.outcome(decision.intent_hash).charged
    again = stage.settle(case.receipt(decision), case.who)
    is_held = again.status == "duplicate" and stage.outcome(decision.intent_hash).charged == before
    told = f"the second is a `{again.status}`, charged once: {case.amounts(before)}"
    return Result(HELD if is_held else OPEN, told)


def receipt_forged(case: Case) -> Result:
    """Somebody else reports that the effect cost nothing."""
    stage = case.ground.stage()
    decision = case.opened(stage)
    said = stage.settle(case.receipt(decision, status="error"), STRANGER)
    is_held = said.status == "not_found"
    return Result(HELD if is_held else OPEN, f"`{STRANGER}` hears `{said.status}`")


def grant_revoked(case: Case) -> Result:
    """The grant is revoked while an effect under it runs."""
    stage = case.ground.stage()
    decision = case.opened(stage)
    assert decision.intent_hash is not None
    case.begin(stage, decision)
    if not stage.native("grant.revoke", name=case.grant.name).allowed:
        raise NotPlayed("the operator cannot revoke it")
    refused = stage.submit(case.intent("b", "b"), case.who)
    settled = stage.settle(case.receipt(decision), case.who)
    charged = case.amounts(stage.outcome(decision.intent_hash).charged or {})
    is_held = not refused.allowed and settled.status == "settled"
    told = f"what is new is refused; what runs is `{settled.status}`, charged {charged}"
    return Result(HELD if is_held else OPEN, told)


def used_for_ever(case: Case) -> Result:
    """A grant that everybody has forgotten is used in ten years."""
    stage = case.ground.stage()
    stage.later(YEARS_NS)
    decision = stage.submit(case.intent(), case.who)
    if decision.outcome == "deny":
        return Result(HELD, decision.reason)
    year = 1970 + stage.now_ns // (365 * DAY_NS + 6 * HOUR_NS) - 8
    line = case.set("expiry", value=f"{year}-01-01T00:00:00Z")
    return Result(COSTS, f"it still gives `{decision.outcome}`: nothing ends this grant", (line,))
