"""What an enforcer is asked: seven fields before the effect, ten after it, byte for byte."""

import hypothesis.strategies as st
import pytest
import splittally
from blake3 import blake3
from cddl_verifier import Validator
from hypothesis import given
from splittally import Intent, InvalidInput, InvalidManifest, Receipt
from splittally.core.canonical import decode
from splittally.core.commands import Judged

from tests.golden_questions import questions_of
from tests.rows.worlds import (
    ACT,
    CAP,
    PARROT,
    ROOT,
    act,
    apply,
    bodies,
    budget,
    canned,
    canonical,
    codes,
    few,
    held,
    listen,
    manifest,
    module_hash,
    reserves,
    save_snapshot,
    settle,
    uses,
    world,
)

ABI = Validator(ROOT / "schemas" / "abi.cddl")
CHECK_KEYS = {
    "cap_def", "grant_name", "cap_params", "effect_kind", "effect_params", "origin", "logical_now_ns",
}  # fmt: skip
SETTLE_KEYS = CHECK_KEYS | {"intent_hash", "reserve_estimate", "receipt"}
HOUR = 3600 * 10**9


def problems(rule: str, value) -> list[str]:
    result = ABI.validate(canonical(value), root_type=rule)
    return [] if result.valid else [problem.message for problem in result.diagnostics] or ["refused"]


def asked_both(kernel, **fields):
    """The Check and the Settle of one effect."""
    calls = listen(kernel)
    digest = held(kernel, {"tokens": 5}, **fields)
    settle(kernel, digest, {"tokens": 3})
    check, told = calls
    return check, told, digest


@pytest.mark.req("S4-13")
def test_a_check_has_exactly_seven_fields():
    with world({"g": {"budget": {"tokens": 9}, "params": {"any": 1}}}) as kernel:
        check, _, _ = asked_both(kernel, origin=("plan", "com.acme/p@1"), now_ns=42)
    assert check.message == {
        "cap_def": CAP,
        "grant_name": "g",
        "cap_params": canonical({"any": 1}),
        "effect_kind": ACT,
        "effect_params": canonical({"a": reserves({"tokens": 5})}),
        "origin": {"kind": "plan", "name": "com.acme/p@1"},
        "logical_now_ns": 42,
    }
    assert check.data == canonical({"Check": check.message})
    assert problems("CapEnforcerInput", {"Check": check.message}) == []


@pytest.mark.req("S4-13", "S4-23")
@pytest.mark.parametrize("key", sorted(SETTLE_KEYS))
def test_a_question_without_one_of_its_fields_is_refused_and_the_field_named(key):
    with world(budget(tokens=9)) as kernel:
        check, told, _ = asked_both(kernel)
    for rule, message in (("CapCheckInput", check.message), ("CapSettleInput", told.message)):
        if key in message:
            lacking = {name: value for name, value in message.items() if name != key}
            assert any(f"'{key}'" in problem for problem in problems(rule, lacking))
            assert problems(rule, message | {"limit": 1})


@pytest.mark.req("S4-14")
def test_a_cap_is_named_with_namespace_and_version_and_a_grant_by_any_text():
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"grants": {"a grant, in words": {"cap": "sys/llm.basic@1"}}})
        calls = listen(kernel)
        assert kernel.submit(Intent("llm.generate", {"max_tokens": 1}, "a grant, in words")).allowed
        assert calls[0].message["cap_def"] == "sys/llm.basic@1"
        assert calls[0].message["grant_name"] == "a grant, in words"


@pytest.mark.req("S4-14")
@pytest.mark.parametrize(
    "name", ["llm basic", "llm.basic", "sys/llm.basic", "llm.basic@1", "sys/llm@one", "", "sys/@1"]
)
def test_a_cap_without_namespace_or_version_is_refused(name):
    with splittally.open(None, clock="given") as kernel:
        with pytest.raises(InvalidManifest):
            kernel.apply({"grants": {"g": {"cap": name}}})
        with pytest.raises(InvalidManifest):
            kernel.apply({"caps": {name: {"cap_type": "test", "enforcer": PARROT}}})
        assert name not in kernel.state.caps


SETS = {"type": "object", "properties": {"hosts": {"type": "array", "x-set": True}}}


@pytest.mark.req("S4-15")
@few
@given(hosts=st.lists(st.text(max_size=5), max_size=6), chance=st.randoms(use_true_random=False))
def test_the_order_of_keys_and_the_copies_in_a_set_are_no_part_of_cap_params(hosts, chance):
    shuffled = hosts + hosts[:2]
    chance.shuffle(shuffled)
    grants = {
        "one": {"cap": CAP, "params": {"zone": 1, "hosts": hosts}},
        "other": {"cap": CAP, "params": {"hosts": shuffled, "zone": 1}},
    }
    caps = {CAP: {"cap_type": "test", "enforcer": PARROT, "params_schema": SETS}}
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"effects": {ACT: {"cap_type": "test"}}, "caps": caps, "grants": grants})
        calls = listen(kernel)
        held(kernel, {}, "one")
        held(kernel, {}, "other")
        one, other = (call.message["cap_params"] for call in calls)
        assert one == other
        assert one == canonical(decode(one))
        assert decode(one)["hosts"] == sorted(set(hosts), key=canonical)
        assert kernel.state.grants["one"].grant_hash == kernel.state.grants["other"].grant_hash


@pytest.mark.req("S4-16")
def test_the_order_of_headers_is_no_part_of_effect_params():
    url = "https://api.example.com/"
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"grants": {"web": {"cap": "sys/http.out@1"}}})
        calls = listen(kernel)
        for headers in ({"b": "2", "a": "1"}, {"a": "1", "b": "2"}):
            assert kernel.submit(Intent("http.request", {"headers": headers, "url": url}, "web")).allowed
        one, other = (call.message["effect_params"] for call in calls)
        assert one == other == canonical({"url": url, "headers": {"a": "1", "b": "2"}})


@pytest.mark.req("S4-17")
def test_an_enforcer_that_is_given_a_foreign_kind_denies():
    """The cap says that it covers any kind, so only the enforcer itself can refuse."""
    with splittally.open(None, clock="given") as kernel:
        caps = {"acme/any@1": {"cap_type": "*", "enforcer": "sys/CapEnforceLlmBasic@1"}}
        apply(
            kernel, {"caps": caps, "grants": {"g": {"cap": "acme/any@1"}, "llm": {"cap": "sys/llm.basic@1"}}}
        )
        calls = listen(kernel)
        request = {"url": "https://api.example.com/"}
        decision = kernel.submit(Intent("http.request", request, "g"))
        assert calls[0].message["effect_kind"] == "http.request"
        (finding,) = decision.findings
        assert (decision.outcome, finding.stage, finding.code) == ("deny", "enforcer", "effect_kind_mismatch")
        assert kernel.submit(Intent("llm.generate", {"max_tokens": 1}, "g")).allowed
        covered = kernel.submit(Intent("http.request", request, "llm"))
        assert codes(covered) == ["kind_not_covered"]
        assert len(calls) == 2


@pytest.mark.req("S4-18")
@pytest.mark.parametrize("kind", ["plan", "reducer"])
def test_an_enforcer_sees_the_origin(kind):
    with world(budget(tokens=9)) as kernel:
        check, told, _ = asked_both(kernel, origin=(kind, "com.acme/p@1"))
        assert check.message["origin"] == told.message["origin"] == {"kind": kind, "name": "com.acme/p@1"}


@pytest.mark.req("S4-18")
@pytest.mark.parametrize(
    "origin",
    [
        ("user", "com.acme/p@1"),
        ("", "com.acme/p@1"),
        ("plan", "p"),
        ("plan", "com.acme/p"),
        ("plan", 1),
        {"kind": "plan"},
    ],
)
def test_another_origin_is_refused_without_a_record(origin):
    with world(budget(tokens=9)) as kernel:
        calls, size = listen(kernel), kernel.state.seq
        decision = act(kernel, {"tokens": 1}, origin=origin)
        assert (decision.seq, decision.outcome, codes(decision)) == (None, "deny", ["input.invalid"])
        assert decision.findings[0].facts["field"].startswith("origin")
        assert (calls, kernel.state.seq) == ([], size)


# --- time -------------------------------------------------------------------------------------------


@pytest.mark.req("S4-19")
def test_two_runs_at_different_hours_ask_the_same_bytes():
    runs = []
    for clock in (lambda: 0, lambda: HOUR):
        del clock  # a world whose clock is given has none
        with world(budget(tokens=9)) as kernel:
            check, told, _ = asked_both(kernel, now_ns=7, idempotency_key=bytes(32))
            runs.append((check.data, told.data))
    assert runs[0] == runs[1]


@pytest.mark.req("S4-19")
def test_a_settle_and_a_replay_pass_the_recorded_time_and_not_the_hosts():
    now = [10**18]
    with splittally.open(None, clock=lambda: now[0]) as kernel:
        apply(kernel, manifest(budget(tokens=9)))
        calls = listen(kernel)
        digest = held(kernel, {"tokens": 5})
        now[0] += HOUR
        kernel.release(held(kernel, {}))
        now[0] += HOUR
        settle(kernel, digest, {"tokens": 3})
        times = [call.message["logical_now_ns"] for call in calls]
        assert times == [10**18, 10**18 + HOUR, 10**18]
        assert bodies(kernel)[-1].at_ns == 10**18 + 2 * HOUR
        now[0] += HOUR
        assert [asked.data for asked in questions_of(bodies(kernel))] == [call.data for call in calls]


@pytest.mark.req("S4-19")
@few
@given(times=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5))
def test_logical_time_is_a_natural_that_never_goes_back(times):
    with world({"g": {}}) as kernel:
        calls = listen(kernel)
        for now_ns in times:
            act(kernel, {}, now_ns=now_ns)
        assert [call.message["logical_now_ns"] for call in calls] == [
            max(times[: at + 1]) for at in range(len(times))
        ]


# --- the Settle -------------------------------------------------------------------------------------


@pytest.mark.req("S4-23")
def test_a_settle_has_the_seven_fields_of_its_check_and_three_more():
    with world({"g": {"budget": {"tokens": 9}, "params": {"any": 1}}}) as kernel:
        check, told, digest = asked_both(kernel, origin=("reducer", "com.acme/p@1"), now_ns=42)
    assert set(told.message) == SETTLE_KEYS
    assert {key: told.message[key] for key in CHECK_KEYS} == check.message
    assert told.message["intent_hash"] == digest
    assert told.message["reserve_estimate"] == {"tokens": 5}
    assert told.data == canonical({"Settle": told.message})
    assert problems("CapEnforcerInput", {"Settle": told.message}) == []


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.req("S4-24")
@few
@given(params=st.dictionaries(st.text("bcdef", min_size=1, max_size=3), VALUES, max_size=5))
def test_a_settle_repeats_the_bytes_of_any_params(params):
    with world({"g": {}}) as kernel:
        check, told, _ = asked_both(kernel, params=params)
        assert check.message["effect_params"] == told.message["effect_params"]
        assert check.message["effect_params"] == canonical({"a": reserves({"tokens": 5}), **params})


@pytest.mark.req("S4-24")
def test_a_settle_after_a_restart_from_a_snapshot_repeats_the_bytes_of_its_check(folder):
    params = {"z": [1.5, {"b": b"\0", "a": "é"}], "b": -1}
    with world(budget(tokens=9), folder) as kernel:
        calls = listen(kernel)
        digest = held(kernel, {"tokens": 5}, params=params)
        save_snapshot(kernel)
    with splittally.open(folder) as kernel:
        again = listen(kernel)
        settle(kernel, digest, {"tokens": 3})
    assert again[0].message["effect_params"] == calls[0].message["effect_params"]
    assert again[0].module == calls[0].module


@pytest.mark.req("S4-25")
def test_the_intent_hash_of_a_settle_has_the_32_bytes_of_the_decision():
    with world(budget(tokens=9)) as kernel:
        _, told, digest = asked_both(kernel)
        assert told.message["intent_hash"] == digest
        assert len(digest) == 32


@pytest.mark.req("S4-25")
@pytest.mark.parametrize("cut", [slice(31), slice(0), slice(1, None)])
def test_a_hash_of_another_length_is_refused(cut):
    with world(budget(tokens=9)) as kernel:
        digest = held(kernel, {"tokens": 5})
        for wrong in (digest[cut], digest + b"\0", digest[cut].hex(), 7, None):
            with pytest.raises(InvalidInput, match="32 bytes"):
                kernel.settle(Receipt(wrong, "ok", "adapter", uses({})))
        assert problems("CapSettleInput", dict.fromkeys(SETTLE_KEYS, digest[cut]))
        assert settle(kernel, digest, {}).status == "settled"


@pytest.mark.req("S4-26")
def test_a_settle_shows_what_was_reserved_when_a_newer_enforcer_would_estimate_more():
    old, new = (canned(reserves({"tokens": most}), uses({"tokens": 1})) for most in (50, 60))
    with world(budget(tokens=200), enforcer=old) as kernel:
        in_flight = act(kernel, b"")
        apply(kernel, manifest(budget(tokens=200), new))
        assert act(kernel, b"").reserve == {"tokens": 60}
        calls = listen(kernel)
        settle(kernel, in_flight.intent_hash, b"")
        (told,) = calls
        assert told.message["reserve_estimate"] == {"tokens": 50}
        assert told.module == module_hash(old)


# --- the receipt ------------------------------------------------------------------------------------


@pytest.mark.req("S4-27")
@pytest.mark.parametrize("cost", [None, 0, 7, 2**64 - 1])
def test_a_receipt_has_status_adapter_payload_and_a_cost_where_there_is_one(cost):
    payload = {"b": 1, "a": [True, None]}
    with world(budget(tokens=9)) as kernel:
        digest = held(kernel, {"tokens": 5})
        calls = listen(kernel)
        kernel.settle(Receipt(digest, "ok", "my-adapter", payload, cost_cents=cost))
        receipt = calls[0].message["receipt"]
        told = {"status": "ok", "adapter_id": "my-adapter", "payload": canonical(payload)}
        assert receipt == told | ({} if cost is None else {"cost_cents": cost})
        assert problems("receipt", receipt) == []


@pytest.mark.req("S4-27")
@pytest.mark.parametrize("cost", [-1, 1.5, "7", True, 2**64])
def test_a_cost_that_is_no_natural_is_refused_and_the_hold_stays(cost):
    with world(budget(tokens=9)) as kernel:
        digest = held(kernel, {"tokens": 5})
        with pytest.raises(InvalidInput, match="cost_cents"):
            kernel.settle(Receipt(digest, "ok", "adapter", uses({}), cost_cents=cost))
        assert digest in kernel.state.reservations


@pytest.mark.req("S4-28")
@pytest.mark.parametrize("status", ["ok", "error", "timeout"])
def test_a_status_reaches_the_enforcer_unchanged(status):
    with world(budget(tokens=9)) as kernel:
        digest = held(kernel, {"tokens": 5})
        calls = listen(kernel)
        assert settle(kernel, digest, {}, status).status == "settled"
        assert calls[0].message["receipt"]["status"] == status


WRONG_STATUSES = (
    st.sampled_from(["maybe", "OK", "ok ", "", "cancelled"]) | st.text(max_size=8) | st.none() | st.integers()
).filter(lambda status: status not in ("ok", "error", "timeout", "unknown"))


@pytest.mark.req("S4-28")
@few
@given(status=WRONG_STATUSES)
def test_another_status_is_refused_and_the_hold_stays(status):
    with world(budget(tokens=9)) as kernel:
        digest = held(kernel, {"tokens": 5})
        calls, size = listen(kernel), kernel.state.seq
        with pytest.raises(InvalidInput, match="status"):
            settle(kernel, digest, {}, status)
        assert (calls, kernel.state.seq) == ([], size)
        assert digest in kernel.state.reservations


@pytest.mark.req("S4-28")
def test_a_host_that_cannot_tell_asks_no_enforcer():
    with world(budget(tokens=9)) as kernel:
        digest = held(kernel, {"tokens": 5})
        calls = listen(kernel)
        assert kernel.settle(Receipt(digest, "unknown")).status == "held"
        assert calls == []
        assert kernel.state.reservations[digest].phase == "unknown"


def test_the_recorded_evidence_names_the_bytes_that_were_asked():
    """So whoever holds the journal knows what each answer answers."""
    with world(budget(tokens=9)) as kernel:
        check, told, _ = asked_both(kernel)
        seen = [x.question for body in bodies(kernel) for x in body.seen if isinstance(x, Judged)]
        context = "splittally 1 question"
        hashes = [blake3(x.module + x.data, derive_key_context=context).digest() for x in (check, told)]
        assert seen == hashes
