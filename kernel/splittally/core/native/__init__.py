"""Native effects: what the kernel itself finishes, in the record that decides it.

One table `kind -> (params, check, make)`; sub-commands and their help are generated from it.
"""

from splittally.core.native import (
    amendments,
    approvals,
    budgets,
    callers,
    clocks,
    converting,
    drafts,
    grants,
    holds,
    manifest,
    measuring,
    migration,
    modules,
    money,
    replies,
    requests,
    solutions,
    splits,
    usage,
    votes,
)
from splittally.core.native.row import Native, NativeCall

NATIVE: dict[str, Native] = {
    **manifest.ROWS,
    **modules.ROWS,
    **grants.ROWS,
    **amendments.ROWS,
    **money.ROWS,
    **converting.ROWS,
    **approvals.ROWS,
    **clocks.ROWS,
    **holds.ROWS,
    **budgets.ROWS,
    **measuring.ROWS,
    **solutions.ROWS,
    **splits.ROWS,
    **migration.ROWS,
    **callers.ROWS,
    **usage.ROWS,
    **requests.ROWS,
    **drafts.ROWS,
    **votes.ROWS,
    **replies.ROWS,
}

__all__ = ["NATIVE", "Native", "NativeCall"]
