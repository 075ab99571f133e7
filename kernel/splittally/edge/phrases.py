"""The words of findings: for each code the parts of its sentence, and for each advice what to do.

It says what there is to say and nothing about how; `sentences.py` fills the parts in.

Rule 1. A hole such as `{grant}` is filled with the fact of this name. Behind a colon stands how it is said:
        `amount` with the finding's unit, `amounts` a map of them, `time`, `span`, `per` a period, `few` the
        first of many names, `text` as it is; else names stand in backticks.
Rule 2. The first part makes sense alone, and so does each other behind it, whichever between are left out.
Rule 3. Lower case and no full stop. A code with no part here is said by its meaning.
"""

from splittally.core.reasons import (
    ASK_APPROVAL,
    CONFIRM,
    ESCALATE,
    LOOK_AGAIN,
    NEW_KEY,
    REPLAN,
    RETRY_AFTER,
    TOP_UP,
)

ADVICE = {
    RETRY_AFTER: "ask again later",
    REPLAN: "ask for something else: the same is refused again",
    TOP_UP: "raise the limit or fund the account, then ask again",
    ASK_APPROVAL: "have it approved: `tally approve {hash}`",
    ESCALATE: "ask whoever issued the grant or wrote the policy",
    LOOK_AGAIN: "look at the plan as it is now: `tally apply --dry-run`, or `Kernel.plan`",
    CONFIRM: "if that is meant, say so: `--allow-revoke`, or `allow_revoke=True`",
    NEW_KEY: "this answer is final for its key: to ask again, give a new key",
}

_LIMIT = "the limit of {grant} for {dim:text} {per:per}"
_LACKS = ": {needed:amount} are needed", " and {available:amount} are left"
_WINDOW = "; its window ends at {resets_ns:time}"
_CAP = ": it is {cap:amount}, {spent:amount} are spent and {estimate:amount} would come to it"
_SAID = ("{message:text}",)
SENTENCES: dict[str, tuple[str, ...]] = {
    # --- edge, known ------------------------------------------------------------------------------
    "input.invalid": _SAID,
    "input.too_large": _SAID,
    "time.not_yours": _SAID,
    "idempotency.invalid": _SAID,
    "amount.negative": _SAID,
    "amount.fractional": _SAID,
    "amount.too_large": _SAID,
    "params.invalid": _SAID,
    "params.too_large": _SAID,
    "unknown_kind": ("no effect of kind {kind} is defined",),
    "unknown_grant": ("there is no grant {grant}",),
    "over_capacity": ("as many intents are open as may be", ": {available}"),
    "busy": (),
    "clock_jump": (
        "the host's clock is {ahead_ns:span} ahead of the world's time",
        "; time stands at {now_ns:time} until that is accepted",
    ),
    "idempotency.conflict": (
        "the key stands for another request",
        " under {grant}",
        ", intent {intent_hash}",
        ": {message:text}",
    ),
    "not_your_attempt": (),
    "already_ended": ("what was allowed has ended: it is {status:text}",),
    "outcome_unknown": (),
    "already_dispatched": (),
    "plan_changed": ("something else would change by now than in the plan {needed}",),
    "plan_revokes": ("grants would be void for ever", ": {grants:few}"),
    # --- caps, enforcer ---------------------------------------------------------------------------
    "not_holder": ("{principal} does not hold the grant {grant}",),
    "kind_not_covered": ("the grant {grant} of cap {cap} does not cover {kind}",),
    "revoked": ("the grant {grant} was revoked", " by the order {order}"),
    "expired": ("the grant {grant} has expired", ": {expiry_ns:time}"),
    "root_only": ("only the root grant covers this effect, and it was asked under {grant}",),
    "already_expired": ("the intent's own expiry has passed", ": {expires_ns:time}"),
    "account_not_covered": ("the grant {grant} does not list the account {account}",),
    "resource_not_covered": ("the grant {grant} does not list the resource {resource}",),
    "enforcer_fault": ("the enforcer of {grant} gave no answer", ": {fault:text}"),
    # --- ledger -----------------------------------------------------------------------------------
    "budget_exceeded": (f"{_LIMIT} would be passed", *_LACKS, _WINDOW),
    "budget_deferred": (f"{_LIMIT} would be passed now", *_LACKS, _WINDOW),
    "limited_above": (
        "a limit further up the chain would be passed, that of {grant} for {dim:text} {per:per}",
        _WINDOW,
    ),
    "intent_limit_exceeded": (
        "under {grant} one intent asks for too much",
        ": {needed:amount}",
        ", and {available:amount} is the most",
    ),
    "amount_overflow": ("an amount would pass 2^64-1 minor units", ": {needed:amount}"),
    "insufficient_balance": ("{account} holds too little {resource:text}", *_LACKS),
    "overdraft_locked": (
        "{needed:amount} would come from the overdraft of {budget}, which is open while {when:text}",
        "; that cannot be told ({fault:text})",
        "; now {metric}",
    ),
    "overdraft_exceeded": ("the overdraft of {budget} gives no more", *_LACKS),
    "overdraft_uncovered": ("{account} would give more {resource:text} than it has", *_LACKS),
    "payee_missing": ("{resource:text} would be drawn and no grant of the chain says who is paid",),
    "payee_unlisted": ("{account} is not listed as one who may be paid", "; listed are {available}"),
    "limit_approaching": (f"{_LIMIT} is reached", ": it is {limit:amount}"),
    "shadow_exceeded": (f"{_LIMIT} would have refused this if it were no shadow", *_LACKS, _WINDOW),
    "approval_threshold": (f"{_LIMIT} may be passed only when somebody approves", *_LACKS),
    # --- native -----------------------------------------------------------------------------------
    "name_taken": ("the name {name} exists or was used before",),
    "secret_taken": ("the secret of the token {name} is another's, or was revoked",),
    "name_reserved": ("{name} is a name of the release: names in `sys/` are",),
    "cannot_change": ("{field} is fixed when a thing is made", ": it is {needed}", ", not {value}"),
    "wider_than_parent": ("a child of {grant} is at most what {grant} is",),
    "account_not_yours": ("the issuer does not draw {resource:text} on {account}",),
    "chain_too_long": ("below {grant} the chain of grants would be too long", ": it has at most {most}"),
    "not_reserved": ("intent {intent_hash} holds nothing of this kind: it has ended or never was",),
    "own_approval": ("{principal} asked for this, and nobody answers an approval of their own intent",),
    "not_approver": ("{principal} is no approver of {reason}",),
    "already_answered": ("{principal} has answered already, and {missing} more must approve",),
    "approval_answered": (
        "the answer is taken, and the intent is now in phase {became}",
        ", and {missing} more must approve",
    ),
    "approval_stale": ("what was approved may no longer be done", ": {found}"),
    "refund_too_large": ("more than was charged cannot be refunded", *_LACKS),
    "limit_uncounted": ("nothing counts {dims}, which {grant} limits", "; its cap counts {available}"),
    "price_below_unit": (
        "a usual call of {model} costs less than {resource:text} can tell apart",
        "; give it {scale_to_use} decimals",
    ),
    "topup_stands": (
        "a top-up of {grant} stands beside its terms",
        ": {amount:amount} {per:per}",
        " until {until_ns:time}",
    ),
    "carried_over": ("open reservations were carried over the change", ": {count}"),
    "module_renamed": ("{name} means another module now; {entry:text} keeps what it meant",),
    "budgets_kept": ("budgets that the manifest does not state stay as they are", ": {budgets:few}"),
    "overdraft_unbacked": ("an overdraft of {resource:text} comes from a parent budget, and there is none",),
    "conversion_uncovered": ("the counter-account {account} would give more than it has", *_LACKS),
    "rate_moved": ("{conversion} gives {needed:text} now", ", and not {value:text}"),
    "rate_floated": ("{conversion} was carried out at the rate {rate:text}", ": {reason:text}"),
    "allocations_unequal": (
        "the parts of a split of {budget} do not sum to the whole",
        ": they are {value} of {needed}",
    ),
    "plan_widened": ("the amended plan is wider than the one in force", ": {field:text}", " {name}"),
    "migration_unmapped": (
        "{name} of {field:text} goes nowhere in the new plan: map it, or to nothing to leave it behind",
        ": {reason:text}",
    ),
    "permission_fails": (
        "{grant} could not be used up under the amended plan",
        ": {needed:amount} are left of it",
        " and {available:amount} could be posted",
        " because of {constraint}",
    ),
    "plan_impossible": (
        "{name} of `{field:text}` asks for {needed}",
        ", and no more than {available} is possible",
    ),
    "formula_cycle": ("formulas of the plan read each other in a circle", ": {cells:few}"),
    "weights_unequal": ("the weights of {metric} do not sum to its whole", ": {value} of {needed}"),
    "recorded_before": (
        "{name} was recorded for {budget} and is not counted again",
        ": intent {intent_hash}",
    ),
    "value_out_of_bounds": (
        "{value} is outside the bounds of {metric}",
        "; it is at least {minimum}",
        "; it is at most {maximum}",
    ),
    "segment_missing": ("a record of {metric} says its {segment}",),
    "metric_computed": ("{metric} is computed from other metrics and takes no value",),
    "time_ahead": ("a value of {at_ns:time} is still to come", ": it is {now_ns:time}"),
    "cell_unknown": ("the plan of {budget} has no cell {cell}",),
    "cell_unit": ("the cell {cell} of {budget} is in another unit", ": it is in {needed}"),
    "cell_negative": ("the share {cell} of {budget} is below zero",),
    "cells_unequal": (
        "the shares of {resource:text} do not sum to what {budget} has",
        ": they are {value:amount}",
        " and it has {needed:amount}",
    ),
    "cell_decided": ("a formula decides the cell {cell} of {budget}", ": it is {needed}", ", not {value}"),
    "cells_stale": ("the books of {budget} are others than those that the proposal was made from",),
    "cells_unsolvable": ("{budget} is unsolvable while a hard constraint is unmet: nothing is allocated",),
    "no_allocation": ("{budget} is unsolvable now, which is no error: its solution allocates nothing",),
    "rule_skipped": ("the rule {rule} fell due and could not be carried out", ": {reason:text}"),
    "nothing_missing": ("{budget} lacks nothing by this", ": {constraint}", ": {formula}"),
    "more_than_asked": ("{proposal} asks for {available:amount}", ", and not for {needed:amount}"),
    "funding_limited": (
        "the plan of {budget} lets {percent} % of a request be granted now",
        ": {available:amount}",
        " of {needed:amount}",
    ),
    "proposal_ended": ("{proposal} has ended: it is {status:text}",),
    "proposal_answered": (
        "the proposal {proposal} is now {became:text}",
        ": {amount:amount} are granted",
        "; {agree} agree",
        " of {needed} who must",
    ),
    "proposals_full": ("{budget} has as many {field:text} as may be", ": {most}"),
    "act_unfit": ("{act:text} is no act on {proposal}", ", which is of kind {kind:text}"),
    "not_proposer": ("{principal} did not propose {proposal}", ": {proposer} did"),
    "authority_lacking": (
        "{grant} does not cover {operation:text}",
        " on {account}",
        ": its rank is {rank:text}",
    ),
    "already_voted": ("{principal} has voted on {proposal} already", ": {vote:text}"),
    "not_in_quorum": ("the quorum of {budget} does not name {principal}", "; it names {available:few}"),
    "quorum_missing": ("the plan of {budget} has no `quorum` that could decide",),
    "plan_moved": ("the plan of {budget} changed where the draft does", ": {conflicts:few}"),
    # --- plan, policy, governor, group ------------------------------------------------------------
    "planning_stage": ("the budget {budget} is not funded enough to operate", ": {missing:gaps}"),
    "constraint_unmet": (
        "{constraint} of {budget}, which keeps {minimum:amount}, would no longer hold",
        *_LACKS,
    ),
    "condition_unmet": ("{constraint} of {budget} would no longer hold", ": {holds:text}"),
    "constraint_fault": ("{constraint} of {budget} cannot be evaluated", ": {fault:text}"),
    "part_blocked": (
        "{constraint} of {budget} is not met and stops the part {part}",
        ": {shortage:amount} are missing",
    ),
    "part_closed": (
        "in stage {stage:text} of {budget} only some of its parts may act",
        ": {available:few}",
        "; for the others: {missing:gaps}",
    ),
    "policy_denied": ("the rule {name} of the policy denies this",),
    "policy_fault": ("the condition of the rule {name} cannot be evaluated", ": {fault:text}"),
    "policy_approval": ("the rule {name} of the policy asks for approval",),
    "rate_exceeded": (
        "the rate of the rule {name} for {dim:text} {per:per} is used up",
        "; its window ends at {resets_ns:time}",
    ),
    "over_daily_cap": ("the day's cap on spend would be passed", _CAP, _WINDOW),
    "over_weekly_cap": ("the week's cap on spend would be passed", _CAP, _WINDOW),
    "local_ceiling": ("the local model gives up on failures of class {failure_class}",),
    "oom_envelope": (
        "the lane {lane_id} does not fit into memory now",
        ": it takes {lane_size} of {total}",
        ", {reserved} being taken",
    ),
    "group_member_refused": (
        "another intent of the group was refused",
        ": number {member}",
        " ({outcome:text})",
    ),
    # --- settling ---------------------------------------------------------------------------------
    "receipt_unsigned": ("a receipt of {kind} must be signed by an adapter, and this one is not",),
    "receipt_foreign": ("no adapter {adapter} signs receipts of {kind}",),
    "receipt_forged": ("the signature is not that of {adapter} for this receipt",),
    "usage_exceeds_reserve": (
        "under {grant} more was used than was reserved",
        ": {usage:amount}",
        " of {reserve:amount}",
    ),
    "counter_saturated": (
        "the counter of {grant} for {dim:text} stopped at 2^64-1",
        ": {usage:amount} were used",
        " and {charged:amount} charged",
    ),
    "unfunded": (
        "{account} could not pay all that was used",
        ": {needed:amount} were due",
        " and {paid:amount} were paid",
    ),
    "payee_not_permitted": ("{account} may not be paid for this", ", so {credited} was"),
    "receipt_without_dispatch": (
        "a receipt came for an effect that nobody dispatched, which {grant} asks for",
    ),
    "receipt_after_release": (),
    "receipt_invalid": (),
    "receipt_too_large": (
        "the receipt's payload was dropped",
        ": it has {needed} bytes of at most {available}",
    ),
    "unreserved": ("spend was booked under {grant} that nothing had reserved", ": {usage:amounts}"),
    "unknown_timed_out": (),
}
OF_MODULES = ("the enforcer of {grant} says {code}", ": {message:text}")
# What became of a request that changed nothing and has no finding.
NO_CHANGE = {
    "not_reserved": "the intent holds nothing of yours: it was never allowed, has ended or is another's",
    "not_approved": "the intent still waits for approval",
    "already_dispatched": "the effect was started by another attempt",
    "refused": "this may not be done to it: it has ended, another attempt started it, or no grant lets it",
}
NO_SETTLEMENT = {"not_found": "no intent with this hash may be settled by you"}
