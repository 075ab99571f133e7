"""Whatever one client sends, the service goes on, keeps little of it, and serves others as before."""

import json
import random
import socket
import statistics
import time
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splittally.host.service.door import HEAD_BYTES_MAX, HEADERS_MAX
from splittally.host.service.frames import FRAME_BYTES_MAX, HELLO_BYTES_MAX, ON_THE_WAY_MAX

from tests.served.serving import HEAD, asking, intent, lines

ROOM_BYTES = 96 << 20  # what one hostile client may make the process grow by
HELLO = {"hello": "splittally/1", "encoding": "json"}
POST = b"POST /v1/intents HTTP/1.1\r\nhost: x\r\n"


def framed(number: int, data: bytes, length: int | None = None) -> bytes:
    return HEAD.pack(len(data) + 4 if length is None else length, number) + data


def said(document: object) -> bytes:
    return json.dumps(document).encode()


class Neighbour:
    """A client that behaves, and how long it waits."""

    def __init__(self, served) -> None:
        self._served = served
        self._connection = served.connection(timeout=20)
        self._frames = served.frames()
        self.before_s = statistics.median(self.waits_s() for _ in range(5))
        self.rss, self.room_bytes = served.rss_bytes, ROOM_BYTES

    def __enter__(self) -> "Neighbour":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._frames.close()

    def waits_s(self) -> float:
        begun = time.monotonic()
        assert asking(self._connection, "POST", "/v1/intents", intent(tokens=1)).json["allowed"]
        assert self._frames.ask(intent(tokens=1))["allowed"]
        return time.monotonic() - begun

    def is_as_before(self) -> None:
        """It waits no longer than before but for what a busy machine adds, and the process is no larger."""
        waits = [self.waits_s() for _ in range(3)]
        assert min(waits) < 20 * self.before_s + 0.5, waits
        assert self._served.rss_bytes - self.rss < self.room_bytes
        assert "Traceback" not in self._served.stderr


@pytest.fixture
def neighbour(served):
    with Neighbour(served) as made:
        yield made
        made.is_as_before()


# --- streams that are drawn --------------------------------------------------------------------

tiny = st.binary(max_size=40)
junk = st.one_of(
    st.binary(max_size=300),
    st.sampled_from(
        [b"\x00" * 64, b"\xff" * 64, b"[" * 9_000, b'{"a":' * 9_000, b'"\\ud800"', b"\xa1" * 500, b"nan"]
    ),
    st.sampled_from(
        [
            b"\x9b" + b"\xff" * 8,
            b"\x81" * 900,
            b"1e999",
            b'{"a":1,"a":2}',
            b"[" * 65 + b"]" * 65,
            b"\xf9\x7e\0",
        ]
    ),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=20,
)
CALLS = ["outcome", "wait", "grants", "journal", "native", "apply", "spend", "x", 5, None]
FIELDS = ["intent_hash", "limit", "after", "kind", "params", "manifest", "by", "timeout_s", "files", "intent"]
calls = st.fixed_dictionaries(
    {"call": st.sampled_from(CALLS)},
    optional={name: anything | st.text(alphabet="0123456789abcdef", max_size=70) for name in FIELDS},
)
documents = junk | (anything | calls).map(said)
odd = anything | st.sampled_from(["json", "cbor", "alice", "operator", {}])
hellos = st.one_of(
    st.just(said(HELLO)),
    st.fixed_dictionaries(
        {"hello": st.sampled_from(["splittally/1", "splittally/2", 1, None, []])},
        optional=dict.fromkeys(("encoding", "principal", "token", "more"), odd),
    ).map(said),
    junk,
)
LENGTHS = [0, 3, 4, 5, HELLO_BYTES_MAX, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1, 2**32 - 1]
frames = st.builds(framed, st.integers(0, 2**32 - 1), documents, st.none() | st.sampled_from(LENGTHS))
streams_of_frames = st.builds(
    lambda hello, more, end: framed(0, hello) + b"".join(more) + end,
    hellos,
    st.lists(frames, max_size=8),
    tiny,
)
LINES = [
    *(
        b"POST /v1/intents HTTP/1.1",
        b"GET / HTTP/1.1",
        b"GET /v1/grants?limit=%ff HTTP/1.1",
        b"PRI * HTTP/2.0",
    ),
    *(b"CONNECT x:1 HTTP/1.1", b"GET * HTTP/1.1", b"GET http://[ HTTP/1.1", b"\r\n\r\nGET /health HTTP/1.1"),
    *(b"OPTIONS * HTTP/1.1", b"GET /\x80 HTTP/1.1", b"GET /health HTTP/9.9", b"get /health http/1.1"),
]
HEADERS = [
    *(b"content-length: 5", b"content-length: -1", b"content-length: 9999999999999999999999", b"host: x"),
    *(b"transfer-encoding: chunked", b"transfer-encoding: chunked\r\ncontent-length: 3", b"upgrade: h2c"),
    *(b"connection: upgrade", b"expect: 100-continue", b"authorization: Bearer \xff", b"a\x00b: c", b": "),
    *(b"splittally-principal: \xff\xfe", b"splittally-principal: alice", b" folded", b"connection: close"),
    *(b"idempotency-key: \xff", b"last-event-id: -99999999999999999999"),
]
CHUNKS = [b'5\r\n{"a":\r\nZZ\r\n', b"ffffffffffffffffff\r\n", said(intent())]
requests = st.builds(
    lambda line, headers, body: b"\r\n".join([line, *headers, b"", body]),
    st.sampled_from(LINES),
    st.lists(st.sampled_from(HEADERS), max_size=4),
    st.one_of(tiny, junk, st.sampled_from(CHUNKS)),
)
streams_of_http = st.lists(requests, min_size=1, max_size=4).map(b"".join)


def pushed(served, stream: bytes, chance: random.Random, over_tcp: bool) -> None:
    """The stream in pieces of any size, read a little or not at all, and then the end."""
    with served.opened(2, over_tcp) as connection, suppress(OSError):
        at = 0
        while at < len(stream):
            size = chance.choice((1, 2, 7, 64, 4_096, 1 << 20))
            connection.sendall(stream[at : at + size] if at < 512 else stream[at:])
            at = at + size if at < 512 else len(stream)
            if chance.random() < 0.2:
                connection.setblocking(False)
                with suppress(BlockingIOError):
                    connection.recv(100)
                connection.settimeout(2)
        if chance.random() < 0.3:
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.05)
            connection.recv(1 << 16)


def test_no_stream_of_bytes_harms_others(served, neighbour):
    @settings(max_examples=250)
    @given(st.one_of(streams_of_frames, streams_of_http), st.integers(0, 2**32), st.booleans())
    def push(stream, seed, over_tcp):
        pushed(served, stream, random.Random(seed), over_tcp)
        assert served.process.poll() is None
        assert "Traceback" not in served.stderr

    push()


# --- and those that are known ------------------------------------------------------------------


def test_a_length_beyond_the_bound_is_refused_before_its_bytes(served, neighbour):
    for length, is_known in ((HELLO_BYTES_MAX + 1, False), (FRAME_BYTES_MAX + 1, True), (0, True), (3, True)):
        stream = (framed(0, said(HELLO)) if is_known else b"") + framed(7, b"", length)
        answer = served.raw(stream)
        assert b'"code":"input.too_large"' in answer, length


def test_frames_that_are_no_requests_are_answered_each_however_many_come_at_once(served, neighbour):
    """More than may be on their way come in one piece, and none of them is."""
    client = served.frames()
    count = 4 * ON_THE_WAY_MAX
    client.socket.sendall(b"".join(framed(number, b"{") for number in range(1, count + 1)))
    answers = [client.take() for _ in range(count)]
    assert [number for number, _ in answers] == list(range(1, count + 1))
    assert {answer["problem"]["code"] for _, answer in answers} == {"invalid_input"}


def test_who_never_takes_an_answer_is_not_read_for(served, neighbour):
    with ExitStack() as stack:
        for _ in range(4):
            client = served.frames()
            call = {"call": "journal", "limit": 1_000}
            client.socket.settimeout(0.5)
            with suppress(TimeoutError):
                client.socket.sendall(b"".join(client.packed(n, call) for n in range(20_000)))
        for path in (b"/openapi.json", b"/v1/journal?limit=1000", b"/v1/events"):
            connection = stack.enter_context(served.opened(0.5))
            with suppress(OSError):
                connection.sendall(b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path * 50_000)
        neighbour.is_as_before()


def test_a_flood_of_requests_on_one_connection_waits_outside(served, neighbour):
    """Each answer lets a little more of it in, and never all."""
    with served.opened(0.5) as connection, served.opened(0.5, over_tcp=True) as other:
        for each in (connection, other):
            with suppress(OSError):
                each.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 400_000)
        neighbour.is_as_before()


def test_a_head_without_end_is_not_kept(served, neighbour):
    start = b"GET /health HTTP/1.1\r\nhost: x\r\n"
    many = b"".join(b"x-%d: y\r\n" % n for n in range(10_000))
    for stream in (
        start + many + b"\r\n",
        start + b"x: " + b"y" * 4_000_000,
        b"GET /" + b"y" * 4_000_000,
        start + b"x: y\r\n" * 2_000_000,
        POST + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 2_000_000,
    ):
        for over_tcp in (False, True):
            answer = served.raw(stream, over_tcp=over_tcp)
            assert answer == b"" or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ", b"HTTP/1.1 401 "))
    allowed = start + b"x: " + b"y" * (HEAD_BYTES_MAX - 1_000) + b"\r\nconnection: close\r\n\r\n"
    assert served.raw(allowed).startswith(b"HTTP/1.1 200 ")
    fitting = b"x: y\r\n" * (HEADERS_MAX - 2)
    assert served.raw(start + fitting + b"connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert served.raw(start + fitting + b"x: y\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def test_a_body_without_end_is_refused_at_its_bound(served, neighbour):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    health = b"0\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = served.raw(POST + b"transfer-encoding: chunked\r\n\r\n" + chunk * 100 + health)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"status":"ok"' in answer  # the rest was passed over


def test_lines_of_a_body_without_end_are_answered_and_not_kept(served, neighbour):
    head = b"POST /v1/run HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    with served.opened(1) as connection, suppress(OSError):
        connection.sendall(head)
        for _ in range(300):
            connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        bad = b"{\n" * 0x4000
        for _ in range(20):
            connection.sendall(b"%x\r\n%s\r\n" % (len(bad), bad))


@pytest.mark.parametrize("one", [b"{},", b"[],", b'{"a":{}},', b'{"kind":5},'])
def test_a_document_of_a_million_parts_delays_nobody(served, neighbour, one):
    """It is within the bound of its bytes; reading it would take a second, and fifty times its memory."""
    data = b"[" + one * ((FRAME_BYTES_MAX - 64) // len(one)) + one[:-1] + b"]"
    group = b'{"all":' + data[: -(len(data) % 2)] + b"]}" if len(data) % 2 else b'{"all":' + data + b"}"
    client = served.frames()
    for each in (data, group[: FRAME_BYTES_MAX - 8]):
        client.socket.sendall(framed(1, each))
        with served.opened() as connection:
            head = POST + b"content-length: %d\r\nconnection: close\r\n\r\n"
            connection.sendall(head % len(each) + each)
            begun, worst = time.monotonic(), 0.0
            while time.monotonic() - begun < 0.8:
                worst = max(worst, neighbour.waits_s())
        assert worst < 20 * neighbour.before_s + 0.7, worst
        number, answer = client.take()
        assert number == 1
        assert "problem" in answer or "findings" in answer


def test_silent_and_half_said_connections_cost_little(served, neighbour):
    halves = (b"", b"GET /hea", framed(0, said(HELLO))[:9], POST + b"content-length: 9\r\n\r\n{")
    with ExitStack() as stack:
        for n in range(150):
            connection = stack.enter_context(served.opened())
            connection.sendall(halves[n % 4])
        neighbour.is_as_before()


def test_where_there_is_no_room_left_the_longest_silence_makes_way(served):
    """Who opens connections and says nothing on them locks nobody out."""
    with ExitStack() as stack:
        kept = served.frames()
        for _ in range(1_100):
            stack.enter_context(served.opened())
        assert served.ask("GET", "/health").status == 200
        assert kept.ask(intent())["allowed"]


def test_a_client_that_goes_takes_what_it_asked_with_it(served):
    """Waits of who is gone are not kept for a minute."""
    hashed = served.ask("POST", "/v1/intents", intent()).json["intent_hash"]
    asked = f"GET /v1/intents/{hashed}/wait?ended=true&timeout_s=60 HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    before = served.rss_bytes
    for _ in range(400):
        with served.opened() as connection:
            connection.sendall(asked)
    told = served.ask("GET", "/metrics").body.decode()
    assert "splittally_connections 1.0" in told
    assert served.rss_bytes - before < 16 << 20


def test_garbage_after_a_request_does_not_stand_in_its_answer(served, neighbour):
    body = said(intent())
    head = POST + b"content-length: %d\r\n\r\n"
    answer = served.raw(head % len(body) + body + b"\x00garbage\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") <= 1


def test_lines_amid_which_a_connection_ends_are_decided_or_given_up_and_nothing_else(served, neighbour):
    for cut in (1, 500, 1_000):
        body = lines([intent()] * 20)
        with served.opened() as connection:
            head = b"POST /v1/run HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body[:cut])
