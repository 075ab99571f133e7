"""What is taken back of an answer that nobody hears of."""

from collections.abc import Sequence
from typing import Any

from splittally.core.types import ADMITTED
from splittally.edge.records import At, Decision, Dispatch, HoldChange, Release, Request


def taken_back(asked: Sequence[At], answers: Sequence[Any]) -> list[At]:
    """The releases of what these answers hold or started; receipts, releases and extensions stand."""
    releases: list[At] = []
    for item, answer in zip(asked, answers, strict=False):
        for each in answer if isinstance(answer, list) else [answer]:
            release = _release_of(item.request, each)
            if release is not None:
                releases.append(At(None, release))
    return releases


def _release_of(request: Request, answer: object) -> Release | None:
    match answer:
        case Decision(seq=int(), intent_hash=bytes(digest), duplicate=False) if answer.outcome in ADMITTED:
            return Release(digest, "not_dispatched")
        case HoldChange(status="dispatched") if isinstance(request, Dispatch):
            return Release(answer.intent_hash, "not_dispatched", attempt=request.attempt)
    return None
