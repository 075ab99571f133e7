"""The menu as people meet it: help where nothing was said, what was meant by a misspelt word, completion."""

import re
import shlex
import subprocess
import sys

import click
import pytest
from splittally_tools.cli import tally
from splittally_tools.cli.groups import Commands
from splittally_tools.cli.menu import MENU

from tests.cli_tools import SOURCES, run

CONTEXT = click.Context(tally, info_name="tally")
GROUPS = sorted(name for name in MENU if isinstance(tally.get_command(CONTEXT, name), click.Group))
SHOWN = ("budgets",)  # without a command it shows what there is
HEADINGS = ["hosts", "operators", "auditors", "authors of enforcers", "testers", "finance"]


def commands_of(*words):
    command = tally
    for word in words:
        command = command.get_command(CONTEXT, word)
    return command.list_commands(CONTEXT)


# --- help -------------------------------------------------------------------------------------------


@pytest.mark.req("X8-10")
@pytest.mark.parametrize("words", [[], *([name] for name in GROUPS if name not in SHOWN)], ids=" ".join)
def test_who_says_no_command_gets_the_help_and_the_code_of_usage(words):
    ran, asked = run(*words), run(*words, "--help")
    assert (ran.code, ran.err, asked.code) == (2, "", 0)
    assert ran.out == asked.out
    assert "\nCommands:" in ran.out or "\nFor " in ran.out


def test_options_alone_are_no_command_either(tmp_path):
    assert run("-w", tmp_path).out == run("--help").out


def test_a_program_that_says_no_command_gets_an_error_and_no_help():
    for words in (["--json"], ["drain", "--json"]):
        ran = run(*words)
        assert (ran.code, ran.json["error"]["code"]) == (2, "usage")


def test_every_command_with_commands_of_its_own_is_of_the_one_kind():
    assert set(GROUPS) >= {"drain", "enforcer", "native", "prices", "stats"}
    assert all(isinstance(tally.get_command(CONTEXT, name), Commands) for name in GROUPS)


@pytest.mark.parametrize("words", [[], *([name] for name in GROUPS if name not in SHOWN)], ids=" ".join)
def test_no_help_is_cut_and_every_command_stands_in_it(words):
    out = run(*words, "--help").out
    shown = out.replace("[ARGS]...", "")
    assert "..." not in shown
    for name in commands_of(*words):
        assert re.search(rf"^  {re.escape(name)}\s+\S", out, re.M), name


def test_the_menu_is_ordered_by_who_needs_a_command():
    out = run("--help").out
    places = [out.index(f"\nFor {who}") for who in HEADINGS]
    assert places == sorted(places)


# --- what was meant ---------------------------------------------------------------------------------


@pytest.mark.req("X8-10")
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("sumbit", "submit"), ("ledgr", "ledger"), ("expalin x", "explain"), ("drain stanup", "standup"),
        ("native grant.isue", "grant.issue"), ("enforcer biuld", "build"), ("stats udpate", "update"),
        ("standup", "tally drain standup"), ("transfer", "tally native ledger.transfer"),
        ("drain submit", "tally submit"),
    ],
)  # fmt: skip
def test_a_misspelt_command_is_told_with_the_one_that_was_meant(said, meant):
    ran = run(*said.split())
    wrong = said.split()[-1] if said.split()[0] in GROUPS else said.split()[0]
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"tally: no such command `{wrong}`; did you mean `{meant}`?")
    assert ran.err.count("\n") == 1


@pytest.mark.req("X8-10")
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("ledger --grnt x", "--grant"), ("--wrld x log", "--world"),
        ("drain run --daily-cup 5", "--daily-cap"), ("native grant.issue --nme x", "--name"),
        ("log --jsn", "--json"),
    ],
)  # fmt: skip
def test_a_misspelt_option_is_told_with_the_one_that_was_meant(said, meant):
    ran = run(*said.split())
    assert ran.code == 2
    assert f"; did you mean `{meant}`?" in ran.err


def test_a_word_that_is_like_nothing_is_refused_without_a_guess():
    ran = run("zzzzqqqq")
    assert (ran.code, ran.err) == (2, "tally: no such command `zzzzqqqq` (try `tally --help`)\n")


# --- completion -------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def contents(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*.*")
        if file.is_file()
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_once_and_taken_away_whole(home, shell):
    for name in (".bashrc", ".zshrc"):
        (home / name).write_text("# mine, without an end of line")
    before = contents(home)
    first = run("completion", shell, "--install")
    installed = contents(home)
    changed = {name for name in installed if installed[name] != before.get(name)}
    assert changed and all(name in first.out for name in changed)
    again = run("completion", shell, "--install")
    assert (again.code, again.out, contents(home)) == (0, "installed already\n", installed)
    assert run("completion", shell, "--uninstall").code == 0
    assert {name: data.rstrip(b"\n") for name, data in contents(home).items()} == before
    assert run("completion", shell, "--uninstall").out == "nothing was installed\n"


def test_a_script_of_another_release_is_replaced_and_its_line_is_not_doubled(home):
    assert run("completion", "bash", "--install").code == 0
    script = home / ".local/share/splittally/completion.bash"
    script.write_text("# old")
    assert run("completion", "bash", "--install", "--json").json["files"] == [str(script)]
    assert (home / ".bashrc").read_text().count("completion.bash") == 2  # once to look, once to read


def test_the_shell_is_the_one_that_the_variable_names(home, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert run("completion").out == run("completion", "fish").out
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    ran = run("completion")
    assert (ran.code, "bash, zsh, fish" in ran.err) == (2, True)
    assert run("completion", "bash", "--install", "--uninstall").code == 2
    assert list(home.iterdir()) == []


def test_bash_completes_the_words_of_tally_with_what_was_installed(home):
    assert run("completion", "bash", "--install").code == 0
    (home / "tally").write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from splittally_tools.cli import main; main()" "$@"\n'
    )
    (home / "tally").chmod(0o755)
    asks = "; ".join(
        f"COMP_WORDS=({words}); COMP_CWORD={len(words.split()) - 1}; COMPREPLY=(); _tally_completion tally;"
        ' echo "${COMPREPLY[@]}"'
        for words in ("tally appr", "tally drain st", "tally native grant.", "tally ledger --gr")
    )
    script = f". {shlex.quote(str(home / '.bashrc'))}; {asks}"
    path = f"{home}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", script], env={"HOME": str(home), "PATH": path, "PYTHONPATH": SOURCES},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "approve", "standup", "grant.amend grant.issue grant.revoke grant.topup", "--grant",
    ], done.stderr  # fmt: skip


def test_completing_a_name_imports_no_command():
    code = (
        "import sys\nfrom splittally_tools.cli import tally\n"
        "try: tally.main([])\nexcept SystemExit: pass\n"
        "sys.exit(repr({'splittally_tools.cli.drain', 'wasmtime', 'rich'} & set(sys.modules) or ''))"
    )
    words = {"COMP_WORDS": "tally dr", "COMP_CWORD": "1", "_TALLY_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**words, "PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "plain,drain\n"
    assert done.stderr.strip() in ("", "''")
