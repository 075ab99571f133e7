"""When a limit that refuses lets through again, if nothing else is asked meanwhile."""

from splittally.core.ledger.state import Ledger, WindowKey
from splittally.core.ledger.windows import counting, window_end


def end_of_window(ledger: Ledger, key: WindowKey, start_ns: int, offset_ns: int) -> int:
    """When the window of a limit ends that starts at `start_ns`, also one that nobody has opened yet."""
    standing = ledger.windows.get(key)
    return standing[1] if standing else window_end(key[2], start_ns, offset_ns, ledger.zones)


def frees_at_ns(ledger: Ledger, key: WindowKey, needed: int, bound: int, now_ns: int) -> int:
    """When a rolling window has room for `needed` under `bound` if nothing else is asked; 0 for never."""
    left, used = bound - needed, ledger.rolled(key, now_ns).used
    for at in counting(key[2], ledger.slices.get(key, ()), now_ns):
        if used <= left:
            break
        used -= ledger.counters[*key, at].used
        now_ns = window_end(key[2], at, 0)
    return now_ns if used <= left else 0
