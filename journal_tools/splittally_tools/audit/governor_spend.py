"""What was charged of the resources that a world's governor caps, by lane.

Rule 1. Unless it is said since when, what was charged on the world's calendar day at the state's time.
Rule 2. What has no lane has a line of its own, so that the lines add up to what the caps count as spent.
"""

from collections.abc import Callable

from splittally.core.events import Noted, Settled
from splittally.core.evolve import governed_windows
from splittally.core.governor.state import GOVERNOR
from splittally.core.state import State
from splittally.edge.moments import Moment
from splittally.runtime.reader import Reader

NO_LANE = ""


def spent_by_lane(
    reader: Reader,
    state: State,
    since: Moment | None = None,
    seen: Callable[[int], None] = lambda _: None,
) -> dict[str, dict[str, int]]:
    """Capped resource -> lane -> minor units charged until a state; `seen` hears of each frame."""
    terms = state.governed.terms
    resources = sorted({cap.resource for cap in terms.caps}) if terms else []
    today_ns = governed_windows(state, state.now_ns)["day"]
    start = reader.frames_between(since or Moment(None, today_ns, today_ns)).start
    lanes: dict[bytes, str] = {}
    spent: dict[str, dict[str, int]] = {resource: {} for resource in resources}
    for record in reader.records(0, state.size) if resources else ():
        for event in record.body.out:
            match event:
                case Noted() if event.subject == GOVERNOR:
                    lanes[event.intent_hash] = str(event.facts.get("lane_id", NO_LANE))
                case Settled():
                    lane = lanes.pop(event.intent_hash, NO_LANE)
                    for resource in resources if record.seq >= start else ():
                        charged = event.legs[0].charged.get(resource, 0)
                        if charged:
                            spent[resource][lane] = spent[resource].get(lane, 0) + charged
        seen(1)
    return {name: dict(sorted(rows.items(), key=lambda x: (-x[1], x[0]))) for name, rows in spent.items()}
