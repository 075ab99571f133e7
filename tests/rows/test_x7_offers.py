"""Several offers, each with params and a grant of its own: the first that is allowed is taken, once."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.events import Held

from tests.rows.worlds import ACT, codes, few, recorded, reserves, tally, world

MODELS = {
    name: {"cap": "sys/llm.basic@1", "params": {"models": [name]}, "budget": {"tokens": tokens}}
    for name, tokens in (("large", 100), ("small", 1000), ("tiny", 1000))
}


def ask(model, tokens=50, key=None, grant=None):
    params = {"model": model, "max_tokens": tokens}
    return Intent("llm.generate", params, grant or model, idempotency_key=key)


def left(kernel):
    return {
        name: row["tokens"]["reserved"]
        for name, row in kernel.state.counters.items()
        if row["tokens"]["reserved"]
    }


@pytest.mark.req("X7-18")
def test_the_small_model_is_taken_by_one_submission_when_the_large_one_is_spent():
    with world(MODELS) as kernel:
        spent = kernel.submit(ask("large", 100))
        kernel.settle(Receipt(spent.intent_hash, "ok", "h", {"prompt_tokens": 0, "completion_tokens": 90}))
        decision = kernel.submit([ask("large"), ask("small"), ask("tiny")], mode="first")
        assert (decision.outcome, codes(decision)) == ("allow", ["budget_exceeded"])
        assert decision.findings[0].facts["grant"] == "large"
        assert left(kernel) == {"small": 50}
        assert [x.grant for x in kernel.state.reservations.values()] == ["small"]


@pytest.mark.req("X7-18")
def test_offers_of_one_grant_have_keys_of_their_own_and_of_several_kinds_the_first_that_fits_is_taken():
    grants = {"g": {"cap": "sys/allow@1"}, "small": MODELS["small"] | {"budget": {"tokens": 20}}}
    with world(grants) as kernel:
        offers = [ask("small", 30), ask("small", 20), Intent("blob.put", {"size": 1}, "g")]
        taken = [kernel.submit(offers, mode="first") for _ in range(2)]
        assert [x.outcome for x in taken] == ["allow", "allow"]
        assert sorted(x.kind for x in kernel.state.reservations.values()) == ["blob.put", "llm.generate"]


offer = st.tuples(st.sampled_from(["g", "h", "i"]), st.integers(0, 12), st.integers(0, 2))


@pytest.mark.req("X7-18")
@few
@given(
    limits=st.tuples(*[st.integers(0, 30)] * 3),
    lists=st.lists(st.lists(offer, min_size=1, max_size=4), max_size=6),
)
def test_each_list_of_offers_is_what_asking_one_by_one_until_an_allow_would_be(limits, lists):
    """The model: what each grant has left, the offers that were answered, and the keys they used."""
    names = dict(zip("ghi", limits, strict=True))
    has, taken, used = dict(names), {}, {}
    with world({name: {"budget": {"tokens": most}} for name, most in names.items()}) as kernel:
        for offers in lists:
            members = list(dict.fromkeys(offers))
            if len({(grant, key) for grant, _, key in members}) != len(members):
                continue  # one key of a grant for two payloads
            asked = [
                Intent(ACT, {"a": reserves({"tokens": n})}, grant, idempotency_key=bytes([key]) * 32)
                for grant, n, key in members
            ]
            before = kernel.state.seq
            decision = kernel.submit(asked, mode="first")
            known = [x for x in members if taken.get(x) == "allow"]
            clash = [x for x in members if used.get((x[0], x[2]), x) != x]
            if known:
                assert (decision.outcome, decision.duplicate) == ("allow", True)
            elif clash:
                assert codes(decision) == ["idempotency.conflict"] and kernel.state.seq == before
            else:
                fresh = [x for x in members if x not in taken]
                chosen = next((x for x in fresh if x[1] <= has[x[0]]), None)
                assert decision.outcome == ("allow" if chosen else "deny")
                for x in [chosen] if chosen else fresh:
                    taken[x], used[x[0], x[2]] = decision.outcome, x
                if chosen:
                    has[chosen[0]] -= chosen[1]
            rows = {x: row["tokens"] for x, row in kernel.state.counters.items()}
            assert {x: row.limit - row.reserved for x, row in rows.items()} == has
        assert len(recorded(kernel, Held)) == sum(said == "allow" for said in taken.values())


@pytest.mark.req("X7-18")
def test_the_same_list_again_hears_the_same_answer():
    """Also where an offer had been refused by itself, and where all are refused."""
    with world(MODELS | {"large": MODELS["large"] | {"budget": {"tokens": 1}}}) as kernel:
        alone = kernel.submit(ask("large", 50, b"a" * 32))
        offers = [ask("large", 50, b"a" * 32), ask("small", 50, b"b" * 32)]
        first, again = (kernel.submit(offers, mode="first") for _ in range(2))
        assert (alone.outcome, first.outcome, again.outcome) == ("deny", "allow", "allow")
        assert (again.intent_hash, again.duplicate) == (first.intent_hash, True)
        offers = [ask("large", 60, b"c" * 32), ask("small", 2000, b"d" * 32)]
        first, again = (kernel.submit(offers, mode="first") for _ in range(2))
        assert [x.facts["grant"] for x in first.findings] == ["large", "small"]
        assert (again.outcome, again.intent_hash) == ("deny", first.intent_hash)
        assert [x.facts | {"next": x.facts["then"]} for x in again.findings] == [
            x.facts | {"then": x.facts["next"]} for x in first.findings
        ]  # the same, with the advice that this key is used up


@pytest.mark.req("X7-18")
def test_an_offer_that_would_wait_for_approval_gives_way_to_one_that_need_not():
    asks = {"limits": [{"dim": "tokens", "per": "intent", "amount": 10, "over": "ask"}]}
    with world({"g": asks, "h": {}}) as kernel:
        offers = [Intent(ACT, {"a": reserves({"tokens": 20})}, grant) for grant in "gh"]
        assert kernel.submit(offers, mode="first").outcome == "allow"
        assert kernel.submit(offers[:1], mode="first").outcome == "require_approval"


@pytest.mark.req("X7-18")
@few
@given(st.lists(st.sampled_from(["deny", "defer", "require_approval"]), min_size=1, max_size=5))
def test_of_the_mildest_refusals_the_first_that_was_offered_is_the_answer(said):
    """The model: what refuses most mildly, and of those the first; its reasons stand before the others'."""
    over = {"deny": "deny", "defer": "defer", "require_approval": "ask"}
    limits = {
        word: {"limits": [{"dim": "tokens", "per": "day", "amount": 10, "over": over[word]}]} for word in over
    }
    grants = {f"g{at}": limits[word] for at, word in enumerate(said)}
    with world(grants) as kernel:
        for name in grants:
            kernel.submit(Intent(ACT, {"a": reserves({"tokens": 5})}, name))
        offers = [
            Intent(ACT, {"a": reserves({"tokens": 6})}, name, idempotency_key=bytes([at]) * 32)
            for at, name in enumerate(grants)
        ]
        decision = kernel.submit(offers, mode="first")
        mildest = next(word for word in ("require_approval", "defer", "deny") if word in said)
        at = said.index(mildest)
        order = [at, *(x for x in range(len(said)) if x != at)]
        assert decision.outcome == mildest
        assert kernel.outcome(decision.intent_hash).grant == f"g{at}"
        assert [x.facts["grant"] for x in decision.findings] == [f"g{x}" for x in order]


@pytest.mark.req("X7-18")
def test_a_list_in_which_only_some_have_keys_is_refused_as_a_whole():
    with world(MODELS) as kernel:
        frames = kernel.state.seq
        answer = kernel.submit([ask("large", key=bytes(32)), ask("small")], mode="first")
        assert (codes(answer), answer.seq) == (["input.invalid"], None)
        assert "or none has" in answer.findings[0].facts["message"]
        twice = [ask("small", n, bytes(32)) for n in (1, 2)]
        assert codes(kernel.submit(twice, mode="first")) == ["idempotency.conflict"]
        assert kernel.state.seq == frames


@pytest.mark.req("X7-18")
def test_a_terminal_offers_and_its_file_can_be_run_again(tmp_path):
    with world(MODELS, tmp_path / "w"):
        pass
    offers = [{"kind": "llm.generate", "params": {"model": name, "max_tokens": n}, "grant": name}
              for name, n in (("large", 500), ("large", 400), ("small", 50))]  # fmt: skip
    file = tmp_path / "offers.ndjson"
    file.write_text(json.dumps({"first": offers}) + "\n")
    for is_known in (False, True):
        code, line = tally(tmp_path / "w", "submit", str(file), "--keys", "from-line")
        assert (code, line["outcome"], line["duplicate"], line["reserve"]) == (
            0,
            "allow",
            is_known,
            {"tokens": 50},
        )
    assert tally(tmp_path / "w", "verify", "--rejudge")[0] == 0
