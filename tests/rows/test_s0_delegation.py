"""Accounts, budgets and permissions: what funds a budget, and who may spend from it.

Amounts are cents: the numbers of the examples stand as whole dollars times `USD`.
"""

import pytest
from splittally import Intent, Receipt
from splittally.core.events import Posted

from tests.rows.worlds import applied, codes, recorded, tally

USD = 100
TREASURY, JANE, MARKETING = "accounts/treasury", "accounts/designer-jane", "budgets/marketing-2025"
PLAN = {"resources": {"USD": 2}}
WORLD = {
    "resources": {"USD": 2},
    "accounts": {TREASURY: {}, JANE: {}, "accounts/petty": {}},
    "grants": {
        "native/clerk": {
            "cap": "sys/native@1",
            "holder": "clerk",
            "params": {
                "operations": ["budget.create"],
                "accounts": ["accounts/petty", "budgets/*", "accounts/designer-jane"],
            },
        }
    },
}


def opened(path=None):
    """A world with a million in its treasury and a template of a budget."""
    kernel = applied(WORLD, path)
    done(kernel.native("ledger.issue", resource="USD", amount=1_000_000 * USD, to=TREASURY))
    done(kernel.native("budget.create", budget="budgets/template", schema=PLAN))
    return kernel


@pytest.fixture
def kernel():
    with opened() as made:
        yield made


@pytest.fixture
def funded(kernel):
    """The same with 200,000 on the marketing budget, whose charter the director holds."""
    done(create(kernel, 200_000))
    return kernel


def done(decision):
    assert decision.allowed, decision
    return decision


def create(kernel, amount=0, source=TREASURY, **fields):
    """A marketing budget that refines the template with an amount and a source account."""
    funding = {"resource": "USD", "amount": amount * USD, "from": source} if amount else {}
    more = {"holder": "director", "pays_to": [JANE, "accounts/"], **funding, **fields}
    return kernel.native("budget.create", budget=MARKETING, template="budgets/template", **more)


def permit(kernel, name, holder, grant=MARKETING, by="director", **terms):
    """A permission below the charter, issued by who holds that."""
    terms = {"cap": "sys/spend@1", "holder": holder, **terms}
    return kernel.as_principal(by).submit(Intent("grant.issue", {"name": name, "terms": terms}, grant))


def post(kernel, amount, by="director", grant=MARKETING, resource="USD", **params):
    params = {"result": "a banner", "amounts": {resource: amount * USD}, "payee": JANE, **params}
    return kernel.as_principal(by).submit(Intent("task.post", params, grant))


def spend(kernel, amount, by="director", grant=MARKETING, **params):
    """Posts a task and completes it."""
    decision = post(kernel, amount, by, grant, **params)
    if decision.allowed:
        kernel.as_principal(by).settle(Receipt(decision.intent_hash, "ok", "desk", {}))
    return decision


def balance(kernel, name=MARKETING):
    """Whole dollars."""
    return kernel.state.accounts[name].balances.get("USD", 0) / USD


def entries(kernel):
    """Every movement of value: debit, credit and whole dollars."""
    return [(x.debit, x.credit, x.amount / USD) for x in recorded(kernel, Posted)]


# --- accounts and funding ---------------------------------------------------------------------------


@pytest.mark.req("S0-144")
def test_a_primary_account_is_looked_up_with_its_balance_and_its_entries(folder):
    with opened(folder / "w") as kernel:
        done(create(kernel, 200_000))
        spend(kernel, 1_000)
    code, shown = tally(folder / "w", "ledger", "--account", JANE, "--entries")
    entry = shown[-1] if isinstance(shown, list) else shown
    assert code == 0
    assert (entry["account"], entry["direction"], entry["amount"], entry["unit"]) == (
        JANE, "credit", 1_000 * USD, "USD",
    )  # fmt: skip
    code, shown = tally(folder / "w", "accounts")
    assert (code, shown["accounts"][JANE]["balances"]) == (0, {"USD": 1_000 * USD})


@pytest.mark.req("S0-145", "S0-149", "S0-150")
def test_a_funded_budget_is_an_account_of_its_own_and_one_entry_moves_the_money_there(kernel):
    before = entries(kernel)
    decision = done(create(kernel, 200_000))
    assert kernel.state.accounts[MARKETING].kind == "plain"
    assert MARKETING != TREASURY
    assert (balance(kernel, TREASURY), balance(kernel)) == (800_000, 200_000)
    assert entries(kernel)[len(before) :] == [(TREASURY, MARKETING, 200_000)]
    assert kernel.state.seq == decision.seq + 1
    assert kernel.state.budgets[MARKETING].balances == {"USD": 200_000 * USD}
    assert kernel.state.resources["USD"].imbalance == 0


@pytest.mark.req("S0-146")
@pytest.mark.parametrize(("amount", "moved", "stage"), [(200_000, 1, "full"), (0, 0, "planning")])
def test_a_budget_is_funded_by_one_explicit_transaction_or_stays_a_plan(kernel, amount, moved, stage):
    before = len(entries(kernel))
    done(create(kernel, amount))
    assert len(entries(kernel)) - before == moved
    assert kernel.state.budgets[MARKETING].stage == stage
    assert balance(kernel) == amount


@pytest.mark.req("S0-147", "S0-151")
def test_a_template_with_an_amount_and_a_source_is_a_new_budget_and_more_comes_to_the_same(kernel):
    done(create(kernel, 200_000))
    made, template = kernel.state.budgets[MARKETING], kernel.state.budgets["budgets/template"]
    assert (made.template, made.schema_hash) == ("budgets/template", template.schema_hash)
    assert (template.stage, made.stage) == ("planning", "full")
    before = entries(kernel)
    more = {"resource": "USD", "amount": 50_000 * USD, "from": TREASURY, "to": MARKETING}
    done(kernel.native("ledger.transfer", **more))
    assert balance(kernel) == 250_000
    assert entries(kernel)[len(before) :] == [(TREASURY, MARKETING, 50_000)]
    assert kernel.state.budgets(name=MARKETING)[MARKETING].version == 1
    assert list(kernel.state.budgets) == [MARKETING, "budgets/template"]


@pytest.mark.req("S0-148")
@pytest.mark.parametrize(
    ("who", "source", "refused"),
    [
        ("stranger", TREASURY, ["not_holder"]),
        ("clerk", TREASURY, ["account_not_covered"]),
        ("clerk", "accounts/petty", []),
    ],
)
def test_only_who_has_authority_over_the_source_account_funds_a_budget_from_it(kernel, who, source, refused):
    done(kernel.native("ledger.issue", resource="USD", amount=500_000 * USD, to="accounts/petty"))
    before = entries(kernel)
    decision = create(kernel.as_principal(who), 200_000, source, pays_to=[JANE])
    assert codes(decision) == refused
    assert (MARKETING in kernel.state.accounts) == (not refused)
    assert entries(kernel)[len(before) :] == ([] if refused else [(source, MARKETING, 200_000)])
    assert balance(kernel, TREASURY) == 1_000_000


# --- permissions ------------------------------------------------------------------------------------


@pytest.mark.req("S0-152", "S0-153")
def test_delegating_authority_makes_a_permission_and_moves_nothing(funded):
    before, accounts = entries(funded), dict(funded.state.accounts)
    done(permit(funded, "head-of-ads", "head", budget={"USD": 50_000 * USD}))
    row = funded.state.grants["head-of-ads"]
    assert (row.holder, row.chain) == ("head", ["head-of-ads", MARKETING, "root"])
    assert funded.state.budgets[MARKETING].parts == ["head-of-ads"]
    assert entries(funded) == before
    assert funded.state.accounts == accounts


@pytest.mark.req("S0-154")
def test_a_permission_of_50000_ends_there_although_the_pool_has_150000(funded):
    done(permit(funded, "head-of-ads", "head", budget={"USD": 50_000 * USD}))
    for _ in range(5):
        done(spend(funded, 10_000, "head", "head-of-ads"))
    refused = spend(funded, 1, "head", "head-of-ads")
    assert codes(refused) == ["budget_exceeded"]
    assert refused.findings[0].facts["available"] == 0
    assert balance(funded) == 150_000


@pytest.mark.req("S0-157", "S0-159")
def test_owner_and_delegate_spend_the_same_200000_and_no_other_account_pays(funded):
    accounts = set(funded.state.accounts)
    before = entries(funded)
    done(permit(funded, "card", "head", budget={"USD": 50_000 * USD}))
    done(spend(funded, 30_000))
    assert balance(funded) == 170_000
    done(spend(funded, 20_000, "head", "card"))
    assert balance(funded) == 150_000
    assert set(funded.state.accounts) == accounts
    assert {debit for debit, _, _ in entries(funded)[len(before) :]} == {MARKETING, ""}  # "" is in flight
    assert balance(funded, JANE) == 50_000


@pytest.mark.req("S0-158")
def test_revoking_a_permission_leaves_the_funds_and_draining_the_funds_leaves_the_permission(funded):
    for name in ("kept", "revoked"):
        done(permit(funded, name, "head", budget={"USD": 50_000 * USD}))
    done(funded.as_principal("director").submit(Intent("grant.revoke", {"name": "revoked"}, MARKETING)))
    assert balance(funded) == 200_000
    assert codes(post(funded, 1, "head", "revoked")) == ["revoked"]
    drain = {"resource": "USD", "amount": 200_000 * USD, "from": MARKETING, "to": TREASURY}
    done(funded.native("ledger.transfer", **drain))
    row = funded.state.grants["kept"]
    assert (row.revoked, row.limits[0].amount) == (False, 50_000 * USD)
    assert codes(post(funded, 1, "head", "kept")) == ["insufficient_balance"]


@pytest.mark.req("S0-160")
def test_a_rule_acts_without_an_approver_and_one_that_is_marked_waits_for_its_answer(kernel):
    rules = [
        {"name": name, "on": "deposit", "approval": waits,
         "do": [{"kind": "transfer", "to": f"accounts/{name}", "amount": "cause.amount / 10"}]}
        for name, waits in (("savings", False), ("bonus", True))
    ]  # fmt: skip
    for account in ("accounts/savings", "accounts/bonus"):
        done(kernel.native("account.open", account=account))
    plan = {**PLAN, "rules": rules}
    funding = {"resource": "USD", "amount": 1_000 * USD, "from": TREASURY}
    done(kernel.native("budget.create", budget="budgets/auto", schema=plan, **funding))
    kernel.tick()
    told = [balance(kernel, name) for name in ("accounts/savings", "accounts/bonus", "budgets/auto")]
    assert told == [100, 0, 900]
    kernel.tick(now_ns=10**18)
    (waiting,) = kernel.state.budgets["budgets/auto"].waiting
    assert (waiting["rule"], balance(kernel, "accounts/bonus")) == ("bonus", 0)
    answer = {"budget": "budgets/auto", "item": waiting["item"], "answer": "approve"}
    assert codes(kernel.as_principal("stranger").native("budget.answer", **answer)) == ["not_holder"]
    done(kernel.native("budget.answer", **answer))
    assert (balance(kernel, "accounts/bonus"), balance(kernel, "budgets/auto")) == (100, 800)
    assert kernel.state.budgets["budgets/auto"].waiting == []


# --- pools in parts ---------------------------------------------------------------------------------


@pytest.mark.req("S0-182")
def test_a_project_of_10000_is_split_60_20_20_and_never_101(kernel):
    done(create(kernel, 10_000))
    shares = {"development": 61, "design": 20, "qa": 20}
    refused = kernel.native("budget.split", budget=MARKETING, resource="USD", shares=shares)
    assert codes(refused) == ["allocations_unequal"]
    facts = refused.findings[0].facts
    assert (facts["value"], facts["needed"], facts["excess"]) == (101, 100, 1)
    assert kernel.state.budgets[MARKETING].parts == []
    done(
        kernel.native("budget.split", budget=MARKETING, resource="USD", shares={**shares, "development": 60})
    )
    limits = {x: kernel.state.counters[f"{MARKETING}/{x}"]["USD"].limit / USD for x in shares}
    assert limits == {"development": 6_000, "design": 2_000, "qa": 2_000}
    assert balance(kernel) == 10_000
