"""A grant as people and programs read it: its terms, its chain, and how its limits stand.

Rule 1. Everything is derived from one state, and a forgotten grant from its frames; nothing here is recorded
        or decides.
"""

from functools import lru_cache

import msgspec

from splittally.core.canonical import decode
from splittally.core.caps.state import NO_PARAMS, limits_of
from splittally.core.events import GrantSet
from splittally.core.state import State
from splittally.core.types import LIFE, Grant
from splittally.edge.dimensions import standing_topups, uncounted
from splittally.runtime.history import History
from splittally.runtime.rows import Row


def grant_row(state: State, name: str) -> Row | None:
    """A grant by its name; None where there is none."""
    grant = state.caps.grants.get(name)
    if grant is None:
        return None
    row = _stated(grant)
    row["chain"] = [above.name for above in state.caps.ancestors(name)]
    row["revoked"] = state.caps.is_revoked(name)
    row["exhausted"] = _is_exhausted(state, name)
    row["uncounted"] = uncounted(state, name)
    row["topups"] = [Row(msgspec.structs.asdict(topup)) for topup in standing_topups(state, name)]
    row["permission"] = _permission_of(state.caps.cap_params(grant))
    return row


def _stated(grant: Grant) -> Row:
    """What a grant says of itself."""
    row = Row(msgspec.structs.asdict(grant))
    row["limits"] = [Row(msgspec.structs.asdict(limit)) for limit in limits_of(grant)]
    row["payers"] = {
        resource: [Row(msgspec.structs.asdict(payer)) for payer in payers]
        for resource, payers in grant.payers.items()
    }
    return row


def forgotten_row(state: State, history: History, name: str) -> Row | None:
    """The row of a grant that the world has forgotten, as its frames have it; None where it has not.

    Nothing is counted under it any more. Its frames are found by the index.
    """
    grant = past_grant(state, history, name)
    if grant is None:
        return None
    row = _stated(grant)
    row["chain"] = _past_chain(state, history, grant)
    row["revoked"], row["exhausted"] = True, False
    row["uncounted"], row["topups"] = [], []
    row["permission"] = _permission_of(past_params(state, history, grant))
    return row


def past_grant(state: State, history: History, name: str) -> Grant | None:
    """A grant that the world has forgotten, as it was last; None where it has not forgotten it."""
    if not state.caps.is_forgotten(name):
        return None
    events = [event for _, event in history.grant_events(name, state.size)]
    return next(event.grant for event in reversed(events) if isinstance(event, GrantSet))


def past_params(state: State, history: History, grant: Grant) -> bytes:
    """The cap params of a grant, whether the state still has them or not."""
    if grant.params and grant.params not in state.caps.blobs:
        return history.params_of([grant.params])[grant.params]
    return state.caps.cap_params(grant)


def _past_chain(state: State, history: History, grant: Grant) -> list[str]:
    """The names of a forgotten grant and of those above it, some of which may be forgotten, too."""
    names = [grant.name]
    while (above := past_grant(state, history, grant.parent)) is not None:
        grant = above
        names.append(grant.name)
    return names + [each.name for each in state.caps.ancestors(grant.parent)]


def _is_exhausted(state: State, name: str) -> bool:
    """Whether a lifetime limit of a grant was passed by usage."""
    for limit in limits_of(state.caps.grants[name]):
        counter = state.ledger.counters.get((name, limit.dim, LIFE, 0))
        raised = state.ledger.raised.get((name, limit.dim, LIFE), 0)
        if (
            limit.per == LIFE
            and counter is not None
            and counter.limit >= 0
            and counter.available + raised < 0
        ):
            return True
    return False


@lru_cache(maxsize=4096)
def _permission_of(params: bytes) -> str | None:
    """The permission as its author wrote it, where the grant was made from one (spec/06-manifest.md)."""
    text = decode(params).get("x-permission") if params != NO_PARAMS else None
    return text if type(text) is str else None
