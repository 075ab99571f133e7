"""Rows X6-01, X6-02, X6-03, X6-06: authority is a function of the chain, and reach is strict descent."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent, Receipt
from splittally.edge.answer_lines import readable

from tests.rows.worlds import applied, codes, few

BANK = {"USD": "accounts/bank"}
ACCOUNTS = {f"accounts/{name}": {} for name in ("alice", "bank", "petty", "shop")}
NATIVE = {"cap": "sys/native@1", "holder": "eve"}


def world(grants, **more):
    return applied({"resources": {"USD": 0}, "accounts": ACCOUNTS, "grants": grants, **more}, bank=1000)


def lists(*accounts, **more):
    return {"params": {"accounts": list(accounts), **more}}


# --- X6-01: what a principal governs ----------------------------------------------------------------

SPENDER = {
    "cap": "sys/spend@1", "holder": "eve", "delegations": 3, "pays_to": ["accounts/shop"],
    "draws_on": {"USD": "accounts/alice"},
}  # fmt: skip
CARD = {"cap": "sys/spend@1", "holder": "eve", "draws_on": BANK}


@pytest.mark.req("X6-01")
def test_a_native_child_of_a_spend_card_is_refused_and_lends_no_account():
    """A card delegates `grant.issue`, so a chain that covers the kind is no chain that governs."""
    with world({"alice": SPENDER}) as kernel:
        eve = kernel.as_principal("eve")
        made = eve.native("grant.issue", grant="alice", name="dummy", terms=NATIVE)
        assert codes(made) == ["wider_than_parent"]
        assert codes(eve.native("grant.issue", grant="alice", name="card", terms=CARD)) == [
            "account_not_yours"
        ]


@pytest.mark.req("X6-01")
@pytest.mark.parametrize(
    ("above", "below", "lends"),
    [
        (lists("accounts/petty"), {}, False),
        (lists("accounts/petty"), lists("accounts/bank"), False),
        (lists("accounts/bank"), {}, True),
        (lists("accounts/*"), lists("accounts/bank"), True),
        (lists("accounts/*", operations=["ledger.transfer"]), {}, False),
        (lists("accounts/*", operations=["grant.*"]), lists(operations=["grant.issue"]), True),
        (lists("accounts/*", resources=["EUR"]), {}, False),
        ({"expiry_ns": 5}, {}, False),
        ({}, {"expiry_ns": 5}, False),
        ({}, {}, True),
    ],
)
def test_a_native_grant_governs_what_every_grant_of_its_chain_lists(above, below, lends):
    grants = {
        "n": NATIVE | {"holder": "nobody", "delegations": 1, **above},
        "n2": NATIVE | {"parent": "n", **below},
        "alice": SPENDER,
    }
    with world(grants) as kernel:
        eve = kernel.as_principal("eve")
        made = eve.native("grant.issue", grant="alice", name="card", terms=CARD, now_ns=5)
        assert codes(made) == ([] if lends else ["account_not_yours"])
        if not lends:
            return
        assert kernel.native("grant.revoke", name="n").allowed
        made = eve.native("grant.issue", grant="alice", name="card2", terms=CARD)
        assert codes(made) == ["account_not_yours"]


@pytest.mark.req("X6-01")
def test_a_native_cap_of_ones_own_governs_nothing():
    """What its enforcer would say of lending is not known to the kernel."""
    caps = {"acme/ops@1": {"enforcer": "sys/CapAllowAll@1", "cap_type": "native"}}
    grants = {
        "ops": {"cap": "acme/ops@1", "delegations": 1},
        "n": NATIVE | {"parent": "ops"},
        "alice": SPENDER,
    }
    with world(grants, caps=caps) as kernel:
        made = kernel.as_principal("eve").native("grant.issue", grant="alice", name="card", terms=CARD)
        assert codes(made) == ["account_not_yours"]


@pytest.mark.req("X6-01")
def test_a_plan_converts_only_as_every_grant_of_the_chain_may():
    """The lists, the operations and the rates of the grant above hold for a child that states none."""

    def plan(rate):
        swap = {"gives": "USD", "gets": "EUR", "rate": rate, "counter": "accounts/bank"}
        return {"resources": {"USD": 0, "EUR": 0}, "conversions": {"swap": swap}}

    rated = lists(rates=[{"resource": "USD", "gets": "EUR", "rate": [9, 10]}])
    for above, expected in (
        (lists("accounts/petty", "budgets/*"), "account_not_covered"),
        (lists(operations=["budget.create", "grant.*"]), "account_not_yours"),
        (rated, "account_not_yours"),
        ({}, ""),
    ):
        grants = {"n": NATIVE | {"delegations": 1, **above}, "n2": NATIVE | {"parent": "n"}}
        with world(grants) as kernel:
            made = kernel.as_principal("eve").native(
                "budget.create", grant="n2", budget="budgets/x", schema=plan([1, 1])
            )
            assert codes(made)[:1] == ([expected] if expected else [])
            if above is rated:
                made = kernel.as_principal("eve").native(
                    "budget.create", grant="n2", budget="budgets/x", schema=plan([18, 20])
                )
                assert made.allowed


LISTED_RATES = {
    "none": [],
    "same": [("USD", "EUR", [9, 10])],
    "fraction": [("EUR", "USD", [1, 1]), ("USD", "EUR", [18, 20])],
    "other": [("USD", "EUR", [10, 9]), ("USD", "EUR", [9, 11])],
    "other way": [("EUR", "USD", [9, 10])],
}


@pytest.mark.req("X6-01")
@pytest.mark.parametrize("above", LISTED_RATES)
@pytest.mark.parametrize("below", LISTED_RATES)
def test_a_plan_converts_at_a_rate_that_every_grant_of_the_chain_lists_for_these_resources(above, below):
    swap = {"gives": "USD", "gets": "EUR", "rate": [9, 10], "counter": "accounts/bank"}
    plan = {"resources": {"USD": 0, "EUR": 0}, "conversions": {"swap": swap}}

    def rated(which):
        names = ("resource", "gets", "rate")
        rows = [dict(zip(names, row, strict=True)) for row in LISTED_RATES[which]]
        return {"params": {"rates": rows}} if rows else {}

    grants = {
        "n": NATIVE | {"delegations": 1, **rated(above)},
        "n2": NATIVE | {"parent": "n", **rated(below)},
    }
    with world(grants) as kernel:
        asked = {"grant": "n2", "budget": "budgets/x", "schema": plan}
        made = kernel.as_principal("eve").native("budget.create", **asked)
        is_listed = {above, below} <= {"none", "same", "fraction"}
        assert codes(made) == ([] if is_listed else ["account_not_yours"])


SWAP = {"gives": "A", "gets": "B", "rate": [10, 1], "counter": "accounts/bank"}
RULES = [
    {"name": "swap", "on": "deposit", "of": "A", "do": [
        {"kind": "convert", "conversion": "swap", "amount": "1"},
    ]},
    {"name": "pay", "on": "deposit", "of": "A", "do": [
        {"kind": "transfer", "to": "accounts/shop", "amount": "1"},
    ]},
]  # fmt: skip
RATES = [
    {"resource": resource, "gets": gets, "rate": rate}
    for resource, gets in ("AB", "BA")
    for rate in ([10, 1], [20, 2], [9, 1])
]
LISTED = st.fixed_dictionaries(
    {},
    optional={
        "accounts": st.sets(st.sampled_from(["bank", "shop", "petty"])).map(
            lambda names: ["budgets/*", *(f"accounts/{name}" for name in sorted(names))]
        ),
        "resources": st.sampled_from([["A"], ["A", "B"], ["A", "B", "USD"]]),
        "operations": st.sets(
            st.sampled_from(["budget.*", "ledger.convert", "ledger.*", "led.*", "ledger.transfer"]),
            min_size=1,
        ).map(sorted),
        "rates": st.lists(st.sampled_from(RATES), min_size=1, max_size=2),
    },
)


def lets_pay(terms):
    return (
        "accounts/shop" in terms.get("accounts", ["accounts/shop"]) and len(terms.get("resources", "AB")) > 1
    )


def lets_swap(terms):
    operations, rates = terms.get("operations", ["ledger.*"]), terms.get("rates", RATES)
    return (
        "accounts/bank" in terms.get("accounts", ["accounts/bank"])
        and len(terms.get("resources", "AB")) > 1
        and bool({"ledger.convert", "ledger.*"} & set(operations))
        and any((x["resource"], x["rate"][0]) == ("A", 10 * x["rate"][1]) for x in rates)
    )


@pytest.mark.req("X6-01")
@few
@given(above=LISTED, below=LISTED, ends=st.sampled_from([None, None, ("n", 5), ("n2", 5), ("n", 6)]))
def test_a_rule_acts_exactly_while_every_grant_that_adopted_it_is_live_and_covers_what_it_does(
    above, below, ends
):
    """Two rules of one plan are each judged alone, by the chain as it stands when they fall due."""
    plan = {"resources": {"A": 0, "B": 0}, "conversions": {"swap": SWAP}, "rules": RULES}
    grants = {"n": NATIVE | {"holder": "lead", "delegations": 1}, "n2": NATIVE | {"parent": "n"}}
    with world(grants, resources={"USD": 0, "A": 0, "B": 0}) as kernel:
        kernel.native("ledger.issue", resource="B", amount=100, to="accounts/bank")
        eve = kernel.as_principal("eve")
        assert eve.native("budget.create", grant="n2", budget="budgets/x", schema=plan).allowed
        for name, params in (("n", above), ("n2", below)):
            terms = grants[name] | {"params": params}
            terms |= {"expiry_ns": ends[1]} if ends and ends[0] == name else {}
            amended = kernel.native("grant.amend", name=name, terms=terms)
            assert amended.allowed, amended.findings
        kernel.native("ledger.issue", resource="A", amount=5, to="budgets/x", now_ns=5)
        is_live = not ends or ends[1] > 5
        held = {name: row.balances for name, row in kernel.state.accounts.items()}
        assert held["budgets/x"].get("B", 0) == (
            10 if is_live and lets_swap(above) and lets_swap(below) else 0
        )
        assert held["accounts/shop"].get("A", 0) == (is_live and lets_pay(above) and lets_pay(below))


# --- X6-02: reach of grants -------------------------------------------------------------------------

FAMILY = {
    "boss": NATIVE | {"delegations": 3},
    "sub": NATIVE | {"parent": "boss", "delegations": 2},
    "leaf": NATIVE | {"parent": "sub"},
    "twin": NATIVE | {"parent": "boss"},
    "team": {"cap": "sys/all@1", "holder": "eve", "delegations": 2, "budget": {"tokens": 100}},
    "admin": NATIVE | {"parent": "team"},
    "work": {"cap": "sys/llm.basic@1", "parent": "team", "holder": "eve", "budget": {"tokens": 5}},
    "pay": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}},
}
BELOW = {"boss": {"sub", "leaf", "twin"}, "sub": {"leaf"}, "team": {"admin", "work"}, "admin": set()}


def changes(name):
    """Each way to change a grant, with terms that no parent forbids."""
    terms = {key: value for key, value in FAMILY[name].items() if key in ("cap", "holder", "parent")}
    return {
        "grant.amend": {"terms": terms},
        "grant.topup": {"dim": "tokens", "amount": 1},
        "grant.revoke": {},
    }


@pytest.mark.req("X6-02")
@pytest.mark.parametrize("kind", ["grant.amend", "grant.topup", "grant.revoke"])
@pytest.mark.parametrize("used", BELOW)
def test_grants_are_changed_only_under_what_they_descend_from(used, kind):
    """Not the grant itself, its parent or its siblings, whichever way, and not as if they were there."""
    with world(FAMILY) as kernel:
        for name in [*FAMILY, "root"]:
            params = changes(name)[kind] if name != "root" else {**changes("pay")[kind]}
            fork = kernel.fork()
            before = dict(fork.state.grants)
            decision = fork.as_principal("eve").native(kind, grant=used, name=name, **params)
            if name in BELOW[used]:
                assert "out_of_reach" not in codes(decision)
                assert kind == "grant.topup" or decision.allowed, (name, decision.findings)
            else:
                assert codes(decision)[:1] == ["not_found"], name
                assert fork.state.grants == before


@pytest.mark.req("X6-02", "X6-03")
def test_a_native_grant_below_a_limited_team_does_not_lift_the_limits_of_the_team():
    team = {
        "cap": "sys/all@1",
        "holder": "lead",
        "budget": {"tokens": 100},
        "expiry_ns": 1000,
        "delegations": 1,
    }
    work = {"cap": "sys/llm.basic@1", "parent": "team", "holder": "eve"}
    with world({"team": team, "admin": NATIVE | {"parent": "team"}, "work": work}) as kernel:
        eve = kernel.as_principal("eve")
        assert codes(eve.native("grant.topup", grant="admin", name="team", dim="tokens", amount=9)) == [
            "not_found"
        ]
        wide = {"cap": "sys/all@1", "holder": "eve"}
        assert not eve.native("grant.amend", grant="admin", name="team", terms=wide).allowed
        late = eve.submit(Intent("llm.generate", {"max_tokens": 10**6}, "work"), now_ns=5000)
        assert "expired" in codes(late)


# --- X6-03: amending is bound like issuing ----------------------------------------------------------


@pytest.mark.req("X6-03")
def test_who_may_amend_makes_no_chat_card_into_everything_and_is_told_each_widening():
    grants = {
        "hr": NATIVE | lists("accounts/petty", operations=["grant.amend"]),
        "chat": {"cap": "sys/llm.basic@1", "holder": "eve", "budget": {"tokens": 5}},
    }
    with world(grants) as kernel:
        eve = kernel.as_principal("eve")
        terms = {"cap": "sys/all@1", "holder": "eve", "delegations": 9}
        decision = eve.native("grant.amend", grant="hr", name="chat", terms=terms)
        assert codes(decision) == ["not_found", "wider_than_parent", "wider_than_parent"]
        widened = [sorted(x.facts) for x in decision.findings[1:]]
        assert [next(iter({"cap", "delegations"} & set(facts))) for facts in widened] == [
            "cap",
            "delegations",
        ]
        assert kernel.state.grants["chat"].cap == "sys/llm.basic@1"


@pytest.mark.req("X6-03")
def test_what_is_amended_stays_narrower_than_the_grant_used_though_its_parent_states_nothing():
    """`top` bounds 10 tokens an intent; `mid`, the parent of what is amended, does not."""
    top = {"cap": "sys/all@1", "holder": "eve", "delegations": 3, "unknown_ns": 50}
    top |= {"limits": [{"dim": "tokens", "per": "intent", "amount": 10}]}
    mid = {"cap": "sys/all@1", "parent": "top", "delegations": 2}
    low = {"cap": "sys/llm.basic@1", "parent": "mid"}
    with world({"top": top, "mid": mid, "low": low}) as kernel:
        eve = kernel.as_principal("eve")
        for more, code in (
            ({"limits": [{"dim": "tokens", "per": "intent", "amount": 11}]}, ["wider_than_parent"]),
            ({"unknown_ns": 51}, ["wider_than_parent"]),
            ({"delegations": 4}, ["wider_than_parent"] * 2),
            ({"limits": [{"dim": "tokens", "per": "intent", "amount": 10}], "unknown_ns": 50}, []),
        ):
            decision = eve.native("grant.amend", grant="top", name="low", terms=low | more)
            assert codes(decision)[: len(code)] == code, more


@pytest.mark.req("X6-03")
def test_a_top_up_stays_within_the_parent_and_within_the_grant_used():
    """`top` bounds 10 tokens an intent and `mid` 100 for life; each states what the other does not."""
    top = {"cap": "sys/all@1", "holder": "eve", "delegations": 3}
    top |= {"limits": [{"dim": "tokens", "per": "intent", "amount": 10}]}
    mid = {"cap": "sys/all@1", "parent": "top", "delegations": 2, "budget": {"tokens": 100}}
    low = {"cap": "sys/llm.basic@1", "parent": "mid", "budget": {"tokens": 20}}
    low |= {"limits": [{"dim": "tokens", "per": "intent", "amount": 5}]}
    with world({"top": top, "mid": mid, "low": low}) as kernel:
        for asks in (kernel.as_principal("eve"), kernel):
            grant = {"grant": "top"} if asks is not kernel else {}
            for amount, more in ((81, {}), (6, {"per": "intent"})):
                if amount == 81 or grant:
                    told = asks.native(
                        "grant.topup", name="low", dim="tokens", amount=amount, **grant, **more
                    )
                    assert codes(told) == ["wider_than_parent"]
        for amount, more in ((80, {}), (5, {"per": "intent"})):
            eve = kernel.as_principal("eve")
            told = eve.native("grant.topup", grant="top", name="low", dim="tokens", amount=amount, **more)
            assert told.allowed, told.findings
        row = kernel.state.grants["low"]
        assert (row.budget, [x.amount for x in row.limits if x.per == "intent"]) == ({"tokens": 100}, [10])


@pytest.mark.req("X5-09")
def test_a_top_up_raises_the_limit_that_refuses_and_that_of_its_window_alone():
    stated = [("hour", "ask"), ("day", "deny"), ("hour", "deny"), ("life", "tell")]
    limits = [{"dim": "tokens", "per": per, "amount": 10, "over": over} for per, over in stated]
    with world({"g": {"cap": "sys/llm.basic@1", "limits": limits}}) as kernel:
        assert kernel.native("grant.topup", name="g", dim="tokens", per="hour", amount=3).allowed
        assert codes(kernel.native("grant.topup", name="g", dim="tokens", amount=3)) == ["not_found"]
        raised = [(x.per, x.over) for x in kernel.state.grants["g"].limits if x.amount == 13]
        assert raised == [("hour", "deny")]


@pytest.mark.req("X6-03")
@pytest.mark.parametrize("kind", ["grant.topup", "grant.amend"])
def test_a_grant_that_was_changed_is_still_its_manifests(kind):
    terms = {"cap": "sys/llm.basic@1", "budget": {"tokens": 5}}
    with world({"g": terms, "h": terms}) as kernel:
        more = (
            {"terms": terms | {"holder": "bob"}} if kind == "grant.amend" else {"dim": "tokens", "amount": 1}
        )
        assert kernel.native(kind, name="g", **more).allowed
        assert kernel.native("grant.issue", name="own", terms=terms).allowed
        manifest = {"resources": {"USD": 0}, "accounts": ACCOUNTS, "grants": {"h": terms}}
        assert kernel.apply(manifest).allowed
        assert [name for name, row in kernel.state.grants.items() if row.revoked] == ["g"]


@pytest.mark.req("X6-03")
def test_no_amendment_moves_a_grant_below_another():
    wide = {"cap": "sys/all@1", "holder": "eve", "delegations": 3}
    low = {"cap": "sys/llm.basic@1", "parent": "mid"}
    grants = {"top": wide, "mid": wide | {"parent": "top", "delegations": 2}, "low": low}
    with world(grants) as kernel:
        for asks, grant in ((kernel, "root"), (kernel.as_principal("eve"), "top")):
            for parent in ("root", "top", "low", "none"):
                terms = low | {"parent": parent}
                told = asks.native("grant.amend", grant=grant, name="low", terms=terms)
                assert codes(told)[:1] == ["cannot_change"], parent
        assert kernel.native("grant.amend", name="low", terms=low | {"holder": "bob"}).allowed
        assert kernel.state.grants["low"].chain == ["low", "mid", "top", "root"]


@pytest.mark.req("X6-01")
@pytest.mark.parametrize("kind", ["grant.issue", "grant.amend"])
def test_who_draws_on_an_account_lends_that_one_and_no_other_of_its_chain(kind):
    """`top` draws on the bank and `mid` on the petty cash, so whoever acts under `mid` has the latter."""
    top = {"cap": "sys/all@1", "delegations": 9, "draws_on": BANK}
    mid = top | {"parent": "top", "holder": "eve", "delegations": 8, "draws_on": {"USD": "accounts/petty"}}
    low = {"cap": "sys/spend@1", "parent": "mid", "doubt": "payer"}
    answers = {
        "accounts/bank": ["account_not_yours"],
        "accounts/alice": ["account_not_yours"],
        "accounts/none": ["not_found"],
        "external/issuer": ["external_account"],
        "accounts/petty": [],
    }
    with world({"top": top, "mid": mid, "low": low}) as kernel:
        eve = kernel.as_principal("eve")
        for at, (account, expected) in enumerate(answers.items()):
            name = "low" if kind == "grant.amend" else f"n{at}"
            terms = low | {"draws_on": {"USD": account}}
            assert codes(eve.native(kind, grant="mid", name=name, terms=terms)) == expected
        terms = {"cap": "sys/spend@1", "draws_on": {"USD": "external/issuer"}}
        assert codes(kernel.native("grant.issue", name="r", terms=terms)) == ["external_account"]
        terms = {"cap": "sys/spend@1", "pays_to": ["accounts/none"]}
        assert codes(kernel.native("grant.issue", name="r", terms=terms)) == ["not_found"]


# --- X6-06: reach of intents and budgets ------------------------------------------------------------

ASK = [
    {"name": "ask", "decision": "require_approval", "effect_kind": "llm.generate"},
    {"name": "rest", "decision": "allow"},
]
ENDS = {
    "approval.answer": {"answer": "approve"},
    "reservation.release": {"order": "mine"},
    "outcome.attest": {"happened": False},
    "settlement.refund": {"amounts": {"tokens": 1}},
}


def teams(kernel_policy=ASK):
    grants = {}
    for team in ("A", "B"):
        grants[f"team{team}"] = {"cap": "sys/all@1", "holder": "lead", "delegations": 2}
        grants[f"work{team}"] = {"cap": "sys/llm.basic@1", "parent": f"team{team}", "holder": "bob"}
    grants["adminA"] = NATIVE | {"parent": "teamA", "delegations": 1}
    grants["deputyA"] = NATIVE | {"parent": "adminA"}
    grants["warden"] = NATIVE
    return world(grants, policy=kernel_policy)


def prepared(kernel, grant, kind):
    """An intent of bob's in the state in which this effect is about it."""
    bob = kernel.as_principal("bob")
    digest = bob.submit(Intent("llm.generate", {"max_tokens": 5}, grant)).intent_hash
    if kind == "outcome.attest":
        assert kernel.approve(digest).allowed
        bob.settle(Receipt(digest, "unknown"))
    if kind == "settlement.refund":
        bob.settle(Receipt(digest, "ok", "", {"prompt_tokens": 1, "completion_tokens": 1}))
    return digest


@pytest.mark.req("X6-06")
@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize(
    ("used", "reached"),
    [("adminA", "A"), ("deputyA", "A"), ("warden", "AB"), ("teamA", "A")],
)
def test_intents_are_ended_only_by_who_administers_where_they_were_made(used, reached, kind):
    with teams() as kernel:
        asks = kernel.as_principal("lead" if used == "teamA" else "eve")
        for team in "AB":
            digest = prepared(kernel, f"work{team}", kind)
            before = dict(kernel.state.reservations), readable(kernel.state.counters)
            decision = asks.native(kind, grant=used, intent_hash=digest, **ENDS[kind])
            if team in reached:
                assert decision.allowed, decision.findings
            else:
                (finding,) = decision.findings
                assert (finding.stage, finding.code) == ("native", "out_of_reach")
                assert finding.facts == {"next": "escalate"}  # nothing is told of it
                assert (kernel.state.reservations, kernel.state.counters) == before


@pytest.mark.req("X6-06")
def test_an_intent_of_the_team_itself_is_not_below_it():
    with teams() as kernel:
        lead = kernel.as_principal("lead")
        digest = lead.submit(Intent("llm.generate", {"max_tokens": 5}, "teamA")).intent_hash
        eve = kernel.as_principal("eve")
        answer = {"grant": "adminA", "intent_hash": digest, "answer": "approve"}
        assert codes(eve.native("approval.answer", **answer)) == ["out_of_reach"]
        assert kernel.approve(digest).allowed
        lead.settle(Receipt(digest, "ok", "", {"prompt_tokens": 1, "completion_tokens": 1}))
        refund = {"grant": "adminA", "intent_hash": digest, "amounts": {"tokens": 1}}
        assert codes(eve.native("settlement.refund", **refund)) == ["out_of_reach"]


@pytest.mark.req("X6-06")
def test_a_native_grant_below_a_charter_does_not_reach_the_charters_own_budget():
    plan = {"resources": {"USD": 0}}
    with world({}) as kernel:
        assert kernel.native("budget.create", budget="budgets/x", schema=plan, holder="bob").allowed
        terms = {"cap": "sys/all@1", "holder": "bob", "delegations": 8, "draws_on": {"USD": "budgets/x"}}
        assert kernel.native("grant.amend", name="budgets/x", terms=terms).allowed
        bob, eve = kernel.as_principal("bob"), kernel.as_principal("eve")
        assert bob.native("grant.issue", grant="budgets/x", name="n", terms=NATIVE).allowed
        amend = {"budget": "budgets/x", "schema": plan | {"title": "mine"}}
        assert codes(eve.native("budget.amend", grant="n", **amend)) == ["out_of_reach"]
        assert eve.native("budget.create", grant="n", budget="budgets/y", schema=plan).allowed
        assert eve.native("budget.amend", grant="n", **amend | {"budget": "budgets/y"}).allowed


@pytest.mark.req("X6-06")
def test_governance_by_somebody_out_of_reach_is_refused_and_the_hold_stands():
    with teams() as kernel:
        digest = prepared(kernel, "workB", "approval.answer")
        eve = kernel.as_principal("eve")
        assert eve.release(digest, "governance", "mine").status == "refused"
        assert not eve.approve(digest).allowed
        assert kernel.state.reservations[digest].phase == "approval"


@pytest.mark.req("X6-06")
def test_budgets_are_administered_only_where_they_are_chartered():
    plan = {"resources": {"USD": 0}, "metrics": {"m": {"description": "d", "nature": "maximise"}}}
    asked = {
        "budget.amend": {"schema": plan},
        "budget.split": {"resource": "USD", "shares": {"eve": 100}, "holders": {"eve": "eve"}},
        "budget.solve": {},
        "metric.record": {"metric": "m", "value": 9},
        "budget.answer": {"item": [0, 0], "answer": "reject"},
    }
    with teams([]) as kernel:
        assert kernel.native("budget.create", budget="budgets/theirs", schema=plan, holder="bob").allowed
        eve = kernel.as_principal("eve")
        assert eve.native("budget.create", grant="adminA", budget="budgets/ours", schema=plan).allowed
        assert kernel.state.grants["budgets/ours"].chain == ["budgets/ours", "teamA", "root"]
        for kind, params in asked.items():
            theirs = eve.native(kind, grant="adminA", budget="budgets/theirs", **params)
            assert codes(theirs) == ["out_of_reach"], kind
            ours = eve.native(kind, grant="adminA", budget="budgets/ours", **params)
            assert codes(ours) == (["not_reserved"] if kind == "budget.answer" else []), kind
        for key in ("parent", "template"):
            more = (
                {"template": "budgets/theirs"}
                if key == "template"
                else {"parent": "budgets/theirs", "schema": plan}
            )
            made = eve.native("budget.create", grant="adminA", budget="budgets/more", **more)
            assert codes(made) == ["out_of_reach"]
        assert kernel.native("grant.revoke", name="teamA").allowed
        assert kernel.state.grants["budgets/ours"].revoked  # what a team made ends with the team


@pytest.mark.req("X6-04")
@pytest.mark.parametrize("near", ["payer", None])
def test_a_charter_bears_doubt_as_the_nearest_grant_above_it_that_draws(near):
    far = {"cap": "sys/all@1", "delegations": 9, "draws_on": BANK, "doubt": "payee"}
    drawing = {} if near is None else {"draws_on": {"USD": "accounts/petty"}, "doubt": near}
    team = {"cap": "sys/all@1", "delegations": 4, "parent": "far", **drawing}
    with world({"far": far, "team": team, "n": NATIVE | {"parent": "team"}}) as kernel:
        eve = kernel.as_principal("eve")
        made = eve.native("budget.create", budget="budgets/x", schema={"resources": {"USD": 0}})
        assert made.allowed, made.findings
        charter = kernel.state.grants["budgets/x"]
        assert (charter.doubt, charter.delegations) == (near or "payee", 4)
        done = kernel.native(
            "budget.create", budget="budgets/y", parent="budgets/x", schema={"resources": {"USD": 0}}
        )
        assert done.allowed
        child = kernel.state.grants["budgets/y"]
        assert (child.chain[1], child.doubt, child.delegations) == ("budgets/x", near or "payee", 4)
