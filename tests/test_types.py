"""The public face is typed: two checkers accept right uses, refuse wrong ones, and at run time words do."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import splittally
import splittally.aio
from splittally import At, Extend, Group, Intent, InvalidInput, Receipt, Release, SplittallyError

ROOT = Path(__file__).parent.parent
TYPED = ROOT / "tests" / "typed"
NAMES = ("right.py", "wrong.py")
PATHS = [str(ROOT / name) for name in ("kernel", "enforcers", "journal_tools")]
HASH = bytes(32)
ASKED = Intent("kind", {}, "root")


@cache
def told_by_mypy() -> dict[str, dict[int, str]]:
    """File -> line -> what mypy says is wrong with it; what it found of other files is kept between runs."""
    with TemporaryDirectory() as folder:
        config = Path(folder) / "mypy.ini"
        config.write_text(
            f"[mypy]\nstrict = True\nmypy_path = {':'.join(PATHS)}\n"
            "[mypy-wasmtime.*,lmdb.*,jsonschema_rs.*,cbrrr.*,tzdata.*]\nignore_missing_imports = True\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--config-file", config, "--cache-dir", ROOT / "out" / "mypy",
             "--no-error-summary", *(TYPED / name for name in NAMES)],
            capture_output=True, text=True, check=False, cwd=folder,
        )  # fmt: skip
    told = re.findall(r"(\w+\.py):(\d+): error: (.*)", done.stdout)
    assert {name for name, _, _ in told} <= set(NAMES) and bool(told) == bool(done.returncode), (
        done.stdout + done.stderr
    )
    return {name: {int(line): text for named, line, text in told if named == name} for name in NAMES}


@cache
def told_by_pyright() -> dict[str, dict[int, str]]:
    """File -> line -> what pyright says is wrong with it."""
    with TemporaryDirectory() as folder:
        for name in NAMES:
            (Path(folder) / name).write_text((TYPED / name).read_text("utf-8"), "utf-8")
        config = Path(folder) / "pyrightconfig.json"
        config.write_text(json.dumps({"include": list(NAMES), "extraPaths": PATHS}))
        done = subprocess.run(
            [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", config],
            capture_output=True, text=True, check=False, cwd=folder,
        )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(NAMES)
    return {
        name: {
            each["range"]["start"]["line"] + 1: each["message"]
            for each in found["generalDiagnostics"]
            if each["severity"] == "error" and Path(each["file"]).name == name
        }
        for name in NAMES
    }


CHECKERS = pytest.mark.parametrize("told_by", [told_by_mypy, told_by_pyright], ids=["mypy", "pyright"])


@pytest.mark.req("X8-09")
@CHECKERS
def test_right_uses_are_accepted_with_the_types_that_they_have(told_by):
    assert told_by()["right.py"] == {}


@pytest.mark.req("X8-09")
@CHECKERS
def test_wrong_uses_are_refused_each_on_its_line(told_by):
    lines = (TYPED / "wrong.py").read_text("utf-8").splitlines()
    wrong = {at for at, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert len(wrong) > 40
    assert set(told_by()["wrong.py"]) == wrong


# --- at run time --------------------------------------------------------------------------------

WRONG_CALLS = {
    "submit a map": lambda kernel: kernel.submit({}),
    "submit a number": lambda kernel: kernel.submit(5),
    "submit text": lambda kernel: kernel.submit("intent"),
    "submit a list of numbers": lambda kernel: kernel.submit([5]),
    "submit a list with a receipt": lambda kernel: kernel.submit([ASKED, Receipt(HASH, "ok")]),
    "submit a receipt": lambda kernel: kernel.submit(Receipt(HASH, "ok")),
    "submit a set": lambda kernel: kernel.submit({1}),
    "no mode": lambda kernel: kernel.submit([ASKED], mode=5),
    "settle a map": lambda kernel: kernel.settle({}),
    "settle a number": lambda kernel: kernel.settle(5),
    "settle a list of numbers": lambda kernel: kernel.settle([3]),
    "settle an intent": lambda kernel: kernel.settle(ASKED),
    "settle no hash": lambda kernel: kernel.settle(Receipt(5, "ok")),
    "settle no status": lambda kernel: kernel.settle(Receipt(HASH, 5)),
    "run a number": lambda kernel: kernel.run(5),
    "run a map": lambda kernel: kernel.run({}),
    "stream text": lambda kernel: kernel.stream("abc"),
    "decide a number": lambda kernel: kernel.decide(5),
    "decide a map": lambda kernel: kernel.decide({}),
    "decide a list": lambda kernel: kernel.decide([ASKED]),
    "apply a number": lambda kernel: kernel.apply(5),
    "release a number": lambda kernel: kernel.release(5),
    "extend until text": lambda kernel: kernel.extend(HASH, "x"),
    "dispatch for a number": lambda kernel: kernel.dispatch(HASH, 5),
    "tick at text": lambda kernel: kernel.tick("x"),
    "trace a float": lambda kernel: kernel.trace(5.5),
    "trace to a depth in words": lambda kernel: kernel.trace("accounts/a", depth="deep"),
    "trace a limit below zero": lambda kernel: kernel.trace("accounts/a", limit=-1),
    "at text": lambda kernel: kernel.at("x"),
    "at true": lambda kernel: kernel.at(True),
    "outcome of a number": lambda kernel: kernel.outcome(5),
    "approve a number": lambda kernel: kernel.approve(5),
    "as a number": lambda kernel: kernel.as_principal(5),
    "grant a number": lambda kernel: kernel.state.grant(5),
}
WRONG_OPENINGS = {
    "a number": {"path": 5},
    "a clock": {"clock": 5},
    "how many": {"open_max": "x"},
    "how many below zero": {"open_max": -1},
    "random bytes": {"entropy": 5},
    "how long": {"lock_seconds": "x"},
}
WRONG_REQUESTS = {
    "a number": 5,
    "a release of a number": Release(5),
    "an extension until text": Extend(HASH, "x"),
    "a group of a number": Group("all", 5),
    "a group of numbers": Group("all", (5,)),
    "a group of no mode": Group(5, (ASKED,)),
}


@pytest.mark.req("X8-09")
@pytest.mark.parametrize("call", WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_what_is_of_the_wrong_type_is_a_typed_error_and_nothing_is_recorded(call):
    with splittally.open(clock="given") as kernel:
        before = kernel.state.root
        with pytest.raises(InvalidInput):
            call(kernel)
        assert kernel.state.root == before


@pytest.mark.req("X8-09")
@pytest.mark.parametrize("options", WRONG_OPENINGS.values(), ids=WRONG_OPENINGS)
def test_options_of_the_wrong_type_are_a_typed_error(options, tmp_path):
    with pytest.raises(InvalidInput):
        splittally.open(**({"path": tmp_path / "w"} | options))
    assert not list(tmp_path.iterdir())


@pytest.mark.req("X8-09")
@pytest.mark.parametrize("request_", WRONG_REQUESTS.values(), ids=WRONG_REQUESTS)
@pytest.mark.parametrize("is_timed", [False, True])
def test_a_request_that_cannot_be_read_answers_for_itself_and_not_for_the_others(request_, is_timed):
    with splittally.open(clock="given") as kernel:
        wrong = At(None, request_) if is_timed else request_
        before, answer, after = kernel.run([ASKED, wrong, ASKED])
        assert (before.outcome, after.outcome) == ("deny", "deny")
        if not isinstance(answer, SplittallyError):
            refusals = answer if isinstance(answer, list) else [answer]
            assert {finding.code for each in refusals for finding in each.findings} == {"input.invalid"}


@pytest.mark.req("X8-09")
def test_both_faces_have_the_same_methods():
    public = {name for name in dir(splittally.Kernel) if not name.startswith("_")}
    assert public - set(dir(splittally.aio.AsyncKernel)) == {"run_for"}
