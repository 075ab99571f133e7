"""The asyncio twin answers like the kernel and shares commits between tasks."""

import asyncio

import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally import Decision, Group, Intent, KernelStopped, Receipt, SplittallyError, aio

from tests.rows.worlds import few

MANIFEST = {"grants": {"cap": {"cap": "sys/llm.basic@1", "budget": {"tokens": 6_400}}}}
ASK = Intent("llm.generate", {"model": "m", "max_tokens": 50}, "cap")
USED = {"prompt_tokens": 1, "completion_tokens": 2}


def test_tasks_that_wait_together_share_a_commit_and_each_gets_its_own_answer(tmp_path):
    async def drive():
        async with aio.open(tmp_path, clock="given") as kernel:
            assert (await kernel.apply(MANIFEST)).allowed
            commits = kernel._kernel._world.commits
            decisions = await asyncio.gather(*(kernel.submit(ASK) for _ in range(200)))
            outcomes = [decision.outcome for decision in decisions]
            shared = kernel._kernel._world.commits - commits
            allowed = [decision for decision in decisions if decision.allowed]
            settled = await asyncio.gather(
                *(kernel.settle(Receipt(x.intent_hash, "ok", "a", USED)) for x in allowed)
            )
            return outcomes, shared, {x.status for x in settled}, kernel.state.counters["cap"]["tokens"]

    outcomes, shared, statuses, counter = asyncio.run(drive())
    assert outcomes.count("allow") == 128
    assert outcomes.count("deny") == 72
    assert shared < 50
    assert statuses == {"settled"}
    assert counter == {"limit": 6_400, "reserved": 0, "spent": 384}


def test_of_what_waits_receipts_are_decided_before_intents():
    """They free what others wait for, so an intent that came first may still fit."""

    async def drive():
        async with aio.open(None, clock="given") as kernel:
            await kernel.apply(MANIFEST)
            held = await kernel.submit([ASK] * 128)
            none = {"prompt_tokens": 0, "completion_tokens": 0}
            with kernel._kernel._lock:  # whatever is put now waits together
                busy = asyncio.create_task(kernel.tick())
                await asyncio.sleep(0.1)
                intent = asyncio.create_task(kernel.submit(ASK))
                await asyncio.sleep(0)
                receipt = asyncio.create_task(kernel.settle(Receipt(held[0].intent_hash, "ok", "a", none)))
                await asyncio.sleep(0)
            await busy
            return (await intent).outcome, (await receipt).status

    assert asyncio.run(drive()) == ("allow", "settled")


def test_a_full_queue_answers_busy_without_a_record_and_refuses_neither_a_receipt_nor_a_dispatch():
    async def drive():
        async with aio.open(None, clock="given", queue_max=1) as kernel:
            await kernel.apply(MANIFEST)
            held = await kernel.submit(ASK)
            other = await kernel.submit(ASK)
            return await asyncio.gather(
                asyncio.gather(*(kernel.submit(ASK) for _ in range(50))),
                asyncio.gather(*(kernel.submit([ASK] * 2, mode="all") for _ in range(20))),
                asyncio.gather(
                    *(kernel.settle(Receipt(held.intent_hash, "ok", "a", USED)) for _ in range(50))
                ),
                asyncio.gather(*(kernel.dispatch(other.intent_hash, bytes(16)) for _ in range(20))),
            )

    decisions, groups, settlements, dispatches = asyncio.run(drive())
    busy = [x for x in decisions if x.findings and x.findings[0].code == "busy"]
    assert busy
    assert all(x.seq is None and x.findings[0].facts["next"] == "retry_after" for x in busy)
    assert {len(group) for group in groups} == {2}
    assert sorted({x.status for x in settlements}) == ["duplicate", "settled"]
    assert sorted({x.status for x in dispatches}) == ["already_dispatched", "dispatched"]


class Text(str):
    """Text of a type of its own."""


NO_KIND, NO_GRANT = Intent("no.such", {}, "cap"), Intent("llm.generate", {}, "none")
ASKED = st.sampled_from([ASK, NO_KIND, NO_GRANT, 5, None, "ask"])
MODES = st.sampled_from(["each", "all", "first", Text("each"), Text("all"), Text("first"), "", None, 1])


@st.composite
def asking(draw):
    """A method, and arguments for it, right and wrong."""
    several = draw(st.lists(ASKED, max_size=3) | st.lists(st.just(ASK), min_size=64, max_size=66))
    several = draw(st.sampled_from([several, tuple(several), repr(several), {"a": ASK}]))
    if draw(st.booleans()):
        return "submit", (draw(ASKED | st.just(several)), draw(MODES))
    group = Group(draw(MODES), several)
    return "run", (draw(st.sampled_from([[group], [group, ASK], [*several], group])),)


def answered(call):
    """An answer, or what was raised, as far as two faces can be compared."""
    try:
        answer = call()
    except (SplittallyError, TypeError) as error:
        return type(error), str(error)
    return shape(answer)


def shape(answer):
    if isinstance(answer, list):
        return [shape(each) for each in answer]
    if isinstance(answer, Decision):
        return answer.outcome, [(x.code, x.facts.get("message")) for x in answer.findings]
    return type(answer), str(answer)


def form(answer):
    """The same without what a decision says."""
    return [form(each) for each in answer] if isinstance(answer, list) else len(answer)


@few
@given(asking())
def test_both_faces_answer_alike_and_a_busy_one_in_the_same_form(asked):
    """Who moves from one face to the other, or meets a full queue, unpacks the same answers."""
    name, arguments = asked

    def awaited(queue_max):
        async def drive():
            async with aio.open(None, clock="given", queue_max=queue_max) as kernel:
                await kernel.apply(MANIFEST)
                return await getattr(kernel, name)(*arguments)

        return answered(lambda: asyncio.run(drive()))

    with splittally.open(None, clock="given") as kernel:
        kernel.apply(MANIFEST)
        said = answered(lambda: getattr(kernel, name)(*arguments))
    assert awaited(100) == said
    busy = awaited(0)
    assert form(busy) == form(said) if isinstance(said, list) else type(busy) is type(said)
    if isinstance(said, tuple) and isinstance(said[0], type):
        assert busy == said


def test_every_method_has_its_awaited_twin():
    async def drive():
        kernel = await aio.open(None, clock="given")
        await kernel.apply({**MANIFEST, "policy": [{"decision": "require_approval"}]})
        held = await kernel.submit(ASK, now_ns=5)
        assert held.outcome == "require_approval"
        assert (await kernel.decide(ASK)).outcome == "require_approval"
        assert (await kernel.approve(held.intent_hash)).allowed
        assert (await kernel.extend(held.intent_hash, 100)).status == "extended"
        assert (await kernel.release(held.intent_hash)).status == "released"
        assert (await kernel.outcome(held.intent_hash)).status == "released"
        other = await kernel.submit(ASK)
        assert (await kernel.reject(other.intent_hash)).allowed
        assert (await kernel.native("account.open", account="accounts/x")).allowed
        assert await kernel.tick(now_ns=9) == 0
        group = await kernel.submit([ASK, ASK], mode="all")
        assert [x.outcome for x in group] == ["deny", "deny"]
        answers = await kernel.run([ASK, Receipt(held.intent_hash, "maybe")])
        assert answers[0].outcome == "require_approval"
        assert answers[1].code == "invalid_input"
        await kernel.close()
        with pytest.raises(KernelStopped):
            await kernel.submit(ASK)

    asyncio.run(drive())
