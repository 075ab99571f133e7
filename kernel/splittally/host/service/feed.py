"""The frames as they come: pages of the journal, and events for those who follow (CloudEvents 1.0, SSE).

    id: 41
    event: splittally.settle
    data: {"specversion": "1.0", "id": "41", "type": "splittally.settle", "source": "/worlds/6f1e...", ...}

Rule 1. The cursor is the sequence of a frame: whoever has seen frame N goes on with `after=N`, or with the
        header `Last-Event-ID`, and misses nothing. A cursor beyond the journal is refused: frames that its
        owner has seen are missing here.
Rule 2. A frame is sent after its commit.
Rule 3. Operators and auditors see every frame. Anybody else sees of a frame the events of its own intents,
        and the command where that is its own; a frame without such an event is left out.
Rule 4. Who takes no frames holds nobody up: they are read for it when it takes them.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from msgspec import json

from splittally.core.commands import Submit
from splittally.host.service.problems import Problem
from splittally.host.service.service import Service
from splittally.runtime.awaiting import Bell
from splittally.runtime.callers import Caller
from splittally.runtime.frame_documents import frame_json, tagged_json, type_of
from splittally.runtime.queries import Queries
from splittally.runtime.record import Record
from splittally.runtime.waits import RECORDS_MAX

BEAT_SECONDS = 15.0  # so that what stands between keeps the connection


def page_of_frames(service: Service, after: int, limit: int) -> dict[str, Any]:
    """`items` after a sequence, and `next`, the sequence after which the next page begins, or null."""
    records = service.records_after(after, limit)
    items = [frame_json(record) for record in records]
    return {"items": items, "next": records[-1].seq if len(records) == limit else None}


def cursor(service: Service, after: str) -> int:
    """The sequence after which a feed begins; of a number below -1 so many frames back from the end."""
    if not after.removeprefix("-").isdecimal() or len(after) > 18:
        raise Problem(400, "invalid_input", "`after` is the sequence of a frame")
    seq, size = int(after), service.head.size
    if seq >= size:
        text = f"you have seen frame {seq}, and this journal ends at frame {size - 1}: it is an older copy"
        raise Problem(409, "journal_older", text, {"seq": seq, "last": size - 1})
    return seq if seq >= -1 else max(-1, size + seq - 1)


async def events(service: Service, caller: Caller, after: int) -> AsyncIterator[bytes]:
    """Server-sent events after a sequence, with a beat where nothing comes."""
    bell, seq = Bell(), after
    with service.kernel._world.signals.waking(bell.ring):
        while not service.is_closing:
            last, text = await service.look(caller, partial(_after, service, caller, seq))
            if text:
                yield text
            if last == seq and not await bell.heard(BEAT_SECONDS):
                yield b": beat\n\n"
            seq = last


def _after(service: Service, caller: Caller, seq: int, state: Queries) -> tuple[int, bytes]:
    """The last of the next few frames, and the events of those that the caller may see."""
    records = service.records_after(seq, RECORDS_MAX)
    asked_by: dict[bytes, bool] = {}

    def is_own(intent_hash: bytes) -> bool:
        if intent_hash not in asked_by:
            asked_by[intent_hash] = service.is_own(caller, intent_hash)
        return asked_by[intent_hash]

    told = [_told(service, caller, record, is_own) for record in records]
    return (records[-1].seq if records else seq), b"".join(told)


def _told(service: Service, caller: Caller, record: Record, is_own: Callable[[bytes], bool]) -> bytes:
    data = frame_json(record) if caller.may_see_all else own_part(caller, record, is_own)
    if data is None:
        return b""
    event = cloud_event(service, record, data)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (record.seq, event["type"].encode(), json.encode(event))


def own_part(caller: Caller, record: Record, is_own: Callable[[bytes], bool]) -> dict[str, Any] | None:
    """What a frame says of the caller's own intents; None where it says nothing of them."""
    body = record.body
    own = [x for x in body.out if hasattr(x, "intent_hash") and is_own(x.intent_hash)]
    if not own:
        return None
    named = getattr(body.command, "intent_hash", None)
    is_asked = body.by == caller.principal if isinstance(body.command, Submit) else named and is_own(named)
    return {
        "seq": record.seq,
        "hash": record.hash.hex(),
        "prev": record.prev.hex(),
        "at_ns": body.at_ns,
        "by": body.by,
        "command": tagged_json(body.command) if is_asked else {"type": type_of(body.command)},
        "events": [tagged_json(event) for event in own],
    }


def cloud_event(service: Service, record: Record, data: dict[str, Any]) -> dict[str, Any]:
    """A frame as an event: `subject` is the intent that its events speak of, where that is one."""
    subjects = {event["intent_hash"] for event in data["events"] if "intent_hash" in event}
    return {
        "specversion": "1.0",
        "id": str(record.seq),
        "source": f"/worlds/{service.world_id}",
        "type": f"splittally.{type_of(record.body.command)}",
        "time": datetime.fromtimestamp(record.body.at_ns / 10**9, UTC).isoformat(),
        **({"subject": subjects.pop()} if len(subjects) == 1 else {}),
        "datacontenttype": "application/json",
        "data": data,
    }
