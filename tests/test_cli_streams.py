"""Lines in, one answer a line out: every line is answered, and no line stops the others."""

import io
import json
import select
import subprocess
import tracemalloc
from threading import Thread

import pytest
import splittally
from splittally.core.limits import GROUP_MAX, LINE_BYTES_MAX
from splittally.edge.request_lines import read_intents
from splittally_tools.cli import turn
from splittally_tools.cli.lines import Lines
from splittally_tools.cli.session import Session

from tests.cli_tools import command, environment, intent, make_world, receipt, run

DECISION = {"seq", "intent_hash", "outcome", "findings", "reserve", "duplicate"}
SECONDS_MAX = 30


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path / "world")


# --- intents ----------------------------------------------------------------------------------------


def test_each_intent_gets_a_decision_line_in_order(world):
    ran = run("-w", world, "submit", text=intent("cap_llm", 60) + intent("cap_llm", 60) + intent("pool", 1))
    assert [line["outcome"] for line in ran.lines] == ["allow", "deny", "allow"]
    assert [line["seq"] for line in ran.lines] == [2, 3, 4]
    assert all(set(line) >= DECISION for line in ran.lines)
    assert ran.lines[0]["reserve"] == {"tokens": 60}
    finding = ran.lines[1]["findings"][0]
    assert (finding["stage"], finding["code"]) == ("ledger", "budget_exceeded")
    assert (finding["facts"]["needed"], finding["facts"]["available"]) == (60, 40)
    assert ran.code == 1


def test_a_stream_in_which_all_is_allowed_exits_with_zero(world):
    assert run("-w", world, "submit", text=intent()).code == 0


def test_a_malformed_line_is_answered_with_its_number_and_the_rest_goes_on(world):
    ran = run("-w", world, "submit", text=intent() + "\n" + "{nonsense\n" + '["a list"]\n' + intent())
    assert ran.code == 1
    first, broken, listed, last = ran.lines
    assert (first["outcome"], last["outcome"]) == ("allow", "allow")
    for line, number in ((broken, 3), (listed, 4)):
        assert (line["line"], line["outcome"], line["seq"]) == (number, "deny", None)
        assert (line["findings"][0]["stage"], line["findings"][0]["code"]) == ("edge", "input.invalid")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ({"kind": "llm.generate"}, "input.invalid", "grant"),
        ({"kind": "llm.generate", "grant": "cap_llm", "prams": {}}, "input.invalid", "prams"),
        ({"kind": "llm.generate", "grant": "cap_llm", "idempotency_key": "zz"}, "input.invalid", "hex"),
        ({"kind": "llm.generate", "grant": "cap_llm", "idempotency_key": "01"}, "idempotency.invalid", ""),
        ({"kind": "llm.generate", "grant": "cap_llm", "idempotency_key": ""}, "idempotency.invalid", ""),
        ({"kind": "llm.generate", "grant": "cap_llm", "origin": {"kind": "plan"}}, "input.invalid", "origin"),
        ({"kind": "llm.generate", "grant": "cap_llm", "now_ns": -1}, "input.invalid", "now_ns"),
        ({"kind": "llm.generate", "grant": "cap_llm", "now_ns": "5"}, "input.invalid", "now_ns"),
        ({"kind": "llm.generate", "grant": "cap_llm", "expires_ns": 1.5}, "input.invalid", ""),
        ({"kind": "nothing.known", "grant": "cap_llm"}, "unknown_kind", ""),
        ({"kind": ["llm.generate"], "grant": "cap_llm"}, "unknown_kind", ""),
        ({"kind": "llm.generate", "grant": "nobody"}, "unknown_grant", ""),
        ({"all": {}}, "input.invalid", "array"),
        ({"all": [1]}, "input.invalid", "array"),
        ({"all": [{"kind": "llm.generate", "grant": "g", "now_ns": 1}]}, "input.invalid", "one time"),
        ({"first": [], "also": 1}, "input.invalid", "also"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_by_name_and_writes_nothing(world, line, code, said):
    ran = run("-w", world, "submit", text=json.dumps(line))
    finding = ran.lines[0]["findings"][0]
    assert (finding["code"], ran.code) == (code, 1)
    assert said in str(finding["facts"])
    assert run("-w", world, "state", "--json").json["seq"] == 1


def test_a_group_is_answered_on_one_line(world):
    fits = {"all": [json.loads(intent("cap_llm", 30)), json.loads(intent("cap_llm", 30))]}
    too_much = {"all": [json.loads(intent("cap_llm", 30)), json.loads(intent("cap_llm", 30))]}
    choice = {"first": [json.loads(intent("cap_llm", 90)), json.loads(intent("pool", 90))]}
    ran = run("-w", world, "submit", text="".join(json.dumps(x) + "\n" for x in (fits, too_much, choice)))
    held, refused, chosen = ran.lines
    assert [each["outcome"] for each in held["all"]] == ["allow", "allow"]
    assert len({each["seq"] for each in held["all"]}) == 1
    assert [each["outcome"] for each in refused["all"]] == ["deny", "deny"]
    assert (chosen["outcome"], chosen["reserve"]) == ("allow", {"tokens": 90})
    assert run("-w", world, "ledger", "--json").json["ledger"]["cap_llm"]["tokens"]["reserved"] == 60


def test_a_group_with_one_that_is_refused_is_told_by_the_exit_code(world):
    """Of a group that is sent again with another member the known one is told, and the other conflicts."""
    known, new = (json.loads(intent("pool", 1, idempotency_key=key * 32)) for key in ("0a", "0b"))
    assert run("-w", world, "submit", text=json.dumps({"all": [known]}) + "\n").code == 0
    ran = run("-w", world, "submit", text=json.dumps({"all": [known, new]}) + "\n")
    assert [each["outcome"] for each in ran.lines[0]["all"]] == ["allow", "deny"]
    assert ran.code == 1


def test_a_receipt_that_comes_late_is_no_refusal(world):
    decided = run("-w", world, "submit", text=intent("cap_llm", 60)).lines[0]
    assert run("-w", world, "release", decided["intent_hash"]).code == 0
    ran = run("-w", world, "settle", text=receipt(decided["intent_hash"], 10, 20))
    assert (ran.lines[0]["status"], ran.code) == ("late", 0)


def test_keys_from_lines_let_a_file_be_run_again(world, tmp_path):
    file = tmp_path / "intents.ndjson"
    group = json.dumps({"all": [json.loads(intent("pool", 1)), json.loads(intent("pool", 1))]}) + "\n"
    file.write_text(intent("pool", 1) + intent("pool", 1) + group)
    first = run("-w", world, "submit", file, "--keys", "from-line")
    again = run("-w", world, "submit", file, "--keys", "from-line")
    assert [line["duplicate"] for line in again.lines[:2]] == [True, True]
    assert [each["duplicate"] for each in again.lines[2]["all"]] == [True, True]
    assert [x["intent_hash"] for x in first.lines[:2]] == [x["intent_hash"] for x in again.lines[:2]]
    assert first.lines[0]["intent_hash"] != first.lines[1]["intent_hash"]
    piped = run("-w", world, "submit", "--keys", "from-line", text=file.read_text())
    assert piped.lines[0]["duplicate"]
    assert run("-w", world, "ledger", "--json").json["ledger"]["pool"]["tokens"]["reserved"] == 4


def test_keys_from_lines_are_one_for_a_choice_and_none_for_what_has_its_own(world, tmp_path):
    file = tmp_path / "intents.ndjson"
    choice = {"first": [json.loads(intent(name, 1)) for name in ("cap_llm", "pool")]}
    own = intent("pool", 1, idempotency_key="0a" * 32)
    file.write_text(json.dumps(choice) + "\n" + own)
    first = run("-w", world, "submit", file, "--keys", "from-line")
    again = run("-w", world, "submit", file, "--keys", "from-line")
    assert [(line["outcome"], line["duplicate"]) for line in first.lines] == [("allow", False)] * 2
    assert [(line["outcome"], line["duplicate"]) for line in again.lines] == [("allow", True)] * 2
    assert run("-w", world, "submit", text=own).lines[0]["intent_hash"] == first.lines[1]["intent_hash"]


def test_the_offers_of_a_choice_share_a_key_unless_they_ask_one_grant_twice():
    offers = [json.loads(intent(name, 1)) for name in ("cap_llm", "pool", "pool")]
    for mode, keys in (("first", [0, 0, 1]), ("all", [0, 1, 2])):
        asked = read_intents(json.dumps({mode: offers}), None, lambda at: bytes([at]) * 32).request
        assert [each.idempotency_key[0] for each in asked.intents] == keys


def test_a_payload_that_is_said_twice_is_refused_and_settles_nothing(world):
    decided = run("-w", world, "submit", text=intent("cap_llm", 60)).lines[0]
    ran = run("-w", world, "settle", text=receipt(decided["intent_hash"], payload_cbor="a0"))
    assert (ran.code, ran.lines[0]["status"]) == (1, "invalid")
    assert run("-w", world, "outcome", decided["intent_hash"], "--json").json["status"] == "reserved"


def test_a_stream_that_does_not_pause_lets_those_that_wait_have_the_world(world, monkeypatch):
    monkeypatch.setattr(turn, "TURN_SECONDS", 0.05)
    session = Session()
    session.world = str(world)
    had = []
    other = Thread(target=lambda: had.append(splittally.open(world, lock_seconds=3).close()))
    with turn.Turns(session) as turns:
        turns.begin()
        other.start()
        while other.is_alive():
            turns.begin()
            turns.run([])
            other.join(0.02)
    assert had == [None]


def test_without_keys_two_equal_lines_are_two_intents(world):
    first, second = run("-w", world, "submit", text=intent("pool", 1) * 2).lines
    assert first["intent_hash"] != second["intent_hash"]
    assert not second["duplicate"]


def test_a_time_on_a_line_beats_the_one_on_the_command_line(world):
    run("-w", world, "--now-ns", "50", "submit", text=intent("pool", 1) + intent("pool", 1, now_ns=70))
    assert run("-w", world, "state", "--json").json["now_ns"] == 70


def test_a_dry_run_gives_the_same_answer_and_writes_nothing(world):
    before = run("-w", world, "state", "--root").out
    dry = run("-w", world, "decide", text=intent("cap_llm", 60) + intent("cap_llm", 60))
    assert [line["outcome"] for line in dry.lines] == ["allow", "allow"]  # each as if it came alone
    assert all(line["seq"] is None for line in dry.lines)
    assert run("-w", world, "state", "--root").out == before
    real = run("-w", world, "submit", text=intent("cap_llm", 60)).lines[0]
    assert (real["outcome"], real["reserve"]) == (dry.lines[0]["outcome"], dry.lines[0]["reserve"])


# --- receipts ---------------------------------------------------------------------------------------


def test_receipts_settle_once_and_say_what_was_used(world):
    decided = run("-w", world, "submit", text=intent("cap_llm", 60)).lines[0]
    line = receipt(decided["intent_hash"], 10, 20)
    settled, again = run("-w", world, "settle", text=line + line).lines
    assert (settled["status"], settled["usage"], settled["seq"]) == ("settled", {"tokens": 30}, 3)
    assert (again["status"], again["seq"]) == ("duplicate", 3)


def test_a_receipt_that_cannot_be_read_is_answered_with_its_number(world):
    decided = run("-w", world, "submit", text=intent("cap_llm", 60)).lines[0]
    lines = (
        '{"intent_hash": "00", "status": "ok"}\n' + receipt(decided["intent_hash"], status="maybe")
        + receipt("ff" * 32) + receipt(decided["intent_hash"])
    )  # fmt: skip
    short, maybe, unknown, good = run("-w", world, "settle", text=lines).lines
    assert (short["line"], short["status"]) == (1, "invalid")
    assert (maybe["line"], maybe["status"]) == (2, "invalid")
    assert unknown["status"] == "not_found"
    assert good["status"] == "settled"


def test_a_payload_may_come_as_canonical_bytes(world):
    decided = run("-w", world, "submit", text=intent("cap_llm", 60)).lines[0]
    payload = "a26d70726f6d70745f746f6b656e730a71636f6d706c6574696f6e5f746f6b656e7314"
    line = {"intent_hash": decided["intent_hash"], "status": "ok", "payload_cbor": payload}
    assert run("-w", world, "settle", text=json.dumps(line)).lines[0]["usage"] == {"tokens": 30}
    both = json.dumps({**line, "payload": {}})
    assert run("-w", world, "settle", text=both).lines[0]["status"] == "invalid"


# --- lines ------------------------------------------------------------------------------------------


class Endless(io.RawIOBase):
    """One line of so many bytes, made as it is read, and a short one after it."""

    def __init__(self, size):
        self.left, self.rest = size, b"\nshort\n"

    def read(self, size=-1):
        if self.left:
            part = min(self.left, size)
            self.left -= part
            return b"x" * part
        part, self.rest = self.rest, b""
        return part


def test_a_line_that_is_too_long_is_passed_over_without_being_held():
    tracemalloc.start()
    (batch,) = Lines(Endless(64 * LINE_BYTES_MAX)).batches(GROUP_MAX)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(line.number, line.text) for line in batch] == [(1, None), (2, b"short")]
    assert peak < 4 * LINE_BYTES_MAX


def test_a_line_that_is_too_long_is_refused_and_the_rest_goes_on(world):
    long = json.dumps({"kind": "x" * LINE_BYTES_MAX, "grant": "pool"}) + "\n"
    refused, allowed = run("-w", world, "submit", text=long + intent("pool", 1)).lines
    assert (refused["line"], refused["findings"][0]["code"]) == (1, "input.too_large")
    assert allowed["outcome"] == "allow"


@pytest.mark.parametrize("size", [LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1])
def test_a_line_may_be_as_long_as_its_bound_and_no_longer(size):
    (batch,) = Lines(io.BytesIO(b"y" * size + b"\nz")).batches(GROUP_MAX)
    assert (batch[0].text is None) == (size > LINE_BYTES_MAX)
    assert batch[1] == (2, b"z")


def test_lines_that_are_here_together_share_a_group_and_no_group_is_larger():
    stream = io.BytesIO(b"".join(b"%d\n" % at for at in range(150)))
    batches = list(Lines(stream).batches(GROUP_MAX))
    assert [len(batch) for batch in batches] == [GROUP_MAX, GROUP_MAX, 150 - 2 * GROUP_MAX]
    assert [line.number for batch in batches for line in batch] == list(range(1, 151))


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_however_the_bytes_come_the_lines_are_the_same(piece, monkeypatch):
    monkeypatch.setattr("splittally_tools.cli.lines.PIECE_BYTES", piece)
    text = b"a\n\nbb\r\nccc\n   \nd"
    found = [line for batch in Lines(io.BytesIO(text)).batches(2) for line in batch]
    assert found == [(1, b"a"), (3, b"bb\r"), (4, b"ccc"), (6, b"d")]


def test_a_line_is_answered_while_the_input_pauses(world):
    child = subprocess.Popen(
        command("-w", world, "submit"), env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    for _ in range(3):
        child.stdin.write(intent("pool", 1).encode())
        child.stdin.flush()
        assert select.select([child.stdout], [], [], SECONDS_MAX)[0], "no answer while the input pauses"
        assert json.loads(child.stdout.readline())["outcome"] == "allow"
    child.stdin.close()
    assert child.wait(SECONDS_MAX) == 0
    child.stdout.close()


@pytest.mark.parametrize("name", ["submit", "decide", "settle"])
def test_a_line_in_the_place_of_a_file_is_told_how_it_gets_in(world, name):
    ran = run("-w", world, name, intent().strip())
    assert (ran.code, "this is a line and no file: `echo" in ran.err) == (2, True)
    ran = run("-w", world, name, "nothing.ndjson")
    assert (ran.code, "'nothing.ndjson' does not exist" in ran.err) == (2, True)
