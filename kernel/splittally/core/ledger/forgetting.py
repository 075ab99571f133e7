"""What the ledger drops of a grant that the world forgets: everything that stands under its name.

Rule 1. Which grants are forgotten is decided above (`core/forgetting.py`): none of which anything is held.
Rule 2. Nothing makes a counter of theirs again. What comes late finds none, as in a window that ended.
"""

from typing import Any

from splittally.core.ledger.evolve import set_topup
from splittally.core.ledger.state import Ledger


def forget_scopes(ledger: Ledger, scopes: set[str]) -> None:
    """Drop all that is counted, open or raised under these grants, where no open hold has a leg."""
    for topup in [key for key, topup in ledger.topups.items() if topup.scope in scopes]:
        set_topup(ledger, topup, None)
    for window in [window for window in ledger.windows if window[0] in scopes]:
        ledger.slices.pop(window, None)
        ledger.keys.drop((*window, ledger.windows[window][0]))
    counted: tuple[dict[Any, Any], ...] = (ledger.counters, ledger.keyed, ledger.moved, ledger.windows)
    for table in counted:
        for key in [key for key in table if key[0] in scopes]:
            del table[key]
