"""A pool in parts: what a split gives each part, who holds it, and what it leaves to those who were there."""

from fractions import Fraction

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt

from tests.rows.budgets import done
from tests.rows.worlds import applied, codes, few, tally

COMPANY, TREASURY, JANE = "budgets/company", "accounts/treasury", "accounts/jane"
MARKETING, SALES, ADS = f"{COMPANY}/Marketing", f"{COMPANY}/Sales", f"{COMPANY}/Marketing/Ads"
SHARES = {"Development": 60, "Marketing": 25, "Sales": 15}
HOLDERS = {"Marketing": "marketing-director", "Sales": "sales-director"}
PLAN = {"resources": {"USD": 0}}


def company(funds=100, path=None):
    """A world in which the company's budget holds `funds`."""
    kernel = applied({"resources": {"USD": 0}, "accounts": {TREASURY: {}, JANE: {}}}, path)
    done(kernel, "budget.create", budget=COMPANY, schema=PLAN, pays_to=[JANE])
    deposit(kernel, funds)
    return kernel


def deposit(kernel, amount):
    if amount:
        done(kernel, "ledger.issue", resource="USD", amount=amount, to=COMPANY)


def split(kernel, **params):
    return kernel.native("budget.split", budget=COMPANY, resource="USD", **params)


def spend(kernel, amount, grant):
    """Posts a task and, where it is allowed, settles it; the decision."""
    decision = kernel.submit(Intent("task.post", {"result": "a banner", "amounts": {"USD": amount}}, grant))
    if decision.allowed:
        kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {}))
    return decision


def limits(kernel):
    """The limit of each part, by its name within the company."""
    parts = [name for name in kernel.state.budgets[COMPANY].parts if name.startswith(f"{COMPANY}/")]
    return {name.removeprefix(f"{COMPANY}/"): kernel.state.counters[name]["USD"].limit for name in parts}


def left(kernel, grant):
    counter = kernel.state.counters[grant]["USD"]
    return counter.limit - counter.spent - counter.reserved


def balance(kernel):
    return kernel.state.budgets[COMPANY].balances["USD"]


def delegate(kernel, holder, parent, name, amount, to, delegations=0):
    """A grant below the grant that `holder` acts under."""
    terms = {
        "cap": "sys/spend@1", "parent": parent, "budget": {"USD": amount}, "holder": to,
        "delegations": delegations,
    }  # fmt: skip
    return kernel.as_principal(holder).native("grant.issue", grant=parent, name=name, terms=terms)


# --- the parts --------------------------------------------------------------------------------------


@pytest.mark.req("S0-97", "S0-98")
def test_one_amendment_makes_development_60_marketing_25_and_sales_15_of_a_pool_of_100():
    with company() as kernel:
        before = kernel.state
        seq, version = before.seq, before.budgets[COMPANY].version
        assert (before.budgets[COMPANY].parts, version) == ([], 1)
        assert split(kernel, shares=SHARES).allowed
        row = kernel.state.budgets[COMPANY]
        assert (kernel.state.seq, row.version) == (seq + 1, version + 1)
        assert limits(kernel) == {"Development": 60, "Marketing": 25, "Sales": 15}
        assert row.schema["allocations"] == {"USD": SHARES}
        assert balance(kernel) == 100, "a split moves nothing"


@pytest.mark.req("S0-98")
def test_a_pool_is_split_by_amounts_as_well():
    with company() as kernel:
        assert split(kernel, amounts={"Development": 50, "Marketing": 25, "Sales": 15}).allowed
        assert limits(kernel) == {"Development": 50, "Marketing": 25, "Sales": 15}
        row = kernel.state.budgets[COMPANY]
        assert (row.version, row.schema.get("allocations")) == (1, None)


NAMES = st.text("abcdefgh", min_size=1, max_size=3)
WEIGHTS = st.dictionaries(NAMES, st.integers(0, 1_000), min_size=1, max_size=6).filter(
    lambda weights: sum(weights.values()) > 0
)


def by_largest_remainder(whole, weights):
    """Whole units first, then one each to the largest remainders, then by name; in fractions."""
    exact = {name: Fraction(whole * weight, sum(weights.values())) for name, weight in weights.items()}
    order = sorted(exact, key=lambda name: (-(exact[name] % 1), name))
    rest = whole - sum(int(share) for share in exact.values())
    return {name: int(exact[name]) + (name in order[:rest]) for name in exact}


@pytest.mark.req("S0-99")
@few
@given(pool=st.integers(0, 2**62), weights=WEIGHTS, deposits=st.lists(st.integers(1, 10_000), max_size=3))
def test_the_parts_sum_to_the_pool_to_the_smallest_unit_and_deposits_go_by_the_same_rule(
    pool, weights, deposits
):
    with company(pool) as kernel:
        assert split(kernel, shares=weights, whole=sum(weights.values())).allowed
        expected = by_largest_remainder(pool, weights)
        assert limits(kernel) == expected
        assert sum(limits(kernel).values()) == pool
        for amount in deposits:
            deposit(kernel, amount)
            for name, more in by_largest_remainder(amount, weights).items():
                expected[name] += more
            assert limits(kernel) == expected
        assert sum(limits(kernel).values()) == balance(kernel) == pool + sum(deposits)


@pytest.mark.req("S0-99")
@pytest.mark.parametrize(
    ("pool", "weights", "parts"),
    [
        (100, {"a": 1, "b": 1, "c": 1}, {"a": 34, "b": 33, "c": 33}),
        (101, {"a": 60, "b": 25, "c": 15}, {"a": 61, "b": 25, "c": 15}),
        (3, {"a": 15, "b": 25, "c": 60}, {"a": 0, "b": 1, "c": 2}),
        (2, {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 0}),
        (0, {"a": 1, "b": 1}, {"a": 0, "b": 0}),
    ],
)
def test_what_flooring_leaves_goes_to_the_largest_remainder_and_then_by_name(pool, weights, parts):
    with company(pool) as kernel:
        assert split(kernel, shares=weights, whole=sum(weights.values())).allowed
        assert limits(kernel) == parts


@pytest.mark.req("S0-99")
@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        ({"shares": {"a": 60, "b": 41}}, {"needed": 100, "value": 101, "excess": 1}),
        ({"shares": {"a": 60, "b": 39}}, {"needed": 100, "value": 99, "excess": -1}),
        ({"amounts": {"a": 60, "b": 41}}, {"needed": 101, "available": 100, "excess": 1}),
    ],
)
def test_a_split_that_does_not_keep_the_total_is_refused_and_changes_nothing(asked, facts):
    with company() as kernel:
        plan = kernel.state.budgets[COMPANY].schema_hash
        decision = split(kernel, **asked)
        assert codes(decision) == ["allocations_unequal"]
        assert decision.findings[0].facts.items() >= facts.items()
        row = kernel.state.budgets[COMPANY]
        assert (row.parts, row.schema_hash) == ([], plan)
        assert split(kernel, amounts={"a": 60, "b": 40}).allowed


@pytest.mark.req("S0-99")
def test_a_plan_that_names_one_part_for_two_resources_is_refused():
    """A part is one grant; the second would take the place of the first and its limit."""
    with company() as kernel:
        plan = {
            "resources": {"USD": 0, "Hours": 0},
            "allocations": {"USD": {"a": 60, "b": 40}, "Hours": {"a": 1, "c": 1}},
        }
        decision = kernel.native("budget.create", budget="budgets/twice", schema=plan)
        assert codes(decision) == ["name_taken"]
        assert decision.findings[0].facts["name"] == "budgets/twice/a"
        plan["allocations"]["Hours"] = {"d": 1, "c": 1}
        done(kernel, "budget.create", budget="budgets/twice", schema=plan)


@pytest.mark.req("S0-99")
@few
@given(weights=WEIGHTS, deposits=st.lists(st.integers(1, 100), min_size=1, max_size=2), data=st.data())
def test_a_deposit_raises_each_part_that_is_live_by_its_share_and_no_other(weights, deposits, data):
    """The share of a part that was revoked lapses: nobody else gets it."""
    revoked = data.draw(st.sets(st.sampled_from(sorted(weights))))
    with company(100) as kernel:
        assert split(kernel, shares=weights, whole=sum(weights.values())).allowed
        for name in sorted(revoked):
            done(kernel, "grant.revoke", name=f"{COMPANY}/{name}")
        expected = limits(kernel)
        for amount in deposits:
            deposit(kernel, amount)
            for name, more in by_largest_remainder(amount, weights).items():
                expected[name] += more if name not in revoked else 0
        assert limits(kernel) == expected


@pytest.mark.req("S0-99")
def test_a_deposit_that_one_part_cannot_take_raises_none():
    with company(0) as kernel:
        assert split(kernel, shares={"a": 50, "b": 50}).allowed
        done(kernel, "grant.topup", name=f"{COMPANY}/a", dim="USD", amount=2**64 - 1)
        before = limits(kernel)
        deposit(kernel, 10)
        assert (limits(kernel), balance(kernel)) == (before, 10)


@pytest.mark.req("S0-99")
def test_a_pool_is_shared_once_in_each_resource_and_never_under_a_revoked_charter():
    with company(10) as kernel:
        plan = {"resources": {"USD": 0, "Hours": 0, "Days": 0}}
        done(kernel, "budget.amend", budget=COMPANY, schema=plan)
        assert split(kernel, shares={"a": 60, "b": 40}).allowed
        hours = {"budget": COMPANY, "resource": "Hours"}
        done(kernel, "budget.split", **hours, shares={"h": 1, "i": 1}, whole=2)
        shared = {"USD": {"a": 60, "b": 40}, "Hours": {"h": 1, "i": 1}}
        assert kernel.state.budgets[COMPANY].schema["allocations"] == shared
        for again in ({"shares": {"x": 100}}, {"amounts": {"x": 1}}):
            assert codes(split(kernel, **again)) == ["cannot_change"]
        wrong = {"budget": COMPANY, "shares": {"x": 100}}
        assert codes(kernel.native("budget.split", **wrong, resource="Weeks")) == ["not_found"]
        bad = kernel.native("budget.split", **wrong, resource="Days", holders={"y": "ann"})
        assert codes(bad) == ["params.invalid"]
        done(kernel, "grant.revoke", name=COMPANY)
        assert "revoked" in codes(kernel.native("budget.split", **wrong, resource="Days"))
        assert "revoked" in codes(
            kernel.native("budget.split", budget=COMPANY, resource="Days", amounts={"x": 0})
        )


@pytest.mark.req("S0-98")
def test_a_part_is_of_one_resource_and_is_what_its_charter_is_now():
    """The other resource of the pool is not spent under it, though the charter draws on both."""
    with company(10) as kernel:
        done(kernel, "budget.amend", budget=COMPANY, schema={"resources": {"USD": 0, "Hours": 0}})
        done(kernel, "ledger.issue", resource="Hours", amount=10, to=COMPANY)
        params = {"resources": ["Hours", "USD"]}
        terms = {
            "cap": "sys/spend@1",
            "holder": "operator",
            "delegations": 3,
            "doubt": "payer",
            "params": params,
        }
        terms |= {"draws_on": dict.fromkeys(params["resources"], COMPANY), "pays_to": [JANE]}
        done(kernel, "grant.amend", name=COMPANY, terms=terms)
        assert split(kernel, shares={"a": 100}, holders={"a": "ann"}).allowed
        row = kernel.state.grants[f"{COMPANY}/a"]
        assert (row.holder, row.delegations, row.doubt) == ("ann", 3, "payer")
        ann = kernel.as_principal("ann")
        both = {"result": "x", "amounts": {"Hours": 1}}
        assert not ann.submit(Intent("task.post", both, f"{COMPANY}/a")).allowed
        assert spend(ann, 5, f"{COMPANY}/a").allowed
        assert spend(kernel, 5, COMPANY).allowed


@pytest.mark.req("S0-98")
def test_the_amounts_of_a_split_have_the_units_of_their_resource_and_a_pool_that_owes_has_nothing():
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply({"resources": {"USD": 2}, "accounts": {JANE: {}}}).allowed
        done(kernel, "budget.create", budget=COMPANY, schema={"resources": {"USD": 2}}, debt_limit=900)
        done(kernel, "ledger.issue", resource="USD", amount="5.00 USD", to=COMPANY)
        assert codes(split(kernel, amounts={"a": "5.01 USD"})) == ["allocations_unequal"]
        assert split(kernel, amounts={"a": "1.50 USD", "b": 350}).allowed
        assert limits(kernel) == {"a": 150, "b": 350}
        done(kernel, "ledger.transfer", resource="USD", amount=800, to=JANE, **{"from": COMPANY})
        assert split(kernel, shares={"c": 60, "d": 40}).allowed
        assert limits(kernel) == {"a": 150, "b": 350, "c": 0, "d": 0}


# --- authority over the parts -----------------------------------------------------------------------


@pytest.mark.req("S0-100")
def test_the_tree_shows_company_marketing_and_ads_with_the_authority_of_each(folder):
    with company(path=folder / "w") as kernel:
        assert split(kernel, shares=SHARES, holders=HOLDERS).allowed
        assert delegate(kernel, "marketing-director", MARKETING, ADS, 10, "ads-lead").allowed
    code, shown = tally(folder / "w", "grants")
    assert code == 0
    tree = {name: (row["parent"], row["holder"], row["budget"]) for name, row in shown["grants"].items()}
    assert tree[COMPANY] == ("root", "operator", None)
    assert tree[MARKETING] == (COMPANY, "marketing-director", {"USD": 25})
    assert tree[SALES] == (COMPANY, "sales-director", {"USD": 15})
    assert tree[ADS] == (MARKETING, "ads-lead", {"USD": 10})
    assert shown["grants"][ADS]["chain"] == [ADS, MARKETING, COMPANY, "root"]


@pytest.mark.req("S0-100")
def test_revoking_a_level_ends_what_is_below_it_and_nothing_beside_it():
    with company() as kernel:
        assert split(kernel, shares=SHARES, holders=HOLDERS).allowed
        assert delegate(kernel, "marketing-director", MARKETING, ADS, 10, "ads-lead").allowed
        done(kernel, "grant.revoke", name=MARKETING)
        assert codes(spend(kernel.as_principal("ads-lead"), 1, ADS)) == ["revoked"]
        assert codes(spend(kernel.as_principal("marketing-director"), 1, MARKETING)) == ["revoked"]
        assert spend(kernel.as_principal("sales-director"), 15, SALES).allowed


@pytest.mark.req("S0-101")
def test_the_marketing_director_spends_marketing_and_not_sales():
    with company() as kernel:
        assert split(kernel, shares=SHARES, holders=HOLDERS).allowed
        director = kernel.as_principal("marketing-director")
        for grant in (SALES, COMPANY, f"{COMPANY}/Development"):
            assert codes(spend(director, 1, grant)) == ["not_holder"]
        assert spend(director, 25, MARKETING).allowed
        decision = spend(director, 1, MARKETING)
        assert codes(decision) == ["budget_exceeded"]
        assert decision.findings[0].facts["available"] == 0
        assert (balance(kernel), left(kernel, SALES)) == (75, 15)


@pytest.mark.req("S0-102")
def test_ads_gets_10_of_25_and_after_it_spends_5_marketing_has_20_left():
    with company() as kernel:
        assert split(kernel, shares=SHARES, holders=HOLDERS).allowed
        assert delegate(kernel, "marketing-director", MARKETING, ADS, 10, "ads-lead", 1).allowed
        ads = kernel.as_principal("ads-lead")
        assert spend(ads, 5, ADS).allowed
        assert (left(kernel, ADS), left(kernel, MARKETING), left(kernel, SALES)) == (5, 20, 15)
        assert codes(spend(ads, 6, ADS)) == ["budget_exceeded"]
        assert delegate(kernel, "ads-lead", ADS, f"{ADS}/Banners", 3, "designer").allowed
        assert spend(kernel.as_principal("designer"), 3, f"{ADS}/Banners").allowed
        assert (left(kernel, ADS), left(kernel, MARKETING), balance(kernel)) == (2, 17, 92)


@pytest.mark.req("S0-102")
@few
@given(spends=st.lists(st.tuples(st.sampled_from([ADS, MARKETING]), st.integers(0, 12)), max_size=8))
def test_nothing_below_an_allocation_spends_more_than_it_has(spends):
    holders = {ADS: "ads-lead", MARKETING: "marketing-director"}
    rest = {ADS: 10, MARKETING: 25}
    with company() as kernel:
        assert split(kernel, shares=SHARES, holders=HOLDERS).allowed
        assert delegate(kernel, "marketing-director", MARKETING, ADS, 10, "ads-lead").allowed
        for grant, amount in spends:
            levels = [ADS, MARKETING] if grant == ADS else [MARKETING]
            decision = spend(kernel.as_principal(holders[grant]), amount, grant)
            assert decision.allowed == all(amount <= rest[level] for level in levels)
            for level in levels if decision.allowed else []:
                rest[level] -= amount
            assert {level: left(kernel, level) for level in rest} == rest


@pytest.mark.req("S0-103")
def test_a_permission_from_before_the_split_still_spends_up_to_its_own_limit():
    with company() as kernel:
        assert delegate(kernel, "operator", COMPANY, "old-card", 70, "carol").allowed
        before = kernel.state.grants["old-card"]
        carol = kernel.as_principal("carol")
        assert spend(carol, 30, "old-card").allowed
        assert split(kernel, shares=SHARES, holders=HOLDERS).allowed
        assert limits(kernel) == {"Development": 42, "Marketing": 18, "Sales": 10}
        assert kernel.state.grants["old-card"] == before
        assert spend(carol, 40, "old-card").allowed, "more than any part has"
        assert codes(spend(carol, 1, "old-card")) == ["budget_exceeded"]
        assert balance(kernel) == 30
        assert spend(kernel.as_principal("marketing-director"), 18, MARKETING).allowed
