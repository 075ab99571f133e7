"""What hosts rely on: five lines, holds that live as long as the work, late and unknown outcomes, groups."""

import os
import re

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import example, given
from splittally import Intent, Receipt
from splittally.core.events import Decided

from tests.rows.worlds import (
    ACT,
    CODES,
    OUTCOMES,
    ROOT,
    act,
    apply,
    bodies,
    books,
    budget,
    codes,
    few,
    held,
    reserves,
    run_python,
    settle,
    tally,
    world,
)

# --- five lines -------------------------------------------------------------------------------------


@pytest.mark.req("X5-01")
def test_a_host_is_governed_in_five_lines(tmp_path):
    p, m = tmp_path, {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}}}

    def do():
        return {"prompt_tokens": 10, "completion_tokens": 20}

    with splittally.open(p) as k:
        k.apply(m)
        d = k.submit(Intent("llm.generate", {"max_tokens": 50}, "g"))
        r = do()
        k.settle(Receipt(d.intent_hash, "ok", "host", r))
    with splittally.open(p) as k:
        assert k.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 30}


@pytest.mark.req("X5-01")
def test_the_program_in_the_readme_prints_what_the_readme_says(tmp_path):
    readme = (ROOT / "README.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    printed = re.search(r"prints\n\n```text\n(.*?)```", readme, re.DOTALL)
    done = run_python("-c", program, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == printed[1]
    assert os.listdir(tmp_path) == ["world"]


# --- holds that live as long as the work ------------------------------------------------------------


@pytest.mark.req("X5-02")
def test_a_hold_is_extended_while_the_work_is_alive():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 40}, expires_ns=100)
        extended = kernel.extend(digest, 200, now_ns=90)
        assert (extended.status, extended.due_ns) == ("extended", 200)
        kernel.tick(now_ns=150)
        assert kernel.state.reservations[digest].due_ns == 200
        kernel.tick(now_ns=200)
        assert not kernel.state.reservations
        assert kernel.extend(digest, 300).status == "refused"
        assert kernel.state.counters["g"]["tokens"].reserved == 0


@pytest.mark.req("X5-02")
@pytest.mark.parametrize("ended", ["settled", "cancelled", "governance", "expired"])
def test_no_hold_is_extended_after_it_ended_however_it_did(ended, tmp_path):
    with world(budget(tokens=100), tmp_path / "w") as kernel:
        digest = held(kernel, {"tokens": 40}, expires_ns=100)
        if ended == "settled":
            settle(kernel, digest, {"tokens": 1})
        elif ended == "cancelled":
            kernel.release(digest)
        elif ended == "governance":
            kernel.release(digest, "governance", order="order 9")
        else:
            kernel.tick(now_ns=100)
        frames = kernel.state.seq
        assert kernel.extend(digest, 10**6).status == "refused"
        assert kernel.extend(bytes(32), 10**6).status == "not_reserved"
        assert kernel.state.seq == frames
    if ended == "expired":
        assert tally(tmp_path / "w", "extend", digest.hex(), "--expires-ns", "999")[0] == 1


@pytest.mark.req("X5-02")
@few
@given(
    most=st.integers(0, 300), asked=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 500)), max_size=8)
)
@example(most=0, asked=[(0, 100), (0, 200), (0, 100)])  # put off, and back again: it falls due once
@example(most=50, asked=[(30, 70)])  # its longest time counts from when it was made
def test_a_hold_is_never_extended_past_what_its_grants_allow(most, asked):
    with world({"top": {"hold_ns_max": most}, "g": {"parent": "top"}}) as kernel:
        digest = held(kernel, {"tokens": 1}, expires_ns=60)
        due, now = min(60, most or 60), 0
        for wait, expires in asked:
            now += wait
            answer = kernel.extend(digest, expires, now_ns=now)
            if now >= due:
                assert answer.status == "refused"
                break
            if expires <= now or (most and expires > most):
                assert answer.status == "refused"
            else:
                assert answer.status == "extended"
                due = expires
        kernel.tick(now_ns=due)
        assert not kernel.state.reservations


# --- late and unknown outcomes ----------------------------------------------------------------------


@pytest.mark.req("X5-03")
def test_late_spend_counts_once_and_is_marked_late():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 40}, expires_ns=100)
        assert (
            settle(kernel, digest, {}, "unknown", now_ns=120).status == "duplicate"
        )  # and nothing is charged
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 0}
        late = settle(kernel, digest, {"tokens": 30}, now_ns=120)
        assert (late.status, late.usage) == ("late", {"tokens": 30})
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 30}
        before = books(kernel)
        assert settle(kernel, digest, {"tokens": 30}).status == "duplicate"
        assert books(kernel) == before
        assert kernel.outcome(digest).status == "released"
        assert kernel.outcome(digest).charged == {"tokens": 30}
        assert kernel.outcome(digest).ended_seq == late.seq


@pytest.mark.req("X5-03")
@few
@given(when=st.integers(95, 130), usage=st.integers(0, 80), again=st.integers(0, 3))
def test_a_receipt_is_in_time_before_the_very_instant_of_expiry_and_late_from_it(when, usage, again):
    with world(budget(tokens=1_000)) as kernel:
        digest = held(kernel, {"tokens": 40}, expires_ns=100)
        status = settle(kernel, digest, {"tokens": usage}, now_ns=when).status
        assert status == ("settled" if when < 100 else "late")
        assert all(settle(kernel, digest, {"tokens": 9}).status == "duplicate" for _ in range(again))
        assert kernel.state.counters["g"]["tokens"] == {"limit": 1_000, "reserved": 0, "spent": usage}


MONEY = {"resources": {"USD": 0}, "accounts": {"accounts/team": {}, "accounts/vendor": {}}}


def money_world(path=None, **terms):
    """A grant `g` that draws on an account with 100."""
    draws = {"draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"]}
    return world({"g": {"budget": {"USD": 100}, **draws, **terms}}, path, **MONEY)


def issue(kernel, amount):
    assert kernel.native("ledger.issue", resource="USD", amount=amount, to="accounts/team").allowed


def balances(kernel):
    rows = kernel.state.accounts
    return {name: rows[f"accounts/{name}"].balances.get("USD", 0) for name in ("team", "vendor")}


@pytest.mark.req("X5-03")
@pytest.mark.parametrize("wake", ["tick", "intent"])
def test_a_hold_stands_until_the_instant_before_its_expiry_and_no_longer(wake):
    with world(budget(tokens=9)) as kernel:
        digest = held(kernel, {"tokens": 9}, expires_ns=100)
        assert kernel.tick(now_ns=99) == 0
        assert digest in kernel.state.reservations
        if wake == "tick":
            assert kernel.tick(now_ns=100) == 1
        else:
            assert act(kernel, {"tokens": 9}, now_ns=100).allowed
        assert digest not in kernel.state.reservations


@pytest.mark.req("X5-04")
def test_not_knowing_is_a_state_with_an_age_that_a_later_receipt_ends():
    with money_world() as kernel:
        issue(kernel, 100)
        digest = held(kernel, {"USD": 40}, expires_ns=50)
        assert settle(kernel, digest, {}, "unknown", now_ns=10).status == "held"
        kernel.tick(now_ns=10**6)
        kernel.native("account.open", account="clock", now_ns=10**6)
        (row,) = kernel.state.reservations(phase="unknown").values()
        assert (row.intent_hash, row.age_ns, row.due_ns) == (digest, 10**6, None)
        assert balances(kernel) == {"team": 60, "vendor": 0}
        assert settle(kernel, digest, {"USD": 25}).status == "settled"
        assert balances(kernel) == {"team": 75, "vendor": 25}


@pytest.mark.req("X5-04")
@pytest.mark.parametrize(("doubt", "left"), [("payer", (60, 40)), ("payee", (100, 0))])
def test_a_time_out_resolves_what_nobody_knows_and_says_who_bore_it(tmp_path, doubt, left):
    with money_world(tmp_path / "w", doubt=doubt, unknown_ns=1_000) as kernel:
        issue(kernel, 100)
        digest = held(kernel, {"USD": 40})
        settle(kernel, digest, {}, "unknown", now_ns=10)
        assert kernel.tick(now_ns=1_009) == 0
        assert kernel.tick(now_ns=1_010) == 1
        assert kernel.outcome(digest).status == "settled"
        assert kernel.state.counters["g"]["USD"] == {"limit": 100, "reserved": 0, "spent": 40}
        assert tuple(balances(kernel).values()) == left
        ended = bodies(kernel)[-1].out[0]
        assert (ended.how, ended.violations[0].code) == ("unknown", "unknown_timed_out")
        assert ended.violations[0].facts["bearer"] == {"USD": doubt}
        assert settle(kernel, digest, {"USD": 1}).status == "duplicate"
    code, shown = tally(tmp_path / "w", "show", digest.hex())
    assert code == 0
    assert doubt in str(shown)


@pytest.mark.req("X5-04")
@pytest.mark.parametrize(("happened", "left"), [(True, (60, 40)), (False, (100, 0))])
def test_somebody_may_answer_for_what_the_host_does_not_know(happened, left):
    with money_world() as kernel:
        issue(kernel, 100)
        digest = held(kernel, {"USD": 40})
        assert codes(kernel.native("outcome.attest", intent_hash=digest, happened=happened)) == [
            "not_reserved"
        ]
        settle(kernel, digest, {}, "unknown")
        assert kernel.native("outcome.attest", intent_hash=digest, happened=happened).allowed
        assert tuple(balances(kernel).values()) == left
        assert not kernel.state.reservations


@pytest.mark.req("X5-04")
def test_what_waits_for_approval_can_neither_be_marked_nor_run_unseen():
    """Marked unknown it could not be rejected any more, and its receipt would not be a violation."""
    ask = [{"name": "ask", "decision": "require_approval"}]
    with world(budget(tokens=100), policy=ask) as kernel:
        first, second = (act(kernel, {"tokens": 40}).intent_hash for _ in range(2))
        for digest in (first, second):
            assert settle(kernel, digest, {}, "unknown").status == "held"
            assert kernel.state.reservations[digest].phase == "approval"
        assert kernel.reject(first).allowed
        ended = settle(kernel, second, {"tokens": 40})
        assert (ended.status, ended.violation.code) == ("settled", "executed_without_approval")


# --- keys and groups --------------------------------------------------------------------------------


@pytest.mark.req("X5-06")
@few
@given(
    first=st.integers(0, 3), others=st.lists(st.integers(0, 3), min_size=1, max_size=5), ended=st.booleans()
)
def test_a_key_used_for_another_payload_is_a_conflict_and_touches_nothing(first, others, ended):
    with world(budget(tokens=1_000)) as kernel:
        key = {"idempotency_key": b"k" * 32}
        decision = act(kernel, {"tokens": first}, **key)
        if ended:
            settle(kernel, decision.intent_hash, {"tokens": first})
        before, frames = books(kernel), kernel.state.seq
        for amount in others:
            again = act(kernel, {"tokens": amount}, **key)
            if amount == first:
                assert (again.duplicate, again.seq) == (True, decision.seq)
            else:
                assert (again.seq, codes(again)) == (None, ["idempotency.conflict"])
                assert again.findings[0].facts["intent_hash"] == decision.intent_hash
        assert (books(kernel), kernel.state.seq) == (before, frames)


@pytest.mark.req("X5-06")
def test_a_key_belongs_to_its_grant_and_a_denied_intent_has_used_it():
    with world({"g": {"budget": {"tokens": 10}}, "h": {}}) as kernel:
        key = {"idempotency_key": b"k" * 32}
        assert codes(act(kernel, {"tokens": 11}, **key)) == ["budget_exceeded"]
        assert codes(act(kernel, {"tokens": 10}, **key)) == ["idempotency.conflict"]
        assert act(kernel, {"tokens": 10}, "h", **key).allowed


@pytest.mark.req("X5-07")
def test_a_group_is_admitted_in_one_frame_or_not_at_all():
    with world({"g": {"budget": {"tokens": 100}}, "small": {"budget": {"tokens": 10}}}) as kernel:
        fits = [Intent(ACT, {"a": reserves({"tokens": n})}, "g") for n in (10, 20)]
        above = Intent(ACT, {"a": reserves({"tokens": 11})}, "small")
        before = books(kernel)
        answers = kernel.submit([*fits, above], mode="all")
        assert [answer.outcome for answer in answers] == ["deny"] * 3
        assert books(kernel) == before
        for answer in answers:
            (named,) = [x for x in answer.findings if x.code == "group_member_refused"]
            assert (named.facts["member"], named.facts["intent_hash"]) == (2, answers[2].intent_hash)
        assert codes(answers[2])[0] == "budget_exceeded"
        third = Intent(ACT, {"a": reserves({"tokens": 10})}, "small")
        answers = kernel.submit([*fits, third], mode="all")
        assert [answer.outcome for answer in answers] == ["allow"] * 3
        assert len({answer.seq for answer in answers}) == 1
        assert len(kernel.state.reservations) == 3


GROUP = st.lists(st.tuples(st.sampled_from(["g", "h", "asks"]), st.integers(0, 60)), min_size=1, max_size=6)


@pytest.mark.req("X5-07")
@few
@given(groups=st.lists(GROUP, min_size=1, max_size=4))
def test_groups_fit_exactly_when_their_members_fit_one_after_the_other(groups):
    """A member that would have to wait refuses its group as one that does not fit."""
    limits = {"g": 100, "h": 70, "asks": 50}
    used = dict.fromkeys(limits, 0)
    grants = {name: {"budget": {"tokens": limit}} for name, limit in limits.items()}
    grants["asks"] = {"limits": [{"dim": "tokens", "amount": limits["asks"], "over": "ask"}]}
    with world(grants) as kernel:
        for group in groups:
            asked = [Intent(ACT, {"a": reserves({"tokens": n})}, grant) for grant, n in group]
            wanted, refused = dict(used), None
            for at, (grant, n) in enumerate(group):
                wanted[grant] += n
                refused = at if refused is None and wanted[grant] > limits[grant] else refused
            answers = kernel.submit(asked, mode="all")
            assert {answer.outcome for answer in answers} == {"allow" if refused is None else "deny"}
            for at, answer in enumerate(answers):
                own = "approval_threshold" if group[at][0] == "asks" else "budget_exceeded"
                expected = [*([own] if at == refused else []), "group_member_refused"]
                assert codes(answer) == ([] if refused is None else expected)
            used = wanted if refused is None else used
            assert {name: kernel.state.counters[name]["tokens"].reserved for name in limits} == used


@pytest.mark.req("X5-07")
@few
@given(
    limits=st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from(["deny", "defer", "ask"])), min_size=1, max_size=6
    ),
    amount=st.integers(0, 60),
    keyed=st.booleans(),
)
@example(limits=[(1, "deny"), (60, "deny")], amount=9, keyed=True)
def test_of_several_grants_the_first_that_passes_alone_pays(limits, amount, keyed):
    """Where none is allowed the mildest refusal is the answer, and it holds where it waits.

    Nothing is held, so more than a limit for life never fits: what defers denies then.
    """
    limits = [(limit, "deny" if over == "defer" and amount > limit else over) for limit, over in limits]
    grants = {
        f"g{at}": {"limits": [{"dim": "tokens", "amount": limit, "over": over}]}
        for at, (limit, over) in enumerate(limits)
    }
    with world(grants) as kernel:
        key = b"k" * 32 if keyed else None
        asked = [
            Intent(ACT, {"a": reserves({"tokens": amount})}, name, idempotency_key=key) for name in grants
        ]
        decision = kernel.submit(asked, mode="first")
        passes = next((at for at, (limit, _) in enumerate(limits) if amount <= limit), None)
        tried = limits if passes is None else limits[:passes]
        ranks = {over: at for at, over in enumerate(("ask", "defer", "deny"))}
        best = passes if passes is not None else min(range(len(tried)), key=lambda at: ranks[tried[at][1]])
        assert decision.outcome == ("allow" if passes is not None else OUTCOMES[limits[best][1]])
        decided = [event.intent_hash for event in bodies(kernel)[-1].out if isinstance(event, Decided)]
        assert len(set(decided)) == (len(tried) if decision.outcome == "deny" else 1)
        others = [CODES[over] for at, (_, over) in enumerate(tried) if at != best]
        assert codes(decision) == ([CODES[limits[best][1]]] if passes is None else []) + others
        reserved = [kernel.state.counters[name]["tokens"].reserved for name in grants]
        is_held = decision.outcome in ("allow", "require_approval")
        assert reserved == [amount if is_held and at == best else 0 for at in range(len(limits))]
        if keyed and is_held:
            again = kernel.submit(asked, mode="first")
            assert (again.duplicate, again.intent_hash) == (True, decision.intent_hash)
            assert [kernel.state.counters[name]["tokens"].reserved for name in grants] == reserved


@pytest.mark.req("X5-07")
def test_of_several_grants_those_that_refused_before_are_passed_over():
    with world({"g0": {"budget": {"tokens": 1}}, "g1": {}, "g2": {}}) as kernel:
        asked = [
            Intent(ACT, {"a": reserves({"tokens": 9})}, name, idempotency_key=b"k" * 32)
            for name in ("g0", "g1", "g2")
        ]
        assert kernel.submit(asked[0]).outcome == "deny"
        decision = kernel.submit(asked, mode="first")
        assert (decision.allowed, decision.duplicate) == (True, False)
        assert [hold.grant for hold in kernel.state.reservations.values()] == ["g1"]


@pytest.mark.req("X5-07")
def test_a_group_that_is_sent_again_gets_its_first_answers():
    with world(budget(tokens=100)) as kernel:
        asked = [
            Intent(ACT, {"a": reserves({"tokens": 9})}, "g", idempotency_key=bytes([n]) * 32)
            for n in range(3)
        ]
        first = kernel.submit(asked, mode="all")
        frames = kernel.state.seq
        again = kernel.submit(asked, mode="all")
        assert [(x.seq, x.outcome, x.duplicate) for x in again] == [(x.seq, x.outcome, True) for x in first]
        alone = [kernel.submit(each) for each in asked]
        assert [(x.intent_hash, x.duplicate) for x in alone] == [(x.intent_hash, True) for x in first]
        other = act(kernel, {"tokens": 8}, idempotency_key=asked[1].idempotency_key)
        assert other.findings[0].facts["intent_hash"] == first[1].intent_hash  # of the group, whose key it is
        fourth = Intent(ACT, {"a": reserves({"tokens": 9})}, "g", idempotency_key=b"4" * 32)
        mixed = kernel.submit([*asked, fourth], mode="all")
        assert codes(mixed[3]) == ["idempotency.conflict"]
        assert kernel.state.seq == frames
        assert kernel.outcome(mixed[3].intent_hash or b"4" * 32) is None


@pytest.mark.req("X5-07")
@pytest.mark.parametrize("mode", ["all", "first"])
def test_a_group_of_nonsense_is_answered_member_by_member_without_a_record(mode):
    with world(budget(tokens=100)) as kernel:
        good = Intent(ACT, {"a": reserves({"tokens": 9})}, "g")
        frames = kernel.state.seq
        twice = [Intent(ACT, {"a": b"\1"}, "g", idempotency_key=bytes(32))] * 2
        for group in ([], [good] * 65, [good, 5], [None], twice, [good, Intent("no.such", {}, "g")]):
            answers = kernel.submit(group, mode=mode)
            answers = [answers] if mode == "first" else answers
            assert len(answers) == (1 if mode == "first" else max(1, len(group)))
            assert all((answer.seq, answer.outcome) == (None, "deny") for answer in answers)
        for odd in ("each", "some", 5):
            answer = kernel.run([splittally.Group(odd, (good,))])[0]
            assert codes(answer[0]) == ["input.invalid"]
        assert kernel.state.seq == frames
        apply(kernel, {"accounts": {"a": {}}})
