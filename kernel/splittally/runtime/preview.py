"""What an effect would be answered and change, before anything is recorded.

Rule 1. Both states are forks: nothing is written. What is due by then is worked through first, so that what
        differs is the effect's own.
Rule 2. A preview is good until the world changes; `apply(expect=...)` refuses where it did in what matters.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from splittally.core.findings import Finding, find
from splittally.core.state import State
from splittally.core.types import ALLOW
from splittally.edge.answer_lines import readable
from splittally.edge.changes import Change, changes_between, hash_of_changes, irreversible
from splittally.edge.hashes import require_hash
from splittally.edge.records import Decision
from splittally.edge.wording import Wording, wording_of
from splittally.runtime.queries import Queries


class Preview(Struct, frozen=True):
    """The answer that an effect would get, and all that it would change; `hash` is that of the changes.

    `before` and `after` are the two states, to be read while nobody writes to the world. `wording` says the
    values as people read them after it.
    """

    decision: Decision
    changes: tuple[Change, ...]
    hash: bytes
    before: Queries
    after: Queries
    wording: Wording

    @property
    def revoked(self) -> list[str]:
        """The grants that would be void for ever, by name."""
        return irreversible(self.changes)


def preview_of(decision: Decision, before: State, after: State) -> Preview:
    """What the effect with this answer changes between two states."""
    changes = changes_between(before, after) if decision.outcome == ALLOW else []
    unrecorded = replace(decision, seq=None, attempt=None)
    return Preview(
        decision=unrecorded,
        changes=tuple(changes),
        hash=hash_of_changes(before.world, changes),
        before=Queries(lambda: before),
        after=Queries(lambda: after),
        wording=wording_of(after),
    )


def refusals(plan: Preview, expect: bytes | str | None, allow_revoke: bool) -> list[Finding]:
    """Why a manifest is not applied although it could be: it is another plan by now, or revokes grants."""
    findings = []
    if expect is not None and require_hash(expect, "expect") != plan.hash:
        findings.append(find("plan_changed", needed=require_hash(expect, "expect"), available=plan.hash))
    if plan.revoked and not allow_revoke:
        findings.append(find("plan_revokes", grants=plan.revoked))
    return findings


def change_json(change: Change) -> dict[str, Any]:
    """A change as a JSON object (spec/09): `meaning` and `irreversible` where they say something."""
    row = asdict(change)
    said = {name: row.pop(name) for name in ("meaning", "irreversible")}
    line: dict[str, Any] = readable(row | {name: value for name, value in said.items() if value})
    return line
