"""The rules of a grant, and the program of them that its enforcer runs (spec/enforcers.md).

Rule 1. Rules are compiled once, when a grant's terms become a record: texts and program stand in its
        params, and the enforcer runs the program. Who audits compiles again and compares.
Rule 2. A program that a caller sends is dropped: only the kernel's own is recorded.
Rule 3. What does not compile is refused with its place in the grant, the character and what was expected.
Rule 4. Only the modules of the release are known here; params of another enforcer are not looked at.

`{"rules": [{"deny": "size(params.to) > 3"}], "reserve": {"mails": 1}}` gets

    "program": {"rules": [<code>], "reserve": {"mails": 1}, "usage": {}}
"""

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from splittally.core import expr
from splittally.core.amounts import fits
from splittally.core.canonical import decode, encode
from splittally.core.caps.grants import GrantTerms
from splittally.core.caps.state import NO_PARAMS, Caps
from splittally.core.errors import ExpressionError, InvalidInput, SplittallyError
from splittally.core.findings import Finding, find
from splittally.core.limits import DENY_CODE_BYTES_MAX, NAME_BYTES_MAX, OUTPUT_DIMS_MAX

COMPILING_MODULE = "sys/CapEnforceRules@1"  # compiles the texts itself, each time it is asked
RUNNING_MODULE = "sys/CapEnforceRules@2"  # runs the program
KINDS_MAX = 64
RULES_MAX = 64
VALUES_MAX = 1500  # keys and values of all params, notes included; an enforcer reads each up to three times
RULES_BYTES_MAX = 4096  # of all expressions of a grant: `COMPILING_MODULE` takes half of its fuel for them
RULES_PARTS_MAX = 500  # of the same; the memory of `COMPILING_MODULE` holds no more
COMPILED_BYTES_MAX = 16 * 1024  # of params with their program: an enforcer takes 24 KiB with the intent's
MESSAGE_BYTES_MAX = 256

PROGRAM = "program"
KEYS = ("kinds", "rules", "reserve", "usage")
RULE_KEYS = ("deny", "require", "code", "message")

# The order is that in which the enforcer has the values: programs name them by their place.
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


def recorded_terms(caps: Caps, terms: GrantTerms) -> GrantTerms:
    """The terms as they are recorded: with the program of their rules where their enforcer runs one.

    Only for terms in which `check_rules` has found nothing.
    """
    if not _is_judged_by(caps, _enforcer(caps, terms), RUNNING_MODULE):
        return terms
    return msgspec.structs.replace(terms, params=compile_rules(terms.params or NO_PARAMS, "params"))


def check_rules(caps: Caps, terms: GrantTerms, where: str) -> list[Finding]:
    """Whether the rules of a grant compile, where its enforcer reads rules; the terms stand at `where`."""
    try:
        require_rules(caps, _enforcer(caps, terms), f"{where}.params", terms.params or NO_PARAMS)
    except SplittallyError as error:
        return [find("params.invalid", message=str(error), **error.facts)]
    return []


def require_rules(caps: Caps, enforcer: bytes, where: str, params: bytes) -> None:
    """Returns where the enforcer can read these params; `InvalidInput` names what it cannot and its place."""
    if _is_judged_by(caps, enforcer, RUNNING_MODULE):
        compile_rules(params, where)
    elif _is_judged_by(caps, enforcer, COMPILING_MODULE):
        _Compiler(where).compile(decode(params))


def compile_rules(params: bytes, where: str) -> bytes:
    """The params with the program of their rules; `InvalidInput` names the place of what does not compile."""
    texts = decode(params)
    if type(texts) is dict:
        texts.pop(PROGRAM, None)
    compiler = _Compiler(where)
    program = compiler.compile(texts)
    compiled = encode({**texts, PROGRAM: program})
    if len(compiled) > COMPILED_BYTES_MAX:
        compiler.refuse("", f"has at most {COMPILED_BYTES_MAX} bytes with its program, not {len(compiled)}")
    return compiled


def _enforcer(caps: Caps, terms: GrantTerms) -> bytes:
    cap = caps.caps.get(terms.cap)
    return cap.enforcer if cap is not None else b""


def _is_judged_by(caps: Caps, enforcer: bytes, module: str) -> bool:
    return bool(enforcer) and enforcer == caps.modules.get(module)


class _Compiler:
    """One look at the params of a grant, which counts the bytes and parts of its expressions."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.bytes = 0
        self.parts = 0

    def compile(self, params: Any) -> dict[str, Any]:
        """The program of all rules and amounts: code for each, in the order and under the names they have."""
        self._require_keys("", params, KEYS)
        if _values(params) > VALUES_MAX:
            self.refuse("", f"holds at most {VALUES_MAX} values and keys")
        self._check_kinds(self._list("kinds", params.get("kinds", [])))
        rules = self._list("rules", params.get("rules", []))
        if len(rules) > RULES_MAX:
            self.refuse("rules", f"has at most {RULES_MAX} rules")
        codes = [self._rule(f"rules[{at}]", rule) for at, rule in enumerate(rules)]
        reserve, usage = (self._amounts(name, params.get(name, {})) for name in ("reserve", "usage"))
        if len({*reserve, *usage}) > OUTPUT_DIMS_MAX:
            self.refuse("reserve", f"and `usage` name at most {OUTPUT_DIMS_MAX} dimensions together")
        return {
            "rules": codes,
            "reserve": {
                dim: self._amount(f"reserve.{dim}", x, CONDITION_NAMES) for dim, x in reserve.items()
            },
            "usage": {dim: self._amount(f"usage.{dim}", x, USAGE_NAMES) for dim, x in usage.items()},
        }

    def _check_kinds(self, kinds: list[Any]) -> None:
        if len(kinds) > KINDS_MAX:
            self.refuse("kinds", f"has at most {KINDS_MAX} kinds")
        for at, kind in enumerate(kinds):
            if type(kind) is not str or not _KIND.fullmatch(kind):
                self.refuse(f"kinds[{at}]", "is a kind, or a prefix that ends in `.*`")

    def _rule(self, place: str, rule: Any) -> bytes:
        """The code of a rule: true where it denies."""
        self._require_keys(place, rule, RULE_KEYS)
        forms = [form for form in ("deny", "require") if form in rule]
        if len(forms) != 1:
            self.refuse(place, "has either `deny` or `require`")
        code, message = rule.get("code", "denied"), rule.get("message", "denied")
        if type(code) is not str or len(code) > DENY_CODE_BYTES_MAX or not _CODE.fullmatch(code):
            self.refuse(f"{place}.code", f"is 1 to {DENY_CODE_BYTES_MAX} of a-z, 0-9 and _, a letter first")
        if not _is_message(message):
            self.refuse(
                f"{place}.message",
                f"is 1 to {MESSAGE_BYTES_MAX} bytes of visible text, its backticks in pairs",
            )
        (form,) = forms
        text = self._text(f"{place}.{form}", rule[form], "is an expression")
        return self._code(f"{place}.{form}", text, CONDITION_NAMES, expr.BOOL, form == "require")

    def _amounts(self, name: str, amounts: Any) -> Mapping[str, Any]:
        if type(amounts) is not dict:
            self.refuse(name, "maps dimensions to expressions or naturals")
        for dim in amounts:
            if not 0 < len(dim.encode()) <= NAME_BYTES_MAX:
                self.refuse(name, f"names dimensions of 1 to {NAME_BYTES_MAX} bytes")
        return amounts

    def _amount(self, place: str, amount: Any, names: Mapping[str, expr.Type]) -> bytes | int:
        """The code of an amount, or the natural that stands for itself."""
        if type(amount) is int and fits(amount):
            self._count(place, 0, 1)
            return amount
        text = self._text(place, amount, "is an expression or a natural below 2^64")
        return self._code(place, text, names, expr.INT)

    def _text(self, place: str, text: Any, must: str) -> str:
        if type(text) is not str:
            self.refuse(place, must)
        return text

    def _code(
        self,
        place: str,
        text: str,
        names: Mapping[str, expr.Type],
        result: expr.Type,
        is_denied: bool = False,
    ) -> bytes:
        try:
            program = expr.program(text, names, result, is_denied)
        except ExpressionError as error:
            path = f"{self.where}.{place}"
            raise InvalidInput(f"`{path}`: {error}", field=path, **error.facts) from error
        self._count(place, len(text.encode()), program.parts)
        return program.code

    def _count(self, place: str, size: int, parts: int) -> None:
        self.bytes += size
        self.parts += parts
        if self.bytes > RULES_BYTES_MAX:
            self.refuse(place, f"is one too many: all expressions have {RULES_BYTES_MAX} bytes together")
        if self.parts > RULES_PARTS_MAX:
            self.refuse(place, f"is one too many: all expressions have {RULES_PARTS_MAX} parts together")

    def _list(self, place: str, value: Any) -> list[Any]:
        if type(value) is not list:
            self.refuse(place, "is an array")
        return value

    def _require_keys(self, place: str, value: Any, known: tuple[str, ...]) -> None:
        if type(value) is not dict:
            self.refuse(place, "is a table")
        for key in value:
            if key not in known and not (key.startswith("x-") and len(key) > 2):
                self.refuse(place, f"has no `{key}`; it has {', '.join(known)}")

    def refuse(self, place: str, must: str) -> NoReturn:
        """Raises `InvalidInput` for what stands at a place of the params."""
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
