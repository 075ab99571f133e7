"""The same enforcer written in each language gives the same bytes to the same question, whatever it is.

`REWRITE_CASES=1 pytest tests/test_sdk_answers.py` writes what the modules answer; review the diff.
"""

import os
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splittally.core.abi import CheckVerdict, Fault, SettleVerdict, read_check, read_settle
from splittally.core.canonical import encode
from splittally_enforcers.conformance import differences, encode_input, read_cases
from splittally_enforcers.toolchains import LANGUAGES, SDK

from tests.sdk_modules import (
    FOLDER,
    INPUT_BYTES_SDK_MAX,
    loose_values,
    module,
    sandbox,
    the_answer,
)
from tests.test_enforcers_abi import (
    NATURAL_MAX,
    TYPICAL_FUEL_MAX,
    assert_fit,
    check_body,
    settle_body,
    words,
)
from tests.test_enforcers_cases import codes_of, rewrite

ENFORCERS = ("every", "mail")
CASES = [(name, file) for name in ENFORCERS for file in read_cases(FOLDER / name)]
KINDS = ["every.read", "every.look", "mail.send", "mail.sent"]


@pytest.mark.parametrize(("name", "file"), CASES)
def test_a_case_is_answered_as_it_says_in_every_language(name: str, file: str) -> None:
    case = read_cases(FOLDER / name)[file]
    answer = the_answer(name, encode_input(case["input"]))
    assert isinstance(answer, bytes)
    if os.environ.get("REWRITE_CASES"):
        rewrite(FOLDER / name / "cases" / file, answer)
    else:
        assert differences(case, answer) == []


def test_every_code_of_the_sources_has_a_case() -> None:
    for name in ENFORCERS:
        source = (FOLDER / name / "enforcer.wat").read_text()
        codes = set(re.findall(r'\$tally\.refuse \(@text "(\w+)"\)', source))
        shown = set().union(*map(codes_of, read_cases(FOLDER / name).values()))
        shared = {"cap_params_invalid", "params_invalid", "receipt_unreadable"}
        assert shown == codes | shared | {"effect_kind_mismatch", "usage_exceeds_reserve"}


# --- generated questions ------------------------------------------------------------------------------

READ = (
    "amounts boolean copies deep domain domains inner item map natural naturals note sent text texts x- x-a"
)
names = st.sampled_from(words(READ)) | st.text(max_size=4)
naturals = st.integers(0, NATURAL_MAX) | st.sampled_from([0, 1, NATURAL_MAX, NATURAL_MAX - 1, 2**63])
texts = st.sampled_from(["a", "b", "ab", ""]) | st.text(max_size=70)
atoms = st.one_of(
    naturals,
    st.integers(-(2**63), -1),
    texts,
    st.binary(max_size=3),
    st.booleans(),
    st.none(),
    st.floats(-1, 1),
)
amounts = st.dictionaries(
    st.sampled_from(["usd", "eur", "natural", "cost", "deep"]) | st.text(max_size=3), naturals
)
values = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=8
)
inners = st.fixed_dictionaries({"deep": naturals}, optional={"note": texts | atoms})
FITTING = {
    "amounts": amounts,
    "boolean": st.booleans(),
    "copies": naturals,
    "deep": naturals,
    "domain": texts,
    "domains": st.lists(texts, max_size=6),
    "inner": inners,
    "item": values,
    "items": st.lists(values, max_size=4),
    "map": st.dictionaries(names, values, max_size=3) | st.fixed_dictionaries({"inner": inners}),
    "maybe": naturals,
    "natural": naturals,
    "naturals": st.lists(naturals, max_size=4),
    "note": texts,
    "sent": naturals,
    "text": texts,
    "texts": st.lists(texts, max_size=6),
}


@st.composite
def maps(draw: st.DrawFn, name: str, fields: tuple[str, ...]) -> dict[str, Any]:
    """Mostly what the enforcer reads, sometimes of another type, seldom with another name."""
    chosen = draw(st.lists(st.sampled_from(fields), max_size=len(fields), unique=True))
    drawn = {field: draw(FITTING[field]) for field in chosen}
    if draw(st.integers(0, 5)) == 0:
        drawn[draw(names)] = draw(values)
    return drawn


READS_KIND = {"mail": "mail.send", "every": "every.read"}
READS = {
    "mail": (("domains",), ("domain", "copies"), ("sent",)),
    "every": (
        ("natural", "maybe", "text", "boolean", "item", "items", "texts", "naturals", "map", "amounts"),
        ("text", "natural", "item", "boolean"),
        ("natural", "amounts", "inner"),
    ),
}


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(ENFORCERS))
    cap, params, payload = (draw(maps(name, fields)) for fields in READS[name])
    required = {"domain": "a", "text": "a", "natural": 1}
    if draw(st.integers(0, 5)):
        params = {field: required[field] for field in READS[name][1] if field in required} | params
    kind = draw(st.sampled_from([READS_KIND[name]] * 4 + KINDS))
    if draw(st.booleans()):
        return name, {"Check": check_body(kind, cap, params, draw(naturals))}
    cost = draw(st.none() | naturals)
    status = draw(st.sampled_from(["ok", "ok", "error", "timeout"]))
    return name, {"Settle": settle_body(kind, cap, params, draw(amounts), payload, status, cost)}


def assert_well_formed(answer: bytes) -> None:
    verdict = (read_settle if answer[1:2] == b"\x66" else read_check)(answer)
    if isinstance(verdict, CheckVerdict) and verdict.deny_code:
        assert_fit(verdict.deny_code, verdict.deny_message)
    assert isinstance(verdict, CheckVerdict | SettleVerdict), answer
    if isinstance(verdict, SettleVerdict) and verdict.violation_code:
        assert_fit(verdict.violation_code, verdict.violation_message)


@settings(max_examples=200)
@given(asked=questions())
def test_every_question_gets_the_same_answer_in_every_language(asked: tuple[str, dict[str, Any]]) -> None:
    name, question = asked
    answer = the_answer(name, encode(question))
    assert isinstance(answer, bytes), answer
    if name == "mail":  # the other one gives a dimension two amounts where it is asked to
        assert_well_formed(answer)


@settings(max_examples=200)
@given(asked=questions(), data=st.data())
def test_a_damaged_question_gets_the_same_answer_or_the_same_fault(
    asked: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    name, question = asked
    damaged = bytearray(encode(question))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        how = data.draw(st.sampled_from(["change", "flip", "drop", "add", "cut"]))
        if how == "change":
            damaged[at] = data.draw(st.integers(0, 255))
        elif how == "flip":
            damaged[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "add":
            damaged.insert(at, data.draw(st.integers(0, 255)))
        else:
            del damaged[max(at, 1) : max(at, 1) + 1 if how == "drop" else None]
    answer = the_answer(name, bytes(damaged))
    assert isinstance(answer, bytes) or answer == Fault("trap")


@settings(max_examples=200)
@given(
    asked=questions(), broken=loose_values, place=st.sampled_from(["cap_params", "effect_params", "payload"])
)
def test_params_that_are_hardly_canonical_get_the_same_answer(
    asked: tuple[str, dict[str, Any]], broken: bytes, place: str
) -> None:
    """The kernel sends canonical bytes only; a host of another make may not, and gets no trap for it."""
    name, question = asked
    (body,) = question.values()
    target = body["receipt"] if place == "payload" and "receipt" in body else body
    field = {"mail": b"\x66domain", "every": b"\x64item"}[name]
    target[place if place in target else "cap_params"] = b"\xa1" + field + broken
    answer = the_answer(name, encode(question))
    assert isinstance(answer, bytes), answer


def test_every_code_point_is_quoted_alike_at_the_edges_of_what_is_seen() -> None:
    """The table of code points stands in the source of each SDK."""
    table = (SDK / "zig" / "quoting.zig").read_text()
    edges = {int(number, 16) + off for number in re.findall(r"0x([0-9A-F]+)", table) for off in (-1, 0, 1)}
    points = [point for point in sorted(edges) if 0 <= point < 0xD800 or 0xDFFF < point <= 0x10FFFF]
    assert len(points) > 100
    for point in points:
        params = {"domain": f"a{chr(point)}b"}
        answer = the_answer("mail", encode({"Check": check_body("mail.send", {"domains": ["c"]}, params)}))
        assert isinstance(answer, bytes)
        assert_well_formed(answer)


@pytest.mark.parametrize(("name", "is_note"), [("x-", False), ("x-a", True), ("x", False), ("y-ab", False)])
def test_only_a_name_behind_x_and_a_dash_is_a_note(name: str, is_note: bool) -> None:
    question = {"Check": check_body("mail.send", {name: "note"}, {"domain": "a"})}
    answer = the_answer("mail", encode(question))
    assert isinstance(answer, bytes)
    verdict = read_check(answer)
    assert isinstance(verdict, CheckVerdict)
    assert (verdict.deny_code == "") == is_note


# --- what each language must keep to ------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_ordinary_question_takes_the_fuel_of_a_typical_input(language: str) -> None:
    cap, params = {"domains": ["example.net", "example.org"]}, {"domain": "example.org", "copies": 2}
    check = {"Check": check_body("mail.send", cap, params)}
    settle = {"Settle": settle_body("mail.send", cap, params, {"mails": 2}, {"sent": 2})}
    for question in (check, settle):
        assert isinstance(sandbox().judge(module("mail", language), encode(question)), bytes)
        assert sandbox().fuel_used <= TYPICAL_FUEL_MAX


@pytest.mark.parametrize("name", ENFORCERS)
def test_an_input_is_taken_up_to_24_kib_in_every_language(name: str) -> None:
    empty = len(encode({"Check": check_body("other.kind", {}, {"zz": "a" * 1000})})) - 1000
    for size in (INPUT_BYTES_SDK_MAX - 1, INPUT_BYTES_SDK_MAX, INPUT_BYTES_SDK_MAX + 1):
        question = encode({"Check": check_body("other.kind", {}, {"zz": "a" * (size - empty)})})
        assert len(question) == size
        answer = the_answer(name, question)
        assert (answer == Fault("over_limit")) == (size > INPUT_BYTES_SDK_MAX)


def test_more_dimensions_than_an_answer_has_are_a_trap_in_every_language() -> None:
    cap = {"amounts": {f"d{number:02}": number for number in range(64)}}
    question = encode({"Check": check_body("every.read", cap, {"text": "a", "natural": 1})})
    assert the_answer("every", question) == Fault("trap")
