"""What a walk starts from: an intent's payments, the postings of a frame, or the balance of an account.

Rule 1. An intent's payments are what was credited under it. Where nothing was paid it is what is still in
        flight, and where that has gone back, what went back.
Rule 2. What was given in a conversion stands under what was got for it, not beside it.
Rule 3. An account's balance is told as it is now, lot by lot, the oldest first, debts after the lots.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from splittally.core.errors import InvalidInput
from splittally.core.frames import Body
from splittally.core.types import EXTERNAL
from splittally.edge.arguments import require_frame
from splittally.edge.json_values import printable
from splittally.runtime.lineage.history import History, read_history
from splittally.runtime.lineage.levels import BALANCE, COMMITMENT, RETURN, Level, walk, what_of
from splittally.runtime.lineage.sources import LOT, NOBODY, Source, Traced

_DIGITS_MAX = 19
_HASH_DIGITS = 64
_CHARACTERS_SHOWN = 80


class Untraceable(InvalidInput):
    """The journal has nothing to walk from: no such intent, frame, account or resource, or no value moved."""

    code = "not_found"


def trace(
    frames: Iterable[tuple[int, Body]],
    target: str | int | bytes,
    resource: str | None = None,
    depth: int | None = None,
    limit: int | None = None,
) -> list[Level]:
    """The levels of an intent's hash, a sequence or an account; `Untraceable` where there is nothing.

    `frames` are sequences and bodies from the first frame on, each read once. At most `depth` levels deep,
    the balance of an account not counted, and at most `limit` levels.
    """
    return list(islice(trace_in(read_history(frames), target, resource, depth), limit))


def trace_in(
    history: History, target: str | int | bytes, resource: str | None = None, depth: int | None = None
) -> Iterator[Level]:
    """The same in a history that was read before; levels come as they are walked."""
    if resource is not None and resource not in history.scales:
        raise Untraceable(f"there is no resource `{_shown(resource)}`", field="resource")
    if isinstance(target, int):
        return walk(history, _of_frame(history, target, resource), depth)
    if isinstance(target, bytes):
        return walk(history, _of_intent(history, target, resource), depth)
    if target.isascii() and target.isdecimal() and len(target) <= _DIGITS_MAX:
        return walk(history, _of_frame(history, int(target), resource), depth)
    digest = _digest(target)
    if digest is not None and target not in history.accounts:
        return walk(history, _of_intent(history, digest, resource), depth)
    return _of_account(history, target, resource, depth)


def _digest(text: str) -> bytes | None:
    if len(text) != _HASH_DIGITS:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _of_frame(history: History, seq: int, resource: str | None) -> list[Source]:
    require_frame(seq, history.size, Untraceable)
    found = [(at, x) for at, x in enumerate(history.lineage.postings) if x.seq == seq]
    if not found:
        raise Untraceable(f"frame {seq} moves no value", field="seq")
    return _runs(_without_given(found), resource)


def _of_intent(history: History, digest: bytes, resource: str | None) -> list[Source]:
    every = enumerate(history.lineage.postings)
    found = [(at, x) for at, x in every if x.posted.intent_hash == digest]
    if not found:
        text = f"no value moved under `{digest.hex()}`; `tally explain` says whether it was decided"
        raise Untraceable(text, field="hash")
    told = [(what_of(history, x, _whole(at, x)), at, x) for at, x in found]
    paid = [(at, x) for what, at, x in told if what not in (COMMITMENT, RETURN)]
    flying = [run for r in history.scales for run in history.lineage.in_flight(digest, r)]
    back = [(at, x) for what, at, x in told if what == RETURN]
    if paid or not flying:
        return _runs(_without_given(paid or back), resource)
    return [
        run for run in flying if resource in (None, history.lineage.postings[run.posting].posted.resource)
    ]


def _without_given(found: list[tuple[int, Traced]]) -> list[tuple[int, Traced]]:
    given = {x.exchanged_for for _, x in found if x.exchanged_for != NOBODY}
    return [(at, x) for at, x in found if at not in given]


def _runs(found: list[tuple[int, Traced]], resource: str | None) -> list[Source]:
    return [_whole(at, x) for at, x in found if resource in (None, x.posted.resource)]


def _whole(number: int, traced: Traced) -> Source:
    return Source(kind=LOT, posting=number, start=0, amount=traced.posted.amount)


def _of_account(history: History, account: str, resource: str | None, depth: int | None) -> Iterator[Level]:
    if account not in history.accounts:
        text = f"`{_shown(account)}` is no account, no sequence and no hash in 64 hex digits"
        raise Untraceable(text, field="account")
    if account.startswith(EXTERNAL):
        raise Untraceable(f"`{_shown(account)}` issues value and holds none", field="account")
    resources = sorted(history.scales) if resource is None else [resource]
    return _balances(history, account, resources, depth)


def _balances(history: History, account: str, resources: list[str], depth: int | None) -> Iterator[Level]:
    """Per resource a level 0 with the balance, then the walk of each of its lots and debts."""
    for resource in resources:
        lots, debts = history.lineage.held(account, resource), history.lineage.owed(account, resource)
        if lots or debts:
            balance = sum(lot.amount for lot in lots) - sum(debt.amount for debt in debts)
            yield Level(
                level=0,
                what=BALANCE,
                seq=None,
                position=None,
                kind="",
                intent_hash=b"",
                debit="",
                credit=account,
                resource=resource,
                amount=balance,
                grant="",
                chain=[],
                at_ns=None,
                principal="",
            )
            yield from walk(history, [*lots, *debts], depth)


def _shown(text: str) -> str:
    return printable(text[:_CHARACTERS_SHOWN])
