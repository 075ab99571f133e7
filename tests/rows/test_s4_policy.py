"""Policy: asked after the caps' constraints, before anything is committed, and written down."""

import hypothesis.strategies as st
import pytest
import splittally
from blake3 import blake3
from hypothesis import example, given
from splittally import InvalidManifest
from splittally.core.events import Decided, Held, HoldChanged, Released

from tests.rows.worlds import (
    CAP,
    act,
    apply,
    bodies,
    books,
    budget,
    canonical,
    codes,
    denies,
    few,
    held,
    listen,
    manifest,
    recorded,
    reserves,
    settle,
    world,
)

PLAN, REDUCER = ("plan", "com.acme/p@1"), ("reducer", "com.acme/r@1")
ASK = [
    {"name": "reducers ask", "decision": "require_approval", "origin_kind": "reducer"},
    {"name": "plans may", "decision": "allow"},
]
NOT_ASKED = -2


def waiting(kernel, reserve: dict[str, int], **fields) -> bytes:
    """The hash of an intent that waits for approval."""
    decision = act(kernel, reserve, origin=REDUCER, **fields)
    assert decision.outcome == "require_approval", decision
    return decision.intent_hash


def entry(kernel) -> dict:
    return kernel.state.counters["g"]["tokens"]


# --- order ------------------------------------------------------------------------------------------


@pytest.mark.req("S4-75")
def test_policy_sees_canonical_params_and_the_enforcers_estimate_and_decides_before_the_commit():
    rules = [
        {"name": "sees both", "decision": "allow", "when": 'params.z == 1 && reserve["tokens"] == 50'},
        {"name": "nobody else", "decision": "deny"},
    ]
    with world(budget(tokens=100), policy=rules) as kernel:
        calls, before = listen(kernel), books(kernel)
        refused = act(kernel, {"tokens": 50}, params={"z": 2})
        assert codes(refused) == ["policy_denied"]
        assert books(kernel) == before
        allowed = act(kernel, {"tokens": 50}, params={"z": 1})
        assert allowed.allowed
        assert len(calls) == 2
        body = bodies(kernel)[allowed.seq]
        (member,), (judged,) = body.command.members, body.seen
        assert member.params == calls[1].message["effect_params"]
        assert judged.answer == reserves({"tokens": 50})
        decided, committed = body.out[:2]
        assert (decided.outcome, decided.rule) == ("allow", 0)
        assert isinstance(committed, Held)


@pytest.mark.req("S4-75")
@few
@given(
    is_refused=st.booleans(), estimate=st.sampled_from([10, 11]), decision=st.sampled_from(["allow", "deny"])
)
def test_the_first_stage_that_refuses_is_the_only_one_that_speaks(is_refused, estimate, decision):
    with world(budget(tokens=10), policy=[{"name": "rule", "decision": decision}]) as kernel:
        before = books(kernel)
        answer = act(kernel, denies("no") if is_refused else reserves({"tokens": estimate}))
        stages = {finding.stage for finding in answer.findings}
        refusing = [("enforcer", is_refused), ("ledger", estimate > 10), ("policy", decision == "deny")]
        first = next(({stage} for stage, refuses in refusing if refuses), set())
        assert stages == first
        assert answer.allowed == (not first)
        assert (books(kernel) == before) == bool(first)


# --- verdicts ---------------------------------------------------------------------------------------


@pytest.mark.req("S4-76")
@pytest.mark.parametrize("decision", ["allow", "deny", "require_approval"])
def test_each_decision_of_a_rule_is_its_verdict(decision):
    with world(budget(tokens=100), policy=[{"name": "rule", "decision": decision}]) as kernel:
        assert act(kernel, {"tokens": 5}).outcome == decision


@pytest.mark.req("S4-76")
@pytest.mark.parametrize("word", ["maybe", "Allow", "", "escalate", "defer", None, True, ["allow"]])
def test_another_word_is_refused_when_loaded(word):
    with splittally.open(None, clock="given") as kernel:
        before = kernel.state.root
        with pytest.raises(InvalidManifest, match="decision"):
            kernel.apply(manifest(budget(tokens=1), policy=[{"name": "rule", "decision": word}]))
        with pytest.raises(InvalidManifest, match="decision"):
            kernel.apply(manifest(budget(tokens=1), policy=[{"name": "rule"}]))
        assert kernel.state.root == before


@pytest.mark.req("S4-76")
def test_without_a_rule_that_matches_the_verdict_is_deny_and_without_rules_there_is_no_policy():
    rules = [{"name": "reducers may", "decision": "allow", "origin_kind": "reducer"}]
    with world(budget(tokens=100)) as kernel:
        assert act(kernel, {"tokens": 1}).allowed
        apply(kernel, manifest(budget(tokens=100), policy=rules))
        refused = act(kernel, {"tokens": 1})
        assert (refused.outcome, codes(refused)) == ("deny", ["policy_unmatched"])
        assert recorded(kernel, Decided)[-1].rule == -1


# --- allow ------------------------------------------------------------------------------------------

COUNTED = [{"name": "counted", "decision": "allow", "rates": [{"per": "day", "amount": 100}]}]


def attempts(kernel) -> int:
    return sum(row.spent for key, row in kernel.state.windows.items() if key[1] == "attempts")


@pytest.mark.req("S4-77")
@pytest.mark.parametrize("is_stored", [False, True], ids=["failed before it was stored", "failed after"])
def test_a_commit_that_fails_leaves_both_the_reservation_and_the_attempt_or_neither(folder, is_stored):
    """The answer is lost either way; after recovery the journal tells."""
    kernel = splittally.open(folder, clock="given")
    apply(kernel, manifest(budget(tokens=100), policy=COUNTED))
    held(kernel, {"tokens": 5})
    store = kernel._world.store
    append = store.append

    def cut(expected, frames):
        if is_stored:
            append(expected, frames)
        raise splittally.DiskFull("cut")

    store.append = cut
    with pytest.raises(splittally.DiskFull):
        act(kernel, {"tokens": 60}, idempotency_key=bytes(32), attempt=bytes(16))
    store.append = append
    kernel.close()
    with splittally.open(folder) as kernel:
        assert entry(kernel).reserved == (65 if is_stored else 5)
        assert attempts(kernel) == len(kernel.state.reservations) == (2 if is_stored else 1)
        again = act(kernel, {"tokens": 60}, idempotency_key=bytes(32), attempt=bytes(16))
        assert (again.allowed, again.duplicate) == (True, is_stored)
        assert attempts(kernel) == len(kernel.state.reservations) == 2


@pytest.mark.req("S4-77")
@few
@given(amounts=st.lists(st.integers(0, 70), min_size=1, max_size=8))
def test_at_every_height_of_the_journal_attempts_and_reservations_agree(amounts):
    with world(budget(tokens=100), policy=COUNTED) as kernel:
        first = kernel.state.seq
        for amount in amounts:
            act(kernel, {"tokens": amount})
        for seq in range(first, kernel.state.seq):
            state = kernel.at(seq)
            counted = sum(row.spent for row in state.windows.values())
            assert counted == len(state.reservations)
            reserved = sum(row.reserve["tokens"] for row in state.reservations.values())
            assert state.counters["g"]["tokens"].reserved == reserved


# --- require_approval -------------------------------------------------------------------------------


@pytest.mark.req("S4-78")
@pytest.mark.parametrize("ending", ["reject", "settle"])
def test_what_waits_for_approval_is_reserved_until_it_is_rejected_or_settles(ending):
    with world(budget(tokens=100), policy=ASK) as kernel:
        digest = waiting(kernel, {"tokens": 60})
        assert entry(kernel) == {"limit": 100, "reserved": 60, "spent": 0}
        assert kernel.state.reservations[digest].phase == "approval"
        refused = act(kernel, {"tokens": 50})
        assert (refused.outcome, codes(refused)) == ("deny", ["budget_exceeded"])
        if ending == "reject":
            assert kernel.reject(digest).allowed
        else:
            assert kernel.approve(digest).allowed
            assert act(kernel, {"tokens": 50}).outcome == "deny"
            settle(kernel, digest, {"tokens": 10})
        assert act(kernel, {"tokens": 50}).allowed


@pytest.mark.req("S4-78")
def test_a_receipt_for_what_still_waits_settles_it_and_says_that_nobody_approved():
    with world(budget(tokens=100), policy=ASK) as kernel:
        settlement = settle(kernel, waiting(kernel, {"tokens": 60}), {"tokens": 10})
        assert (settlement.status, [x.code for x in settlement.violations]) == (
            "settled",
            ["executed_without_approval"],
        )
        assert entry(kernel) == {"limit": 100, "reserved": 0, "spent": 10}


# --- deny -------------------------------------------------------------------------------------------


@pytest.mark.req("S4-79")
@pytest.mark.parametrize(
    "answer", [denies("no"), reserves({"tokens": 101}), reserves({"tokens": 5}), b"no answer"], ids=repr
)
def test_a_denial_touches_no_ledger_and_leaves_no_reservation(answer):
    grants = {"g": {"budget": {"tokens": 100}, "limits": [{"dim": "tokens", "per": "day", "amount": 100}]}}
    rules = [{"name": "never", "decision": "deny"}]
    with world(grants, policy=rules) as kernel:
        before, size = canonical(books(kernel)), kernel.state.seq
        decision = act(kernel, answer)
        assert decision.outcome == "deny"
        assert kernel.state.seq == size + 1
        assert canonical(books(kernel)) == before
        assert kernel.state.reservations == {}
        assert recorded(kernel, Held) == []
        assert (kernel.outcome(decision.intent_hash).status, decision.reserve) == ("", {})


@pytest.mark.req("S4-80")
def test_a_cap_that_refuses_ends_the_pipeline_in_a_record_and_the_policy_is_not_asked():
    """A condition that faults would deny by itself, so it shows whether it was asked."""
    rules = [{"name": "faults", "decision": "allow", "when": "params.missing == 1"}]
    with world(budget(tokens=100), policy=rules) as kernel:
        before = books(kernel)
        decision = act(kernel, denies("not_today"))
        assert (decision.outcome, codes(decision)) == ("deny", ["not_today"])
        (told,) = [x for x in bodies(kernel)[decision.seq].out if isinstance(x, Decided)]
        assert (told.intent_hash, told.outcome, told.rule) == (decision.intent_hash, "deny", NOT_ASKED)
        assert books(kernel) == before
        assert codes(act(kernel, reserves({"tokens": 1}))) == ["policy_fault"]


# --- records ----------------------------------------------------------------------------------------


@pytest.mark.req("S4-81")
def test_every_verdict_of_the_policy_is_recorded_with_intent_policy_and_rule():
    rules = [
        {"name": "no", "decision": "deny", "when": "params.z == 0"},
        {"name": "ask", "decision": "require_approval", "when": "params.z == 1"},
        {"name": "yes", "decision": "allow"},
    ]
    with world(budget(tokens=100), policy=rules) as kernel:
        policy = dict(kernel.state.tables()["world"])["policy_hash"]
        rows = dict(kernel.state.tables()["rules"])["policy"]
        assert policy == blake3(canonical(rows), derive_key_context="splittally 1 manifest").digest()
        for rule, outcome in enumerate(["deny", "require_approval", "allow"]):
            decision = act(kernel, {"tokens": 1}, params={"z": rule})
            assert decision.outcome == outcome
            (told,) = [x for x in bodies(kernel)[decision.seq].out if isinstance(x, Decided)]
            assert (told.intent_hash, told.outcome) == (decision.intent_hash, outcome)
            assert (told.policy, told.rule) == (policy, rule)
        apply(kernel, manifest(budget(tokens=100), policy=rules[1:]))
        act(kernel, {"tokens": 1}, params={"z": 1})
        told = recorded(kernel, Decided)[-1]
        assert told.rule == 0
        assert told.policy != policy


# --- answers ----------------------------------------------------------------------------------------


@pytest.mark.req("S4-82")
def test_approving_reserves_nothing_more_and_opens_the_intent_once():
    with world(budget(tokens=100), policy=ASK) as kernel:
        digest = waiting(kernel, {"tokens": 60})
        calls = listen(kernel)
        assert kernel.approve(digest).allowed
        assert entry(kernel) == {"limit": 100, "reserved": 60, "spent": 0}
        assert kernel.state.reservations[digest].phase == kernel.outcome(digest).phase == "open"
        kernel.approve(digest)
        assert entry(kernel).reserved == 60
        changes = [(event.intent_hash, event.phase) for event in recorded(kernel, HoldChanged)]
        assert changes == [(digest, "open")]
        assert len(recorded(kernel, Held)) == 1
        assert calls == []
        assert kernel.dispatch(digest, b"a" * 16).status == "dispatched"
        assert kernel.state.reservations[digest].phase == kernel.outcome(digest).phase == "running"
        assert settle(kernel, digest, {"tokens": 7}).violations == ()


@pytest.mark.req("S4-82")
def test_approving_asks_again_whether_the_grant_still_stands():
    with world({"g": {"budget": {"tokens": 100}, "expiry_ns": 100}}, policy=ASK) as kernel:
        digest = waiting(kernel, {"tokens": 60}, now_ns=1)
        kernel.approve(digest, now_ns=100)
        assert kernel.state.reservations == {}
        assert entry(kernel) == {"limit": 100, "reserved": 0, "spent": 0}
        (released,) = recorded(kernel, Released)
        assert [finding.code for finding in released.findings] == ["approval_stale", "expired"]


@pytest.mark.req("S4-83")
def test_rejecting_releases():
    with world(budget(tokens=100), policy=ASK) as kernel:
        digest, other = waiting(kernel, {"tokens": 60}), waiting(kernel, {"tokens": 5})
        assert kernel.reject(digest).allowed
        assert entry(kernel) == {"limit": 100, "reserved": 5, "spent": 0}
        told = kernel.outcome(digest)
        assert (told.status, told.cause) == ("released", "rejected")
        assert kernel.reject(digest).outcome == kernel.approve(digest).outcome == "deny"
        assert list(kernel.state.reservations) == [other]


TIMES = st.integers(0, 60)


@pytest.mark.req("S4-83")
@few
@given(
    above=st.tuples(TIMES, TIMES, TIMES),
    shares=st.tuples(*[st.sampled_from([0, 1, 2])] * 3),
    lowered=TIMES,
    expires=st.integers(0, 60),
    is_approved=st.booleans(),
)
@example(above=(0, 0, 40), shares=(0, 0, 0), lowered=0, expires=0, is_approved=True)
@example(above=(0, 0, 40), shares=(0, 0, 1), lowered=0, expires=0, is_approved=True)
def test_what_waits_ends_at_its_own_expiry_or_at_the_time_out_of_the_nearest_grant(
    above, shares, lowered, expires, is_approved
):
    """The earlier counts; 0 is none. Approved it keeps its expiry, and unknown it has a time of its own."""
    names = ("hold_ns_max", "approval_ns", "unknown_ns")
    below = [
        stated * share // 2 if stated else 9 * share for stated, share in zip(above, shares, strict=True)
    ]
    top, leaf = dict(zip(names, above, strict=True)), dict(zip(names, below, strict=True))
    holds = [
        10 + most for most in (leaf["hold_ns_max"], lowered) if most
    ]  # of the one above since it was amended
    expiry = min([*holds, *([10 + expires] if expires else [])], default=None)
    wait = leaf["approval_ns"] or top["approval_ns"]
    due = min([x for x in (expiry, 10 + wait if wait else None) if x], default=None)
    with world({"top": top, "g": {"parent": "top", **leaf}}, policy=ASK) as kernel:
        terms = {"cap": CAP, **top, "hold_ns_max": lowered}
        assert kernel.native("grant.amend", name="top", terms=terms).allowed
        digest = waiting(kernel, {"tokens": 1}, now_ns=10, expires_ns=10 + expires if expires else None)
        assert kernel.state.reservations[digest].due_ns == due
        assert kernel.extend(digest, 11).status == "refused"
        if is_approved:
            assert kernel.approve(digest).allowed
            assert kernel.state.reservations[digest].due_ns == expiry
            assert settle(kernel, digest, {}, "unknown", now_ns=10).status == "held"
            wait = leaf["unknown_ns"] or top["unknown_ns"]
            due = 10 + wait if wait else None
            assert kernel.state.reservations[digest].due_ns == due
        kernel.tick(now_ns=(due or 1_000) - 1)
        assert settle(kernel, digest, {}, "unknown").status == "held"  # said again it changes nothing
        assert digest in kernel.state.reservations
        kernel.tick(now_ns=due or 1_000)
        assert (digest in kernel.state.reservations) == (due is None)
        if due:
            told = kernel.outcome(digest)
            ended = ("settled", None) if is_approved else ("released", "approval_timeout")
            assert (told.status, told.get("cause")) == ended


@pytest.mark.req("S4-82", "S4-83", "X0-06")
def test_revoking_releases_what_waits_under_it_and_below_and_nothing_else():
    """In the order in which it was asked; what is open settles."""
    chain = {"a": {}, "b": {"parent": "a"}, "c": {"parent": "b"}, "d": {"parent": "a"}}
    with world(
        {name: {**terms, "budget": {"tokens": 100}} for name, terms in chain.items()}, policy=ASK
    ) as kernel:
        asked = [(name, waiting(kernel, {"tokens": 1}, grant=name)) for name in "cbadcb"]
        running = [held(kernel, {"tokens": 1}, name) for name in "abcd"]
        kernel.approve(asked.pop(0)[1])
        assert kernel.native("grant.revoke", name="b", order="order 9").allowed
        released = recorded(kernel, Released)
        assert [x.intent_hash for x in released] == [digest for name, digest in asked if name in "bc"]
        assert {(x.cause, x.order) for x in released} == {("governance", "order 9")}
        assert kernel.state.counters["a"]["tokens"].reserved == 7
        assert all(settle(kernel, digest, {"tokens": 1}).status == "settled" for digest in running)
