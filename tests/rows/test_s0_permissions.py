"""Permissions and tasks in a world: what a grant's schema, purpose, season and failure share let through."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.canonical import decode
from splittally.core.errors import InvalidManifest

from tests.test_edge_permission import EXAMPLE, TEXT

FUNDS = {"USD": 9_000_000, "API-Credits": 9_000_000, "GPU-Hours": 100}
BASE: dict[str, Any] = {
    "resources": {"USD": 2, "API-Credits": 0, "GPU-Hours": 0},
    "accounts": {"accounts/team": {}, "vendors/mill": {}},
}
DRAWS = {"draws_on": dict.fromkeys(FUNDS, "accounts/team"), "pays_to": ["vendors/mill", "vendors/"]}


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as opened:
        yield opened


def grant(kernel: Any, **terms: Any) -> None:
    """The grant `g` with an account behind it that holds enough."""
    decision = kernel.apply({**BASE, "grants": {"g": {**DRAWS, **terms}}})
    assert decision.allowed, decision
    for resource, amount in FUNDS.items():
        assert kernel.native("ledger.issue", resource=resource, amount=amount, to="accounts/team").allowed


def post(kernel: Any, amounts: dict[str, int], now_ns: int | None = None, **params: Any) -> Any:
    return kernel.submit(
        Intent("task.post", {"result": "a banner", "amounts": amounts, **params}, "g"), now_ns=now_ns
    )


def spend(kernel: Any, amounts: dict[str, int]) -> Any:
    """Posts a task and settles it; the decision."""
    decision = post(kernel, amounts)
    if decision.allowed:
        kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {}))
    return decision


def codes(decision: Any) -> list[str]:
    return [finding.code for finding in decision.findings]


def cap_params(kernel: Any, name: str = "g") -> dict[str, Any]:
    """The params of a grant's cap, as recorded."""
    rows = {
        bytes.fromhex(key) if isinstance(key, str) else key: x for key, x in kernel.state.tables()["blobs"]
    }
    params: dict[str, Any] = decode(rows[kernel.state.grants[name].params])
    return params


@pytest.mark.req("S0-165", "S0-169")
def test_the_example_loads_unchanged_from_a_manifest_and_its_text_stays(kernel: Any, tmp_path: Any) -> None:
    (tmp_path / "ads.json").write_text(TEXT, "utf-8")
    document = {**BASE, "grants": {"g": {"permission": "ads.json", **DRAWS}}}
    (tmp_path / "team.json").write_text(json.dumps(document), "utf-8")
    assert kernel.apply(tmp_path / "team.json").allowed
    row = kernel.state.grants["g"]
    assert {limit.dim: limit.amount for limit in row.limits} == {"USD": 5_000_000, "API-Credits": 1_000_000}
    assert (row.cap, row.doubt) == ("sys/spend@1", "payee")
    params = cap_params(kernel)
    assert params["resources"] == ["API-Credits", "USD"]
    assert json.loads(params["x-permission"]) == EXAMPLE
    assert "target 20% of parent" in params["x-permission"]
    for spelled in (EXAMPLE, TEXT):
        same = kernel.apply({**BASE, "grants": {"g": {"permission": spelled, **DRAWS}}})
        assert same.seq is None, "the same permission changes nothing however it is spelled"


@pytest.mark.req("S0-166", "S0-167")
@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ({"USD": 5_000_000}, []),
        ({"USD": 5_000_001}, ["budget_exceeded"]),
        ({"USD": 5_000_100}, ["budget_exceeded"]),
        ({"USD": 0}, []),
        ({"USD": -100}, ["amount.negative"]),
        ({"API-Credits": 1_000_000}, []),
        ({"API-Credits": 1_000_001}, ["budget_exceeded"]),
        ({"USD": 5_000_000, "API-Credits": 1_000_000}, []),
    ],
)
def test_the_example_allows_up_to_its_maxima(
    kernel: Any, amounts: dict[str, int], expected: list[str]
) -> None:
    grant(kernel, permission=EXAMPLE)
    assert codes(post(kernel, amounts)) == expected


@pytest.mark.req("S0-168")
def test_the_limit_is_a_total_over_the_life_of_the_permission(kernel: Any) -> None:
    grant(kernel, permission=EXAMPLE)
    assert spend(kernel, {"USD": 3_000_000}).allowed
    assert spend(kernel, {"USD": 2_000_000}).allowed
    decision = spend(kernel, {"USD": 1})
    assert codes(decision) == ["budget_exceeded"]
    assert decision.findings[0].facts["available"] == 0


@pytest.mark.req("S0-169")
def test_what_a_description_says_refuses_no_spend(kernel: Any) -> None:
    grant(kernel, permission=EXAMPLE)
    assert spend(kernel, {"USD": 4_999_999}).allowed  # far more than a fifth of what the account holds


@pytest.mark.req("S0-155", "X0-02")
@pytest.mark.parametrize("additional", [{}, {"additionalProperties": True}])
def test_a_resource_that_is_not_listed_is_refused_even_where_the_schema_lets_it_through(
    kernel: Any, additional: dict[str, Any]
) -> None:
    grant(kernel, permission=EXAMPLE | additional)
    decision = post(kernel, {"GPU-Hours": 5})
    assert codes(decision) == ["resource_not_permitted"]
    message = decision.findings[0].facts["message"]
    assert message == "resource `GPU-Hours` is not permitted; the grant permits `API-Credits`, `USD`"
    assert codes(post(kernel, {"USD": 1}, compute={"GPU-Hours": 0})) == ["resource_not_permitted"]


@pytest.mark.req("X0-03")
def test_a_negative_spend_is_refused_although_the_schema_has_no_minimum(kernel: Any) -> None:
    grant(kernel, permission=EXAMPLE)
    assert codes(post(kernel, {"API-Credits": -1})) == ["amount.negative"]
    assert kernel.state.counters["g"]["API-Credits"].reserved == 0


@pytest.mark.parametrize("effect", ["grant.issue", "grant.amend"])
def test_a_grant_issued_or_amended_takes_a_permission_too(kernel: Any, effect: str) -> None:
    grant(kernel, permission=EXAMPLE)
    narrower = {"properties": {"USD": {"maximum": 0.5}}}
    name = "g" if effect == "grant.amend" else "h"
    for spelled in (narrower, json.dumps(narrower)):
        terms = {"permission": spelled, "limits": [{"dim": "USD", "per": "day", "amount": 9}]}
        assert kernel.native(effect, name=name, terms=terms).allowed
        row = kernel.state.grants[name]
        assert {(limit.dim, limit.per): limit.amount for limit in row.limits} == {
            ("USD", "life"): 50,
            ("USD", "day"): 9,
        }
        assert (row.cap, row.doubt) == ("sys/spend@1", "payee")
        assert cap_params(kernel, name)["resources"] == ["USD"]
        effect = "grant.amend"


@pytest.mark.parametrize(
    ("terms", "named"),
    [
        ({"permission": EXAMPLE, "params": {"resources": ["USD"]}}, "`resources`"),
        ({"permission": EXAMPLE, "params": {"x-permission": "mine"}}, "`x-permission`"),
        ({"permission": EXAMPLE, "params": 5}, "`params`"),
        ({"permission": {"properties": {"USD": {"multipleOf": 5}}}}, "`multipleOf`"),
        ({"permission": "{"}, "line 1"),
    ],
)
def test_a_permission_that_cannot_be_compiled_changes_nothing(
    kernel: Any, terms: dict[str, Any], named: str
) -> None:
    grant(kernel, permission=EXAMPLE)
    size = kernel.state.seq
    with pytest.raises(InvalidManifest, match=named) as refused:
        kernel.apply({**BASE, "grants": {"g": terms}})
    assert "`grants.g`" in str(refused.value)
    decision = kernel.native("grant.issue", name="h", terms=terms)
    assert codes(decision) == ["params.invalid"]
    assert named in decision.findings[0].facts["message"]
    assert kernel.state.seq == size


def test_a_missing_file_is_named(kernel: Any) -> None:
    with pytest.raises(InvalidManifest, match=r"nowhere\.json"):
        kernel.apply({**BASE, "grants": {"g": {"permission": "nowhere.json"}}})


@pytest.mark.parametrize(
    ("terms", "doubt"),
    [
        ({"cap": "sys/spend@1"}, "payee"),
        ({"cap": "sys/spend@1", "doubt": "payer"}, "payer"),
        ({"cap": "test/tasks@1"}, "payee"),
        ({"cap": "sys/cost@1"}, "payer"),
    ],
)
def test_who_bears_doubt_is_the_payee_of_a_task_unless_the_grant_says_otherwise(
    kernel: Any, terms: dict[str, Any], doubt: str
) -> None:
    caps = {"test/tasks@1": {"enforcer": "sys/CapEnforceSpend@1"}}
    assert kernel.apply({"caps": caps, "grants": {"g": terms}}).allowed
    assert kernel.native("grant.issue", name="h", terms=terms).allowed
    assert [kernel.state.grants[name].doubt for name in ("g", "h")] == [doubt, doubt]


# --- tasks --------------------------------------------------------------------------------------------


@pytest.mark.req("S0-156")
def test_a_permission_may_be_for_one_purpose(kernel: Any) -> None:
    grant(kernel, permission=EXAMPLE, params={"purposes": ["ads"]})
    assert codes(post(kernel, {"USD": 5}, purpose="office")) == ["purpose_not_permitted"]
    assert codes(post(kernel, {"USD": 5})) == ["purpose_not_permitted"]
    assert post(kernel, {"USD": 5}, purpose="ads").allowed


@pytest.mark.req("X0-19")
def test_a_task_states_its_result_money_time_and_resources(kernel: Any) -> None:
    grant(kernel, permission=EXAMPLE)
    whole = {
        "title": "banner", "time": {"deadline_ns": 9, "hours": 2}, "qualifying": {"karma": 50},
        "compute": {"API-Credits": 7}, "criteria": ["it fits"], "part_of": "ab" * 32,
    }  # fmt: skip
    decision = post(kernel, {"USD": 5}, **whole)
    assert (decision.outcome, decision.reserve) == ("allow", {"USD": 5, "API-Credits": 7})
    for result in ({}, {"result": ""}, {"result": None}):
        decision = kernel.submit(Intent("task.post", {"amounts": {"USD": 5}, **result}, "g"))
        assert codes(decision) == ["params.invalid"]


@pytest.mark.req("X0-23")
@pytest.mark.parametrize("status", ["error", "timeout"])
def test_a_failed_task_returns_the_stated_share_to_the_account(kernel: Any, status: str) -> None:
    grant(kernel, params={"failure_returns": [4, 5]}, cap="sys/spend@1")
    decision = post(kernel, {"USD": 1_000})
    settlement = kernel.settle(Receipt(decision.intent_hash, status, "adapter", {}))
    assert settlement.usage == {"USD": 200}
    balances = {name: kernel.state.accounts[name].balances.get("USD") for name in BASE["accounts"]}
    assert balances == {"accounts/team": FUNDS["USD"] - 200, "vendors/mill": 200}


@pytest.mark.req("X0-32")
def test_a_resource_is_available_in_its_season_only(kernel: Any) -> None:
    grant(kernel, cap="sys/spend@1", params={"seasons": {"GPU-Hours": [3, 4, 5]}})
    may, july = (int(datetime(2026, month, 31, tzinfo=UTC).timestamp()) * 10**9 for month in (5, 7))
    assert post(kernel, {"GPU-Hours": 5}, now_ns=may).allowed
    assert codes(post(kernel, {"GPU-Hours": 5}, now_ns=july)) == ["out_of_season"]
    assert post(kernel, {"USD": 5}, now_ns=july).allowed
