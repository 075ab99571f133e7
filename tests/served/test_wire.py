"""Frames from a process of Python: both ends mean the same by what is asked and answered, and nothing is done
twice."""

import socket
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.errors import InvalidInput, KernelStopped, SplittallyError, WorldError
from splittally.core.findings import Finding
from splittally.core.limits import INT_MAX, INT_MIN
from splittally.edge.answer_lines import exact, readable, told
from splittally.edge.records import (
    At,
    Decision,
    Dispatch,
    Extend,
    Group,
    HoldChange,
    Intent,
    Origin,
    Receipt,
    Release,
    Settlement,
    worded,
)
from splittally.edge.request_lines import request_of
from splittally.edge.wording import Wording
from splittally.host.service.problems import problem_of
from splittally.runtime.served import SOCKET
from splittally.wire.calls import calls_to
from splittally.wire.documents import answer_of, data_of, document_of
from splittally.wire.errors import AnswerLost, ConnectionLost, NotServed, RefusedByService, error_of
from splittally.wire.frames import CODECS, FRAME_BYTES_MAX, WrongLength, pack, take

from tests.served.beside import made, serving

CBOR, JSON = CODECS["cbor"], CODECS["json"]

# --- generated records -------------------------------------------------------------------------------

text = st.text(max_size=8)
digests, attempts = st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16)
whole = st.integers(0, 2**63 - 1)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(INT_MIN, INT_MAX) | text | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
maps = st.dictionaries(text, plain, max_size=3)
findings = st.builds(Finding, st.sampled_from(["edge", "ledger", "enforcer"]), text, maps)
several = st.lists(findings, max_size=3).map(tuple)
amounts = st.dictionaries(text, st.integers(0, 2**64 - 1), max_size=3)
seqs = st.none() | st.integers(0, 2**53)


@st.composite
def decisions(draw):
    again = draw(st.booleans())
    return Decision(
        seq=draw(seqs),
        intent_hash=draw(st.none() | digests),
        outcome=draw(st.sampled_from(["allow", "deny", "require_approval", "escalate", "defer"])),
        findings=draw(several),
        reserve=draw(amounts),
        duplicate=again,
        attempt=draw(st.none() | attempts),
        may_act=draw(st.booleans()) if again else None,
    )


@st.composite
def settlements(draw):
    violations = draw(several)
    return Settlement(
        seq=draw(seqs),
        intent_hash=draw(digests),
        status=draw(st.sampled_from(["settled", "held", "late", "duplicate", "not_found"])),
        usage=draw(amounts),
        violation=violations[0] if violations else None,
        violations=violations,
        findings=draw(several),
    )


changes = st.builds(
    HoldChange, seqs, digests, st.sampled_from(["released", "dispatched", "refused"]), st.none() | whole
)
answers = decisions() | settlements() | changes | st.lists(decisions(), min_size=1, max_size=3)
intents = st.builds(
    Intent,
    kind=text,
    params=maps,
    grant=text,
    origin=st.none() | st.builds(Origin, text, text),
    idempotency_key=st.none() | text | digests,
    expires_ns=st.none() | whole,
    labels=st.none() | st.dictionaries(text, text, max_size=2),
    attempt=st.none() | attempts,
)
groups = st.builds(Group, st.sampled_from(["all", "first"]), st.lists(intents, max_size=3).map(tuple))
receipts = st.builds(
    Receipt,
    digests,
    st.sampled_from(["ok", "error", "timeout", "unknown"]),
    text,
    st.none() | maps | st.binary(max_size=8),
    st.none() | whole,
    st.none() | text,
    st.none() | st.binary(min_size=64, max_size=64),
)
causes = st.sampled_from(["cancel", "not_dispatched"])
requests = st.one_of(
    intents,
    groups,
    receipts,
    st.builds(Dispatch, digests, attempts),
    st.builds(Extend, digests, whole),
    st.builds(Release, digests, causes, st.none() | text, st.none() | attempts),
)


# --- both ends agree ----------------------------------------------------------------------------------


@given(answers)
def test_an_answer_comes_back_as_the_record_that_it_was_and_says_the_same(answer):
    sent = worded(answer, lambda: Wording({"USD": 2}))
    got = answer_of(CBOR.read(CBOR.write(told(sent, say=exact))))
    assert got == answer
    for one, other in zip(sent if isinstance(sent, list) else [sent], got if isinstance(got, list) else [got],
                          strict=True):  # fmt: skip
        assert one.reason == other.reason or not one.reason
        assert getattr(one, "advice", "") == getattr(other, "advice", "")
        assert getattr(one, "allowed", None) == getattr(other, "allowed", None)


def test_reasons_are_said_with_the_units_of_the_world_that_answered():
    facts = {"grant": "g", "dim": "USD", "per": "day", "needed": 210, "available": 40}
    denied = Decision(1, bytes(32), "deny", (Finding("ledger", "budget_exceeded", facts),))
    sent = worded(denied, lambda: Wording({"USD": 2}))
    got = answer_of(CBOR.read(CBOR.write(told(sent, say=exact))))
    assert "2.10 USD" in sent.reason and got.reason == sent.reason


@given(answers.filter(lambda x: "bytes" not in repr(x)))
def test_in_json_hashes_and_amounts_of_an_answer_come_back_too(answer):
    got = answer_of(JSON.read(JSON.write(told(answer, say=readable))))
    for one, other in zip(*(x if isinstance(x, list) else [x] for x in (answer, got)), strict=True):
        assert (one.intent_hash, one.seq) == (other.intent_hash, other.seq)
        assert getattr(one, "reserve", None) == getattr(other, "reserve", None)
        assert getattr(one, "usage", None) == getattr(other, "usage", None)


@given(st.builds(At, st.none() | whole, requests))
def test_a_request_arrives_as_what_it_was(item):
    got = request_of(CBOR.read(data_of(item)))
    assert document_of(got) == document_of(item)
    assert (got.now_ns, type(got.request)) == (item.now_ns, type(item.request))
    if isinstance(item.request, Dispatch | Extend | Release):
        assert got == item


ERRORS = [InvalidInput("no", field="x"), InvalidInput("no", code="amount.negative"), KernelStopped("closed"),
          InvalidInput("too much", bytes_max=5), WorldError("disk")]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_error_comes_back_as_what_it_was(error):
    got = error_of(problem_of(error).document())
    assert (type(got), str(got), got.facts) == (type(error), str(error), error.facts)
    if isinstance(error, InvalidInput):
        got = answer_of(told(error, {"intent_hash": ""}))
        assert (type(got), str(got), got.facts) == (type(error), str(error), error.facts)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=40)), max_size=6), st.data())
def test_frames_are_taken_whole_in_whatever_pieces_they_come(frames, data):
    stream = b"".join(pack(number, body) for number, body in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    most = data.draw(st.integers(1, 3))
    buffer, got = bytearray(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer += stream[start:end]
        while found := take(buffer, 44, most):
            assert len(found) <= most
            got += found
    assert got == frames and not buffer
    with pytest.raises(WrongLength):
        take(bytearray(pack(1, bytes(41))[:8]), 44, 1)


# --- asked of a service --------------------------------------------------------------------------------


def asked(key=None, tokens=10, attempt=None):
    params = {"model": "m", "max_tokens": tokens}
    return At(None, Intent("llm.generate", params, "cap_llm", idempotency_key=key, attempt=attempt))


@pytest.fixture(scope="module")
def world(memory):
    with serving(made(memory / "w")):
        yield memory / "w"


def test_a_connection_answers_what_a_kernel_answers(world):
    with calls_to(world) as calls:
        assert calls.principal == "operator"
        allowed, denied, unread, group = calls.run(
            [
                asked("k"),
                asked("l", 10**6),
                At(None, Receipt(b"", "ok")),
                At(None, Group("all", (asked().request,))),
            ]
        )
        assert allowed.allowed and type(allowed.intent_hash) is bytes and len(allowed.attempt) == 16
        assert denied.reason.startswith("the limit of `cap_llm` for tokens") and denied.advice
        assert isinstance(unread, InvalidInput) and group[0].allowed
        assert calls.outcome(allowed.intent_hash).phase == "open"
        assert calls.outcome(bytes(32)) is None
        assert calls.wait(allowed.intent_hash, 0.1, ended=True).phase == "open"
        assert calls.reject(allowed.intent_hash).outcome == "deny"
        with pytest.raises(RefusedByService):
            calls.call("nothing")
        assert len(calls.run([asked(tokens=1) for _ in range(200)])) == 200


def test_what_has_no_bytes_has_its_error_in_its_place(world):
    with calls_to(world) as calls:
        first, second, third = calls.run(
            [asked("x"), At(None, Intent("a", {"x": object()}, "b")), asked("x")]
        )
        assert first.intent_hash == third.intent_hash and isinstance(second, InvalidInput)
        (long,) = calls.run([At(None, Receipt(bytes(32), "ok", "", {"x": "y" * FRAME_BYTES_MAX}))])
        assert isinstance(long, InvalidInput) and "bytes_max" in long.facts


def test_threads_share_a_connection_and_each_gets_its_own_answers(world):
    with calls_to(world) as calls:
        got = {}

        def act(name):
            got[name] = [calls.run([asked(f"{name}{x}", 1)])[0].intent_hash for x in range(20)]

        threads = [threading.Thread(target=act, args=(name,)) for name in "abcd"]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        for name, hashes in got.items():
            assert [calls.run([asked(f"{name}{x}", 1)])[0].intent_hash for x in range(20)] == hashes


def test_nobody_serves_where_nobody_serves(tmp_path):
    with pytest.raises(NotServed):
        calls_to(tmp_path)


# --- a service that breaks -----------------------------------------------------------------------------


@contextmanager
def breaking(path, *scripts, ended=None):
    """A socket where each connection is greeted, and then plays its script: what it answers to each frame,
    None to hang up."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path / SOCKET))
    listening.listen()
    seen = []

    def play():
        for script in scripts:
            connection, _ = listening.accept()
            with connection:
                for answer in script:
                    buffer = bytearray()
                    while not (frames := take(buffer, 1 << 20, 1)):
                        piece = connection.recv(1 << 16)
                        if not piece:
                            return
                        buffer += piece
                    seen.append(frames[0].data)
                    if answer is None:
                        break
                    connection.sendall(pack(frames[0].number, answer))
            if ended is not None:
                ended.set()

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        listening.close()
        thread.join(5)


HELLO = JSON.write({"hello": "splittally/1", "principal": "operator", "world": "00"})
ALLOW = CBOR.write([told(Decision(1, bytes(32), "allow"), say=exact)])


def test_a_lost_answer_is_never_asked_for_again_by_itself(tmp_path):
    with breaking(tmp_path, [HELLO, None], [HELLO, ALLOW]) as seen, calls_to(tmp_path) as calls:
        with pytest.raises(AnswerLost, match="done or was not"):
            calls.run([asked("only a key")])
        assert len(seen) == 2
        assert calls.run([asked()])[0].allowed  # whoever asks again gets a connection that is made anew


def test_an_intent_with_a_key_and_an_attempt_is_asked_again_once(tmp_path):
    item = asked("key", attempt=bytes(range(16)))
    with breaking(tmp_path, [HELLO, None], [HELLO, ALLOW]) as seen, calls_to(tmp_path) as calls:
        assert calls.run([item])[0].allowed
    assert seen[1] == seen[3]
    (tmp_path / SOCKET).unlink()
    twice = breaking(tmp_path, [HELLO, None], [HELLO, None])
    with twice, calls_to(tmp_path) as calls, pytest.raises(AnswerLost):
        calls.run([item])


def test_one_that_is_only_slow_is_not_asked_twice(tmp_path):
    item = asked("key", attempt=bytes(range(16)))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / SOCKET))
        listening.listen()

        def greet():
            with listening.accept()[0] as connection:
                connection.recv(1 << 16)
                connection.sendall(pack(1, HELLO))
                connection.recv(1 << 16)
                connection.recv(1)

        thread = threading.Thread(target=greet)
        thread.start()
        with calls_to(tmp_path, answer_s=0.3) as calls, pytest.raises(AnswerLost, match="time was up"):
            calls.run([item])
        thread.join()


def test_a_connection_that_ended_while_idle_is_made_anew(tmp_path):
    ended = threading.Event()
    with breaking(tmp_path, [HELLO], [HELLO, ALLOW], ended=ended), calls_to(tmp_path) as calls:
        assert ended.wait(5)
        assert calls.run([asked()])[0].allowed


@pytest.mark.parametrize("answer", [b"", b"\xff" * 9, b"{}", pack(7, b"{}")])
def test_what_speaks_no_frames_raises_and_hangs_never(tmp_path, answer):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / SOCKET))
        listening.listen()

        def speak():
            with listening.accept()[0] as connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(ConnectionLost):
            calls_to(tmp_path, answer_s=2)
        thread.join()


def test_a_problem_of_the_greeting_is_raised_as_what_it_is(world):
    with pytest.raises(SplittallyError) as caught:
        calls_to(world, token="tally_nobody")
    assert caught.value.code == "unauthenticated"
