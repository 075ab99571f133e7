"""Budgets, parts, cards and limits together: what one offers another, and what a refusal leaves as it was."""

from datetime import UTC, datetime

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.events import Decided

from tests.rows.worlds import books, codes, recorded

TREASURY, JANE, B, CHILD = "accounts/treasury", "accounts/jane", "budgets/b", "budgets/b-child"
PLAN = {"resources": {"USD": 0}}


def at(*date) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 10**9


def done(decision):
    assert decision.allowed, decision
    return decision


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as made:
        accounts = {TREASURY: {}, JANE: {}, "accounts/credit": {"debt_limit": 1_000}}
        resources = dict.fromkeys(("USD", "GPU-Hours", "LLM-Tokens", "Carbon-Debt"), 0)
        done(made.apply({"resources": resources, "accounts": accounts}, now_ns=at(2026, 1, 1)))
        deposit(made, "USD", 1_000_000, TREASURY)
        yield made


def deposit(kernel, resource, amount, to=B):
    return done(kernel.native("ledger.issue", resource=resource, amount=amount, to=to))


def create(kernel, name=B, amount=0, resources=("USD",), debit=TREASURY, **fields):
    plan = {"resources": dict.fromkeys(resources, 0), **fields.pop("plan", {})}
    funding = {"resource": "USD", "amount": amount, "from": debit} if amount else {}
    return kernel.native("budget.create", budget=name, schema=plan, pays_to=[JANE], **funding, **fields)


def permit(kernel, name, parent=B, by="operator", **terms):
    params = {"name": name, "terms": {"cap": "sys/spend@1", **terms}}
    return kernel.as_principal(by).submit(Intent("grant.issue", params, parent))


def task(kernel, amounts, grant=B, by="operator", now_ns=None, **more):
    intent = Intent("task.post", {"result": "work", "amounts": amounts, **more}, grant)
    return kernel.as_principal(by).submit(intent, now_ns=now_ns)


def settle(kernel, decision, by="operator"):
    receipt = Receipt(done(decision).intent_hash, "ok", "adapter", {})
    return kernel.as_principal(by).settle(receipt)


def balance(kernel, name=B, resource="USD"):
    return kernel.state.accounts[name].balances.get(resource, 0)


# --- budgets ----------------------------------------------------------------------------------------


@pytest.mark.req("X0-01")
def test_of_several_budgets_the_first_that_passes_alone_pays_and_halves_are_never_pooled(kernel):
    done(create(kernel, "budgets/a", 60))
    done(create(kernel, B, 100))

    def offer(key, amount, *grants):
        params = {"result": "work", "amounts": {"USD": amount}}
        intents = [Intent("task.post", params, x, idempotency_key=bytes([key]) * 32) for x in grants]
        return kernel.submit(intents, mode="first")

    taken = done(offer(1, 80, "budgets/a", B))
    assert [x.code for x in taken.findings] == ["insufficient_balance"]  # what the first said
    assert (balance(kernel, "budgets/a"), balance(kernel)) == (60, 20)
    before = books(kernel)
    assert not offer(2, 80, "budgets/a", B).allowed  # 60 and 20 are 80, in two budgets
    assert books(kernel) == before
    done(offer(3, 20, B, "budgets/a"))
    assert (balance(kernel, "budgets/a"), balance(kernel)) == (60, 0)


@pytest.mark.req("X0-04")
def test_a_child_is_created_and_funded_in_one_record_or_not_at_all(kernel):
    done(create(kernel, B, 50_000))
    seq = kernel.state.seq
    assert done(create(kernel, CHILD, 10_000, debit=B, parent=B)).seq == seq
    assert kernel.state.seq == seq + 1
    assert (balance(kernel), balance(kernel, CHILD)) == (40_000, 10_000)
    before = kernel.state.tables()
    refused = create(kernel, "budgets/other", 40_001, debit=B, parent=B)
    assert codes(refused) == ["insufficient_balance"]
    assert refused.findings[0].facts["shortage"] == 1
    after = kernel.state.tables()
    tables = ("accounts", "balances", "budgets", "grants", "resources")
    assert {x: after[x] for x in tables} == {x: before[x] for x in tables}
    assert "budgets/other" not in kernel.state.accounts


@pytest.mark.req("X0-05")
def test_a_child_may_not_allow_a_resource_that_its_parent_does_not(kernel):
    done(create(kernel, resources=("USD", "GPU-Hours")))
    refused = create(kernel, CHILD, resources=("USD", "LLM-Tokens"), parent=B)
    assert codes(refused) == ["wider_than_parent"]
    facts = refused.findings[0].facts
    assert (facts["resource"], facts["available"]) == ("LLM-Tokens", ["GPU-Hours", "USD"])
    assert CHILD not in kernel.state.budgets
    done(create(kernel, CHILD, resources=("USD",), parent=B))
    wider = {"resources": {"USD": 0, "LLM-Tokens": 0}}
    assert "wider_than_parent" in codes(kernel.native("budget.amend", budget=CHILD, schema=wider))


@pytest.mark.req("X0-06")
def test_voiding_a_directors_card_ends_the_leads_at_once_and_what_is_in_flight_still_settles(kernel):
    done(create(kernel, B, 1_000))
    done(permit(kernel, "cards/director", holder="dana", delegations=2))
    done(permit(kernel, "cards/lead", "cards/director", "dana", holder="lee"))
    done(create(kernel, CHILD, 100, debit=B, parent=B, holder="kit"))
    flying = done(task(kernel, {"USD": 300}, "cards/lead", "lee"))
    done(kernel.native("grant.revoke", name="cards/director"))
    refused = task(kernel, {"USD": 1}, "cards/lead", "lee")
    assert (codes(refused), refused.findings[0].facts["grant"]) == (["revoked"], "cards/director")
    assert settle(kernel, flying, "lee").status == "settled"
    assert (balance(kernel), balance(kernel, JANE)) == (600, 300)
    done(task(kernel, {"USD": 1}, CHILD, "kit"))
    done(kernel.native("grant.revoke", name=B))  # the budget's charter: children go with it
    assert codes(task(kernel, {"USD": 1}, CHILD, "kit")) == ["revoked"]
    assert codes(task(kernel, {"USD": 1})) == ["revoked"]


@pytest.mark.req("X0-07")
def test_a_budget_without_funds_authorises_what_is_free_and_nothing_that_costs(kernel):
    done(create(kernel))
    settle(kernel, task(kernel, {}))
    settle(kernel, task(kernel, {"USD": 0}))
    refused = task(kernel, {"USD": 1})
    assert codes(refused) == ["insufficient_balance"]
    assert (refused.findings[0].facts["needed"], refused.findings[0].facts["available"]) == (1, 0)


@pytest.mark.req("X0-08")
def test_the_first_budget_is_made_under_the_root_and_every_later_grant_traces_to_it(kernel):
    first = done(create(kernel, "budgets/platform", 1_000))
    assert kernel.outcome(first.intent_hash).grant == "root"
    done(create(kernel, B, parent="budgets/platform"))
    done(create(kernel, CHILD, parent=B))
    done(permit(kernel, "cards/lead", CHILD))
    shown = kernel.state.grants
    assert shown["cards/lead"].chain == ["cards/lead", CHILD, B, "budgets/platform", "root"]
    assert {row.chain[-1] for row in shown.values()} == {"root"}
    assert not kernel.as_principal("eve").native("budget.create", budget="budgets/eve", schema=PLAN).allowed


@pytest.mark.req("X0-26")
def test_a_debt_is_accumulated_as_a_metric_and_as_a_balance_below_zero_down_to_its_limit(kernel):
    plan = {
        "metrics": {"carbon": {"description": "kg owed", "nature": "debt", "target": -1_000}},
        "lines": {"carbon": {"resource": "Carbon-Debt", "amount": -1_000}},
    }
    done(create(kernel, resources=("USD", "Carbon-Debt"), plan=plan, debt_limit=1_000))
    for value in (-200, -750):  # more below zero is better: nearer to the target
        done(kernel.native("metric.record", budget=B, metric="carbon", value=value))
    metric = kernel.state.budgets[B].metrics["carbon"]
    assert (metric["value"], metric["count"], metric["target"]) == (-750, 2, -1_000)
    assert metric["nature"] == "debt"
    move = {"from": B, "to": JANE, "resource": "Carbon-Debt"}
    done(kernel.native("ledger.transfer", amount=750, **move))
    line = kernel.state.budgets[B].lines["carbon"]
    assert (line["planned"], line["filled"], line["share"]) == (-1_000, -750, "3/4")
    done(kernel.native("ledger.transfer", amount=250, **move))
    assert (balance(kernel, B, "Carbon-Debt"), balance(kernel, JANE, "Carbon-Debt")) == (-1_000, 1_000)
    assert kernel.state.budgets[B].lines["carbon"]["share"] == 1
    assert codes(kernel.native("ledger.transfer", amount=1, **move)) == ["insufficient_balance"]
    assert kernel.state.resources["Carbon-Debt"].imbalance == 0


@pytest.mark.req("X0-28")
def test_parts_of_23000_below_a_pool_of_20000_are_refused_with_the_excess_of_3000(kernel):
    done(create(kernel, B, 20_000))
    parts = {"search": 10_000, "social": 10_000, "print": 3_000}
    refused = kernel.native("budget.split", budget=B, resource="USD", amounts=parts)
    assert codes(refused) == ["allocations_unequal"]
    facts = refused.findings[0].facts
    assert (facts["needed"], facts["available"], facts["excess"]) == (23_000, 20_000, 3_000)
    assert kernel.state.budgets[B].parts == []
    del parts["print"]
    done(kernel.native("budget.split", budget=B, resource="USD", amounts=parts))
    assert kernel.state.budgets[B].parts == [f"{B}/search", f"{B}/social"]


@pytest.mark.req("X0-01")
@pytest.mark.parametrize(
    "asked", [(10, 20, []), (10, 21, ["constraint_unmet"]), (21, 20, ["constraint_unmet"])]
)
def test_every_budget_that_pays_for_a_task_is_asked_whether_its_plan_holds(kernel, asked):
    """Two budgets of 70 pay one resource each, and each needs 50."""
    usd, hours, expected = asked
    names = {"USD": "budgets/a", "GPU-Hours": "budgets/b"}
    for resource, name in names.items():
        least = [{"name": "least", "resource": resource, "minimum": 50}]
        done(create(kernel, name, resources=(resource,), plan={"constraints": least}))
        deposit(kernel, resource, 70, name)
    card = {"cap": "sys/spend@1", "draws_on": names, "pays_to": [JANE]}
    done(kernel.native("grant.issue", name="card", terms=card))
    decision = task(kernel, {"USD": usd, "GPU-Hours": hours}, "card")
    assert codes(decision) == expected
    assert decision.allowed == (expected == [])
    short = task(kernel, {"USD": 71, "GPU-Hours": 72}, "card")
    found = {(x.code, x.facts["resource"]) for x in short.findings}
    assert found == {("insufficient_balance", "USD"), ("insufficient_balance", "GPU-Hours")}


# --- permissions and limits -------------------------------------------------------------------------


@pytest.mark.req("X0-30")
def test_up_to_5000_runs_above_waits_and_above_10000_is_refused(kernel):
    done(create(kernel, B, 50_000))
    most = [{"dim": "USD", "per": "intent", "amount": 10_000}]
    asks = [{"dim": "USD", "per": "intent", "amount": 5_000, "over": "ask"}]
    done(permit(kernel, "cards/buyer", limits=most + asks))
    outcomes = [(x, task(kernel, {"USD": x}, "cards/buyer")) for x in (4_000, 5_000, 6_000, 10_000)]
    assert [(amount, decision.outcome) for amount, decision in outcomes] == [
        (4_000, "allow"), (5_000, "allow"), (6_000, "require_approval"), (10_000, "require_approval"),
    ]  # fmt: skip
    assert codes(outcomes[2][1]) == ["approval_threshold"]
    refused = task(kernel, {"USD": 11_000}, "cards/buyer")
    assert (refused.outcome, refused.findings[0].code) == ("deny", "intent_limit_exceeded")
    assert refused.findings[0].facts["available"] == 10_000
    assert balance(kernel) == 25_000
    done(kernel.approve(outcomes[2][1].intent_hash))
    settled = kernel.settle(Receipt(outcomes[2][1].intent_hash, "ok", "adapter", {}))
    assert (settled.status, settled.violations, balance(kernel, JANE)) == ("settled", (), 6_000)


@pytest.mark.req("X0-31")
def test_an_expired_permission_spends_nothing_and_settles_what_it_committed(kernel):
    done(create(kernel, B, 1_000))
    ends = at(2026, 2, 1)
    done(permit(kernel, "cards/january", expiry_ns=ends))
    early = done(task(kernel, {"USD": 100}, "cards/january", now_ns=ends - 1))
    late = task(kernel, {"USD": 100}, "cards/january", now_ns=ends)
    assert (codes(late), late.findings[0].facts["expiry_ns"]) == (["expired"], ends)
    assert settle(kernel, early).status == "settled"
    assert (balance(kernel), balance(kernel, JANE)) == (900, 100)


@pytest.mark.req("X5-15")
def test_two_cards_on_one_pool_are_served_in_order_and_two_budgets_of_50_do_not_touch_each_other(kernel):
    done(create(kernel, B, 100))
    for name in ("ann", "ben"):
        done(permit(kernel, f"cards/{name}", holder=name, budget={"USD": 80}))
    done(task(kernel, {"USD": 80}, "cards/ann", "ann"))
    second = task(kernel, {"USD": 80}, "cards/ben", "ben")
    assert codes(second) == ["insufficient_balance"]
    assert "available" not in second.findings[0].facts  # the pool is not ben's
    done(task(kernel, {"USD": 20}, "cards/ben", "ben"))
    done(create(kernel, "budgets/pool", 100))
    for name in ("ann", "ben"):
        done(create(kernel, f"budgets/{name}", 50, debit="budgets/pool", parent="budgets/pool", holder=name))
    assert codes(task(kernel, {"USD": 51}, "budgets/ann", "ann")) == ["insufficient_balance"]
    done(task(kernel, {"USD": 50}, "budgets/ann", "ann"))
    assert codes(task(kernel, {"USD": 1}, "budgets/ann", "ann")) == ["insufficient_balance"]
    assert codes(task(kernel, {"USD": 1}, "budgets/ben", "ann")) == ["not_holder"]
    done(task(kernel, {"USD": 50}, "budgets/ben", "ben"))


@pytest.mark.req("X5-19")
def test_a_limit_in_shadow_admits_everything_and_records_what_it_would_have_refused(kernel):
    done(create(kernel, B, 1_000))
    done(permit(kernel, "cards/tried", limits=[{"dim": "USD", "amount": 10, "over": "shadow"}]))
    decisions = [done(task(kernel, {"USD": 4}, "cards/tried")) for _ in range(4)]
    assert [codes(x) for x in decisions] == [[], [], ["shadow_exceeded"], ["shadow_exceeded"]]
    told = {x.intent_hash: [y.code for y in x.findings] for x in recorded(kernel, Decided)}
    assert [told[x.intent_hash] for x in decisions] == [codes(x) for x in decisions]
    assert (kernel.state.counters["cards/tried"]["USD"].reserved, balance(kernel)) == (16, 984)


@pytest.mark.req("S0-190")
def test_a_giver_who_allows_a_tenth_for_travel_is_told_of_by_the_card_that_refuses_more(kernel):
    done(create(kernel, B, 1_000_00))
    terms = {
        "cap": "sys/spend@1",
        "params": {"resources": ["USD"], "purposes": ["travel"]},
        "limits": [{"dim": "USD", "amount": 100_00}],
    }
    done(kernel.native("grant.issue", grant=B, name="cards/travel", terms=terms))
    done(task(kernel, {"USD": 100_00}, "cards/travel", purpose="travel"))
    refused = task(kernel, {"USD": 1}, "cards/travel", purpose="travel")
    assert codes(refused) == ["budget_exceeded"]
    facts = refused.findings[0].facts
    assert (facts["grant"], facts["needed"], facts["available"]) == ("cards/travel", 1, 0)
    assert codes(task(kernel, {"USD": 1}, "cards/travel", purpose="food")) == ["purpose_not_permitted"]
    done(task(kernel, {"USD": 900_00}))  # what is not travel is not bound by it


@pytest.mark.req("S0-191")
def test_a_month_sets_hours_and_tokens_and_using_up_the_hours_leaves_the_tokens(kernel):
    done(create(kernel, resources=("GPU-Hours", "LLM-Tokens")))
    deposit(kernel, "GPU-Hours", 9_000)
    deposit(kernel, "LLM-Tokens", 900_000_000)
    monthly = {"GPU-Hours": 1_000, "LLM-Tokens": 50_000_000}
    limits = [{"dim": dim, "per": "month", "amount": amount} for dim, amount in monthly.items()]
    terms = {"cap": "sys/spend@1", "params": {"resources": sorted(monthly)}, "limits": limits}
    done(kernel.native("grant.issue", grant=B, name="runs", terms=terms))
    settle(kernel, task(kernel, {"GPU-Hours": 1_000}, "runs"))
    refused = task(kernel, {"GPU-Hours": 1}, "runs", now_ns=at(2026, 1, 31, 23, 59))
    assert codes(refused) == ["budget_exceeded"]
    assert (refused.findings[0].facts["dim"], refused.findings[0].facts["per"]) == ("GPU-Hours", "month")
    settle(kernel, task(kernel, {"LLM-Tokens": 50_000_000}, "runs"))
    done(task(kernel, monthly, "runs", now_ns=at(2026, 2, 1)))  # both anew, and no more than that
    for dim in monthly:
        assert codes(task(kernel, {dim: 1}, "runs")) == ["budget_exceeded"]
