"""Before an installed module is replaced, everybody is shown what it would have judged otherwise."""

import json

import pytest
from splittally.runtime import opening as world_module
from splittally.sandbox import builtin

from tests.cli_tools import MANIFEST, at_a_terminal, intent, make_world, receipt, run
from tests.kit_tools import DIM, NAME, built, change, copy_of, mail, told, used_by

NATIVE = "native", "module.install"


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder, and a world that uses it: 1 and 3 were allowed, 11 was denied, 1 was settled."""
    home = tmp_path_factory.mktemp("kit")
    folder = built(home / "mail", "wat")
    used_by(folder, home / "world")
    change(folder, "wat")
    return home


@pytest.fixture
def home(mine, tmp_path):
    copy_of(mine, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def world(home):
    return home / "world"


def install(home, *options):
    wasm = f"@{home / 'mail' / 'enforcer.wasm'}"
    return run("-w", home / "world", *NATIVE, "--name", NAME, "--wasm", wasm, *options)


def apply(home, *options):
    return run("-w", home / "world", "apply", home / "mail" / "manifest.toml", *options)


def size(world):
    return run("-w", world, "state", "--json").json["seq"]


# --- the answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [install, apply])
def test_the_answer_of_a_replacement_holds_its_report(home, world, act):
    before = size(world)
    report = act(home, "--json").json["report"]
    assert (report["checks"], report["settles"], len(report["otherwise"])) == (3, 1, 2)
    assert report["totals"]["reserve"] == {DIM: {"was": 4, "now": 6}}
    assert report["totals"]["usage"] == {DIM: {"was": 1, "now": 1}}
    assert [row["name"] for row in report["modules"]] == [NAME]
    assert size(world) == before + 1
    assert act(home, "--json").json["report"] is None  # nothing is replaced by itself


@pytest.mark.parametrize("act", [install, apply])
def test_a_dry_run_shows_the_report_and_records_nothing(home, world, act):
    before = run("-w", world, "state", "--root").out
    dry = act(home, "--dry-run", "--json").json
    assert (dry["dry_run"], dry["seq"], len(dry["report"]["otherwise"])) == (True, None, 2)
    assert "3 recorded checks and 1 settles asked again, 2 answered otherwise" in act(home, "--dry-run").out
    assert run("-w", world, "state", "--root").out == before


@pytest.mark.parametrize("act", [install, apply])
def test_a_pipe_is_told_once_and_never_asked(home, act):
    out = act(home).out
    assert out.count("answered otherwise") == 1
    assert out.index("answered otherwise") < out.index("allow")


def test_the_report_is_that_of_a_replay(home):
    replayed = run("enforcer", "replay", home / "world", "--module", home / "mail", "--json").json
    report = apply(home, "--json").json["report"]
    for key in ("checks", "settles", "totals", "otherwise", "reworded", "unmatched"):
        assert report[key] == replayed[key]


def test_what_replaces_nothing_has_no_report(home, world):
    fresh = install(home, "--json").json
    assert fresh["report"] is not None
    wasm = f"@{home / 'mail' / 'enforcer.wasm'}"
    other = run("-w", world, *NATIVE, "--name", "acme/Other@1", "--wasm", wasm, "--json").json
    assert (other["outcome"], other["report"]) == ("allow", None)
    assert "report" not in run("-w", world, "native", "account.open", "--name", "accounts/x", "--json").json


def test_a_cap_that_gets_another_module_without_a_name_is_reported(tmp_path):
    manifest = {**MANIFEST, "caps": {"acme/llm@1": {"enforcer": "sys/CapEnforceLlmBasic@1"}}}
    manifest["grants"] = {"g": {"cap": "acme/llm@1"}}
    world = make_world(tmp_path / "world", manifest)
    decided = run("-w", world, "submit", text=intent("g", 7)).lines[0]
    run("-w", world, "settle", text=receipt(decided["intent_hash"]))
    manifest["caps"]["acme/llm@1"]["enforcer"] = "sys/CapAllowAll@1"
    file = tmp_path / "next.json"
    file.write_text(json.dumps(manifest))
    report = run("-w", world, "apply", file, "--json").json["report"]
    assert [row["name"] for row in report["modules"]] == ["acme/llm@1"]
    assert (report["checks"], report["settles"]) == (1, 1)
    assert report["totals"]["reserve"] == {"tokens": {"was": 7, "now": 0}}


def test_a_replacement_that_is_refused_is_refused_as_before_and_has_no_report(home, world):
    denied = run("-w", world, "--as", "mallory", *NATIVE, "--name", NAME, "--wasm", "00", "--json")
    assert (denied.code, denied.json["outcome"], denied.json["report"]) == (1, "deny", None)
    bad = home / "mail" / "enforcer.wasm"
    bad.write_bytes(b"\0asm")
    assert install(home, "--json").json["findings"][0]["code"] == "not_admitted"


def test_open_reservations_keep_the_module_that_they_pin(home, world):
    (held,) = run("-w", world, "reservations", "--json").json["reservations"]
    assert apply(home).code == 0
    settled = run("-w", world, "settle", text=told(held["intent_hash"], 2)).lines[0]
    assert (settled["status"], settled["usage"]) == ("settled", {DIM: 2})
    assert run("-w", world, "submit", text=mail(count=1)).lines[0]["reserve"] == {DIM: 2}
    assert run("-w", world, "verify", "--rejudge").code == 0


# --- at a terminal ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["apply", "install"])
def test_a_person_is_shown_the_report_and_asked(home, world, verb):
    wasm = f"@{home / 'mail' / 'enforcer.wasm'}"
    args = {
        "apply": ("apply", home / "mail" / "manifest.toml"),
        "install": (*NATIVE, "--name", NAME, "--wasm", wasm),
    }[verb]
    before = size(world)
    code, seen, is_asked = at_a_terminal("n", "-w", world, *args)
    assert (code, is_asked) == (1, True)
    assert seen.index("answered otherwise") < seen.index("replace it?")
    assert "nothing was recorded" in seen
    assert size(world) == before
    code, seen, _ = at_a_terminal("y", "-w", world, *args)
    assert (code, seen.count("answered otherwise")) == (0, 1)
    assert size(world) == before + 1


def test_yes_replaces_without_asking_and_json_is_never_asked(home, world):
    manifest = home / "mail" / "manifest.toml"
    code, seen, is_asked = at_a_terminal("n", "-w", world, "apply", manifest, "--yes")
    assert (code, is_asked) == (0, False)
    assert "answered otherwise" in seen
    code, seen, is_asked = at_a_terminal("n", "-w", world, "apply", manifest)  # nothing is replaced now
    assert (code, is_asked) == (0, False)


def test_json_at_a_terminal_is_not_asked(home, world):
    code, seen, is_asked = at_a_terminal("n", "-w", world, "apply", home / "mail" / "manifest.toml", "--json")
    assert (code, is_asked) == (0, False)
    assert json.loads(seen)["report"]["checks"] == 3


# --- upgrades ---------------------------------------------------------------------------------------


def test_an_upgrade_asks_settles_too_and_adds_up(tmp_path, monkeypatch):
    def older(name):
        return builtin("sys/CapAllowAll@1" if name == "sys/CapEnforceLlm@1" else name)

    monkeypatch.setattr(world_module, "builtin", older)
    world = make_world(tmp_path / "old")
    decided = run("-w", world, "submit", text=intent("cap_llm", 10) + intent("pool", 5)).lines
    run("-w", world, "settle", text=receipt(decided[0]["intent_hash"], 3, 4))
    monkeypatch.undo()
    shown = run("-w", world, "upgrade", "--json").json
    assert (shown["applied"], shown["checks"], shown["settles"]) == (False, 2, 1)
    assert [(each["asked"], each["now"]) for each in shown["otherwise"]] == [
        ("Check", {"reserve": {"tokens": 10}}), ("Check", {"reserve": {"tokens": 5}}),
        ("Settle", {"usage": {"tokens": 7}}),
    ]  # fmt: skip
    assert shown["totals"]["reserve"] == {"tokens": {"was": 0, "now": 15}}
    assert shown["totals"]["usage"] == {"tokens": {"was": 0, "now": 7}}
    assert run("-w", world, "upgrade", "--apply", "--json").json["applied"]
    again = run("-w", world, "upgrade", "--json").json
    assert (again["changes"], again["checks"], again["otherwise"]) == ([], 0, [])
