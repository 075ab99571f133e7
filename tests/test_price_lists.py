"""Public price lists become snapshots exactly, or are refused by name with nothing written."""

import json
import random
import tomllib
from decimal import Decimal
from hashlib import sha256

import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally import Intent
from splittally.core.canonical import decode

from tests.cli_tools import run
from tests.rows.worlds import canned, reserves, uses

PRICES = st.decimals(0, 10, places=9, allow_nan=False, allow_infinity=False)


def lite_list(count: int) -> dict:
    """A list in LiteLLM's columns; every fifth model has no token prices."""
    models: dict = {"sample_spec": {"input_cost_per_token": 0.0, "litellm_provider": "one of many"}}
    for at in range(count):
        price = Decimal(at % 90 + 1)
        models[f"house/model-{at}"] = {
            "litellm_provider": "house",
            "mode": "chat",
            "max_tokens": 4096,
            "input_cost_per_token": price.scaleb(-8),
            "output_cost_per_token": (4 * price).scaleb(-8),
            "cache_read_input_token_cost": price.scaleb(-9),
        }
        if at % 5 == 4:
            models[f"house/model-{at}"] = {
                "litellm_provider": "house",
                "mode": "image_generation",
                "output_cost_per_image": 0.04,
            }
    return models


def genai_list(count: int) -> list:
    """A list in the columns of genai-prices; every fifth model has no prices."""
    models = []
    for at in range(count):
        price = Decimal(at % 90 + 1)
        prices = {"input_mtok": price.scaleb(-2), "output_mtok": price.scaleb(-1)}
        models.append({"id": f"model-{at}", "prices": {} if at % 5 == 4 else prices})
    half = count // 2
    return [{"id": "one", "models": models[:half]}, {"id": "two", "models": models[half:]}]


def written(folder, document, name="list.json"):
    """The list as a file; decimals are written as they are."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return f"\0{value:f}\0" if isinstance(value, Decimal) else value

    text = json.dumps(plain(document)).replace('"\\u0000', "").replace('\\u0000"', "")
    (folder / name).write_text(text)
    return folder / name


def imported(folder, document, *options):
    """The snapshot that a list becomes, and what was said beside it."""
    ran = run("prices", "import", written(folder, document), "--name", "n", "--since", "2026-11-01", *options)
    assert ran.code == 0, ran.err
    return tomllib.loads(ran.out)["prices"]["n"], ran.err


def row_of(folder, document, model="m"):
    return imported(folder, document)[0]["models"][model]


def lite(**columns):
    return {"m": {"litellm_provider": "x", **columns}}


def genai(prices, **more):
    return [{"id": "house", "models": [{"id": "m", "prices": prices, **more}]}]


INPUT = "input_cost_per_token"
BASE = {"input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06}


@pytest.mark.req("X7-08")
@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ({}, {"prompt": "1 USD", "completion": "4 USD"}),
        ({"cache_read_input_token_cost": 1e-07}, {"cached": "0.1 USD"}),
        ({"cache_creation_input_token_cost": 1.25e-06}, {"cache_write": "1.25 USD"}),
        ({"output_cost_per_reasoning_token": 5e-06}, {"reasoning": "5 USD"}),
        ({"input_cost_per_audio_token": 1e-05}, {"audio_prompt": "10 USD"}),
        ({"output_cost_per_audio_token": 2e-05}, {"audio_completion": "20 USD"}),
        ({"input_cost_per_image_token": 3e-06}, {"image_prompt": "3 USD"}),
        ({"input_cost_per_request": 0.005}, {"call": "0.005 USD"}),
        ({"output_cost_per_image": 0.04}, {"image": "0.04 USD"}),
        (
            {"input_cost_per_token_above_200k_tokens": 2e-06,
             "output_cost_per_token_above_128k_tokens": 8e-06},
            {"tiers": [{"above": 128_000, "completion": "8 USD"}, {"above": 200_000, "prompt": "2 USD"}]},
        ),
        (
            {"input_cost_per_token_batches": 5e-07, "output_cost_per_token_batches": 2e-06},
            {"batch": "50%"},
        ),
        ({"input_cost_per_token_batches": 3.3e-07}, {"batch": "33%"}),
        ({"input_cost_per_token_batches": "0.0000003", "output_cost_per_token": 3e-06,
          "output_cost_per_token_batches": "0.0000009"}, {"completion": "3 USD", "batch": "30%"}),
        ({"input_cost_per_token": 3e-06, "input_cost_per_token_batches": 1e-06},
         {"prompt": "3 USD", "batch": "1/3"}),
        ({"input_cost_per_token_batches": 1e-06}, {"batch": "100%"}),
        ({"input_cost_per_token_batches": 2e-06}, {}),
        (
            {"tiered_pricing": [
                {"range": [0, 1000], "input_cost_per_token": 7e-06, "cache_read_input_token_cost": 1e-07},
                {"range": [1000, 2000], "input_cost_per_token": 2e-06},
                {"range": [2000, 9000], "input_cost_per_token": 3e-06, "output_cost_per_token": 9e-06}],
             "input_cost_per_token_above_1k_tokens": 5e-06},
            {"cached": "0.1 USD", "tiers": [{"above": 1000, "prompt": "5 USD"},
                                            {"above": 2000, "prompt": "3 USD", "completion": "9 USD"}]},
        ),
        ({"tiered_pricing": [{"range": [1, 1000], "input_cost_per_token": 2e-06}]},
         {"tiers": [{"above": 1, "prompt": "2 USD"}]}),
        ({"cache_read_input_token_cost": None}, {}),
        ({"input_cost_per_token": "0.000002"}, {"prompt": "2 USD"}),
    ],
)  # fmt: skip
def test_every_column_of_litellm_that_a_snapshot_can_say_is_said(tmp_path, columns, row):
    expected = {"prompt": "1 USD", "completion": "4 USD"} | row
    assert row_of(tmp_path, lite(**BASE | columns)) == expected


@pytest.mark.req("X7-08")
@pytest.mark.parametrize(
    ("prices", "row"),
    [
        ({"input_mtok": 3, "output_mtok": 15}, {"prompt": "3 USD", "completion": "15 USD"}),
        (
            {"input_mtok": 3, "output_mtok": 15, "cache_read_mtok": 0.3, "cache_write_mtok": 3.75,
             "input_audio_mtok": 40, "output_audio_mtok": 80, "requests_kcount": 12},
            {"prompt": "3 USD", "completion": "15 USD", "cached": "0.3 USD", "cache_write": "3.75 USD",
             "audio_prompt": "40 USD", "audio_completion": "80 USD", "call": "0.012 USD"},
        ),
        (
            {"input_mtok": {"base": 3, "tiers": [{"start": 200000, "price": 6}]}, "output_mtok": 15},
            {"prompt": "3 USD", "completion": "15 USD", "tiers": [{"above": 200_000, "prompt": "6 USD"}]},
        ),
        (
            [{"prices": {"input_mtok": 3, "output_mtok": 15}},
             {"constraint": {"start_date": "2026-10-31"}, "prices": {"input_mtok": 2, "output_mtok": 10}},
             {"constraint": {"start_date": "2026-11-02"}, "prices": {"input_mtok": 1, "output_mtok": 5}},
             {"constraint": {"start_date": "soon"}, "prices": {"input_mtok": 1, "output_mtok": 5}},
             {"constraint": {"start_time": "16:30Z", "end_time": "00:30Z"}, "prices": {"input_mtok": 1}}],
            {"prompt": "2 USD", "completion": "10 USD"},
        ),
        (
            [{"prices": {"input_mtok": 3, "output_mtok": 15}},
             {"constraint": {"start_date": "2026-11-01"}, "prices": {"input_mtok": 2, "output_mtok": 10}}],
            {"prompt": "2 USD", "completion": "10 USD"},
        ),
    ],
)  # fmt: skip
def test_the_prices_of_genai_that_hold_on_the_day_are_said_with_their_tiers(tmp_path, prices, row):
    assert row_of(tmp_path, genai(prices)) == row
    assert row_of(tmp_path, {"providers": genai(prices)}) == row


@pytest.mark.req("X7-08")
def test_a_name_that_two_providers_price_otherwise_stands_for_neither(tmp_path):
    dear, cheap = {"input_mtok": 2, "output_mtok": 2}, {"input_mtok": 1, "output_mtok": 1}
    document = [
        {"id": "a", "models": [{"id": "m", "prices": dear}, {"id": "n", "prices": cheap}]},
        {"id": "b", "models": [{"id": "m", "prices": cheap}, {"id": "n", "prices": cheap}]},
    ]
    document[0]["models"][1]["match"] = {"or": [{"starts_with": "n-"}, {"equals": "n-2026"}]}
    models = imported(tmp_path, document)[0]["models"]
    assert {name: row["prompt"] for name, row in models.items()} == {
        "a/m": "2 USD", "b/m": "1 USD", "n": "1 USD", "n-2026": "1 USD",
    }  # fmt: skip


@given(prompt=PRICES, completion=PRICES, cached=PRICES)
def test_no_digit_of_a_price_is_lost_or_added(tmp_path_factory, prompt, completion, cached):
    folder = tmp_path_factory.mktemp("list")
    columns = {"input_cost_per_token": prompt.scaleb(-6), "output_cost_per_token": completion.scaleb(-6),
               "cache_read_input_token_cost": cached.scaleb(-6)}  # fmt: skip
    row = row_of(folder, lite(**columns))
    assert [Decimal(row[key].removesuffix(" USD")) for key in ("prompt", "completion", "cached")] == [
        prompt, completion, cached,
    ]  # fmt: skip
    row = row_of(folder, genai({"input_mtok": prompt, "output_mtok": completion, "cache_read_mtok": cached}))
    assert Decimal(row["cached"].removesuffix(" USD")) == cached


@pytest.mark.req("X7-07", "X7-08")
@pytest.mark.parametrize("make", [lite_list, genai_list])
def test_a_list_of_1400_models_is_imported_applied_and_prices_a_call(tmp_path, make):
    document = make(1_400)
    out = tmp_path / "prices.toml"
    file = written(tmp_path, document)
    ran = run("prices", "import", file, "--name", "all", "--since", "2026-11-01", "--out", out, "--json",
              "--source", "https://prices.invalid/list.json")  # fmt: skip
    told = ran.json
    assert (told["models"], len(told["skipped"]), told["source"]) == (
        1_120, 280, "https://prices.invalid/list.json",
    )  # fmt: skip
    assert told["source_hash"] == f"sha256:{sha256(file.read_bytes()).hexdigest()}"
    manifest = tmp_path / "manifest.json"
    manifest.write_text(
        json.dumps(
            {
                "resources": {"USD": 6},
                "prices": {"all": "prices.toml"},
                "caps": {"test/llm@1": {"enforcer": "m.wasm", "cap_type": "llm.basic"}},
                "grants": {"g": {"cap": "test/llm@1", "params": {"prices": "newest"}}},
            }
        )
    )
    (tmp_path / "m.wasm").write_bytes(canned(reserves({"USD": 5}), uses({"USD": 5})))
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        assert kernel.apply(manifest).allowed
        snapshot = decode(kernel._world.state.caps.cap_params(kernel._world.state.caps.grants["g"]))[
            "prices"
        ]["snapshots"][0]
        assert (snapshot["source"], snapshot["source_hash"]) == (told["source"], told["source_hash"])
        model = random.choice(sorted(tomllib.loads(out.read_text())["prices"]["all"]["models"]))
        decision = kernel.submit(Intent("llm.generate", {"model": model}, "g"))
        assert decision.allowed
    explained = run("-w", tmp_path / "w", "--json", "explain", decision.intent_hash.hex()).json
    assert explained["chain"][0]["prices"]["model"] == model


def test_what_is_passed_over_is_said_with_the_reason_and_the_columns_that_nobody_takes(tmp_path):
    document = lite(**BASE, input_cost_per_token_priority=2e-06, input_cost_per_token_batches=5e-07,
                    output_cost_per_token_batches=1e-06)  # fmt: skip
    document |= {
        "emb": {"mode": "embedding", "input_cost_per_token": 1e-08},
        "half": {"mode": "chat", "input_cost_per_token": 1e-08},
        "art": {"mode": "image_generation", "output_cost_per_image": 0.04},
    }
    entry, said = imported(tmp_path, document)
    assert entry["models"]["emb"] == {"prompt": "0.01 USD", "completion": "0 USD"}
    assert set(entry["models"]) == {"m", "emb"}
    assert "1 passed over, no token prices: art" in said
    assert "1 passed over, no completion price: half" in said
    assert "*_batches (1), input_cost_per_token_priority (1)" in said
    assert "needs at least 2 decimals" in said


def test_a_price_finer_than_the_scale_is_rounded_up_and_counted(tmp_path):
    entry, said = imported(tmp_path, lite(**BASE | {"input_cost_per_token": 1.0000011e-06}), "--scale", "6")
    assert entry["models"]["m"]["prompt"] == "1.000002 USD"
    assert "1 models have a price that was rounded up" in said


@pytest.mark.req("X7-08")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "neither"),
        ('{"a": 1}', "neither"),
        (json.dumps(lite(**BASE | {INPUT: "free"})), f"`m.{INPUT}` is not a price"),
        (json.dumps(lite(**BASE | {INPUT: -1})), f"`m.{INPUT}` is not a price"),
        (json.dumps(lite(**BASE | {INPUT: True})), f"`m.{INPUT}` is not a price"),
        ('{"m": {"litellm_provider": "x", "input_cost_per_token": NaN}}', "`NaN` is not a price"),
        ('{"m": {"litellm_provider": "x"}, "m": {}}', "`m` stands twice"),
        (json.dumps(lite(mode="chat")), "no model with a prompt and a completion price"),
        (json.dumps(genai({"input_mtok": {"tiers": []}})), "`house/m.input_mtok.base` is not a price"),
        (json.dumps(lite(**BASE) | {"n": 5}), "`n` is not an object"),
        (json.dumps(lite(**BASE | {INPUT: 1e-30})), "say `--scale 18`"),
        (json.dumps(lite(**BASE | {INPUT: 1e-25})), "say `--scale 18`"),
    ],
)  # fmt: skip
def test_a_list_that_is_none_is_refused_by_name_and_nothing_is_written(tmp_path, text, says):
    (tmp_path / "list.json").write_text(text)
    out = tmp_path / "prices.toml"
    out.write_text("as it was")
    ran = run("prices", "import", tmp_path / "list.json", "--out", out)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert out.read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.json", "prices.toml"]


def test_options_that_are_none_are_refused_by_name(tmp_path):
    file = written(tmp_path, lite(**BASE))
    for options, says in (
        (("--since", "soon"), "`--since` is a day"),
        (("--name", "newest"), "cannot be the name"),
        (("--scale", "19"), "not in the range"),
    ):
        ran = run("prices", "import", file, *options)
        assert (ran.code, ran.out) == (2, ""), options
        assert says in ran.err
    assert "cannot be read" in run("prices", "import", tmp_path / "none.json").err


def test_a_name_of_any_characters_is_read_back_from_the_snapshot(tmp_path):
    name = 'a "b" \\ \x7f é 中'
    assert name in imported(tmp_path, {name: {**BASE, "litellm_provider": "x"}})[0]["models"]


def test_a_snapshot_for_json_is_a_manifest_too(tmp_path):
    file = written(tmp_path, lite(**BASE))
    out = tmp_path / "p.json"
    assert run("prices", "import", file, "--name", "n", "--out", out).code == 0
    alone = run("prices", "import", file, "--name", "n", "--json").json["manifest"]
    assert json.loads(out.read_text()) == alone
