"""The values of a metric over its whole life, each with the definition that it was recorded under.

Rule 1. It is read from the journal, frame by frame, and remembers nothing: a value keeps its number whatever
        its definition became.
Rule 2. A version is one of the plan. Each says the official description, who put it in force, when, and
        whether the definition is another than before.
Rule 3. Who recorded a value or put a version in force is who asked for the record. What a rule recorded no
        intent did.
Rule 4. A value that came late is listed where it came, and says so. A stated time is `of_ns`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from splittally.core.budget.plan import read_plan
from splittally.core.canonical import decode
from splittally.core.commands import Submit
from splittally.core.errors import InvalidInput
from splittally.core.events import Decided, Defined, Event, Measured, Noted
from splittally.core.frames import Body, read_body
from splittally.core.state import State
from splittally.core.types import LATE, BudgetDef
from splittally.runtime.charges import Book
from splittally.runtime.rows import Row

RECORD = "metric.record"


def metric_history(book: Book, state: State, budget: str, metric: str) -> Row:
    """Values and versions of a metric up to a state; `InvalidInput` where there never was one."""
    told = _History(state, budget, metric)
    for seq in range(state.size):
        told.read(read_body(book.rows(seq), seq))
    if not told.versions:
        raise no_such_metric(budget, metric)
    return Row({"budget": budget, "metric": metric, "versions": told.versions, "values": told.values})


def no_such_metric(budget: str, metric: str) -> InvalidInput:
    """The error of who asks for a metric that is not there, or not theirs to see."""
    return InvalidInput(f"`{budget}` has no metric `{metric}`", field="metric")


class _History:
    """What was read so far: the versions of the metric's definition, and the values."""

    def __init__(self, state: State, budget: str, metric: str) -> None:
        self.blobs = state.caps.blobs
        self.budget, self.metric = budget, metric
        self.version = 0
        self.seq = -1
        self.versions: list[dict[str, Any]] = []
        self.values: list[dict[str, Any]] = []

    def read(self, body: Body) -> None:
        """Take the next frame."""
        self.seq += 1
        for event, asked in _with_asked(body):
            match event:
                case Defined(table="budgets", key=self.budget) if event.value:
                    self._adopt(body, event)
                case Measured(budget=self.budget, metric=self.metric):
                    self._measure(body, event.value, asked)
                case Noted(subject=subject, facts=facts) if subject == LATE:
                    if (facts["budget"], facts["metric"]) == (self.budget, self.metric):
                        self._measure(body, facts["value"], asked, facts["at_ns"])
                case _:
                    pass

    def _adopt(self, body: Body, event: Defined) -> None:
        adopted = msgspec.convert(decode(event.value), BudgetDef)
        self.version = adopted.version
        metric = read_plan(self.blobs[adopted.schema]).metrics.get(self.metric)
        if metric is None:
            return
        definition = msgspec.to_builtins(metric)
        before = self.versions[-1] if self.versions else None
        self.versions.append(
            {
                "version": adopted.version,
                "description": metric.description,
                "by": body.by,
                "adopted_by": adopted.adopted_by,
                "at_ns": body.at_ns,
                "seq": self.seq,
                "is_new": before is None or before["definition"] != definition,
                "definition": definition,
            }
        )

    def _measure(self, body: Body, value: int, asked: bytes, late_ns: int | None = None) -> None:
        params = recorded_params(body, asked)
        of_ns = params.get("at_ns") if late_ns is None else late_ns
        timed = {} if of_ns is None else {"of_ns": of_ns, "is_late": late_ns is not None}
        self.values.append(
            {
                "value": value,
                "version": self.version,
                "description": self.versions[-1]["description"],
                "by": body.by,
                "at_ns": body.at_ns,
                "seq": self.seq,
                "intent_hash": asked or None,
                **{name: params[name] for name in ("source", "segments", "once") if params.get(name)},
                **timed,
            }
        )


def _with_asked(body: Body) -> Iterator[tuple[Event, bytes]]:
    """The events of a frame, each with the intent that was decided before it; none where a Tick made it."""
    asked = b""
    for event in body.out:
        if type(event) is Decided:
            asked = event.intent_hash
        yield event, asked


def recorded_params(body: Body, asked: bytes) -> dict[str, Any]:
    """The params of the intent that recorded a value; empty where the frame has none, as of a rule."""
    members = body.command.members if isinstance(body.command, Submit) else []
    found = next((x for x in members if x.intent_hash == asked and x.kind == RECORD), None)
    params: dict[str, Any] = decode(found.params) if found is not None else {}
    return params
