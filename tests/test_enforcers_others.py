"""sys/CapAllowAll@1, sys/CapEnforceBlob@1, sys/CapEnforceCost@1 and sys/CapEnforceNative@1."""

from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests import enforcer_models as models
from tests.test_enforcers_abi import ALLOW, BLOB, COST, NATIVE, NATURAL_MAX, check, settle

# --- sys/CapAllowAll@1 --------------------------------------------------------------------------------


@pytest.mark.req("S4-22")
@pytest.mark.parametrize("reserve", [{}, {"tokens": 50, "cost_cents": 3}, {f"d{i}": i for i in range(64)}])
def test_allow_all_reserves_what_the_grant_says(reserve: dict[str, int]) -> None:
    assert (
        check(ALLOW, "any.kind", {"reserve": reserve, "note": "for the class"}, {"x": 1}).reserve == reserve
    )


@pytest.mark.req("S4-29")
def test_allow_all_without_a_reserve_charges_nothing() -> None:
    assert check(ALLOW, "any.kind", {}, {}).reserve == {}
    settled = settle(ALLOW, "any.kind", {}, {}, {}, {"usage": {"tokens": 9}})
    assert (settled.usage, settled.violation_code) == ({}, "")


@pytest.mark.parametrize(
    ("payload", "usage", "violation"),
    [
        ({"usage": {"tokens": 50, "other": 7}}, {"tokens": 50, "other": 7}, ""),
        ({"usage": {"tokens": 51}}, {"tokens": 51}, "usage_exceeds_reserve"),
        ({"usage": {}}, {}, ""),
        ({}, {}, ""),
        ({"usage": {"tokens": -1}}, {}, "receipt_unreadable"),
        ({"usage": {"tokens": 1.0}}, {}, "receipt_unreadable"),
        ({"usage": {"": 1}}, {}, "receipt_unreadable"),
        ({"usage": {"d" * 129: 1}}, {}, "receipt_unreadable"),
        ({"usage": {f"d{i}": 1 for i in range(65)}}, {}, "receipt_unreadable"),
        ({"usage": 5}, {}, "receipt_unreadable"),
        (5, {}, "receipt_unreadable"),
    ],
)
def test_allow_all_reports_the_usage_of_the_payload(
    payload: Any, usage: dict[str, int], violation: str
) -> None:
    settled = settle(ALLOW, "any.kind", {"reserve": {"tokens": 50}}, {}, {"tokens": 50}, payload)
    assert (settled.usage, settled.violation_code) == (usage, violation)


@pytest.mark.parametrize(
    "reserve", [5, {"tokens": -1}, {"tokens": "5"}, {"": 1}, {f"d{i}": 1 for i in range(65)}, None]
)
def test_allow_all_refuses_a_reserve_that_is_no_map_of_amounts(reserve: Any) -> None:
    assert check(ALLOW, "any.kind", {"reserve": reserve}, {}).deny_code == "cap_params_invalid"


# --- sys/CapEnforceBlob@1 -----------------------------------------------------------------------------


@pytest.mark.req("S4-91")
@pytest.mark.parametrize("kind", ["blob.put", "blob.get"])
def test_a_known_size_is_reserved_and_the_receipts_size_is_used(kind: str) -> None:
    reserve = check(BLOB, kind, {}, {"size": 4096}).reserve
    assert reserve == {"bytes": 4096}
    assert settle(BLOB, kind, {}, {"size": 4096}, reserve, {"size": 4096}).usage == {"bytes": 4096}


@pytest.mark.req("S4-91", "S4-58")
def test_an_unknown_size_reserves_nothing_and_is_charged_from_the_receipt() -> None:
    reserve = check(BLOB, "blob.get", {}, {"key": "a"}).reserve
    assert reserve == {"bytes": 0}
    settled = settle(BLOB, "blob.get", {}, {"key": "a"}, reserve, {"bytes": 700})
    assert (settled.usage, settled.violation_code) == ({"bytes": 700}, "")


@pytest.mark.req("S4-88")
@pytest.mark.parametrize(("size", "violation"), [(2048, ""), (2049, "usage_exceeds_reserve")])
def test_more_bytes_than_reserved_are_a_violation(size: int, violation: str) -> None:
    settled = settle(BLOB, "blob.put", {}, {"size": 2048}, {"bytes": 2048}, {"size": size})
    assert (settled.usage, settled.violation_code) == ({"bytes": size}, violation)


@pytest.mark.parametrize(
    ("cap", "params", "code"),
    [
        ({"namespaces": ["a"]}, {"namespace": "a"}, ""),
        ({"namespaces": ["a"]}, {"namespace": "b"}, "namespace_not_allowed"),
        ({"namespaces": ["a"]}, {}, "namespace_not_allowed"),
        ({"namespaces": []}, {"namespace": "b"}, ""),
        ({"max_bytes": 10}, {"size": 10}, ""),
        ({"max_bytes": 10}, {"size": 11}, "blob_too_large"),
        ({"max_bytes": 10}, {}, ""),
        ({}, {"size": "10"}, "params_invalid"),
        ({}, {"key": 5}, "params_invalid"),
    ],
)
def test_each_restriction_on_blobs_has_its_code(cap: Any, params: Any, code: str) -> None:
    assert check(BLOB, "blob.put", cap, params).deny_code == code


@pytest.mark.parametrize(
    ("params", "payload", "status", "usage", "violation"),
    [
        ({"size": 5}, {}, "ok", {"bytes": 5}, ""),
        ({"size": 5}, {}, "error", {}, ""),
        ({}, {}, "ok", {}, "usage_missing"),
        ({}, {"size": 11}, "ok", {"bytes": 11}, "blob_too_large"),
        ({}, {"size": None, "bytes": 3}, "timeout", {"bytes": 3}, ""),
    ],
)
def test_a_blobs_settle_reads_what_there_is(
    params: Any, payload: Any, status: str, usage: dict[str, int], violation: str
) -> None:
    settled = settle(BLOB, "blob.put", {"max_bytes": 10}, params, {}, payload, status)
    assert (settled.usage, settled.violation_code) == (usage, violation)


# --- sys/CapEnforceCost@1 -----------------------------------------------------------------------------


@pytest.mark.req("S4-92", "S4-58")
def test_a_cost_without_a_bound_reserves_nothing_and_is_charged_from_the_receipt() -> None:
    reserve = check(COST, "mail.send", {}, {}).reserve
    assert reserve == {"cost_cents": 0}
    settled = settle(COST, "mail.send", {}, {}, reserve, {}, cost_cents=12)
    assert (settled.usage, settled.violation_code) == ({"cost_cents": 12}, "")


@pytest.mark.req("S4-93")
@pytest.mark.parametrize(("cost", "violation"), [(12, ""), (20, ""), (21, "usage_exceeds_reserve")])
def test_a_cost_with_a_bound_reserves_it(cost: int, violation: str) -> None:
    reserve = check(COST, "mail.send", {"max_cost_cents": 20}, {}).reserve
    assert reserve == {"cost_cents": 20}
    settled = settle(COST, "mail.send", {"max_cost_cents": 20}, {}, reserve, {}, cost_cents=cost)
    assert (settled.usage, settled.violation_code) == ({"cost_cents": cost}, violation)


def test_a_bound_of_nothing_is_a_bound() -> None:
    settled = settle(COST, "mail.send", {"max_cost_cents": 0}, {}, {"cost_cents": 0}, {}, cost_cents=1)
    assert (settled.usage, settled.violation_code) == ({"cost_cents": 1}, "usage_exceeds_reserve")


@pytest.mark.req("S4-09")
def test_a_cost_may_be_counted_in_another_dimension() -> None:
    cap = {"dimension": "gpu_ms", "max_cost_cents": 6000, "kinds": ["gpu.run"]}
    assert check(COST, "gpu.run", cap, {}).reserve == {"gpu_ms": 6000}
    assert check(COST, "mail.send", cap, {}).deny_code == "effect_kind_mismatch"
    assert settle(COST, "gpu.run", cap, {}, {"gpu_ms": 6000}, b"\xff", "error").usage == {"gpu_ms": 0}


# --- sys/CapEnforceNative@1 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "cap", "params", "code"),
    [
        ("ledger.transfer", {}, {"from": "a", "to": "b"}, ""),
        ("budget.solve", {}, {}, ""),
        ("budget.", {}, {}, "effect_kind_mismatch"),
        ("ledger.burn", {}, {}, "effect_kind_mismatch"),
        ("llm.generate", {}, {}, "effect_kind_mismatch"),
        ("ledger.issue", {"operations": ["ledger.transfer", "grant.*"]}, {}, "operation_not_covered"),
        ("grant.issue", {"operations": ["ledger.transfer", "grant.*"]}, {}, ""),
        ("grant.issue", {"operations": ["grant*"]}, {}, "cap_params_invalid"),
        ("grant.issue", {"operations": [".*"]}, {}, "cap_params_invalid"),
        ("grant.issue", {"operations": [""]}, {}, "cap_params_invalid"),
        ("ledger.transfer", {"accounts": ["accounts/team/*"]}, {"from": "elsewhere"}, ""),
        ("ledger.transfer", {"accounts": ["accounts/*/a"]}, {}, "cap_params_invalid"),
        ("ledger.issue", {"resources": ["usd"]}, {"resource": "eur"}, ""),
        ("ledger.issue", {"resources": "usd"}, {"resource": "usd"}, "cap_params_invalid"),
        ("budget.amend", {"rank": "strategic"}, {}, ""),
        ("budget.amend", {"rank": "tactical"}, {}, "rank_too_low"),
        ("budget.create", {"rank": "tactical"}, {}, "rank_too_low"),
        ("budget.split", {"rank": "tactical"}, {}, "rank_too_low"),
        ("budget.solve", {"rank": "tactical"}, {}, ""),
        ("metric.record", {"rank": "tactical"}, {}, ""),
        ("budget.solve", {"rank": "chief"}, {}, "cap_params_invalid"),
    ],
)
def test_each_restriction_on_native_effects_has_its_code(kind: str, cap: Any, params: Any, code: str) -> None:
    verdict = check(NATIVE, kind, cap, params)
    assert (verdict.deny_code, verdict.reserve) == (code, {})


USD_TO_EUR = {"resource": "usd", "gets": "eur", "rate": [9, 10]}
NINE_TENTHS = {"rates": [{"resource": "eur", "gets": "usd", "rate": [11, 10]}, USD_TO_EUR]}
LARGE = {"resource": "usd", "gets": "eur", "rate": [NATURAL_MAX - 1, NATURAL_MAX]}


@pytest.mark.parametrize(
    ("cap", "params", "code"),
    [
        (NINE_TENTHS, USD_TO_EUR, ""),
        (NINE_TENTHS, USD_TO_EUR | {"rate": [18, 20]}, ""),
        (NINE_TENTHS, USD_TO_EUR | {"rate": [10, 9]}, "rate_not_covered"),
        (NINE_TENTHS, USD_TO_EUR | {"rate": [91, 100]}, "rate_not_covered"),
        (NINE_TENTHS, USD_TO_EUR | {"resource": "gbp"}, "rate_not_covered"),
        (NINE_TENTHS, USD_TO_EUR | {"gets": "usd"}, "rate_not_covered"),
        (NINE_TENTHS, USD_TO_EUR | {"rate": [9, 0]}, "params_invalid"),
        (NINE_TENTHS, USD_TO_EUR | {"rate": [9]}, "params_invalid"),
        (NINE_TENTHS, USD_TO_EUR | {"rate": 0.9}, "params_invalid"),
        (NINE_TENTHS, {"resource": "usd", "rate": [9, 10]}, "params_invalid"),
        ({"rates": [LARGE]}, LARGE, ""),
        ({"rates": [LARGE]}, LARGE | {"rate": [NATURAL_MAX - 2, NATURAL_MAX - 1]}, "rate_not_covered"),
        ({"rates": [{"resource": "usd", "gets": "eur"}]}, USD_TO_EUR, "cap_params_invalid"),
        ({"rates": [USD_TO_EUR | {"rate": [9, 0]}]}, USD_TO_EUR, "cap_params_invalid"),
        ({"rates": [USD_TO_EUR | {"from": "a"}]}, USD_TO_EUR, "cap_params_invalid"),
        ({"rates": []}, {"rate": "any"}, ""),
    ],
)
def test_a_conversion_is_at_a_listed_rate(cap: Any, params: Any, code: str) -> None:
    assert check(NATIVE, "ledger.convert", cap, params).deny_code == code


def test_rates_and_what_is_got_concern_conversions_only() -> None:
    params = {"resource": "usd", "gets": "eur", "rate": [1, 2]}
    assert check(NATIVE, "ledger.transfer", NINE_TENTHS | {"resources": ["usd"]}, params).deny_code == ""


# --- the models ---------------------------------------------------------------------------------------

edges = st.sampled_from([0, 1, 2, 10, 11, NATURAL_MAX, -1, 1.5, None, "x"])
names = st.sampled_from(["", "a", "b", "a/b", "a/b/c", "a/", "é"])
lists = st.one_of(st.lists(names, max_size=2), st.sampled_from([None, "a", [1], ["a", None]]))
amounts = st.dictionaries(
    st.sampled_from(["tokens", "bytes", "cost_cents", "", "d" * 128, "d" * 129]), edges, max_size=3
)
natural_maps = st.dictionaries(
    st.sampled_from(["tokens", "bytes", "cost_cents"]), st.sampled_from([0, 1, 10, NATURAL_MAX])
)
statuses = st.sampled_from(["ok", "error", "timeout"])
costs = st.sampled_from([None, 0, 1, 10, 11, NATURAL_MAX])
patterns = st.lists(st.sampled_from(["a", "a/*", "a/b/*", "é", "/*", "*", "a*", "", "b"]), max_size=2)

fractions = st.one_of(st.lists(st.integers(0, 3), min_size=2, max_size=2), st.lists(edges, max_size=3))
rates = st.fixed_dictionaries(
    {"resource": names, "gets": names, "rate": fractions}, optional={"from": st.just("a")}
)

CAPS: dict[str, st.SearchStrategy[Any]] = {
    ALLOW: st.fixed_dictionaries(
        {}, optional={"reserve": st.one_of(amounts, natural_maps, edges), "note": edges}
    ),
    BLOB: st.fixed_dictionaries({}, optional={"namespaces": lists, "max_bytes": edges}),
    COST: st.fixed_dictionaries(
        {},
        optional={
            "kinds": st.sampled_from([[], ["mail.send"], ["x"], None, "mail.send"]),
            "max_cost_cents": edges,
            "dimension": st.sampled_from(["cost_cents", "tokens", "", "d" * 128, "d" * 129, 5]),
        },
    ),
    NATIVE: st.fixed_dictionaries(
        {},
        optional={
            "operations": st.lists(
                st.sampled_from(["budget.*", "budget.solve", "ledger.*", "grant.issue", "x*"]), max_size=2
            ),
            "accounts": st.one_of(patterns, lists),
            "resources": lists,
            "rank": st.sampled_from(["strategic", "tactical", "tactical", "chief", None]),
            "rates": st.one_of(st.lists(st.one_of(rates, edges), max_size=2), edges),
        },
    ),
}
PARAMS: dict[str, st.SearchStrategy[Any]] = {
    ALLOW: st.just({}),
    BLOB: st.fixed_dictionaries(
        {}, optional={"namespace": names, "key": st.one_of(names, edges), "size": edges}
    ),
    COST: st.just({}),
    NATIVE: st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("from", "to", "resource", "gets"), st.one_of(names, names, edges))
        | dict.fromkeys(("accounts", "resources"), lists)
        | {"rate": st.one_of(fractions, edges)},
    ),
}
KINDS = {
    ALLOW: ["any.kind"],
    BLOB: ["blob.put", "blob.get", "blob.delete"],
    COST: ["mail.send", "x"],
    NATIVE: [
        *models.OPERATIONS,
        *["ledger.convert"] * 20,
        "budget.solve",
        *models.STRATEGIC,
        "budget.",
        "llm.generate",
    ],
}
CHECKS = {
    ALLOW: models.allow_check,
    BLOB: models.blob_check,
    COST: models.cost_check,
    NATIVE: models.native_check,
}
SETTLES: dict[str, Any] = {
    ALLOW: models.allow_settle,
    BLOB: models.blob_settle,
    COST: models.cost_settle,
    NATIVE: models.native_settle,
}
payloads: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"usage": st.one_of(amounts, natural_maps), "size": edges, "bytes": edges}
    ),
    st.sampled_from([None, [], 5, "x"]),
)


@pytest.mark.parametrize("name", [ALLOW, BLOB, COST, NATIVE])
@given(data=st.data())
def test_a_check_agrees_with_the_model(name: str, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS[name]))
    cap, params = data.draw(CAPS[name]), data.draw(PARAMS[name])
    verdict = check(name, kind, cap, params)
    event(verdict.deny_code or "allowed")
    assert (verdict.deny_code or verdict.reserve) == models.reserve_of(CHECKS[name], kind, cap, params)


@pytest.mark.parametrize("name", [ALLOW, BLOB, COST, NATIVE])
@given(data=st.data(), reserve=natural_maps, payload=payloads, status=statuses, cost=costs)
def test_a_settle_agrees_with_the_model(
    name: str, data: st.DataObject, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> None:
    kind = data.draw(st.sampled_from(KINDS[name]))
    cap, params = data.draw(CAPS[name]), data.draw(PARAMS[name])
    settled = settle(name, kind, cap, params, reserve, payload, status, cost)
    event(settled.violation_code or "no violation")
    expected = models.usage_of(SETTLES[name], kind, cap, params, reserve, payload, status, cost)
    assert (settled.usage, settled.violation_code) == expected
