"""The wire schemas say what the records are: same fields, same order, and they refuse anything else."""

import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from cddl_verifier import Validator
from splittally.core import callers, commands, events, findings, topups, types, zones
from splittally.core.budget import rows
from splittally.core.canonical import decode, encode
from splittally.core.evolve import DEFINITIONS
from splittally.core.frames import (
    HOLD_CHANGED_FIELDS,
    KNOWN_FIELDS,
    LIMIT_CROSSED_FIELDS,
    MEMBER_FIELDS,
    RELEASE_FIELDS,
    SETTLE_FIELDS,
    WINDOW_ROLLED_FIELDS,
    body_rows,
)
from splittally.core.rows import GRANT_FIELDS

from tests import golden, golden_bulk
from tests.golden_questions import bodies_of, questions_of

SCHEMAS = Path(__file__).parent.parent / "schemas"
RECORDS = "records-2"  # of the format that is written today
STRUCTS = sorted(
    {
        thing
        for module in (callers, rows, types, topups, zones, commands, events, findings)
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, msgspec.Struct) and thing is not msgspec.Struct
    },
    key=lambda struct: struct.__name__,
)
FIELDS = {
    commands.Known: KNOWN_FIELDS,
    commands.Release: RELEASE_FIELDS,
    commands.Settle: SETTLE_FIELDS,
    events.HoldChanged: HOLD_CHANGED_FIELDS,
    events.LimitCrossed: LIMIT_CROSSED_FIELDS,
    events.WindowRolled: WINDOW_ROLLED_FIELDS,
}
KINDS = [*get_args(commands.Command), *get_args(commands.Evidence), *get_args(events.Event)]


@cache
def validator(name: str) -> Validator:
    return Validator(SCHEMAS / f"{name}.cddl")


@cache
def golden_bodies():
    return bodies_of(golden.stored_frames())


@cache
def golden_questions():
    return questions_of(golden_bodies())


def problems(schema: str, data: bytes, rule: str) -> list[str]:
    result = validator(schema).validate(data, root_type=rule)
    return [] if result.valid else [f"{x.path_text}: {x.message}" for x in result.diagnostics] or ["refused"]


def rule_of(struct: type) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", struct.__name__).lower()


@cache
def array_rules() -> dict[str, list[tuple[str, str]]]:
    """Rule -> the name and type of each field, in order; a tag is a field without a name."""
    text = re.sub(r";.*", "", (SCHEMAS / f"{RECORDS}.cddl").read_text()).replace("\n    / ", " / ")
    rules = {}
    for name, body in re.findall(r"^([\w-]+) = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL):
        lines = [line.strip().rstrip(",") for line in body.splitlines() if line.strip()]
        rules[name] = [
            tuple(line.removeprefix("? ").split(": ", 1)) if ": " in line else ("", line) for line in lines
        ]
    return rules


# --- journals -----------------------------------------------------------------------------------


def test_every_frame_of_the_golden_journal_is_a_frame_of_the_schema():
    for seq, data in enumerate(golden.stored_frames()):
        assert problems(RECORDS, data, "frame") == [], seq


def test_every_frame_of_the_journal_of_format_1_is_one_of_its_schema_and_of_the_next():
    """A released schema is never edited, and a later one admits what it admits."""
    for seq, data in enumerate(golden.stored_frames(golden.RELEASED)):
        assert problems("records", data, "frame") == [], seq
        assert problems(RECORDS, data, "frame") == [], seq


def test_every_frame_of_a_generated_journal_is_a_frame_of_the_schema():
    """The bulk run meets shapes that nobody wrote down; one frame in four is enough and stays quick."""
    world = golden_bulk.play(golden.new_world("bulk"), 64)
    for data in golden.frames_of(world)[1::4]:
        assert problems(RECORDS, data, "frame") == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_record_occurs_in_the_golden_journal(kind):
    assert any(isinstance(record, kind) for body in golden_bodies() for record in records_in(body))


def records_in(body):
    return [body.command, *body.seen, *body.out]


def test_definitions_in_the_golden_journal_are_of_their_table():
    rules = {
        "accounts": "account-def", "adapters": "adapter-def", "bearers": "token", "budgets": "budget-def",
        "caps": "cap-def", "consumed": "consumed-intent", "digests": "digest",
        "proposals": "proposal",
        "effects": "effect-def", "governor": "governor-def", "lenders": "lender", "modules": "module",
        "manifests": "manifest-modules", "principals": "principal", "resources": "resource-def",
        "rules": "rules", "spent": "governor-spent", "stated": "stated", "topups": "top-up", "zones": "zone",
    }  # fmt: skip
    assert set(rules) == {*DEFINITIONS, "spent"}
    seen = set()
    for body in golden_bodies():
        for event in body.out:
            if isinstance(event, events.Defined) and event.table in rules and event.value:
                seen.add(event.table)
                assert problems(RECORDS, event.value, rules[event.table]) == []
    assert seen == set(rules)


# --- the schema refuses -------------------------------------------------------------------------


def example(kind: type) -> list[Any]:
    """The rows of the first record of this kind in the golden journal."""
    found = next(
        record for body in golden_bodies() for record in records_in(body) if isinstance(record, kind)
    )
    rows: list[Any] = msgspec.to_builtins(found, builtin_types=(bytes,))
    if kind is events.GrantSet:
        rows[1] = rows[1][:GRANT_FIELDS]
    if kind is commands.Submit:
        rows[2] = [member[:MEMBER_FIELDS] for member in rows[2]]
    return rows[: FIELDS.get(kind, len(rows))]  # as it is written where what came later says nothing


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_record_with_a_field_too_few_or_too_many_or_another_tag_is_refused(kind):
    rows, rule = example(kind), rule_of(kind)
    assert problems(RECORDS, encode(rows), rule) == []
    assert problems(RECORDS, encode(rows[:-1]), rule)
    assert problems(RECORDS, encode([*rows, 0]), rule)
    assert problems(RECORDS, encode([99, *rows[1:]]), rule)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("seq", -1),
        ("prev", bytes(31)),
        ("body", [3, 0, "", [5, 1], [], []]),
        ("body", [1, 0, "", [9], [], []]),
    ],
)
def test_a_frame_with_a_wrong_field_is_refused(field, wrong):
    frame = {"seq": 0, "prev": bytes(32), "body": body_rows(0, "", commands.Tick(1), [], [])}
    assert problems(RECORDS, encode(list(frame.values())), "frame") == []
    assert problems(RECORDS, encode(list({**frame, field: wrong}.values())), "frame")


@pytest.mark.req("S4-98")
def test_a_grants_budget_is_a_map_of_naturals_or_absent():
    def grant(budget):
        return encode([*rows[:3], budget, *rows[4:]])

    rows = example(events.GrantSet)[1]
    for budget in (None, {}, {"tokens": 100, "bytes": 0}, {"tokens": 2**64 - 1}):
        assert problems(RECORDS, grant(budget), "grant") == []
    for budget in ([], {"tokens": -1}, {"tokens": 1.5}, {"tokens": "10"}, "tokens"):
        assert problems(RECORDS, grant(budget), "grant")


# --- the schema and the types cannot drift --------------------------------------------------------


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_a_records_fields_stand_in_the_order_of_the_schema(struct):
    config = struct.__struct_config__
    assert config.array_like
    assert config.frozen
    fields = list(array_rules()[rule_of(struct)])
    if config.tag is not None:
        assert fields.pop(0) == ("", str(config.tag))
    assert [name for name, _ in fields] == list(struct.__struct_fields__)
    hints = get_type_hints(struct)
    for name, cddl in fields:
        assert cddl_types(cddl) == python_types(hints[name]), f"{struct.__name__}.{name}"


def test_every_array_of_the_schema_is_a_record():
    assert set(array_rules()) - {"frame", "body"} == {rule_of(struct) for struct in STRUCTS}


def python_types(hint: Any) -> set[str]:
    if get_origin(hint) is UnionType:
        return set().union(*map(python_types, get_args(hint)))
    plain = {int: "int", str: "text", bytes: "bytes", bool: "bool", type(None): "null"}
    if hint in plain:
        return {plain[hint]}
    return {"map"} if get_origin(hint) is dict else {"array"}


PLAIN = {"uint": "int", "int": "int", "tstr": "text", "bstr": "bytes", "bool": "bool", "null": "null"}


def cddl_types(expression: str) -> set[str]:
    """The major types that an expression of records.cddl admits."""
    found: set[str] = set()
    for part in re.split(r" / (?![^\[]*\])", expression):
        part = part.split(" .size")[0].strip()
        aliases = {
            "uint": "int",
            "int": "int",
            "tstr": "text",
            "bstr": "bytes",
            "bool": "bool",
            "null": "null",
        }
        if part in aliases:
            found.add(aliases[part])
        elif part[0] in '"hi[{' and not part[0].isalpha():
            found.add({'"': "text", "[": "array", "{": "map"}[part[0]])
        elif part == "h''":
            found.add("bytes")
        elif re.fullmatch(r"\d+(\.\.\d+)?", part):  # a number or a range
            found.add("int")
        elif part in array_rules():
            found.add("array")
        else:
            found |= cddl_types(named_rules()[part])
    return found


@cache
def named_rules() -> dict[str, str]:
    text = re.sub(r" *;.*", "", (SCHEMAS / f"{RECORDS}.cddl").read_text())
    return dict(re.findall(r"^([\w-]+) = ([^\[\n].*)$", text, re.MULTILINE))


# --- the enforcer's messages ----------------------------------------------------------------------

CHECK_KEYS = {
    "cap_def",
    "grant_name",
    "cap_params",
    "effect_kind",
    "effect_params",
    "origin",
    "logical_now_ns",
}


@pytest.mark.req("S4-13", "S4-23")
def test_every_question_and_answer_of_the_golden_journal_is_a_message_of_the_abi():
    shown = set()
    for asked in golden_questions():
        ((variant, body),) = decode(asked.data).items()
        more = {"intent_hash", "reserve_estimate", "receipt"} if variant == "Settle" else set()
        assert set(body) == CHECK_KEYS | more
        assert problems("abi", asked.data, "CapEnforcerInput") == []
        if not asked.fault:
            assert list(decode(asked.answer)) == [variant]
            assert problems("abi", asked.answer, "CapEnforcerOutput") == []
        shown.add((variant, asked.fault))
    assert shown == {("Check", ""), ("Check", "over_limit"), ("Settle", ""), ("Settle", "over_limit")}


@pytest.mark.req("S4-25")
@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("intent_hash",), bytes(31)),
        (("cap_def",), "llm basic"),
        (("origin", "kind"), "user"),
        (("logical_now_ns",), -1),
        (("effect_params",), b"\xff"),
        (("receipt", "cost_cents"), -1),
        (("receipt", "status"), "maybe"),
        (("reserve_estimate",), {"tokens": -1}),
        (("limit",), 1),
    ],
)
def test_a_settle_with_a_wrong_field_is_no_message(path, wrong):
    good = next(x.data for x in golden_questions() if list(decode(x.data)) == ["Settle"])
    message = decode(good)
    place = message["Settle"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = wrong
    assert problems("abi", encode(message), "CapEnforcerInput")


@pytest.mark.req("S4-13")
@pytest.mark.parametrize("key", sorted(CHECK_KEYS))
def test_a_check_without_one_of_its_keys_is_no_message(key):
    message = decode(next(x.data for x in golden_questions() if list(decode(x.data)) == ["Check"]))
    del message["Check"][key]
    assert problems("abi", encode(message), "CapEnforcerInput")


@pytest.mark.parametrize(
    ("answer", "is_message"),
    [
        ({"Check": {"constraints_ok": True, "reserve_estimate": {}}}, True),
        ({"Check": {"constraints_ok": True, "reserve_estimate": {"tokens": 2**64 - 1}}}, True),
        ({"Check": {"constraints_ok": True}}, False),
        ({"Check": {"constraints_ok": True, "reserve_estimate": {"tokens": -1}}}, False),
        ({"Check": {"constraints_ok": False, "reserve_estimate": {}}}, False),
        ({"Settle": {"usage": {}}}, True),
        ({"Settle": {"usage": {}, "violation": {"code": "c", "message": ""}}}, True),
        ({"Settle": {"usage": {}, "violation": {"code": "", "message": ""}}}, False),
        ({"Settle": {}}, False),
        ({"Ask": {}}, False),
    ],
)
def test_the_schema_of_answers_is_that_of_the_kernel(answer, is_message):
    assert (problems("abi", encode(answer), "CapEnforcerOutput") == []) == is_message


@pytest.mark.req("S4-99")
def test_the_schemas_of_check_and_settle_list_reserve_and_usage_and_their_hashes_are_kept():
    text = (SCHEMAS / "abi.cddl").read_text()
    for rule, field in (("CapCheckOutput", "reserve_estimate"), ("CapSettleOutput", "usage")):
        assert field in text.split(f"{rule} = {{")[1].split("\n}")[0]
    kept = golden.read_vectors("schemas")
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in SCHEMAS.glob("*.cddl")} == kept


FORMS = {  # of RFC 8610, which a tool that somebody may use cannot read; and what says the same
    "an empty byte string": (r"h''|''", "bstr .size 0"),
    "a number below zero": (r"(?<![\w-])-\d", "a comment"),
    "`nint`": (r"\bnint\b", "int"),
    "the size of a number": (r"\bu?int \.size", "a range"),
    "a choice as a key": (r"\([^()\n]*(?:\([^()\n]*\))?[^()\n]*\) =>", "a rule of its own"),
    "a pattern as a key": (r"\.regexp[^,\n]*=>", "a rule of its own"),
    "at most so many": (r"(?<![\d*])\*\d", "0*N"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["abi", "intent", "receipt", RECORDS])
def test_the_schemas_use_only_forms_that_independent_tools_read(name, form):
    """Format 1 is frozen and keeps one of them, an empty byte string."""
    pattern, instead = FORMS[form]
    text = re.sub(r";.*", "", (SCHEMAS / f"{name}.cddl").read_text())
    text = re.sub(r'"[^"\n]*"', '"text"', text)
    assert not re.findall(pattern, text), f"{form}: write {instead}"


def test_format_1_and_format_2_mean_the_same_by_a_hash_or_none():
    for value, is_one in ((b"", True), (bytes(32), True), (b"\0", False), (bytes(31), False), ("", False)):
        for name in ("records", RECORDS):
            assert (problems(name, encode(value), "hash-or-none") == []) == is_one
