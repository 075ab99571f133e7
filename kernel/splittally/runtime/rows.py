"""Rows of views."""

from typing import Any

from splittally.core.intent_history import Trace


class Row(dict[str, Any]):
    """A row whose fields also read as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


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
        ended_seq=ended[0] if ended else None,
        cause=next((x.cause for _, x in found.endings if not hasattr(x, "how")), None),
        usage=settled.legs[0].usage if settled and settled.legs else None,
        charged=settled.legs[0].charged if settled and settled.legs else None,
        attempt=found.member.attempt,
    )
