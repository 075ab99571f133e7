"""The journal as a star schema: facts around the grants, principals, accounts and resources they are of.

Rule 1. A fact is a row an event: an intent that was decided, an amount that was charged or came back, a
        posting. Every fact names its intent by hash, and its frame by `seq` where it has one.
Rule 2. `charges` counts an intent once, under the leaf of its chain, so its sum is that of `tally spend`.
        What the grants above were charged for the same stands in `charges_above`.
Rule 3. `grants` has a row for each version of a grant, which holds from one time until another; the other
        dimensions are as they stand at the end of the range.
Rule 4. Facts are streamed; of dimensions memory holds a row a name.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from splittally.core.events import GrantRevoked, GrantSet
from splittally.core.frames import read_body, read_events
from splittally.core.types import EXTERNAL, LIFE, Grant
from splittally.runtime.charges import REFUND, Charged, charges
from splittally.runtime.lineage.causes import postings_of

from splittally_tools.export.columns import DAY, FLAG, INTEGER, TIME, Cells, Column, Table
from splittally_tools.export.intents import FIXED, Source, fixed_cells, lives, sums_of

CHARGE = "charge"
_OF_FRAME = (Column("seq", INTEGER), Column("at", TIME), Column("day", DAY))


def star(source: Source) -> list[Table]:
    """The tables of the star, facts first."""
    makers = (_intents, _amounts, _labels, _charges, _charges_above, _postings, _grants, _principals)
    return [*(make(source) for make in makers), _accounts(source), _resources(source)]


# --- facts --------------------------------------------------------------------------------------


def _intents(source: Source) -> Table:
    book, cells = source.book, source.cells
    rows = (fixed_cells(book, life, cells) for life in lives(book, source.range, source.seen))
    return Table("intents", FIXED, rows)


def _amounts(source: Source) -> Table:
    """What each intent reserved, was charged, got back and had paid, a row a measure and dimension."""
    columns = (Column("intent_hash"), Column("measure"), Column("resource"), Column("amount", source.amount))

    def rows() -> Iterator[list[Any]]:
        for life in lives(source.book, source.range, source.seen):
            for measure, amounts in sums_of(life).items():
                for dim, amount in sorted(amounts.items()):
                    shown = source.cells.amount(amount, dim)
                    yield [life.found.member.intent_hash, measure, dim, shown]

    return Table("amounts", columns, rows())


def _labels(source: Source) -> Table:
    rows = (
        [life.found.member.intent_hash, name, text]
        for life in lives(source.book, source.range, source.seen)
        for name, text in life.found.member.labels.items()
    )
    return Table("labels", (Column("intent_hash"), Column("label"), Column("value")), rows)


def _charges(source: Source) -> Table:
    columns = (
        *_OF_FRAME, Column("entry"), Column("how"), Column("intent_hash"), Column("principal"),
        Column("grant_name"), Column("kind"), Column("resource"), Column("amount", source.amount),
        Column("net", source.amount), Column("paid", source.amount),
    )  # fmt: skip

    def rows() -> Iterator[list[Any]]:
        for charged in _charged(source):
            paid = charged.paid_by_resource
            leaf = charged.leaf
            for resource in sorted({**leaf, **paid}):
                amount, sign = leaf.get(resource, 0), -1 if charged.how == REFUND else 1
                shown = [source.cells.amount(x, resource) for x in (amount, sign * amount)]
                back = source.cells.amount(sign * paid.get(resource, 0), resource)
                asked = charged.asked
                names = [asked.intent_hash, asked.principal, charged.grant, asked.kind, resource]
                yield [*_of_frame(source, charged), *_entry(charged), *names, *shown, back]

    return Table("charges", columns, rows())


def _charges_above(source: Source) -> Table:
    columns = (
        *_OF_FRAME, Column("entry"), Column("how"), Column("intent_hash"), Column("leaf"),
        Column("grant_name"), Column("resource"), Column("amount", source.amount),
        Column("net", source.amount),
    )  # fmt: skip

    def rows() -> Iterator[list[Any]]:
        for charged in _charged(source):
            sign = -1 if charged.how == REFUND else 1
            for grant, amounts in charged.legs[1:]:
                for resource, amount in sorted(amounts.items()):
                    shown = [source.cells.amount(x, resource) for x in (amount, sign * amount)]
                    names = [charged.asked.intent_hash, charged.grant, grant, resource]
                    yield [*_of_frame(source, charged), *_entry(charged), *names, *shown]

    return Table("charges_above", columns, rows())


def _charged(source: Source) -> Iterator[Charged]:
    return charges(source.book, source.range.start, source.range.stop, source.seen)


def _of_frame(source: Source, charged: Charged) -> list[Any]:
    return [charged.seq, source.cells.time(charged.at_ns), source.cells.day(charged.at_ns)]


def _entry(charged: Charged) -> list[Any]:
    return [REFUND if charged.how == REFUND else CHARGE, charged.how]


def _postings(source: Source) -> Table:
    columns = (
        *_OF_FRAME, Column("position", INTEGER), Column("intent_hash"), Column("kind"), Column("grant_name"),
        Column("permission"), Column("debit"), Column("credit"), Column("resource"),
        Column("amount", source.amount),
    )  # fmt: skip

    def rows() -> Iterator[list[Any]]:
        for seq in range(source.range.start, source.range.stop):
            body = read_body(source.book.rows(seq), seq)
            frame = [seq, source.cells.time(body.at_ns), source.cells.day(body.at_ns)]
            for moved in postings_of(body):
                posted = moved.posted
                amount = source.cells.amount(posted.amount, posted.resource)
                named = [posted.intent_hash, moved.kind, posted.grant, moved.permission]
                yield [*frame, moved.position, *named, posted.debit, posted.credit, posted.resource, amount]
            source.seen(1)

    return Table("postings", columns, rows())


# --- dimensions ---------------------------------------------------------------------------------


class _Version(NamedTuple):
    """A grant as it stood from a frame on."""

    seq: int
    at_ns: int
    by: str
    change: str
    grant: Grant


def _grants(source: Source) -> Table:
    """Every version of every grant, from the first frame on: those before the range hold in it."""
    columns = (
        Column("grant_name"), Column("change"), Column("changed_by"), Column("seq", INTEGER),
        Column("valid_from", TIME), Column("valid_until", TIME), Column("is_current", FLAG), Column("cap"),
        Column("holder"), Column("parent"), Column("limits"), Column("draws_on"), Column("pays_to"),
        Column("expires_at", TIME), Column("delegations", INTEGER), Column("made_by"), Column("grant_hash"),
    )  # fmt: skip
    return Table("grants", columns, _grant_rows(source))


def _grant_rows(source: Source) -> Iterator[list[Any]]:
    standing: dict[str, _Version] = {}
    for seq in range(source.range.stop):
        at_ns, by, events = read_events(source.book.rows(seq), seq)
        for event in events:
            match event:
                case GrantSet(grant=grant):
                    old = standing.get(grant.name)
                    change = "made" if old is None else "changed"
                    standing[grant.name] = _Version(seq, at_ns, by, change, grant)
                case GrantRevoked() if event.name in standing:
                    old = standing[event.name]
                    standing[event.name] = _Version(seq, at_ns, by, "revoked", old.grant)
                case _:
                    continue
            if old is not None:
                yield _grant_row(source.cells, old, at_ns)
        source.seen(1)
    for name in sorted(standing):
        yield _grant_row(source.cells, standing[name], None)


def _grant_row(cells: Cells, version: _Version, until_ns: int | None) -> list[Any]:
    grant = version.grant
    return [
        grant.name, version.change, version.by, version.seq, cells.time(version.at_ns), cells.time(until_ns),
        until_ns is None, grant.cap, grant.holder, grant.parent, _limits(cells, grant),
        " ".join(f"{name}={account}" for name, payers in sorted(grant.paid_by.items())
                 for account in (payer.account for payer in payers)),
        " ".join(grant.pays_to), cells.time(grant.expiry_ns or None), grant.delegations, grant.made_by,
        grant.grant_hash,
    ]  # fmt: skip


def _limits(cells: Cells, grant: Grant) -> str:
    """`12.50 USD a day (deny), 300 tokens for life (deny)`, as in the grant."""
    said = []
    for limit in grant.limits:
        article = "an" if limit.per[0] in "aeiouh" else "a"
        per = "for life" if limit.per == LIFE else f"{article} {limit.per}"
        said.append(f"{cells.wording.amount(limit.amount, limit.dim)} {per} ({limit.over})")
    budget = sorted((grant.budget or {}).items())
    lives = [f"{cells.wording.amount(amount, dim)} for life (deny)" for dim, amount in budget]
    return ", ".join([*lives, *said])


def _principals(source: Source) -> Table:
    """Whoever recorded anything, with first and last time and how many frames; `` is the kernel."""
    columns = (
        Column("principal"), Column("first_at", TIME), Column("last_at", TIME), Column("frames", INTEGER),
        Column("grants_held", INTEGER),
    )  # fmt: skip

    def rows() -> Iterator[list[Any]]:
        found: dict[str, list[int]] = {}
        for seq in range(source.range.start, source.range.stop):
            at_ns, by, _ = read_events(source.book.rows(seq), seq)
            row = found.setdefault(by, [at_ns, at_ns, 0])
            row[1], row[2] = at_ns, row[2] + 1
            source.seen(1)
        holders = [grant.holder for grant in source.state.caps.grants.values()]
        for name in sorted({*found, *filter(None, holders)}):
            first, last, frames = found.get(name, (None, None, 0))
            yield [name, source.cells.time(first), source.cells.time(last), frames, holders.count(name)]

    return Table("principals", columns, rows())


def _accounts(source: Source) -> Table:
    columns = (
        Column("account"), Column("kind"), Column("is_external", FLAG), Column("resource"),
        Column("balance", source.amount), Column("in_flight", source.amount),
    )  # fmt: skip
    books = source.state.ledger
    rows = []
    for name, resource in sorted(books.balances):
        account = books.accounts.get(name)
        amounts = (books.balances[name, resource], books.drawn.get((name, resource), 0))
        shown = [source.cells.amount(amount, resource) for amount in amounts]
        kind = account.kind if account is not None else "undefined"
        rows.append([name, kind, name.startswith(EXTERNAL), resource, *shown])
    return Table("accounts", columns, rows)


def _resources(source: Source) -> Table:
    rows = [[name, resource.scale] for name, resource in sorted(source.state.ledger.resources.items())]
    return Table("resources", (Column("resource"), Column("decimals", INTEGER)), rows)
