"""A small world of budgets: what many tests of plans share."""

from splittally.core.events import RuleFired

from tests.rows.worlds import applied, recorded

A, B, LOG, MARKET = "budgets/a", "budgets/b", "accounts/log", "accounts/market"
BOTH = {"USD": 0, "EUR": 0}
DAY = 86_400 * 10**9


def world():
    return applied({"resources": BOTH, "accounts": {LOG: {}, MARKET: {}}})


def done(kernel, kind, **params):
    decision = kernel.native(kind, **params)
    assert decision.allowed, decision
    return decision


def create(kernel, plan, budget=B, **more):
    return done(kernel, "budget.create", budget=budget, schema={"resources": BOTH, **plan}, **more)


def deposit(kernel, amount, to=B, resource="USD"):
    if amount:
        done(kernel, "ledger.issue", resource=resource, amount=amount, to=to)


def held(kernel, account, resource="USD"):
    return kernel.state.accounts[account].balances.get(resource, 0)


def pays(amount, to=LOG, resource="USD"):
    return {"kind": "transfer", "to": to, "amount": str(amount), "resource": resource}


def ended(kernel):
    """What became of the rules that were worked through: rule, version, status, and why not."""
    return [
        (x.rule, x.version, x.status, *(y.facts.get("reason", y.code) for y in x.findings))
        for x in recorded(kernel, RuleFired)
        if x.status in ("done", "skipped") and x.item
    ]
