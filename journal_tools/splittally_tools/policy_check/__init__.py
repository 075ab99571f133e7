"""What a manifest does when things fail, shown before it goes live (docs/going-live.md).

    with ground_of_manifest(Path("team.toml")) as ground:
        report = check(ground)

A catalogue of failures is played against every grant that hosts use, on a copy in memory with a clock of its
own: crashes, retries, lost replies, approvals by the wrong one, hostile receipts. Each ends as held, costs or
open, with what happened in words and the line of the manifest that would change it.
"""

from splittally_tools.policy_check.catalogue import BY_NAME, CATALOGUE, Scenario
from splittally_tools.policy_check.check import (
    BY_MANIFEST,
    Checked,
    Report,
    Row,
    check,
    report_json,
    wanted_grants,
)
from splittally_tools.policy_check.ground import Ground, ground_of_manifest, ground_of_world
from splittally_tools.policy_check.results import (
    COSTS,
    HELD,
    NOT_PLAYED,
    OPEN,
    WORST_FIRST,
    Change,
    Result,
    changed,
)

__all__ = [
    "BY_MANIFEST",
    "BY_NAME",
    "CATALOGUE",
    "COSTS",
    "HELD",
    "NOT_PLAYED",
    "OPEN",
    "WORST_FIRST",
    "Change",
    "Checked",
    "Ground",
    "Report",
    "Result",
    "Row",
    "Scenario",
    "changed",
    "check",
    "ground_of_manifest",
    "ground_of_world",
    "report_json",
    "wanted_grants",
]
