"""`check-policy` says what a manifest does when things fail, and its advice makes that better."""

import copy
import json
import re
import tomllib

import pytest
from hypothesis import HealthCheck, assume, given, settings
from splittally.core.errors import InvalidInput
from splittally.core.types import ROOT
from splittally_tools.economies.economy import read_economy
from splittally_tools.policy_check import (
    BY_NAME,
    CATALOGUE,
    COSTS,
    HELD,
    NOT_PLAYED,
    OPEN,
    Change,
    Result,
    Scenario,
    changed,
    check,
    ground_of_manifest,
    ground_of_world,
    report_json,
)
from splittally_tools.testing.strategies import manifests

from tests.cli_tools import ROOT as REPOSITORY
from tests.cli_tools import busy_world, intent, make_world, run

NOW_NS = 1_790_000_000 * 10**9  # in September 2026
BETTER = {OPEN: 0, COSTS: 1, HELD: 2}  # what could not be tried is no improvement
FIXTURES = sorted((REPOSITORY / "fixtures" / "manifests").glob("*.toml"))
ECONOMIES = sorted((REPOSITORY / "fixtures" / "economies").glob("*.toml"))

LARGE = 'params.model == "large"'

# Every line that can be advised is missing here.
CARELESS = {
    "resources": {"USD": 2},
    "accounts": {"accounts/team": {}, "vendors/mill": {}},
    "world": {"clock_jump": 0},
    "caps": {"acme/llm@1": {"cap_type": "llm.basic", "enforcer": "sys/CapEnforceLlmBasic@1"}},
    "policy": [
        {"name": "large", "decision": "require_approval", "effect_kind": "llm.generate", "when": LARGE},
        {"name": "rest", "decision": "allow"},
    ],
    "grants": {
        "bot": {
            "cap": "sys/llm@1",
            "params": {"prices": {"resource": "USD", "prompt": 100_000, "completion": 100_000}},
        },
        "old": {
            "cap": "acme/llm@1",
            "hold_ns_max": "15m",
            "params": {"prices": {"resource": "USD", "prompt": 100_000, "completion": 100_000}},
        },
        "misnamed": {"cap": "sys/llm@1", "budget": {"requests": 5_000}},
        "costly": {"cap": "sys/cost@1", "budget": {"cost_cents": 500}},
        "free": {"cap": "sys/allow@1"},
        "card": {
            "cap": "sys/spend@1",
            "budget": {"USD": "50.00 USD"},
            "draws_on": {"USD": "accounts/team"},
            "pays_to": ["vendors/mill"],
        },
        "signs": {"cap": "sys/native@1", "holder": "tess", "params": {"operations": ["approval.answer"]}},
    },
}  # fmt: skip
# The scenarios that some line of the manifest above ends better.
ADVISED = {
    "approval-never", "approve-other", "approve-own", "clock-ahead", "forgotten", "host-dies", "last-unit",
    "limit-uncounted", "never-answers", "new-key", "no-approval", "other-model", "outcome-unknown",
    "receipt-late", "takeover", "unbounded", "unknown-model", "usage-absent", "usage-beyond", "usage-huge",
    "usage-largest", "usage-negative", "usage-null", "usage-text",
}  # fmt: skip


def rows_of(document, grant: str, *scenarios: Scenario, now_ns: int = NOW_NS) -> dict[str, Result]:
    """How scenarios end for a grant of a manifest."""
    with ground_of_manifest(document, now_ns) as ground:
        report = check(ground, [grant], scenarios or CATALOGUE)
    (checked,) = report.checked
    return {row.scenario.name: row.result for row in checked.rows}


@pytest.fixture(scope="module")
def careless():
    """How every scenario ends for every grant of the careless manifest."""
    with ground_of_manifest(CARELESS, NOW_NS) as ground:
        report = check(ground)
    return {each.grant.name: {row.scenario.name: row.result for row in each.rows} for each in report.checked}


def is_better(document, grant: str, scenario: str, result: Result, now_ns: int = NOW_NS) -> bool:
    after = rows_of(changed(document, result.changes), grant, BY_NAME[scenario], now_ns=now_ns)[scenario]
    return BETTER.get(after.result, -1) > BETTER[result.result]


# --- the advice -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", sorted(ADVISED))
def test_a_scenario_ends_better_once_the_manifest_says_what_was_advised(scenario, careless):
    """What matters of all this: who follows the advice is better off, in every grant that gets it."""
    advised = {grant: rows[scenario] for grant, rows in careless.items() if rows[scenario].changes}
    assert advised
    assert [name for name, found in advised.items() if not is_better(CARELESS, name, scenario, found)] == []


def test_no_advice_is_given_that_the_test_above_does_not_follow(careless):
    assert {name for rows in careless.values() for name, found in rows.items() if found.changes} == ADVISED


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(manifests(grants_max=3))
def test_advice_for_any_manifest_makes_its_scenario_better(document):
    """Also below other grants, beside limits that ask, with prices, policies and a governor."""
    assume("principal" not in str(document.get("policy")))  # another holder may not have to wait at all
    before = copy.deepcopy(document)
    with ground_of_manifest(document, 0) as ground:
        report = check(ground)
    assert document == before
    for each in report.checked:
        for row in each.rows:
            found = row.result
            assert "cannot be played" not in found.told
            if found.changes:
                name = row.scenario.name
                assert is_better(document, each.grant.name, name, found, 0), (each.grant.name, name, found)


def test_a_manifest_that_follows_all_advice_has_nothing_open():
    document, grant = CARELESS, "bot"
    for _ in range(4):  # a line may uncover what another hid
        lines = [
            change
            for found in rows_of(document, grant).values()
            if found.result == OPEN
            for change in found.changes
        ]
        document = changed(document, dict.fromkeys(line for line in map(_hashable, lines)))
    assert [name for name, found in rows_of(document, grant).items() if found.result == OPEN] == []


def _hashable(change: Change) -> Change:
    """The same line; one that adds to a list is new each time, and equal to none."""
    return change if type(change.value) in (str, int, bool) else _Line(change)


class _Line(Change):
    def __new__(cls, change: Change):
        return super().__new__(cls, *change)

    def __hash__(self) -> int:
        return id(self)


@pytest.mark.parametrize("scenario", sorted(ADVISED))
def test_an_advised_line_can_be_pasted_into_toml(scenario, careless):
    for rows in careless.values():
        for change in rows[scenario].changes:
            text, where = re.fullmatch(
                r"`(.*?)` in (?:the list `\w+` of |the rule `\w+` of )?`\[+(.*?)\]+`", change.line
            ).groups()
            told = tomllib.loads(f"x = {text}" if text.startswith("{") else text)
            while told != change.value:
                (told,) = told.values()
            assert tomllib.loads(f"[{where}]")


def test_what_is_advised_touches_nothing_else():
    changes = [
        Change(("grants", "a", "dispatch"), True),
        Change(("grants", "a", "limits", "+"), {"dim": "x"}),
    ]
    before = {"grants": {"a": {"cap": "c"}, "b": {}}}
    after = changed(before, changes)
    assert before == {"grants": {"a": {"cap": "c"}, "b": {}}}
    assert after == {"grants": {"a": {"cap": "c", "dispatch": True, "limits": [{"dim": "x"}]}, "b": {}}}


# --- what is found ----------------------------------------------------------------------------------

TO = {"type": "object", "required": ["to"], "properties": {"to": {"type": "string"}}}
BOSS = {"effect_kind": "mail.send", "when": 'params.to == "boss"'}
CAREFUL = {
    "effects": {"mail.send": {"cap_type": "mail", "params_schema": TO}},
    "policy": [
        {"name": "boss", "decision": "require_approval", **BOSS, "approvers": ["carol"]},
        {"name": "rest", "decision": "allow"},
    ],
    "grants": {
        "mail": {
            "cap": "sys/rules@2",
            "holder": "agent",
            "params": {"kinds": ["mail.send"], "rules": [], "reserve": {"mails": 1}, "usage": {"mails": "1"}},
            "budget": {"mails": 10},
            "limits": [{"dim": "mails", "per": "day", "amount": 1, "by": "labels.job"}],
            "expiry": "2027-06-01T00:00:00Z",
            "hold_ns_max": "15m",
            "approval_ns": "1h",
            "unknown_ns": "24h",
            "above": "cap",
            "dispatch": True,
        },
        "carol": {"cap": "sys/native@1", "holder": "carol", "params": {"operations": ["approval.answer"]}},
    },
}  # fmt: skip


def test_in_a_careful_manifest_all_holds_but_what_nobody_knows():
    """An outcome that nobody reports is charged to somebody: that costs, whatever a manifest says."""
    found = rows_of(CAREFUL, "mail")
    assert {name for name, x in found.items() if x.result == OPEN} == set()
    assert {name for name, x in found.items() if x.result == COSTS} == {"never-answers", "outcome-unknown"}
    unplayed = {name for name, x in found.items() if x.result == NOT_PLAYED}
    assert unplayed == {"unknown-model", "other-model", "key-reused"}


# What makes one scenario open, or cost, in the careful manifest.
SPOILT = {
    "approval-never": ("approval_ns", None, HELD),
    "approve-own": ("holder", None, HELD),  # carol must still answer
    "forgotten": ("expiry", None, COSTS),
    "host-dies": ("hold_ns_max", None, OPEN),
    "never-answers": ("unknown_ns", None, OPEN),
    "outcome-unknown": ("unknown_ns", None, OPEN),
    "new-key": ("limits", None, OPEN),
    "takeover": ("dispatch", False, OPEN),
    "no-approval": ("dispatch", False, COSTS),
    "receipt-late": ("dispatch", False, COSTS),
    "last-unit": ("budget", None, OPEN),
    "unbounded": ("budget", None, OPEN),
    "limit-uncounted": ("budget", {"mail": 5, "mails": 10}, OPEN),
}


@pytest.mark.parametrize("scenario", sorted(SPOILT))
def test_a_careful_manifest_without_one_line_is_told_so(scenario):
    term, value, result = SPOILT[scenario]
    document = copy.deepcopy(CAREFUL)
    if value is None:
        del document["grants"]["mail"][term]
    else:
        document["grants"]["mail"][term] = value
    if scenario in ("last-unit", "unbounded"):
        del document["grants"]["mail"]["limits"]
    assert rows_of(document, "mail", BY_NAME[scenario])[scenario].result == result


def test_a_policy_without_approvers_says_who_else_may_approve():
    document = copy.deepcopy(CAREFUL)
    del document["policy"][0]["approvers"]
    found = rows_of(document, "mail", BY_NAME["approve-other"])["approve-other"]
    assert (found.result, found.told) == (COSTS, "`operator`, `carol` may approve it as well")
    assert found.changes == (Change(("policy", 0, "approvers"), ["operator"], "boss"),)


def test_amounts_are_said_in_their_units():
    manifest = REPOSITORY / "fixtures" / "manifests" / "rules.toml"
    assert rows_of(manifest, "purchases")["host-dies"].told == "1.00 USD stay reserved for ever"


def test_approvers_whom_the_policy_locks_out_are_found():
    """A rule without a kind reads a field that an answer does not have: its fault denies every approval."""
    document = copy.deepcopy(CAREFUL)
    del document["policy"][0]["effect_kind"]
    found = rows_of(document, "mail", BY_NAME["approvers-answer"])["approvers-answer"]
    assert found.result == OPEN
    assert found.told.startswith("nobody can approve it; `carol` hears: ")


@pytest.mark.parametrize("path", [*FIXTURES, *ECONOMIES], ids=lambda path: path.stem)
def test_every_grant_of_a_manifest_is_checked_or_named_with_the_reason(path):
    document = path if path in FIXTURES else read_economy(path).manifest
    with ground_of_manifest(document, NOW_NS) as ground:
        report = check(ground)
        names = set(ground.state.caps.grants) - {ROOT}
    assert names == {each.grant.name for each in report.checked} | set(report.left_out)
    assert all(report.left_out.values())
    assert all(len(each.rows) == len(CATALOGUE) for each in report.checked)
    json.dumps(report_json(report), default=str)
    results = [BETTER.get(row.result.result, 1.5) for each in report.checked for row in each.rows]
    assert path.stem not in ("team", "rules") or results[: len(CATALOGUE)] == sorted(
        results[: len(CATALOGUE)]
    )


def test_a_grant_for_which_no_effect_is_found_is_named_and_fails_the_check(tmp_path):
    """An enforcer of one's own may want what nobody can guess; a check in CI must not pass over it."""
    rules = {"kinds": ["a.b"], "rules": [{"require": "params.a * 7919 == 104729 * 3", "code": "odd"}]}
    document = {"effects": {"a.b": {}}, "grants": {"hard": {"cap": "sys/rules@2", "params": rules}}}
    file = tmp_path / "m.json"
    file.write_text(json.dumps(document))
    ran = run("check-policy", file, "--json")
    assert ran.code == 1
    (left,) = ran.json["left_out"]
    assert left["grant"] == "hard"
    assert "no effect was found that it admits: `a.b`: " in left["why"]
    assert "odd" in left["why"]


def test_effects_of_ones_own_are_played_where_none_can_be_guessed(tmp_path):
    rules = {
        "kinds": ["a.b"],
        "rules": [{"require": 'params.a + "c" == "secretc"', "code": "odd"}],
        "reserve": {"calls": 1},
        "usage": {"calls": 1},
    }
    document = {"effects": {"a.b": {}}, "grants": {"hard": {"cap": "sys/rules@2", "params": rules}}}
    file, effects = tmp_path / "m.json", tmp_path / "effects.jsonl"
    file.write_text(json.dumps(document))
    effects.write_text('\n{"kind":"a.b","params":{"a":"secret"},"grant":"hard"}\n')
    (grant,) = run("check-policy", file, "--effects", effects, "--json").json["grants"]
    assert grant["effect"] == {"kind": "a.b", "params": {"a": "secret"}, "reserve": {"calls": 1}}
    effects.write_text('{"kind":"a.b"}\n')
    ran = run("check-policy", file, "--effects", effects)
    assert ran.code == 2
    assert "line 1" in ran.err
    effects.write_bytes(b'{"kind":"\xff"}\n')
    assert run("check-policy", file, "--effects", effects).code == 2


@pytest.mark.parametrize(
    "params",
    [
        {"ports": "x", "hosts": {}},
        {"max_rows": "many", "classes": ["select"], "ports": [], "tools": [{"arguments": 5}]},
        {"commands": [[]], "max_tokens_max": "all", "prices": {"models": 7}, "reserve": 3, "rules": [3]},
    ],
)
def test_params_that_only_a_module_of_ones_own_understands_end_in_words(params):
    """A module that is not of the release may take what it likes, so its params are no hints that fit."""
    module = str(REPOSITORY / "fixtures" / "sdk" / "mail" / "wat.wasm")
    document = {
        "caps": {"acme/any@1": {"cap_type": "*", "enforcer": module}},
        "grants": {"own": {"cap": "acme/any@1", "params": params}},
    }
    with ground_of_manifest(document, NOW_NS) as ground:
        report = check(ground)
    assert report.checked or report.left_out["own"]


def test_what_would_be_too_long_to_make_is_not_made():
    long = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "minLength": 10**12}}}
    rules = {"kinds": ["a.c"], "rules": [{"require": "params.b[999999999] == 1", "code": "odd"}]}
    document = {
        "effects": {"a.b": {"params_schema": long}, "a.c": {}},
        "grants": {
            "text": {"cap": "sys/rules@2", "params": {"kinds": ["a.b"], "rules": []}},
            "place": {"cap": "sys/rules@2", "params": rules},
        },
    }
    with ground_of_manifest(document, NOW_NS) as ground:
        assert set(check(ground).left_out) == {"text", "place"}


# --- worlds -----------------------------------------------------------------------------------------


def bytes_of(folder):
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("clock", ["given", "host"])
def test_a_world_is_byte_for_byte_what_it_was(clock, tmp_path):
    world = tmp_path / "world"
    if clock == "given":
        busy_world(world)
    else:
        (tmp_path / "m.json").write_text(json.dumps(CARELESS))
        assert run("-w", world, "init").code == 0
        assert run("-w", world, "apply", tmp_path / "m.json").code == 0
    before = bytes_of(world)
    ran = run("-w", world, "check-policy", "--json")
    assert bytes_of(world) == before
    assert ran.code == 1
    assert {row["result"] for each in ran.json["grants"] for row in each["rows"]} >= {OPEN, COSTS, HELD}


def test_a_world_is_checked_as_it_stands(tmp_path):
    """Its holds, its counters and grants that no manifest made, beside whoever writes it."""
    world = make_world(tmp_path / "world")
    asked = "".join(intent("cap_llm", 30) for _ in range(3))
    assert run("-w", world, "submit", text=asked).code == 0
    with ground_of_world(world) as ground:
        report = check(ground, ["cap_llm"], [BY_NAME["host-dies"], BY_NAME["new-key"]])
    (checked,) = report.checked
    assert checked.case.effect.reserve == {"tokens": 2}  # 10 of 100 are left, and it fits twice
    assert {row.scenario.name: row.result.result for row in checked.rows} == {
        "host-dies": OPEN,
        "new-key": OPEN,
    }


def test_a_grant_that_no_manifest_made_is_told_how_it_is_amended(tmp_path):
    world = make_world(tmp_path / "world")
    issued = run("-w", world, "native", "grant.issue", "--name", "issued", "--cap", "sys/llm.basic@1")
    assert issued.code == 0, issued.err
    said = run("-w", world, "check-policy", "--grant", "issued").out
    assert "`dispatch = true` in `[grants.issued]`, by `tally native grant.amend`" in said
    assert "grant.amend" not in run("-w", world, "check-policy", "--grant", "cap_llm").out


# --- the command ------------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path):
    file = tmp_path / "m.json"
    file.write_text(json.dumps(CAREFUL))
    return file


def test_the_exit_code_says_whether_anything_is_open(manifest, tmp_path):
    words = ("--now-ns", NOW_NS, "check-policy")
    assert run(*words, manifest).code == 0
    assert run(*words, manifest, "--strict").code == 1
    accepted = ("--accept", "never-answers", "--accept", "outcome-unknown")
    assert run(*words, manifest, "--strict", *accepted).code == 0
    spoilt = changed(CAREFUL, [Change(("grants", "mail", "dispatch"), False)])
    (tmp_path / "spoilt.json").write_text(json.dumps(spoilt))
    assert run(*words, tmp_path / "spoilt.json").code == 1
    assert run(*words, tmp_path / "spoilt.json", "--accept", "takeover").code == 0


def test_one_grant_and_one_scenario_are_checked_alone(manifest):
    ran = run(
        "--now-ns", NOW_NS, "check-policy", manifest, "--grant", "mail", "--scenario", "takeover", "--json"
    )
    (grant,) = ran.json["grants"]
    (row,) = grant["rows"]
    assert (row["scenario"], row["result"], row["changes"], row["advice"]) == ("takeover", HELD, [], "")
    assert ran.json["counts"] == {OPEN: 0, COSTS: 0, NOT_PLAYED: 0, HELD: 1}


def test_what_is_misspelt_is_told_with_what_was_meant(manifest):
    for words, meant in [(("--scenario", "take-over"), "takeover"), (("--grant", "mails"), "mail")]:
        ran = run("check-policy", manifest, *words)
        assert (ran.code, f"did you mean `{meant}`?" in ran.err) == (2, True)
    assert run("check-policy", manifest, "--accept", "nothing").code == 2
    assert run("check-policy").code == 2


def test_a_manifest_that_is_refused_is_refused_here_in_the_same_words(tmp_path):
    document = copy.deepcopy(CAREFUL)
    document["grants"]["child"] = {"cap": "sys/rules@2", "parent": "mail", "budget": {"mails": 99}}
    file = tmp_path / "m.json"
    file.write_text(json.dumps(document))
    ran = run("--now-ns", NOW_NS, "check-policy", file, "--json")
    assert (ran.code, ran.json["error"]["facts"]["codes"]) == (
        1,
        ["wider_than_parent"] * len(ran.json["error"]["facts"]["codes"]),
    )
    file.write_text(json.dumps({"grant": {}}))
    assert run("check-policy", file).code == 1


def test_people_see_a_table_for_each_grant_the_worst_first_and_then_the_lines(manifest):
    lines = run("--now-ns", NOW_NS, "check-policy", manifest, "--all").out.splitlines()
    assert lines[0] == "mail: `mail.send`, which reserves 1 mails"
    results = [line[2:13].strip() for line in lines if re.match(r"  (open|costs|not played|held) ", line)]
    order = [OPEN, COSTS, "not played", HELD]
    assert results == sorted(results, key=order.index)
    assert len(results) == len(CATALOGUE)
    assert lines[-1] == "1 grants checked: 0 open, 2 costs, 3 not played, 33 held"


def test_the_catalogue_is_listed_and_stands_in_the_specification():
    listed = run("check-policy", "--list", "--json").json["scenarios"]
    assert [row["scenario"] for row in listed] == list(BY_NAME) == [each.name for each in CATALOGUE]
    text = (REPOSITORY / "spec" / "15-testing.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| (.+?) \|$", text.split("## 15.7")[1], re.MULTILINE)
    assert rows == [(each.name, each.fails, each.claim) for each in CATALOGUE]


def test_a_play_that_fails_says_so_in_the_place_of_a_result(manifest):
    def play(case):
        raise InvalidInput("no such thing", field="x")

    broken = Scenario("takeover", "x", "y", play)
    with ground_of_manifest(manifest, NOW_NS) as ground:
        (checked,) = check(ground, ["mail"], [broken]).checked
    assert checked.rows[0].result == Result(NOT_PLAYED, "it cannot be played: no such thing")
