"""Keys of effects: a text with holes for arguments, such as `refund:{payment_id}`.

Rule 1. A hole takes the plain value of an argument, or of a part of it (`{order.id}`), and stands as
        `[value]` in canonical text: two calls have one key only where every value is the same, of the same
        type. A value ends where it says, so nothing can be moved from one hole into the next.
Rule 2. A hole that names no parameter is refused when the function is decorated, not when it is called.
Rule 3. Nothing else is a template: a key that is given with a call is taken as it is.

    refund:{payment_id}   of "p-7"                  refund:["p-7"]
    move:{a}:{b}          of "x", "y:z"             move:["x"]:["y:z"]
                          of "x:y", "z"             move:["x:y"]:["z"]
"""

import json
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any, NamedTuple

from blake3 import blake3

from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput
from splittally.core.hashing import hash_key
from splittally.core.limits import ATTEMPT_BYTES, TEXT_BYTES_MAX
from splittally.edge.identity import sealed_key

_ATTEMPT = blake3(derive_key_context="splittally 1 client attempt")
_NEXT = blake3(derive_key_context="splittally 1 client next key")


class Hole(NamedTuple):
    """What stands before a hole, and the path of the value that fills it; an empty path for the rest."""

    before: str
    path: tuple[str, ...]


def read_template(text: str, parameters: Iterable[str]) -> list[Hole]:
    """The holes of a template in order; `InvalidInput` where one cannot be filled."""
    names = set(parameters)
    try:
        parsed = list(Formatter().parse(text))
    except ValueError as error:
        raise InvalidInput(f"`{text}` is no template of a key: {error}", field="key") from None
    return [_hole(text, names, *part) for part in parsed]


def _hole(
    text: str, names: set[str], before: str, name: str | None, form: str | None, how: str | None
) -> Hole:
    if name is None:
        return Hole(before, ())
    path = tuple(name.split("."))
    if form or how or not all(part.isidentifier() for part in path):
        raise InvalidInput(
            f"`{{{name}}}` in `{text}` is no hole: write `{{name}}` or `{{name.part}}`", field="key"
        )
    if path[0] not in names:
        known = ", ".join(f"`{each}`" for each in sorted(names)) or "none"
        raise InvalidInput(f"`{text}` names no parameter with `{path[0]}`; there are {known}", field="key")
    return Hole(before, path)


def filled(holes: list[Hole], arguments: Mapping[str, Any]) -> str:
    """The key of a call with these plain arguments."""
    return "".join(
        each.before + (f"[{canonical_text(_at(arguments, each.path))}]" if each.path else "")
        for each in holes
    )


def _at(arguments: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = arguments
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            raise InvalidInput(f"the key has no value at `{'.'.join(path)}`", field="key")
        found = found[name]
    return found


def canonical_text(value: Any) -> str:
    """The one text of a plain value: JSON with sorted keys and no spaces; bytes as `h"00ff"`."""
    match value:
        case bytes():
            return f'h"{value.hex()}"'
        case Mapping():
            return (
                "{" + ",".join(f"{json.dumps(k)}:{canonical_text(v)}" for k, v in sorted(value.items())) + "}"
            )
        case list():
            return "[" + ",".join(map(canonical_text, value)) + "]"
        case float():
            return repr(value)
    return json.dumps(value)


def key_bytes(key: bytes | str) -> bytes:
    """The 32 bytes of a key, as every door seals it; a text that is longer than those take is hashed, too."""
    if isinstance(key, str) and len(key.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX:
        return hash_key(encode(key))
    return sealed_key(key)


def attempt_of(key: bytes) -> bytes:
    """The attempt that belongs to a key: whoever has the key may ask again, and the dispatch has one
    winner.
    """
    return _ATTEMPT.copy().update(key).digest(length=ATTEMPT_BYTES)


def key_after(key: bytes, intent_hash: bytes) -> bytes:
    """The key that follows one whose intent is known not to have happened: the same for whoever asks."""
    return _NEXT.copy().update(key).update(intent_hash).digest()
