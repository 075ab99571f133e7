"""Small economies, played from their files: each ends as its transcript says, and adds up on the way.

`make economies REWRITE=--rewrite` writes the transcripts anew; they are reviewed as a diff.
"""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from splittally_tools.economies.__main__ import main
from splittally_tools.economies.economy import read_economy
from splittally_tools.economies.play import Unexpected, play

from tests.cli_tools import run

FOLDER = Path(__file__).parent.parent / "fixtures" / "economies"
FILES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_economy_ends_as_its_transcript_says_and_adds_up_after_every_step(file):
    played = play(read_economy(file))
    assert played.text == file.with_suffix(".txt").read_text("utf-8")
    assert (played.conserved, played.folds) == (True, True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_world_of_an_economy_is_sound_and_every_record_of_it_is_decided_so_again(file, tmp_path):
    played = play(read_economy(file), tmp_path / "world")
    ran = run("-w", tmp_path / "world", "verify", "--rejudge", "--json")
    assert (ran.code, ran.json["problems"], ran.json["not_rejudged"]) == (0, [], 0), ran
    assert ran.json["rejudged"] >= played.frames


def test_every_transcript_has_its_economy():
    assert [file.stem for file in sorted(FOLDER.glob("*.txt"))] == [file.stem for file in FILES]
    assert len(FILES) > 10


def test_playing_an_economy_twice_gives_the_same_text():
    economy = read_economy(FOLDER / "project.toml")
    assert play(economy) == play(economy)


def test_a_step_that_ends_otherwise_than_it_says_stops_the_run():
    economy = read_economy(FOLDER / "escrow.toml")
    refused = [step for step in economy.steps if step.refused]
    assert refused
    for step in refused:
        hopeful = [
            msgspec.structs.replace(each, refused="") if each is step else each for each in economy.steps
        ]
        with pytest.raises(Unexpected, match="should be carried out"):
            play(msgspec.structs.replace(economy, steps=hopeful))
    steps = [msgspec.structs.replace(economy.steps[0], refused="budget_exceeded")]
    with pytest.raises(Unexpected, match="should be refused: budget_exceeded"):
        play(msgspec.structs.replace(economy, steps=steps))


def test_an_unknown_key_of_a_step_is_refused_by_name(tmp_path):
    text = (FOLDER / "escrow.toml").read_text("utf-8").replace('as = "cleo"', 'az = "cleo"', 1)
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(msgspec.ValidationError, match="az"):
        read_economy(tmp_path / "a.toml")


def test_the_command_says_which_transcript_differs_and_writes_it_anew(tmp_path):
    (tmp_path / "escrow.toml").write_bytes((FOLDER / "escrow.toml").read_bytes())
    (tmp_path / "escrow.txt").write_text("something else\n")
    command = ["--dir", str(tmp_path)]
    told = CliRunner().invoke(main, command)
    assert (told.exit_code, "THE TRANSCRIPT DIFFERS" in told.output) == (1, True)
    assert CliRunner().invoke(main, [*command, "--rewrite"]).exit_code == 0
    again = CliRunner().invoke(main, command)
    assert (again.exit_code, "DIFFERS" in again.output) == (0, False)
    assert again.output.split() == ["escrow", "10", "steps", "11", "frames", "conserved", "folds"]
    assert (tmp_path / "escrow.txt").read_bytes() == (FOLDER / "escrow.txt").read_bytes()


def test_a_folder_without_economies_is_no_success(tmp_path):
    assert CliRunner().invoke(main, ["--dir", str(tmp_path)]).exit_code == 1
