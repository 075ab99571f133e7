"""What can go wrong between a process and the service of a world; and a problem as the error that it was.

Rule 1. Where nothing was sent, nothing was done, and the same may be asked again (`ConnectionLost`).
Rule 2. Where something was sent and no answer came, nobody here knows whether it was done (`AnswerLost`). It
        is asked again by itself only where that cannot do it twice.
Rule 3. An error of the kernel comes back as its own class, with its code, text and facts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from splittally.core.errors import InvalidInput, SplittallyError, WorldError

_ENVIRONMENT_FROM = 429  # too busy, stopped, too late: the request was no mistake


class NotServed(WorldError):
    """Nobody serves the world there."""

    code = "not_served"


class ConnectionLost(WorldError):
    """The service is gone, and nothing of this request was done."""

    code = "connection_lost"


class AnswerLost(WorldError):
    """The service was asked and its answer did not come: what was asked was done, or was not."""

    code = "answer_lost"


class RefusedByService(SplittallyError):
    """The service does not let this caller ask that; nothing was done."""

    code = "refused_by_service"


def error_of(problem: Mapping[str, Any]) -> SplittallyError:
    """The error that a problem document tells of."""
    status, code = int(problem.get("status", 500)), str(problem.get("code", ""))
    facts = dict(problem.get("facts", {}))
    text = str(problem.get("detail", ""))
    kind = {each.code: each for each in _kinds(SplittallyError)}.get(code)
    if kind is not None:
        return kind(text, **facts)
    if status in (400, 413):
        is_known = code == InvalidInput.code or "bytes_max" in facts  # the facts say that it is too large
        return InvalidInput(text, **({} if is_known else {"code": code}), **facts)
    error = (WorldError if status >= _ENVIRONMENT_FROM else RefusedByService)(text, **facts)
    error.code = code
    return error


def _kinds(above: type[SplittallyError]) -> Iterator[type[SplittallyError]]:
    """The errors of the core that are made of a text and facts."""
    for kind in above.__subclasses__():
        if kind.__module__ == SplittallyError.__module__:
            yield kind
            yield from _kinds(kind)
