"""How a whole is shared by weights: exactly, the remainder by largest remainder and then by name.

Rule 1. The parts sum to the whole, to the smallest unit.
"""


def shared(whole: int, weights: dict[str, int]) -> dict[str, int]:
    """The part of each name, floored; what is left goes one unit each, largest remainder first."""
    total = sum(weights.values())
    assert whole >= 0
    assert total > 0
    parts = {name: whole * weights[name] // total for name in sorted(weights)}
    left = whole - sum(parts.values())
    by_remainder = sorted(parts, key=lambda name: (-(whole * weights[name] % total), name))
    for name in by_remainder[:left]:
        parts[name] += 1
    return parts
