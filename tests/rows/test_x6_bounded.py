"""Row X6-14: what one cause sets off is bounded work, and what does not fire is named."""

from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec.structs import replace
from splittally.core.events import Posted, RuleFired
from splittally.core.evolve import remember
from splittally.core.limits import CASCADE_DEPTH_MAX, CASCADE_FIRINGS_MAX
from splittally.core.native.cascade import within_cascade
from splittally.core.snapshot import dump_state, load_state, state_root, tables
from splittally.core.state import State
from splittally.runtime import pipeline
from splittally.runtime.reader import read_store
from splittally.runtime.recover import fold
from splittally_tools.testing.journal_walk import Walk

from tests.rows.worlds import applied, bodies, few

BANK = "accounts/bank"
RICH = 10**6


def rule(name, *targets, amount="1", **more):
    pays = [{"kind": "transfer", "to": target, "amount": amount} for target in targets]
    return {"name": name, "on": "deposit", "do": pays, **more}


def economy(plans, resources=("USD",)):
    """A world whose budgets hold much before they have rules; `plans` maps a budget to its rules."""
    kernel = applied({"resources": dict.fromkeys(resources, 0), "accounts": {BANK: {}}})
    for resource in resources:
        kernel.native("ledger.issue", resource=resource, amount=10**12, to=BANK)
    for budget in plans:
        assert kernel.native(
            "budget.create", budget=budget, schema={"resources": dict.fromkeys(resources, 0)}
        ).allowed
        for resource in resources:
            assert deposit(kernel, budget, RICH, resource).allowed
    for budget, rules in plans.items():
        schema = {"resources": dict.fromkeys(resources, 0), "rules": rules}
        assert kernel.native("budget.amend", budget=budget, schema=schema).allowed
    return kernel


def deposit(kernel, budget, amount=10, resource="USD", now_ns=None):
    return kernel.native(
        "ledger.transfer", resource=resource, amount=amount, to=budget, now_ns=now_ns, **{"from": BANK}
    )


def fired(kernel, since=0):
    return [event for body in bodies(kernel)[since:] for event in body.out if isinstance(event, RuleFired)]


def named(kernel, since=0):
    """Every finding `cascade_bounded` that was recorded."""
    return [x for event in fired(kernel, since) for x in event.findings if x.code == "cascade_bounded"]


def require_sound(kernel):
    world = kernel._world
    assert world.state.plans.fired == {}
    assert state_root(fold(world.store)) == state_root(world.state)
    Walk(read_store(kernel), is_rejudging=True).finish()


def held(kernel):
    return sum(account.balances.get("USD", 0) for account in kernel.state.accounts.values())


@pytest.mark.req("X6-14")
@pytest.mark.parametrize("most", [1, 2, 16])
def test_two_budgets_that_pay_each_other_fire_each_rule_once_and_name_the_rest(most):
    """Two rules each fired 1,022 times; four were not done after a minute."""
    pays = {"budgets/a": "budgets/b", "budgets/b": "budgets/a"}
    plans = {budget: [rule(f"r{at}", to) for at in range(most)] for budget, to in pays.items()}
    with economy(plans) as kernel:
        before, total = kernel.state.seq, held(kernel)
        assert deposit(kernel, "budgets/a").allowed
        assert kernel.state.seq - before <= 3
        events = fired(kernel, before)
        done = Counter((x.budget, x.rule, x.version) for x in events if x.status == "done")
        assert done == {(budget, f"r{at}", 2): 1 for budget in plans for at in range(most)}
        (finding,) = named(kernel, before)
        assert finding.facts["count"] == most
        assert [x["rule"] for x in finding.facts["rules"]] == [f"r{at}" for at in range(most)]
        assert {x["budget"] for x in finding.facts["rules"]} == {"budgets/a"}
        assert len(events) <= most * (most + 5)
        assert held(kernel) == total
        balances = {name: kernel.state.accounts[name].balances["USD"] for name in plans}
        assert balances == {"budgets/a": RICH + 10, "budgets/b": RICH}
        require_sound(kernel)


@pytest.mark.req("X6-14")
def test_a_rule_that_is_due_takes_what_comes_in_with_what_it_has():
    plans = {
        "budgets/a": [rule("one", "budgets/b", amount="3"), rule("two", "budgets/b", amount="4")],
        "budgets/b": [rule("half", "budgets/c", amount="cause.amount / 2")],
        "budgets/c": [],
    }
    with economy(plans) as kernel:
        before = kernel.state.seq
        deposit(kernel, "budgets/a")
        assert [x.amount for x in fired(kernel, before) if (x.rule, x.status) == ("half", "done")] == [7]
        assert kernel.state.accounts["budgets/c"].balances["USD"] == RICH + 3
        assert named(kernel, before) == []
        require_sound(kernel)


@pytest.mark.req("X6-14")
@pytest.mark.parametrize("approval", [False, True])
def test_a_rule_that_waits_takes_no_more_and_one_that_is_due_stays_as_deep_as_it_was(approval):
    """What comes in through `c` is one deeper; through `d`, too, it comes when the last waits already."""
    plans = {
        "budgets/a": [rule("one", "budgets/c"), rule("two", "budgets/b")],
        "budgets/b": [rule("last", BANK, amount="cause.amount", approval=approval)],
        "budgets/c": [rule("on", "budgets/d" if approval else "budgets/b")],
        "budgets/d": [rule("on", "budgets/b")],
    }
    with economy(plans) as kernel:
        before = kernel.state.seq
        deposit(kernel, "budgets/a")
        lasts = [x for x in fired(kernel, before) if x.rule == "last"]
        if approval:
            (waiting,) = kernel.state.budgets["budgets/b"].waiting
            assert waiting["amount"] == 1
            assert [x.status for x in lasts] == ["due", "waiting", "skipped"]
            assert [x["rule"] for x in named(kernel, before)[0].facts["rules"]] == ["last"]
        else:
            assert [(x.status, x.depth, x.amount) for x in lasts] == [
                ("due", 1, 1), ("due", 1, 2), ("done", 1, 2),
            ]  # fmt: skip


@pytest.mark.req("X6-14")
def test_rules_make_rules_due_to_the_stated_depth_and_not_one_level_more_or_less():
    names = [f"budgets/b{at}" for at in range(CASCADE_DEPTH_MAX + 3)]
    plans = {name: [rule("on", to)] for name, to in zip(names, [*names[1:], BANK], strict=True)}
    with economy(plans) as kernel:
        before = kernel.state.seq
        deposit(kernel, names[0])
        ended = [x for x in fired(kernel, before) if x.status != "due"]
        assert [x.budget for x in ended if x.status == "done"] == names[: CASCADE_DEPTH_MAX + 1]
        (last,) = (x for x in ended if x.status == "skipped")
        assert (last.budget, last.depth) == (names[CASCADE_DEPTH_MAX + 1], CASCADE_DEPTH_MAX + 1)
        assert [x.facts["reason"] for x in last.findings] == ["cascade"]


@pytest.mark.req("X6-14")
def test_every_cause_and_every_resource_fires_anew():
    pays = {"budgets/a": [rule("back", "budgets/b")], "budgets/b": [rule("forth", "budgets/a")]}
    with economy(pays, ("USD", "EUR")) as kernel:
        before = kernel.state.seq
        for resource in ("USD", "EUR", "USD"):
            deposit(kernel, "budgets/a", resource=resource)
        done = Counter((x.rule, x.dim) for x in fired(kernel, before) if x.status == "done")
        assert done == {("back", "USD"): 2, ("forth", "USD"): 2, ("back", "EUR"): 1, ("forth", "EUR"): 1}
        assert len(named(kernel, before)) == 3
        require_sound(kernel)


@pytest.mark.req("X6-14")
def test_the_firings_of_one_cause_are_bounded_however_many_rules_there_are():
    names = [f"budgets/b{at:02}" for at in range(24)]
    plans = {name: [rule(f"r{at}", *names[at % 9 : at % 9 + 16]) for at in range(16)] for name in names}
    with economy(plans) as kernel:
        before = kernel.state.seq
        assert deposit(kernel, names[0]).allowed
        events = fired(kernel, before)
        assert (
            sum(x.status == "done" for x in events)
            == CASCADE_FIRINGS_MAX
            == max(x.item[0] for x in events if len(x.item) == 1)
        )
        assert max(Counter((x.budget, x.rule) for x in events if x.status == "done").values()) == 1
        assert named(kernel, before)
        assert kernel.state.seq - before <= 4
        require_sound(kernel)


@pytest.mark.req("X6-14")
def test_what_comes_in_by_several_ways_in_one_record_makes_a_rule_due_once():
    due = RuleFired(budget="b", rule="r", version=1, status="due", item=[], cause=b"c", dim="USD", amount=3,
                    depth=0, due_ns=5, findings=[])  # fmt: skip
    several = [due, replace(due, dim="EUR"), replace(due, amount=4, depth=1), replace(due, cause=b"d")]
    told = [(x.cause, x.dim, x.amount, x.depth, x.item) for x in within_cascade(State(), several)]
    assert told == [(b"c", "USD", 7, 0, [1]), (b"c", "EUR", 3, 0, [2]), (b"d", "USD", 3, 0, [1])]


GRAPHS = st.lists(
    st.lists(st.tuples(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(0, 3)), max_size=3),
    min_size=5,
    max_size=5,
)


@pytest.mark.req("X6-14")
@few
@given(
    graph=GRAPHS,
    items=st.sampled_from([1, 3, 256]),
    amounts=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_of_any_rules_each_fires_once_for_a_cause_and_all_that_came_in_is_handed_on_or_named(
    graph, items, amounts
):
    """The sums: what came into a budget is what its rules were given, and what was named as left."""
    names = [f"budgets/b{at}" for at in range(5)]
    plans = {
        names[at]: [
            rule(f"r{place}", *(names[to] for to in targets), amount=str(amount))
            for place, (targets, amount) in enumerate(rules)
        ]
        for at, rules in enumerate(graph)
    }
    with pytest.MonkeyPatch.context() as patch, economy(plans) as kernel:
        patch.setattr(pipeline, "TICK_ITEMS_MAX", items)  # the frames of a cascade
        for amount in amounts:
            before, total = kernel.state.seq, held(kernel)
            told = deposit(kernel, names[0], amount)
            events = fired(kernel, before)
            done = [x for x in events if x.status in ("done", "skipped") and x.item]
            assert max(Counter((x.budget, x.rule) for x in done).values(), default=1) == 1
            assert held(kernel) == total
            moved = [x for body in bodies(kernel)[before:] for x in body.out if isinstance(x, Posted)]
            bounded = {(x.budget, x.rule) for x in events if x.status == "skipped" and not x.item}
            for name, rules in plans.items():
                came = sum(x.amount for x in moved if x.credit == name and x.debit != name)
                for each in rules:
                    given_ = sum(x.amount for x in done if (x.budget, x.rule) == (name, each["name"]))
                    assert given_ <= came
                    assert given_ == came or (name, each["name"]) in bounded
            assert {x.cause for x in events} <= {told.intent_hash}
        require_sound(kernel)


# --- what is remembered while it is under way ---------------------------------------------------------

PING = {"budgets/a": [rule("back", "budgets/b")], "budgets/b": [rule("forth", "budgets/a")]}


def states(kernel, change=list):
    """The state after every frame, folded from its events as `change` gives them."""
    state = State()
    for body in bodies(kernel):
        remember(state, body.at_ns, body.by, change(body.out))
        yield state


@pytest.mark.req("X6-14")
def test_a_cascade_stands_in_the_root_only_while_it_is_under_way(monkeypatch):
    monkeypatch.setattr(pipeline, "TICK_ITEMS_MAX", 1)
    with economy(PING) as kernel:
        deposit(kernel, "budgets/a")
        stood = []
        for state in states(kernel):
            stood.append("fired" in tables(state))
            again = load_state(dump_state(state))
            assert (state_root(again), again.plans.fired) == (state_root(state), state.plans.fired)
        assert (stood.count(True), stood[-1]) == (2, False)


@pytest.mark.req("X6-14")
def test_a_journal_from_before_folds_to_what_it_folded_to(monkeypatch):
    """Its events name no cascade, and nothing is remembered of them."""
    monkeypatch.setattr(pipeline, "TICK_ITEMS_MAX", 1)
    with economy(PING) as kernel:
        deposit(kernel, "budgets/a")

        def as_before(events):
            fires = [
                event
                for event in events
                if isinstance(event, RuleFired) and [*event.item, event.status] != ["skipped"]
            ]
            kept = [event for event in events if not isinstance(event, RuleFired)]
            return kept + [replace(event, item=event.item if len(event.item) == 2 else []) for event in fires]

        assert any(body.out != as_before(body.out) for body in bodies(kernel))
        assert all("fired" not in tables(state) for state in states(kernel, as_before))
