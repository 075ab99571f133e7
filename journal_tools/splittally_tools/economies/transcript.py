"""A run as text for a reviewer: what was asked, what came of it, and where everything is at the end.

Rule 1. Amounts stand in units, times in UTC, intents by label; no hash stands anywhere.
Rule 2. What a rule or a Tick did stands below the step before which it was worked through.
"""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from splittally.core.calendars import Calendar
from splittally.core.events import Event, HoldChanged, Posted, Released, RuleFired
from splittally.core.findings import Finding
from splittally.core.frames import Body
from splittally.core.ledger.keyed import keyed_rows
from splittally.core.ledger.state import Counter as Counted
from splittally.core.periods import is_keyed
from splittally.core.state import State
from splittally.core.types import LIFE
from splittally.edge.records import Answer as Answered
from splittally.edge.records import Decision, Settlement
from splittally.edge.wording import Wording, wording_of
from splittally.runtime.queries import Queries

from splittally_tools.economies.economy import Answer, AnyStep, Native, Receipt, Release, Submit, Wait

WIDTH = 100
MARGIN = " " * 8
FLIGHT = "in flight"
SHOWN_APART = (Posted, RuleFired, HoldChanged, Released)
NO_AMOUNT = ("percent", "retry_after", "version", "seq")


class Transcript:
    """The lines of one run."""

    def __init__(self, title: str, about: str, hashes: dict[str, bytes]) -> None:
        self._hashes = hashes
        self._lines = [title, "=" * len(title), "", *textwrap.wrap(about, WIDTH), ""]

    @property
    def text(self) -> str:
        """What was written down, as the text of a file."""
        return "\n".join(self._lines) + "\n"

    def start(self, state: State, keys: list[str]) -> None:
        """The manifest."""
        self._lines += [f"{self._said(state).minute(state.now_ns)}  a manifest with {', '.join(keys)}"]

    def step(
        self,
        number: int,
        step: AnyStep,
        state: State,
        answer: Answered | None,
        frames: list[tuple[int, Body]],
    ) -> None:
        """One step: what was asked, the answer, and what the records say."""
        self._lines.append("")
        if step.note:
            self._lines += textwrap.wrap(f"# {step.note}", WIDTH, subsequent_indent="# ")
        said = self._said(state)
        asked = f"{number:>3}  {said.minute(state.now_ns)}  {step.by}: {self._asked(step, said)}"
        self._lines += textwrap.wrap(asked, WIDTH + 10, subsequent_indent=MARGIN, break_on_hyphens=False)
        if answer is not None:
            self._answer(state, answer)
        for seq, body in frames:
            self._lines += [MARGIN + line for line in self._recorded(state, seq, body)]

    def _asked(self, step: AnyStep, said: Wording) -> str:
        match step:
            case Native():
                under = f" under {step.under}" if step.under else ""
                return f"{step.kind}{under} {said.value(_brief(step.params))}"
            case Submit():
                under = step.under if isinstance(step.under, str) else ", else ".join(step.under)
                return f"`{step.label}`: {step.kind} under {under} {said.value(_brief(step.params))}"
            case Receipt():
                payee = f", pay {step.pays_to}" if step.pays_to else ""
                return f"receipt of `{step.of}`: {step.status} {said.value(step.payload)}{payee}"
            case Release():
                return f"release `{step.of}`: {step.cause}"
            case Answer():
                return (
                    f"{step.answer} `{step.of}`"
                    if step.of
                    else f"{step.answer} rule {step.rule} of {step.budget}"
                )
            case Wait():
                return "time passes"

    def _answer(self, state: State, answer: Answered) -> None:
        told = answer.outcome if isinstance(answer, Decision) else answer.status
        used = answer.reserve if isinstance(answer, Decision) else getattr(answer, "usage", {})
        word = "reserves" if isinstance(answer, Decision) else "used"
        amounts = self._said(state).amounts(used)
        self._lines.append(f"{MARGIN}-> {told}" + (f", {word} {amounts}" if amounts else ""))
        findings = answer.findings if isinstance(answer, Decision) else ()
        findings = answer.violations if isinstance(answer, Settlement) else findings
        for finding in findings:
            self._lines += self._finding(state, finding)

    def _finding(self, state: State, finding: Finding) -> list[str]:
        facts, said = finding.facts, self._said(state)
        unit = facts.get("resource", facts.get("dim", ""))
        shown = [
            f"{name} {self._amount(state, unit, value)}"
            if type(value) is int
            and unit in state.ledger.resources
            and name not in NO_AMOUNT
            and not name.endswith("_ns")
            else f"{name} {said.minute(value) if name.endswith('_ns') else said.value(value)}"
            for name, value in facts.items()
        ]
        line = f"{finding.stage}: {finding.code}: {', '.join(shown)}"
        return textwrap.wrap(line, WIDTH, initial_indent=MARGIN + "   ", subsequent_indent=MARGIN + "      ",
                             break_on_hyphens=False)  # fmt: skip

    def _recorded(self, state: State, seq: int, body: Body) -> Iterator[str]:
        """The lines of one frame."""
        others = Counter(type(event).__name__ for event in body.out if not isinstance(event, SHOWN_APART))
        names = [f"{name} x{count}" if count > 1 else name for name, count in others.items()]
        yield f"frame {seq} {type(body.command).__name__}: {', '.join(names)}".removesuffix(": ")
        for event in body.out:
            yield from self._event(state, event)

    def _event(self, state: State, event: Event) -> Iterator[str]:
        said = self._said(state)
        match event:
            case Posted():
                amount = self._amount(state, event.resource, event.amount)
                yield f"   {event.debit or FLIGHT} -> {event.credit or FLIGHT}: {amount}"
            case RuleFired():
                due = f" at {said.minute(event.due_ns)}" if event.status == "due" else ""
                yield f"   rule {event.rule} of {event.budget}: {event.status}{due}"
                for finding in event.findings:
                    yield from (line.removeprefix(MARGIN) for line in self._finding(state, finding))
            case HoldChanged():
                yield f"   {said.hash(event.intent_hash)} is {event.phase}"
            case Released():
                yield f"   {said.hash(event.intent_hash)} is released: {event.cause}"

    # --- the end ------------------------------------------------------------------------------------

    def end(self, state: State, conserved: bool, folds: bool) -> None:
        """Where everything is, and whether it adds up."""
        queries = Queries(lambda: state)
        self._lines += ["", "At the end", "----------"]
        self._table("accounts", self._accounts(state, queries))
        self._table("budgets", self._budgets(state, queries))
        self._table("limits", self._limits(state))
        self._lines += ["", f"{state.size} frames"]
        self._lines.append(
            "balances and what is in flight sum to zero after every step" if conserved else "NOT CONSERVED"
        )
        self._lines.append(
            "the journal folds to the live state" if folds else "THE JOURNAL DOES NOT FOLD TO THE STATE"
        )

    def _table(self, title: str, rows: Iterable[tuple[str, str]]) -> None:
        listed = list(rows)
        if not listed:
            return
        width = max(len(name) for name, _ in listed)
        self._lines += ["", title, *(f"  {name:<{width}}  {what}".rstrip() for name, what in listed)]

    def _accounts(self, state: State, queries: Queries) -> Iterator[tuple[str, str]]:
        for name, row in queries.accounts.items():
            held = [self._amount(state, unit, amount) for unit, amount in row.balances.items()]
            held += [
                f"{self._amount(state, unit, amount)} in flight" for unit, amount in row.in_flight.items()
            ]
            if held:
                yield name, ", ".join(held)

    def _budgets(self, state: State, queries: Queries) -> Iterator[tuple[str, str]]:
        for name, row in queries.budgets.items():
            parent = f", below {row.parent}" if row.parent else ""
            yield name, f"{row.stage}, plan {row.version}{parent}"
            for line, item in row.lines.items():
                if "filled" in item:
                    unit, per = item["resource"], item["per"]
                    filled, planned = (self._amount(state, unit, item[x]) for x in ("filled", "planned"))
                    yield "", f"line {line}: planned {planned} {per}, held {filled}"
            for metric, item in row.metrics.items():
                target = "" if item["target"] is None else f", target {item['target']}"
                yield "", f"metric {metric}: {item['value']}, {item['nature']}{target}{_reached(item)}"
                for unit, cost in item.get("per_unit", {}).items():
                    floor = self._amount(state, unit, Fraction(cost).__floor__())
                    about = "" if Fraction(cost).denominator == 1 else "about "
                    yield "", f"one of {metric} took {about}{floor}"
            for signal in row.signals:
                if signal.get("follow_up") or signal.get("frees") or signal.get("next"):
                    yield "", f"signal {signal['signal']} of {signal['metric']}"
            for item in row.expected:
                gives, gets = (
                    self._amount(state, item[a], item[b])
                    for a, b in (("gives", "held"), ("gets", "expected"))
                )
                rate = f", at {item['rate'][0]} for {item['rate'][1]}" if "rate" in item else ""
                yield "", f"expected by {item['conversion']}: {gets} for {gives}{rate}"
            for cell, item in (row.solution or {"cells": {}})["cells"].items():
                yield "", f"cell {cell}: {self._amount(state, item['unit'], item['value'])}"
            for item in row.waiting:
                yield "", f"waits: rule {item['rule']}"

    def _limits(self, state: State) -> Iterator[tuple[str, str]]:
        said = self._said(state)
        for (scope, dim, per, start), counter in sorted(state.ledger.counters.items()):
            if counter.limit < 0 or is_keyed(per):
                continue
            window = "life" if per == LIFE else f"{per} from {said.minute(start)}"
            yield f"{scope}, {window}", self._counted(state, dim, counter)
        for (scope, dim, per, start), key, counter in sorted(
            keyed_rows(state.ledger), key=lambda row: row[:2]
        ):
            window = f"{per} from {said.minute(start)}"
            yield f"{scope}, {window}, {key.hex()[:8]}", self._counted(state, dim, counter)

    def _counted(self, state: State, dim: str, counter: Counted) -> str:
        """A counter in words; of what is 0 only the limit."""
        names = ("limit", "reserved", "spent", "refunded")
        amounts = [(name, getattr(counter, name)) for name in names]
        shown = [
            f"{name} {self._amount(state, dim, value)}" for name, value in amounts if value or name == "limit"
        ]
        return ", ".join(shown)

    # --- words --------------------------------------------------------------------------------------

    def _said(self, state: State) -> Wording:
        """How values are said here: by the scales of the state, in UTC, and intents by their labels."""
        labels = {digest: label for label, digest in self._hashes.items()}
        return wording_of(state)._replace(calendar=Calendar(), names=labels)

    def _amount(self, state: State, unit: str, amount: Any) -> str:
        return self._said(state).amount(amount, unit) if type(amount) is int else f"{amount} {unit}".rstrip()


def _reached(metric: Mapping[str, Any]) -> str:
    """How far a metric has come to its target, where it has one."""
    at = metric["progress"]
    if metric["target"] is None or at is None:
        return ""
    if not at["is_met"]:
        return f", {at['missing']} missing"
    return f", met, surplus {at['surplus']}" if at["surplus"] else ", met"


def _brief(params: Any) -> Any:
    """Params whose schema is told by its dimensions alone."""
    if not isinstance(params, dict) or "schema" not in params:
        return params
    return {**params, "schema": f"({', '.join(params['schema'])})"}
