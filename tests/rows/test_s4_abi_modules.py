"""What an enforcer is: a pure module with one function, two questions and matching answers."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, NotAdmitted, Receipt
from splittally.core.abi import Fault
from splittally.sandbox import ReferenceSandbox, Sandbox, admit, builtin

from tests.rows.worlds import (
    PARROT,
    ROOT,
    act,
    apply,
    books,
    budget,
    built,
    canned,
    canonical,
    codes,
    denies,
    few,
    held,
    listen,
    manifest,
    module_hash,
    reserves,
    run_python,
    settle,
    uses,
    world,
)

REFUSED = ROOT / "fixtures" / "enforcers" / "refused"
LLM = "sys/CapEnforceLlm@1"
PIECES = {
    "memory": '(memory (export "memory") 1 1)',
    "splittally_abi_1": '(func (export "splittally_abi_1"))',
    "alloc": '(func (export "alloc") (param i32) (result i32) (i32.const 1024))',
    "run": '(func (export "run") (param i32 i32) (result i64) (i64.const 0))',
}

JUDGE_AGAIN = """
import sys
from blake3 import blake3
from splittally.sandbox import Sandbox, builtin
sandbox = Sandbox()
module = sandbox.load(builtin(sys.argv[1]))
for data in sys.argv[2:]:
    answers = {sandbox.judge(module, bytes.fromhex(data)) for _ in range(100)}
    print(len(answers), answers.pop().hex())
"""


def llm_world():
    kernel = splittally.open(None, clock="given")
    apply(kernel, {"grants": {"cap_llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}}})
    return kernel


def generate(kernel, **params):
    return kernel.submit(Intent("llm.generate", params, "cap_llm"))


# --- pure -------------------------------------------------------------------------------------------


@pytest.mark.req("S4-10")
def test_the_same_input_gives_the_same_output_every_time_and_in_another_process():
    with llm_world() as kernel:
        calls = listen(kernel)
        decision = generate(kernel, max_tokens=50, model="m")
        payload = {"prompt_tokens": 10, "completion_tokens": 20}
        kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", payload))
    wasm = builtin(LLM)
    inputs = [call.data for call in calls]
    sandboxes = [Sandbox(), ReferenceSandbox()]
    answers = {
        tuple(sandbox.judge(sandbox.load(wasm), data) for data in inputs)
        for sandbox in sandboxes
        for _ in range(50)
    }
    assert len(answers) == 1
    told = run_python("-c", JUDGE_AGAIN, LLM, *(data.hex() for data in inputs)).stdout.split()
    (answer,) = answers
    assert told == ["1", answer[0].hex(), "1", answer[1].hex()]


@pytest.mark.req("S4-10")
@pytest.mark.parametrize("name", ["clock", "random", "file"])
def test_a_module_that_imports_a_source_of_chance_is_refused_when_loaded(name):
    wasm = built((REFUSED / f"imports--{name}.wat").read_text())
    with splittally.open(None, clock="given") as kernel:
        decision = kernel.apply(manifest(budget(tokens=1), wasm))
        assert (decision.outcome, codes(decision)) == ("deny", ["not_admitted"])
        assert decision.findings[0].facts["failed"] == "imports"
        assert "g" not in kernel.state.grants
        assert module_hash(wasm) not in kernel.state.modules.values()


@pytest.mark.req("S4-31")
@pytest.mark.parametrize("missing", PIECES)
def test_a_module_without_one_of_its_exports_is_refused_and_the_export_named(missing):
    whole = built("(module " + " ".join(PIECES.values()) + ")")
    lacking = built("(module " + " ".join(text for name, text in PIECES.items() if name != missing) + ")")
    with splittally.open(None, clock="given") as kernel:
        decision = kernel.apply(manifest(budget(tokens=1), lacking))
        assert (decision.outcome, codes(decision)) == ("deny", ["not_admitted"])
        apply(kernel, manifest(budget(tokens=1), whole))
    with pytest.raises(NotAdmitted, match=f"`{missing}`"):
        admit(lacking)


# --- two questions, two answers ---------------------------------------------------------------------


@pytest.mark.req("S4-32")
def test_an_enforcer_is_asked_check_before_and_settle_after():
    with world(budget(tokens=100)) as kernel:
        calls = listen(kernel)
        digest = held(kernel, {"tokens": 5})
        assert [call.variant for call in calls] == ["Check"]
        settle(kernel, digest, {"tokens": 5})
        assert [call.variant for call in calls] == ["Check", "Settle"]
        assert {call.module for call in calls} == {module_hash(PARROT)}


@pytest.mark.req("S4-32")
@pytest.mark.parametrize("name", ["sys/CapAllowAll@1", LLM, "sys/CapEnforceCost@1"])
def test_a_built_in_enforcer_answers_no_unknown_tag(name):
    with world(budget(tokens=100)) as kernel:
        calls = listen(kernel)
        held(kernel, {"tokens": 5})
    sandbox = Sandbox()
    module = sandbox.load(builtin(name))
    assert isinstance(sandbox.judge(module, calls[0].data), bytes)
    assert isinstance(sandbox.judge(module, canonical({"Probe": calls[0].message})), Fault)


@pytest.mark.req("S4-32", "S4-33")
@pytest.mark.parametrize("tag", ["Settle", "Probe", "check", ""])
def test_a_check_answered_under_another_tag_denies(tag):
    with world(budget(tokens=100)) as kernel:
        answer = canonical({tag: {"constraints_ok": True, "reserve_estimate": {"tokens": 5}}})
        decision = act(kernel, answer)
        assert (decision.outcome, codes(decision)) == ("deny", ["enforcer_fault"])
        assert decision.findings[0].facts["fault"] == "bad_output"


@pytest.mark.req("S4-33")
@pytest.mark.parametrize(
    "answer", [reserves({"tokens": 5}), denies("no"), canonical({"Probe": {"usage": {}}})]
)
def test_a_settle_answered_with_another_variant_ends_the_hold_with_a_violation(answer):
    with world(budget(tokens=100)) as kernel:
        settlement = settle(kernel, held(kernel, {"tokens": 40}), answer)
        assert settlement.status == "settled"
        assert settlement.violation.code == "enforcer_fault"
        assert settlement.violation.facts["fault"] == "bad_output"
        assert not kernel.state.reservations
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 40}


# --- the answer to a Check --------------------------------------------------------------------------


@pytest.mark.req("S4-11")
def test_a_check_answers_with_an_estimate_that_is_recorded_and_reserved():
    with llm_world() as kernel:
        calls = listen(kernel)
        decision = generate(kernel, max_tokens=50)
        sandbox = Sandbox()
        sandbox.load(builtin(LLM))
        answer = sandbox.judge(calls[0].module, calls[0].data)
        assert answer == reserves({"tokens": 50})
        assert decision.reserve == kernel.state.reservations[decision.intent_hash].reserve == {"tokens": 50}


@pytest.mark.req("S4-12")
def test_a_settle_answers_with_the_usage_that_is_charged():
    with llm_world() as kernel:
        calls = listen(kernel)
        decision = generate(kernel, max_tokens=50)
        payload = {"prompt_tokens": 10, "completion_tokens": 20}
        settlement = kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", payload))
        sandbox = Sandbox()
        sandbox.load(builtin(LLM))
        assert sandbox.judge(calls[1].module, calls[1].data) == uses({"tokens": 30})
        assert settlement.usage == {"tokens": 30}
        assert kernel.state.counters["cap_llm"]["tokens"].spent == 30


NO_NATURALS = (-1, 1.5, 1.0, "5", True, None, [], 2**64)
NO_REASONS = (
    None,
    "no",
    {},
    {"code": "no"},
    {"message": ""},
    {"code": "", "message": ""},
    {"code": "no", "message": "", "more": 1},
    {"code": "c" * 65, "message": ""},
    {"code": "no", "message": "m" * 513},
)
GOOD = {"constraints_ok": True, "reserve_estimate": {"tokens": 5}}
WRONG_CHECKS = [
    {"constraints_ok": True},
    {"reserve_estimate": {}},
    {},
    *(
        {**GOOD, "reserve_estimate": {"tokens": amount}}
        for amount in (-1, 1.5, 1.0, "5", True, None, [], 2**64)
    ),
    *({**GOOD, "reserve_estimate": wrong} for wrong in (None, [], 5, "tokens", [["tokens", 5]])),
    *({**GOOD, "constraints_ok": wrong} for wrong in (1, 0, None, "true")),
    {**GOOD, "deny": {"code": "no", "message": ""}},
    {**GOOD, "deny": None},
    {**GOOD, "limit": 5},
    {**GOOD, "constraints_ok": False},
    *({**GOOD, "constraints_ok": False, "deny": wrong} for wrong in NO_REASONS),
    {**GOOD, "reserve_estimate": {f"d{at}": 1 for at in range(65)}},
    {**GOOD, "reserve_estimate": {"d" * 129: 1}},
]
NOT_CANONICAL = [
    reserves({"tokens": 5}) + b"\0",
    reserves({"tokens": 5})[:-1],
    reserves({"tokens": 5})[:-1] + b"\x18\x05",  # 5 in two bytes
    b"\xbf" + reserves({"tokens": 5})[1:] + b"\xff",  # a map without a length
    reserves({"ab": 1, "bc": 2}).replace(b"bab\x01bbc\x02", b"bbc\x02bab\x01"),
    reserves({"ab": 1, "bc": 2}).replace(b"bbc", b"bab"),
    b"\xc1" + reserves({"tokens": 5}),
]


def denied_for_a_fault(answer: bytes) -> None:
    with world(budget(tokens=100)) as kernel:
        before = books(kernel)
        decision = act(kernel, answer)
        assert (decision.outcome, codes(decision), decision.reserve) == ("deny", ["enforcer_fault"], {})
        assert decision.findings[0].facts["fault"] == "bad_output"
        assert books(kernel) == before


@pytest.mark.req("S4-20")
@pytest.mark.parametrize("body", WRONG_CHECKS, ids=repr)
def test_a_check_answer_of_another_shape_is_an_enforcer_fault_and_denies(body):
    denied_for_a_fault(canonical({"Check": body}))


@pytest.mark.req("S4-20")
@pytest.mark.parametrize("answer", NOT_CANONICAL, ids=bytes.hex)
def test_a_check_answer_that_is_not_canonical_denies(answer):
    denied_for_a_fault(answer)


@pytest.mark.req("S4-20")
@few
@given(answer=st.binary(max_size=40))
def test_bytes_at_random_are_no_check_answer(answer):
    denied_for_a_fault(answer)


@pytest.mark.req("S4-20")
def test_answers_at_every_bound_are_answers():
    most = {f"d{at:02}".ljust(128, "x"): 2**64 - 1 for at in range(64)}
    with world({"g": {}}) as kernel:
        decision = act(kernel, reserves(most))
        assert decision.allowed
        assert decision.reserve == most
        refused = act(kernel, denies("c" * 64, "m" * 512))
        assert codes(refused) == ["c" * 64]
        assert refused.findings[0].facts["message"] == "m" * 512


@pytest.mark.req("S4-21")
def test_a_refusal_says_which_constraint_failed_and_reserves_nothing():
    with splittally.open(None, clock="given") as kernel:
        grant = {"cap": "sys/llm.basic@1", "params": {"models": ["gpt-y"]}, "budget": {"tokens": 100}}
        apply(kernel, {"grants": {"cap_llm": grant}})
        before = books(kernel)
        decision = generate(kernel, model="gpt-x", max_tokens=5)
        (finding,) = decision.findings
        assert (decision.outcome, finding.stage, finding.code) == ("deny", "enforcer", "model_not_allowed")
        assert "gpt-x" in finding.facts["message"]
        assert finding.facts["grant"] == "cap_llm"
        assert decision.reserve == {}
        assert books(kernel) == before
        assert generate(kernel, model="gpt-y", max_tokens=5).allowed


@pytest.mark.req("S4-22")
def test_an_empty_estimate_reserves_nothing():
    with world(budget(tokens=100)) as kernel:
        decision = act(kernel, {})
        assert (decision.allowed, decision.reserve) == (True, {})
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 0}
        assert decision.intent_hash in kernel.state.reservations


@pytest.mark.req("S4-22")
@few
@given(
    limits=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 60), max_size=4),
    estimate=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 60), max_size=4),
)
def test_an_estimate_of_several_dimensions_is_reserved_whole_or_not_at_all(limits, estimate):
    with world({"g": {"budget": limits}}) as kernel:
        decision = act(kernel, estimate)
        short = {dim for dim, limit in limits.items() if estimate.get(dim, 0) > limit}
        assert decision.allowed == (not short)
        assert {finding.facts["dim"] for finding in decision.findings} == short
        reserved = {dim: row.reserved for dim, row in kernel.state.counters.get("g", {}).items()}
        assert reserved == {dim: 0 if short else estimate.get(dim, 0) for dim in limits}


# --- the answer to a Settle -------------------------------------------------------------------------


@pytest.mark.req("S4-29")
def test_an_empty_usage_is_legal_and_charges_nothing():
    with world(budget(tokens=100)) as kernel:
        settlement = settle(kernel, held(kernel, {"tokens": 40}), {})
        assert (settlement.status, settlement.usage, settlement.violations) == ("settled", {}, ())
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 0}


WRONG_SETTLES = [
    {},
    *({"usage": {"tokens": amount}} for amount in NO_NATURALS),
    *({"usage": wrong} for wrong in (None, [], 5)),
    *({"usage": {}, "violation": wrong} for wrong in NO_REASONS),
    {"usage": {}, "spent": 5},
]


@pytest.mark.req("S4-29")
@pytest.mark.parametrize("body", WRONG_SETTLES, ids=repr)
def test_a_settle_answer_of_another_shape_charges_the_reserve_and_says_so(body):
    with world(budget(tokens=100)) as kernel:
        settlement = settle(kernel, held(kernel, {"tokens": 40}), canonical({"Settle": body}))
        assert (settlement.status, settlement.usage) == ("settled", {"tokens": 40})
        is_foreign = 2**64 in body.get("usage", {}).values() if type(body.get("usage")) is dict else False
        misfit = ["receipt_invalid"] if is_foreign else []  # the payload itself leaves the data model
        assert [violation.code for violation in settlement.violations] == [*misfit, "enforcer_fault"]


@pytest.mark.req("S4-30")
@few
@given(code=st.text(min_size=1, max_size=16), message=st.text(max_size=64))
def test_a_violation_is_carried_with_its_code_and_message(code, message):
    with world(budget(tokens=100)) as kernel:
        settlement = settle(kernel, held(kernel, {"tokens": 40}), uses({"tokens": 9}, code, message))
        (violation,) = settlement.violations
        assert (violation.stage, violation.code) == ("enforcer", code)
        assert (violation.facts["message"], violation.facts["grant"]) == (message, "g")
        assert settlement.usage == {"tokens": 9}


@pytest.mark.req("S4-30")
def test_a_module_of_its_own_answers_reports_over_use_in_its_answer_and_in_the_journal():
    with llm_world() as kernel:
        calls = listen(kernel)
        decision = generate(kernel, max_tokens=50)
        settlement = kernel.settle(
            Receipt(decision.intent_hash, "ok", "a", {"prompt_tokens": 0, "completion_tokens": 60})
        )
        assert settlement.violation.code == "usage_exceeds_reserve"
        told = kernel.outcome(decision.intent_hash)
        assert (told.status, told.usage) == ("settled", {"tokens": 60})
        sandbox = Sandbox()
        sandbox.load(builtin(LLM))
        assert b"usage_exceeds_reserve" in sandbox.judge(calls[1].module, calls[1].data)


def test_a_module_made_of_two_answers_gives_them():
    sandbox = Sandbox()
    module = sandbox.load(canned(reserves({"a": 1}), uses({"a": 2})))
    assert sandbox.judge(module, canonical({"Check": {}})) == reserves({"a": 1})
    assert sandbox.judge(module, canonical({"Settle": {}})) == uses({"a": 2})
