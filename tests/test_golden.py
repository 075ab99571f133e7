"""The golden journal means today what it meant when it was written, and a run is a function of its input.

`python -m tests.golden` rewrites it; what that changes is reviewed in `tour.txt` and `tour.json`.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from splittally.core.canonical import decode, decode_plain, encode_plain
from splittally.core.commands import Settle, Submit
from splittally.core.events import Decided, Held, Noted, Posted, Refunded, Released, Settled
from splittally.core.evolve import remember
from splittally.core.frames import body_rows
from splittally.core.intent import intent_hash
from splittally.core.reasons import REASONS
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.core.state import State
from splittally.core.types import REFUSED_RECEIPT, RELEASE_CAUSES
from splittally.edge.answer_lines import readable
from splittally.edge.records import Intent, Receipt
from splittally.journal.frame import open_frame, seal
from splittally.runtime.kernel import Kernel

from tests import golden, golden_bulk
from tests.golden_questions import bodies_of, questions_of

STORED = json.loads((golden.JOURNALS / "tour.json").read_text())
ROOT = Path(__file__).parent.parent
EACH = pytest.mark.parametrize("folder", [golden.RELEASED, golden.JOURNALS], ids=["v1", "today"])


@cache
def frames(folder: Path = golden.JOURNALS) -> list[bytes]:
    return golden.stored_frames(folder)


@cache
def bodies(folder: Path = golden.JOURNALS):
    return bodies_of(frames(folder))


@cache
def tour():
    """The tour, run again now under the release and engine that the stored journal recorded."""
    return golden.play_tour(golden.genesis_of(frames()))


@cache
def bulk():
    return golden_bulk.play(golden.new_world("bulk"), 64)


def fold(stop: int | None = None, folder: Path = golden.JOURNALS) -> State:
    state = State()
    for body in bodies(folder)[:stop]:
        remember(state, body.at_ns, body.by, body.out)
    return state


# --- the stored bytes -------------------------------------------------------------------------------


@EACH
@pytest.mark.req("S4-03")
def test_folding_a_golden_journal_gives_the_stored_root(folder):
    """That of a released format is folded and not decided again: it was written under older rules."""
    stored = json.loads((folder / "tour.json").read_text())
    state = fold(folder=folder)
    assert state.size == stored["frames"] == len(frames(folder))
    assert state_root(state).hex() == stored["root"]
    assert state_root(load_state(dump_state(state))).hex() == stored["root"]


@EACH
def test_a_golden_journal_is_a_chain_that_ends_in_the_stored_head(folder):
    head = bytes(32)
    for at, data in enumerate(frames(folder)):
        seq, prev, body = open_frame(data)
        assert (seq, prev) == (at, head)
        frame = seal(seq, prev, body)
        assert frame.data == data
        head = frame.hash
    assert head.hex() == json.loads((folder / "tour.json").read_text())["head"]


@EACH
def test_records_read_from_a_golden_journal_are_written_as_the_same_bytes(folder):
    """Through the types, not only through CBOR: no field is lost, reordered or given a default."""
    for seq, (data, body) in enumerate(zip(frames(folder), bodies(folder), strict=True)):
        rows = body_rows(body.at_ns, body.by, body.command, body.seen, body.out, body.version)
        assert seal(seq, open_frame(data)[1], rows).data == data


@EACH
def test_frames_of_a_golden_journal_are_canonical_by_the_plain_definition(folder):
    for data in frames(folder):
        assert encode_plain(decode_plain(data)) == data


# --- the same run again -----------------------------------------------------------------------------


@pytest.mark.req("S4-03", "S4-19")
def test_running_the_tour_again_gives_the_same_bytes():
    assert golden.frames_of(tour().world) == frames()
    assert state_root(tour().world.state).hex() == STORED["root"]


def test_running_the_tour_again_gives_the_stored_transcript():
    assert golden.transcript(tour(), golden.play_host()) == (golden.JOURNALS / "tour.txt").read_text("utf-8")


RUN = "import runpy; runpy.run_module('tests.golden', run_name='__main__')"
WITHOUT_FAST_CODEC = "import sys; sys.modules['cbrrr'] = None; "


@pytest.mark.parametrize(
    ("environment", "program"),
    [
        ({"PYTHONHASHSEED": "0", "TZ": "Asia/Kathmandu", "BATCH": "1"}, ""),
        ({"PYTHONHASHSEED": "1", "LANG": "C", "LC_ALL": "C", "BATCH": "7"}, ""),
        ({"PYTHONHASHSEED": "random", "TZ": "America/St_Johns", "BATCH": "64"}, WITHOUT_FAST_CODEC),
    ],
    ids=["batches-of-1", "batches-of-7", "batches-of-64-and-the-plain-codec"],
)
def test_nothing_outside_the_input_changes_a_run(environment, program):
    """Hash seed, time zone, locale, size of commits and codec are no input."""
    roots = json.loads(in_a_fresh_process(program + RUN, environment, "roots"))
    assert roots["tour"] == {name: STORED[name] for name in ("frames", "head", "root")}
    assert roots["bulk"] == golden.roots_of(bulk().state, bulk().store.head.hash)


def in_a_fresh_process(program: str, environment: dict[str, str], *arguments: str) -> str:
    paths = os.pathsep.join(str(ROOT / name) for name in ("kernel", "enforcers", "journal_tools", "."))
    kept = {name: value for name, value in os.environ.items() if name not in ("LANG", "LC_ALL", "TZ")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**kept, "PYTHONPATH": paths, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.req("S4-03", "S4-85")
def test_a_thousand_generated_steps_replay_in_a_fresh_process_to_the_same_ledger(tmp_path):
    world = golden_bulk.play(golden.new_world("bulk", tmp_path / "w"), 64)
    kernel = Kernel(world)
    shown = {
        "root": kernel.state.root.hex(),
        "counters": readable(kernel.state.counters),
        "reservations": sorted(digest.hex() for digest in kernel.state.reservations),
    }
    kernel.close()
    program = (
        "import json, sys, splittally\n"
        "from splittally.edge.answer_lines import readable\n"
        "with splittally.open(sys.argv[1]) as kernel:\n"
        "    state = kernel.state\n"
        "    print(json.dumps({'root': state.root.hex(), 'counters': readable(state.counters),\n"
        "                      'reservations': sorted(x.hex() for x in state.reservations)}))\n"
    )
    assert len(shown["reservations"]) > 10
    assert json.loads(in_a_fresh_process(program, {}, str(tmp_path / "w"))) == shown


# --- what it shows ----------------------------------------------------------------------------------


ONLY_UNDER_LOAD = {"busy"}  # takes more callers than one at a time


def test_every_code_of_the_kernel_is_shown_by_the_tour():
    shown = {finding.code for finding in tour().found + golden.play_host().found}
    assert set(REASONS) - shown == ONLY_UNDER_LOAD


def test_every_outcome_is_recorded():
    outcomes = Counter(x.outcome for body in bodies() for x in body.out if isinstance(x, Decided))
    assert set(outcomes) == {"allow", "deny", "require_approval", "defer", "escalate"}


def test_every_way_in_which_a_hold_ends_or_a_payload_fits_is_recorded():
    told = [event for body in bodies() for event in body.out]
    assert {x.how for x in told if isinstance(x, Settled)} == {
        "receipt", "late", "unknown", "attested", "native", "recorded",
    }  # fmt: skip
    assert {x.cause for x in told if isinstance(x, Released)} == set(RELEASE_CAUSES)
    fits = {body.command.fits for body in bodies() if isinstance(body.command, Settle)}
    assert fits == {"ok", "misfit", "too_large", "withheld"}


@pytest.mark.req("S4-24")
def test_a_settle_repeats_the_effect_params_of_its_check_byte_for_byte():
    """Single intents only: of a group's questions the frame does not say which member asked."""
    checked = {}
    settled = 0
    for asked in questions_of(bodies()):
        ((variant, message),) = decode(asked.data).items()
        if variant == "Settle":
            check = checked[asked.command.intent_hash, message["grant_name"]]
            assert {key: message[key] for key in check} == check
            settled += 1
        elif len(asked.command.members) == 1:
            checked[asked.command.members[0].intent_hash, message["grant_name"]] = message
    assert settled > 20


@pytest.mark.req("S4-24")
def test_a_settle_after_a_restart_repeats_the_effect_params_of_its_check(tmp_path):
    world = golden.new_world("tour", tmp_path / "w")
    kernel = Kernel(world)
    kernel.apply({"grants": {"g": {"cap": "sys/llm.basic@1"}}})
    decision = kernel.submit(Intent("llm.generate", {"max_tokens": 7, "b": 1, "a": 2}, "g"))
    world.save_projections()
    world.close()
    again = golden.worlds.open_or_create(tmp_path / "w")
    assert again.snapshot_size == again.state.size
    Kernel(again).settle(Receipt(decision.intent_hash, "ok", "a", {"prompt_tokens": 1}))
    check, settle = questions_of(bodies_of(golden.frames_of(again)))
    again.close()
    check, settle = decode(check.data)["Check"], decode(settle.data)["Settle"]
    assert {key: settle[key] for key in check} == check


@pytest.mark.req("S4-74")
def test_every_recorded_intent_is_named_by_the_hash_of_what_its_enforcers_saw():
    members = [
        member for body in bodies() if isinstance(body.command, Submit) for member in body.command.members
    ]
    assert len(members) > 100
    for member in members:
        assert intent_hash(member.kind, member.params, member.grant, member.key) == member.intent_hash


@pytest.mark.req("S4-50")
def test_a_release_replays_to_the_same_status_at_the_same_height_and_late_usage_counts_once():
    released = [
        (seq, event) for seq, body in enumerate(bodies()) for event in body.out if isinstance(event, Released)
    ]
    late = [x for body in bodies() for x in body.out if isinstance(x, Settled) and x.how == "late"]
    assert len({event.cause for _, event in released}) == 6
    for seq, event in released:
        assert event.intent_hash in fold(seq).ledger.holds
        assert event.intent_hash not in fold(seq + 1).ledger.holds
    assert len(late) >= 3
    assert len({event.intent_hash for event in late}) == len(late)
    assert {event.intent_hash for event in late} <= {event.intent_hash for _, event in released}


@pytest.mark.req("S4-100", "S4-38")
@pytest.mark.parametrize("journal", ["tour", "bulk"])
def test_recorded_amounts_sum_to_the_final_ledger(journal):
    recorded = bodies() if journal == "tour" else bodies_of(golden.frames_of(bulk()))
    kernel = Kernel(tour().world if journal == "tour" else bulk())
    spent, refunded, reserved = Counter(), Counter(), Counter()
    for event in (event for body in recorded for event in body.out):
        if isinstance(event, Settled):
            for leg in event.legs:
                spent.update({(leg.grant, dim): amount for dim, amount in leg.charged.items()})
        if isinstance(event, Refunded):
            for leg in event.legs:
                refunded.update({(leg.grant, dim): amount for dim, amount in leg.amounts.items()})
        if isinstance(event, Held):
            for leg in event.legs:
                reserved.update({(leg.grant, dim): amount for dim, amount in leg.reserve.items()})
    for hold in (x for x in held(recorded) if x.intent_hash not in kernel.state.reservations):
        for leg in hold.legs:
            reserved.subtract({(leg.grant, dim): amount for dim, amount in leg.reserve.items()})
    rows = {(grant, dim): row for grant, dims in kernel.state.counters.items() for dim, row in dims.items()}
    assert rows
    for key, row in rows.items():
        assert (row.spent, row.reserved, row.get("refunded", 0)) == (spent[key], reserved[key], refunded[key])


def held(recorded):
    return [event for body in recorded for event in body.out if isinstance(event, Held)]


def test_balances_and_what_is_in_flight_sum_to_zero_after_every_record():
    for recorded in (bodies(), bodies_of(golden.frames_of(bulk()))):
        moved = Counter()
        for body in recorded:
            for event in body.out:
                if isinstance(event, Posted):
                    moved[event.resource, event.debit] -= event.amount
                    moved[event.resource, event.credit] += event.amount
            flying = {resource: amount for (resource, account), amount in moved.items() if not account}
            assert all(amount >= 0 for amount in flying.values())
        assert moved
    for world in (tour().world, bulk()):
        assert all(row.imbalance == 0 for row in Kernel(world).state.resources.values())


def test_a_receipt_for_an_open_hold_always_ends_it():
    open_holds: set[bytes] = set()
    for body in bodies():
        command = body.command
        is_refused = any(isinstance(event, Noted) and event.subject == REFUSED_RECEIPT for event in body.out)
        is_receipt = isinstance(command, Settle) and command.status != "unknown" and not is_refused
        if is_receipt and command.intent_hash in open_holds:
            assert any(isinstance(event, Settled) for event in body.out)
        for event in body.out:
            if isinstance(event, Held):
                open_holds.add(event.intent_hash)
            if isinstance(event, Settled | Released):
                open_holds.discard(event.intent_hash)
    assert open_holds == set(tour().kernel.state.reservations)
