"""Rows X6-19 and X6-21: what is written can be read, whatever clock, module or name comes in."""

import decimal
import itertools
import json
import math
import typing

import hypothesis.strategies as st
import msgspec
import pytest
import splittally
from hypothesis import given
from splittally import Intent, InvalidInput, InvalidManifest
from splittally.core.commands import Command, Evidence
from splittally.core.events import Event
from splittally.core.frames import body_rows, read_body
from splittally.core.hashing import hash_module
from splittally.core.release_kinds import RELEASE_KINDS
from splittally.edge.manifest import read_manifest_document
from splittally.edge.release import SCHEMAS
from splittally.journal.frame import open_frame, seal
from splittally.sandbox import builtin

from tests.rows.worlds import apply, bodies, codes, few, held, manifest, tally

LAST = 2**63 - 1

# --- X6-19: a clock and a source of random bytes give what a journal can hold ------------------------


class Whole(int):
    """An int of another type."""


class Indexed:
    """An integer as libraries of numbers have them: no `int`, and it can be used as one."""

    def __index__(self):
        return 7

    __int__ = __index__

    def __repr__(self):
        return "Indexed()"


def failing(*_):
    raise OSError("no clock here")


def shown(value):
    return getattr(value, "__name__", repr(value))


WRONG_TIMES = (
    1.0, 1.7e18, math.nan, math.inf, True, False, None, "5", b"5", -1, -(2**63), 2**63, 2**64, Whole(7),
    Indexed(), decimal.Decimal(7), [7],
)  # fmt: skip
WRONG_BYTES = (b"", b"x", bytes(64), "x" * 32, bytearray(32), None, 7, [0] * 32)


class Source:
    """A source that gives what a test says, or fails."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, *size):
        return (
            failing()
            if self.answer is failing
            else self.answer(*size)
            if callable(self.answer)
            else self.answer
        )


def requests_of(kernel, digest):
    """Every call that reads the clock."""
    intent = Intent("llm.generate", {"max_tokens": 1}, "g")
    return {
        "submit": lambda: kernel.submit(intent),
        "list": lambda: kernel.submit([intent, intent]),
        "all": lambda: kernel.submit([intent, intent], mode="all"),
        "first": lambda: kernel.submit([intent], mode="first"),
        "decide": lambda: kernel.decide(intent),
        "fork": lambda: kernel.fork().submit(intent),
        "settle": lambda: kernel.settle(splittally.Receipt(digest, "ok")),
        "release": lambda: kernel.release(digest),
        "extend": lambda: kernel.extend(digest, LAST),
        "native": lambda: kernel.native("resource.define", resource="A"),
        "apply": lambda: kernel.apply({"resources": {"A": 0}}),
        "tick": lambda: kernel.tick(),
    }


def world_over(clock, path=None, **options):
    kernel = splittally.open(path, clock=clock, **options)
    kernel.apply({"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}, "hold_ns_max": 10}}})
    return kernel


@pytest.mark.req("X6-19")
@pytest.mark.parametrize("wrong", [*WRONG_TIMES, failing], ids=shown)
def test_a_clock_that_gives_no_time_fails_the_call_and_nothing_is_written(wrong, folder):
    clock = Source(1_000)
    with world_over(clock, folder / "w") as kernel:
        digest = kernel.submit(Intent("llm.generate", {"max_tokens": 5}, "g")).intent_hash
        frames, root = kernel.state.seq, kernel.state.root
        for name, call in requests_of(kernel, digest).items():
            clock.answer = wrong
            with pytest.raises(InvalidInput) as error:
                call()
            assert error.value.facts["field"] == "clock", name
            clock.answer = 1_000
            assert (kernel.state.seq, kernel.state.root) == (frames, root), name
        assert kernel.settle(splittally.Receipt(digest, "ok")).status == "settled"
    splittally.open(folder / "w").close()


@pytest.mark.req("X6-19")
@pytest.mark.parametrize("wrong", [*WRONG_TIMES, failing], ids=shown)
def test_a_world_is_not_made_by_a_clock_that_gives_no_time(wrong, folder):
    path = folder / "deep" / "w"
    with pytest.raises(InvalidInput) as error:
        splittally.open(path, clock=Source(wrong))
    assert error.value.facts["field"] == "clock"
    assert list(folder.iterdir()) == []
    with pytest.raises(InvalidInput):
        splittally.open(None, clock=Source(wrong))


@pytest.mark.req("X6-19")
@pytest.mark.parametrize("wrong", [*WRONG_BYTES, failing], ids=shown)
def test_random_bytes_of_another_length_or_type_fail_the_call(wrong, folder):
    entropy = Source(lambda size: bytes(size - 1) + bytes([entropy_used.append(size) or len(entropy_used)]))
    entropy_used: list[int] = []
    with world_over("given", folder / "w", entropy=entropy) as kernel:
        frames, good = kernel.state.seq, entropy.answer
        intent = Intent("llm.generate", {"max_tokens": 1}, "g")
        for call in (lambda: kernel.submit(intent), lambda: kernel.submit([intent], mode="first")):
            entropy.answer = wrong
            with pytest.raises(InvalidInput) as error:
                call()
            assert error.value.facts["field"] == "entropy"
            assert kernel.state.seq == frames
            entropy.answer = good
        assert kernel.submit(intent).allowed
    with pytest.raises(InvalidInput):
        splittally.open(folder / "v", clock="given", entropy=Source(wrong))
    assert not (folder / "v").exists()


@pytest.mark.req("X6-19")
@few
@given(readings=st.lists(st.integers(0, LAST) | st.sampled_from(WRONG_TIMES), min_size=1, max_size=8))
def test_a_world_whose_clock_is_right_now_and_then_can_be_read(readings):
    clock = Source(0)
    kernel = splittally.open(None, clock=(clock, clock))  # of a machine that slept, so none is a jump
    apply(kernel, manifest({"g": {"budget": {"tokens": 1_000}}}))
    for reading in readings:
        clock.answer = reading
        is_time = type(reading) is int and 0 <= reading <= LAST
        try:
            held(kernel, {"tokens": 1})
            assert is_time
        except InvalidInput:
            assert not is_time
    times = [body.at_ns for body in bodies(kernel)]
    assert times == sorted(times)
    assert set(map(type, times)) == {int}
    kernel.close()


ATOMS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=9) | st.text(max_size=9)
)
PLAIN = st.recursive(
    ATOMS,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3),
    max_leaves=8,
)


def values_of(kind):
    """Values of an annotation: everything that a record with it can hold."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is typing.Any:
        return PLAIN
    if kind is int:
        return st.integers(-(2**63), 2**64 - 1)
    if kind in (str, bytes, bool):
        return {str: st.text(max_size=9), bytes: st.binary(max_size=33), bool: st.booleans()}[kind]
    if origin is list or (origin is tuple and inner[1:] == (...,)):
        made = st.lists(values_of(inner[0]), max_size=2)
        return made if origin is list else made.map(tuple)
    if origin is dict:
        return st.dictionaries(values_of(inner[0]), values_of(inner[1]), max_size=2)
    if inner:
        return st.one_of([st.none() if each is type(None) else values_of(each) for each in inner])
    assert issubclass(kind, msgspec.Struct), kind
    fields = typing.get_type_hints(kind)
    return st.fixed_dictionaries({name: values_of(hint) for name, hint in fields.items()}).map(
        lambda x: kind(**x)
    )


BODY = st.tuples(
    st.integers(0, LAST),
    st.text(max_size=9),
    values_of(Command),
    st.lists(values_of(Evidence), max_size=2),
    st.lists(values_of(Event), max_size=3),
)


@pytest.mark.req("X6-19")
@given(BODY)
def test_every_record_is_read_back_as_it_was_written(body):
    at_ns, by, command, seen, out = body
    frame = seal(7, bytes(32), body_rows(at_ns, by, command, seen, out))
    read = read_body(open_frame(frame.data)[2], 7)
    assert (read.at_ns, read.by, read.command, read.seen, read.out) == (at_ns, by, command, seen, out)
    again = seal(7, bytes(32), body_rows(read.at_ns, read.by, read.command, read.seen, read.out))
    assert again.data == frame.data


# --- X6-21: a manifest that is unchanged changes nothing --------------------------------------------

STRICT, LAX = builtin("sys/CapEnforceLlmBasic@1"), builtin("sys/CapAllowAll@1")
NAME, ALIAS = "acme/llm@1", "acme/alias@1"
MUCH = Intent("llm.generate", {"max_tokens": 10**6}, "g")


def named(source, **more):
    caps = {NAME: {"enforcer": source, "cap_type": "llm.basic"}}
    return {"caps": caps, "grants": {"g": {"cap": NAME, "budget": {"tokens": 10}}}, **more}


STATED = {
    "cap": named(NAME),
    "alias": named(ALIAS, modules={ALIAS: NAME}),
}


@pytest.fixture
def kernel():
    with splittally.open(clock="given") as opened:
        assert opened.native("module.install", name=NAME, wasm=STRICT).allowed
        yield opened


def pointed_elsewhere(kernel):
    assert kernel.native("module.install", name=NAME, wasm=LAX).allowed


@pytest.mark.req("X6-21")
@pytest.mark.parametrize("stated", STATED.values(), ids=STATED)
def test_the_same_manifest_changes_nothing_when_a_name_points_elsewhere_and_says_so(kernel, stated):
    assert kernel.apply(stated).allowed
    assert kernel.apply(stated).seq is None
    pointed_elsewhere(kernel)
    root = kernel.state.root
    for _ in range(2):
        again = kernel.apply(stated)
        assert (again.seq, codes(again)) == (None, ["module_renamed"])
        facts = again.findings[0].facts
        assert (facts["module"], facts["means"]) == (hash_module(STRICT), hash_module(LAX))
    assert kernel.state.root == root
    assert kernel.submit(MUCH).outcome == "deny"
    assert codes(kernel.fork().apply(stated)) == ["module_renamed"]
    accepted = kernel.apply(stated, accept_modules=True)
    assert (accepted.outcome, codes(accepted)) == ("allow", ["limit_uncounted"])  # by the lax module
    assert kernel.state.caps[NAME].enforcer == hash_module(LAX)
    assert (kernel.apply(stated).seq, kernel.apply(stated, accept_modules=True).seq) == (None, None)


@pytest.mark.req("X6-21")
def test_a_manifest_that_says_otherwise_is_followed(kernel):
    kernel.native("module.install", name="acme/other@1", wasm=LAX)
    kernel.apply(named(NAME))
    pointed_elsewhere(kernel)
    for source in ("acme/other@1", hash_module(LAX).hex(), hash_module(LAX), LAX):
        fork = kernel.fork()
        assert (fork.apply(named(source)).outcome, fork.state.caps[NAME].enforcer) == (
            "allow",
            hash_module(LAX),
        )
        back = fork.apply(named(NAME))  # what the name means now, because the manifest was another
        assert (codes(back), fork.state.caps[NAME].enforcer) == (["limit_uncounted"], hash_module(LAX))
    own = named(NAME, modules={NAME: STRICT})
    assert (kernel.apply(own).outcome, kernel.apply(own).seq) == ("allow", None)
    assert kernel.state.modules[NAME] == hash_module(STRICT)


@pytest.mark.req("X6-21")
def test_of_a_world_from_before_a_cap_keeps_its_module_and_an_unchanged_manifest_writes_nothing(kernel):
    """Such a world does not say by which name a module was stated."""
    params, _ = read_manifest_document(named(NAME), kernel._world.state, kernel._world.sealer.schema)
    del params["stated"]
    assert kernel.submit(Intent("manifest.apply", params, "root")).allowed
    assert kernel.apply(named(NAME)).seq is None
    pointed_elsewhere(kernel)
    again = kernel.apply(named(NAME))
    assert (again.seq, codes(again)) == (None, ["module_renamed"])


@pytest.mark.req("X6-21")
def test_what_a_manifest_says_of_names_is_of_its_own_entries():
    for stated in ({"caps acme/x@1": NAME}, {"x": NAME}, {"": ""}, {f"caps {NAME}": "no name"}):
        with splittally.open(clock="given") as opened:
            caps = {NAME: {"cap_type": "*", "enforcer": hash_module(LAX)}}
            told = opened.submit(
                Intent("manifest.apply", {"caps": caps, "wasm": [LAX], "stated": stated}, "root")
            )
            assert (told.seq, codes(told)) == (None, ["params.invalid"])


@pytest.mark.req("X6-21")
def test_the_command_line_shows_what_is_kept_and_takes_it_when_told(folder):
    (folder / "m.json").write_text(json.dumps(named(NAME)))
    with splittally.open(folder / "w", clock="given") as opened:
        opened.native("module.install", name=NAME, wasm=STRICT)
        opened.apply(folder / "m.json")
        pointed_elsewhere(opened)
    applied = "apply", folder / "m.json"
    for options in ((), ("--dry-run",)):
        code, told = tally(folder / "w", *applied, *options)
        assert (code, told["seq"], told["changes"]) == (0, None, [])
        assert [finding["code"] for finding in told["findings"]] == ["module_renamed"]
    code, told = tally(folder / "w", *applied, "--accept-modules")
    changed = [(change["table"], change["key"]) for change in told["changes"]]
    assert (code, changed) == (0, [("caps", NAME), ("stated", f"caps {NAME}")])
    assert [row["name"] for row in told["report"]["modules"]] == [NAME]


# --- what a manifest may not do -----------------------------------------------------------------------


@pytest.mark.req("X6-21")
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_grant_whose_parent_leaves_with_the_same_manifest_is_refused(depth, is_new):
    names = ["root", *(f"p{at}" for at in range(depth)), "c"]
    chain = {name: {"cap": "sys/llm.basic@1", "parent": above} for above, name in itertools.pairwise(names)}
    with splittally.open(clock="given") as opened:
        assert opened.apply(
            {"grants": {name: chain[name] for name in chain if name != "c" or not is_new}}
        ).allowed
        told = opened.apply({"grants": {name: chain[name] for name in chain if name != "p0"}})
        assert told.outcome == "deny"
        assert set(codes(told)) <= {"revoked", "not_found"}
        assert not opened.state.grants["p0"].revoked
        assert ("c" in opened.state.grants) == (not is_new)
        assert opened.apply({"grants": {}}).allowed


@pytest.mark.req("X6-21")
@pytest.mark.parametrize("kind", sorted(RELEASE_KINDS))
def test_no_kind_of_the_release_is_defined_by_a_manifest(kind):
    with splittally.open(clock="given") as opened:
        assert kind in opened.state.effects
        defined = opened.apply({"effects": {kind: {"cap_type": RELEASE_KINDS[kind]}}})
        assert "name_reserved" in codes(defined)


@pytest.mark.req("X6-21")
def test_the_kinds_of_the_release_are_one_list():
    assert list(SCHEMAS) == list(RELEASE_KINDS)


@pytest.mark.req("X6-21")
@pytest.mark.parametrize("digest", [b"", b"x", bytes(32), "schema", "params"], ids=repr)
def test_a_module_that_is_none_is_refused(digest):
    with splittally.open(clock="given") as opened:
        schema = {"type": "object"}
        opened.apply({
            "effects": {"mail.send": {"cap_type": "llm.basic", "params_schema": schema}},
            "grants": {"g": {"cap": "sys/llm.basic@1", "params": {"models": ["m"]}}},
        })  # fmt: skip
        found = {
            "schema": opened.state.effects["mail.send"].params_schema,
            "params": opened._world.state.caps.grants["g"].params,
        }
        named_ = found.get(digest, digest)
        for params in (
            {
                "caps": {"acme/x@1": {"cap_type": "*", "enforcer": named_}},
                "grants": {"y": {"cap": "acme/x@1"}},
            },
            {"modules": {"acme/x@1": named_}},
        ):
            assert codes(opened.submit(Intent("manifest.apply", params, "root"))) == ["not_found"]
        told = {"caps": {"acme/x@1": {"cap_type": "*", "enforcer": "acme/none@1"}}}
        with pytest.raises(InvalidManifest):
            opened.apply(told)
