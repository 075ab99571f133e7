"""What enters is what happened, in a world: usages, ceilings, prompts, nulls and prices of model calls."""

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.edge import release
from splittally.edge.release import BEFORE, KINDS, LLM
from splittally.runtime import opening

from tests.llm_providers import USAGES, Used
from tests.rows.worlds import codes, recorded, tally

BASIC = "sys/CapEnforceLlmBasic@1"


def team(budget, params=None, cap="sys/llm.basic@1"):
    """A grant, and a card below it that asks through the other name of the cap."""
    card = {"cap": "sys/llm@1", "parent": "team", "params": params or {}, "budget": budget}
    return {
        "resources": {"USD": 6},
        "grants": {
            "team": {"cap": cap, "params": params or {}, "budget": budget, "delegations": 1},
            "card": card,
        },
    }


def spent(kernel, grant, dim="tokens"):
    return kernel.state.counters[grant][dim]["spent"]


def violations(settled):
    """The codes that the legs of a settlement found, each once."""
    return sorted({violation.code for violation in settled.violations})


def call(kernel, payload, grant="card", status="ok", **params):
    decision = kernel.submit(Intent("llm.generate", {"max_tokens": 50, **params}, grant))
    settled = kernel.settle(Receipt(decision.intent_hash, status, "a", payload)) if decision.allowed else None
    return decision, settled


@pytest.mark.req("X7-01")
@pytest.mark.parametrize("shape", USAGES)
def test_the_usage_of_each_provider_is_charged_to_the_whole_chain(shape, tmp_path):
    used = Used(plain=20, cached=7, written=3, said=11, thought=9)
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        assert kernel.apply(team({"tokens": 1_000})).allowed
        _, settled = call(kernel, USAGES[shape][0](used), prompt_tokens=30)
        assert (settled.usage, settled.violations) == ({"tokens": 50}, ())
        assert (spent(kernel, "team"), spent(kernel, "card")) == (50, 50)
    assert tally(tmp_path / "w", "verify", "--rejudge")[1]["sound"]


@pytest.mark.req("X7-02")
@pytest.mark.parametrize(
    "payload", [{}, {"usage": None}, {"prompt_tokens": 10.0, "completion_tokens": 5}, {"choices": []}]
)
def test_twenty_calls_without_usage_do_not_pass_a_limit_of_two_reserves(payload):
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(team({"tokens": 100})).allowed
        answers = [call(kernel, payload) for _ in range(20)]
        assert sum(decision.allowed for decision, _ in answers) == 2
        assert [violations(settled) for _, settled in answers[:2]] == [["usage_unknown"]] * 2
        assert (spent(kernel, "team"), spent(kernel, "card")) == (100, 100)
        assert call(kernel, {}, status="error")[0].outcome == "deny"


@pytest.mark.req("X7-03")
def test_no_name_of_the_ceiling_passes_a_grant_and_answers_multiply():
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(team({"tokens": 10**6}, {"max_tokens_max": 1_000})).allowed
        for params in ({"max_completion_tokens": 1_001}, {"generationConfig": {"maxOutputTokens": 10**6}}):
            refused = kernel.submit(Intent("llm.generate", {"max_tokens": 1, **params}, "card"))
            assert set(codes(refused)) == {"max_tokens_exceeded"}
        for name in ("n", "best_of", "candidateCount"):
            assert call(kernel, {}, **{name: 5})[0].reserve == {"tokens": 250}


@pytest.mark.req("X7-05")
def test_null_stands_for_every_optional_param_of_the_release():
    for kind, (_, schema) in KINDS.items():
        for name, each in schema["properties"].items():
            is_optional = name not in schema.get("required", ()) and "x-secret" not in each
            assert not is_optional or "null" in each["type"], (kind, name)
    with splittally.open(None, clock="given") as kernel:
        grants = {"llm": {"cap": "sys/llm@1"}, "web": {"cap": "sys/http.out@1"}}
        assert kernel.apply({"grants": grants}).allowed
        nulls = dict.fromkeys(("model", "provider", "tools", "prompt_tokens", "messages"))
        assert call(kernel, {}, grant="llm", **nulls)[0].reserve == {"tokens": 50}
        params = {"url": "https://example.com/", "method": None, "headers": None, "body_bytes": None}
        assert kernel.submit(Intent("http.request", params, "web")).allowed


@pytest.mark.req("X7-08")
def test_a_call_is_priced_by_its_parts_and_the_providers_figure_stands_beside(tmp_path):
    prices = {
        "resource": "USD",
        "scale": 6,
        "prompt": 2_500_000,
        "cached": 1_250_000,
        "completion": 10_000_000,
    }
    usage = {
        "prompt_tokens": 2_006,
        "completion_tokens": 300,
        "prompt_tokens_details": {"cached_tokens": 1_920},
    }
    payload = {"model": "m-2026-10-01", "usage": usage | {"cost": 0.005614}}
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        assert kernel.apply(team({"USD": 10**6}, {"prices": prices})).allowed
        decision, settled = call(kernel, payload, model="m", prompt_tokens=2_006, max_tokens=300)
        assert decision.reserve["USD"] == 8_015
        assert settled.usage == {"USD": 5_615, "USD.provider": 5_614, "tokens": 2_306}
        assert (spent(kernel, "team", "USD"), settled.violations) == (5_615, ())
        (legs,) = (event.legs for event in recorded(kernel, splittally.core.events.Settled))
        assert all(leg.usage["USD.provider"] == 5_614 for leg in legs[:2])
        _, other = call(kernel, payload | {"model": "dearer"}, model="m", prompt_tokens=2_006, max_tokens=300)
        assert (violations(other), other.usage["USD"]) == (["model_differs"], 5_615)
    assert tally(tmp_path / "w", "verify", "--rejudge")[1]["sound"]


def older(monkeypatch):
    """As in a release that had no other module for the cap."""
    caps = {name: row for name, row in release.CAPS.items() if row[1] != LLM}
    monkeypatch.setattr(release, "CAPS", caps | {"sys/llm.basic@1": ("llm.basic", BASIC)})
    names = opening.builtin_names()
    monkeypatch.setattr(opening, "builtin_names", lambda: tuple(name for name in names if name != LLM))


@pytest.mark.req("X7-02")
def test_a_cap_of_an_older_world_keeps_its_module_through_every_upgrade(tmp_path, monkeypatch):
    folder = tmp_path / "w"
    older(monkeypatch)
    with splittally.open(folder, clock="given") as kernel:
        assert kernel.apply(
            {"grants": {"old": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}}}}
        ).allowed
    monkeypatch.undo()
    assert BEFORE == {"sys/llm.basic@1": BASIC}
    shown = tally(folder, "upgrade")[1]
    assert "sys/llm.basic@1" not in {change["key"] for change in shown["changes"]}
    with splittally.open(folder) as kernel:
        assert kernel.upgrade() is not None
        assert kernel.upgrade() is None
        grants = {
            name: {"cap": cap, "budget": {"tokens": 1_000}}
            for name, cap in (("old", "sys/llm.basic@1"), ("new", "sys/llm@1"))
        }
        assert kernel.apply({"grants": grants}).allowed
        assert [violations(call(kernel, {}, grant)[1]) for grant in ("old", "new")] == [
            ["usage_missing"],
            ["usage_unknown"],
        ]
        assert (spent(kernel, "old"), spent(kernel, "new")) == (0, 50)
    assert tally(folder, "verify", "--rejudge")[1]["sound"]
