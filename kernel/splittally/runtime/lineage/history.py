"""Everything that a walk says of a posting, read from the frames in one pass.

Rule 1. Nothing but frames is read, oldest first, each once: no state, no index.
"""

from collections.abc import Iterable
from typing import NamedTuple

from splittally.core.canonical import decode
from splittally.core.commands import Submit
from splittally.core.events import Defined, GrantSet, Posted
from splittally.core.frames import Body
from splittally.runtime.lineage.causes import postings_of
from splittally.runtime.lineage.sources import Lineage

TASK = "task.post"


class Moment(NamedTuple):
    """When a posting was recorded, for whom, and with which permission."""

    at_ns: int
    principal: str
    permission: str


class History:
    """The postings of a journal with when, for whom and under which grants."""

    def __init__(self) -> None:
        self.lineage = Lineage()
        self.moments: list[Moment] = []  # one for each posting
        self.parents: dict[str, str] = {}  # grant -> parent, which never changes
        self.accounts: set[str] = set()
        self.scales: dict[str, int] = {}
        self.part_of: dict[bytes, str] = {}  # task -> the hash, in hex, of the task it is part of
        self.labels: dict[bytes, dict[str, str]] = {}  # of the intents that have some
        self.parts: dict[str, list[bytes]] = {}  # the same from the other side: tasks that were committed
        self.size = 0

    def read(self, seq: int, body: Body) -> None:
        """The next frame."""
        self.size = seq + 1
        if isinstance(body.command, Submit):
            self._read_intents(body.command)
        for event in body.out:
            match event:
                case GrantSet():
                    self.parents[event.grant.name] = event.grant.parent
                case Defined(table="accounts"):
                    self.accounts.add(event.key)
                case Defined(table="resources") if event.value:
                    self.scales[event.key] = decode(event.value)[1]
        for moved in postings_of(body):
            self.lineage.add(seq, moved.position, moved.kind, moved.posted)
            self.moments.append(Moment(body.at_ns, body.by, moved.permission))
            self._link(moved.posted)

    def chain_of(self, grant: str) -> list[str]:
        """The grant and those above it, the root last."""
        chain = []
        while grant:
            chain.append(grant)
            grant = self.parents.get(grant, "")
        return chain

    def _link(self, posted: Posted) -> None:
        """A task whose value is committed is listed with the task that it says it is part of."""
        whole = "" if posted.credit else self.part_of.get(posted.intent_hash, "")
        if whole and posted.intent_hash not in self.parts.setdefault(whole, []):
            self.parts[whole].append(posted.intent_hash)

    def _read_intents(self, command: Submit) -> None:
        for member in command.members:
            if member.labels:
                self.labels[member.intent_hash] = member.labels
            if member.kind == TASK:
                params = decode(member.params)
                part_of = params.get("part_of") if isinstance(params, dict) else None
                if isinstance(part_of, str):
                    self.part_of[member.intent_hash] = part_of


def read_history(frames: Iterable[tuple[int, Body]]) -> History:
    """The history that frames tell, given from the first on."""
    history = History()
    for seq, body in frames:
        history.read(seq, body)
    return history
