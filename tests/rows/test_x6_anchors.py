"""What lies beside the journal is believed only as far as the journal says; an older journal is noticed."""

import json
import shutil

import pytest
import splittally
from splittally.core.errors import JournalOlder
from splittally.runtime.reader import open_reader

from tests.rows.worlds import budget, held, save_snapshot, settle, tally, world

# --- an older journal -------------------------------------------------------------------------------


def aged(folder, rows=("snapshots", "index")):
    """A world whose journal is of yesterday, beside the snapshot and index run of today; both last frames."""
    path, yesterday = folder / "w", folder / "yesterday.mdb"
    with world(budget(tokens=100), path) as kernel:
        settle(kernel, held(kernel, {"tokens": 40}), {"tokens": 40})
        save_snapshot(kernel)
        old = kernel.state.seq
    shutil.copy(path / "journal" / "data.mdb", yesterday)
    with splittally.open(path) as kernel:
        held(kernel, {"tokens": 60})
        covered = kernel.state.seq
        save_snapshot(kernel)
    shutil.copy(yesterday, path / "journal" / "data.mdb")
    for name in {"snapshots", "index"} - set(rows):
        shutil.rmtree(path / name)
    return path, old - 1, covered - 1


@pytest.mark.req("X6-34")
@pytest.mark.parametrize("rows", [("snapshots", "index"), ("snapshots",), ("index",)], ids=repr)
def test_an_older_journal_beside_newer_files_is_refused_naming_both_frames(folder, rows):
    path, last, covered = aged(folder, rows)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "lock"}
    for _ in range(2):  # refusing removes nothing of what shows it
        with pytest.raises(JournalOlder, match=f"ends at frame {last}, .* cover frame {covered}") as refused:
            splittally.open(path)
        assert refused.value.facts == {"seq": last + 1, "last": last, "covered": covered}
        assert "put the newest `journal/data.mdb` back" in str(refused.value)
    with open_reader(path) as reader:
        assert reader.record(last).seq == last  # the frames that are there can be read
        with pytest.raises(JournalOlder):
            assert reader.state.root
    assert before == {file: file.read_bytes() for file in before}


@pytest.mark.req("X6-34")
def test_the_command_line_refuses_an_older_journal_and_says_what_to_do(folder):
    path, last, covered = aged(folder)
    for command in (["tick"], ["ledger"]):
        code, said = tally(path, *command)
        assert code == 1
        assert all(word in json.dumps(said) for word in (f"frame {last}", f"frame {covered}", "data.mdb"))


@pytest.mark.req("X6-34")
def test_who_gives_the_missing_frames_up_removes_what_shows_them(folder):
    path, last, _ = aged(folder)
    shutil.rmtree(path / "snapshots")
    shutil.rmtree(path / "index")
    with splittally.open(path) as kernel:
        assert kernel.state.seq == last + 1
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 40}


@pytest.mark.req("X6-34")
def test_a_damaged_newer_file_shows_nothing_and_is_passed_over(folder):
    path, last, _ = aged(folder)
    for file in [*(path / "snapshots").iterdir(), *(path / "index").iterdir()]:
        file.write_bytes(file.read_bytes()[:-1])
    with splittally.open(path) as kernel:
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 40}
        assert kernel.at(last).root == kernel.state.root
        assert len(kernel.repairs) == 2


@pytest.mark.req("X6-34")
def test_a_reader_that_a_writer_overtook_is_not_refused(folder):
    path = folder / "w"
    with world(budget(tokens=100), path) as kernel, open_reader(path) as reader:
        size = reader.head.size
        held(kernel, {"tokens": 1})
        save_snapshot(kernel)
        assert reader.folded.size == size
