"""A host in one line: ask, act, tell, whatever happens between.

    with connect("world", principal="agent") as client:
        with client.effect("mail.send", {"to": "ann"}, grant="mail") as call:
            mail("ann")

    @effect("mail.send", grant="mail", key="welcome:{to}")      # of whichever client is current
    async def welcome(to: str) -> None: ...

Whatever becomes of the body has one row in the table of endings (`endings.py`, spec/16-client.md). All of it
is written once, as courses without I/O (`course.py`); threads and tasks of asyncio drive the same ones.
"""

from splittally.client.call import Call
from splittally.client.connecting import Connecting, connect
from splittally.client.connection import AsyncConnection, Connection, Link
from splittally.client.context import current_call, labels
from splittally.client.effect import Effect, effect
from splittally.client.errors import (
    AlreadyDone,
    NoClient,
    NotApproved,
    NotDone,
    NotYours,
    SettleFailed,
    Stopped,
    Unreachable,
    Waiting,
)
from splittally.client.faces import AsyncClient, Client
from splittally.edge.records import Refused

__all__ = [
    "AlreadyDone",
    "AsyncClient",
    "AsyncConnection",
    "Call",
    "Client",
    "Connecting",
    "Connection",
    "Effect",
    "Link",
    "NoClient",
    "NotApproved",
    "NotDone",
    "NotYours",
    "Refused",
    "SettleFailed",
    "Stopped",
    "Unreachable",
    "Waiting",
    "connect",
    "current_call",
    "effect",
    "labels",
]
