"""A trace of LLM calls as rows: `TIMESTAMP,ContextTokens,GeneratedTokens`, one call a line.

The columns are those of the Azure LLM inference traces of 2023 and 2024; times of the latter carry their
offset from UTC, such as `+00:00`. Lines end in CRLF or LF; the last may lack it.

Rule 1. Times are exact integers of nanoseconds since 1970 in UTC: no float, no rounding of fractions. A time
        without an offset is UTC.
Rule 2. A line that is no call is reported by its number and skipped; nothing is guessed from it.
Rule 3. Times may stand still, never go back: a row before the row accepted last is reported and skipped.
Rule 4. Lines are read one by one and each is bounded, so a file of any size costs no memory.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

HEADER = b"TIMESTAMP,ContextTokens,GeneratedTokens"
LINE_BYTES_MAX = 4_096
TOKENS_MAX = 10**9  # of one call, prompt or answer; a larger count is a damaged line
PROBLEMS_KEPT_MAX = 100
STEP_NS = 100  # the resolution of the published times: what parts one copy from the next

_OFFSET = rb"[+-]\d\d:\d\d"
_CALL = re.compile(
    rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(" + _OFFSET + rb")?,(\d{1,10}),(\d{1,10})"
)
_TIME = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?:" + _OFFSET + rb")?")
_NUMBER = re.compile(rb"[+-]?\d+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOM = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One call: when it was made, the tokens of its prompt and of its answer."""

    at_ns: int
    context_tokens: int
    generated_tokens: int


class Problem(NamedTuple):
    """A line that was skipped, and why."""

    line: int
    why: str


class NotATrace(Exception):
    """The file does not begin with the header of a trace; the text says what it begins with."""


class Survey(NamedTuple):
    """What a whole file holds: totals over its calls, first and last time, and what was skipped.

    `problems` keeps the first `PROBLEMS_KEPT_MAX`; `skipped` counts them all.
    """

    rows: int
    first_ns: int
    last_ns: int
    context_tokens: int
    generated_tokens: int
    problems: list[Problem]
    skipped: int

    @property
    def span_ns(self) -> int:
        """By how much each further copy of the file is shifted."""
        return self.last_ns - self.first_ns + STEP_NS


def survey(path: Path) -> Survey:
    """Read the file once: `NotATrace` where its first line is not the header."""
    rows = context = generated = skipped = first_ns = last_ns = 0
    problems: list[Problem] = []
    for item in read(path):
        if isinstance(item, Problem):
            skipped += 1
            if len(problems) < PROBLEMS_KEPT_MAX:
                problems.append(item)
            continue
        first_ns = item.at_ns if not rows else first_ns
        rows, last_ns = rows + 1, item.at_ns
        context += item.context_tokens
        generated += item.generated_tokens
    return Survey(
        rows=rows,
        first_ns=first_ns,
        last_ns=last_ns,
        context_tokens=context,
        generated_tokens=generated,
        problems=problems,
        skipped=skipped,
    )


def calls(path: Path, surveyed: Survey, repeat: int) -> Iterator[Row]:
    """The calls of `repeat` copies of the file, each shifted by the span, in time order."""
    for copy in range(repeat):
        shift_ns = copy * surveyed.span_ns
        for item in read(path):
            if isinstance(item, Row):
                yield item._replace(at_ns=item.at_ns + shift_ns) if shift_ns else item


def read(path: Path) -> Iterator[Row | Problem]:
    """Each line after the header as a call or as a problem; an empty file gives nothing."""
    last_ns = 0
    for number, line in _lines(path):
        if number == 1:
            _require_header(line)
            continue
        item = _parse(number, line)
        if isinstance(item, Row) and item.at_ns < last_ns:
            item = Problem(number, "the time goes back behind the row before it")
        if isinstance(item, Row):
            last_ns = item.at_ns
        yield item


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line; one that is too long comes cut, so that it cannot be a call."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES_MAX):
            number += 1
            rest = line
            while len(rest) == LINE_BYTES_MAX and not rest.endswith(b"\n"):
                rest = file.readline(LINE_BYTES_MAX)
            yield number, line.rstrip(b"\r\n")


def _require_header(line: bytes) -> None:
    if line.removeprefix(_BOM) != HEADER:
        raise NotATrace(
            f"line 1 is `{_shown(line)}`; a trace of LLM calls begins with the header `{HEADER.decode()}`"
        )


def _parse(number: int, line: bytes) -> Row | Problem:
    match = _CALL.fullmatch(line)
    if match is None:
        return Problem(number, _why_no_call(line))
    seconds, fraction, offset, context, generated = match.groups()
    if int(context) > TOKENS_MAX or int(generated) > TOKENS_MAX:
        return Problem(number, f"no call has more than {TOKENS_MAX} tokens")
    try:
        since = datetime.fromisoformat(f"{seconds.decode()}{(offset or b'+00:00').decode()}") - _EPOCH
    except (ValueError, OverflowError):
        return Problem(number, f"`{(seconds + (offset or b'')).decode()}` is no time of the calendar")
    whole_seconds = since.days * 86_400 + since.seconds
    if whole_seconds < 0:
        return Problem(number, "the time is before 1970")
    nanoseconds = int((fraction or b"0").ljust(9, b"0"))
    return Row(whole_seconds * 10**9 + nanoseconds, int(context), int(generated))


def _why_no_call(line: bytes) -> str:
    """What is wrong with a line that is no call, for people."""
    if not line:
        return "the line is empty"
    if line == HEADER:
        return "the header is repeated"
    if HEADER in line:
        return "a header is glued to a row; was a file without a last line end put before another?"
    if len(_TIME.findall(line)) > 1:
        return "two rows are glued together; is a line end missing?"
    fields = line.split(b",")
    if len(fields) != 3:
        return f"a row has 3 fields, this one {len(fields)}: `{_shown(line)}`"
    time, *counts = fields
    if not _TIME.fullmatch(time):
        return f"`{_shown(time)}` is not a time such as 2023-11-16 18:17:03.9799600"
    for name, count in zip(("ContextTokens", "GeneratedTokens"), counts, strict=True):
        if count.startswith(b"-") and _NUMBER.fullmatch(count):
            return f"{name} is negative: `{_shown(count)}`"
        if not count.isdigit():
            return f"{name} is not a whole number: `{_shown(count)}`"
    return f"a number has too many digits: `{_shown(line)}`"


def _shown(data: bytes) -> str:
    text = data[:60].decode("ascii", "replace").replace("\ufffd", "?")
    return "".join(char if char.isprintable() else "?" for char in text) + ("…" if len(data) > 60 else "")
