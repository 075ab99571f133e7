"""Params that the release's own enforcers should admit under what a grant says, the likeliest first.

Rule 1. What a grant lists is taken from its list: models, hosts, paths, commands, purposes.
Rule 2. Nothing is promised: whether an effect is admitted the kernel says.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from splittally.core.prices import MODELS, PRICES

NUMBERS = (100, 10, 1)
_STATEMENTS = {
    "select": "SELECT a FROM {}",
    "insert": "INSERT INTO {} (a) VALUES (1)",
    "update": "UPDATE {} SET a = 1 WHERE b = 2",
    "delete": "DELETE FROM {} WHERE b = 2",
}
Params = Mapping[str, Any]
Made = list[dict[str, Any]]
Numbers = Sequence[int]


def _listed(params: Params, name: str, *others: str) -> list[str]:
    found = params.get(name)
    texts = [item for item in found if isinstance(item, str)] if isinstance(found, list) else []
    return texts or list(others)


def _filled(pattern: str) -> str:
    """A text that fits a pattern with stars."""
    return pattern.replace("**", "a").replace("*", "a")


def models_of(params: Params, tables: Sequence[Params]) -> list[str]:
    """The models that a grant lists, those that have a price first; else those that have one."""
    inline = params.get(PRICES)
    rows = [*tables, *([inline] if isinstance(inline, Mapping) else [])]
    priced = [name for row in rows for name in row.get(MODELS) or {}]
    listed = _listed(params, "models")
    both = [name for name in listed if name in priced]
    return list(dict.fromkeys([*both, *listed] or priced))


def _llm(params: Params, numbers: Numbers, tables: Sequence[Params]) -> Made:
    most = min((params[name] for name in ("max_tokens_max", "max_tokens") if name in params), default=None)
    sizes = [n if most is None else min(n, most) for n in numbers]
    base: dict[str, Any] = {}
    if _listed(params, "providers"):
        base["provider"] = _listed(params, "providers")[0]
    models = [_filled(name) for name in models_of(params, tables)] or ["a-model"]
    return [
        base | {"model": model, "max_tokens": size, "prompt_tokens": prompt}
        for size in dict.fromkeys(sizes)
        for model in models
        for prompt in (size, 0)
    ]


def _http(params: Params, numbers: Numbers, tables: Sequence[Params]) -> Made:
    scheme = _listed(params, "schemes", "https")[0]
    ports = params.get("ports") or [None]
    port = f":{ports[0]}" if ports[0] not in (None, 443, 80) else ""
    return [
        {"url": f"{scheme}://{_filled(host)}{port}{path}", "method": method, "body_bytes": size}
        for host in _listed(params, "hosts", "example.com")
        for method in _listed(params, "methods", "GET", "POST")
        for path in _listed(params, "path_prefixes", "/")
        for size in (*numbers, 0)
    ]


def _blob(params: Params, numbers: Numbers, tables: Sequence[Params]) -> Made:
    spaces = _listed(params, "namespaces", "a")
    return [{"namespace": space, "key": "a", "size": size} for space in spaces for size in numbers]


def _email(params: Params, numbers: Numbers, tables: Sequence[Params]) -> Made:
    people = _listed(params, "recipients") + [
        f"a@{name.lstrip('*.@')}" for name in _listed(params, "domains", "example.com")
    ]
    senders = _listed(params, "from", "me@example.com")
    return [
        {"to": [to], "from": _filled(sender), "subject": "a", "bytes": size}
        for to in people
        for sender in senders
        for size in numbers
    ]


def _fs(word: str) -> Callable[[Params, Numbers, Sequence[Params]], Made]:
    def made(params: Params, numbers: Numbers, tables: Sequence[Params]) -> Made:
        roots = [_filled(root).rstrip("/") for root in _listed(params, word, "/data")]
        return [
            {"path": f"{root}{end}", "bytes": size}
            for root in roots
            for end in ("/a", "")
            for size in numbers
        ]

    return made


def _mcp(params: Params, numbers: Numbers, tables: Sequence[Params]) -> Made:
    rules = params.get("tools") if isinstance(params.get("tools"), list) else None
    found = []
    for rule in rules or [{"tool": "a"}]:
        told = rule if isinstance(rule, Mapping) else {"tool": rule}
        arguments = {name: _argument(wanted) for name, wanted in (told.get("arguments") or {}).items()}
        named = {
            "server": _filled(str(told.get("server") or "a")),
            "tool": _filled(str(told.get("tool") or "a")),
        }
        found.append(named | {"arguments": {k: v for k, v in arguments.items() if v is not None}})
    return found


def _argument(wanted: Any) -> Any:
    """A value that an argument may have; None to leave it out."""
    if not isinstance(wanted, Mapping) or wanted.get("forbidden"):
        return None
    if "equals" in wanted:
        return wanted["equals"]
    if wanted.get("one_of"):
        return wanted["one_of"][0]
    if wanted.get("under"):
        return wanted["under"][0].rstrip("/") + "/a"
    if "min" in wanted or "max" in wanted:
        return wanted.get("min", min(1, wanted.get("max", 1)))
    return wanted.get("prefix", "a")


def _tool(params: Params, numbers: Numbers, tables: Sequence[Params]) -> Made:
    return [{k: v for k, v in made.items() if k != "server"} for made in _mcp(params, numbers, tables)]


def _shell(params: Params, numbers: Numbers, tables: Sequence[Params]) -> Made:
    commands = params.get("commands")
    patterns = [c for c in commands if isinstance(c, list)] if isinstance(commands, list) else []
    cwd = {"cwd": _listed(params, "cwd")[0]} if _listed(params, "cwd") else {}
    return [cwd | {"argv": [_filled(str(part)) for part in pattern]} for pattern in patterns or [["ls"]]]


def _sql(params: Params, numbers: Numbers, tables: Sequence[Params]) -> Made:
    classes = [name for name in _listed(params, "classes", "select") if name in _STATEMENTS]
    sizes = [min(n, params["max_rows"]) for n in numbers] if "max_rows" in params else list(numbers)
    return [
        {"statement": _STATEMENTS[name].format(table), "max_rows": size}
        for name in classes
        for table in _listed(params, "tables", "a")
        for size in sizes
    ]


def _task(params: Params, numbers: Numbers, resources: Sequence[str]) -> Made:
    payees = [name.removesuffix("*").rstrip("/") for name in _listed(params, "payees")]
    base: dict[str, Any] = {"result": "a result"}
    base |= {"purpose": _listed(params, "purposes")[0]} if _listed(params, "purposes") else {}
    base |= {"payee": payees[0]} if payees else {}
    names = _listed(params, "resources", *resources)
    both = [base | {"amounts": dict.fromkeys(names, size)} for size in numbers]
    return both + [base | {"amounts": {name: size}} for name in names for size in numbers]


KNOWN: dict[str, Callable[[Params, Numbers, Sequence[Params]], Made]] = {
    "llm.generate": _llm,
    "http.request": _http,
    "blob.put": _blob,
    "blob.get": _blob,
    "email.send": _email,
    **{f"fs.{word}": _fs(word) for word in ("read", "write", "delete", "list")},
    "mcp.call": _mcp,
    "tool.call": _tool,
    "shell.run": _shell,
    "sql.execute": _sql,
}


def known_params(
    kind: str, params: Params, numbers: Numbers, tables: Sequence[Params], resources: Sequence[str]
) -> Made:
    """Params of a kind of the release; empty for any other kind.

    `tables` are the price tables of the grant, `resources` those of the world that it may spend.
    """
    if kind == "task.post":
        return _task(params, numbers, resources)
    return KNOWN[kind](params, numbers, tables) if kind in KNOWN else []
