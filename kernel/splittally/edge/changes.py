"""What differs between two states of a world in all that a manifest can change, and what that means.

Rule 1. Every difference is named once, with what stood there before and what stands there after. What can be
        changed is `stated_rows.py`; two states that differ there never have an empty list of changes.
Rule 2. A grant that would be revoked, and each grant that is void with it, is irreversible: its name is never
        used again. That holds also where so many are revoked at once that the world forgets the first of them
        in the same record; a grant that was void before and is forgotten by it is no change.
Rule 3. The hash of changes covers what they are and what they rest on, not the words that explain them. The
        same change of another world, or from another value, is another plan.
Rule 4. Nothing here decides anything, reads a clock or writes.

Example. A manifest raises the budget of `alice` from 100 to 200 tokens and leaves out `bob`:

    Change(table="grants", key="alice", field="budget.tokens", change="changed", before=100, after=200,
           meaning="more: up to 200 in its life")
    Change(table="grants", key="bob", field="revoked", change="revoked", before=False, after=True,
           meaning="for ever: ...", irreversible=True)
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from splittally.core.callers import BEARERS
from splittally.core.canonical import encode
from splittally.core.hashing import hash_plan
from splittally.core.overlay import Overlay
from splittally.core.state import POLICY, TABLES, State, Table
from splittally.core.types import APPROVAL
from splittally.edge.meanings import meaning_of
from splittally.edge.stated_rows import (
    SHOWN,
    WORLD,
    Tree,
    digest_of,
    entries_of,
    price_entry,
    snapshots_in,
    world_entry,
)

ADDED, CHANGED, REMOVED, REVOKED = "added", "changed", "removed", "revoked"
NAMED = {BEARERS: "tokens", "rules": POLICY}  # tables that people know by another name
ORDER = "order"
DIGEST = "digest"  # of a row, where no term that people state tells it from the other
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ABSENT: Any = object()
Path = tuple[str, ...]


class Change(Struct, frozen=True, kw_only=True):
    """One difference: `field` of the entry `key` of a `table`, empty where the whole entry came or went.

    `field` is a dotted key of TOML. `change` is added, changed, removed or revoked. `before` and `after` are
    values of the data model, None for absent; amounts in minor units, times in nanoseconds. `meaning` is for
    people, empty where the difference alone does not tell who may more or less.
    """

    table: str
    key: str
    field: str
    change: str
    before: Any
    after: Any
    meaning: str = ""
    irreversible: bool = False


def changes_between(before: State, after: State) -> list[Change]:
    """Every difference in what a manifest can change, in the order of tables, keys and fields."""
    changes: list[Change] = []
    for table in TABLES:
        if table.name in SHOWN:
            changes += _of_table(table, before, after)
    changes += _of_policy_order(before, after)
    changes += _of_entry(WORLD, "", world_entry(before), world_entry(after))
    changes += _of_prices(before, after)
    return sorted(changes, key=lambda change: (change.table, change.key, change.field))


def hash_of_changes(world: bytes, changes: list[Change]) -> bytes:
    """The hash by which changes of the world with this id are known, in the context `splittally 1 plan`."""
    rows = [[x.table, x.key, x.field, x.before, x.after] for x in changes]
    return hash_plan(encode([world, rows]))


def irreversible(changes: Iterable[Change]) -> list[str]:
    """The grants that would be void for ever, by name."""
    return [change.key for change in changes if change.irreversible]


# --- tables -----------------------------------------------------------------------------------------


def _of_table(table: Table, before: State, after: State) -> Iterator[Change]:
    rows = before.table(table), after.table(table)
    keys = [key for key in _touched(*rows) if rows[0].get(key, _ABSENT) != rows[1].get(key, _ABSENT)]
    if table.name == "zones":
        keys = [key for key in keys if key]  # the one of no name is the world's
    if table.name == "grants":
        yield from _revoked(before, after)
        keys = [key for key in keys if not after.caps.was_revoked(key)]
    old, new = entries_of(before, table.name, keys), entries_of(after, table.name, keys)
    name = NAMED.get(table.name, table.name)
    for key in sorted({*old, *new}):
        found = list(_of_entry(name, key, old.get(key), new.get(key)))
        if not found and table.name != "rules":
            digests = digest_of(rows[0][key]), digest_of(rows[1][key])
            found = [_changed(name, key, (DIGEST,), *digests, new[key])]
        yield from found


def _touched(before: dict[Any, Any], after: dict[Any, Any]) -> list[Any]:
    """The keys that may differ; of a fork only those that it wrote, however large its base is."""
    if type(after) is Overlay and after.base is before:
        return after.touched()
    return [*before, *(key for key in after if key not in before)]


def _of_entry(table: str, key: str, old: Tree | None, new: Tree | None) -> Iterator[Change]:
    """The differences of one entry, which was there before or is after."""
    if old is None or new is None:
        yield _changed(table, key, (), old, new, new or old or {})
        return
    for path, before, after in _differences(old, new, ()):
        yield _changed(table, key, path, before, after, new)
    yield from _reordered(table, key, old, new)


def _differences(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """Where two trees part: what only one of them has is told whole."""
    if type(old) is dict and type(new) is dict:
        for name in sorted({*old, *new}):
            yield from _differences(old.get(name), new.get(name), (*path, name))
    elif old != new or type(old) is not type(new):
        yield path, old, new


def _reordered(table: str, key: str, old: Tree, new: Tree) -> Iterator[Change]:
    """Limits are read in their order: the same ones in another are another grant."""
    for name in ("limits", "rates"):
        both = [
            [x for x in tree.get(name, ()) if x in other.get(name, ())]
            for tree, other in ((old, new), (new, old))
        ]
        if both[0] != both[1]:
            yield _changed(table, key, (name, ORDER), both[0], both[1], new)


def _changed(table: str, key: str, path: Path, before: Any, after: Any, entry: Tree) -> Change:
    change = ADDED if before is None else REMOVED if after is None else CHANGED
    return Change(
        table=table,
        key=key,
        field=".".join(name if _BARE.fullmatch(name) else f'"{name}"' for name in path),
        change=CHANGED if path else change,
        before=before,
        after=after,
        meaning=meaning_of(table, path, before, after, entry),
    )


# --- what one table alone does not say --------------------------------------------------------------


def _revoked(before: State, after: State) -> Iterator[Change]:
    """The grants that are void after and were not before: those revoked, and all below them."""
    was, now = before.caps, after.caps
    touched = {*_touched(was.revoked, now.revoked), *_touched(was.grants, now.grants)}
    ended = {name for name in touched if now.was_revoked(name) and not was.was_revoked(name)}
    waiting = _waiting(before) if ended else {}
    for name in sorted(before.caps.grants) if ended else ():
        chain = [grant.name for grant in before.caps.ancestors(name)]
        above = next((each for each in chain if each in ended), "")
        if above and not before.caps.is_revoked(name):
            why = "" if above == name else f" with `{above}` above it"
            held = waiting.get(name, 0)
            released = f"; {held} that wait for approval are released" if held else ""
            yield Change(
                table="grants",
                key=name,
                field=REVOKED,
                change=REVOKED,
                before=False,
                after=True,
                meaning=f"for ever: it is void{why}, and its name is never used again{released}",
                irreversible=True,
            )


def _waiting(state: State) -> dict[str, int]:
    """How many intents wait for approval, by the grant under which they were asked or one above it."""
    counts: dict[str, int] = {}
    for hold in state.ledger.holds.values():
        if hold.phase == APPROVAL:
            for name in {leg.grant for leg in hold.legs}:
                counts[name] = counts.get(name, 0) + 1
    return counts


def _of_policy_order(before: State, after: State) -> Iterator[Change]:
    """The first rule that matches decides, so where a rule stands is part of what it says."""
    was, now = ([rule.name for rule in state.rules] for state in (before, after))
    if was != now:
        yield _changed(POLICY, "", (ORDER,), was, now, {})


def _of_prices(before: State, after: State) -> Iterator[Change]:
    """The price tables that grants name and that the world did not have."""
    grants = before.caps.grants, after.caps.grants
    names = [name for name in _touched(*grants) if grants[0].get(name) != grants[1].get(name)]
    named: dict[str, bytes] = {}
    for tree in entries_of(after, "grants", names).values():
        named |= snapshots_in(tree)
    for name, digest in sorted(named.items()):
        if digest not in before.caps.blobs and digest in after.caps.blobs:
            yield _changed("prices", name, (), None, price_entry(after, digest), {})
