"""Params sealed by JSON Schema: one meaning, one byte string; a wrong type never gets further."""

import traceback
from typing import Any

import pytest
from splittally.core.canonical import decode, encode
from splittally.core.errors import InvalidInput
from splittally.core.hashing import hash_intent, hash_schema
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN
from splittally.edge.json_values import parse_json
from splittally.edge.schema.params import ANY_PARAMS, ParamsSchema

MAIL = {
    "type": "object",
    "properties": {
        "to": {"type": "array", "items": {"type": "string"}, "x-set": True, "minItems": 1},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "max_cents": {"type": "integer", "minimum": 0},
        "key": {"x-secret": True, "title": "the mail provider's key"},
        "digest": {"x-bytes": True, "minLength": 2, "maxLength": 4},
        "ratio": {"type": "number"},
    },
    "required": ["to"],
    "additionalProperties": False,
}


def sealed(schema: Any, value: Any) -> Any:
    return decode(ParamsSchema.load(schema).seal(value))


def refusal_of(schema: Any, value: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as refusal:
        ParamsSchema.load(schema).seal(value)
    return refusal.value


@pytest.mark.req("S4-15", "S4-16", "S4-66")
def test_order_of_keys_and_repeated_members_of_sets_never_show_in_the_bytes() -> None:
    schema = ParamsSchema.load(MAIL)
    one = schema.seal({"to": ["b@x", "a@x", "b@x"], "headers": {"b": "2", "a": "1"}})
    other = schema.seal({"headers": {"a": "1", "b": "2"}, "to": ["a@x", "b@x"]})
    assert one == other == encode({"headers": {"a": "1", "b": "2"}, "to": ["a@x", "b@x"]})


@pytest.mark.req("S4-67")
def test_both_spellings_of_a_secret_reference_give_the_same_bytes_and_hash() -> None:
    schema = ParamsSchema.load(MAIL)
    reference = {"alias": "mail/key", "version": 3}
    sugar = schema.seal({"to": ["a@x"], "key": {"secret": reference}})
    tagged = schema.seal({"to": ["a@x"], "key": {"$secret": dict(reversed(reference.items()))}})
    assert sugar == tagged == encode({"to": ["a@x"], "key": {"$secret": reference}})
    assert hash_intent(sugar) == hash_intent(tagged)


@pytest.mark.req("S4-67")
@pytest.mark.parametrize(
    "inline",
    [
        "hunter2",
        b"hunter2",
        ["hunter2"],
        {"hunter2": 1},
        {"secret": "hunter2"},
        {"$secret": "hunter2"},
        {"secret": {"alias": "k", "version": 1, "value": "hunter2"}},
        {"secret": {"alias": "k", "version": "hunter2"}},
        {"secret": {"alias": ["hunter2"], "version": 1}},
        {"secret": {"alias": "k", "version": 1}, "value": "hunter2"},
        {"secret": {"alias": "k", "version": True}, "$secret": "hunter2"},
    ],
    ids=repr,
)
def test_an_inline_secret_is_refused_and_never_repeated(inline: Any) -> None:
    refusal = refusal_of(MAIL, {"to": ["a@x"], "key": inline})
    assert refusal.facts["pointers"] == ["/key"]
    told = "".join(traceback.format_exception(refusal)) + repr(refusal.facts)
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"alias": "k"},
        {"alias": "", "version": 1},
        {"alias": "k" * 129, "version": 1},
        {"alias": "k", "version": True},
        {"alias": "k", "version": 1.0},
        {"alias": "k", "version": -1},
        {"alias": "k", "version": 2**64},
        {"alias": "k", "version": "1"},
        {"alias": None, "version": 1},
    ],
    ids=repr,
)
def test_a_secret_reference_has_a_name_and_a_natural_version(broken: Any) -> None:
    for key in ("secret", "$secret"):
        assert refusal_of({"x-secret": True}, {key: broken}).facts["pointers"] == [""]


def test_a_secret_reference_may_reach_its_bounds() -> None:
    for alias, version in (("k", 0), ("k" * 128, 1), ("é" * 64, INT_MAX)):
        reference = {"alias": alias, "version": version}
        assert sealed({"x-secret": True}, {"secret": reference}) == {"$secret": reference}
    refusal_of({"x-secret": True}, {"secret": {"alias": "é" * 65, "version": 1}})


ONE = {"const": 1}
BYTES = {"x-bytes": True}
REFUSED_BY_THE_WALK = [
    ("a float where the type is integer", {"type": "integer"}, 1.0),
    ("minus zero where the type is integer", {"type": "integer"}, -0.0),
    ("a large float where the type is integer", {"type": "integer"}, 1e300),
    ("a float where integer or null may be", {"type": ["integer", "null"]}, 1.0),
    ("a float under a combination", {"anyOf": [{"type": "integer"}, {"type": "string"}]}, 1.0),
    ("a float under a negation", {"not": {"not": {"type": "integer"}}}, 1.0),
    ("a float under a condition", {"if": {"type": "integer"}, "else": False}, 1.0),
    ("a float under a pattern", {"patternProperties": {"a": {"type": "integer"}}}, {"a": 1.0}),
    ("a float left over", {"unevaluatedProperties": {"type": "integer"}}, {"a": 1.0}),
    ("a float that is looked for", {"contains": {"type": "integer"}}, [1.0]),
    ("a float beside a key", {"dependentSchemas": {"a": {"properties": {"b": ONE}}}}, {"a": 0, "b": 1.0}),
    ("a float for a constant", {"const": 1}, 1.0),
    ("an integer for a float constant", {"const": 1.0}, 1),
    ("minus zero for zero", {"const": 0.0}, -0.0),
    ("a float for a choice", {"enum": ["a", 1]}, 1.0),
    ("a float deep in a choice", {"enum": [{"a": [1]}]}, {"a": [1.0]}),
    ("a float where there is no choice", {"enum": []}, 1.0),
    ("true for one", {"const": 1}, True),
    ("one for true", {"const": True}, 1),
    ("an integer above 2^64-1", {"type": "integer"}, INT_MAX + 1),
    ("an integer below -2^63", {"type": "integer"}, INT_MIN - 1),
    ("an integer of 200 bits", {}, [2**200]),
    ("not-a-number", {}, float("nan")),
    ("half of a surrogate pair", {}, "\ud800"),
    ("a key that is not text", {}, {1: 1}),
    ("a tuple", {"type": "array"}, (1,)),
    ("bytes anywhere", {}, b"x"),
    ("bytes as text", {"type": "string"}, b"x"),
    ("bytes that the validator does not visit", {"properties": {"a": {}}}, {"a": b"x"}),
    ("bytes under a key that nobody names", {"properties": {"a": {}}}, {"b": [b"x"]}),
    ("text where bytes are", {"x-bytes": True}, "00"),
    ("the JSON form of bytes where bytes are", {"x-bytes": True}, {"$bytes": "00"}),
    ("too few bytes", {"x-bytes": True, "minLength": 2}, b"x"),
    ("too many bytes", {"x-bytes": True, "maxLength": 0}, b"x"),
    ("too many bytes beside `$ref`", {"$ref": "#/$defs/b", "maxLength": 1, "$defs": {"b": BYTES}}, b"xx"),
]  # fmt: skip


@pytest.mark.req("S4-66")
@pytest.mark.parametrize(
    ("schema", "value"), [row[1:] for row in REFUSED_BY_THE_WALK], ids=[r[0] for r in REFUSED_BY_THE_WALK]
)
def test_what_a_validator_may_let_through_is_refused(schema: Any, value: Any) -> None:
    assert refusal_of(schema, value).facts["pointers"]


NAMED = {"$secret": {"alias": "k", "version": 1}}
TO_BYTES = {"$ref": "#/$defs/a", "$defs": {"a": BYTES}}
TO_SECRET = {"$ref": "#/$defs/a", "$defs": {"a": {"x-secret": True}}}
TO_TEXT = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}
TAKEN = [
    ("any value without bytes", {}, {"a": [1, 1.0, None, True, "x"]}),
    ("a float where numbers are", {"type": "number"}, 1.0),
    ("a float where integers and numbers are", {"type": ["integer", "number"]}, 1.0),
    ("a float constant", {"const": 1.5}, 1.5),
    ("a float that equals its constant", {"const": 1.0}, 1.0),
    ("the largest integer", {"type": "integer"}, INT_MAX),
    ("the smallest integer", {"type": "integer"}, INT_MIN),
    (
        "the largest integers beside a float",
        {"items": {"enum": [INT_MAX, INT_MIN, 0.5]}},
        [INT_MAX, INT_MIN, 0.5],
    ),
    ("bytes", {"x-bytes": True, "maxLength": 1}, b"x"),
    ("bytes, whatever type is named beside them", {"x-bytes": True, "type": "string"}, b"x"),
    ("a secret, whatever type is named beside it", {"x-secret": True, "type": "string"}, NAMED),
    ("bytes by `$ref`, whatever type is named beside it", {**TO_BYTES, "type": "string"}, b"x"),
    ("a secret by `$ref`, whatever type is named beside it", {**TO_SECRET, "type": "string"}, NAMED),
    ("bytes, whatever type `$ref` leads to", {**TO_TEXT, "x-bytes": True}, b"x"),
    (
        "beside bytes what they define for others",
        {"properties": {"a": {**BYTES, "$defs": {"n": ONE}}, "b": {"$ref": "#/properties/a/$defs/n"}}},
        {"a": b"x", "b": 1},
    ),
    ("bytes in a set", {"x-set": True, "items": {"x-bytes": True}}, [b"", b"a"]),
    ("unique bytes", {"uniqueItems": True, "items": {"x-bytes": True}}, [b"b", b"a"]),
    ("an x- keyword that is off", {"x-set": False, "x-bytes": False, "x-secret": False}, ["b", "a"]),
    ("a set keyword on what is no array", {"x-set": True}, "b"),
    ("what no format asserts", {"format": "email"}, "nobody"),
    ("under a schema that is true", True, {"a": 1}),
    ("a float where one branch takes numbers", {"anyOf": [{"type": "integer"}, {"type": "number"}]}, 1.0),
    ("a float that is to be no integer", {"not": {"type": "integer"}}, 1.0),
    ("a float that is to be another than 1", {"not": {"enum": [1]}}, 1.0),
    (
        "an integer beside bytes that look like a float",
        {"properties": {"b": BYTES, "n": {"type": "integer"}}},
        {"b": b"\xfb\xfa\xf9", "n": 1},
    ),
]


@pytest.mark.parametrize(("schema", "value"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_a_value_that_fits_is_sealed_as_it_is(schema: Any, value: Any) -> None:
    assert ParamsSchema.load(schema).seal(value) == encode(value)


def test_digits_are_read_as_an_integer_only_where_json_would_have_lost_it() -> None:
    for number in (2**53 + 1, -(2**53) - 1, INT_MAX, INT_MIN):
        text = f'{{"n":"{number}"}}'
        assert sealed({"properties": {"n": {"type": "integer"}}}, parse_json(text)) == {"n": number}
    for text in ("5", f"{2**53}", f"{-(2**53)}", f"{INT_MAX + 1}", "09007199254740993", "+9007199254740993"):
        refusal_of({"type": "integer"}, text)
    for text in ("9007199254740993 ", "9_007_199_254_740_993", "\u0669007199254740993", "9007199254740993.0"):
        refusal_of({"type": "integer"}, text)
    for types in (["integer", "null"], "number"):
        refusal_of({"type": types}, f"{2**53 + 1}")
    assert sealed({"type": ["integer", "string"]}, f"{2**53 + 1}") == f"{2**53 + 1}"
    assert sealed({"type": "string"}, f"{2**53 + 1}") == f"{2**53 + 1}"


@pytest.mark.parametrize("outer", [True, False])
def test_what_stands_beside_a_reference_holds_as_well_as_where_it_leads(outer: bool) -> None:
    """`type` is stated on one side and a bound on the other: the position has both."""
    whole, small = {"type": "integer"}, {"maximum": 2**60}
    here, there = (whole, small) if outer else (small, whole)
    schema = {"$ref": "#/$defs/n", **here, "$defs": {"n": there}}
    assert sealed(schema, f"{2**53 + 1}") == 2**53 + 1
    refusal_of(schema, f"{2**60 + 1}")
    least, most = {"x-bytes": True, "minLength": 2}, {"maxLength": 3}
    here, there = (least, most) if outer else (most, least)
    schema = {"$ref": "#/$defs/b", **here, "$defs": {"b": there}}
    assert [sealed(schema, bytes(size)) for size in (2, 3)] == [bytes(2), bytes(3)]
    refusal_of(schema, bytes(1))
    refusal_of(schema, bytes(4))


def test_a_constraint_never_changes_how_a_value_is_read() -> None:
    """Digits stay text and arrays keep their order where only a constraint says integer or array."""
    digits = f"{2**53 + 1}"
    for schema in (
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"allOf": [{"type": ["integer", "string"]}]},
        {"$ref": "#/$defs/any", "$defs": {"any": {}}, "not": {"type": "integer"}},
    ):
        assert sealed(schema, digits) == digits
    beside = {"patternProperties": {"^a": {}}, "additionalProperties": {"type": "integer"}}
    assert sealed(beside, {"a": digits, "b": 1}) == {"a": digits, "b": 1}
    refusal_of(beside, {"b": digits})
    refusal_of(beside, {"b": 1.0})


def test_type_and_bounds_beside_a_reference_hold_with_what_it_leads_to() -> None:
    schema = {"$ref": "#/$defs/n", "type": "integer", "maximum": 2**60, "$defs": {"n": {"minimum": 5}}}
    assert sealed(schema, f"{2**53 + 1}") == 2**53 + 1
    for unfit in (4, 2**60 + 1, 7.0, "7"):
        refusal_of(schema, unfit)


def test_a_set_is_sorted_by_canonical_bytes_after_its_members_are_normal() -> None:
    schema = {"x-set": True, "items": {"x-set": True}}
    assert sealed(schema, [["b", "a"], ["a", "b", "a"], []]) == [[], ["a", "b"]]
    assert sealed({"x-set": True}, ["aa", "b", 300, 2, 1.0, 1, True, "aa"]) == [
        1,
        2,
        300,
        "b",
        "aa",
        True,
        1.0,
    ]
    assert sealed({"x-set": True, "maxItems": 1}, ["a", "a"]) == ["a"]
    secret = {"secret": {"alias": "k", "version": 1}}
    tagged = {"$secret": {"alias": "k", "version": 1}}
    assert sealed({"x-set": True, "items": {"x-secret": True}}, [secret, tagged]) == [tagged]


def test_x_keywords_count_wherever_the_structure_leads() -> None:
    ways: list[tuple[Any, Any]] = [
        ({"properties": {"a": {"x-set": True}}}, {"a": [2, 1]}),
        ({"additionalProperties": {"x-set": True}}, {"a": [2, 1]}),
        ({"items": {"x-set": True}}, [[2, 1]]),
        ({"prefixItems": [{}, {"x-set": True}]}, [0, [2, 1]]),
        ({"$ref": "#/$defs/s", "$defs": {"s": {"x-set": True}}}, [2, 1]),
        ({"$ref": "#/$defs/a%20b~1", "$defs": {"a b/": {"x-set": True}}}, [2, 1]),
        ({"$ref": "#/definitions/s", "definitions": {"s": {"x-set": True}}}, [2, 1]),
    ]
    for schema, value in ways:
        assert ParamsSchema.load(schema).seal(value) != encode(value)


TREE = {
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {
                "tags": {"x-set": True},
                "left": {"$ref": "#/$defs/tree"},
                "n": {"type": "integer"},
            },
            "additionalProperties": {"$ref": "#/$defs/tree"},
        }
    },
    "$ref": "#/$defs/tree",
}


def test_a_schema_that_refers_to_itself_ends_with_the_value() -> None:
    value: Any = {"tags": ["b", "a"], "n": 1}
    meant: Any = {"tags": ["a", "b"], "n": 1}
    for _ in range(DEPTH_MAX - 2):
        value, meant = {"left": value, "tags": []}, {"left": meant, "tags": []}
    assert sealed(TREE, value) == meant
    assert refusal_of(TREE, {"left": {"more": {"n": 1.0}}}).facts["pointers"] == ["/left/more/n"]


def test_nesting_is_refused_before_anything_else_looks() -> None:
    deep: Any = 1
    for _ in range(10_000):
        deep = [deep]
    for schema in (ParamsSchema.load({}), ParamsSchema.load({"items": {"$ref": "#"}}), ANY_PARAMS):
        with pytest.raises(InvalidInput, match="nested deeper than 64"):
            schema.seal(deep)
    fits: Any = 1
    for _ in range(DEPTH_MAX):
        fits = [fits]
    assert ParamsSchema.load({}).seal(fits) == ANY_PARAMS.seal(fits)
    circle: list[Any] = []
    circle.append(circle)
    refusal_of({"items": {"x-set": True}}, circle)


def test_without_a_schema_any_value_of_the_data_model_is_sealed_and_nothing_else() -> None:
    value = {"a": [b"x", 1.0, {"$bytes": "00"}]}
    assert ANY_PARAMS.seal(value) == encode(value)
    assert (ANY_PARAMS.hash, ANY_PARAMS.data) == (b"", b"")
    with pytest.raises(InvalidInput) as refusal:
        ANY_PARAMS.seal({"a": [1, {"b/c": {1}}]})
    assert refusal.value.facts["pointers"] == ["/a/1/b~1c"]


def test_a_schema_is_kept_as_its_canonical_bytes_and_their_hash() -> None:
    given = {"type": "object", "properties": {"b": {}, "a": {}}}
    schema = ParamsSchema.load(given)
    assert schema.data == encode(given)
    assert schema.hash == hash_schema(schema.data)
    given["type"] = "string"
    assert schema.seal({"a": 1})  # what the caller changes later is not our schema
    assert decode(schema.data)["type"] == "object"
