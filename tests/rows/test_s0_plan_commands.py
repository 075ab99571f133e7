"""Plans that go from world to world by their hash, and work orders that are listed, searched and posted."""

import json

import pytest

from tests.cli_tools import run
from tests.rows.test_s0_charters import ARTICLES, CHILD, EXAMPLE, WORK

PARENT = "budgets/magazine"
PLAN = {**EXAMPLE, "work": WORK, "resources": {"USD": 0}}


@pytest.fixture
def world(tmp_path):
    """A magazine with 20,000 USD and a content team below it."""
    path = tmp_path / "world"
    child = {"schema": {**EXAMPLE, "work": WORK}, "parent": PARENT, "pays_to": ["people/walt"]}
    budgets = {PARENT: {"schema": {"resources": {"USD": 0}}}, CHILD: child}
    manifest = tmp_path / "m.json"
    document = {"resources": {"USD": 0}, "accounts": {"people/walt": {}}, "budgets": budgets}
    manifest.write_text(json.dumps(document))
    issue = ("native", "ledger.issue", "--resource", "USD", "--amount", "20000 USD", "--to", PARENT)
    for words in (("init",), ("apply", manifest), issue):
        assert run("-w", path, *words).code == 0
    return path


def test_a_plan_that_is_exported_and_imported_has_the_same_hash(world, tmp_path):
    file = tmp_path / "plan.json"
    told = run("-w", world, "budgets", "export", CHILD, file, "--json").json
    assert json.loads(file.read_text()) == told["schema"]
    words = ("budgets", "import", "budgets/video", file, "--parent", PARENT)
    made = run("-w", world, *words, "--json").json
    assert made["schema_hash"] == told["schema_hash"]
    assert (made["budget"], made["version"], made["stage"]) == ("budgets/video", 1, "planning")
    said = run("-w", world, "budgets", "clone", CHILD, "budgets/audio", "--holder", "ann").out
    assert told["schema_hash"][:8] in said
    assert "next: fund it: `tally budgets fund budgets/audio AMOUNT" in said
    assert grants(world)["budgets/audio"]["holder"] == "ann"
    assert json.loads(run("-w", world, "budgets", "export", "budgets/audio").out) == told["schema"]


def grants(world):
    return run("-w", world, "grants", "--json").json["grants"]


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        (("export", "budgets/none"), "there is no budget"),
        (("import", "budgets/x", "{}/none.json"), "cannot be read"),
        (("import", "budgets/x", "{}/list.json"), "JSON object"),
        (("import", "budgets/x", "{}/broken.json"), ""),
        (("work", "--post"), "say which budget"),
        (("work", CHILD, "--order", "a"), "--post"),
        (("work", CHILD, "--post", "--order", "tea"), "no work order"),
        (("split", CHILD, "USD", "a"), "PART=SHARE"),
        (("split", CHILD, "USD", "a=1", "a=2"), "once"),
        (("split", CHILD, "USD", "a=x"), "whole number"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_and_nothing_is_recorded(world, tmp_path, words, needle):
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    before = run("-w", world, "log", "--json").out
    ran = run("-w", world, "budgets", *(str(word).replace("{}", str(tmp_path)) for word in words))
    assert ran.code == 2
    assert needle in ran.err + ran.out
    assert run("-w", world, "log", "--json").out == before


def test_a_dry_amendment_names_every_widening_and_what_would_newly_fail(world, tmp_path):
    file = tmp_path / "plan.json"
    more = {"USD": {"target": -10_001, "description": "d"}}
    file.write_text(json.dumps({"resources": {"USD": 0}, "metrics": more}))
    ran = run("-w", world, "budgets", "amend", CHILD, file, "--dry-run", "--json")
    assert ran.code == 1
    named = {(x["code"], x["facts"]["name"]) for x in ran.json["findings"]}
    assert named == {("plan_widened", name) for name in ("USD", ARTICLES, "article")}
    run("-w", world, "budgets", "fund", CHILD, "500 USD", "--from", PARENT)
    floor = {"name": "floor", "resource": "USD", "minimum": 600}
    less = {"target": -9_000, "description": "d"}
    narrower = {**PLAN, "constraints": [floor], "metrics": {**PLAN["metrics"], "USD": less}}
    file.write_text(json.dumps(narrower))
    dry = run("-w", world, "budgets", "amend", CHILD, file, "--dry-run")
    assert dry.code == 0
    for said in ("stage falls from full to planning", "floor lacks 100 USD", "spend more than 9000 USD"):
        assert said in dry.out
    assert run("-w", world, "budgets", CHILD, "--json").json["version"] == 1
    done = run("-w", world, "budgets", "amend", CHILD, file, "--json").json
    assert (done["outcome"], len(done["newly_fails"])) == ("allow", 3)
    assert "nothing to change" in run("-w", world, "budgets", "amend", CHILD, file).out


def test_a_pool_is_split_by_shares_or_by_amounts(world):
    run("-w", world, "budgets", "fund", CHILD, "1000 USD", "--from", PARENT)
    assert run("-w", world, "budgets", "split", CHILD, "USD", "a=60", "b=30").code == 1
    assert run("-w", world, "budgets", "split", CHILD, "USD", "a=60", "b=40", "--holder", "a=ann").code == 0
    assert run("-w", world, "budgets", "split", PARENT, "USD", "x=5 USD", "--amounts").code == 0
    found = grants(world)
    assert (found[f"{CHILD}/a"]["budget"], found[f"{CHILD}/a"]["holder"]) == ({"USD": 600}, "ann")
    assert found[f"{PARENT}/x"]["budget"] == {"USD": 5}


@pytest.mark.req("S0-111")
def test_open_work_orders_are_listed_over_all_budgets_and_searched_by_outcome(world, tmp_path):
    file = tmp_path / "films.json"
    films = {"films": {"target": 2, "description": "films that people end"}}
    file.write_text(json.dumps({"metrics": films, "resources": {"USD": 0}}))
    run("-w", world, "budgets", "import", "budgets/video", file)
    listed = run("-w", world, "budgets", "work", "--json").json["work"]
    assert [(x["budget"], x["name"], x["missing"], x["pays"]) for x in listed] == [
        (CHILD, "article", 10, 1_000), ("budgets/video", "films", 2, 0),
    ]  # fmt: skip
    for text, found in (("TEA", CHILD), ("people end", "budgets/video"), ("nothing like it", None)):
        rows = run("-w", world, "budgets", "work", "--find", text, "--json").json["work"]
        assert [x["budget"] for x in rows] == ([found] if found else [])
    assert "an article on tea" in run("-w", world, "budgets", "work").out
    value = ("--budget", "budgets/video", "--metric", "films", "--value", "2")
    run("-w", world, "native", "metric.record", *value)
    assert len(run("-w", world, "budgets", "work", "--json").json["work"]) == 1
    assert len(run("-w", world, "budgets", "work", "--all", "--json").json["work"]) == 2


def test_posting_twice_posts_none_twice_and_says_what_is_still_missing(world):
    run("-w", world, "budgets", "fund", CHILD, "4200 USD", "--from", PARENT)
    first = run("-w", world, "budgets", "work", CHILD, "--post")
    assert first.code == 0
    assert "posted 4 tasks" in first.out
    assert "6 of article are missing, and would cost 6000 USD" in first.out
    again = run("-w", world, "budgets", "work", CHILD, "--post", "--json").json
    assert (again["posted"], again["work"]["article"]["posted"]) == (0, 4)
    sheet = run("-w", world, "budgets", CHILD).out
    assert "4 under way, 6 missing at 1000 USD each" in sheet
    assert "1000 USD" in sheet
