"""What the strategies call valid is accepted every time, what they call hostile is refused every time."""

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from splittally.core.canonical import decode, decode_plain, encode
from splittally.core.errors import CanonicalError, InvalidInput
from splittally.edge.json_values import parse_json
from splittally.edge.schema.params import ParamsSchema
from splittally_tools.testing import assert_conserved, make_world
from splittally_tools.testing.strategies import (
    amounts,
    economies,
    grants,
    hostile_bytes,
    hostile_json,
    hostile_values,
    intents,
    manifests,
    params,
    receipts,
)

RESOURCES = {"resources": {"EUR": 0, "HOURS": 2, "USD": 1}}
MONEY = {
    **RESOURCES,
    "accounts": {name: {} for name in ("accounts/one", "accounts/two", "vendors/mill", "vendors/port")},
}
UNRECORDED = {"idempotency.conflict"}
few = settings(max_examples=max(1, settings.default.max_examples * 4 // 10))


# --- what is valid ----------------------------------------------------------------------------------


@few
@given(manifests())
def test_every_manifest_is_applied_and_then_changes_nothing(manifest):
    with make_world(manifest) as kernel:
        assert kernel.apply(manifest).seq is None


@few
@given(st.data(), grants(draws=("EUR", "USD")))
def test_every_grant_can_be_issued_and_so_can_one_below_it(data, terms):
    with make_world(MONEY) as kernel:
        assert kernel.native("grant.issue", name="top", terms=terms).allowed
        below = data.draw(grants(terms["cap"], "top", [terms]))
        decision = kernel.native("grant.issue", name="below", grant="top", terms=below)
        missing = {"expired", "kind_not_covered"} & {finding.code for finding in decision.findings}
        assert decision.allowed or (missing and not terms.get("delegations")), decision


@few
@given(manifests(), st.data())
def test_every_intent_is_decided_and_every_receipt_settles(manifest, data):
    with make_world(manifest) as kernel:
        asked = intents(kernel)
        for _ in range(0 if asked.is_empty else 3):
            decision = kernel.submit(data.draw(asked))
            assert decision.seq is not None or {x.code for x in decision.findings} <= UNRECORDED, decision
            if kernel.state.reservations:
                assert kernel.settle(data.draw(receipts(kernel))).status == "settled"
            if decision.allowed:
                settled = kernel.settle(data.draw(receipts(decision)))
                assert settled.status in ("settled", "duplicate")


def test_intents_for_a_manifest_are_those_of_its_world():
    manifest = {"grants": {"g": {"cap": "sys/blob@1"}, "other": {"cap": "sys/blob@1", "holder": "alice"}}}
    kinds = set()

    @few
    @given(intents(manifest))
    def collect(intent):
        kinds.add((intent.kind, intent.grant))

    collect()
    assert kinds == {("blob.put", "g"), ("blob.get", "g")}
    assert intents(manifest, kinds=["llm.generate"]).is_empty


@few
@given(economies())
def test_every_economy_can_be_made_and_its_tasks_are_decided(economy):
    with economy.make() as kernel:
        for task in economy.tasks:
            assert kernel.submit(task).seq is not None
        assert_conserved(kernel)


# --- params from a schema ---------------------------------------------------------------------------

EVEN, TREE = {"$ref": "#/$defs/e"}, {"$ref": "#/$defs/t"}
SCHEMAS = [
    {},
    True,
    {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "boolean"}, "minProperties": 2},
    {"type": "object", "properties": {"a": False, "b": {"const": 1}}, "additionalProperties": False},
    {"type": "object", "required": ["a"], "properties": {"a": {"enum": ["x", 1, None, [1.5]]}}},
    {"type": "array", "items": {"type": "integer", "minimum": 3, "exclusiveMaximum": 7}, "minItems": 2},
    {"type": "array", "uniqueItems": True, "items": {"type": "boolean"}, "maxItems": 2},
    {"type": "array", "x-set": True, "items": {"type": "string"}},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}], "items": False, "minItems": 2},
    {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
    {"type": "array", "items": False},
    {"type": "integer", "multipleOf": 7, "minimum": -20, "maximum": 20},
    {"type": "number", "minimum": 0.5, "maximum": 2},
    {"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 3},
    {"type": "string", "minLength": 2, "maxLength": 3},
    {"type": "string", "pattern": "^[a-f]{3,5}$", "maxLength": 4},
    {"type": ["string", "null"]},
    {"minimum": 4, "type": ["integer", "boolean"]},
    {"properties": {"a": {"type": "null"}}},
    {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 1}]},
    {"oneOf": [{"type": "integer", "minimum": 5}, {"type": "integer", "maximum": 9}]},
    {"properties": {"a": {"type": "integer"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"allOf": [{"type": "integer", "minimum": 2}, {"maximum": 4}, EVEN], "$defs": {"e": {"multipleOf": 2}}},
    {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"left": TREE, "value": {}}}}},
    {"required": ["k"], "properties": {"k": {"x-secret": True}, "b": {"x-bytes": True, "maxLength": 3}}},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_every_value_fits_its_schema(schema):
    loaded = ParamsSchema.load(schema)
    seen = set()

    @settings(max_examples=30)
    @given(params(schema))
    def check(value):
        seen.add(loaded.seal(value))

    check()
    assert seen


@pytest.mark.parametrize(
    ("schema", "word"),
    [({"not": {"type": "null"}}, "not"), ({"properties": {"a": {"contains": True}}}, "contains")],
)
def test_a_keyword_outside_the_subset_is_refused_by_name(schema, word):
    with pytest.raises(InvalidArgument, match=f"`{word}`"):
        params(schema)


# --- what is hostile --------------------------------------------------------------------------------


@given(hostile_bytes())
def test_hostile_bytes_are_never_canonical(data):
    for read in (decode, decode_plain):
        with pytest.raises(CanonicalError):
            read(data)


@given(hostile_json())
def test_hostile_text_is_never_a_document(text):
    with pytest.raises(InvalidInput):
        parse_json(text)


@given(hostile_values())
def test_hostile_values_are_refused_by_the_codec_and_answered_by_a_kernel(value):
    with pytest.raises(CanonicalError):
        encode(value)


# --- shrinking --------------------------------------------------------------------------------------


def test_what_is_found_is_small():
    quick = settings(max_examples=100, database=None)
    found = find(manifests(), lambda manifest: len(manifest["grants"]) > 1, settings=quick)
    cap = found["grants"]["g0"]["cap"]
    assert found["grants"] == {"g0": {"cap": cap}, "g1": {"cap": cap}}
    assert not {"policy", "governor", "resources"} & set(found)
    assert find(amounts(), lambda amount: amount > 5, settings=quick) == 6
