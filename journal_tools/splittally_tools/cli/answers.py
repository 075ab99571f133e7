"""Decisions, settlements and changed reservations for people: what happened, why, what to do next."""

from splittally.core.findings import Finding, has_code
from splittally.core.types import ALLOW, REQUIRE_APPROVAL
from splittally.edge.json_values import printable
from splittally.edge.records import Answer, Decision, HoldChange, Settlement, wording_in
from splittally.edge.sentences import sentence
from splittally.edge.wording import Wording, short_hash

from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.output import Page, say

UNKNOWN = Wording()
DONE_STATUSES = ("settled", "held", "late", "duplicate", "released", "extended", "dispatched")


def code_of_answer(answer: Answer) -> int:
    """0 for what was done, 1 for what was refused, also where what was approved could no longer be done."""
    if isinstance(answer, Decision):
        is_stale = any(has_code(finding, "approval_stale") for finding in answer.findings)
        return DONE if answer.outcome in (ALLOW, REQUIRE_APPROVAL) and not is_stale else REFUSED
    return DONE if answer.status in DONE_STATUSES else REFUSED


def show_answer(out: Page, answer: Answer, wording: Wording = UNKNOWN) -> None:
    """One line for the answer, one for each reason, and one for each thing to do next.

    The wording says what is reserved or used, and until when; findings bring their own.
    """
    style = "green" if code_of_answer(answer) == DONE else "red"
    say(out, summary(answer, wording), style)
    match answer:
        case Decision():
            show_reasons(out, answer.findings, answer.advice)
        case Settlement():
            show_reasons(out, answer.violations)
            show_reasons(out, answer.findings)
    if not getattr(answer, "findings", ()) and answer.reason:
        say(out, f"  {answer.reason}")


def show_reasons(out: Page, findings: tuple[Finding, ...], advice: str = "") -> None:
    """One line for each reason, and what to do next."""
    wording = wording_in(findings)
    for finding in findings:
        say(out, f"  {reason(finding, wording)}")
    if advice:
        say(out, f"  next: {advice}", "bold")


def summary(answer: Answer, wording: Wording = UNKNOWN) -> str:
    """An answer in one line."""
    digest = short_hash(answer.intent_hash) if answer.intent_hash else "no intent"
    place = f"seq {answer.seq}" if answer.seq is not None else "not recorded"
    match answer:
        case Decision():
            again = ", answered before" if answer.duplicate else ""
            reserved = f" reserves {wording.amounts(answer.reserve)}" if answer.reserve else ""
            return f"{answer.outcome} ({place}{again}) {digest}{printable(reserved)}"
        case Settlement():
            used = f" used {wording.amounts(answer.usage)}" if answer.usage else ""
            return f"{answer.status} ({place}) {digest}{printable(used)}"
        case HoldChange():
            due = f" until {wording.moment(answer.due_ns)}" if answer.due_ns else ""
            return f"{answer.status} ({place}) {digest}{due}"


def reason(finding: Finding, wording: Wording) -> str:
    """A finding in one line: its sentence, and its code for whoever looks it up."""
    code = printable(f"{finding.stage} {finding.code}")
    return f"{sentence(finding, wording)} ({code})"
