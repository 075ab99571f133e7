"""The memory that a resident model and one cold lane share.

Rule 1. One lane at a time: a check adds one lane to the reserve and nothing else.
Rule 2. A lane that fills what is left to the byte still fits.
"""

from collections.abc import Mapping
from decimal import localcontext

from msgspec import Struct

from splittally.core.errors import BudgetError
from splittally.core.governor.judge import fits
from splittally.governor.figures import EXACT, exact


class MemoryEnvelope(Struct, frozen=True):
    """Gigabytes: `total_gb` of unified memory, `reserved_gb` resident, and what each lane needs.

    `lane_gb` overrides `default_lane_gb` by lane. Raises `BudgetError` for a size that is no figure.
    """

    total_gb: float = 128.0
    reserved_gb: float = 31.8
    default_lane_gb: float = 5.5
    lane_gb: Mapping[str, float] = {}

    def __post_init__(self) -> None:
        for field in ("total_gb", "reserved_gb", "default_lane_gb"):
            exact(getattr(self, field), field)
        if not isinstance(self.lane_gb, Mapping):
            raise BudgetError("`lane_gb` must map lanes to gigabytes", field="lane_gb")
        for lane in self.lane_gb:
            exact(self.lane_gb[lane], "lane_gb")

    @property
    def headroom(self) -> float:
        """What is left beside the resident model; below zero where the reserve alone is too large."""
        with localcontext(EXACT):
            return float(exact(self.total_gb, "total_gb") - exact(self.reserved_gb, "reserved_gb"))

    def footprint_gb(self, lane_id: str | None) -> float:
        """What this lane needs; 0 for no lane."""
        return self.lane_gb.get(lane_id, self.default_lane_gb) if lane_id else 0.0

    def fits(self, lane_id: str | None) -> bool:
        """Whether the lane can be loaded beside the resident model; no lane always can."""
        sizes = (self.footprint_gb(lane_id), self.reserved_gb, self.total_gb)
        with localcontext(EXACT):
            return not lane_id or fits(*(exact(size, "gigabytes") for size in sizes))
