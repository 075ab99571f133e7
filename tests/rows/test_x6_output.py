"""Row X6-32, the output: what cannot be printed ends in words and exit code 3; what was recorded is said."""

import errno
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import splittally
from splittally_tools.cli.menu import MENU, tally

from tests.cli_tools import MANIFEST, command, environment, run

FULL = Path("/dev/full")
INTENT = {"kind": "llm.generate", "params": {"model": "m", "max_tokens": 3}, "grant": "cap_llm"}
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")


@pytest.fixture
def world(folder):
    with splittally.open(folder / "w", clock="given") as kernel:
        kernel.apply(MANIFEST, now_ns=1)
    return folder / "w"


def printed(*args, text="", to="> /dev/full", buffered=True):
    """How `tally` ends in a shell whose redirection is `to`: exit code and standard error."""
    env = environment(PYTHONUNBUFFERED="" if buffered else "1")
    shell = ["sh", "-c", f'"$@" {to}', "sh", *command(*args)]
    done = subprocess.run(shell, env=env, input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.req("X6-32")
@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_intents_whose_answers_cannot_be_written_are_recorded_and_the_sequence_is_said(
    world, buffered, options
):
    code, said = printed(
        *("-w", world, "--now-ns", 5, *options, "submit", "-"),
        text=3 * (json.dumps(INTENT) + "\n"),
        buffered=buffered,
    )
    with splittally.open(world) as kernel:
        last = kernel.state.seq - 1
        assert last == 4
        assert len(kernel.state.reservations) == 3
    assert code == 3
    assert said.count("\n") == 1
    assert said.startswith("tally: the output cannot be written: No space left on device; ")
    assert f"up to sequence {last}" in said


@pytest.mark.req("X6-32")
@pytest.mark.parametrize(
    "words",
    [
        *(["state"], ["state", "--json"], ["log"], ["log", "--json"], ["verify", "--json"], ["export"]),
        *(
            ["grants", "--json"],
            ["ledger"],
            ["accounts"],
            ["--json", "outcome", "00"],
            ["--json", "nonsense"],
        ),
    ],
)
def test_a_view_that_cannot_be_printed_ends_in_words(world, words):
    code, said = printed("-w", world, *words)
    assert code == 3
    assert said.splitlines()[-1] == "tally: the output cannot be written: No space left on device"
    assert "Traceback" not in said


@pytest.mark.req("X6-32")
@pytest.mark.parametrize("name", ["--version", *MENU])
def test_no_command_has_a_help_that_ends_in_a_traceback_where_it_cannot_be_printed(name, monkeypatch, capsys):
    with open(FULL, "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(SystemExit) as ended:
            tally.main([name] if name == "--version" else [name, "--help"])
    assert ended.value.code == 3
    assert "the output cannot be written" in capsys.readouterr().err


@pytest.mark.req("X6-32")
def test_where_nothing_can_be_said_at_all_the_exit_code_still_says_it(world):
    assert printed("-w", world, "state", to="> /dev/full 2> /dev/full")[0] == 3
    assert printed("-w", world, "nonsense", to="2> /dev/full")[0] == 2
    assert printed("-w", world, "state", to=">&-")[0] == 3
    assert printed("-w", world, "state", to="2>&-")[0] == 0


@pytest.mark.req("X6-32")
@pytest.mark.parametrize("words", [["state"], ["log"], ["--help"], ["verify", "--json"]])
def test_a_reader_that_goes_away_is_told_nothing(world, words):
    shell = f"({' '.join(command('-w', world, *words))}; echo $? >&2) | head -n 0"
    done = subprocess.run(shell, shell=True, env=environment(), capture_output=True, text=True, check=False)
    assert done.stderr == "141\n"


@pytest.mark.req("X6-32")
def test_a_key_that_cannot_be_written_is_none_and_can_be_made_again(world, folder, monkeypatch):
    def refuse(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", refuse)
        assert run("-w", world, "checkpoint", "--new-key", "--key", folder / "key.pem").code == 3
    assert not (folder / "key.pem").exists()
    assert run("-w", world, "checkpoint", "--new-key", "--key", folder / "key.pem").code == 0


@pytest.mark.req("X6-32")
def test_a_device_is_written_to_and_never_replaced_by_a_file(world, folder):
    (folder / "full").symlink_to(FULL)
    ran = run("-w", world, "export", "--out", folder / "full")
    assert ran.code == 3
    assert "No space left on device" in ran.err
    assert (folder / "full").is_symlink()
    os.mkfifo(folder / "pipe")
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit((folder / "pipe").read_bytes)
        assert run("-w", world, "export", "--out", folder / "pipe").code == 0
        assert read.result(10).count(b"\n") == 2
