"""The manifests of the tour: one of each kind of definition, and a grant for each kind of limit."""

from typing import Any

from tests.golden_teller import DAY_ONE, SECOND

HOUR, DAY = 3_600, 86_400
NATURAL_MAX = 2**64 - 1
MILL_PRICES = {"dimension": "USD", "max_cost_cents": 500}
MAIL_SCHEMA = {
    "type": "object",
    "required": ["to"],
    "properties": {"to": {"type": "string"}, "copies": {"type": "integer"}, "body": {"type": "string"}},
}

DEFINITIONS: dict[str, Any] = {
    "resources": {"USD": 2},
    "accounts": {"accounts/team": {}, "accounts/credit": 2_000, "vendors/mill": {}, "vendors/post": {}},
    "effects": {
        "mail.send": {
            "cap_type": "mail",
            "params_schema": MAIL_SCHEMA,
            "receipt_schema": {"type": "object", "required": ["delivered"]},
            "adapters": ["mailer"],
            "params_bytes_max": 200,
        },
        "mill.run": {
            "cap_type": "mill",
            "receipt_schema": {"type": "object", "properties": {"password": {"x-secret": True}}},
        },
    },
    "modules": {"acme/AllowMail@1": "sys/CapAllowAll@1"},
    "caps": {
        "acme/mail@1": {"enforcer": "acme/AllowMail@1", "cap_type": "mail"},
        "acme/mill@1": {"enforcer": "sys/CapEnforceCost@1", "cap_type": "mill"},
        "acme/fee@1": {"enforcer": "sys/CapEnforceCost@1", "cap_type": "native"},
    },
}

GRANTS: dict[str, Any] = {
    "llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}, "params": {"models": ["m"]}},
    "team": {"cap": "sys/llm.basic@1", "budget": {"tokens": 200}, "delegations": 2},
    "alice_llm": {"cap": "sys/llm.basic@1", "holder": "alice", "parent": "team", "delegations": 1},
    "alice_mail": {"cap": "acme/mail@1", "holder": "alice"},
    "alice_native": {
        "cap": "sys/native@1", "holder": "alice",
        "params": {"operations": ["approval.answer", "ledger.*", "manifest.apply"]},
    },
    "petty": {
        "cap": "sys/native@1", "holder": "alice",
        "params": {
            "operations": ["ledger.*"], "accounts": ["accounts/team", "vendors/*"], "resources": ["USD"],
        },
    },
    "fee": {
        "cap": "acme/fee@1", "holder": "alice",
        "params": {"max_cost_cents": 5}, "budget": {"cost_cents": 12},
    },
    "short": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}, "expiry_ns": DAY_ONE + HOUR * SECOND,
              "hold_ns_max": "10m"},
    "limits": {
        "cap": "sys/llm.basic@1",
        "limits": [
            {"dim": "tokens", "per": "intent", "amount": 90},
            {"dim": "tokens", "per": "day", "amount": 100, "rollover": "50%"},
            {"dim": "tokens", "per": "week", "amount": 220},
            {"dim": "tokens", "per": "60s", "amount": 60, "over": "defer"},
            {"dim": "tokens", "per": "day", "amount": 40, "over": "tell"},
            {"dim": "tokens", "per": "day", "amount": 50, "over": "shadow"},
            {"dim": "tokens", "per": "intent", "amount": 45, "over": "ask"},
        ],
        "approval_ns": "5m",
    },
    "mill": {
        "cap": "acme/mill@1", "params": MILL_PRICES, "budget": {"USD": 20_000},
        "draws_on": {"USD": "accounts/team"}, "pays_to": ["vendors/mill", "vendors/"],
        "unknown_ns": "10m", "delegations": 1,
    },
    "mill_cap": {
        "cap": "acme/mill@1", "params": MILL_PRICES, "above": "cap", "doubt": "payee",
        "draws_on": {"USD": "accounts/team"}, "pays_to": ["vendors/mill"], "unknown_ns": "10m",
    },
    "mill_debt": {
        "cap": "acme/mill@1", "params": MILL_PRICES, "above": "debt",
        "draws_on": {"USD": "accounts/credit"}, "pays_to": ["vendors/mill"],
    },
    "mill_free": {"cap": "acme/mill@1", "params": MILL_PRICES, "draws_on": {"USD": "accounts/team"}},
    "meter": {"cap": "sys/cost@1", "budget": {"cost_cents": NATURAL_MAX}},
    "purse": {"cap": "sys/cost@1", "budget": {"cost_cents": 10}},
}  # fmt: skip

FIRST: dict[str, Any] = {**DEFINITIONS, "grants": GRANTS}

POLICY: list[dict[str, Any]] = [
    {"name": "no-downloads", "decision": "deny", "match": {"effect_kind": "blob.get"}},
    {"name": "boss", "decision": "require_approval", "effect_kind": "mail.send",
     "when": 'params.to == "boss"'},
    {"name": "few-copies", "decision": "allow", "effect_kind": "mail.send",
     "when": "params.copies < 3", "rate": {"per": "60s", "amount": 2}},
    {"name": "models", "decision": "allow", "effect_kind": "llm.generate"},
    {"name": "mill", "decision": "allow", "cap_type": "mill"},
    {"name": "hiring", "decision": "allow", "effect_kind": "grant.issue"},
    {"name": "native", "decision": "allow", "cap_type": "native"},
]  # fmt: skip
