"""What came of a scenario: held, costs, open or not played, in words, and the lines that would change it.

Rule 1. `held`: what the limits and rules say came true. `costs`: it is allowed, and worth knowing. `open`: a
        hole of this manifest. `not_played`: it could not be tried, and why.
Rule 2. A line that is advised can be put into the manifest as it stands; the scenario then ends better. Where
        no line helps, `advice` says in words what does, or nothing.
"""

import copy
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

HELD, COSTS, OPEN, NOT_PLAYED = "held", "costs", "open", "not_played"
WORST_FIRST = (OPEN, COSTS, NOT_PLAYED, HELD)
MORE = "+"  # the end of a path: one more item of a list
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Change(NamedTuple):
    """One line of a manifest: where it stands, what it says, and of a path in `policy` the rule's name."""

    path: tuple[str | int, ...]
    value: Any
    rule: str = ""

    @property
    def line(self) -> str:
        """It as people write it: `dispatch = true` in `[grants.mail]`."""
        *table, name = self.path
        if table[0] == "policy":
            return f"`{name} = {_toml(self.value)}` in the rule `{self.rule}` of `[[policy]]`"
        if name == MORE:
            *table, listed = table
            return f"`{_toml(self.value)}` in the list `{listed}` of `[{_header(table)}]`"
        if len(table) > 2:  # in a map of the table
            *table, listed = table
            return f"`{listed}.{_key(name)} = {_toml(self.value)}` in `[{_header(table)}]`"
        return f"`{_key(name)} = {_toml(self.value)}` in `[{_header(table)}]`"


class Result(NamedTuple):
    """How a scenario ended for a grant."""

    result: str
    told: str
    changes: tuple[Change, ...] = ()
    advice: str = ""


class NotPlayed(Exception):
    """A scenario cannot be tried with this grant; the text says why."""


def changed(document: Mapping[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """The manifest with these lines in it; what is given is not touched."""
    made = copy.deepcopy(dict(document))
    for change in changes:
        *table, name = change.path
        place: Any = made
        for at, step in enumerate(table):
            if isinstance(step, str) and step not in place:
                place[step] = [] if change.path[at + 1] == MORE else {}
            place = place[step]
        if name == MORE:
            place.append(change.value)
        else:
            place[name] = change.value
    return made


def _header(table: Iterable[str | int]) -> str:
    return ".".join(map(_key, table))


def _key(name: str | int) -> str:
    return str(name) if _BARE.fullmatch(str(name)) else json.dumps(name, ensure_ascii=False)


def _toml(value: Any) -> str:
    match value:
        case Mapping():
            return "{ " + ", ".join(f"{_key(name)} = {_toml(item)}" for name, item in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
