"""Why the kernel reads no verdict in what a module answered, for its author (spec/03-abi.md).

Rule 1. The kernel decides that an answer is `bad_output`; here is only said where it first goes wrong. An
        answer that the kernel reads has no reason.
"""

from collections.abc import Iterator
from typing import Any

from splittally.core.abi import BAD_OUTPUT, read_check, read_settle
from splittally.core.amounts import is_natural
from splittally.core.canonical import decode
from splittally.core.errors import CanonicalError
from splittally.core.limits import (
    DENY_CODE_BYTES_MAX,
    DENY_MESSAGE_BYTES_MAX,
    NAME_BYTES_MAX,
    OUTPUT_DIMS_MAX,
)

CHECK = "Check"


def why_unread(variant: str, answer: bytes) -> str:
    """Where an answer first differs from a verdict of `Check` or `Settle`; empty where it is one."""
    read = read_check if variant == CHECK else read_settle
    if read(answer) is not BAD_OUTPUT:
        return ""
    if not answer:
        return "the answer is empty"
    try:
        message = decode(answer)
    except CanonicalError as error:
        return f"the answer is no canonical CBOR: it {error}"
    if type(message) is not dict or list(message) != [variant] or type(message[variant]) is not dict:
        return f'the answer is a map with the one key "{variant}", whose value is a map'
    wrong = _check(message[variant]) if variant == CHECK else _settle(message[variant])
    return next(wrong, "the map has a key that a verdict does not have")


def _check(body: dict[str, Any]) -> Iterator[str]:
    ok = body.get("constraints_ok")
    if type(ok) is not bool:
        yield '"constraints_ok" is true or false'
    yield from _amounts("reserve_estimate", body.get("reserve_estimate"))
    yield from _others(body, {"constraints_ok", "reserve_estimate", *(() if ok else ("deny",))})
    if ok is False:
        yield from _reason("deny", body.get("deny"))


def _settle(body: dict[str, Any]) -> Iterator[str]:
    yield from _amounts("usage", body.get("usage"))
    yield from _others(body, {"usage", "violation"})
    if "violation" in body:
        yield from _reason("violation", body["violation"])


def _others(body: dict[str, Any], known: set[str]) -> Iterator[str]:
    yield from (
        f'"{name}" has no place here; there are {", ".join(sorted(known))}' for name in body.keys() - known
    )


def _amounts(name: str, amounts: Any) -> Iterator[str]:
    if type(amounts) is not dict:
        yield f'"{name}" is a map of dimensions to amounts'
        return
    if len(amounts) > OUTPUT_DIMS_MAX:
        yield f'"{name}" has {len(amounts)} dimensions, more than {OUTPUT_DIMS_MAX}'
    for dim, amount in amounts.items():
        if not is_natural(amount):
            yield f'"{name}" of `{dim[:NAME_BYTES_MAX]}` is a natural number below 2^64'
        if len(dim.encode()) > NAME_BYTES_MAX:
            yield f'"{name}" has a dimension of more than {NAME_BYTES_MAX} bytes'


def _reason(name: str, reason: Any) -> Iterator[str]:
    if type(reason) is not dict or set(reason) != {"code", "message"}:
        yield f'"{name}" is a map of "code" and "message"'
        return
    for key, most in (("code", DENY_CODE_BYTES_MAX), ("message", DENY_MESSAGE_BYTES_MAX)):
        if type(reason[key]) is not str or len(reason[key].encode()) > most:
            yield f'"{key}" of "{name}" is text of at most {most} bytes'
    if reason["code"] == "":
        yield f'"code" of "{name}" is empty'
