"""Canonical bytes as properties: one value, one byte string, whichever codec is installed."""

import os
import random
import secrets
from typing import Any

import cbor2
import pytest
from splittally.core import canonical
from splittally.core.errors import CanonicalError

from tests.canonical_model import INTEGERS, OUTSIDE, OutsideModel, broken, encode_model, some_value

pytestmark = pytest.mark.usefixtures("codec")

SEED = int(os.environ.get("SPLITTALLY_SEED", secrets.randbelow(2**32)))
ROUNDS = int(os.environ.get("SPLITTALLY_ROUNDS", "8000"))


def outcome(function: Any, given: Any) -> tuple[str, Any]:
    """What came back; `refused` stands for `CanonicalError`, anything else is a crash of the test."""
    try:
        return "given", function(given)
    except CanonicalError:
        return "refused", None


@pytest.mark.req("S4-15", "S4-16")
def test_the_bytes_of_a_value_are_those_of_an_encoder_written_from_the_rfc() -> None:
    rng = random.Random(SEED)
    for _ in range(ROUNDS):
        value = some_value(rng)
        assert canonical.encode(value) == encode_model(value), f"seed {SEED}: {value!r}"


def test_every_edge_of_the_integers_has_the_bytes_of_the_rfc_or_is_refused() -> None:
    for value in INTEGERS:
        try:
            expected = ("given", encode_model(value))
        except OutsideModel:
            expected = ("refused", None)
        assert outcome(canonical.encode, value) == expected, value


def test_what_was_encoded_decodes_to_a_value_with_the_same_bytes() -> None:
    rng = random.Random(SEED)
    for _ in range(ROUNDS):
        value = some_value(rng)
        data = canonical.encode(value)
        assert canonical.encode(canonical.decode(data)) == data, f"seed {SEED}: {value!r}"


@pytest.mark.req("S4-16")
def test_the_order_in_which_keys_were_written_never_shows() -> None:
    rng = random.Random(SEED)
    for _ in range(ROUNDS // 4):
        entries = [(f"{rng.choice('aé😀')}{at}" * rng.randrange(1, 9), some_value(rng, 4)) for at in range(6)]
        shuffled = rng.sample(entries, len(entries))
        assert canonical.encode(dict(entries)) == canonical.encode(dict(shuffled)), f"seed {SEED}"


def test_broken_bytes_are_refused_or_are_the_canonical_bytes_of_what_they_decode_to() -> None:
    """The plain path is the definition: the fast one gives the same values and the same refusals."""
    rng = random.Random(SEED)
    accepted = 0
    for _ in range(ROUNDS):
        data = broken(rng, encode_model(some_value(rng)))
        found = outcome(canonical.decode, data)
        plain = outcome(canonical.decode_plain, data)
        assert found[0] == plain[0], f"seed {SEED}: {data.hex()}"
        if found[0] == "given":
            accepted += 1
            assert encode_model(found[1]) == data == encode_model(plain[1]), f"seed {SEED}: {data.hex()}"
    assert 0 < accepted < ROUNDS, "the generator must make both kinds"


def test_random_bytes_never_do_anything_but_decode_or_be_refused() -> None:
    rng = random.Random(SEED)
    for _ in range(ROUNDS):
        data = rng.randbytes(rng.randrange(12))
        found = outcome(canonical.decode, data)
        assert found[0] == outcome(canonical.decode_plain, data)[0], f"seed {SEED}: {data.hex()}"
        assert found[0] == "refused" or encode_model(found[1]) == data, f"seed {SEED}: {data.hex()}"


def test_bytes_that_the_lenient_decoder_takes_are_ours_only_when_they_are_canonical() -> None:
    rng = random.Random(SEED)
    for _ in range(ROUNDS // 4):
        value = some_value(rng)
        data = cbor2.dumps(value)  # not canonical: insertion order, 64-bit floats
        if outcome(canonical.decode, data)[0] == "given":
            assert data == encode_model(value), f"seed {SEED}: {data.hex()}"


@pytest.mark.parametrize(
    "value", OUTSIDE, ids=[f"{at} {type(value).__name__}" for at, value in enumerate(OUTSIDE)]
)
def test_a_value_outside_the_data_model_has_no_bytes_wherever_it_stands(value: object) -> None:
    for holder in (value, [value], {"a": value}, {"a": [{"b": value}]}, [1.5, value], ["\x3b", value]):
        assert outcome(canonical.encode, holder) == ("refused", None)
        assert outcome(canonical.encode_plain, holder) == ("refused", None)


def test_a_subclass_is_not_its_base() -> None:
    for base, made in ((str, "a"), (int, 1), (float, 1.5), (bytes, b"a"), (list, [1]), (dict, {"a": 1})):
        kind: Any = type("Sub", (base,), {})
        assert outcome(canonical.encode, [kind(made)]) == ("refused", None)
        if base is str:
            assert outcome(canonical.encode, {kind(made): 1}) == ("refused", None)
