"""What differs, for people: one line for each difference, with what stood there before and after.

Rule 1. The one place that shows changes of a world to people; what they are is `edge/changes.py`.
Rule 2. An entry that is new or gone is shown by the terms that say something. No difference is left out.
Rule 3. What cannot be undone stands out, and says so.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from splittally.edge.changes import ADDED, REMOVED, REVOKED, Change

from splittally_tools.cli.output import Page, say, word

SIGNS = {ADDED: "+", REMOVED: "-", REVOKED: "!"}


def show_changes(out: Page, changes: Iterable[Change]) -> None:
    """One heading for each entry that differs, and one line for each of its differences."""
    for (table, key), found in groupby(changes, lambda change: (change.table, change.key)):
        named = f"{table} {word(key)}" if key else table
        for change in found:
            if change.field and named:
                say(out, f"  {named}")
                named = ""
            _show_change(out, change)


def _show_change(out: Page, change: Change) -> None:
    meaning = f"   ({word(change.meaning)})" if change.meaning else ""
    if change.irreversible:
        say(out, f"  ! {word(change.field)}{meaning}", "red")
    elif change.field:
        say(out, f"      {word(change.field)}: {_value(change.before)} -> {_value(change.after)}{meaning}")
    else:
        entry = change.after if change.change == ADDED else change.before
        named = f"{change.table} {word(change.key)}"
        say(out, f"  {SIGNS[change.change]} {named}: {_value(_saying(entry))}{meaning}")


def _saying(entry: Any) -> Any:
    """The terms of an entry that say something."""
    return {name: value for name, value in entry.items() if value not in (None, "", [], {}, 0, b"")}


def _value(value: Any) -> str:
    """A value of a difference as people read it."""
    return word(value)
