"""Principals against each other: poisoned keys, borrowed answers, wider children, redirected money."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt

from tests.hostile.test_inputs import is_readable
from tests.rows.worlds import (
    ACT,
    CAP,
    act,
    apply,
    books,
    budget,
    codes,
    few,
    held,
    listen,
    manifest,
    reserves,
    settle,
    tally,
    uses,
    world,
)

KEY = {"idempotency_key": b"k" * 32}
SHARED = {"g": {"budget": {"tokens": 100}}, "theirs": {"holder": "bob", "budget": {"tokens": 100}}}


# --- keys and answers of others ---------------------------------------------------------------------


@few
@given(payloads=st.lists(st.integers(0, 3), min_size=1, max_size=5), keyed=st.booleans())
def test_nobody_uses_up_the_keys_of_a_grant_that_they_do_not_hold(payloads, keyed):
    """Keys can be guessed: a stranger who asks first must not decide, nor block, what the holder asks."""
    with world(SHARED) as kernel:
        bob = kernel.as_principal("bob")
        for amount in payloads:
            decision = act(bob, {"tokens": amount}, **KEY)
            assert (decision.outcome, codes(decision), decision.duplicate) == ("deny", ["not_holder"], False)
        mine = act(kernel, {"tokens": 1}, **KEY)
        assert (mine.outcome, mine.duplicate) == ("allow", False)
        assert act(kernel, {"tokens": 1}, **KEY).duplicate
        assert codes(act(kernel, {"tokens": 9}, **KEY)) == ["idempotency.conflict"]
        is_readable(kernel)


def test_nobody_is_told_what_was_decided_for_another():
    with world(SHARED) as kernel:
        bob = kernel.as_principal("bob")
        mine = act(kernel, {"tokens": 7}, **KEY, attempt=b"a" * 16)
        for dry in (False, True):
            intent = Intent(ACT, {"a": reserves({"tokens": 7})}, "g", **KEY)
            told = bob.decide(intent) if dry else bob.submit(intent)
            assert (told.outcome, codes(told), told.reserve) == ("deny", ["not_holder"], {})
            assert told.attempt != mine.attempt
        assert kernel.outcome(mine.intent_hash).outcome == "allow"
        assert kernel.outcome(mine.intent_hash).principal == "operator"


def test_what_a_stranger_is_refused_is_no_part_of_the_history_of_an_intent():
    """Also where its holder was only deferred, so that it may be decided afresh."""
    limits = [{"dim": "tokens", "amount": 5, "over": "defer"}]
    with world({"g": {"holder": "ann", "limits": limits}}) as kernel:
        ann, bob = kernel.as_principal("ann"), kernel.as_principal("bob")
        assert act(ann, {"tokens": 3}).allowed
        key = {"idempotency_key": b"k" * 32}
        assert codes(act(bob, {"tokens": 3}, **key)) == ["not_holder"]
        deferred = act(ann, {"tokens": 3}, **key)
        assert deferred.outcome == "defer"
        assert codes(act(bob, {"tokens": 3}, **key)) == ["not_holder"]
        told = kernel.outcome(deferred.intent_hash)
        assert (told.outcome, told.seq) == ("defer", deferred.seq)


def test_a_settle_asks_what_its_check_asked_though_a_stranger_asked_for_the_same_since(tmp_path):
    with world(SHARED, tmp_path / "w") as kernel:
        asked = listen(kernel)
        digest = act(kernel, {"tokens": 7}, **KEY, origin=("reducer", "acme/mine@1"), now_ns=5).intent_hash
        intent = Intent(ACT, {"a": reserves({"tokens": 7})}, "g", ("plan", "acme/theirs@1"), **KEY)
        kernel.as_principal("bob").submit(intent, now_ns=9)
        settle(kernel, digest, {"tokens": 7}, now_ns=11)
        check, ended = (call.message for call in asked)
        assert {name: ended[name] for name in check} == check
        assert check["origin"] == {"kind": "reducer", "name": "acme/mine@1"}
    assert tally(tmp_path / "w", "verify", "--rejudge")[0] == 0


def test_a_grant_that_changes_hands_keeps_its_answers():
    """Who holds the grant now gets the first answer: the same intent is never decided twice."""
    with world(SHARED) as kernel:
        first = act(kernel, {"tokens": 7}, **KEY)
        apply(kernel, manifest({**SHARED, "g": {**SHARED["g"], "holder": "bob"}}))
        again = act(kernel.as_principal("bob"), {"tokens": 7}, **KEY)
        assert (again.duplicate, again.seq) == (True, first.seq)
        assert codes(act(kernel, {"tokens": 7}, **KEY)) == ["not_holder"]
        assert kernel.state.counters["g"]["tokens"].reserved == 7


# --- approvals --------------------------------------------------------------------------------------

DESK = {"cap": "sys/native@1", "params": {"operations": ["approval.answer"]}}
ASK = [
    {"name": "ask", "decision": "require_approval", "effect_kind": ACT},
    {"name": "rest", "decision": "allow"},
]


def approvals(**grants):
    return world(
        {"theirs": {"holder": "bob", "budget": {"tokens": 100}, "approval_ns": 50}, **grants}, policy=ASK
    )


def test_nobody_answers_for_an_intent_of_their_own_whichever_grant_they_use():
    with approvals(desk={**DESK, "holder": "bob"}, other={**DESK, "holder": "ann"}) as kernel:
        bob, ann = kernel.as_principal("bob"), kernel.as_principal("ann")
        digest = act(bob, {"tokens": 7}, "theirs").intent_hash
        before = books(kernel)
        for answer in (bob.approve, bob.reject):
            assert codes(answer(digest)) == ["own_approval"]
        assert books(kernel) == before
        assert ann.approve(digest).allowed
        assert settle(bob, digest, {"tokens": 7}).violations == ()


def test_no_second_grant_of_the_same_holder_and_no_timeout_approves():
    with approvals(desk={**DESK, "holder": "bob"}) as kernel:
        bob = kernel.as_principal("bob")
        digest = act(bob, {"tokens": 7}, "theirs").intent_hash
        kernel.tick(now_ns=50)
        assert kernel.outcome(digest).cause == "approval_timeout"
        assert codes(kernel.approve(digest)) == ["not_reserved"]
        again = act(bob, {"tokens": 7}, "theirs").intent_hash
        settled = settle(bob, again, {"tokens": 7})
        assert settled.violation.code == "executed_without_approval"
        assert kernel.state.counters["theirs"]["tokens"].spent == 7


# --- children ---------------------------------------------------------------------------------------

PARENT = {
    "budget": {"tokens": 100},
    "limits": [{"dim": "tokens", "per": "day", "amount": 50}],
    "expiry_ns": 10**15,
    "delegations": 1,
    "draws_on": {"USD": "accounts/team"},
    "pays_to": ["accounts/vendor", "vendors/"],
    "holder": "bob",
}
WIDER = [
    ({"budget": {"tokens": 101}}, "wider_than_parent"),
    ({"limits": [{"dim": "tokens", "per": "day", "amount": 51}]}, "wider_than_parent"),
    ({"expiry_ns": 10**15 + 1}, "wider_than_parent"),
    ({"delegations": 2}, "wider_than_parent"),
    ({"pays_to": ["accounts/thief"]}, "wider_than_parent"),
    ({"pays_to": ["accounts/vendor", "accounts/"]}, "wider_than_parent"),
    ({"pays_to": ["accounts/vendor", "vendors"]}, "wider_than_parent"),
    ({"draws_on": {"USD": "accounts/rich"}}, "account_not_yours"),
    ({"draws_on": {"USD": "external/issuer"}}, "external_account"),
    ({"parent": "rich"}, "cannot_change"),
    ({"cap": "no/such@1"}, "not_found"),
]


def family(path=None):
    accounts = {f"accounts/{name}": {} for name in ("team", "vendor", "rich", "thief")} | {"vendors/x": {}}
    grants = {"parent": PARENT, "rich": {"draws_on": {"USD": "accounts/rich"}}}
    return world(grants, path, resources={"USD": 0}, accounts=accounts)


def issue(kernel, **terms):
    return kernel.native(
        "grant.issue", grant="parent", name="child", terms={"cap": CAP, "holder": "bob", **terms}
    )


@pytest.mark.parametrize(("terms", "code"), WIDER)
def test_no_child_is_wider_than_its_parent_in_anything(terms, code):
    with family() as kernel:
        bob = kernel.as_principal("bob")
        before = dict(kernel.state.grants)
        assert codes(issue(bob, **terms)) == [code]
        assert kernel.state.grants == before
        narrow = {
            "pays_to": ["vendors/x", "vendors/"],
            "delegations": 1,
            "draws_on": {"USD": "accounts/team"},
        }
        assert issue(bob, **narrow).allowed


def test_a_list_of_payees_that_is_narrowed_later_holds_for_children_that_exist():
    with family() as kernel:
        bob = kernel.as_principal("bob")
        assert kernel.native("ledger.issue", resource="USD", amount=100, to="accounts/team").allowed
        assert issue(bob, pays_to=["vendors/x"]).allowed
        digest = held(bob, {"USD": 10}, "child")
        amended = {key: value for key, value in PARENT.items() if key != "budget"}
        terms = {**amended, "cap": CAP, "pays_to": ["accounts/vendor"]}
        assert kernel.native("grant.amend", name="parent", terms=terms).allowed
        refused = act(bob, {"USD": 10}, "child")
        assert codes(refused) == ["payee_missing"]
        assert bob.settle(Receipt(digest, "ok", "", uses({"USD": 10}))).status == "settled"
        assert kernel.state.accounts["vendors/x"].balances == {"USD": 10}  # what was decided before


@few
@given(
    stated=st.lists(st.none() | st.integers(0, 100), min_size=1, max_size=5),
    asked=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), max_size=6),
)
def test_no_chain_of_delegations_spends_more_than_any_link_of_it_states(stated, asked):
    top = {} if stated[0] is None else {"budget": {"tokens": stated[0]}}
    with world({"g0": {"delegations": 9, **top}}) as kernel:
        limits = stated[:1]
        for limit in stated[1:]:
            terms = {"cap": CAP, "delegations": 9}
            terms |= {"budget": {"tokens": limit}} if limit is not None else {}
            name = f"g{len(limits)}"
            decision = kernel.native("grant.issue", grant=f"g{len(limits) - 1}", name=name, terms=terms)
            is_wider = limit is not None and limits[-1] is not None and limit > limits[-1]
            assert codes(decision) == (["wider_than_parent"] if is_wider else [])
            limits += [] if is_wider else [limit]
        spent = [0] * len(limits)
        for leaf, amount in asked:
            chain = range(min(leaf, len(limits) - 1) + 1)
            fits = all(limits[at] is None or spent[at] + amount <= limits[at] for at in chain)
            decision = act(kernel, {"tokens": amount}, f"g{chain[-1]}")
            assert decision.allowed == fits
            if fits:
                settle(kernel, decision.intent_hash, {"tokens": amount})
                spent = [used + amount if at in chain else used for at, used in enumerate(spent)]
        is_readable(kernel)


def test_who_may_delegate_may_still_not_revoke_or_change_what_is_not_below():
    with world({"a": {"holder": "bob", "delegations": 1}, "b": {"holder": "ann"}}) as kernel:
        bob = kernel.as_principal("bob")
        for kind, params in [
            ("grant.revoke", {"name": "b"}),
            ("grant.revoke", {"name": "a"}),
            ("grant.revoke", {"name": "root"}),
            ("grant.revoke", {"name": "nobody"}),
        ]:
            assert codes(bob.native(kind, grant="a", **params)) == ["not_found"]  # as if it were not there
        for kind, params in [
            ("grant.topup", {"name": "a", "dim": "tokens", "amount": 5}),
            ("grant.amend", {"name": "b", "terms": {"cap": CAP}}),
            ("ledger.issue", {"resource": "USD", "amount": 1, "to": "x"}),
            ("account.open", {"account": "x"}),
        ]:
            assert "kind_not_covered" in codes(bob.native(kind, grant="a", **params))
            assert "not_holder" in codes(bob.native(kind, grant="root", **params))
        assert codes(bob.apply({"accounts": {"x": {}}})) == ["not_holder"]


def test_a_revoked_name_is_never_used_again_and_everything_below_it_is_void(tmp_path):
    with world({"a": {"delegations": 2, **budget(tokens=9)["g"]}}, tmp_path / "w") as kernel:
        for above, name in [("a", "b"), ("b", "c")]:
            terms = {"cap": CAP, "delegations": 1}
            assert kernel.native("grant.issue", grant=above, name=name, terms=terms).allowed
        digest = held(kernel, {"tokens": 5}, "c")
        assert kernel.native("grant.revoke", name="a", order="order 66").allowed
        assert codes(kernel.native("grant.revoke", name="a")) == ["revoked"]
        for grant in "abc":
            (finding, *_) = act(kernel, {"tokens": 1}, grant).findings
            assert (finding.code, finding.facts["order"]) == ("revoked", "order 66")
        terms = {"cap": CAP}
        assert codes(kernel.native("grant.issue", name="a", terms=terms)) == ["name_taken"]
        assert codes(kernel.apply(manifest({"a": {}}))) == ["name_taken"]
        assert codes(kernel.apply(manifest({"d": {"parent": "c"}}))) == ["revoked"]
        assert "revoked" in codes(kernel.native("grant.issue", grant="c", name="d", terms=terms))
    with splittally.open(tmp_path / "w") as kernel:
        assert codes(kernel.apply(manifest({"a": {}}))) == ["name_taken"]
        assert settle(kernel, digest, {"tokens": 5}).status == "settled"
        assert kernel.state.counters["a"]["tokens"].spent == 5


@pytest.mark.parametrize(
    "grants",
    [
        {"a": {"parent": "a"}},
        {"a": {"parent": "b"}, "b": {"parent": "a"}},
        {"a": {"parent": "b"}, "b": {"parent": "c"}, "c": {"parent": "a"}, "d": {"parent": "c"}},
        {"a": {"parent": "nobody"}},
        {f"g{n}": ({"parent": f"g{n - 1}"} if n else {}) for n in range(16)},
    ],
)
def test_a_chain_that_has_no_end_or_no_root_or_too_many_links_is_refused(grants):
    with world({}) as kernel:
        before = kernel.state.root
        decision = kernel.apply(manifest(grants))
        assert decision.outcome == "deny"
        assert set(codes(decision)) <= {"not_found", "chain_too_long"}
        assert kernel.state.grants.keys() == {"root"}
        assert kernel.state.root == before


def test_a_principals_name_cannot_pretend_to_be_another():
    with world({}) as kernel:
        for name in (
            "",
            " operator",
            "operator ",
            "oper\u200bator",
            "a@1",
            "\x1b[1m",
            "é",
            "x" * 129,
            None,
            5,
        ):
            with pytest.raises(splittally.InvalidInput):
                kernel.as_principal(name)
        assert kernel.as_principal("Operator").principal == "Operator"
        assert codes(act(kernel.as_principal("Operator"), {}, "root"))[0] == "not_holder"


def test_a_plan_cannot_let_an_account_give_that_its_adopter_does_not_govern():
    """A rule converts by itself, so a plan is a way to take from whatever counter-account it names."""
    takes = {"gives": "A", "gets": "B", "rate": [1000, 1], "counter": "accounts/rich"}
    action = {"kind": "convert", "conversion": "c", "amount": "1"}
    plan = {
        "resources": {"A": 0, "B": 0},
        "conversions": {"c": takes},
        "rules": [{"name": "r", "on": "deposit", "of": "A", "do": [action]}],
    }
    native = {"cap": "sys/native@1", "holder": "eve"}
    lists = {"operations": ["budget.create", "ledger.convert"], "accounts": ["accounts/petty", "budgets/*"]}
    manifest = {
        "resources": {"A": 0, "B": 0},
        "accounts": {"accounts/rich": {}, "accounts/petty": {}},
        "grants": {"n": native | {"params": lists}},
    }
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(manifest).allowed
        assert kernel.native("ledger.issue", resource="B", amount=5000, to="accounts/rich").allowed
        assert kernel.native("ledger.issue", resource="A", amount=5, to="accounts/petty").allowed
        asked = {
            "budget": "budgets/x",
            "schema": plan,
            "resource": "A",
            "amount": 2,
            "from": "accounts/petty",
        }
        decision = kernel.as_principal("eve").native("budget.create", **asked)
        assert [finding.code for finding in decision.findings] == ["account_not_covered"]
        assert kernel.state.accounts["accounts/rich"].balances == {"B": 5000}
        assert kernel.native("budget.create", **asked).allowed  # the operator may
        assert kernel.state.accounts["accounts/rich"].balances == {"A": 1, "B": 4000}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("budget.split", {"resource": "A", "shares": {"eve": 100}, "holders": {"eve": "eve"}}),
        ("budget.amend", {"schema": {"resources": {"A": 0}, "title": "mine"}}),
        ("budget.create", {"schema": {"resources": {"A": 0}}}),
    ],
)
def test_a_native_grant_over_some_budgets_reaches_no_other(kind, params):
    lists = {"operations": ["budget.*"], "accounts": ["budgets/eve/*"]}
    grants = {"n": {"cap": "sys/native@1", "holder": "eve", "params": lists}}
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply({"resources": {"A": 0}, "grants": grants}).allowed
        schema = {"resources": {"A": 0}}
        assert kernel.native("budget.create", budget="budgets/team", schema=schema).allowed
        name = "budgets/other" if kind == "budget.create" else "budgets/team"
        decision = kernel.as_principal("eve").native(kind, budget=name, **params)
        assert [finding.code for finding in decision.findings] == ["account_not_covered"]
        assert kernel.state.budgets.keys() == {"budgets/team"}
        assert kernel.state.budgets["budgets/team"].version == 1
