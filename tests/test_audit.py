"""`tally verify`: a sound journal passes, and whatever is wrong is named, without a traceback."""

import random
import shutil

import pytest
import splittally
from splittally.core.canonical import encode
from splittally.core.errors import JournalDamaged
from splittally.core.ledger import evolve
from splittally.core.limits import INT_MAX

from tests.cli_tools import busy_world, copied, forged, process, run
from tests.journal_damage import FILE_DAMAGE, INSERTED, RECORD_DAMAGE, edited

FRAMES = 18  # of the busy world: 2-9 asked, 10 denied, 11-14 settled, 15 released, 16 issued, 17 moved
DENIED, RELEASED, ISSUED, MOVED = 10, 15, 16, 17
SETTLED = (11, 12)
SUBMIT, DECIDED, CHARGED, POSTED = 1, 1, 4, 7  # tags


@pytest.fixture(scope="module")
def world(memory):
    return busy_world(memory / "world")


@pytest.fixture
def target(memory):
    folder = memory / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def verify(world, *options):
    ran = run("-w", world, "verify", "--json", *options)
    assert ran.code == (0 if ran.json["sound"] else 1)
    return ran.json


def damage_of(world, *options):
    """Where the first damage is, and what is said of it."""
    report = verify(world, *options)
    assert not report["sound"]
    assert report["error"]["code"] == "damaged"
    return report["error"]["facts"]["seq"], report["error"]["message"]


# --- sound ------------------------------------------------------------------------------------------


def test_a_sound_world_passes_and_says_what_was_checked(world):
    report = verify(world)
    assert (report["frames"], report["intents"], report["resources"]) == (FRAMES, 12, 1)
    assert report["state_root"] == run("-w", world, "state", "--root").out.strip()
    people = run("-w", world, "verify").out
    assert people.startswith("sound: ")
    assert report["state_root"] in people


def test_nothing_outside_the_world_changes_what_verify_prints(world):
    settings = (
        {"PYTHONHASHSEED": "0", "TZ": "UTC", "LANG": "C"},
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LANG": "tr_TR.UTF-8", "COLUMNS": "40"},
    )
    outs = {process("-w", world, "verify", "--rejudge", **environment).out for environment in settings}
    assert len(outs) == 1
    assert outs.pop().startswith(f"sound: {FRAMES} frames")


def test_verifying_writes_nothing(world):
    def content():
        files = sorted(path for path in world.rglob("*") if path.is_file())
        return [(path, path.stat().st_mtime_ns, path.read_bytes()) for path in files]

    before = content()
    verify(world, "--rejudge")
    assert content() == before


# --- damaged files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FILE_DAMAGE)
def test_a_damaged_file_is_named_or_is_provably_the_same(world, target, kind):
    sound = verify(world)
    damage, _ = FILE_DAMAGE[kind]
    for seed in range(5):
        copied(world, target)
        told = damage(target / "journal" / "data.mdb", random.Random(seed))
        ran = run("-w", target, "verify", "--json")
        assert ran.code in (0, 1), (kind, seed, told)
        if ran.code == 0:
            assert ran.json == sound
        else:
            assert 0 <= ran.json["error"]["facts"]["seq"] <= FRAMES
            assert ran.err == ""


@pytest.mark.parametrize("kind", RECORD_DAMAGE)
@pytest.mark.parametrize("seq", [0, 7, FRAMES - 2])
def test_a_record_that_was_changed_under_the_library_is_named(world, target, kind, seq):
    copied(world, target)
    edited(target / "journal" / "data.mdb", lambda txn: RECORD_DAMAGE[kind](txn, seq))
    found, _ = damage_of(target)
    assert max(seq - 1, 0) <= found <= seq + 1


@pytest.mark.parametrize("kind", INSERTED)
def test_what_was_put_behind_the_end_is_named(world, target, kind):
    copied(world, target)
    edited(target / "journal" / "data.mdb", lambda txn: INSERTED[kind](txn, FRAMES))
    assert damage_of(target)[0] <= FRAMES


@pytest.mark.parametrize("kind", ["cut short", "swapped pages"])
def test_damage_never_ends_the_process_by_a_signal_or_a_traceback(world, target, kind):
    copied(world, target)
    FILE_DAMAGE[kind][0](target / "journal" / "data.mdb", random.Random(1))
    ran = process("-w", target, "verify")
    assert ran.code == 1
    assert "damaged: " in ran.out
    assert "Traceback" not in ran.err


# --- journals that were written anew ----------------------------------------------------------------


def changed(seq, change):
    """An edit of one body."""

    def edit(at, body):
        if at == seq:
            change(body)
        return body

    return edit


def event_of(body, tag):
    return next(event for event in body[5] if event[0] == tag)


def ask_for_more(body):
    body[3][2][0][1] = encode({"model": "m", "max_tokens": 6})


def put(body, *path, value):
    for step in path[:-1]:
        body = body[step]
    body[path[-1]] = value


FORGED = {
    "an unnamed field": (5, lambda body: body[5][0].append(7), "more than its record says"),
    "an older time": (9, lambda body: put(body, 1, value=1), "dated before"),
    "other params": (3, ask_for_more, "is not the hash of what it asks for"),
    "an answer to nobody": (DENIED, lambda body: put(body, 5, 0, 1, value=bytes(32)), "was not asked"),
    "no opening": (0, lambda body: put(body, 3, value=[5, 1]), "does not open"),
    "no record": (4, lambda body: put(body, 3, value=[99]), "does not hold a record"),
    "an ending of nothing": (RELEASED, lambda body: put(body, 5, 0, 1, value=bytes(32)), "cannot be applied"),
    "value let in": (
        MOVED, lambda body: put(event_of(body, POSTED), 1, value="external/issuer"), "without an issue",
    ),
    "more than there is": (
        MOVED, lambda body: put(event_of(body, POSTED), 4, value=10**6), "than it may give",
    ),
    "value out of the air": (
        MOVED, lambda body: put(event_of(body, POSTED), 1, value=""), "that was not there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_journal_whose_chain_holds_is_named(world, target, kind):
    seq, change, said = FORGED[kind]
    found, message = damage_of(forged(world, target, changed(seq, change)))
    assert found == seq
    assert said in message


def test_opening_a_world_with_events_that_cannot_be_applied_names_their_frame(world, target):
    seq, change, said = FORGED["an ending of nothing"]
    forged(world, target, changed(seq, change))
    with pytest.raises(JournalDamaged, match=f"the events of frame {seq} {said}") as refused:
        splittally.open(target)
    assert refused.value.facts["seq"] == seq


@pytest.mark.req("S4-74")
def test_every_intent_is_hashed_again_from_the_bytes_that_the_enforcer_saw(world, target):
    assert verify(world)["intents"] == 12
    for field in (0, 1, 2, 3):  # kind, params, grant, key

        def change(body, field=field):
            member = body[3][2][0]
            other = {0: "llm.generated", 1: encode({"model": "m"}), 2: "pool", 3: bytes(32)}
            assert member[field] != other[field]
            member[field] = other[field]

        shutil.rmtree(target, ignore_errors=True)
        seq, message = damage_of(forged(world, target, changed(4, change)))
        assert (seq, "is not the hash" in message) == (4, True)


def test_a_sum_that_passes_every_amount_is_named_also_where_judging_again_would_begin(world, target):
    """Two charges pass 2^64-1 together; with eight processes the state after the second is written."""

    def edit(seq, body):
        if seq in SETTLED:
            put(event_of(body, CHARGED), 4, 0, 5, value={"tokens": INT_MAX})
        return body

    seq, message = damage_of(forged(world, target, edit), "--rejudge", "--jobs", "8")
    assert seq == SETTLED[1]
    assert "cannot be applied" in message


def test_an_intent_that_is_decided_finally_twice_is_named(world, target):
    kept = []

    def edit(seq, body):
        if seq == DENIED:
            kept.append(body)
        return [*body[:1], body[1], *kept[0][2:]] if seq == ISSUED else body if seq < ISSUED else None

    seq, message = damage_of(forged(world, target, edit))
    assert seq == ISSUED
    assert "a second time" in message


def test_a_journal_of_a_later_release_is_left_alone(world, target):
    ran = run(
        "-w", forged(world, target, changed(6, lambda body: put(body, 0, value=99))), "verify", "--json"
    )
    assert (ran.code, ran.json["error"]["code"]) == (3, "format_too_new")


def test_a_ledger_that_loses_a_unit_is_found_at_the_record_that_lost_it(world, monkeypatch):
    post = evolve.post

    def careless(ledger, event):
        post(ledger, event)
        if event.credit == "accounts/vendor":
            ledger.balances["accounts/vendor", event.resource] -= 1

    monkeypatch.setattr(evolve, "post", careless)
    seq, message = damage_of(world)
    assert (seq, "accounts/vendor in USD" in message) == (MOVED, True)


def test_a_counter_whose_reserve_is_nobodys_is_found(world, monkeypatch):
    monkeypatch.setattr(evolve, "_charge", lambda *_: None)
    assert "the reserve of child in tokens" in damage_of(world)[1]
