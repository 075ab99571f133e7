"""The walk from a posting back to what issued it, one level a side of a posting.

Rule 1. A transfer is two levels, what was credited and the debit it came from; a settlement, a commitment
        and a return have one side in flight and are one level; an issue is one, and there a walk ends.
Rule 2. Levels come depth first: a level belongs to the nearest one before it whose number is one less. Those
        below it sum to its amount, but for what was given in a conversion, which is of another resource.
Rule 3. What was given in a conversion is walked whole. The same units on the same side of a conversion are
        walked once; where they are met again they are only named, or money changed to and fro would double
        the walk with every turn.
Rule 4. A walk keeps its own stack: no chain is too long for it. It goes no deeper than it is told; a level
        that stays closed for that is an origin in the sums.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import Any, NamedTuple

from splittally.runtime.lineage.causes import REFUND, RELEASE
from splittally.runtime.lineage.history import History
from splittally.runtime.lineage.sources import DEBT, ISSUE, LOT, NOBODY, Source, Traced

ISSUED, OWED, COMMITMENT, SETTLEMENT, RETURN = "issue", "debt", "commitment", "settlement", "return"
FUNDING, EXCHANGE, GIVEN, REFUNDED, DEBIT, BALANCE = (
    "funding", "exchange", "given", "refund", "debit", "balance",
)  # fmt: skip

NO_LABELS: dict[str, str] = {}


class Level(NamedTuple):
    """One side of a posting, or the part of it that the walk is about.

    `amount` is that part, in minor units. `grant` is the grant that pays, `chain` the permission that was
    used and the grants above it, the root last. On a commitment `part_of` is the task, in hex, that this
    task says it is part of, `parts` are those that say so of this one. `is_repeated` says that the origins
    stand further up. `labels` are those of the intent.
    """

    level: int
    what: str
    seq: int | None
    position: int | None
    kind: str
    intent_hash: bytes
    debit: str
    credit: str
    resource: str
    amount: int
    grant: str
    chain: list[str]
    at_ns: int | None
    principal: str
    part_of: str = ""
    parts: tuple[bytes, ...] = ()
    is_repeated: bool = False
    labels: dict[str, str] = NO_LABELS

    def document(self) -> dict[str, Any]:
        """The level as one line of JSON; its last four fields only where they say something."""
        told = self._asdict()
        for name in ("part_of", "parts", "is_repeated", "labels"):
            if not told[name]:
                del told[name]
        return told


class _Step(NamedTuple):
    depth: int
    what: str  # empty where the posting itself says what it is
    run: Source


class Origin(NamedTuple):
    """What of a walk came from one place: the account that gave it, as an issue, a debt or a closed level."""

    what: str
    account: str
    resource: str
    amount: int
    levels: int


def origins_of(levels: Iterable[Level]) -> list[Origin]:
    """Levels with nothing below them, summed by what they are, account, resource; `levels` is how many.

    What is told further up (`is_repeated`) counts once.
    """
    sums: dict[tuple[str, str, str], tuple[int, int]] = {}
    for level, after in pairwise(chain(levels, (None,))):
        assert level is not None
        is_origin = level.what != BALANCE and (after is None or after.level <= level.level)
        if is_origin and not level.is_repeated:
            key = (level.what, level.debit or level.credit, level.resource)
            amount, count = sums.get(key, (0, 0))
            sums[key] = amount + level.amount, count + 1
    return [Origin(*key, *sums[key]) for key in sorted(sums)]


def walk(history: History, runs: Iterable[Source], depth: int | None = None) -> Iterator[Level]:
    """The levels of these runs of units and of everything they came from, `depth` levels deep."""
    stack = [_Step(1, "", run) for run in reversed(list(runs))]
    seen: set[Source] = set()
    while stack:
        step = stack.pop()
        traced = history.lineage.postings[step.run.posting]
        what = step.what or what_of(history, traced, step.run)
        is_repeated = what in (GIVEN, EXCHANGE) and step.run in seen
        yield level_of(history, step, what, is_repeated)
        if not is_repeated and step.depth != depth:
            stack += reversed(_below(history, step, what, traced))
        if what in (GIVEN, EXCHANGE):
            seen.add(step.run)


def what_of(history: History, traced: Traced, run: Source) -> str:
    """The word for the credited side of a posting, or for its only side."""
    posted = traced.posted
    if run.kind == DEBT:
        return OWED
    if traced.sources[0].kind == ISSUE:
        return ISSUED
    if not posted.credit:
        return COMMITMENT
    if traced.kind == RELEASE or _is_return(history, traced):
        return RETURN
    if traced.kind == REFUND:
        return REFUNDED
    if traced.exchanged_for != NOBODY:
        return EXCHANGE
    return SETTLEMENT if not posted.debit or traced.kind in _SETTLING else FUNDING


_SETTLING = ("settle", "late")


def _is_return(history: History, traced: Traced) -> bool:
    """Whether what was in flight goes back to the account it came from."""
    if traced.posted.debit:
        return False
    first = traced.sources[0]
    return first.kind == LOT and history.lineage.postings[first.posting].posted.debit == traced.posted.credit


def _below(history: History, step: _Step, what: str, traced: Traced) -> list[_Step]:
    """What stands directly under a level, in order."""
    if what in (ISSUED, OWED):
        return []
    has_two_sides = bool(traced.posted.debit and traced.posted.credit)
    if what == DEBIT or not has_two_sides:
        return [_Step(step.depth + 1, "", source) for source in history.lineage.sources_of(step.run)]
    below = [_Step(step.depth + 1, DEBIT, step.run)]
    if traced.exchanged_for != NOBODY:
        given = history.lineage.postings[traced.exchanged_for]
        whole = Source(kind=LOT, posting=traced.exchanged_for, start=0, amount=given.posted.amount)
        below.append(_Step(step.depth + 1, GIVEN, whole))
    return below


def level_of(history: History, step: _Step, what: str, is_repeated: bool) -> Level:
    """A level as it is told."""
    traced = history.lineage.postings[step.run.posting]
    posted, moment = traced.posted, history.moments[step.run.posting]
    is_task = what == COMMITMENT
    return Level(
        level=step.depth,
        what=what,
        seq=traced.seq,
        position=traced.position,
        kind=traced.kind,
        intent_hash=posted.intent_hash,
        debit=posted.debit,
        credit=posted.credit,
        resource=posted.resource,
        amount=step.run.amount,
        grant=posted.grant,
        chain=history.chain_of(moment.permission),
        at_ns=moment.at_ns,
        principal=moment.principal,
        part_of=history.part_of.get(posted.intent_hash, "") if is_task else "",
        parts=tuple(history.parts.get(posted.intent_hash.hex(), ())) if is_task else (),
        is_repeated=is_repeated,
        labels=history.labels.get(posted.intent_hash, NO_LABELS),
    )
