"""Crashes, lost replies and retries: is an effect ever admitted, reserved or charged twice?

Rule 1. A kernel that crashes is gone with all that it had in memory; the next one has the committed frames.
Rule 2. One key and one attempt is one host asking again. Another attempt is another host, or one that forgot.
"""

from splittally.core.types import ADMITTED
from splittally.edge.records import Decision

from splittally_tools.policy_check.case import Case, attempt
from splittally_tools.policy_check.effects import JOB
from splittally_tools.policy_check.ground import Stage
from splittally_tools.policy_check.results import HELD, OPEN, NotPlayed, Result
from splittally_tools.testing.faults import AFTER, BEFORE


def crash_before(case: Case) -> Result:
    """The kernel dies before it has written its answer; the host asks again."""
    return _crashed(case, BEFORE, is_known=False)


def crash_after(case: Case) -> Result:
    """The kernel dies when its answer is written and not told; the host asks again."""
    return _crashed(case, AFTER, is_known=True)


def _crashed(case: Case, fate: str, is_known: bool) -> Result:
    stage = case.ground.crashing()
    stage.crash(fate, lambda: stage.submit(case.intent(), case.who))
    decision = stage.submit(case.intent(), case.who)
    told = "the answer that was written" if decision.duplicate else "a first answer"
    return _once(case, stage, decision, decision.duplicate == is_known, f"asked again it gets {told}")


def _once(case: Case, stage: Stage, decision: Decision, is_right: bool, told: str) -> Result:
    """Held where it is right and one intent is reserved."""
    holds = [row for row in stage.kernel.state.reservations.values() if row["grant"] == case.grant.name]
    before = len([x for x in case.ground.kernel.state.reservations.values() if x["grant"] == case.grant.name])
    is_one = decision.outcome in ADMITTED and len(holds) - before == 1
    reserved = f"{case.amounts(decision.reserve)} reserved once"
    return Result(HELD if is_right and is_one else OPEN, f"{told}: `{decision.outcome}`, {reserved}")


def crash_settling(case: Case) -> Result:
    """The kernel dies when a receipt is written and not told; the host reports again."""
    stage = case.ground.crashing()
    decision = case.opened(stage)
    case.begin(stage, decision)
    receipt = case.receipt(decision)
    stage.crash(AFTER, lambda: stage.settle(receipt, case.who))
    again = stage.settle(receipt, case.who)
    charged = case.amounts(stage.outcome(receipt.intent_hash).charged)
    is_held = again.status == "duplicate"
    return Result(HELD if is_held else OPEN, f"the receipt is a `{again.status}`, charged once: {charged}")


def double_retry(case: Case) -> Result:
    """A host sends one request twice."""
    stage = case.ground.stage()
    stage.submit(case.intent(), case.who)
    decision = stage.submit(case.intent(), case.who)
    return _once(case, stage, decision, decision.duplicate, "the second is the first again")


def lost_reply(case: Case) -> Result:
    """The reply is lost, and a host that remembers the key and not the attempt asks again."""
    stage = case.ground.stage()
    first = stage.submit(case.intent(sent="a"), case.who)
    again = stage.submit(case.intent(sent="b"), case.who)
    told = f"the other attempt may not act ({again.reason or again.outcome})"
    return _once(case, stage, first, not again.allowed, told)


def new_key(case: Case) -> Result:
    """A host waits too long for a reply and asks for the same job under a new key."""
    stage = case.ground.stage()
    labels = case.intent().labels
    first = stage.submit(case.intent(), case.who)
    again = stage.submit(case.intent("b", "b", labels=labels), case.who)
    if again.outcome not in ADMITTED:
        return Result(HELD, f"the second is refused: {again.reason}")
    dims = [dim for dim, amount in sorted(first.reserve.items()) if amount]
    twice = case.amounts({dim: 2 * first.reserve[dim] for dim in dims})
    told = f"both are `{again.outcome}`: the job is paid twice, {twice} reserved"
    advice = "a host keeps one key for each job (`idempotency_key`)"
    if not dims:
        return Result(OPEN, told, advice=advice)
    limit = {"dim": dims[0], "per": "day", "by": f"labels.{JOB}"}
    limit["amount"] = case.spelled(first.reserve[dims[0]], dims[0])
    advice += f"; the limit is for hosts that label what they ask for with its `{JOB}`, an amount of one job"
    return Result(OPEN, told, (case.add("limits", limit),), advice)


def key_reused(case: Case) -> Result:
    """A host asks for something else under the key of a job."""
    stage = case.ground.stage()
    if not case.effects.others:
        raise NotPlayed("only one effect was found that this grant admits")
    stage.submit(case.intent(), case.who)
    again = stage.submit(case.intent(effect=case.effects.others[0]), case.who)
    codes = [finding.code for finding in again.findings]
    is_held = "idempotency.conflict" in codes
    return Result(HELD if is_held else OPEN, again.reason or f"it is `{again.outcome}`")


def takeover(case: Case) -> Result:
    """A host is allowed an effect and falls silent; another takes the job over and starts it."""
    stage = case.ground.stage()
    decision = case.opened(stage)
    assert decision.intent_hash is not None
    case.begin(stage, decision, "a")
    said = stage.dispatch(decision.intent_hash, attempt("b"), case.who)
    if said == "dispatched":
        told = "nobody knows that the first has started it: both act"
        return Result(OPEN, told, (case.set("dispatch", value=True),))
    return Result(HELD, f"the second hears `{said}` and does not act")
