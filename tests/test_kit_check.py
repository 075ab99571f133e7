"""`enforcer check`, `run` and `test`: every rule by name, and what fails says so."""

import json
from pathlib import Path

import pytest
import splittally_enforcers
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.canonical import decode, encode
from splittally.core.limits import CHECK_FUEL_MAX, INT_MIN, NATURAL_MAX
from splittally.core.types import RECEIPT_STATUSES
from splittally.edge.json_values import parse_json
from splittally.sandbox import ADMISSION_CHECKS, builtin
from splittally_enforcers.build import PAGES
from splittally_enforcers.conformance import encode_input
from splittally_tools.enforcers import checking, hostile
from splittally_tools.enforcers.cases import question_json, read_question

from tests.cli_tools import run
from tests.kit_tools import (
    ALLOWED,
    CAP,
    DENIED,
    DIM,
    LISTED,
    SETTLED,
    built,
    copy_of,
    edit_case,
    mail,
    told,
    used_by,
)
from tests.rows.worlds import canned, denies, reserves, uses
from tests.test_sandbox_fixtures import REFUSED, expected, fixture

BUILT_INS = sorted(file.parent for file in Path(splittally_enforcers.__file__).parent.glob("*/enforcer.wasm"))


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A new folder with its module."""
    return built(tmp_path_factory.mktemp("kit") / "mail", "wat")


@pytest.fixture
def folder(mine, tmp_path):
    """A copy of it to spoil."""
    return copy_of(mine, tmp_path / "mail")


def checked(folder):
    ran = run("enforcer", "check", folder, "--json")
    assert ran.code == (1 if ran.json["failed"] else 0)
    return ran.json


def statuses(document):
    return {rule["name"]: rule["status"] for rule in document["rules"]}


# --- check ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", BUILT_INS, ids=lambda folder: folder.name)
def test_every_built_in_passes_every_rule(folder):
    document = checked(folder)
    assert list(statuses(document)) == [*ADMISSION_CHECKS, *checking.CONDUCT]
    assert set(statuses(document).values()) == {"passed"}
    assert document["memory"] == {"pages": PAGES.get(folder.name, 1), "pages_max": 16}
    for row in document["cases"]:
        assert 0 < row["fuel"] < CHECK_FUEL_MAX
        assert row["fuel_percent"] == pytest.approx(100 * row["fuel"] / CHECK_FUEL_MAX, abs=0.001)


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_a_file_that_is_refused_names_its_check_and_what_was_asked_before(tmp_path, path):
    file = tmp_path / "module.wasm"
    file.write_bytes(fixture(path))
    document = checked(file)
    assert document["admitted"] is False
    assert expected(path) in document["failed"]
    found = statuses(document)
    assert {name for name, status in found.items() if status == "failed"} == set(document["failed"])
    assert list(found) == list(ADMISSION_CHECKS)
    assert found["compile"] != "passed"


def test_a_file_alone_is_admitted_and_nothing_else_is_claimed(tmp_path):
    file = tmp_path / "module.wasm"
    file.write_bytes(builtin("sys/CapEnforceBlob@1"))
    document = checked(file)
    assert set(document) == {"admitted", "module", "failed", "rules"}
    assert (document["admitted"], document["failed"]) == (True, {})


def test_a_folder_that_is_not_admitted_shows_nothing_more(folder):
    (folder / "enforcer.wasm").write_bytes(fixture(next(x for x in REFUSED if expected(x) == "floats")))
    found = statuses(checked(folder))
    assert {found[name] for name in checking.CONDUCT} == {"not_asked"}
    assert "not asked determinism" in run("enforcer", "check", folder).out


@pytest.mark.req("S4-59")
def test_a_bound_that_is_not_reserved_fails_by_name(folder):
    """S4-59: nothing is reserved only where nobody can bound it."""
    edit_case(folder, ALLOWED, bounds={DIM: 3, "bytes": 9})
    document = checked(folder)
    assert list(document["failed"]) == ["bounds"]
    assert "`bytes`" in document["failed"]["bounds"]
    assert [row["passed"] for row in run("enforcer", "test", folder, "--json").json["cases"]].count(
        False
    ) == 1


def test_a_case_that_is_answered_otherwise_fails_by_name(folder):
    edit_case(folder, ALLOWED, expect={"Check": {"constraints_ok": True, "reserve_estimate": {DIM: 4}}})
    assert ALLOWED in checked(folder)["failed"]["cases"]


def settles_with(told):
    return canned(reserves({"n": 1}), told)


@pytest.mark.parametrize(
    ("module", "failed"),
    [
        (settles_with("(unreachable)"), {"settle_answers": "`trap`"}),
        (settles_with("(loop $l (br $l)) (unreachable)"), {"settle_answers": "`out_of_fuel`"}),
        (settles_with(reserves({"n": 1})), {"settle_answers": "`bad_output`"}),
        (settles_with(b"\x80"), {"settle_answers": "`bad_output`"}),
        (canned(uses({}), uses({})), {"check_answers": "`bad_output`"}),
        (canned(b"", uses({})), {"check_answers": "`bad_output`"}),
        (canned(denies("no"), uses({}, "odd")), {}),
    ],
)
def test_a_module_that_leaves_a_question_without_an_answer_fails_by_name(tmp_path, module, failed):
    (tmp_path / "enforcer.wasm").write_bytes(module)
    document = checked(tmp_path)
    assert set(document["failed"]) == set(failed)
    for name, cls in failed.items():
        assert cls in document["failed"][name]
        (rule,) = (rule for rule in document["rules"] if rule["name"] == name)
        case = tmp_path / "again.json"
        case.write_text(json.dumps({"input": rule["input"]}))
        assert run("enforcer", "run", tmp_path, "-i", case).code == 1
    assert statuses(document)["determinism"] == "not_asked"  # there is no case


def test_an_answer_that_wavers_fails_by_name(folder, monkeypatch):
    """No admitted module can waver, so the sandbox does: in one of a thousand calls, then elsewhere."""
    calls = []

    def wavering(sandbox, module, question):
        calls.append(question)
        answer = checking_asked(sandbox, module, question)
        return answer._replace(fuel=answer.fuel + (len(calls) == 1_002))

    checking_asked = checking.asked
    with monkeypatch.context() as patch:
        patch.setattr(checking, "asked", wavering)
        assert "determinism" in checked(folder)["failed"]
    elsewhere = checking.asked_elsewhere
    monkeypatch.setattr(
        checking, "asked_elsewhere", lambda *args: [x._replace(answer=b"") for x in elsewhere(*args)]
    )
    assert "another process" in checked(folder)["failed"]["determinism"]


def test_a_module_that_counts_its_calls_in_a_global_never_wavers(tmp_path):
    counter = fixture(Path(__file__).parent.parent / "fixtures/enforcers/pure/counter-in-a-global.wat")
    (tmp_path / "enforcer.wasm").write_bytes(counter)
    (tmp_path / "cases").mkdir()
    question = question_json(encode({"Check": dict.fromkeys(("cap_def", "grant_name", "effect_kind"), "x") | {
        "cap_params": b"\xa0", "effect_params": b"\xa0", "logical_now_ns": 0,
        "origin": {"kind": "plan", "name": "a/b@1"}}}))  # fmt: skip
    (tmp_path / "cases" / "one.json").write_text(
        json.dumps({"input": question, "expect": {"fault": "bad_output"}})
    )
    found = statuses(checked(tmp_path))
    assert (found["cases"], found["determinism"], found["check_answers"]) == ("passed", "passed", "failed")


# --- the generated questions ------------------------------------------------------------------------


def test_generated_questions_are_the_same_each_time_and_reach_what_they_claim():
    cases = [
        encode_input(json.loads(file.read_text())["input"]) for file in BUILT_INS[0].glob("cases/*.json")
    ]
    settles = hostile.hostile_settles(cases)
    assert settles == hostile.hostile_settles(cases)
    bodies = [decode(question)["Settle"] for question in settles]
    receipts = [body["receipt"] for body in bodies]
    assert len(bodies) > 300
    assert {receipt["status"] for receipt in receipts} == set(RECEIPT_STATUSES)
    assert any(receipt["payload"] in hostile.UNREADABLE for receipt in receipts)
    assert {"cost_cents" in receipt for receipt in receipts} == {True, False}
    params = [decode(body["effect_params"]) for body in bodies]
    assert not all(isinstance(each, dict) for each in params)
    assert any(number in str(params) for number in (str(NATURAL_MAX), str(INT_MIN)))
    assert len({body["effect_kind"] for body in bodies}) > 3
    assert all(len(question) <= hostile.QUESTION_BYTES_MAX for question in settles)


def test_without_a_case_there_are_questions_all_the_same():
    assert len(hostile.hostile_checks([])) > 50
    assert len(hostile.hostile_settles([])) > 50


# --- run --------------------------------------------------------------------------------------------


def test_an_intent_is_asked_as_hosts_send_it_and_settled_on_its_reserve(mine, tmp_path):
    intent, receipt = tmp_path / "intent.json", tmp_path / "receipt.json"
    intent.write_text(mail(count=3, now_ns=7))
    receipt.write_text(told("11" * 32, 5))
    document = run(
        "enforcer", "run", mine, "-i", intent, "--cap-params", LISTED, "--receipt", receipt, "--json"
    ).json
    assert (document["check"]["verdict"], document["check"]["reserve"]) == ("allow", {DIM: 3})
    assert (document["settle"]["usage"], document["settle"]["violation"]["code"]) == (
        {DIM: 5}, "usage_exceeds_reserve",
    )  # fmt: skip
    out = run("enforcer", "run", mine, "-i", intent, "--cap-params", LISTED, "--receipt", receipt).out
    assert "Check: allow\n  reserve mails=3\n" in out
    assert "violation usage_exceeds_reserve" in out


def test_a_denial_ends_a_run_with_one_and_is_not_settled(mine):
    options = ("--cap-params", LISTED, "--receipt", '{"status": "ok"}', "--json")
    ran = run("enforcer", "run", mine, "-i", "-", *options, text=mail("stranger"))
    assert (ran.code, ran.json["check"]["deny"]["code"], ran.json["settle"]) == (1, "to_not_allowed", None)


def test_a_run_asks_what_a_world_would_ask(mine, tmp_path):
    world = used_by(mine, tmp_path / "world", (4,))
    target = copy_of(mine, tmp_path / "copy")
    run("enforcer", "test", target, "--record", world, "--seq", 2, "--as-case", "recorded")
    case = json.loads((target / "cases" / "recorded.json").read_text())
    options = ("--cap-params", LISTED, "--json")
    asked = run("enforcer", "run", mine, "-i", "-", *options, text=mail(count=4)).json["check"]
    assert asked["input_bytes"] == len(encode_input(case["input"]))
    assert case["expect"]["Check"]["reserve_estimate"] == asked["reserve"]


def test_a_case_is_run_as_it_stands(mine):
    document = run("enforcer", "run", mine, "-i", mine / "cases" / SETTLED, "--json").json
    assert (document["check"], document["settle"]["usage"]) == (None, {DIM: 2})


def test_a_file_alone_can_be_run(mine, tmp_path):
    file = tmp_path / "x.wasm"
    file.write_bytes((mine / "enforcer.wasm").read_bytes())
    assert run("enforcer", "run", file, "-i", "-", "--cap", CAP, text=mail()).code == 0


# --- test -------------------------------------------------------------------------------------------


def test_a_difference_names_its_place_with_both_values(folder):
    expect = json.loads((folder / "cases" / DENIED).read_text())["expect"]
    expect["Check"]["deny"]["code"] = "other"
    expect["Check"]["reserve_estimate"] = {"x": 1}
    edit_case(folder, DENIED, expect=expect)
    ran = run("enforcer", "test", folder, "--json")
    assert (ran.code, ran.json["passed"], ran.json["failed"]) == (1, 2, 1)
    (failed,) = (row for row in ran.json["cases"] if not row["passed"])
    assert failed["differences"] == [
        {"place": "Check.deny.code", "expected": "other", "found": "to_not_allowed"},
        {"place": "Check.reserve_estimate.x", "expected": 1, "found": None},
    ]
    out = run("enforcer", "test", folder).out
    assert f"FAIL  {DENIED}" in out
    assert '        - "other"\n        + "to_not_allowed"\n' in out
    assert out.endswith("2 passed, 1 failed\n")


def test_true_is_not_one(folder):
    edit_case(folder, ALLOWED, expect={"Check": {"constraints_ok": 1, "reserve_estimate": {DIM: 3}}})
    assert run("enforcer", "test", folder).code == 1


def test_a_rewrite_shows_the_difference_and_expects_what_was_found(folder):
    before = json.loads((folder / "cases" / ALLOWED).read_text())
    edit_case(folder, ALLOWED, expect={"fault": "trap"})
    ran = run("enforcer", "test", folder, "--rewrite")
    assert ran.code == 0
    assert "fault" in ran.out
    assert f"rewritten: {ALLOWED}" in ran.out
    assert json.loads((folder / "cases" / ALLOWED).read_text()) == before
    assert run("enforcer", "test", folder, "--rewrite", "--json").json["rewritten"] == []


def test_a_rewrite_does_not_make_an_unreserved_bound_right(folder):
    edit_case(folder, ALLOWED, bounds={"bytes": 1}, expect={"fault": "trap"})
    assert run("enforcer", "test", folder, "--rewrite").code == 1


def test_recorded_calls_become_cases_that_pass(folder, tmp_path):
    world = used_by(folder, tmp_path / "world", (3, 11))
    first = run("-w", world, "log", "--kind", "mail.send").lines[0]["command"]["members"][0]["intent_hash"]
    by_intent = run(
        "enforcer", "test", folder, "--record", world, "--intent", first, "--as-case", "paid", "--json"
    )
    assert [Path(file).name for file in by_intent.json["recorded"]] == ["paid-1.json", "paid-2.json"]
    run("enforcer", "test", folder, "--record", world, "--seq", 3)
    cases = {name: json.loads((folder / "cases" / f"{name}.json").read_text()) for name in
             ("paid-1", "paid-2", "frame_3")}  # fmt: skip
    assert cases["paid-1"]["expect"]["Check"]["reserve_estimate"] == {DIM: 3}
    assert cases["paid-2"]["expect"] == {"Settle": {"usage": {DIM: 1}}}
    assert cases["paid-2"]["input"]["Settle"]["receipt"]["payload"] == {"count": 1}
    assert cases["frame_3"]["expect"]["Check"]["deny"]["code"] == "count_too_large"
    assert run("enforcer", "test", folder, "--json").json["passed"] == 6
    assert run("enforcer", "check", folder).code == 0


def test_a_recorded_fault_is_expected_as_a_fault(folder, tmp_path):
    (folder / "enforcer.wasm").write_bytes(settles_with("(unreachable)"))
    world = used_by(folder, tmp_path / "world", (1,))
    run("enforcer", "test", folder, "--record", world, "--seq", 3, "--as-case", "fault")
    assert json.loads((folder / "cases" / "fault.json").read_text())["expect"] == {"fault": "trap"}


def nested(levels):
    value = 0
    for _ in range(levels):
        value = [value]
    return value


ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(INT_MIN, NATURAL_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
KEYS = st.text(max_size=5) | st.just("$bytes")
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
PAYLOADS = VALUES.map(encode) | st.binary(max_size=9)
DIMS = st.dictionaries(st.sampled_from(("payload", "cap_params", "n")), st.integers(0, NATURAL_MAX))


@given(params=VALUES | st.integers(1, 63).map(nested), payload=PAYLOADS, reserve=DIMS)
def test_a_question_comes_back_from_its_case_byte_for_byte(params, payload, reserve):
    body = {
        "cap_def": "a/b@1",
        "grant_name": "g",
        "effect_kind": "k",
        "logical_now_ns": 2**63 - 1,
        "origin": {"kind": "plan", "name": "a/b@1"},
        "intent_hash": bytes(32),
        "reserve_estimate": reserve,
        "cap_params": encode(params),
        "effect_params": encode({"a": params}),
        "receipt": {"status": "ok", "adapter_id": "", "payload": payload},
    }
    question = encode({"Settle": body})
    written = json.dumps(question_json(question))
    assert encode_input(json.loads(written)) == question
    assert read_question(parse_json(written)) == ("Settle", question)
