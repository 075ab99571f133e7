"""What must hold of every world, as functions: money, replay, limits, idempotency.

Each takes a kernel that is open (on any store), a reader, or a path: a world's folder or a file of frames.
Nothing is written to it. What is wrong is an `AssertionError` that names the first bad frame, the grant or
account, and the numbers; of a kernel, what it has in memory is compared with its journal, too.
"""

import inspect
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace
from splittally.core.errors import JournalDamaged
from splittally.core.findings import Finding
from splittally.core.reasons import NEW_KEY
from splittally.core.snapshot import state_root, tables
from splittally.core.state import State
from splittally.core.types import FINAL
from splittally.edge.records import Decision, Extend, Group, HoldChange, Intent, Receipt, Release, Settlement
from splittally.runtime import Kernel
from splittally.runtime.reader import Reader, read_store

from splittally_tools.audit.conservation import Conservation
from splittally_tools.testing.journal_walk import Walk
from splittally_tools.testing.overspend import Overspend
from splittally_tools.testing.worlds import open_journal

Subject = Kernel | Reader | str | os.PathLike[str]
Request = Intent | Receipt | Release | Extend | Group
MONEY = ("accounts", "balances", "inflight", "holds")
COUNTERS = ("counters", "windows")
KNOWN = "known"  # the stage whose findings stand beside an answer that was given before


def assert_conserved(subject: Subject) -> None:
    """Per resource, after every record, balances and what is in flight sum to zero, and none is overdrawn."""
    with _reading(subject) as reader:
        if isinstance(subject, Kernel):
            assert_balanced(subject)
        money = Conservation()
        walk = Walk(reader, money.see)
        walk.finish()
        if walk.state.size:
            money.compare_all(walk.state)
        _assert_agrees(subject, walk.state, MONEY)


def assert_replays(subject: Subject, other_engines: bool = False) -> None:
    """A fold from frame 0 is the state that stands, and judging again gives every frame its bytes.

    Frames of another engine cannot be judged again. They fail it, unless `other_engines` says that a
    fold of them is enough.
    """
    with _reading(subject) as reader:
        walk = Walk(reader, is_rejudging=True)
        walk.finish()
        if walk.other_engines and not other_engines:
            told = ", ".join(f"{count} of `{engine}`" for engine, count in sorted(walk.other_engines.items()))
            raise AssertionError(
                f"frames of another engine were not judged again: {told}; say `other_engines=True` where "
                "a fold of them is enough"
            )
        _assert_agrees(subject, walk.state)
        if not isinstance(subject, Kernel) and state_root(reader.folded) != state_root(walk.state):
            raise AssertionError(f"a snapshot is not the fold of its frames: {'; '.join(reader.repairs)}")


def assert_no_overspend(subject: Subject, bounded: Collection[str] = ()) -> None:
    """No limit is passed but by an unbounded dimension, a recorded violation or a late receipt (D-05).

    `bounded` names dimensions that an enforcer must reserve: what it leaves unreserved is no excuse there.
    """
    with _reading(subject) as reader:
        walk = Walk(reader, Overspend(bounded).see)
        walk.finish()
        _assert_agrees(subject, walk.state, COUNTERS)


def assert_idempotent(
    subject: Subject, call: Request | list[Request] | Callable[[], Any] | Callable[[Kernel], Any]
) -> Any:
    """The same call again with the same key writes nothing and gives the first answer, which is returned.

    `call` is a request, a list of them, or a function, which may take the kernel. On a path it runs in a
    what-if, so that nothing is written there.
    """
    if not isinstance(subject, Kernel):
        with _reading(subject) as reader:
            return assert_idempotent(reader.fork(), call)
    first = _made(subject, call)
    before = (subject.state.seq, subject.state.root)
    again = _made(subject, call)
    firsts, agains = _listed(first), _listed(again)
    for one, two in zip(firsts, agains, strict=True):
        _assert_same_answer(one, two)
    after = (subject.state.seq, subject.state.root)
    if before != after:
        raise AssertionError(f"the second call wrote frames {before[0]} to {after[0] - 1}")
    return first


def assert_balanced(kernel: Kernel) -> None:
    """What the kernel has in memory sums to zero for each resource; the journal is not asked."""
    state = kernel.state
    for name, row in state.resources.items():
        if row.imbalance:
            raise AssertionError(
                f"after frame {state.seq - 1} resource `{name}` does not sum to zero: balances "
                f"{row.imbalance - row.in_flight}, in flight {row.in_flight}, together {row.imbalance}"
            )


def assert_agrees(kernel: Kernel, folded: State, names: Collection[str] = ()) -> None:
    """What the kernel has in memory is the fold of its journal: these tables of it, or all."""
    live, told = kernel.state.tables(), tables(folded)
    for name in sorted(names or told):
        if live[name] == told[name]:
            continue
        rows = {repr(key): (key, value) for key, value in live[name]}
        for key, value in told[name]:
            _, stands = rows.pop(repr(key), (key, None))
            if stands != value:
                raise _differs(folded, name, key, stands, value)
        for key, stands in rows.values():
            raise _differs(folded, name, key, stands, None)


def _assert_agrees(subject: Subject, folded: State, names: Collection[str] = ()) -> None:
    if isinstance(subject, Kernel):
        assert_agrees(subject, folded, names)


def _differs(folded: State, table: str, key: Any, stands: Any, told: Any) -> AssertionError:
    return AssertionError(
        f"after frame {folded.size - 1} the kernel and its journal differ in {table} {key!r}: "
        f"{stands!r} stands, the journal says {told!r}"
    )


def _made(kernel: Kernel, call: Any) -> Any:
    if callable(call):
        return call(kernel) if inspect.signature(call).parameters else call()
    answers = kernel.run(call if isinstance(call, list) else [call])
    return answers if isinstance(call, list) else answers[0]


def _listed(answer: Any) -> list[Any]:
    return [part for item in answer for part in _listed(item)] if isinstance(answer, list) else [answer]


def _assert_same_answer(first: Any, again: Any) -> None:
    match first, again:
        case (Decision(), Decision()):
            _assert_same_decision(first, again)
        case (Settlement(), Settlement()):
            if first.status in ("settled", "late", "held") and again.status not in ("duplicate", "held"):
                raise AssertionError(f"a second receipt is a duplicate, and was answered `{again.status}`")
            if first.status == "settled" and again.seq != first.seq:
                raise AssertionError(f"settled in frame {first.seq}, and the second answer names {again.seq}")
        case (HoldChange(), HoldChange()):
            if again.status not in (first.status, "duplicate", "not_reserved"):
                raise AssertionError(f"answered `{first.status}`, and the second time `{again.status}`")
        case _:
            if repr(first) != repr(again):
                raise AssertionError(f"answered {first!r}, and the second time {again!r}")


def _assert_same_decision(first: Decision, again: Decision) -> None:
    if first.seq != again.seq and first.intent_hash != again.intent_hash:
        raise AssertionError(
            "the two calls are two intents, because they have no `idempotency_key` or not the same one"
        )
    if first.seq is not None and first.outcome not in FINAL:
        raise AssertionError(
            f"`{first.outcome}` is not final: the same intent is judged afresh each time (frame {first.seq})"
        )
    told = replace(again, findings=recorded_findings(again))
    first = replace(first, findings=recorded_findings(first))
    for name in ("seq", "outcome", "findings", "reserve"):
        was, now = getattr(first, name), getattr(told, name)
        if was != now:
            raise AssertionError(f"`{name}` was {was!r} in the first answer and is {now!r} in the second")
    if first.seq is not None and not again.duplicate:
        raise AssertionError("the second answer does not say `duplicate`")


def recorded_findings(decision: Decision) -> tuple[Finding, ...]:
    """The reasons that the journal holds, without why a duplicate may not be acted on, or asked for again."""
    return tuple(_as_recorded(finding) for finding in decision.findings if finding.stage != KNOWN)


def _as_recorded(finding: Finding) -> Finding:
    """A reason with the advice that the first answer gave."""
    if finding.facts.get("next") != NEW_KEY:
        return finding
    facts = {name: value for name, value in finding.facts.items() if name not in ("next", "then")}
    first = {"next": finding.facts["then"]} if "then" in finding.facts else {}
    return replace(finding, facts=facts | first)


@contextmanager
def _reading(subject: Subject) -> Iterator[Reader]:
    """The journal of a subject, closed again where it was opened here; damage is an `AssertionError`."""
    try:
        if isinstance(subject, Reader):
            yield subject
            return
        with read_store(subject) if isinstance(subject, Kernel) else open_journal(subject) as reader:
            yield reader
    except JournalDamaged as error:
        raise AssertionError(str(error)) from error
