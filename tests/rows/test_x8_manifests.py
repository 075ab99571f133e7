"""A mistake in a manifest, or in the terms of a grant, is met where it is made; budgets in manifests."""

import re
from pathlib import Path

import pytest
import splittally
from splittally.core.errors import InvalidManifest
from splittally.edge.cap_params import PARAMS
from splittally_enforcers import build

from tests.rows.worlds import codes

USD = {"resources": {"USD": 2}, "accounts": {"accounts/t": {}, "vendors/v": {}}}
CHAT = {"cap": "sys/llm@1"}
READMES = Path(build.__file__).parent
DOORS = ("manifest", "grant.issue", "grant.amend")


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as opened:
        assert opened.apply(USD).allowed
        yield opened


# --- mistakes -------------------------------------------------------------------------------------------


def told(kernel, door, terms):
    """What a door says of the terms of a grant that it refuses without a record."""
    size = kernel._world.state.size
    if door == "manifest":
        with pytest.raises(InvalidManifest) as caught:
            kernel.apply({**USD, "grants": {"g": terms}})
        message = str(caught.value)
    else:
        if door == "grant.amend":
            assert kernel.native("grant.issue", name="g", terms=CHAT).allowed
            size += 1
        decision = kernel.native(door, name="g", terms=terms)
        assert codes(decision) in (["params.invalid"], ["amount.fractional"])
        message = decision.findings[0].facts["message"]
    assert kernel._world.state.size == size
    return message


MISTAKES = [
    ({"params": {"modls": ["m"]}}, "did you mean `models`"),
    ({"params": {"models": "m"}}, "models` is a list of texts"),
    ({"params": {"max_tokens": "5"}}, "max_tokens` is a natural"),
    ({"params": {"prices": "newest"}}, "price snapshot"),
    ({"params": {"prices": "2026-11"}}, "price snapshot"),
    ({"budget": {"EUR": "5.00 EUR"}}, "`EUR` is no declared resource"),
    ({"budget": {"USDD": "5.00 USD"}}, "did you mean `USD`"),
    ({"budgt": {"tokens": 5}}, "did you mean `budget`"),
    ({"limits": [{"dim": "tokens", "amont": 5}]}, "did you mean `amount`"),
]


@pytest.mark.req("X8-10")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("terms", "words"), MISTAKES)
def test_a_mistake_in_the_terms_of_a_grant_is_refused_at_every_door_with_what_was_meant(
    kernel, door, terms, words
):
    assert words in told(kernel, door, CHAT | terms)


@pytest.mark.req("X8-10")
@pytest.mark.parametrize("door", DOORS)
def test_params_of_another_module_and_notes_are_left_alone(kernel, door):
    terms = CHAT | {"params": {"x-note": 5, "models": ["m"], "tools": None}}
    if door == "manifest":
        assert kernel.apply({**USD, "grants": {"g": terms}}).allowed
    else:
        if door == "grant.amend":
            assert kernel.native("grant.issue", name="g", terms=CHAT).allowed
        assert kernel.native(door, name="g", terms=terms).allowed


def named_in(readme):
    """The cap params that a README lists, in the table under their heading."""
    table = re.search(r"^## Cap params.*?\n\| name \| type \|.*?\n\|---.*?\n(.*?)\n\n", readme, re.S | re.M)
    rows = table[1].splitlines()
    return {name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}


@pytest.mark.req("X8-10")
@pytest.mark.parametrize("module", sorted(PARAMS))
def test_the_params_that_are_known_are_those_of_the_readme(module):
    readme = (READMES / build.MODULES[module] / "README.md").read_text()
    assert set(PARAMS[module]) == named_in(readme)


KEYS = [
    ({"grnts": {}}, "did you mean `grants`"),
    ({"governor": {"cap": []}}, "did you mean `caps`"),
    ({"governor": {"envelope": {"totl": 5}}}, "did you mean `total`"),
    ({"governor": {"caps": [{"resorce": "USD", "per": "day", "amount": 5}]}}, "did you mean `resource`"),
    ({"governor": {"fields": {"llm.generate": {"lan": "/x"}}}}, "did you mean `lane`"),
    ({"governor": {"caps": [{"resource": "EUR", "per": "day", "amount": "5 EUR"}]}}, "no declared resource"),
    ({"world": {"utc_offst": "+01:00"}}, "did you mean `utc_offset`"),
    ({"budgets": {"budgets/b": {"shema": {}}}}, "did you mean `schema`"),
    ({"budgets": {"budgets/b": {"schema": {"resorces": {}}}}}, "did you mean `resources`"),
    ({"budgets": {"budgets/b": {"schema": {"lines": {"x": {"amont": 5}}}}}}, "did you mean `amount`"),
    ({"budgets": {"budgets/b": {"schema": {"rules": [{"nam": "x"}]}}}}, "did you mean `name`"),
]


@pytest.mark.req("X8-10")
@pytest.mark.parametrize(("document", "words"), KEYS)
def test_an_unknown_key_anywhere_is_refused_with_what_was_meant(kernel, document, words):
    with pytest.raises(InvalidManifest, match=re.escape(words)):
        kernel.apply({**USD, **document})


TEAM = CHAT | {"delegations": 2}
MISSPELT = [
    ({"grants": {"g": {"cap": "sys/lm@1"}}}, "`grants.g.cap`", "sys/llm@1"),
    ({"grants": {"team/all": TEAM, "kid": CHAT | {"parent": "team/al"}}}, "`grants.kid.parent`", "team/all"),
    (
        {"policy": [{"effect_kind": "llm.genrate", "decision": "deny"}]},
        "policy[0].effect_kind`",
        "llm.generate",
    ),
    (
        {"policy": [{"match": {"effect_kind": "grant.isue"}, "decision": "deny"}]},
        "effect_kind`",
        "grant.issue",
    ),
    ({"policy": [{"cap_name": "sys/llm.basc@1", "decision": "deny"}]}, "cap_name`", "sys/llm.basic@1"),
    ({"caps": {"a/b@1": {"enforcer": "sys/CapAlowAll@1"}}}, "`caps.a/b@1.enforcer`", "sys/CapAllowAll@1"),
]


@pytest.mark.req("X8-10")
@pytest.mark.parametrize(("document", "where", "near"), MISSPELT)
def test_a_misspelt_name_of_another_entry_is_refused_with_what_was_meant_before_anything_is_recorded(
    kernel, document, where, near
):
    size = kernel._world.state.size
    with pytest.raises(InvalidManifest) as caught:
        kernel.apply({**USD, **document})
    assert where in str(caught.value)
    assert f"did you mean `{near}`" in str(caught.value)
    assert kernel._world.state.size == size


def test_a_name_that_is_close_to_none_is_a_rules_own_business_and_no_grants(kernel):
    assert kernel.apply({**USD, "policy": [{"effect_kind": "shop.sell", "decision": "deny"}]}).allowed
    assert codes(kernel.apply({**USD, "grants": {"g": {"cap": "acme/none@1"}}})) == ["not_found"]


def test_a_rule_that_stands_is_not_looked_at_again(kernel):
    rule = {"name": "r", "effect_kind": "shop.sale", "decision": "deny"}
    assert kernel.apply({**USD, "policy": [rule]}).allowed
    effects = {"effects": {"shop.sales": {"cap_type": "shop"}}}
    assert kernel.apply({**USD, "policy": [rule], **effects}).allowed
    with pytest.raises(InvalidManifest, match=r"did you mean `shop\.sales`"):
        kernel.apply({**USD, "policy": [{**rule, "name": "other"}], **effects})


@pytest.mark.req("X8-10")
def test_an_unknown_param_of_a_native_effect_is_refused_with_what_was_meant(kernel):
    decision = kernel.native("grant.topup", name="g", dim="tokens", amuont=5)
    assert "did you mean `amount`" in decision.findings[0].facts["message"]


# --- budgets --------------------------------------------------------------------------------------------

PLAN = {
    "resources": {"USD": 2},
    "constraints": [{"name": "runway", "resource": "USD", "minimum": "5.00 USD"}],
    "lines": {"ads": {"resource": "USD", "amount": "3.00 USD", "per": "month"}},
}
FUNDED = {
    "schema": PLAN,
    "pays_to": ["vendors/v"],
    "resource": "USD",
    "amount": "50.00 USD",
    "from": "accounts/t",
}


@pytest.fixture
def rich(kernel):
    issued = kernel.native("ledger.issue", resource="USD", amount="100.00 USD", to="accounts/t")
    assert issued.allowed
    return kernel


def stated(budgets, **parts):
    return {**USD, "budgets": {f"budgets/{name}": terms for name, terms in budgets.items()}, **parts}


@pytest.mark.req("X8-10")
def test_a_budget_that_is_stated_is_the_one_that_budget_create_makes(rich):
    fork = rich.fork()
    assert fork.native("budget.create", budget="budgets/b", **FUNDED).allowed
    assert rich.apply(stated({"b": FUNDED})).allowed
    assert rich.state.budgets["budgets/b"] == fork.state.budgets["budgets/b"]
    assert rich.state.grants["budgets/b"] == fork.state.grants["budgets/b"]
    assert rich.state.accounts["accounts/t"].balances == {"USD": 5_000}


@pytest.mark.req("X8-10")
def test_a_budget_that_is_equal_writes_nothing_and_is_funded_once(rich):
    assert rich.apply(stated({"b": FUNDED})).allowed
    again = rich.apply(stated({"b": FUNDED}))
    assert (again.seq, rich.plan(stated({"b": FUNDED})).changes) == (None, ())
    split = {"budget": "budgets/b", "resource": "USD", "shares": {"one": 60, "two": 40}}
    assert rich.native("budget.split", **split).allowed
    assert rich.apply(stated({"b": FUNDED})).seq is None, "how deposits are shared is the split's"


@pytest.mark.req("X8-10")
def test_another_plan_is_a_narrower_version_and_each_widening_is_refused_by_name(rich):
    assert rich.apply(stated({"b": FUNDED})).allowed
    more = PLAN | {"constraints": [PLAN["constraints"][0] | {"minimum": "7.00 USD"}]}
    plan = rich.plan(stated({"b": FUNDED | {"schema": more}}))
    fields = {(x.table, x.field): (x.before, x.after) for x in plan.changes}
    assert fields["budgets", "schema.constraints.runway.minimum"] == (500, 700)
    assert rich.apply(stated({"b": FUNDED | {"schema": more}})).allowed
    assert rich.state.budgets["budgets/b"].version == 2
    wider = rich.apply(stated({"b": FUNDED | {"schema": PLAN | {"lines": {}}}}))
    named = [(x.code, x.facts["field"], x.facts["name"]) for x in wider.findings]
    assert named == [("plan_widened", "lines", "ads"), ("plan_widened", "constraints", "runway")]


def test_what_a_manifest_states_of_the_charter_follows_it_and_the_parent_cannot(rich):
    assert rich.apply(stated({"b": FUNDED, "a": {"schema": PLAN}})).allowed
    document = stated({"b": FUNDED | {"holder": "bob", "debt_limit": 9}, "a": {"schema": PLAN}})
    changes = {(x.table, x.field): x.after for x in rich.plan(document).changes}
    assert changes == {("accounts", "debt_limit"): 9, ("grants", "holder"): "bob"}
    assert rich.apply(document).allowed
    moved = stated({"b": FUNDED | {"parent": "budgets/a"}, "a": {"schema": PLAN}})
    assert codes(rich.apply(moved)) == ["cannot_change"]


def test_budgets_come_after_their_parents_and_before_the_grants_below_them(rich):
    budgets = {"a": {"parent": "budgets/z", "template": "budgets/z"}, "z": FUNDED}
    card = {"cap": "sys/spend@1", "parent": "budgets/a", "pays_to": ["vendors/v"]}
    assert rich.apply(stated(budgets, grants={"card": card})).allowed
    assert rich.state.grants["card"].chain == ["card", "budgets/a", "budgets/z", "root"]
    circle = {"a": {"parent": "budgets/b", "schema": PLAN}, "b": {"parent": "budgets/a", "schema": PLAN}}
    with splittally.open(None, clock="given") as other:
        assert set(codes(other.apply(stated(circle)))) == {"not_found"}


@pytest.mark.req("X8-10")
def test_a_budget_that_is_no_longer_stated_is_left_alone_and_that_is_said(rich):
    assert rich.apply(stated({"b": FUNDED})).allowed
    kept = rich.apply(stated({}))
    assert (kept.seq, codes(kept)) == (None, ["budgets_kept"])
    assert kept.findings[0].facts == {"count": 1, "budgets": ["budgets/b"]}
    assert codes(rich.apply(USD)) == [], "nothing is said where budgets are not spoken of"
    assert not rich.state.grants["budgets/b"].revoked


def test_a_name_stands_for_one_thing(kernel):
    for table in ("accounts", "grants"):
        document = stated({"b": {"schema": PLAN}})
        document[table] = {**document.get(table, {}), "budgets/b": {} if table == "accounts" else CHAT}
        with pytest.raises(InvalidManifest, match="is a budget, and so no account or grant"):
            kernel.apply(document)


def test_a_budget_that_cannot_be_made_keeps_the_whole_manifest_from_being_applied(kernel):
    poor = kernel.apply(stated({"b": FUNDED}, grants={"g": CHAT}))
    assert codes(poor) == ["insufficient_balance"]
    assert "g" not in kernel.state.grants
