"""What a finding says to people: one sentence for each, and what to do next.

It decides nothing, and what it says is no part of a record: programs read codes and facts (spec/10).

Rule 1. The sentence of a finding is the same everywhere: in `Decision.reason` and at a terminal.
Rule 2. A sentence is made of parts. A part that names a fact which the finding does not carry is left out,
        because who may not see a figure has a finding without it. Where the first part is left out, what the
        code means stands in its place.
        The parts stand in `phrases.py`.
Rule 3. A code without a sentence is said by its meaning and its facts. So no finding is ever without words.
Rule 4. What is said is one line of printable text: names and messages are text of the world.

Example. `budget_exceeded {dim: USD, grant: alice, per: day, needed: 210, available: 40}` is said as: the
limit of `alice` for USD a day would be passed: 2.10 USD are needed and 0.40 USD are left.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from splittally.core.findings import Facts, Finding
from splittally.core.periods import MONTHS_OF, WEEK, WEEKDAYS, read_period
from splittally.core.reasons import REASONS
from splittally.core.types import LIFE, PER_INTENT
from splittally.edge.gaps import gaps_text
from splittally.edge.json_values import printable
from splittally.edge.phrases import ADVICE, OF_MODULES, SENTENCES
from splittally.edge.wording import Wording, few, short_hash, span

_NOT_SAID = {"next", "then", "message", "resets"}
_HOLE = re.compile(r"\{(\w+)(?::(\w+))?\}")


def sentence(finding: Finding, wording: Wording) -> str:
    """What was found, in one line of printable text without a full stop."""
    facts, reason = finding.facts, REASONS.get(finding.code)
    if reason is None or reason.stage != finding.stage:  # a word of the module's own
        facts = {**facts, "code": finding.code}
        return printable(_filled(OF_MODULES, f"an enforcer says `{finding.code}`", facts, wording))
    if finding.code in SENTENCES:
        return printable(_filled(SENTENCES[finding.code], reason.meaning, facts, wording))
    told = [_fact(name, facts, wording) for name in facts if name not in _NOT_SAID]
    return printable(f"{reason.meaning} ({', '.join(told)})" if told else reason.meaning)


def sentences(findings: Iterable[Finding], wording: Wording) -> str:
    """What was found, each finding once; empty where nothing was."""
    return "; ".join(dict.fromkeys(sentence(finding, wording) for finding in findings))


def advice(findings: Iterable[Finding], intent_hash: bytes | None) -> str:
    """What to do next, each advice once and in the order to follow; empty where there is none."""
    told = [finding.facts.get(name) for finding in findings for name in ("then", "next")]
    words = [ADVICE[word] for word in dict.fromkeys(x for x in told if type(x) is str) if word in ADVICE]
    return "; ".join(words).format(hash=short_hash(intent_hash) if intent_hash else "HASH")


def _filled(parts: tuple[str, ...], meaning: str, facts: Facts, wording: Wording) -> str:
    """The parts whose facts are there, one after the other; nothing follows a figure that is left out."""
    said = [_part(part, facts, wording) for part in parts]
    lead = (said[0] if said else None) or meaning
    return lead + "".join(part for part in said[1:] if part is not None)


def _part(part: str, facts: Facts, wording: Wording) -> str | None:
    """One part with its facts filled in; None where one is missing."""
    holes = _HOLE.findall(part)
    if not all(facts.get(name, _twin(name, facts)) not in ("", None) for name, _ in holes):
        return None

    def fill(hole: re.Match[str]) -> str:
        name, how = hole[1], hole[2] or "plain"
        return _SPOKEN[how](facts.get(name, _twin(name, facts)), facts, wording)

    return _HOLE.sub(fill, part)


def _twin(name: str, facts: Facts) -> Any:
    """The text of a time whose number may not be seen: `resets` beside `resets_ns`."""
    return facts.get(name.removesuffix("_ns")) if name.endswith("_ns") else None


def _fact(name: str, facts: Facts, wording: Wording) -> str:
    """A fact of a finding that has no sentence, by its name."""
    value = facts[name]
    if type(value) is int and name.endswith("_ns"):
        return f"{name.removesuffix('_ns')} {wording.moment(value)}"
    return f"{name} {_plain(value, facts, wording)}"


# --- how a fact is said ------------------------------------------------------------------------------


def _plain(value: Any, facts: Facts, wording: Wording) -> str:
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item, facts, wording) for item in value) or "nothing"
    return wording.value(value)


def _amount(value: Any, facts: Facts, wording: Wording) -> str:
    unit = str(facts.get("resource") or facts.get("dim") or "")
    return wording.amount(value, unit) if type(value) is int else _plain(value, facts, wording)


def _amounts(value: Any, facts: Facts, wording: Wording) -> str:
    return wording.amounts(value) if isinstance(value, Mapping) else _plain(value, facts, wording)


def _time(value: Any, facts: Facts, wording: Wording) -> str:
    return wording.moment(value) if type(value) is int else str(value)


def _span(value: Any, facts: Facts, wording: Wording) -> str:
    return span(value) if type(value) is int else str(value)


def _few(value: Any, facts: Facts, wording: Wording) -> str:
    """The first of many names, and how many more; where a list is cut, `count` is how many there are."""
    if not (isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)):
        return _plain(value, facts, wording)
    count = facts.get("count")
    return few(value, count if type(count) is int else len(value))


def _text(value: Any, facts: Facts, wording: Wording) -> str:
    return str(value)


def _period(value: Any, facts: Facts, wording: Wording) -> str:
    return period(str(value))


def _gaps(value: Any, facts: Facts, wording: Wording) -> str:
    return gaps_text(value, wording) if isinstance(value, list | tuple) else _plain(value, facts, wording)


_SPOKEN: dict[str, Callable[[Any, Facts, Wording], str]] = {
    "plain": _plain,
    "few": _few,
    "gaps": _gaps,
    "text": _text,
    "amount": _amount,
    "amounts": _amounts,
    "time": _time,
    "span": _span,
    "per": _period,
}


def period(per: str) -> str:
    """A period as it follows an amount: `a day`, `for life`, `in any 60s`, `a week from sunday`."""
    if per == LIFE:
        return "for life"
    if per == PER_INTENT:
        return "an intent"
    read = read_period(per)
    if read is None:
        return per
    window, _, by = per.partition(" by ")
    each = f" for each `{by}`" if by else ""
    if not read.base:
        return f"in {'any ' if read.is_rolling else ''}{window.rpartition(':')[2]}{each}"
    zone = f" in {read.zone}" if read.zone else ""
    article = "an" if read.base == "hour" else "a"
    return f"{article} {read.base}{_anchor(read.base, read.month, read.day)}{zone}{each}"


def _anchor(base: str, month: int, day: int) -> str:
    """Where a period begins, unless it is where it does without being told."""
    if base == WEEK:
        return f" from {WEEKDAYS[day]}" if day else ""
    if base not in MONTHS_OF or (month, day) == (0, 1):
        return ""
    return f" from day {day}" if base == "month" else f" from {month + 1:02d}-{day:02d}"
