"""Enforcer pinning: an effect is settled by the code that checked it, however often that was replaced."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Receipt
from splittally.core.events import Held, Settled

from tests.rows.worlds import (
    PARROT,
    act,
    another,
    apply,
    budget,
    canned,
    counting,
    few,
    held,
    listen,
    manifest,
    module_hash,
    recorded,
    reserves,
    save_snapshot,
    settle,
    uses,
    world,
)

COMPLETION, PROMPT = b"n_tokens", b"t_tokens"  # the ends of completion_tokens and of prompt_tokens
VERSIONS = [canned(reserves({"tokens": 10 + at}), uses({"tokens": at})) for at in range(4)]


@pytest.mark.req("S4-41")
def test_a_reservation_and_its_record_name_the_module_that_checked():
    with world(budget(tokens=100)) as kernel:
        calls = listen(kernel)
        digest = held(kernel, {"tokens": 5})
        (event,) = recorded(kernel, Held)
        identity = module_hash(PARROT)
        assert calls[0].module == identity
        assert kernel.state.reservations[digest].legs[0].enforcer_ref == identity
        assert event.legs[0].enforcer_ref == identity
        assert kernel.state.caps["test/parrot@1"].enforcer == identity


@pytest.mark.req("S4-41")
def test_a_new_reservation_names_the_new_module_and_an_old_one_the_old():
    with world(budget(tokens=100)) as kernel:
        old = held(kernel, {"tokens": 5})
        apply(kernel, manifest(budget(tokens=100), another()))
        new = held(kernel, {"tokens": 5})
        refs = [kernel.state.reservations[digest].legs[0].enforcer_ref for digest in (old, new)]
        assert refs == [module_hash(PARROT), module_hash(another())]


@pytest.mark.req("S4-42")
def test_a_receipt_is_read_by_the_module_that_checked():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 5})
        apply(kernel, manifest(budget(tokens=100), another()))
        judge, calls = kernel._world.judge, []
        answer = judge.answer
        judge.answer = lambda state, question: calls.append(question.module) or answer(state, question)
        settle(kernel, digest, {"tokens": 3})
        assert calls == [module_hash(PARROT)]
        (settled,) = recorded(kernel, Settled)
        assert settled.legs[0].enforcer_ref == module_hash(PARROT)


@pytest.mark.req("S4-42")
def test_a_receipt_after_an_upgrade_and_a_restart_is_read_by_the_module_that_checked(folder):
    with world(budget(tokens=100), folder) as kernel:
        digest = held(kernel, {"tokens": 5})
        apply(kernel, manifest(budget(tokens=100), another()))
        save_snapshot(kernel)
    with splittally.open(folder) as kernel:
        calls = listen(kernel)
        settle(kernel, digest, {"tokens": 3})
        assert [call.module for call in calls] == [module_hash(PARROT)]


@pytest.mark.req("S4-42")
def test_a_late_receipt_is_read_by_the_module_that_checked():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 5})
        kernel.release(digest)
        apply(kernel, manifest(budget(tokens=100), another()))
        calls = listen(kernel)
        assert settle(kernel, digest, {"tokens": 3}).status == "late"
        assert [call.module for call in calls] == [module_hash(PARROT)]


@pytest.mark.req("S4-43")
def test_an_upgrade_does_not_change_what_an_effect_in_flight_costs():
    """The first version counts completion tokens, the second both."""
    payload = {"prompt_tokens": 100, "completion_tokens": 20}
    with world(budget(tokens=1_000), enforcer=counting(COMPLETION)) as kernel:
        in_flight = act(kernel, b"").intent_hash
        apply(kernel, manifest(budget(tokens=1_000), counting(PROMPT, COMPLETION)))
        assert kernel.settle(Receipt(in_flight, "ok", "adapter", payload)).usage == {"tokens": 20}
        assert kernel.state.counters["g"]["tokens"].spent == 20
        fresh = act(kernel, b"").intent_hash
        assert kernel.settle(Receipt(fresh, "ok", "adapter", payload)).usage == {"tokens": 120}
        assert kernel.state.counters["g"]["tokens"].spent == 140


STEPS = st.lists(
    st.sampled_from(["ask", "settle", "upgrade 0", "upgrade 1", "upgrade 2", "upgrade 3"]), max_size=12
)


@pytest.mark.req("S4-43")
@few
@given(steps=STEPS, chance=st.randoms(use_true_random=False))
def test_through_any_upgrades_each_effect_is_checked_and_settled_by_one_version(steps, chance):
    with world(budget(tokens=10_000), enforcer=VERSIONS[0]) as kernel:
        version, open_holds, spent = 0, [], 0
        for step in steps:
            if step == "ask":
                decision = act(kernel, b"")
                assert decision.reserve == {"tokens": 10 + version}
                open_holds.append((decision.intent_hash, version))
            elif step == "settle" and open_holds:
                digest, checked_by = open_holds.pop(chance.randrange(len(open_holds)))
                assert settle(kernel, digest, {}).usage == {"tokens": checked_by}
                spent += checked_by
            elif step.startswith("upgrade"):
                version = int(step[-1])
                apply(kernel, manifest(budget(tokens=10_000), VERSIONS[version]))
        assert kernel.state.counters["g"]["tokens"].spent == spent
