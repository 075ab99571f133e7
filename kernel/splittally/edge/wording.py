"""Values as people read them: amounts with their units, times by the world's clock, spans, short hashes.

It reads nothing and decides nothing: what it needs is a `Wording`, a small record made from a state. Programs
get integers and whole hashes instead (`records.readable`).

Rule 1. An amount of a resource has the decimals and the name of the resource, also where a dimension counts
        it beside (`USD.provider`); of anything else it is the number and the name of the dimension.
Rule 2. A time is what the world's clock shows, with its distance from UTC; it can be typed back where a past
        moment is asked for. What is left of a second is cut off.
Rule 3. A hash is its first 12 hex digits, or the name that the wording knows it by.
Rule 4. Nothing here makes text safe for a terminal; who prints it does (`printable`).

Example. In a world at +01:00 whose USD has scale 2: `12.50 USD, 300 tokens`, `2026-11-30 14:05:09 +01:00`,
`2h 5m`, `9f86d081884c`.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from splittally.core.calendars import Calendar
from splittally.core.dates import DAY_S, SECOND_NS, civil
from splittally.core.state import State
from splittally.edge.amounts import format_amount, scale_of_unit, scales_of

HASH_DIGITS = 12
_FEW = 3
_SPANS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


class Wording(NamedTuple):
    """What it takes to say a world's values: the scales of its resources, its clock, names for hashes.

    Where no world is known (`scales` is None) every amount is one of minor units, and is said to be.
    """

    scales: Mapping[str, int] | None = None
    calendar: Calendar = Calendar()
    names: Mapping[bytes, str] = {}

    def amount(self, amount: int, unit: str) -> str:
        """`12.50 USD` for 1250 minor units of a resource with scale 2, `12 tokens` for a dimension."""
        if self.scales is None:
            return f"{amount} minor units of {unit}"
        return format_amount(amount, unit, self.scale(unit)).rstrip()

    def figure(self, amount: int, unit: str) -> str:
        """The same without the unit, below a heading or beside a name that says it."""
        return self.amount(amount, unit).removesuffix(f" {unit}")

    def scale(self, unit: str) -> int:
        """The decimals of a resource, also where a dimension counts it beside; 0 of anything else."""
        return scale_of_unit(self.scales or {}, unit) or 0

    def amounts(self, amounts: Mapping[str, int]) -> str:
        """Every amount of a map, by unit; empty for an empty map."""
        return ", ".join(self.amount(amounts[unit], unit) for unit in sorted(amounts))

    def moment(self, at_ns: int) -> str:
        """A time in nanoseconds since 1970 as `2026-11-30 14:05:09 +01:00`."""
        return f"{self.minute(at_ns)}:{self._local_s(at_ns) % 60:02d} {self._offset(at_ns)}"

    def minute(self, at_ns: int) -> str:
        """The same to the minute and without the offset, where space is short: `2026-11-30 14:05`."""
        return f"{self.day(at_ns)} {_clock(self._local_s(at_ns))}"

    def day(self, at_ns: int) -> str:
        """The same as a date alone: `2026-11-30`."""
        year, month, day = civil(self._local_s(at_ns) // DAY_S)
        return f"{year:04d}-{month:02d}-{day:02d}"

    def hash(self, digest: bytes) -> str:
        """`9f86d081884c`, or the name of this hash in backticks."""
        name = self.names.get(digest)
        return short_hash(digest) if name is None else f"`{name}`"

    def value(self, value: Any) -> str:
        """Any value of the data model on one line: `{host a.example, retries [1, 2]}`."""
        match value:
            case Mapping():
                return "{" + ", ".join(f"{name} {self.value(item)}" for name, item in value.items()) + "}"
            case list() | tuple():
                return "[" + ", ".join(map(self.value, value)) + "]"
            case bytes():
                return self.hash(value)
            case bool():
                return str(value).lower()
        return str(value)

    def _local_s(self, at_ns: int) -> int:
        return self.calendar.local(at_ns) // SECOND_NS

    def _offset(self, at_ns: int) -> str:
        ahead_s = (self.calendar.local(at_ns) - at_ns) // SECOND_NS
        seconds = f":{abs(ahead_s) % 60:02d}" if ahead_s % 60 else ""
        return f"{'-' if ahead_s < 0 else '+'}{_clock(abs(ahead_s))}{seconds}"


def wording_of(state: State) -> Wording:
    """How the values of a world are said, as its state stands; it shares nothing with that."""
    calendar = state.calendar._replace(zone=deepcopy(state.calendar.zone))
    return Wording(scales_of(state), calendar)


def span(nanoseconds: int) -> str:
    """A span such as `2h 5m`, in its two largest units, rounded down."""
    seconds = nanoseconds // SECOND_NS
    parts: list[str] = []
    for name, size in _SPANS:
        if seconds >= size and len(parts) < 2:
            parts.append(f"{seconds // size}{name}")
            seconds %= size
        elif parts:
            break
    return " ".join(parts) or f"{nanoseconds} ns"


def few(names: Sequence[str], count: int | None = None) -> str:
    """The first names of many in backticks, and how many more: `count` is how many there are, where it is not
    all of `names` that stand here."""
    more = (len(names) if count is None else count) - len(names[:_FEW])
    return ", ".join(f"`{name}`" for name in names[:_FEW]) + (f" and {more} more" if more > 0 else "")


def short_hash(digest: bytes) -> str:
    """The first 12 hex digits of a hash."""
    return digest.hex()[:HASH_DIGITS]


def _clock(seconds: int) -> str:
    """Hours and minutes within a day."""
    return f"{seconds % DAY_S // 3600:02d}:{seconds // 60 % 60:02d}"
