"""What the params of a grant may say under the modules of the release, asked when the grant is made.

A module denies every call under params that it cannot read, so that is said where they are written.

Rule 1. The table is that of the READMEs: the names a module knows, and what stands under each. What is
        inside is the module's own to read.
Rule 2. A name that begins with `x-` is a note. A module that is not of the release may read what it likes.
Rule 3. Params that were recorded are not looked at again: what was taken once goes on.

Example. `{"modls": ["m"]}` under `sys/llm@1`: "`grants.g.params` has no `modls`; did you mean `models`? ..."
"""

from collections.abc import Callable, Mapping
from typing import Any

from splittally.core.amounts import is_natural
from splittally.core.caps.rules import KEYS as RULES_KEYS
from splittally.core.caps.state import Caps
from splittally.core.errors import InvalidManifest
from splittally.core.prices import PRICES, SNAPSHOTS
from splittally.edge.quantities import refuse_unknown

NOTE = "x-"


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is str for item in value)


def _is_naturals(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_natural, value))


TEXT = ("text", lambda value: type(value) is str)
TEXTS = ("a list of texts", _is_texts)
NATURAL = ("a natural below 2^64", is_natural)
NATURALS = ("a list of naturals", _is_naturals)
INTEGER = ("an integer", lambda value: type(value) is int)
FLAG = ("true or false", lambda value: type(value) is bool)
MAP = ("a map", lambda value: isinstance(value, Mapping))
LIST = ("a list", lambda value: isinstance(value, list))
Kind = tuple[str, Callable[[Any], bool]]

_LLM: dict[str, Kind] = {
    "providers": TEXTS, "models": TEXTS, "tools": TEXTS, "max_tokens_max": NATURAL, "max_tokens": NATURAL,
    "default_tokens": NATURAL, "prices": MAP,
}  # fmt: skip
_RULES: dict[str, Kind] = dict(zip(RULES_KEYS, (TEXTS, LIST, MAP, MAP), strict=True))
PARAMS: dict[str, dict[str, Kind]] = {
    "sys/CapAllowAll@1": {"reserve": MAP},
    "sys/CapEnforceBlob@1": {"namespaces": TEXTS, "max_bytes": NATURAL},
    "sys/CapEnforceCost@1": {"kinds": TEXTS, "max_cost_cents": NATURAL, "dimension": TEXT},
    "sys/CapEnforceEmail@1": {
        "domains": TEXTS, "recipients": TEXTS, "from": TEXTS, "max_recipients": NATURAL, "max_bytes": NATURAL,
        "max_attachments": NATURAL,
    },
    "sys/CapEnforceFs@1": {
        "read": TEXTS, "write": TEXTS, "delete": TEXTS, "list": TEXTS, "base": TEXT, "max_bytes": NATURAL,
    },
    "sys/CapEnforceHttpOut@1": {
        "schemes": TEXTS, "hosts": TEXTS, "ports": NATURALS, "methods": TEXTS, "path_prefixes": TEXTS,
        "max_body_bytes": NATURAL, "allow_userinfo": FLAG,
    },
    "sys/CapEnforceLlm@1": _LLM | {"bounds": MAP},
    "sys/CapEnforceLlmBasic@1": _LLM,
    "sys/CapEnforceMcp@1": {"tools": LIST, "max_cost_cents": NATURAL},
    "sys/CapEnforceNative@1": {
        "operations": TEXTS, "accounts": TEXTS, "resources": TEXTS, "rank": TEXT, "rates": LIST,
    },
    "sys/CapEnforceRules@1": _RULES,
    "sys/CapEnforceRules@2": _RULES | {"program": MAP},  # which is dropped, and made anew
    "sys/CapEnforceShell@1": {"commands": LIST, "cwd": TEXTS, "env": TEXTS, "max_seconds": NATURAL},
    "sys/CapEnforceSpend@1": {
        "kinds": TEXTS, "resources": TEXTS, "purposes": TEXTS, "payees": TEXTS, "seasons": MAP,
        "offset_minutes": INTEGER, "failure_returns": LIST,
    },
    "sys/CapEnforceSql@1": {
        "classes": TEXTS, "tables": TEXTS, "functions": TEXTS, "require_where": FLAG, "allow_several": FLAG,
        "max_rows": NATURAL,
    },
}  # fmt: skip


def _is_beside(name: str, value: Any) -> bool:
    """Whether it is no param of the module: a note, or snapshots of prices, which the kernel reads."""
    return name.startswith(NOTE) or (name == PRICES and isinstance(value, Mapping) and SNAPSHOTS in value)


def require_known(caps: Caps, enforcer: bytes, where: str, params: Any) -> None:
    """Returns where this module knows all of these params; `InvalidManifest` names what it does not."""
    names = [name for name in PARAMS if enforcer and caps.modules.get(name) == enforcer]
    if not names or not isinstance(params, Mapping):
        return
    known = {key: kind for name in names for key, kind in PARAMS[name].items()}
    stated = {name: value for name, value in params.items() if not _is_beside(str(name), value)}
    refuse_unknown(f"`{where}`", stated, tuple(known))
    for name, value in stated.items():
        what, is_right = known[name]
        if value is not None and not is_right(value):
            raise InvalidManifest(f"`{where}.{name}` is {what}", field=f"{where}.{name}")
