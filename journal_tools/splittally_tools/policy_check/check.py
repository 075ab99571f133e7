"""Every scenario played for every grant that hosts use, and the report of it.

Rule 1. Checked are grants below which no other stands and that cover effects which go out to a host; the
        others are named with the reason, and can be asked for by name.
Rule 2. A grant for which no effect could be made is named with what stood in the way: none is left out in
        silence. A scenario that cannot be played says why in the place of a result.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from splittally.core.errors import SplittallyError
from splittally.core.types import ROOT, Grant

from splittally_tools.policy_check.case import Case
from splittally_tools.policy_check.catalogue import CATALOGUE, Scenario
from splittally_tools.policy_check.effects import Given, find_effects, outgoing_kinds
from splittally_tools.policy_check.ground import Ground
from splittally_tools.policy_check.results import NOT_PLAYED, WORST_FIRST, NotPlayed, Result

BY_MANIFEST = "manifest"
NO_EFFECT = "no effect was found that it admits"


class Row(NamedTuple):
    """A scenario and how it ended."""

    scenario: Scenario
    result: Result


class Checked(NamedTuple):
    """A grant, the effect that was played under it, and its rows, the worst first."""

    grant: Grant
    case: Case
    rows: tuple[Row, ...]


class Report(NamedTuple):
    """All that was checked; `left_out` says of each other grant why it was not."""

    checked: tuple[Checked, ...]
    left_out: dict[str, str]
    filled: tuple[str, ...]

    @property
    def unchecked(self) -> bool:
        """Whether a grant could not be checked for want of an effect."""
        return any(why.startswith(NO_EFFECT) for why in self.left_out.values())

    def count(self, result: str, accepted: Collection[str] = ()) -> int:
        """How many rows ended so, but for the scenarios that are accepted."""
        return sum(
            row.result.result == result and row.scenario.name not in accepted
            for each in self.checked
            for row in each.rows
        )


def wanted_grants(ground: Ground, names: Collection[str] = ()) -> tuple[list[Grant], dict[str, str]]:
    """The grants to check, of `names` alone where there are some, and why the others are not."""
    grants = ground.state.caps.grants
    parents = {grant.parent for grant in grants.values() if not ground.state.caps.is_revoked(grant.name)}
    found, left_out = [], {}
    for name, grant in sorted(grants.items()):
        if name == ROOT or (names and name not in names):
            continue
        if ground.state.caps.is_revoked(name):
            left_out[name] = "it is revoked"
        elif not outgoing_kinds(ground, grant):
            left_out[name] = "no kind of effect that it covers goes out to a host"
        elif name in parents and name not in names:
            left_out[name] = "grants stand below it; `--grant` checks it all the same"
        else:
            found.append(grant)
    return found, left_out


def check(
    ground: Ground,
    names: Collection[str] = (),
    scenarios: Sequence[Scenario] = CATALOGUE,
    given: Given = (),
    on_step: Callable[[], None] = lambda: None,
) -> Report:
    """What would happen; `given` are effects to play in the place of those that are made. `on_step` is called
    after every scenario."""
    grants, left_out = wanted_grants(ground, names)
    checked = []
    for grant in grants:
        effects = find_effects(ground, grant, given)
        if effects.best is None:
            left_out[grant.name] = f"{NO_EFFECT}: {effects.refused}"
            for _ in scenarios:
                on_step()
            continue
        case = Case(ground, grant, effects, effects.best)
        rows = tuple(_played(case, scenarios, on_step))
        checked.append(Checked(grant, case, tuple(sorted(rows, key=_worst_first))))
    return Report(tuple(checked), left_out, ground.filled)


def _played(case: Case, scenarios: Sequence[Scenario], on_step: Callable[[], None]) -> Iterator[Row]:
    for scenario in scenarios:
        try:
            result = scenario.play(case)
        except NotPlayed as reason:
            result = Result(NOT_PLAYED, str(reason))
        except SplittallyError as error:
            result = Result(NOT_PLAYED, f"it cannot be played: {error}")
        yield Row(scenario, result)
        on_step()


def _worst_first(row: Row) -> int:
    return WORST_FIRST.index(row.result.result)


def report_json(report: Report) -> dict[str, Any]:
    """The report as one JSON document (spec/09-command-line.md)."""
    return {
        "counts": {result: report.count(result) for result in WORST_FIRST},
        "grants": [_grant_json(each) for each in report.checked],
        "left_out": [{"grant": name, "why": why} for name, why in sorted(report.left_out.items())],
        "filled": list(report.filled),
    }


def _grant_json(checked: Checked) -> dict[str, Any]:
    effect = checked.case.effect
    return {
        "grant": checked.grant.name,
        "effect": {"kind": effect.kind, "params": effect.params, "reserve": dict(effect.reserve)},
        "by_manifest": checked.grant.made_by == BY_MANIFEST,
        "rows": [_row_json(row) for row in checked.rows],
    }


def _row_json(row: Row) -> dict[str, Any]:
    found = row.result
    return {
        "scenario": row.scenario.name,
        "fails": row.scenario.fails,
        "claim": row.scenario.claim,
        "result": found.result,
        "told": found.told,
        "changes": [
            {"path": list(change.path), "value": change.value, "line": change.line}
            for change in found.changes
        ],
        "advice": found.advice,
    }
