"""Admission: each named check refuses exactly what it says, and hostile bytes are refused, never worse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splittally.core import limits
from splittally.core.errors import NotAdmitted
from splittally.sandbox import ADMISSION_CHECKS, Sandbox, admission, admit, failed_checks
from splittally.sandbox.admission import inspect
from splittally.sandbox.registry import builtin, builtin_names
from wasmtime import wat2wasm

from tests.test_sandbox_fixtures import (
    FAULTY,
    FIXTURES,
    PURE,
    REFUSED,
    expected,
    fixture,
    module,
    named,
    padded,
)


def functions(count: int) -> bytes:
    return module("(func)" * (count - 3))


def variables(count: int) -> bytes:
    return module(f"(func (param i64) (local {'i32 ' * (count - 1)}))")


def exports(count: int) -> bytes:
    return module(*(f'(export "x{index}" (func 0))' for index in range(count - 4)), "(func)")


def globals_(count: int) -> bytes:
    return module("(global i32 (i32.const 0))" * count)


def segments(count: int) -> bytes:
    return module(
        '(data (i32.const 0) "")' * (count - 1), "(table 1 funcref)", "(func)", "(elem (i32.const 0) 0)"
    )


def pages(count: int) -> bytes:
    return module(memory=f'(memory (export "memory") {count} {count})')


def elements(count: int) -> bytes:
    return module(f"(table {count} funcref)")


def frames(bytes_: int) -> bytes:
    """A call path whose declared frames take `bytes_`: links of 2,048 bytes, then one of the rest."""
    links, rest = divmod(bytes_, 2048)
    if rest == 0:
        links, rest = links - 1, 2048
    chain = [f"(func (local {'i64 ' * 248}) (call {index + 1}))" for index in range(links)]
    return module(*chain, f"(func (local {'i64 ' * ((rest - 64) // 8)}))")


def work(branches: int) -> bytes:
    """A function of 200 locals and that many blocks: `branches * (8,000 + branches + 256 * 200)` units."""
    return module(f"(func (local {'i32 ' * 200}) {'(block)' * branches})")


def calls(count: int) -> bytes:
    """A function without a slot that calls another so many times: 8,000 units for each."""
    return module(f"(func {'(call 1)' * count})", "(func)")


def loads(count: int) -> bytes:
    """A function of 250 locals and one operand: 40 x 251 + 3 x 251 units for each load."""
    return module(f"(func (local {'i64 ' * 250}) {'(local.set 0 (i64.load (i32.const 0)))' * count})")


def divisions(count: int) -> bytes:
    """A function of 100 locals and two operands: 8,000 + 20 x 102 + 4 x 102 units for each division."""
    divided = "(drop (i64.div_u (i64.const 1) (i64.const 1)))"
    return module(f"(func (local {'i32 ' * 100}) {divided * count})")


# Check, builder, the largest number that is admitted, the step to the next one.
BOUNDS = (
    ("size", padded, limits.ENFORCER_BYTES_MAX, 1),
    ("memory", pages, limits.ENFORCER_PAGES_MAX, 1),
    ("tables", elements, limits.ENFORCER_TABLE_ELEMENTS_MAX, 1),
    ("segments", segments, limits.ENFORCER_SEGMENTS_MAX, 1),
    ("functions", functions, limits.ENFORCER_FUNCTIONS_MAX, 1),
    ("locals", variables, limits.ENFORCER_LOCALS_MAX, 1),
    ("exports_count", exports, limits.ENFORCER_EXPORTS_MAX, 1),
    ("globals", globals_, limits.ENFORCER_GLOBALS_MAX, 1),
    ("stack", frames, limits.ENFORCER_FRAMES_BYTES_MAX, 8),
    ("compile_cost", work, 3_185, 1),  # 3,185 x (62,385 + 2 x 200) is 199.97 million units
    ("compile_cost", calls, 24_999, 1),  # 24,999 x 8,000 is 199.99 million units
    ("compile_cost", divisions, 19_142, 1),  # 19,142 x 10,448 is 199.995 million units
    ("compile_cost", loads, 18_530, 1),  # 18,530 x 43 x 251 is 199.99 million units
)


@pytest.mark.req("S4-10", "X4-11")
@pytest.mark.parametrize("path", REFUSED, ids=named)
def test_a_refused_fixture_fails_exactly_the_check_in_its_name(path):
    wasm = fixture(path)
    with pytest.raises(NotAdmitted) as refusal:
        admit(wasm)
    assert refusal.value.facts == {"check": expected(path)}
    assert list(failed_checks(wasm)) == [expected(path)]


@pytest.mark.parametrize("path", FAULTY + PURE, ids=named)
def test_a_module_that_is_merely_wrong_or_odd_is_admitted(path):
    admit(fixture(path))
    assert failed_checks(fixture(path)) == {}


def test_every_check_has_a_module_that_fails_it():
    shown = {expected(path) for path in REFUSED} | {check for check, *_ in BOUNDS}
    assert shown == set(ADMISSION_CHECKS)
    assert len(ADMISSION_CHECKS) == len(set(ADMISSION_CHECKS))


@pytest.mark.req("X4-11")
@pytest.mark.parametrize(("check", "build", "most", "step"), BOUNDS, ids=[row[0] for row in BOUNDS])
def test_a_bound_admits_what_is_at_it_and_refuses_what_is_above(check, build, most, step):
    assert failed_checks(build(most - step)) == {}
    assert failed_checks(build(most)) == {}
    assert list(failed_checks(build(most + step))) == [check]


# A function, the slots of its frame, and the places where its control parts or joins.
COUNTS = (
    ("(func)", 0, 0),
    ("(func (param i32 i64) (local i32))", 3, 0),
    ("(func (drop (i32.add (i32.const 1) (i32.const 2))))", 2, 0),
    ("(func (drop (select (i32.const 1) (i32.const 2) (i32.const 3))))", 3, 0),
    ("(func (i32.store (i32.const 0) (i32.load (i32.const 8))))", 2, 0),
    ("(func (local i32) (drop (local.tee 0 (memory.size))))", 2, 0),
    ("(func (param i32) (drop (call $alloc (call $alloc (i32.const 2)))))", 2, 0),
    ("(func (drop (call $run (i32.const 1) (i32.const 2))))", 2, 0),
    ("(func (block (br 0)))", 0, 2),
    ("(func (loop (br_if 0 (i32.const 1))))", 1, 2),
    ("(func (block (block (br_table 0 1 0 (i32.const 0)))))", 1, 5),
    ("(func (if (i32.const 1) (then) (else (drop (i64.const 2)))))", 1, 2),
    ("(func (drop (if (result i32) (i32.const 1) (then (i32.const 2)) (else (i32.const 3)))))", 1, 2),
    ("(func (drop (block (result i32) unreachable)))", 1, 1),
    ("(func (loop (br 0) drop drop drop))", 0, 2),
    ("(func (block (return) i32.const 1 i32.const 2 unreachable) (drop (i32.const 1)))", 2, 1),
)


@pytest.mark.parametrize(("text", "slots", "branches"), COUNTS, ids=[row[0] for row in COUNTS])
def test_frames_and_branches_are_counted_from_the_instructions(text, slots, branches):
    body = inspect(module(text)).bodies[0]
    assert (body.slots, body.branches) == (slots, branches)


def test_a_module_at_every_bound_fits_the_pool_of_the_sandbox():
    """The pool must never refuse what admission lets through, or the two sandboxes would differ."""
    parts = (
        f"(table {limits.ENFORCER_TABLE_ELEMENTS_MAX} funcref)",
        "(global (mut i64) (i64.const 0))" * limits.ENFORCER_GLOBALS_MAX,
        "(func)" * (limits.ENFORCER_FUNCTIONS_MAX - 3),
        f"(elem (i32.const 0) {'5 ' * limits.ENFORCER_TABLE_ELEMENTS_MAX})",
        *(f'(export "x{index}" (func {index}))' for index in range(limits.ENFORCER_EXPORTS_MAX - 4)),
    )
    most = limits.ENFORCER_PAGES_MAX
    wasm = module(*parts, memory=f'(memory (export "memory") {most} {most})')
    sandbox = Sandbox()
    assert sandbox.judge(sandbox.load(wasm), b"input") == b""
    sandbox.close()


@pytest.mark.req("S4-31")
def test_a_module_without_run_is_refused_with_run_named_as_missing():
    with pytest.raises(NotAdmitted, match="`run` is missing"):
        admit(fixture(FIXTURES / "refused" / "exports--run-missing.wat"))
    admit(fixture(FIXTURES / "pure" / "echo.wat"))


def test_a_refusal_says_which_types_an_export_has_and_must_have():
    with pytest.raises(NotAdmitted) as refusal:
        admit(fixture(FIXTURES / "refused" / "exports--run-gives-i32.wat"))
    assert str(refusal.value) == "`run` has type (i32, i32) -> (i32); it must be (i32, i32) -> (i64)"


def test_an_author_sees_every_failed_check_at_once():
    wasm = module(
        "(func (drop (f64.const 0)))", "(func $f (call $f))", memory='(memory (export "memory") 1 2)'
    )
    assert list(failed_checks(wasm)) == ["memory", "floats", "recursion"]


def test_a_hostile_name_is_escaped_and_cut_in_the_message():
    name = "\\1b[2J\\u{202e}" + "x" * 5_000
    with pytest.raises(NotAdmitted) as refusal:
        admit(bytes(wat2wasm(f'(module (import "{name}" "f" (func)))')))
    message = str(refusal.value)
    assert message.isascii() and message.isprintable() and len(message) < 300


def test_a_small_file_cannot_buy_a_minute_of_compiling():
    """Measured without the check: 35,000 loops over 250 locals took 64 s and 1.1 GB, nested ones 5.6 GB."""
    loops = "(loop (br_if 0 (local.get 0)))" * 30_000
    assert list(failed_checks(module(f"(func (local {'i32 ' * 250}) {loops})"))) == ["compile_cost"]


@pytest.mark.parametrize(
    "straight",
    [
        "(call 1)" * 100_000,
        "(local.set 0 (i64.div_s (local.get 1) (local.get 2)))" * 31_000,
        "(local.set 0 (i64.rem_u (local.get 1) (local.get 2)))" * 31_000,
        "(drop (i32.div_u (i32.const 1) (i32.const 1)))" * 40_000,
        "(local.get 0) " * 3_500
        + "(i64.add)" * 3_499
        + "(local.set 0)"
        + "(local.set 0 (local.get 1))" * 55_000,
        "(drop (call 3 (i32.const 0)))" * 36_000,
        "(local.set 0 (i64.load (i32.wrap_i64 (local.get 1))))" * 30_000,
        "(local.set 0 (i64.load8_u (i32.const 0)))" * 35_000,
    ],
    ids=[
        "calls",
        "divisions",
        "remainders",
        "divisions of 32 bits",
        "operands",
        "arguments",
        "loads",
        "bytes",
    ],
)
def test_a_straight_body_cannot_buy_a_second_of_compiling_either(straight):
    """Measured without the check: 127,000 calls took 1 s and 306 MB, 35,000 divisions 0.5 s and 213 MB."""
    wasm = module(f"(func (local {'i64 ' * 250}) {straight})", "(func)")
    assert list(failed_checks(wasm)) == ["compile_cost"]


@pytest.mark.parametrize("small", ["(loop)", "(block)", "(if (i32.const 0) (then))", "(block (br 0))"])
@pytest.mark.parametrize("count", [700, 1_900])
def test_many_small_functions_cannot_buy_a_second_of_compiling_either(small, count):
    """Measured without the check: 700 functions of 100 loops took 1.7 s, 600 of 60 ifs 1.1 s."""
    functions = f"(func {small * (36_000 // count)})" * count
    assert list(failed_checks(module(functions))) == ["compile_cost"]


def test_the_modules_of_the_release_are_far_from_what_compiling_may_cost(monkeypatch):
    monkeypatch.setattr(admission, "ENFORCER_COMPILE_WORK_MAX", limits.ENFORCER_COMPILE_WORK_MAX * 2 // 5)
    for name in builtin_names():
        assert not failed_checks(builtin(name)), name


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data):
    assert failed_checks(data).keys() <= set(ADMISSION_CHECKS) and failed_checks(data)
    assert failed_checks(b"\0asm\1\0\0\0" + data).keys() <= set(ADMISSION_CHECKS)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_module_is_admitted_or_refused_by_name(data):
    wasm = bytearray(fixture(data.draw(st.sampled_from(PURE + REFUSED))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(wasm)))
        removed = data.draw(st.integers(0, 3))
        wasm[at : at + removed] = data.draw(st.binary(max_size=5))
    assert failed_checks(bytes(wasm)).keys() <= set(ADMISSION_CHECKS)


# `counter-in-its-data` is whole without its last section, the data; `machine` without its names.
@pytest.mark.parametrize(
    ("name", "last_section"), [("echo", None), ("counter-in-its-data", 11), ("machine", 0)]
)
def test_a_module_cut_anywhere_is_refused(name, last_section):
    wasm = fixture(FIXTURES / "pure" / f"{name}.wat")
    whole = [wasm[size] for size in range(len(wasm)) if not failed_checks(wasm[:size])]
    assert whole == ([] if last_section is None else [last_section])


@pytest.mark.parametrize("section", range(1, 12))
@pytest.mark.parametrize("count", [b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x08", b"\xff\xff\x7f"])
def test_a_giant_count_is_refused_before_anything_is_built(section, count):
    body = count + b"\0" * 64
    wasm = b"\0asm\1\0\0\0" + bytes((section, len(body))) + body
    assert next(iter(failed_checks(wasm))) in ("well_formed", "features", "start", "exports")
