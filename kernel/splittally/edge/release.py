"""What a release brings to every world: its modules, caps, kinds and the account value comes from.

Frame 0 records it, and `tally upgrade` records what a later release changes. A manifest uses these
names without listing them and cannot redefine them.
"""

from collections.abc import Collection, Mapping
from typing import Any

from splittally.core.canonical import encode
from splittally.core.caps.rules import COMPILING_MODULE, RUNNING_MODULE
from splittally.core.hashing import hash_module, hash_schema
from splittally.core.limits import LONG_PARAMS_BYTES_MAX, NATIVE_PARAMS_BYTES_MAX, PARAMS_BYTES_MAX
from splittally.core.native import NATIVE
from splittally.core.release_kinds import PRICE_KEYS, RELEASE_KINDS
from splittally.core.state import State
from splittally.core.types import CAP_ALL, CAP_ANY_TYPE, CAP_NATIVE_TYPE, CAP_SPEND, CAP_SPEND_TYPE, ISSUER
from splittally.edge.release_receipts import receipt_schema

LLM = "sys/CapEnforceLlm@1"

# cap -> the module that it had in earlier releases, which judges it for ever in the worlds of that time
BEFORE = {"sys/llm.basic@1": "sys/CapEnforceLlmBasic@1"}

# cap -> (type of cap, the module that judges it)
CAPS = {
    "sys/allow@1": (CAP_ANY_TYPE, "sys/CapAllowAll@1"),
    "sys/llm@1": ("llm.basic", LLM),
    "sys/llm.basic@1": ("llm.basic", LLM),
    "sys/http.out@1": ("http.out", "sys/CapEnforceHttpOut@1"),
    "sys/blob@1": ("blob", "sys/CapEnforceBlob@1"),
    "sys/cost@1": (CAP_ANY_TYPE, "sys/CapEnforceCost@1"),
    "sys/email@1": ("email", "sys/CapEnforceEmail@1"),
    "sys/fs@1": ("fs", "sys/CapEnforceFs@1"),
    "sys/mcp@1": ("mcp", "sys/CapEnforceMcp@1"),
    "sys/native@1": (CAP_NATIVE_TYPE, "sys/CapEnforceNative@1"),
    "sys/rules@1": (CAP_ANY_TYPE, COMPILING_MODULE),
    "sys/rules@2": (CAP_ANY_TYPE, RUNNING_MODULE),
    "sys/shell@1": ("shell", "sys/CapEnforceShell@1"),
    "sys/sql@1": ("sql", "sys/CapEnforceSql@1"),
    CAP_SPEND: (CAP_SPEND_TYPE, "sys/CapEnforceSpend@1"),
}

# kinds whose params may be long: whole conversations, and files that tools are told to write
LONG_KINDS = ("llm.generate", "mcp.call", "tool.call")

_NATURAL = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_TEXT_BY_NAME = {"type": "object", "additionalProperties": _TEXT}
_FILE = {"type": "object", "required": ["path"], "properties": {"path": _TEXT, "bytes": _NATURAL}}
_AMOUNTS = {"type": "object", "additionalProperties": _NATURAL, "maxProperties": 64}
_SHARE = {"type": "array", "items": _NATURAL, "minItems": 2, "maxItems": 2}

# kind -> the schema of its params
SCHEMAS: dict[str, dict[str, Any]] = {
    "llm.generate": {
        "type": "object",
        "properties": {
            "provider": _TEXT,
            "model": _TEXT,
            "max_tokens": _NATURAL,
            "prompt_tokens": _NATURAL,
            "messages": {"type": "array"},
            "tools": {"type": "array"},
            "api_key": {"x-secret": True},
        },
    },
    "http.request": {
        "type": "object",
        "required": ["url"],
        "properties": {
            "url": _TEXT,
            "method": _TEXT,
            "body_bytes": _NATURAL,
            "headers": _TEXT_BY_NAME,
            "authorization": {"x-secret": True},
        },
    },
    "blob.put": {"type": "object", "properties": {"namespace": _TEXT, "key": _TEXT, "size": _NATURAL}},
    "blob.get": {"type": "object", "properties": {"namespace": _TEXT, "key": _TEXT, "size": _NATURAL}},
    "email.send": {
        "type": "object",
        "properties": {
            "to": _TEXTS,
            "cc": _TEXTS,
            "bcc": _TEXTS,
            "from": _TEXT,
            "subject": _TEXT,
            "headers": _TEXT_BY_NAME,
            "attachments": {"type": "array"},
            "bytes": _NATURAL,
        },
    },
    "fs.read": _FILE,
    "fs.write": _FILE,
    "fs.delete": _FILE,
    "fs.list": _FILE,
    "mcp.call": {
        "type": "object",
        "required": ["server", "tool"],
        "properties": {"server": _TEXT, "tool": _TEXT, "arguments": {"type": "object"}},
    },
    "tool.call": {
        "type": "object",
        "required": ["tool"],
        "properties": {"tool": _TEXT, "arguments": {"type": "object"}},
    },
    "shell.run": {
        "type": "object",
        "required": ["argv"],
        "properties": {
            "argv": _TEXTS | {"minItems": 1},
            "cwd": _TEXT,
            "env": _TEXT_BY_NAME,
            "timeout_seconds": _NATURAL,
        },
    },
    "sql.execute": {
        "type": "object",
        "required": ["statement"],
        "properties": {
            "statement": _TEXT,
            "parameters": {"type": ["array", "object"]},
            "max_rows": _NATURAL,
        },
    },
    "task.post": {
        "type": "object",
        "required": ["result", "amounts"],
        "properties": {
            "result": {"type": "string", "minLength": 1},
            "amounts": _AMOUNTS,
            "compute": _AMOUNTS,
            "qualifying": _AMOUNTS,
            "title": _TEXT,
            "purpose": _TEXT,
            "payee": _TEXT,
            "time": {"type": "object", "properties": {"deadline_ns": _NATURAL, "hours": _NATURAL}},
            "failure_returns": _SHARE,
            "part_of": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
            "criteria": {"type": "array"},
        },
    },
}


def _with_nulls(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of params in which null stands for an optional one that is absent."""
    optional = {
        name: each | {"type": [*([each["type"]] if type(each["type"]) is str else each["type"]), "null"]}
        for name, each in schema["properties"].items()
        if "type" in each and name not in schema.get("required", ())
    }
    return schema | {"properties": schema["properties"] | optional}


# kind -> (type of cap, schema of its params)
KINDS = {kind: (cap_type, _with_nulls(SCHEMAS[kind])) for kind, cap_type in RELEASE_KINDS.items()}


def caps_before(state: State) -> set[str]:
    """The caps that a module of an earlier release judges in this world: no upgrade re-points them."""
    now = state.caps.modules.get(LLM)
    return {name for name in BEFORE if name in state.caps.caps and state.caps.caps[name].enforcer != now}


def release_manifest(modules: Mapping[str, bytes], before: Collection[str] = ()) -> bytes:
    """The release as the canonical bytes of a manifest; `modules` maps names to Wasm.

    `before` are the caps that keep the module of an earlier release.
    """
    caps: dict[str, Any] = {CAP_ALL: {"cap_type": CAP_ANY_TYPE, "enforcer": b""}}
    for name, (cap_type, module) in CAPS.items():
        judge = BEFORE[name] if name in before else module
        caps[name] = {"cap_type": cap_type, "enforcer": hash_module(modules[judge])}
    effects: dict[str, Any] = {
        kind: {"cap_type": CAP_NATIVE_TYPE, "params_bytes_max": NATIVE_PARAMS_BYTES_MAX} for kind in NATIVE
    }
    schemas: list[bytes] = []
    for kind, (cap_type, schema) in KINDS.items():
        data = encode(schema)
        schemas.append(data)
        kept = encode(receipt_schema(kind))
        schemas.append(kept)
        effects[kind] = {
            "cap_type": cap_type,
            "params_schema": hash_schema(data),
            "receipt_schema": hash_schema(kept),
            "params_bytes_max": LONG_PARAMS_BYTES_MAX if kind in LONG_KINDS else PARAMS_BYTES_MAX,
        }
        if kind in PRICE_KEYS:
            effects[kind]["price_key"] = PRICE_KEYS[kind]
    return encode(
        {
            "accounts": {ISSUER: 0},
            "caps": caps,
            "effects": effects,
            "modules": {name: hash_module(wasm) for name, wasm in modules.items()},
            "schemas": schemas,
            "wasm": [modules[name] for name in sorted(modules)],
        }
    )
