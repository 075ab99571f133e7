"""What is between people: what children lack, how people stand to the plan, and what is proposed."""

from typing import Any

from splittally.edge.wording import Wording

from splittally_tools.cli.output import Page, say


def show_people(out: Page, row: dict[str, Any], wording: Wording) -> None:
    """What children lack, how people stand to the plan, and what is proposed."""
    for gap in row["shortfalls"]:
        if gap.get("resource") and "missing" in gap:
            missing, by = (
                wording.amount(gap["missing"], gap["resource"]),
                gap.get("formula", gap.get("constraint")),
            )
            say(out, f"{gap['budget']} lacks {missing} ({by})", "red")
    agreed = row["agreement"]
    if agreed["agree"] or agreed["object"] or agreed["abstain"]:
        votes = ", ".join(f"{agreed[x]} {x}" for x in ("agree", "object", "abstain") if agreed[x])
        say(out, f"plan {agreed['version']}: {votes}")
    for name, asked in row["proposals"].items():
        what = f": {wording.amount(asked['amount'], asked['resource'])}" if asked.get("resource") else ""
        title = f" - {asked['title']}" if asked["title"] else ""
        say(out, f"{name} ({asked['kind']}, {asked['status']}, by {asked['by'] or 'a rule'}){what}{title}")
        for step in asked["steps"]:
            amount = f" {wording.amount(step['amount'], asked['resource'])}" if step["amount"] else ""
            note = f": {step['note']}" if step["note"] else ""
            say(out, f"  {wording.moment(step['at_ns'])} {step['by']} {step['act']}{amount}{note}")
