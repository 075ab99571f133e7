"""Row X6-05: the kernel computes what a native effect touches and holds it against each list of the chain."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from msgspec.structs import replace
from splittally import Intent
from splittally.core.canonical import encode
from splittally.core.native import NATIVE
from splittally.core.native.row import NOTHING

OWN = ["accounts/a", "accounts/b", "budgets/own/*"]
PLAN = {"resources": {"USD": 0}}
LEAK = {"name": "leak", "on": "deposit", "do": [{"kind": "transfer", "to": "accounts/evil", "amount": "1"}]}
SWAP = {"gives": "USD", "gets": "EUR", "rate": [1, 1], "counter": "accounts/evil"}
LEAKING = PLAN | {"rules": [LEAK]}
SWAPPING = {"resources": {"USD": 0, "EUR": 0}, "conversions": {"swap": SWAP}}
CARD = {"cap": "sys/spend@1", "draws_on": {"USD": "accounts/a"}, "pays_to": ["accounts/b"]}
MOVE = {"resource": "USD", "amount": 1, "from": "accounts/a", "to": "accounts/b"}
CONVERT = {"gets": "EUR", "rate": [1, 1], "counter": "accounts/b", **MOVE}

# kind -> params that stay within the lists, each with changes that name something outside them
WITHIN = {
    "resource.define": ({"resource": "EUR"}, [{"resource": "GOLD"}]),
    "account.open": ({"account": "budgets/own/x"}, [{"account": "accounts/evil"}]),
    "ledger.issue": (MOVE | {"from": "accounts/a"}, [{"to": "accounts/evil"}, {"resource": "GOLD"}]),
    "ledger.transfer": (MOVE, [{"from": "accounts/evil"}, {"to": "accounts/evil"}, {"resource": "GOLD"}]),
    "ledger.convert": (
        CONVERT,
        [{name: "accounts/evil"} for name in ("from", "to", "counter")]
        + [{"gets": "GOLD"}, {"resource": "GOLD"}],
    ),
    "grant.issue": (
        {"name": "card", "terms": CARD},
        [
            {"terms": CARD | {"draws_on": {"USD": "accounts/evil"}}},
            {"terms": CARD | {"draws_on": {"GOLD": "accounts/a"}}},
            {"terms": CARD | {"pays_to": ["accounts/b", "accounts/evil"]}},
            {"terms": CARD | {"pays_to": ["accounts/b", "accounts/"]}},
        ],
    ),
    "budget.create": (
        {"budget": "budgets/own/x", "schema": PLAN, "pays_to": ["accounts/b"]},
        [
            {"budget": "budgets/x"},
            {"pays_to": ["accounts/evil"]},
            {"schema": LEAKING},
            {"schema": SWAPPING},
            {"schema": None, "template": "budgets/leaking"},
            {"schema": {"resources": {"USD": 0, "GOLD": 0}}},
            {"parent": "budgets/leaking"},
            {"resource": "USD", "amount": 1, "from": "accounts/evil"},
        ],
    ),
    "budget.amend": (
        {"budget": "budgets/own/b", "schema": PLAN},
        [{"budget": "budgets/leaking"}, {"schema": LEAKING}, {"schema": SWAPPING}],
    ),
    "budget.split": (
        {"budget": "budgets/own/b", "resource": "USD", "shares": {"p": 100}},
        [{"budget": "budgets/leaking"}, {"resource": "GOLD"}],
    ),
    "budget.solve": ({"budget": "budgets/own/b"}, [{"budget": "budgets/leaking"}]),
    "metric.record": (
        {"budget": "budgets/own/b", "metric": "m", "value": 1},
        [{"budget": "budgets/leaking"}],
    ),
    "budget.request": (
        {"budget": "budgets/own/b", "name": "more", "resource": "USD", "amount": 1},
        [{"budget": "budgets/leaking"}],
    ),
    "budget.propose": (
        {"budget": "budgets/own/b", "name": "look", "what": "review", "title": "a look"},
        [{"budget": "budgets/leaking"}],
    ),
    "budget.vote": ({"budget": "budgets/own/b", "vote": "agree"}, [{"budget": "budgets/leaking"}]),
    "budget.reply": (
        {"budget": "budgets/own/b", "name": "asked", "act": "grant", "from": "accounts/a"},
        [{"budget": "budgets/leaking"}, {"from": "accounts/evil"}],
    ),
    "budget.migrate": (
        {"budget": "budgets/own/x", "source": "budgets/own/b", "schema": PLAN},
        [
            {"budget": "budgets/x"},
            {"source": "budgets/leaking"},
            {"schema": LEAKING},
            {"schema": SWAPPING},
            {"schema": {"resources": {"USD": 0, "GOLD": 0}}},
        ],
    ),
    "budget.answer": (
        {"budget": "budgets/own/b", "item": [0, 0], "answer": "approve"},
        [{"budget": "budgets/leaking"}],
    ),
}
PRICES = {"resource": "USD", "prompt": 1, "completion": 1}
ACCOUNTS = {"accounts/a": {}, "accounts/b": {}, "accounts/evil": {}}
UNLISTED = {"account_not_covered", "resource_not_covered"}


@pytest.fixture
def kernel():
    """`clerk` has the lists itself, `below` has none of its own and stands under one who has them."""
    lists = {"accounts": OWN, "resources": ["USD", "EUR"]}
    native = {"cap": "sys/native@1", "delegations": 2}
    manifest = {
        "resources": {"USD": 0, "GOLD": 0},
        "accounts": ACCOUNTS,
        "grants": {
            "clerk": native | {"params": lists},
            "below": native | {"parent": "clerk"},
            "free": native,
        },
    }
    with splittally.open(None, clock="given") as made:
        assert made.apply(manifest).allowed
        assert made.native("budget.create", budget="budgets/own/b", schema=PLAN).allowed
        assert made.native("budget.create", budget="budgets/leaking", schema=LEAKING).allowed
        asked = {"resource": "USD", "amount": 5}
        assert made.native("budget.request", budget="budgets/own/b", name="asked", **asked).allowed
        yield made


def codes(decision):
    return {finding.code for finding in decision.findings if finding.stage == "caps"}


@pytest.mark.req("X6-05")
@pytest.mark.parametrize("grant", ["clerk", "below"])
@pytest.mark.parametrize("kind", WITHIN)
def test_every_name_that_an_effect_touches_is_held_against_every_list_of_the_chain(kernel, kind, grant):
    within, changes = WITHIN[kind]
    assert not codes(kernel.fork().native(kind, grant, **within)), kind
    for change in changes:
        params = {key: value for key, value in (within | change).items() if value is not None}
        decision = kernel.fork().native(kind, grant, **params)
        assert decision.outcome == "deny", change
        assert codes(decision) & UNLISTED, (change, decision.findings)
        assert {finding.facts["grant"] for finding in decision.findings if finding.code in UNLISTED} == {
            "clerk"
        }
        assert not codes(kernel.fork().native(kind, "free", **params)), change


@pytest.mark.req("X6-05")
def test_a_list_of_resources_does_not_refuse_an_unfunded_budget(kernel):
    asked = {"budget": "budgets/own/new", "schema": PLAN}
    assert kernel.native("budget.create", "clerk", **asked).allowed


@pytest.mark.req("X6-05")
@pytest.mark.parametrize("kind", ["approval.answer", "reservation.release", "outcome.attest"])
def test_what_a_hold_draws_on_is_touched_by_who_answers_for_it(kind):
    """Money of an account that the lists leave out is not moved by approving, releasing or attesting."""
    card = {
        "cap": "sys/llm.basic@1",
        "params": {"prices": PRICES},
        "holder": "ann",
    }
    card |= {"draws_on": {"USD": "accounts/evil"}, "pays_to": ["accounts/b"], "unknown_ns": 9}
    if kind == "approval.answer":
        card |= {"limits": [{"dim": "USD", "per": "intent", "amount": 0, "over": "ask"}]}
    manifest = {
        "resources": {"USD": 0},
        "accounts": ACCOUNTS,
        "grants": {
            "card": card,
            "clerk": {"cap": "sys/native@1", "params": {"accounts": ["accounts/a"]}},
        },
    }
    answer = {"answer": "approve"} if kind == "approval.answer" else {"order": "o"}
    answer = {"happened": True} if kind == "outcome.attest" else answer
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(manifest).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=50, to="accounts/evil").allowed
        ann = kernel.as_principal("ann")
        digest = ann.submit(splittally.Intent("llm.generate", {"max_tokens": 5}, "card")).intent_hash
        if kind == "outcome.attest":
            ann.settle(splittally.Receipt(digest, "unknown", "a"))
        decision = kernel.native(kind, "clerk", intent_hash=digest, **answer)
        assert codes(decision) == {"account_not_covered"}
        assert kernel.native(kind, intent_hash=digest, **answer).allowed


def test_only_what_names_nothing_of_the_books_touches_nothing(kernel):
    """A new row must say what it touches: these are the ones that may say nothing."""
    silent = {"module.install", "grant.topup", "grant.revoke", "clock.accept", "token.issue", "token.revoke"}
    params = {"grant.topup": {"name": "x", "dim": "d", "amount": 1}, "grant.revoke": {"name": "x"}}
    held = {"approval.answer", "reservation.release", "outcome.attest", "settlement.refund"}
    assert set(NATIVE) - set(WITHIN) == silent | held | {"manifest.apply", "grant.amend", "usage.record"}
    for kind in silent:
        native = NATIVE[kind]
        typed = native.read(encode(params[kind])) if kind in params else None
        touched = native.touches(kernel._world.state, None, typed)
        assert replace(touched, grants=[]) == NOTHING  # which grants are reached is asked elsewhere


# --- what an entry of a list covers -------------------------------------------------------------------

PAYEES = ("b", "b/", "b/c", "b/c/", "b/c/d", "b*", "b/*", "bc")
entry = st.sampled_from((*PAYEES, "b/c/*", "/", "/*", "*")) | st.text("bc/*", min_size=1, max_size=4)
entries = st.lists(entry, min_size=1, max_size=3)


def names(entry, account):
    if entry[-1:] == "/" or entry[-2:] == "/*":
        return account.startswith(entry[: entry.rindex("/") + 1])
    return account == entry


@pytest.fixture(scope="module")
def paying():
    with splittally.open(clock="given") as kernel:
        accounts = {name: {} for name in ("accounts/a", "first", *PAYEES)}
        assert kernel.apply({"resources": {"USD": 0}, "accounts": accounts}).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=100, to="accounts/a").allowed
        yield kernel


@pytest.mark.req("X6-05")
@given(entries, st.sampled_from(PAYEES))
def test_an_entry_means_the_same_in_every_list_of_accounts(paying, listed, payee):
    """A grant's own list of payees, the list of the grant above it, and the list of a native grant."""
    kernel = paying.fork()
    card = {"cap": "sys/spend@1", "draws_on": {"USD": "accounts/a"}, "pays_to": ["first", *listed]}
    child = {"cap": "sys/spend@1", "parent": "card", "pays_to": [payee]}
    native = {"cap": "sys/native@1", "params": {"accounts": ["accounts/a", *listed]}}
    assert kernel.native("grant.issue", name="card", terms=card | {"delegations": 1}).allowed
    if not any("*" in entry[:-1] or (entry[-1] == "*" and entry[-2:] != "/*") for entry in listed):
        assert kernel.native("grant.issue", name="native", terms=native).allowed
        moved = kernel.native("ledger.transfer", grant="native", **MOVE | {"to": payee})
        assert moved.allowed == any(names(entry, payee) for entry in listed), codes(moved)
    if payee[-1] not in "/*":  # what reads like a prefix is never the first to be paid
        task = {"result": "x", "amounts": {"USD": 1}, "payee": payee}
        posted = kernel.submit(Intent("task.post", task, "card"))
        assert posted.allowed == any(names(entry, payee) for entry in listed), posted.findings
        issued = kernel.native("grant.issue", grant="card", name="child", terms=child)
        assert issued.allowed == any(names(entry, payee) for entry in listed), issued.findings
