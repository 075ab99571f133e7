"""A base budget and what the parent lets it draw beyond: who may, when, how much, and what is recorded."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.commands import Known
from splittally.core.events import Noted, Posted
from splittally.core.snapshot import dump_state, load_state, state_root

from tests.cli_tools import run
from tests.rows.budgets import LOG, create, deposit, done, ended, held, world
from tests.rows.worlds import bodies, codes, few, recorded

PARENT, CHILD, SISTER = "budgets/magazine", "budgets/content", "budgets/video"
QUALITY = {"quality": {"description": "share of the articles that readers finish, in %", "nature": "output"}}
OVERDRAFT = {"resource": "USD", "amount": 2_500, "when": "metric.quality >= 80"}


def plan(**more):
    return {"resources": {"USD": 0}, "metrics": QUALITY, "overdraft": OVERDRAFT} | more


def child(kernel, name=CHILD, base=10_000, pays_to=(LOG,), **more):
    funds = {"resource": "USD", "amount": base, "from": PARENT} if base else {}
    about = {"budget": name, "parent": PARENT, "pays_to": list(pays_to), "schema": plan(**more)}
    return done(kernel, "budget.create", **about, **funds)


def magazine(kernel, funds=20_000, **more):
    create(kernel, more, PARENT)
    deposit(kernel, funds, PARENT)


def measured(kernel, value, name=CHILD):
    done(kernel, "metric.record", budget=name, metric="quality", value=value)


def task(amount, name=CHILD, under=None):
    return Intent("task.post", {"result": "an article", "amounts": {"USD": amount}}, under or name)


def spend(kernel, amount, name=CHILD):
    return kernel.submit(task(amount, name))


def transfer(kernel, amount, debit=CHILD):
    return kernel.native("ledger.transfer", resource="USD", amount=amount, to=LOG, **{"from": debit})


def drawn(kernel):
    return [x.facts for x in recorded(kernel, Noted) if x.subject == "overdraft"]


@pytest.mark.req("S0-116")
def test_a_child_with_10_000_and_an_allowance_of_2_500_spends_10_000_without_condition():
    with world() as kernel:
        magazine(kernel)
        child(kernel)
        row = kernel.state.budgets[CHILD]["overdraft"]
        assert (row["amount"], row["drawn"], row["left"], row["is_open"]) == (2_500, 0, 2_500, False)
        assert kernel.state.budgets[CHILD]["spendable"] == {"USD": 10_000}
        assert spend(kernel, 10_000).allowed
        assert (held(kernel, CHILD), held(kernel, PARENT), drawn(kernel)) == (0, 10_000, [])


@pytest.mark.req("S0-117")
@pytest.mark.parametrize("value", [None, 79])
def test_while_the_condition_does_not_hold_10_001_is_refused_with_what_is_missing(value):
    with world() as kernel:
        magazine(kernel)
        child(kernel)
        if value is not None:
            measured(kernel, value)
        refused = spend(kernel, 10_001)
        assert codes(refused) == ["insufficient_balance", "overdraft_locked"]
        facts = refused.findings[1].facts
        assert facts["needed"] == 1
        assert facts["when"] == "metric.quality >= 80"
        assert ("fault" in facts, facts.get("metric")) == (
            (True, None) if value is None else (False, {"quality": 79})
        )
        assert (held(kernel, CHILD), held(kernel, PARENT)) == (10_000, 10_000)
        measured(kernel, 80)
        assert spend(kernel, 10_001).allowed
        assert (held(kernel, CHILD), held(kernel, PARENT)) == (0, 9_999)


@pytest.mark.req("S0-118")
def test_the_ultimate_cap_of_the_parent_stands_12_500_pass_and_12_501_do_not():
    with world() as kernel:
        magazine(kernel)
        child(kernel)
        measured(kernel, 90)
        refused = spend(kernel, 12_501)
        assert codes(refused) == ["insufficient_balance", "overdraft_exceeded"]
        assert refused.findings[1].facts == {
            "budget": CHILD, "resource": "USD", "needed": 2_501, "available": 2_500, "shortage": 1,
            "next": "top_up",
        }  # fmt: skip
        assert spend(kernel, 12_000).allowed
        assert spend(kernel, 500).allowed
        assert codes(spend(kernel, 1)) == ["insufficient_balance", "overdraft_exceeded"]
        assert (held(kernel, CHILD), held(kernel, PARENT)) == (0, 7_500)


@pytest.mark.req("S0-120")
def test_each_draw_records_the_metric_that_unlocked_it_before_the_value_moves():
    with world() as kernel:
        magazine(kernel)
        child(kernel)
        assert not spend(kernel, 10_300).allowed
        measured(kernel, 85)
        assert spend(kernel, 10_300).allowed
        measured(kernel, 91)
        assert spend(kernel, 200).allowed
        about = {"budget": CHILD, "parent": PARENT, "resource": "USD", "version": 1}
        assert drawn(kernel) == [
            about | {"amount": 300, "lifted": 300, "drawn": 300, "metric": {"quality": 85}},
            about | {"amount": 200, "lifted": 200, "drawn": 500, "metric": {"quality": 91}},
        ]
        moves = [(x.debit, x.credit, x.amount) for x in recorded(kernel, Posted)][-2:]
        assert moves == [(PARENT, CHILD, 200), (CHILD, "", 200)]
        row = kernel.state.budgets[CHILD]["overdraft"]
        assert (row["drawn"], row["left"], row["is_open"]) == (500, 2_000, True)


def test_a_draw_records_no_metric_that_its_condition_does_not_name():
    """A metric whose name stands within another word of the condition had no part in it."""
    with world() as kernel:
        magazine(kernel)
        other = {"description": "d", "nature": "output"}
        child(kernel, metrics={"quality": other, "a": other, "metric": other})
        for name, value in (("a", 1), ("metric", 2), ("quality", 85)):
            done(kernel, "metric.record", budget=CHILD, metric=name, value=value)
        assert spend(kernel, 10_300).allowed
        assert [x["metric"] for x in drawn(kernel)] == [{"quality": 85}]


def test_what_is_released_stays_with_the_child_and_what_was_drawn_stays_counted():
    with world() as kernel:
        magazine(kernel)
        child(kernel)
        measured(kernel, 90)
        decision = spend(kernel, 12_500)
        kernel.release(decision.intent_hash, "cancel")
        assert (held(kernel, CHILD), held(kernel, PARENT)) == (12_500, 7_500)
        measured(kernel, 10)
        assert spend(kernel, 12_500).allowed
        assert len(drawn(kernel)) == 1


def test_an_overdraft_lifts_the_limit_of_a_target_by_what_it_unlocks_and_no_more():
    """With more funds than the target lets be spent, the condition still stands at the target."""
    metrics = QUALITY | {"USD": {"target": -10_000, "description": "Maximum spend."}}
    with world() as kernel:
        magazine(kernel)
        child(kernel, base=11_000, metrics=metrics)
        assert codes(spend(kernel, 10_001)) == ["overdraft_locked"]
        assert spend(kernel, 10_000).allowed
        measured(kernel, 80)
        assert spend(kernel, 1_500).allowed
        assert (drawn(kernel)[0]["amount"], drawn(kernel)[0]["lifted"]) == (500, 1_500)
        assert "overdraft_exceeded" in codes(spend(kernel, 1_001))
        assert spend(kernel, 1_000).allowed
        assert codes(spend(kernel, 1)) == ["budget_exceeded", "insufficient_balance", "overdraft_exceeded"]


def test_a_plan_without_a_parent_promises_no_overdraft_nor_one_that_its_adopter_could_not_take():
    with world() as kernel:
        refused = kernel.native("budget.create", budget=CHILD, schema=plan())
        assert codes(refused) == ["overdraft_unbacked"]
        magazine(kernel)
        done(kernel, "grant.issue", name="desk", terms={
            "cap": "sys/native@1", "holder": "eve",
            "params": {"operations": ["budget.create"], "accounts": ["budgets/*", "accounts/*"]},
        })  # fmt: skip
        eve = kernel.as_principal("eve")
        refused = eve.native("budget.create", under="desk", budget=CHILD, parent=PARENT, schema=plan())
        assert "account_not_yours" in codes(refused)


def test_the_parent_gives_what_it_has_makes_no_debt_and_keeps_its_own_minimum():
    with world() as kernel:
        done(kernel, "budget.create", budget=PARENT, debt_limit=5_000, schema={
            "resources": {"USD": 0}, "constraints": [{"name": "floor", "resource": "USD", "minimum": 300}],
        })  # fmt: skip
        deposit(kernel, 1_000, PARENT)
        child(kernel, base=0)
        measured(kernel, 90)
        deposit(kernel, 100, CHILD)
        refused = spend(kernel, 1_101)
        assert codes(refused) == ["insufficient_balance", "overdraft_uncovered"]
        assert refused.findings[1].facts == {
            "account": PARENT, "resource": "USD", "needed": 1_001, "available": 1_000, "shortage": 1,
            "next": "top_up",
        }  # fmt: skip
        refused = spend(kernel, 801)
        assert codes(refused) == ["insufficient_balance", "constraint_unmet"]
        assert refused.findings[1].facts["budget"] == PARENT
        assert spend(kernel, 800).allowed
        assert held(kernel, PARENT) == 300


@pytest.mark.parametrize("mode", ["all", "first"])
def test_two_children_in_one_group_do_not_draw_the_same_funds_of_their_parent(mode):
    with world() as kernel:
        magazine(kernel, 1_500)
        for name in (CHILD, SISTER):
            child(kernel, name, base=0)
            measured(kernel, 90, name)
        answers = kernel.submit([task(1_000), task(1_000, SISTER)], mode=mode)
        if mode == "first":
            assert (held(kernel, PARENT), len(drawn(kernel))) == (500, 1)
            return
        assert [x.allowed for x in answers] == [False, False]
        assert "overdraft_uncovered" in codes(answers[1])
        assert (held(kernel, PARENT), drawn(kernel)) == (1_500, [])
        assert all(x.allowed for x in kernel.submit([task(1_000), task(500, SISTER)], mode="all"))
        assert held(kernel, PARENT) == 0


def test_every_door_draws_the_same_and_a_dry_run_draws_nothing():
    with world() as kernel:
        magazine(kernel)
        child(kernel, base=100)
        measured(kernel, 90)
        assert kernel.decide(task(200)).allowed
        assert (held(kernel, CHILD), drawn(kernel)) == (100, [])
        done(kernel, "ledger.transfer", resource="USD", amount=150, to=LOG, **{"from": CHILD})
        assert (held(kernel, CHILD), held(kernel, LOG), drawn(kernel)[0]["amount"]) == (0, 150, 50)
        create(kernel, {}, SISTER, resource="USD", amount=30, **{"from": CHILD})
        assert (held(kernel, SISTER), drawn(kernel)[1]["drawn"]) == (30, 80)
        assert kernel.submit([task(5_000, SISTER), task(20)], mode="first").allowed
        assert drawn(kernel)[2]["drawn"] == 100


def test_what_an_overdraft_gives_is_no_deposit_and_no_payment_of_the_task():
    rule, walt = {"name": "r", "on": "deposit", "do": []}, "people/walt"
    with world() as kernel:
        done(kernel, "account.open", account=walt)
        magazine(kernel)
        child(kernel, base=0, rules=[rule], pays_to=[walt])
        measured(kernel, 90)
        decision = spend(kernel, 100)
        assert ended(kernel) == []
        kernel.settle(Receipt(decision.intent_hash, "ok", payload={}))
        assert (held(kernel, walt), ended(kernel)) == (100, [])
        done(kernel, "settlement.refund", intent_hash=decision.intent_hash, amounts={"USD": 40})
        assert (held(kernel, walt), held(kernel, CHILD), held(kernel, PARENT)) == (60, 40, 19_900)
        told = [x for body in bodies(kernel) for x in body.seen if isinstance(x, Known)]
        assert [(x.payee, x.amount) for known in told for x in known.paid] == [(walt, 100)]


def test_an_amended_plan_shrinks_its_overdraft_and_never_widens_it():
    with world() as kernel:
        magazine(kernel)
        child(kernel)
        for wider in (
            OVERDRAFT | {"amount": 2_501}, OVERDRAFT | {"when": "metric.quality >= 79"},
        ):  # fmt: skip
            refused = kernel.native("budget.amend", budget=CHILD, schema=plan(overdraft=wider))
            assert [(x.code, x.facts["field"]) for x in refused.findings] == [("plan_widened", "overdraft")]
        done(kernel, "budget.amend", budget=CHILD, schema=plan(overdraft=OVERDRAFT | {"amount": 100}))
        measured(kernel, 90)
        assert codes(spend(kernel, 10_101)) == ["insufficient_balance", "overdraft_exceeded"]
        assert spend(kernel, 10_100).allowed


def test_what_was_drawn_and_what_was_replaced_stand_in_the_journal_and_in_its_snapshot(tmp_path):
    path = tmp_path / "world"
    with splittally.open(path, clock="given") as kernel:
        kernel.apply({"resources": {"USD": 0}, "accounts": {LOG: {}}}, now_ns=1)
        magazine(kernel)
        child(kernel)
        measured(kernel, 90)
        assert spend(kernel, 10_400).allowed
        done(kernel, "budget.migrate", budget=SISTER, source=CHILD, schema=plan())
        rows = [dict(kernel.state.budgets[name]) for name in (CHILD, SISTER)]
        state = kernel._world.state
        assert state_root(load_state(dump_state(state))) == state_root(state)
    assert [row["overdraft"]["drawn"] for row in rows] == [400, 400]
    assert (rows[0]["replaced_by"], rows[1]["replaced_by"]) == (SISTER, "")
    assert run("-w", path, "verify").code == 0
    with splittally.open(path, clock="given") as kernel:
        assert [dict(kernel.state.budgets[name]) for name in (CHILD, SISTER)] == rows


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.integers(1, 60)),
        st.tuples(st.just("transfer"), st.integers(1, 60)),
        st.tuples(st.just("release"), st.integers(0, 3)),
        st.tuples(st.just("settle"), st.integers(0, 3)),
        st.tuples(st.just("quality"), st.sampled_from([10, 90])),
        st.tuples(st.just("deposit"), st.integers(1, 40)),
        st.tuples(st.just("take"), st.integers(1, 40)),
    ),
    max_size=14,
)


@few
@given(steps=STEPS, base=st.integers(0, 50), parent=st.integers(50, 90), allowance=st.integers(0, 60))
def test_an_overdraft_does_what_a_model_of_one_page_does(steps, base, parent, allowance):
    with world() as kernel:
        magazine(kernel, parent)
        child(kernel, base=base, overdraft=OVERDRAFT | {"amount": allowance})
        own, above, given_, quality, open_ = base, parent - base, 0, 0, []
        for what, value in steps:
            if what in ("spend", "transfer"):
                missing = max(0, value - own)
                may = missing == 0 or (quality >= 80 and given_ + missing <= allowance and missing <= above)
                decision = spend(kernel, value) if what == "spend" else transfer(kernel, value)
                assert decision.allowed == may, (decision, own, above)
                if may:
                    own, above, given_ = own + missing - value, above - missing, given_ + missing
                    open_ += [(decision.intent_hash, value)] if what == "spend" else []
            elif what in ("release", "settle") and value < len(open_):
                digest, amount = open_.pop(value)
                if what == "release":
                    kernel.release(digest, "cancel")
                    own += amount
                else:
                    kernel.settle(Receipt(digest, "ok", payload={}))
            elif what == "quality":
                measured(kernel, value)
                quality = value
            elif what == "deposit":
                deposit(kernel, value, CHILD)
                own += value
            elif what == "take":
                took = transfer(kernel, value, PARENT)
                assert took.allowed == (value <= above)
                above -= value if took.allowed else 0
            assert (held(kernel, CHILD), held(kernel, PARENT)) == (own, above)
            assert sum(x["amount"] for x in drawn(kernel)) == given_ <= allowance
        assert sum(x["sum"] for x in kernel.state.resources.values() if "sum" in x) == 0
