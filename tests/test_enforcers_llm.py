"""sys/CapEnforceLlmBasic@1: what is denied, what is reserved, what is used."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.enforcer_models import llm_check, llm_settle, reserve_of, usage_of
from tests.test_enforcers_abi import LLM_BASIC as LLM
from tests.test_enforcers_abi import NATURAL_MAX, check, settle

KIND = "llm.generate"


@pytest.mark.req("S4-11", "S4-90")
def test_max_tokens_alone_is_reserved_exactly() -> None:
    assert check(LLM, KIND, {}, {"model": "gpt-x", "max_tokens": 50}).reserve == {"tokens": 50}


@pytest.mark.req("S4-12", "S4-90")
@pytest.mark.parametrize(
    "payload",
    [
        {"prompt_tokens": 10, "completion_tokens": 20},
        {"usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}, "id": "a"},
        {"input_tokens": 10, "output_tokens": 20},
        {"usage": {"input_tokens": 10, "output_tokens": 20}, "prompt_tokens": None},
        {"prompt_tokens": 10, "completion_tokens": 20, "usage": {"prompt_tokens": 99}},
    ],
)
def test_the_receipts_counts_are_the_usage(payload: Any) -> None:
    settled = settle(LLM, KIND, {}, {"max_tokens": 50}, {"tokens": 50}, payload)
    assert (settled.usage, settled.violation_code) == ({"tokens": 30}, "")


@pytest.mark.req("S4-21")
def test_a_denial_names_the_model_and_reserves_nothing() -> None:
    verdict = check(LLM, KIND, {"models": ["gpt-4", "gpt-5"]}, {"model": "gpt-x", "max_tokens": 50})
    assert (verdict.deny_code, verdict.reserve) == ("model_not_allowed", {})
    assert "`gpt-x`" in verdict.deny_message


@pytest.mark.req("S4-30")
@pytest.mark.parametrize(("completion", "violation"), [(39, ""), (40, ""), (41, "usage_exceeds_reserve")])
def test_usage_above_the_reserve_is_a_violation_with_both_numbers(completion: int, violation: str) -> None:
    payload = {"prompt_tokens": 10, "completion_tokens": completion}
    settled = settle(LLM, KIND, {}, {"max_tokens": 50}, {"tokens": 50}, payload)
    assert (settled.usage, settled.violation_code) == ({"tokens": 10 + completion}, violation)
    if violation:
        assert "`tokens` is 51" in settled.violation_message
        assert "reserve of 50" in settled.violation_message


@pytest.mark.req("X4-05")
def test_the_reserve_covers_the_prompt_so_an_honest_receipt_never_violates() -> None:
    params = {"model": "gpt-x", "prompt_tokens": 900, "max_tokens": 50}
    reserve = check(LLM, KIND, {}, params).reserve
    assert reserve == {"tokens": 950}
    payload = {"prompt_tokens": 900, "completion_tokens": 50}
    assert settle(LLM, KIND, {}, params, reserve, payload).violation_code == ""


@pytest.mark.req("X4-05")
def test_without_a_count_the_bytes_of_the_messages_bound_the_prompt() -> None:
    messages = [
        {"role": "system", "content": "écris"},
        {"role": "user", "content": [{"type": "text", "text": "hello"}, {"image": b"\x00" * 7, "n": 3}]},
        "bare",
    ]
    of_values = (
        len("system") + len("écris".encode()) + len("user") + len("text") + len("hello") + 7 + len("bare")
    )
    assert check(LLM, KIND, {}, {"messages": messages, "max_tokens": 50}).reserve == {
        "tokens": of_values + 50
    }
    counted = {"messages": messages, "prompt_tokens": 3, "max_tokens": 50}
    assert check(LLM, KIND, {}, counted).reserve == {"tokens": 53}


@pytest.mark.req("X5-14")
def test_without_max_tokens_the_grants_default_is_reserved_and_never_more() -> None:
    default = {"default_tokens": 200, "max_tokens_max": 4096}
    assert check(LLM, KIND, default, {"model": "gpt-x"}).reserve == {"tokens": 200}
    assert check(LLM, KIND, {"max_tokens_max": 4096}, {"model": "gpt-x"}).reserve == {"tokens": 4096}
    assert check(LLM, KIND, {"max_tokens": 70}, {"max_tokens": None}).reserve == {"tokens": 70}
    assert check(LLM, KIND, {}, {"model": "gpt-x"}).deny_code == "max_tokens_missing"


@pytest.mark.parametrize(
    ("cap", "params", "code"),
    [
        ({"providers": ["acme"]}, {"provider": "other"}, "provider_not_allowed"),
        ({"providers": ["acme"]}, {}, "provider_not_allowed"),
        ({"models": ["m"]}, {}, "model_not_allowed"),
        ({"max_tokens_max": 50}, {"max_tokens": 51}, "max_tokens_exceeded"),
        ({"max_tokens_max": 50, "max_tokens": 40}, {"max_tokens": 41}, "max_tokens_exceeded"),
        ({"max_tokens_max": 50, "default_tokens": 51}, {"max_tokens": None}, "max_tokens_exceeded"),
        ({"tools": ["search"]}, {"tools": ["search", "shell"]}, "tool_not_allowed"),
        ({"tools": ["search"]}, {"tools": [{"name": "shell"}]}, "tool_not_allowed"),
        (
            {"tools": ["search"]},
            {"tools": [{"name": "search", "function": {"name": "shell"}}]},
            "tool_not_allowed",
        ),
        ({}, {"tools": [{"title": "shell"}]}, "params_invalid"),
        ({}, {"tools": [3]}, "params_invalid"),
        ({}, {"prompt_tokens": NATURAL_MAX}, "tokens_overflow"),
        (
            {"prices": {"resource": "usd", "models": {"m": {"prompt": 1, "completion": 1}}}},
            {},
            "price_missing",
        ),
        (
            {"prices": {"resource": "usd", "prompt": NATURAL_MAX, "completion": 0}},
            {"prompt_tokens": 10**7},
            "cost_overflow",
        ),
        ({"prices": {"resource": "usd", "prompt": 1}}, {}, "cap_params_invalid"),
        ({"prices": {"resource": "tokens", "prompt": 1, "completion": 1}}, {}, "cap_params_invalid"),
        ({"prices": {"prompt": 1, "completion": 1}}, {}, "cap_params_invalid"),
        ({"models": "gpt-x"}, {}, "cap_params_invalid"),
        ({"models": None}, {}, "cap_params_invalid"),
        ({}, {"max_tokens": "50"}, "params_invalid"),
        ({}, {"max_tokens": 50.0}, "params_invalid"),
        ({}, {"max_tokens": -1}, "params_invalid"),
        ({}, {"max_tokens": True}, "params_invalid"),
        ({}, {"messages": "hello"}, "params_invalid"),
    ],
)
def test_each_restriction_has_its_code(cap: Any, params: Any, code: str) -> None:
    assert check(LLM, KIND, cap, {"max_tokens": 50} | params).deny_code == code


@pytest.mark.parametrize("cap", [{}, {"models": [], "providers": [], "tools": []}])
def test_a_missing_or_empty_list_restricts_nothing(cap: Any) -> None:
    params = {
        "model": "any",
        "provider": "any",
        "tools": ["any", {"function": {"name": "any"}}],
        "max_tokens": 5,
    }
    assert check(LLM, KIND, cap, params).deny_code == ""


def test_params_of_the_wrong_type_are_denied_by_the_name_of_the_field() -> None:
    verdict = check(LLM, KIND, {}, {"max_tokens": "many"})
    assert "`max_tokens`" in verdict.deny_message
    nested = check(
        LLM, KIND, {"prices": {"resource": "usd", "prompt": -1, "completion": 1}}, {"max_tokens": 5}
    )
    assert "`prices.prompt`" in nested.deny_message


@pytest.mark.parametrize(
    ("prompt", "completion", "price", "cost"),
    [
        (0, 0, (3, 9), 0),
        (1, 0, (1, 0), 1),
        (999_999, 1, (1, 1), 1),
        (10**6, 1, (1, 1), 2),
        (900, 512, (3_000_000, 15_000_000), 900 * 3 + 512 * 15),
        (NATURAL_MAX - 1, 1, (10**6, 10**6), NATURAL_MAX),
        (10**6, 0, (NATURAL_MAX, 0), NATURAL_MAX),
    ],
)
def test_a_cost_is_one_ceiling_over_the_whole_call(
    prompt: int, completion: int, price: tuple[int, int], cost: int
) -> None:
    cap = {"prices": {"resource": "usd", "prompt": price[0], "completion": price[1]}}
    params = {"prompt_tokens": prompt, "max_tokens": completion}
    assert check(LLM, KIND, cap, params).reserve == {"tokens": prompt + completion, "usd": cost}


def test_a_price_by_model_stands_before_the_price_for_all() -> None:
    prices = {
        "resource": "usd",
        "prompt": 10**6,
        "completion": 10**6,
        "models": {"big": {"prompt": 5 * 10**6, "completion": 0}},
    }
    assert (
        check(LLM, KIND, {"prices": prices}, {"model": "big", "prompt_tokens": 2, "max_tokens": 1}).reserve[
            "usd"
        ]
        == 10
    )
    assert check(LLM, KIND, {"prices": prices}, {"model": "small", "max_tokens": 1}).reserve["usd"] == 1


def test_a_settle_saturates_where_a_check_refuses() -> None:
    cap = {"prices": {"resource": "usd", "prompt": NATURAL_MAX, "completion": NATURAL_MAX}}
    payload = {"prompt_tokens": NATURAL_MAX, "completion_tokens": NATURAL_MAX}
    settled = settle(LLM, KIND, cap, {"max_tokens": 1}, {}, payload)
    assert settled.usage == {"tokens": NATURAL_MAX, "usd": NATURAL_MAX}


@pytest.mark.parametrize(
    ("status", "payload", "usage", "violation"),
    [
        ("ok", {}, {}, "usage_missing"),
        ("ok", {"completion_tokens": 7}, {"tokens": 7}, "usage_missing"),
        ("error", {}, {}, ""),
        ("timeout", {"prompt_tokens": 9}, {"tokens": 9}, ""),
        ("ok", {"prompt_tokens": "9", "completion_tokens": 1}, {}, "receipt_unreadable"),
        ("ok", {"usage": [9]}, {}, "receipt_unreadable"),
        ("ok", [], {}, "receipt_unreadable"),
        ("ok", b"\xff", {}, "receipt_unreadable"),
    ],
)
def test_a_settle_reads_what_there_is(
    status: str, payload: Any, usage: dict[str, int], violation: str
) -> None:
    settled = settle(LLM, KIND, {}, {"max_tokens": 50}, {"tokens": 50}, payload, status)
    assert (settled.usage, settled.violation_code) == (usage, violation)


@pytest.mark.parametrize(
    ("number", "tokens"),
    [
        ("17", 23),
        ("1818", 24),
        ("18ff", 255),
        ("190100", 256),
        ("1a00010000", 2**16),
        ("1b0000000100000000", 2**32),
        ("1817", None),
        ("1900ff", None),
        ("1a0000ffff", None),
        ("1b00000000ffffffff", None),
        ("c105", None),
        ("1c", None),
        ("1f", None),
        ("18", None),
    ],
)
def test_a_number_is_read_in_its_shortest_form_only(number: str, tokens: int | None) -> None:
    params = b"\xa1\x6amax_tokens" + bytes.fromhex(number)
    verdict = check(LLM, KIND, {}, params)
    assert (verdict.reserve, verdict.deny_code) == (
        ({"tokens": tokens}, "") if tokens else ({}, "params_invalid")
    )


# --- the model ----------------------------------------------------------------------------------------

edges = st.one_of(
    st.integers(0, 1000), st.integers(0, NATURAL_MAX), st.sampled_from([0, 1, 10**6, 2**63, NATURAL_MAX])
)
odd = st.one_of(st.none(), st.booleans(), st.just(-1), st.just(1.5), st.just("x"), st.just([]), st.just({}))
names = st.sampled_from(["gpt-x", "gpt-x", "b", "é", ""])
lists = st.lists(names, max_size=3)


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 39).flatmap(lambda chance: odd if chance == 23 else strategy)


price = st.fixed_dictionaries({"prompt": mostly(edges), "completion": edges})
prices = st.one_of(
    st.fixed_dictionaries(
        {
            "resource": st.sampled_from(["usd", "usd", "long-resource", "tokens", ""]),
            "prompt": edges,
            "completion": edges,
        }
    ),
    st.fixed_dictionaries(
        {"resource": st.just("usd"), "models": st.dictionaries(names, price, max_size=3)},
        optional={"prompt": edges, "completion": edges},
    ),
)
caps = st.fixed_dictionaries(
    {},
    optional={
        "providers": mostly(lists),
        "models": mostly(lists),
        "tools": mostly(lists),
        "max_tokens_max": mostly(edges),
        "max_tokens": mostly(edges),
        "default_tokens": mostly(edges),
        "prices": mostly(prices),
        "x-note": odd,
    },
)
tools = st.lists(
    st.one_of(
        names,
        st.fixed_dictionaries(
            {}, optional={"name": names, "function": st.fixed_dictionaries({"name": mostly(names)})}
        ),
        odd,
    ),
    max_size=2,
)
contents = st.recursive(
    st.one_of(st.text(max_size=5), st.binary(max_size=5), st.integers(0, 5), st.none(), st.just(0.5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
calls = st.fixed_dictionaries(
    {},
    optional={
        "provider": mostly(names),
        "model": mostly(names),
        "max_tokens": mostly(edges),
        "prompt_tokens": mostly(edges),
        "messages": mostly(st.lists(contents, max_size=3)),
        "tools": mostly(tools),
        "temperature": st.just(0.7),
    },
)
counts = {
    "prompt_tokens": mostly(edges),
    "completion_tokens": mostly(edges),
    "input_tokens": edges,
    "output_tokens": edges,
}
payloads = mostly(
    st.fixed_dictionaries({}, optional=counts | {"usage": mostly(st.fixed_dictionaries({}, optional=counts))})
)
kinds = st.sampled_from([KIND] * 9 + ["http.request"])


@given(kind=kinds, cap=caps, params=calls)
def test_a_check_agrees_with_the_model(kind: str, cap: Any, params: Any) -> None:
    verdict = check(LLM, kind, cap, params)
    assert (verdict.deny_code or verdict.reserve) == reserve_of(llm_check, kind, cap, params)


@given(
    kind=kinds,
    cap=caps,
    params=calls,
    reserve=st.dictionaries(st.sampled_from(["tokens", "usd"]), edges),
    payload=payloads,
    status=st.sampled_from(["ok", "error", "timeout"]),
)
def test_a_settle_agrees_with_the_model(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str
) -> None:
    settled = settle(LLM, kind, cap, params, reserve, payload, status)
    expected = usage_of(llm_settle, kind, cap, params, reserve, payload, status, None)
    assert (settled.usage, settled.violation_code) == expected


@given(
    prompt=edges,
    completion=edges,
    prices=st.tuples(edges, edges),
    shares=st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
@example(prompt=1, completion=1, prices=(1, 1), shares=(100, 100))
def test_counts_within_their_bounds_never_use_more_than_was_reserved(
    prompt: int, completion: int, prices: tuple[int, int], shares: tuple[int, int]
) -> None:
    cap = {"prices": {"resource": "usd", "prompt": prices[0], "completion": prices[1]}}
    params = {"prompt_tokens": prompt, "max_tokens": completion}
    verdict = check(LLM, KIND, cap, params)
    if verdict.deny_code:
        assert verdict.deny_code in ("tokens_overflow", "cost_overflow")
        return
    payload = {"prompt_tokens": prompt * shares[0] // 100, "completion_tokens": completion * shares[1] // 100}
    settled = settle(LLM, KIND, cap, params, verdict.reserve, payload)
    assert settled.violation_code == ""
    assert all(amount <= verdict.reserve[dim] for dim, amount in settled.usage.items())
