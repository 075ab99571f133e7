"""Schemas are refused when they are loaded: nothing outside is opened, nothing is silently ignored."""

import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from splittally.core.errors import InvalidInput, InvalidSchema
from splittally.edge.schema.bounds import SCHEMA_REACH_MAX, SCHEMA_VISITS_MAX
from splittally.edge.schema.params import SCHEMA_BYTES_MAX, ParamsSchema

SETS = {"x-set": True}
BYTES = {"x-bytes": True}
TO_ANY = {"$ref": "#/$defs/a", "$defs": {"a": {}}}
TO_BYTES = {"$ref": "#/$defs/a", "$defs": {"a": BYTES}}
BESIDE = {"a": {"allOf": [{"$ref": "#/$defs/b", "properties": {"c": SETS}}]}, "b": {}}
TO_NAMES = {"$ref": "#/dependencies/a"}

REFUSED: list[tuple[str, Any, str]] = [
    ("no schema", None, "a map, true or false"),
    ("a list", [], "a map, true or false"),
    ("a number", 1, "a map, true or false"),
    ("a keyword of a wrong type", {"type": "text"}, "not a JSON Schema"),
    ("a bound that is text", {"properties": {"a": {"minimum": "1"}}}, "not a JSON Schema"),
    ("an old form of items", {"items": [{}]}, "not a JSON Schema"),
    ("an integer beyond the data model", {"minimum": 2**100}, "integer outside"),
    ("not-a-number", {"minimum": float("nan")}, "not-a-number"),
    ("bytes", {"const": b"x"}, "not a JSON Schema"),
    ("a key that is not text", {1: 1}, "map keys are text"),
    ("a tuple", {"enum": (1,)}, "outside the data model"),
    ("a pattern that looks ahead", {"pattern": "(?=a)b"}, "regex"),
    ("a pattern with a back reference", {"pattern": r"(a)\1"}, "regex"),
    ("a pattern that explodes", {"pattern": "(a{1000}){1000}"}, "regex"),
    ("a pattern of keys that looks behind", {"patternProperties": {"(?<=a)b": {}}}, "regex"),
    ("another dialect", {"$schema": "http://json-schema.org/draft-07/schema#"}, "`$schema` is"),
    ("an unknown dialect", {"$schema": "http://127.0.0.1:9/meta"}, "`$schema` is"),
    ("another dialect inside", {"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}, ""),
    ("an identifier inside", {"$defs": {"a": {"$id": "http://a/b"}}}, "only the whole document"),
    ("a dynamic reference", {"$dynamicRef": "#a", "$dynamicAnchor": "a"}, "`$dynamicRef` is not read"),
    ("a recursive reference", {"$recursiveRef": "#"}, "`$recursiveRef` is not read"),
    ("a reference to nothing", {"$ref": "#/$defs/a"}, "does not exist"),
    ("a reference to no anchor", {"$ref": "#a"}, "does not exist"),
    ("a reference to what is no subschema", {"$ref": "#/$defs", "$defs": {"a": {}}}, "no subschema"),
    ("a reference into a constant", {"$ref": "#/const", "const": {}}, "no subschema"),
    ("a reference to names", {"dependencies": {"a": ["b"]}, "$defs": {"c": TO_NAMES}}, "no subschema"),
    ("a reference into an unknown keyword", {"$ref": "#/mine", "mine": {}}, "no subschema"),
    ("a reference to an anchor", {"$ref": "#a", "$defs": {"a": {"$anchor": "a"}}}, "by JSON pointer"),
    ("a reference to itself", {"$ref": "#"}, "leads back"),
    ("a circle of references", {"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#"}}}}, "leads back"),
    ("an unknown x- keyword", {"properties": {"a": {"x-secrets": True}}}, "no keyword `x-secrets`"),
    ("an x- keyword that is no claim", {"x-set": 1}, "true or false"),
    ("a set with positions", {"x-set": True, "prefixItems": [{}]}, "no place beside `x-set`"),
    ("a secret with a pattern", {"x-secret": True, "pattern": "a"}, "no place beside `x-secret`"),
    ("a secret with a default shape", {"x-secret": True, "properties": {}}, "no place beside `x-secret`"),
    ("a secret that is a number", {"x-secret": True, "type": "integer"}, "is object or absent"),
    ("bytes with an enumeration", {"x-bytes": True, "enum": ["a"]}, "no place beside `x-bytes`"),
    ("bytes and a secret", {"x-bytes": True, "x-secret": True}, "no place beside `x-secret`"),
    ("a set of secrets in one place", {"x-set": True, "x-secret": True}, "no place beside `x-secret`"),
    ("a set that is bytes", {"x-set": True, "x-bytes": True}, "no place beside `x-bytes`"),
    ("bytes and a secret by $ref", {**TO_BYTES, "x-secret": True}, "no place beside `x-secret`"),
    ("a pattern beside a way to bytes", {**TO_BYTES, "pattern": "a"}, "`pattern` has no place"),
    ("properties beside $ref", {**TO_ANY, "properties": {}}, "`properties` beside `$ref`"),
    ("items beside $ref", {**TO_ANY, "items": {}}, "two structures"),
    ("prefixItems beside $ref", {**TO_ANY, "prefixItems": [{}]}, "two structures"),
    ("no more keys beside $ref", {**TO_ANY, "additionalProperties": False}, "two structures"),
    ("a set beside $ref", {**TO_ANY, **SETS}, "`x-set` beside `$ref`"),
    ("items beside $ref in a definition", {"not": {"$defs": {"a": {**TO_ANY, "items": {}}}}}, "two struct"),
    ("bytes that nothing leads to", {"$defs": {"a": {**BYTES, "pattern": "a"}}}, "`pattern` has no place"),
    ("a set under allOf", {"allOf": [SETS]}, "counts only where"),
    ("a set under anyOf", {"anyOf": [{"properties": {"a": SETS}}]}, "counts only where"),
    ("a set under oneOf", {"oneOf": [SETS]}, "counts only where"),
    ("a set under not", {"not": SETS}, "counts only where"),
    ("a set under if", {"if": SETS}, "counts only where"),
    ("a set under then", {"if": {}, "then": SETS}, "counts only where"),
    ("a set under else", {"if": {}, "else": SETS}, "counts only where"),
    ("a set under dependentSchemas", {"dependentSchemas": {"a": SETS}}, "counts only where"),
    ("a set under patternProperties", {"patternProperties": {"a": SETS}}, "counts only where"),
    ("a set beside a pattern", {"patternProperties": {"a": {}}, "additionalProperties": SETS}, "counts only"),
    ("a set under propertyNames", {"propertyNames": SETS}, "counts only where"),
    ("a set under contains", {"contains": SETS}, "counts only where"),
    ("a set under unevaluatedItems", {"unevaluatedItems": SETS}, "counts only where"),
    ("a set under unevaluatedProperties", {"unevaluatedProperties": SETS}, "counts only where"),
    ("a set under contentSchema", {"contentSchema": SETS}, "counts only where"),
    ("bytes by way of anyOf", {"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": BYTES}}, "counts only where"),
    ("bytes under what $ref leads to", {"$ref": "#/$defs/a", "$defs": {"a": {"not": BYTES}}}, "counts only"),
    ("bytes by way of a circle", {"properties": {"a": BYTES, "b": {"not": {"$ref": "#"}}}}, "counts only"),
    ("a set beside $ref in a constraint", {"$defs": BESIDE}, "counts only where"),
    ("bytes by way of a pattern", {"patternProperties": {"a": {"items": BYTES}}}, "counts only where"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "why"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_schema_that_would_mean_something_else_is_refused(schema: Any, why: str) -> None:
    with pytest.raises(InvalidSchema) as refusal:
        ParamsSchema.load(schema)
    assert why in str(refusal.value)
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 600


def test_a_keyword_out_of_place_is_named_with_its_place_and_with_the_constraint_that_leads_there() -> None:
    node = {"properties": {"to": {"$ref": "#/$defs/a%20b~1"}}}
    schema = {"properties": {"x": {"anyOf": [{}, node]}}, "$defs": {"a b/": SETS}}
    with pytest.raises(InvalidSchema) as refusal:
        ParamsSchema.load(schema)
    assert refusal.value.facts["pointer"] == "/$defs/a b~1"
    assert all(
        f"`{word}`" in str(refusal.value) for word in ("#/$defs/a b~1", "x-set", "#/properties/x/anyOf")
    )


def test_a_circle_is_named_where_it_closes_and_not_where_something_leads_to_it() -> None:
    schema = {"not": {"$ref": "#/$defs/a"}, "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}
    with pytest.raises(InvalidSchema, match="leads back for the same value") as refusal:
        ParamsSchema.load(schema)
    assert refusal.value.facts["pointer"] in ("/$defs/a", "/$defs/a/not")


def test_an_x_keyword_in_data_or_as_a_name_is_no_keyword() -> None:
    for schema in (
        {"const": {"x-set": 1}},
        {"default": {"x-foo": 1}},
        {"properties": {"x-set": {"type": "integer"}, "x-foo": {}}},
        {"$defs": {"x-bar": {"x-set": True}}},
        {"mine": {"x-set": 1}},
    ):
        ParamsSchema.load(schema)


def test_beside_a_reference_structure_may_stand_where_it_only_constrains() -> None:
    for beside in ({"properties": {"a": {"type": "integer"}}}, {"additionalProperties": {"type": "integer"}}):
        schema = ParamsSchema.load({"allOf": [{**beside, "$ref": "#/$defs/a"}], "$defs": {"a": {}}})
        assert schema.seal({"a": 1})
        with pytest.raises(InvalidInput):
            schema.seal({"a": "x"})


FILE_AND_NET = """
import sys
from splittally.core.errors import InvalidSchema
from splittally.edge.schema.params import ParamsSchema
file, port = sys.argv[1:]
net = f"http://127.0.0.1:{port}/schema"
here = f"127.0.0.1:{port}"
refused = 0
for uri in (f"file://{file}", file, net, f"{net}#/$defs/a", f"//{here}", f"ftp://{here}/", "schema.json"):
    for schema in (
        {"$ref": uri}, {"properties": {"a": {"$ref": uri}}}, {"not": {"$ref": uri}},
        {"$defs": {"a": {"$ref": uri}}}, {"$ref": "#/a", "a": {"$ref": uri}}, {"$dynamicRef": uri},
        {"$schema": uri}, {"$id": uri, "$schema": uri}, {"$vocabulary": {uri: True}, "$schema": uri},
        {"$id": uri, "$ref": "other"}, {"items": {"$id": uri, "$ref": "x"}},
    ):
        try:
            ParamsSchema.load(schema)
        except InvalidSchema:
            refused += 1
print(refused)
"""


def test_no_reference_opens_a_file_or_a_connection(tmp_path: Path) -> None:
    """The file is a pipe without a writer: opening it would wait for ever. The socket listens and counts."""
    pipe = tmp_path / "schema.json"
    os.mkfifo(pipe)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        arguments = [sys.executable, "-c", FILE_AND_NET, str(pipe), port]
        run = subprocess.run(arguments, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert (run.returncode, run.stdout, run.stderr) == (0, "77\n", "")
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


def chain(length: int) -> dict[str, Any]:
    links: dict[str, Any] = {f"a{at}": {"$ref": f"#/$defs/a{at + 1}"} for at in range(length - 2)}
    return {"$ref": "#/$defs/a0", "$defs": links | {f"a{length - 2}": {}}}


def choice(size: int) -> dict[str, Any]:
    return {"oneOf": [True] * size}


def doubled(levels: int) -> dict[str, Any]:
    links: dict[str, Any] = {
        f"a{at}": {"allOf": [{"properties": {"x": {"$ref": f"#/$defs/a{at + 1}"}}}] * 2}
        for at in range(levels)
    }
    return {"$ref": "#/$defs/a0", "$defs": links | {f"a{levels}": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (chain, SCHEMA_REACH_MAX),
        (lambda size: {"title": "a" * (size - 12)}, SCHEMA_BYTES_MAX),
        (lambda size: {"anyOf": [True] * (size - 1), "not": False}, SCHEMA_VISITS_MAX),
        (lambda size: {"anyOf": [{"properties": dict.fromkeys("ab", choice(size - 2))}]}, SCHEMA_VISITS_MAX),
    ],
    ids=["references one after the other", "bytes", "constraints", "constraints on one of two properties"],
)
def test_each_bound_of_a_schema_admits_its_number_and_refuses_one_more(make: Any, most: int) -> None:
    for size in (most - 1, most):
        ParamsSchema.load(make(size))
    with pytest.raises(InvalidSchema):
        ParamsSchema.load(make(most + 1))


def test_a_schema_that_doubles_its_work_with_every_line_is_refused() -> None:
    """The validator visits one value once for each path that leads to it: 2^30 paths would be 13 s."""
    assert 2**9 < SCHEMA_VISITS_MAX < 2**20
    ParamsSchema.load(doubled(9))
    with pytest.raises(InvalidSchema, match="too many subschemas"):
        ParamsSchema.load(doubled(20))
    tree = {f"a{at}": {"properties": {k: {"$ref": f"#/$defs/a{at + 1}"} for k in "xy"}} for at in range(25)}
    ParamsSchema.load({"$ref": "#/$defs/a0", "$defs": tree | {"a25": {}}})  # wide is not deep


def doubled_back(levels: int) -> dict[str, Any]:
    """Each definition applies the next twice and leads back to the one before it."""
    links: dict[str, Any] = {}
    for at in range(levels + 1):
        below = {"type": "integer"} if at == levels else {"$ref": f"#/$defs/a{99 - at - 1}"}
        ways = [{"properties": {"x": below}}, {"properties": {"x": below}}]
        back = [{"properties": {"y": {"$ref": f"#/$defs/a{99 - at + 1}"}}}] if at else []
        links[f"a{99 - at}"] = {"allOf": ways + back}
    return {"$ref": "#/$defs/a99", "$defs": links}


@pytest.mark.parametrize("levels", [8, 16, 24, 60])
def test_a_schema_that_leads_back_takes_what_costs_little_and_refuses_the_rest(levels: int) -> None:
    """The validator forgets what it found where a circle is entered elsewhere: 24 levels take 16 s."""
    schema = ParamsSchema.load(doubled_back(levels))
    value: Any = 1
    for _ in range(levels + 1):
        value = {"x": value}
    started = time.process_time()
    if levels == 8:
        schema.seal(value)
    else:
        with pytest.raises(InvalidInput, match="nests too deep"):
            schema.seal(value)
    schema.seal({"x": {"x": 1}})
    assert time.process_time() - started < 5


@pytest.mark.parametrize("kinds", [1, 3, 20])
def test_a_union_of_kinds_that_hold_one_another_takes_values_as_deep_as_any(kinds: int) -> None:
    node = {"$ref": "#/$defs/node"}
    choices = [{"properties": {"kind": {"const": at}, "child": node}} for at in range(kinds)]
    schema = ParamsSchema.load({"$defs": {"node": {"anyOf": [*choices, {"type": "null"}]}}, **node})
    value: Any = None
    for level in range(60):
        value = {"kind": level % kinds, "child": value}
    assert schema.seal(value)


@pytest.mark.parametrize("kinds", [6, 12])
def test_kinds_that_each_spell_out_all_others_take_shallow_values(kinds: int) -> None:
    union = {"anyOf": [{"$ref": f"#/$defs/k{at}"} for at in range(kinds)]}
    links = {f"k{at}": {"properties": {"kind": {"const": at}, "child": union}} for at in range(kinds)}
    schema = ParamsSchema.load({"$defs": links, **union})
    value: Any = {"kind": 0}
    for _ in range(3):
        value = {"kind": 1, "child": value}
        assert schema.seal(value)
    for _ in range(30):
        value = {"kind": 1, "child": value}
    with pytest.raises(InvalidInput, match="nests too deep"):
        schema.seal(value)


def test_an_unfit_value_under_nested_choices_is_refused_in_bounded_time() -> None:
    """The validator's own list of errors doubles with every level: 16 levels took 20 s and 3 GB."""
    node = {"$ref": "#/$defs/n"}
    choices = [{"type": "object", "properties": {"x": node, "kind": {"const": kind}}} for kind in "abc"]
    schema = ParamsSchema.load({"$defs": {"n": {"anyOf": [*choices, {"type": "integer"}]}}, **node})
    value: Any = "unfit"
    for _ in range(40):
        value = {"x": value, "kind": "a"}
    started = time.monotonic()
    with pytest.raises(InvalidInput):
        schema.seal(value)
    assert time.monotonic() - started < 10


def test_a_large_unfit_value_under_a_choice_is_refused_in_bounded_time() -> None:
    """The validator's own error holds one for each item and branch: 250,000 items took 10 s and 1 GB."""
    branches = [{"items": {"type": "integer"}}, {"items": {"type": "number"}}, {"items": {"maxLength": 0}}]
    schema = ParamsSchema.load({"properties": {"a": {"anyOf": branches}}})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidInput) as refusal:
        schema.seal({"a": ["x"] * 250_000})
    assert (refusal.value.facts["pointers"], refusal.value.facts["reasons"]) == (
        ["/a"],
        ["does not fit `anyOf`"],
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_patterns_run_in_linear_time() -> None:
    schema = ParamsSchema.load(
        {"pattern": "^(a+)+$", "patternProperties": {"^(b|b)*$": {"pattern": "(x+x+)+y"}}}
    )
    started = time.monotonic()
    with pytest.raises(InvalidInput):
        schema.seal("a" * 60_000 + "!")
    schema.seal({"b" * 60_000 + "!": "x" * 60_000})
    assert time.monotonic() - started < 10
