"""A scene of the tour: what is measured, and what of it is refused."""

from typing import Any

from tests.golden_teller import DAY_ONE, SECOND, Tour

REVIEWS = "budgets/reviews"
PERCENT = {"description": "percent", "nature": "maximise", "minimum": 0, "maximum": 100}
PLAN: dict[str, Any] = {
    "resources": {"USD": 2},
    "metrics": {
        "quality": PERCENT,
        "speed": PERCENT,
        "health": {
            "description": "both together",
            "nature": "maximise",
            "weights": {"quality": 50, "speed": 50},
        },
        "points": {
            "description": "points that finished work shows",
            "nature": "output",
            "target": 5,
            "per": "week",
            "reads": "sum",
            "segments": ["team"],
        },
    },
}


def metrics(t: Tour) -> None:
    """Work becomes a metric object: all of it or nothing, and once. What is late changes nothing of now."""
    low = {"quality": 101}
    t.native("reviews-low", "budget.create", budget=REVIEWS, schema=PLAN, initial=low)
    t.native("reviews", "budget.create", budget=REVIEWS, schema=PLAN, initial={"quality": 70})
    team = {"budget": REVIEWS, "segments": {"team": "north"}}
    work = {"values": {"quality": 80, "speed": 60, "points": 6}, "source": "https://example.org/1"}
    t.native("review-teamless", "metric.record", budget=REVIEWS, metric="points", value=6)
    t.native("review", "metric.record", **team, **work, once="work 1")
    t.native("review-again", "metric.record", **team, **work, once="work 1")
    t.native("review-bad", "metric.record", **team, values={"quality": -1, "speed": 5})
    t.native("review-health", "metric.record", budget=REVIEWS, metric="health", value=5)
    t.native("review-more", "metric.record", **team, metric="points", value=2)
    before = DAY_ONE - SECOND  # in the week before the first
    t.native("review-late", "metric.record", **team, metric="points", value=9, at_ns=before)
    t.native("review-early", "metric.record", **team, metric="points", value=9, at_ns=2**62)
