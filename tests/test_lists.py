"""A list is answered as its requests are one by one: where one rests on another, wherever a group ends."""

import random
from hashlib import sha256

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given, settings
from splittally import Intent, Receipt
from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput
from splittally.core.intent import intent_hash
from splittally.runtime import At, Kernel
from splittally.runtime.reader import open_reader, read_store

from tests.rows.worlds import few

KIND = "mail.send"
SCHEMA = {"properties": {"n": {"type": "integer"}}}
GRANT = {"cap": "sys/allow@1", "params": {"reserve": {"calls": 1}}, "budget": {"calls": 1_000}}
MANIFEST = {"effects": {KIND: {"cap_type": "mail", "receipt_schema": SCHEMA}}, "grants": {"g": GRANT}}
NAMES = ("g", "late", "later")


def world(path=None, clock="given"):
    kernel = splittally.open(path, clock=clock, entropy=random.Random(7).randbytes)
    assert kernel.apply(MANIFEST).allowed
    return kernel


def frames(kernel):
    with read_store(kernel) as reader:
        return [record.data for record in reader.records()]


def plain(answers):
    return [(type(x), str(x)) if isinstance(x, InvalidInput) else x for x in answers]


def asked(at, grant, expires_ns=None):
    return Intent(KIND, {}, grant, None, sha256(bytes([at])).digest(), expires_ns)


def answered(at, grant, payload):
    """The receipt for `asked(at, grant)`, which may be asked for in the same list."""
    digest = intent_hash(KIND, encode({}), grant, sha256(bytes([at])).digest())
    return Receipt(digest, "ok", "mailer", payload)


keys, grants = st.integers(0, 3), st.sampled_from(NAMES)
payloads = st.sampled_from([{"n": 1}, {"n": "no number"}, None])
turns = st.one_of(
    st.builds(lambda at, grant: [asked(at, grant)], keys, grants),
    st.builds(lambda at, grant, payload: [answered(at, grant, payload)], keys, grants, payloads),
    st.builds(lambda at, payload: [asked(at, "g"), answered(at, "g", payload)], keys, payloads),
    st.builds(lambda name: [Intent("grant.issue", {"name": name, "terms": GRANT}, "root")], grants),
    st.builds(lambda name: [Intent("grant.revoke", {"name": name}, "root")], grants),
)


@few
@given(st.lists(turns, min_size=2, max_size=12))
def test_what_a_request_of_a_list_makes_or_ends_is_so_for_those_after_it(turns):
    """Sealing looks at grants and at the kind of an intent, and both may come in the same list."""
    requests = [request for turn in turns for request in turn]
    with world() as together, world() as alone:
        assert plain(together.run(requests)) == plain(alone.run(iter(requests)))
        assert frames(together) == frames(alone)


def runs_of(name, most):
    return st.tuples(st.just(name), st.integers(1, most))


PIECES = st.tuples(
    st.tuples(st.just("ask"), st.integers(40, 64)),
    runs_of("fall due", 20),  # most often across the end of the group
    st.one_of(runs_of("ask", 70), runs_of("settle", 70)),
    runs_of("fall due", 20),
    runs_of("ask", 70),
)
NOBODYS = Receipt(bytes(32), "ok", "mailer", {})


def long_list(pieces):
    """Runs of one kind of request; what falls due takes a frame before that of whoever asks then."""
    items, now_ns = [], 1
    for piece, (name, count) in enumerate(pieces):
        for at in range(count):
            if name == "settle":
                items.append(At(now_ns, NOBODYS))
            elif name == "ask":
                items.append(At(now_ns, Intent(KIND, {}, "g")))
            else:
                key = sha256(bytes([piece, at])).digest()
                items.append(At(now_ns, Intent(KIND, {}, "g", None, key, now_ns + 1, attempt=bytes(16))))
                now_ns += 1
        items.append(At(now_ns, NOBODYS))
    return items


@pytest.mark.req("X6-23")
@settings(max_examples=10)
@given(PIECES)
def test_wherever_its_groups_end_a_list_leaves_the_same_journal_and_no_answer_comes_before_its_frame(pieces):
    with world() as together, world() as alone:
        answers = []
        for group in together.stream(long_list(pieces)):
            with read_store(together) as reader:
                assert all(x.seq is None or x.seq < reader.head.size for x in group)
            answers += group
        assert answers == alone.run(iter(long_list(pieces)))
        assert frames(together) == frames(alone)


@pytest.mark.req("X6-23")
@pytest.mark.parametrize("before", [61, 62, 63])
def test_an_answer_whose_tick_ended_a_group_waits_for_the_commit_of_its_own_frame(before):
    """What fell due filled the group, which was committed; the request's frame stands in the next one."""
    keys = [sha256(bytes([at])).digest() for at in range(before + 1)]
    holds = [At(1, Intent(KIND, {}, "g", None, key, 5, attempt=bytes(16))) for key in keys[:1]]
    others = [At(1, Intent(KIND, {}, "g", None, key)) for key in keys[1:-1]]
    last = At(10, Intent(KIND, {}, "g", None, keys[-1]))
    with world() as kernel:
        for group in kernel.stream(iter([*holds, *others, last])):
            with read_store(kernel) as reader:
                assert all(x.seq < reader.head.size for x in group)


@pytest.mark.req("X6-22")
@pytest.mark.parametrize("make", [list, iter], ids=["a list", "an iterator"])
def test_what_was_decided_before_a_request_that_fails_is_durable_at_once(tmp_path, make):
    """Also where nobody uses the kernel again: its queries showed what was decided."""
    times = iter([1, 2, 3, 4, 5])  # the world, the manifest, and three requests
    with world(tmp_path / "w", clock=lambda: next(times)) as kernel:
        with pytest.raises(InvalidInput, match="clock"):
            kernel.run(make([asked(at, "g") for at in range(9)]))
        with open_reader(tmp_path / "w") as reader:
            size, holds = reader.head.size, len(reader.state.reservations)
        assert (size, holds) == (kernel.state.seq, len(kernel.state.reservations))
        assert holds == 3


def test_a_tick_is_durable_when_it_returns(tmp_path):
    with world(tmp_path / "w") as kernel:
        assert kernel.submit(asked(1, "g", expires_ns=10)).allowed
        assert kernel.tick(now_ns=10) == 1
        with open_reader(tmp_path / "w") as reader:
            assert (reader.state.now_ns, len(reader.state.reservations)) == (10, 0)


def test_requests_of_two_worlds_in_one_list_are_refused_before_anything_is_decided():
    with world() as one, world() as other:
        before = one.state.seq, other.state.seq
        with pytest.raises(InvalidInput, match="world by world"):
            Kernel.run_for([(one, At(None, asked(1, "g"))), (other, At(None, asked(1, "g")))])
        assert (one.state.seq, other.state.seq) == before
