"""How a grant's meaning has changed under one name, and who acted first under each meaning.

Rule 1. A meaning changes with the grant's own record, with the module that judges its cap, and with the
        schema of an effect: together they are what `terms_hash` is over.
Rule 2. The answer rests on the frames alone, each verified on the way.
"""

from typing import Any, NamedTuple, TypedDict

import msgspec
from splittally.core.canonical import decode
from splittally.core.caps.state import covers_type
from splittally.core.commands import Submit
from splittally.core.events import Authority, Decided, Defined, Event, GrantRevoked, GrantSet, Held
from splittally.core.types import Grant, Leg
from splittally.runtime.reader import Reader
from splittally.runtime.record import Record

Fields = dict[str, tuple[Any, Any]]  # a field's old and new value


class Change(TypedDict):
    """A change of one grant: where, by whom, what, from what to what, and who acted first under it.

    `grant_hash` is empty where the grant's own record stands. `first_intent` is None while nobody has
    acted under it, and for ever when it was changed again before anybody did.
    """

    seq: int
    at_ns: int
    by: str
    what: str
    fields: Fields
    grant_hash: str
    first_intent: dict[str, Any] | None


def grant_history(reader: Reader, name: str, stop: int | None = None) -> list[Change]:
    """Every change of the grant `name` before frame `stop`, oldest first."""
    return _History(name).read(reader, stop)


class _Waiting(NamedTuple):
    """A change under which nobody has acted yet; `kind` is the only effect that it concerns, if any."""

    change: Change
    kind: str


class _History:
    def __init__(self, name: str) -> None:
        self.name = name
        self.grant: Grant | None = None
        self.parents: dict[str, str] = {}
        self.caps: dict[str, list[Any]] = {}
        self.effects: dict[str, list[Any]] = {}
        self.changes: list[Change] = []
        self.waiting: list[_Waiting] = []

    def read(self, reader: Reader, stop: int | None) -> list[Change]:
        for record in reader.records(0, stop):
            self._meet(record)
            for event in record.body.out:
                self._see(record, event)
        return self.changes

    def _see(self, record: Record, event: Event) -> None:
        match event:
            case GrantSet(grant=grant):
                self.parents[grant.name] = grant.parent
                if grant.name == self.name:
                    what = "changed" if self.grant is not None else "made"
                    self._add(record, what, _differences(self.grant, grant), grant.grant_hash.hex())
                    self.grant = grant
            case GrantRevoked() if self.grant is not None and event.name in self._chain():
                self._add(record, f"revoked with {event.name}", {"order": ("", event.order)})
            case Defined(table="caps"):
                self._see_cap(record, event.key, decode(event.value) if event.value else [])
            case Defined(table="effects"):
                self._see_effect(record, event.key, decode(event.value) if event.value else [])

    def _see_cap(self, record: Record, name: str, entry: list[Any]) -> None:
        old = self.caps.get(name)
        self.caps[name] = entry
        if self.grant is not None and self.grant.cap == name and old and entry and old[2] != entry[2]:
            self._add(record, f"module of {name} changed", {"enforcer": (old[2].hex(), entry[2].hex())})

    def _see_effect(self, record: Record, kind: str, entry: list[Any]) -> None:
        old = self.effects.get(kind)
        self.effects[kind] = entry
        cap = self.caps.get(self.grant.cap) if self.grant is not None else None
        is_covered = cap is not None and entry and covers_type(cap[1], entry[1])
        if is_covered and old and old[2] != entry[2]:
            fields = {"params_schema": (old[2].hex(), entry[2].hex())}
            self._add(record, f"schema of {kind} changed", fields, kind=kind)

    def _chain(self) -> set[str]:
        """The names of this grant and of those above it."""
        names: set[str] = set()
        name = self.name
        while name and name not in names:
            names.add(name)
            name = self.parents.get(name, "")
        return names

    def _add(self, record: Record, what: str, fields: Fields, grant_hash: str = "", kind: str = "") -> None:
        change = Change(
            seq=record.seq,
            at_ns=record.body.at_ns,
            by=record.body.by,
            what=what,
            fields=fields,
            grant_hash=grant_hash,
            first_intent=None,
        )
        self.changes.append(change)
        if not kind:  # what nobody has acted under by now nobody ever will
            self.waiting = [waiting for waiting in self.waiting if waiting.change["seq"] == record.seq]
        self.waiting.append(_Waiting(change, kind))

    def _meet(self, record: Record) -> None:
        """Enters a frame's intents under this grant as the first under what still waits for one."""
        command = record.body.command
        if not self.waiting or not isinstance(command, Submit):
            return
        for member in command.members:
            link = _link(record, member.intent_hash, self.name)
            if link is None:
                continue
            intent = {
                "seq": record.seq,
                "intent_hash": member.intent_hash.hex(),
                "kind": member.kind,
                "outcome": _outcome(record, member.intent_hash),
                "grant_hash": link.grant_hash.hex(),
                "terms_hash": link.terms_hash.hex(),
            }
            for waiting in self.waiting:
                if waiting.kind in ("", member.kind):
                    waiting.change["first_intent"] = intent
            self.waiting = [x for x in self.waiting if x.kind not in ("", member.kind)]


def _link(record: Record, intent_hash: bytes, grant: str) -> Authority | Leg | None:
    """The grant as it stood in the chain of an intent that this frame decides."""
    for event in record.body.out:
        links: list[Authority] | list[Leg] = []
        if isinstance(event, Decided) and event.intent_hash == intent_hash:
            links = event.authority
        elif isinstance(event, Held) and event.intent_hash == intent_hash:
            links = event.legs
        for link in links:
            if link.grant == grant:
                return link
    return None


def _outcome(record: Record, intent_hash: bytes) -> str:
    return next(
        event.outcome
        for event in record.body.out
        if isinstance(event, Decided) and event.intent_hash == intent_hash
    )


def _differences(old: Grant | None, new: Grant) -> Fields:
    """Each field that differs, old and new; of a new grant, every field that says something."""
    before = _plain(old) if old is not None else {}
    return {
        name: (before.get(name), value)
        for name, value in _plain(new).items()
        if name != "name" and before.get(name) != value and (old is not None or value)
    }


def _plain(grant: Grant) -> dict[str, Any]:
    fields = msgspec.structs.asdict(grant)
    fields["limits"] = {f"{limit.dim} per {limit.per} {limit.over}": limit.amount for limit in grant.limits}
    return fields
