"""What people read of a world: books, reservations, history, reasons, the feed of changes."""

import json
import threading

import pytest
import splittally
from splittally import Intent
from splittally.core.canonical import encode
from splittally.core.events import Defined
from splittally.core.hashing import hash_frame
from splittally.core.native import NATIVE
from splittally.core.snapshot import state_root
from splittally.journal.frame import Frame, open_frame, seal
from splittally.journal.lmdb import LmdbStore
from splittally.journal.memory import MemoryStore
from splittally.runtime.reader import open_reader, read_store
from splittally.runtime.recover import fold
from splittally.sandbox import builtin
from splittally_tools.audit.grant_history import grant_history

from tests.cli_tools import (
    MANIFEST,
    busy_world,
    intent,
    make_world,
    process,
    run,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return busy_world(tmp_path_factory.mktemp("views") / "world")


@pytest.fixture
def fresh(tmp_path):
    return make_world(tmp_path / "world")


# --- reservations -----------------------------------------------------------------------------------


@pytest.mark.req("S4-51")
@pytest.mark.parametrize("grant", ["child", "pool"])
def test_reservations_of_a_grant_and_dimension_add_up_to_the_counter(world, grant):
    found = run("-w", world, "reservations", "--grant", grant, "--dim", "tokens", "--json").json
    counter = run("-w", world, "ledger", "--json").json["ledger"][grant]["tokens"]
    rows = found["reservations"]
    assert len(rows) == 3
    assert sum(row["amount"] for row in rows) == counter["reserved"] == 15
    assert found["totals"] == [{"grant": grant, "dim": "tokens", "amount": 15, "reserved": 15}]
    assert {row["dim"] for row in rows} == {"tokens"}
    assert all(len(row["intent_hash"]) == 64 and row["age_ns"] >= 0 for row in rows)


@pytest.mark.req("S4-51")
def test_reservations_for_people_show_short_hashes_and_sums(world):
    found = run("-w", world, "reservations", "--grant", "child", "--json").json
    out = run("-w", world, "reservations", "--grant", "child").out
    for row in found["reservations"]:
        assert row["intent_hash"][:12] in out and row["intent_hash"][:13] not in out
    assert "counter's reserved" in out


def test_a_reservation_of_nothing_is_listed_too(fresh):
    manifest = {**MANIFEST, "grants": {**MANIFEST["grants"], "free": {"cap": "sys/allow@1"}}}
    file = fresh.with_suffix(".other.json")
    file.write_text(json.dumps(manifest))
    run("-w", fresh, "apply", file)
    decided = run("-w", fresh, "submit", text=intent("free", 1)).lines[0]
    rows = run("-w", fresh, "reservations", "--json").json["reservations"]
    assert [(row["intent_hash"], row["amount"]) for row in rows] == [(decided["intent_hash"], 0)]


def test_balances_are_shown_with_their_unit_and_sum_to_zero(world):
    document = run("-w", world, "accounts", "--json").json
    assert document["accounts"]["accounts/vendor"]["balances"] == {"USD": 250}
    assert document["resources"]["USD"]["imbalance"] == 0
    assert "2.50 USD" in run("-w", world, "accounts").out


# --- one sequence number, present or past -----------------------------------------------------------


@pytest.mark.req("X5-11")
def test_the_state_at_a_past_sequence_equals_a_fold_of_the_frames_up_to_it(world):
    store = LmdbStore(world / "journal", writable=False)
    for seq in range(store.head.size):
        past = run("-w", world, "state", "--at", seq, "--json").json
        assert past["seq"] == seq
        assert past["root"] == state_root(fold(store, seq + 1)).hex()
    now = run("-w", world, "state", "--json").json
    assert now == past
    assert now["counters"] == {
        name: {dim: {key: row[key] for key in ("limit", "reserved", "spent")} for dim, row in dims.items()}
        for name, dims in run("-w", world, "ledger", "--json").json["ledger"].items()
    }
    store.close()


@pytest.mark.req("X5-11")
def test_the_kernel_reads_its_own_past_the_same(world):
    with splittally.open(world) as kernel, open_reader(world) as reader:
        for seq in (0, 3, kernel.state.seq - 1):
            assert kernel.at(seq).root == reader.at(seq).root
            assert kernel.at(seq).seq == seq + 1
        with pytest.raises(splittally.InvalidInput):
            kernel.at(kernel.state.seq)


@pytest.mark.req("X5-11")
def test_a_reader_never_sees_a_mixture_while_somebody_writes(fresh):
    stop = threading.Event()
    seen = []

    def read():
        while not stop.is_set():
            with open_reader(fresh) as reader:
                state = reader.state
                seen.append(
                    (state.seq, state.root, len(state.reservations), state.counters["pool"]["tokens"])
                )

    with splittally.open(fresh) as kernel:
        thread = threading.Thread(target=read)
        thread.start()
        for _ in range(30):
            kernel.submit([Intent("llm.generate", {"model": "m", "max_tokens": 2}, "pool")] * 5)
        stop.set()
        thread.join()
        for seq, root, holds, counter in seen:
            assert root == kernel.at(seq - 1).root
            assert counter["reserved"] == 2 * holds
            assert holds % 5 == 0  # a commit is seen whole
    assert len({seq for seq, *_ in seen}) > 1


def test_there_is_no_state_beyond_the_last_frame(world):
    ran = run("-w", world, "state", "--at", "9999")
    assert ran.code == 2
    assert "the last is" in ran.err


# --- a grant whose meaning changed ------------------------------------------------------------------


@pytest.mark.req("S4-97")
def test_a_grant_changed_under_its_name_is_found_with_the_first_intent_under_it(fresh):
    before = run("-w", fresh, "submit", text=intent()).lines[0]
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["grants"]["cap_llm"]["budget"]["tokens"] = 200
    file = fresh.with_suffix(".raised.json")
    file.write_text(json.dumps(manifest))
    changed = run("-w", fresh, "apply", file, "--json").json
    run("-w", fresh, "submit", text=intent("pool", 1))
    first = run("-w", fresh, "submit", text=intent() + intent()).lines[0]

    made, raised = run("-w", fresh, "grants", "cap_llm", "--history", "--json").json["history"]
    assert (made["what"], made["first_intent"]["intent_hash"]) == ("made", before["intent_hash"])
    assert raised["seq"] == changed["seq"]
    assert raised["by"] == "operator"
    assert raised["fields"]["budget"] == [{"tokens": 100}, {"tokens": 200}]
    assert raised["grant_hash"] != made["grant_hash"]
    assert raised["first_intent"]["intent_hash"] == first["intent_hash"]
    assert raised["first_intent"]["grant_hash"] == raised["grant_hash"]
    assert raised["first_intent"]["terms_hash"] != made["first_intent"]["terms_hash"]
    people = run("-w", fresh, "grants", "cap_llm", "--history").out
    assert "budget: 100 tokens -> 200 tokens" in people
    assert first["intent_hash"][:12] in people


@pytest.mark.req("S4-97")
def test_a_change_that_nobody_acted_under_says_so(fresh):
    for _ in range(2):
        run("-w", fresh, "native", "grant.topup", "--name", "cap_llm", "--dim", "tokens", "--amount", 100)
    run("-w", fresh, "submit", text=intent())
    run("-w", fresh, "native", "grant.revoke", "--name", "cap_llm", "--order", "closing")
    history = run("-w", fresh, "grants", "cap_llm", "--history", "--json").json["history"]
    assert [change["what"] for change in history] == ["made", "changed", "changed", "revoked with cap_llm"]
    assert [change["first_intent"] is None for change in history] == [True, True, False, True]


@pytest.mark.parametrize(
    ("cap", "effect", "is_told"),
    [("*", "a", True), ("*", "native", False), ("a", "a", True), ("a", "*", False), ("native", "*", False)],
)
def test_a_new_schema_is_told_of_grants_whose_cap_covers_the_effect(cap, effect, is_told):
    """A cap of type `*` covers every type but `native`; nothing that an effect is called covers more."""
    store = MemoryStore()
    with splittally.open(None) as kernel:
        kernel.apply({"grants": {"g": {"cap": "sys/allow@1"}}})
        for seq, data in kernel._world.store.scan():
            store.append(store.head, [Frame(seq, hash_frame(data), data)])
    *front, _ = open_frame(store.entry(store.head.size - 1)[1])[2]  # the events stand last
    tag = Defined.__struct_config__.tag
    for schema in (b"1", b"2"):
        out = [
            [tag, "caps", "sys/allow@1", encode(["", cap, b""])],
            [tag, "effects", "x", encode(["", effect, schema])],
        ]
        store.append(store.head, [seal(store.head.size, store.head.hash, [*front, out])])
    told = [change["what"] for change in grant_history(read_store(store), "g")]
    assert ("schema of x changed" in told) == is_told


# --- natives and modules ----------------------------------------------------------------------------


def test_each_native_effect_is_a_command_with_its_own_help():
    listed = run("native", "--help").out
    for kind, row in NATIVE.items():
        if kind != "manifest.apply":
            assert kind in listed
            assert row.help in listed
            assert run("native", kind, "--help").code == 0


def test_a_grant_can_be_issued_word_by_word(fresh):
    issued = run(
        "-w", fresh, "native", "grant.issue", "--name", "alice", "--cap", "sys/llm.basic@1",
        "--holder", "alice", "--budget", "tokens=10", "--budget", "cents=5", "--hold-ns-max", "60",
        "--params", '{"models": ["m"]}',
    )  # fmt: skip
    assert issued.code == 0
    row = run("-w", fresh, "grants", "alice", "--json").json["grants"]["alice"]
    assert (row["budget"], row["holder"], row["hold_ns_max"]) == ({"tokens": 10, "cents": 5}, "alice", 60)
    assert run("-w", fresh, "--as", "alice", "submit", text=intent("alice", 3)).code == 0


def test_an_approval_is_answered_from_the_command_line(fresh):
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["policy"] = [{"name": "ask", "decision": "require_approval", "cap_name": "pool"},
                          {"name": "rest", "decision": "allow"}]  # fmt: skip
    file = fresh.with_suffix(".ask.json")
    file.write_text(json.dumps(manifest))
    run("-w", fresh, "apply", file)
    asked = run("-w", fresh, "submit", text=intent("pool", 5) * 2)
    assert asked.code == 0  # it waits; it was not refused
    first, second = (line["intent_hash"] for line in asked.lines)
    assert run("-w", fresh, "approve", first).code == 0
    assert run("-w", fresh, "reject", second).code == 0
    assert run("-w", fresh, "outcome", first, "--json").json["phase"] == "open"
    assert run("-w", fresh, "outcome", second, "--json").json["cause"] == "rejected"


def test_a_hold_is_extended_released_and_falls_due_from_the_command_line(fresh):
    lines = run("-w", fresh, "submit", text=intent("pool", 5, expires_ns=100) * 2).lines
    first, second = (line["intent_hash"] for line in lines)
    assert run("-w", fresh, "extend", first, "--expires-ns", 200, "--json").json["due_ns"] == 200
    assert run("-w", fresh, "tick", "--now-ns", 150, "--json").json["frames"] == 1
    assert run("-w", fresh, "outcome", second, "--json").json["cause"] == "expiry"
    released = run("-w", fresh, "release", first, "--cause", "governance", "--order", "o-1", "--json")
    assert (released.code, released.json["status"]) == (0, "released")
    again = run("-w", fresh, "release", first, "--json")
    assert (again.code, again.json["status"]) == (0, "duplicate")
    assert run("-w", fresh, "release", "ab" * 32).code == 1


def test_a_module_is_admitted_or_refused_by_name(tmp_path):
    good, bad = tmp_path / "good.wasm", tmp_path / "bad.wasm"
    good.write_bytes(builtin("sys/CapEnforceBlob@1"))
    bad.write_text("(module)")
    assert run("enforcer", "check", good).code == 0
    refused = run("enforcer", "check", bad, "--json")
    assert (refused.code, list(refused.json["failed"])) == (1, ["magic"])
    assert "refused: magic" in run("enforcer", "check", bad).out


def test_a_view_is_the_same_whatever_the_hash_seed(world):
    outs = {process("-w", world, "state", "--json", PYTHONHASHSEED=seed).out for seed in ("0", "1")}
    assert len(outs) == 1


# --- times for people -------------------------------------------------------------------------------


@pytest.mark.req("X8-04")
def test_the_age_of_a_reservation_goes_on_while_nothing_is_recorded(tmp_path):
    file = tmp_path / "m.json"
    file.write_text(json.dumps(MANIFEST))
    for command in (("init",), ("apply", file)):
        assert run("-w", tmp_path / "w", *command).code == 0
    assert run("-w", tmp_path / "w", "submit", text=intent()).code == 0
    before, after = (
        run("-w", tmp_path / "w", "--json", "reservations").json["reservations"][0]["age_ns"]
        for _ in range(2)
    )
    assert 0 < before < after


EXPIRIES = [
    ("+2h", 5 * 10**9 + 7_200 * 10**9),
    ("1970-01-01T03:00:00Z", 10_800 * 10**9),
    ("1970-01-01 03:00", 10_800 * 10**9),
    ("1970-01-01", 86_400 * 10**9 - 1),
]


@pytest.mark.req("X8-04")
@pytest.mark.parametrize(("said", "due_ns"), EXPIRIES)
def test_an_expiry_is_a_day_a_time_or_a_span(tmp_path, said, due_ns):
    folder = make_world(tmp_path / "w")
    asked = run("-w", folder, "submit", text=intent(now_ns=5 * 10**9, expires_ns=6 * 10**9)).json[
        "intent_hash"
    ]
    told = run("-w", folder, "--json", "--now-ns", 5 * 10**9, "extend", asked[:12], "--expires", said)
    assert (told.json["status"], told.json["due_ns"]) == ("extended", due_ns)


def test_an_expiry_that_is_none_is_a_usage_error(tmp_path):
    folder = make_world(tmp_path / "w")
    for words in (
        (),
        ("--expires", "+2 h"),
        ("--expires", "soon"),
        ("--expires", "+2h", "--expires-ns", "5"),
    ):
        assert run("-w", folder, "extend", "0" * 64, *words).code == 2, words
