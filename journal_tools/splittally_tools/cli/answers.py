"""Decisions, settlements and changed reservations for people: what happened, why, what to do next."""

from splittally.core.findings import Finding, has_code
from splittally.core.reasons import ASK_APPROVAL, ESCALATE, NEW_KEY, REASONS, REPLAN, RETRY_AFTER, TOP_UP
from splittally.core.types import ALLOW, REQUIRE_APPROVAL
from splittally.edge.records import Answer, Decision, HoldChange, Settlement

from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.output import Page, say, word

ADVICE = {
    RETRY_AFTER: "ask again later",
    REPLAN: "ask for something else",
    TOP_UP: "raise the limit or fund the account, then ask again",
    ASK_APPROVAL: "have it approved: `tally approve HASH`",
    ESCALATE: "ask whoever issued the grant or wrote the policy",
    NEW_KEY: "this answer is final for its key: to ask again, give a new key",
}
DONE_STATUSES = ("settled", "held", "late", "duplicate", "released", "extended", "dispatched")


def code_of_answer(answer: Answer) -> int:
    """0 for what was done, 1 for what was refused, also where what was approved could no longer be done."""
    if isinstance(answer, Decision):
        is_stale = any(has_code(finding, "approval_stale") for finding in answer.findings)
        return DONE if answer.outcome in (ALLOW, REQUIRE_APPROVAL) and not is_stale else REFUSED
    return DONE if answer.status in DONE_STATUSES else REFUSED


def show_answer(out: Page, answer: Answer) -> None:
    """One line for the answer and one for each reason."""
    style = "green" if code_of_answer(answer) == DONE else "red"
    say(out, summary(answer), style)
    findings: tuple[Finding, ...] = ()
    match answer:
        case Decision():
            findings = answer.findings
        case Settlement():
            findings = (*answer.violations, *answer.findings)
    show_reasons(out, findings)


def show_reasons(out: Page, findings: tuple[Finding, ...]) -> None:
    """One line for each reason."""
    for finding in findings:
        say(out, f"  {reason(finding)}")


def summary(answer: Answer) -> str:
    """An answer in one line."""
    digest = answer.intent_hash.hex() if answer.intent_hash else "no intent"
    place = f"seq {answer.seq}" if answer.seq is not None else "not recorded"
    match answer:
        case Decision():
            again = ", answered before" if answer.duplicate else ""
            return f"{answer.outcome} ({place}{again}) {digest}{_amounts(' reserves', answer.reserve)}"
        case Settlement():
            return f"{answer.status} ({place}) {digest}{_amounts(' used', answer.usage)}"
        case HoldChange():
            due = f" until {answer.due_ns}" if answer.due_ns else ""
            return f"{answer.status} ({place}) {digest}{due}"


def reason(finding: Finding) -> str:
    """A finding in one line: what was found, the numbers, and what to do next."""
    known = REASONS.get(finding.code)
    meaning = known.meaning if known is not None and known.stage == finding.stage else ""
    facts = {key: value for key, value in finding.facts.items() if key not in ("next", "then", "message")}
    said = finding.facts.get("message")
    parts = [f"{finding.stage} {finding.code}"]
    parts += [f": {text}" for text in (meaning, word(said) if said else "") if text]
    parts += [f" ({word(facts)})"] if facts else []
    advice = [ADVICE[x] for name in ("then", "next") if (x := str(finding.facts.get(name))) in ADVICE]
    return "; ".join(["".join(parts), *advice])


def _amounts(verb: str, amounts: dict[str, int]) -> str:
    return f"{verb} {word(amounts)}" if amounts else ""
