"""The catalogue: every scenario in one table, with what fails in it and what should hold all the same.

Rule 1. A name is never used for another scenario: people accept scenarios by name.
"""

from collections.abc import Callable
from typing import NamedTuple

from splittally_tools.policy_check.case import Case
from splittally_tools.policy_check.results import Result
from splittally_tools.policy_check.scenarios import approvals, bounds, clocks, endings, retries, usage


class Scenario(NamedTuple):
    """A failure by name: what fails, what is claimed of a sound manifest, and how it is played."""

    name: str
    fails: str
    claim: str
    play: Callable[[Case], Result]


CATALOGUE = (
    Scenario(
        "crash-before",
        "the kernel dies before its answer is written",
        "asking again is the first time",
        retries.crash_before,
    ),
    Scenario(
        "crash-after",
        "the kernel dies after its answer is written",
        "asking again gets that answer",
        retries.crash_after,
    ),
    Scenario(
        "crash-settling",
        "the kernel dies after a receipt is written",
        "it is charged once",
        retries.crash_settling,
    ),
    Scenario("double-retry", "a host sends one request twice", "it is reserved once", retries.double_retry),
    Scenario(
        "lost-reply",
        "the reply is lost and another attempt asks",
        "only the first attempt may act",
        retries.lost_reply,
    ),
    Scenario("new-key", "a host retries a job under a new key", "the job is not paid twice", retries.new_key),
    Scenario(
        "key-reused", "a host uses the key of a job for another effect", "it is refused", retries.key_reused
    ),
    Scenario(
        "takeover", "a host falls silent and another takes over", "only one of them acts", retries.takeover
    ),
    Scenario(
        "host-dies",
        "a host dies before it starts the effect",
        "what it reserved comes back",
        endings.host_dies,
    ),
    Scenario(
        "never-answers",
        "an effect that was started is never reported",
        "it ends, and somebody bears it",
        endings.never_answers,
    ),
    Scenario(
        "outcome-unknown",
        "a host cannot tell what became of its effect",
        "it ends, and somebody bears it",
        endings.outcome_unknown,
    ),
    Scenario(
        "receipt-late", "a receipt comes after the reservation has ended", "limits hold", endings.receipt_late
    ),
    Scenario("receipt-twice", "a receipt is sent twice", "it is charged once", endings.receipt_twice),
    Scenario("receipt-forged", "somebody else reports for a host", "it is not taken", endings.receipt_forged),
    Scenario(
        "grant-revoked",
        "the grant is revoked while an effect runs",
        "nothing new; what runs is charged",
        endings.grant_revoked,
    ),
    Scenario(
        "forgotten",
        "a grant that nobody remembers is used in ten years",
        "it has ended",
        endings.used_for_ever,
    ),
    Scenario("approvers-answer", "those who may approve try to", "they can", approvals.approvers_answer),
    Scenario("approve-own", "who asked approves", "another must", approvals.approved_by_asker),
    Scenario(
        "approve-other",
        "somebody approves who is no approver",
        "it does not count",
        approvals.approved_by_other,
    ),
    Scenario(
        "approval-stolen",
        "somebody else uses an approval, or for more",
        "it is good for what was approved",
        approvals.approval_stolen,
    ),
    Scenario(
        "approval-never", "nobody answers what waits", "what it reserved comes back", approvals.approval_never
    ),
    Scenario(
        "no-approval",
        "a host acts without waiting for approval",
        "it cannot start",
        approvals.without_approval,
    ),
    Scenario("last-unit", "two hosts ask for the last that is left", "one gets it", bounds.last_unit),
    Scenario("unbounded", "a host asks again and again", "a limit ends it", bounds.unbounded),
    Scenario(
        "limit-uncounted",
        "a limit is on what nothing counts",
        "every limit can be reached",
        bounds.uncounted_limit,
    ),
    Scenario(
        "unknown-model",
        "a host asks for a model that nobody has listed",
        "it is refused",
        bounds.unknown_model,
    ),
    Scenario("usage-absent", "a receipt says nothing of its usage", "the reserve is charged", usage.absent),
    Scenario("usage-null", "a receipt says null", "the reserve is charged", usage.null),
    Scenario("usage-negative", "a receipt says less than nothing", "the reserve is charged", usage.negative),
    Scenario("usage-text", "a receipt says a text", "the reserve is charged", usage.text),
    Scenario("usage-zero", "a host says that nothing was used", "it is not believed", usage.zero),
    Scenario("usage-failed", "a host says that its effect failed", "it is not believed", usage.failed),
    Scenario(
        "usage-beyond",
        "a receipt says ten times what was reserved",
        "no more than the reserve is charged",
        usage.beyond_reserve,
    ),
    Scenario("usage-huge", "a receipt says 2^63", "no more than the reserve is charged", usage.huge),
    Scenario(
        "usage-largest", "a receipt says 2^64 - 1", "no more than the reserve is charged", usage.largest
    ),
    Scenario("other-model", "a receipt names another model", "it is recorded", usage.other_model),
    Scenario("clock-back", "the clock is set back by an hour", "time stands", clocks.clock_back),
    Scenario(
        "clock-ahead", "the clock is set ahead by a month", "nothing is decided by it", clocks.clock_ahead
    ),
)
BY_NAME = {scenario.name: scenario for scenario in CATALOGUE}
