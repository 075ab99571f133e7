"""Plays an economy in a fresh world in memory, and checks after every step that nothing was made or lost.

Rule 1. A run is a function of its file: the clock is given, keys come from labels, chance is a stream.
Rule 2. After each step the balances and what is in flight sum to zero for every resource. At the end books
        kept from the postings alone agree with the state, and the journal folds to the live root.
Rule 3. A step that ends otherwise than it says stops the run.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, assert_never

from splittally.core.errors import JournalDamaged
from splittally.core.frames import read_body
from splittally.core.snapshot import state_root
from splittally.core.state import State
from splittally.core.types import OPERATOR, ROOT
from splittally.edge import records
from splittally.edge.amounts import parse_amount
from splittally.journal.frame import open_frame
from splittally.runtime.kernel import Kernel
from splittally.runtime.opening import open_or_create
from splittally.runtime.record import Record
from splittally.runtime.recover import apply_events
from splittally.runtime.world import World

from splittally_tools.audit.conservation import Conservation
from splittally_tools.economies.economy import (
    Answer,
    AnyStep,
    Economy,
    Native,
    Receipt,
    Release,
    Submit,
    Wait,
)
from splittally_tools.economies.transcript import Transcript

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DONE = ("allow", "settled", "late", "released", "extended")
AMOUNTS = ("amounts", "compute")


class Unexpected(Exception):
    """A step that did not end as its file says."""


class Played(NamedTuple):
    """What a run came to."""

    text: str
    steps: int
    frames: int
    conserved: bool
    folds: bool


def play(economy: Economy, folder: Path | None = None) -> Played:
    """Plays every step; `Unexpected` where one ends otherwise than its file says.

    The world is made in a new folder where one is named, else in memory.
    """
    world = open_or_create(folder, "given", entropy=Chance())
    player = Player(Kernel(world), world, economy)
    with player.kernel:
        player.start()
        for number, step in enumerate(economy.steps, 1):
            player.step(number, step)
        agrees, folds = checked(world)
        conserved = player.conserved and agrees
        player.transcript.end(world.state, conserved, folds)
        return Played(
            text=player.transcript.text,
            steps=len(economy.steps),
            frames=world.state.size,
            conserved=conserved,
            folds=folds,
        )


class Chance:
    """A stream of bytes that is the same in every run."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, size: int) -> bytes:
        self.drawn += 1
        return sha256(f"economy {self.drawn}".encode()).digest()[:size]


class Player:
    """One run: the world, and what is known by label."""

    def __init__(self, kernel: Kernel, world: World, economy: Economy) -> None:
        self.kernel = kernel
        self.world = world
        self.economy = economy
        self.hashes: dict[str, bytes] = {}
        self.conserved = True
        self.transcript = Transcript(economy.title, economy.about, self.hashes)

    def start(self) -> None:
        """The manifest, applied at the time at which the economy starts."""
        decision = self.kernel.apply(self.economy.manifest, now_ns=nanoseconds(self.economy.starts))
        if not decision.allowed:
            raise Unexpected(f"the manifest is refused: {decision.findings}")
        self.transcript.start(self.world.state, sorted(self.economy.manifest))

    def step(self, number: int, step: AnyStep) -> None:
        """One step, with what it recorded and whether the books still sum to zero."""
        before = self.world.state.size
        answer = self._carried_out(step)
        bodies = [self.world.history.body(seq) for seq in range(before, self.world.state.size)]
        self.transcript.step(number, step, self.world.state, answer, list(enumerate(bodies, before)))
        self._require_expected(number, step, answer)
        imbalances = {name: row.imbalance for name, row in self.kernel.state.resources.items()}
        self.conserved = self.conserved and not any(imbalances.values())

    def _carried_out(self, step: AnyStep) -> records.Answer | None:
        view = self.kernel.as_principal(step.by)
        now = nanoseconds(step.at) if step.at is not None else None
        match step:
            case Native():
                grant = step.under or self._native_grant(step.by)
                return self._submitted(view, step.label or f"{step.kind} {self.world.state.size}",
                                       [grant], step.kind, step.params, now)  # fmt: skip
            case Submit():
                under = [step.under] if isinstance(step.under, str) else step.under
                expires = nanoseconds(step.expires) if step.expires is not None else None
                return self._submitted(view, step.label, under, step.kind, step.params, now, expires)
            case Receipt():
                payload = self._in_minor_units(step.payload)
                receipt = records.Receipt(
                    self.hashes[step.of], step.status, step.by, payload, pays_to=step.pays_to
                )
                settlement: records.Settlement = view.settle(receipt, now_ns=now)
                return settlement
            case Release():
                return view.release(self.hashes[step.of], step.cause, now_ns=now)
            case Answer():
                return self._answered(view, step, now)
            case Wait():
                self.kernel.tick(now_ns=now)
                return None
            case _:
                assert_never(step)

    def _submitted(
        self, view: Kernel, label: str, under: list[str], kind: str, params: Mapping[str, Any],
        now: int | None, expires: int | None = None,
    ) -> records.Decision:  # fmt: skip
        key = sha256(f"key {label}".encode()).digest()
        given = self._in_minor_units(params)
        intents = [
            records.Intent(kind, given, grant, idempotency_key=key, expires_ns=expires) for grant in under
        ]
        decision: records.Decision = (
            view.submit(intents[0], now_ns=now)
            if len(intents) == 1
            else view.submit(intents, mode="first", now_ns=now)
        )
        if decision.intent_hash is not None:
            self.hashes[label] = decision.intent_hash
        return decision

    def _answered(self, view: Kernel, step: Answer, now: int | None) -> records.Decision:
        if step.of:
            digest = self.hashes[step.of]
            label, kind = f"{step.answer} {step.of} {self.world.state.size}", "approval.answer"
            params: dict[str, Any] = {"intent_hash": digest, "answer": step.answer}
        else:
            if now is not None:
                self.kernel.tick(now_ns=now)
            waiting = self.kernel.state.budgets[step.budget].waiting
            item = next(row["item"] for row in waiting if row["rule"] == step.rule)
            label, kind = f"{step.answer} {step.rule} {item}", "budget.answer"
            params = {"budget": step.budget, "item": item, "answer": step.answer}
        return self._submitted(view, label, [self._native_grant(step.by)], kind, params, now)

    def _native_grant(self, by: str) -> str:
        """The grant of native effects that a principal holds; root where it has none."""
        if by == OPERATOR:
            return ROOT
        grants = self.kernel.state.grants
        return next(
            (name for name, row in grants.items() if (row.holder, row.cap) == (by, "sys/native@1")), ROOT
        )

    def _in_minor_units(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Params whose maps of amounts may be written with units, as `12.50 USD`."""
        resources = self.world.state.ledger.resources
        return {
            name: {
                unit: parse_amount(amount, unit, resources[unit].scale) if type(amount) is str else amount
                for unit, amount in value.items()
            }
            if name in AMOUNTS and isinstance(value, dict)
            else value
            for name, value in params.items()
        }

    def _require_expected(self, number: int, step: AnyStep, answer: records.Answer | None) -> None:
        if answer is None:
            return
        status = answer.outcome if isinstance(answer, records.Decision) else answer.status
        codes = [finding.code for finding in getattr(answer, "findings", ())]
        if step.refused:
            if step.refused in (status, *codes) and status not in DONE:
                return
        elif status in DONE or (isinstance(step, Submit) and step.waits and status == "require_approval"):
            return
        wanted = f"refused: {step.refused}" if step.refused else "carried out"
        raise Unexpected(f"step {number} is {status} {codes} and should be {wanted}: {answer}")


def checked(world: World) -> tuple[bool, bool]:
    """Whether books kept from the postings agree with the state, and the journal folds to its root."""
    state = State()
    try:
        _fold(world, state)
    except JournalDamaged:
        return False, False
    return True, state_root(state) == state_root(world.state)


def _fold(world: World, state: State) -> None:
    books = Conservation()
    for seq, data in world.store.scan():
        _, prev, rows = open_frame(data)
        body = read_body(rows, seq)
        apply_events(state, body.at_ns, body.by, body.out, seq)
        books.see(Record(seq=seq, hash=b"", prev=prev, data=data, body=body), state)
    books.compare_all(state)


def nanoseconds(moment: datetime) -> int:
    """A time with an offset, in nanoseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000
