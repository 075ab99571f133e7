"""A world that a service writes, for a command: asked like a kernel that is open here.

Rule 1. What is written goes to the service. What is read comes from the folder, opened for reading afresh
        where frames came since: whatever was answered is in it.
Rule 2. What would be written by an effect is tried on a fork here.
Rule 3. A request that cannot be sent is answered as a fork answers it, where that refuses it.
Rule 4. Intents that find the service's queue full are asked again, for as long as a command waits for another
        writer.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from splittally import runtime
from splittally.core.errors import InvalidInput, SplittallyError
from splittally.core.findings import has_code
from splittally.core.limits import WRITER_LOCK_SECONDS_MAX
from splittally.core.types import OPERATOR
from splittally.edge.hashes import require_hash
from splittally.edge.manifest_files import is_by_people
from splittally.edge.manifest_places import Noted, Stated
from splittally.edge.records import (
    At,
    Decision,
    Dispatch,
    Extend,
    HoldChange,
    Intent,
    Receipt,
    Release,
    Settlement,
    worded,
)
from splittally.runtime.callers import IssuedToken
from splittally.runtime.natives import drawn_token
from splittally.runtime.preview import Preview
from splittally.runtime.queries import Queries
from splittally.runtime.reader import Reader, open_reader
from splittally.runtime.rows import Row
from splittally.wire.calls import Calls, calls_to
from splittally.wire.errors import ConnectionLost, NotServed

AGAIN_SECONDS = 0.05


class ServedWorld:
    """One served world, for one principal; a context manager."""

    def __init__(self, folder: Path, principal: str, calls: Calls, wait_seconds: float | None) -> None:
        self._folder = folder
        self._principal = principal
        self._calls = calls
        self._wait_s = WRITER_LOCK_SECONDS_MAX if wait_seconds is None else wait_seconds
        self._opened: Reader | None = None
        self._in_json: Calls | None = None

    def __enter__(self) -> "ServedWorld":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, and let go of the files."""
        self._calls.close()
        if self._in_json is not None:
            self._in_json.close()
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @property
    def in_json(self) -> Calls:
        """The service in documents of JSON, for who hands them on."""
        if self._in_json is None:
            self._in_json = calls_to(self._folder, self._principal, encoding="json")
        return self._in_json

    # --- read here -------------------------------------------------------------------------------

    @property
    def reader(self) -> Reader:
        """The world as it is now."""
        opened = self._opened
        if opened is not None and opened.head.size == opened.refresh().size:
            return opened
        self._opened = None
        if opened is not None:
            opened.close()
        self._opened = open_reader(self._folder)
        return self._opened

    @property
    def state(self) -> Queries:
        """The queries on its state."""
        return self.reader.state

    def health(self) -> Row:
        """How its clock and files are."""
        return self.reader.health()

    def outcome(self, intent_hash: bytes | str) -> Row | None:
        """What happened to an intent."""
        return self.reader.outcome(intent_hash)

    def decide(self, intent: Intent, now_ns: int | None = None) -> Decision:
        """What `submit` would answer now."""
        with closing(self.reader.fork(self._principal)) as fork:
            return fork.decide(intent, now_ns)

    def preview(self, act: "Callable[[runtime.Kernel], Decision]", now_ns: int | None = None) -> Preview:
        """What an effect would be answered and change."""
        with closing(self.reader.fork(self._principal)) as fork:
            return fork.preview(act, now_ns)

    # --- asked there -----------------------------------------------------------------------------

    def run(self, requests: Sequence[At[Any]]) -> list[Any]:
        """The answers to requests of any kind, in order."""
        answers = self._asked(list(requests))
        until = time.monotonic() + self._wait_s
        while busy := [place for place, answer in enumerate(answers) if _is_busy(answer)]:
            if time.monotonic() >= until:
                break
            time.sleep(AGAIN_SECONDS)
            for place, answer in zip(busy, self._asked([requests[x] for x in busy]), strict=True):
                answers[place] = answer
        return [worded(answer, lambda: self.state.wording) for answer in answers]

    def _asked(self, requests: list[At[Any]]) -> list[Any]:
        answers: list[Any] = self._calls.run(requests)
        for place, answer in enumerate(answers):
            if isinstance(answer, SplittallyError):
                answers[place] = self._refused(requests[place], answer)
        return answers

    def _refused(self, item: At[Any], error: SplittallyError) -> Any:
        """What a kernel says to a request that has no bytes; it refuses that, too, unless it is only long."""
        with closing(self.reader.fork(self._principal)) as fork:
            (answer,) = fork.run([item])
        every = answer if isinstance(answer, list) else [answer]
        is_refused = all(isinstance(x, SplittallyError) or x.seq is None for x in every)
        return answer if is_refused else error

    def submit(self, intent: Intent, *, now_ns: int | None = None) -> Decision:
        """The decision on an intent."""
        decision: Decision = self._one(At(now_ns, intent))
        return decision

    def settle(self, receipt: Receipt, now_ns: int | None = None) -> Settlement:
        """What a receipt is answered."""
        settlement: Settlement = self._one(At(now_ns, receipt))
        return settlement

    def release(
        self,
        intent_hash: bytes | str,
        cause: str = "cancel",
        order: str | None = None,
        now_ns: int | None = None,
        attempt: bytes | None = None,
    ) -> HoldChange:
        """End a hold without a receipt."""
        digest = require_hash(intent_hash)
        if cause != "governance":
            change: HoldChange = self._one(At(now_ns, Release(digest, cause, order, attempt)))
            return change
        return self._changed(
            "release", intent_hash=digest.hex(), cause=cause, order=order or "", now_ns=now_ns
        )

    def dispatch(self, intent_hash: bytes | str, attempt: bytes, now_ns: int | None = None) -> HoldChange:
        """Start the effect of an open hold."""
        change: HoldChange = self._one(At(now_ns, Dispatch(require_hash(intent_hash), attempt)))
        return change

    def extend(self, intent_hash: bytes | str, expires_ns: int, now_ns: int | None = None) -> HoldChange:
        """Move a hold's expiry."""
        change: HoldChange = self._one(At(now_ns, Extend(require_hash(intent_hash), expires_ns)))
        return change

    def approve(
        self, intent_hash: bytes | str, now_ns: int | None = None, reasons: Sequence[str] | None = None
    ) -> Decision:
        """Approve an intent that waits."""
        said = None if reasons is None else list(reasons)
        return self._decided("approve", intent_hash=_digits(intent_hash), now_ns=now_ns, reasons=said)

    def reject(self, intent_hash: bytes | str, now_ns: int | None = None) -> Decision:
        """Reject an intent that waits."""
        return self._decided("reject", intent_hash=_digits(intent_hash), now_ns=now_ns)

    def native(
        self, kind: str, *, under: str | None = None, now_ns: int | None = None, **params: Any
    ) -> Decision:
        """A native effect."""
        return self._decided("native", kind=kind, params=params, under=under, now_ns=now_ns)

    def issue_token(
        self,
        name: str,
        principal: str,
        roles: Sequence[str] = (),
        expires_ns: int | None = None,
        now_ns: int | None = None,
        under: str | None = None,
    ) -> IssuedToken:
        """A token, whose secret is drawn here and does not travel."""
        secret, params = drawn_token(name, principal, roles, expires_ns)
        decision = self.native("token.issue", now_ns=now_ns, under=under, **params)
        return IssuedToken(decision, secret if decision.allowed else None)

    def tick(self, now_ns: int | None = None) -> int:
        """Work through what is due; how many frames that took."""
        frames: int = self._calls.call("tick", now_ns=now_ns)["frames"]
        return frames

    def upgrade(self) -> int | None:
        """Record what this release brings; the frame."""
        if self._principal != OPERATOR:
            raise InvalidInput(f"only `{OPERATOR}` upgrades a world", field="principal")
        seq: int | None = self._calls.call("upgrade")["seq"]
        return seq

    def apply(
        self,
        manifest: Path,
        now_ns: int | None = None,
        accept_modules: bool = False,
        expect: str | None = None,
        allow_revoke: bool = True,
    ) -> Decision:
        """Make the world what a manifest says; the files that it names are sent along."""
        noted = Noted(manifest.parent)
        with closing(self.reader.fork(self._principal)) as fork:
            fork.apply(Stated(noted, manifest.name), now_ns, accept_modules)
        text = noted.files.pop(manifest.name)
        return self._decided(
            "apply",
            manifest=text.decode(),
            form="toml" if is_by_people(manifest) else "json",
            files=noted.files,
            accept_modules=accept_modules,
            expect=expect,
            allow_revoke=allow_revoke,
            now_ns=now_ns,
        )

    def _one(self, item: At[Any]) -> Any:
        (answer,) = self.run([item])
        if isinstance(answer, SplittallyError):
            raise answer
        return answer

    def _decided(self, name: str, **fields: Any) -> Decision:
        decision: Decision = self._calls.change(name, **fields)
        return worded(decision, lambda: self.state.wording)

    def _changed(self, name: str, **fields: Any) -> HoldChange:
        change: HoldChange = self._calls.change(name, **fields)
        return change


def served_world(folder: Path, principal: str, wait_seconds: float | None) -> ServedWorld | None:
    """The world in this folder for a principal; None where nobody serves it, or ends at this moment."""
    try:
        return ServedWorld(folder, principal, calls_to(folder, principal), wait_seconds)
    except (NotServed, ConnectionLost):
        return None


def _digits(intent_hash: bytes | str) -> str:
    return require_hash(intent_hash).hex()


def _is_busy(answer: Any) -> bool:
    if isinstance(answer, list):
        return any(map(_is_busy, answer))
    is_unrecorded = isinstance(answer, Decision) and answer.seq is None
    return is_unrecorded and any(has_code(finding, "busy") for finding in answer.findings)
