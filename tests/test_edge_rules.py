"""Rules are refused when the grant is made, wherever an enforcer could not read them."""

import random
import sys
from typing import Any

import pytest
import splittally
from splittally import InvalidInput
from splittally.core.canonical import encode
from splittally.core.caps.rules import COMPILED_BYTES_MAX, require_rules
from splittally.runtime import opening as worlds
from splittally.sandbox import builtin

from tests.rule_texts import Texts, some_value
from tests.test_enforcers_abi import RULES, RULES_1, check, compiled
from tests.test_enforcers_rules_meaning import ROUNDS, SEED

WORLD = worlds.open_or_create(None, lambda: 0)
CAPS = WORLD.state.caps
EFFECTS = {"effects": {"mail.send": {"cap_type": "mail"}}}


def refusal(cap: Any, name: str = "sys/rules@1") -> str:
    """What the edge says of these params under a cap; empty where it takes them."""
    try:
        require_rules(CAPS, CAPS.caps[name].enforcer, "grants.team.params", encode(cap))
    except InvalidInput as error:
        return str(error)
    return ""


def is_readable(cap: Any) -> bool:
    """Whether the module that compiles the rules itself reads them."""
    return check(RULES_1, "mail.send", cap, {}).deny_code != "cap_params_invalid"


@pytest.mark.parametrize(
    ("cap", "told"),
    [
        (
            {"rules": [{"deny": "true"}, {"deny": "size(params.to > 3"}]},
            ".rules[1].deny`: at character 19: the expression ends too early, expected `)`",
        ),
        (
            {"rules": [{"require": "params.to[0].endsWidth('x')"}]},
            ".rules[0].require`: at character 14: no method `endsWidth`, "
            "expected one of `contains`, `endsWith`, `startsWith`",
        ),
        (
            {"usage": {"cents": "receipt.state"}},
            ".usage.cents`: at character 9: no key `state`, "
            "expected one of `adapter_id`, `cost_cents`, `payload`, `status`",
        ),
        ({"reserve": {"cents": "'5'"}}, ".reserve.cents`: at character 1: this is string, expected int"),
        ({"reserve": {"cents": 1.5}}, ".reserve.cents` is an expression or a natural below 2^64"),
        ({"deny": []}, "` has no `deny`; it has kinds, rules, reserve, usage"),
        ({"rules": [{"when": "true"}]}, ".rules[0]` has no `when`; it has deny, require, code, message"),
        ({"rules": [{"code": "a"}]}, ".rules[0]` has either `deny` or `require`"),
        ({"kinds": ["a", "b*"]}, ".kinds[1]` is a kind, or a prefix that ends in `.*`"),
        ({"rules": [{"deny": "true"}] * 65}, ".rules` has at most 64 rules"),
        ([], "` is a table"),
    ],
)
def test_a_mistake_is_named_by_its_place_its_character_and_what_was_expected(cap: Any, told: str) -> None:
    assert refusal(cap) == refusal(cap, "sys/rules@2") == "`grants.team.params" + told
    assert not is_readable(cap)


def some_cap(rng: random.Random) -> Any:
    """Cap params, most of them readable, some with something wrong somewhere."""
    texts = Texts(rng)

    def odd(usual: Any) -> Any:
        return some_value(rng, 1) if rng.random() < 0.03 else usual

    def text(kind: str, is_usage: bool = False) -> Any:
        made = (
            Texts(rng, is_usage).of(kind, 1)
            if rng.random() < 0.3
            else {"b": "kind == 'a'", "i": "1 + 2"}[kind]
        )
        return odd(texts.damaged(made) if rng.random() < 0.03 else made)

    def rule() -> Any:
        code = rng.choice(
            ["a", "a_b9", "too_many", "a" * 64] + ["A", "9", "", "a" * 65] * (rng.random() < 0.1)
        )
        message = rng.choice(
            ["no", "`a` only", "é" * 128] + ["", "`", "a\n", "é" * 129] * (rng.random() < 0.1)
        )
        made = {
            rng.choice(["deny", "require"]): text("b"),
            "code": odd(code),
            "message": odd(message),
            "x-note": 1,
        }
        if rng.random() < 0.03:
            made[rng.choice(["deny", "when", "x-"])] = "true"
        return odd(
            {key: made[key] for key in made if key not in ("code", "message", "x-note") or rng.random() < 0.5}
        )

    def amounts(is_usage: bool) -> Any:
        dims = rng.sample(["mails", "cents", "é", "a" * 128, "tokens"], rng.randrange(4))
        dims += [rng.choice(["", "a" * 129, "é" * 65])] * (rng.random() < 0.03)
        return odd(
            {dim: odd(rng.randrange(9)) if rng.random() < 0.3 else text("i", is_usage) for dim in dims}
        )

    made = {
        "kinds": odd(
            [odd(rng.choice(["mail.send", "mail.*", "é"] + ["*", ".*", "a*b"] * (rng.random() < 0.1)))]
        ),
        "rules": odd([rule() for _ in range(rng.randrange(4))]),
        "reserve": amounts(False),
        "usage": amounts(True),
        "x-note": some_value(rng, 1),
        "rule": [],
    }
    return odd({key: made[key] for key in made if rng.random() < (0.02 if key == "rule" else 0.8)})


def test_the_edge_refuses_exactly_what_the_enforcer_cannot_read() -> None:
    rng = random.Random(SEED)
    refused = 0
    for _ in range(ROUNDS // 2):
        cap = some_cap(rng)
        told = refusal(cap)
        assert (told == "") == is_readable(cap), f"seed {SEED}: {cap} {told!r}"
        assert refusal(cap, "sys/rules@2") == told
        if told == "":
            verdict = check(RULES, "mail.send", compiled(cap), {})
            assert verdict.deny_code != "cap_params_invalid", f"seed {SEED}: {cap}"
        refused += told != ""
    assert ROUNDS // 20 < refused < ROUNDS // 2


def test_bounds_of_a_grant_are_those_of_its_enforcer() -> None:
    for size in (4096, 4097):
        texts = {
            "rules": [
                {"deny": "false" + " " * (size // 2 - 5)},
                {"deny": "false" + " " * (size - size // 2 - 5)},
            ]
        }
        parts = {
            "reserve": {
                "a": "1" + "+1" * 298,
                "b": 1,
                "c": "1" + "+1" * (size - 3899),
                "d": "has(origin.kind) ? 1 : 2",
            }
        }
        for cap in (texts, parts):
            assert (refusal(cap) == "") == is_readable(cap)
        assert "together" in refusal(texts) or size == 4096
    exact = {"reserve": {"a": "1" + "+1" * 298, "b": "1" + "+1" * 198}}
    assert (refusal(exact), is_readable(exact)) == ("", True)
    exact["reserve"]["c"] = 1
    assert "500 parts together" in refusal(exact) and not is_readable(exact)
    for size in (1497, 1498):
        noted = {"x-note": [0] * size}
        assert (refusal(noted) == "", is_readable(noted)) == (size == 1497,) * 2
    for size in (64, 65):
        kinds = {"kinds": ["mail.*"] * size}
        assert (refusal(kinds) == "", is_readable(kinds)) == (size == 64,) * 2
    many = {"reserve": {f"d{at}": 1 for at in range(65)}}
    assert "at most 64 dimensions" in refusal(many) and not is_readable(many)


def test_the_same_characters_may_stand_in_a_message() -> None:
    points = [*range(0x3000), *range(0x3000, sys.maxunicode, 613), 0xFE0F, 0xFEFF, 0xFFA0, 0x1D173, 0xE0001]
    for start in range(0, len(points), 16):
        some = [chr(point) for point in points[start : start + 16] if not 0xD800 <= point < 0xE000]
        for message in ["".join(some)] if refusal(told_by("".join(some))) == "" else some:
            assert (refusal(told_by(message)) == "") == is_readable(told_by(message)), repr(message)


def told_by(message: str) -> dict[str, Any]:
    return {"rules": [{"deny": "false", "message": message}]}


def test_params_of_another_enforcer_are_not_looked_at() -> None:
    caps = CAPS.caps
    for name in ("sys/allow@1", "sys/cost@1", "sys/all@1"):
        require_rules(CAPS, caps[name].enforcer, "params", encode({"rules": 5}))


@pytest.mark.parametrize("module", [RULES, RULES_1])
def test_a_cap_of_ones_own_with_the_same_module_is_looked_at_too(module: str) -> None:
    manifest = EFFECTS | {
        "caps": {"acme/mail@1": {"enforcer": module, "cap_type": "mail"}},
        "grants": {"team": {"cap": "acme/mail@1", "params": {"rules": [{"deny": "1 +"}]}}},
    }
    with splittally.open(None, clock="given") as kernel:
        with pytest.raises(splittally.InvalidManifest) as caught:
            kernel.apply(manifest)
        facts = {"field": "grants.team.params.rules[0].deny", "at": 4, "expected": "a value"}
        assert caught.value.facts == facts
        manifest["caps"]["acme/mail@1"]["enforcer"] = builtin(module)
        with pytest.raises(splittally.InvalidManifest):
            kernel.apply(manifest)


@pytest.mark.parametrize("cap", ["sys/rules@1", "sys/rules@2"])
def test_a_grant_that_is_issued_or_amended_is_looked_at(cap: str) -> None:
    good, bad = ({"rules": [{"deny": text}]} for text in ("size(kind) > 90", "size(kind > 90"))
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(EFFECTS).allowed
        for params in (bad, encode(bad)):
            refused = kernel.native("grant.issue", name="a", terms={"cap": cap, "params": params})
            (finding,) = refused.findings
            assert (refused.outcome, finding.code) == ("deny", "params.invalid")
            assert "`terms.params.rules[0].deny`: at character 15" in finding.facts["message"]
            assert finding.facts["field"] == "terms.params.rules[0].deny"
        assert kernel.native("grant.issue", name="a", terms={"cap": cap, "params": good}).allowed
        amended = kernel.native("grant.amend", name="a", terms={"cap": cap, "params": bad})
        assert amended.findings[0].code == "params.invalid"
        assert kernel.submit(splittally.Intent("mail.send", {}, "a")).allowed


def test_params_that_leave_no_room_for_the_intents_are_refused_with_their_program() -> None:
    long = {"rules": [{"deny": "false", "message": "m" * 250}] * 60}
    assert refusal(long) == ""
    assert f"at most {COMPILED_BYTES_MAX} bytes with its program" in refusal(long, "sys/rules@2")
    long["rules"] = long["rules"][:40]
    assert refusal(long, "sys/rules@2") == ""
