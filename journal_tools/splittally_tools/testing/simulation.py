"""One run of hosts against a kernel, in which a seed decides everything that could have gone otherwise.

Rule 1. Nothing is random or timed but by the seed: the same seed gives the same journal, byte for byte.
Rule 2. A request travels: it may be lost, late, delivered twice, or overtake another; so may its answer.
        Its host is told `ReplyLost`, and goes on.
Rule 3. A crash takes away what was not committed. What a host was told is still there afterwards.
Rule 4. Faults end after a number of them, so a host that keeps trying gets through.
"""

import inspect
from collections.abc import Generator, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast

from blake3 import blake3
from splittally.core.errors import SplittallyError
from splittally.edge.records import Decision, Settlement
from splittally.journal.frame import EMPTY, Head
from splittally.runtime import Kernel

from splittally_tools.testing.effects_seen import EffectsSeen
from splittally_tools.testing.external_effects import Act, Outside
from splittally_tools.testing.faults import AFTER, BEFORE, Crash, Disk
from splittally_tools.testing.hosts import ACT, OUTCOME, SLEEP, SUBMIT, Port, Program, ReplyLost, Step

CRASH_BEFORE, CRASH_AFTER = f"crash_{BEFORE}", f"crash_{AFTER}"
LOSE_REQUEST, LOSE_REPLY, DELAY, DUPLICATE = "lose_request", "lose_reply", "delay", "duplicate"
CRASH, RESTART = "crash", "restart"
FAULTS = (CRASH, CRASH_AFTER, CRASH_BEFORE, DELAY, DUPLICATE, LOSE_REPLY, LOSE_REQUEST, RESTART)
FAULT_IN = 3  # a fault happens in one of so many steps, while there are faults left
RESTART_IN = 20  # a host dies between two steps of its own
PACE_NS = 1_000_000_000  # the most that passes between two steps, in one of so many
PACE_IN = 4


class Wrong(Exception):
    """What must not happen has happened; the text says what."""


class Faults(NamedTuple):
    """Which kinds may happen, how many at most, and which of those that a seed draws, if not all."""

    kinds: tuple[str, ...]
    most: int
    only: frozenset[int] | None


class Envelope(NamedTuple):
    """A request on its way; nobody waits for the answer of a copy (`ticket` 0)."""

    host: "Host"
    ticket: int
    step: Step


class Host:
    """A program as it runs: its generator, what it waits for, and what it will be given next."""

    def __init__(self, program: Program, port: Port) -> None:
        self.program = program
        self.port = port
        self.running: Generator[Any, Any, Any] | None = None
        self.start()

    def start(self) -> None:
        """From the beginning, with nothing but the port's memory."""
        self.stop()
        made: Any = self.program(self.port)
        if not inspect.isgenerator(made) and not inspect.iscoroutine(made):
            raise TypeError(f"{self.port.name} is neither a generator nor an `async` function")
        self.running = cast(Generator[Any, Any, Any], made)
        self.next: Any = None
        self.ticket = 0
        self.wakes_ns = 0
        self.attempts: dict[bytes, set[bytes]] = {}
        self.asked: Step | None = None

    def stop(self) -> None:
        """It is gone, wherever it was."""
        if self.running is not None:
            with suppress(RuntimeError):  # it caught its own end
                self.running.close()
        self.running = None

    def is_ready(self, now_ns: int) -> bool:
        """Whether it can take a step."""
        return self.running is not None and not self.ticket and self.wakes_ns <= now_ns


class Simulation:
    """A run: `go` takes steps until every host has ended, and raises `Wrong`."""

    def __init__(self, hosts: Mapping[str, Program], seed: int, faults: Faults, folder: Path | None) -> None:
        self._random = Random(seed)
        self.seed = seed
        self._drawn = 0
        self.now_ns = 0
        self.hosts = [Host(program, self._port(name)) for name, program in hosts.items()]
        self.disk = Disk(folder)
        self.kernel: Kernel = self.disk.open("given", entropy=self.chance)
        self.outside = Outside()
        self.seen = EffectsSeen()
        self.transcript: list[str] = []
        self.faults_used: list[tuple[int, str]] = []
        self._faults = faults
        self._met = 0
        self._told = EMPTY  # the head when a host was last told something
        self._net: list[Envelope] = []
        self._tickets = 0

    def chance(self, size: int) -> bytes:
        """The next bytes of the seed's stream of keys and ids."""
        self._drawn += 1
        return blake3(f"{self.seed} {self._drawn}".encode()).digest(length=size)

    def go(self, steps_max: int) -> None:
        """Steps until nothing is left to do."""
        for _ in range(steps_max):
            ready: list[Host | Envelope] = [host for host in self.hosts if host.is_ready(self.now_ns)]
            ready += self._net
            asleep = [host.wakes_ns for host in self.hosts if host.running and not host.ticket]
            if not ready and not asleep:
                return
            self.now_ns += self._below(PACE_NS) if self._below(PACE_IN) == 0 else 0
            if not ready:
                self.now_ns = max(self.now_ns, min(asleep))
                continue
            chosen = ready[self._below(len(ready))]
            if isinstance(chosen, Host):
                self._advance(chosen)
            else:
                self._deliver(chosen)
        raise Wrong(f"the hosts have not ended after {steps_max} steps")

    def close(self) -> None:
        """Stop the hosts and let go of the world."""
        for host in self.hosts:
            host.stop()
        self.kernel.close()
        self.disk.close()

    def _port(self, name: str) -> Port:
        return Port(name, {}, self.chance, lambda: self.now_ns)

    def _below(self, bound: int) -> int:
        """A number below `bound`, by the one method that is the same in every version of Python."""
        return int(self._random.random() * bound)

    def _fault(self, *kinds: str, once_in: int = FAULT_IN) -> str:
        """One of these kinds of fault, or none; the seed is used alike whether it may happen or not."""
        happens, which = self._below(once_in) == 0, self._random.random()
        possible = [kind for kind in kinds if kind in self._faults.kinds]
        if not happens or not possible:
            return ""
        self._met += 1
        is_left = len(self.faults_used) < self._faults.most
        is_wanted = self._faults.only is None or self._met in self._faults.only
        return possible[int(which * len(possible))] if is_left and is_wanted else ""

    def _use(self, fault: str, told: str = "") -> None:
        self.faults_used.append((self._met, fault))
        self._say(f"!! {fault.replace('_', ' ')}{told}")

    def _say(self, line: str) -> None:
        self.transcript.append(f"{self.now_ns / 10**9:9.3f}s  {line}")

    # --- hosts -----------------------------------------------------------------------------------

    def _advance(self, host: Host) -> None:
        if host.asked is not None and self._fault(RESTART, once_in=RESTART_IN):
            self._restart(host)
        assert host.running is not None
        given, host.next = host.next, None
        try:
            step = host.running.throw(given) if isinstance(given, Exception) else host.running.send(given)
        except StopIteration:
            self._say(f"{host.port.name} has ended")
            host.running = None
            return
        except (ReplyLost, SplittallyError) as error:
            self._say(f"{host.port.name} died of {type(error).__name__}: {error}")
            host.running = None
            return
        if not isinstance(step, Step):
            raise TypeError(f"{host.port.name} yields {step!r}; a host yields what its port gives")
        host.asked = step
        self._take(host, step)

    def _restart(self, host: Host) -> None:
        self._use(RESTART, f" of {host.port.name}")
        host.start()

    def _take(self, host: Host, step: Step) -> None:
        self._say(f"{host.port.name}: {step.verb} {step.told}")
        if step.verb == SLEEP:
            host.wakes_ns = step.facts["until_ns"]
        elif step.verb == ACT:
            act = Act(
                host=host.port.name,
                intent_hash=step.facts["intent_hash"] or b"",
                job=step.facts["job"],
                at_ns=self.now_ns,
            )
            wrong = self.outside.carry_out(self.kernel, act, host.attempts.get(act.intent_hash, set()))
            if wrong:
                raise Wrong(wrong)
            self.seen.acted(self._kind_of(act.intent_hash))
        else:
            self._tickets += 1
            host.ticket = self._tickets
            self._net.append(Envelope(host, host.ticket, step))

    # --- the network and the kernel --------------------------------------------------------------

    def _deliver(self, letter: Envelope) -> None:
        self._net.remove(letter)
        writes = () if letter.step.verb == OUTCOME else (CRASH_AFTER, CRASH_BEFORE)
        fault = self._fault(CRASH, DELAY, DUPLICATE, LOSE_REPLY, LOSE_REQUEST, RESTART, *writes)
        about = f": {letter.step.verb} {letter.step.told}"
        if fault == RESTART:
            self._restart(letter.host)  # nobody waits for the answer any more
        if fault in (CRASH, DELAY, LOSE_REQUEST):
            self._use(fault, about)
            if fault == CRASH:
                self._reopen()
            if fault == DELAY:
                self._net.append(letter._replace(ticket=0))
            self._answer(letter, ReplyLost("no answer came"))
            return
        if fault == DUPLICATE:
            self._use(fault, about)
            self._net.append(letter._replace(ticket=0))
        if fault in writes:
            self.disk.store.fail(fault.removeprefix("crash_"))
        answer = self._asked(letter, fault, about)
        if fault == LOSE_REPLY:
            self._use(fault, f"{about} ({_shown(answer)})")
            answer = ReplyLost("no answer came")
        self._answer(letter, answer)

    def _asked(self, letter: Envelope, fault: str, about: str) -> Any:
        """What the kernel answers, or why it does not."""
        assert letter.step.call is not None
        try:
            answer = letter.step.call(self.kernel, self.now_ns)
        except Crash:
            self._use(fault, about)
            self._reopen()
            return ReplyLost("the kernel crashed")
        except SplittallyError as error:
            answer = error
        self.disk.store.fail("")  # where nothing was written, nothing failed
        self._note(letter.step, answer)
        return answer

    def _note(self, step: Step, answer: Any) -> None:
        if isinstance(answer, Decision) and step.verb == SUBMIT:
            self.seen.decided(step.facts["intent"].kind, answer)
        elif isinstance(answer, Settlement) and answer.intent_hash:
            self.seen.settled(self._kind_of(answer.intent_hash), answer)

    def _kind_of(self, intent_hash: bytes) -> str:
        row = self.kernel.outcome(intent_hash)
        return "unknown intent" if row is None else str(row.kind)

    def _answer(self, letter: Envelope, answer: Any) -> None:
        host = letter.host
        if not letter.ticket or host.ticket != letter.ticket:
            return
        host.ticket, host.next = 0, answer
        self._say(f"{host.port.name} <- {_shown(answer)}")
        if isinstance(answer, ReplyLost):
            return
        self._told = self.disk.store.head
        if letter.step.verb == SUBMIT and isinstance(answer, Decision) and answer.intent_hash:
            attempt = letter.step.facts["intent"].attempt
            if attempt is not None:
                host.attempts.setdefault(answer.intent_hash, set()).add(attempt)

    def _reopen(self) -> None:
        self.kernel = self.disk.open(entropy=self.chance)
        head: Head = self.disk.store.head
        size, last = self._told
        if head.size < size or (size and self.disk.store.entry(size - 1)[0] != last):
            raise Wrong(f"frame {size - 1} was answered for and is gone after the crash")


def _shown(answer: Any) -> str:
    """An answer in a few words."""
    if isinstance(answer, Exception):
        return f"{type(answer).__name__}: {answer}"
    for name in ("outcome", "status"):
        if hasattr(answer, name):
            duplicate = ", a duplicate" if getattr(answer, "duplicate", False) else ""
            return f"{getattr(answer, name)} (frame {answer.seq}{duplicate})"
    return repr(answer)
