"""Rules that act against an obvious model: values, tokens, rules that fire once, cascades and their bounds.

The model knows three sentences: a value makes due the rules on its metric; what is due waits in a line; for
one cause a rule acts once, with the last value that came before its turn. A rule does all that it says or
nothing.
"""

from collections import deque

import hypothesis.strategies as st
from hypothesis import given
from splittally.core.events import Measured, RuleFired
from splittally.core.snapshot import state_root
from splittally.runtime.recover import fold

from tests.rows.acting import create, issues, measure, measured, pays, records, rule, world
from tests.rows.budgets import LOG, B, deposit, held
from tests.rows.worlds import few, recorded

NAMES = "abc"


@st.composite
def rules(draw):
    """Up to five rules on three metrics; each is a pair of what the model knows and what the plan says."""
    made = []
    for at in range(draw(st.integers(1, 5))):
        on, least = draw(st.sampled_from(NAMES)), draw(st.none() | st.integers(0, 8))
        acts = draw(
            st.lists(st.tuples(st.sampled_from([*NAMES, "pay", "issue"]), st.integers(-1, 4)), max_size=3)
        )
        made.append((f"r{at}", on, least, draw(st.booleans()), acts))
    return made


def stated(row):
    name, on, least, once, acts = row
    do = []
    for what, more in acts:
        amount = f"cause.amount + {more}" if more >= 0 else f"cause.amount - {-more}"
        do.append(
            pays(amount)
            if what == "pay"
            else issues("T", amount)
            if what == "issue"
            else records(what, amount)
        )
    terms = {"when": f"cause.amount >= {least}"} if least is not None else {}
    return rule(name, "metric", on, *do, **terms, **({"once": True} if once else {}))


class Model:
    def __init__(self, made, funds):
        self.rules, self.funds, self.paid, self.tokens = made, funds, 0, 0
        self.values, self.ended, self.used = [], [], set()

    def record(self, metric, value):
        """Somebody records a value, and everything that it sets off is worked through."""
        self.line, self.last, self.acted = deque(), {}, set()
        self.came(metric, value, 0)
        while self.line:
            row = self.line.popleft()
            self.acted.add(row[0])
            self.work(row, *self.last[row[0]])

    def came(self, metric, value, depth):
        self.values.append((metric, value))
        may_return = any(what in NAMES for row in self.rules for what, _ in row[4])
        for row in self.rules:
            if row[1] != metric or row[0] in self.used or row[0] in self.acted:
                continue
            if row[0] not in self.last or not may_return:
                self.line.append(row)
                self.last[row[0]] = (value, depth)
            else:
                self.last[row[0]] = (value, self.last[row[0]][1])

    def work(self, row, value, depth):
        name, _, least, once, acts = row
        amounts = [value + more for _, more in acts]
        if name in self.used or (least is not None and value < least):
            return self.ended.append((name, "skipped"))
        spent = [x for (what, _), x in zip(acts, amounts, strict=True) if what == "pay"]
        moved = [x for (what, _), x in zip(acts, amounts, strict=True) if what not in NAMES]
        if min(moved, default=0) < 0 or sum(spent) > self.funds:
            return self.ended.append((name, "skipped"))
        self.funds, self.paid = self.funds - sum(spent), self.paid + sum(spent)
        self.tokens += sum(moved) - sum(spent)
        self.used |= {name} if once else set()
        self.ended.append((name, "done"))
        for (what, _), amount in zip(acts, amounts, strict=True):
            if what in NAMES:
                self.came(what, amount, depth + 1)
        return None


TOLD = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(-3, 9)), max_size=4)


@few
@given(made=rules(), funds=st.integers(0, 30), told=TOLD)
def test_what_rules_do_is_what_the_obvious_model_says(made, funds, told):
    model = Model(made, funds)
    with world("T") as kernel:
        create(kernel, {"rules": [stated(row) for row in made]}, {"USD": 0, "T": 0}, metrics=NAMES)
        deposit(kernel, funds)
        for metric, value in told:
            measure(kernel, metric, value)
            model.record(metric, value)
            assert measured(kernel) == model.values
            assert (held(kernel, B), held(kernel, LOG), held(kernel, B, "T")) == (
                model.funds,
                model.paid,
                model.tokens,
            )
        fired = [x for x in recorded(kernel, RuleFired) if x.item and x.status in ("done", "skipped")]
        assert [(x.rule, x.status) for x in fired] == model.ended
        assert kernel._world.state.plans.firings == {}
        assert len(recorded(kernel, Measured)) <= len(told) + sum(len(row[4]) for row in made) * len(told)
        world_ = kernel._world
        assert state_root(fold(world_.store)) == state_root(world_.state)
