"""What is another's is as if it were not there: the same bytes but for the name that was asked for."""

import asyncio
import json
from contextlib import contextmanager

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.host.service.authzen import evaluation
from splittally.host.service.feed import events
from splittally.host.service.operations import OPERATIONS, call
from splittally.host.service.problems import Problem
from splittally.host.service.service import Service
from splittally.runtime.callers import AUDITOR, Caller

from tests.served.serving import Served, make_world

ALICE, BOB = Caller("alice", ()), Caller("bob", ())
OPERATOR = Caller("operator", ("operator",))
WATCHER = Caller("watcher", (AUDITOR,))
MANIFEST = {
    "resources": {"USD": 2},
    "accounts": {"accounts/alice-card": {}, "accounts/bob-card": {}},
    "caps": {},
    "grants": {
        name: {
            "cap": "sys/llm.basic@1",
            "budget": {"tokens": 1_000},
            "holder": holder,
            "draws_on": {"USD": f"accounts/{name}"},
        }
        for name, holder in (("alice-card", "alice"), ("bob-card", "bob"))
    },
    "policy": [
        {"name": "ask", "when": "params.max_tokens > 90", "decision": "require_approval"},
        {"decision": "allow"},
    ],
}
ASK = {"model": "m", "max_tokens": 5}
UNKNOWN_HASH, UNKNOWN_NAME = "ab" * 32, "nobody-card"


@contextmanager
def world_of_two():
    """Each of two principals with a grant, an open intent, one that waits and one that ended."""
    kernel = splittally.open(None, clock="given")
    applied = kernel.apply(MANIFEST)
    assert applied.allowed, applied.reason
    hashes = {}
    for name, holder in (("alice-card", "alice"), ("bob-card", "bob")):
        asking = kernel.as_principal(holder)
        held, ended = (asking.submit(Intent("llm.generate", ASK, name)) for _ in range(2))
        waiting = asking.submit(Intent("llm.generate", {**ASK, "max_tokens": 99}, name))
        asking.settle(Receipt(ended.intent_hash, "ok", "x", {"prompt_tokens": 1, "completion_tokens": 1}))
        hashes[holder] = [x.intent_hash.hex() for x in (held, ended, waiting)]
        assert (held.outcome, waiting.outcome) == ("allow", "require_approval")
    yield kernel, hashes


def asked(kernel, caller, operation, given):
    """What a caller is told, as it would be sent."""

    async def ask():
        service = Service(kernel, 0)
        try:
            return {"status": 200, **await call(service, caller, operation, given)}
        except Problem as problem:
            return problem.document()
        finally:
            service._threads.close()
            await asyncio.to_thread(service._writer.close)

    return json.loads(json.dumps(asyncio.run(ask())))


HASHED = [x for x in OPERATIONS if "intent_hash" in x.fields.__struct_fields__]
TABLES = [x for x in OPERATIONS if x.answer == "Page" and x.name != "journal"]
ROWS = [x for x in OPERATIONS if x.path.endswith("/{name}")]
UNDER = {"decide", "native"}
ALONE = {"spend", "me"}  # each has a test of its own
FOR_OTHERS = [x for x in OPERATIONS if x.who != "host"]
MORE = {
    "extend": {"expires_ns": 10**12},
    "dispatch": {"attempt": "00" * 16},
    "wait": {"timeout_s": 0},
}


def test_every_operation_is_of_a_sort_that_is_tested_here():
    sorts = [HASHED, TABLES, ROWS, FOR_OTHERS, [x for x in OPERATIONS if x.name in UNDER | ALONE]]
    assert sorted(x.name for sort in sorts for x in sort) == sorted(x.name for x in OPERATIONS)


@pytest.mark.parametrize("operation", HASHED, ids=lambda x: x.name)
@pytest.mark.parametrize("place", range(3))
def test_an_intent_of_another_is_as_one_that_is_not_there(operation, place):
    with world_of_two() as (kernel, hashes):
        other = hashes["bob"][place]
        before = kernel.outcome(other)
        told = []
        for digest in (other, UNKNOWN_HASH):
            given = {"intent_hash": digest, **MORE.get(operation.name, {})}
            text = json.dumps(asked(kernel, ALICE, operation, given)).replace(digest, "HASH")
            told.append(without_what_differs_between_two_frames(text))
        assert told[0] == told[1]
        assert kernel.outcome(other) == before


def without_what_differs_between_two_frames(text):
    """Where the asking itself is recorded, each has a place, a key and an attempt of its own."""
    document = json.loads(text)
    if document.get("outcome") == "deny":
        for name in ("seq", "intent_hash", "attempt"):
            document.pop(name, None)
        document["advice"] = document.get("advice", "").split(":")[0]
    elif document.get("status") == "refused":
        document.pop("seq", None)
    return document


@pytest.mark.parametrize("operation", ROWS, ids=lambda x: x.name)
def test_a_row_of_another_is_as_one_that_is_not_there(operation):
    theirs = {
        "grant": "bob-card",
        "counter": "bob-card",
        "account": "accounts/bob-card",
        "budget": "plan",
        "resource": "EUR",
    }
    own = {
        "grant": "alice-card",
        "counter": "alice-card",
        "account": "accounts/alice-card",
        "resource": "USD",
    }
    with world_of_two() as (kernel, hashes):
        theirs["reservation"], own["reservation"] = hashes["bob"][0], hashes["alice"][0]
        name = theirs[operation.name]
        unknown = UNKNOWN_HASH if operation.name == "reservation" else UNKNOWN_NAME
        told = [
            json.dumps(asked(kernel, ALICE, operation, {"name": x})).replace(x, "X") for x in (name, unknown)
        ]
        assert told[0] == told[1]
        assert json.loads(told[0])["status"] == 404
        if operation.name in own:
            assert (
                asked(kernel, ALICE, operation, {"name": own[operation.name]})["key"] == own[operation.name]
            )
        if operation.name in ("grant", "reservation"):
            assert asked(kernel, WATCHER, operation, {"name": name})["key"] == name


@pytest.mark.parametrize("operation", TABLES, ids=lambda x: x.name)
def test_a_page_has_what_is_ones_own_and_a_watcher_has_what_everybody_has(operation):
    with world_of_two() as (kernel, _):
        shown = {}
        for caller in (ALICE, BOB, WATCHER, OPERATOR):
            pages, after = [], None
            while True:
                page = asked(kernel, caller, operation, {"limit": 1, **({"after": after} if after else {})})
                pages += page["items"]
                after = page["next"]
                if after is None:
                    break
            assert [x["key"] for x in pages] == sorted(x["key"] for x in pages)
            whole = asked(kernel, caller, operation, {})["items"]
            assert [x["key"] for x in whole] == [x["key"] for x in pages]
            shown[caller.principal] = {x["key"] for x in pages}
        assert shown["watcher"] == shown["operator"]
        common = shown["alice"] & shown["bob"]
        assert common == ({"USD"} if operation.name == "resources" else set())
        assert shown["alice"] | shown["bob"] <= shown["operator"]
        if operation.name in ("grants", "counters", "reservations", "accounts"):
            assert len(shown["alice"]) == len(shown["bob"]) >= 1


@pytest.mark.parametrize("params", [ASK, {}, {"model": 5}, {**ASK, "max_tokens": 10**6}, None])
@pytest.mark.parametrize("operation", [x for x in OPERATIONS if x.name in UNDER], ids=lambda x: x.name)
def test_what_is_asked_under_the_grant_of_another_is_told_as_under_none(operation, params):
    with world_of_two() as (kernel, _):
        told = []
        for name in ("bob-card", UNKNOWN_NAME):
            if operation.name == "decide":
                given = {"intent": {"kind": "llm.generate", "params": params, "grant": name}}
            else:
                given = {"kind": "llm.generate", "params": params or {}, "under": name}
            told.append(
                json.dumps(asked(kernel, ALICE, operation, given))
                .replace(f"`{name}`", "X")
                .replace(f'"{name}"', "X")
            )
        assert told[0] == told[1]


def test_what_another_spent_is_as_what_nobody_spent():
    operation = next(x for x in OPERATIONS if x.name == "spend")
    with world_of_two() as (kernel, _):
        assert asked(kernel, ALICE, operation, {})["items"][0]["grant"] == "alice-card"
        for fields in (
            {"grant": "{}"},
            {"under": "{}"},
            {"principal": "{}"},
            {"grant": "{}", "by": "principal"},
        ):
            told = [
                asked(kernel, ALICE, operation, {k: v.format(x) for k, v in fields.items()})
                for x in ("bob-card", UNKNOWN_NAME)
            ]
            if "principal" not in fields:
                assert told[0] == told[1] == {"status": 200, "items": []}
            assert "bob" not in json.dumps(told)
        assert {x["grant"] for x in asked(kernel, WATCHER, operation, {})["items"]} == {
            "alice-card",
            "bob-card",
        }


@pytest.mark.parametrize("operation", FOR_OTHERS, ids=lambda x: x.name)
def test_what_is_for_operators_is_forbidden_to_others_before_their_fields_are_read(operation):
    with world_of_two() as (kernel, _):
        size = kernel.state.seq
        for caller in (ALICE, *([] if operation.who == AUDITOR else [WATCHER])):
            assert asked(kernel, caller, operation, {"nothing": 1})["status"] == 403
        assert kernel.state.seq == size


def test_a_watcher_reads_and_changes_nothing():
    with world_of_two() as (kernel, hashes):
        size, root = kernel.state.seq, kernel.state.root
        for operation in OPERATIONS:
            given = {"intent_hash": hashes["bob"][0], **MORE.get(operation.name, {})}
            given = given if operation in HASHED else {}
            if operation.name == "decide":
                given = {"intent": {"kind": "llm.generate", "params": ASK, "grant": "bob-card"}}
            if operation.name == "native":
                given = {"kind": "ledger.issue"}
            if operation in ROWS:
                given = {"name": hashes["bob"][0] if operation.name == "reservation" else "bob-card"}
            told = asked(kernel, WATCHER, operation, given)
            is_read = operation.method == "GET"
            assert told["status"] == 403 if not is_read else told["status"] != 403, operation.name
        assert (kernel.state.seq, kernel.state.root) == (size, root)


def test_an_evaluation_says_of_the_grant_of_another_what_it_says_of_none():
    async def evaluate(kernel, name):
        service = Service(kernel, 0)
        question = {
            "subject": {"type": "host", "id": "alice"},
            "resource": {"type": "grant", "id": name},
            "action": {"name": "llm.generate", "properties": ASK},
        }
        told = json.dumps(await evaluation(service, ALICE, question))
        for caller, status in ((BOB, 403), (WATCHER, 403)):
            with pytest.raises(Problem) as refused:
                await evaluation(service, caller, question)
            assert refused.value.status == status
        assert json.loads(json.dumps(await evaluation(service, OPERATOR, question)))
        service._threads.close()
        await asyncio.to_thread(service._writer.close)
        return told

    with world_of_two() as (kernel, _):
        foreign, unknown = (asyncio.run(evaluate(kernel, name)) for name in ("bob-card", UNKNOWN_NAME))
        assert foreign.replace("bob-card", "X") == unknown.replace(UNKNOWN_NAME, "X")
        assert json.loads(asyncio.run(evaluate(kernel, "alice-card")))["decision"] is True


def test_who_follows_hears_of_its_own_intents_and_of_nothing_else():
    """Also where another did something to them, or a frame speaks of several principals' intents."""

    async def follow(kernel, caller):
        service = Service(kernel, 0)
        size, said = service.head.size, b""
        feed = events(service, caller, -1)
        service.kernel._world.signals.closed()
        while kernel.state.seq and f"\nid: {size - 1}\n".encode() not in b"\n" + said:
            try:
                async with asyncio.timeout(0.5):
                    said += await anext(feed)
            except (TimeoutError, StopAsyncIteration):
                break
        await feed.aclose()
        service._threads.close()
        await asyncio.to_thread(service._writer.close)
        return [json.loads(line[6:]) for line in said.decode().splitlines() if line.startswith("data: ")]

    with world_of_two() as (kernel, hashes):
        kernel.approve(hashes["alice"][2])
        kernel.as_principal("alice").submit(Intent("llm.generate", ASK, "bob-card"))
        told = asyncio.run(follow(kernel, ALICE))
        text = json.dumps(told)
        assert all(digest in text for digest in hashes["alice"])
        assert not any(digest in text for digest in hashes["bob"])
        assert "not_holder" not in text
        assert any(x["data"]["by"] == "operator" for x in told)  # the approval
        every = asyncio.run(follow(kernel, WATCHER))
        assert [x["id"] for x in every] == [str(seq) for seq in range(kernel.state.seq)]


# --- over the wire -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(memory):
    with Served(make_world(memory / "world")) as service:
        yield service


def test_who_may_name_others_acts_as_the_one_that_it_names_on_every_face(served):
    ask = {"kind": "llm.generate", "params": ASK}
    for encoding in ("json", "cbor"):
        alice = served.frames(encoding, principal="alice")
        assert alice.greeting["principal"] == "alice"
        assert alice.ask({**ask, "grant": "alice/llm"})["allowed"]
        foreign = alice.ask({**ask, "grant": "bob/llm"})
        assert foreign == alice.ask({**ask, "grant": "nob/llm"}) | told_of("nob/llm", "bob/llm", foreign)
        assert [x["key"] for x in alice.ask({"call": "grants"})["items"]] == ["alice/llm"]
    assert [x["key"] for x in served.as_("bob", "GET", "/v1/grants").json["items"]] == ["bob/llm"]
    assert served.as_("bob", "POST", "/v1/intents", {**ask, "grant": "bob/llm"}).json["allowed"]
    assert not served.as_("bob", "POST", "/v1/intents", {**ask, "grant": "own"}).json["allowed"]


def told_of(name, other, foreign):
    """The parts of an answer that repeat the name."""
    text = json.dumps({key: foreign[key] for key in ("findings", "reason")})
    assert name not in text
    return json.loads(text)


def test_a_secret_that_nobody_has_is_refused_also_for_the_owner(served):
    for headers in ({"authorization": "Bearer nothing"}, {"authorization": "Basic eDp5"}):
        assert served.ask("GET", "/v1/grants", **headers).status == 401
    client = served.frames(token="nothing")
    assert client.greeting["problem"]["status"] == 401
    with pytest.raises((EOFError, ConnectionError)):
        client.take()


def test_a_user_of_the_machine_whom_the_world_does_not_know_is_nobody():
    with world_of_two() as (kernel, _):
        service = Service(kernel, 1_000)
        for named in (None, "alice", "operator"):
            for uid in (None, 0, 1_001):
                with pytest.raises(Problem) as refused:
                    service.caller_of(uid, None, named)
                assert (refused.value.status, refused.value.code) == (401, "unauthenticated")
            told = service.caller_of(1_000, None, named)
            assert told.principal == (named or "operator")
            assert told.may_see_all == (named != "alice")
        service._threads.close()
        service._writer.close()
