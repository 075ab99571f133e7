"""Generated economies of cards three deep, beside a model that fits on a page.

Rule 1. Whatever the interleaving, retry, crash or late receipt: no card passes its own limit, a limit above
        it or what the account holds, and nobody spends under a chain that was revoked.
Rule 2. After every step value is conserved, and at the end the journal folds and is judged again to the live
        state.
"""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import splittally
from hypothesis import given, settings
from splittally import Intent, Receipt
from splittally_tools.testing import assert_conserved, assert_no_overspend, assert_replays

BUDGET, JANE = "budgets/b", "accounts/jane"
CARDS = {"a": BUDGET, "aa": "a", "aaa": "aa", "b": BUDGET}
LIMITS = {"a": 60, "aa": 50, "aaa": 45, "b": 70}
MINIMUM = 20


class Model:
    """What each card has in use, what the accounts hold, and what became of each task."""

    def __init__(self) -> None:
        self.used = dict.fromkeys(CARDS, 0)
        self.reserved = dict.fromkeys(CARDS, 0)
        self.revoked: set[str] = set()
        self.balance = self.jane = self.flying = self.issued = 0
        self.tasks: list[list] = []  # card, amount, hash, status

    def chain(self, card):
        while card != BUDGET:
            yield card
            card = CARDS[card]

    def may_post(self, card, amount):
        chain = list(self.chain(card))
        fits = all(self.used[x] + self.reserved[x] + amount <= LIMITS[x] for x in chain)
        holds = amount == 0 or self.balance - amount >= MINIMUM
        return fits and holds and amount <= self.balance and not self.revoked & set(chain)

    def post(self, card, amount, digest):
        for each in self.chain(card):
            self.reserved[each] += amount
        self.balance -= amount
        self.flying += amount
        self.tasks.append([card, amount, digest, "open"])

    def end(self, task, paid, status):
        card, amount, _, was, *_ = task
        for each in self.chain(card):
            self.reserved[each] -= amount if was == "open" else 0
            self.used[each] += paid
        if was == "open":
            self.flying -= amount
            self.balance += amount - paid
            self.jane += paid
        else:  # late: the account pays as far as it still can
            can = max(0, min(paid, self.balance))
            self.balance -= can
            self.jane += can
        task[3] = status


def opened(path):
    return splittally.open(path, clock="given")


def made(path):
    kernel = opened(path)
    assert kernel.apply({"resources": {"USD": 0}, "accounts": {JANE: {}}}).allowed
    plan = {
        "resources": {"USD": 0},
        "constraints": [{"name": "runway", "resource": "USD", "minimum": MINIMUM}],
    }
    assert kernel.native("budget.create", budget=BUDGET, schema=plan, pays_to=[JANE]).allowed
    for card, parent in CARDS.items():
        terms = {
            "cap": "sys/spend@1", "budget": {"USD": LIMITS[card]}, "delegations": 8 - len(card),
            "draws_on": {"USD": BUDGET}, "doubt": "payee",
        }  # fmt: skip
        assert kernel.native("grant.issue", grant=parent, name=card, terms=terms).allowed
    return kernel


STEPS = st.one_of(
    st.tuples(st.just("deposit"), st.integers(1, 90)),
    st.tuples(st.just("post"), st.sampled_from(sorted(CARDS)), st.integers(0, 60)),
    st.tuples(st.just("again"), st.integers(0, 9)),
    st.tuples(st.just("settle"), st.integers(0, 9), st.sampled_from(["ok", "error", "timeout"])),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("revoke"), st.sampled_from(sorted(CARDS))),
    st.tuples(st.just("crash")),
)


@settings(max_examples=max(1, settings.default.max_examples // 2))
@given(steps=st.lists(STEPS, max_size=40))
def test_no_card_passes_a_limit_of_its_chain_or_what_the_account_holds(steps):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w"
        kernel, model = made(path), Model()
        try:
            for at, (what, *said) in enumerate(steps):
                if what == "crash":
                    kernel.close()
                    kernel = opened(path)
                else:
                    globals()[f"step_{what}"](kernel, model, at, *said)
                agree(kernel, model)
            assert_conserved(kernel)
            assert_replays(kernel)
            assert_no_overspend(kernel, bounded=["USD"])
        finally:
            kernel.close()


def step_deposit(kernel, model, at, amount):
    assert kernel.native("ledger.issue", resource="USD", amount=amount, to=BUDGET).allowed
    model.balance += amount
    model.issued += amount


def task(card, amount, key):
    return Intent("task.post", {"result": "r", "amounts": {"USD": amount}}, card, idempotency_key=key)


def step_post(kernel, model, at, card, amount):
    decision = kernel.submit(task(card, amount, at.to_bytes(32)))
    assert decision.allowed == model.may_post(card, amount), decision
    if decision.allowed:
        model.post(card, amount, decision.intent_hash)
        model.tasks[-1].append(at)


def step_again(kernel, model, at, which):
    """A host that lost the reply asks again: the same answer, and nothing moves."""
    if which < len(model.tasks):
        card, amount, digest, _, key = model.tasks[which]
        decision = kernel.submit(task(card, amount, key.to_bytes(32)))
        assert (decision.outcome, decision.duplicate, decision.intent_hash) == ("allow", True, digest)


def step_settle(kernel, model, at, which, status):
    if which >= len(model.tasks):
        return
    found = model.tasks[which]
    answer = kernel.settle(Receipt(found[2], status, "adapter", {}))
    expected = {"open": "settled", "released": "late", "done": "duplicate"}[found[3]]
    assert answer.status == expected
    if expected != "duplicate":
        model.end([*found[:3], found[3]], found[1] if status == "ok" else 0, "done")
        found[3] = "done"


def step_cancel(kernel, model, at, which):
    if which < len(model.tasks):
        found = model.tasks[which]
        answer = kernel.release(found[2])
        assert (answer.status == "released") == (found[3] == "open")
        if found[3] == "open":
            model.end(found, 0, "released")


def step_revoke(kernel, model, at, card):
    assert kernel.native("grant.revoke", name=card).allowed == (card not in model.revoked)
    model.revoked.add(card)


def agree(kernel, model):
    counters, accounts = kernel.state.counters, kernel.state.accounts
    for card in CARDS:
        row = counters[card]["USD"]
        assert (row.reserved, row.spent) == (model.reserved[card], model.used[card])
    assert accounts[BUDGET].balances.get("USD", 0) == model.balance >= 0
    assert accounts[JANE].balances.get("USD", 0) == model.jane
    assert model.balance + model.jane + model.flying == model.issued
    assert kernel.state.resources["USD"].imbalance == 0
