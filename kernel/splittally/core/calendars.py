"""What a world's clock shows: at its fixed offset from UTC, or in its zone where it has one."""

from typing import NamedTuple

from splittally.core.zones import Zone, first_shown, offset_s

_SECOND_NS = 10**9


class Calendar(NamedTuple):
    """An offset from UTC, or a zone that takes its place."""

    offset_ns: int = 0
    zone: Zone | None = None

    def instant(self, local_ns: int) -> int:
        """The first instant at which the clock shows this time or a later one."""
        if self.zone is None:
            return local_ns - self.offset_ns
        local_s, part = divmod(local_ns, _SECOND_NS)
        at_s = first_shown(self.zone, local_s)
        is_exact = at_s + offset_s(self.zone, at_s) == local_s  # else this time is left out
        return at_s * _SECOND_NS + (part if is_exact else 0)

    def local(self, at_ns: int) -> int:
        """What the clock shows at an instant."""
        if self.zone is None:
            return at_ns + self.offset_ns
        return at_ns + offset_s(self.zone, at_ns // _SECOND_NS) * _SECOND_NS
