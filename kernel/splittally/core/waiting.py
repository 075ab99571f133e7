"""Whether waiting helps where a bound would be passed, and until when: one answer for every bound.

Rule 1. What asks for more than a bound can ever give never fits: it is denied, also where the bound defers.
Rule 2. What fits once a window has ended says when that is: `resets_ns`, in logical time, and `resets` for
        people. The window ends by itself then. There may be room earlier, where an open hold ends below its
        reserve, something is refunded or the bound is raised; and others may be first.
Rule 3. A bound for life has no such time. It defers only what fits once open holds give back all they hold.

Example. At most 100 a day, above which it defers; 70 are used.

    50   later   defer, `resets_ns` is the next midnight
    101  never   deny, and no time
"""

from typing import NamedTuple

from splittally.core.dates import shown_time
from splittally.core.findings import Facts
from splittally.core.types import DEFER, DENY


class Wait(NamedTuple):
    """The outcome of passing a bound, and what its finding says of time, if waiting helps."""

    outcome: str
    facts: Facts


NEVER = Wait(DENY, {})


def wait_for(outcome: str, asked: int, most: int, resets_ns: int) -> Wait:
    """What passing a bound means that says `outcome`, where waiting alone gives at most `most`.

    `resets_ns` is when the bound's window ends, 0 where it has none.
    """
    if asked > most:
        return NEVER if outcome == DEFER else Wait(outcome, {})
    return Wait(outcome, {"resets_ns": resets_ns, "resets": shown_time(resets_ns)} if resets_ns else {})
