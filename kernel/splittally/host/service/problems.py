"""What a face says where it cannot answer: a problem document (RFC 9457), the same on every face.

Rule 1. A decision is an answer, whatever it says; a problem means that nothing was decided.
Rule 2. Who may not see a thing hears what is said of a thing that is not there.
"""

from collections.abc import Mapping
from typing import Any

from splittally.core.errors import (
    DiskFull,
    InvalidInput,
    JournalDamaged,
    KernelStopped,
    SplittallyError,
    WorldError,
)
from splittally.edge.answer_lines import readable

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "the request cannot be read",
    401: "nobody known asks",
    403: "this caller may not ask that",
    404: "there is nothing of this name here",
    405: "this path has no such method",
    409: "the request does not fit what is there",
    413: "the request is too large",
    431: "the head of the request is too large",
    429: "too much waits; ask again later",
    500: "the service failed",
    503: "the world cannot be written now",
    504: "the deadline passed before a decision; nothing is held",
    507: "the disk is full",
}
_STATUS: tuple[tuple[type[SplittallyError], int], ...] = (
    (InvalidInput, 400),
    (DiskFull, 507),
    (KernelStopped, 503),
    (WorldError, 503),
    (JournalDamaged, 503),
)
_FACTS_LEFT_OUT = ("code", "message")


class Problem(Exception):
    """An answer that is a problem: its status, a stable code, and what a person can do."""

    def __init__(self, status: int, code: str, detail: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.facts = dict(facts or {})

    def document(self) -> dict[str, Any]:
        """The problem document; `code` is stable, `detail` is for people."""
        return {
            "type": f"urn:splittally:problem:{self.code}",
            "title": TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **({"facts": readable(self.facts)} if self.facts else {}),
        }


def problem_of(error: SplittallyError) -> Problem:
    """The problem that an error is."""
    facts = {name: value for name, value in error.facts.items() if name not in _FACTS_LEFT_OUT}
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    code = "input.too_large" if "bytes_max" in facts else str(error.facts.get("code", error.code))
    if status == 400 and code == "input.too_large":
        status = 413
    return Problem(status, code, str(error), facts)


def not_found(what: str) -> Problem:
    """There is no such thing, or none that the caller may see."""
    return Problem(404, "not_found", f"there is no {what} here that you may see")


def busy() -> Problem:
    """The queue is full: nothing was recorded, and the same may be asked again."""
    return Problem(
        429, "busy", "the queue of intents is full; nothing was recorded, ask again with the same key"
    )
