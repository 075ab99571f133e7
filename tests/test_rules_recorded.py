"""The rules of a grant are compiled once, by the core, and recorded: texts and program together."""

import json
from pathlib import Path
from typing import Any

import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.canonical import decode, encode
from splittally.core.caps import rules
from splittally.core.caps.grants import GrantTerms, build_grant
from splittally.core.caps.rules import PROGRAM, check_rules, compile_rules, recorded_terms
from splittally.core.caps.state import Caps
from splittally.core.hashing import hash_grant
from splittally.runtime import opening as worlds

from tests.cli_tools import make_world, run
from tests.test_enforcers_abi import RULES, RULES_1, RULES_CAP, compiled

EFFECTS = {"effects": {"mail.send": {"cap_type": "mail"}}}
RULE = {"rules": [{"deny": "size(params.to) > 1", "code": "too_many"}], "x-note": "for the team"}
OTHER = {"reserve": {"mails": "size(params.to)"}}
FORGED = {PROGRAM: {"rules": [encode([0, 0, False])], "reserve": {}, "usage": {}}}  # it denies nothing


def caps_of(kernel: Any) -> Caps:
    return kernel._world.state.caps


def recorded(kernel: Any, name: str) -> Any:
    """The params of a grant as the state holds them."""
    caps = caps_of(kernel)
    return decode(caps.cap_params(caps.grants[name]))


def terms(params: Any, cap: str = "sys/rules@2") -> dict[str, Any]:
    return {"cap": cap, "params": params}


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(EFFECTS).allowed
        yield kernel


def asked(kernel: Any, name: str, to: list[str]) -> Any:
    return kernel.submit(splittally.Intent("mail.send", {"to": to}, name))


def test_an_issued_grant_has_its_texts_and_their_program(kernel: Any) -> None:
    assert kernel.native("grant.issue", name="a", terms=terms(RULE)).allowed
    assert recorded(kernel, "a") == compiled(RULE)
    assert {**RULE, PROGRAM: recorded(kernel, "a")[PROGRAM]} == recorded(kernel, "a")
    assert asked(kernel, "a", ["x"]).allowed
    assert asked(kernel, "a", ["x", "y"]).findings[0].code == "too_many"


def test_an_amended_grant_is_compiled_again(kernel: Any) -> None:
    assert kernel.native("grant.issue", name="a", terms=terms(RULE)).allowed
    assert kernel.native("grant.amend", name="a", terms=terms(OTHER)).allowed
    assert recorded(kernel, "a") == compiled(OTHER)
    assert asked(kernel, "a", ["x", "y"]).reserve == {"mails": 2}


@pytest.mark.parametrize("cap", ["sys/rules@1", "sys/rules@2"])
def test_all_expressions_of_a_grant_share_a_bound_of_bytes(kernel: Any, cap: str) -> None:
    """4,096, conditions and amounts alike."""

    def sized(usage: int) -> dict[str, Any]:
        condition = 'params.x == "' + "a" * (512 - 14) + '"'
        amount = 'size("' + "a" * (usage - 8) + '")'
        assert (len(condition), len(amount)) == (512, usage)
        return terms({"rules": [{"deny": condition}] * 7, "usage": {"mails": amount}}, cap)

    assert kernel.native("grant.issue", name="a", terms=sized(512)).allowed
    more = kernel.native("grant.issue", name="b", terms=sized(513))
    assert [finding.code for finding in more.findings] == ["params.invalid"]


@pytest.mark.parametrize("cap", ["sys/rules@1", "sys/rules@2"])
@pytest.mark.parametrize("shape", ["a list", "a map", "maps in lists", "lists in maps"])
def test_every_key_and_value_of_all_params_counts_wherever_it_stands(
    kernel: Any, cap: str, shape: str
) -> None:
    """1,500: the params themselves, each key, and each value, which counts beside what it holds."""

    def counted(value: Any) -> int:
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        return 1 + sum(map(counted, parts)) if isinstance(value, dict | list) else 1

    def noted(most: int) -> dict[str, Any]:
        makes: Any = {
            "a list": lambda: [0] * 600,
            "a map": lambda: {f"k{at}": 0 for at in range(600)},
            "maps in lists": lambda: [{"k": 0} for _ in range(400)],
            "lists in maps": lambda: {f"k{at}": [0] for at in range(400)},
        }[shape]
        params = {"x-note": makes(), "x-rest": []}
        params["x-rest"] += [0] * (most - counted(params))
        assert counted(params) == most
        return terms(params, cap)

    assert kernel.native("grant.issue", name="a", terms=noted(1500)).allowed
    more = kernel.native("grant.issue", name="b", terms=noted(1501))
    assert [(x.code, "1500 values" in str(x.facts)) for x in more.findings] == [("params.invalid", True)]


def test_a_manifest_that_is_applied_twice_changes_nothing(kernel: Any) -> None:
    manifest = EFFECTS | {"grants": {"a": terms(RULE), "b": {"cap": "sys/rules@2"}}}
    assert kernel.apply(manifest).allowed
    assert (recorded(kernel, "a"), recorded(kernel, "b")) == (compiled(RULE), compiled({}))
    before = caps_of(kernel).grants["a"]
    assert kernel.apply(manifest).allowed
    assert caps_of(kernel).grants["a"] == before
    assert asked(kernel, "b", ["x", "y"]).allowed


def test_a_topped_up_grant_keeps_its_program(kernel: Any) -> None:
    assert kernel.native("grant.issue", name="a", terms=terms(OTHER) | {"budget": {"mails": 1}}).allowed
    assert not asked(kernel, "a", ["x", "y"]).allowed
    assert kernel.native("grant.topup", name="a", dim="mails", amount=1).allowed
    assert recorded(kernel, "a") == compiled(OTHER)
    assert asked(kernel, "a", ["x", "y"]).allowed


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_program_that_a_caller_sends_is_ignored(kernel: Any, as_bytes: bool) -> None:
    sent = encode(RULE | FORGED) if as_bytes else RULE | FORGED
    assert kernel.native("grant.issue", name="a", terms=terms(sent)).allowed
    assert kernel.native("grant.issue", name="b", terms=terms(RULE)).allowed
    assert kernel.native("grant.amend", name="b", terms=terms(sent)).allowed
    assert kernel.apply(EFFECTS | {"grants": {"c": terms(RULE | FORGED)}}).allowed
    for name in "abc":
        assert recorded(kernel, name) == compiled(RULE)
        assert asked(kernel, name, ["x", "y"]).findings[0].code == "too_many"


def test_params_as_they_are_recorded_may_be_sent_again(kernel: Any) -> None:
    assert kernel.native("grant.issue", name="a", terms=terms(RULE)).allowed
    assert kernel.native("grant.issue", name="b", terms=terms(recorded(kernel, "a"))).allowed
    assert recorded(kernel, "b") == recorded(kernel, "a")


def test_under_the_first_cap_nothing_is_added_and_a_program_is_an_unknown_param(kernel: Any) -> None:
    assert kernel.native("grant.issue", name="a", terms=terms(RULE, "sys/rules@1")).allowed
    assert recorded(kernel, "a") == RULE
    refused = kernel.native("grant.issue", name="b", terms=terms(RULE | FORGED, "sys/rules@1"))
    assert "has no `program`" in refused.findings[0].facts["message"]


def test_a_cap_of_ones_own_with_the_module_gets_programs_too(kernel: Any) -> None:
    own = {"caps": {"acme/mail@1": {"enforcer": RULES, "cap_type": "mail"}}}
    assert kernel.apply(EFFECTS | own | {"grants": {"a": terms(RULE, "acme/mail@1")}}).allowed
    assert recorded(kernel, "a") == compiled(RULE)
    own["caps"]["acme/mail@1"]["enforcer"] = RULES_1
    assert kernel.apply(EFFECTS | own | {"grants": {"a": terms(RULE, "acme/mail@1")}}).allowed
    assert recorded(kernel, "a") == RULE


def test_the_grant_hash_is_over_the_params_as_recorded(kernel: Any) -> None:
    assert kernel.native("grant.issue", name="a", terms=terms(RULE)).allowed
    identity = {
        "defcap_ref": "sys/rules@2",
        "params_cbor": compile_rules(encode(RULE), "params"),
        "budget": None,
        "expiry": None,
    }
    assert caps_of(kernel).grants["a"].grant_hash == hash_grant(encode(identity))


# --- the core alone -----------------------------------------------------------------------------------

CAPS = worlds.open_or_create(None, lambda: 0).state.caps


@pytest.mark.parametrize(
    ("params", "field", "at"),
    [
        (encode({"rules": [{"deny": "1 +"}]}), "terms.params.rules[0].deny", 4),
        (encode({"usage": {"a": "unknown"}}), "terms.params.usage.a", 1),
        (encode({"ruels": []}), "terms.params", None),
        (encode([]), "terms.params", None),
        (b"\xff", None, None),
    ],
)
def test_the_core_refuses_what_an_edge_let_through(params: bytes, field: str | None, at: int | None) -> None:
    for cap in ("sys/rules@1", "sys/rules@2"):
        (finding,) = check_rules(CAPS, GrantTerms(cap=cap, params=params), "terms")
        assert (finding.code, finding.facts.get("field"), finding.facts.get("at")) == (
            "params.invalid",
            field,
            at,
        )
    assert check_rules(CAPS, GrantTerms(cap="sys/allow@1", params=params), "terms") == []


def test_terms_under_another_enforcer_are_recorded_as_they_are() -> None:
    for cap in ("sys/rules@1", "sys/allow@1", "sys/all@1", "sys/cost@1"):
        stated = GrantTerms(cap=cap, params=encode(RULE))
        assert recorded_terms(CAPS, stated) is stated


@given(
    st.recursive(st.integers(0, 9) | st.text(max_size=3), lambda x: st.dictionaries(st.text(max_size=3), x))
)
def test_compiling_is_a_function_of_the_texts_alone(noted: Any) -> None:
    texts = encode(RULES_CAP | {"x-note": noted})
    once = compile_rules(texts, "params")
    assert once == compile_rules(once, "elsewhere") == compile_rules(texts, "params")
    assert {key: value for key, value in decode(once).items() if key != PROGRAM} == decode(texts)


def test_recorded_terms_make_the_same_grant_again() -> None:
    stated = GrantTerms(cap="sys/rules@2", params=encode(RULE))
    once = recorded_terms(CAPS, stated)
    assert build_grant("a", once, "x") == build_grant("a", recorded_terms(CAPS, once), "x")


# --- audit --------------------------------------------------------------------------------------------


def test_audit_compiles_again_and_finds_a_program_that_is_not_the_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that had recorded another program is found out, at the record that did so."""

    def world(name: str) -> Path:
        path = make_world(tmp_path / name, EFFECTS | {"grants": {"a": terms(RULE)}})
        issued = ("--name", "b", "--cap", "sys/rules@2", "--params", json.dumps(RULE))
        assert run("native", "grant.issue", *issued, "-w", path).code == 0
        return path

    sound = world("sound")
    with monkeypatch.context() as patched:
        patched.setattr(rules._Compiler, "compile", lambda *_: FORGED[PROGRAM])
        forged = world("forged")
    assert run("verify", "--rejudge", "-w", sound).code == 0
    assert run("verify", "-w", forged).code == 0, "a fold believes what was decided"
    ended = run("verify", "--rejudge", "-w", forged, "--json")
    assert (ended.code, ended.json["sound"]) == (1, False)
