"""A world: whether it opens, who writes it, its clock and files, and what in it waits for somebody.

Rule 1. It is read beside its writer and never waited for. What lies deeper than opening reads, `tally verify`
        finds.
"""

import fcntl
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from splittally.core.errors import JournalDamaged, SplittallyError, WorldError
from splittally.core.types import APPROVAL, ROOT
from splittally.runtime.folder import is_world
from splittally.runtime.health import BEHIND, JUMPED
from splittally.runtime.reader import Reader, open_reader
from splittally.runtime.served import SOCKET, is_served

from splittally_tools.audit.upgrades import release_of
from splittally_tools.doctor.finding import DAMAGE, GOOD, NOTE, WARNING, Finding
from splittally_tools.statistics.feed import FILE
from splittally_tools.statistics.store import open_statistics

SHOWN_MAX = 3  # names in a sentence
HASH_SHOWN = 12


def check_world(folder: Path) -> list[Finding]:
    """Every check of the world in `folder`; where it cannot be opened, why."""
    tally = f"tally -w {shlex.quote(str(folder))}"
    if not is_world(folder):
        return [Finding("world", WARNING, f"there is no world at `{folder}`", f"{tally} init")]
    try:
        with open_reader(folder) as reader:
            return [*_checked(reader, folder, tally)]
    except JournalDamaged as error:
        return [Finding("journal", DAMAGE, str(error), f"tally salvage {shlex.quote(str(folder))} NEW")]
    except WorldError as error:
        return [Finding("world", WARNING, str(error), "see the message")]


def _checked(reader: Reader, folder: Path, tally: str) -> Iterator[Finding]:
    state = reader.folded
    yield Finding("journal", GOOD, f"{reader.head.size} frames open and fold; `{tally} verify` proves them")
    yield _served(folder) if is_served(folder) else _writer(folder / "lock")
    yield from _health(reader, tally)
    yield _release(reader, tally)
    yield _statistics(reader, folder, tally)
    holds = reader.state.reservations
    yield _holds([digest for digest in holds if holds[digest].is_orphan], "orphans", tally)
    yield _holds(
        [digest for digest, hold in state.ledger.holds.items() if hold.phase == APPROVAL], "approvals", tally
    )
    yield _exhausted(reader, tally)


def _served(folder: Path) -> Finding:
    """Where it is served; its commands go there."""
    return Finding(
        "writer", GOOD, f"the world is served at `{folder / SOCKET}`, and every command asks there"
    )


def _writer(lock: Path) -> Finding:
    """Who holds the lock; it is taken for a moment by nobody but one who finds it free."""
    try:
        with lock.open("rb") as file:
            said = file.read(1_024)
            if said:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(said)
        return Finding(
            "writer", NOTE, f"the world is being written by {holder}", "its commands wait, or say --wait"
        )
    except OSError:
        pass  # a world that nobody wrote since it was copied has no lock
    return Finding("writer", GOOD, "nobody writes the world")


def _holder(said: bytes) -> str:
    try:
        told = json.loads(said)
        return f"process {int(told['pid'])} since {str(told['since'])[:40]}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _health(reader: Reader, tally: str) -> Iterator[Finding]:
    health = reader.health()
    if health.state == JUMPED:
        text = "the clock has jumped: time stands, and new intents are refused"
        yield Finding("clock", WARNING, text, f"{tally} native clock.accept")
    elif health.state == BEHIND:
        text = "the clock is behind logical time, which stands until the clock is past it"
        yield Finding("clock", WARNING, text, "wait, or set the clock of the machine")
    else:
        yield Finding("clock", GOOD, "the world's clock is steady")
    for repair in health.repairs:
        yield Finding("files", NOTE, f"to be rebuilt when somebody writes: {repair}", f"{tally} tick")
    if not health.repairs:
        yield Finding("files", GOOD, "snapshots and index are whole")


def _release(reader: Reader, tally: str) -> Finding:
    behind = len(release_of(reader.folded).entries)
    if behind:
        text = f"the world lacks {behind} entries that this release brings"
        return Finding("release", NOTE, text, f"{tally} upgrade")
    return Finding("release", GOOD, "the world has what this release brings")


def _statistics(reader: Reader, folder: Path, tally: str) -> Finding:
    if not (folder / FILE).exists():
        return Finding("statistics", GOOD, "the world has no store of statistics")
    try:
        with open_statistics(folder / FILE) as statistics:
            behind = reader.head.size - statistics.cursor.size
    except SplittallyError as error:
        return Finding("statistics", WARNING, str(error), f"{tally} stats rebuild")
    if behind:
        return Finding("statistics", NOTE, f"statistics are {behind} frames behind", f"{tally} stats update")
    return Finding("statistics", GOOD, "statistics are up to date")


_WAITING = {
    "orphans": ("were started and have no answer", "settle HASH, or `reservations --orphans`"),
    "approvals": ("wait for approval", "approve HASH"),
}


def _holds(digests: list[bytes], check: str, tally: str) -> Finding:
    said, mend = _WAITING[check]
    if not digests:
        return Finding(check, GOOD, f"no intents {said}")
    names = _listed([digest.hex()[:HASH_SHOWN] for digest in digests])
    command = f"{tally} reservations --orphans" if check == "orphans" else f"{tally} {mend}"
    return Finding(check, WARNING, f"{len(digests)} intents {said}: {names}", command)


def _exhausted(reader: Reader, tally: str) -> Finding:
    """Grants that have a life limit with nothing left of it."""
    spent = sorted(
        f"{scope} ({dim})"
        for scope, dims in reader.state.counters.items()
        if scope != ROOT
        for dim, row in dims.items()
        if row.limit is not None and 0 < row.limit <= row.reserved + row.spent
    )
    if not spent:
        return Finding("limits", GOOD, "no grant has used its limit up")
    mend = f"{tally} native grant.topup --name GRANT --dim DIM --amount N"
    return Finding("limits", WARNING, f"{len(spent)} limits are used up: {_listed(spent)}", mend)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
    return ", ".join(names[:SHOWN_MAX]) + more
