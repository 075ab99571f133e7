"""What the store of statistics says of the metric `m` of a budget, and the digest of raw values beside it."""

from fractions import Fraction

from tests.cli_tools import run
from tests.rows.budgets import B

FIGURES = ("count", "sum", "average", "min", "max", "last")


def stats(path, *words, code=0):
    ran = run("-w", path, "--json", "stats", *words)
    assert ran.code == code, ran
    return ran.json if code == 0 else ran


def digests(path, *words):
    return stats(path, "metric", B, "m", *words)["digests"]


def figures(row):
    return {name: Fraction(row[name]) for name in FIGURES}


def of(values):
    """The digest of raw values, as slowly as that is said."""
    return {
        "count": len(values),
        "sum": sum(values),
        "average": Fraction(sum(values), len(values)),
        "min": min(values),
        "max": max(values),
        "last": values[-1],
    }
