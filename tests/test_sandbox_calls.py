"""One call: the same bytes in, the same bytes out, whatever a module did before or tries now."""

import pytest
from splittally.core.abi import BAD_OUTPUT, Fault, read_check, read_settle
from splittally.core.errors import NotAdmitted
from splittally.core.hashing import hash_module
from splittally.core.limits import CHECK_FUEL_MAX, INPUT_BYTES_MAX, OUTPUT_BYTES_MAX
from splittally.sandbox import ReferenceSandbox, Sandbox
from splittally.sandbox.settings import PAGE_BYTES

from tests.test_admission import frames
from tests.test_sandbox_fixtures import (
    ECHO,
    FAULTY,
    FIXTURES,
    PURE,
    answering,
    expected,
    fixture,
    module,
    named,
)

FIRST_ANSWERS = {
    "counter-in-memory": b"\1\0\0\0",
    "counter-in-the-last-byte": b"\1",
    "counter-in-a-global": b"\x08\0\0\0",
    "counter-in-its-data": b"\6\0\0\0",
    "counter-in-alloc": b"\0\4\0\0",
    "leaky-stack-pointer": b"\xc0\x0f\0\0",
    "peeker": bytes(8),
    "echo": b"question",
    "echo-sixteen-pages": b"question",
    "echo-at-the-end": b"question",
    "overwrites-its-input": bytes(byte ^ 0xFF for byte in b"ques"),
    "scribbler": b"qqqqqqqq",
    "empty": b"",
}


@pytest.fixture(params=[Sandbox, ReferenceSandbox])
def sandbox(request):
    opened = request.param()
    yield opened
    opened.close()


def load(sandbox, path):
    return sandbox.load(fixture(path))


def pure(name):
    return fixture(FIXTURES / "pure" / f"{name}.wat")


@pytest.mark.req("S4-10")
@pytest.mark.parametrize("path", PURE + FAULTY, ids=named)
def test_the_same_input_gives_the_same_answer_and_fuel_a_hundred_times(sandbox, path):
    judged = load(sandbox, path)
    answers = {(sandbox.judge(judged, b"question"), sandbox.fuel_used) for _ in range(100)}
    assert len(answers) == 1


@pytest.mark.parametrize("name", FIRST_ANSWERS)
def test_every_call_is_the_first_call(sandbox, name):
    judged = sandbox.load(pure(name))
    for _ in range(3):
        assert sandbox.judge(judged, b"question") == FIRST_ANSWERS[name]


@pytest.mark.req("X4-11", "X4-12")
@pytest.mark.parametrize("path", FAULTY, ids=named)
def test_a_faulty_module_ends_in_the_fault_of_its_name(sandbox, path):
    assert sandbox.judge(load(sandbox, path), b"question") == Fault(expected(path))
    is_spent = sandbox.fuel_used == CHECK_FUEL_MAX
    assert is_spent == (expected(path) == "out_of_fuel")


def test_a_fault_says_nothing_about_the_next_call(sandbox):
    echo = sandbox.load(pure("echo"))
    for path in FAULTY:
        judged = load(sandbox, path)
        assert sandbox.judge(judged, b"question") == Fault(expected(path))
        assert sandbox.judge(echo, b"answer me") == b"answer me"


def test_nothing_that_one_module_writes_is_seen_by_another(sandbox):
    scribbler, peeker = sandbox.load(pure("scribbler")), sandbox.load(pure("peeker"))
    alone = sandbox.judge(peeker, b"\xff" * 100)
    for byte in (b"\x01", b"\x7f", b"\xff"):
        assert sandbox.judge(scribbler, byte) == byte * 8
        assert sandbox.judge(peeker, b"\xff" * 100) == alone == bytes(8)


def test_two_sandboxes_share_nothing():
    first, second = Sandbox(), Sandbox()
    wasm = pure("counter-in-memory")
    judged = first.load(wasm)
    assert not second.knows(judged)
    second.load(wasm)
    assert first.judge(judged, b"") == second.judge(judged, b"") == b"\1\0\0\0"
    first.close()
    assert second.judge(judged, b"") == b"\1\0\0\0"
    second.close()


@pytest.mark.req("X4-10")
def test_a_module_is_known_by_the_hash_of_its_bytes(sandbox):
    """Two versions under one name are two modules; both stay loaded and each answers for itself."""
    old, new = answering(1 << 32 | 1), answering(1 << 32 | 2)
    assert sandbox.load(old) == hash_module(old) != sandbox.load(new) == hash_module(new)
    assert sandbox.load(old) == hash_module(old)
    assert len(sandbox.judge(hash_module(old), b"")) == 1
    assert len(sandbox.judge(hash_module(new), b"")) == 2


def test_a_refused_module_is_not_known(sandbox):
    wasm = fixture(FIXTURES / "refused" / "imports--clock.wat")
    with pytest.raises(NotAdmitted):
        sandbox.load(wasm)
    assert not sandbox.knows(hash_module(wasm))
    with pytest.raises(KeyError):
        sandbox.judge(hash_module(wasm), b"")


def test_an_input_may_have_any_length_up_to_the_bound(sandbox):
    judged = sandbox.load(pure("echo-sixteen-pages"))
    assert sandbox.judge(judged, b"") == b""
    for size in (1, OUTPUT_BYTES_MAX - 1, OUTPUT_BYTES_MAX):
        assert sandbox.judge(judged, b"x" * size) == b"x" * size
    assert sandbox.judge(judged, b"x" * (OUTPUT_BYTES_MAX + 1)) == Fault("over_limit")

    taker = sandbox.load(module(memory='(memory (export "memory") 7 7)'))
    assert sandbox.judge(taker, bytes(INPUT_BYTES_MAX)) == b""
    assert sandbox.judge(taker, bytes(INPUT_BYTES_MAX + 1)) == Fault("over_limit")
    assert sandbox.fuel_used == 0


@pytest.mark.parametrize(
    ("start", "size"), [(0, PAGE_BYTES), (PAGE_BYTES, 0), (PAGE_BYTES - 1, 1), (1, PAGE_BYTES - 1)]
)
def test_an_output_that_ends_with_the_memory_is_read_whole(sandbox, start, size):
    assert sandbox.judge(sandbox.load(answering(start << 32 | size)), b"") == bytes(size)


def test_an_input_that_ends_with_the_memory_is_written_whole(sandbox):
    alloc = '(func (export "alloc") (param i32) (result i32) (i32.const 65528))'
    judged = sandbox.load(module(alloc=alloc, run=ECHO))
    assert sandbox.judge(judged, b"8 bytes.") == b"8 bytes."
    assert sandbox.judge(judged, b"9 bytes..") == Fault("over_limit")


@pytest.mark.req("X4-12")
def test_an_output_that_lies_is_no_answer(sandbox):
    """What `run` returns is bytes; that they are a verdict is decided by reading them strictly."""
    echo = sandbox.load(pure("echo"))
    for lie in (b"", b"\0", b"\xff", b"\xa1eCheck\xf6", b"\xa1fSettle\xa1eusage\xa1acash\x01", bytes(1000)):
        answer = sandbox.judge(echo, lie)
        assert read_check(answer) == read_settle(answer) == BAD_OUTPUT


@pytest.mark.req("S4-10")
def test_fuel_is_counted_in_the_terms_of_the_module(sandbox):
    """Entering a function 1, an instruction 1, and nothing for structure: the same number for ever."""
    judged = sandbox.load(pure("echo"))
    for data in (b"", b"x", bytes(1000)):
        sandbox.judge(judged, data)
        assert sandbox.fuel_used == 2 + 8
    structure = "(block (loop (nop))) (drop (i32.const 0)) (return (i64.const 0))"
    run = f'(func (export "run") (param i32 i32) (result i64) {structure})'
    sandbox.judge(sandbox.load(module(run=run)), b"")
    assert sandbox.fuel_used == 2 + 3


@pytest.mark.req("X4-11")
def test_fuel_covers_alloc_and_run_together(sandbox):
    spin = """(local $n i32) (local.set $n (i32.const 1000000))
        (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"""
    alloc = f'(func (export "alloc") (param i32) (result i32) {spin} (i32.const 1))'
    run = f'(func (export "run") (param i32 i32) (result i64) {spin} (i64.const 0))'
    for parts in ({"alloc": alloc}, {"run": run}):
        assert sandbox.judge(sandbox.load(module(**parts)), b"") == b""
        assert CHECK_FUEL_MAX // 2 < sandbox.fuel_used < CHECK_FUEL_MAX
    assert sandbox.judge(sandbox.load(module(alloc=alloc, run=run)), b"") == Fault("out_of_fuel")


def deep_frames(functions: int) -> bytes:
    """A call path whose every frame holds 250 numbers that are needed after the call below it returns."""
    loads = "".join(f"(local.set {n} (i64.load (i32.const {8 * n})))" for n in range(2, 252))
    stores = "".join(f"(i64.store (i32.const {8 * n}) (local.get {n}))" for n in range(2, 252))
    slots = f"(param i32 i32) (result i64) (local {'i64 ' * 250})"
    links = [
        f"(func $f{index} {slots} {loads} (drop (call $f{index + 1} (i32.const 0) (i32.const 0)))"
        f"{stores} (i64.const 0))"
        for index in range(functions)
    ]
    last = f"(func $f{functions} (param i32 i32) (result i64) (i64.const 0))"
    run = '(func (export "run") (param i32 i32) (result i64) (call $f0 (i32.const 0) (i32.const 0)))'
    return module(*links, last, run=run)


def test_frames_that_admission_allows_never_overflow_the_stack(sandbox):
    """The stack is four times what admission counts; the frames of the compiler stay below that."""
    with pytest.raises(NotAdmitted) as refusal:
        sandbox.load(deep_frames(32))
    assert refusal.value.facts == {"check": "stack"}
    assert sandbox.judge(sandbox.load(deep_frames(31)), b"") == b""


def test_a_stack_that_overflows_all_the_same_is_a_fault_and_not_a_crash():
    """Admission keeps such modules out, so this one is put in behind its back."""
    wasm = deep_frames(140)
    answers = []
    for sandbox in (Sandbox(), ReferenceSandbox()):
        sandbox._wasm[b"deep"] = wasm
        answers.append((sandbox.judge(b"deep", b""), sandbox.fuel_used))
        sandbox.close()
    assert answers[0] == answers[1]
    assert answers[0][0] == Fault("stack_overflow")


def test_a_path_of_admitted_empty_frames_is_walked_to_its_end(sandbox):
    assert sandbox.judge(sandbox.load(frames(64 * 1024)), b"") == b""
