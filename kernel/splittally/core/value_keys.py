"""By which value of an intent a limit counts: its path, and the key that the value is.

    day by params.user        week:sunday by labels.team        day@Europe/Amsterdam by params.meta.tenant

Rule 1. The path stands in the `per` of a limit, behind its window (`core/periods.py`): so a limit per user
        and one for all users of the same window are two, and each has its own counters.
Rule 2. The key is the hash of the value's canonical bytes. A value that is not there, or below what is no
        map, is a key of its own, which is that of no value.
Rule 3. A path is read and never searched: nothing in the params decides how long that takes.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from splittally.core.canonical import decode, encode
from splittally.core.hashing import hash_value
from splittally.core.periods import period_of

Keys = dict[str, bytes]  # by the `per` of a limit
NO_KEYS: Keys = {}
PARAMS = "params"
_ABSENT = hash_value(b"")  # no value has these bytes


def keys_of(params: bytes, labels: Mapping[str, str], pers: tuple[str, ...]) -> Keys:
    """The key of each of these periods for an intent with these params, in canonical bytes, and labels."""
    paths = [_names(period_of(per).by) for per in pers]
    values = decode(params) if any(path[0] == PARAMS for path in paths) else {}
    found: Keys = {}
    for per, (root, *names) in zip(pers, paths, strict=True):
        found[per] = _key_in(values, names) if root == PARAMS else _key_in(labels, names)
    return found


def key_of_value(value: Any) -> bytes:
    """The key that a value is."""
    return hash_value(encode(value))


@lru_cache(maxsize=4096)
def _names(path: str) -> tuple[str, ...]:
    root, _, rest = path.partition(".")
    return (root, *rest.split(".")) if root == PARAMS else (root, rest)


def _key_in(value: Any, names: list[str]) -> bytes:
    for name in names:
        if not isinstance(value, Mapping) or name not in value:
            return _ABSENT
        value = value[name]
    return key_of_value(value)
