"""One row an intent: who asked for what, what was answered and why, what became of it, what it cost.

Rule 1. An intent stands at the decision that holds for it, in the order of the journal. Its row says what the
        frames until the end of the range say: nothing later.
Rule 2. What it was charged, what came back and what accounts paid are those of `Kernel.state.spend`.
Rule 3. Amounts have a column for each measure and dimension, labels one for each name, as far as they occur.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from splittally.core.commands import Submit
from splittally.core.events import Decided, Held, Refunded, Settled
from splittally.core.frames import read_command, read_events
from splittally.core.intent_history import Trace
from splittally.core.state import State
from splittally.edge.labels import has_labels
from splittally.edge.sentences import sentence
from splittally.runtime.charges import REFUND, Book, Charged, charges_of

from splittally_tools.export.columns import DAY, INTEGER, TIME, Cells, Column, Table, named_apart

Seen = Callable[[int], None]
RESERVED, CHARGED, REFUNDED, PAID = "reserved", "charged", "refunded", "paid"
MEASURES = (RESERVED, CHARGED, REFUNDED, PAID)
CHAIN = " < "  # between a grant and the one above it
FIXED = (
    Column("seq", INTEGER),
    Column("intent_hash"),
    Column("decided_at", TIME),
    Column("decided_day", DAY),
    Column("principal"),
    Column("grant_name"),
    Column("chain"),
    Column("kind"),
    Column("outcome"),
    Column("stage"),
    Column("code"),
    Column("reason"),
    Column("codes"),
    Column("status"),
    Column("phase"),
    Column("ended_how"),
    Column("ended_at", TIME),
    Column("ended_day", DAY),
    Column("violations"),
    Column("answer"),
    Column("answered_by"),
    Column("answered_at", TIME),
    Column("paid_by"),
    Column("paid_to"),
)


class Range(NamedTuple):
    """The frames from `start` to before `stop`, and what is asked of the intents that they decide."""

    start: int
    stop: int
    kind: str | None = None
    grant: str | None = None
    principal: str | None = None
    outcome: str | None = None
    labels: Mapping[str, str] = {}


class Source(NamedTuple):
    """What tables are made of: the frames, the state at the end of the range, how cells read.

    `seen` hears of each frame that is read, once for every table.
    """

    book: Book
    state: State
    range: Range
    cells: Cells
    seen: Seen

    @property
    def amount(self) -> str:
        """The type of a column that holds amounts of every unit."""
        return self.cells.decimal(*self.state.ledger.resources)


class Life(NamedTuple):
    """An intent with everything that it was charged and got back."""

    found: Trace
    charges: list[Charged]

    @property
    def grant(self) -> str:
        """The grant that it counts under: the one that was charged, else the one it was asked under."""
        return self.charges[0].grant if self.charges else self.found.member.grant


class Survey(NamedTuple):
    """What has a column: each dimension that occurs with its measures, and the names of labels, in order.

    Only a resource of the world is paid.
    """

    amounts: list[tuple[str, str]]
    labels: list[str]


def lives(book: Book, range_: Range, seen: Seen) -> Iterator[Life]:
    """Every intent that is decided in the range and that is asked for."""
    for seq in range(range_.start, range_.stop):
        rows = book.rows(seq)
        for event in read_events(rows, seq)[2]:
            if isinstance(event, Decided):
                found = book.trace(event.intent_hash, before=range_.stop)
                assert found is not None
                if found.seq == seq and found.decided == event:
                    life = Life(found, list(charges_of(book, found)))
                    if _is_wanted(life, range_):
                        yield life
        seen(1)


def _is_wanted(life: Life, range_: Range) -> bool:
    member, found = life.found.member, life.found
    told = (
        (range_.kind, member.kind),
        (range_.grant, life.grant),
        (range_.principal, found.by),
        (range_.outcome, found.decided.outcome),
    )
    return all(wanted in (None, value) for wanted, value in told) and has_labels(member.labels, range_.labels)


def survey(source: Source) -> Survey:
    """What occurs in the range, of whatever intent."""
    book, range_ = source.book, source.range
    dims: set[str] = set()
    labels: set[str] = set()
    for seq in range(range_.start, range_.stop):
        rows = book.rows(seq)
        events = read_events(rows, seq)[2]
        for event in events:
            match event:
                case Held():
                    dims.update(event.legs[0].reserve, (draw.resource for draw in event.draws))
                case Settled() if event.legs:
                    dims.update(event.legs[0].charged)
                case Refunded() if event.legs:
                    dims.update(event.legs[0].amounts)
        if any(isinstance(event, Decided) for event in events):
            command = read_command(rows, seq)[1]
            members = command.members if isinstance(command, Submit) else ()
            labels.update(name for member in members for name in member.labels)
        source.seen(1)
    resources = source.state.ledger.resources
    amounts = [(dim, x) for dim in sorted(dims) for x in MEASURES if x != PAID or dim in resources]
    return Survey(amounts, sorted(labels))


def intents_table(source: Source) -> Table:
    """The whole table; the range is read twice, first for what occurs in it."""
    book, range_, cells, seen = source.book, source.range, source.cells, source.seen
    found = survey(source)
    amounts = [Column(f"{measure}_{dim}", cells.decimal(dim)) for dim, measure in found.amounts]
    columns = [*FIXED, *amounts, *(Column(f"label_{name}") for name in found.labels)]
    rows = (_row(book, life, found, cells) for life in lives(book, range_, seen))
    return Table("intents", named_apart(columns), rows)


def _row(book: Book, life: Life, survey: Survey, cells: Cells) -> list[Any]:
    sums = sums_of(life)
    amounts = [cells.amount(sums[measure].get(dim), dim) for dim, measure in survey.amounts]
    labels = [life.found.member.labels.get(name) for name in survey.labels]
    return [*fixed_cells(book, life, cells), *amounts, *labels]


def fixed_cells(book: Book, life: Life, cells: Cells) -> list[Any]:
    """The cells of the columns that every world has."""
    found = life.found
    member, decided = found.member, found.decided
    first = decided.findings[0] if decided.findings else None
    ended_how, ended_ns = _ending(book, life)
    answer = found.answers[-1] if found.answers else None
    return [
        found.seq,
        member.intent_hash,
        cells.time(found.at_ns),
        cells.day(found.at_ns),
        found.by,
        life.grant,
        chain_of(life),
        member.kind,
        decided.outcome,
        first.stage if first is not None else None,
        first.code if first is not None else None,
        sentence(first, cells.wording) if first is not None else None,
        " ".join(finding.code for finding in decided.findings),
        found.status,
        found.phase,
        ended_how,
        cells.time(ended_ns),
        cells.day(ended_ns),
        _violations(found),
        answer.answer if answer is not None else None,
        "; ".join(dict.fromkeys(each.by for each in found.answers)),
        cells.time(answer.at_ns if answer is not None else None),
        " ".join(dict.fromkeys(account for each in life.charges for account, _ in each.paid)),
        " ".join(dict.fromkeys(payee for each in life.charges for payee in each.payees)),
    ]


def sums_of(life: Life) -> dict[str, dict[str, int]]:
    """Measure -> dimension -> minor units, of the leaf; what accounts paid less what they got back."""
    sums: dict[str, dict[str, int]] = {RESERVED: dict(life.found.reserve)}
    sums |= {measure: {} for measure in MEASURES[1:]}
    for charged in life.charges:
        is_refund = charged.how == REFUND
        of_leaf = sums[REFUNDED if is_refund else CHARGED]
        for dim, amount in charged.leaf.items():
            of_leaf[dim] = of_leaf.get(dim, 0) + amount
        for resource, amount in charged.paid_by_resource.items():
            sums[PAID][resource] = sums[PAID].get(resource, 0) + (-amount if is_refund else amount)
    return sums


def chain_of(life: Life) -> str:
    """The grants of an intent, leaf first: those that were charged or held, else as they were decided."""
    found = life.found
    names = [name for name, _ in life.charges[0].legs] if life.charges else []
    if not names and found.held is not None:
        names = [leg.grant for leg in found.held.legs]
    return CHAIN.join(names or [x.grant for x in found.decided.authority] or [found.member.grant])


def _ending(book: Book, life: Life) -> tuple[str | None, int | None]:
    """How an intent ended and when: by a receipt, a release, ...; a late receipt ends it again."""
    if not life.found.endings:
        return None, None
    seq, event = life.found.endings[-1]
    how = event.how if isinstance(event, Settled) else event.cause
    return how, next((each.at_ns for each in life.charges if each.seq == seq), None) or book.time(seq)


def _violations(found: Trace) -> str:
    settled = found.settled
    if settled is None:
        return ""
    every = [*settled.violations, *(x for leg in settled.legs for x in leg.violations)]
    return " ".join(dict.fromkeys(violation.code for violation in every))
