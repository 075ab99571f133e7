"""The pipeline: canonical params, enforcer, limits, policy, one record, and only then the effect."""

import signal

import hypothesis.strategies as st
import pytest
import splittally
from blake3 import blake3
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.commands import Submit
from splittally.core.events import Decided, Held
from splittally.runtime.reader import open_reader

from tests.rows.walk import Walk
from tests.rows.worlds import (
    ACT,
    CAP,
    PARROT,
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
    run_python,
    settle,
    world,
)

DENY_ALL = [{"name": "nobody", "decision": "deny"}]


def secret_world():
    kernel = splittally.open(None, clock="given")
    apply(kernel, {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}}})
    return kernel


def generate(kernel, key: bytes = bytes(32), **params):
    return kernel.submit(Intent("llm.generate", {"max_tokens": 5, **params}, "g", idempotency_key=key))


# --- step one: params -------------------------------------------------------------------------------


@pytest.mark.req("S4-66")
@pytest.mark.parametrize(
    "params",
    [{"max_tokens": "50"}, {"max_tokens": -1}, {"max_tokens": 5.0}, {"model": 7}, {"tools": 1}, [], None],
)
def test_params_of_a_wrong_type_are_refused_before_any_enforcer_is_asked(params):
    with secret_world() as kernel:
        calls, size = listen(kernel), kernel.state.seq
        decision = kernel.submit(Intent("llm.generate", params, "g"))
        assert (decision.seq, decision.outcome, codes(decision)) == (None, "deny", ["params.invalid"])
        assert (calls, kernel.state.seq) == ([], size)


TAGS = {"type": "array", "x-set": True}
SCHEMA = {"type": "object", "properties": {"a": {"x-bytes": True}, "n": {"type": "integer"}, "tags": TAGS}}


@pytest.mark.req("S4-66")
@few
@given(tags=st.lists(st.integers(0, 9) | st.text(max_size=2), max_size=5), n=st.integers(-(2**63), 2**64 - 1))
def test_params_are_put_in_the_normal_form_of_their_schema_before_they_are_hashed(tags, n):
    document = manifest({"g": {}})
    document["effects"][ACT]["params_schema"] = SCHEMA
    answer = reserves({})
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, document)
        calls = listen(kernel)
        hashes = {
            kernel.submit(Intent(ACT, params, "g", idempotency_key=bytes(32))).intent_hash
            for params in (
                {"a": answer, "n": n, "tags": tags},
                {"tags": tags[::-1] + tags, "n": n, "a": answer},
                {"n": str(n) if abs(n) > 2**53 else n, "tags": tags, "a": answer},
            )
        }
        assert len(hashes) == 1
        assert len(calls) == 1
        members = sorted({canonical(tag) for tag in tags})
        whole = canonical({"a": answer, "n": n, "tags": []})
        inner = canonical([0] * len(members))[:1] + b"".join(members)
        assert calls[0].message["effect_params"] == whole[:-1] + inner


@pytest.mark.req("S4-67")
def test_both_spellings_of_a_secret_are_the_same_intent():
    reference = {"alias": "openai/prod", "version": 3}
    with secret_world() as kernel:
        calls = listen(kernel)
        first = generate(kernel, api_key={"secret": reference})
        again = generate(kernel, api_key={"$secret": reference})
        assert first.allowed
        assert (again.intent_hash, again.duplicate) == (first.intent_hash, True)
        tagged = {"max_tokens": 5, "api_key": {"$secret": reference}}
        assert [call.message["effect_params"] for call in calls] == [canonical(tagged)]


@pytest.mark.req("S4-67")
@pytest.mark.parametrize(
    "value",
    ["sk-live-4242", {"secret": "sk-live-4242"}, {"value": "sk-live-4242"}, ["sk-live-4242"],
     {"secret": {"alias": "a", "version": 1, "value": "sk-live-4242"}}],
)  # fmt: skip
def test_the_value_of_a_secret_is_refused_and_stands_nowhere(value):
    with secret_world() as kernel:
        calls, size = listen(kernel), kernel.state.seq
        decision = generate(kernel, api_key=value)
        assert (decision.seq, codes(decision)) == (None, ["params.invalid"])
        assert "sk-live" not in repr(decision)
        assert (calls, kernel.state.seq) == ([], size)
        assert all(b"sk-live" not in data for _, data in kernel._world.store.scan())


@pytest.mark.req("S4-67")
def test_the_value_of_a_secret_in_a_receipt_is_withheld_and_the_receipt_settles():
    schema = {"type": "object", "properties": {"session": {"x-secret": True}}}
    document = manifest(budget(tokens=100))
    document["effects"][ACT]["receipt_schema"] = schema
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, document)
        digest = held(kernel, {"tokens": 5})
        calls = listen(kernel)
        settlement = kernel.settle(Receipt(digest, "ok", "adapter", {"session": "sk-live-4242"}))
        assert settlement.status == "settled"
        assert settlement.violations
        assert b"sk-live" not in b"".join(call.data for call in calls)
        assert all(b"sk-live" not in data for _, data in kernel._world.store.scan())


# --- steps two to four: who is asked when -----------------------------------------------------------


def decide(kernel, answer: bytes, **fields):
    """An intent, the stages that its findings name, and the policy rule that its record names."""
    decision = act(kernel, answer, **fields)
    return {finding.stage for finding in decision.findings}, recorded(kernel, Decided)[-1].rule


@pytest.mark.req("S4-68")
def test_the_enforcer_is_asked_before_the_ledger_and_the_ledger_before_the_policy():
    """Each effect would be refused by all later stages too; the first that refuses is the last asked."""
    not_asked = -2
    with world(budget(tokens=10), policy=DENY_ALL) as kernel:
        calls = listen(kernel)
        assert decide(kernel, denies("no")) == ({"enforcer"}, not_asked)
        assert decide(kernel, reserves({"tokens": 11})) == ({"ledger"}, not_asked)
        assert decide(kernel, reserves({"tokens": 10})) == ({"policy"}, 0)
        assert [call.variant for call in calls] == ["Check"] * 3


@pytest.mark.req("S4-68")
def test_a_check_yields_whether_the_constraints_hold_and_the_estimate_that_limits_are_asked_about():
    with world(budget(tokens=10)) as kernel:
        refused = act(kernel, denies("no", "because"))
        (finding,) = refused.findings
        assert (finding.stage, finding.code, finding.facts["message"]) == ("enforcer", "no", "because")
        passed = act(kernel, {"tokens": 10})
        assert (passed.allowed, passed.reserve) == (True, {"tokens": 10})


@pytest.mark.req("S4-69")
def test_a_grant_covers_an_intent_until_the_instant_it_expires():
    with world({"g": {"budget": {"tokens": 100}, "expiry_ns": 100}}) as kernel:
        assert act(kernel, {"tokens": 1}, now_ns=99).allowed
        calls, before = listen(kernel), books(kernel)
        decision = act(kernel, {"tokens": 1}, now_ns=100)
        assert (decision.outcome, codes(decision)) == ("deny", ["expired"])
        assert decision.intent_hash not in kernel.state.reservations
        assert books(kernel) == before
        assert calls == []


@pytest.mark.req("S4-69")
def test_an_intent_that_has_expired_by_now_is_refused():
    with world(budget(tokens=100)) as kernel:
        assert act(kernel, {"tokens": 1}, now_ns=99, expires_ns=100).allowed
        for expires_ns in (100, 99, 1):
            decision = act(kernel, {"tokens": 1}, now_ns=100, expires_ns=expires_ns)
            assert (decision.outcome, codes(decision)) == ("deny", ["already_expired"])
        assert act(kernel, {"tokens": 1}, expires_ns=101).allowed


@pytest.mark.req("S4-69")
@few
@given(
    at=st.integers(0, 2**63 - 10),
    expiries=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    later=st.integers(0, 5),
)
def test_expiry_is_asked_against_logical_time_for_every_grant_of_the_chain(at, expiries, later):
    """Also where a grant above was amended to end before those below it; 0 is no expiry."""
    names = ("top", "team", "g")
    grants = {name: {"parent": above} for above, name in zip(("root", *names), names, strict=False)}
    stated = {name: at + expiry for name, expiry in zip(names, expiries, strict=True) if expiry}
    with world(grants) as kernel:
        for name in ("g", "team", "top"):
            terms = {"cap": CAP, **grants[name], "expiry_ns": stated.get(name, 0)}
            assert kernel.native("grant.amend", name=name, terms=terms).allowed
        decision = act(kernel, {}, now_ns=at + later)
        ended = [name for name in reversed(names) if stated.get(name, 2**63) <= at + later]
        assert [finding.facts["grant"] for finding in decision.findings] == ended
        assert decision.allowed == (ended == [])


@pytest.mark.req("S4-70")
@pytest.mark.parametrize(("estimate", "outcome"), [(50, "allow"), (51, "deny")])
def test_spent_reserved_and_the_estimate_together_stay_within_the_limit(estimate, outcome):
    with world(budget(tokens=100)) as kernel:
        settle(kernel, held(kernel, {"tokens": 30}), {"tokens": 30})
        held(kernel, {"tokens": 20})
        decision = act(kernel, {"tokens": estimate})
        assert decision.outcome == outcome
        if outcome == "deny":
            (finding,) = decision.findings
            assert (finding.stage, finding.code) == ("ledger", "budget_exceeded")
            facts = {name: finding.facts[name] for name in ("dim", "grant", "needed", "available")}
            assert facts == {"dim": "tokens", "grant": "g", "needed": 51, "available": 50}


@pytest.mark.req("S4-70")
@few
@given(
    limit=st.integers(0, 300) | st.integers(2**64 - 300, 2**64 - 1),
    spent=st.integers(0, 99),
    reserved=st.integers(0, 99),
    estimate=st.integers(0, 300) | st.integers(2**64 - 300, 2**64 - 1),
)
def test_an_estimate_fits_exactly_when_the_sum_is_at_most_the_limit(limit, spent, reserved, estimate):
    with world(budget(tokens=limit)) as kernel:
        settle(kernel, held(kernel, {"tokens": 0}), {"tokens": spent})
        was_reserved = act(kernel, {"tokens": reserved}).allowed
        assert was_reserved == (spent + reserved <= limit)
        total = spent + (reserved if was_reserved else 0) + estimate
        assert act(kernel, {"tokens": estimate}).allowed == (total <= limit)


@pytest.mark.req("S4-71")
def test_what_is_allowed_is_reserved_when_an_executor_can_see_it(folder):
    """Decision and reservation stand in one record, and a reader of the journal sees both or neither."""
    with world(budget(tokens=100), folder) as kernel:
        decision = act(kernel, {"tokens": 60})
        assert kernel.state.reservations[decision.intent_hash].reserve == {"tokens": 60}
        with open_reader(folder) as reader:
            record = reader.record(decision.seq)
            assert [type(event) for event in record.body.out[:2]] == [Decided, Held]
            assert decision.intent_hash in reader.state.reservations
            assert reader.state.counters["g"]["tokens"].reserved == 60


@pytest.mark.req("S4-72")
def test_a_rule_that_denies_is_named_by_its_index():
    rules = [
        {"name": "reducers may", "decision": "allow", "origin_kind": "reducer"},
        {"name": "big ones may not", "decision": "deny", "when": 'reserve["tokens"] > 50'},
        {"name": "others may", "decision": "allow"},
    ]
    with world(budget(tokens=100), policy=rules) as kernel:
        decision = act(kernel, {"tokens": 51})
        (finding,) = decision.findings
        assert (decision.outcome, finding.stage, finding.code) == ("deny", "policy", "policy_denied")
        assert (finding.facts["rule"], finding.facts["name"]) == (1, "big ones may not")
        assert recorded(kernel, Decided)[-1].rule == 1
        assert act(kernel, {"tokens": 50}).allowed
        assert recorded(kernel, Decided)[-1].rule == 2
        assert act(kernel, {"tokens": 50}, origin=("reducer", "com.acme/p@1")).allowed


# --- step five: the record --------------------------------------------------------------------------

CRASH = """
import os, signal, sys
import splittally
from tests.rows.worlds import act, apply, manifest
kernel = splittally.open(sys.argv[1], clock="given")
apply(kernel, manifest({"g": {"budget": {"tokens": 100}}}))
for at, amount in enumerate((60, 70)):
    decision = act(kernel, {"tokens": amount}, idempotency_key=bytes([at]) * 32)
    print(decision.outcome, decision.intent_hash.hex(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.req("S4-73")
def test_after_a_crash_what_was_allowed_is_there_once_and_what_was_denied_never(folder):
    done = run_python("-c", CRASH, str(folder))
    assert done.returncode == -signal.SIGKILL, done.stderr
    told = dict(line.split() for line in done.stdout.splitlines())
    allowed, denied = bytes.fromhex(told["allow"]), bytes.fromhex(told["deny"])
    with splittally.open(folder) as kernel:
        assert list(kernel.state.reservations) == [allowed]
        assert (kernel.outcome(allowed).status, kernel.outcome(denied).status) == ("reserved", "")
        for at, (amount, digest, outcome) in enumerate([(60, allowed, "allow"), (70, denied, "deny")]):
            again = act(kernel, {"tokens": amount}, idempotency_key=bytes([at]) * 32)
            assert (again.intent_hash, again.outcome, again.duplicate) == (digest, outcome, True)
        assert list(kernel.state.reservations) == [allowed]
        assert kernel.state.counters["g"]["tokens"].reserved == 60


@pytest.mark.req("S4-73")
def test_no_answer_leaves_before_its_commit(folder):
    """When the commit fails nobody is told anything, and the world says what became of it."""
    kernel = splittally.open(folder, clock="given")
    apply(kernel, manifest(budget(tokens=100)))
    store = kernel._world.store

    def full(expected, frames):
        raise splittally.DiskFull("the disk is full")

    store.append = full
    with pytest.raises(splittally.DiskFull):
        act(kernel, {"tokens": 60}, idempotency_key=bytes(32))
    with pytest.raises(splittally.KernelStopped):
        act(kernel, {"tokens": 1})
    del store.append
    kernel.close()
    with splittally.open(folder) as kernel:
        assert kernel.state.reservations == {}
        assert act(kernel, {"tokens": 60}, idempotency_key=bytes(32)).duplicate is False


# --- identity ---------------------------------------------------------------------------------------


@pytest.mark.req("S4-74")
@pytest.mark.parametrize("seed", [74])
def test_every_intent_of_a_run_is_named_by_the_hash_of_the_bytes_its_enforcers_saw(seed):
    with splittally.open(None, clock="given") as kernel:
        walk = Walk(kernel, seed)
        calls = listen(kernel)
        walk.walk(300)
        seen = {}
        for call in calls:
            if call.variant == "Settle":
                seen.setdefault(call.message["intent_hash"], set()).add(call.message["effect_params"])
        submits = [body.command for body in bodies(kernel) if isinstance(body.command, Submit)]
        members = [member for command in submits for member in command.members]
        assert {member.intent_hash for member in members} >= set(walk.hashes)
        for member in members:
            preimage = {
                "kind": member.kind,
                "params": member.params,
                "cap": member.grant,
                "idempotency_key": member.key,
            }
            digest = blake3(canonical(preimage), derive_key_context="splittally 1 intent").digest()
            assert digest == member.intent_hash
            assert seen.get(digest, {member.params}) == {member.params}
        checked = [call.message["effect_params"] for call in calls if call.variant == "Check"]
        assert set(checked) <= {member.params for member in members}
        assert len(seen) > 20


@pytest.mark.req("S4-74")
def test_kind_params_grant_and_key_each_make_another_intent():
    grants = {"one": {}, "two": {}}
    effects = {ACT: {"cap_type": "test"}, "test.other": {"cap_type": "test"}}
    caps = {CAP: {"cap_type": "test", "enforcer": PARROT}}
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"effects": effects, "caps": caps, "grants": {x: {"cap": CAP} for x in grants}})
        asked = [
            (kind, answer, grant, key)
            for kind in effects
            for answer in (reserves({}), reserves({"a": 1}))
            for grant in grants
            for key in (bytes(32), b"\1" * 32)
        ]
        hashes = {
            kernel.decide(Intent(kind, {"a": answer}, grant, None, key)).intent_hash
            for kind, answer, grant, key in asked
        }
        assert len(hashes) == len(asked) == 16
