"""The first minute is quick: what is loaded, checked and compiled, and when. Counted, never timed.

Each count is taken in a process of its own, because a process loads and compiles a thing once.
"""

import json
import subprocess
import sys

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.errors import ModuleNotCompiled, NotAdmitted
from splittally.runtime.reader import open_reader
from splittally.sandbox import (
    ReferenceSandbox,
    Sandbox,
    admission,
    admit,
    builtin,
    builtin_names,
    pooled,
    registry,
)

from tests.cli_tools import MANIFEST, busy_world, environment, intent, make_world, run
from tests.test_sandbox_fixtures import REFUSED, expected, fixture, module, named

ENGINE, SCHEMAS, KEYS, TABLES, DATABASE = "wasmtime", "jsonschema_rs", "cryptography", "rich", "sqlite3"
METADATA, WRITER = "importlib.metadata", "splittally.runtime.world"
HEAVY = {ENGINE, SCHEMAS, KEYS, TABLES, DATABASE, METADATA, WRITER, "asyncio"}
NOT_COMPILED = [path for path in REFUSED if expected(path) == "compile"]


def of_a_process(program, *args, text=""):
    """The JSON that a program in an interpreter of its own leaves on the last line of standard error."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, args)],
        env=environment(), input=text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return busy_world(tmp_path_factory.mktemp("minute") / "world")


# --- what a command loads ---------------------------------------------------------------------------

LOADED = f"""
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(set(sys.modules) & {HEAVY!r})), file=sys.stderr))
from splittally_tools.cli import main
main()
"""
VIEWS = {
    "grants": {TABLES}, "grants child --history": {TABLES}, "ledger": {TABLES}, "ledger --entries": {TABLES},
    "reservations": {TABLES}, "accounts": {TABLES}, "budgets": {TABLES}, "state": {TABLES},
    "stats update": {TABLES, DATABASE}, "log": {TABLES}, "show 2": {TABLES}, "outcome HASH": {TABLES},
    "explain HASH": {TABLES}, "export": {TABLES}, "export --format csv": {TABLES}, "spend": {TABLES},
}  # fmt: skip


@pytest.mark.req("X8-13")
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_loads_no_engine_no_validator_and_no_writer(world, view):
    """Only a table for people, and the database of statistics where it is asked for."""
    with open_reader(world) as reader:
        digest = next(iter(reader.state.reservations)).hex()
    words = view.replace("HASH", digest).split()
    assert set(of_a_process(LOADED, "-w", world, *words)) <= VIEWS[view]
    assert set(of_a_process(LOADED, "-w", world, "--json", *words)) <= VIEWS[view] - {TABLES}


@pytest.mark.req("X8-13")
def test_help_loads_nothing_that_is_heavy():
    assert of_a_process(LOADED, "--help") == []


@pytest.mark.parametrize("command", ["init", "apply", "grants", "submit", "decide"])
def test_the_help_of_a_command_loads_no_engine_and_no_table(command):
    assert set(of_a_process(LOADED, command, "--help")) <= {WRITER}


@pytest.mark.req("X8-13")
def test_making_a_world_loads_no_engine_and_no_validator(tmp_path):
    loaded = set(of_a_process(LOADED, "-w", tmp_path / "world", "init"))
    assert loaded & {ENGINE, SCHEMAS, KEYS, DATABASE, METADATA, "asyncio"} == set()


# --- what is checked and compiled -------------------------------------------------------------------

COUNTS = """
import json, sys
import splittally
from splittally import Intent
def counts():
    admitted, compiled = (sys.modules.get(f"splittally.sandbox.{name}") for name in ("admission", "pooled"))
    return [
        admitted.admit_anew.cache_info().misses if admitted else 0,
        compiled.prepare.cache_info().misses if compiled else 0,
        int("wasmtime" in sys.modules),
    ]
with splittally.open(sys.argv[1], "given") as kernel:
    found = {"opened": counts()}
    if len(sys.argv) > 2:
        kernel.apply(json.loads(sys.argv[2]))
        found["applied"] = counts()
        for name in ("first", "second"):
            assert kernel.submit(Intent("llm.generate", {"model": "m", "max_tokens": 1}, "cap_llm")).allowed
            found[name] = counts()
print(json.dumps(found), file=sys.stderr)
"""


@pytest.mark.req("X8-13")
def test_a_module_is_compiled_when_it_is_first_asked_and_no_other_is(tmp_path):
    """Checked anew, compiled, engine loaded: nothing of it while a world is made or opened.

    The manifest is applied under the root grant, which asks nobody.
    """
    found = of_a_process(COUNTS, tmp_path / "world", json.dumps(MANIFEST))
    assert found == {"opened": [0, 0, 0], "applied": [0, 0, 0], "first": [0, 1, 1], "second": [0, 1, 1]}
    assert of_a_process(COUNTS, tmp_path / "world") == {"opened": [0, 0, 0]}


SANDBOX_CALLS = """
import json, sys
import splittally.runtime.kernel
called = set()
def note(frame, event, _):
    name = frame.f_globals.get("__name__", "")
    if event == "call" and name.startswith(("splittally.sandbox.", "splittally_enforcers")):
        called.add(f"{name.removeprefix('splittally.sandbox.')}.{frame.f_code.co_name}")
sys.setprofile(note)
kernel = splittally.open(sys.argv[1])
sys.setprofile(None)
print(json.dumps(sorted(called)), file=sys.stderr)
"""


@pytest.mark.req("X8-13")
def test_opening_a_world_looks_at_no_module_however_many_there_are(world):
    """It makes an empty sandbox and names the engine: no index, no file, no hash, no check of a module."""
    called = set(of_a_process(SANDBOX_CALLS, world))
    assert "sandbox.__init__" in called
    assert {name.partition(".")[0] for name in called} == {"identity", "sandbox"}
    assert not {name for name in called if name.endswith((".load", ".judge"))}


def test_a_module_of_this_release_is_known_by_its_hash_alone(monkeypatch):
    def refuse(wasm):
        raise AssertionError("a check was asked")

    monkeypatch.setattr(admission, "inspect", refuse)
    monkeypatch.setattr(admission, "_compile", refuse)
    for name in builtin_names():
        admit(builtin(name))
    with pytest.raises(AssertionError):
        admit(builtin("sys/CapAllowAll@1") + b"\0\1\0")  # a custom section more: another module


def test_an_index_that_cannot_be_read_vouches_for_no_module(monkeypatch):
    def gone():
        raise splittally.WorldError("no index")

    monkeypatch.setattr(registry, "_released", gone)
    monkeypatch.setattr(admission, "inspect", lambda wasm: pytest.fail("a check was asked"))
    admission.admit_anew.cache_clear()
    with pytest.raises(pytest.fail.Exception):
        admit(builtin("sys/CapAllowAll@1"))


# --- audit takes nothing on trust -------------------------------------------------------------------


@pytest.fixture
def anew():
    """Nothing is remembered of earlier admissions, before and after."""
    admission.admit_anew.cache_clear()
    yield
    admission.admit_anew.cache_clear()


@pytest.mark.req("X4-13")
def test_audit_asks_every_check_of_every_module_of_this_release(world, anew, monkeypatch):
    asked = []
    inspect = admission.inspect
    monkeypatch.setattr(admission, "inspect", lambda wasm: asked.append(wasm) or inspect(wasm))
    assert run("-w", world, "verify", "--rejudge", "--json").json["sound"]
    assert set(asked) >= {builtin(name) for name in builtin_names()}


@pytest.mark.req("X4-13")
def test_audit_finds_a_module_of_this_release_that_fails_a_check(world, anew, monkeypatch):
    """A release whose index vouches for what its checks refuse: the record of its worlds is drift."""
    bad = builtin("sys/CapEnforceCost@1")
    inspect = admission.inspect

    def strict(wasm):
        if wasm == bad:
            raise NotAdmitted("no", check="floats")
        return inspect(wasm)

    monkeypatch.setattr(admission, "inspect", strict)
    error = run("-w", world, "verify", "--rejudge", "--json").json["error"]
    assert (error["code"], error["facts"]["seq"]) == ("drift", 0)
    assert "floats" in error["message"]


# --- what does not compile --------------------------------------------------------------------------


@pytest.mark.parametrize("sandbox", [Sandbox, ReferenceSandbox])
@pytest.mark.parametrize("path", NOT_COMPILED, ids=named)
def test_what_does_not_compile_is_refused_by_admission_and_never_answers(sandbox, path):
    wasm = fixture(path)
    with pytest.raises(NotAdmitted) as refusal:
        admit(wasm)
    assert refusal.value.facts == {"check": "compile"}
    held = sandbox()
    judged = held.load(wasm)
    for _ in range(2):
        with pytest.raises(ModuleNotCompiled, match="the engine refuses the module"):
            held.judge(judged, b"x")
    assert held.judge(held.load(module()), b"x") == b""  # the sandbox goes on
    held.close()


@pytest.fixture
def break_engine(monkeypatch):
    """Makes an engine that compiles nothing; what that gives mends it."""

    def fail(engine, wasm):
        raise ModuleNotCompiled("the engine refuses the module: `no room for code`")

    def broken():
        pooled.prepare.cache_clear()
        monkeypatch.setattr(pooled, "compile_module", fail)
        return monkeypatch.undo

    return broken


def test_an_intent_whose_module_does_not_compile_is_not_decided_and_may_be_asked_again(
    tmp_path, break_engine
):
    world = make_world(tmp_path / "world")
    asked = Intent("llm.generate", {"model": "m", "max_tokens": 5}, "cap_llm", idempotency_key=bytes(32))
    mend = break_engine()
    with splittally.open(world) as kernel:
        before = kernel.state.seq
        for ask in (kernel.submit, lambda intent: kernel.submit([intent]), kernel.decide):
            with pytest.raises(ModuleNotCompiled, match="nothing was decided") as error:
                ask(asked)
            assert error.value.facts["module"] in kernel.state.modules.values()
        assert (kernel.state.seq, len(kernel.state.reservations)) == (before, 0)
        mend()
        decision = kernel.submit(asked)
        assert (decision.allowed, decision.duplicate, decision.seq) == (True, False, before)
    assert run("-w", world, "verify", "--rejudge", "--json").json["sound"]


def test_a_receipt_whose_module_does_not_compile_settles_nothing_and_may_be_told_again(
    tmp_path, break_engine
):
    world = make_world(tmp_path / "world")
    with splittally.open(world) as kernel:
        decision = kernel.submit(Intent("llm.generate", {"model": "m", "max_tokens": 5}, "cap_llm"))
    told = Receipt(decision.intent_hash, "ok", "me", {"prompt_tokens": 1, "completion_tokens": 2})
    mend = break_engine()
    with splittally.open(world) as kernel:
        for tell in (kernel.settle, lambda receipt: kernel.settle([receipt])):
            with pytest.raises(ModuleNotCompiled):
                tell(told)
        assert list(kernel.state.reservations) == [decision.intent_hash]
        mend()
        assert kernel.settle(told).status == "settled"


def test_a_command_whose_module_does_not_compile_ends_with_the_code_of_the_environment(
    tmp_path, break_engine
):
    world = make_world(tmp_path / "world")
    break_engine()
    ran = run("-w", world, "submit", "--json", text=intent())
    assert ran.code == 3
    assert "module_not_compiled" in ran.out
    assert len(run("-w", world, "log").out.splitlines()) == 2  # made and applied: nothing of the intent
