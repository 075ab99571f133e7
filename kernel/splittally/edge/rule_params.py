"""The params of a grant whose enforcer is `sys/CapEnforceRules@1`, checked when the grant is made.

Rule 1. What the enforcer would refuse at the first intent is refused here, with the place in the grant,
        the character of an expression and what was expected there.
Rule 2. Nothing is changed: the enforcer compiles the same texts again, each time it is asked.
Rule 3. Only this release's module is known here; another one under another name reads its params itself.
"""

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from splittally.core import expr
from splittally.core.canonical import decode
from splittally.core.errors import ExpressionError, InvalidInput
from splittally.core.expr.syntax import Node, read
from splittally.core.limits import DENY_CODE_BYTES_MAX, NAME_BYTES_MAX, NATURAL_MAX, OUTPUT_DIMS_MAX
from splittally.core.state import State

RULES_MODULE = "sys/CapEnforceRules@1"
KINDS_MAX = 64
RULES_MAX = 64
VALUES_MAX = 1500  # keys and values of all params, notes included; the enforcer reads each up to three times
RULES_BYTES_MAX = 4096  # of all expressions of a grant: compiling them takes half of a call's fuel
RULES_PARTS_MAX = 500  # of the same; the module's memory holds no more
MESSAGE_BYTES_MAX = 256

KEYS = ("kinds", "rules", "reserve", "usage")
RULE_KEYS = ("deny", "require", "code", "message")

CONDITION_NAMES = {
    "params": expr.ANY,
    "kind": expr.STRING,
    "grant": expr.STRING,
    "origin": expr.record({"kind": expr.STRING, "name": expr.STRING}),
    "now_ns": expr.INT,
}
USAGE_NAMES = {
    **CONDITION_NAMES,
    "receipt": expr.record(
        {"status": expr.STRING, "adapter_id": expr.STRING, "payload": expr.ANY, "cost_cents": expr.INT}
    ),
    "payload": expr.ANY,
    "reserve": expr.map_of(expr.INT),
}

_KIND = re.compile(r"[^*]+?(\.\*)?", re.DOTALL)
_CODE = re.compile(r"[a-z][a-z0-9_]*")
# What the enforcers' SDK shows as it stands: no control, no bidirectional and no invisible code point.
_LEGIBLE = re.compile(
    "[\x20-\x7e\xa1-\xac\xae-\u034e\u0350-\u061b\u061d-\u115e\u1161-\u167f\u1681-\u17b3\u17b6-\u180a"
    "\u1810-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u2fff\u3001-\u3163\u3165-\ud7ff\uf900-\ufdff"
    "\ufe10-\ufefe\uff00-\uff9f\uffa1-\uffef\U00010000-\U0001bc9f\U0001bca4-\U0001d172"
    "\U0001d17b-\U000dffff]+"
)


def check_rules(state: State, enforcer: bytes, where: str, data: bytes) -> None:
    """Returns where the enforcer can read the sealed params `data`; `InvalidInput` names what it cannot.

    `where` is the place of the params, for the message. Params of another enforcer are not looked at.
    """
    if enforcer and enforcer == state.caps.modules.get(RULES_MODULE):
        _Rules(where).check(decode(data))


class _Rules:
    """One look at the params of a grant, which counts the bytes and parts of its expressions."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.bytes = 0
        self.parts = 0

    def check(self, params: Any) -> None:
        self._require_keys("", params, KEYS)
        if _values(params) > VALUES_MAX:
            self._refuse("", f"holds at most {VALUES_MAX} values and keys")
        kinds = self._list("kinds", params.get("kinds", []))
        if len(kinds) > KINDS_MAX:
            self._refuse("kinds", f"has at most {KINDS_MAX} kinds")
        for at, kind in enumerate(kinds):
            if type(kind) is not str or not _KIND.fullmatch(kind):
                self._refuse(f"kinds[{at}]", "is a kind, or a prefix that ends in `.*`")
        rules = self._list("rules", params.get("rules", []))
        if len(rules) > RULES_MAX:
            self._refuse("rules", f"has at most {RULES_MAX} rules")
        for at, rule in enumerate(rules):
            self._check_rule(f"rules[{at}]", rule)
        reserve, usage = (self._amounts(name, params.get(name, {})) for name in ("reserve", "usage"))
        if len({*reserve, *usage}) > OUTPUT_DIMS_MAX:
            self._refuse("reserve", f"and `usage` name at most {OUTPUT_DIMS_MAX} dimensions together")
        for name, amounts, names in (("reserve", reserve, CONDITION_NAMES), ("usage", usage, USAGE_NAMES)):
            for dim, amount in amounts.items():
                self._check_amount(f"{name}.{dim}", amount, names)

    def _check_rule(self, place: str, rule: Any) -> None:
        self._require_keys(place, rule, RULE_KEYS)
        forms = [form for form in ("deny", "require") if form in rule]
        if len(forms) != 1:
            self._refuse(place, "has either `deny` or `require`")
        code, message = rule.get("code", "denied"), rule.get("message", "denied")
        if type(code) is not str or len(code) > DENY_CODE_BYTES_MAX or not _CODE.fullmatch(code):
            self._refuse(f"{place}.code", f"is 1 to {DENY_CODE_BYTES_MAX} of a-z, 0-9 and _, a letter first")
        if not _is_message(message):
            self._refuse(
                f"{place}.message",
                f"is 1 to {MESSAGE_BYTES_MAX} bytes of visible text, its backticks in pairs",
            )
        self._check_expression(f"{place}.{forms[0]}", rule[forms[0]], CONDITION_NAMES, expr.BOOL)

    def _amounts(self, name: str, amounts: Any) -> Mapping[str, Any]:
        if type(amounts) is not dict:
            self._refuse(name, "maps dimensions to expressions or naturals")
        for dim in amounts:
            if not 0 < len(dim.encode()) <= NAME_BYTES_MAX:
                self._refuse(name, f"names dimensions of 1 to {NAME_BYTES_MAX} bytes")
        return amounts

    def _check_amount(self, place: str, amount: Any, names: Mapping[str, expr.Type]) -> None:
        if type(amount) is int and 0 <= amount <= NATURAL_MAX:
            self._count(place, 0, 1)
        else:
            self._check_expression(place, amount, names, expr.INT, "is an expression or a natural below 2^64")

    def _check_expression(
        self, place: str, text: Any, names: Mapping[str, expr.Type], result: expr.Type, what: str = ""
    ) -> None:
        if type(text) is not str:
            self._refuse(place, what or "is an expression")
        try:
            expr.compile(text, names, result)
        except ExpressionError as error:
            path = f"{self.where}.{place}"
            raise InvalidInput(f"`{path}`: {error}", field=path, **error.facts) from error
        self._count(place, len(text.encode()), _parts(read(text)))

    def _count(self, place: str, size: int, parts: int) -> None:
        self.bytes += size
        self.parts += parts
        if self.bytes > RULES_BYTES_MAX:
            self._refuse(place, f"is one too many: all expressions have {RULES_BYTES_MAX} bytes together")
        if self.parts > RULES_PARTS_MAX:
            self._refuse(place, f"is one too many: all expressions have {RULES_PARTS_MAX} parts together")

    def _list(self, place: str, value: Any) -> list[Any]:
        if type(value) is not list:
            self._refuse(place, "is an array")
        return value

    def _require_keys(self, place: str, value: Any, known: tuple[str, ...]) -> None:
        if type(value) is not dict:
            self._refuse(place, "is a table")
        for key in value:
            if key not in known and not (key.startswith("x-") and len(key) > 2):
                self._refuse(place, f"has no `{key}`; it has {', '.join(known)}")

    def _refuse(self, place: str, must: str) -> NoReturn:
        path = f"{self.where}.{place}" if place else self.where
        raise InvalidInput(f"`{path}` {must}", field=path)


def _is_message(message: Any) -> bool:
    if type(message) is not str or not _LEGIBLE.fullmatch(message):
        return False
    return len(message.encode()) <= MESSAGE_BYTES_MAX and message.count("`") % 2 == 0


def _values(value: Any) -> int:
    """How many values and keys are in a value, itself among them."""
    if type(value) is dict:
        return 1 + len(value) + sum(map(_values, value.values()))
    return 1 + sum(map(_values, value)) if type(value) is list else 1


def _parts(tree: Node) -> int:
    """How many parts the reader counts in a tree; a `has` was a key first and counts twice."""
    return (2 if tree.op == "has" else 1) + sum(map(_parts, tree.args))
