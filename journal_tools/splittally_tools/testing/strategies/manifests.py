"""Manifests that are applied as they are, and the grants they consist of.

Rule 1. A grant below another is at most as wide in every term.
Rule 2. Limits are small, so that a few intents reach them; now and then one is as large as can be.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from hypothesis import strategies as st
from splittally.core.limits import NATURAL_MAX

GRANTS_MAX = 6
RESOURCES = ("EUR", "HOURS", "USD")
_SOME_RESOURCES = st.sampled_from([(), ("USD",), ("EUR", "USD"), RESOURCES])
PAYERS, PAYEES = ("accounts/one", "accounts/two"), ("vendors/mill", "vendors/port")
SHOP, SHOP_KIND = "acme/shop@1", "shop.sell"
COST, COST_KIND = "acme/cost@1", "taxi.ride"
SHOP_PARAMS = {
    "type": "object",
    "required": ["what"],
    "properties": {
        "what": {"enum": ["book", "lamp"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
}
DURATIONS = ("60s", "5m", "2h")
CALENDAR = ("hour", "day", "week", "month", "quarter", "year")
FAR_NS = 2**62
Terms = dict[str, Any]


class _CapOf(NamedTuple):
    """A cap to choose from: what its enforcer counts, and the params that it may be given."""

    dims: tuple[str, ...]
    params: st.SearchStrategy[Any]


def amounts(most: int = 200) -> st.SearchStrategy[int]:
    """A natural: mostly small, now and then as large as one can be."""
    return st.integers(0, most) | st.integers(0, NATURAL_MAX)


def _reserve(dims: tuple[str, ...]) -> st.SearchStrategy[Any]:
    some = st.dictionaries(st.sampled_from(dims), st.integers(0, 30), min_size=1)
    return st.fixed_dictionaries({"reserve": some})


_MODELS = st.lists(st.sampled_from(["m", "n"]), min_size=1, unique=True)
_PRICES = st.fixed_dictionaries(
    {
        "resource": st.sampled_from(RESOURCES),
        "prompt": st.integers(0, 10**6),
        "completion": st.integers(0, 10**6),
    }
)
CAPS = {
    "sys/llm.basic@1": _CapOf(
        ("tokens", *RESOURCES),
        st.fixed_dictionaries(
            {}, optional={"models": _MODELS, "default_tokens": st.integers(0, 50), "prices": _PRICES}
        ),
    ),
    "sys/allow@1": _CapOf(("units", *RESOURCES), _reserve(("units", *RESOURCES))),
    "sys/cost@1": _CapOf(
        ("cost_cents",), st.fixed_dictionaries({}, optional={"max_cost_cents": st.integers(0, 60)})
    ),
    "sys/http.out@1": _CapOf(
        ("requests", "bytes"), st.fixed_dictionaries({}, optional={"max_body_bytes": st.integers(0, 200)})
    ),
    "sys/blob@1": _CapOf(("bytes",), st.fixed_dictionaries({}, optional={"max_bytes": st.integers(0, 200)})),
    "sys/spend@1": _CapOf(
        RESOURCES,
        st.fixed_dictionaries({}, optional={"purposes": st.just(["tools"]), "resources": st.just(["USD"])}),
    ),
    SHOP: _CapOf(("units", *RESOURCES), _reserve(("units", *RESOURCES))),
    COST: _CapOf(("cost_cents",), st.fixed_dictionaries({}, optional={"max_cost_cents": st.integers(0, 60)})),
}


_OFTEN_NOT = st.sampled_from([False, False, False, True])
_OFTEN = st.sampled_from([False, True, True, True])
_SPAN = st.integers(1, 10**9)
_BESIDES = st.fixed_dictionaries(
    {},
    optional={
        "hold_ns_max": _SPAN,
        "approval_ns": _SPAN,
        "unknown_ns": _SPAN,
        "doubt": st.sampled_from(["payer", "payee"]),
        "above": st.sampled_from(["charge", "cap", "debt"]),
    },
)
OF_THE_RELEASE = [name for name in sorted(CAPS) if name.startswith("sys/")]


@st.composite
def grants(
    draw: st.DrawFn,
    cap: str | None = None,
    parent: str = "root",
    above: Sequence[Mapping[str, Any]] = (),
    draws: Sequence[str] = (),
) -> Terms:
    """The terms of a grant, as a manifest and `grant.issue` take them.

    `above` are the terms of the grants above it, the nearest first; `parent` is the name of the nearest.
    `draws` lists resources for which it may be a card on the accounts of `manifests()`. Of the caps of a
    release any may be chosen, unless `cap` names one.
    """
    name: str = cap or draw(st.sampled_from(OF_THE_RELEASE))
    dims, params = CAPS[name]
    terms: Terms = {"cap": name}
    if parent != "root":
        terms["parent"] = parent
    if draw(st.booleans()) or name in ("sys/allow@1", SHOP):
        terms["params"] = draw(params)
    most = _most_of(above)
    budget: dict[str, int] = draw(_budgets(dims))
    if budget:
        terms["budget"] = {dim: min(x, most.get((dim, "life"), NATURAL_MAX)) for dim, x in budget.items()}
    limits = [_narrowed(limit, most) for limit in draw(_limits(dims))]
    if limits:
        terms["limits"] = limits
    terms |= draw(_BESIDES)
    if draw(_OFTEN_NOT):
        terms["expiry_ns"] = draw(st.integers(1, above[0].get("expiry_ns", FAR_NS) if above else FAR_NS))
    if draw(_OFTEN_NOT):
        terms["delegations"] = draw(st.integers(0, above[0].get("delegations", 0) if above else 3))
    if len(draws) > 0 and draw(st.booleans()):
        terms |= _drawing(draw, above, draws)
    return terms | _no_wider(terms, above) if above else terms


def _no_wider(terms: Terms, above: Sequence[Mapping[str, Any]]) -> Terms:
    """The times and words that must be others, so that they are no wider than those above."""
    narrowed: Terms = {}
    for field in ("expiry_ns", "hold_ns_max", "approval_ns", "unknown_ns"):
        most = next((grant[field] for grant in above if grant.get(field)), FAR_NS)
        if terms.get(field, 0) > most:
            narrowed[field] = most
    if terms.get("above") == "debt" and above[0].get("above") != "debt":
        narrowed["above"] = "charge"
    usual = "payee" if terms["cap"] == "sys/spend@1" else "payer"
    if terms.get("doubt", usual) == "payee" and above[0].get("doubt", usual) == "payer":
        narrowed["doubt"] = "payer"
    return narrowed


@lru_cache
def _budgets(dims: tuple[str, ...]) -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(st.sampled_from(dims), amounts(), max_size=2)


@lru_cache
def _limits(dims: tuple[str, ...]) -> st.SearchStrategy[list[Terms]]:
    """Limits beside the budget, each with a share for the next window where there is one."""
    per = st.sampled_from(["intent", *DURATIONS, *CALENDAR])
    over = st.sampled_from(["deny", "defer", "ask", "tell", "shadow"])
    stated = {"dim": st.sampled_from(dims), "per": per, "amount": amounts(), "over": over}
    share = st.sampled_from([[1, 2], [0, 1], [1, 1]])
    limit = st.tuples(st.fixed_dictionaries(stated), st.none() | share).map(
        lambda pair: pair[0] | ({"rollover": pair[1]} if pair[1] and pair[0]["per"] in CALENDAR else {})
    )
    return st.lists(limit, max_size=2, unique_by=lambda found: (found["dim"], found["per"]))


def _most_of(above: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """What the nearest grant above denies beyond, by dimension and period."""
    if not above:
        return {}
    most = {(dim, "life"): amount for dim, amount in above[0].get("budget", {}).items()}
    for limit in above[0].get("limits", []):
        if limit["over"] == "deny":
            most[limit["dim"], limit["per"]] = limit["amount"]
    return most


def _narrowed(limit: Terms, most: Mapping[tuple[str, str], int]) -> Terms:
    """The limit with at most the amount above, and nothing that rolls over beside a limit above."""
    if limit["over"] != "deny" or (limit["dim"], limit["per"]) not in most:
        return limit
    amount = min(limit["amount"], most[limit["dim"], limit["per"]])
    return {key: value for key, value in limit.items() if key != "rollover"} | {"amount": amount}


def _drawing(draw: st.DrawFn, above: Sequence[Mapping[str, Any]], draws: Sequence[str]) -> Terms:
    payees = next((list(terms["pays_to"]) for terms in above if terms.get("pays_to")), list(PAYEES))
    resource = st.sampled_from(sorted(draws))
    return {
        "draws_on": draw(st.dictionaries(resource, st.sampled_from(PAYERS), min_size=1, max_size=2)),
        "pays_to": draw(st.lists(st.sampled_from(payees), min_size=1, unique=True)),
    }


@st.composite
def manifests(draw: st.DrawFn, grants_max: int = GRANTS_MAX) -> dict[str, Any]:
    """A manifest that is applied to a new world without a finding: resources, accounts, effects, caps,
    grants in a tree, policy, governor."""
    resources = {name: draw(st.integers(0, 6)) for name in draw(_SOME_RESOURCES)}
    made: dict[str, Terms] = {}
    while not made or (len(made) < grants_max and draw(_OFTEN)):
        parent = draw(st.sampled_from(["root", *made]))
        above = _chain(made, parent)
        cap = above[0]["cap"] if above else draw(st.sampled_from(sorted(CAPS)))
        made[f"g{len(made)}"] = draw(grants(cap, parent, above, sorted(resources)))
    document: dict[str, Any] = {
        "effects": {
            SHOP_KIND: {"cap_type": "shop", "params_schema": SHOP_PARAMS},
            COST_KIND: {"cap_type": "cost"},
        },
        "caps": {
            SHOP: {"cap_type": "shop", "enforcer": "sys/CapAllowAll@1"},
            COST: {"cap_type": "cost", "enforcer": "sys/CapEnforceCost@1"},
        },
        "grants": made,
    }
    if resources:
        document["resources"] = resources
        document["accounts"] = _accounts(draw)
    policy = draw(_policies(sorted(made)))
    if policy:
        document["policy"] = policy
    if resources and draw(st.integers(0, 3)) == 3:
        document["governor"] = draw(_governors(sorted(resources)))
    return document


def _chain(made: Mapping[str, Terms], name: str) -> list[Terms]:
    chain = []
    while name in made:
        chain.append(made[name])
        name = made[name].get("parent", "root")
    return chain


def _accounts(draw: st.DrawFn) -> dict[str, Any]:
    debts = draw(st.lists(st.sampled_from([0, 0, 50]), min_size=len(PAYERS), max_size=len(PAYERS)))
    payers = {name: {"debt_limit": debt} if debt else {} for name, debt in zip(PAYERS, debts, strict=True)}
    return payers | {name: {} for name in PAYEES}


@st.composite
def _policies(draw: st.DrawFn, names: Sequence[str]) -> list[dict[str, Any]]:
    """No rules, or some and a last one that allows."""
    kinds = st.sampled_from([SHOP_KIND, COST_KIND, "llm.generate", "task.post"])
    rate = st.fixed_dictionaries({"per": st.sampled_from(DURATIONS), "amount": st.integers(0, 9)})
    rule = st.fixed_dictionaries(
        {"decision": st.sampled_from(["allow", "deny", "require_approval"])},
        optional={
            "effect_kind": kinds,
            "cap_name": st.sampled_from(list(names)),
            "when": st.sampled_from(["now_ns > 0", "size(reserve) > 1", 'principal == "operator"']),
            "rate": rate,
        },
    )
    rules = draw(st.lists(rule, max_size=2))
    return [*rules, {"name": "rest", "decision": "allow"}] if rules else []


@st.composite
def _governors(draw: st.DrawFn, resources: Sequence[str]) -> dict[str, Any]:
    """A cap on spend, in one resource."""
    cap = {
        "resource": draw(st.sampled_from(list(resources))),
        "per": draw(st.sampled_from(["day", "week"])),
        "amount": draw(amounts()),
    }
    return {"caps": [cap]}


@st.composite
def edited(draw: st.DrawFn, document: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with another lifetime limit for one grant, where one has any."""
    grants = document.get("grants", {})
    places = [
        (name, dim) for name, terms in sorted(grants.items()) for dim in sorted(terms.get("budget", {}))
    ]
    if not places:
        return dict(document)
    name, dim = draw(st.sampled_from(places))
    budget = {**grants[name]["budget"], dim: draw(amounts())}
    return {**document, "grants": {**grants, name: {**grants[name], "budget": budget}}}
