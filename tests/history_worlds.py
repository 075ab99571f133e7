"""Worlds for generated histories: grants in a chain, rules of the policy, caps of a governor."""

from tests.model.records import DAY, SECOND, Grant, Limit
from tests.rows.worlds import manifest

PARENTS = {"top": None, "mid": "top", "leaf": "mid", "side": "mid"}
DIMS = ("a", "USD")
PERS = ("life", "hour", "day", "week", "month", "90s", "intent")
OVERS = ("deny", "deny", "deny", "ask", "defer", "tell", "shadow")
CALENDAR = ("hour", "day", "week", "month")
SHARES = (0, 0, 50, 100)


def drawn_grants(chance):
    """A chain of three and a sister of its leaf, each no wider than the one above it."""
    grants, payer = {}, chance.choice(["top", "mid", "leaf", None])
    for name, parent in PARENTS.items():
        above = grants.get(parent)
        limits = []
        for _ in range(chance.randint(0, 3)):
            dim, per, over = chance.choice(DIMS), chance.choice(PERS), chance.choice(OVERS)
            if any((x.dim, x.per, x.over) == (dim, per, over) for x in limits):
                continue
            share = chance.choice(SHARES) if over == "deny" and per in CALENDAR else 0
            limits.append(narrowed(grants, parent, Limit(dim, per, chance.randint(5, 90), over, share)))
        grants[name] = Grant(
            parent,
            limits,
            expiry=chance.choice([0, 0, 0, 20 * DAY + 7]),
            hold_max=bounded(chance, above and above.hold_max, [0, 0, 3_000 * SECOND + 7]),
            approval=bounded(chance, above and above.approval, [0, 500 * SECOND + 7]),
            unknown=bounded(chance, above and above.unknown, [0, 700 * SECOND + 7]),
            above=chance.choice(
                ["charge", "cap", "debt"][: 3 if above is None or above.above == "debt" else 2]
            ),
            draws=name == payer,
        )
    return grants


def drawn_run(chance, grants, parent):
    """A grant for one run below another."""
    drawn = [Limit(dim, chance.choice(["life", "day", "90s"]), chance.randint(5, 60)) for dim in DIMS]
    limits = [narrowed(grants, parent, limit) for limit in drawn if chance.random() < 0.7]
    return Grant(parent, limits, above=grants[parent].above if parent else "charge")


def bounded(chance, above, choices):
    return min(chance.choice(choices), above) if above else chance.choice(choices)


def narrowed(grants, parent, limit):
    """The limit, no higher than a hard one above it and with no larger share."""
    while parent is not None:
        for most in grants[parent].limits:
            if (most.dim, most.per, most.over, limit.over) == (limit.dim, limit.per, "deny", "deny"):
                amount, share = min(limit.amount, most.amount), min(limit.share, most.share)
                limit = Limit(limit.dim, limit.per, amount, limit.over, share)
        parent = grants[parent].parent
    return limit


def drawn_rules(chance):
    if chance.random() < 0.4:
        return []
    rates = [
        Limit(
            "attempts", chance.choice(["day", "90s"]), chance.randint(2, 12), chance.choice(["deny", "defer"])
        )
    ]
    ask = {"name": "side asks", "decision": "require_approval", "grant": "side", "rates": []}
    rest = {"name": "the rest", "decision": "allow", "grant": "", "rates": chance.choice([[], rates])}
    return [ask, rest] if chance.random() < 0.7 else [rest]


def drawn_caps(chance):
    """What a governor may count, or None for no governor."""
    every = [(resource, per) for resource in DIMS for per in ("day", "week")]
    caps = [(*key, chance.randint(10, 120)) for key in chance.sample(every, chance.randint(0, 3))]
    return sorted(caps) if chance.random() < 0.8 else None


def stated(limit):
    terms = {"dim": limit.dim, "per": limit.per, "amount": limit.amount, "over": limit.over}
    terms |= {"rolling": False} if limit.per == "90s" else {}
    return terms | ({"rollover": f"{limit.share}%"} if limit.share else {})


def terms(grant):
    """The terms of a grant as a manifest states them."""
    made = {"limits": [stated(limit) for limit in grant.limits], "above": grant.above, "delegations": 0}
    times = {"expiry_ns": grant.expiry, "hold_ns_max": grant.hold_max}
    times |= {"approval_ns": grant.approval, "unknown_ns": grant.unknown}
    made |= {name: value for name, value in times.items() if value}
    if grant.draws:
        made |= {"draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"]}
    return made


def document(grants, rules, caps):
    depth = {"top": 3, "mid": 2, "leaf": 1, "side": 1}
    policy = [
        {"name": rule["name"], "decision": rule["decision"]}
        | ({"cap_name": rule["grant"]} if rule["grant"] else {})
        | (
            {"rates": [{k: v for k, v in stated(x).items() if k != "dim"} for x in rule["rates"]]}
            if rule["rates"]
            else {}
        )
        for rule in rules
    ]
    governor = [{"resource": resource, "per": per, "amount": amount} for resource, per, amount in caps or ()]
    return manifest(
        {
            name: terms(grant) | {"parent": grant.parent or "root", "delegations": depth.get(name, 0)}
            for name, grant in grants.items()
        },
        resources=dict.fromkeys(DIMS, 0),
        accounts={"accounts/team": {}, "accounts/vendor": {}},
        policy=policy,
        **({} if caps is None else {"governor": {"caps": governor}}),
    )
