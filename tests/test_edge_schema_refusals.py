"""A refusal of params names places and what the schema says there, never what the value holds."""

import random
import traceback
from typing import Any

from splittally.core.canonical import decode, encode
from splittally.core.errors import InvalidInput
from splittally.edge.schema.params import ANY_PARAMS, ParamsSchema

from tests.test_edge_schema import MAIL, TREE, refusal_of


def test_every_place_that_does_not_fit_is_named_up_to_eight() -> None:
    """Pointers count in the normal form: in a set, after sorting."""
    value = {"to": ["a", 1], "max_cents": -1, "ratio": "x", "cc": 1, "headers": {"a/b": 2}}
    pointers = ["/to/0", "/max_cents", "/ratio", "/cc", "/headers/a~1b"]
    refusal = refusal_of(MAIL, value)
    assert refusal.facts["pointers"] == pointers
    assert all(f"`{pointer}` " in str(refusal) for pointer in pointers)
    assert refusal_of({"items": False}, [1] * 100).facts["pointers"] == [f"/{at}" for at in range(8)]
    assert len(refusal_of({"required": list("abcdefghij")}, {}).facts["pointers"]) == 8  # type: ignore[arg-type]
    for names in (
        {"required": ["to"]},
        {"dependencies": {"cc": ["to"]}},
        {"dependentRequired": {"cc": ["to"]}},
    ):
        assert refusal_of(names, {"cc": 1}).facts["reasons"] == ['"to" is a required property']
    assert refusal_of(MAIL, {}).facts["reasons"] == ['"to" is a required property']


def test_what_leaves_the_data_model_is_named_where_it_stands_also_within_a_set() -> None:
    value = {"to": ["b", {"c/d": [0, float("nan")]}, "a"]}
    refusal = refusal_of(MAIL, value)
    assert refusal.facts["pointers"] == ["/to/1/c~1d/1"]
    assert refusal.facts["reasons"] == ["not-a-number and infinities have no canonical form"]


def test_a_number_of_another_type_is_told_once_and_as_what_it_is() -> None:
    for schema, value, reason in (
        ({"enum": [1, "a"]}, 2, 'is not one of 1 or "a"'),
        ({"enum": [1, "a"]}, 1.0, "none of the values that the schema lists, where 1 and 1.0 are two"),
        ({"type": "integer"}, 1.0, "a float where the schema says integer"),
        ({"type": "integer"}, 1.5, 'is not of type "integer"'),
    ):
        assert refusal_of(schema, value).facts["reasons"] == [reason]


def test_what_the_schema_reads_itself_is_never_told_among_the_errors_of_others() -> None:
    """Bytes and secrets were judged before; the types of a host's schema beside them have no effect."""
    text = {"$ref": "#/$defs/text"}
    schema = {
        "properties": {
            "a": {**text, "x-bytes": True},
            "b": {**text, "x-secret": True},
            "n": {"type": "integer"},
        },
        "$defs": {"text": {"type": "string"}},
    }
    value = {"a": b"x", "b": {"secret": {"alias": "k", "version": 1}}, "n": "x"}
    assert refusal_of(schema, value).facts["pointers"] == ["/n"]


def test_where_no_keyword_fails_by_itself_the_innermost_constraint_is_named() -> None:
    inner = {"oneOf": [{"type": "integer"}, {"minimum": 0}], "not": {"const": 5}}
    schema = {
        "properties": {"a b/%é": {"items": {"$ref": "#/$defs/n"}}},
        "allOf": [{}],
        "$defs": {"n": inner},
    }
    refusal = refusal_of(schema, {"a b/%é": [-1, 7, 0.5, 5]})
    assert refusal.facts["pointers"] == ["/a b~1%é/3"]
    assert refusal.facts["reasons"] == ["does not fit `not` or `oneOf`"]
    assert refusal_of({"anyOf": [{"required": ["a"]}]}, {}).facts["reasons"] == ["does not fit `anyOf`"]
    closed = {"properties": {"a": {}}, "patternProperties": {"^x": {}}, "additionalProperties": False}
    assert refusal_of(closed, {"b": 1}).facts["reasons"] == [
        "does not fit `patternProperties` or `additionalProperties`"
    ]


def test_a_refusal_repeats_no_value_and_stays_short() -> None:
    schema = {
        "properties": {
            "type": {"type": "integer"},
            "enum": {"enum": ["a", 1]},
            "pattern": {"pattern": "^[0-9]+$"},
            "length": {"maxLength": 3},
            "any": {"anyOf": [{"type": "integer"}, {"maxLength": 1}]},
            "unique": {"uniqueItems": True},
            "least": {"minimum": 0},
        }
    }
    marker = "hunter2" * 40
    value = dict.fromkeys(schema["properties"], marker) | {"unique": [marker, marker], "least": -7741}
    refusal = refusal_of(schema, value)
    assert len(refusal.facts["pointers"]) == 6  # type: ignore[arg-type]
    only = refusal_of(schema, {"any": marker})
    assert only.facts["pointers"] == ["/any"]
    told = "".join(traceback.format_exception(refusal) + traceback.format_exception(only))
    told += repr((refusal.facts, only.facts))
    assert "hunter2" not in told and "7741" not in told
    assert len(str(refusal)) < 2_000


def test_keys_in_a_refusal_cannot_move_a_terminal_or_fill_it() -> None:
    refusal = refusal_of({"additionalProperties": False}, {"\x1b[2J\u202e" + "k" * 5_000: 1})
    assert str(refusal).isprintable() and len(str(refusal)) < 400


def test_random_junk_is_sealed_or_refused_and_nothing_else() -> None:
    rng = random.Random(7)
    junk = [
        None,
        True,
        1,
        1.0,
        float("inf"),
        "a",
        "\ud800",
        b"",
        (),
        {1},
        object(),
        2**70,
        1j,
        range(3),
        {b"": 1},
        {1: 1},
    ]
    for schema in (ParamsSchema.load(MAIL), ParamsSchema.load(TREE), ANY_PARAMS):
        for _ in range(300):
            keys = [*MAIL["properties"], "left", "tags", "z"]  # type: ignore[misc]
            value: Any = {rng.choice(keys): rng.choice([*junk, [rng.choice(junk)]]) for _ in range(3)}
            try:
                data = schema.seal(rng.choice([value, [value], rng.choice(junk)]))
            except InvalidInput:
                continue
            assert encode(decode(data)) == data
