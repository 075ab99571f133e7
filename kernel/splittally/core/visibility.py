"""What a principal may see of a finding: figures of what they hold, of anything else that it is so.

Rule 1. Who holds the root grant sees everything. Anybody else sees amounts of grants that they hold, of the
        accounts on which such a grant of the chain draws or from which it may take, and of budgets whose
        charter they hold. What was said of a proposal is seen by who may speak of it. Caps on spend and the
        rates of policy rules are the world's.
Rule 2. What is not seen keeps its code, its advice, its names and the date at which its window ends
        (`resets`), and loses every number and list. What an enforcer of somebody else's grant says in words
        goes, too: the words have its numbers in them.
Rule 3. It is applied where an intent is decided: what is recorded is what was told. Somebody else who is told
        it again hears what they may see. Violations of a receipt are recorded whole, because they are the
        books, and told in the same way to whoever brings it.

Example. `kid` (eve's) stands below `top`, which draws USD on `accounts/treasury`. A task of 500 finds

    holder of `top`   insufficient_balance {account, resource, needed: 500, available: 123, shortage: 377}
    eve               insufficient_balance {account, resource}
"""

from splittally.core.caps.state import Chain
from splittally.core.findings import Finding, has_code
from splittally.core.native.authority import CONVERT, LEND, TAKE, may_ask
from splittally.core.state import State
from splittally.core.types import POLICY_SCOPE, ROOT

_RULE = "rule"  # its place in the policy is a name
# Sums over what everybody does.
_OF_THE_WORLD = ("over_daily_cap", "over_weekly_cap", "amount_overflow", "rate_exceeded")

# What was said between people, found only for who may say something there.
_OF_A_DIALOGUE = (
    "funding_limited", "more_than_asked", "not_in_quorum", "plan_moved", "proposal_answered",
    "proposals_full",
)  # fmt: skip


def seen_by(state: State, principal: str, chain: Chain, now_ns: int, finding: Finding) -> Finding:
    """A finding as this principal, who asks under this chain, may see it."""
    if state.caps.grants[ROOT].holder == principal or _is_visible(state, principal, chain, now_ns, finding):
        return finding
    facts = finding.facts
    if finding.stage == "enforcer":
        shown = {name: value for name, value in facts.items() if name != "message"}
    elif finding.code == "wider_than_parent":
        shown = {name: value for name, value in facts.items() if name != "available"}
    else:
        shown = {name: value for name, value in facts.items() if type(value) is str or name == _RULE}
    return Finding(finding.stage, finding.code, shown)


def _is_visible(state: State, principal: str, chain: Chain, now_ns: int, finding: Finding) -> bool:
    facts, grants = finding.facts, state.caps.grants
    if any(has_code(finding, code) for code in _OF_THE_WORLD):
        return False
    if finding.stage == "policy" or finding.stage == "caps":
        return True
    if any(has_code(finding, code) for code in _OF_A_DIALOGUE):
        return True
    if finding.code == "payee_unlisted":
        listing = next((link.grant for link in chain.links if link.grant.pays_to), None)
        return listing is None or listing.holder == principal
    if "grant" in facts:
        if facts["grant"].startswith(POLICY_SCOPE):  # a rate of a rule that tells, or is a shadow
            return False
        grant = grants.get(facts["grant"])
        return not state.caps.is_forgotten(facts["grant"]) if grant is None else grant.holder == principal
    if "budget" in facts and facts["budget"] in state.plans.budgets:
        name = facts["budget"]
        charter = grants[state.plans.budgets[name].grant]
        return charter.holder == principal or _may_take(state, chain, now_ns, "", name)
    if "account" in facts:
        resource, account = str(facts.get("resource", "")), facts["account"]
        is_drawn = any(
            link.grant.holder == principal and account == payer.account
            for link in chain.links
            for payer in link.grant.paid_by.get(resource, ())
        )
        return is_drawn or _may_take(state, chain, now_ns, resource, account)
    return True


def _may_take(state: State, chain: Chain, now_ns: int, resource: str, account: str) -> bool:
    """Whether value may be taken from an account, or the account lent, by native effects under the chain."""
    leaf = chain.links[0].grant.name
    return any(may_ask(state, leaf, kind, resource, account, now_ns) for kind in (LEND, TAKE, CONVERT))
