"""Model calls from a manifest's prices to what is charged: the table, the row, the module, the record."""

from decimal import Decimal

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.errors import InvalidManifest
from splittally.edge import release

from tests.rows.test_x7_model_calls import older
from tests.rows.worlds import codes, tally

ROW = {"prompt": "2.50 USD", "completion": "10.00 USD"}
COUNTS = {"prompt_tokens": 2_006, "completion_tokens": 300}
CACHED = {**COUNTS, "prompt_tokens_details": {"cached_tokens": 1_920}}
LONG = [{"above": 200_000, "prompt": "5.00 USD", "completion": "15.00 USD"}]


def team(row=None, cap="sys/llm@1", **more):
    entry = {"since": "2026-10-01", "resource": "USD", "models": {"m": {**ROW, **(row or {})}}}
    return {
        "resources": {"USD": 6},
        "prices": {"p": entry},
        "grants": {"g": {"cap": cap, "params": {"prices": "newest"}, "budget": {"USD": "100.00 USD"}}},
        **more,
    }


def called(kernel, payload, grant="g", **params):
    """What a call was charged in USD."""
    asked = {"model": "m", "max_tokens": 300, "prompt_tokens": 2_006, **params}
    decision = kernel.submit(Intent("llm.generate", asked, grant))
    assert decision.allowed, decision
    return kernel.settle(Receipt(decision.intent_hash, "ok", "a", payload))


@pytest.mark.req("X7-08")
@pytest.mark.parametrize("cap", ["sys/llm@1", "sys/llm.basic@1"])
@pytest.mark.parametrize(
    ("row", "payload", "params", "charged"),
    [
        ({}, {"usage": CACHED}, {}, 8_015),
        ({"cached": "1.25 USD"}, {"usage": CACHED}, {}, 86 * 2.5 + 1_920 * 1.25 + 300 * 10),
        ({"tiers": LONG}, {"usage": COUNTS}, {}, 8_015),
        (
            {"tiers": LONG},
            {"usage": {"prompt_tokens": 200_001, "completion_tokens": 300}},
            {"prompt_tokens": 200_001},
            200_001 * 5 + 300 * 15,
        ),
        ({"call": "0.01 USD"}, {"usage": COUNTS}, {}, 18_015),
    ],
)
def test_a_call_is_charged_as_the_snapshot_states(cap, row, payload, params, charged, tmp_path):
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        assert kernel.apply(team(row, cap)).findings == ()
        assert called(kernel, payload, **params).usage["USD"] == charged
    assert tally(tmp_path / "w", "verify", "--rejudge")[1]["sound"]


@pytest.mark.req("X7-08")
def test_the_providers_own_figure_stands_beside_ours_and_may_be_limited():
    document = team({"cached": "1.25 USD"})
    document["grants"]["g"]["budget"]["USD.provider"] = 10_000
    with splittally.open(None, clock="given") as kernel:
        assert codes(kernel.apply(document)) == []  # it is counted
        settled = called(kernel, {"usage": {**CACHED, "cost": 0.0056}})
        assert (settled.usage["USD"], settled.usage["USD.provider"]) == (5_615, 5_600)


@pytest.mark.req("X7-08")
def test_a_price_in_the_future_holds_from_its_day_and_an_open_call_keeps_its_own():
    document = team()
    document["prices"]["q"] = {
        "since": "2026-11-01",
        "resource": "USD",
        "prompt": "5 USD",
        "completion": "0 USD",
    }
    day = 86_400 * 10**9
    first = 20_727 * day  # 2026-10-01
    million = {"prompt_tokens": 1_000_000, "max_tokens": 0, "model": "m"}
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(document, now_ns=first).allowed
        before = kernel.submit(Intent("llm.generate", million, "g"), now_ns=first + 31 * day - 1)
        after = kernel.submit(Intent("llm.generate", million, "g"), now_ns=first + 31 * day)
        assert (before.reserve["USD"], after.reserve["USD"]) == (2_500_000, 5_000_000)
        late = kernel.settle(
            Receipt(before.intent_hash, "ok", "a", {"prompt_tokens": 10**6, "completion_tokens": 0})
        )
        assert late.usage["USD"] == 2_500_000


@pytest.mark.req("X7-07")
def test_a_call_under_a_table_of_1500_models_is_priced_by_its_own_row(tmp_path):
    document = team()
    models = {f"m{at}": {"prompt": f"{at + 1} USD", "completion": "1 USD"} for at in range(1_500)}
    document["prices"]["p"]["models"] = models
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        assert kernel.apply(document).allowed
        for at in (0, 700, 1_499):
            counts = {"prompt_tokens": 1_000, "completion_tokens": 0}
            assert called(kernel, counts, model=f"m{at}").usage["USD"] == 1_000 * (at + 1)
        denied = kernel.submit(
            Intent("llm.generate", {"model": "m1500", "max_tokens": 1, "prompt_tokens": 1}, "g")
        )
        assert codes(denied) == ["price_missing"]
    assert tally(tmp_path / "w", "verify", "--rejudge")[1]["sound"]


@pytest.mark.req("X7-09")
def test_what_the_warning_prevents_is_that_a_thousand_small_calls_cost_a_cent_each():
    """The scale that the warning says brings the same calls to what they cost, within a tenth."""
    small = {"prompt": "0.15 USD", "completion": "0.60 USD"}
    counts = {"prompt_tokens": 100, "completion_tokens": 100}
    true = Decimal("0.000075") * 20
    charged = {}
    for scale in (2, 5):
        document = {**team(small), "resources": {"USD": scale}}
        with splittally.open(None, clock="given") as kernel:
            said = kernel.apply(document).findings
            assert [x.facts["scale_to_use"] for x in said] == ([5] if scale == 2 else [])
            for _ in range(20):
                called(kernel, counts, prompt_tokens=100, max_tokens=100)
            spent = kernel.state.counters["g"]["USD"]["spent"]
            charged[scale] = Decimal(spent).scaleb(-scale)
    assert charged[2] == Decimal("0.20")
    assert true <= charged[5] <= true * Decimal("1.1")


@pytest.mark.req("X7-07", "X7-08")
def test_a_cap_of_an_older_world_gets_whole_tables_of_what_its_module_knows(tmp_path, monkeypatch):
    folder = tmp_path / "w"
    older(monkeypatch)
    with splittally.open(folder, clock="given") as kernel:
        assert kernel.apply({"resources": {"USD": 6}}, now_ns=20_735 * 86_400 * 10**9).allowed
    monkeypatch.undo()
    with splittally.open(folder) as kernel:
        kernel.upgrade()
        basic = team(cap="sys/llm.basic@1")
        basic["prices"]["later"] = {
            **basic["prices"]["p"],
            "since": "2026-12-01",
            "models": {"m": ROW | {"prompt": "9 USD"}},
        }
        assert kernel.apply(basic).allowed
        assert called(kernel, COUNTS).usage["USD"] == 8_015  # not December's
        for row, says in (({"cached": "1 USD"}, "knows no `cached`"), ({}, "the first")):
            document = team(row, "sys/llm.basic@1")
            document["prices"] = {"r": document["prices"].pop("p")}
            if not row:
                document["prices"]["r"]["models"] = {f"model-number-{at}": ROW for at in range(1_500)}
            with pytest.raises(InvalidManifest, match=says):
                kernel.apply(document)
        rows = team({"cached": "1.25 USD"}, "sys/llm@1")
        rows["prices"] = {"s": rows["prices"].pop("p")}
        assert kernel.apply(rows).allowed
        assert called(kernel, {"usage": CACHED}).usage["USD"] == 5_615
    assert tally(folder, "verify", "--rejudge")[1]["sound"]


@pytest.mark.req("X7-07")
def test_rows_need_a_world_that_knows_by_which_param_they_are_found(tmp_path, monkeypatch):
    """Else the upgrade that brings it would settle open calls by other rows than they were asked with."""
    folder = tmp_path / "w"
    monkeypatch.setattr(release, "PRICE_KEYS", {})
    with splittally.open(folder, clock="given"):
        pass
    monkeypatch.undo()
    own = {"chat": {"cap_type": "*", "price_key": "model"}}
    document = team(cap="sys/allow@1", effects=own)
    with splittally.open(folder) as kernel:
        (finding,) = kernel.apply(document).findings
        assert (finding.code, "tally upgrade" in finding.facts["message"]) == ("params.invalid", True)
        with pytest.raises(InvalidManifest, match="has a `price_key`"):
            kernel.apply(team())
        kernel.upgrade()
        assert kernel.apply(team()).allowed
