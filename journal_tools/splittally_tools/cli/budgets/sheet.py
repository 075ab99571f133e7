"""One budget as a sheet for people: how it stands, its funds, its lines, what it keeps, and the rest.

It decides nothing and reads one row of `Kernel.state.budgets`.

Rule 1. Amounts have their units. A line that is no whole amount at the horizon asked for is rounded down and
        marked `about`; `--json` has the fraction.
Rule 2. What a budget does not have takes no line.
"""

from fractions import Fraction
from typing import Any

from splittally.edge.gaps import gap_text
from splittally.edge.wording import Wording, short_hash

from splittally_tools.cli.budgets.bars import bar
from splittally_tools.cli.budgets.charter import show_charter
from splittally_tools.cli.budgets.column import show_column
from splittally_tools.cli.budgets.measures import show_measures
from splittally_tools.cli.budgets.people import show_people
from splittally_tools.cli.budgets.words import with_units
from splittally_tools.cli.output import Figure, Page, say, table, word

REST = ("expected", "waiting")


def show_budget(out: Page, row: dict[str, Any], wording: Wording) -> None:
    """The sheet of a budget, whose amounts a world says as `wording` does."""
    plan = f"plan {row['version']} ({short_hash(row['schema_hash'])})"
    say(out, f"{row['name']}: {row['stage']}, {plan}, adopted by {row['adopted_by']}")
    beside = ("below", "parent"), ("grants below it", "parts"), ("replaced by", "replaced_by")
    for title, value in ((title, row[key]) for title, key in beside):
        if value:
            say(out, f"  {title}: {word(value)}")
    out.print(table(("resource", "balance", "in flight", "spendable"), _funds(row, wording)))
    if row["lines"]:
        out.print(table(("line", "per", "planned", "held for it", "share"), _lines(row["lines"], wording)))
    for kept in row["constraints"]:
        say(out, _kept(kept, wording))
    for gap in row["missing"]:
        say(out, gap_text(gap, wording), "red")
    show_measures(out, row, wording)
    show_charter(out, row, wording)
    show_people(out, row, wording)
    for title in REST:
        if row[title]:
            say(out, f"{title}: {word(with_units(row[title], wording))}")
    if row["solution"]:
        told = row["solution"]
        say(out, f"solved by {told['solver']} for {told['by']}, seq {told['seq']}, plan {told['version']}")
        show_column(out, told, wording)
        say(out, f"  from {word(row['input'])}")


def _kept(kept: dict[str, Any], wording: Wording) -> str:
    """A constraint in words: what it keeps, by which expression, and the parts that it names."""
    if "holds" in kept:
        least = f"true: {kept['holds']}"
    elif "counts" in kept:
        least = f"at least {kept['needed']} active principals"
    else:
        least = f"at least {wording.amount(kept['needed'], kept['resource'])}"
        least += f" by {kept['needs']}" if "needs" in kept else ""
    parts = "".join(f", {what} {', '.join(kept[what])}" for what in ("blocks", "opens") if what in kept)
    return f"keeps {least} ({kept['name']}, for the tier {kept['tier']}{parts})"


def _funds(row: dict[str, Any], wording: Wording) -> list[tuple[object, ...]]:
    funds = (row["balances"], row["in_flight"], row["spendable"])
    return [
        (unit, *(Figure(wording.amount(x.get(unit, 0), unit)) for x in funds)) for unit in row["balances"]
    ]


def _lines(lines: dict[str, Any], wording: Wording) -> list[tuple[object, ...]]:
    return [
        (
            name,
            line["per"],
            Figure(_planned(line, wording)),
            Figure(wording.amount(line["filled"], line["resource"])) if "filled" in line else "-",
            Figure(_share(line)),
        )
        for name, line in lines.items()
    ]


def _share(line: dict[str, Any]) -> str:
    """How much of what is planned is there; of a line of the calendar the days that are left."""
    return bar(line["share"]) if "share" in line else f"{line['left']} days left"


def _planned(line: dict[str, Any], wording: Wording) -> str:
    """`10.00 USD`, or `about 3.33 USD` where it is no whole amount."""
    planned = Fraction(line["planned"])
    mark = "" if planned.denominator == 1 else "about "
    return mark + wording.amount(int(planned), line["resource"])
