"""The ABI of every built-in enforcer, and the calls that the other tests of enforcers are made of."""

import sys
import unicodedata
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.abi import CheckVerdict, Fault, SettleVerdict, read_check, read_settle
from splittally.core.canonical import decode, encode
from splittally.core.caps.rules import compile_rules
from splittally.core.limits import DENY_CODE_BYTES_MAX, DENY_MESSAGE_BYTES_MAX
from splittally.sandbox import ReferenceSandbox, builtin, failed_checks
from splittally_enforcers.build import MODULES

ALLOW, BLOB, COST = "sys/CapAllowAll@1", "sys/CapEnforceBlob@1", "sys/CapEnforceCost@1"
HTTP, LLM, NATIVE = "sys/CapEnforceHttpOut@1", "sys/CapEnforceLlm@1", "sys/CapEnforceNative@1"
LLM_BASIC = "sys/CapEnforceLlmBasic@1"
RULES, RULES_1, SPEND = "sys/CapEnforceRules@2", "sys/CapEnforceRules@1", "sys/CapEnforceSpend@1"
EMAIL, FS, MCP = "sys/CapEnforceEmail@1", "sys/CapEnforceFs@1", "sys/CapEnforceMcp@1"
SHELL, SQL = "sys/CapEnforceShell@1", "sys/CapEnforceSql@1"
NAMES = tuple(MODULES)
INPUT_BYTES_BUILTIN_MAX = 24 * 1024
LONG_INPUTS = {LLM: 400 * 1024, MCP: 340 * 1024}  # a whole conversation, a file that a tool writes
TYPICAL_FUEL_MAX = 25_000  # of CHECK_FUEL_MAX = 2,000,000; about 3,000 is the copying of message texts
RUNNING_FUEL_MAX = 18_000  # of rules whose program is run
COMPILING_FUEL_MAX = 60_000  # of rules whose enforcer compiles them each time
NATURAL_MAX = 2**64 - 1
NOW_NS = 1_700_000_000_000_000_000
words = str.split


@cache
def sandbox() -> ReferenceSandbox:
    return ReferenceSandbox()


@cache
def module(name: str) -> bytes:
    return sandbox().load(builtin(name))


def judge(name: str, data: bytes) -> bytes | Fault:
    return sandbox().judge(module(name), data)


def as_bytes(value: Any) -> bytes:
    return value if type(value) is bytes else encode(value)


def check_body(kind: str, cap: Any, params: Any, now_ns: int = NOW_NS) -> dict[str, Any]:
    return {
        "cap_def": "sys/test@1",
        "grant_name": "grants/test",
        "cap_params": as_bytes(cap),
        "effect_kind": kind,
        "effect_params": as_bytes(params),
        "origin": {"kind": "plan", "name": "host/operator@1"},
        "logical_now_ns": now_ns,
    }


def settle_body(
    kind: str,
    cap: Any,
    params: Any,
    reserve: dict[str, int],
    payload: Any,
    status: str = "ok",
    cost_cents: int | None = None,
) -> dict[str, Any]:
    receipt: dict[str, Any] = {"status": status, "adapter_id": "adapter", "payload": as_bytes(payload)}
    if cost_cents is not None:
        receipt["cost_cents"] = cost_cents
    settling = {"intent_hash": bytes(32), "reserve_estimate": reserve, "receipt": receipt}
    return check_body(kind, cap, params) | settling


def check(name: str, kind: str, cap: Any, params: Any, now_ns: int = NOW_NS) -> CheckVerdict:
    """The verdict on a Check; the test fails when the module gave none."""
    answer = judge(name, encode({"Check": check_body(kind, cap, params, now_ns)}))
    assert isinstance(answer, bytes), answer
    verdict = read_check(answer)
    assert isinstance(verdict, CheckVerdict), answer
    return verdict


def settle(
    name: str,
    kind: str,
    cap: Any,
    params: Any,
    reserve: dict[str, int],
    payload: Any,
    status: str = "ok",
    cost_cents: int | None = None,
) -> SettleVerdict:
    """The verdict on a Settle; the test fails when the module gave none."""
    body = settle_body(kind, cap, params, reserve, payload, status, cost_cents)
    answer = judge(name, encode({"Settle": body}))
    assert isinstance(answer, bytes), answer
    verdict = read_settle(answer)
    assert isinstance(verdict, SettleVerdict), answer
    return verdict


def compiled(cap: Any) -> Any:
    """Cap params as the kernel records them for `RULES`, with the program of their rules."""
    return decode(compile_rules(encode(cap), "params"))


RULES_CAP: dict[str, Any] = {
    "kinds": ["mail.send"],
    "rules": [
        {
            "deny": "size(params.to) > 3",
            "code": "too_many_recipients",
            "message": "at most 3 recipients",
        },
        {"require": "params.to[0].endsWith('@acme.com')"},
    ],
    "reserve": {"mails": 1, "cents": "params.budget_cents"},
    "usage": {"mails": "receipt.status == 'ok' ? 1 : 0", "cents": "payload.cost"},
}
MAIL: tuple[Any, ...] = (
    {"to": ["ops@acme.com"], "subject": "the weekly report", "budget_cents": 50},
    {"mails": 1, "cents": 50},
    {"cost": 40},
)

# One ordinary question for each enforcer: kind, cap params, params, reserve, payload.
TYPICAL: dict[str, tuple[str, Any, Any, dict[str, int], Any]] = {
    ALLOW: ("mail.send", {"reserve": {"mails": 1}}, {"to": "a@b.org"}, {"mails": 1}, {"usage": {"mails": 1}}),
    BLOB: (
        "blob.put",
        {"namespaces": ["reports", "scratch"], "max_bytes": 1_000_000},
        {"namespace": "reports", "key": "2026/11/summary.pdf", "size": 4096},
        {"bytes": 4096},
        {"size": 4096},
    ),
    COST: ("mail.send", {"max_cost_cents": 20}, {"to": "a@b.org"}, {"cost_cents": 20}, {}),
    EMAIL: (
        "email.send",
        {"domains": ["example.org", "*.example.com"], "from": ["bot@example.org"], "max_recipients": 5},
        {"to": ["ann@example.org"], "from": "bot@example.org", "subject": "Report", "bytes": 2048},
        {"mails": 1, "recipients": 1, "bytes": 2048},
        {"recipients": 1, "bytes": 2048},
    ),
    FS: (
        "fs.read",
        {"read": ["/data", "/etc/agent"], "write": ["/data/out"], "max_bytes": 1_000_000},
        {"path": "/data/2026/11/./report.csv", "bytes": 4096},
        {"calls": 1, "bytes_read": 4096},
        {"bytes": 4000},
    ),
    HTTP: (
        "http.request",
        {"hosts": ["api.example.com"], "schemes": ["https"], "methods": ["GET"], "path_prefixes": ["/v1"]},
        {"url": "https://api.example.com/v1/items?limit=50", "method": "GET"},
        {"requests": 1, "bytes": 0},
        {"bytes_sent": 0, "bytes_received": 5120},
    ),
    **dict.fromkeys(
        (LLM, LLM_BASIC),
        (
            "llm.generate",
            {
                "models": ["gpt-x"],
                "max_tokens_max": 4096,
                "prices": {"resource": "usd", "prompt": 3, "completion": 9},
            },
            {"model": "gpt-x", "max_tokens": 512, "prompt_tokens": 900, "provider": "acme"},
            {"tokens": 1412, "usd": 1},
            {"prompt_tokens": 850, "completion_tokens": 300},
        ),
    ),
    MCP: (
        "mcp.call",
        {
            "tools": [
                {"server": "search", "tool": "*"},
                {
                    "server": "files",
                    "tool": "read_*",
                    "arguments": {"path": {"under": ["/data"]}},
                    "only": True,
                },
            ],
            "max_cost_cents": 5,
        },
        {"server": "files", "tool": "read_file", "arguments": {"path": "/data/report.csv"}},
        {"calls": 1, "cost_cents": 5},
        {},
    ),
    NATIVE: (
        "ledger.transfer",
        {"operations": ["ledger.*"], "accounts": ["accounts/team/*"], "resources": ["usd"]},
        {"from": "accounts/team/a", "to": "accounts/team/b", "resource": "usd", "amount": 5},
        {},
        {},
    ),
    RULES: ("mail.send", compiled(RULES_CAP), *MAIL),
    RULES_1: ("mail.send", RULES_CAP, *MAIL),
    SHELL: (
        "shell.run",
        {
            "commands": [["git", "status"], ["git", "log", "--max-count=*", "*"], ["ls", "**"]],
            "cwd": ["/repo"],
            "env": ["LANG"],
            "max_seconds": 60,
        },
        {"argv": ["git", "log", "--max-count=5", "main"], "cwd": "/repo/src", "env": {"LANG": "C"}},
        {"runs": 1, "seconds": 60},
        {"seconds": 2},
    ),
    SQL: (
        "sql.execute",
        {"classes": ["select"], "tables": ["public.*", "orders"], "max_rows": 1000},
        {"statement": "SELECT id, total FROM orders WHERE customer = $1 ORDER BY id", "max_rows": 50},
        {"statements": 1, "rows": 50},
        {"rows": 7},
    ),
    SPEND: (
        "task.post",
        {
            "resources": ["USD", "API-Credits"],
            "purposes": ["ads"],
            "payees": ["vendors/*"],
            "failure_returns": [4, 5],
        },
        {
            "result": "a banner of 300 by 250 pixels",
            "amounts": {"USD": 100_000},
            "compute": {"API-Credits": 50},
            "purpose": "ads",
            "payee": "vendors/mill",
        },
        {"USD": 100_000, "API-Credits": 50},
        {"amounts": {"USD": 90_000}},
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_built_in_passes_every_admission_check(name: str) -> None:
    assert failed_checks(builtin(name)) == {}


@pytest.mark.req("S4-31", "S4-32")
@pytest.mark.parametrize("name", NAMES)
def test_an_ordinary_question_is_answered_within_the_fuel_of_a_typical_input(name: str) -> None:
    kind, cap, params, reserve, payload = TYPICAL[name]
    most = {RULES: RUNNING_FUEL_MAX, RULES_1: COMPILING_FUEL_MAX}.get(name, TYPICAL_FUEL_MAX)
    verdict = check(name, kind, cap, params)
    assert (verdict.deny_code, verdict.reserve) == ("", reserve)
    assert sandbox().fuel_used <= most
    assert settle(name, kind, cap, params, reserve, payload).violation_code == ""
    assert sandbox().fuel_used <= most


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_an_input_is_taken_up_to_its_bound(name: str, over: int) -> None:
    most = LONG_INPUTS.get(name, INPUT_BYTES_BUILTIN_MAX)
    kind, cap, params, _, _ = TYPICAL[name]
    filler = 1000 if name not in LONG_INPUTS else 100_000  # whose head is as long as that of the whole
    empty = len(encode({"Check": check_body(kind, cap, params | {"zz-filler": "a" * filler})})) - filler
    filled = params | {"zz-filler": "a" * (most + over - empty)}
    data = encode({"Check": check_body(kind, cap, filled)})
    answer = judge(name, data)
    assert len(data) == most + over
    if over > 0:
        assert answer == Fault("over_limit")
    else:
        assert isinstance(answer, bytes)
        assert isinstance(read_check(answer), CheckVerdict)


@pytest.mark.req("S4-17")
@pytest.mark.parametrize("name", [BLOB, EMAIL, FS, HTTP, LLM, LLM_BASIC, MCP, NATIVE, SHELL, SPEND, SQL])
def test_a_foreign_kind_is_denied_and_its_receipt_uses_nothing(name: str) -> None:
    _, cap, params, reserve, payload = TYPICAL[name]
    verdict = check(name, "acme.other", cap, params)
    assert (verdict.deny_code, verdict.reserve) == ("effect_kind_mismatch", {})
    assert "`acme.other`" in verdict.deny_message
    settled = settle(name, "acme.other", cap, params, reserve, payload)
    assert (settled.violation_code, settled.usage) == ("effect_kind_mismatch", {})


@pytest.mark.parametrize("name", [name for name in NAMES if name != ALLOW])
def test_a_misspelt_restriction_denies_because_it_would_restrict_nothing(name: str) -> None:
    kind, cap, params, _, _ = TYPICAL[name]
    verdict = check(name, kind, cap | {"modles": ["gpt-x"]}, params)
    assert verdict.deny_code == "cap_params_invalid"
    assert "`modles`" in verdict.deny_message
    assert check(name, kind, cap | {"x-note": "for the team"}, params).deny_code == ""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "broken", [b"", b"\xa0\x00", b"\xf6", b"\x80", b"\xbf\xff", b"\xa2\x61b\x00\x61a\x00"]
)
def test_unreadable_bytes_are_answered_not_trapped(name: str, broken: bytes) -> None:
    kind, cap, params, reserve, _ = TYPICAL[name]
    assert check(name, kind, broken, params).deny_code == "cap_params_invalid"
    if name not in (ALLOW, COST):
        assert check(name, kind, cap, broken).deny_code == "params_invalid"
    settled = settle(name, kind, cap, params, reserve, broken)
    if name not in (COST, MCP, NATIVE):
        used = (
            reserve if name in (LLM, RULES, RULES_1, SPEND) else {}
        )  # paid for unless the receipt says otherwise
        assert (settled.violation_code, settled.usage) == ("receipt_unreadable", used)


# --- whatever bytes there are, the host gets an answer or a fault --------------------------------------

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), NATURAL_MAX),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.binary(max_size=12),
)
FIELDS = words(
    "above account accounts allow_several allow_userinfo amounts arguments argv attachments base batch bcc "
    "body_bytes bounds cached cached_tokens config content contents cost $digest generationConfig input "
    "input_tokens input_tokens_details maxOutputTokens n output_tokens row scale system thinkingBudget tiers "
    "tokens total_tokens usageMetadata source data media_type functionDeclarations "
    "bytes cc classes code commands completion compute criteria cwd default_tokens delete deny dimension "
    "domains env failure_returns from function functions gets headers hosts kinds list max_attachments "
    "max_body_bytes max_bytes max_cost_cents max_recipients max_rows max_seconds max_tokens "
    "max_tokens_max message messages method methods model models name namespace namespaces offset_minutes "
    "operations part_of path path_prefixes payee payees ports prices prompt prompt_tokens provider "
    "providers purpose purposes qualifying rank rate rates read recipients require require_where reserve "
    "resource resources result rows rules schemes seasons seconds server size statement subject tables "
    "time timeout_seconds title to tool tools url usage write"
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=6)), inner, max_size=6),
    ),
    max_leaves=12,
)
maps = st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=6)), values, max_size=6)


# Arabic, Kaithi and hieroglyph signs that Unicode calls formats although they are seen.
VISIBLE_FORMATS = {
    0x6DD,
    0x70F,
    0x890,
    0x891,
    0x8E2,
    0x110BD,
    0x110CD,
    *range(0x600, 0x606),
    *range(0x13430, 0x13440),
}


def is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    is_format = category in ("Cc", "Cf", "Co", "Zl", "Zp") or (category == "Zs" and character != " ")
    return is_format and ord(character) not in VISIBLE_FORMATS


def assert_fit(code: str, message: str) -> None:
    """Refusals are read by agents: bounded, on one line, nothing that ends a quotation."""
    assert 0 < len(code.encode()) <= DENY_CODE_BYTES_MAX
    assert 0 < len(message.encode()) <= DENY_MESSAGE_BYTES_MAX
    assert not any(is_hidden(character) for character in message)
    assert message.count("`") % 2 == 0


@given(name=st.sampled_from(NAMES), cap=maps, params=maps, payload=values, data=st.data())
def test_every_canonical_input_gets_a_well_formed_answer(
    name: str, cap: Any, params: Any, payload: Any, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from([TYPICAL[name][0], "acme.other"]))
    status = data.draw(st.sampled_from(["ok", "error", "timeout"]))
    reserve = data.draw(
        st.dictionaries(st.sampled_from(["tokens", "bytes", "usd"]), st.integers(0, NATURAL_MAX))
    )
    verdict = check(name, kind, cap, params)
    if verdict.deny_code:
        assert_fit(verdict.deny_code, verdict.deny_message)
    settled = settle(
        name, kind, cap, params, reserve, payload, status, data.draw(st.sampled_from([None, 0, 7]))
    )
    if settled.violation_code:
        assert_fit(settled.violation_code, settled.violation_message)


@given(name=st.sampled_from(NAMES), is_settle=st.booleans(), data=st.data())
def test_mutated_bytes_get_an_answer_or_a_fault(name: str, is_settle: bool, data: st.DataObject) -> None:
    kind, cap, params, reserve, payload = TYPICAL[name]
    body = settle_body(kind, cap, params, reserve, payload) if is_settle else check_body(kind, cap, params)
    message = bytearray(encode({"Settle" if is_settle else "Check": body}))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(message) - 1))
        match data.draw(st.sampled_from(["change", "drop", "add", "cut"])):
            case "change":
                message[at] = data.draw(st.integers(0, 255))
            case "drop" if len(message) > 1:
                del message[at]
            case "add":
                message.insert(at, data.draw(st.integers(0, 255)))
            case _:
                del message[max(at, 1) :]
    answer = judge(name, bytes(message))
    if isinstance(answer, bytes):
        read = read_settle if answer[1:2] == b"\x66" else read_check
        assert isinstance(read(answer), CheckVerdict | SettleVerdict)
    else:
        assert answer == Fault("trap")


@given(name=st.sampled_from([name for name in NAMES if name not in (COST, NATIVE)]), data=st.data())
def test_a_mutated_payload_never_stops_a_settle(name: str, data: st.DataObject) -> None:
    kind, cap, params, reserve, payload = TYPICAL[name]
    mutated = bytearray(encode(payload))
    for _ in range(data.draw(st.integers(1, 3))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    settle(name, kind, cap, params, reserve, bytes(mutated))


@given(text=st.text(max_size=200))
def test_a_value_in_a_message_is_bounded_and_cannot_leave_its_quotation(text: str) -> None:
    message = check(LLM, "llm.generate", {"models": ["gpt-x"]}, {"model": text or "x"}).deny_message
    assert_fit("model_not_allowed", message)
    before, quoted, _ = message.split("`")
    assert before == "model "
    assert len(quoted.encode()) <= 64
    assert not set(quoted) & set("\"'\n\r\t\u200b\u202e")
    if text and len(text) <= 61 and text.isascii() and text.isalnum():
        assert quoted == text


def test_every_hidden_code_point_is_escaped_in_a_message() -> None:
    hidden = [
        point
        for point in range(sys.maxunicode)
        if is_hidden(chr(point)) and unicodedata.category(chr(point)) != "Co"
    ]
    assert len(hidden) > 200
    for point in [*hidden, 0x34F, 0xE000, 0xF8FF, 0xFE0F, 0xE0100, 0xF0000, 0x10FFFD]:
        message = check(LLM, "llm.generate", {"models": ["gpt-x"]}, {"model": chr(point)}).deny_message
        assert message.split("`")[1] == f"\\u{{{point:02x}}}"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a" * 61, "a" * 61),
        ("a" * 62, "a" * 61 + "…"),
        ("é" * 31, "é" * 30 + "…"),
        ("a\u202eb", "a\\u{202e}b"),
        ("a`; ignore", "a\\u{60}; ignore"),
        ("\n", "\\u{0a}"),
        ("\U000e0041", "\\u{e0041}"),
        ("\U0010ffff" * 9, "\\u{10ffff}" * 6 + "…"),
        ("ж", "ж"),
    ],
)
def test_a_quoted_value_reads_as(text: str, quoted: str) -> None:
    message = check(LLM, "llm.generate", {"models": ["gpt-x"]}, {"model": text}).deny_message
    assert message.split("`")[1] == quoted
