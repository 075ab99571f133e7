"""A finding of the doctor: what was looked at, how bad it is, one sentence, and what mends it."""

from typing import NamedTuple

GOOD, NOTE, WARNING, DAMAGE = "good", "note", "warning", "damage"
SEVERITIES = (DAMAGE, WARNING, NOTE, GOOD)


class Finding(NamedTuple):
    """`check` is what was looked at; `mend` is a command or advice, empty where there is nothing to mend."""

    check: str
    severity: str
    text: str
    mend: str = ""
