"""Zones by their IANA names: from the `tzdata` package to the integers that a journal holds.

Rule 1. The data is that of the package, never the system's: which one it was stands in the record.
Rule 2. Names are those of the package's list, so none leads to another file.
Rule 3. What a TZif file says (RFC 8536) is decoded here and never again: transitions from 1970 on that change
        the offset, and the rule after the last of them.

Example. `CET-1CEST,M3.5.0,M10.5.0/3` becomes 3600, 7200, the last Sunday of March at 02:00 of standard time
(0, 3, 5, 0, 7200) and the last Sunday of October at 03:00 of summer time (0, 10, 5, 0, 10800).
"""

import re
import struct
from functools import cache
from importlib import resources

import tzdata

from splittally.core.errors import InvalidManifest
from splittally.core.zones import Zone
from splittally.edge.near import meant

_HEADER = struct.Struct(">4s1s15x6I")
_TYPE_BYTES = 6
_NAME = r"(?:<[A-Za-z0-9+-]+>|[A-Za-z]+)"
_TIME = r"([+-]?)([0-9]{1,3})(?::([0-9]{1,2}))?(?::([0-9]{1,2}))?"
_POSIX = re.compile(
    rf"{_NAME}(?P<standard>[+-]?[0-9:]+)"
    rf"(?:{_NAME}(?P<summer>[+-]?[0-9:]+)?(?:,(?P<begin>[^,]+),(?P<end>[^,]+))?)?"
)
_HOUR_S = 3600


@cache
def zone_names() -> tuple[str, ...]:
    """Every zone that the package knows, sorted."""
    text = resources.files("tzdata").joinpath("zones").read_text("utf-8")
    return tuple(sorted(text.split()))


def read_zone(where: str, name: object) -> Zone:
    """The zone of an IANA name; `InvalidManifest` with the nearest name where there is none."""
    if type(name) is not str or name not in zone_names():
        hint = meant(str(name), zone_names()) or ", such as Europe/Amsterdam"
        raise InvalidManifest(f"`{where}`: `{name}` is no time zone{hint}", field=where)
    return _zone(name)


@cache
def _zone(name: str) -> Zone:
    data = resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
    first_s, changes, rule = decode_tzif(data)
    return Zone(
        name=name,
        version=tzdata.IANA_VERSION,
        first_s=first_s,
        at_s=[at for at, _ in changes],
        offsets_s=[offset for _, offset in changes],
        rule=rule,
    )


def decode_tzif(data: bytes) -> tuple[int, list[tuple[int, int]], list[int]]:
    """The offset at 1970, its changes since, and the rule that follows, of a TZif file from version 2 on."""
    isutc, isstd, leaps, times, types, chars = _counts(data, 0)
    second = _HEADER.size + times * 5 + types * _TYPE_BYTES + chars + leaps * 8 + isstd + isutc
    isutc, isstd, leaps, times, types, chars = _counts(data, second)
    at = second + _HEADER.size
    instants = struct.unpack_from(f">{times}q", data, at)
    kinds = data[at + times * 8 : at + times * 9]
    at += times * 9
    offsets = [struct.unpack_from(">i", data, at + kind * _TYPE_BYTES)[0] for kind in range(types)]
    at += types * _TYPE_BYTES + chars + leaps * 12 + isstd + isutc
    first_s, changes = offsets[0], list[tuple[int, int]]()
    for instant, kind in zip(instants, kinds, strict=True):
        before = changes[-1][1] if changes else first_s
        if instant <= 0:
            first_s = offsets[kind]
        elif offsets[kind] != before or instant == instants[-1]:  # the rule follows the last one
            changes.append((instant, offsets[kind]))
    return first_s, changes, decode_posix(data[at:].strip(b"\n").decode("ascii"))


def _counts(data: bytes, at: int) -> tuple[int, ...]:
    magic, _, *counts = _HEADER.unpack_from(data, at)
    assert magic == b"TZif"
    return tuple(counts)


def decode_posix(text: str) -> list[int]:
    """The rule of a POSIX zone as integers (`core/zones.py`); empty where it has no summer time."""
    found = _POSIX.fullmatch(text)
    assert found is not None
    if found["begin"] is None:
        return []
    standard = -_seconds(found["standard"])  # POSIX counts west
    summer = -_seconds(found["summer"]) if found["summer"] else standard + _HOUR_S
    return [standard, summer, *_half(found["begin"]), *_half(found["end"])]


def _half(text: str) -> list[int]:
    day, _, time = text.partition("/")
    time_s = _seconds(time) if time else 2 * _HOUR_S
    if day[0] == "M":
        return [0, *map(int, day[1:].split(".")), time_s]
    kind, number = (1, day[1:]) if day[0] == "J" else (2, day)
    return [kind, int(number), 0, 0, time_s]


def _seconds(text: str) -> int:
    found = re.fullmatch(_TIME, text)
    assert found is not None
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[1:])
    total = hours * _HOUR_S + minutes * 60 + seconds
    return -total if found[1] == "-" else total
