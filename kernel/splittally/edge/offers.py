"""The keys of several offers of which one is to be taken (`first`).

Rule 1. A host gives every offer a key or none: a list in which only some have one would, sent again, offer
        the others anew. So such a list is refused (`core/well_formed.py`).
Rule 2. Where it gives none, offers of different grants have one key; those of one grant cannot share it.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from splittally.core.limits import KEY_BYTES
from splittally.edge.records import Intent


def key_places(grants: Sequence[object]) -> list[int]:
    """For each offer how many before it are under its grant."""
    return [list(grants[:at]).count(grant) for at, grant in enumerate(grants)]


def keyed_offers(intents: list[Intent], entropy: Callable[[int], bytes]) -> list[Intent]:
    """The same offers; where the host gave no key, with drawn ones."""
    if any(intent.idempotency_key is not None for intent in intents):
        return intents
    places = key_places([intent.grant for intent in intents])
    keys = [entropy(KEY_BYTES) for _ in range(max(places) + 1)]
    return [replace(intent, idempotency_key=keys[at]) for intent, at in zip(intents, places, strict=True)]
