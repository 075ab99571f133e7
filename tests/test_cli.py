"""The command line as a user meets it: what it says, how it ends, what it never does."""

import json
import os
import signal
import subprocess
import sys

import pytest
import splittally
from splittally.journal import disk
from splittally_tools.cli.menu import MENU

from tests.cli_tools import ROOT, busy_world, command, environment, intent, make_world, process, run

DESIGNED = (
    "init", "apply", "submit", "settle", "release", "extend", "approve", "reject", "tick", "decide",
    "outcome", "grants", "ledger", "reservations", "accounts", "log", "show", "explain", "state", "verify",
    "checkpoint",
    "prove", "export", "upgrade", "native", "enforcer", "run-trace", "bench",
)  # fmt: skip
NOBODY = "00" * 32


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return busy_world(tmp_path_factory.mktemp("cli") / "world")


@pytest.fixture
def fresh(tmp_path):
    return make_world(tmp_path / "world")


# --- names and help ---------------------------------------------------------------------------------


def test_every_command_of_the_design_is_in_the_menu_and_has_help():
    assert set(DESIGNED) <= set(MENU)
    listed = run("--help")
    assert listed.code == 0
    for name in DESIGNED:
        assert f"  {name}" in listed.out
        assert run(name, "--help").code == 0


def test_help_loads_neither_the_engine_nor_the_store_nor_tables():
    code = (
        "import sys\nfrom splittally_tools.cli import tally\n"
        "try: tally.main(['--help'])\n"
        "except SystemExit: pass\n"
        "loaded = {'wasmtime', 'lmdb', 'rich', 'jsonschema_rs', 'cryptography'} & set(sys.modules)\n"
        "sys.exit(repr(loaded) if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_json_may_stand_before_the_command_or_after_it(world):
    before, after = run("--json", "-w", world, "ledger"), run("ledger", "--json", "-w", world)
    assert before.json == after.json
    assert before.json["ledger"]["pool"]["tokens"]["limit"] == 1_000


def test_the_world_can_come_from_the_environment(world, monkeypatch):
    monkeypatch.setenv("TALLY_WORLD", str(world))
    assert run("state", "--root").code == 0


# --- exit codes and messages ------------------------------------------------------------------------


def test_without_a_world_the_message_says_how_to_name_one(monkeypatch):
    monkeypatch.delenv("TALLY_WORLD", raising=False)
    ran = run("ledger")
    assert ran.code == 2
    assert "-w DIR" in ran.err
    assert "TALLY_WORLD" in ran.err


@pytest.mark.parametrize("verb", ["ledger", "verify", "tick", "log", "state", "checkpoint --key k --new-key"])
def test_where_there_is_no_world_none_is_made(tmp_path, verb, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("-w", tmp_path / "none", *verb.split())
    assert ran.code == 3
    assert "tally init" in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_an_error_is_also_the_json_document_that_was_asked_for(tmp_path):
    error = run("-w", tmp_path / "none", "--json", "ledger").json["error"]
    assert error["code"] == "no_world"
    assert set(error) == {"code", "message", "facts"}
    assert run("ledger", "--json", "--nonsense").json["error"]["code"] == "usage"


def test_a_world_is_not_made_twice(fresh):
    ran = run("-w", fresh, "init")
    assert ran.code == 3
    assert "already" in ran.err


def test_a_locked_world_names_its_writer_and_can_still_be_read(fresh):
    with splittally.open(fresh):
        ran = run("-w", fresh, "--wait", "0", "tick")
        assert ran.code == 3
        assert str(os.getpid()) in ran.err
        assert run("-w", fresh, "ledger").code == 0
        assert run("-w", fresh, "verify").code == 0


def test_a_refusal_exits_with_one(fresh):
    assert run("-w", fresh, "release", NOBODY).code == 1
    assert run("-w", fresh, "approve", NOBODY).code == 1
    assert run("-w", fresh, "outcome", NOBODY).code == 1
    assert run("-w", fresh, "explain", NOBODY).code == 1
    assert run("-w", fresh, "show", NOBODY).code == 1
    assert run("-w", fresh, "grants", "nobody").code == 1


def test_words_that_cannot_be_read_exit_with_two(fresh):
    assert run("-w", fresh, "outcome", "xyz").code == 2
    assert run("-w", fresh, "extend", NOBODY).code == 2
    assert run("-w", fresh, "show", "99999").code == 2
    assert run("-w", fresh, "release", NOBODY, "--cause", "governance").code == 2
    assert run("-w", fresh, "frobnicate").code == 2


def test_a_damaged_journal_ends_a_command_with_one_and_names_the_sequence(fresh, tmp_path):
    file = fresh / "journal" / "data.mdb"
    file.write_bytes(file.read_bytes()[:100])
    for verb in ("ledger", "tick", "log", "verify"):
        ran = run("-w", fresh, verb, "--json")
        assert ran.code == 1, verb
        assert ran.json["error"]["code"] == "damaged"
        assert ran.json["error"]["facts"]["seq"] == 0


def test_a_manifest_that_is_refused_says_why_and_changes_nothing(fresh, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text('[grants.x]\ncap = "sys/llm.basic@1"\nbudgett = { tokens = 1 }\n')
    ran = run("-w", fresh, "apply", bad)
    assert ran.code == 1
    assert "budgett" in ran.err
    assert run("-w", fresh, "state", "--json").json["seq"] == 1
    assert run("-w", fresh, "apply", tmp_path / "none.toml").code == 2


def test_an_unchanged_manifest_writes_nothing_and_a_dry_run_neither(fresh, tmp_path):
    again = run("-w", fresh, "apply", fresh.with_suffix(".json"), "--json")
    assert (again.code, again.json["seq"], again.json["changes"]) == (0, None, [])
    other = tmp_path / "other.json"
    manifest = json.loads(fresh.with_suffix(".json").read_text())
    manifest["grants"]["cap_llm"]["budget"]["tokens"] = 7
    other.write_text(json.dumps(manifest))
    dry = run("-w", fresh, "apply", other, "--dry-run", "--json").json
    assert [(x["table"], x["key"], x["field"], x["after"]) for x in dry["changes"]] == [
        ("grants", "cap_llm", "budget.tokens", 7)
    ]
    assert run("-w", fresh, "ledger", "--json").json["ledger"]["cap_llm"]["tokens"]["limit"] == 100
    assert "budget.tokens: 100 tokens -> 7 tokens" in run("-w", fresh, "apply", other, "--dry-run").out


def test_time_is_said_only_where_the_clock_is_given(tmp_path):
    assert run("-w", tmp_path / "host", "init").code == 0
    ran = run("-w", tmp_path / "host", "tick", "--now-ns", "5")
    assert ran.code == 2
    assert "now_ns" in ran.err


def test_a_principal_may_use_only_what_it_holds(fresh):
    ran = run("-w", fresh, "--as", "mallory", "submit", text=intent())
    assert ran.code == 1
    assert ran.lines[0]["findings"][0]["code"] == "not_holder"


# --- output -----------------------------------------------------------------------------------------


def test_text_of_the_world_can_neither_colour_a_terminal_nor_turn_a_line(fresh):
    wicked = {"model": "m\u001b[31m\u202e", "max_tokens": 1}
    line = json.dumps({"kind": "llm.generate", "params": wicked, "grant": "pool"})
    decided = run("-w", fresh, "submit", text=line).lines[0]
    for verb in (["show", decided["seq"]], ["explain", decided["intent_hash"]], ["log"]):
        out = run("-w", fresh, *verb).out
        assert "\u001b" not in out
        assert "\u202e" not in out
    assert "\\x1b[31m\\u202e" in run("-w", fresh, "show", decided["seq"]).out


def test_every_document_is_one_line_of_ascii_json(world):
    for verb in ("ledger", "grants", "accounts", "reservations", "state", "verify", "enforcer list"):
        out = run("-w", world, *verb.split(), "--json").out
        assert out.count("\n") == 1, verb
        assert out.isascii()
        json.loads(out)


def test_a_reader_that_goes_away_ends_a_stream_quietly(world):
    shell = f"{' '.join(command('-w', world, 'log', '--full'))} | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell], env=environment(), capture_output=True, timeout=60, check=False
    )
    assert done.returncode in (0, 141)
    assert done.stderr == b""


def test_an_interrupted_stream_has_answered_what_it_recorded(fresh):
    child = subprocess.Popen(
        command("-w", fresh, "submit"),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a shell's background jobs ignore it
    )
    child.stdin.write("".join(intent("pool", 1) for _ in range(100)).encode())
    child.stdin.flush()
    answers = [json.loads(child.stdout.readline()) for _ in range(100)]
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (130, b"", b"")
    report = run("-w", fresh, "verify", "--json")
    assert report.code == 0
    assert report.json["open_holds"] == len(answers) == 100


def test_the_module_runs_as_a_program(world):
    ran = process("-w", world, "state", "--root")
    assert ran.code == 0
    assert ran.out == run("-w", world, "state", "--root").out


def test_a_full_disk_is_an_environment_error_and_nothing_is_answered(fresh, monkeypatch):
    monkeypatch.setattr(disk, "has_room", lambda *_: False)
    ran = run("-w", fresh, "submit", text=intent())
    assert ran.code == 3
    assert "room" in ran.err
    assert ran.out == ""
    monkeypatch.undo()
    assert run("-w", fresh, "state", "--json").json["seq"] == 1


def test_the_chapter_on_the_command_line_names_every_command():
    chapter = (ROOT / "spec" / "09-command-line.md").read_text()
    for name in MENU:
        assert f"`{name}" in chapter, name
