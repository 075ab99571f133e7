"""What the enforcers mean by a path: resolved as text or refused, and compared at a segment's boundary."""

import re

PATH_BYTES_MAX = 4096
BROKEN = re.compile(r"[\x00-\x1f\x7f\\]|%[0-9A-Fa-f]{2}")
ODD_SEGMENT = re.compile(r"|.*[. ]|[A-Za-z]:.*", re.DOTALL)


def resolved(path: str, base: str | None = None) -> str | None:
    """The path without dot segments, below `base` where it is relative; None where it is refused."""
    if not path or path.startswith("~") or BROKEN.search(path) or len(path.encode()) > PATH_BYTES_MAX:
        return None
    if not path.startswith("/") and base is None:
        return None
    stack = [] if path.startswith("/") or base is None else [part for part in base.split("/") if part]
    if path == "/":
        return path
    for segment in path.removeprefix("/").removesuffix("/").split("/"):
        if segment == ".." and stack:
            stack.pop()
        elif segment not in (".", ""):
            stack.append(segment)
            if ODD_SEGMENT.fullmatch(segment) or len("/".join(["", *stack]).encode()) > PATH_BYTES_MAX:
                return None
        elif segment == "":
            return None
    return "/" + "/".join(stack)


def is_prefix(text: str) -> bool:
    """Whether a grant may list it."""
    return text == "/" or (text.startswith("/") and resolved(text) == text.removesuffix("/"))


def is_under(path: str, prefix: str) -> bool:
    """Whether a listed path covers it."""
    if prefix.endswith("/"):
        return path.startswith(prefix)
    return path == prefix or path.startswith(prefix + "/")
