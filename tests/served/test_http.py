"""HTTP as clients of every kind speak it: kept connections, old versions, methods that are none."""

import json
import socket

import pytest
from splittally.host.service.hot import BODY_BYTES_MAX
from splittally.host.service.operations import OPERATIONS
from splittally.host.service.service import MANY_MAX

from tests.served.serving import LIMIT, asking, intent, lines, receipt


def without_braces(path: str) -> str:
    return path.replace("{", "").replace("}", "")


PLAIN = ("/health", "/ready", "/metrics", "/openapi.json", "/v1/events")


def test_requests_share_a_connection_and_each_gets_its_own_answer(served):
    connection = served.connection()
    decision = asking(
        connection, "POST", "/v1/intents", intent("alice/llm"), {"splittally-principal": "alice"}
    )
    first = connection.sock
    hashed = decision.json["intent_hash"]
    assert decision.json["allowed"] is True
    told = asking(connection, "POST", "/v1/receipts", receipt(hashed), {"splittally-principal": "alice"})
    assert told.json["usage"] == {"tokens": 3}
    outcome = asking(connection, "GET", f"/v1/intents/{hashed}")
    assert (outcome.json["status"], outcome.json["principal"]) == ("settled", "alice")
    assert connection.sock is first


@pytest.mark.parametrize("path", [*PLAIN, "/v1/grants", "/v1/grants/own"])
def test_head_says_what_get_says_without_its_body_and_does_not_follow(served, path):
    told = served.ask("HEAD", path)
    assert (told.status, told.body) == (200, b"")
    if path != "/v1/events":
        assert told.headers["content-type"] == served.ask("GET", path).headers["content-type"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST" if x.method == "GET" else "GET", without_braces(x.path)) for x in OPERATIONS),
        *(("DELETE", path) for path in (*PLAIN, "/v1/intents", "/v1/receipts", "/v1/run", "/v1/grants")),
    ],
)
def test_a_method_that_a_path_has_not_is_a_problem_that_names_those_it_has(served, method, path):
    told = served.ask(method, path)
    if (method, path) == ("GET", "/v1/intents/intent_hash/release"):
        assert told.headers["allow"] == "POST"
    assert told.status in (405, 400)  # `/v1/intents/HASH` is a path for GET, whatever the hash
    assert told.headers["content-type"] == "application/problem+json"
    if told.status == 405:
        assert told.headers["allow"]
        assert told.json["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/nothing", "/v1/grants/", "//v1/grants", "/v1/%00", "/%ff"]
)
def test_a_path_that_is_none_is_a_problem_and_sends_nobody_elsewhere(served, path):
    told = served.ask("GET", path, host="elsewhere.example")
    assert told.status in (400, 404)
    assert "location" not in told.headers
    assert json.loads(told.body)["status"] == told.status


def test_a_name_with_slashes_is_one_name(served):
    for path in ("/v1/accounts/accounts/alice", "/v1/accounts/accounts%2Falice"):
        assert served.ask("GET", path).json["key"] == "accounts/alice"
    assert served.ask("GET", "/v1/grants/alice/llm").json["holder"] == "alice"


def test_a_body_is_asked_for_where_a_client_waits_for_that_and_never_where_it_is_too_large(served):
    head = b"POST /v1/intents HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    body = json.dumps(intent()).encode()
    with served.opened() as connection:
        connection.sendall(head % len(body))
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")
    answer = served.raw(head % (BODY_BYTES_MAX + 1))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


def test_http_1_0_gets_an_answer_and_the_end(served):
    answer = served.raw(b"GET /health HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in answer


def test_requests_that_come_in_one_piece_are_answered_in_order(served):
    one = b"GET /v1/grants/%s HTTP/1.1\r\nhost: x\r\n\r\n"
    asked = [b"own", b"alice/llm", b"none", b"root"]
    last = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = served.raw(b"".join(one % name for name in asked) + last)
    places = [
        answer.index(word) for word in (b'"key":"own"', b'"key":"alice/llm"', b"`none`", b'"key":"root"')
    ]
    assert places == sorted(places)
    assert answer.count(b"HTTP/1.1 ") == 5


def test_an_upgrade_that_nobody_offers_is_answered_as_if_it_were_not_asked(served):
    for word in ("websocket", "h2c"):
        told = served.ask("GET", "/health", connection="Upgrade", upgrade=word)
        assert told.status == 200


def test_an_idempotency_key_stands_for_a_key_that_an_intent_has_not(served):
    first = served.ask("POST", "/v1/intents", intent(), idempotency_key="order-7").json
    again = served.ask("POST", "/v1/intents", intent(key="order-7")).json
    assert (again["duplicate"], again["intent_hash"]) == (True, first["intent_hash"])


def test_a_request_for_another_path_is_told_which_and_does_nothing(served):
    told = served.ask("POST", "/v1/receipts", intent(key="misplaced"))
    assert (told.status, "/v1/intents" in told.json["detail"]) == (400, True)
    assert served.ask("POST", "/v1/intents", intent(key="misplaced")).json["duplicate"] is False


def test_an_array_within_its_bound_is_answered_and_one_above_it_is_not(served):
    spent = served.ask("GET", "/v1/counters/own").json["tokens"]
    many = served.ask("POST", "/v1/intents", [intent(tokens=1)] * MANY_MAX)
    assert (many.status, {x["outcome"] for x in many.json}) == (200, {"allow"})
    more = served.ask("POST", "/v1/intents", [intent(tokens=1)] * (MANY_MAX + 1))
    assert (more.status, more.json["code"]) == (413, "too_many")
    now = served.ask("GET", "/v1/counters/own").json["tokens"]
    assert now["reserved"] == spent["reserved"] + MANY_MAX
    assert now["limit"] == LIMIT


def test_lines_are_answered_line_by_line_also_where_one_is_none_or_too_long(served):
    body = (
        lines([intent()]) + b"{\n" + b" " * (BODY_BYTES_MAX + 9) + b"x\n\n" + lines([{"kind": 5}, intent()])
    )
    told = served.ask("POST", "/v1/run", body)
    answers = [json.loads(line) for line in told.body.splitlines()]
    assert [x.get("outcome") for x in answers] == ["allow", None, None, "deny", "allow"]
    assert [bool(x.get("findings")) for x in answers] == [False, True, True, True, False]


def test_lines_are_answered_while_more_of_them_come(served):
    """A host may keep one request open and send a line whenever it has one."""
    with served.opened() as connection:
        connection.sendall(b"POST /v1/run HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            line = lines([intent()])
            connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))
            said = b""
            while b'"outcome"' not in said:
                said += connection.recv(1 << 16)
        connection.sendall(b"0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)


def test_fields_stand_in_one_place_and_are_of_their_type(served):
    hashed = served.ask("POST", "/v1/intents", intent()).json["intent_hash"]
    for path, body in (
        (f"/v1/intents/{hashed}/release?cause=cancel", {}),
        (f"/v1/intents/{hashed}/release", {"intent_hash": hashed}),
        (f"/v1/intents/{hashed}/release", {"now_ns": "5"}),
        (f"/v1/intents/{hashed}/release", {"caus": "cancel"}),
        (f"/v1/intents/{hashed}/release", [1]),
        (f"/v1/intents/{hashed}/release", "x"),
    ):
        assert served.ask("POST", path, body).status == 400
    for path in ("/v1/grants?limit=0", "/v1/grants?limit=1&limit=2", "/v1/grants?limit=x", "/v1/grants?x=1"):
        assert served.ask("GET", path).status == 400
    assert (
        served.ask("POST", f"/v1/intents/{hashed}/release", {"cause": "cancel"}).json["status"] == "released"
    )


def test_who_sends_no_token_over_tcp_is_told_how_and_hears_nothing_else(served):
    for method, path in (*((x.method, without_braces(x.path)) for x in OPERATIONS),
                         ("POST", "/v1/intents"), ("GET", "/v1/events"),
                         ("POST", "/access/v1/evaluation")):  # fmt: skip
        asked = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        answer = served.raw(asked.encode(), over_tcp=True)
        assert answer.startswith(b"HTTP/1.1 401 "), path
        assert b"www-authenticate: Bearer\r\n" in answer
