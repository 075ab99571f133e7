"""What a run has to say: one JSON document for programs, tables for people."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from splittally.core.reasons import REASONS
from splittally.edge.amounts import format_amount

from splittally_tools.cli.output import Page, say
from splittally_tools.run_trace.fleet import RESOURCE, TEAM
from splittally_tools.run_trace.job import Result
from splittally_tools.run_trace.totals import Reason

PROBLEMS_SHOWN_MAX = 20
_MIB = 1024 * 1024
_STAGES = list(dict.fromkeys(reason.stage for reason in REASONS.values()))


def document(result: Result) -> dict[str, Any]:
    """The report as one JSON value; amounts of money are minor units."""
    totals = result.totals
    return {
        "trace": _trace(result),
        "seed": result.order.seed,
        "calls": {
            "made": totals.calls,
            "allowed": totals.allowed,
            "waited": totals.waited,
            "denied": sum(totals.denied.values()),
            "denied_by_code": _by_stage(totals.denied),
        },
        "agents": {name: _agent(result, name) for name in result.fleet.agents},
        "team": {"account": TEAM, "resource": RESOURCE, "scale": result.fleet.scale, **result.team},
        "answers": {
            "receipts": dict(sorted(totals.settled.items())),
            "cancellations": dict(sorted(totals.released.items())),
            "violations": _by_stage(totals.violations),
            "still_open": result.open_holds,
        },
        "approvals": dict(sorted(totals.approvals.items())),
        "groups": dict(sorted(totals.groups.items())),
        "asked_again": {"duplicates": totals.duplicates, "refused": _by_stage(totals.again_refused)},
        "upgrade": _upgrade(result),
        **_machine(result),
        "verified": _verified(result),
    }


def _trace(result: Result) -> dict[str, Any]:
    surveyed, order = result.surveyed, result.order
    return {
        "rows": surveyed.rows,
        "copies": order.repeat,
        "skipped": surveyed.skipped,
        "problems": [problem._asdict() for problem in surveyed.problems],
        "context_tokens": surveyed.context_tokens,
        "generated_tokens": surveyed.generated_tokens,
        "first_ns": surveyed.first_ns,
        "last_ns": surveyed.last_ns + (order.repeat - 1) * surveyed.span_ns,
    }


def _machine(result: Result) -> dict[str, Any]:
    """How fast, in how much memory, and what stands on disk."""
    frames, seconds = result.frames, result.seconds
    return {
        "rate": {
            "seconds": round(seconds, 3),
            "calls_per_s": round(result.totals.calls / seconds),
            "frames_per_s": round(frames / seconds),
        },
        "memory": {
            "rss_anon_peak_bytes": result.peak_bytes,
            "rss_anon_growth_bytes": result.growth_bytes,
            "rss_anon_verifying_bytes": result.verifying_bytes,
        },
        "world": {
            "frames": frames,
            "head_hash": result.head_hash.hex(),
            "state_root": result.root.hex(),
            "folder": str(result.order.world) if result.order.is_kept else None,
        },
    }


def _agent(result: Result, name: str) -> dict[str, Any]:
    agent = result.totals.agents[name]
    return {
        "calls": agent.calls,
        "allowed": agent.allowed,
        "waited": agent.waited,
        "denied": sum(agent.denied.values()),
        "denied_by_code": _by_stage(agent.denied),
        **{dim: balance._asdict() for dim, balance in result.use[name].items()},
    }


def _by_stage(counts: dict[Reason, int]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for stage, code in _in_order(counts):
        table.setdefault(stage, {})[code] = counts[stage, code]
    return table


def _in_order(reasons: Iterable[Reason]) -> list[Reason]:
    """Reasons in the order in which the stages are asked, then by code."""
    return sorted(reasons, key=lambda reason: (_STAGES.index(reason[0]), reason[1]))


def _upgrade(result: Result) -> dict[str, Any] | None:
    upgrade, ended = result.totals.upgrade, result.ended
    if upgrade is None or ended is None:
        return None
    return {
        "seq": upgrade.seq,
        "after_calls": upgrade.at_call,
        "old_module": upgrade.old_module.hex(),
        "new_module": upgrade.new_module.hex(),
        "in_flight": len(upgrade.in_flight),
        **ended._asdict(),
    }


def _verified(result: Result) -> dict[str, Any] | None:
    verdict = result.verdict
    if verdict is None:
        return None
    return {
        "sound": verdict.is_sound,
        "frames": verdict.frames,
        "rejudged": verdict.rejudged,
        "state_root": verdict.root.hex(),
        "same_root": verdict.is_same_root,
        "problems": verdict.problems,
        "seconds": round(verdict.seconds, 3),
    }


# --- for people ----------------------------------------------------------------------------------


def show(result: Result, out: Page) -> None:
    """The report for people."""
    _show_trace(result, out)
    out.print(_calls_table(result))
    out.print(_budget_table(result))
    for line in _lines(result):
        say(out, line)
    _show_verdict(result, out)


def _show_trace(result: Result, out: Page) -> None:
    surveyed, order = result.surveyed, result.order
    for problem in surveyed.problems[:PROBLEMS_SHOWN_MAX]:
        say(out, f"line {problem.line} skipped: {problem.why}", "yellow")
    more = surveyed.skipped - min(len(surveyed.problems), PROBLEMS_SHOWN_MAX)
    if more:
        say(out, f"{more:,} more lines skipped", "yellow")
    copies = f" × {order.repeat:,} copies" if order.repeat > 1 else ""
    say(out, f"{surveyed.rows:,} calls{copies}, {len(result.fleet.agents)} agents, seed {order.seed}")


def _calls_table(result: Result) -> Table:
    """Calls per agent, and why they were denied: one column for each code that occurred."""
    totals = result.totals
    reasons = _in_order(totals.denied)
    heads = [f"{stage}:\n" + code.replace("_", "\n") for stage, code in reasons]
    rows = [
        [
            name,
            agent.calls,
            agent.allowed,
            agent.waited,
            *(agent.denied[reason] for reason in reasons),
        ]
        for name, agent in totals.agents.items()
    ]
    total = [
        "all",
        totals.calls,
        totals.allowed,
        totals.waited,
        *(totals.denied[reason] for reason in reasons),
    ]
    return _table(("agent", "calls", "allowed", "waited for\napproval", *heads), rows, total)


def _budget_table(result: Result) -> Table:
    scale = result.fleet.scale
    rows = []
    for name, use in result.use.items():
        tokens, money = use["tokens"], use[RESOURCE]
        rows.append([name, *tokens[1:], *(_plain(amount, scale) for amount in money[1:])])
    heads = [f"{word}\n{dim}" for dim in ("tokens", RESOURCE) for word in ("reserved", "spent", "left")]
    return _table(("agent", *heads), rows, None)


def _table(heads: Sequence[str], rows: list[list[Any]], total: list[Any] | None) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for at, head in enumerate(heads):
        table.add_column(head, justify="right" if at else "left", overflow="fold", vertical="bottom")
    for row in rows:
        table.add_row(*map(_cell, row), end_section=row is rows[-1] and total is not None)
    if total is not None:
        table.add_row(*map(_cell, total), style="bold")
    return table


def _cell(value: Any) -> str:
    return f"{value:,}" if type(value) is int else str(value)


def _plain(amount: int, scale: int) -> str:
    return format_amount(amount, RESOURCE, scale).removesuffix(f" {RESOURCE}")


def _lines(result: Result) -> list[str]:
    """Everything that is not per agent, one line each."""
    totals, team, scale = result.totals, result.team, result.fleet.scale
    money = {name: format_amount(amount, RESOURCE, scale) for name, amount in team.items()}
    settled = totals.settled
    lines = [
        f"team      {TEAM}: {money['balance']} left of {money['funded']} in {len(totals.funded)} payments; "
        f"{money['paid']} paid, {money['in_flight']} in flight, {money['imbalance']} out of balance",
        f"answers   {settled['settled']:,} settled, {settled['late']:,} late, {settled['held']:,} unknown, "
        f"{totals.released['released']:,} cancelled, {result.open_holds:,} still open"
        + _told("; to calls refused in the same commit", settled["not_found"]),
        f"approvals {totals.waited:,} asked: {_listed(totals.approvals)}"
        + _told(", unanswered", totals.waited - sum(totals.approvals.values())),
        f"groups    {sum(totals.groups.values()):,} all-or-nothing: {_listed(totals.groups)}",
        f"repeats   {totals.duplicates:,} asked again and given the first answer"
        + (f"; refused: {_coded(totals.again_refused)}" if totals.again_refused else ""),
    ]
    if totals.violations:
        lines.append(f"excess    {_coded(totals.violations)}")
    lines += _upgrade_lines(result)
    rate = f"{totals.calls / result.seconds:,.0f} calls/s, {result.frames / result.seconds:,.0f} frames/s"
    lines.append(
        f"rate      {totals.calls:,} calls, {result.frames:,} frames in {result.seconds:.2f} s: {rate}; "
        f"memory {result.peak_bytes / _MIB:.0f} MiB at most, {result.growth_bytes / _MIB:.0f} for the run"
    )
    if result.order.is_kept:
        lines.append(f"world     kept at {result.order.world}")
    return lines


def _upgrade_lines(result: Result) -> list[str]:
    upgrade, ended = result.totals.upgrade, result.ended
    if upgrade is None or ended is None:
        return []
    old, new = upgrade.old_module.hex()[:12], upgrade.new_module.hex()[:12]
    return [
        f"upgrade   frame {upgrade.seq:,}, after call {upgrade.at_call:,}: enforcer {old} → {new} "
        f"with {len(upgrade.in_flight):,} calls in flight; "
        f"{ended.settled_by_old:,} of them settled by the old module, {ended.settled_by_other:,} by another, "
        f"{ended.released:,} released, {ended.still_open:,} still open"
    ]


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in sorted(counts.items())) or "none"


def _coded(counts: dict[Reason, int]) -> str:
    return ", ".join(f"{stage} {code} {counts[stage, code]:,}" for stage, code in _in_order(counts))


def _told(words: str, count: int) -> str:
    return f"{words} {count:,}" if count else ""


def _show_verdict(result: Result, out: Page) -> None:
    verdict = result.verdict
    if verdict is None:
        say(out, f"not verified, as asked; state root {result.root.hex()}", "yellow")
        return
    if verdict.is_sound:
        say(
            out,
            f"verified: {verdict.frames:,} frames folded from genesis and each decision judged again, "
            f"same state root {verdict.root.hex()} ({verdict.seconds:.2f} s)",
            "green",
        )
        return
    for problem in verdict.problems:
        say(out, problem, "red")
    say(
        out,
        f"NOT verified: {verdict.frames:,} frames, {verdict.rejudged:,} judged again; folded, "
        f"the state root is {verdict.root.hex()}; the run ended with {result.root.hex()}",
        "red",
    )
