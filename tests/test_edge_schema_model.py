"""Generated schemas and values: loading and sealing agree with an obvious model."""

import math
import os
import random
import secrets
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
from splittally.core.canonical import decode
from splittally.core.errors import InvalidInput, InvalidSchema
from splittally.edge.schema.params import ParamsSchema

from tests.schema_maker import Maker
from tests.schema_model import Unfit, out_of_place, seal_model

SEED = int(os.environ.get("SPLITTALLY_SEED", secrets.randbelow(2**32)))
ROUNDS = int(os.environ.get("SPLITTALLY_ROUNDS", "500"))


def cases() -> Iterator[tuple[dict[str, Any], ParamsSchema, Any]]:
    rng = random.Random(SEED)
    for _ in range(ROUNDS):
        maker = Maker(rng)
        document = maker.document()
        schema = ParamsSchema.load(document)
        for _ in range(6):
            yield document, schema, maker.value(document, document)


def sealed_or_none(schema: ParamsSchema, value: Any) -> bytes | None:
    try:
        return schema.seal(value)
    except InvalidInput as refusal:
        return None if refusal.facts["pointers"] else b"a refusal that names no place"


def test_sealing_gives_the_bytes_of_the_model_or_refuses_as_it_does() -> None:
    sealed = refused = 0
    for document, schema, value in cases():
        try:
            meant = seal_model(document, value)
        except Unfit:
            meant = None
        found = sealed_or_none(schema, value)
        assert found == meant, f"seed {SEED}: {document} {value} {found!r} {meant!r}"
        sealed += found is not None
        refused += found is None
    assert sealed > ROUNDS and refused > ROUNDS // 2, "the generator must make both kinds"


def test_what_is_sealed_seals_to_itself() -> None:
    """Normal form is a fixed point, so a record can be sealed again without another hash."""
    for document, schema, value in cases():
        data = sealed_or_none(schema, value)
        if data is not None:
            assert schema.seal(decode(data)) == data, f"seed {SEED}: {document} {data.hex()}"


def test_a_schema_loads_unless_a_constraint_leads_to_an_x_keyword() -> None:
    """The refusal names one of the places that the model finds."""
    rng = random.Random(SEED)
    loaded = refused = 0
    for _ in range(2 * ROUNDS):
        document = Maker(rng, anywhere=0.5).document()
        misplaced, named = out_of_place(document), refused_place(document)
        assert named in misplaced if misplaced else named is None, f"seed {SEED}: {document} {named!r}"
        loaded += named is None
        refused += named is not None
    assert loaded > ROUNDS // 4 and refused > ROUNDS // 8, "the generator must make both kinds"


def refused_place(document: dict[str, Any]) -> object:
    try:
        ParamsSchema.load(document)
    except InvalidSchema as refusal:
        return refusal.facts["pointer"]
    return None


def is_plain(value: Any) -> bool:
    """Whether nothing in a value or schema is read in another way than JSON Schema reads it."""
    if type(value) in (dict, list):
        return all(map(is_plain, value.values() if type(value) is dict else value))
    if type(value) is float:
        return math.isfinite(value) and not value.is_integer()
    if type(value) is str:
        return not value.removeprefix("-").isdigit()
    return type(value) in (bool, type(None)) or (type(value) is int and abs(value) < 2**64)


def test_without_x_keywords_and_whole_floats_json_schema_decides() -> None:
    """What the kernel shows its validator means what the document says."""
    rng = random.Random(SEED)
    compared = 0
    for _ in range(4 * ROUNDS):
        maker = Maker(rng)
        named = {name: maker.plain(1, ours=False, refs=False) for name in "bc"}
        document = {**maker.plain(4, ours=False, refs=True), "$defs": named}
        schema, judge = ParamsSchema.load(document), jsonschema_rs.Draft202012Validator(document)
        for value in [maker.value(document, document) for _ in range(3)]:
            if is_plain(value) and is_plain(document):
                is_sealed = sealed_or_none(schema, value) is not None
                assert is_sealed == judge.is_valid(value), f"seed {SEED}: {document} {value}"
                compared += 1
    assert compared > ROUNDS
