"""What differs, for people: one line for each difference, with what stood there before and after.

Rule 1. The one place that shows changes of a world to people; what they are is `edge/changes.py`.
Rule 2. An entry that is new or gone is shown by the terms that say something. No difference is left out.
Rule 3. What cannot be undone stands out, and says so.
Rule 4. What a number counts is said by its place, such as `limits."USD per day".amount`, and in a plan by the
        resource beside it.
"""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

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
MOMENTS = ("expires_ns", "expiry_ns", "until_ns", "since_ns")
SPANS = ("approval_ns", "clock_jump_ns", "hold_ns_max", "offset_ns", "unknown_ns")
_KEY = re.compile(r'"([^"]*)"|([^.]+)')
Path = tuple[str, ...]


class Spoken(NamedTuple):
    """How values of one entry are said: the world's wording, and what its plan's amounts count, by place."""

    wording: Wording
    counts: Mapping[Path, str]


def show_changes(out: Page, preview: Preview) -> None:
    """One heading for each entry that differs, and one line for each of its differences."""
    for (table, key), found in groupby(preview.changes, lambda change: (change.table, change.key)):
        named = f"{table} {word(key)}" if key else table
        spoken = Spoken(preview.wording, _counts(preview, key) if table == "budgets" else {})
        for change in found:
            if change.field and named:
                say(out, f"  {named}")
                named = ""
            _show_change(out, change, spoken)


def _counts(preview: Preview, budget: str) -> dict[Path, str]:
    """What the amounts of a budget's plan count, before it and after it."""
    counts: dict[Path, str] = {}
    for state in (preview.before, preview.after):
        plan = state.budgets[budget]["schema"] if budget in state.budgets else {}
        for name, line in plan.get("lines", {}).items():
            counts["schema", "lines", name, "amount"] = line["resource"]
        for kept in plan.get("constraints", []):
            counts["schema", "constraints", kept["name"], "minimum"] = kept["resource"]
        for name, order in plan.get("work", {}).items():
            counts["schema", "work", name, "pays"] = order["resource"]
        if plan.get("overdraft"):
            counts["schema", "overdraft", "amount"] = plan["overdraft"]["resource"]
    return counts


def _show_change(out: Page, change: Change, spoken: Spoken) -> None:
    meaning = f"   ({word(change.meaning)})" if change.meaning else ""
    if change.irreversible:
        say(out, f"  ! {word(change.field)}{meaning}", "red")
    elif change.field:
        path = tuple(quoted or bare for quoted, bare in _KEY.findall(change.field))
        values = change.before, change.after
        before, after = (word(_said(path, value, spoken)) for value in values)
        if before == after:  # they differ in what people are not shown, such as a part of a second
            before, after = map(word, values)
        say(out, f"      {word(change.field)}: {before} -> {after}{meaning}")
    else:
        entry = change.after if change.change == ADDED else change.before
        named = f"{change.table} {word(change.key)}"
        say(out, f"  {SIGNS[change.change]} {named}: {word(_terms((), entry, spoken))}{meaning}")


def _said(path: Path, value: Any, spoken: Spoken) -> str:
    """A value as people read it: `path` says whether a number is an amount, a time or a span."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return f"{{{_terms(path, value, spoken)}}}"
    wording = spoken.wording
    if type(value) is int:
        unit = _unit(path, spoken.counts)
        if unit and value >= 0:
            return wording.amount(value, unit)
        if path[-1] in MOMENTS:
            return wording.moment(value)
        if path[-1] in SPANS:
            return span(value)
    return wording.value(value)


def _unit(path: Path, counts: Mapping[Path, str]) -> str:
    """What an amount at this place counts; empty where it is no amount."""
    if path in counts:
        return counts[path]
    if len(path) > 1 and path[0] in AMOUNTS:
        return path[1]
    is_bound = len(path) > 2 and path[0] in LIMITS and path[-1] in ("amount", "carried_max")
    return path[1].partition(" per ")[0] if is_bound else ""


def _terms(path: Path, entry: Mapping[str, Any], spoken: Spoken) -> str:
    """The terms of an entry that say something."""
    terms = [
        f"{name} {_said((*path, name), value, spoken)}"
        for name, value in entry.items()
        if value not in NOTHING or (value == 0 and _unit((*path, name), spoken.counts))
    ]
    return ", ".join(terms)
