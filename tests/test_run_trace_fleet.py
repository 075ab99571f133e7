"""The fleet's manifest, budgets and fates are data and arithmetic, the same on every machine."""

import subprocess
import sys
import tomllib
from pathlib import Path

import splittally
from splittally.core.hashing import hash_module
from splittally.sandbox import admit
from splittally.sandbox.registry import builtin
from splittally_tools.run_trace.fleet import SMALL, assemble, load_prices, second_build
from splittally_tools.run_trace.outcomes import SHARES, Chance, Scenario, draw
from splittally_tools.run_trace.rows import survey

FIXTURES = Path(__file__).parent.parent / "fixtures"
SAMPLE = FIXTURES / "traces" / "sample.csv"
TEAM = FIXTURES / "manifests" / "team.toml"
MODULE = "sys/CapEnforceLlmBasic@1"


def test_the_manifest_in_the_fixtures_is_the_one_that_the_sample_is_run_with():
    fleet = assemble(survey(SAMPLE), 8, 1)
    assert tomllib.loads(TEAM.read_text("utf-8")) == fleet.manifest


def test_the_manifest_in_the_fixtures_applies_to_an_empty_world():
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(TEAM).allowed
        assert kernel.state.grants["agent-8"].holder == "fleet"


def test_the_sample_is_what_its_script_writes(tmp_path):
    script = tmp_path / "make_sample.py"
    script.write_bytes((FIXTURES / "traces" / "make_sample.py").read_bytes())
    subprocess.run([sys.executable, str(script)], check=True)
    assert (tmp_path / "sample.csv").read_bytes() == SAMPLE.read_bytes()


def test_budgets_grow_with_the_copies_and_never_pass_what_a_limit_can_say():
    surveyed = survey(SAMPLE)
    once, often = (assemble(surveyed, 8, repeat).manifest["grants"] for repeat in (1, 10**9))
    assert once["agent-1"]["budget"]["tokens"] < once["agent-2"]["budget"]["tokens"]
    assert once["agent-2"]["budget"]["USD"] < once["agent-1"]["budget"]["USD"]
    assert once["agent-3"]["budget"]["tokens"] < often["agent-3"]["budget"]["tokens"] < 2**64


def test_a_call_costs_one_ceiling_over_the_whole_of_it():
    price = load_prices(6)[SMALL]
    assert price.cost(1_000_000, 0) == 500_000
    assert price.cost(1, 1) == 2  # 0.5 and 1.5 millionths, not 1 and 2


def test_the_second_build_is_another_module_that_is_admitted_and_runs_the_same_code():
    first, second = builtin(MODULE), second_build(MODULE)
    admit(second)
    assert second.startswith(first)
    assert hash_module(first) != hash_module(second)


def test_every_fate_is_drawn_about_as_often_as_its_share():
    count = 20_000
    drawn = [draw(7, number, 8).scenario for number in range(count)]
    for scenario in Scenario:
        share = SHARES.get(scenario, 10_000 - sum(SHARES.values()))
        expected = count * share / 10_000
        assert abs(drawn.count(scenario) - expected) < 6 * expected**0.5, scenario


def test_a_draw_depends_on_the_seed_and_the_number_alone():
    assert draw(1, 2, 8) == draw(1, 2, 8)
    assert len({draw(seed, number, 8).key for seed in range(10) for number in range(10)}) == 100
    first, second = Chance(1), Chance(1)
    assert [first(16), first(32)] == [second(16), second(32)]
