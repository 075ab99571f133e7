"""What an edit of the governor's caps means for the windows that are open: what was spent counts on."""

from splittally.core.governor.state import Governed
from splittally.core.governor.terms import CAP_WINDOWS, GovernorTerms

SpentRow = list[str | int]  # resource, day or week, the window's start, amount


# Where the world's zone is another, the day that holds now begins elsewhere and takes over what was counted.
#
# Example. A cap of 100 a day was counted up to 40. Made into 100 a week, or taken away and set again today,
# it begins at 40, because each resource that is capped is counted by the day and by the week. Where only
# the day was counted so far, the week begins at what is known of it: today's 40.
def spent_rows(
    governed: Governed, terms: GovernorTerms | None, began: dict[str, int], starts: dict[str, int]
) -> list[SpentRow]:
    """What is spent in the windows that began at `began` and now start at `starts`, of what these terms cap
    or was counted before."""
    amounts: dict[str, dict[str, int]] = {cap.resource: {} for cap in terms.caps} if terms else {}
    for (resource, per), (start_ns, amount) in governed.spent.items():
        counted = amounts.setdefault(resource, {})  # also where no cap is left: it may come back
        if start_ns == began[per]:
            counted[per] = amount
    return [
        [resource, per, starts[per], spent.get(per, spent.get("day", 0) if per == "week" else 0)]
        for resource, spent in sorted(amounts.items())
        for per in CAP_WINDOWS
    ]
