"""Rows of views.

Rule 1. A row is the caller's: its maps and lists are copies, down to the last, of what the state holds.
"""

from typing import Any

from splittally.core.intent_history import Trace


class Row(dict[str, Any]):
    """A row whose fields also read as attributes."""

    def __init__(self, *fields: dict[str, Any], **more: Any) -> None:
        super().__init__(*fields, **more)
        for name, value in self.items():
            self[name] = _own(value)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def _own(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {name: _own(each) for name, each in value.items()}
    return kind(map(_own, value)) if kind in (list, tuple) else value


def outcome_row(found: Trace) -> Row:
    """What happened to an intent, for people and programs."""
    ended = found.endings[-1] if found.endings else None
    settled = found.settled
    return Row(
        intent_hash=found.decided.intent_hash,
        seq=found.seq,
        kind=found.member.kind,
        grant=found.member.grant,
        principal=found.by,
        outcome=found.decided.outcome,
        findings=list(found.decided.findings),
        reserve=found.reserve,
        status=found.status,
        phase=found.phase,
        waits_for=[ask.row for ask in found.waits_for],
        answers=[dict(answer._asdict()) for answer in found.answers],
        ended_seq=ended[0] if ended else None,
        cause=next((x.cause for _, x in found.endings if not hasattr(x, "how")), None),
        usage=settled.legs[0].usage if settled and settled.legs else None,
        charged=settled.legs[0].charged if settled and settled.legs else None,
        attempt=found.member.attempt,
        labels=found.member.labels,
    )
