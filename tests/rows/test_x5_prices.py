"""Price tables are data: a call's record names the table that priced it, and keeps to it."""

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.events import Held, Settled

from tests.rows.worlds import recorded, tally


def team(price):
    prices = {"resource": "USD", "models": {"m": {"prompt": price, "completion": price}}}
    grant = {"cap": "sys/llm.basic@1", "params": {"prices": prices}, "budget": {"USD": 10**9}}
    return {"resources": {"USD": 6}, "grants": {"llm": grant}}


def call(kernel):
    params = {"model": "m", "prompt_tokens": 100, "max_tokens": 100}
    decision = kernel.submit(Intent("llm.generate", params, "llm"))
    assert decision.allowed, decision
    return decision


def answer(kernel, decision):
    counts = {"prompt_tokens": 100, "completion_tokens": 50}
    return kernel.settle(Receipt(decision.intent_hash, "ok", "a", counts))


@pytest.mark.req("X5-24", "X3-17")
def test_a_changed_price_is_another_table_and_old_calls_are_priced_by_theirs(tmp_path):
    folder = tmp_path / "w"
    with splittally.open(folder, clock="given") as kernel:
        assert kernel.apply(team(10_000)).allowed
        old, pinned = call(kernel), call(kernel)
        assert answer(kernel, old).usage["USD"] == 2  # 150 tokens at 0.01 a million, rounded up
        assert kernel.apply(team(1_000_000)).allowed
        new = call(kernel)
        assert (pinned.reserve["USD"], new.reserve["USD"]) == (2, 200)
        assert answer(kernel, new).usage["USD"] == 150
        assert answer(kernel, pinned).usage["USD"] == 2
        tables = [held.legs[0].params for held in recorded(kernel, Held)]
        assert tables[0] == tables[1] != tables[2]
        assert kernel.state.grants["llm"].params == tables[2]
        costs = [settled.legs[0].usage["USD"] for settled in recorded(kernel, Settled)]
        assert costs == [2, 150, 2]
    assert tally(folder, "verify", "--rejudge")[1]["sound"]  # each cost recomputed from the table it names
