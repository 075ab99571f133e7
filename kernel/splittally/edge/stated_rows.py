"""What a manifest can change in a world, as trees of named values: one entry for each table of the state.

Rule 1. `TABLES` of the state is the list. Each is in `SHOWN`, with how its rows read, or in `FOLLOWS`, with
        why it says nothing of its own. A table in neither fails a test, so nothing can be forgotten.
Rule 2. A tree says everything that its row says, in the words of a manifest. What is known by its hash is
        opened where people wrote it: cap params, plans, prices.
Rule 3. Nothing decides by what stands here.

Example. A grant with `budget = { tokens = 5 }` and a limit of 9 tokens a day reads as

    {"budget": {"tokens": 5}, "limits": {"tokens per day": {"amount": 9, "rollover": [], ...}}, ...}
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from splittally.core.callers import BEARERS, PRINCIPALS, Token
from splittally.core.canonical import decode, encode
from splittally.core.governor.state import GOVERNOR
from splittally.core.governor.terms import GovernorTerms
from splittally.core.hashing import hash_plan
from splittally.core.prices import PRICES, SNAPSHOTS
from splittally.core.state import TABLES, State
from splittally.core.types import BudgetDef, Grant, Limit, Rule
from splittally.core.zones import Zone

Tree = dict[str, Any]
Read = Callable[[State, Any], Tree]
WORLD = "world"  # the fields of the world itself, and its zone, which has no name of its own
_TABLES = {table.name: table for table in TABLES}

FOLLOWS = {
    "appointments": "when a rule of a budget falls due: the budget's plan says it",
    "asked": "why an intent waits",
    "balances": "money: a manifest moves some where it makes a budget, which shows its funds",
    "blobs": "what others name by hash: who names it shows it",
    "consumed": "what counted once: what was recorded under it shows it",
    "counters": "what was used, and the amounts that limits state",
    "digests": "what was measured",
    "failures": "what the governor saw of an intent",
    "fired": "what rules did",
    "firings": "rules that are due: the budget's plan says when",
    "forgotten": "the names of grants that were void long enough: they were void before",
    "holds": "open intents; those that wait under a revoked grant are released with it",
    "inflight": "money",
    "keyed": "what was used",
    "labels": "of open intents",
    "lanes": "what the governor saw of an intent",
    "lenders": "who lends a debt limit: root lends what a manifest states",
    "manifests": "the names by which manifests stated modules, kept for those that come",
    "metrics": "what was measured",
    "moved": "where the use of a window went that an edit ended: its limit shows",
    "overdrawn": "what overdrafts gave",
    "solutions": "what solvers said",
    "refused": "of open intents",
    "proposals": "what is asked of people, and what they said",
    "revoked": "which grants are void: the grants show it",
    "revoked_at": "when grants were made void",
    "spent": "what was used",
    "started": "of open intents",
    "topups": "what raises a limit for a time: no manifest does",
    "verdicts": "what the governor said",
    "windows": "which windows are open: their limits show",
}


# --- reading a table ------------------------------------------------------------------------------


def entries_of(state: State, table: str, keys: Iterable[Any]) -> dict[str, Tree]:
    """The entries of some rows of a table by name; those that are not there are left out."""
    if table == "rules":
        return {rule.name: _rule(state, rule) for rule in state.rules}
    rows, read = state.table(_TABLES[table]), SHOWN[table]
    return {key: read(state, rows[key]) for key in keys if key in rows}


def world_entry(state: State) -> Tree:
    """The fields of the world itself that a manifest states."""
    zone = state.ledger.zones.get("")
    return {
        "clock_jump_ns": state.clock_jump_ns,
        "offset_ns": state.offset_ns,
        "timezone": None if zone is None else _zone(state, zone),
    }


def price_entry(state: State, digest: bytes) -> Tree:
    """A price table that a grant names, row by row."""
    return dict(decode(state.caps.blobs[digest]))


def digest_of(row: Any) -> bytes:
    """What tells two rows apart that read alike: that a term is null or absent is one to people."""
    return hash_plan(encode(msgspec.to_builtins([row], builtin_types=(bytes,))))


# --- rows -----------------------------------------------------------------------------------------


def _plain(state: State, row: Any) -> Tree:
    """A record field by field, without its own name."""
    fields: Tree = msgspec.structs.asdict(row)
    return {name: value for name, value in fields.items() if name not in ("name", "kind")}


def _account(state: State, row: Any) -> Tree:
    return {"kind": row.kind, "debt_limit": row.debt_limit}


def _module(state: State, row: bytes) -> Tree:
    return {"module": row}


def _stated(state: State, row: dict[str, bytes]) -> Tree:
    return {"stated_by": next(iter(row), ""), "module": next(iter(row.values()), b"")}


def _grant(state: State, grant: Grant) -> Tree:
    tree = _plain(state, grant)
    del tree["payers"], tree["grant_hash"]
    tree["expiry_ns"] = grant.expiry_ns or None
    tree["params"] = _params(state.caps.blobs[grant.params]) if grant.params else None
    tree["limits"] = _limits(grant.limits)
    several = {
        resource: [{"account": payer.account, "until_ns": payer.until_ns} for payer in payers]
        for resource, payers in grant.payers.items()
    }
    return tree | {"draws_on": grant.draws_on | several}


def _params(data: bytes) -> Any:
    """Cap params with their snapshots of prices by name."""
    params = decode(data)
    prices = params.get(PRICES) if type(params) is dict else None
    rows = prices.get(SNAPSHOTS) if type(prices) is dict else None
    if not isinstance(rows, list) or not all(type(row) is dict and "name" in row for row in rows):
        return params
    return {
        **params,
        PRICES: {str(row["name"]): {k: x for k, x in row.items() if k != "name"} for row in rows},
    }


def snapshots_in(tree: Tree) -> dict[str, bytes]:
    """The hashes of the price tables that the params in a grant's tree name, by the snapshot's name."""
    params = tree.get("params")
    prices = params.get(PRICES) if type(params) is dict else None
    rows = prices.items() if type(prices) is dict else ()
    hashes = {name: row.get("hash") for name, row in rows if type(row) is dict}
    return {name: digest for name, digest in hashes.items() if type(digest) is bytes}


def _limits(limits: list[Limit]) -> Tree:
    """Limits by what they count; the second of one name has a number."""
    tree: Tree = {}
    for limit in limits:
        label = f"{limit.dim} per {limit.per}" + ("" if limit.over == "deny" else f", {limit.over}")
        count = 1 + sum(name.partition(" #")[0] == label for name in tree)
        terms = {"amount": limit.amount, "rollover": limit.rollover, "carried_max": limit.carried_max}
        tree[label if count == 1 else f"{label} #{count}"] = terms
    return tree


def _rule(state: State, rule: Rule) -> Tree:
    return _plain(state, rule) | {"rates": _limits(rule.rates), "approvals": rule.approvals or 1}


def _governor(state: State, terms: GovernorTerms) -> Tree:
    tree: Tree = msgspec.to_builtins(terms)
    return tree | {"caps": {f"{cap.resource} per {cap.per}": {"amount": cap.amount} for cap in terms.caps}}


def _token(state: State, token: Token) -> Tree:
    """A token; `stated` says that it is a manifest's, which an apply takes away."""
    tree = _plain(state, token)
    del tree["token_hash"], tree["grant"], tree["is_revoked"]
    return tree | {
        "hash": token.token_hash,
        "expires_ns": token.expires_ns or None,
        "revoked": token.is_revoked,
        "stated": not token.grant,
        "under": token.grant,
    }


def _zone(state: State, zone: Zone) -> Tree:
    data = encode([zone.first_s, zone.at_s, zone.offsets_s, zone.rule])
    return {"name": zone.name, "version": zone.version, "data": hash_plan(data)}


def _budget(state: State, budget: BudgetDef) -> Tree:
    plan = decode(state.caps.blobs[budget.schema])
    for name in ("constraints", "rules"):
        if name in plan:
            plan[name] = {x["name"]: {k: v for k, v in x.items() if k != "name"} for x in plan[name]}
    funds = {
        resource: state.ledger.balances.get((budget.name, resource), 0) for resource in plan["resources"]
    }
    return _plain(state, budget) | {"schema": plan, "funds": funds}


SHOWN: dict[str, Read] = {
    "accounts": _account,
    "adapters": _plain,
    BEARERS: _token,
    "budgets": _budget,
    "caps": _plain,
    "effects": _plain,
    GOVERNOR: _governor,
    "grants": _grant,
    "modules": _module,
    PRINCIPALS: _plain,
    "resources": _plain,
    "rules": _rule,
    "stated": _stated,
    "zones": _zone,
}
