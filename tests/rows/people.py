"""A parent and a child budget, and people who hold native grants over them."""

from contextlib import contextmanager

from tests.rows.budgets import BOTH, LOG, deposit, done
from tests.rows.worlds import applied

TOP, KID = "budgets/top", "budgets/top-kid"
PEOPLE = ("ann", "bob", "carl", "dora")


@contextmanager
def company(child=None, parent=None, funds=10_000, path=None, **terms):
    """`budgets/top` with funds and `budgets/top-kid` below it; each of `PEOPLE` may ask for native effects.

    `terms` are params of the native grants by principal, as `ann={"operations": ["budget.vote"]}`.
    """
    grants = {
        f"{name}/native": {"cap": "sys/native@1", "holder": name, "params": terms.get(name, {})}
        for name in PEOPLE
    }
    with applied({"resources": BOTH, "accounts": {LOG: {}}, "grants": grants}, path) as kernel:
        plan = {"resources": BOTH}
        done(kernel, "budget.create", budget=TOP, schema={**plan, **(parent or {})}, pays_to=[LOG])
        done(kernel, "budget.create", budget=KID, schema={**plan, **(child or {})}, parent=TOP, pays_to=[LOG])
        deposit(kernel, funds, TOP)
        yield kernel


def by(kernel, who, kind, budget=KID, /, **params):
    """What a principal asks, under its own native grant."""
    return kernel.as_principal(who).native(kind, budget=budget, **params)


def allowed(kernel, who, kind, budget=KID, /, **params):
    decision = by(kernel, who, kind, budget, **params)
    assert decision.allowed, decision
    return decision


def row(kernel, name, budget=KID):
    """A proposal as the budget shows it."""
    return kernel.state.budgets[budget].proposals[name]


def said(kernel, name, budget=KID):
    """The steps of a dialogue: who, what, how much."""
    return [(x["by"], x["act"], x["amount"]) for x in row(kernel, name, budget)["steps"]]
