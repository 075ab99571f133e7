"""What a budget lacks, as people read it: one clause for each constraint that is not met.

It decides nothing. A gap is a row of `missing`, in a view of the budget or in the facts of a refusal.

Example. `50,000.00 USD missing for runway (six months of salaries)`; `1 of 5 principals missing for readers`;
`soil does not hold: metric.carbon >= 40`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from splittally.edge.json_values import printable
from splittally.edge.wording import Wording


def gap_text(gap: Mapping[str, Any], wording: Wording) -> str:
    """One gap: how much is missing for which constraint, why it is asked, and which parts it stops."""
    name = gap["constraint"]
    if "fault" in gap:
        said = f"{name} cannot be evaluated: {gap['fault']}"
    elif "holds" in gap:
        said = f"{name} does not hold: {gap['holds']}"
    elif "resource" in gap:
        said = f"{wording.amount(gap['missing'], gap['resource'])} missing for {name}"
    else:
        said = f"{gap['needed'] - gap['have']} of {gap['needed']} principals missing for {name}"
    why = f" ({gap['description']})" if gap.get("description") else ""
    stops = f", which blocks {', '.join(gap['blocks'])}" if gap.get("blocks") else ""
    return printable(said + why + stops)


def gaps_text(gaps: Iterable[Mapping[str, Any]], wording: Wording) -> str:
    """Every gap, one after the other."""
    return ", ".join(gap_text(gap, wording) for gap in gaps)
