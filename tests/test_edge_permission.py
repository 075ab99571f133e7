"""A permission given as JSON Schema: what it compiles to and what it refuses."""

import json
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.errors import InvalidInput
from splittally.edge.permission import PERMISSION_BYTES_MAX, compile_permission

SCALES = {"USD": 2, "API-Credits": 0, "GPU-Hours": 3, "Wei": 18}
TEXT = """{"description":"For Online Ad Campaigns, allowing spend in USD and API Credits.","type":"object",
"properties":{"USD":{"type":"number","minimum":0,"maximum":50000,"description":"… (target 20% of parent)."},
"API-Credits":{"type":"number","maximum":1000000,"description":"…"}}}"""
EXAMPLE = json.loads(TEXT)
NATURAL_MAX = 2**64 - 1


def limit_of(rule: dict[str, Any], resource: str = "USD") -> int | None:
    return compile_permission({"properties": {resource: rule}}, SCALES).limits.get(resource)


@pytest.mark.req("S0-165")
def test_the_example_compiles_to_limits_in_minor_units() -> None:
    permission = compile_permission(EXAMPLE, SCALES)
    assert permission.limits == {"USD": 5_000_000, "API-Credits": 1_000_000}
    assert permission.resources == ["API-Credits", "USD"]
    assert json.loads(permission.text) == EXAMPLE
    shuffled = {key: EXAMPLE[key] for key in reversed(EXAMPLE)}
    assert compile_permission(shuffled, SCALES).text == permission.text


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        ({}, None),
        ({"type": "integer", "minimum": -5, "title": "t", "$comment": "c"}, None),
        ({"maximum": 0}, 0),
        ({"maximum": -0.0}, 0),
        ({"maximum": 50000.5}, 5_000_050),
        ({"maximum": 0.29}, 29),  # 0.29 * 100 is 28.999… in binary
        ({"maximum": 1.119}, 111),
        ({"exclusiveMaximum": 1.119}, 111),
        ({"exclusiveMaximum": 1.11}, 110),
        ({"exclusiveMaximum": 1}, 99),
        ({"exclusiveMaximum": 0.001}, 0),
        ({"maximum": 5, "exclusiveMaximum": 5}, 499),
        ({"maximum": 5, "exclusiveMaximum": 6}, 500),
        ({"maximum": NATURAL_MAX // 100}, NATURAL_MAX // 100 * 100),
    ],
)
def test_a_maximum_is_whole_units_rounded_down_to_minor_ones(rule: dict[str, Any], limit: int | None) -> None:
    assert limit_of(rule) == limit


def test_a_limit_may_be_as_large_as_an_amount_and_no_larger() -> None:
    assert limit_of({"maximum": NATURAL_MAX}, "API-Credits") == NATURAL_MAX
    assert limit_of({"exclusiveMaximum": NATURAL_MAX + 1}, "API-Credits") == NATURAL_MAX
    for rule in ({"maximum": NATURAL_MAX + 1}, {"maximum": 1e308}, {"exclusiveMaximum": NATURAL_MAX + 2}):
        with pytest.raises(InvalidInput, match=r"2\^64-1 minor units"):
            limit_of(rule, "API-Credits")


@given(
    number=st.one_of(st.integers(0, 10**12), st.floats(0, 1e12)),
    resource=st.sampled_from(["USD", "API-Credits", "GPU-Hours"]),
)
def test_a_limit_is_what_decimal_arithmetic_gives(number: int | float, resource: str) -> None:
    minor = Decimal(repr(number)).scaleb(SCALES[resource])
    assert limit_of({"maximum": number}, resource) == int(minor.to_integral_value(ROUND_FLOOR))
    below = int(minor.to_integral_value(ROUND_CEILING)) - 1
    if below >= 0:
        assert limit_of({"exclusiveMaximum": number}, resource) == below


@pytest.mark.parametrize(
    ("rule", "keyword"),
    [
        ({"maximum": -1}, "maximum"),
        ({"maximum": -0.001}, "maximum"),
        ({"exclusiveMaximum": 0}, "exclusiveMaximum"),
        ({"exclusiveMaximum": True}, "exclusiveMaximum"),
        ({"maximum": "50000"}, "maximum"),
        ({"maximum": float("inf")}, "maximum"),
        ({"maximum": float("nan")}, "maximum"),
        ({"maximum": None}, "maximum"),
        ({"minimum": 1}, "minimum"),
        ({"minimum": 0.001}, "minimum"),
        ({"exclusiveMinimum": 0}, "exclusiveMinimum"),
        ({"multipleOf": 5}, "multipleOf"),
        ({"enum": [1]}, "enum"),
        ({"default": 1}, "default"),
        ({"type": "string"}, "type"),
        ({"type": ["number"]}, "type"),
        ({"description": 5}, "description"),
    ],
)
def test_what_a_property_cannot_say_is_refused_by_name(rule: dict[str, Any], keyword: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        limit_of(rule)
    assert f"`{keyword}`" in str(refused.value)
    assert "`USD`" in str(refused.value)
    assert (refused.value.facts["keyword"], refused.value.facts["property"]) == (keyword, "USD")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"required": ["USD"]}, "`required`"),
        ({"maximum": 5}, "`maximum`"),
        ({"patternProperties": {}}, "`patternProperties`"),
        ({"type": "number"}, "`type`"),
        ({"additionalProperties": {"type": "number"}}, "`additionalProperties`"),
        ({"properties": {}}, "`properties`"),
        ({"properties": {"EUR": {}}}, "`EUR`"),
        ({"properties": {"USD": True}}, "`USD`"),
        ({"properties": {5: {}}}, "`5`"),
        ({"title": None}, "`title`"),
        ({"description": "d" * PERMISSION_BYTES_MAX}, "bytes"),
    ],
)
def test_what_a_permission_cannot_say_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        compile_permission(EXAMPLE | change, SCALES)


@pytest.mark.parametrize("schema", [None, 5, [], "x", True])
def test_a_permission_is_a_schema_of_an_object(schema: Any) -> None:
    with pytest.raises(InvalidInput):
        compile_permission(schema, SCALES)


@pytest.mark.parametrize("additional", [True, False])
def test_additional_properties_change_nothing(additional: bool) -> None:
    changed = compile_permission(EXAMPLE | {"additionalProperties": additional}, SCALES)
    assert changed[:2] == compile_permission(EXAMPLE, SCALES)[:2]
