"""Row X6-23: kernels over one world's state, and streams read in parts, keep out of each other's way."""

import gc
import sys
from collections import Counter
from threading import Thread

import pytest
from splittally import Intent, Receipt
from splittally.core.evolve import remember
from splittally.core.snapshot import state_root
from splittally.core.state import TABLES, State
from splittally.core.types import OPEN
from splittally.journal.memory import MemoryStore
from splittally.runtime.open_kernel import open_store
from splittally.runtime.reader import open_reader, read_store
from splittally.runtime.recover import fold

from tests import golden
from tests.golden_questions import bodies_of
from tests.rows.worlds import ACT, CAP, act, apply, budget, held, manifest, reserves, settle, world

KEY = b"k" * 32


def asks(count, tokens=1, **fields):
    return [Intent(ACT, {"a": reserves({"tokens": tokens})}, "g", **fields) for _ in range(count)]


def in_threads(*works):
    """Run each in a thread of its own, switching as often as can be; what each gave or raised."""
    found = {}

    def run(name, work):
        try:
            found[name] = work()
        except BaseException as error:
            found[name] = error

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [Thread(target=run, args=(name, work), daemon=True) for name, work in enumerate(works)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        sys.setswitchinterval(interval)
    return [found.get(name, "it waits") for name in range(len(works))]


# --- forks --------------------------------------------------------------------------------------------


def drive(kernel, tokens):
    """Asks and settles; the outcomes, and whether each reserved what it asked for."""
    told = Counter()
    for at in range(120):
        decision = act(kernel, {"tokens": tokens})
        told[decision.outcome, decision.reserve == {"tokens": tokens}] += 1
        if at % 3 == 0:
            told[settle(kernel, decision.intent_hash, {"tokens": tokens}).status] += 1
    return told


@pytest.mark.req("X6-23")
def test_forks_in_threads_answer_as_if_each_were_alone_beside_a_world_that_goes_on():
    with world(budget(tokens=10**9)) as kernel:
        before = held(kernel, {"tokens": 1})
        forks = [kernel.fork() for _ in range(10)]  # more than the pool has instances
        works = [lambda k=k, n=n: drive(k, n) for n, k in enumerate([kernel, *forks], 1)]
        expected = Counter({("allow", True): 120, "settled": 40})
        assert in_threads(*works) == [expected] * 11
        for tokens, each in enumerate([kernel, *forks], 1):
            assert each.state.counters["g"]["tokens"].reserved == 80 * tokens + 1
            assert settle(each, before, {"tokens": 1}).status == "settled"
            state, store = each._world.state, each._world.store
            assert state_root(fold(store)) == state_root(state)


@pytest.mark.req("X6-23")
def test_a_fork_sees_nothing_of_what_its_world_does_later_and_answers_the_same():
    with world(budget(tokens=100)) as kernel:
        first = held(kernel, {"tokens": 10})
        fork = kernel.fork()
        frames, root = fork.state.seq, fork.state.root
        own = act(kernel, {"tokens": 60}, idempotency_key=KEY)
        settle(kernel, first, {"tokens": 10})
        kernel.native("grant.revoke", name="g")
        assert (fork.state.seq, fork.state.root) == (frames, root)
        assert fork.state.counters["g"]["tokens"].reserved == 10
        assert fork.outcome(first).status == "reserved"
        assert fork.outcome(own.intent_hash) is None
        same = act(fork, {"tokens": 60}, idempotency_key=KEY)
        assert (same.outcome, same.duplicate) == ("allow", False)
        assert settle(fork, first, {"tokens": 10}).status == "settled"
        assert kernel.state.counters["g"]["tokens"].reserved == 60


@pytest.mark.req("X6-23")
def test_a_fork_that_changes_a_grant_decides_under_it_and_the_world_under_its_own():
    with world(budget(tokens=100)) as kernel:
        assert act(kernel, {"tokens": 1}).allowed
        fork = kernel.fork()
        limits = [{"dim": "tokens", "per": "intent", "amount": 5, "over": "ask"}]
        assert fork.native("grant.amend", name="g", terms={"cap": CAP, "limits": limits}).allowed
        for each, outcome in [(fork, "require_approval"), (kernel, "allow")] * 2:
            assert act(each, {"tokens": 6}).outcome == outcome


@pytest.mark.req("X6-23")
def test_what_falls_due_in_a_fork_or_a_dry_run_falls_due_in_its_world_again():
    """Some was put off since, so the agenda has items of before."""
    with world({"g": {"limits": [{"dim": "tokens", "per": "hour", "amount": 99}]}}) as kernel:
        digests = {held(kernel, {"tokens": 1}, expires_ns=100 + at) for at in range(6)}
        for digest in sorted(digests)[::2]:
            assert kernel.extend(digest, 300).status == "extended"
        for now in (200, 400, 4 * 10**12):
            fork = kernel.fork()
            assert kernel.decide(*asks(1), now_ns=now).allowed
            for each in (fork, fork.fork(), kernel):
                each.tick(now_ns=now)
            left = set(sorted(digests)[::2]) if now == 200 else set()
            assert [set(each.state.reservations) for each in (fork, kernel)] == [left, left]
            assert fork._world.state.ledger.windows == kernel._world.state.ledger.windows


@pytest.mark.req("X6-23")
def test_a_copy_of_a_state_is_that_state_and_shares_no_table_with_it():
    state = State()
    for body in bodies_of(golden.stored_frames()):
        remember(state, body.at_ns, body.by, body.out)
    copy, overlaid = state.copy(), state.fork().copy()
    for each in (copy, overlaid):
        assert state_root(each) == state_root(state)
        assert sorted(each.ledger.agenda) == sorted(state.ledger.agenda)
        assert each.ledger.drawn == state.ledger.drawn
        assert each.ledger.issued == state.ledger.issued
        assert each.governed.reserved == state.governed.reserved
        derived = (each.ledger.drawn, each.ledger.issued, each.governed.reserved)
        assert [type(sums) for sums in derived] == [dict] * 3
        for table in TABLES:
            assert type(each.table(table)) is dict
            assert each.table(table) is not state.table(table)


@pytest.mark.req("X6-23")
def test_a_fork_reads_the_frames_of_its_world_under_the_lock_of_that_world():
    """Two threads would otherwise read and write one journal at a time that neither knows."""
    locks, read = [], []

    class Guarded(MemoryStore):
        def entry(self, seq):
            assert all(lock._is_owned() for lock in locks)
            read.append(seq)
            return super().entry(seq)

    with open_store(Guarded(), "given") as kernel:
        apply(kernel, manifest(budget(tokens=100)))
        digest = held(kernel, {"tokens": 5})
        fork = kernel.fork()
        locks.append(kernel._world.lock)
        read.clear()
        assert settle(fork, digest, {"tokens": 5}).status == "settled"
        assert read
        assert settle(kernel, digest, {"tokens": 5}).status == "settled"


@pytest.mark.req("X6-23")
def test_forks_of_a_reader_are_independent_too():
    with world(budget(tokens=10**6)) as kernel:
        held(kernel, {"tokens": 1})
        with read_store(kernel) as reader:
            forks = [reader.fork() for _ in range(3)]
            works = [lambda k=k, n=n: drive(k, n) for n, k in enumerate(forks, 1)]
            assert in_threads(*works) == [Counter({("allow", True): 120, "settled": 40})] * 3
            assert [fork.state.counters["g"]["tokens"].reserved for fork in forks] == [81, 161, 241]


@pytest.mark.req("X6-23")
def test_decide_in_threads_changes_nothing_of_what_a_writer_does():
    with world(budget(tokens=10**6)) as kernel:
        dry = lambda: {act_dry(kernel, n) for n in range(60)}  # noqa: E731
        assert in_threads(lambda: drive(kernel, 2), dry, dry) == [
            Counter({("allow", True): 120, "settled": 40}), {"allow"}, {"allow"},
        ]  # fmt: skip
        assert kernel.state.counters["g"]["tokens"].reserved == 160


def act_dry(kernel, tokens):
    return kernel.decide(asks(1, tokens)[0]).outcome


# --- streams ------------------------------------------------------------------------------------------


@pytest.mark.req("X6-23")
@pytest.mark.parametrize("make", [list, iter], ids=["a list", "an iterator"])
@pytest.mark.parametrize("end", ["kept", "dropped", "closed", "closed in another thread"])
def test_a_stream_that_is_not_read_to_its_end_keeps_nobody_waiting(make, end):
    with world(budget(tokens=10**6)) as kernel:
        stream = kernel.stream(make(asks(200)))
        assert len(next(stream)) == 64
        if end == "dropped":
            del stream
            gc.collect()
        elif end == "closed":
            stream.close()
        elif end != "kept":
            assert in_threads(stream.close) == [None]
        assert in_threads(lambda: act(kernel, {"tokens": 1}).outcome) == ["allow"]
        assert kernel.state.counters["g"]["tokens"].reserved == len(kernel.state.reservations)
        assert kernel._world.state.size == kernel._world.store.head.size


@pytest.mark.req("X6-23")
@pytest.mark.parametrize("make", [list, iter], ids=["a list", "an iterator"])
def test_a_stream_may_be_read_on_in_another_thread_while_others_write(make):
    with world(budget(tokens=10**6)) as kernel:
        stream = kernel.stream(make(asks(300)))
        answers = list(next(stream))
        rest, other = in_threads(lambda: [x for group in stream for x in group], lambda: drive(kernel, 1))
        answers += rest
        assert other == Counter({("allow", True): 120, "settled": 40})
        assert [answer.outcome for answer in answers] == ["allow"] * 300
        assert len({answer.intent_hash for answer in answers}) == 300
        assert kernel.state.counters["g"]["tokens"].reserved == 380


@pytest.mark.req("X6-23")
def test_every_list_of_a_stream_is_durable_when_it_is_given_whoever_else_writes(tmp_path):
    with world(budget(tokens=10**6), tmp_path / "w") as kernel:
        for group in kernel.stream(iter(asks(150))):
            act(kernel, {"tokens": 1})  # a frame between two groups, and so none ends where the group is full
            with open_reader(tmp_path / "w") as reader:
                assert all(reader.outcome(answer.intent_hash) is not None for answer in group)


@pytest.mark.req("X6-23")
def test_requests_may_ask_the_kernel_themselves_and_may_fail():
    with world(budget(tokens=10**6)) as kernel:

        def requests():
            for at in range(5):
                decision = act(kernel, {"tokens": 1})
                assert kernel.state.reservations[decision.intent_hash].phase == OPEN
                yield Receipt(decision.intent_hash, "ok", "a", {}) if at % 2 else asks(1)[0]
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            kernel.run(requests())
        assert in_threads(lambda: act(kernel, {"tokens": 1}).outcome) == ["allow"]
        assert len(kernel.state.reservations) == 5 - 2 + 3 + 1
