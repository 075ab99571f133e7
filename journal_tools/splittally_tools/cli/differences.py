"""What differs, for people: one line for each difference, with what stood there before and after.

Rule 1. The one place that shows changes of a world to people; what they are is `edge/changes.py`.
Rule 2. An entry that is new or gone is shown by the terms that say something. No difference is left out.
Rule 3. What cannot be undone stands out, and says so.
"""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from splittally.edge.changes import ADDED, REMOVED, REVOKED, Change
from splittally.edge.wording import Wording, span
from splittally.runtime.preview import Preview

from splittally_tools.cli.output import Page, say, word

NOTHING: tuple[Any, ...] = (
    None,
    "",
    [],
    {},
    0,
    b"",
    -1,
)  # what a term says that nobody stated; of an amount 0 is a bound
SIGNS = {ADDED: "+", REMOVED: "-", REVOKED: "!"}
AMOUNTS = ("budget", "funds")  # maps of a dimension to its amount
LIMITS = ("limits", "rates", "caps")  # maps of `DIM per PERIOD` to a bound
MOMENTS = ("expiry_ns", "until_ns", "since_ns")
SPANS = ("approval_ns", "clock_jump_ns", "hold_ns_max", "offset_ns", "unknown_ns")
_KEY = re.compile(r'"([^"]*)"|([^.]+)')
Path = tuple[str, ...]


def show_changes(out: Page, preview: Preview) -> None:
    """One heading for each entry that differs, and one line for each of its differences."""
    for (table, key), found in groupby(preview.changes, lambda change: (change.table, change.key)):
        named = f"{table} {word(key)}" if key else table
        for change in found:
            if change.field and named:
                say(out, f"  {named}")
                named = ""
            _show_change(out, change, preview.wording)


def _show_change(out: Page, change: Change, wording: Wording) -> None:
    meaning = f"   ({word(change.meaning)})" if change.meaning else ""
    if change.irreversible:
        say(out, f"  ! {word(change.field)}{meaning}", "red")
    elif change.field:
        path = tuple(quoted or bare for quoted, bare in _KEY.findall(change.field))
        values = change.before, change.after
        before, after = (word(_said(path, value, wording)) for value in values)
        if before == after:  # they differ in what people are not shown, such as a part of a second
            before, after = map(word, values)
        say(out, f"      {word(change.field)}: {before} -> {after}{meaning}")
    else:
        entry = change.after if change.change == ADDED else change.before
        named = f"{change.table} {word(change.key)}"
        say(out, f"  {SIGNS[change.change]} {named}: {word(_terms((), entry, wording))}{meaning}")


def _said(path: Path, value: Any, wording: Wording) -> str:
    """A value as people read it: `path` says whether a number is an amount, a time or a span."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return f"{{{_terms(path, value, wording)}}}"
    if type(value) is int:
        unit = _unit(path)
        if unit and value >= 0:
            return wording.amount(value, unit)
        if path[-1] in MOMENTS:
            return wording.moment(value)
        if path[-1] in SPANS:
            return span(value)
    return wording.value(value)


def _unit(path: Path) -> str:
    """What an amount at this place counts; empty where it is no amount."""
    if len(path) > 1 and path[0] in AMOUNTS:
        return path[1]
    is_bound = len(path) > 2 and path[0] in LIMITS and path[-1] in ("amount", "carried_max")
    return path[1].partition(" per ")[0] if is_bound else ""


def _terms(path: Path, entry: Mapping[str, Any], wording: Wording) -> str:
    """The terms of an entry that say something."""
    terms = [
        f"{name} {_said((*path, name), value, wording)}"
        for name, value in entry.items()
        if value not in NOTHING or (value == 0 and _unit((*path, name)))
    ]
    return ", ".join(terms)
