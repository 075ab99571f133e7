"""The frames as they come: pages of the journal, and events for those who follow (CloudEvents 1.0, SSE).

    id: 41
    event: splittally.settled
    data: {"specversion": "1.0", "id": "41", "type": "splittally.settled", "source": "/worlds/6f1e...", ...}

Rule 1. The cursor is the sequence of a frame: whoever has seen frame N goes on with `after=N`, or with the
        header `Last-Event-ID`, and misses nothing.
Rule 2. A frame is sent after its commit.
Rule 3. Operators and auditors see every frame; anybody else the frames that speak of its own intents.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from msgspec import json

from splittally.core.commands import Submit
from splittally.host.service.service import Service
from splittally.runtime.callers import Caller
from splittally.runtime.frame_documents import frame_json, type_of
from splittally.runtime.record import Record
from splittally.runtime.waits import PAUSE_SECONDS_MAX

BEAT_SECONDS = 15.0  # so that what stands between keeps the connection


async def page_of_frames(service: Service, after: int, limit: int) -> dict[str, Any]:
    """`items` after a sequence, and `next`, the sequence after which the next page begins, or null."""
    records = await asyncio.to_thread(service.records_after, after, limit)
    items = [frame_json(record) for record in records]
    return {"items": items, "next": records[-1].seq if len(records) == limit else None}


def cloud_event(service: Service, record: Record) -> dict[str, Any]:
    """A frame as an event: `subject` is the intent that it speaks of, where that is one."""
    subjects = {x.intent_hash.hex() for x in record.body.out if hasattr(x, "intent_hash")}
    return {
        "specversion": "1.0",
        "id": str(record.seq),
        "source": f"/worlds/{service.world_id}",
        "type": f"splittally.{type_of(record.body.command)}",
        "time": datetime.fromtimestamp(record.body.at_ns / 10**9, UTC).isoformat(),
        **({"subject": subjects.pop()} if len(subjects) == 1 else {}),
        "datacontenttype": "application/json",
        "data": frame_json(record),
    }


async def events(service: Service, caller: Caller, after: int) -> AsyncIterator[bytes]:
    """Server-sent events after a sequence, with a beat where nothing comes."""
    feed = service.reading.watch(after)
    coming = asyncio.ensure_future(anext(feed, None))
    try:
        while not service.is_closing:
            done, _ = await asyncio.wait([coming], timeout=min(BEAT_SECONDS, PAUSE_SECONDS_MAX))
            if not done:
                yield b": beat\n\n"
                continue
            record = coming.result()
            if record is None:
                return
            if caller.may_see_all or speaks_to(service, caller, record):
                event = cloud_event(service, record)
                yield b"id: %d\nevent: %s\ndata: %s\n\n" % (
                    record.seq,
                    event["type"].encode(),
                    json.encode(event),
                )
            coming = asyncio.ensure_future(anext(feed, None))
    finally:
        coming.cancel()


def speaks_to(service: Service, caller: Caller, record: Record) -> bool:
    """Whether a frame speaks of this caller's intents and of nobody else's."""
    if isinstance(record.body.command, Submit):
        return record.body.by == caller.principal
    spoken = {x.intent_hash for x in record.body.out if hasattr(x, "intent_hash")}
    return bool(spoken) and all(service.asked_by(digest) == caller.principal for digest in spoken)
