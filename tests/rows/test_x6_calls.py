"""Rows X6-25 and X6-29: who may act on an answer now, and whose key a refused group uses up."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent
from splittally.core.intent_history import is_foreign
from splittally_tools.testing.assertions import KNOWN

from tests.rows.worlds import ACT, act, budget, codes, denies, few, held, reserves, settle, world

KEY = b"k" * 32
MINE, THEIRS = b"m" * 16, b"t" * 16


def again(kernel, attempt=None, **fields):
    return act(kernel, {"tokens": 40}, idempotency_key=KEY, attempt=attempt, **fields)


def known(decision):
    """What the answer says beside the recorded reasons."""
    return [finding for finding in decision.findings if finding.stage == KNOWN]


# --- who may act --------------------------------------------------------------------------------------


@pytest.mark.req("X6-25")
def test_an_allow_is_its_own_attempts_while_the_hold_is_open_and_nobody_elses():
    with world(budget(tokens=100)) as kernel:
        first, mine = again(kernel, MINE), again(kernel, MINE)
        assert (first.allowed, mine.allowed) == (True, True)
        assert (mine.duplicate, mine.findings) == (True, first.findings)
        for attempt in (THEIRS, None):  # another host; the same host without an attempt of its own
            other = again(kernel, attempt)
            assert (other.outcome, other.allowed, codes(other)) == ("allow", False, ["not_your_attempt"])
            assert other.attempt == MINE


def released(kernel, digest):
    kernel.release(digest)
    return "released"


def settled(kernel, digest):
    settle(kernel, digest, {"tokens": 1})
    return "settled"


def ordered(kernel, digest):
    kernel.release(digest, "governance", order="order-1")
    return "released"


def expired(kernel, digest):
    kernel.tick(now_ns=1_000)
    return "released"


@pytest.mark.req("X6-25")
@pytest.mark.parametrize("end", [released, settled, ordered, expired])
def test_what_has_ended_may_be_done_by_nobody_and_the_answer_says_how_it_ended(end):
    with world(budget(tokens=100)) as kernel:
        first = again(kernel, MINE, expires_ns=1_000)
        status = end(kernel, first.intent_hash)
        for attempt in (MINE, THEIRS):
            answer = again(kernel, attempt, expires_ns=1_000)
            assert (answer.outcome, answer.duplicate, answer.allowed) == ("allow", True, False)
            assert codes(answer) == ["already_ended"]
            assert answer.findings[0].facts["status"] == status
            assert answer.findings[0].facts["ended_seq"] == kernel.outcome(first.intent_hash).ended_seq


@pytest.mark.req("X6-25")
def test_what_nobody_knows_the_outcome_of_may_be_done_by_nobody():
    with world(budget(tokens=100)) as kernel:
        first = again(kernel, MINE)
        settle(kernel, first.intent_hash, {}, "unknown")
        for attempt in (MINE, THEIRS):
            answer = again(kernel, attempt)
            assert (answer.allowed, codes(answer)) == (False, ["outcome_unknown"])


@pytest.mark.req("X6-25")
def test_an_approved_intent_is_allowed_to_the_attempt_that_asked_for_it():
    with world(budget(tokens=100), policy=[{"name": "ask", "decision": "require_approval"}]) as kernel:
        first = again(kernel, MINE)
        assert (first.outcome, first.allowed) == ("require_approval", False)
        waiting = again(kernel, MINE)
        assert (waiting.outcome, waiting.allowed, known(waiting)) == ("require_approval", False, [])
        kernel.approve(first.intent_hash)
        mine, other = again(kernel, MINE), again(kernel, THEIRS)
        assert (mine.outcome, mine.allowed, known(mine)) == ("require_approval", True, [])
        assert (other.allowed, [x.code for x in known(other)]) == (False, ["not_your_attempt"])


@pytest.mark.req("X6-25")
def test_a_denial_stays_a_denial_and_says_nothing_more_the_second_time():
    with world(budget(tokens=10)) as kernel:
        first, second = again(kernel, MINE), again(kernel, MINE)
        assert second.duplicate
        assert not second.allowed
        assert [x.facts | {"next": x.facts["then"]} for x in second.findings] == [
            x.facts | {"then": x.facts["next"]} for x in first.findings
        ]  # but that the key is used up


@pytest.mark.req("X6-25")
def test_a_native_effect_is_done_once_and_allowed_to_its_own_attempt_only():
    with world(budget(tokens=10)) as kernel:

        def opened(attempt):
            intent = Intent("account.open", {"account": "a"}, "root", idempotency_key=KEY, attempt=attempt)
            return kernel.submit(intent)

        first, mine, other = opened(MINE), opened(MINE), opened(THEIRS)
        assert (first.allowed, mine.allowed, mine.duplicate, other.allowed) == (True, True, True, False)
        assert codes(other) == ["already_ended"]


@pytest.mark.req("X6-25")
@few
@given(
    attempts=st.lists(st.sampled_from([MINE, THEIRS, None]), min_size=1, max_size=6),
    together=st.booleans(),
    mode=st.sampled_from(["each", "first"]),
)
def test_of_all_who_ask_with_one_key_one_attempt_may_act(attempts, together, mode):
    """In one list and one after another, alone and as an offer of several grants."""
    with world({"g": {}, "h": {}}) as kernel:
        params = {"a": reserves({"tokens": 1})}
        grants = ["g", "h"] if mode == "first" else ["g"]
        every = [
            [Intent(ACT, params, grant, idempotency_key=KEY, attempt=attempt) for grant in grants]
            for attempt in attempts
        ]
        if mode == "first":
            answers = [kernel.submit(offers, mode="first") for offers in every]
        elif together:
            answers = kernel.submit([offer for offers in every for offer in offers])
        else:
            answers = [kernel.submit(offer) for offers in every for offer in offers]
        may_act = {answer.attempt for answer in answers if answer.allowed}
        assert len(may_act) == 1
        first = attempts[0]
        expected = [at == 0 or (first is not None and x == first) for at, x in enumerate(attempts)]
        assert [answer.allowed for answer in answers] == expected


# --- whose key ----------------------------------------------------------------------------------------


@pytest.mark.req("X6-29")
@pytest.mark.parametrize("payload", [{"a": reserves({"tokens": 5})}, {"a": reserves({"tokens": 6})}])
@pytest.mark.parametrize("is_last", [True, False])
def test_a_strangers_refused_group_uses_up_no_key_of_the_holder(payload, is_last):
    grants = {"anns": {"holder": "ann"}, "eves": {"holder": "eve", "budget": {"tokens": 1}}}
    with world(grants) as kernel:
        eve, ann = kernel.as_principal("eve"), kernel.as_principal("ann")
        own = Intent(ACT, {"a": reserves({"tokens": 9})}, "eves", idempotency_key=KEY)
        stolen = Intent(ACT, {"a": reserves({"tokens": 5})}, "anns", idempotency_key=KEY)
        answers = eve.submit([own, stolen] if is_last else [stolen, own], mode="all")
        assert [answer.outcome for answer in answers] == ["deny", "deny"]
        assert "not_holder" in codes(answers[1 if is_last else 0])
        mine = ann.submit(Intent(ACT, payload, "anns", idempotency_key=KEY))
        assert (mine.outcome, mine.duplicate, mine.allowed) == ("allow", False, True)
        assert eve.submit(own).duplicate  # her own key is used up, as of any denial


@pytest.mark.req("X6-29")
def test_an_enforcers_word_is_no_code_of_the_kernel():
    """A module may deny with any word; that one of ours means that somebody else asked is ours to say."""
    with world({"g": {}}) as kernel:
        first = act(kernel, denies("not_holder"), idempotency_key=KEY)
        assert (first.outcome, codes(first), first.findings[0].stage) == ("deny", ["not_holder"], "enforcer")
        second = act(kernel, denies("not_holder"), idempotency_key=KEY)
        assert (second.duplicate, second.seq) == (True, first.seq)
        other = act(kernel, {"tokens": 1}, idempotency_key=KEY)
        assert codes(other) == ["idempotency.conflict"]
        assert not is_foreign(kernel._world.history.trace(first.intent_hash).decided)


@pytest.mark.req("X6-29")
def test_a_stranger_alone_uses_up_no_key_either():
    with world({"g": {"holder": "ann"}}) as kernel:
        intent = Intent(ACT, {"a": reserves({})}, "g", idempotency_key=KEY)
        assert codes(kernel.submit(intent)) == ["not_holder"]
        assert not kernel.as_principal("ann").submit(intent).duplicate
        assert held(kernel.as_principal("ann"), {})
