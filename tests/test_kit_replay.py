"""`tally enforcer replay`: another build is asked what a journal recorded, and the sums are right."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally import Intent, Receipt
from splittally.core.commands import Judged
from splittally.journal.frame import EMPTY, open_frame, seal
from splittally.journal.lmdb import LmdbStore
from splittally.runtime.reader import open_reader
from splittally.sandbox import builtin
from splittally_tools.audit import replay_diff
from splittally_tools.audit.recorded_calls import Recording

from tests import golden
from tests.cli_tools import busy_world, intent, make_world, receipt, run
from tests.rows import worlds
from tests.rows.worlds import CAP, NATURAL_MAX, act, canned, denies, few, reserves, settle, uses

LLM = "sys/CapEnforceLlm@1"


class Fate(NamedTuple):
    """One intent: what its Check answers, and what its Settle does; None for no receipt."""

    check: bytes
    settle: bytes | None


DIMS = st.sampled_from(("tokens", "bytes", "cents"))
AMOUNTS = st.dictionaries(DIMS, st.sampled_from((0, 1, 2, 7, 2**53 + 1, NATURAL_MAX)), max_size=3)
CODES = st.sampled_from(("too_large", "not_listed"))
CHECKS = st.one_of(AMOUNTS.map(reserves), CODES.map(denies), st.just(b"\x01"))
SETTLES = st.one_of(AMOUNTS.map(uses), st.builds(uses, AMOUNTS, CODES), st.just(b"\x80"))
FATES = st.lists(st.builds(Fate, CHECKS, st.one_of(st.none(), SETTLES)), max_size=12)


def lived(folder: Path, fates: list[Fate]) -> list[Fate]:
    """A world in which these intents were asked and settled; those receipts that found a hold."""
    with worlds.world({"g": {}}, folder) as kernel:
        done = []
        for fate in fates:
            decision = act(kernel, fate.check, params={"n": len(done)})
            is_settled = decision.allowed and fate.settle is not None
            if is_settled:
                settle(kernel, decision.intent_hash, fate.settle)
            done.append(fate if is_settled else fate._replace(settle=None))
        return done


def replayed(world, module: bytes, *options: Any, name: str = CAP) -> Any:
    file = Path(world).with_suffix(".wasm")
    file.write_bytes(module)
    return run("enforcer", "replay", world, "--module", file, "--name", name, "--json", *options)


# --- the obvious model ------------------------------------------------------------------------------


def said(answer: bytes) -> dict[str, Any]:
    """What an answer says, by a decoder that knows these few answers only."""
    for variant, body in (worlds.cbor2.loads(answer) or {}).items() if len(answer) > 1 else ():
        if variant == "Check":
            return {"deny": body["deny"]["code"]} if "deny" in body else {"reserve": body["reserve_estimate"]}
        violation = {"violation": body["violation"]["code"]} if "violation" in body else {}
        return {"usage": body["usage"], **violation}
    return {"fault": "bad_output"}


def model(fates: list[Fate], check: bytes, settled: bytes) -> dict[str, Any]:
    """The report by the definition: one intent after the other, written out."""
    reserve = {"was": Counter(), "now": Counter()}
    usage = {"was": Counter(), "now": Counter()}
    counts = Counter(newly_denied=0, newly_allowed=0, newly_faulting=0)
    violations, changed = Counter(was=0, now=0), []
    for fate in fates:
        was, now = said(fate.check), said(check)
        reserve["was"].update(was.get("reserve", {}))
        reserve["now"].update(now.get("reserve", {}))
        counts["newly_denied"] += "reserve" in was and "deny" in now
        counts["newly_allowed"] += "reserve" not in was and "reserve" in now
        counts["newly_faulting"] += "fault" not in was and "fault" in now
        changed += [("Check", was, now)] if was != now else []
        if fate.settle is None:
            continue
        held, was, now = was["reserve"], said(fate.settle), said(settled)
        for when, verdict in (("was", was), ("now", now)):
            used = verdict.get("usage", held)
            usage[when].update(used)
            passed = any(amount > held.get(dim, 0) > 0 for dim, amount in used.items())
            violations[when] += "fault" in verdict or "violation" in verdict or passed
        counts["newly_faulting"] += "fault" not in was and "fault" in now
        changed += [("Settle", was, now)] if was != now else []

    def pairs(sums):
        dims = sorted({*sums["was"], *sums["now"]})
        return {dim: {when: sums[when][dim] for when in ("was", "now")} for dim in dims}

    totals = {"reserve": pairs(reserve), "usage": pairs(usage), **counts, "violations": dict(violations)}
    return {"totals": totals, "changed": changed}


def exactly(value: Any) -> Any:
    """JSON with large integers, which are printed as text, as integers again."""
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    return int(value) if isinstance(value, str) and value.isdigit() else value


@few
@given(fates=FATES, check=CHECKS, settled=SETTLES)
def test_totals_and_differences_are_those_of_the_definition(tmp_path_factory, fates, check, settled):
    world = tmp_path_factory.mktemp("replay") / "world"
    fates = lived(world, fates)
    wanted = model(fates, check, settled)
    ran = replayed(world, canned(check, settled), "--strict")
    assert ran.code == (1 if wanted["changed"] else 0)
    found = ran.json
    assert (found["checks"], found["settles"]) == (
        len(fates),
        sum(fate.settle is not None for fate in fates),
    )
    assert exactly(found["totals"]) == wanted["totals"]
    listed = [(each["asked"], exactly(each["was"]), exactly(each["now"])) for each in found["otherwise"]]
    assert listed == wanted["changed"]
    assert (found["unmatched"], found["other_engines"]) == (0, 0)


# --- what is asked ----------------------------------------------------------------------------------


def test_each_difference_names_its_frame_and_intent(tmp_path):
    with worlds.world({"g": {}}, tmp_path / "world") as kernel:
        first, second = (act(kernel, {"tokens": at}, params={"n": at}) for at in (3, 4))
        ended = settle(kernel, first.intent_hash, {"tokens": 2})
    found = replayed(tmp_path / "world", canned(reserves({"tokens": 4}), uses({"tokens": 2}, "odd"))).json
    assert [(row["seq"], row["intent_hash"], row["asked"]) for row in found["otherwise"]] == [
        (first.seq, first.intent_hash.hex(), "Check"), (ended.seq, first.intent_hash.hex(), "Settle"),
    ]  # fmt: skip
    assert {(row["grant"], row["cap"], row["kind"]) for row in found["otherwise"]} == {("g", CAP, worlds.ACT)}
    assert second.intent_hash.hex() not in json.dumps(found)


def test_the_same_build_changes_nothing_and_strict_agrees(tmp_path):
    lived(tmp_path / "world", [Fate(reserves({"tokens": 3}), uses({"tokens": 2})), Fate(denies("no"), None)])
    ran = replayed(tmp_path / "world", worlds.PARROT, "--strict")
    assert (ran.code, ran.json["otherwise"], ran.json["checks"]) == (0, [], 2)


def test_differences_alone_exit_with_zero(tmp_path):
    lived(tmp_path / "world", [Fate(reserves({"tokens": 3}), None)])
    assert replayed(tmp_path / "world", canned(denies("no"), uses({}))).code == 0


def test_an_answer_in_other_words_is_counted_and_no_difference(tmp_path):
    lived(tmp_path / "world", [Fate(denies("no", "because"), None)])
    found = replayed(tmp_path / "world", canned(denies("no", "for another reason"), uses({}))).json
    assert (found["reworded"], found["otherwise"]) == (1, [])


def test_a_module_that_counts_its_calls_differs_once_for_each_call(tmp_path):
    """It looks impure: what it counts is gone with its instance, so every call is its first."""
    lived(tmp_path / "world", [Fate(reserves({"tokens": 1}), None)] * 5)
    counter = worlds.built(
        worlds._FRAME
        % """(global $n (mut i32) (i32.const 0)) (data (i32.const 40000) "%s")
  (func (export "run") (param i32 i32) (result i64)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i32.store8 (i32.const %d) (global.get $n))
    (i64.const %d))"""
        % (
            "".join(f"\\{byte:02x}" for byte in reserves({"tokens": 9})),
            40_000 + len(reserves({"tokens": 9})) - 1,
            40_000 << 32 | len(reserves({"tokens": 9})),
        )
    )
    found = replayed(tmp_path / "world", counter).json
    assert (found["checks"], found["otherwise"]) == (5, [])
    assert found["totals"]["reserve"] == {"tokens": {"was": 5, "now": 5}}


def test_every_grant_of_a_chain_is_asked(tmp_path):
    world = make_world(tmp_path / "world")
    (decided,) = run("-w", world, "submit", text=intent("child", 7)).lines
    run("-w", world, "settle", text=receipt(decided["intent_hash"]))
    module = canned(reserves({}), uses({}))
    found = replayed(world, module, name=LLM).json
    grants = [(row["asked"], row["grant"]) for row in found["otherwise"]]
    assert grants == [(asked, grant) for asked in ("Check", "Settle") for grant in ("child", "pool")]
    assert found["totals"]["reserve"] == {"tokens": {"was": 14, "now": 0}}


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory):
    """A world whose cap and module had two versions; the first still settles what it checked."""
    folder = tmp_path_factory.mktemp("upgraded") / "world"
    named = {"modules": {"test/Parrot@1": worlds.PARROT}}
    with worlds.world({"g": {}}, folder, **named) as kernel:
        old = act(kernel, {"tokens": 1})
        worlds.apply(
            kernel, worlds.manifest({"g": {}}, worlds.another(), modules={"test/Parrot@1": worlds.another()})
        )
        act(kernel, {"tokens": 2})
        settle(kernel, old.intent_hash, {"tokens": 1})
    return folder


def test_a_name_means_every_module_that_it_meant(upgraded):
    found = replayed(upgraded, canned(reserves({}), uses({})), name="test/Parrot@1").json
    assert (found["checks"], found["settles"]) == (2, 1)
    first, second = (worlds.module_hash(wasm).hex() for wasm in (worlds.PARROT, worlds.another()))
    assert found["asked_of"] == {first: 2, second: 1}


def test_a_hash_means_one_module_alone(upgraded):
    file = upgraded.with_suffix(".wasm")
    file.write_bytes(canned(reserves({}), uses({})))
    old = worlds.module_hash(worlds.another()).hex()
    found = run("enforcer", "replay", upgraded, "--module", file, "--old", old, "--json").json
    assert (found["checks"], found["settles"], found["asked_of"]) == (1, 0, {old: 1})
    short = run("enforcer", "replay", upgraded, "--module", file, "--old", old[:8], "--json").json
    assert short["asked_of"] == {old: 1}
    none = run("enforcer", "replay", upgraded, "--module", file, "--old", "0000000000")
    assert none.code == 2
    assert "no hash here begins with" in none.err


def test_a_name_of_the_release_is_asked_of_the_module_of_the_release(tmp_path):
    world = busy_world(tmp_path / "world")
    found = run("enforcer", "replay", world, "--name", LLM, "--json").json
    assert (found["checks"], found["settles"], found["otherwise"]) == (17, 8, [])


def test_a_late_receipt_and_a_group_are_asked_too(tmp_path):
    with worlds.world({"g": {}, "h": {}}, tmp_path / "world") as kernel:
        late = act(kernel, {"tokens": 1})
        kernel.release(late.intent_hash)
        settle(kernel, late.intent_hash, {"tokens": 1})
        group = [Intent(worlds.ACT, {"a": reserves({"tokens": at})}, grant) for at, grant in enumerate("gh")]
        kernel.submit(group, mode="all")
        kernel.submit([Intent(worlds.ACT, {"a": denies("no")}, grant) for grant in "gh"], mode="first")
    found = replayed(tmp_path / "world", worlds.PARROT).json
    assert (found["checks"], found["settles"], found["unmatched"]) == (5, 1, 0)


def test_a_group_that_changes_what_its_later_members_are_asked_counts_the_later_question(tmp_path):
    world = make_world(tmp_path / "world")
    with splittally.open(world) as kernel:
        terms = {"cap": "sys/llm.basic@1", "params": {"max_tokens_max": 5}, "budget": {"tokens": 100}}
        amend = Intent("grant.amend", {"name": "pool", "terms": terms}, "root")
        ask = Intent("llm.generate", {"max_tokens": 4}, "pool")
        assert [each.outcome for each in kernel.submit([amend, ask], mode="all")] == ["allow", "allow"]
    with open_reader(world) as reader:
        recording = Recording(reader, lambda cap, module: True)
        (call,) = recording.calls()
    assert b"max_tokens_max" in call.question.data
    assert recording.unmatched == 0


def test_every_answer_of_the_golden_journal_is_found_with_its_question(tmp_path):
    made, prev = [], EMPTY.hash
    for seq, data in enumerate(golden.stored_frames()):
        made.append(seal(seq, prev, open_frame(data)[2]))
        prev = made[-1].hash
    store = LmdbStore(tmp_path / "journal", writable=True)
    store.append(store.head, made)
    store.close()
    with open_reader(tmp_path) as reader:
        recording = Recording(reader, lambda cap, module: True)
        calls = list(recording.calls())
        seen = [each for record in reader.records() for each in record.body.seen if isinstance(each, Judged)]
    assert len(calls) == len(seen) > 100
    assert recording.unmatched == 0
    assert {call.question.hash for call in calls} == {each.question for each in seen}


def test_what_another_engine_answered_is_counted(tmp_path, monkeypatch):
    lived(tmp_path / "world", [Fate(reserves({"tokens": 1}), None)])
    monkeypatch.setattr(replay_diff, "current_engine", lambda: "another engine")
    assert replayed(tmp_path / "world", worlds.PARROT).json["other_engines"] == 1


# --- what it is for people, and what it leaves alone -------------------------------------------------


def test_people_see_the_first_differences_and_every_total(tmp_path):
    lived(tmp_path / "world", [Fate(reserves({"tokens": 3}), uses({"tokens": 2}))] * 30)
    file = tmp_path / "new.wasm"
    file.write_bytes(canned(denies("no"), uses({"tokens": 4})))
    out = run("enforcer", "replay", tmp_path / "world", "--module", file, "--name", CAP).out
    assert "30 recorded checks and 30 settles asked again, 60 answered otherwise" in out
    assert out.count("  seq ") == replay_diff.SHOWN_MAX
    assert "and 40 more" in out
    assert "newly denied 30, newly allowed 0, newly faulting 0, violations 0 -> 30" in out
    assert [line.split() for line in out.splitlines() if line.startswith("tokens")] == [
        ["tokens", "90", "0", "60", "120"]
    ]


def test_differences_that_do_not_fit_in_memory_are_listed_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(replay_diff, "SPOOLED_BYTES_MAX", 64)
    lived(tmp_path / "world", [Fate(reserves({"tokens": 3}), None)] * 30)
    found = replayed(tmp_path / "world", canned(denies("no"), uses({}))).json
    assert len(found["otherwise"]) == 30


def test_replay_writes_nothing_into_the_world(tmp_path):
    world = busy_world(tmp_path / "world")
    before = {file: file.read_bytes() for file in world.rglob("*") if file.is_file()}
    assert replayed(world, builtin("sys/CapAllowAll@1"), name=LLM).json["otherwise"]
    assert {file: file.read_bytes() for file in world.rglob("*") if file.is_file()} == before


def test_a_world_that_is_being_written_can_be_replayed(tmp_path):
    with worlds.world({"g": {}}, tmp_path / "world") as kernel:
        act(kernel, {"tokens": 1})
        assert replayed(tmp_path / "world", worlds.PARROT).json["checks"] == 1
        kernel.settle(Receipt(act(kernel, {"tokens": 2}).intent_hash, "ok", "a", uses({})))
        assert replayed(tmp_path / "world", worlds.PARROT).json["settles"] == 1
