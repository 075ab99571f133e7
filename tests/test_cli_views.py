"""What people read of a world: books, reservations, history, reasons, the feed of changes."""

import csv
import io
import json
import subprocess
import threading

import cbor2
import pytest
import splittally
from splittally import Intent
from splittally.core.hashing import hash_frame
from splittally.core.native import NATIVE
from splittally.core.state import state_root
from splittally.journal.lmdb import LmdbStore
from splittally.runtime.reading import open_reader
from splittally.runtime.recover import fold
from splittally.sandbox import builtin

from tests.cli_tools import (
    MANIFEST,
    busy_world,
    command,
    environment,
    intent,
    make_world,
    process,
    receipt,
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
def test_reservations_for_people_show_whole_hashes_and_sums(world):
    found = run("-w", world, "reservations", "--grant", "child", "--json").json
    out = run("-w", world, "reservations", "--grant", "child").out
    for row in found["reservations"]:
        assert row["intent_hash"] in out
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


# --- the feed of changes ----------------------------------------------------------------------------


@pytest.mark.req("X5-20")
def test_a_reader_that_resumes_sees_exactly_what_came_since(fresh):
    with splittally.open(fresh) as kernel:
        kernel.submit([Intent("llm.generate", {"model": "m", "max_tokens": 1}, "pool") for _ in range(698)])
    first = run("-w", fresh, "log").lines
    assert [line["seq"] for line in first] == list(range(700))
    with splittally.open(fresh) as kernel:
        kernel.submit([Intent("llm.generate", {"model": "m", "max_tokens": 1}, "pool") for _ in range(300)])
    resumed = run("-w", fresh, "log", "--from", first[-1]["seq"] + 1).lines
    assert [line["seq"] for line in resumed] == list(range(700, 1_000))
    assert resumed[0]["prev"] == first[-1]["hash"]
    assert run("-w", fresh, "log", "--from", 1_000).out == ""
    assert [line["seq"] for line in run("-w", fresh, "log", "--from", 5, "--to", 7).lines] == [5, 6, 7]


@pytest.mark.req("X5-20")
def test_a_follower_is_told_of_every_frame_that_comes(fresh):
    child = subprocess.Popen(
        command("-w", fresh, "log", "--from", 2, "--follow"), env=environment(), stdout=subprocess.PIPE
    )
    run("-w", fresh, "submit", text=intent("pool", 1) * 70)
    run("-w", fresh, "submit", text=intent("pool", 1) * 30)
    seqs = [json.loads(child.stdout.readline())["seq"] for _ in range(100)]
    child.terminate()
    child.wait(30)
    child.stdout.close()
    assert seqs == list(range(2, 102))


def test_the_feed_can_be_narrowed_to_a_kind(world):
    assert {line["command"]["type"] for line in run("-w", world, "log", "--kind", "settle").lines} == {
        "settle"
    }
    assert len(run("-w", world, "log", "--kind", "released").lines) == 1
    assert len(run("-w", world, "log", "--kind", "money").lines) == 2
    assert [line["seq"] for line in run("-w", world, "log", "--kind", "grant").lines] == [0, 1]
    assert len(run("-w", world, "log", "--kind", "llm.generate").lines) == 9


def test_an_intent_shows_every_frame_that_speaks_of_it(world):
    settled = run("-w", world, "log", "--kind", "settle").lines[0]
    digest = settled["command"]["intent_hash"]
    frames = run("-w", world, "show", digest, "--json").json["frames"]
    assert [frame["command"]["type"] for frame in frames] == ["submit", "settle"]
    assert frames[0]["command"]["members"][0]["params"] == {"model": "m", "max_tokens": 5}
    assert "Check" in frames[0]["seen"][0]["answer"]
    by_seq = run("-w", world, "show", settled["seq"], "--json").json
    assert by_seq == run("-w", world, "show", by_seq["hash"], "--json").json["frames"][0]


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
    assert "budget: tokens=100 -> tokens=200" in people
    assert first["intent_hash"] in people


@pytest.mark.req("S4-97")
def test_a_change_that_nobody_acted_under_says_so(fresh):
    for _ in range(2):
        run("-w", fresh, "native", "grant.topup", "--name", "cap_llm", "--dim", "tokens", "--amount", 100)
    run("-w", fresh, "submit", text=intent())
    run("-w", fresh, "native", "grant.revoke", "--name", "cap_llm", "--order", "closing")
    history = run("-w", fresh, "grants", "cap_llm", "--history", "--json").json["history"]
    assert [change["what"] for change in history] == ["made", "changed", "changed", "revoked with cap_llm"]
    assert [change["first_intent"] is None for change in history] == [True, True, False, True]


# --- why --------------------------------------------------------------------------------------------


def test_a_refusal_names_grant_module_numbers_and_what_to_do(world):
    denied = next(
        event
        for line in run("-w", world, "log").lines
        for event in line["events"]
        if event["type"] == "decided" and event["outcome"] == "deny"
    )
    found = run("-w", world, "explain", denied["intent_hash"], "--json").json
    leaf, root = found["chain"]
    modules = {
        row["name"]: row["module"] for row in run("-w", world, "enforcer", "list", "--json").json["modules"]
    }
    assert leaf["module"] == {
        "name": "sys/CapEnforceLlmBasic@1", "hash": modules["sys/CapEnforceLlmBasic@1"],
    }  # fmt: skip
    assert leaf["answer"] == {"constraints_ok": True, "reserve_estimate": {"tokens": 500}}
    assert (root["grant"], root["module"]) == ("root", None)
    finding = found["findings"][0]
    facts = finding["facts"]
    assert (finding["stage"], finding["code"], facts["grant"]) == ("ledger", "budget_exceeded", "cap_llm")
    assert (facts["needed"], facts["available"], facts["dim"]) == (500, 100, "tokens")
    assert found["next"] == ["top_up"]
    people = run("-w", world, "explain", denied["intent_hash"]).out
    for said in (
        "budget_exceeded",
        "needed=500",
        "available=100",
        "sys/CapEnforceLlmBasic@1",
        "raise the limit",
    ):
        assert said in people


def test_an_allowed_intent_is_explained_with_its_whole_life(world):
    settled = run("-w", world, "log", "--kind", "settle").lines[0]
    found = run("-w", world, "explain", settled["command"]["intent_hash"], "--json").json
    assert (found["outcome"], found["status"], found["reserve"]) == ("allow", "settled", {"tokens": 5})
    assert [link["grant"] for link in found["chain"]] == ["child", "pool", "root"]
    assert [later["type"] for later in found["then"]] == ["settled"]
    assert not found["policy"]["exists"]


def test_an_explanation_is_of_the_time_of_the_decision(fresh):
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["policy"] = [
        {"name": "no-models", "decision": "deny", "effect_kind": "llm.generate", "cap_name": "pool"},
        {"name": "rest", "decision": "allow"},
    ]
    file = fresh.with_suffix(".policy.json")
    file.write_text(json.dumps(manifest))
    run("-w", fresh, "apply", file)
    denied = run("-w", fresh, "submit", text=intent("pool", 1, idempotency_key="ab" * 32)).lines[0]
    run("-w", fresh, "apply", fresh.with_suffix(".json"))
    found = run("-w", fresh, "explain", denied["intent_hash"], "--json").json
    assert found["policy"]["name"] == "no-models"
    assert found["policy"]["rule"] == 0
    assert found["findings"][0]["code"] == "policy_denied"
    assert any("new key" in advice for advice in found["next"])


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


# --- export -----------------------------------------------------------------------------------------


def test_a_cbor_sequence_is_the_journal_byte_for_byte(world, tmp_path):
    file = tmp_path / "journal.cborseq"
    assert run("-w", world, "export", "--format", "cborseq", "--out", file).code == 0
    data, frames = io.BytesIO(file.read_bytes()), []
    while data.tell() < len(file.read_bytes()):
        start = data.tell()
        cbor2.load(data)
        frames.append(file.read_bytes()[start : data.tell()])
    hashes = [line["hash"] for line in run("-w", world, "log").lines]
    assert [hash_frame(frame).hex() for frame in frames] == hashes


def test_an_ndjson_export_leaves_nothing_out(world):
    lines = run("-w", world, "export").lines
    assert len(lines) == len(run("-w", world, "log").lines)
    wasm = [event["value"] for event in lines[0]["events"] if event.get("table") == "blobs"]
    assert any(value.startswith("0061736d") for value in wasm)
    assert lines[2]["seen"]


def test_a_csv_cell_starts_no_formula(fresh):
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["grants"]["=1+1"] = {"cap": "sys/allow@1"}
    file = fresh.with_suffix(".csv.json")
    file.write_text(json.dumps(manifest))
    run("-w", fresh, "apply", file)
    decided = run("-w", fresh, "submit", text=intent("=1+1", 1)).lines[0]
    run("-w", fresh, "settle", text=receipt(decided["intent_hash"]))
    rows = list(csv.DictReader(io.StringIO(run("-w", fresh, "export", "--format", "csv").out)))
    assert {"'=1+1"} == {row["grant"] for row in rows if row["intent_hash"] == decided["intent_hash"]}
    assert [row["event"] for row in rows][-2:] == ["decided", "settled"]


def test_an_export_that_cannot_be_written_says_so_and_leaves_nothing(world, tmp_path):
    assert run("-w", world, "export", "--format", "parquet").code == 2
    ran = run("-w", world, "export", "--out", tmp_path / "none" / "file")
    assert ran.code == 3
    assert list(tmp_path.iterdir()) == []


def test_a_view_is_the_same_whatever_the_hash_seed(world):
    outs = {process("-w", world, "state", "--json", PYTHONHASHSEED=seed).out for seed in ("0", "1")}
    assert len(outs) == 1
