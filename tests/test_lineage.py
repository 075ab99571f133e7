"""Lineage against a model that moves single units, on generated economies; and how a walk is told."""

from collections import defaultdict, deque
from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally.core.events import Posted
from splittally.runtime.lineage import History, Untraceable, origins_of, read_history, trace_in
from splittally.runtime.lineage.sources import DEBT, ISSUE, LOT, Lineage, Source

from tests.rows.worlds import ACT, act, bodies, few, settle, world

ACCOUNTS = {
    "accounts/a": {},
    "accounts/b": {},
    "accounts/credit": {"debt_limit": 15},
    "accounts/change": {},
    "accounts/vendor": {},
}
RESOURCES = {"USD": 2, "LLM-Tokens": 0}
DRAWN = ("accounts/a", "accounts/credit")
GRANTS = {
    f"g{at}": {
        "draws_on": dict.fromkeys(RESOURCES, account),
        "pays_to": ["accounts/vendor", "accounts/"],
        "above": "debt",
    }
    for at, account in enumerate(DRAWN)
}

# --- generated economies ----------------------------------------------------------------------------

accounts, resources, amounts = (
    st.sampled_from(sorted(ACCOUNTS)),
    st.sampled_from(sorted(RESOURCES)),
    st.integers(1, 12),
)
moves = st.one_of(
    st.tuples(st.just("issue"), resources, amounts, accounts),
    st.tuples(st.just("transfer"), resources, amounts, accounts, accounts),
    st.tuples(st.just("convert"), resources, amounts, accounts, accounts, st.tuples(amounts, amounts)),
    st.tuples(st.just("hold"), resources, amounts, st.integers(0, 1)),
    st.tuples(st.just("settle"), resources, st.integers(0, 16), st.integers(0, 9)),
    st.tuples(st.just("release"), st.integers(0, 9)),
    st.tuples(st.just("refund"), resources, amounts, st.integers(0, 9)),
)
economies = st.lists(moves, min_size=1, max_size=30)
FUNDED = [("issue", name, 10, to) for name in sorted(RESOURCES) for to in ("accounts/a", "accounts/change")]


def run(kernel: Any, economy: list[tuple[Any, ...]]) -> None:
    """Asks for every move; what the kernel refuses moves nothing."""
    held: list[bytes] = []
    for name, *rest in economy:
        if name in ("settle", "release", "refund") and not held:
            continue
        match name, *rest:
            case "issue", resource, amount, to:
                kernel.native("ledger.issue", resource=resource, amount=amount, to=to)
            case "transfer", resource, amount, debit, to:
                fields = {"resource": resource, "amount": amount, "from": debit, "to": to}
                kernel.native("ledger.transfer", **fields)
            case "convert", resource, amount, debit, to, rate:
                gets = next(other for other in RESOURCES if other != resource)
                fields = {"resource": resource, "amount": amount, "gets": gets, "rate": list(rate)}
                kernel.native("ledger.convert", counter="accounts/change", to=to, **fields, **{"from": debit})
            case "hold", resource, amount, grant:
                decision = act(kernel, {resource: amount}, f"g{grant}")
                held += [decision.intent_hash] if decision.allowed else []
            case "settle", resource, amount, at:
                settle(kernel, held[at % len(held)], {resource: amount})
            case "release", at:
                kernel.release(held[at % len(held)])
            case "refund", resource, amount, at:
                digest = held[at % len(held)]
                kernel.native("settlement.refund", intent_hash=digest, amounts={resource: amount})


def economy_world():
    return world(GRANTS, resources=RESOURCES, accounts=ACCOUNTS)


def history_of(kernel: Any) -> History:
    return read_history(enumerate(bodies(kernel)))


# --- the model: every unit is one item of a queue ---------------------------------------------------


class Origin(NamedTuple):
    """Where a unit came into the world: which posting issued or borrowed it, and which unit of it."""

    kind: str
    posting: int
    unit: int


class Model:
    """Queues of single units; a debt is a queue of units that were given without being there."""

    def __init__(self) -> None:
        self.units: dict[Any, deque[Origin]] = defaultdict(deque)
        self.owed: dict[Any, deque[Origin]] = defaultdict(deque)
        self.postings: list[list[Origin]] = []

    def post(self, posted: Posted) -> None:
        number, moved = len(self.postings), []
        source = (posted.debit or posted.intent_hash, posted.resource)
        for unit in range(posted.amount):
            if posted.debit.startswith("external/"):
                moved.append(Origin(ISSUE, number, unit))
            elif self.units[source]:
                moved.append(self.units[source].popleft())
            else:
                moved.append(Origin(DEBT, number, unit))
                self.owed[source].append(moved[-1])
        target = (posted.credit or posted.intent_hash, posted.resource)
        for origin in moved:
            if self.owed[target]:
                self.owed[target].popleft()
            else:
                self.units[target].append(origin)
        self.postings.append(moved)


def origins(lineage: Lineage, run: Source) -> list[Origin]:
    """Every unit of a run, walked back by the sources that lineage tells."""
    if run.kind != LOT:
        return [Origin(run.kind, run.posting, run.start + unit) for unit in range(run.amount)]
    return [origin for source in lineage.sources_of(run) for origin in origins(lineage, source)]


@pytest.mark.req("S0-233")
@few
@given(economies)
def test_every_unit_of_a_random_economy_is_walked_to_where_the_model_has_it_from(economy):
    with economy_world() as kernel:
        run(kernel, FUNDED + economy)
        lineage, model = history_of(kernel).lineage, Model()
        for number, traced in enumerate(lineage.postings):
            model.post(traced.posted)
            amount = traced.posted.amount
            assert sum(source.amount for source in traced.sources) == amount
            assert origins(lineage, Source(LOT, number, 0, amount)) == model.postings[number]
        for name, account in kernel.state.accounts.items():
            for resource in () if name.startswith("external/") else RESOURCES:
                lots, debts = lineage.held(name, resource), lineage.owed(name, resource)
                found = [origin for lot in lots for origin in origins(lineage, lot)]
                assert found == list(model.units[name, resource])
                owed = sum(debt.amount for debt in debts)
                assert len(found) - owed == account.balances.get(resource, 0)
                assert not lots or not debts


@pytest.mark.req("S0-233")
@few
@given(economies)
def test_every_walk_is_unbroken_and_ends_in_an_issue_or_says_that_it_is_a_debt(economy):
    with economy_world() as kernel:
        run(kernel, FUNDED + economy)
        history = history_of(kernel)
        for seq in {traced.seq for traced in history.lineage.postings}:
            levels = list(trace_in(history, seq))
            for at, level in enumerate(levels):
                below = _below(levels, at)
                if level.what in ("issue", "debt") or level.is_repeated:
                    assert below == []
                    continue
                same = [x for x in below if x.what != "given"]
                assert sum(x.amount for x in same) == level.amount
                assert {x.resource for x in same} == {level.resource}


def _below(levels, at):
    """The levels directly under one."""
    found = []
    for level in levels[at + 1 :]:
        if level.level <= levels[at].level:
            break
        found += [level] if level.level == levels[at].level + 1 else []
    return found


# --- single cases -----------------------------------------------------------------------------------


def told(kernel, target, resource=None):
    """What a walk says, in short."""
    levels = trace_in(history_of(kernel), target, resource)
    return [(x.level, x.what, x.amount) for x in levels]


def issue(kernel, amount, to="accounts/a", resource="USD"):
    assert kernel.native("ledger.issue", resource=resource, amount=amount, to=to).allowed


def transfer(kernel, amount, debit, to, resource="USD"):
    fields = {"resource": resource, "amount": amount, "from": debit, "to": to}
    decision = kernel.native("ledger.transfer", **fields)
    assert decision.allowed, decision
    return decision


def test_what_came_in_first_goes_out_first():
    with economy_world() as kernel:
        issue(kernel, 3)
        issue(kernel, 4)
        first = transfer(kernel, 2, "accounts/a", "accounts/b")
        second = transfer(kernel, 3, "accounts/a", "accounts/b")
        assert told(kernel, first.seq) == [(1, "funding", 2), (2, "debit", 2), (3, "issue", 2)]
        assert told(kernel, second.seq)[2:] == [(3, "issue", 1), (3, "issue", 2)]


def test_a_debt_ends_a_walk_and_what_repays_it_is_no_source_of_anything_later():
    with economy_world() as kernel:
        issue(kernel, 5, "accounts/credit")
        borrowed = transfer(kernel, 8, "accounts/credit", "accounts/b")
        assert told(kernel, borrowed.seq)[2:] == [(3, "issue", 5), (3, "debt", 3)]
        assert told(kernel, "accounts/credit") == [(0, "balance", -3), (1, "debt", 3)]
        issue(kernel, 10, "accounts/credit")
        assert told(kernel, "accounts/credit") == [(0, "balance", 7), (1, "issue", 7)]


def test_what_repays_a_debt_is_the_first_of_what_comes_in_and_the_rest_is_what_is_left():
    with economy_world() as kernel:
        for _ in range(2):
            issue(kernel, 5)
        second = kernel.state.seq - 1
        transfer(kernel, 5, "accounts/credit", "accounts/b")  # which has nothing
        transfer(kernel, 10, "accounts/a", "accounts/credit")
        last = transfer(kernel, 5, "accounts/credit", "accounts/change")
        assert [level.seq for level in kernel.trace(last.seq) if level.what == "issue"] == [second]


def test_a_conversion_is_walked_through_the_counter_account_and_through_what_was_given():
    with economy_world() as kernel:
        issue(kernel, 10)
        issue(kernel, 500, "accounts/change", "LLM-Tokens")
        fields = {"resource": "USD", "amount": 4, "gets": "LLM-Tokens", "rate": [100, 1]}
        decision = kernel.native(
            "ledger.convert", counter="accounts/change", to="accounts/b", **fields, **{"from": "accounts/a"}
        )
        expected = [
            (1, "exchange", 400), (2, "debit", 400), (3, "issue", 400),
            (2, "given", 4), (3, "debit", 4), (4, "issue", 4),
        ]  # fmt: skip
        assert decision.allowed
        assert told(kernel, decision.seq) == told(kernel, decision.intent_hash) == expected
        part = transfer(kernel, 30, "accounts/b", "accounts/vendor", "LLM-Tokens")
        assert told(kernel, part.seq)[2:5] == [(3, "exchange", 30), (4, "debit", 30), (5, "issue", 30)]


def test_what_a_conversion_gave_is_walked_once_however_often_it_is_met():
    """Money changed to and fro would otherwise double the walk with every turn."""
    with economy_world() as kernel:
        issue(kernel, 8)
        issue(kernel, 8, "accounts/change", "LLM-Tokens")
        for turn in range(40):
            pair = ("USD", "LLM-Tokens") if turn % 2 == 0 else ("LLM-Tokens", "USD")
            fields = {"resource": pair[0], "amount": 8, "gets": pair[1], "rate": [1, 1]}
            sides = {"from": "accounts/a", "to": "accounts/a", "counter": "accounts/change"}
            decision = kernel.native("ledger.convert", **fields, **sides)
            assert decision.allowed, decision
        levels = list(trace_in(history_of(kernel), decision.seq))
        assert len(levels) < 7 * 40
        assert [x for x in levels if x.is_repeated]
        assert {origin.what for origin in origins_of(levels)} == {"issue"}  # what is met again ends no walk


def test_a_chain_of_a_thousand_transfers_is_walked_to_its_end():
    with economy_world() as kernel:
        issue(kernel, 1)
        pair = ["accounts/a", "accounts/b"]
        for turn in range(1_000):
            decision = transfer(kernel, 1, pair[turn % 2], pair[1 - turn % 2])
        levels = told(kernel, decision.seq)
        assert len(levels) == 2_001
        assert levels[-1] == (2_001, "issue", 1)


def test_an_intent_shows_what_is_in_flight_then_what_went_back_and_a_settled_one_what_was_paid():
    with economy_world() as kernel:
        issue(kernel, 50)
        flying = act(kernel, {"USD": 9}, "g0").intent_hash
        assert told(kernel, flying) == [(1, "commitment", 9), (2, "issue", 9)]
        kernel.release(flying)
        assert told(kernel, flying) == [(1, "return", 9), (2, "commitment", 9), (3, "issue", 9)]
        settle(kernel, flying, {"USD": 4})
        assert told(kernel, flying)[:2] == [(1, "settlement", 4), (2, "debit", 4)]  # a late receipt
        paid = act(kernel, {"USD": 9}, "g0").intent_hash
        settle(kernel, paid, {"USD": 6})
        assert told(kernel, paid) == [(1, "settlement", 6), (2, "commitment", 6), (3, "issue", 6)]


@pytest.mark.req("X5-03")
def test_every_posting_of_an_intent_is_told_by_what_caused_it():
    """A late payment is no settlement, and one frame may hold several causes."""
    with economy_world() as kernel:
        issue(kernel, 50)
        digests = [
            act(kernel, {"USD": amount}, "g0", now_ns=1, expires_ns=9).intent_hash for amount in (9, 5, 4)
        ]
        paid, late, back = digests
        settle(kernel, paid, {"USD": 6})
        kernel.tick(now_ns=9)  # both of the others fall due
        settle(kernel, late, {"USD": 3})
        assert kernel.native("settlement.refund", intent_hash=paid, amounts={"USD": 2}).allowed
        told_kinds = {
            digest: [level.kind for level in kernel.trace(digest) if level.level == 1] for digest in digests
        }
        assert told_kinds == {paid: ["settle", "refund"], late: ["late"], back: ["release"]}
        kinds = {digest: [] for digest in digests}
        for traced in history_of(kernel).lineage.postings:
            kinds.get(traced.posted.intent_hash, []).append(traced.kind)
        assert kinds == {
            paid: ["test.act", "settle", "settle", "refund"],
            late: ["test.act", "release", "late"],
            back: ["test.act", "release"],
        }


def test_of_several_causes_in_one_frame_each_posting_has_its_own():
    """One waits for an answer until its time is out and is charged; another expires in the same frame."""
    terms = GRANTS["g0"] | {"unknown_ns": 8, "doubt": "payer"}
    with world({"g0": terms}, resources=RESOURCES, accounts=ACCOUNTS) as kernel:
        issue(kernel, 50)
        unknown = act(kernel, {"USD": 5}, "g0", now_ns=1).intent_hash
        settle(kernel, unknown, {}, "unknown", now_ns=2)
        expires = act(kernel, {"USD": 4}, "g0", now_ns=2, expires_ns=12).intent_hash
        assert kernel.tick(now_ns=12) == 1
        told_kinds = [kernel.trace(digest)[0].kind for digest in (unknown, expires)]
        assert told_kinds == ["settle", "release"]


@pytest.mark.req("S0-230")
def test_whatever_moves_an_intents_value_names_the_grant_it_was_asked_under_and_those_above():
    grants = {"parent": GRANTS["g0"] | {"delegations": 1}, "child": GRANTS["g0"] | {"parent": "parent"}}
    with world(grants, resources=RESOURCES, accounts=ACCOUNTS) as kernel:
        issue(kernel, 50)
        paid, late = (act(kernel, {"USD": 9}, "child").intent_hash for _ in range(2))
        settle(kernel, paid, {"USD": 6})
        assert kernel.native("settlement.refund", intent_hash=paid, amounts={"USD": 2}).allowed
        kernel.release(late)
        settle(kernel, late, {"USD": 4})
        history = history_of(kernel)
        moved = [
            (traced.kind, history.chain_of(moment.permission))
            for traced, moment in zip(history.lineage.postings, history.moments, strict=True)
            if traced.posted.intent_hash in (paid, late)
        ]
        assert {kind for kind, _ in moved} == {ACT, "settle", "refund", "release", "late"}
        assert [chain for _, chain in moved] == [["child", "parent", "root"]] * len(moved)


@pytest.mark.req("X5-08")
def test_a_refund_stands_beside_the_settlement_and_is_walked_to_it():
    with economy_world() as kernel:
        issue(kernel, 30)
        paid = act(kernel, {"USD": 30}, "g0").intent_hash
        settle(kernel, paid, {"USD": 30})
        assert kernel.native("settlement.refund", intent_hash=paid, amounts={"USD": 10}).allowed
        whats = [what for _, what, _ in told(kernel, paid)]
        assert whats == [
            "settlement", "commitment", "issue",
            "refund", "debit", "settlement", "commitment", "issue",
        ]  # fmt: skip
        assert told(kernel, "accounts/vendor")[0] == (0, "balance", 20)


def test_what_is_paid_above_the_reserve_comes_straight_from_the_account():
    with economy_world() as kernel:
        issue(kernel, 8, "accounts/credit")
        paid = act(kernel, {"USD": 5}, "g1").intent_hash
        settle(kernel, paid, {"USD": 10})
        assert told(kernel, paid) == [
            (1, "settlement", 5), (2, "commitment", 5), (3, "issue", 5),
            (1, "settlement", 5), (2, "debit", 5), (3, "issue", 3), (3, "debt", 2),
        ]  # fmt: skip


def test_a_resource_narrows_a_walk_and_is_known():
    with economy_world() as kernel:
        issue(kernel, 3)
        issue(kernel, 4, resource="LLM-Tokens")
        assert told(kernel, "accounts/a", "USD") == [(0, "balance", 3), (1, "issue", 3)]
        assert len(told(kernel, "accounts/a")) == 4
        with pytest.raises(Untraceable, match="resource"):
            told(kernel, "accounts/a", "EUR")


@pytest.mark.parametrize("target", [0, 99, "99", "accounts/nobody", "external/issuer", "ab" * 32, b"x" * 32])
def test_what_is_not_there_or_moved_nothing_is_said(target):
    with economy_world() as kernel, pytest.raises(Untraceable):
        told(kernel, target)


def test_a_rule_that_converts_is_walked_like_a_conversion():
    plan = {
        "resources": {"USD": 2, "Hours": 0},
        "conversions": {"hire": {"gives": "USD", "gets": "Hours", "rate": [1, 10], "counter": "accounts/b"}},
        "rules": [
            {"name": "hire", "on": "deposit", "of": "USD",
             "do": [{"kind": "transfer", "to": "accounts/vendor", "amount": "10"},
                    {"kind": "convert", "conversion": "hire", "amount": "cause.amount / 2"}]},
        ],
    }  # fmt: skip
    with splittally.open(None, clock="given") as kernel:
        manifest = {"resources": {"USD": 2}, "accounts": {"accounts/b": {}, "accounts/vendor": {}}}
        assert kernel.apply(manifest).allowed
        decision = kernel.native("budget.create", budget="budgets/team", schema=plan)
        assert decision.allowed, decision
        issue(kernel, 20, "accounts/b", "Hours")
        issue(kernel, 200, "budgets/team")
        kernel.tick(now_ns=1)
        whats = told(kernel, "budgets/team", "Hours")
        assert whats == [
            (0, "balance", 10), (1, "exchange", 10), (2, "debit", 10), (3, "issue", 10),
            (2, "given", 100), (3, "debit", 100), (4, "issue", 100),
        ]  # fmt: skip


def test_two_conversions_in_a_row_by_one_rule_are_two_pairs():
    """The second begins where the first ends: what the first got is not given for what the second gives."""
    convert = {"kind": "convert", "conversion": "hire", "amount": "50"}
    plan = {
        "resources": {"USD": 2, "Hours": 0},
        "conversions": {"hire": {"gives": "USD", "gets": "Hours", "rate": [1, 10], "counter": "accounts/b"}},
        "rules": [{"name": "hire", "on": "deposit", "of": "USD", "do": [convert, convert]}],
    }
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply({"resources": {"USD": 2}, "accounts": {"accounts/b": {}}}).allowed
        assert kernel.native("budget.create", budget="budgets/team", schema=plan).allowed
        issue(kernel, 20, "accounts/b", "Hours")
        issue(kernel, 200, "budgets/team")
        kernel.tick(now_ns=1)
        postings = history_of(kernel).lineage.postings[-4:]
        given = [x.exchanged_for != -1 for x in postings]
        assert given == [False, True, False, True]
