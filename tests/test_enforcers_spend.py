"""sys/CapEnforceSpend@1: what a task may cost, for what, to whom, in which months, and what comes back."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, event, example, given
from hypothesis import strategies as st

from tests.enforcer_models import Reserve, reserve_of, usage_of
from tests.spend_model import SECOND_NS, TASK, model_check, model_settle
from tests.test_enforcers_abi import NATURAL_MAX, SPEND, TYPICAL, assert_fit, check, settle

POSTED = {"result": "a banner", "amounts": {"USD": 100}}
MINUTE_NS = 60 * SECOND_NS

# --- the module against the model ---------------------------------------------------------------------

edges = st.sampled_from([0, 1, 2, 12, 13, NATURAL_MAX, -1, -840, 840, 841, -841, 1.5, None, "x", -(2**63)])
resources = st.sampled_from(["USD", "API-Credits", "Seed", "", "é", "d" * 129])
amounts = st.dictionaries(resources, st.one_of(st.integers(0, NATURAL_MAX), edges), max_size=4)
fit_amounts = st.dictionaries(st.sampled_from(["USD", "API-Credits", "Seed"]), st.integers(0, NATURAL_MAX))
texts = st.sampled_from(["a", "ads", "office", "vendors/mill", "vendors/", "vendors", "vendors/a/b", ""])
lists = st.one_of(st.lists(texts, max_size=2), edges)
patterns = st.lists(st.sampled_from(["vendors/*", "vendors/", "vendors/mill", "a", "*", "/*", "/", "a*"]))
pairs = st.one_of(st.tuples(st.integers(0, 5), st.integers(1, 5)).map(list), st.lists(edges, max_size=3))
seasons = st.dictionaries(
    st.sampled_from(["USD", "Seed", "*"]), st.one_of(st.lists(st.integers(1, 12)), st.lists(edges), edges)
)
caps = st.fixed_dictionaries(
    {},
    optional={
        "kinds": st.sampled_from([[], ["ads.buy"], ["x", "ads.buy"], None, "ads.buy"]),
        "resources": st.one_of(st.lists(resources, max_size=3), edges),
        "purposes": lists,
        "payees": st.one_of(patterns, lists),
        "seasons": st.one_of(seasons, edges),
        "offset_minutes": edges,
        "failure_returns": pairs,
        "x-note": edges,
    },
)
tasks = st.fixed_dictionaries(
    {"result": st.sampled_from(["r", "r", "r", "", None, 5]), "amounts": st.one_of(fit_amounts, amounts)},
    optional={
        **dict.fromkeys(("title", "part_of"), st.one_of(texts, edges)),
        **dict.fromkeys(("purpose", "payee"), st.one_of(texts, texts, edges)),
        **dict.fromkeys(("qualifying", "compute"), st.one_of(fit_amounts, amounts, edges)),
        "time": st.one_of(st.fixed_dictionaries({}, optional={"deadline_ns": edges, "hours": edges}), edges),
        "failure_returns": pairs,
        "criteria": st.one_of(st.lists(edges, max_size=2), edges),
        "other": edges,
    },
)
kinds = st.sampled_from([TASK, TASK, TASK, "ads.buy", "task.posts"])
times = st.integers(0, 2**63 - 1)


def answer_of(kind: str, cap: Any, params: Any, now_ns: int) -> Reserve:
    verdict = check(SPEND, kind, cap, params, now_ns)
    event(verdict.deny_code or "allowed")
    if verdict.deny_code:
        assert_fit(verdict.deny_code, verdict.deny_message)
    return verdict.deny_code or verdict.reserve


@given(kind=kinds, cap=caps, params=tasks, now_ns=times)
def test_a_check_agrees_with_the_model(kind: str, cap: Any, params: Any, now_ns: int) -> None:
    assert answer_of(kind, cap, params, now_ns) == reserve_of(model_check, kind, cap, params, now_ns)


@given(
    cap=st.fixed_dictionaries(
        {},
        optional={
            "resources": st.lists(st.sampled_from(["USD", "API-Credits", "Seed"]), min_size=1),
            "purposes": st.lists(texts),
            "payees": st.lists(st.sampled_from(["vendors/*", "vendors/", "vendors/mill", "a"])),
            "seasons": st.dictionaries(
                st.sampled_from(["USD", "Seed", "*"]), st.lists(st.integers(1, 12), min_size=1)
            ),
            "offset_minutes": st.integers(-840, 840),
        },
    ),
    amounts=fit_amounts,
    purpose=texts,
    payee=texts,
    now_ns=times,
)
def test_well_formed_restrictions_agree_with_the_model(
    cap: Any, amounts: dict[str, int], purpose: str, payee: str, now_ns: int
) -> None:
    params = {"result": "r", "amounts": amounts, "purpose": purpose, "payee": payee}
    assert answer_of(TASK, cap, params, now_ns) == reserve_of(model_check, TASK, cap, params, now_ns)


shares = st.tuples(st.integers(0, 9), st.integers(1, 9)).map(sorted)
share_terms = st.fixed_dictionaries({}, optional={"failure_returns": shares})


@given(
    kind=st.sampled_from([TASK, "ads.buy", "task.posts"]),
    cap=share_terms,
    params=share_terms,
    reserve=fit_amounts,
    payload=st.one_of(
        st.fixed_dictionaries({}, optional={"amounts": st.one_of(fit_amounts, amounts, edges)}), edges
    ),
    status=st.sampled_from(["ok", "error", "timeout"]),
)
def test_a_settle_agrees_with_the_model(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str
) -> None:
    cap, params = cap | {"kinds": ["ads.buy"]}, params | {"result": "r", "amounts": reserve}
    settled = settle(SPEND, kind, cap, params, reserve, payload, status)
    event(settled.violation_code or "no violation")
    expected = usage_of(model_settle, kind, cap, params, reserve, payload, status)
    assert (settled.usage, settled.violation_code) == expected


@pytest.mark.req("X0-23")
@given(
    amount=st.integers(0, NATURAL_MAX),
    pair=st.tuples(st.integers(0, NATURAL_MAX), st.integers(1, NATURAL_MAX)).map(sorted),
)
@example(amount=NATURAL_MAX, pair=[NATURAL_MAX - 1, NATURAL_MAX])
@example(amount=NATURAL_MAX, pair=[NATURAL_MAX, NATURAL_MAX])
@example(amount=NATURAL_MAX, pair=[2**63, 2**63 + 1])
@example(amount=1000, pair=[4, 5])
def test_the_share_that_comes_back_is_exact_and_rounded_down(amount: int, pair: list[int]) -> None:
    params = {"result": "r", "amounts": {"USD": amount}, "failure_returns": pair}
    settled = settle(SPEND, TASK, {}, params, {"USD": amount}, {}, "error")
    assert settled.usage == {"USD": amount - amount * pair[0] // pair[1]}
    assert settled.violation_code == ""


# --- months -------------------------------------------------------------------------------------------


@pytest.mark.req("X0-32")
@given(
    year=st.integers(1970, 2261),
    month=st.integers(1, 12),
    offset=st.integers(-840, 840),
    apart_ns=st.integers(-2, 2),
)
@example(year=1970, month=1, offset=-840, apart_ns=0)
@example(year=2000, month=3, offset=0, apart_ns=-1)
@example(year=2100, month=3, offset=0, apart_ns=-1)
def test_a_month_begins_where_the_grants_clock_says(
    year: int, month: int, offset: int, apart_ns: int
) -> None:
    first = datetime(year, month, 1, tzinfo=timezone(timedelta(minutes=offset)))
    began_ns = round((first - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(minutes=1)) * MINUTE_NS
    assume(began_ns + apart_ns >= 0)
    expected = month if apart_ns >= 0 else (month - 2) % 12 + 1
    for listed in range(1, 13):
        cap = {"seasons": {"USD": [listed]}, "offset_minutes": offset}
        code = check(SPEND, TASK, cap, POSTED, began_ns + apart_ns).deny_code
        assert code == ("" if listed == expected else "out_of_season")


JULY_NS = int(datetime(2026, 7, 15, tzinfo=UTC).timestamp()) * SECOND_NS


@pytest.mark.req("X0-32")
def test_what_is_out_of_season_is_told_when_it_is_in_season() -> None:
    spring = {"seasons": {"USD": [12, 4, 3, 11, 4]}}
    verdict = check(SPEND, TASK, spring, POSTED, JULY_NS)
    assert verdict.deny_message == "resource `USD` is out of season in month 7; wait until month 3, 4, 11, 12"
    most = {"seasons": {"*": [month for month in range(1, 13) if month != 7]}}
    verdict = check(SPEND, TASK, most, POSTED, JULY_NS)
    assert verdict.deny_message.endswith("wait until month 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12")
    own = {"seasons": {"*": [1], "USD": [7]}}
    assert check(SPEND, TASK, own, POSTED, JULY_NS).reserve == {"USD": 100}


# --- what a refusal says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "params", "code", "message"),
    [
        (
            {"resources": ["USD", "EUR"]},
            {"amounts": {"GPU-Hours": 5}},
            "resource_not_permitted",
            "resource `GPU-Hours` is not permitted; the grant permits `USD`, `EUR`",
        ),
        (
            {"resources": [f"r{i}" for i in range(9)]},
            {"compute": {"r1": 5}},
            "resource_not_permitted",
            "resource `USD` is not permitted; the grant permits `r0`, `r1`, `r2`, `r3` and 5 more",
        ),
        (
            {"purposes": ["ads"]},
            {"purpose": "office"},
            "purpose_not_permitted",
            "purpose `office` is not permitted; the grant permits `ads`",
        ),
        (
            {"purposes": ["ads"]},
            {},
            "purpose_not_permitted",
            "the task states no purpose; add `purpose`: the grant permits `ads`",
        ),
        (
            {"payees": ["vendors/*"]},
            {"payee": "vendors"},
            "payee_not_permitted",
            "payee `vendors` is not permitted; the grant permits `vendors/*`",
        ),
        (
            {"payees": ["vendors/"]},
            {},
            "payee_not_permitted",
            "the task names no payee; add `payee`: the grant permits `vendors/`",
        ),
        (
            {},
            {"compute": {"USD": 5}},
            "params_invalid",
            "resource `USD` stands in `amounts` and in `compute` of the params; state it once",
        ),
        (
            {},
            {"amounts": {f"a{i}": 1 for i in range(60)}, "compute": {f"b{i}": 1 for i in range(5)}},
            "params_invalid",
            "`amounts` and `compute` of the params must together name at most 64 resources",
        ),
    ],
)
def test_a_refusal_says_what_would_pass(cap: Any, params: Any, code: str, message: str) -> None:
    verdict = check(SPEND, TASK, cap, POSTED | params)
    assert (verdict.deny_code, verdict.deny_message) == (code, message)


def test_the_longest_list_of_the_longest_names_is_still_a_message() -> None:
    cap = {"payees": ["\u202e" * 100 + f"{i}" for i in range(20)]}
    verdict = check(SPEND, TASK, cap, POSTED | {"payee": "\u202e" * 100})
    assert verdict.deny_code == "payee_not_permitted"
    assert_fit(verdict.deny_code, verdict.deny_message)


def test_the_whole_reserve_may_have_64_dimensions() -> None:
    amounts, compute = {f"a{i}": i for i in range(60)}, {f"b{i}": NATURAL_MAX for i in range(4)}
    params = POSTED | {"amounts": amounts, "compute": compute}
    assert check(SPEND, TASK, {}, params).reserve == amounts | compute
    settled = settle(SPEND, TASK, {}, params, amounts | compute, {}, "timeout")
    assert settled.usage == dict.fromkeys(amounts | compute, 0)


def test_a_listed_kind_is_judged_too_and_need_not_state_a_result() -> None:
    assert check(SPEND, "ads.buy", {"kinds": ["ads.buy"]}, {"amounts": {"USD": 5}}).reserve == {"USD": 5}
    assert check(SPEND, TASK, {"kinds": ["ads.buy"]}, POSTED).reserve == {"USD": 100}
    assert check(SPEND, "ads.sell", {"kinds": ["ads.buy"]}, POSTED).deny_code == "effect_kind_mismatch"


def test_the_ordinary_task_is_settled_by_its_receipt() -> None:
    kind, cap, params, reserve, payload = TYPICAL[SPEND]
    assert settle(SPEND, kind, cap, params, reserve, payload).usage == {"USD": 90_000}
    over = settle(SPEND, kind, cap, params, reserve, {"amounts": {"USD": 100_001, "EUR": 1}})
    assert (over.usage, over.violation_code) == ({"USD": 100_001, "EUR": 1}, "usage_exceeds_reserve")
    failed = settle(SPEND, kind, cap, params, reserve, {}, "error")
    assert failed.usage == {"USD": 20_000, "API-Credits": 10}
