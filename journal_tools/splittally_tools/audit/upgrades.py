"""What a release would judge otherwise than the world's own modules did.

Rule 1. Every recorded Check under a cap of the release whose module differs is asked again, with the
        very input of then; verdicts are compared, not bytes.
Rule 2. Settlements are not asked: a reservation is settled by the module that it pins.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from splittally.core.ask import member_questions
from splittally.core.commands import Judged, Member, Submit
from splittally.core.events import Defined
from splittally.core.hashing import hash_module
from splittally.core.native.manifest import read_manifest
from splittally.core.questions import Question
from splittally.core.state import State
from splittally.core.verdict import Fault, read_check
from splittally.runtime.reading import Reader, Record
from splittally.runtime.recover import apply_events
from splittally.runtime.world import current_release, release_changes
from splittally.sandbox import Sandbox

PROGRESS_FRAMES = 256


class Release(NamedTuple):
    """What this release would define in a world: entries, modules by name (old and new hash), caps."""

    entries: list[dict[str, str]]
    modules: list[dict[str, str | None]]
    enforcers: dict[str, bytes]


class Otherwise(NamedTuple):
    """A Check that this release answers otherwise."""

    seq: int
    intent_hash: bytes
    grant: str
    cap: str
    was: dict[str, Any]
    now: dict[str, Any]


def release_of(state: State) -> Release:
    """What this release would change in the world of `state`."""
    manifest = read_manifest(current_release())
    defined = [event for event in release_changes(state) if isinstance(event, Defined)]
    entries = [{"table": x.table, "key": x.key} for x in defined if x.table != "blobs"]
    modules: list[dict[str, str | None]] = []
    for name, digest in sorted(manifest.modules.items()):
        old = state.caps.modules.get(name)
        if old != digest:
            modules.append({"name": name, "old": old.hex() if old else None, "new": digest.hex()})
    enforcers = {name: cap.enforcer for name, cap in manifest.caps.items() if cap.enforcer}
    return Release(entries, modules, enforcers)


def judged_otherwise(
    reader: Reader, release: Release, progress: Callable[[int], None]
) -> tuple[int, list[Otherwise]]:
    """How many Checks were asked again, and those that come out otherwise, oldest first."""
    asking = _Asking(release)
    state = State()
    for record in reader.records():
        if isinstance(record.body.command, Submit):
            for member in record.body.command.members:
                asking.ask(state, record, member)
        body = record.body
        apply_events(state, body.at_ns, body.by, body.out, record.seq)
        if record.seq % PROGRESS_FRAMES == 0:
            progress(PROGRESS_FRAMES)
    return asking.asked, asking.otherwise


class _Asking:
    def __init__(self, release: Release) -> None:
        self.asked = 0
        self.otherwise: list[Otherwise] = []
        self._enforcers = release.enforcers
        self._sandbox = Sandbox()
        wasm = {hash_module(data): data for data in read_manifest(current_release()).wasm}
        self._wasm = wasm

    def ask(self, state: State, record: Record, member: Member) -> None:
        """Asks the modules of the release what those of the world answered for one intent."""
        links = state.caps.chain(member.grant, member.kind).asked
        if all(self._enforcers.get(x.cap.name, x.cap.enforcer) == x.cap.enforcer for x in links):
            return
        answers = {x.question: x for x in record.body.seen if isinstance(x, Judged)}
        questions = member_questions(state.caps, record.body.at_ns, member)
        for link, question in zip(links, questions, strict=True):
            new = self._enforcers.get(link.cap.name)
            recorded = answers.get(question.hash)
            if new is None or new == link.cap.enforcer or recorded is None:
                continue
            self.asked += 1
            was = _verdict(Fault(recorded.fault) if recorded.fault else recorded.answer)
            now = self._judge(new, question)
            if was != now:
                digest = member.intent_hash
                self.otherwise.append(Otherwise(record.seq, digest, link.grant.name, link.cap.name, was, now))

    def _judge(self, module: bytes, question: Question) -> dict[str, Any]:
        if not self._sandbox.knows(module):
            self._sandbox.load(self._wasm[module])
        return _verdict(self._sandbox.judge(module, question.data))


def _verdict(answer: bytes | Fault) -> dict[str, Any]:
    """A Check's answer without its text, which may be worded anew."""
    verdict = answer if isinstance(answer, Fault) else read_check(answer)
    if isinstance(verdict, Fault):
        return {"fault": verdict.cls}
    return {"deny": verdict.deny_code} if verdict.deny_code else {"reserve": verdict.reserve}
