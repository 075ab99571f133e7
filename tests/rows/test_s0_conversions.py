"""Beyond currency: any resource is held, counted, converted and planned like money and never mixed."""

from datetime import UTC, datetime

import cbor2
import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.events import Posted

from tests.rows.worlds import bodies, books, codes, few

B, A, MARKET, JANE = "budgets/b", "budgets/a", "accounts/market", "accounts/jane"
SCALES = {"USD": 2, "BTC": 8, "Expertise": 0, "ConsultingHours": 0, "Building": 0}
UNITS = ("LLM-Tokens", "GPU-Hours", "Storage-GB", "API-Credits")


def at(*date) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 10**9


def done(decision):
    assert decision.allowed, decision
    return decision


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as made:
        resources = {**SCALES, **dict.fromkeys(UNITS, 0)}
        manifest = {"resources": resources, "accounts": dict.fromkeys((MARKET, JANE), 0)}
        done(made.apply(manifest, now_ns=at(2026, 1, 1)))
        yield made


def create(kernel, name=B, resources=("USD",), **plan):
    schema = {"resources": {unit: SCALES.get(unit, 0) for unit in resources}, **plan}
    return done(kernel.native("budget.create", budget=name, schema=schema, pays_to=[JANE]))


def deposit(kernel, resource, amount, to=B, **more):
    return done(kernel.native("ledger.issue", resource=resource, amount=amount, to=to, **more))


def convert(kernel, resource, amount, gets, rate, by="operator", debit=B, to=B):
    sides = {"from": debit, "to": to, "counter": MARKET}
    params = {"resource": resource, "amount": amount, "gets": gets, "rate": rate, **sides}
    return kernel.as_principal(by).native("ledger.convert", **params)


def task(kernel, amounts, grant=B, now_ns=None, **more):
    intent = Intent("task.post", {"result": "work", "amounts": amounts, **more}, grant)
    return kernel.submit(intent, now_ns=now_ns)


def settle(kernel, decision, **amounts):
    payload = {"amounts": amounts} if amounts else {}
    return kernel.settle(Receipt(done(decision).intent_hash, "ok", "adapter", payload))


def held(kernel, name=B):
    """What an account holds, by resource; nothing that is zero."""
    return {unit: amount for unit, amount in kernel.state.accounts[name].balances.items() if amount}


def moves(kernel, seq=-1):
    """The postings of a frame: debit, credit, resource, amount."""
    events = list(bodies(kernel))[seq].out
    return [(x.debit, x.credit, x.resource, x.amount) for x in events if isinstance(x, Posted)]


def asked(kernel, seq):
    """The params of the native effect of a frame, as they are recorded."""
    return cbor2.loads(list(bodies(kernel))[seq].command.members[0].params)


# --- what a budget holds ----------------------------------------------------------------------------


@pytest.mark.req("S0-187")
def test_one_budget_holds_usd_and_btc_and_the_smallest_btc_is_exact(kernel):
    create(kernel, resources=("USD", "BTC"))
    deposit(kernel, "USD", "1000.00 USD")
    deposit(kernel, "BTC", "0.10000001 BTC")
    deposit(kernel, "BTC", "0.20000002 BTC")
    assert kernel.state.budgets[B].balances == {"USD": 100_000, "BTC": 30_000_003}
    settle(kernel, task(kernel, {"BTC": 1}))
    assert kernel.state.budgets[B].balances == {"USD": 100_000, "BTC": 30_000_002}
    finer = kernel.native("ledger.issue", resource="BTC", amount="0.000000001 BTC", to=B)
    assert (finer.outcome, codes(finer)) == ("deny", ["amount.fractional"])


@pytest.mark.req("S0-200", "S0-201")
def test_a_building_and_expertise_are_held_with_what_they_were_valued_at_and_buy_nothing(kernel):
    lines = {
        "house": {"resource": "Building", "amount": 1},
        "knowledge": {"resource": "Expertise", "amount": 1},
    }
    create(kernel, resources=("USD", "Building", "Expertise"), lines=lines)
    assert [kernel.state.budgets[B].lines[x]["filled"] for x in lines] == [0, 0]
    note = "valued at 250,000.00 USD by an appraiser"
    seq = deposit(kernel, "Building", 1, note=note).seq
    deposit(kernel, "Expertise", 1, note="twenty years of bridges")
    assert asked(kernel, seq)["note"] == note
    assert {x: kernel.state.budgets[B].lines[x]["share"] for x in lines} == {"house": 1, "knowledge": 1}
    assert kernel.state.budgets[B].balances == {"USD": 0, "Building": 1, "Expertise": 1}
    refused = task(kernel, {"USD": 1})
    assert codes(refused) == ["insufficient_balance"]
    assert refused.findings[0].facts["available"] == 0


@pytest.mark.req("S0-211", "S0-204")
def test_what_is_not_sold_counts_for_its_line_and_stands_apart_from_cash_as_expected(kernel):
    create(
        kernel,
        resources=("USD", "Building"),
        lines={"equipment": {"resource": "Building", "amount": 2}},
        conversions={"sale": {"gives": "Building", "gets": "USD", "rate": [750_000, 1], "counter": MARKET}},
    )
    deposit(kernel, "USD", 30_00)
    deposit(kernel, "Building", 1)
    shown = kernel.state.budgets[B]
    sale = {"conversion": "sale", "gives": "Building", "held": 1, "gets": "USD", "expected": 750_000}
    assert (shown.expected, shown.balances["USD"], shown.spendable["USD"]) == ([sale], 30_00, 30_00)
    assert (shown.lines["equipment"]["filled"], shown.lines["equipment"]["share"]) == (1, "1/2")
    deposit(kernel, "USD", 750_000, MARKET)
    done(convert(kernel, "Building", 1, "USD", [750_000, 1]))
    sold = kernel.state.budgets[B]
    assert (sold.expected[0]["expected"], sold.balances["USD"]) == (0, 753_000)
    assert sold.lines["equipment"]["filled"] == 0


@pytest.mark.req("S0-205")
@pytest.mark.parametrize("unit", UNITS)
def test_any_resource_is_posted_settled_and_cancelled_like_money(kernel, unit):
    create(kernel, resources=("USD", *UNITS))
    deposit(kernel, unit, 100)
    settle(kernel, task(kernel, {unit: 40}), **{unit: 30})
    kernel.release(done(task(kernel, {unit: 70})).intent_hash)
    open_task = done(task(kernel, {unit: 20}))
    assert (held(kernel), held(kernel, JANE)) == ({unit: 50}, {unit: 30})
    assert kernel.state.accounts[B].in_flight == {unit: 20}
    assert codes(task(kernel, {"USD": 1})) == ["insufficient_balance"]  # 50 of one are none of another
    settle(kernel, open_task)
    every = kernel.state.resources
    assert {name: row.imbalance for name, row in every.items()} == dict.fromkeys(every, 0)


@pytest.mark.req("S0-213")
@few
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(range(7)), st.sampled_from(range(7)), st.integers(1, 60), st.booleans()),
        max_size=12,
    )
)
def test_seven_units_are_each_conserved_on_their_own(steps):
    units = ["USD", "GPU-Hours", "LLM-Tokens", "Storage-GB", "API-Credits", "Expertise", "Reputation"]
    with splittally.open(None, clock="given") as kernel:
        done(kernel.apply({"resources": dict.fromkeys(units, 0), "accounts": {MARKET: 0, JANE: 0}}))
        plan = {"resources": dict.fromkeys(units, 0)}
        done(kernel.native("budget.create", budget=B, schema=plan, pays_to=[JANE]))
        for unit in units:
            deposit(kernel, unit, 100)
            deposit(kernel, unit, 100, MARKET)
        for gives, gets, amount, is_task in steps:
            if is_task:
                decision = task(kernel, {units[gives]: amount, units[gets]: amount})
                if decision.allowed and amount % 2:
                    settle(kernel, decision, **{units[gives]: amount // 2})
            else:
                convert(kernel, units[gives], amount, units[gets], [2, 3])
            for unit in units:
                accounts = kernel.state.accounts.values()
                total = sum(x.balances.get(unit, 0) for x in accounts if x.kind == "plain")
                assert total + kernel.state.resources[unit].in_flight == 200
                assert kernel.state.resources[unit].imbalance == 0
                assert kernel.state.budgets[B].balances[unit] >= 0


# --- conversions ------------------------------------------------------------------------------------


@pytest.mark.req("S0-202")
@pytest.mark.parametrize("keeps", [True, False])
def test_a_rule_turns_one_expertise_into_a_hundred_hours_each_quarter(kernel, keeps):
    advise = {"gives": "Expertise", "gets": "ConsultingHours", "rate": [100, 1], "counter": MARKET}
    rule = {
        "name": "advice",
        "on": "quarter",
        "do": [{"kind": "convert", "conversion": "advise", "amount": "1"}],
    }
    create(
        kernel,
        resources=("Expertise", "ConsultingHours"),
        conversions={"advise": {**advise, "keeps": keeps}},
        rules=[rule],
    )
    deposit(kernel, "Expertise", 2)
    deposit(kernel, "ConsultingHours", 500, MARKET)
    kernel.tick(now_ns=at(2026, 4, 1) - 1)
    assert held(kernel) == {"Expertise": 2}
    kernel.tick(now_ns=at(2026, 4, 1))
    assert held(kernel) == {"Expertise": 1, "ConsultingHours": 100}
    kernel.tick(now_ns=at(2026, 7, 1))
    kernel.tick(now_ns=at(2026, 10, 1))  # nothing is left to give: skipped, and nothing moves
    assert held(kernel) == {"ConsultingHours": 200}
    assert held(kernel, MARKET) == {"ConsultingHours": 300} | ({} if keeps else {"Expertise": 2})
    if keeps:
        assert held(kernel, f"{B}/reserved") == {"Expertise": 2}


@pytest.mark.req("S0-203")
def test_ten_hours_at_150_are_fifteen_hundred_dollars_in_one_record(kernel):
    create(kernel, resources=("USD", "ConsultingHours"))
    deposit(kernel, "ConsultingHours", 100)
    deposit(kernel, "USD", 9_000_00, MARKET)
    seq = done(convert(kernel, "ConsultingHours", 10, "USD", [150_00, 1])).seq
    assert moves(kernel, seq) == [(B, MARKET, "ConsultingHours", 10), (MARKET, B, "USD", 1_500_00)]
    assert held(kernel) == {"ConsultingHours": 90, "USD": 1_500_00}


@pytest.mark.req("S0-206", "S0-208")
def test_ten_dollars_leave_one_budget_and_a_million_tokens_come_to_another_in_one_record(kernel):
    create(kernel, A, resources=("USD",))
    create(kernel, B, resources=("LLM-Tokens",))
    deposit(kernel, "USD", 10_00, A)
    deposit(kernel, "LLM-Tokens", 5_000_000, MARKET)
    before = kernel.state.seq
    decision = done(convert(kernel, "USD", 10_00, "LLM-Tokens", [1_000, 1], debit=A, to=B))
    assert kernel.state.seq == before + 1
    assert moves(kernel) == [(A, MARKET, "USD", 10_00), (MARKET, B, "LLM-Tokens", 1_000_000)]
    assert (held(kernel, A), held(kernel, B)) == ({}, {"LLM-Tokens": 1_000_000})
    assert asked(kernel, decision.seq)["rate"] == [1_000, 1]
    books_before = books(kernel)
    assert codes(convert(kernel, "USD", 1, "LLM-Tokens", [1_000, 1], debit=A, to=B)) == [
        "insufficient_balance"
    ]
    assert books(kernel) == books_before


@pytest.mark.req("S0-207")
def test_a_conversion_needs_a_permission_and_happens_at_the_rates_it_lists(kernel):
    create(kernel, resources=("USD", "LLM-Tokens"))
    deposit(kernel, "USD", 10_00)
    deposit(kernel, "LLM-Tokens", 5_000_000, MARKET)

    def buy(rate):
        return convert(kernel, "USD", 1_00, "LLM-Tokens", rate, by="bea")

    assert not buy([1_000, 1]).allowed
    terms = {"cap": "sys/native@1", "holder": "bea", "params": {"operations": ["ledger.transfer"]}}
    done(kernel.native("grant.issue", name="transfers", terms=terms))
    assert codes(buy([1_000, 1])) == ["operation_not_covered"]
    done(kernel.native("grant.revoke", name="transfers"))
    listed = {"resource": "USD", "gets": "LLM-Tokens", "rate": [1_000, 1]}
    terms = {**terms, "params": {"operations": ["ledger.convert"], "rates": [listed]}}
    done(kernel.native("grant.issue", name="buys", terms=terms))

    def buys(rate):
        params = {"resource": "USD", "amount": 1_00, "gets": "LLM-Tokens", "rate": rate, "counter": MARKET}
        return kernel.as_principal("bea").native(
            "ledger.convert", grant="buys", **params, **{"from": B, "to": B}
        )

    assert codes(buys([1_001, 1])) == codes(buys([999, 1])) == ["rate_not_covered"]
    assert held(kernel) == {"USD": 10_00}
    done(buys([2_000, 2]))
    assert held(kernel) == {"USD": 9_00, "LLM-Tokens": 100_000}


@pytest.mark.req("S0-209")
def test_three_features_shipped_are_six_of_reputation_by_the_plan(kernel):
    units = ("FeaturesShipped", "DeveloperReputation")
    convert_all = {"kind": "convert", "conversion": "esteem", "amount": "cause.amount"}
    for unit in units:
        done(kernel.native("resource.define", resource=unit))
    create(
        kernel,
        resources=units,
        conversions={"esteem": {"gives": units[0], "gets": units[1], "rate": [2, 1], "counter": MARKET}},
        rules=[{"name": "esteem", "on": "deposit", "of": units[0], "do": [convert_all]}],
    )
    deposit(kernel, "DeveloperReputation", 1_000, MARKET)
    deposit(kernel, "FeaturesShipped", 3)
    kernel.tick()
    assert held(kernel) == {"DeveloperReputation": 6}
