"""Small worlds to show rows in, and enforcers that answer what a test says.

The *parrot* answers a Check with the bytes that stand as `a` in the params, and a Settle with the bytes of
the receipt's payload; a test drives it with generated answers. `canned` makes modules with two answers of
their own, `counting` modules that read a receipt. All are built from text and installed by a manifest.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cbor2
import splittally
from blake3 import blake3
from hypothesis import settings
from splittally import Intent, Receipt
from wasmtime import wat2wasm

from tests.cli_tools import run
from tests.golden_questions import bodies_of

ROOT = Path(__file__).parent.parent.parent
NATURAL_MAX = 2**64 - 1
ACT, CAP = "test.act", "test/parrot@1"
few = settings(max_examples=max(1, settings.default.max_examples * 3 // 10))  # a world for each example
OUTCOMES = {"deny": "deny", "defer": "defer", "ask": "require_approval"}  # by what a limit says is `over`
CODES = {
    "deny": "budget_exceeded",
    "defer": "budget_deferred",
    "ask": "approval_threshold",
    "shadow": "shadow_exceeded",
}
BOOKS = ("accounts", "balances", "counters", "holds", "inflight", "windows")


def canonical(value: Any) -> bytes:
    """Canonical CBOR by an encoder that the kernel's hot path does not use."""
    return cbor2.dumps(value, canonical=True)


def module_hash(wasm: bytes) -> bytes:
    return blake3(wasm, derive_key_context="splittally 1 module").digest()


# --- answers ----------------------------------------------------------------------------------------


def reserves(amounts: dict[str, int]) -> bytes:
    """The answer to a Check that allows and reserves."""
    return canonical({"Check": {"constraints_ok": True, "reserve_estimate": amounts}})


def denies(code: str, message: str = "") -> bytes:
    """The answer to a Check that refuses."""
    deny = {"code": code, "message": message}
    return canonical({"Check": {"constraints_ok": False, "deny": deny, "reserve_estimate": {}}})


def uses(amounts: dict[str, int], code: str = "", message: str = "") -> bytes:
    """The answer to a Settle, with a violation where there is a code."""
    body: dict[str, Any] = {"usage": amounts}
    if code:
        body["violation"] = {"code": code, "message": message}
    return canonical({"Settle": body})


# --- modules ----------------------------------------------------------------------------------------

_FRAME = """(module
  (memory (export "memory") 1 1)
  (func (export "splittally_abi_1"))
  (func (export "alloc") (param i32) (result i32)
    (select (i32.const 1024) (i32.const 0) (i32.le_u (local.get 0) (i32.const 32000))))
  (func $is_check (param $at i32) (result i32)
    (i32.eq (i32.load8_u offset=1 (local.get $at)) (i32.const 0x65)))
  %s)"""

_FIND = """
  ;; the address behind the first eight bytes that are $mark; a trap where there are none
  (func $behind (param $at i32) (param $end i32) (param $mark i64) (result i32)
    (loop $next
      (if (i64.eq (i64.load align=1 (local.get $at)) (local.get $mark))
        (then (return (i32.add (local.get $at) (i32.const 8)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (unreachable))
  ;; address << 32 | argument of the item whose head of one to three bytes stands at $at
  (func $item (param $at i32) (result i64)
    (local $info i32) (local $size i32)
    (local.set $info (i32.and (i32.load8_u (local.get $at)) (i32.const 31)))
    (local.set $size (local.get $info))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (if (i32.eq (local.get $info) (i32.const 24)) (then
      (local.set $size (i32.load8_u (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))))
    (if (i32.eq (local.get $info) (i32.const 25)) (then
      (local.set $size (i32.or (i32.shl (i32.load8_u (local.get $at)) (i32.const 8))
                               (i32.load8_u offset=1 (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))))
    (if (i32.gt_u (local.get $info) (i32.const 25)) (then (unreachable)))
    (call $pack (local.get $at) (local.get $size)))
  (func $pack (param $at i32) (param $size i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32))
            (i64.extend_i32_u (local.get $size))))
  (func $address (param i64) (result i32) (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))))"""

_ANSWER = """
  (func (export "run") (param $at i32) (param $size i32) (result i64)
    (local $end i32)
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (if (result i64) (call $is_check (local.get $at))
      (then ;; params are a map that begins with the key `a`
        (call $item (i32.add (i32.const 3) (call $address (call $item (i32.add (i32.const 6)
          (call $behind (local.get $at) (local.get $end) (i64.const %d))))))))
      (else (call $item (call $behind (local.get $at) (local.get $end) (i64.const %d))))))"""


def _mark(text: bytes) -> int:
    assert len(text) == 8
    return int.from_bytes(text, "little")


@cache
def built(text: str) -> bytes:
    return bytes(wat2wasm(text))


_ANSWER %= (_mark(b"meffect_"), _mark(b"gpayload"))
PARROT = built(_FRAME % (_FIND + _ANSWER))


def canned(check: bytes, settle: bytes | str) -> bytes:
    """A module with these two answers; text in place of the second is what its `run` does instead."""
    told = settle if isinstance(settle, bytes) else b""
    data = "".join(f"\\{byte:02x}" for byte in check + told)
    ended = f"(i64.const {(40_000 + len(check)) << 32 | len(told)})" if told else settle
    return built(
        _FRAME
        % f"""(data (i32.const 40000) "{data}")
  (func (export "run") (param $at i32) (param $size i32) (result i64)
    (if (result i64) (call $is_check (local.get $at))
      (then (i64.const {40_000 << 32 | len(check)}))
      (else {ended})))"""
    )


def counting(*marks: bytes) -> bytes:
    """A module that reserves 200 tokens and uses the sum, below 256, of what a receipt says behind marks."""
    terms = "".join(
        f"(local.set $sum (i32.add (local.get $sum) (i32.wrap_i64 (call $item (call $behind (local.get $at)"
        f" (i32.add (local.get $at) (local.get $size)) (i64.const {_mark(mark)}))))))"
        for mark in marks
    )
    check, settle = reserves({"tokens": 200}), uses({"tokens": 255})
    data = "".join(f"\\{byte:02x}" for byte in check + settle)
    at, last = 40_000 + len(check), 40_000 + len(check) + len(settle) - 1
    return built(
        _FRAME
        % f"""{_FIND} (data (i32.const 40000) "{data}")
  (func (export "run") (param $at i32) (param $size i32) (result i64)
    (local $sum i32)
    (if (call $is_check (local.get $at)) (then (return (i64.const {40_000 << 32 | len(check)}))))
    {terms}
    (if (i32.lt_u (local.get $sum) (i32.const 24)) (then ;; the shortest head
      (i32.store8 (i32.const {last - 1}) (local.get $sum))
      (return (i64.const {at << 32 | len(settle) - 1}))))
    (i32.store8 (i32.const {last}) (local.get $sum))
    (i64.const {at << 32 | len(settle)}))"""
    )


def another(of: str = "2") -> bytes:
    """A parrot with other bytes, so with another identity."""
    return built(_FRAME % (f'(data (i32.const 64000) "{of}")' + _FIND + _ANSWER))


# --- worlds -----------------------------------------------------------------------------------------


def manifest(grants: dict[str, Any], enforcer: bytes = PARROT, **more: Any) -> dict[str, Any]:
    """A manifest of grants of a cap that `enforcer` judges, for effects of kind `test.act`."""
    return {
        "effects": {ACT: {"cap_type": "test"}},
        "caps": {CAP: {"cap_type": "test", "enforcer": enforcer}},
        "grants": {name: {"cap": CAP, **terms} for name, terms in grants.items()},
        **more,
    }


@contextmanager
def world(grants: dict[str, Any], path: Path | None = None, enforcer: bytes = PARROT, **more: Any):
    """A new world with a given clock in which the manifest of these grants was applied."""
    with splittally.open(path, clock="given") as kernel:
        apply(kernel, manifest(grants, enforcer, **more))
        yield kernel


def applied(document: dict[str, Any], path: Path | None = None, **issued: int):
    """A new world with a given clock that is as a manifest says; so many USD stand in `accounts/NAME`."""
    kernel = splittally.open(path, clock="given")
    apply(kernel, document)
    for name, amount in issued.items():
        to = f"accounts/{name}"
        assert kernel.native("ledger.issue", resource="USD", amount=amount, to=to).allowed
    return kernel


def apply(kernel, document, now_ns: int | None = None):
    decision = kernel.apply(document, now_ns=now_ns)
    assert decision.allowed, decision
    return decision


def budget(**amounts: int) -> dict[str, Any]:
    """Terms of one grant `g`."""
    return {"g": {"budget": amounts}}


def act(kernel, reserve: dict[str, int] | bytes, grant: str = "g", now_ns: int | None = None, **fields: Any):
    """Asks for an effect whose estimate, or whole answer, is `reserve`."""
    answer = reserve if isinstance(reserve, bytes) else reserves(reserve)
    params = {"a": answer, **fields.pop("params", {})}
    return kernel.submit(Intent(ACT, params, grant, **fields), now_ns=now_ns)


def held(kernel, reserve: dict[str, int], grant: str = "g", **fields: Any) -> bytes:
    """The hash of an intent that was allowed."""
    decision = act(kernel, reserve, grant, **fields)
    assert decision.allowed, decision
    return decision.intent_hash


def settle(kernel, digest: bytes, usage: dict[str, int] | bytes, status: str = "ok", **fields: Any):
    """Delivers a receipt whose usage, or whole answer, is `usage`."""
    answer = usage if isinstance(usage, bytes) else uses(usage)
    return kernel.settle(Receipt(digest, status, "adapter", answer), **fields)


def books(kernel) -> dict[str, Any]:
    """Every table of the ledger as plain values."""
    every = kernel.state.tables()
    return {name: every[name] for name in BOOKS}


def codes(decision) -> list[str]:
    return [finding.code for finding in decision.findings]


def bodies(kernel):
    """The bodies of the frames of an open world."""
    return bodies_of(data for _, data in kernel._world.store.scan())


def recorded(kernel, kind: type) -> list[Any]:
    """The recorded events of one type, in order."""
    return [event for body in bodies(kernel) for event in body.out if isinstance(event, kind)]


def save_snapshot(kernel) -> None:
    """Writes the projections that closing a longer run writes."""
    kernel._world.save_projections()


# --- what enforcers are asked -----------------------------------------------------------------------


class Asked(NamedTuple):
    """One call: which module, with which bytes, and what they say."""

    module: bytes
    data: bytes
    variant: str
    message: dict[str, Any]


class _Listening:
    def __init__(self, sandbox: Any, calls: list[Asked]) -> None:
        self._sandbox = sandbox
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sandbox, name)

    def judge(self, module: bytes, data: bytes) -> Any:
        ((variant, message),) = cbor2.loads(data).items()
        self._calls.append(Asked(module, data, variant, message))
        return self._sandbox.judge(module, data)


def listen(kernel) -> list[Asked]:
    """The calls of enforcers from now on; the list grows."""
    calls: list[Asked] = []
    judge = kernel._world.judge
    judge.sandbox = _Listening(judge.sandbox, calls)
    return calls


# --- the command line and fresh processes -----------------------------------------------------------

_PATHS = os.pathsep.join(str(ROOT / name) for name in ("kernel", "enforcers", "journal_tools", "."))


def run_python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that finds the packages."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": _PATHS},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def tally(folder: Path | None, *arguments: str, stdin: str | None = None) -> tuple[int, Any]:
    """Exit code and document (a list for a stream) of `tally --json`, asked in this process."""
    done = run(*_world_and(folder), "--json", *arguments, text=stdin or "")
    return _told(done.code, done.out, done.err)


def tally_elsewhere(folder: Path | None, *arguments: str) -> tuple[int, Any]:
    """The same in a fresh process: for a world that is open here, or a kernel that was changed here."""
    done = run_python("-m", "splittally_tools", *_world_and(folder), "--json", *arguments)
    return _told(done.returncode, done.stdout, done.stderr)


def _world_and(folder: Path | None) -> tuple[str, ...]:
    return () if folder is None else ("-w", str(folder))


def _told(code: int, out: str, err: str) -> tuple[int, Any]:
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines or code == 0, err
    return code, lines[0] if len(lines) == 1 else lines
