"""Whatever a host sends, it gets an answer in words, and the journal can be read again.

Junk stands in every field of every request, often enough beside fields that are right. After each run every
frame is read, the fold is compared with the live state, and an honest intent still gets through.
"""

import enum
from typing import Any

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import example, given
from splittally import Extend, Group, Intent, Origin, Receipt, Release, SplittallyError
from splittally.core.limits import FRAME_BYTES_MAX, PARAMS_BYTES_MAX, PAYLOAD_BYTES_MAX
from splittally.core.native import NATIVE
from splittally.edge.records import Decision, HoldChange, Settlement
from splittally.runtime import At, pipeline
from splittally.runtime.reader import open_reader

from tests.rows.worlds import (
    ACT,
    act,
    apply,
    bodies,
    books,
    budget,
    canonical,
    codes,
    few,
    held,
    manifest,
    reserves,
    uses,
    world,
)


class Text(enum.StrEnum):
    """Text that is not quite text."""

    OK, CANCEL, PLAN, ACT, G = "ok", "cancel", "plan", "test.act", "g"


class Bytes(bytes):
    """Bytes that are not quite bytes."""


class Number(int):
    """A number that is not quite a number."""


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


LOOP: list[Any] = []
LOOP.append(LOOP)
NUMBERS = [
    0, 1, -1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**400, Number(5), True, False,
    0.0, 1.0, -0.0, 1e300, float("nan"), float("inf"), 1j,
]  # fmt: skip
TEXTS = [
    "", " ", "x", "g", "root", "operator", "\0", "\x1b[31m", "\u202e", "\ud800", "\ufeff", "𝔘" * 200,
    "x" * 70_000, b"", b"\xff", bytes(16), bytes(31), bytes(32), bytes(33), bytes(70_000), bytearray(32),
    memoryview(bytes(32)), Bytes(bytes(32)), Text.OK, Text.G,
]  # fmt: skip
SHAPES = [
    None, [], [[]], (), (1,), {}, {"a": 1}, {1: 2}, {None: 1}, {"kind": "plan"}, {"kind": "plan", "name": 5},
    {"\ud800": 1}, {"x"}, object(), print, ValueError("x"), Intent, nested(70), nested(200), LOOP,
    range(3), Origin("plan", "a/b@1"),
]  # fmt: skip
ODD = [*NUMBERS, *TEXTS, *SHAPES]
JUNK = st.sampled_from(ODD)


def mostly(right: Any) -> st.SearchStrategy[Any]:
    return st.one_of(st.just(right), st.just(right), JUNK)


PAYLOADS = st.one_of(
    st.just(uses({"tokens": 1})), JUNK, st.dictionaries(st.text(max_size=3), JUNK, max_size=3)
)
INTENTS = st.builds(
    Intent,
    mostly(ACT),
    st.one_of(
        st.just({"a": reserves({"tokens": 3})}), JUNK, st.dictionaries(st.text(max_size=3), JUNK, max_size=3)
    ),
    mostly("g"),
    st.one_of(st.none(), JUNK, st.tuples(mostly("plan"), mostly("a/b@1"))),
    st.one_of(st.none(), st.sampled_from([bytes([n]) * 32 for n in range(3)]), JUNK),
    st.one_of(st.none(), JUNK),
    st.one_of(st.none(), st.just(bytes(16)), JUNK),
)
HASHES = st.sampled_from(["first", "second", "ended"])  # stand for intents of the run
RECEIPTS = st.builds(
    Receipt, HASHES | JUNK, mostly("ok"), mostly("adapter"), PAYLOADS, st.none() | JUNK, st.none() | JUNK
)
RELEASES = st.builds(Release, HASHES | JUNK, mostly("cancel"), st.one_of(st.none(), st.just("why"), JUNK))
EXTENDS = st.builds(Extend, HASHES | JUNK, mostly(10**9))
GROUPS = st.builds(Group, mostly("all"), st.lists(INTENTS | JUNK, max_size=3).map(tuple))
REQUESTS = st.one_of(INTENTS, RECEIPTS, RELEASES, EXTENDS, GROUPS, JUNK)
ANSWERS = (Decision, Settlement, HoldChange, SplittallyError)


def told(request: Any, hashes: dict[str, bytes]) -> Any:
    """The request, with a word replaced by the intent it stands for."""
    named = getattr(request, "intent_hash", None)
    if type(named) is not str or named not in hashes:
        return request
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    return type(request)(**{**fields, "intent_hash": hashes[named]})


def is_readable(kernel: Any) -> None:
    """Every frame can be read, and reading them gives the state."""
    assert len(bodies(kernel)) == kernel.state.seq
    assert kernel.at(kernel.state.seq - 1).root == kernel.state.root


@given(requests=st.lists(st.tuples(REQUESTS, st.none() | st.just(7) | JUNK), max_size=8))
@example([(Receipt("first", "ok", None), None)])  # a host that has no adapter id
@example([(Receipt("first", Text.OK, "a"), None)])
@example([(Release("first", Text.CANCEL), None)])
def test_every_request_gets_an_answer_in_words_and_the_journal_stays_readable(requests):
    with world(budget(tokens=1_000)) as kernel:
        hashes = {name: held(kernel, {"tokens": 1}) for name in ("first", "second", "ended")}
        kernel.release(hashes["ended"])
        for request, now_ns in requests:
            asked = told(request, hashes)
            frames, before = kernel.state.seq, books(kernel)
            (answer,) = kernel.run([At(now_ns, asked)])
            for each in answer if isinstance(answer, list) else [answer]:
                assert isinstance(each, ANSWERS), each
                if isinstance(each, Decision) and each.seq is None and each.outcome == "deny":
                    assert each.findings[0].facts["next"]
            if isinstance(answer, SplittallyError):
                assert (kernel.state.seq, books(kernel)) == (frames, before)
        is_readable(kernel)
        assert held(kernel, {"tokens": 1})


NAMES = (
    "params",
    "terms",
    "name",
    "intent_hash",
    "amounts",
    "wasm",
    "resource",
    "account",
    "answer",
    "order",
)


@few
@given(
    kind=st.sampled_from(sorted(NATIVE)),
    params=st.one_of(JUNK, st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), JUNK, max_size=4)),
)
def test_junk_in_the_params_of_a_native_effect_is_refused_in_words(kind, params):
    with world(budget(tokens=9)) as kernel:
        decision = kernel.submit(Intent(kind, params, "root"))
        assert isinstance(decision, Decision)
        is_readable(kernel)


TABLES = ("resources", "accounts", "effects", "caps", "modules", "grants", "policy", "world", "nonsense")
GRANT = [
    "cap", "params", "budget", "limits", "expiry", "parent", "holder", "draws_on", "pays_to", "delegations",
    "hold_ns_max", "approval_ns", "unknown_ns", "doubt", "above", "other",
]  # fmt: skip
RULE = ["name", "decision", "effect_kind", "origin_kind", "when", "match", "rates", "rate", "other"]
EFFECT = ["cap_type", "params_schema", "receipt_schema", "adapters", "params_bytes_max", "enforcer"]
ENTRIES = st.one_of(
    JUNK,
    st.lists(JUNK, max_size=2),
    st.dictionaries(st.sampled_from(["g", "a/b@1", "x.y", "", "\x1b"]), JUNK, max_size=2),
    st.builds(lambda key, value: {"g": {"cap": "sys/allow@1", key: value}}, st.sampled_from(GRANT), JUNK),
    st.builds(lambda key, value: [{"decision": "allow", key: value}], st.sampled_from(RULE), JUNK),
    st.builds(lambda key, value: {"x.y": {"cap_type": "x", key: value}}, st.sampled_from(EFFECT), JUNK),
)


@given(document=st.one_of(JUNK, st.dictionaries(st.sampled_from(TABLES), ENTRIES, max_size=3)))
@example({"caps": {"a/b@1": {"enforcer": "z" * 64}}})
@example({"effects": {"x.y": {"cap_type": "x", "adapters": 5}}})
@example({"policy": [{"decision": "allow", "rates": 5}]})
@example({"grants": {"g": {"cap": "sys/allow@1", "draws_on": "\ud800"}}})
@example(
    {
        "grants": {
            "g": {"cap": "sys/allow@1", "limits": [{"dim": "t", "amount": 1, "rollover": "9" * 5_000 + "%"}]}
        }
    }
)
def test_junk_in_a_manifest_is_refused_in_words_and_changes_nothing(document):
    with world(budget(tokens=9)) as kernel:
        before = kernel.state.root
        refusals = SplittallyError if isinstance(document, dict) else (SplittallyError, TypeError, ValueError)
        try:
            answer = kernel.apply(document).outcome
        except refusals:
            answer = "raised"
        assert answer in ("allow", "deny", "raised")
        assert answer != "raised" or kernel.state.root == before
        is_readable(kernel)


# --- bounds: below, at, above -----------------------------------------------------------------------


def sized(size: int) -> dict[str, bytes]:
    """Params whose canonical bytes are so many."""
    return {"a": bytes(size - 6)}


@pytest.mark.parametrize(("over", "taken"), [(0, 31_700), (1, PARAMS_BYTES_MAX)])
def test_params_are_taken_in_up_to_their_bound(over, taken):
    """Up to the bound of their kind the module is asked, which takes less; above it nobody is."""
    with world(budget(tokens=9)) as kernel:
        params = sized(PARAMS_BYTES_MAX + over)
        assert len(canonical(params)) == PARAMS_BYTES_MAX + over
        decision = kernel.submit(Intent(ACT, params, "g"))
        assert (codes(decision), decision.seq) == (["params.too_large"], None)
        facts = decision.findings[0].facts
        assert (facts["needed"], facts["available"]) == (
            PARAMS_BYTES_MAX + over,
            pytest.approx(taken, abs=200),
        )


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("form", [bytes, dict])
def test_a_payload_above_its_bound_is_dropped_and_charges_what_was_reserved(over, form):
    with world(budget(tokens=9)) as kernel:
        digest = held(kernel, {"tokens": 3})
        payload = sized(PAYLOAD_BYTES_MAX + over)
        assert len(canonical(payload)) == PAYLOAD_BYTES_MAX + over
        payload = payload if form is dict else canonical(payload)
        settlement = kernel.settle(Receipt(digest, "ok", "adapter", payload))
        assert (settlement.status, settlement.usage) == ("settled", {"tokens": 3})
        assert settlement.violations[-1].facts["fault"] in ("over_limit", "trap")
        assert [x.code for x in settlement.violations[:-1]] == ["receipt_too_large"] * over
        (command,) = [body.command for body in bodies(kernel) if hasattr(body.command, "fits")]
        assert (command.fits, len(command.payload) > 0) == (("too_large", False) if over else ("ok", True))


@pytest.mark.parametrize("levels", [62, 63, 64, 10_000])
def test_nesting_is_taken_in_up_to_64_levels_and_refused_beyond_without_a_crash(levels):
    with world(budget(tokens=9)) as kernel:
        params = {"a": reserves({}), "z": nested(levels)}
        decision = kernel.submit(Intent(ACT, params, "g"))
        assert decision.allowed == (levels < 63)
        if not decision.allowed:
            assert (decision.seq, codes(decision)) == (None, ["params.invalid"])


def test_what_no_frame_can_hold_is_refused_and_never_written(tmp_path):
    """A larger frame could be written but not read again."""
    document = manifest(budget(tokens=9))
    document["effects"][ACT] = {"cap_type": "test", "params_bytes_max": 2 * FRAME_BYTES_MAX}
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        apply(kernel, document)
        digest = held(kernel, {"tokens": 1})
        before, frames = books(kernel), kernel.state.seq
        huge = Intent(ACT, {"a": bytes(FRAME_BYTES_MAX)}, "g")
        for asked, mode in [([huge], "each"), ([Intent(ACT, {"a": reserves({})}, "g"), huge], "all")]:
            answers = kernel.submit(asked, mode=mode)
            assert {(x.seq, *codes(x)) for x in answers} == {(None, "params.too_large")}
        assert (books(kernel), kernel.state.seq) == (before, frames)
    with splittally.open(tmp_path / "w") as kernel:
        assert kernel.outcome(digest).status == "reserved"
        assert act(kernel, {"tokens": 1}).allowed


@pytest.mark.parametrize("spare", [0, -1])
def test_a_frame_has_its_bound_to_the_byte(monkeypatch, spare):
    with world(budget(tokens=9)) as kernel, world(budget(tokens=9)) as twin:
        asked = Intent(ACT, {"a": reserves({"tokens": 3})}, "g", None, bytes(32), attempt=bytes(16))
        assert twin.submit(asked).allowed
        (data,) = [data for _, data in twin._world.store.scan(twin.state.seq - 1)]
        monkeypatch.setattr(pipeline, "FRAME_BYTES_MAX", len(data) + spare)
        assert kernel.submit(asked).allowed == (spare == 0)


def test_a_tick_of_records_too_large_for_one_frame_takes_several(monkeypatch):
    """Holds that name many dimensions at every level and time out at one instant do not fit one record."""
    dims = {f"dimension {n}": 2**60 for n in range(20)}
    grants = {f"g{n}": ({"parent": f"g{n - 1}"} if n else {"unknown_ns": 10}) for n in range(4)}
    with world(grants) as kernel:
        holds = [held(kernel, dims, "g3") for _ in range(60)]
        monkeypatch.setattr(pipeline, "FRAME_BYTES_MAX", 30_000)
        kernel.settle([Receipt(digest, "unknown") for digest in holds])
        assert kernel.tick(now_ns=10) > 1
        assert not kernel.state.reservations
        assert all(len(data) <= 30_000 for _, data in kernel._world.store.scan(2))
        is_readable(kernel)


def test_an_iterator_that_breaks_leaves_nothing_that_is_not_durable(tmp_path):
    def asked():
        yield Intent(ACT, {"a": reserves({"tokens": 3})}, "g")
        raise RuntimeError("the host's own")

    with world(budget(tokens=9), tmp_path / "w") as kernel:
        with pytest.raises(RuntimeError):
            kernel.run(asked())
        shown = list(kernel.state.reservations)
        with open_reader(tmp_path / "w") as reader:
            assert list(reader.state.reservations) == shown
