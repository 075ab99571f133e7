"""What a grant's own rules deny, reserve and count, whichever module judges by them.

`sys/CapEnforceRules@2` is given the program of the rules, `sys/CapEnforceRules@1` their texts alone.
"""

from typing import Any

import pytest
from splittally.core.abi import CheckVerdict, SettleVerdict

from tests.rule_asking import asked
from tests.test_enforcers_abi import NATURAL_MAX, RULES, RULES_1, assert_fit, check, settle

KIND = "mail.send"
both = pytest.mark.parametrize("module", [RULES, RULES_1])


def judged(module: str, cap: dict[str, Any], params: Any = None, kind: str = KIND) -> CheckVerdict:
    verdict = check(module, kind, asked(cap, module), {} if params is None else params)
    if verdict.deny_code:
        assert_fit(verdict.deny_code, verdict.deny_message)
    return verdict


def settled(
    module: str,
    cap: dict[str, Any],
    reserve: dict[str, int],
    payload: Any,
    status: str = "ok",
    cost: int | None = None,
) -> SettleVerdict:
    verdict = settle(module, KIND, asked(cap, module), {}, reserve, payload, status, cost)
    if verdict.violation_code:
        assert_fit(verdict.violation_code, verdict.violation_message)
    return verdict


# --- rules --------------------------------------------------------------------------------------------


@both
def test_no_rules_restrict_nothing_and_reserve_nothing(module: str) -> None:
    for cap in ({}, {"rules": [], "reserve": {}, "usage": {}, "kinds": []}):
        assert judged(module, cap, {"any": [1.5, None, b"x"]}) == CheckVerdict({})


@both
def test_the_first_rule_that_denies_decides(module: str) -> None:
    cap = {
        "rules": [
            {"require": "size(params.to) > 0", "code": "nobody"},
            {"deny": "size(params.to) > 3", "code": "too_many", "message": "at most 3 in `to`"},
            {"deny": "params.to[0] == 'boss'"},
        ]
    }
    answers = [judged(module, cap, {"to": to}) for to in ([], ["a"] * 4, ["boss"], ["a"])]
    assert [answer.deny_code for answer in answers] == ["nobody", "too_many", "denied_by_rule", ""]
    assert answers[1].deny_message == "at most 3 in `to`"
    assert "`rules[2]`" in answers[2].deny_message


@both
def test_a_rule_without_a_value_denies_and_names_place_fault_and_character_only(module: str) -> None:
    cap = {"rules": [{"require": "true"}, {"require": "!has(params.note) || params.note.contains('ok')"}]}
    verdict = judged(module, cap, {"note": ["`; ignore the rules"]})
    assert verdict.deny_code == "rule_fault"
    assert verdict.deny_message == "`rules[1].require` has no value: wrong_type at character 29"


@both
def test_a_rule_that_is_not_reached_does_not_matter(module: str) -> None:
    cap = {"rules": [{"deny": "true", "code": "first"}, {"deny": "1 / 0 == 1"}]}
    assert judged(module, cap).deny_code == "first"


def test_a_mistake_in_any_expression_denies_whatever_the_intent_is() -> None:
    for broken in (
        {"rules": [{"deny": "true", "code": "first"}, {"deny": "1 +"}]},
        {"reserve": {"a": 1, "b": "params."}, "kinds": ["other.kind"]},
        {"usage": {"a": "payload == 1 ? 2 : 'x'"}},
    ):
        assert judged(RULES_1, broken).deny_code == "cap_params_invalid"
        assert settled(RULES_1, broken, {"a": 5}, {}).violation_code == "cap_params_invalid"
        assert settled(RULES_1, broken, {"a": 5}, {}).usage == {"a": 5}


@pytest.mark.parametrize(
    ("cap", "told"),
    [
        ({"rules": [{"deny": "true"}, {"deny": "(1"}]}, "`rules[1].deny` of the cap params is no expression"),
        ({"rules": [{"require": "size(kind > 3"}]}, "`rules[0].require`"),
        ({"rules": [{"require": "size(kind > 3"}]}, "at character 14"),
        ({"reserve": {"cents": "params.a +"}}, "`reserve` of `cents`"),
        ({"usage": {"cents": "payloads.a"}}, "at character 1: no value has this name here"),
        ({"reserve": {"cents": "reserve.a"}}, "at character 1: no value has this name here"),
        ({"rules": [{"deny": "receipt.status == 'ok'"}]}, "at character 1: no value has this name here"),
        ({"usage": {"cents": "receipt.state"}}, "at character 9: there is no such key"),
        ({"rules": [{"deny": "size(params.to)"}]}, "at character 1: a bool is expected here"),
        ({"reserve": {"cents": "kind"}}, "at character 1: an int is expected here"),
        ({"rules": [{"deny": "true", "require": "true"}]}, "`rules[0]` of the cap params must have either"),
        ({"rules": [{"code": "a"}]}, "`rules[0]` of the cap params must have either"),
        ({"rules": [{"deny": "true", "whn": "a"}]}, "`whn`"),
        ({"rules": [{"deny": True}]}, "`rules[0].deny`"),
        ({"rules": ["true"]}, "`rules[0]`"),
        ({"rules": {"deny": "true"}}, "`rules`"),
        ({"reserve": {"cents": 1.5}}, "`reserve` of the cap params must map to expressions or naturals"),
        ({"reserve": {"cents": -1}}, "`reserve` of the cap params must map to expressions or naturals"),
        ({"reserve": {"": 1}}, "must name dimensions of 1 to 128 bytes"),
        ({"usage": ["cents"]}, "`usage`"),
        ({"kinds": ["mail.*", "m*il"]}, "`m*il`"),
        ({"kinds": [".*"]}, "`.*`"),
        ({"kinds": [""]}, "``"),
        ({"kinds": "mail.send"}, "`kinds`"),
    ],
)
def test_cap_params_that_cannot_be_read_are_named_by_their_place(cap: dict[str, Any], told: str) -> None:
    verdict = judged(RULES_1, cap)
    assert (verdict.deny_code, told in verdict.deny_message) == ("cap_params_invalid", True)


def test_a_message_or_code_that_could_deceive_its_reader_is_not_taken() -> None:
    for message in ("", "a\nb", "a\u202eb", "odd `tick", "a" * 257, "\u200b", "a\x7f"):
        assert (
            judged(RULES_1, {"rules": [{"deny": "true", "message": message}]}).deny_code
            == "cap_params_invalid"
        )
    for message in ('it\'s "fine"', "`a` and `b`", "é" * 128, "🙂", "a" * 256, "ж"):
        verdict = judged(RULES_1, {"rules": [{"deny": "true", "message": message}]})
        assert (verdict.deny_code, verdict.deny_message) == ("denied_by_rule", message)
    for code in ("", "A", "9a", "_a", "a-b", "é", "a" * 65):
        assert judged(RULES_1, {"rules": [{"deny": "true", "code": code}]}).deny_code == "cap_params_invalid"
    for code in ("a", "a9_b", "a" * 64):
        assert judged(RULES_1, {"rules": [{"deny": "true", "code": code}]}).deny_code == code


@both
@pytest.mark.parametrize(
    ("kinds", "kind", "is_covered"),
    [
        (["mail.send"], "mail.send", True),
        (["mail.send"], "mail.sends", False),
        (["mail.*"], "mail.send", True),
        (["mail.*"], "mail.send.now", True),
        (["mail.*"], "mail", False),
        (["mail.*"], "mail.", False),
        (["mail.*"], "mails.send", False),
        (["crm.*", "mail.send"], "mail.send", True),
        ([], "mail.send", True),
    ],
)
def test_kinds_are_named_or_covered_by_a_prefix(
    module: str, kinds: list[str], kind: str, is_covered: bool
) -> None:
    code = judged(module, {"kinds": kinds, "rules": [{"deny": "false"}]}, kind=kind).deny_code
    assert code == ("" if is_covered else "effect_kind_mismatch")


@both
def test_the_names_of_a_condition_are_the_question(module: str) -> None:
    claims = [
        "kind == 'mail.send'", "grant == 'grants/test'", "origin.kind == 'plan'",
        "origin.name == 'host/operator@1'", "now_ns == 1700000000000000000", "params.a == 1",
        "size(origin) == 2",
    ]  # fmt: skip
    assert judged(module, {"rules": [{"require": claim} for claim in claims]}, {"a": 1}).deny_code == ""


# --- amounts ------------------------------------------------------------------------------------------


@both
def test_a_reserve_is_a_natural_or_an_expression(module: str) -> None:
    cap = {"reserve": {"a": 7, "b": "params.n + 1", "c": "-0", "most": NATURAL_MAX, "x": "params.n * 0"}}
    reserve = {"a": 7, "b": 2**64 - 1, "c": 0, "most": NATURAL_MAX, "x": 0}
    assert judged(module, cap, {"n": 2**64 - 2}).reserve == reserve


@both
def test_a_reserve_that_is_negative_or_has_no_value_denies(module: str) -> None:
    assert (
        judged(module, {"reserve": {"a": "-1"}}).deny_message == "`reserve` of `a` is the negative number -1"
    )
    assert judged(module, {"reserve": {"a": "-9223372036854775808"}}).deny_code == "reserve_negative"
    fault = judged(module, {"reserve": {"a": 1, "b": "params.n"}}, {"n": "5"})
    assert (fault.deny_code, fault.reserve) == ("reserve_fault", {})
    assert fault.deny_message == "`reserve` of `b` has no value: wrong_type at character 8"


@both
def test_a_dimension_that_only_the_usage_names_reserves_nothing_and_is_charged_unbounded(module: str) -> None:
    cap = {"reserve": {"b": 2}, "usage": {"a": "payload.n", "c": 9}}
    assert judged(module, cap).reserve == {"a": 0, "b": 2, "c": 0}
    used = settled(module, cap, {"a": 0, "b": 2, "c": 0}, {"n": 10**12})
    assert used == SettleVerdict({"a": 10**12, "b": 2, "c": 9})


@both
@pytest.mark.parametrize("status", ["ok", "error", "timeout"])
def test_a_dimension_without_a_usage_uses_its_whole_reserve(module: str, status: str) -> None:
    assert settled(module, {"reserve": {"mails": 3}}, {"mails": 3}, {}, status) == SettleVerdict({"mails": 3})


@both
def test_the_usage_reads_the_receipt_the_payload_and_the_reserve(module: str) -> None:
    cap = {
        "usage": {
            "ok": "receipt.status == 'ok' ? 1 : 0",
            "cost": "has(receipt.cost_cents) ? receipt.cost_cents : 99",
            "same": "receipt.payload == payload ? size(receipt) : 0",
            "held": "reserve.ok + size(receipt.adapter_id)",
        }
    }
    long = {"n": 5, "pad": "x" * 300}
    for payload, cost in (({}, None), ({"n": 5}, 12), (long, 12), (long, None)):
        used = settled(module, cap, {"ok": 4}, payload, cost=cost)
        keys = 3 if cost is None else 4
        assert used.usage == {"ok": 1, "cost": 99 if cost is None else cost, "same": keys, "held": 11}


@both
def test_a_usage_without_a_value_is_the_whole_reserve_of_its_dimension_alone(module: str) -> None:
    cap = {"reserve": {"a": 1, "b": 2, "c": 3}, "usage": {"a": "payload.n", "b": "payload.m", "c": "0 - 1"}}
    used = settled(module, cap, {"a": 1, "b": 2, "c": 3}, {"n": 1})
    assert used.usage == {"a": 1, "b": 2, "c": 3}
    assert used.violation_code == "usage_fault"
    assert used.violation_message == "`usage` of `b` has no value: missing_key at character 9"
    negative = settled(module, {"usage": {"a": "-5"}}, {"a": 7}, {})
    assert (negative.usage, negative.violation_code) == ({"a": 7}, "usage_negative")


@both
def test_usage_above_the_reserve_is_counted_and_said(module: str) -> None:
    used = settled(module, {"reserve": {"a": 5}, "usage": {"a": "payload.n"}}, {"a": 5}, {"n": 6})
    assert (used.usage, used.violation_code) == ({"a": 6}, "usage_exceeds_reserve")


DEEP: Any = 1
for _ in range(63):
    DEEP = [DEEP]


@both
@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\xf6", b"\x80", b"\xa1\x61a", b"\xa0\x00", b"\xa2\x61b\x00\x61a\x00",
        b"\xa2\x61a\x00\x61a\x00", b"\xa1\x61a\x18\x17", b"\xa1\x61a\x78\x01a", b"\xa1\x61a\x61\xff",
        b"\xa1\x61a\x63\xed\xa0\x80", b"\xa1\x61a\x62\xc0\x80", b"\xa1\x61a\x64\xf4\x90\x80\x80",
        b"\xa1\x61a\xc0\x00", b"\xa1\x61a\x9f\xff", b"\xa1\x00\x00", b"\xa1\x61a\x3b" + b"\xff" * 8,
        b"\xa1\x61a\xf7", b"\xa1\x61a\xf8\x14", b"\xa1\x61a" + b"\x81" * 64 + b"\x00", b"\xa1\x61a\x62a",
        b"\xa1\x61a\x1c", b"\xbf\xff",
    ],
)  # fmt: skip
def test_a_payload_that_is_no_canonical_map_uses_the_whole_reserve(module: str, payload: bytes) -> None:
    used = settled(module, {"reserve": {"a": 5}, "usage": {"a": 1, "b": 2}}, {"a": 5, "b": 0}, payload)
    assert (used.usage, used.violation_code) == ({"a": 5, "b": 0}, "receipt_unreadable")


@both
def test_whatever_canonical_form_has_can_be_read(module: str) -> None:
    values = [
        DEEP,
        "é中😀",
        "x" * 300,
        -(2**63),
        2**64 - 1,
        300,
        70_000,
        1.5,
        1e300,
        0.1,
        None,
        True,
        b"\xff" * 30,
    ]
    for value in [*values, {"a" * 30: 1, "b": {}}, list(range(30)), values[1:]]:
        used = settled(module, {"usage": {"a": "size(payload)"}}, {}, {"value": value})
        assert used == SettleVerdict({"a": 1}), value
