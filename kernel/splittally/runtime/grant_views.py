"""A grant as people and programs read it: its terms, its chain, and how its limits stand.

Rule 1. Everything is derived from one state; nothing here is recorded or decides.
"""

from functools import lru_cache

import msgspec

from splittally.core.canonical import decode
from splittally.core.caps.state import NO_PARAMS, limits_of
from splittally.core.state import State
from splittally.core.types import LIFE
from splittally.edge.dimensions import standing_topups, uncounted
from splittally.runtime.rows import Row


def grant_row(state: State, name: str) -> Row | None:
    """A grant by its name; None where there is none."""
    grant = state.caps.grants.get(name)
    if grant is None:
        return None
    row = Row(msgspec.structs.asdict(grant))
    row["limits"] = [Row(msgspec.structs.asdict(limit)) for limit in limits_of(grant)]
    row["payers"] = {
        resource: [Row(msgspec.structs.asdict(payer)) for payer in payers]
        for resource, payers in grant.payers.items()
    }
    row["chain"] = [above.name for above in state.caps.ancestors(name)]
    row["revoked"] = state.caps.is_revoked(name)
    row["exhausted"] = _is_exhausted(state, name)
    row["uncounted"] = uncounted(state, name)
    row["topups"] = [Row(msgspec.structs.asdict(topup)) for topup in standing_topups(state, name)]
    row["permission"] = _permission_of(state.caps.cap_params(grant))
    return row


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
