"""Price tables are data: a call's record names the table that priced it, and keeps to it."""

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.errors import InvalidManifest
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


def market(price, *, snapshot="2026-11", pinned="2026-10"):
    """Two snapshots, a grant that follows the newest, and one that is pinned."""

    def table(since, price):
        models = {"m": {"prompt": price, "completion": price}}
        return {"since": since, "resource": "USD", "models": models}

    def grant(prices):
        return {"cap": "sys/llm.basic@1", "params": {"prices": prices}, "budget": {"USD": 10**9}}

    return {
        "resources": {"USD": 6},
        "prices": {"2026-10": table("2026-10-01", "0.010000 USD"), snapshot: table("2026-11-01", price)},
        "grants": {"llm": grant("newest"), "pinned": grant(pinned)},
    }


@pytest.mark.req("X3-17", "X5-24")
def test_a_grant_follows_the_newest_snapshot_or_is_pinned_and_its_records_say_which(tmp_path):
    folder = tmp_path / "w"
    with splittally.open(folder, clock="given") as kernel:
        kernel.apply({"resources": {"USD": 6}}, now_ns=1_794_700_800 * 10**9)  # 2026-11-15
        assert kernel.apply(market("1 USD")).allowed
        params = {"model": "m", "prompt_tokens": 100, "max_tokens": 100}
        newest, pinned = (kernel.submit(Intent("llm.generate", params, grant)) for grant in ("llm", "pinned"))
        assert (newest.reserve["USD"], pinned.reserve["USD"]) == (200, 2)
        with pytest.raises(InvalidManifest, match="another name"):
            kernel.apply(market("2 USD"))
        assert kernel.apply(market("2 USD", snapshot="2026-12")).allowed
        later = kernel.submit(Intent("llm.generate", params, "llm"))
        assert later.reserve["USD"] == 400
    for decision, name in ((newest, "2026-11"), (pinned, "2026-10"), (later, "2026-12")):
        link = tally(folder, "explain", decision.intent_hash.hex())[1]["chain"][0]
        assert link["prices"]["snapshot"] == name
        assert len(bytes.fromhex(link["prices"]["hash"])) == 32


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pinned": "2026-09"}, "no price snapshot `2026-09`; there is 2026-10, 2026-11"),
        ({"price": "1 EUR"}, "nothing is converted"),
        ({"price": -1}, "at least 0"),
        ({"price": 1.5}, "an integer of minor units"),
        ({"price": None}, "natural"),
        ({"snapshot": "newest"}, "cannot be the name"),
    ],
)
def test_a_price_table_that_cannot_be_used_is_refused_where_it_stands(change, says):
    with splittally.open(None, clock="given") as kernel, pytest.raises(InvalidManifest, match=says):
        kernel.apply(market(**{"price": "1 USD", **change}))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"since": "2026-11-31"}, "a day such as"),
        ({"resource": "GOLD"}, "defines"),
        ({"models": {}}, "has no price"),
        ({"models": {"m": {"prompt": 1}}}, "completion"),
        ({"modles": {}}, "has no `modles`"),
        ({"since": "2026-10-01"}, "begin on the same day; name one"),
    ],
)
def test_a_snapshot_needs_a_day_a_resource_and_prices(entry, says):
    manifest = market("1 USD")
    manifest["prices"]["2026-11"] |= entry
    with splittally.open(None, clock="given") as kernel, pytest.raises(InvalidManifest, match=says):
        kernel.apply(manifest)
