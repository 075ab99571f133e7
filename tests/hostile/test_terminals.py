"""Text of others reaches a terminal or a line of JSON only escaped; it can neither colour nor forge one."""

import json
import os
import re
import subprocess
import sys

import pytest
import splittally
from splittally import Intent

from tests.rows.worlds import (
    _PATHS,
    act,
    codes,
    denies,
    held,
    manifest,
    run_python,
    settle,
    uses,
    world,
)

NASTY = '\x1b[31mred\x1b]0;title\x07\r\n{"seq":1}\u202eevil\u2028\x9b5m\ufeff\x00'
ALLOWED = re.compile(r"[\n -~\u00a0-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\ufdff\U00010000-\U0001ffff]*")


@pytest.fixture(scope="module")
def nasty_world(tmp_path_factory):
    """A world in which every text that anybody may choose is nasty; the hashes of its intents."""
    path = tmp_path_factory.mktemp("nasty") / "w"
    with world({"g": {"budget": {"tokens": 100}}}, path) as kernel:
        refused = act(kernel, denies("no", NASTY))
        assert refused.findings[0].facts["message"] == NASTY  # the journal keeps the bytes
        allowed = held(kernel, {"tokens": 5}, params={NASTY: [NASTY]})
        settle(kernel, allowed, uses({"tokens": 5}, "odd", NASTY))
        open_ = held(kernel, {NASTY: 5, "tokens": 1}, params={"z": NASTY})
        released = held(kernel, {"tokens": 5})
        kernel.release(released, "cancel", NASTY)
        kernel.native("grant.revoke", name="g", order=NASTY)
        late = act(kernel, {"tokens": 1})
        assert late.findings[0].facts["order"] == NASTY
    return path, [refused.intent_hash, allowed, open_, released, late.intent_hash]


VIEWS = [
    ["log"], ["log", "--full"], ["grants"], ["ledger"], ["reservations"], ["accounts"], ["state"], ["verify"],
    ["export", "--format", "ndjson"], ["export", "--format", "csv"],
]  # fmt: skip
OF_AN_INTENT = ["show", "outcome", "explain"]


MANY = """
import json, sys
from splittally_tools.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["tally", *arguments]
    try:
        main()
    except SystemExit:
        sys.stdout.flush()
        print(chr(30), end="", flush=True)
"""


def printed(path, commands, **environment):
    """What each of several commands prints, run one after the other in one process."""
    whole = json.dumps([["-w", str(path), *map(str, arguments)] for arguments in commands])
    done = subprocess.run(
        [sys.executable, "-c", MANY, whole],
        env={"PYTHONPATH": _PATHS, "PATH": os.environ["PATH"], **environment},
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""
    texts = done.stdout.decode().split(chr(30))[:-1]
    return dict(zip(map(tuple, commands), texts, strict=True))


def asked_of(hashes):
    return [*VIEWS, *([view, digest.hex()] for view, digest in zip(OF_AN_INTENT, hashes, strict=False))]


def test_no_view_for_people_prints_a_control_character_of_others(nasty_world):
    path, hashes = nasty_world
    for arguments, text in printed(path, asked_of(hashes)).items():
        text = text.replace("\r\n", "\n") if "csv" in arguments else text
        assert text
        found = ALLOWED.match(text)
        assert found.end() == len(text), (arguments, text[found.end() - 40 : found.end() + 20])


def test_no_view_in_colour_prints_an_escape_that_is_not_its_own(nasty_world):
    path, hashes = nasty_world
    commands = [["log"], ["show", hashes[0].hex()], ["explain", hashes[0].hex()]]
    for arguments, text in printed(path, commands, FORCE_COLOR="1", TERM="xterm-256color").items():
        ours = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert ALLOWED.fullmatch(ours), arguments
        assert "\x1b[31mred" not in text


def test_every_line_of_json_is_one_document_in_ascii(nasty_world):
    path, hashes = nasty_world
    commands = [["--json", *arguments] for arguments in asked_of(hashes) if arguments[0] != "export"]
    explained = ["--json", "explain", hashes[0].hex()]
    told = printed(path, [*commands, explained])
    for text in told.values():
        assert text.isascii()
        assert all(isinstance(json.loads(line), dict | list) for line in text.splitlines())
    assert NASTY in str_of(json.loads(told[tuple(explained)]))


def str_of(value):
    """Every text in a document, unescaped, one after the other."""
    match value:
        case dict():
            return "".join(key + str_of(item) for key, item in value.items())
        case list():
            return "".join(map(str_of, value))
        case str():
            return value
    return ""


NAMES = [
    "\x1b[31m",
    "a\nb",
    "a\rb",
    "\u202egrant",
    "a\u2028b",
    "\ufeffg",
    "a\x00",
    "a\x9b5m",
    " g",
    "g ",
    "",
    "\u200bg\u2066",
]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_gets_a_name_that_cannot_be_shown(name):
    with world({"g": {"delegations": 1}}, resources={"USD": 0}) as kernel:
        before = kernel.state.root
        for document in (
            manifest({name: {}}),
            {"accounts": {name: {}}},
            {"resources": {name: 0}},
            {"caps": {f"{name}/x@1": {"enforcer": "sys/CapAllowAll@1"}}},
            {"policy": [{"decision": "allow", "name": name}]},
            manifest({"h": {"holder": name}}),
            manifest({"h": {"budget": {name: 1}}}),
            manifest({"h": {"pays_to": [name]}}),
        ):
            with pytest.raises(splittally.SplittallyError):
                kernel.apply(document)
        for kind, params in (
            ("account.open", {"account": name}),
            ("resource.define", {"resource": name}),
            ("grant.issue", {"name": name, "terms": {"cap": "test/parrot@1"}}),
        ):
            assert codes(kernel.submit(Intent(kind, params, "root"))) == ["params.invalid"]
        assert kernel.state.root == before


def test_hostile_lines_are_answered_one_by_one_and_the_rest_goes_on(tmp_path):
    path = tmp_path / "w"
    with world({"g": {"cap": "sys/allow@1"}}, path):
        pass
    good = b'{"kind":"test.act","params":{},"grant":"g"}'
    lines = [
        good,
        b'{"kind":"test.act","params":' + b"[" * 10_000 + b"]" * 10_000 + b',"grant":"g"}',
        b"\xff\xfe",
        b"\x00",
        b"[]",
        b"null",
        b'"' + b"x" * 2_000_000 + b'"',
        b'{"kind":"test.act","params":{"a":1e400},"grant":"g"}',
        b'{"kind":"test.act","params":{"a":' + b"9" * 5_000 + b'},"grant":"g"}',
        b'{"kind":"test.act","params":{"a":1,"a":2},"grant":"g"}',
        b'{"kind":"test.act","params":{"a":"\\ud800"},"grant":"g"}',
        b'{"kind":"test.act","params":{"$bytes":"zz"},"grant":"g"}',
        b'{"kind":"test.act","params":{},"grant":"g","idempotency_key":"00"}',
        b'{"kind":"test.act","params":{},"grant":"g","__class__":"x"}',
        b'{"kind":"test.act","params":{},"grant":"g"}{"kind":"test.act"}',
        b'{"all":[' + good + b"," * 3 + b"]}",
        b'{"all":[' + b",".join([good] * 65) + b"]}",
        b'{"all":[]}',
        b'{"first":[{"all":[' + good + b"]}]}",
        b'{"kind":"\\u001b[31m","params":{},"grant":"\\u001b[31m"}',
        good,
    ]
    file = tmp_path / "lines"
    file.write_bytes(b"\n".join(lines) + b"\n")
    done = run_python("-m", "splittally_tools", "-w", str(path), "--json", "submit", str(file))
    assert (done.returncode, done.stderr) == (1, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(lines)
    outcomes = [str(answer.get("outcome", answer)) for answer in answers]
    assert (outcomes[0], outcomes[-1]) == ("allow", "allow")
    assert all("allow" not in outcome for outcome in outcomes[1:-1])
    with splittally.open(path) as kernel:
        assert len(kernel.state.reservations) == 2
