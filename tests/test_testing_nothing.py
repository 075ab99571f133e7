"""A test that tests nothing fails: runs and machines in which nothing was ever allowed."""

import unittest

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from splittally import Intent, Receipt
from splittally_tools.testing import Broken, NothingHappened, WorldMachine, answered, explore, simulate
from splittally_tools.testing.strategies import intents

POOR = {
    "resources": {"USD": 2},
    "accounts": {"accounts/team": {}, "accounts/vendor": {}},
    "grants": {
        "team": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}},
        "empty": {"cap": "sys/llm.basic@1", "budget": {"tokens": 0}},
    },
}
ASKED = {"model": "m", "max_tokens": 10}


def asking(grant):
    async def host(port):
        asked = Intent(
            "llm.generate", ASKED, grant, idempotency_key=port.key_of("job"), attempt=port.attempt()
        )
        decision = await answered(lambda: port.submit(asked))
        if decision.allowed:
            await port.act(decision, "job")
            usage = {"prompt_tokens": 1, "completion_tokens": 2}
            await answered(lambda: port.settle(Receipt(decision.intent_hash, "ok", port.name, usage)))

    return host


@pytest.mark.req("X8-12")
def test_runs_without_any_effect_fail_and_say_why():
    with pytest.raises(NothingHappened) as caught:
        explore(asking("empty"), POOR, seeds=range(3), faults=())
    text = str(caught.value)
    assert "no effect happened" in text
    assert "3 seeds; llm.generate: 3 deny budget_exceeded, 3 submitted" in text
    assert "setup=" in text
    assert "host-1 <- deny" in text


@pytest.mark.req("X8-12")
def test_hosts_that_ask_for_nothing_fail_too():
    async def idle(port):
        await port.sleep(1)

    for seeds in (range(2), ()):
        with pytest.raises(NothingHappened, match="nothing was asked for"):
            explore(idle, POOR, seeds=seeds)
    assert explore(idle, POOR, seeds=range(2), acts_min=0).effects == {}


def test_a_test_of_refusals_says_so_and_a_single_run_may_be_one():
    runs = explore(asking("empty"), POOR, seeds=range(2), faults=(), acts_min=0)
    assert runs.effects == {"llm.generate": {"deny budget_exceeded": 2, "submitted": 2}}
    assert simulate(asking("empty"), POOR, seed=1, faults=()).acts == ()
    with pytest.raises(NothingHappened, match="2 effect happened"):
        explore(asking("team"), POOR, seeds=range(2), faults=(), acts_min=3)


@pytest.mark.req("X8-12")
def test_runs_say_how_many_effects_of_which_kinds_with_which_outcomes_there_were():
    runs = explore([asking("team"), asking("empty")], POOR, seeds=range(5), faults=())
    assert runs.effects == {
        "llm.generate": {"acted": 5, "allow": 5, "deny budget_exceeded": 5, "settled": 5, "submitted": 10}
    }
    assert str(runs).startswith("5 seeds; llm.generate: 5 acted, 5 allow, ")
    assert runs[0].effects["llm.generate"]["acted"] == len(runs[0].acts) == 1


def test_what_is_asked_again_counts_once():
    runs = explore(asking("team"), POOR, seeds=range(30), faults=("lose_reply", "duplicate"))
    assert runs.effects["llm.generate"]["acted"] == sum(len(run.acts) for run in runs)
    assert runs.effects["llm.generate"]["allow"] <= runs.effects["llm.generate"]["submitted"] <= 30


def test_a_broken_run_says_what_had_happened_until_then():
    async def greedy(port):
        decision = await port.submit(
            Intent("llm.generate", ASKED, "team", idempotency_key=port.key_of("job"))
        )
        await port.act(decision, "job")

    with pytest.raises(Broken, match=r"until then: llm\.generate: 1 acted, 1 allow"):
        explore(greedy, POOR, seeds=range(1), faults=())


# --- machines ---------------------------------------------------------------------------------------


def outcome_of(machine, examples=3):
    made = type("Made", (machine.TestCase,), {})
    made.settings = settings(
        machine.TestCase.settings, max_examples=examples, stateful_step_count=30, database=None
    )
    result = unittest.TestResult()
    made("runTest").run(result)
    return "\n".join(text for _, text in (*result.failures, *result.errors))


STARVED = {"grants": {"empty": POOR["grants"]["empty"]}}


class Starved(WorldMachine):
    manifest = STARVED

    def intents(self):
        return st.builds(Intent, st.just("llm.generate"), st.just(ASKED), st.just("empty"))

    def edits(self):
        return st.just(self.document)

    def grants_left(self):
        return []


@pytest.mark.req("X8-12")
def test_a_machine_whose_every_intent_is_refused_fails_and_says_by_what():
    text = outcome_of(Starved)
    assert "Starved had nothing admitted, so nothing was tested: llm.generate:" in text
    assert "deny budget_exceeded" in text
    assert "params_schema" in text


def test_a_machine_that_is_about_refusals_says_so_and_another_passes():
    about = type("About", (Starved,), {"allowed_min": 0})
    fed = type("Fed", (Starved,), {"manifest": POOR, "intents": lambda self: intents(self.kernel)})
    assert outcome_of(about) == ""
    assert outcome_of(fed) == ""
