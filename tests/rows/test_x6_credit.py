"""Rows X6-07 and X6-08: credit is held by somebody, and a plan is checked each time that it is adopted."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core.snapshot import dump_state, load_state
from splittally.runtime.reader import read_store
from splittally_tools.audit.verify import verify

from tests.rows.worlds import applied, codes, few, save_snapshot

NATIVE = {"cap": "sys/native@1", "holder": "eve"}
USD = {"resources": {"USD": 0}}
ACCOUNTS = {f"accounts/{name}": {} for name in ("bank", "eve", "petty", "rich")}


def world(grants, **more):
    return applied({"resources": {"USD": 0}, "accounts": ACCOUNTS, "grants": grants, **more}, bank=100)


def lent(kernel, amount, name="budgets/x", **more):
    params = {"budget": name, "schema": USD, "holder": "eve", "debt_limit": amount, **more}
    return kernel.as_principal("eve").native("budget.create", grant="n", **params)


# --- X6-07 ------------------------------------------------------------------------------------------

HELD = [
    ({"n": NATIVE}, 0),
    ({"n": NATIVE | {"budget": {"USD": 100}}}, 100),
    ({"n": NATIVE | {"budget": {"EUR": 100}}}, 0),
    ({"t": {"cap": "sys/all@1", "budget": {"USD": 100}}, "n": NATIVE | {"parent": "t"}}, 100),
    ({"t": {"cap": "sys/all@1", "draws_on": {"USD": "accounts/bank"}}, "n": NATIVE | {"parent": "t"}}, 100),
    (
        {
            "t": {"cap": "sys/all@1", "budget": {"USD": 70}, "draws_on": {"USD": "accounts/bank"}},
            "n": NATIVE | {"parent": "t", "budget": {"USD": 60}},
        },
        60,
    ),
    ({"t": {"cap": "sys/all@1", "draws_on": {"USD": "accounts/petty"}}, "n": NATIVE | {"parent": "t"}}, 0),
    (
        {
            "f": {"cap": "sys/all@1", "draws_on": {"USD": "accounts/petty"}},
            "t": {"cap": "sys/all@1", "draws_on": {"USD": "accounts/bank"}, "parent": "f"},
            "n": NATIVE | {"parent": "t"},
        },
        100,
    ),
]


@pytest.mark.req("X6-07")
@pytest.mark.parametrize(("grants", "most"), HELD)
@pytest.mark.parametrize("kind", ["budget.create", "account.open"])
def test_a_debt_limit_is_at_most_what_the_chain_that_asks_for_it_holds(grants, most, kind):
    with world(grants) as kernel:
        for amount in (10**15, most + 1):
            if kind == "budget.create":
                refused = lent(kernel, amount)
            else:
                refused = kernel.as_principal("eve").native(
                    kind, grant="n", account="accounts/new", debt_limit=amount
                )
            (finding,) = refused.findings
            assert finding.code == "insufficient_balance"
            is_hers = "t" not in grants or "budget" in grants["n"]  # what the operator's team holds is hidden
            assert finding.facts.get("available") == (most if is_hers else None)
        assert "accounts/new" not in kernel.state.accounts
        name = "budgets/x" if kind == "budget.create" else "accounts/new"
        if kind == "budget.create":
            assert lent(kernel, most).allowed
        else:
            assert kernel.as_principal("eve").native(
                kind, grant="n", account=name, debt_limit=most
            ).allowed  # fmt: skip
        assert kernel.state.accounts[name].debt_limit == most


@pytest.mark.req("X6-07")
def test_a_refused_debt_limit_says_what_the_grant_holds():
    with world({"n": NATIVE | {"budget": {"USD": 100}}}) as kernel:
        (finding,) = lent(kernel, 10**15).findings
        assert (finding.facts["needed"], finding.facts["available"]) == (10**15, 100)


@pytest.mark.req("X6-07")
@few
@given(
    holds=st.sampled_from([{"budget": {"USD": 100}}, {"draws_on": {"USD": "accounts/bank"}}]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["eve", "ben"]), st.sampled_from(["budget", "account"]), st.integers(1, 60)
        ),
        min_size=1, max_size=5,
    ),
)  # fmt: skip
def test_what_was_lent_before_counts_whoever_lent_it_and_in_whatever_way(holds, steps):
    """The model is what is left of 100. Two lend below one team, which has a limit or an account."""
    grants = {
        "t": {"cap": "sys/all@1", "delegations": 2, **holds},
        "eve": NATIVE | {"parent": "t"},
        "ben": NATIVE | {"parent": "t", "holder": "ben"},
    }
    with world(grants) as kernel:
        left = 100
        for at, (who, kind, amount) in enumerate(steps):
            asks = kernel.as_principal(who)
            if kind == "account":
                told = asks.native("account.open", account=f"accounts/a{at}", debt_limit=amount)
            else:
                plan = {"budget": f"budgets/b{at}", "schema": USD}
                told = asks.native("budget.create", debt_limit=amount, **plan)
            assert codes(told) == ([] if amount <= left else ["insufficient_balance"])
            left -= amount if amount <= left else 0


@pytest.mark.req("X6-07")
def test_a_debt_limit_is_held_in_each_resource_of_the_plan():
    plan = {"resources": {"AAA": 0, "USD": 0}}
    with world({"n": NATIVE | {"budget": {"AAA": 100, "USD": 60}}}) as kernel:
        (finding,) = lent(kernel, 61, schema=plan).findings
        assert (finding.facts["resource"], finding.facts["available"]) == ("USD", 60)
        assert lent(kernel, 60, schema=plan).allowed


@pytest.mark.req("X6-07")
def test_a_budget_whose_plan_somebody_adopts_anew_still_counts():
    with world({"n": NATIVE | {"budget": {"USD": 100}}, "m": NATIVE}) as kernel:
        assert lent(kernel, 100).allowed
        again = {"budget": "budgets/x", "schema": USD | {"title": "again"}}
        assert kernel.as_principal("eve").native("budget.amend", grant="m", **again).allowed
        assert codes(lent(kernel, 1, "budgets/y")) == ["insufficient_balance"]


@pytest.mark.req("X6-07")
def test_a_budget_below_another_borrows_no_more_than_that_one_has():
    with world({"n": NATIVE}) as kernel:
        eve = kernel.as_principal("eve")
        move = {"resource": "USD", "amount": 100, "from": "accounts/bank"}
        assert eve.native("budget.create", grant="n", budget="budgets/top", schema=USD, **move).allowed
        refused = lent(kernel, 101, parent="budgets/top")
        assert (codes(refused), refused.findings[0].facts["resource"]) == (["insufficient_balance"], "USD")
        assert lent(kernel, 100, parent="budgets/top").allowed


@pytest.mark.req("X6-07")
def test_nobody_makes_money_out_of_a_debt_that_nobody_holds():
    lists = {"operations": ["budget.create", "account.open", "ledger.transfer"]}
    with world({"n": NATIVE | {"params": lists}}) as kernel:
        eve = kernel.as_principal("eve")
        assert not lent(kernel, 10**15, pays_to=["accounts/eve"]).allowed
        assert not eve.native("account.open", account="accounts/e", debt_limit=10**9).allowed
        move = {"resource": "USD", "amount": 1, "from": "accounts/e", "to": "accounts/eve"}
        assert not eve.native("ledger.transfer", **move).allowed
        assert kernel.state.accounts["accounts/eve"].balances == {}
        # the operator lends as before
        assert kernel.native("account.open", account="accounts/credit", debt_limit=10**9).allowed


# Who may lend: `t` holds 100, or the bank does; below it some hold less, or nothing of their own.
BELOW = {"n": "t", "m": "t", "u": "t", "un": "u", "um": "u"}
lends = st.lists(
    st.tuples(st.sampled_from(sorted({*BELOW} - {"u"})), st.integers(1, 110), st.booleans()),
    min_size=1,
    max_size=8,
)
held_by = st.fixed_dictionaries({name: st.none() | st.integers(0, 120) for name in BELOW})


@pytest.mark.req("X6-07")
@few
@given(lends, held_by, st.booleans())
def test_no_sum_of_what_was_lent_below_a_grant_passes_what_it_holds(taken, limits, is_drawn):
    """By whichever of its children, each by lists of its own, so that no list covers what another opened."""
    holding = {"draws_on": {"USD": "accounts/bank"}} if is_drawn else {"budget": {"USD": 100}}
    grants = {"t": {"cap": "sys/all@1", "delegations": 5, **holding}}
    for name, above in BELOW.items():
        own = {"accounts": [f"accounts/{name}/*", f"budgets/{name}/*"]}
        terms = {"cap": "sys/all@1"} if name == "u" else {"cap": "sys/native@1", "params": own}
        bounds = [100] * (not is_drawn) + [x for x in (limits[name], limits.get(above)) if x is not None]
        if limits[name] is not None:
            terms["budget"] = {"USD": min(bounds)}
        grants[name] = terms | {"parent": above, "delegations": 5 - len(name), "holder": name}
    with world(grants) as kernel:
        given = {"t": 100} | {
            name: grants[name]["budget"]["USD"] for name in BELOW if "budget" in grants[name]
        }
        lent = dict.fromkeys(given, 0)
        for at, (name, amount, is_budget) in enumerate(taken):
            chain = [name]
            while chain[-1] in BELOW:
                chain.append(BELOW[chain[-1]])
            holders = [each for each in chain if each in given]
            asked = {"grant": name, "debt_limit": amount}
            asker = kernel.as_principal(name)
            if is_budget:
                told = asker.native("budget.create", budget=f"budgets/{name}/{at}", schema=USD, **asked)
            else:
                told = asker.native("account.open", account=f"accounts/{name}/{at}", **asked)
            fits = all(lent[each] + amount <= given[each] for each in holders)
            assert told.allowed == fits, (name, amount, given, lent, told.findings)
            for each in holders if told.allowed else ():
                lent[each] += amount
        debts = [row.debt_limit for row in kernel.state.accounts.values()]
        assert sum(debts) == lent["t"] <= 100
        assert verify(read_store(kernel)).is_sound


@pytest.mark.req("X6-07")
@pytest.mark.parametrize("kind", ["account.open", "budget.create"])
def test_one_account_is_lent_once_whoever_draws_on_it(kind):
    """Two teams of one bank, neither below the other, and their desks."""
    team = {"cap": "sys/all@1", "draws_on": {"USD": "accounts/bank"}, "delegations": 2}
    desks = {name: {"cap": "sys/native@1", "parent": name[0], "holder": name} for name in ("ad", "bd")}
    with world({"a": team, "b": team, **desks}) as kernel:
        for at, (desk, amount, is_allowed) in enumerate(
            [("ad", 60, True), ("bd", 41, False), ("bd", 40, True), ("ad", 1, False), ("bd", 1, False)]
        ):
            account, budget = {"account": f"accounts/{at}"}, {"budget": f"budgets/{at}", "schema": USD}
            new = account if kind == "account.open" else budget
            told = kernel.as_principal(desk).native(kind, grant=desk, debt_limit=amount, **new)
            assert told.allowed == is_allowed, told.findings


@pytest.mark.req("X6-07")
def test_who_lends_is_remembered_in_the_root_and_a_lender_that_is_revoked_still_counts():
    grants = {
        "t": {"cap": "sys/all@1", "budget": {"USD": 100}, "delegations": 2},
        "n": NATIVE | {"parent": "t", "params": {"accounts": ["accounts/n/*"]}},
        "m": NATIVE | {"parent": "t", "params": {"accounts": ["accounts/m/*"]}},
    }
    with world(grants) as kernel:
        eve, before = kernel.as_principal("eve"), kernel.state.root
        assert eve.native("account.open", grant="n", account="accounts/n/x", debt_limit=100).allowed
        state = kernel._world.state
        assert {name: x.grant for name, x in state.ledger.lenders.items()} == {"accounts/n/x": "n"}
        assert load_state(dump_state(state)).ledger.lenders == state.ledger.lenders
        assert kernel.state.root != before
        assert kernel.native("grant.revoke", name="n").allowed
        refused = eve.native("account.open", grant="m", account="accounts/m/x", debt_limit=1)
        assert codes(refused) == ["insufficient_balance"]
        assert verify(read_store(kernel)).is_sound


@pytest.mark.req("X6-01", "X6-07")
@few
@given(
    st.lists(
        st.tuples(st.sampled_from(["lend", "create", "spend", "owe", "transfer"]), st.integers(1, 70)),
        max_size=9,
    )
)
def test_what_is_lent_out_of_an_account_is_spent_by_nobody_else(asked):
    """A team with 100 USD lends and spends: what leaves its account and what is owed is at most 100."""
    team = {
        "cap": "sys/all@1",
        "draws_on": {"USD": "accounts/bank"},
        "pays_to": ["accounts/rich"],
        "delegations": 2,
    }
    card = {"cap": "sys/spend@1", "parent": "t", "doubt": "payer", "draws_on": {"USD": "accounts/bank"}}
    desk = {"cap": "sys/native@1", "parent": "t", "holder": "desk", "delegations": 1}
    with world({"t": team, "card": card, "desk": desk}) as kernel:
        desk, lent, spent, free = (
            kernel.as_principal("desk"),
            {},
            0,
            kernel.state.accounts["accounts/bank"].spendable,
        )
        assert free == {"USD": 100}
        for at, (what, amount) in enumerate(asked):
            left = 100 - spent - sum(lent.values())
            if what == "lend":
                told = desk.native("account.open", grant="desk", account=f"accounts/{at}", debt_limit=amount)
                lent |= {f"accounts/{at}": amount} if told.allowed else {}
            elif what == "create":
                funded = {"amount": amount, "resource": "USD", "from": "accounts/bank"}
                new = {"budget": f"budgets/{at}", "schema": USD, "debt_limit": amount}
                told = desk.native("budget.create", grant="desk", **new, **funded)
                lent |= {f"budgets/{at}": amount} if told.allowed else {}
                spent += amount * told.allowed
                amount *= 2
            elif what == "spend":
                task = Intent("task.post", {"result": "r", "amounts": {"USD": amount}}, "card")
                told = kernel.submit(task)
                spent += amount * told.allowed
            elif what == "transfer":
                asked_for = {
                    "resource": "USD",
                    "amount": amount,
                    "from": "accounts/bank",
                    "to": "accounts/rich",
                }
                told = desk.native("ledger.transfer", grant="desk", **asked_for)
                spent += amount * told.allowed
            else:  # a borrower makes its debt
                name = next((x for x in sorted(lent) if x.startswith("accounts/")), "")
                if not name:
                    continue
                owes = -kernel.state.accounts[name].balances.get("USD", 0)
                asked_for = {"resource": "USD", "amount": amount, "from": name, "to": "accounts/rich"}
                told = desk.native("ledger.transfer", grant="desk", **asked_for)
                assert told.allowed == (owes + amount <= lent[name]), told.findings
                continue
            assert told.allowed == (amount <= left), (what, amount, left, told.findings)
        rows = kernel.state.accounts
        owed = sum(max(0, -rows[name].balances.get("USD", 0)) for name in lent)
        assert owed + spent <= 100
        assert rows["accounts/bank"].spendable["USD"] == 100 - spent - sum(lent.values())
        assert verify(read_store(kernel)).is_sound


@pytest.mark.req("X6-07")
def test_what_is_lent_is_lent_in_a_world_that_is_opened_again(tmp_path):
    """From a snapshot, in a fork, and in a dry run."""
    team = {"cap": "sys/all@1", "holder": "eve", "draws_on": {"USD": "accounts/bank"}, "delegations": 1}
    document = {"resources": {"USD": 0}, "accounts": ACCOUNTS, "grants": {"t": team}}
    moved = {"grant": "t", "resource": "USD", "amount": 41, "from": "accounts/bank", "to": "accounts/rich"}
    with applied(document, tmp_path, bank=100) as kernel:
        eve = kernel.as_principal("eve")
        assert eve.native("account.open", grant="t", account="accounts/new", debt_limit=60).allowed
        assert not eve.fork().native("ledger.transfer", **moved).allowed
        save_snapshot(kernel)
    with splittally.open(tmp_path) as kernel:
        eve = kernel.as_principal("eve")
        assert codes(eve.native("ledger.transfer", **moved)) == ["insufficient_balance"]
        assert eve.native("ledger.transfer", **moved | {"amount": 40}).allowed
        assert kernel.state.accounts["accounts/bank"].spendable == {"USD": 0}


# --- X6-08 ------------------------------------------------------------------------------------------

SWAP = {"gives": "A", "gets": "B", "rate": [10, 1], "counter": "accounts/rich"}
RULE = {
    "name": "r", "on": "deposit", "of": "A", "do": [{"kind": "convert", "conversion": "c", "amount": "1"}],
}  # fmt: skip
TAKING = {"resources": {"A": 0, "B": 0}, "conversions": {"c": SWAP}, "rules": [RULE]}
ADOPTERS = {
    "ann": {"cap": "sys/native@1", "holder": "ann"},
    "eve": NATIVE | {"params": {"operations": ["budget.*"], "accounts": ["budgets/*"]}},
    "max": {"cap": "sys/native@1", "holder": "max", "params": {"operations": ["budget.*", "ledger.*"]}},
}


@pytest.fixture
def adopted():
    with world(ADOPTERS, resources={"USD": 0, "A": 0, "B": 0}) as kernel:
        assert kernel.native("ledger.issue", resource="B", amount=500, to="accounts/rich").allowed
        made = kernel.as_principal("ann").native("budget.create", budget="budgets/x", schema=TAKING)
        assert made.allowed
        yield kernel


def split(kernel, who, resource="A"):
    return kernel.as_principal(who).native(
        "budget.split", budget="budgets/x", resource=resource, shares={"p": 100}
    )


def taken(kernel):
    """What the rule takes when the budget gets something now."""
    before = kernel.state.accounts["accounts/rich"].balances["B"]
    assert kernel.native("ledger.issue", resource="A", amount=5, to="budgets/x").allowed
    kernel.tick(now_ns=kernel.state.now_ns + 1)
    return before - kernel.state.accounts["accounts/rich"].balances["B"]


def adopter(kernel):
    return kernel._world.state.plans.budgets["budgets/x"].adopted_by


@pytest.mark.req("X6-08")
def test_a_split_leaves_the_plan_with_who_adopted_it(adopted):
    assert split(adopted, "eve").allowed
    assert (adopter(adopted), taken(adopted)) == ("ann", 10)


@pytest.mark.req("X6-08")
def test_after_the_adopters_revocation_a_split_readopts_only_what_who_splits_governs(adopted):
    assert adopted.native("grant.revoke", name="ann").allowed
    assert taken(adopted) == 0
    refused = split(adopted, "eve")
    assert codes(refused) == ["account_not_yours"]
    assert refused.findings[0].facts["account"] == "accounts/rich"
    assert (adopter(adopted), taken(adopted)) == ("ann", 0)
    assert split(adopted, "max").allowed
    assert (adopter(adopted), taken(adopted)) == ("max", 10)


@pytest.mark.req("X6-08")
def test_an_adopter_whose_lists_were_narrowed_since_keeps_no_conversion_through_a_split(adopted):
    narrowed = {**ADOPTERS["ann"], "params": {"accounts": ["budgets/*"]}}
    assert adopted.native("grant.amend", name="ann", terms=narrowed).allowed
    assert taken(adopted) == 0
    assert codes(split(adopted, "eve")) == ["account_not_yours"]
    assert adopted.native("budget.split", budget="budgets/x", resource="A", shares={"p": 100}).allowed
    assert (adopter(adopted), taken(adopted)) == ("root", 10)


@pytest.mark.req("X6-08")
def test_every_adoption_finds_the_same(adopted):
    """Create, amend and split by who may split and not convert, each of a plan that converts."""
    free = {"cap": "sys/native@1", "params": {"operations": ["budget.*"]}, "holder": "eve"}
    assert adopted.native("grant.issue", name="free", terms=free).allowed
    eve = adopted.as_principal("eve")
    made = eve.native("budget.create", grant="free", budget="budgets/y", schema=TAKING)
    copied = eve.native("budget.create", grant="free", budget="budgets/y", template="budgets/x")
    amended = eve.native("budget.amend", grant="free", budget="budgets/x", schema=TAKING | {"title": "x"})
    assert adopted.native("grant.revoke", name="ann").allowed
    parted = eve.native("budget.split", grant="free", budget="budgets/x", resource="A", shares={"p": 100})
    for decision in (made, copied, amended, parted):
        assert codes(decision) == ["account_not_yours"]
    rule = {
        "name": "leak",
        "on": "deposit",
        "do": [{"kind": "transfer", "to": "accounts/eve", "amount": "1"}],
    }
    leaking = {"resources": {"A": 0, "B": 0}, "rules": [rule]}
    assert adopted.as_principal("max").native("budget.create", budget="budgets/z", schema=leaking).allowed
    assert adopted.native("grant.revoke", name="max").allowed
    parted = eve.native("budget.split", grant="eve", budget="budgets/z", resource="A", shares={"p": 100})
    assert codes(parted) == ["account_not_yours"]


def test_a_task_is_not_paid_out_of_a_debt_that_was_refused():
    with world({"n": NATIVE}) as kernel:
        lent(kernel, 10**15, pays_to=["accounts/eve"])
        task = Intent("task.post", {"result": "x", "amounts": {"USD": 10**14}}, "budgets/x")
        assert codes(kernel.as_principal("eve").submit(task)) == ["unknown_grant"]
