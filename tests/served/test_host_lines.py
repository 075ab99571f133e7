"""`tally host`: lines in, lines out, for a program that has but a pipe; with a service or without one."""

import json
import shutil
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from splittally.host.service.operations import OPERATIONS

from tests.cli_tools import command, environment, intent, process, run
from tests.served.beside import made, plainly, serving

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "host.mjs"


@pytest.fixture(scope="module")
def twins(memory):
    """A served world and its twin that nobody serves."""
    served, alone = made(memory / "served"), memory / "alone"
    shutil.copytree(served, alone)
    with serving(served):
        yield served, alone


def both(twins, text, *options):
    """The answer lines of each; the same."""
    ran = [run("-w", world, *options, "host", "-", text=text) for world in twins]
    assert plainly(ran[0]) == plainly(ran[1])
    return ran[0].lines


def lines(*documents):
    return "".join(json.dumps(document) + "\n" for document in documents)


def request(key, **more):
    return json.loads(intent(key=key, **more))


identities = st.none() | st.integers(-5, 5) | st.text(max_size=3) | st.lists(st.integers(0, 2), max_size=2)
keys = st.sampled_from(["a", "b", "c"])
kinds = st.one_of(
    keys.map(request),
    keys.map(lambda key: request(key, grant="nobody")),
    st.just({"intent_hash": "00" * 32, "status": "ok"}),
    st.just({"release": "00" * 32}),
    st.just({"what": 1}),
    st.sampled_from(["decide", "outcome", "spend", "none", 7]).map(lambda name: {"call": name}),
    st.just({"call": "outcome", "intent_hash": "00" * 32}),
    st.just({"call": "wait", "intent_hash": "00" * 32, "timeout_s": 0}),
    st.just({"call": "counters"}),
    st.just(
        {"call": "native", "kind": "ledger.issue", "params": {"resource": "USD", "amount": 1, "to": "no"}}
    ),
)
asked = st.lists(st.tuples(kinds, st.none() | identities), max_size=8)


@given(asked)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_each_line_has_one_answer_in_order_with_its_id_whoever_answers(twins, several):
    documents = [{**document, "id": identity} for document, identity in several]
    answers = both(twins, lines(*documents))
    assert [answer["id"] for answer in answers] == [identity for _, identity in several]
    for document, answer in zip(documents, answers, strict=True):
        if "call" not in document:
            assert "problem" not in answer and ("allowed" in answer) == ("kind" in document)


def test_a_line_that_cannot_be_read_is_answered_with_its_number_and_the_rest_goes_on(twins):
    text = (
        "nonsense\n\n"
        + lines(request("x1"), [1], 7)
        + '{"id": 1, "kind"\n'
        + lines({"id": 2, **request("x2")})
    )
    first, ask, array, number, cut, last = both(twins, text)
    assert (first["line"], cut["line"]) == (1, 6)
    assert first["status"] == array["status"] == number["status"] == "invalid"
    assert ask["allowed"] and last["allowed"] and last["id"] == 2


def test_every_call_of_a_service_is_there(twins):
    known = both(twins, lines({"call": "?"}))[0]["problem"]["detail"]
    assert all(operation.name in known for operation in OPERATIONS)
    answers = both(twins, lines(*({"id": x.name, "call": x.name} for x in OPERATIONS if x.name != "upgrade")))
    assert [answer["id"] for answer in answers] == [x.name for x in OPERATIONS if x.name != "upgrade"]


def test_another_principal_asks_for_itself(twins):
    answers = both(
        twins,
        lines(request("y", grant="cap_llm"), request("y", grant="bobs"), {"call": "tick"}),
        "--as",
        "bob",
    )
    assert [answer.get("outcome") for answer in answers] == ["deny", "allow", None]
    assert answers[2]["problem"]["code"] == "forbidden"


def test_a_time_of_the_command_line_is_that_of_lines_without_one(twins):
    answers = both(twins, lines(request("t1"), {**request("t2"), "now_ns": 2}), "--now-ns", 1)
    assert all(answer["allowed"] for answer in answers)


@pytest.mark.parametrize("is_served", [True, False])
def test_a_program_is_answered_while_its_pipe_stays_open_and_others_write_meanwhile(folder, is_served):
    world = made(folder / "w")
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        serving(world) if is_served else nullcontext(),
        subprocess.Popen(command("-w", world, "host", "-"), env=environment(), **piped) as program,
    ):

        def ask(document):
            program.stdin.write(json.dumps(document) + "\n")
            program.stdin.flush()
            return json.loads(program.stdout.readline())

        waits = ask({"id": 1, **request("w", grant="ask", tokens=100)})
        assert waits["outcome"] == "require_approval" and not waits["allowed"] and waits["reason"]
        with subprocess.Popen(
            command("-w", world, "approve", waits["intent_hash"]), env=environment(), stdout=subprocess.PIPE
        ) as person:
            time.sleep(0.1)
            told = ask({"id": 2, "call": "wait", "intent_hash": waits["intent_hash"], "timeout_s": 30})
            assert told["phase"] == "open" and told["id"] == 2
            person.communicate(timeout=30)
            assert person.returncode == 0
        assert process("-w", world, "tick").code == 0
        assert ask({"release": waits["intent_hash"]})["status"] == "released"
        program.stdin.close()
        assert program.wait(30) == 0


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_example_in_another_language_does_the_flow_of_the_readme(folder):
    world = made(folder / "w")
    with serving(world):
        done = subprocess.run(
            ["node", EXAMPLE, world], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    would, asked, told, became = done.stdout.splitlines()
    assert would == "would be allow" and asked == "allow, reserves 50 tokens"
    assert told == "settled, used 30 tokens" and became == "settled"
