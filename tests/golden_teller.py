"""Drives one world and writes down, for people, what was asked and what was answered.

A transcript names intents by label in the place of hashes, so that a reviewer can follow them.
"""

from hashlib import sha256
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from splittally.core.events import Released, RuleFired, Settled
from splittally.core.findings import Finding
from splittally.core.frames import Body
from splittally.core.limits import HASH_BYTES
from splittally.edge.records import Decision, HoldChange, Intent, Receipt, Settlement
from splittally.journal.snapshot import Snapshots
from splittally.runtime.kernel import Kernel
from splittally.runtime.world import World

SECOND = 10**9
DAY_ONE = 1_767_571_200 * SECOND  # Monday 2026-01-05 00:00 UTC, so that calendar windows mean something
TEXT_SHOWN = 60
MARGIN = " " * 22


def key_of(label: str) -> bytes:
    """The idempotency key of a labelled intent."""
    return sha256(f"key {label}".encode()).digest()


class Tour:
    """Drives one world and writes down what was asked and answered. Answers are kept by label."""

    def __init__(self, kernel: Kernel, world: World) -> None:
        self.kernel = kernel
        self.world = world
        self.lines: list[str] = []
        self.hashes: dict[str, bytes] = {}
        self.found: list[Finding] = []
        self.at = 0

    def scene(self, title: str) -> None:
        self.lines += ["", f"== {title}"]

    def ask(
        self, label: str, kind: str, params: Any, grant: str, by: str = "operator", **fields: Any
    ) -> Decision:
        """Submit one intent; `key=None` lets the kernel draw one."""
        at = fields.pop("at", None)
        key = fields.pop("key", key_of(label))
        intent = Intent(kind, params, grant, idempotency_key=key, **fields)
        self._say(at, by, f"submit {label}: {kind} under {grant} {_short(params)}{_rest(fields)}")
        decision: Decision = self.kernel.as_principal(by).submit(intent, now_ns=self._now(at))
        return self._decided(label, decision)

    def native(self, label: str, kind: str, by: str = "operator", **fields: Any) -> Decision:
        """Ask for a native effect; `at` is no param, `grant` only of an effect that has one of this name."""
        at, grant = fields.pop("at", None), fields.pop("grant", None)
        if grant and kind == "usage.record":
            fields, grant = {"grant": grant, **fields}, None
        shown = {name: self._label_of(value) for name, value in fields.items()}
        self._say(at, by, f"{label}: {kind} {_short(shown)}" + (f" under {grant}" if grant else ""))
        decision = self.kernel.as_principal(by).native(kind, now_ns=self._now(at), under=grant, **fields)
        return self._decided(label, decision)

    def apply(self, label: str, manifest: dict[str, Any], at: int | None = None, **said: Any) -> Decision:
        """Apply a manifest; `said` is which plan is meant and whether grants may be revoked."""
        words = f", {_short(said)}" if said else ""
        self._say(at, "operator", f"{label}: apply a manifest with {', '.join(sorted(manifest))}{words}")
        return self._decided(label, self.kernel.apply(manifest, now_ns=self._now(at), **said))

    def group(self, mode: str, members: list[tuple[str, Intent]], by: str = "operator") -> None:
        """Submit a linked group."""
        names = "; ".join(f"{label}: {x.kind} under {x.grant} {_short(x.params)}" for label, x in members)
        self._say(None, by, f"submit {mode} of [{names}]")
        answer = self.kernel.as_principal(by).submit([intent for _, intent in members], mode=mode)
        if mode == "first":
            self._decided(members[0][0].split()[0], answer)
            return
        for (label, _), decision in zip(members, answer, strict=True):
            self.hashes[label] = decision.intent_hash or b""
        for (label, _), decision in zip(members, answer, strict=True):
            self._decided(label, decision)

    def settle(
        self, label: str, status: str, payload: Any = None, by: str = "operator", **fields: Any
    ) -> Settlement:
        """Send the receipt of a labelled intent."""
        at = fields.pop("at", None)
        digest = self.hashes.get(label, key_of(label))
        self._say(at, by, f"receipt of {label}: {status} {_short(payload)}{_rest(fields)}")
        receipt = Receipt(digest, status, fields.pop("adapter_id", by), payload, **fields)
        answer: Settlement = self.kernel.as_principal(by).settle(receipt, now_ns=self._now(at))
        self._answered(answer.seq, answer.status, answer.violations, f" used {_short(answer.usage)}")
        return answer

    def release(self, label: str, cause: str, by: str = "operator", **fields: Any) -> HoldChange:
        """End a labelled hold without a receipt."""
        at, order = fields.pop("at", None), fields.pop("order", None)
        told = f"release {label}: {cause}" + (f" by order {order}" if order else "")
        self._say(at, by, told + _rest(fields))
        view, digest = self.kernel.as_principal(by), self.hashes.get(label, key_of(label))
        answer = view.release(digest, cause, order, now_ns=self._now(at), **fields)
        self._answered(answer.seq, answer.status, (), "")
        return answer

    def dispatch(self, label: str, attempt: bytes) -> HoldChange:
        """Start the effect of a labelled hold."""
        self._say(None, "operator", f"dispatch {label}{_rest({'attempt': attempt})}")
        answer = self.kernel.dispatch(self.hashes[label], attempt)
        self._answered(answer.seq, answer.status, (), "")
        return answer

    def extend(self, label: str, to: int, by: str = "operator", at: int | None = None) -> HoldChange:
        """Move a labelled hold's expiry to `to` seconds of day one."""
        self._say(at, by, f"extend {label} to {to}s")
        answer = self.kernel.as_principal(by).extend(
            self.hashes[label], DAY_ONE + to * SECOND, now_ns=self._now(at)
        )
        self._answered(answer.seq, answer.status, (), "")
        return answer

    def answer(self, label: str, what: str, by: str = "operator", at: int | None = None) -> Decision:
        """Approve or reject a labelled intent."""
        return self.native(
            f"{what} {label}", "approval.answer", by, intent_hash=self.hashes[label], answer=what, at=at
        )

    def tick(self, at: int) -> None:
        """Let time pass."""
        self._say(at, "", "time passes")
        before = self.world.state.size
        self.kernel.tick(now_ns=self._now(at))
        self._events(range(before, self.world.state.size))

    def anchor(self) -> None:
        """Save a snapshot in a folder that is gone at once; the frame that names it stays."""
        self._say(None, "", "a snapshot is saved")
        before = self.world.state.size
        with TemporaryDirectory() as folder, patch.object(self.world, "snapshots", Snapshots(Path(folder))):
            self.world.save_projections()
        self._events(range(before, self.world.state.size))

    def _now(self, at: int | None) -> int | None:
        if at is None:
            return None
        self.at = at
        return DAY_ONE + at * SECOND

    def _say(self, at: int | None, by: str, text: str) -> None:
        self.before = self.world.state.size
        self.lines.append(f"{_clock(self.at if at is None else at)} {by:<9} {text}")

    def _decided(self, label: str, decision: Decision) -> Decision:
        if decision.intent_hash is not None:
            self.hashes[label] = decision.intent_hash
        outcome = decision.outcome + (", as before" if decision.duplicate else "")
        reserve = f", reserve {_short(decision.reserve)}" if decision.reserve else ""
        self._answered(decision.seq, outcome, decision.findings, reserve)
        return decision

    def _answered(self, seq: int | None, status: str, findings: Any, rest: str) -> None:
        where = "no record" if seq is None else f"frame {seq}"
        self.lines.append(f"{MARGIN}-> {status} ({where}){rest}")
        for finding in findings:
            self._told(finding)
        self._events(range(self.before, self.world.state.size))
        self.before = self.world.state.size

    def _told(self, finding: Finding) -> None:
        self.found.append(finding)
        facts = {name: self._label_of(value) for name, value in finding.facts.items()}
        self.lines.append(f"{MARGIN}   {finding.stage}: {finding.code} {_short(facts)}")

    def _events(self, seqs: range) -> None:
        for seq in seqs:
            body = self.body(seq)
            told = [_event_shown(event) for event in body.out]
            runs = [f"{name} x{count}" if count > 1 else name for name, count in _runs(told)]
            self.lines.append(f"{MARGIN}   #{seq} {type(body.command).__name__}: {' '.join(runs)}")
            for event in body.out:
                for finding in _unanswered(event):
                    self._told(finding)

    def body(self, seq: int) -> Body:
        """The body of frame `seq`, committed or about to be."""
        return self.world.history.body(seq)

    def _label_of(self, value: Any) -> Any:
        """A known intent's label in the place of its hash."""
        if type(value) is list:
            return [self._label_of(item) for item in value]
        known = {digest: label for label, digest in self.hashes.items()}
        return known.get(value, value) if type(value) is bytes else value


def _event_shown(event: Any) -> str:
    """An event by its name and the word in it that says which case it is."""
    for field in ("how", "cause", "over", "phase", "table", "status"):
        if isinstance(getattr(event, field, None), str):
            return f"{type(event).__name__}({getattr(event, field)})"
    return type(event).__name__


def _unanswered(event: Any) -> list[Finding]:
    """The findings of an event that stand in nobody's answer."""
    if isinstance(event, Released | RuleFired):
        return event.findings
    is_untold = isinstance(event, Settled) and event.how in ("unknown", "attested", "recorded")
    return event.violations if is_untold else []


def _runs(names: list[str]) -> list[tuple[str, int]]:
    return [(name, len(list(same))) for name, same in groupby(names)]


def _clock(seconds: int) -> str:
    days, seconds = divmod(seconds, 86_400)
    return f"{days}d {seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _short(value: Any) -> str:
    """A value on one line: hashes by their first digits, long texts by their length."""
    match value:
        case dict():
            return "{" + ", ".join(f"{name}: {_short(item)}" for name, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_short, value)) + "]"
        case bytes():
            return f"{value[:4].hex()}…" if len(value) <= HASH_BYTES else f"{len(value)} bytes"
        case str() if len(value) > TEXT_SHOWN and " " not in value:
            return f"{value[:4]}… of {len(value)} characters"
        case None | bool():
            return str(value).lower()
    return str(value)


def _rest(fields: dict[str, Any]) -> str:
    shown = dict(fields)
    if "expires_ns" in shown:
        shown["expires"] = _clock((shown.pop("expires_ns") - DAY_ONE) // SECOND)
    return f" {_short(shown)}" if shown else ""
