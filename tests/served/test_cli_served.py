"""Every command that writes, beside a running service: what it answers is what it answers without one."""

import inspect
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import pytest
import splittally
from splittally.core.native import NATIVE
from splittally.edge.records import At, Intent
from splittally.runtime.reader import open_reader
from splittally.wire.calls import calls_to
from splittally_tools.cli.menu import MENU
from splittally_tools.cli.native import SEPARATE
from splittally_tools.cli.native_fields import fields_of

from tests.cli_tools import command, environment, intent, process, receipt, run
from tests.served.beside import WORLD, made, plainly, serving

WALKED = "submit settle dispatch release extend approve reject tick apply native upgrade drain token"
ATTEMPT, OTHER = "ab" * 16, "cd" * 16
WORDS = {
    "TEXT": "accounts/team", "NUMBER": "1", "AMOUNT": "1.00 USD", "HEX|@FILE": "00", "HEX": "00",
    "TIME": "2100-01-01",
    "JSON": "{}", "JSON|@FILE": "{}", "yes|no": "yes", "KEY=AMOUNT": "tokens=1", "KEY=NUMBER": "a=1",
    "KEY=TEXT": "a=b",
}  # fmt: skip


@pytest.fixture(scope="module")
def twins(memory):
    """A served world and its twin that nobody serves."""
    served, alone = made(memory / "served"), memory / "alone"
    shutil.copytree(served, alone)
    with serving(served):
        yield served, alone


def both(twins, *args, text=""):
    """What a command answers in each."""
    served, alone = twins
    words = [str(x) for x in args]
    told = run("-w", served, *words, "--json", text=text)
    expected = run("-w", alone, *words, "--json", text=text)
    assert plainly(told, served) == plainly(expected, alone), words
    return told


def asked(twins, key, grant="cap_llm", tokens=10):
    """The hash of an intent that both worlds were asked for."""
    return both(twins, "submit", text=intent(grant, tokens, key=key, attempt=ATTEMPT)).json["intent_hash"]


def options(kind, every):
    words = []
    for name, field in fields_of(NATIVE[kind].params, ()).items():
        if every or field.is_required:
            words += [
                f"--{name.replace('_', '-')}",
                "ab" * 32 if name == "intent_hash" else WORDS[field.hint],
            ]
    return words


def test_every_command_that_writes_is_walked_here():
    writing = {
        name
        for name, entry in MENU.items()
        if any(word in inspect.getsource(import_module(entry.module)) for word in ("writer_of(", "Turns("))
    }
    reading = {"decide", "outcome", "init", "wait", "host"}  # these write nothing, or have tests of their own
    walked = set(WALKED.split())
    assert writing - reading == walked


def test_a_stream_of_requests_is_answered_as_without_a_service(twins):
    many = {"all": [json.loads(intent(key="s5")), json.loads(intent("bobs", key="s6"))]}
    offers = {"first": [json.loads(intent(tokens=10**6)), json.loads(intent())]}
    huge = {"kind": "llm.generate", "grant": "cap_llm", "params": {"model": 2**70}, "key": "s7"}
    lines = [
        intent(key="s1"), intent(key="s1"), intent(tokens=20, key="s1"), intent("nobody", key="s2"),
        intent(tokens=10**6, key="s3"), "nonsense\n", '{"kind": 1}\n',
        intent(key="s4", labels={"run": "7"}), *(json.dumps(each) + "\n" for each in (many, offers, huge)),
        json.dumps({**huge, "params": {"x": 1.5}, "key": "s8"}) + "\n",
        intent(key="s9", now_ns=5), intent(key="s10", now_ns=1), intent(key="s11", expires_ns=2**62),
    ]  # fmt: skip
    told = both(twins, "submit", text="".join(lines))
    assert told.code == 1 and len(told.lines) == 15
    hashes = [line["intent_hash"] for line in told.lines if line.get("outcome") == "allow"]
    receipts = [receipt(hashes[0]), receipt(hashes[0]), receipt("00" * 32), receipt("00"), "{\n", "[]\n"]
    receipts.append(receipt(hashes[-1], status="unknown"))
    assert both(twins, "settle", text="".join(receipts)).code == 1


def test_keys_of_a_file_are_the_same_beside_a_service(twins, tmp_path):
    file = tmp_path / "asked.jsonl"
    file.write_text(intent(tokens=3) + intent(tokens=4))
    first = both(twins, "submit", file, "--keys", "from-line").lines
    again = both(twins, "submit", file, "--keys", "from-line").lines
    assert [x["intent_hash"] for x in again] == [x["intent_hash"] for x in first]
    assert all(x["duplicate"] for x in again)


def test_what_is_done_to_one_intent_is_answered_as_without_a_service(twins):
    digest = asked(twins, "one")
    assert both(twins, "dispatch", digest, "--attempt", ATTEMPT).code == 0
    assert both(twins, "dispatch", digest[:12], "--attempt", OTHER).code == 1
    assert both(twins, "release", digest).code == 1
    assert both(twins, "release", digest, "--attempt", ATTEMPT).code == 0
    assert both(twins, "release", "00" * 32).code == 1
    other = asked(twins, "two")
    assert both(twins, "extend", other, "--expires-ns", 10**9).code in (0, 1)
    assert both(twins, "extend", other, "--expires", "+2h").code in (0, 1)
    assert both(twins, "release", other, "--cause", "governance", "--order", "o-1").code == 0


def test_a_person_answers_beside_a_running_service(twins):
    waits, refused = asked(twins, "w1", "ask", 100), asked(twins, "w2", "ask", 100)
    assert both(twins, "approve", waits).code == 0
    assert both(twins, "approve", waits).code in (0, 1)
    assert both(twins, "reject", refused).code == 0
    assert both(twins, "approve", "00" * 32).code == 1
    assert both(twins, "approve", asked(twins, "w3", "ask", 100), "--reason", "nothing").code == 1


@pytest.mark.parametrize("kind", sorted(set(NATIVE) - set(SEPARATE)))
def test_every_native_effect_is_answered_as_without_a_service(twins, kind):
    for every in (False, True):
        both(twins, "native", kind, *options(kind, every))
        both(twins, "native", kind, *options(kind, every), "--under", "cap_llm")
    both(twins, "--as", "bob", "native", kind, *options(kind, False))


def test_effects_that_are_allowed_are_recorded_by_the_service(twins):
    issue = ("native", "ledger.issue", "--resource", "USD", "--amount", "12.50 USD", "--to", "accounts/team")
    assert both(twins, *issue).code == 0
    assert both(twins, "native", "usage.record", "--grant", "cap_llm", "--usage", "tokens=5").code in (0, 1)
    assert (
        both(twins, "native", "grant.amend", "--name", "bobs", "--budget", "tokens=2000", "--dry-run").code
        == 0
    )
    assert both(twins, "native", "grant.amend", "--name", "bobs", "--budget", "tokens=2000").json["changes"]
    for world in twins:
        told = run("-w", world, *issue)
        assert told.code == 0 and "understood: amount 12.50 USD" in told.out


def test_tokens_are_issued_and_revoked_by_the_service(twins):
    for words in (
        ("issue", "t1", "--principal", "bob"),
        ("issue", "t1", "--principal", "bob"),
        ("revoke", "t1"),
        ("revoke", "t2"),
    ):
        told, expected = (run("-w", world, "--json", "token", *words) for world in twins)
        assert (told.code, told.json.keys(), told.json["seq"]) == (
            expected.code,
            expected.json.keys(),
            expected.json["seq"],
        )
    secret = run("-w", twins[0], "--json", "token", "issue", "t3", "--principal", "bob").json["secret"]
    run("-w", twins[1], "--json", "token", "issue", "t3", "--principal", "bob")
    with calls_to(twins[0], token=secret) as calls:
        assert calls.principal == "bob"


def test_time_is_worked_through_and_a_release_is_recorded_by_the_service(twins):
    both(twins, "tick", "--now-ns", 10**6)
    both(twins, "tick", "--now-ns", 1)
    both(twins, "upgrade")
    both(twins, "upgrade", "--apply")


def test_a_manifest_goes_to_the_service_with_the_files_that_it_names_wherever_they_lie(twins, tmp_path):
    beside, above, far = tmp_path / "sub" / "p.json", tmp_path / "above.json", tmp_path / "far" / "r.json"
    beside.parent.mkdir()
    far.parent.mkdir()
    for number, path in enumerate((beside, above, far)):
        path.write_text(json.dumps({"type": "object", "title": str(number)}))
    world = {**WORLD, "effects": {"a.b": {"params_schema": "p.json", "receipt_schema": "../above.json"},
                                  "c.d": {"params_schema": str(far)}}}  # fmt: skip
    manifest = tmp_path / "sub" / "m.json"
    manifest.write_text(json.dumps(world))
    plan = both(twins, "apply", manifest, "--dry-run").json["plan"]
    assert both(twins, "apply", manifest, "--expect", "00" * 32).code == 1
    assert both(twins, "apply", manifest, "--expect", plan).code == 0
    assert both(twins, "apply", manifest).json["changes"] == []
    text = tmp_path / "m.toml"
    text.write_text(
        '[resources]\nUSD = 2\n[grants.cap_llm]\ncap = "sys/llm.basic@1"\nbudget = { tokens = 5000 }\n'
    )
    assert both(twins, "apply", text).code == 1  # it would revoke what it leaves out
    assert both(twins, "apply", text, "--allow-revoke", "--dry-run").code == 0
    (tmp_path / "none.toml").write_text('[effects."x.y"]\nparams_schema = "missing.json"\n')
    assert both(twins, "apply", tmp_path / "none.toml").code == 1


def test_a_drain_asks_the_service(twins, tmp_path):
    used = {"prompt_tokens": 1, "completion_tokens": 2}
    code = f"import json; print(json.dumps({{'status': 'ok', 'usage': {used}}}))"
    runner = tmp_path / "runner.py"
    runner.write_text(f"import sys\nsys.stdin.read()\n{code}\n")
    told = []
    for world in twins:
        queue = tmp_path / f"{world.name}.sqlite"
        added = run("drain", "add", "--queue", queue, json.dumps({"model": "m", "max_tokens": 9}))
        assert added.code == 0
        ran = run("-w", world, "--json", "drain", "run", "--queue", queue, "--under", "cap_llm",
                  "--runner", f"{sys.executable} {runner}")  # fmt: skip
        told.append((ran.code, ran.json["report"]["stopped_by"]))
        with open_reader(world) as reader:
            told[-1] += (reader.state.counters["cap_llm"]["tokens"].spent,)
    assert told[0][0] == 0 or told[0] == told[1]


def test_both_worlds_came_to_the_same_state(twins):
    views = [
        run("-w", world, "--json", view).json for view in ("ledger", "accounts", "grants") for world in twins
    ]
    for one, other in zip(views[::2], views[1::2], strict=True):
        for document in (one, other):
            document.pop("seq", None), document.pop("now_ns", None)
        assert one == other


def test_one_who_may_not_ask_is_refused_beside_a_service(twins):
    served, _ = twins
    ran = run("-w", served, "--as", "bob", "tick", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (1, "forbidden")
    assert run("-w", served, "--as", "not a name", "tick").code in (1, 2)


# --- the ways in which nobody serves it --------------------------------------------------------------


def test_what_would_harm_a_served_world_is_refused_with_what_to_do(twins, tmp_path):
    served, _ = twins
    ran = run("salvage", served, tmp_path / "new")
    assert ran.code == 3 and "stop `tally serve` first" in ran.err and not (tmp_path / "new").exists()
    ran = run("-w", served, "serve")
    assert ran.code == 3 and "served already" in ran.err
    assert "is served at" in run("-w", served, "doctor").out


def test_a_world_that_a_program_keeps_is_locked_and_the_message_names_the_service(folder):
    world = made(folder / "w")
    with splittally.open(world):
        ran = run("-w", world, "--wait", "0.1", "tick", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "locked")
    assert "`tally serve`" in ran.err and ran.json["error"]["facts"]["pid"]


def test_a_socket_that_a_dead_service_left_keeps_nobody_out(folder):
    world = made(folder / "w")
    with serving(world) as service:
        service.kill()
        service.wait()
    assert (world / "serve.sock").exists()
    assert run("-w", world, "tick").code == 0


def test_a_command_that_comes_while_a_service_begins_waits_for_it(folder):
    world = made(folder / "w")
    with splittally.open(world) as kernel:
        threading.Timer(1.3, kernel.close).start()
        assert run("-w", world, "tick").code == 0


def test_a_service_that_is_killed_ends_its_commands_with_what_to_do(folder):
    world = made(folder / "w")
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = command("-w", world, "submit", "-", "--json")
    with serving(world) as service, subprocess.Popen(words, env=environment(), **piped) as stream:
        stream.stdin.write(intent(tokens=1))
        stream.stdin.flush()
        assert json.loads(stream.stdout.readline())["outcome"] == "allow"
        service.send_signal(signal.SIGSTOP)  # it has the next one and does not answer
        stream.stdin.write(intent(tokens=1))
        stream.stdin.flush()
        time.sleep(0.5)
        service.kill()
        out, err = stream.communicate(timeout=30)
    assert stream.returncode == 3
    assert "tally outcome HASH" in err or "ask again" in err
    assert json.loads(out.splitlines()[-1])["error"]["code"] in ("answer_lost", "connection_lost")
    assert run("-w", world, "submit", text=intent(tokens=1)).code == 0


# --- many at once ------------------------------------------------------------------------------------


def crowd(folder: Path, streams: int, lines: int, singles: int, most: int) -> None:
    """Streams beside single commands, of one token each: exactly `most` are admitted."""
    grant = {"cap": "sys/llm.basic@1", "budget": {"tokens": most}}
    world = made(folder / "w", "host", {"grants": {"cap_llm": grant}})
    one, params = intent("cap_llm", 1), {"model": "m", "max_tokens": 1}
    admitted: list[int] = []

    def stream() -> None:
        done = subprocess.run(
            command("-w", world, "submit", "-"), env=environment(), input=one * lines, text=True, timeout=600,
            capture_output=True, check=False,
        )  # fmt: skip
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == lines, done.stderr
        admitted.append(sum(answer["outcome"] == "allow" for answer in answers))

    def several() -> None:
        for _ in range(singles):
            done = subprocess.run(
                command("-w", world, "submit", "--json"),
                env=environment(),
                input=one,
                text=True,
                timeout=600,
                capture_output=True,
                check=False,
            )
            admitted.append(json.loads(done.stdout)["outcome"] == "allow")

    def client() -> None:
        with calls_to(world) as calls:
            for _ in range(lines):
                (answer,) = calls.run([At(None, Intent("llm.generate", params, "cap_llm"))])
                admitted.append(answer.allowed)

    with serving(world):
        threads = [threading.Thread(target=act) for act in (stream, several, client) for _ in range(streams)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        asked = streams * (2 * lines + singles)
        assert sum(admitted) == min(most, asked)
    with open_reader(world) as reader:
        assert reader.state.counters["cap_llm"]["tokens"].reserved == min(most, asked)


def test_streams_clients_and_commands_share_one_budget_to_the_last_token(folder):
    crowd(folder, streams=2, lines=60, singles=2, most=150)


@pytest.mark.soak
@pytest.mark.parametrize("most", [1_000, 4_000])
def test_a_crowd_shares_one_budget_to_the_last_token(folder, most):
    crowd(folder, streams=8, lines=500, singles=20, most=most)


# --- waiting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_served", [True, False])
def test_a_wait_ends_with_the_answer_of_somebody_else(folder, is_served):
    world = made(folder / "w")
    waits = run("-w", world, "submit", "--json", text=intent("ask", 100)).json["intent_hash"]
    over = run("-w", world, "wait", waits, "--timeout", "0.2", "--json")
    assert (over.code, over.json["phase"]) == (1, "approval")
    words = command("-w", world, "wait", waits[:12], "--json")
    with serving(world) if is_served else nullcontext():
        with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as waiting:
            time.sleep(1)
            assert waiting.poll() is None
            assert process("-w", world, "approve", waits).code == 0
            out, _ = waiting.communicate(timeout=20)
        assert (waiting.returncode, json.loads(out)["phase"]) == (0, "open")
        assert run("-w", world, "wait", waits, "--ended", "--timeout", "0").code == 1
        assert run("-w", world, "release", waits).code == 0
        assert run("-w", world, "wait", waits, "--ended").code == 0
        assert run("-w", world, "wait", "00" * 32, "--timeout", "1").code == 1


def test_a_wait_works_through_what_falls_due_where_nobody_else_does(folder):
    grant = {
        "cap": "sys/llm.basic@1",
        "limits": [{"dim": "tokens", "per": "intent", "amount": 0, "over": "ask"}],
        "approval_ns": 10**9,
    }
    world = made(folder / "w", "host", {"grants": {"ask": grant}})
    waits = run("-w", world, "submit", "--json", text=intent("ask", 5)).json["intent_hash"]
    ran = run("-w", world, "wait", waits, "--timeout", "20", "--json")
    assert (ran.code, ran.json["status"]) == (0, "released")
