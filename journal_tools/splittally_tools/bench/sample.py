"""One real decision and its settlement, taken out of a world: what the floor imitates in size.

The questions are asked again by the core's own `ask` from the recorded commands, so they are the bytes
that the enforcer saw.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from splittally.core.ask import Recall, ask
from splittally.core.commands import Settle, Submit
from splittally.core.intent import intent_hash
from splittally.core.limits import HASH_BYTES
from splittally.runtime.reader import Reader, open_reader

from splittally_tools.bench import workload


class Frozen(NamedTuple):
    """What an enforcer was asked, and the frame that recorded it, around the hash of the frame before."""

    question: bytes
    frame_front: bytes
    frame_back: bytes


class Sample(NamedTuple):
    """Everything that the floor needs of a decision and its settlement."""

    module: bytes
    wasm: bytes
    check: Frozen
    settle: Frozen
    intent_front: bytes
    intent_back: bytes
    params: Callable[[int], dict[str, Any]]
    payload: Callable[[int], dict[str, Any]]


def take_sample(folder: Path) -> Sample:
    """A decision at depth 1 and its settlement, made in a world at `folder`."""
    made = workload.Workload(folder)
    made.decide(1)
    made.settle()
    made.close()
    with open_reader(folder) as reader:
        settled_at = reader.head.size - 1
        return _read(reader, settled_at)


def _read(reader: Reader, settled_at: int) -> Sample:
    settled = reader.record(settled_at)
    command = settled.body.command
    assert isinstance(command, Settle)
    state = reader.state_before(settled_at)
    hold = state.ledger.holds[command.intent_hash]
    decided = reader.record(hold.seq)
    assert isinstance(decided.body.command, Submit)
    member = decided.body.command.members[0]
    recall = Recall(
        kind=member.kind,
        params=member.params,
        origin_kind=member.origin_kind,
        origin_name=member.origin_name,
        at_ns=decided.body.at_ns,
    )
    [check] = ask(state, decided.body.at_ns, decided.body.by, decided.body.command, None, None).questions
    [settle] = ask(state, settled.body.at_ns, settled.body.by, command, None, recall).questions
    assert member.intent_hash == intent_hash(member.kind, member.params, member.grant, member.key)
    return Sample(
        module=check.module,
        wasm=state.caps.blobs[check.module],
        check=_frozen(check.data, decided.data, decided.prev),
        settle=_frozen(settle.data, settled.data, settled.prev),
        intent_front=b"\xa4ccap" + member.grant.encode() + b"dkind" + member.kind.encode() + b"fparams",
        intent_back=b"oidempotency_key\x58\x20" + bytes(HASH_BYTES),
        params=workload.params,
        payload=workload.payload,
    )


def _frozen(question: bytes, frame: bytes, prev: bytes) -> Frozen:
    front, back = frame.split(prev, 1)
    return Frozen(question, front, back)
