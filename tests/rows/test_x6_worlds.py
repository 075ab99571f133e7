"""Rows X6-01 ... X6-08 as one property: whoever asks for what, only what is theirs changes.

The model of authority is this file's own and as plain as it can be: a list of (child, parent) for grants and
the lists that stand in their terms. It asks nothing of the kernel but what changed.
"""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import HealthCheck, event, given, settings
from splittally import Intent, Receipt

from tests.rows.worlds import applied

PEOPLE = ("ann", "ben", "eve")
PLACES = ("accounts/a", "accounts/b", "accounts/c", "budgets/b0", "budgets/b1")
ENTRIES = ("accounts/a", "accounts/b", "accounts/*", "budgets/b0", "budgets/*")
CAPS = ("sys/all@1", "sys/native@1", "sys/spend@1", "sys/llm.basic@1")
OPERATIONS = ("grant.*", "ledger.*", "budget.*", "account.open", "approval.answer", "settlement.refund")
PLAN = {"resources": {"USD": 0}}
ASK = [
    {"name": "ask", "effect_kind": "task.post", "decision": "require_approval"},
    {"name": "rest", "decision": "allow"},
]
ISSUED = {"accounts/a": 90, "accounts/b": 40, "budgets/b0": 30}
some = st.sampled_from


# --- worlds -----------------------------------------------------------------------------------------


@st.composite
def terms(draw, parent="root", above=None):
    """A grant that need not be allowed, but mostly narrows `above`, the terms of the one it stands below."""
    caps = CAPS[:2] * 2 + CAPS if above is None or above["cap"] == "sys/all@1" else (above["cap"],) * 6 + CAPS
    cap = draw(some(caps))
    most = above["delegations"] - 1 if above else 3
    made = {"cap": cap, "holder": draw(some(PEOPLE))}
    made["delegations"] = max(0, most) if draw(some([0, 1, 1, 1])) else draw(st.integers(0, 3))
    if parent != "root":
        made["parent"] = parent
    if cap == "sys/native@1":
        lists = {
            "accounts": draw(st.just([]) | st.lists(some(ENTRIES), max_size=2, unique=True)),
            "operations": draw(st.just([]) | st.lists(some(OPERATIONS), min_size=1, max_size=3, unique=True)),
        }
        made["params"] = {name: listed for name, listed in lists.items() if listed}
    elif draw(st.booleans()):
        made["draws_on"] = {"USD": draw(some(PLACES[:4]))}
        made["pays_to"] = [draw(some(PLACES[:3]))]
    if draw(some([False, False, True])):
        made["budget"] = {"USD": draw(st.integers(0, 60))}
    return made


@st.composite
def trees(draw):
    """Names of grants to terms, each below one before it or below root; issued by the holder or by root."""
    made = {}
    for at in range(draw(st.integers(3, 8))):
        parent = draw(some(["root", *made]))
        made[f"g{at}"] = draw(terms(parent, made.get(parent)))
    return made


@st.composite
def asked(draw, grants):
    """A native effect of any kind under any of these rows, mostly one that governs, mostly by its holder."""
    names = sorted(grants)
    governing = [name for name in names if grants[name].cap in ("sys/all@1", "sys/native@1")]
    parents = [name for name in governing if any(row.parent == name for row in grants.values())]
    grant = draw(some([*names, *governing * 3, *parents * 6]))
    who = grants[grant].holder if draw(some([True, True, True, True, False])) else draw(some(PEOPLE))
    under = {"cap": grants[grant].cap, "delegations": grants[grant].delegations}
    place = some(PLACES)
    below_it = [name for name in names if grant in grants[name].chain[1:]]
    target = draw(some(below_it * 6 + [*names, "new", "budgets/b0"]))
    above = grants[target].parent if target in grants else "root"
    kinds = {
        "grant.issue": lambda: {"name": "new", "terms": draw(terms("root", under))},
        "grant.amend": lambda: {"name": target, "terms": draw(terms(above, under))},
        "grant.topup": lambda: {"name": target, "dim": "USD", "amount": draw(st.integers(1, 10**6))},
        "grant.revoke": lambda: {"name": target},
        "ledger.issue": lambda: {"resource": "USD", "amount": 7, "to": draw(place)},
        "ledger.transfer": lambda: {
            "resource": "USD", "amount": draw(st.integers(1, 50)), "from": draw(place), "to": draw(place),
        },
        "account.open": lambda: {"account": "accounts/new", "debt_limit": draw(some([0, 1, 50, 10**9]))},
        "budget.create": lambda: {
            "budget": "budgets/b1", "schema": PLAN, "holder": draw(some(PEOPLE)),
            "parent": draw(some(["", "budgets/b0"])), "debt_limit": draw(some([0, 50, 10**9])),
            "pays_to": draw(st.lists(some(PLACES[:3]), max_size=1)),
        },
        "budget.split": lambda: {
            "budget": draw(some(PLACES[3:])), "resource": "USD", "shares": {"p": 100},
            "holders": {"p": draw(some(PEOPLE))},
        },
        "budget.amend": lambda: {"budget": draw(some(PLACES[3:])), "schema": PLAN | {"title": "mine"}},
        "approval.answer": lambda: {"answer": draw(some(["approve", "reject"]))},
        "reservation.release": lambda: {"order": "o"},
        "settlement.refund": lambda: {"amounts": {"USD": draw(st.integers(1, 11))}},
    }  # fmt: skip
    kind = draw(some(sorted(kinds)))
    return who, grant, kind, kinds[kind]()


# --- the model --------------------------------------------------------------------------------------


def chain(grants, name):
    """The terms of a grant and of all above it."""
    found = []
    while name != "root":
        found.append((name, grants[name]))
        name = grants[name]["parent"]
    return found


def is_covered(entries, place):
    return not entries or any(
        place.startswith(entry[:-1]) if entry.endswith("*") else place == entry for entry in entries
    )


def listed(grants, name, place, operation):
    """Whether every grant of a chain is native or everything, and lists this place and operation."""
    return all(
        held["cap"] in ("sys/all@1", "sys/native@1")
        and (held["cap"] == "sys/all@1" or is_covered(held["accounts"], place))
        and (held["cap"] == "sys/all@1" or is_covered(held["operations"], operation))
        for _, held in chain(grants, name)
    )


def below(grants, ancestor, name):
    return any(above == ancestor for above, _ in chain(grants, name)[1:]) or ancestor == "root" != name


def scope(grants, name):
    return next((above for above, held in chain(grants, name) if held["cap"] != "sys/native@1"), "root")


def seen(kernel):
    """The grants as the model reads them: who is above, whose, what they list."""
    grants = {}
    for name, row in kernel.state.grants.items():
        if name != "root":
            params = kernel._world.state.caps.blobs.get(row.params)
            stated = splittally.core.canonical.decode(params) if params else {}
            grants[name] = {
                "cap": row.cap, "parent": row.parent, "holder": row.holder, "revoked": row.revoked,
                "delegations": row.delegations,
                "draws_on": row.draws_on, "limits": row.limits, "pays_to": row.pays_to,
                "accounts": stated.get("accounts", []), "operations": stated.get("operations", []),
            }  # fmt: skip
    return grants


def check_change(before, after, who, used, kind, holders):
    """Nothing outside what `who` may do under `used` differs; `before` and `after` are (grants, books)."""
    (grants, balances, budgets, holds), (grants2, balances2, budgets2, holds2) = before, after
    changed = {name for name in {*grants, *grants2} if grants.get(name) != grants2.get(name)}
    moved = {name for name in {*balances, *balances2} if balances.get(name) != balances2.get(name)}
    replanned = {name for name in {*budgets, *budgets2} if budgets.get(name) != budgets2.get(name)}
    ended = {digest for digest in {*holds, *holds2} if holds.get(digest) != holds2.get(digest)}
    if not (changed or moved or replanned or ended):
        return
    held = grants[used]
    assert held["holder"] == who and not held["revoked"], "only the holder of a live grant changes anything"
    is_delegated = kind in ("grant.issue", "grant.revoke")  # covered by every grant that delegates
    for _, above in chain(grants, used):
        if above["cap"] == "sys/native@1" and not (is_delegated and above["delegations"]):
            assert is_covered(above["operations"], kind)
    own = scope(grants, used)
    for name in changed:
        is_budgets = kind.startswith("budget.") and below(grants2, own, name)
        is_raised = any(
            name.startswith(f"{x}/") and balances2.get(x, 0) > balances.get(x, 0) for x in budgets2
        )
        if is_raised and name in grants and grants[name] | {"limits": 0} == grants2[name] | {"limits": 0}:
            continue  # a deposit raises the parts of the budget that it comes to
        assert is_budgets or below({**grants, **grants2}, used, name), f"{name} does not descend from {used}"
    for name in moved - {"external/issuer"}:
        flown = kind in ("approval.answer", "reservation.release", "settlement.refund", "grant.revoke")
        assert flown or listed(grants, used, name, kind), f"{used} does not list {name}"
        assert all(
            is_covered(x["accounts"], name) for _, x in chain(grants, used) if x["cap"] == "sys/native@1"
        )
    for name in replanned:
        made_as = grants.get(
            name, {"cap": "sys/spend@1"}
        )  # whoever holds the grant above may amend a charter
        assert below(grants2, own, name) and grants2[name]["cap"] == made_as["cap"]
    for digest in ended:
        assert own == "root" or own in holders[digest][1:], "made outside of the scope"


def check_grants(grants, made_by):
    """What was handed out is no wider than what it stands below, and draws on nothing of others."""
    for name in made_by:
        held = grants[name]
        for _, above in chain(grants, name)[1:]:
            if above["cap"] == "sys/native@1":
                assert held["cap"] == "sys/native@1"
            elif above["cap"] != "sys/all@1":
                assert held["cap"] == above["cap"]
        parent = grants.get(held["parent"], {"limits": []})
        most = {(x.dim, x.per): x.amount for x in parent["limits"]}
        assert all(x.amount <= most.get((x.dim, x.per), x.amount) for x in held["limits"])


def books(kernel):
    state = kernel.state
    return (
        seen(kernel),
        {name: row.balances.get("USD", 0) for name, row in state.accounts.items()},
        {name: row.version for name, row in state.budgets.items()},
        {digest: (row.phase, row.grant) for digest, row in state.reservations.items()},
    )


# --- the property -----------------------------------------------------------------------------------


def made_world(tree, policy=()):
    """The world with those of the grants that their parents' holders may issue."""
    accounts = {name: {} for name in PLACES if name.startswith("accounts/")}
    kernel = applied({"resources": {"USD": 0}, "accounts": accounts, "policy": list(policy)})
    assert kernel.native("budget.create", budget="budgets/b0", schema=PLAN, pays_to=["accounts/c"]).allowed
    for name, amount in ISSUED.items():
        assert kernel.native("ledger.issue", resource="USD", amount=amount, to=name).allowed
    for name, stated in tree.items():
        parent = stated.get("parent", "root")
        by = kernel.state.grants[parent].holder if parent in kernel.state.grants else "operator"
        kernel.as_principal(by).native("grant.issue", grant=parent, name=name, terms=stated)
    return kernel


def rows(kernel, names):
    return {name: row for name, row in kernel.state.grants.items() if name in names}


def spend(kernel, grant):
    """Ask for a task under a grant; its hash, and the names of its chain, where it is held."""
    row = kernel.state.grants[grant]
    task = Intent("task.post", {"result": "r", "amounts": {"USD": 10}}, grant)
    decision = kernel.as_principal(row.holder).submit(task)
    is_held = decision.outcome in ("allow", "require_approval")
    return (decision.intent_hash, row.chain) if is_held else None


def plain(kernel, who, used, kind, params):
    """One effect asked for: the kernel that goes on, and the decision."""
    return kernel, kernel.as_principal(who).native(kind, grant=used, **params)


def play(tree, data, ask=plain):
    """A world of random principals who ask for random effects through `ask`; the kernel at its end."""
    kernel = made_world(tree, data.draw(some([(), ASK])))
    names = [name for name in kernel.state.grants if name != "root"]
    holders, settled = {}, []
    for name in names[:]:
        held = spend(kernel, name)
        if held is not None:
            holders[held[0]] = held[1]
            if data.draw(st.booleans()):
                by = kernel.as_principal(kernel.state.grants[name].holder)
                by.settle(Receipt(held[0], "ok"))
                settled.append(held[0])
    for _ in range(12):
        who, used, kind, params = data.draw(asked(rows(kernel, names)))
        if kind in ("approval.answer", "reservation.release", "settlement.refund"):
            if not holders:
                continue
            among = settled if kind == "settlement.refund" and settled else sorted(holders)
            params["intent_hash"] = data.draw(some(among))
        before = books(kernel)
        kernel, decision = ask(kernel, who, used, kind, params)
        event(f"{kind}: {decision.outcome}")
        after = books(kernel)
        if not decision.allowed:
            assert after == before
            continue
        check_change(before, after, who, used, kind, holders)
        new = {name for name in after[0] if after[0][name] != before[0].get(name)}
        check_grants(after[0], {x for x in new if not after[0][x]["revoked"]})
        names += [name for name in new if name not in names]
        assert sum(after[1].values()) + flying(kernel) == 0
    return kernel


@pytest.mark.req("X6-01", "X6-02", "X6-06")
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees(), st.data())
def test_whoever_asks_for_whatever_changes_only_what_is_theirs(tree, data):
    play(tree, data).close()


def flying(kernel):
    return sum(draw.amount for row in kernel.state.reservations.values() for draw in row.draws)


@pytest.mark.req("X6-01", "X6-03", "X6-07")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 60), st.data())
def test_what_anybody_gets_together_is_at_most_what_they_were_given(given_amount, data):
    """One card and one native grant of a team; a stranger's account must stay as it was, whatever they do."""
    team = {"cap": "sys/all@1", "holder": "ann", "delegations": 3, "budget": {"USD": given_amount}}
    team |= {"draws_on": {"USD": "accounts/a"}, "pays_to": ["accounts/c"]}
    desk = {"cap": "sys/native@1", "holder": "eve", "delegations": 2, "parent": "team"}
    desk |= {"params": {"accounts": ["budgets/*"]}}
    card = {"cap": "sys/spend@1", "holder": "eve", "delegations": 2, "parent": "team"}
    with made_world({}) as kernel:
        accounts = {name: {} for name in PLACES if name.startswith("accounts/")}
        grants = {"team": team, "desk": desk, "card": card}
        made = kernel.apply({"resources": {"USD": 0}, "accounts": accounts, "grants": grants})
        assert made.allowed, made.findings
        names = ["desk", "card"]
        for _ in range(14):
            if data.draw(st.booleans()):
                _, used, kind, params = data.draw(asked(rows(kernel, names)))
                if kind not in (
                    "approval.answer",
                    "reservation.release",
                    "settlement.refund",
                    "ledger.issue",
                ):
                    kernel.as_principal("eve").native(kind, grant=used, **params)
            else:
                held = spend(kernel, data.draw(some(names)))
                if held is not None:
                    kernel.as_principal(kernel.outcome(held[0]).principal).settle(Receipt(held[0], "ok"))
            names = ["desk", "card"] + [
                name
                for name, row in kernel.state.grants.items()
                if name not in ("root", "team", "budgets/b0") and "team" in row.chain
            ]
        balances = {name: row.balances.get("USD", 0) for name, row in kernel.state.accounts.items()}
        assert balances["accounts/b"] == ISSUED["accounts/b"]
        assert balances["accounts/a"] >= ISSUED["accounts/a"] - given_amount
        got = sum(amount for name, amount in balances.items() if name not in (*ISSUED, "external/issuer"))
        assert got <= given_amount + ISSUED["budgets/b0"]
        assert kernel.state.counters["team"]["USD"].spent <= given_amount
