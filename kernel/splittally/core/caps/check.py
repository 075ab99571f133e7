"""Stage 3: may this actor, under this chain of grants, ask for an effect of this kind now?

Rule 1. Every grant of the chain must be live and cover the kind; only the leaf must be held by the
        principal.
Rule 2. Expired means `now >= expiry`: an intent at that very instant is late.
Rule 3. What a native effect touches must be covered by the lists of every native grant of the chain.

Example. `books` (accounts `accounts/*`) stands below root, `clerk` (accounts `accounts/petty`) below
`books`. A transfer from `accounts/petty` to `accounts/bank` under `clerk` touches both: `clerk` does not
cover the second, so `account_not_covered` names `clerk` and `accounts/bank`. Under `books` it passes.
"""

from splittally.core.caps.state import Caps, Chain
from splittally.core.findings import Finding, find


def check_chain(caps: Caps, chain: Chain, principal: str, kind: str, now_ns: int) -> list[Finding]:
    """Every reason why the chain does not authorise; empty when it does."""
    leaf = chain.links[0].grant
    findings: list[Finding] = []
    if leaf.holder != principal:
        findings.append(find("not_holder", grant=leaf.name, principal=principal))
    for link in chain.links:
        if not link.covers:
            findings.append(find("kind_not_covered", grant=link.grant.name, kind=kind, cap=link.cap.name))
        if link.grant.name in caps.revoked:
            findings.append(find("revoked", grant=link.grant.name, order=caps.revoked[link.grant.name]))
        if link.grant.expiry_ns and now_ns >= link.grant.expiry_ns:
            findings.append(find("expired", grant=link.grant.name, expiry_ns=link.grant.expiry_ns))
    return findings


def check_lists(chain: Chain, accounts: list[str], resources: list[str]) -> list[Finding]:
    """Every account and resource that a native grant of the chain does not cover, each once for each grant.

    An account may be an entry of a list of payees: a prefix is covered by the same prefix or a shorter one.
    """
    findings: list[Finding] = []
    for link in chain.links:
        if link.lists is None:
            continue
        listed, grant = link.lists, link.grant.name
        findings += [
            find("account_not_covered", grant=grant, account=name)
            for name in dict.fromkeys(accounts)
            if name and not listed.holds_account(name)
        ]
        findings += [
            find("resource_not_covered", grant=grant, resource=name)
            for name in dict.fromkeys(resources)
            if name and not listed.holds_resource(name)
        ]
    return findings


def may_end(caps: Caps, principal: str, holder: str, kind: str) -> bool:
    """Whether a principal may settle, extend or cancel: the intent's own, or an adapter of its kind."""
    if principal == holder:
        return True
    effect = caps.effects.get(kind)
    return effect is not None and principal in effect.adapters
