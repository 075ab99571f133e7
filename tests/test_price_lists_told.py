"""What an import says beside the snapshot, and what becomes of prices that one cannot say as they are."""

import codecs
import datetime
import os
import tomllib

import pytest
from splittally.core.limits import PRICE_TIERS_MAX

from tests.cli_tools import run
from tests.test_price_lists import BASE, INPUT, imported, lite, written


@pytest.mark.req("X7-08")
def test_who_embeds_writes_no_tokens_and_only_that_is_free(tmp_path):
    models = [{"id": name, "prices": {"input_mtok": 2}} for name in ("text-Embedding-3", "chat")]
    entry, said = imported(tmp_path, [{"id": "house", "models": models}])
    assert entry["models"] == {"text-Embedding-3": {"prompt": "2 USD", "completion": "0 USD"}}
    assert "1 passed over, no completion price: house/chat" in said


def test_a_column_that_costs_nothing_is_not_told_and_a_long_list_of_names_is_cut(tmp_path):
    for count in (20, 21, 45):
        passed = {f"art-{at:02}": {"mode": "image_generation"} for at in range(count)}
        _, said = imported(tmp_path, lite(**BASE, input_cost_per_token_priority=0) | passed)
        assert "input_cost_per_token_priority" not in said
        told = said.partition(f"{count} passed over, no token prices: ")[2].splitlines()[0]
        names, _, more = told.partition(" and ")
        assert names.split(", ") == sorted(passed)[:20]
        assert more == (f"{count - 20} more" if count > 20 else "")


@pytest.mark.req("X7-08")
@pytest.mark.parametrize(
    ("columns", "decimals"),
    [
        ({}, 0),
        ({INPUT: "0.00000200"}, 0),
        ({INPUT: "0.00000120"}, 1),
        ({f"{INPUT}_above_200k_tokens": "0.00000125"}, 2),
        ({INPUT: "1E-24"}, 18),
    ],
)
def test_a_resource_needs_the_decimals_of_the_finest_price_and_none_for_zeros(tmp_path, columns, decimals):
    entry, said = imported(tmp_path, lite(**BASE | columns))
    assert f"needs at least {decimals} decimals" in said
    assert entry["since"] == datetime.date(2026, 11, 1)


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_every_price_of_a_row_is_rounded_up_to_the_scale_that_is_said(tmp_path, scale):
    columns = {INPUT: "0.00000123", f"{INPUT}_above_200k_tokens": "0.00000455", "input_cost_per_request": 2}
    row = imported(tmp_path, lite(**BASE | columns), "--scale", scale)[0]["models"]["m"]
    prompt, above = (("2", "5"), ("1.3", "4.6"), ("1.23", "4.55"))[scale]
    assert row == {
        "prompt": f"{prompt} USD", "completion": "4 USD", "call": "2 USD",
        "tiers": [{"above": 200_000, "prompt": f"{above} USD"}],
    }  # fmt: skip


def test_a_model_of_more_tiers_than_a_manifest_holds_is_passed_over(tmp_path):
    def tiers(count):
        return {f"{INPUT}_above_{at + 1}k_tokens": "0.000002" for at in range(count)}

    document = lite(**BASE | tiers(PRICE_TIERS_MAX)) | {"n": lite(**BASE | tiers(PRICE_TIERS_MAX + 1))["m"]}
    entry, said = imported(tmp_path, document)
    assert [(name, len(row["tiers"])) for name, row in entry["models"].items()] == [("m", PRICE_TIERS_MAX)]
    assert f"1 passed over, it has more than {PRICE_TIERS_MAX} tiers: n" in said


def test_a_file_is_replaced_whole_and_a_list_may_begin_with_a_mark(tmp_path):
    """Whoever still has the old snapshot under another name, or open, has it as it was."""
    file = written(tmp_path, lite(**BASE))
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    out, other = tmp_path / "p.toml", tmp_path / "other"
    out.write_text("as it was")
    os.link(out, other)
    assert run("prices", "import", file, "--name", "n", "--out", out).code == 0
    assert (other.read_text(), "n" in tomllib.loads(out.read_text())["prices"]) == ("as it was", True)
