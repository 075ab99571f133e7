"""Generated dialogues between people beside a model of one page: who may do what, when, and what moves."""

import hypothesis.strategies as st
from hypothesis import given
from splittally import Intent
from splittally_tools.testing import assert_conserved, assert_replays

from tests.cli_tools import run
from tests.rows.budgets import BOTH, held
from tests.rows.people import KID, PEOPLE, TOP, allowed, by, company, row
from tests.rows.worlds import codes, few

BOARD = {"quorum": {"agree": 2, "of": ["ann", "bob", "carl"]}}
FUNDS, ASKED, PART = 100, 40, 30
ACTS = ("comment", "offer", "grant", "accept", "refuse", "withdraw", "agree", "object", "abstain")
VOTES = ACTS[6:]


class Model:
    """Requests `f0`, `f1` for 40 each to a child of a budget that holds 100; a part `s0` of 30 by vote; a
    review `v0`. Only ann may not pay. ann asked for everything."""

    def __init__(self):
        self.top, self.kid = FUNDS, 0
        self.status = dict.fromkeys(("f0", "f1", "s0", "v0"), "open")
        self.offers, self.votes = {}, {}

    def say(self, name, who, act, amount):
        """The code with which it is refused; empty where it is done."""
        kind = name[0]
        if act in VOTES:
            return self.vote(name, kind, who, act)
        fits = {
            "f": ACTS[:6],
            "s": ("comment", "refuse", "withdraw"),
            "v": ("comment", "accept", "refuse", "withdraw"),
        }
        if act not in fits[kind] or (kind == "f" and act == "accept" and name not in self.offers):
            return "act_unfit"
        if self.status[name] != "open":
            return "proposal_ended"
        if who != "ann" and (act == "withdraw" or (kind == "f" and act == "accept")):
            return "not_proposer"
        if who == "ann" and (act in ("offer", "grant") or (act == "refuse" and kind == "f")):
            return "authority_lacking"
        if kind == "f" and act in ("offer", "grant") and amount > ASKED:
            return "more_than_asked"
        return self.done(name, kind, act, amount)

    def done(self, name, kind, act, amount):
        if act == "offer":
            self.offers[name] = amount
        if kind == "f" and act in ("grant", "accept"):
            moved = self.offers[name] if act == "accept" else amount
            if moved > self.top:
                return "insufficient_balance"
            self.top, self.kid = self.top - moved, self.kid + moved
        ends = {"grant": "done", "accept": "done", "refuse": "refused", "withdraw": "withdrawn"}
        self.status[name] = ends.get(act, "open")
        return ""

    def vote(self, name, kind, who, vote):
        if kind != "s":
            return "act_unfit"
        if self.status[name] != "open":
            return "proposal_ended"
        votes = self.votes.setdefault(name, {})
        if who in votes:
            return "already_voted"
        if who == "dora":
            return "not_in_quorum"
        agree = [*votes.values(), vote].count("agree")
        if agree == 2 and self.top < PART:
            return "allocations_unequal"
        votes[who] = vote
        left = 3 - len(votes)
        self.status[name] = "done" if agree == 2 else "open" if agree + left >= 2 else "refused"
        return ""


steps = st.tuples(
    st.sampled_from(("f0", "f1", "s0", "v0")),
    st.sampled_from(PEOPLE),
    st.sampled_from(ACTS),
    st.sampled_from((1, 25, ASKED, ASKED + 1)),
)


@few
@given(st.lists(steps, max_size=25), st.integers(0, 60))
def test_generated_dialogues_end_as_the_model_says(dialogue, gone):
    """`gone` leaves the parent's account for elsewhere first, so that it may lack what is granted."""
    no_payer = {"operations": ["budget.*"]}
    with company(parent=BOARD, funds=FUNDS, ann=no_payer) as kernel:
        model = begun(kernel, gone)
        for name, who, act, amount in dialogue:
            said = model.say(name, who, act, amount)
            decision = asked(kernel, name, who, act, amount)
            expected = [said] if said else ["proposal_answered"]
            assert codes(decision) == expected, (name, who, act, amount)
            assert (held(kernel, TOP), held(kernel, KID)) == (model.top, model.kid)
        for name, status in model.status.items():
            assert row(kernel, name, budget_of(name))["status"] == status
        assert (f"{TOP}/part" in kernel.state.grants) == (model.status["s0"] == "done")
        assert_conserved(kernel)


def begun(kernel, gone):
    model = Model()
    spend = {"what": "spend", "part": "part", "holder": "dora", "resource": "USD", "amount": PART}
    for name in ("f0", "f1"):
        allowed(kernel, "ann", "budget.request", name=name, resource="USD", amount=ASKED)
    allowed(kernel, "ann", "budget.propose", TOP, name="s0", **spend)
    allowed(kernel, "ann", "budget.propose", name="v0", what="review", title="look")
    if gone:
        away = {"resource": "USD", "amount": gone, "from": TOP, "to": "accounts/log"}
        assert kernel.native("ledger.transfer", **away).allowed
        model.top -= gone
    return model


def budget_of(name):
    return TOP if name == "s0" else KID


def asked(kernel, name, who, act, amount):
    if act in VOTES:
        return by(kernel, who, "budget.vote", budget_of(name), name=name, vote=act)
    with_amount = {"resource": "USD", "amount": amount} if act in ("offer", "grant") else {}
    return by(kernel, who, "budget.reply", budget_of(name), name=name, act=act, **with_amount)


def test_two_grants_of_one_request_in_one_record_are_one_too_many():
    with company(funds=FUNDS) as kernel:
        allowed(kernel, "ann", "budget.request", name="r", resource="USD", amount=ASKED)
        params = {"budget": KID, "name": "r", "act": "grant"}
        twice = [
            Intent("budget.reply", params, "bob/native", idempotency_key=bytes([x] * 32)) for x in (1, 2)
        ]
        answers = kernel.as_principal("bob").submit(twice, mode="all")
        assert not any(answer.allowed for answer in answers)
        assert (held(kernel, KID), row(kernel, "r")["status"]) == (0, "open")


def test_a_dialogue_is_replayed_and_judged_again_to_the_same_bytes(tmp_path):
    spend = {"what": "spend", "part": "p", "holder": "dora", "resource": "USD", "amount": PART}
    with company(parent=BOARD, funds=FUNDS, path=tmp_path / "w") as kernel:
        allowed(kernel, "ann", "budget.request", name="r", resource="USD", amount=ASKED)
        allowed(kernel, "bob", "budget.reply", name="r", act="offer", amount=10)
        allowed(kernel, "ann", "budget.reply", name="r", act="accept")
        allowed(kernel, "ann", "budget.propose", TOP, name="p", **spend)
        schema = {"resources": BOTH, "title": "new", **BOARD}
        allowed(kernel, "bob", "budget.propose", TOP, name="d", what="amend", schema=schema)
        for name in ("p", "d"):
            allowed(kernel, "ann", "budget.vote", TOP, name=name, vote="agree")
            allowed(kernel, "bob", "budget.vote", TOP, name=name, vote="agree")
        assert_replays(kernel)
    ran = run("-w", tmp_path / "w", "verify", "--rejudge")
    assert ran.code == 0, ran
