"""Asks the rules enforcers and the kernel's own language the same, in one form that can be compared.

An answer is a value; or `("fault", code, character)`; or `("refused", character)` where the text is no
expression. An enforcer is asked through the sandbox: a bool by a rule, an int by a reserve or a usage.
`RULES` is given the program that the kernel compiles, `RULES_1` compiles the text itself.
"""

import re
from typing import Any

from splittally.core import expr
from splittally.core.caps.rules import CONDITION_NAMES, USAGE_NAMES
from splittally.core.errors import ExpressionError, InvalidInput
from splittally.core.expr import BOOL, INT, ExprFault

from tests.test_enforcers_abi import NOW_NS, RULES, check, compiled, settle

KIND = "mail.send"
ORIGIN = {"kind": "plan", "name": "host/operator@1"}
FAULT = re.compile(r"has no value: (\w+) at character (\d+)$")
REFUSAL = re.compile(r"is no expression: at character (\d+): ")
NUMBER = re.compile(r"is the negative number (-\d+)$")


def refused(message: str) -> tuple[Any, ...]:
    found = REFUSAL.search(message)
    assert found, message
    return "refused", int(found[1])


def faulted(message: str) -> tuple[Any, ...]:
    found = FAULT.search(message)
    assert found, message
    return "fault", found[1], int(found[2])


def negative(message: str) -> int:
    found = NUMBER.search(message)
    assert found, message
    return int(found[1])


def asked(cap: dict[str, Any], module: str) -> Any:
    """The cap params as the module is given them, or a refusal of the kernel's."""
    try:
        return compiled(cap) if module == RULES else cap
    except InvalidInput as error:
        return "refused", error.facts.get("at")


def enforced_claim(text: str, params: Any, form: str = "deny", module: str = RULES) -> Any:
    """The value of a bool expression, as a rule has it."""
    cap = asked({"rules": [{form: text}]}, module)
    if type(cap) is tuple:
        return cap
    verdict = check(module, KIND, cap, params)
    match verdict.deny_code:
        case "" | "denied_by_rule":
            return (verdict.deny_code == "") == (form == "require")
        case "rule_fault":
            return faulted(verdict.deny_message)
    return refused(verdict.deny_message)


def enforced_int(text: str, params: Any, module: str = RULES) -> Any:
    """The value of an int expression, as a reserve has it."""
    cap = asked({"reserve": {"x": text}}, module)
    if type(cap) is tuple:
        return cap
    verdict = check(module, KIND, cap, params)
    match verdict.deny_code:
        case "":
            return verdict.reserve["x"]
        case "reserve_negative":
            return negative(verdict.deny_message)
        case "reserve_fault":
            return faulted(verdict.deny_message)
    return refused(verdict.deny_message)


def enforced_usage(text: str, settling: dict[str, Any], module: str = RULES) -> Any:
    """The value of an int expression, as a usage has it."""
    cap = asked({"usage": {"x": text}}, module)
    if type(cap) is tuple:
        return cap
    verdict = settle(module, KIND, cap, **settling)
    match verdict.violation_code:
        case "":
            return verdict.usage["x"]
        case "usage_negative":
            return negative(verdict.violation_message)
        case "usage_fault":
            return faulted(verdict.violation_message)
    return refused(verdict.violation_message)


def meant(text: str, names: dict[str, Any], values: dict[str, Any], result: expr.Type) -> Any:
    """The same by the definition of the language."""
    try:
        found = expr.compile(text, names, result).evaluate(values)
    except ExpressionError as error:
        return "refused", error.facts.get("at")
    if type(found) is ExprFault:
        at = re.match(r"at character (\d+): ", found.text)
        assert at
        return "fault", found.code, int(at[1])
    return found


def condition_values(params: Any) -> dict[str, Any]:
    return {"params": params, "kind": KIND, "grant": "grants/test", "origin": ORIGIN, "now_ns": NOW_NS}


def meant_claim(text: str, params: Any) -> Any:
    return meant(text, CONDITION_NAMES, condition_values(params), BOOL)


def meant_int(text: str, params: Any) -> Any:
    return meant(text, CONDITION_NAMES, condition_values(params), INT)


def meant_usage(text: str, settling: dict[str, Any]) -> Any:
    """`settling` are the arguments of a Settle."""
    receipt = {key: settling[key] for key in ("status", "payload")} | {"adapter_id": "adapter"}
    if settling["cost_cents"] is not None:
        receipt["cost_cents"] = settling["cost_cents"]
    values = {"receipt": receipt, "payload": settling["payload"], "reserve": settling["reserve"]}
    return meant(text, USAGE_NAMES, condition_values(settling["params"]) | values, INT)


def agrees(found: Any, expected: Any) -> bool:
    """Alike in value and type."""
    return type(found) is type(expected) and found == expected
