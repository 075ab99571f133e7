"""Wiring: what was asked is kept, settling is one call, and the kernel alone writes the ledger."""

import cbor2
import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.abi import Fault, SettleVerdict, read_settle
from splittally.core.events import Held, Settled
from splittally.sandbox import Sandbox

from tests.rows.worlds import (
    ACT,
    CAP,
    act,
    apply,
    bodies,
    books,
    budget,
    canned,
    canonical,
    denies,
    few,
    held,
    listen,
    manifest,
    module_hash,
    recorded,
    reserves,
    save_snapshot,
    settle,
    tally,
    uses,
    world,
)


def asked_with(params):
    return manifest({"g": {"budget": {"tokens": 100}, "params": params}})


@pytest.mark.req("S4-60")
@pytest.mark.parametrize("is_restarted", [False, True], ids=["going on", "after a restart"])
def test_a_settle_repeats_the_context_in_which_the_intent_was_asked(folder, is_restarted):
    """Cap params, origin, kind and effect params are those of the Check, whatever the grant says by now."""
    with splittally.open(folder, clock="given") as kernel:
        apply(kernel, asked_with({"zone": "old"}))
        calls = listen(kernel)
        digest = held(kernel, {"tokens": 5}, origin=("reducer", "com.acme/p@7"), now_ns=3)
        apply(kernel, asked_with({"zone": "new"}), now_ns=5)
        if is_restarted:
            save_snapshot(kernel)
            kernel.close()
            kernel = splittally.open(folder)
            calls += listen(kernel)
        again = listen(kernel)
        settle(kernel, digest, {"tokens": 3}, now_ns=9)
        check, told = calls[0].message, again[0].message
        assert told["cap_params"] == canonical({"zone": "old"})
        assert {key: told[key] for key in check} == check
        fresh = listen(kernel)
        held(kernel, {"tokens": 5})
        assert fresh[0].message["cap_params"] == canonical({"zone": "new"})
        kernel.close()


@pytest.mark.req("S4-60")
def test_the_context_of_an_intent_stands_in_its_record():
    with world({"g": {"params": {"zone": "old"}}}) as kernel:
        digest = held(kernel, {"tokens": 5}, origin=("reducer", "com.acme/p@7"))
        body = bodies(kernel)[-1]
        (member,) = body.command.members
        assert member.intent_hash == digest
        assert (member.kind, member.origin_kind, member.origin_name) == (ACT, "reducer", "com.acme/p@7")
        assert member.params == canonical({"a": reserves({"tokens": 5})})
        (leg, _) = recorded(kernel, Held)[0].legs
        assert leg.cap == CAP
        assert dict(kernel.state.tables()["blobs"])[leg.params] == canonical({"zone": "old"})


# --- settling ---------------------------------------------------------------------------------------

STUB = canned(reserves({"tokens": 50}), uses({"tokens": 30}))
WITHOUT_SETTLE = canned(reserves({"tokens": 50}), "(unreachable)")
ONLY_CHECK = canned(reserves({"tokens": 50}), reserves({"tokens": 50}))


def settle_question() -> bytes:
    with world(budget(tokens=100)) as kernel:
        calls = listen(kernel)
        settle(kernel, held(kernel, {"tokens": 50}), {"tokens": 30})
        return calls[1].data


@pytest.mark.req("S4-61")
def test_the_invoker_takes_a_module_and_a_settle_input_and_gives_the_usage():
    sandbox = Sandbox()
    answer = sandbox.judge(sandbox.load(STUB), settle_question())
    assert read_settle(answer) == SettleVerdict({"tokens": 30})


@pytest.mark.req("S4-61")
@pytest.mark.parametrize(("wasm", "fault"), [(WITHOUT_SETTLE, "trap"), (ONLY_CHECK, "bad_output")])
def test_a_module_that_cannot_settle_ends_in_a_defined_error(wasm, fault):
    sandbox = Sandbox()
    answer = sandbox.judge(sandbox.load(wasm), settle_question())
    assert (answer if isinstance(answer, Fault) else read_settle(answer)) == Fault(fault)
    with world(budget(tokens=100), enforcer=wasm) as kernel:
        settlement = settle(kernel, act(kernel, b"").intent_hash, b"")
        assert (settlement.status, settlement.usage) == ("settled", {"tokens": 50})
        assert (settlement.violation.code, settlement.violation.facts["fault"]) == ("enforcer_fault", fault)
        assert kernel.state.reservations == {}
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 50}


@pytest.mark.req("S4-62")
def test_a_receipt_makes_one_settle_call_and_its_usage_is_spent():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 50})
        calls = listen(kernel)
        settle(kernel, digest, {"tokens": 30})
        assert [(call.variant, call.message["intent_hash"]) for call in calls] == [("Settle", digest)]
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 30}
        settle(kernel, digest, {"tokens": 30})
        assert len(calls) == 1


@pytest.mark.req("S4-62")
def test_each_grant_of_the_chain_is_asked_once_and_charged_its_own_usage():
    old = canned(reserves({"tokens": 60}), uses({"tokens": 40}))
    agent = {"parent": "team", "cap": "test/own@1", "budget": {"tokens": 90}}
    document = manifest({"team": {"budget": {"tokens": 100}}, "agent": agent})
    document["caps"]["test/own@1"] = {"cap_type": "test", "enforcer": old}
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, document)
        digest = held(kernel, {"tokens": 50}, "agent")
        calls = listen(kernel)
        settlement = settle(kernel, digest, {"tokens": 30})
        assert [(call.module == module_hash(old), call.message["grant_name"]) for call in calls] == [
            (True, "agent"),
            (False, "team"),
        ]
        assert settlement.usage == {"tokens": 40}
        counters = kernel.state.counters
        assert (counters["agent"]["tokens"].spent, counters["team"]["tokens"].spent) == (40, 30)


@pytest.mark.req("S4-63")
def test_a_settlement_is_recorded_with_hash_grant_and_usage_and_frees_the_reserve(folder):
    with world(budget(tokens=100), folder) as kernel:
        digest = held(kernel, {"tokens": 50})
        settlement = settle(kernel, digest, {"tokens": 30})
        (event,) = [x for x in bodies(kernel)[settlement.seq].out if isinstance(x, Settled)]
        assert (event.intent_hash, event.how, event.status) == (digest, "receipt", "ok")
        assert [(leg.grant, leg.usage, leg.charged) for leg in event.legs] == [
            ("g", {"tokens": 30}, {"tokens": 30}),
            ("root", {}, {}),
        ]
        before, after = (
            kernel.at(seq).counters["g"]["tokens"] for seq in (settlement.seq - 1, settlement.seq)
        )
        assert (before.reserved, after.reserved) == (50, 0)
    code, told = tally(folder, "show", str(settlement.seq))
    assert code == 0
    (shown,) = [x for x in told["events"] if x["type"] == "settled"]
    assert (shown["intent_hash"], shown["legs"][0]["grant"], shown["legs"][0]["usage"]) == (
        digest.hex(),
        "g",
        {"tokens": 30},
    )


@pytest.mark.req("S4-64")
def test_over_use_is_recorded_with_its_code_and_both_amounts():
    with world(budget(tokens=100)) as kernel:
        settle(kernel, held(kernel, {"tokens": 50}), {"tokens": 80})
        (event,) = recorded(kernel, Settled)
        (violation,) = event.legs[0].violations
        assert violation.code == "usage_exceeds_reserve"
        assert (violation.facts["reserve"], violation.facts["usage"]) == (50, 80)
        assert (violation.facts["dim"], violation.facts["grant"]) == ("tokens", "g")


@pytest.mark.req("S4-64")
def test_what_an_enforcer_reports_stands_beside_what_the_kernel_finds():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 50})
        settlement = settle(kernel, digest, uses({"tokens": 80}, "too_chatty", "seven pages"))
        (event,) = recorded(kernel, Settled)
        told = [violation.code for violation in event.legs[0].violations]
        assert sorted(told) == ["too_chatty", "usage_exceeds_reserve"]
        assert [violation.code for violation in settlement.violations] == told


# --- the ledger is the kernel's ---------------------------------------------------------------------


def questions(limit: int, spent: int, reserved: int) -> list[bytes]:
    """What is asked about one and the same effect in a world with these numbers."""
    with world(budget(tokens=limit)) as kernel:
        settle(kernel, held(kernel, {"tokens": spent}), {"tokens": spent})
        held(kernel, {"tokens": reserved})
        calls = listen(kernel)
        digest = held(kernel, {"tokens": 5}, idempotency_key=bytes(32))
        settle(kernel, digest, {"tokens": 3})
        return [call.data for call in calls]


@pytest.mark.req("S4-65")
@few
@given(limit=st.integers(205, 10**9), spent=st.integers(0, 100), reserved=st.integers(0, 100))
def test_no_number_of_the_ledger_reaches_an_enforcer(limit, spent, reserved):
    asked = questions(limit, spent, reserved)
    assert asked == questions(205, 0, 0)
    keys = {key for data in asked for body in cbor2.loads(data).values() for key in body}
    assert keys.isdisjoint({"limit", "reserved", "spent", "available", "budget", "ledger"})


WORDS = ("constraints_ok", "reserve_estimate", "deny", "limit", "reserved", "spent", "usage")
VALUES = (
    st.booleans()
    | st.integers(-5, 2**64 - 1)
    | st.dictionaries(st.text(max_size=6), st.integers(-5, 5), max_size=2)
)
ANSWERS = st.one_of(
    st.binary(max_size=40),
    st.builds(denies, st.text(min_size=1, max_size=9), st.text(max_size=9)),
    st.dictionaries(st.sampled_from(WORDS), VALUES).map(lambda body: canonical({"Check": body})),
    st.integers(101, 2**64 - 1).map(lambda amount: reserves({"tokens": amount})),
)


@pytest.mark.req("S4-65")
@few
@given(answers=st.lists(ANSWERS, min_size=1, max_size=6))
def test_an_answer_that_does_not_allow_changes_no_number_of_the_ledger(answers):
    with world(budget(tokens=100)) as kernel:
        held(kernel, {"tokens": 30})
        before = books(kernel)
        for answer in answers:
            decision = act(kernel, answer)
            if decision.allowed:  # a dimension that the grant does not limit
                assert "tokens" not in decision.reserve
                kernel.release(decision.intent_hash)
            assert books(kernel) == before


@pytest.mark.req("S4-65")
def test_a_receipt_names_what_was_used_and_not_what_the_ledger_shall_say():
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}}})
        digest = kernel.submit(Intent("llm.generate", {"max_tokens": 50}, "g")).intent_hash
        payload = {"prompt_tokens": 1, "completion_tokens": 1, "spent": 0, "limit": 10**9, "reserved": 0}
        kernel.settle(Receipt(digest, "ok", "adapter", payload))
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 2}
