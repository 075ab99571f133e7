"""What can be read: one state at one sequence, dry runs, reasons, a whole feed, drift that is found."""

import random
import threading

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, InvalidInput, Receipt
from splittally.core.snapshot import dump_state, load_state, state_root, tables
from splittally.journal.snapshot import Snapshots
from splittally.runtime.reader import open_reader
from splittally.runtime.recover import fold

from tests.rows.walk import POLICY, Walk
from tests.rows.worlds import (
    ACT,
    act,
    apply,
    bodies,
    books,
    budget,
    codes,
    denies,
    few,
    held,
    manifest,
    reserves,
    save_snapshot,
    settle,
    tally,
    tally_elsewhere,
    world,
)

ADVICE = {"retry_after", "replan", "top_up", "ask_approval", "escalate"}


# --- one state at one sequence ----------------------------------------------------------------------


@pytest.mark.req("X5-11")
@pytest.mark.parametrize("seed", range(2))
def test_the_state_at_any_sequence_is_the_fold_of_the_frames_up_to_it(folder, seed):
    with splittally.open(folder / "w", clock="given") as kernel:
        walk = Walk(kernel, seed)
        for _ in range(4):
            walk.walk(30)
            save_snapshot(kernel)
        chance = random.Random(seed)
        for seq in [0, kernel.state.seq - 1, *(chance.randrange(kernel.state.seq) for _ in range(12))]:
            then = kernel.at(seq)
            assert then.tables() == tables(fold(kernel._world.store, seq + 1))
            assert then.seq == seq + 1
        with pytest.raises(InvalidInput):
            kernel.at(kernel.state.seq)


@pytest.mark.req("X5-11")
def test_state_at_500_of_a_longer_journal_on_the_command_line_is_that_of_frames_0_to_500(folder):
    with world(budget(tokens=10**6), folder / "w") as kernel:
        kernel.submit([Intent(ACT, {"a": reserves({"tokens": n})}, "g") for n in range(700)])
        expected = state_root(fold(kernel._world.store, 501)).hex()
        assert kernel.at(500).counters["g"]["tokens"].reserved == sum(range(499))
    code, told = tally(folder / "w", "state", "--at", "500", "--root")
    assert code == 0
    assert expected in str(told)


@pytest.mark.req("X5-11")
def test_no_thread_ever_reads_a_mixture_while_others_write():
    grants = {"g": {"draws_on": {"USD": "accounts/a"}, "pays_to": ["accounts/b"]}}
    accounts = {"accounts/a": {}, "accounts/b": {}}
    with world(grants, resources={"USD": 0}, accounts=accounts) as kernel:
        assert kernel.native("ledger.issue", resource="USD", amount=10**6, to="accounts/a").allowed
        wrong, stop = [], threading.Event()

        def read():
            while not stop.is_set():
                try:
                    told = kernel.state.tables()
                    flying = sum(amount for _, amount in told["inflight"])
                    held_back = sum(draw[2] for _, row in told["holds"] for draw in row[9])
                    if sum(amount for _, amount in told["balances"]) + flying or flying != held_back:
                        wrong.append(("mixture", flying, held_back))
                    if kernel.state.resources["USD"].imbalance:
                        wrong.append("imbalance")
                except Exception as error:
                    wrong.append(repr(error))

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for _ in range(25):
            decisions = kernel.submit([Intent(ACT, {"a": reserves({"USD": 3})}, "g") for _ in range(12)])
            kernel.settle([Receipt(x.intent_hash, "ok", "", b"\xa0") for x in decisions])
        stop.set()
        for reader in readers:
            reader.join()
        assert wrong == []


# --- dry runs ---------------------------------------------------------------------------------------

GRANTS = {
    "team": {
        "budget": {"tokens": 400, "bytes": 900},
        "limits": [{"dim": "tokens", "per": "1s", "amount": 200}],
    },
    "g": {
        "parent": "team",
        "budget": {"tokens": 300},
        "limits": [
            {"dim": "tokens", "per": "intent", "amount": 90},
            {"dim": "tokens", "per": "day", "amount": 150, "over": "tell"},
            {"dim": "bytes", "per": "life", "amount": 20, "over": "shadow"},
            {"dim": "tokens", "per": "hour", "amount": 250, "over": "ask"},
        ],
    },
    "timed": {"expiry_ns": 5 * 10**8},
    "theirs": {"holder": "bob"},
}
ANSWER = st.one_of(
    st.dictionaries(st.sampled_from(["tokens", "bytes"]), st.integers(0, 120), max_size=2).map(reserves),
    st.sampled_from([denies("no", "not today"), b"\xff", reserves({"tokens": 2**64 - 1})]),
)
ASKED = st.tuples(
    st.sampled_from([ACT, ACT, ACT, "test.none"]),
    st.sampled_from(["g", "g", "team", "timed", "theirs", "nobody"]),
    ANSWER,
    st.sampled_from([None, None, ("reducer", "a/b@1"), ("neither", "a/b@1")]),
    st.sampled_from([None, None, None, 0, 1, 2]),
    st.sampled_from([None, None, 3 * 10**8, 10**9, -1]),
    st.integers(0, 4 * 10**7),
)


def dry_and_real(kernel, asked):
    """One intent, asked dry and then really, at a time a little later; what came of each."""
    kind, grant, answer, origin, key, expires, waits = asked
    now = kernel.state.now_ns + waits
    key = None if key is None else bytes([key]) * 32
    intent = Intent(kind, {"a": answer}, grant, origin, key, expires)
    frames = kernel.state.seq
    dry = kernel.decide(intent, now_ns=now)
    assert (dry.seq, kernel.state.seq) == (None, frames)
    real = kernel.submit(intent, now_ns=now)
    return dry, real


def agree(dry, real):
    return (dry.outcome, dry.findings, dry.reserve, dry.duplicate) == (
        real.outcome,
        real.findings,
        real.reserve,
        real.duplicate,
    )


@pytest.mark.req("X5-12", "X5-13")
@given(intents=st.lists(ASKED, max_size=25))
def test_a_dry_run_agrees_with_the_real_decision_and_every_denial_says_what_to_do(intents):
    with world(GRANTS, policy=POLICY) as kernel:
        for asked in intents:
            dry, real = dry_and_real(kernel, asked)
            assert agree(dry, real), (dry, real)
            assert_told(real)


def assert_told(decision):
    """Each finding of a refusal says what to do next, and those about amounts say which and how much."""
    if decision.outcome != "deny":
        return
    reasons = [x for x in decision.findings if x.code not in ("limit_approaching", "shadow_exceeded")]
    assert reasons
    for finding in reasons:
        assert finding.facts.get("next") in ADVICE, finding
        if finding.code in ("budget_exceeded", "intent_limit_exceeded", "approval_threshold"):
            assert {"dim", "grant", "needed", "available"} <= finding.facts.keys()
            assert finding.facts["needed"] > finding.facts["available"]
        if finding.code == "insufficient_balance":
            assert {"account", "resource", "needed", "available", "shortage"} <= finding.facts.keys()


@pytest.mark.req("X5-12")
@pytest.mark.parametrize("times", [2_000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_a_dry_run_agrees_with_the_real_decision_many_times_over(times):
    chance = random.Random(times)
    with world(GRANTS, policy=POLICY) as kernel:
        for number in range(times):
            amounts = {
                dim: chance.randrange(60) for dim in chance.sample(["tokens", "bytes"], chance.randrange(3))
            }
            key = chance.choice([None, chance.randrange(200)])
            asked = (
                ACT,
                chance.choice(["g", "team"]),
                reserves(amounts),
                None,
                key,
                None,
                chance.randrange(10**8),
            )
            dry, real = dry_and_real(kernel, asked)
            assert agree(dry, real), (number, dry, real)
            for digest in list(kernel.state.reservations)[:1]:
                settle(kernel, digest, {})


# --- reasons ----------------------------------------------------------------------------------------


@pytest.mark.req("X5-13")
def test_what_a_principal_does_not_hold_is_named_without_its_amounts():
    grants = {
        "team": {"budget": {"tokens": 10}},
        "g": {"parent": "team", "holder": "bob"},
    }
    with world(grants) as kernel:
        (finding,) = act(kernel.as_principal("bob"), {"tokens": 11}).findings
        assert (finding.code, finding.facts["dim"], finding.facts["next"]) == (
            "limited_above",
            "tokens",
            "top_up",
        )
        assert not {"needed", "available", "limit"} & finding.facts.keys()


REFUSALS = [
    ("account.open", {"account": "accounts/a"}),
    ("resource.define", {"resource": "USD"}),
    ("ledger.issue", {"resource": "EUR", "amount": 1, "to": "accounts/a"}),
    ("ledger.issue", {"resource": "USD", "amount": 1, "to": "accounts/a", "from": "accounts/a"}),
    ("ledger.issue", {"resource": "USD", "amount": 2**64 - 1, "to": "accounts/a"}),
    ("ledger.transfer", {"resource": "USD", "amount": 9, "from": "accounts/a", "to": "accounts/b"}),
    ("ledger.transfer", {"resource": "USD", "amount": 1, "from": "external/issuer", "to": "accounts/a"}),
    ("grant.issue", {"name": "g", "terms": {"cap": "sys/allow@1"}}),
    ("grant.issue", {"name": "h", "terms": {"cap": "no/such@1"}}),
    ("grant.issue", {"name": "h", "terms": {"cap": "sys/allow@1", "parent": "nobody"}}),
    ("grant.topup", {"name": "g", "dim": "none", "amount": 1}),
    ("grant.revoke", {"name": "nobody"}),
    ("grant.amend", {"name": "root", "terms": {"cap": "sys/allow@1"}}),
    ("approval.answer", {"intent_hash": bytes(32), "answer": "approve"}),
    ("reservation.release", {"intent_hash": bytes(32), "order": "o"}),
    ("outcome.attest", {"intent_hash": bytes(32), "happened": True}),
    ("settlement.refund", {"intent_hash": bytes(32), "amounts": {"tokens": 1}}),
    ("usage.record", {"grant": "nobody", "usage": {"tokens": 1}}),
    ("module.install", {"name": "sys/x@1", "wasm": b""}),
    ("module.install", {"name": "acme/x@1", "wasm": b"\0asm"}),
]


@pytest.mark.req("X5-13")
@pytest.mark.parametrize(("kind", "params"), REFUSALS)
def test_every_refusal_of_a_native_effect_says_what_to_do_next(kind, params):
    with world(
        budget(tokens=9), resources={"USD": 0}, accounts={"accounts/a": {}, "accounts/b": {}}
    ) as kernel:
        decision = kernel.submit(Intent(kind, params, "root"))
        assert decision.outcome == "deny"
        assert_told(decision)


# --- a feed that misses nothing ---------------------------------------------------------------------


@pytest.mark.req("X5-20")
def test_a_reader_that_stopped_at_700_gets_exactly_the_300_that_came_since(folder):
    path = folder / "w"
    with world(budget(tokens=10**9), path) as kernel:
        ask = [Intent(ACT, {"a": reserves({"tokens": 1})}, "g")]
        kernel.submit(ask * (700 - kernel.state.seq))
        with open_reader(path) as reader:
            seen = [record.seq for record in reader.records()]
            assert seen == list(range(700))
            kernel.submit(ask * 300)
            assert list(reader.records(700)) == []  # what it has opened does not change under it
            reader.refresh()
            more = list(reader.records(700))
            assert [record.seq for record in more] == list(range(700, 1_000))
            assert more[0].prev == next(iter(reader.records(699, 700))).hash
            assert [record.body for record in more] == bodies(kernel)[700:]
        code, lines = tally_elsewhere(path, "log", "--from", "700")
        assert code == 0
        assert [line["seq"] for line in lines] == list(range(700, 1_000))


@pytest.mark.req("X5-20")
@few
@given(stops=st.lists(st.integers(0, 9), max_size=8))
def test_wherever_a_reader_stops_and_resumes_it_sees_every_frame_once(tmp_path_factory, stops):
    path = tmp_path_factory.mktemp("feed") / "w"
    with world({"g": {}}, path) as kernel, open_reader(path) as reader:
        seen = []
        for frames in stops:
            kernel.submit([Intent(ACT, {"a": reserves({})}, "g")] * frames)
            head = reader.refresh()
            seen += [record.seq for record in reader.records(len(seen))]
            assert head.size == len(seen) == kernel.state.seq


# --- drift that is found ----------------------------------------------------------------------------


def damaged_snapshot(path, change):
    """A snapshot whose bytes are sound and whose state is not what the journal says."""
    snapshots = Snapshots(path / "snapshots")
    kept = snapshots.latest()
    state = load_state(kept.data)
    change(state)
    snapshots.save(kept.seq, kept.frame_hash, kept.root, dump_state(state))


def spend_more(state):
    key = ("g", "tokens", "life", 0)
    old = state.ledger.counters[key]
    state.ledger.counters[key] = type(old)(old.limit, old.reserved, 0, old.refunded, old.told)


def forget_a_hold(state):
    state.ledger.holds.pop(min(state.ledger.holds))


@pytest.mark.req("X5-21")
@pytest.mark.parametrize(("change", "named"), [(spend_more, "counters"), (forget_a_hold, "holds")])
def test_a_damaged_snapshot_is_named_by_entry_and_the_state_is_rebuilt(folder, change, named):
    path = folder / "w"
    with world(budget(tokens=100), path) as kernel:
        settle(kernel, held(kernel, {"tokens": 40}), {"tokens": 40})
        held(kernel, {"tokens": 9})
        save_snapshot(kernel)
        held(kernel, {"tokens": 8})
        root, told = kernel.state.root, books(kernel)
    damaged_snapshot(path, change)
    code, report = tally(path, "verify")
    assert code == 1
    assert named in str(report["problems"])
    with splittally.open(path) as kernel:
        (repair,) = kernel.repairs
        assert named in repair
        assert ("'g', 'tokens'" in repair) == (named == "counters")
        assert (kernel.state.root, books(kernel)) == (root, told)
        assert codes(act(kernel, {"tokens": 44})) == ["budget_exceeded"]
        apply(kernel, manifest(budget(tokens=101)))


@pytest.mark.req("X5-21")
@pytest.mark.parametrize("seed", range(12))
def test_a_snapshot_with_any_byte_changed_or_lost_is_passed_over_and_said(folder, seed):
    path, chance = folder / "w", random.Random(seed)
    with world(budget(tokens=100), path) as kernel:
        held(kernel, {"tokens": 40})
        save_snapshot(kernel)
        root = kernel.state.root
    (file,) = (path / "snapshots").iterdir()
    data = bytearray(file.read_bytes())
    if seed % 3:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    else:
        del data[chance.randrange(len(data)) :]
    file.write_bytes(data)
    with splittally.open(path) as kernel:
        assert len(kernel.repairs) == 1
        assert "snapshot" in kernel.repairs[0]
        assert kernel.state.root == root
