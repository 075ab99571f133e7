"""Who is active under a grant: the principals that hold a live grant there.

Rule 1. A grant is live while neither it nor one above it was revoked or has expired.
Rule 2. Which grants stand where is derived once and kept until a grant changes; whether they have expired is
        asked each time.
"""

from bisect import bisect_right

from splittally.core.caps.state import Caps


def active_below(caps: Caps, top: str, parts: tuple[str, ...], now_ns: int) -> int:
    """How many principals hold a live grant at or below these parts of `top`; for no parts, anywhere below.

    The parts of a grant stand directly below it and have its name before a `/`.
    """
    ends = caps.active.get((top, parts))
    if ends is None:
        ends = caps.active[top, parts] = _ends_below(caps, top, {f"{top}/{part}" for part in parts})
    forever = bisect_right(ends, 0)
    return forever + len(ends) - max(forever, bisect_right(ends, now_ns))


def _ends_below(caps: Caps, top: str, names: set[str]) -> list[int]:
    """When the last grant of each principal there ends that was not revoked, in order; 0 for never."""
    ends: dict[str, int] = {}
    for name, grant in caps.grants.items():
        chain = caps.ancestors(name)
        part = next((above.name for above in chain if above.parent == top), "")
        if not part or (names and part not in names) or any(above.name in caps.revoked for above in chain):
            continue
        end_ns = min((above.expiry_ns for above in chain if above.expiry_ns), default=0)
        before = ends.get(grant.holder, end_ns)
        ends[grant.holder] = max(before, end_ns) if before and end_ns else 0
    return sorted(ends.values())
