"""The closed list of the kernel's codes, in the order in which stages find them; never reused.

Stage `enforcer` also carries codes of the modules' own, listed in their READMEs. The chapter
`spec/10-codes.md` is generated from this table.
"""

from typing import NamedTuple

RETRY_AFTER, REPLAN, TOP_UP = "retry_after", "replan", "top_up"
ASK_APPROVAL, ESCALATE = "ask_approval", "escalate"
LOOK_AGAIN, CONFIRM = "look_again", "confirm"  # what is asked to change a world unseen, or for ever
NEW_KEY = "new_key"  # what was answered stands for its key; under another one it is judged as things are now


class Reason(NamedTuple):
    """One code: the stage that finds it, the advice that goes with it, and what it means."""

    stage: str
    advice: str
    meaning: str


REASONS: dict[str, Reason] = {
    # --- edge: answered without a record --------------------------------------------------------
    "input.invalid": Reason("edge", REPLAN, "the line or record cannot be understood"),
    "input.too_large": Reason("edge", REPLAN, "the record is larger than its bound"),
    "time.not_yours": Reason("edge", REPLAN, "the clock is the host's: `now_ns` is refused"),
    "idempotency.invalid": Reason("edge", REPLAN, "an idempotency key has 32 bytes"),
    "amount.negative": Reason("edge", REPLAN, "an amount is at least 0"),
    "amount.fractional": Reason("edge", REPLAN, "an amount has more decimals than its resource"),
    "amount.too_large": Reason("edge", REPLAN, "an amount is below 2^64 minor units"),
    "params.invalid": Reason("edge", REPLAN, "the params do not fit the effect's schema"),
    "params.too_large": Reason("edge", REPLAN, "the params are larger than is taken here"),
    "unknown_kind": Reason("edge", REPLAN, "no effect of this kind is defined"),
    "unknown_grant": Reason("edge", REPLAN, "no grant of this name exists"),
    "over_capacity": Reason("edge", RETRY_AFTER, "the bound on open intents is reached"),
    "busy": Reason("edge", RETRY_AFTER, "too many intents wait for the writer"),
    "clock_jump": Reason("edge", ESCALATE, "the host's clock jumped, and time stands until that is accepted"),
    "plan_changed": Reason("edge", LOOK_AGAIN, "something else would change by now than in the plan meant"),
    "plan_revokes": Reason("edge", CONFIRM, "grants would be void for ever, which was not allowed"),
    # --- known ----------------------------------------------------------------------------------
    "idempotency.conflict": Reason("known", REPLAN, "the key was used for another payload"),
    "not_your_attempt": Reason("known", REPLAN, "this was allowed to another attempt"),
    "already_ended": Reason("known", REPLAN, "what was allowed has ended or was carried out"),
    "outcome_unknown": Reason("known", ESCALATE, "nobody knows yet whether the effect happened"),
    "already_dispatched": Reason("known", REPLAN, "the effect was started and is not answered yet"),
    # --- caps -----------------------------------------------------------------------------------
    "not_holder": Reason("caps", REPLAN, "the principal does not hold this grant"),
    "kind_not_covered": Reason("caps", REPLAN, "a grant of the chain does not cover this kind"),
    "revoked": Reason("caps", REPLAN, "a grant of the chain was revoked"),
    "expired": Reason("caps", REPLAN, "a grant of the chain has expired"),
    "root_only": Reason("caps", ESCALATE, "only the root grant covers this effect"),
    "already_expired": Reason("caps", REPLAN, "the intent's own expiry has passed"),
    "account_not_covered": Reason("caps", REPLAN, "a native grant of the chain does not list an account"),
    "resource_not_covered": Reason("caps", REPLAN, "a native grant of the chain does not list a resource"),
    # --- enforcer -------------------------------------------------------------------------------
    "enforcer_fault": Reason("enforcer", REPLAN, "the enforcer gave no answer; the class says how"),
    # --- ledger ---------------------------------------------------------------------------------
    "budget_exceeded": Reason("ledger", TOP_UP, "a limit would be passed"),
    "budget_deferred": Reason("ledger", RETRY_AFTER, "a limit would be passed now, and will not be later"),
    "limited_above": Reason("ledger", TOP_UP, "a limit further up the chain would be passed"),
    "intent_limit_exceeded": Reason("ledger", REPLAN, "one intent asks for more than it may"),
    "amount_overflow": Reason("ledger", REPLAN, "an amount would pass 2^64-1"),
    "insufficient_balance": Reason("ledger", TOP_UP, "the account that pays holds too little"),
    "overdraft_locked": Reason("ledger", TOP_UP, "the condition of the budget's overdraft does not hold"),
    "overdraft_exceeded": Reason("ledger", TOP_UP, "more than is left of the budget's overdraft is needed"),
    "overdraft_uncovered": Reason("ledger", TOP_UP, "the parent holds less than the overdraft would give"),
    "payee_missing": Reason("ledger", REPLAN, "money would be drawn and no grant says who is paid"),
    "payee_unlisted": Reason("ledger", REPLAN, "whom the intent would pay is no account that is listed"),
    "limit_approaching": Reason("ledger", "", "a soft limit was reached"),
    "shadow_exceeded": Reason("ledger", "", "a shadow limit would have refused this"),
    "approval_threshold": Reason("ledger", ASK_APPROVAL, "above this amount somebody must approve"),
    # --- native ---------------------------------------------------------------------------------
    "name_taken": Reason("native", REPLAN, "the name exists or was used before"),
    "secret_taken": Reason("native", REPLAN, "another token has or had this secret"),
    "name_reserved": Reason("native", REPLAN, "names in `sys/` belong to the release"),
    "not_found": Reason("native", REPLAN, "what the effect names does not exist"),
    "not_admitted": Reason("native", REPLAN, "the module fails an admission check"),
    "cannot_change": Reason("native", REPLAN, "this property is fixed when the thing is made"),
    "wider_than_parent": Reason("native", REPLAN, "a child grant is at most its parent"),
    "account_not_yours": Reason("native", REPLAN, "the issuer does not draw on this account"),
    "out_of_reach": Reason("native", ESCALATE, "what the effect names does not descend from its grant"),
    "chain_too_long": Reason("native", REPLAN, "the chain of grants would be too long"),
    "external_account": Reason("native", REPLAN, "only an issue debits an external account"),
    "not_reserved": Reason("native", REPLAN, "the hold has ended or never was"),
    "own_approval": Reason("native", ESCALATE, "nobody answers an approval of their own intent"),
    "not_approver": Reason("native", ESCALATE, "this reason is for others to answer"),
    "already_answered": Reason("native", ASK_APPROVAL, "nobody answers twice: another must approve"),
    "approval_answered": Reason("native", "", "what an answer to an approval made of the intent"),
    "approval_stale": Reason("native", REPLAN, "what was approved may no longer be done"),
    "refund_too_large": Reason("native", REPLAN, "more than was charged cannot be refunded"),
    "limit_uncounted": Reason("native", "", "nothing counts a dimension that the grant limits"),
    "price_below_unit": Reason("native", "", "a usual call costs less than the resource can tell apart"),
    "topup_stands": Reason("native", "", "a top-up that ends by itself raises a limit beside its terms"),
    "carried_over": Reason("native", "", "open reservations were carried over a change"),
    "module_renamed": Reason("native", "", "a name means another module now, and what it meant is kept"),
    "budgets_kept": Reason("native", "", "budgets that the manifest does not state stay as they are"),
    "overdraft_unbacked": Reason(
        "native", REPLAN, "only a parent budget gives an overdraft, and there is none"
    ),
    "conversion_uncovered": Reason("native", TOP_UP, "the counter-account holds less than it would give"),
    "conversion_too_small": Reason("native", REPLAN, "at this rate the amount gives nothing"),
    "rate_moved": Reason("native", REPLAN, "the plan's conversion has another rate now"),
    "rate_floated": Reason("native", "", "the rate of a conversion floats, and this one was used"),
    "allocations_unequal": Reason("native", REPLAN, "the parts of a split do not sum to the whole"),
    "plan_widened": Reason("native", REPLAN, "an amended plan is wider than the one in force"),
    "migration_unmapped": Reason("native", REPLAN, "what the old plan has goes nowhere in the new one"),
    "permission_fails": Reason("native", "", "a permission could not be used up under the amended plan"),
    "plan_impossible": Reason("native", REPLAN, "a plan asks for what it makes impossible itself"),
    "formula_cycle": Reason("native", REPLAN, "formulas of a plan read each other in a circle"),
    "weights_unequal": Reason("native", REPLAN, "the weights of a composite metric do not sum to its whole"),
    "formula_fault": Reason("native", REPLAN, "a formula of the plan cannot be evaluated"),
    "recorded_before": Reason("native", REPLAN, "what counts once was recorded, and is not counted again"),
    "value_out_of_bounds": Reason("native", REPLAN, "a value is outside the bounds of its metric"),
    "segment_missing": Reason("native", REPLAN, "a record lacks a key that its metric requires"),
    "metric_computed": Reason("native", REPLAN, "a composite metric is computed and takes no value"),
    "time_ahead": Reason("native", REPLAN, "a value is of a time that is still to come"),
    "cell_unknown": Reason("native", REPLAN, "a solver proposes a cell that the plan does not have"),
    "cell_unit": Reason("native", REPLAN, "a proposed cell is of another unit"),
    "cell_negative": Reason("native", REPLAN, "a proposed share is below zero"),
    "cells_unequal": Reason("native", REPLAN, "proposed shares do not sum to what the budget has"),
    "cell_decided": Reason("native", REPLAN, "a formula of the plan decides this cell"),
    "cells_stale": Reason("native", REPLAN, "the proposal was made from other books than there are now"),
    "cells_unsolvable": Reason("native", TOP_UP, "nothing is allocated while the budget is unsolvable"),
    "no_allocation": Reason("native", "", "the budget is unsolvable now, so its solution allocates nothing"),
    "rule_skipped": Reason("native", "", "a rule fell due and could not be carried out"),
    "cascade_bounded": Reason("native", "", "rules fired for this cause already, and do not fire again"),
    "nothing_missing": Reason("native", REPLAN, "a request names a gap that is none"),
    "more_than_asked": Reason("native", REPLAN, "more is offered or granted than was asked for"),
    "funding_limited": Reason("native", "", "the plan limits how much of a request may be granted"),
    "proposal_ended": Reason("native", REPLAN, "the proposal was answered, or its version is replaced"),
    "proposal_answered": Reason("native", "", "what an answer or a vote made of the proposal"),
    "proposals_full": Reason("native", REPLAN, "as many proposals, steps or votes stand as may"),
    "act_unfit": Reason("native", REPLAN, "this kind of proposal has no such act, or not now"),
    "not_proposer": Reason("native", ESCALATE, "only who proposed it may do this"),
    "authority_lacking": Reason("native", ESCALATE, "a grant does not cover what would be done"),
    "already_voted": Reason("native", REPLAN, "nobody votes twice"),
    "not_in_quorum": Reason("native", ESCALATE, "the plan's quorum does not name this principal"),
    "quorum_missing": Reason("native", REPLAN, "the plan has no quorum that could decide"),
    "plan_moved": Reason("native", REPLAN, "the plan changed where the draft does, too"),
    # --- plan -----------------------------------------------------------------------------------
    "planning_stage": Reason("plan", TOP_UP, "the budget is not funded enough to operate"),
    "constraint_unmet": Reason("plan", TOP_UP, "a hard constraint of the budget would no longer hold"),
    "condition_unmet": Reason("plan", REPLAN, "a condition of the budget's plan would no longer be true"),
    "constraint_fault": Reason("plan", ESCALATE, "what a hard constraint asks cannot be evaluated"),
    "part_blocked": Reason("plan", TOP_UP, "a hard constraint stops this part of the budget"),
    "part_closed": Reason("plan", TOP_UP, "in this stage other parts of the budget may act, and not this"),
    # --- policy ---------------------------------------------------------------------------------
    "policy_denied": Reason("policy", ESCALATE, "a policy rule denies"),
    "policy_unmatched": Reason("policy", ESCALATE, "no policy rule matches, and no match is deny"),
    "policy_fault": Reason("policy", ESCALATE, "a rule's condition cannot be evaluated"),
    "policy_approval": Reason("policy", ASK_APPROVAL, "a policy rule asks for approval"),
    "rate_exceeded": Reason("policy", RETRY_AFTER, "the rule's rate is used up for this window"),
    # --- governor -------------------------------------------------------------------------------
    "over_daily_cap": Reason("governor", RETRY_AFTER, "the day's cap on spend would be passed"),
    "over_weekly_cap": Reason("governor", RETRY_AFTER, "the week's cap on spend would be passed"),
    "local_ceiling": Reason("governor", ESCALATE, "the local model gives up on failures of this class"),
    "oom_envelope": Reason("governor", RETRY_AFTER, "the lane does not fit into memory now"),
    # --- group ----------------------------------------------------------------------------------
    "group_member_refused": Reason("group", REPLAN, "another intent of the group was refused"),
    # --- settling -------------------------------------------------------------------------------
    "receipt_unsigned": Reason("settle", "", "the receipt must be signed and is not, so it was refused"),
    "receipt_foreign": Reason("settle", "", "no adapter of this name signs receipts of this kind"),
    "receipt_forged": Reason("settle", "", "the signature is none of this receipt under its adapter's key"),
    "usage_exceeds_reserve": Reason("settle", "", "more was used than a bounded dimension reserved"),
    "counter_saturated": Reason("settle", "", "the counter stopped at 2^64-1"),
    "unfunded": Reason("settle", "", "the account could not pay all that was used"),
    "payee_not_permitted": Reason("settle", "", "the receipt names a payee that is not listed"),
    "executed_without_approval": Reason("settle", "", "a receipt came for an intent that still waited"),
    "receipt_without_dispatch": Reason("settle", "", "a receipt came for an effect that nobody dispatched"),
    "receipt_after_release": Reason("settle", "", "a receipt came for a cancelled intent"),
    "receipt_invalid": Reason("settle", "", "the receipt's payload does not fit the effect's schema"),
    "receipt_too_large": Reason("settle", "", "the receipt's payload was too large and was dropped"),
    "unreserved": Reason("settle", "", "spend was booked that nothing had reserved"),
    "unknown_timed_out": Reason("settle", "", "nobody learned whether the effect happened"),
}
