"""Bounds that a host can meet, said in one way: the field, what it has, what is taken, and the way out.

Rule 1. Whoever refuses for a size does it here, so that every refusal names its field and both numbers.
Rule 2. Where one part of the params is most of them, it is named: that is what to keep outside.

Example. Params of 300,000 bytes with one long text: "`params` has 300,012 bytes, of which `messages` has
299,900; at most 262,144 are taken: send prompt_tokens, keep the text outside".
"""

from typing import Any

from splittally.core.canonical import encode
from splittally.core.errors import CanonicalError, InvalidInput
from splittally.core.limits import NAME_BYTES_MAX
from splittally.core.types import is_id

TOO_LARGE = "input.too_large"
_PATH_CHARACTERS_MAX = 128
_OUTSIDE = 'keep long texts outside and send {"$digest": hash, "bytes": size} in their place'
_ADVICE = {
    "llm.generate": "send prompt_tokens, keep the text outside",
    "mcp.call": f"{_OUTSIDE}, also in `arguments`",
    "tool.call": f"{_OUTSIDE}, also in `arguments`",
}


def require_size(field: str, needed: int, available: int, unit: str = "bytes", code: str = TOO_LARGE) -> None:
    """Nothing where a field is within its bound; else `InvalidInput` with both numbers."""
    if needed > available:
        text = f"`{field}` has {needed:,} {unit}; at most {available:,} are taken"
        raise _too_large(text, field, needed, available, code)


def require_params_size(kind: str, params: Any, needed: int, available: int) -> None:
    """The same for the params of an effect, whose largest part is named where it is most of them."""
    if needed <= available:
        return
    part, size = _largest(params)
    most = f", of which `{part[:_PATH_CHARACTERS_MAX]}` has {size:,}" if part else ""
    text = f"`params` has {needed:,} bytes{most}; at most {available:,} are taken"
    raise _too_large(
        f"{text}: {_ADVICE.get(kind, _OUTSIDE)}",
        "params",
        needed,
        available,
        code="params.too_large",
        **({"part": part[:_PATH_CHARACTERS_MAX], "part_bytes": size} if part else {}),
    )


def require_name(field: str, name: Any) -> str:
    """The value where it is a name that people chose; `InvalidInput` where it is too long, or none."""
    if not is_id(name):
        if type(name) is str and name.isascii():
            require_size(field, len(name), NAME_BYTES_MAX)
        raise InvalidInput(f"`{field}` is a printable name of at most {NAME_BYTES_MAX} bytes", field=field)
    found: str = name
    return found


def require_text(field: str, text: Any, bytes_max: int, code: str = TOO_LARGE) -> str:
    """The value where it is text within its bound; `InvalidInput` says which of the two it is not."""
    try:
        size = len(text.encode()) if type(text) is str else -1
    except UnicodeEncodeError:  # half of a surrogate pair
        size = -1
    if size < 0:
        raise InvalidInput(f"`{field}` is text of at most {bytes_max} bytes", field=field)
    require_size(field, size, bytes_max, code=code)
    found: str = text
    return found


def _too_large(message: str, field: str, needed: int, available: int, code: str, **more: Any) -> InvalidInput:
    return InvalidInput(message, code=code, field=field, needed=needed, available=available, **more)


def _largest(params: Any) -> tuple[str, int]:
    """The deepest part of a map that is most of it, as a path, and its bytes; nothing where none is."""
    path: list[str] = []
    size, left = 0, _size(params)
    while type(params) is dict and params:
        name, part = max(params.items(), key=lambda each: (_size(each[1]), each[0]))
        if 2 * _size(part) <= left:
            break
        path, size, left, params = [*path, name], _size(part), _size(part), part
    return ".".join(path), size


def _size(value: Any) -> int:
    try:
        return len(encode(value))
    except CanonicalError:
        return 0
