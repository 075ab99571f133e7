"""The fast sandbox against the definition: the same output, fault class and fuel on generated input."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splittally.core.canonical import encode
from splittally.core.errors import NotAdmitted
from splittally.core.limits import INPUT_BYTES_MAX
from splittally.sandbox import ReferenceSandbox, Sandbox, builtin, builtin_names, failed_checks

from tests.test_sandbox_fixtures import FAULTY, PURE, expected, fixture

FAST, DEFINITION = Sandbox(), ReferenceSandbox()
MODULES = [path for path in PURE + FAULTY if expected(path) != "out_of_fuel"]


def both(wasm: bytes, data: bytes):
    judged = FAST.load(wasm)
    assert DEFINITION.load(wasm) == judged
    fast = (FAST.judge(judged, data), FAST.fuel_used)
    definition = (DEFINITION.judge(judged, data), DEFINITION.fuel_used)
    assert fast == definition
    return fast


@pytest.mark.req("S4-10")
@settings(max_examples=300)
@given(st.sampled_from(MODULES), st.binary(max_size=300))
def test_both_sandboxes_agree_on_every_fixture(path, data):
    both(fixture(path), data)


def test_both_sandboxes_agree_when_fuel_runs_out():
    for path in FAULTY:
        if expected(path) == "out_of_fuel":
            both(fixture(path), b"question")


@settings(max_examples=20)
@given(
    st.integers(0, INPUT_BYTES_MAX + 2), st.sampled_from(["echo", "echo-sixteen-pages", "echo-at-the-end"])
)
def test_both_sandboxes_agree_on_inputs_of_every_size(size, name):
    both(fixture(next(path for path in PURE if path.stem == name)), bytes(size))


MACHINE = next(path for path in PURE if path.stem == "machine")
seen: set[str] = set()


@pytest.mark.req("S4-10", "X4-12")
@settings(max_examples=500)
@given(st.lists(st.integers(0, 255), max_size=60).map(bytes))
def test_both_sandboxes_agree_on_programs(data):
    """`machine` runs its input: it loads, stores, divides, spins and returns wherever the bytes say."""
    answer, _fuel = both(fixture(MACHINE), data)
    seen.add(getattr(answer, "cls", "answer"))


def test_the_programs_reached_answers_and_faults():
    assert seen >= {"answer", "trap", "over_limit"}


TEXTS = st.sampled_from(["model", "max_tokens", "messages", "provider", "url", "gpt-4", "", "x" * 200])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXTS | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.req("S4-10")
@settings(max_examples=200)
@given(
    st.sampled_from(builtin_names()), VALUES, VALUES, st.sampled_from(["llm.generate", "http.request", "x"])
)
def test_both_sandboxes_agree_on_the_built_ins(name, cap_params, effect_params, kind):
    check = {
        "cap_def": name,
        "grant_name": "acme/agent",
        "cap_params": encode(cap_params),
        "effect_kind": kind,
        "effect_params": encode(effect_params),
        "origin": {"kind": "plan", "name": "host/agent@1"},
        "logical_now_ns": 1,
    }
    receipt = {"status": "ok", "adapter_id": "a", "payload": encode(effect_params), "cost_cents": 2}
    settle = check | {"intent_hash": bytes(32), "reserve_estimate": {"cents": 5}, "receipt": receipt}
    both(builtin(name), encode({"Check": check}))
    both(builtin(name), encode({"Settle": settle}))


@settings(max_examples=300)
@given(st.data())
def test_both_sandboxes_agree_on_damaged_modules_that_are_admitted(data):
    wasm = bytearray(fixture(data.draw(st.sampled_from(MODULES))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(8, len(wasm) - 1))
        wasm[at] = data.draw(st.integers(0, 255))
    fast, definition = _refusal(FAST, bytes(wasm)), _refusal(DEFINITION, bytes(wasm))
    assert fast == definition
    if not fast and not failed_checks(bytes(wasm)):
        both(bytes(wasm), data.draw(st.binary(max_size=40)))


def _refusal(sandbox, wasm: bytes) -> str:
    try:
        sandbox.load(wasm)
    except NotAdmitted as refusal:
        return refusal.facts["check"]
    return ""
