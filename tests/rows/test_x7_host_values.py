"""Row X7-24: what hosts pass is Python's. Each value is taken, or refused by one sentence with its place."""

import datetime as dt
import re
import uuid
from collections import OrderedDict, UserDict, deque
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple

import hypothesis.strategies as st
import msgspec
import pytest
import splittally
from blake3 import blake3
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.canonical import encode
from splittally.edge.host_values import plain

from tests.rows.worlds import canonical, codes

ROW = pytest.mark.req("X7-24")
ZONE = dt.timezone(dt.timedelta(hours=2))


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    YES = "yes"


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Query:
    text: str
    limits: tuple[int, ...]


class Record(msgspec.Struct):
    name: str
    parts: list[Any]


class Model:
    """What agent frameworks pass as a validated argument: only `model_dump` is known of it."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def model_dump(self) -> dict[str, Any]:
        return self._fields


class Broken(Model):
    def model_dump(self) -> dict[str, Any]:
        raise RuntimeError("no")


class Long(int):
    """An integer of somebody else's library."""


class ArrayLike:
    dtype = "int64"


TAKEN = [
    ((1, 2), [1, 2]),
    ([(1,), (2, (3,))], [[1], [2, [3]]]),
    (Point(1, 2), [1, 2]),
    ({7: "a", "b": 1}, {"7": "a", "b": 1}),
    ({Colour.RED: 1}, {"red": 1}),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Word.YES, "yes"),
    (Long(5), 5),
    (Decimal("1.50"), "1.50"),
    (Decimal("1E+3"), "1000"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (dt.date(2026, 3, 1), "2026-03-01"),
    (dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC), "2026-03-01T09:00:00+00:00"),
    (dt.datetime(2026, 3, 1, 9, 0, 0, 5, tzinfo=ZONE), "2026-03-01T09:00:00.000005+02:00"),
    (PurePosixPath("/data/x"), "/data/x"),
    (Query("a", (1, 2)), {"text": "a", "limits": [1, 2]}),
    (Record("n", [(1,)]), {"name": "n", "parts": [[1]]}),
    (Model(at=dt.date(2026, 3, 1), of=(1,)), {"at": "2026-03-01", "of": [1]}),
    (OrderedDict(a=1), {"a": 1}),
    (MappingProxyType({"a": (1,)}), {"a": [1]}),
    (UserDict(a=1), {"a": 1}),
    (bytearray(b"ab"), b"ab"),
    (1.0, 1.0),
    (True, True),
]

REFUSED = [
    (dt.datetime(2026, 3, 1, 9), "without a zone: give it one"),
    (dt.timedelta(seconds=5), "write whole nanoseconds"),
    ({1, 2}, "has no order: write sorted"),
    (frozenset({"a"}), "has no order: write sorted"),
    (2**70, "beyond 64 bits: write it as text"),
    (float("nan"), "not a number or infinite"),
    (float("inf"), "not a number or infinite"),
    (Decimal("NaN"), "not a number or infinite"),
    (Decimal("1E+900"), "too many digits: write it as text"),
    ({1: "a", "1": "b"}, "two keys that read `1`"),
    ({(1, 2): "a"}, "a key of type `tuple`: keys are text"),
    ({True: "a"}, "a key of type `bool`: keys are text"),
    ({1.5: "a"}, "a key of type `float`: keys are text"),
    (Fraction(1, 3), "`fractions.Fraction`: write a number, text, list or map"),
    (deque([1]), "`collections.deque`: write list(...)"),
    ((n for n in (1, 2)), "`generator`: write list(...)"),
    (object(), "`object`: write a number, text, list or map"),
    (ArrayLike(), "write .item(), or .tolist()"),
    (Query, "the type `Query` and no value of it"),
    (Broken(), "whose `model_dump` fails: RuntimeError"),
]


def world(schema: Any = None) -> splittally.Kernel:
    kernel = splittally.open(None, clock="given")
    effect = {"params_schema": schema} if schema else {}
    kernel.apply({"effects": {"tool.run": effect}, "grants": {"g": {"cap": "sys/allow@1"}}})
    return kernel


@ROW
@pytest.mark.parametrize(("value", "expected"), TAKEN, ids=lambda value: type(value).__name__)
def test_a_value_of_python_is_taken_as_the_one_value_that_it_stands_for(value, expected):
    with world() as kernel:
        taken = kernel.submit(Intent("tool.run", {"here": [value]}, "g", idempotency_key=bytes(32)))
        again = kernel.submit(Intent("tool.run", {"here": [expected]}, "g", idempotency_key=bytes(32)))
        assert taken.allowed
        assert again.duplicate
        assert taken.intent_hash == again.intent_hash


@ROW
@pytest.mark.parametrize(("value", "said"), REFUSED, ids=lambda value: type(value).__name__)
def test_a_value_without_one_meaning_is_refused_by_its_place_and_what_to_write(value, said):
    with world() as kernel:
        decision = kernel.submit(Intent("tool.run", {"here": [1, value]}, "g"))
        assert (decision.seq, codes(decision)) == (None, ["params.invalid"])
        message = decision.findings[0].facts["message"]
        assert said in message
        assert message.startswith("`/here/1` in `params` is ")
        assert message.count(". ") == 0  # one sentence
        assert decision.findings[0].facts["pointers"] == ["/here/1"]


@ROW
def test_a_set_is_taken_where_the_schema_says_so_and_bytes_where_it_says_bytes():
    schema = {
        "type": "object",
        "properties": {"to": {"type": "array", "x-set": True}, "raw": {"x-bytes": True}},
    }
    with world(schema) as kernel:
        one = kernel.submit(
            Intent("tool.run", {"to": {"b", "a"}, "raw": memoryview(b"x")}, "g", idempotency_key="k")
        )
        two = kernel.submit(Intent("tool.run", {"to": ["a", "b"], "raw": b"x"}, "g", idempotency_key="k"))
        assert one.allowed
        assert two.duplicate
        refused = kernel.submit(Intent("tool.run", {"cc": {"a"}}, "g"))
        assert "`/cc` in `params` is a set" in refused.findings[0].facts["message"]


@ROW
def test_a_whole_model_may_be_the_params_and_the_payload_of_a_receipt():
    with world() as kernel:
        decision = kernel.submit(Intent("tool.run", Model(a=(1, 2)), "g"))
        assert decision.allowed
        settled = kernel.settle(Receipt(decision.intent_hash, "ok", "h", Model(at=dt.date(2026, 3, 1))))
        assert (settled.status, settled.violations) == ("settled", ())


@ROW
def test_what_holds_itself_is_refused_and_does_not_hang():
    with world() as kernel:
        loop: dict[str, Any] = {"t": (1,)}
        loop["self"] = loop
        decision = kernel.submit(Intent("tool.run", loop, "g"))
        assert codes(decision) == ["params.invalid"]


ATOMS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5)


def _nested(inner: st.SearchStrategy[tuple[Any, Any]]) -> st.SearchStrategy[tuple[Any, Any]]:
    """Pairs: a host's value, and the plain one that it stands for."""
    lists = st.lists(inner, max_size=4)
    maps = st.dictionaries(st.text(max_size=4), inner, max_size=4)
    return st.one_of(
        lists.map(lambda pairs: (tuple(a for a, _ in pairs), [b for _, b in pairs])),
        lists.map(lambda pairs: ([a for a, _ in pairs], [b for _, b in pairs])),
        maps.map(
            lambda pairs: ({k: a for k, (a, _) in pairs.items()}, {k: b for k, (_, b) in pairs.items()})
        ),
        maps.map(
            lambda pairs: (
                OrderedDict((k, a) for k, (a, _) in pairs.items()),
                {k: b for k, (_, b) in pairs.items()},
            )
        ),
    )


PAIRS = st.recursive(
    ATOMS.map(lambda atom: (atom, atom)) | st.uuids().map(lambda each: (each, str(each))),
    _nested,
    max_leaves=12,
)


@ROW
@given(PAIRS)
def test_a_nest_of_host_values_has_the_bytes_of_the_plain_one_which_stays_the_same_object(pair):
    value, expected = pair
    assert encode(plain(value)) == canonical(expected)
    assert plain(expected) is expected


# --- keys -----------------------------------------------------------------------------------------


@ROW
def test_a_key_of_text_is_hashed_with_a_context_and_means_one_intent():
    with world() as kernel:
        first = kernel.submit(Intent("tool.run", {"n": 1}, "g", idempotency_key="order-17"))
        again = kernel.submit(Intent("tool.run", {"n": 1}, "g", idempotency_key="order-17"))
        other = kernel.submit(Intent("tool.run", {"n": 1}, "g", idempotency_key="order-18"))
        conflict = kernel.submit(Intent("tool.run", {"n": 2}, "g", idempotency_key="order-17"))
        assert (again.duplicate, again.intent_hash) == (True, first.intent_hash)
        assert (other.duplicate, other.allowed) == (False, True)
        assert codes(conflict) == ["idempotency.conflict"]
        key = blake3(canonical("order-17"), derive_key_context="splittally 1 key").digest()
        spelled = kernel.submit(Intent("tool.run", {"n": 1}, "g", idempotency_key=key))
        assert spelled.intent_hash == first.intent_hash
        in_hex = kernel.submit(Intent("tool.run", {"n": 1}, "g", idempotency_key=key.hex()))
        assert in_hex.intent_hash == first.intent_hash


@ROW
@pytest.mark.parametrize("key", ["", b"", bytes(31), bytes(33), 5, True, [1] * 32, "x" * 513, "\ud800"])
def test_a_key_that_is_none_is_refused_without_a_record(key):
    with world() as kernel:
        frames = kernel.state.seq
        decision = kernel.submit(Intent("tool.run", {}, "g", idempotency_key=key))
        assert decision.seq is None
        assert kernel.state.seq == frames
        facts = decision.findings[0].facts
        assert facts["field"] == "idempotency_key"
        assert re.search(r"\d", facts["message"])
