"""Approvals that are given to oneself, by nobody, by the wrong one, or stolen."""

from splittally.core.types import OPERATOR, REQUIRE_APPROVAL, RESERVED
from splittally.edge.records import Decision
from splittally.edge.wording import few, span

from splittally_tools.policy_check.case import STRANGER, YEARS_NS, Case, attempt
from splittally_tools.policy_check.ground import Stage
from splittally_tools.policy_check.results import COSTS, HELD, OPEN, Change, NotPlayed, Result
from splittally_tools.policy_check.scenarios.endings import APPROVE

AUTHORITY = (
    "approvers need a grant of `sys/native@1` that covers `approval.answer`, and a policy that allows it"
)


def _waiting(case: Case, stage: Stage) -> tuple[Decision, bytes]:
    """An intent that waits for approval."""
    effect = case.effects.waiting
    if effect is None:
        raise NotPlayed("no effect was found that waits for approval")
    decision = stage.submit(case.intent(effect=effect), case.who)
    if decision.outcome != REQUIRE_APPROVAL or decision.intent_hash is None:
        raise NotPlayed(f"the effect does not wait: {decision.reason or decision.outcome}")
    return decision, decision.intent_hash


def _rules(case: Case, decision: Decision) -> list[tuple[int, str]]:
    """The rules of the policy for which an intent waits and that name no approvers, by place."""
    waits = {finding.facts.get("name") for finding in decision.findings}
    return [
        (at, rule.name)
        for at, rule in enumerate(case.ground.state.rules)
        if rule.name in waits and not rule.approvers
    ]


def _may_approve(case: Case, digest: bytes, names: list[str]) -> list[str]:
    """Those by whose answer what waits comes nearer, each tried on a play of its own."""
    found = []
    for name in names:
        stage = case.ground.stage()
        _waiting(case, stage)
        before = sum(ask["missing"] for ask in stage.outcome(digest).waits_for)
        stage.approve(digest, name)
        if sum(ask["missing"] for ask in stage.outcome(digest).waits_for) < before:
            found.append(name)
    return found


def approved_by_asker(case: Case) -> Result:
    """Who asked approves it."""
    stage = case.ground.stage()
    _, digest = _waiting(case, stage)
    answer = stage.approve(digest, case.who)
    if not answer.allowed:
        return Result(HELD, answer.reason)
    line = case.set("holder", value=f"agent-{case.grant.name}".replace("/", "-"))
    told = f"`{case.who}` asks and approves: nobody else looks at it"
    return Result(
        OPEN, told, (line,), "let programs ask as a principal of their own, and people approve as another"
    )


def approved_by_other(case: Case) -> Result:
    """Somebody approves who is no approver."""
    stage = case.ground.stage()
    decision, digest = _waiting(case, stage)
    named = [name for ask in stage.outcome(digest).waits_for for name in ask["approvers"]]
    tried = [x for x in [STRANGER, *case.approvers(stage, digest)] if x not in named and x != case.who]
    could = _may_approve(case, digest, list(dict.fromkeys(tried)))
    rules = _rules(case, decision)
    if not could or could == [OPERATOR]:
        return Result(HELD, f"beside {few(named)} nobody can" if named else "nobody but the operator can")
    told = f"{few(could)} may approve it as well"
    lines = tuple(Change(("policy", at, "approvers"), [OPERATOR], name) for at, name in rules)
    words = (
        "" if lines else "a limit that asks is answered by whoever may approve; a rule names its `approvers`"
    )
    return Result(OPEN if STRANGER in could else COSTS, told, lines, words)


def approvers_answer(case: Case) -> Result:
    """Those who may approve do."""
    stage = case.ground.stage()
    _, digest = _waiting(case, stage)
    answered, refused = [], ""
    for name in case.approvers(stage, digest):
        answer = stage.approve(digest, name)
        if answer.allowed:
            answered.append(name)
        refused = refused or (f"`{name}` hears: {answer.reason}" if not answer.allowed else "")
        if not stage.outcome(digest).waits_for:
            return Result(HELD, f"approved by {few(answered)}, it may be done")
    return Result(OPEN, f"nobody can approve it; {refused}", advice=AUTHORITY)


def approval_stolen(case: Case) -> Result:
    """Somebody else starts what was approved, and something dearer is asked for under its key."""
    stage = case.ground.stage()
    decision, digest = _waiting(case, stage)
    case.approve(stage, decision)
    said = stage.dispatch(digest, attempt("thief"), STRANGER)
    other = next((x for x in (*case.effects.others, case.effect) if x != case.effects.waiting), None)
    again = None if other is None else stage.submit(case.intent(sent="thief", effect=other), case.who)
    is_held = said != "dispatched" and (again is None or not again.allowed)
    told = f"`{STRANGER}` hears `{said}`" + ("" if again is None else f"; {again.reason}")
    return Result(HELD if is_held else OPEN, told)


def approval_never(case: Case) -> Result:
    """Nobody answers what waits for approval."""
    stage = case.ground.stage()
    decision, digest = _waiting(case, stage)
    due_ns, begun_ns = stage.due_ns(digest), stage.now_ns
    stage.later(YEARS_NS)
    reserved = case.amounts(decision.reserve)
    if stage.outcome(digest).status == RESERVED:
        line = case.set("approval_ns", value=APPROVE)
        return Result(OPEN, f"{reserved} stay reserved for ever", (line,))
    return Result(HELD, f"released after {span(due_ns - begun_ns)}; {reserved} come back")


def without_approval(case: Case) -> Result:
    """A host does not wait for the approval, and acts."""
    stage = case.ground.stage()
    decision, digest = _waiting(case, stage)
    if case.must_dispatch:
        said = stage.dispatch(digest, attempt("a"), case.who)
        return Result(HELD if said != "dispatched" else OPEN, f"it hears `{said}` when it starts the effect")
    settled = stage.settle(case.receipt(decision, effect=case.effects.waiting), case.who)
    codes = ", ".join(f"`{violation.code}`" for violation in settled.violations)
    told = f"charged {case.amounts(settled.usage)} and recorded as {codes}: seen afterwards, not prevented"
    return Result(COSTS, told, (case.set("dispatch", value=True),))
