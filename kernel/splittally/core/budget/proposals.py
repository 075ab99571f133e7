"""Proposals: what people and budgets ask of each other, what may be said of it, and how it ends.

Rule 1. One table says which act fits which kind, who may do it, and as what the proposal ends by it. A vote
        and a dialogue are steps of one row, each with its author and its time.
Rule 2. What has ended stays as it is: it takes no step and no vote.
Rule 3. Nobody votes twice, and where a quorum names its principals, nobody else votes.
Rule 4. A quorum counts those that agree. Who objects or abstains is counted and shown, and ends a proposal
        only where so many do that those who are left can no longer reach the quorum.

Example. A quorum of 2 of ann, bob and carl. ann agrees and carl objects: open, 1 of 2. bob agrees: reached.
Had bob abstained, nobody would be left, and the proposal would have ended as refused.
"""

from typing import NamedTuple

from msgspec.structs import replace

from splittally.core.budget.plan import Quorum
from splittally.core.budget.rows import Proposal, Step

FUND, SPEND, AMEND, REVIEW, AGREE = "fund", "spend", "amend", "review", "agree"  # kinds
OPEN, DONE, REFUSED, WITHDRAWN = "open", "done", "refused", "withdrawn"
COMMENT, OFFER, GRANT, ACCEPT, REFUSE, WITHDRAW = "comment", "offer", "grant", "accept", "refuse", "withdraw"
ACTS = (COMMENT, OFFER, GRANT, ACCEPT, REFUSE, WITHDRAW)
AGREES, OBJECTS, ABSTAINS = "agree", "object", "abstain"
VOTES = (AGREES, OBJECTS, ABSTAINS)
VOTED_ON = (SPEND, AMEND, AGREE)
ASKED = "ask"  # the first step of each: that it was asked
VERSION = "version/"  # before the number of the version that is agreed to; no name that people choose has `/`


class Who(NamedTuple):
    """Who may do an act: the operation that their grants must cover, or its author."""

    operation: str = ""
    is_author: bool = False


ANYBODY, AUTHOR = Who(), Who(is_author=True)
PAYER, KEEPER = Who("ledger.transfer"), Who("budget.amend")


class Rule(NamedTuple):
    """Who may do an act, and as what the proposal ends by it; empty where it goes on."""

    who: Who
    ends: str = ""


# kind, act -> who may, and what it ends as. Votes and who carries them out stand in `after_vote`.
LIFECYCLE: dict[tuple[str, str], Rule] = {
    (FUND, COMMENT): Rule(ANYBODY),
    (FUND, OFFER): Rule(PAYER),
    (FUND, GRANT): Rule(PAYER, DONE),
    (FUND, ACCEPT): Rule(AUTHOR, DONE),  # of an offer
    (FUND, REFUSE): Rule(PAYER, REFUSED),
    (FUND, WITHDRAW): Rule(AUTHOR, WITHDRAWN),
    (SPEND, COMMENT): Rule(ANYBODY),
    (SPEND, REFUSE): Rule(KEEPER, REFUSED),
    (SPEND, WITHDRAW): Rule(AUTHOR, WITHDRAWN),
    (AMEND, COMMENT): Rule(ANYBODY),
    (AMEND, ACCEPT): Rule(KEEPER, DONE),  # merges the draft
    (AMEND, REFUSE): Rule(KEEPER, REFUSED),
    (AMEND, WITHDRAW): Rule(AUTHOR, WITHDRAWN),
    (REVIEW, COMMENT): Rule(ANYBODY),
    (REVIEW, ACCEPT): Rule(ANYBODY, DONE),
    (REVIEW, REFUSE): Rule(ANYBODY, REFUSED),
    (REVIEW, WITHDRAW): Rule(AUTHOR, WITHDRAWN),
    (AGREE, COMMENT): Rule(ANYBODY),
}


class Tally(NamedTuple):
    """How votes stand: those of each kind, how many must agree (0 where nobody says), how many are left.

    `left` is -1 where anybody may vote.
    """

    agree: int
    object: int
    abstain: int
    needed: int
    left: int

    @property
    def is_reached(self) -> bool:
        """Whether so many agree as must."""
        return 0 < self.needed <= self.agree

    @property
    def is_lost(self) -> bool:
        """Whether those who are left can no longer reach what is needed."""
        return self.needed > 0 and 0 <= self.left < self.needed - self.agree


def tally(votes: dict[str, str], quorum: Quorum | None) -> Tally:
    """How these votes stand under a quorum; a vote of somebody whom it does not name does not count."""
    of = quorum.of if quorum is not None else []
    counted = [vote for name, vote in sorted(votes.items()) if not of or name in of]
    return Tally(
        agree=counted.count(AGREES),
        object=counted.count(OBJECTS),
        abstain=counted.count(ABSTAINS),
        needed=quorum.agree if quorum is not None else 0,
        left=len(of) - len(counted) if of else -1,
    )


def after_vote(row: Proposal, quorum: Quorum | None) -> str:
    """The status after a vote. Votes on a version only tell; one on a part or a draft may decide."""
    stands = tally(row.votes, quorum)
    if row.kind == AGREE:
        return OPEN
    if stands.is_reached:
        return DONE
    return REFUSED if stands.is_lost else OPEN


def with_step(row: Proposal, step: Step, status: str) -> Proposal:
    """The proposal with one more step."""
    return replace(row, steps=[*row.steps, step], status=status)


def offer_of(row: Proposal) -> Step | None:
    """The last offer."""
    return next((step for step in reversed(row.steps) if step.act == OFFER), None)


def has_ended(row: Proposal, version: int) -> bool:
    """Whether nothing more is said of it: it was answered, or speaks of a version that is replaced."""
    return row.status != OPEN or (row.kind == AGREE and row.base != version)
