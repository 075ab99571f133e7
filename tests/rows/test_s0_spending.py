"""Tasks on budgets: three validations, one debit, and what becomes of it; budgets that people keep.

Amounts are cents: the numbers of the examples stand as whole dollars times `USD`.
"""

import pytest
from splittally import Intent, Receipt
from splittally.core.events import Posted

from tests.rows.worlds import applied, books, codes, recorded

USD = 100
TREASURY, JANE, MARKETING = "accounts/treasury", "accounts/designer-jane", "budgets/marketing-2025"
PLAN = {"resources": {"USD": 2, "GPU-Hours": 0}}
ACCOUNTS = (TREASURY, JANE, "accounts/manager", "accounts/service-a", "accounts/service-b")


def done(decision):
    assert decision.allowed, decision
    return decision


def budget(kernel, name=MARKETING, amount=0, minimum=0, **fields):
    """A budget with so many dollars; no posting may take it below `minimum`."""
    plan = fields.pop("schema", PLAN)
    if minimum:
        plan = {**plan, "constraints": [{"name": "runway", "resource": "USD", "minimum": minimum * USD}]}
    funding = {"resource": "USD", "amount": amount * USD, "from": TREASURY} if amount else {}
    return done(
        kernel.native(
            "budget.create", budget=name, schema=plan, pays_to=[JANE, "accounts/"], **funding, **fields
        )
    )


def opened():
    """A world with a million in its treasury."""
    kernel = applied({"resources": PLAN["resources"], "accounts": dict.fromkeys(ACCOUNTS, 0)})
    done(kernel.native("ledger.issue", resource="USD", amount=1_000_000 * USD, to=TREASURY))
    return kernel


@pytest.fixture
def kernel():
    with opened() as made:
        yield made


def move(kernel, amount, debit, to):
    fields = {"resource": "USD", "amount": amount * USD, "from": debit, "to": to}
    return kernel.native("ledger.transfer", **fields)


def permit(kernel, name, **terms):
    """A permission below the charter of the marketing budget."""
    terms = {"cap": "sys/spend@1", **terms}
    return done(kernel.submit(Intent("grant.issue", {"name": name, "terms": terms}, MARKETING)))


def post(kernel, amount, grant=MARKETING, resource="USD", **params):
    unit = USD if resource == "USD" else 1
    amounts = {resource: round(amount * unit)}
    params = {"result": "a banner", "amounts": amounts, "payee": JANE, **params}
    return kernel.submit(Intent("task.post", params, grant))


def complete(kernel, decision, payload=None):
    return kernel.settle(Receipt(decision.intent_hash, "ok", "desk", payload or {}))


def balance(kernel, name=MARKETING):
    """Whole dollars."""
    return kernel.state.accounts[name].balances.get("USD", 0) / USD


def flying(kernel, name=MARKETING):
    return kernel.state.accounts[name].in_flight.get("USD", 0) / USD


def entries(kernel, decision=None):
    """Movements of value, of one intent where it is given: debit, credit and whole dollars."""
    return [
        (x.debit, x.credit, x.amount / USD)
        for x in recorded(kernel, Posted)
        if decision is None or x.intent_hash == decision.intent_hash
    ]


def facts(decision, *names):
    (finding,) = decision.findings
    return {name: finding.facts[name] for name in names}


# --- posting ----------------------------------------------------------------------------------------


@pytest.mark.req("S0-161", "S0-162", "S0-163")
def test_posting_1000_is_one_debit_in_flight_for_that_task_with_no_account_more(kernel):
    budget(kernel, amount=10_000)
    accounts, before = list(kernel.state.accounts), entries(kernel)
    task = done(post(kernel, 1_000))
    assert entries(kernel)[len(before) :] == entries(kernel, task) == [(MARKETING, "", 1_000)]
    assert (balance(kernel), flying(kernel)) == (9_000, 1_000)
    (draw,) = kernel.state.reservations[task.intent_hash].draws
    assert (draw.account, draw.resource, draw.amount) == (MARKETING, "USD", 1_000 * USD)
    assert list(kernel.state.accounts) == accounts


@pytest.mark.req("S0-181")
def test_the_budget_is_debited_at_posting_and_neither_manager_nor_treasury(kernel):
    budget(kernel, amount=200_000)
    permit(kernel, "ads", holder="manager")
    done(move(kernel, 7_000, TREASURY, "accounts/manager"))
    before = [balance(kernel, name) for name in ("accounts/manager", TREASURY)]
    done(post(kernel.as_principal("manager"), 1_000, "ads"))
    assert balance(kernel) == 199_000
    assert [balance(kernel, name) for name in ("accounts/manager", TREASURY)] == before


@pytest.mark.req("S0-164")
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"resource": "GPU-Hours"}, "resource_not_permitted"),
        ({"purpose": "office"}, "purpose_not_permitted"),
    ],
)
def test_a_spend_outside_the_rules_is_refused_by_the_rules_and_the_balance_is_not_asked(kernel, asked, code):
    budget(kernel, amount=900)
    permit(kernel, "ads", params={"resources": ["USD"], "purposes": ["ads"]})
    decision = post(kernel, 1_000, "ads", **{"purpose": "ads", **asked})
    assert [(x.stage, x.code) for x in decision.findings] == [("enforcer", code)]
    within = post(kernel, 1_000, "ads", purpose="ads")
    assert [(x.stage, x.code) for x in within.findings] == [("ledger", "insufficient_balance")]


@pytest.mark.req("S0-170")
def test_a_balance_of_900_refuses_1000_and_says_that_100_are_missing(kernel):
    budget(kernel, amount=900)
    decision = post(kernel, 1_000)
    assert codes(decision) == ["insufficient_balance"]
    assert facts(decision, "account", "needed", "available", "shortage") == {
        "account": MARKETING, "needed": 1_000 * USD, "available": 900 * USD, "shortage": 100 * USD,
    }  # fmt: skip


@pytest.mark.req("S0-171")
@pytest.mark.parametrize(
    ("amount", "refused"), [(5_000, []), (5_000.01, ["constraint_unmet"]), (5_001, ["constraint_unmet"])]
)
def test_after_a_commitment_the_minimum_still_stands(kernel, amount, refused):
    budget(kernel, amount=10_000, minimum=5_000)
    decision = post(kernel, amount)
    assert codes(decision) == refused
    assert balance(kernel) == (10_000 if refused else 5_000)


@pytest.mark.req("S0-175", "S0-176")
def test_a_job_of_9000_is_refused_with_the_5000_that_fit_and_the_4000_that_are_missing(kernel):
    budget(kernel, amount=10_000, minimum=5_000)
    decision = post(kernel, 9_000)
    assert [(x.stage, x.code) for x in decision.findings] == [("plan", "constraint_unmet")]
    told = facts(decision, "constraint", "available", "shortage")
    assert told == {"constraint": "runway", "available": 5_000 * USD, "shortage": 4_000 * USD}
    done(move(kernel, 4_000, TREASURY, MARKETING))
    done(post(kernel, 9_000))
    assert balance(kernel) == 5_000


@pytest.mark.req("S0-173")
@pytest.mark.parametrize(
    ("amounts", "code"),
    [
        ({"USD": 1, "Karma": 1}, "resource_not_permitted"),
        ({"USD": 1, "GPU-Hours": 1}, "insufficient_balance"),
        ({"USD": 5_001 * USD}, "constraint_unmet"),
    ],
)
def test_a_posting_that_fails_anywhere_leaves_no_entry_and_no_task(kernel, amounts, code):
    budget(kernel, amount=10_000, minimum=5_000)
    before, moved = books(kernel), entries(kernel)
    decision = kernel.submit(
        Intent("task.post", {"result": "a", "amounts": amounts, "payee": JANE}, MARKETING)
    )
    assert codes(decision) == [code]
    assert (books(kernel), entries(kernel)) == (before, moved)
    assert kernel.state.reservations == {}
    assert kernel.outcome(decision.intent_hash).outcome == "deny"


# --- ending -----------------------------------------------------------------------------------------


@pytest.mark.req("S0-177", "S0-178")
def test_completion_credits_the_worker_and_closes_the_task_for_good(kernel):
    budget(kernel, amount=10_000)
    task = done(post(kernel, 1_000))
    settled = complete(kernel, task)
    assert (settled.status, settled.usage) == ("settled", {"USD": 1_000 * USD})
    assert (balance(kernel), balance(kernel, JANE), flying(kernel)) == (9_000, 1_000, 0)
    linked = [(MARKETING, "", 1_000), ("", JANE, 1_000)]
    assert entries(kernel, task) == linked
    assert kernel.outcome(task.intent_hash).status == "settled"
    before = books(kernel)
    assert complete(kernel, task).status == "duplicate"
    assert kernel.release(task.intent_hash).status == "not_reserved"
    assert (books(kernel), entries(kernel, task)) == (before, linked)


@pytest.mark.req("S0-179")
def test_a_cancelled_task_comes_back_to_its_budget_and_a_later_receipt_is_late(kernel):
    budget(kernel, amount=10_000)
    budget(kernel, "budgets/other", amount=10_000)
    task = done(post(kernel, 1_000))
    assert balance(kernel) == 9_000
    assert kernel.release(task.intent_hash).status == "released"
    assert (balance(kernel), flying(kernel)) == (10_000, 0)
    assert entries(kernel, task) == [(MARKETING, "", 1_000), ("", MARKETING, 1_000)]
    late = kernel.settle(Receipt(task.intent_hash, "ok", "desk", {"amounts": {"USD": 0}}))
    assert (late.status, balance(kernel), balance(kernel, JANE)) == ("late", 10_000, 0)


# --- budgets that people keep -----------------------------------------------------------------------

DAY = 24 * 3_600 * 10**9
JANUARY, FEBRUARY, MARCH = 31 * DAY, 28 * DAY, 31 * DAY  # of 1970, where a given clock begins


@pytest.mark.req("S0-183")
def test_a_budget_of_exactly_one_task_pays_that_task_and_no_second(kernel):
    budget(kernel, "budgets/blog-post", amount=100)
    task = done(post(kernel, 100, "budgets/blog-post"))
    assert codes(post(kernel, 100, "budgets/blog-post")) == ["insufficient_balance"]
    complete(kernel, task)
    assert (balance(kernel, "budgets/blog-post"), balance(kernel, JANE)) == (0, 100)


def paying(on, **shares):
    """A rule of the calendar that pays each account what its expression says."""
    do = [{"kind": "transfer", "resource": "USD", "to": to, "amount": x} for to, x in shares.items()]
    return {"name": f"{on}ly", "on": on, "do": do}


@pytest.mark.req("S0-184")
def test_a_fee_of_20_a_month_funds_a_budget_that_pays_services_by_their_usage(kernel):
    usage = {"description": "share of what was used, in percent", "nature": "spend", "unit": "%"}
    services = {f"accounts/service-{x}": f'2000 * metric["{x}"] / 100' for x in "ab"}
    plan = {**PLAN, "metrics": {"a": usage, "b": usage}, "rules": [paying("month", **services)]}
    budget(kernel, "budgets/personal", schema=plan)
    wallet = {**PLAN, "rules": [paying("month", **{"budgets/personal": "2000"})]}
    budget(kernel, "budgets/wallet", amount=100, schema=wallet)

    def month(now_ns, a, b):
        for metric, value in (("a", a), ("b", b)):
            named = {"budget": "budgets/personal", "metric": metric, "value": value}
            done(kernel.native("metric.record", now_ns=now_ns - DAY, **named))
        kernel.tick(now_ns=now_ns)
        names = ("budgets/wallet", "budgets/personal", *services)
        return [balance(kernel, name) for name in names]

    kernel.tick(now_ns=JANUARY)  # nothing was used yet, the first fee is paid
    assert (balance(kernel, "budgets/wallet"), balance(kernel, "budgets/personal")) == (80, 20)
    assert month(JANUARY + FEBRUARY, 70, 30) == [60, 20, 14, 6]
    assert month(JANUARY + FEBRUARY + MARCH, 0, 100) == [40, 20, 14, 26]


@pytest.mark.req("S0-185")
def test_a_quarterly_budget_has_four_categories_and_each_holder_spends_its_own(kernel):
    budget(kernel, "budgets/team")
    company = {**PLAN, "rules": [paying("quarter", **{"budgets/team": "1000000"})]}
    budget(kernel, "budgets/company", amount=50_000, schema=company)
    shares = {"ads": 40, "travel": 30, "tools": 20, "events": 10}
    holders = {"ads": "ann", "travel": "ben", "tools": "cy", "events": "dee"}
    split = {"budget": "budgets/team", "resource": "USD", "shares": shares, "holders": holders}
    done(kernel.native("budget.split", **split))
    for quarter in (1, 2):
        kernel.tick(now_ns=quarter * 92 * DAY)
        for part, holder in holders.items():
            mine = kernel.as_principal(holder)
            for other in set(holders) - {part}:
                assert codes(post(mine, 1, f"budgets/team/{other}")) == ["not_holder"]
            assert codes(post(mine, 1, "budgets/team")) == ["not_holder"]
            done(post(mine, 100 * shares[part], f"budgets/team/{part}"))
            assert codes(post(mine, 1, f"budgets/team/{part}"))[0] == "budget_exceeded"
        assert (balance(kernel, "budgets/team"), flying(kernel, "budgets/team")) == (0, quarter * 10_000)
