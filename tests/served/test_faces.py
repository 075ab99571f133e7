"""The same requests through every face leave the same journal, and are answered the same."""

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import splittally
from hypothesis import given, settings
from hypothesis import strategies as st
from splittally.edge.answer_lines import readable, told
from splittally.edge.request_lines import request_of

from tests.served.serving import MANIFEST, Running, intent, lines, receipt

LIMITED = {**MANIFEST, "grants": {"own": {**MANIFEST["grants"]["own"], "budget": {"tokens": 100}}}}
PATHS = {"release": "release", "extend": "extend", "dispatch": "dispatch"}

tokens = st.integers(0, 60)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("intent"), tokens),
        st.tuples(st.just("again"), st.integers(0, 20)),
        st.tuples(st.just("all"), st.lists(tokens, min_size=1, max_size=3)),
        st.tuples(st.just("first"), st.lists(tokens, min_size=1, max_size=3)),
        st.tuples(st.just("receipt"), st.integers(0, 20)),
        st.tuples(st.just("release"), st.integers(0, 20)),
        st.tuples(st.just("dispatch"), st.integers(0, 20)),
        st.tuples(st.just("extend"), st.integers(0, 20)),
        st.tuples(st.just("bad"), st.integers(0, 3)),
    ),
    min_size=4,
    max_size=30,
)
BAD = [
    intent("none"),
    intent(kind="none"),
    {"intent_hash": "ab" * 32, "status": "ok", "adapter_id": "x"},
    intent(tokens=-5),
]


def documents(drawn):
    """The requests of drawn steps, with keys, attempts and times of their own, and the hashes of others."""
    asked, hashes = [], []
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(LIMITED).allowed

        def ask(document):
            asked.append({"now_ns": len(asked), **document})
            (answer,) = kernel.run([request_of(asked[-1])])
            for each in answer if isinstance(answer, list) else [answer]:
                if getattr(each, "outcome", None) is not None and each.intent_hash:
                    hashes.append(each.intent_hash.hex())

        for at, (sort, value) in enumerate(drawn):
            keyed = {"key": f"k{at}", "attempt": f"{at:032x}"}
            some = hashes[value % len(hashes)] if hashes and isinstance(value, int) else "cd" * 32
            match sort:
                case "intent":
                    ask(intent(tokens=value, **keyed))
                case "again":
                    ask(next((x for x in asked[value:] if "kind" in x), intent(**keyed)))
                case "all" | "first":
                    shared = {"attempt": keyed["attempt"]}
                    members = [intent(tokens=x, key=f"k{at}.{i}", **shared) for i, x in enumerate(value)]
                    ask({sort: members})
                case "receipt":
                    ask(receipt(some))
                case "release":
                    ask({"release": some, "cause": "cancel"})
                case "dispatch":
                    ask({"dispatch": some, "attempt": keyed["attempt"]})
                case "extend":
                    ask({"extend": some, "expires_ns": 10**6 + at})
                case "bad":
                    ask({**BAD[value], **(keyed if "kind" in BAD[value] else {})})
    return asked


# --- the faces: each takes the documents in order and gives their answers --------------------------


def one_by_one(client, asked):
    answers = []
    for each in asked:
        verb = next((x for x in PATHS if x in each), None)
        if verb is not None:
            body = {name: value for name, value in each.items() if name != verb}
            told = client.ask("POST", f"/v1/intents/{each[verb]}/{verb}", body)
        else:
            told = client.ask("POST", "/v1/receipts" if "intent_hash" in each else "/v1/intents", each)
        answers.append(told.json)
    return answers


def as_arrays(client, asked):
    """Neighbours for the same path go together."""
    answers, run = [], []

    def path_of(each):
        return "/v1/receipts" if "intent_hash" in each else "/v1/intents"

    def flush():
        if run:
            answers.extend(client.ask("POST", path_of(run[0]), run).json)
            run.clear()

    for each in asked:
        if any(verb in each for verb in PATHS):
            flush()
            answers.extend(one_by_one(client, [each]))
            continue
        if run and path_of(run[0]) != path_of(each):
            flush()
        run.append(each)
    flush()
    return answers


def as_lines(client, asked):
    told = client.ask("POST", "/v1/run", lines(asked))
    return [json.loads(line) for line in told.body.splitlines()]


def as_frames(encoding):
    def ask(client, asked):
        frames = client.frames(encoding)
        return [frames.ask(each) for each in asked]

    return ask


def as_one_frame(client, asked):
    return client.frames("cbor").ask(asked)


FACES = {
    "http": one_by_one,
    "arrays": as_arrays,
    "lines": as_lines,
    "frames in json": as_frames("json"),
    "frames in cbor": as_frames("cbor"),
    "one frame": as_one_frame,
}


def journal(kernel):
    """What was recorded after the world was made: keys and ids of that were drawn."""
    records, seq = [], 1
    while more := kernel._records_after(seq):
        records += [record.body for record in more]
        seq = more[-1].seq
    return records


@settings(max_examples=12)
@given(steps)
def test_every_face_leaves_the_journal_that_the_kernel_leaves_and_answers_as_it_does(drawn):
    asked = documents(drawn)
    with splittally.open(None, clock="given") as kernel:
        kernel.apply(LIMITED)
        answers = kernel.run([request_of(each) for each in asked])
        expected = [readable(told(x, y)) for x, y in zip(answers, asked, strict=True)]
        frames = journal(kernel)
    ending = []
    with ExitStack() as stack:
        for name, face in FACES.items():
            world = splittally.open(None, clock="given")
            world.apply(LIMITED)
            folder = Path(stack.enter_context(TemporaryDirectory()))
            running = Running(world, folder)
            ending.append(running)
            client = stack.enter_context(running)
            assert face(client, asked) == expected, name
            assert journal(world) == frames, name
        for running in ending:  # together: each takes a moment
            running.end_soon()
