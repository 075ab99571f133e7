"""What a budget measures, below its sheet: metrics with their goals, signals, and whether lines come in time.

Rule 1. What is no whole number is rounded down and marked `about`; `--json` has the fraction.
"""

from fractions import Fraction
from typing import Any

from splittally.edge.wording import Wording

from splittally_tools.cli.budgets.bars import bar
from splittally_tools.cli.output import Figure, Page, say, table

_SIGNALS = {"enough": ("green", "is good enough"), "excess": ("red", "has passed its cap")}


def show_measures(out: Page, row: dict[str, Any], wording: Wording) -> None:
    """The metrics of a budget, what their thresholds say, and the pace of its lines."""
    if row["metrics"]:
        spent = {name for name, target in row["targets"].items() if "spent" in target}  # the charter says it
        lines = [_metric(name, metric) for name, metric in row["metrics"].items() if name not in spent]
        out.print(table(("metric", "value", "goal", "reached", "what it is"), lines))
    for signal in row["signals"]:
        style, told = _SIGNALS[signal["signal"]]
        text = f"{signal['metric']} {told}: {signal['value']} of {signal['threshold']}"
        say(out, text + _behind(signal, wording), style)
    for name, pace in row["pace"].items():
        resource = row["lines"][name]["resource"]
        short, rate = (said(pace[key], resource, wording) for key in ("insufficient_by", "rate_per_day"))
        told = f"insufficient by {short}" if pace["insufficient_by"] != 0 else "enough"
        say(out, f"{name} at {rate} a day: {told} at the plan's end")
    if row["funded"]["overall"] is not None:
        say(out, f"funded overall: {bar(Fraction(row['funded']['overall']) / 100)}")


def said(value: int | str, unit: str, wording: Wording) -> str:
    """An amount that may be a fraction of a minor unit."""
    exact = Fraction(value)
    mark = "" if exact.denominator == 1 else "about "
    return mark + wording.amount(int(exact), unit)


def _metric(name: str, metric: dict[str, Any]) -> tuple[object, ...]:
    at, value = metric["progress"], metric["value"]
    figures = (value, at["goal"] if at else None, bar(at["share"]) if at else None)
    return name, *(Figure("-" if x is None else str(x)) for x in figures), metric["description"]


def _behind(signal: dict[str, Any], wording: Wording) -> str:
    """What a signal asks for: what is freed and comes next, or what comes first."""
    if "follow_up" in signal:
        return f"; {signal['follow_up']}"
    freed = wording.amounts(signal["frees"])
    parts = [f"{freed} are free"] if freed else []
    parts += [f"next: {', '.join(signal['next'])}"] if signal["next"] else []
    parts += [f"until {wording.moment(signal['until_ns'])}"] if "until_ns" in signal else []
    return "".join(f"; {part}" for part in parts)
