"""What lies beside the journal is believed only as far as the journal says; an older journal is noticed."""

import json
import shutil
from contextlib import closing, suppress

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.errors import JournalDamaged, JournalOlder
from splittally.core.events import Anchored
from splittally.core.hashing import hash_frame
from splittally.core.limits import MAP_BYTES_FIRST
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.journal import runs
from splittally.journal.frame import Frame, open_frame, seal
from splittally.journal.lmdb import LmdbStore
from splittally.journal.lmdb.environment import open_environment
from splittally.journal.lmdb.pages import key_bytes
from splittally.journal.runs import Run, write_run
from splittally.journal.snapshot import Snapshots
from splittally.runtime.reader import open_reader
from splittally.runtime.recover import fold

from tests import golden
from tests.cli_tools import run
from tests.rows.worlds import (
    ACT,
    bodies,
    budget,
    codes,
    held,
    reserves,
    save_snapshot,
    settle,
    tally,
    uses,
    world,
)

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
        assert len(kernel.repairs) == 3


@pytest.mark.req("X6-34")
def test_a_reader_that_a_writer_overtook_is_not_refused(folder):
    path = folder / "w"
    with world(budget(tokens=100), path) as kernel, open_reader(path) as reader:
        size = reader.head.size
        held(kernel, {"tokens": 1})
        save_snapshot(kernel)
        assert reader.folded.size == size


# --- what anchors name ------------------------------------------------------------------------------

KEYED = Intent(ACT, {"a": reserves({"tokens": 1})}, "g", idempotency_key=bytes(32))


def anchors(kernel):
    """The anchors of an open world by frame."""
    return {
        seq: event
        for seq, body in enumerate(bodies(kernel))
        for event in body.out
        if isinstance(event, Anchored)
    }


def saved(path, keyed=KEYED):
    """A world with a snapshot, an index run and one open hold; its hold, size, root and counters."""
    with world(budget(tokens=10), path) as kernel:
        settle(kernel, held(kernel, {"tokens": 4}), {"tokens": 4})
        first = kernel.submit(keyed)
        save_snapshot(kernel)
        return first, kernel.state.seq, kernel.state.root, dict(kernel.state.counters["g"])


def forge_snapshot(path, change):
    """A snapshot that is right in itself: other tables, with their root and with the digest of the file."""
    snapshots = Snapshots(path / "snapshots")
    kept = snapshots.latest()
    state = load_state(kept.data)
    change(state)
    snapshots.save(kept.seq, kept.frame_hash, state_root(state), dump_state(state))


def more_money(state):
    key = ("g", "tokens", "life", 0)
    old = state.ledger.counters[key]
    state.ledger.counters[key] = type(old)(10**9, old.reserved, old.spent, old.refunded, old.told)


def no_holds(state):
    state.ledger.holds.clear()


def nothing_stated(state):
    state.caps.stated.clear()


def an_effect_started(state):
    state.ledger.started[bytes(32)] = (bytes(16), 1)


def forge_run(path, forged):
    """A run that is right in itself: `forged` says which rows it has of those that it had."""
    file = next((path / "index").glob("*.run"))
    run = Run(file)
    groups = [sorted(forged(run.rows_of(first))) for first in range(256)]
    cover = run.cover
    run.close()
    file.unlink()
    write_run(path / "index", cover, sum(map(len, groups)), groups).close()


@pytest.mark.req("X6-18")
def test_an_anchor_names_the_root_of_the_state_before_it_and_every_run(folder):
    path = folder / "w"
    _, size, root, _ = saved(path)
    with splittally.open(path) as kernel:
        ((seq, anchor),) = anchors(kernel).items()
        digests = kernel._world.index.digests
        assert (seq, anchor.size) == (size - 1, size - 1)
        assert (anchor.root, anchor.runs) == (kernel.at(seq - 1).root, digests)
        assert len(digests) == 1
        assert bodies(kernel)[seq].by == ""
        assert kernel.at(seq).root == root == anchor.root
        assert kernel.repairs == ()
    for _ in range(2):  # an idle close and an idle opening write none
        with splittally.open(path) as kernel:
            assert kernel.state.seq == size


@pytest.mark.req("X6-18")
def test_a_snapshot_of_bytes_that_are_no_state_stops_no_opening(folder):
    """Whole as a file, and what it holds is not in canonical form."""
    path = folder / "w"
    _, size, root, _ = saved(path)
    snapshots = Snapshots(path / "snapshots")
    kept = snapshots.latest()
    snapshots.save(kept.seq, kept.frame_hash, kept.root, b"no state")
    code, report = tally(path, "verify")
    assert (code, len(report["problems"])) == (1, 1)
    with splittally.open(path) as kernel:
        assert [f"snapshot {size - 2}" in repair and "read" in repair for repair in kernel.repairs] == [True]
        assert kernel.state.root == root


@pytest.mark.req("X6-18")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (more_money, "counters"),
        (no_holds, "holds"),
        (nothing_stated, "stated"),
        (an_effect_started, "started"),
    ],
)
def test_a_snapshot_forged_with_its_root_is_rebuilt_and_nothing_is_decided_on_it(folder, change, named):
    path = folder / "w"
    first, size, root, counters = saved(path)
    forge_snapshot(path, change)
    assert [named in problem for problem in tally(path, "verify")[1]["problems"]] == [True]
    with open_reader(path) as reader:
        assert reader.state.root == root
        assert any(named in repair for repair in reader.repairs)
    with splittally.open(path) as kernel:
        assert [f"snapshot {size - 2}" in repair and named in repair for repair in kernel.repairs] == [True]
        assert (kernel.state.root, kernel.state.counters["g"]) == (root, counters)
        assert held(kernel, {"tokens": 5})
        refused = kernel.submit(Intent(ACT, {"a": reserves({"tokens": 1})}, "g"))
        assert codes(refused) == ["budget_exceeded"]
        assert kernel.settle(Receipt(first.intent_hash, "ok", "a", uses({"tokens": 1}))).status == "settled"
    assert [kept.seq for kept in Snapshots(path / "snapshots").all()] == [size - 1]  # the forged one is gone
    with splittally.open(path) as kernel:
        assert kernel.repairs == ()  # what was built anew is anchored


def put_frames(path, frames):
    """Writes rows of the journal by hand, each with its own hash."""
    with closing(open_environment(path / "journal", MAP_BYTES_FIRST)) as env, env.begin(write=True) as txn:
        for frame in frames:
            txn.put(key_bytes(frame.seq), frame.hash + frame.data)


@pytest.mark.req("X6-18")
@pytest.mark.parametrize("chained_anew", [0, 1, 3])
def test_an_older_state_is_not_read_from_a_snapshot_whose_anchor_was_forged_too(folder, chained_anew):
    """Opening begins behind that anchor: who reads an older state must look at the chain from there on."""
    path = folder / "w"
    _, first, honest, _ = saved(path)
    with splittally.open(path) as kernel:
        for _ in range(4):
            held(kernel, {"tokens": 1})
        states = {seq: kernel.at(seq).root for seq in range(first - 2, kernel.state.seq - 1)}
        save_snapshot(kernel)
    newest = max((path / "snapshots").iterdir())
    kept = newest.read_bytes()
    newest.unlink()
    forge_snapshot(path, more_money)
    newest.write_bytes(kept)
    forged = Snapshots(path / "snapshots").all()[0].root
    with closing(LmdbStore(path / "journal", writable=False)) as store:
        last, frames = store.entry(first - 2)[0], []
        for seq in range(first - 1, first + chained_anew):
            rows = open_frame(store.entry(seq)[1].replace(honest, forged))[2]
            frames.append(seal(seq, last, rows))
            last = frames[-1].hash
    put_frames(path, frames)
    with splittally.open(path) as kernel, open_reader(path) as reader:
        assert kernel.repairs == ()
        for seq in states:
            for read in (kernel.at, reader.at):
                with pytest.raises(JournalDamaged) as refused:
                    assert read(seq).root == states[seq]
                assert refused.value.facts["seq"] in (first + chained_anew - 1, first + chained_anew)


def without(rows):
    return []


def misled(rows):
    return [row[:32] + bytes(8) for row in rows]


@pytest.mark.req("X6-18")
@pytest.mark.parametrize("forged", [without, misled])
@pytest.mark.parametrize("is_open", [False, True])
def test_an_index_run_forged_with_its_digest_is_rebuilt_and_decides_nothing_twice(folder, forged, is_open):
    path = folder / "w"
    with world(budget(tokens=10), path) as kernel:
        first = kernel.submit(KEYED)
        if not is_open:
            settle(kernel, first.intent_hash, {"tokens": 1})
        save_snapshot(kernel)
        root = kernel.state.root
    forge_run(path, forged)
    with open_reader(path) as reader:
        assert reader.outcome(first.intent_hash)["seq"] == first.seq
        assert any("index run" in repair for repair in reader.repairs)
    with splittally.open(path) as kernel:
        assert len(kernel.repairs) == 1
        assert "index run" in kernel.repairs[0]
        again = kernel.submit(KEYED)
        assert (again.seq, again.duplicate) == (first.seq, True)
        assert kernel.state.root == root
    with splittally.open(path) as kernel:
        assert kernel.repairs == ()
        assert kernel.submit(KEYED).duplicate


@pytest.mark.req("X6-18")
def test_judging_again_rests_on_no_run_that_audit_finds_wrong(folder):
    """A late receipt is decided by what the index knows of its intent."""
    path = folder / "w"
    with world(budget(tokens=10), path) as kernel:
        digest = held(kernel, {"tokens": 4})
        kernel.release(digest)
        save_snapshot(kernel)
        assert settle(kernel, digest, {"tokens": 4}).status == "late"
    forge_run(path, without)
    report = run("-w", path, "verify", "--rejudge", "--json").json
    assert [problem.startswith("index run") for problem in report["problems"]] == [True]
    assert ("error" in report, report["rejudged"]) == (False, report["frames"])


@pytest.mark.req("X6-18")
def test_what_is_held_is_known_whatever_the_index_says(folder):
    with world(budget(tokens=10), folder / "w") as kernel:
        first = kernel.submit(KEYED)
        kernel._world.index._rows.clear()
        again = kernel.submit(KEYED)
        assert (again.seq, again.duplicate) == (first.seq, True)


# --- crashes and other releases ---------------------------------------------------------------------


class Crash(Exception):
    pass


def crash(*_, **__):
    raise Crash


@pytest.mark.req("X6-18")
@pytest.mark.parametrize("step", ["snapshot", "run", "anchor", "removal"])
def test_a_crash_at_any_step_loses_no_frame_and_leaves_nothing_that_is_believed_wrongly(folder, step):
    """At each step the folder is what a crash would leave."""
    path, left = folder / "w", folder / "left"
    with world(budget(tokens=100), path) as kernel:
        for _ in range(3):
            settle(kernel, held(kernel, {"tokens": 1}), {"tokens": 1})
        save_snapshot(kernel)
        first = kernel.submit(KEYED)
        for _ in range(30):  # more rows than before, so the runs are merged
            settle(kernel, held(kernel, {"tokens": 1}), {"tokens": 1})
        named = kernel._world.index.digests
        size, root, opened = kernel.state.seq, kernel.state.root, kernel._world
        place, name = {
            "snapshot": (opened.index, "flush"),
            "run": (opened.store, "append"),
            "anchor": (opened.index, "remove_others"),
            "removal": (opened, "close"),
        }[step]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(place, name, crash)
            with suppress(Crash):
                save_snapshot(kernel)
        shutil.copytree(path, left)
        kernel._world.is_closed = True
        opened.store.close()
        opened.writer_lock.release()
    is_anchored = step in ("anchor", "removal")
    with open_reader(left) as reader:
        assert reader.folded.size == reader.head.size == size + is_anchored
        assert (reader.index.digests == named) == (
            not is_anchored
        )  # what the last anchor names is still there
        assert reader.state.root == root
        assert reader.outcome(first.intent_hash)["seq"] == first.seq
    with splittally.open(left) as kernel:
        assert bool(kernel.repairs) == (not is_anchored)
        assert kernel.state.root == root
        assert kernel.submit(KEYED).duplicate
        assert kernel._world.snapshot_size == kernel.state.seq
    with splittally.open(left) as kernel:
        assert kernel.repairs == ()


@pytest.mark.req("X6-18")
@pytest.mark.parametrize("behind", [0, 9])
def test_a_world_without_anchors_is_folded_once_and_then_anchored(folder, behind):
    """As an older release left it: files beside a journal of format 1 that names none of them."""
    path = folder / "w"
    path.mkdir()
    frames = golden.stored_frames(golden.RELEASED)
    with closing(LmdbStore(path / "journal", writable=True)) as store:
        sealed = [Frame(seq, hash_frame(data), data) for seq, data in enumerate(frames)]
        for at in range(0, len(sealed), 64):
            store.append(store.head, sealed[at : at + 64])
        head, state = store.head, fold(store, store.head.size - behind)
        at = state.size - 1, store.entry(state.size - 1)[0]
    more_money_anywhere(state)
    Snapshots(path / "snapshots").save(*at, state_root(state), dump_state(state))
    stored = json.loads((golden.RELEASED / "tour.json").read_text())["root"]
    with open_reader(path) as reader:
        assert reader.state.root.hex() == stored
    with splittally.open(path) as kernel:
        assert [repair for repair in kernel.repairs if "no anchor" in repair]
        assert kernel.at(head.size - 1).root.hex() == stored
        assert list(anchors(kernel)) == [head.size + 1]  # behind the change of engine
    with splittally.open(path) as kernel:
        assert kernel.repairs == ()
        assert kernel._world.snapshot_size == kernel.state.seq == head.size + 2


def more_money_anywhere(state):
    key = min(state.ledger.balances)
    state.ledger.balances[key] += 10**6


@pytest.mark.req("X6-18")
def test_a_long_journal_that_was_never_saved_is_anchored_when_it_is_opened(folder, monkeypatch):
    path = folder / "w"
    monkeypatch.setattr("splittally.runtime.opening.SNAPSHOT_CLOSE_FRAMES", 5)
    with world(budget(tokens=100), path) as kernel:
        for _ in range(4):
            held(kernel, {"tokens": 1})
        size = kernel.state.seq
    for _ in range(2):
        with splittally.open(path) as kernel:
            assert list(anchors(kernel)) == [size]
            assert kernel._world.snapshot_size == kernel.state.seq == size + 1


# --- audit ------------------------------------------------------------------------------------------


@pytest.mark.req("X6-18")
def test_audit_derives_the_anchored_root_again(folder):
    """A kernel that anchors another root than that of its state is found by both halves of verify."""
    path = folder / "w"
    saved(path)
    code, report = tally(path, "verify", "--rejudge")
    assert (code, report["sound"], report["snapshots_equal"], report["index_runs_equal"]) == (0, True, 1, 1)
    with splittally.open(path) as kernel, pytest.MonkeyPatch.context() as patch:
        patch.setattr("splittally.core.step.state_root", lambda _: bytes(32))
        held(kernel, {"tokens": 1})
        save_snapshot(kernel)
        last = kernel.state.seq - 1
    code, report = tally(path, "verify")
    assert code == 1
    assert report["error"]["facts"]["seq"] == last


@pytest.mark.req("X6-18")
def test_audit_names_a_run_that_the_kernel_did_not_write(folder):
    """Its rows are right, its bytes are not those whose digest the journal has."""
    path = folder / "w"
    saved(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BITS_MIN", 9)
        forge_run(path, list)
    code, report = tally(path, "verify")
    assert code == 1
    assert "no anchor" in report["problems"][0]
