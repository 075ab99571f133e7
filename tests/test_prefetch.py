"""What is staged in runs leaves the same journal as one request at a time, byte for byte."""

import random
from hashlib import sha256

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given, settings
from splittally import Intent, Receipt
from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput, JournalDamaged
from splittally.core.intent import intent_hash
from splittally.core.snapshot import state_root
from splittally.edge.records import Extend, Group, Release
from splittally.runtime import At, Kernel, pipeline

KIND = "llm.generate"
PRINCIPALS = ("operator", "operator", "operator", "adapter", "stranger")
GRANTS = {"team": 10_000, "agent": 900, "poor": 30}
PARENTS = {"team": "root", "agent": "team", "poor": "team"}


def manifest(price=3):
    prices = {"resource": "USD", "prompt": price, "completion": 2 * price}
    terms = {"cap": "sys/llm.basic@1", "params": {"prices": prices}, "unknown_ns": 15}
    money = {"draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"]}
    return {
        "resources": {"USD": 6},
        "accounts": {"accounts/team": {}, "accounts/vendor": {}},
        "grants": {
            name: terms
            | {"parent": PARENTS[name], "budget": {"tokens": most}}
            | (money if name == "team" else {})
            for name, most in GRANTS.items()
        },
    }


def world():
    kernel = splittally.open(None, clock="given", entropy=random.Random(7).randbytes)
    assert kernel.apply(manifest()).allowed
    assert kernel.native("ledger.issue", resource="USD", amount=9_000, to="accounts/team").allowed
    return kernel


def frames(kernel):
    store = kernel._world.store
    return [store.read(seq) for seq in range(store.head.size)]


def plain(answers):
    return [(type(x), str(x)) if isinstance(x, InvalidInput) else x for x in answers]


def one_by_one(kernel, items):
    """Each request by itself, through the path that stages nothing."""
    return [answer for by, item in items for answer in kernel.as_principal(by).run(iter([item]))]


# --- the requests ------------------------------------------------------------------------------

KEYS = st.integers(0, 7)


def params_of(at):
    return {"model": "m", "prompt_tokens": 5 * at, "max_tokens": 7}


def hash_of(at, grant):
    return intent_hash(KIND, encode(params_of(at)), grant, sha256(bytes([at])).digest())


HASHES = st.one_of(
    st.builds(hash_of, KEYS, st.sampled_from(sorted(GRANTS))),
    st.builds(hash_of, KEYS, st.just("agent")),
    st.just(b"\x07" * 32),
)
INTENTS = st.builds(
    lambda at, grant, lives, is_keyed, kind: Intent(
        kind,
        params_of(at),
        grant,
        None,
        sha256(bytes([at])).digest() if is_keyed else None,
        lives or None,
    ),
    KEYS,
    st.sampled_from([*sorted(GRANTS), "agent", "agent", "nowhere"]),
    st.sampled_from([0, 0, 10, 25, 60]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([KIND] * 9 + ["no.kind"]),
)
PAYLOADS = st.one_of(
    st.builds(
        lambda prompt, completion: {"prompt_tokens": prompt, "completion_tokens": completion},
        st.integers(0, 90),
        st.integers(0, 90),
    ),
    st.sampled_from([None, {}, {"x": 1.5}, {"x": object()}, b"\xff", bytes(70_000), {"prompt_tokens": -1}]),
)
RECEIPTS = st.builds(
    Receipt,
    st.one_of(HASHES, HASHES, HASHES, st.sampled_from([b"short", "no hex", None])),
    st.sampled_from(["ok", "ok", "ok", "error", "timeout", "unknown", "odd", None]),
    st.sampled_from(["bench", "", "a\nb", 7]),
    PAYLOADS,
    st.sampled_from([None, None, 3, -1]),
    st.sampled_from([None, "accounts/vendor", "accounts/elsewhere", ""]),
)
OTHERS = st.one_of(
    st.builds(Release, HASHES, st.sampled_from(["cancel", "not_dispatched", "odd"])),
    st.builds(Extend, HASHES, st.integers(0, 90)),
    st.builds(lambda intents: Group("all", tuple(intents)), st.lists(INTENTS, max_size=3)),
    st.builds(
        lambda name: Intent("grant.revoke", {"name": name}, "root"), st.sampled_from(["poor", "agent"])
    ),
    st.builds(
        lambda intent: Intent("reservation.release", {"intent_hash": intent, "order": "o"}, "root"), HASHES
    ),
    st.just("no request"),
)
TIMES = st.sampled_from([None] * 12 + [5, 10, 11, 25, 26, 40, 60, -1])
RUNS = st.one_of(
    st.lists(INTENTS, min_size=1, max_size=12),
    st.lists(RECEIPTS, min_size=1, max_size=12),
    st.lists(OTHERS, min_size=1, max_size=1),
)
LISTS = st.lists(st.tuples(st.sampled_from(PRINCIPALS), RUNS), min_size=1, max_size=10)


@settings(max_examples=150)
@given(LISTS, st.data())
def test_a_mixed_list_leaves_the_journal_of_one_request_at_a_time(runs, data):
    items = [(by, At(data.draw(TIMES), request)) for by, run in runs for request in run]
    with world() as staged, world() as plainly:
        views = {by: staged.as_principal(by) for by in PRINCIPALS}
        answers = Kernel.run_for([(views[by], item) for by, item in items])
        assert plain(answers) == plain(one_by_one(plainly, items))
        assert frames(staged) == frames(plainly)
        assert state_root(staged._world.state) == state_root(plainly._world.state)


@settings(max_examples=60)
@given(st.lists(RUNS, min_size=1, max_size=10), st.data())
def test_a_list_on_the_hosts_clock_leaves_the_same_journal_while_the_clock_stands(runs, data):
    requests = [request for run in runs for request in run]

    def opened():
        kernel = splittally.open(None, clock=lambda: 9, entropy=random.Random(7).randbytes)
        assert kernel.apply(manifest()).allowed
        return kernel

    with opened() as staged, opened() as plainly:
        answers = staged.run(requests)
        assert plain(answers) == plain(
            one_by_one(plainly, [("operator", At(None, request)) for request in requests])
        )
        assert frames(staged) == frames(plainly)


# --- that it is staged, and when it is not -----------------------------------------------------


def watched(kernel):
    """The sizes of the state at which enforcers were asked."""
    sizes, judge = [], kernel._world.judge
    ask = judge.answer
    judge.answer = lambda state, question: sizes.append(state.size) or ask(state, question)
    return sizes


def hold(kernel, count, expires_ns=None):
    intents = [Intent(KIND, params_of(1), "team", None, None, expires_ns) for _ in range(count)]
    return [decision.intent_hash for decision in kernel.run(intents)]


def test_a_run_of_receipts_is_judged_before_the_first_is_decided():
    with world() as kernel:
        hashes = hold(kernel, 10)
        size, sizes = kernel._world.state.size, watched(kernel)
        kernel.run([Receipt(digest, "ok", "a", {}) for digest in hashes])
        assert sizes == [size] * 10


def test_a_receipt_is_judged_again_where_an_earlier_one_changed_its_hold():
    with world() as kernel:
        (digest,) = hold(kernel, 1)
        size, sizes = kernel._world.state.size, watched(kernel)
        unknown, ok = Receipt(digest, "unknown", "a"), Receipt(digest, "ok", "a", {})
        answers = kernel.run([unknown, ok, ok])
        assert [answer.status for answer in answers] == ["held", "settled", "duplicate"]
        assert sizes == [size + 1]


def test_a_receipt_is_judged_again_where_its_hold_expired_in_between():
    with world() as kernel:
        first, second = *hold(kernel, 1), *hold(kernel, 1, expires_ns=50)
        receipts = [At(0, Receipt(first, "ok", "a", {})), At(50, Receipt(second, "ok", "a", {}))]
        size, sizes = kernel._world.state.size, watched(kernel)
        assert [answer.status for answer in kernel.run(receipts)] == ["settled", "late"]
        assert sizes == [size, size, size + 2]


def test_an_intent_is_judged_again_where_what_fell_due_changed_its_chain(monkeypatch):
    with world() as kernel:
        tick = pipeline.tick
        monkeypatch.setattr(
            pipeline, "tick", lambda world, now_ns: world.state.caps.chains.clear() or tick(world, now_ns)
        )
        size, sizes = kernel._world.state.size, watched(kernel)
        hold(kernel, 2)
        assert sizes == [size, size, size, size + 1]


@pytest.mark.parametrize("kind", ["revoke", "prices"])
def test_what_a_caller_does_between_two_groups_reaches_what_was_staged(kind):
    """A caller of `stream` holds the kernel's lock, and may use it before it takes the next group."""

    def interfere(kernel):
        if kind == "revoke":
            assert kernel.native("grant.revoke", name="agent").allowed
        else:
            assert kernel.apply(manifest(price=4)).allowed

    intents = [
        Intent(KIND, params_of(1), "agent", None, sha256(bytes([at])).digest(), attempt=bytes(16))
        for at in range(60)
    ]
    with world() as staged, world() as plainly:
        receipts = [Receipt(digest, "ok", "a", {}) for digest in hold(staged, 20)]
        assert hold(plainly, 20) == [receipt.intent_hash for receipt in receipts]
        requests = [*receipts, *intents, *intents[:5]]  # a commit falls into the run of intents
        answers = []
        for group in staged.stream(requests):
            if not answers:
                first = len(group)
                interfere(staged)
            answers += group
        assert first == 64
        items = [("operator", At(None, request)) for request in requests]
        expected = one_by_one(plainly, items[:first])
        interfere(plainly)
        assert answers == expected + one_by_one(plainly, items[first:])
        assert frames(staged) == frames(plainly)


def test_what_cannot_be_read_ahead_fails_in_its_turn_after_what_was_before_it():
    with world() as kernel:
        hashes = hold(kernel, 3)
        recaller = kernel._world.history
        recall = recaller.recall

        def damaged(digest, held):
            if digest == hashes[2]:
                raise JournalDamaged("a frame is not what it was")
            return recall(digest, held)

        recaller.recall = damaged
        with pytest.raises(JournalDamaged):
            kernel.run([Receipt(digest, "ok", "a", {}) for digest in hashes])
        assert [kernel.outcome(digest).status for digest in hashes] == ["settled", "settled", "reserved"]
