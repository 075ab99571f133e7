"""sys/CapEnforceLlm@1: what a Check reserves, and that no honest receipt passes it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.abi import CheckVerdict, read_check, read_settle
from splittally.core.canonical import encode

from tests.llm_providers import NATURAL_MAX, REQUESTS, USAGES, Asked, Used
from tests.test_enforcers_abi import LLM, check, check_body, judge, settle, settle_body, words
from tests.test_enforcers_llm_usage import KIND, priced, rows

CEILINGS = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxOutputTokens",
    "maxTokens",
    "maxCompletionTokens",
    "num_predict",
    "max_tokens_to_sample",
    "n_predict",
    "max_new_tokens",
    "max_gen_len",
    "maxTokenCount",
    "budget_tokens",
]
ANSWERS = ["n", "best_of", "candidateCount", "candidate_count", "num_generations", "num_return_sequences"]
SETTINGS = [
    "generationConfig",
    "generation_config",
    "config",
    "inferenceConfig",
    "options",
    "parameters",
    "extra_body",
    "thinking",
    "reasoning",
    "textGenerationConfig",
    "additionalModelRequestFields",
]
OPTIONAL = words(
    "model provider prompt_tokens batch messages tools n generationConfig thinkingBudget system "
    "max_completion_tokens previous_response_id"
)


def reserve(params: Any, cap: Any = None) -> Any:
    verdict = check(LLM, KIND, cap or {}, params)
    return verdict.deny_code or verdict.reserve["tokens"]


@pytest.mark.req("X7-03")
@given(
    data=st.data(),
    ceilings=st.dictionaries(st.sampled_from(CEILINGS), st.integers(0, 10**6), min_size=1),
    answers=st.dictionaries(st.sampled_from(ANSWERS), st.integers(0, 20)),
)
def test_the_largest_ceiling_holds_under_every_name_and_answers_multiply(
    data: st.DataObject, ceilings: dict[str, int], answers: dict[str, int]
) -> None:
    params: dict[str, Any] = {}
    for name, value in [*ceilings.items(), *answers.items()]:
        within = data.draw(st.sampled_from([None, *SETTINGS]))
        (params if within is None else params.setdefault(within, {}))[name] = value
    most = max(ceilings.values())
    assert reserve(params) == most * max(1, *answers.values(), 1)
    assert reserve(params, {"max_tokens_max": most}) != "max_tokens_exceeded"
    if most:
        assert reserve(params, {"max_tokens_max": most - 1}) == "max_tokens_exceeded"


@pytest.mark.req("X7-03")
def test_a_thinking_budget_beside_the_ceiling_is_added_and_one_inside_is_not() -> None:
    def thinking(budget: int) -> Any:
        return {"generationConfig": {"maxOutputTokens": 100, "thinkingConfig": {"thinkingBudget": budget}}}

    assert [reserve(thinking(budget)) for budget in (0, 40, -1)] == [100, 140, 100 + 32_768]
    assert reserve({"max_tokens": 100, "thinking": {"type": "enabled", "budget_tokens": 40}}) == 100
    assert reserve({"max_tokens": 5, "prompt": ["a", "b", "c"], "prompt_tokens": 0}) == 15


@pytest.mark.req("X7-04")
@pytest.mark.parametrize("shape", REQUESTS)
@given(data=st.data(), said=st.integers(0, 100))
def test_an_honest_receipt_never_passes_the_reserve(shape: str, data: st.DataObject, said: int) -> None:
    asked: Asked = data.draw(REQUESTS[shape])
    params = asked.params | {"max_tokens": said}
    cap = priced(data.draw(rows), **({"audio_prompt": 10**8} if shape == "gemini" else {}))
    verdict = check(LLM, KIND, cap, params)
    assert verdict.deny_code == ""
    assert asked.prompt + said <= verdict.reserve["tokens"]
    cached = data.draw(st.integers(0, asked.prompt))
    used = Used(asked.prompt - cached, cached, 0, said, 0)
    settled = settle(LLM, KIND, cap, params, verdict.reserve, USAGES[shape][0](used))
    assert settled.violation_code in ("", "usage_unknown" if not said and shape == "gemini" else "")


@pytest.mark.req("X7-04", "X7-08")
@given(
    row=rows,
    bounds=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    parts=st.lists(st.integers(0, 10**6), min_size=5, max_size=5),
    shape=st.sampled_from(sorted(USAGES)),
    is_batch=st.booleans(),
)
def test_the_reserve_covers_every_outcome_within_its_bounds(
    row: dict[str, Any], bounds: tuple[int, int], parts: list[int], shape: str, is_batch: bool
) -> None:
    """Whatever was cached, written or thought, and whichever tier the prompt reaches."""
    cap = priced(row, batch=[1, 2])
    params = {"prompt_tokens": bounds[0], "max_tokens": bounds[1], "batch": is_batch}
    held = check(LLM, KIND, cap, params).reserve
    cached = min(parts[0], bounds[0])
    written = min(parts[1], bounds[0] - cached)
    thought = min(parts[2], bounds[1])
    used = Used(
        min(parts[3], bounds[0] - cached - written),
        cached,
        written,
        min(parts[4], bounds[1] - thought),
        thought,
    )
    if shape == "gemini" and not (used.prompt and used.completion):
        return
    settled = settle(LLM, KIND, cap, params, held, USAGES[shape][0](used))
    assert settled.violation_code == ""
    assert all(amount <= held[dim] for dim, amount in settled.usage.items())


@pytest.mark.req("X7-04")
def test_a_stated_count_bounds_the_prompt_whatever_the_request_holds() -> None:
    tools = [{"name": "search", "input_schema": {"type": "object"}}, {"type": "web_search"}]
    rest = {"system": "word " * 99, "tools": tools, "previous_response_id": "resp_1"}
    assert reserve({"max_tokens": 50, "prompt_tokens": 900, **rest}) == 950


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}, 16_384),
        ({"type": "input_image", "image_url": "https://example.com/a.png"}, 16_384),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 40_000}},
            16_384,
        ),
        ({"inlineData": {"mimeType": "image/png", "data": "A" * 40_000}}, 16_384),
        ({"image": {"format": "png", "source": {"bytes": "A" * 40_000}}}, 16_384),
        ({"role": "user", "images": ["A" * 40_000, "A" * 40_000]}, 2 * 16_384),
        ({"type": "input_audio", "input_audio": {"data": "A" * 8_000, "format": "wav"}}, 64 + 1_000),
        ({"fileData": {"mimeType": "audio/mp3", "fileUri": "https://example.com/a"}}, 131_072),
        ({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}, 262_144),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 40_000}}, 262_144),
        ({"fileData": {"mimeType": "video/mp4", "fileUri": "https://example.com/a"}}, 1_048_576),
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "word " * 99},
            },
            495,
        ),
        ({"type": "text", "text": "data:image/png;base64," + "A" * 978}, 1_000),
        ({"type": "tool_use", "input": {"url": "https://example.com/" + "a" * 480}}, 500),
    ],
)
@pytest.mark.req("X7-04")
def test_what_is_no_text_counts_by_its_bound_and_text_by_its_bytes(part: Any, tokens: int) -> None:
    found = reserve({"max_tokens": 0, "messages": [part]})
    assert tokens <= found <= tokens + 400


@pytest.mark.req("X7-04")
def test_a_grant_states_its_own_bounds() -> None:
    pictures = {
        "max_tokens": 0,
        "messages": [{"type": "input_image", "image_url": "https://example.com/a.png"}] * 3,
    }
    two, five = (reserve(pictures, {"bounds": {"picture": each}}) for each in (2_000, 5_000))
    assert five - two == 9_000
    assert reserve(pictures, {"bounds": {"pictures": 1}}) == "cap_params_invalid"


@pytest.mark.req("X7-06")
@pytest.mark.parametrize(
    ("sizes", "tokens"),
    [({"bytes": 40_000, "tokens": 9_000}, 9_000), ({"bytes": 40_000}, 40_000), ({}, "digest_unsized")],
)
def test_a_digest_stands_for_a_text_of_its_size(sizes: Any, tokens: Any) -> None:
    found = reserve(
        {"max_tokens": 0, "messages": [{"role": "user", "content": {"$digest": "b3:00", **sizes}}]}
    )
    assert found == tokens if isinstance(tokens, str) else tokens <= found <= tokens + 400
    assert reserve({"max_tokens": 0, "prompt_tokens": 7, "messages": [{"$digest": "b3:00"}]}) == 7


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "cachedContent", "cached_content"])
def test_a_prompt_that_lies_elsewhere_must_be_counted(name: str) -> None:
    assert reserve({"max_tokens": 5, "input": "go on", name: "id"}) == "prompt_elsewhere"
    assert reserve({"max_tokens": 5, "input": "go on", name: None}) < 300
    assert reserve({"max_tokens": 5, "input": [{"type": "item_reference", "id": "a"}]}) == "prompt_elsewhere"


@pytest.mark.req("X7-05")
@pytest.mark.parametrize("name", OPTIONAL)
def test_null_stands_for_absent_in_params_and_cap_params(name: str) -> None:
    assert reserve({"max_tokens": 20, name: None}) == 20
    nulls = dict.fromkeys(
        ("models", "providers", "tools", "max_tokens_max", "max_tokens", "prices", "bounds")
    )
    assert reserve({"max_tokens": None, name: None}, {"default_tokens": 20, **nulls}) == 20


@pytest.mark.parametrize(
    ("tool", "names"),
    [
        ("search", ["search"]),
        ({"name": "search"}, ["search"]),
        ({"type": "function", "function": {"name": "search", "parameters": {}}}, ["search"]),
        ({"toolSpec": {"name": "search"}}, ["search"]),
        ({"functionDeclarations": [{"name": "a"}, {"name": "b"}]}, ["a", "b"]),
        ({"type": "web_search"}, ["web_search"]),
        ({"googleSearch": {}}, ["googleSearch"]),
        ({"googleSearch": {}, "codeExecution": {}}, ["googleSearch", "codeExecution"]),
    ],
)
@pytest.mark.parametrize("place", ["tools", "functions", "toolConfig", "config"])
def test_every_tool_must_be_listed_wherever_it_stands(tool: Any, names: list[str], place: str) -> None:
    params: dict[str, Any] = {"max_tokens": 5, "prompt_tokens": 5}
    params |= {place: [tool]} if place in ("tools", "functions") else {place: {"tools": [tool]}}
    assert reserve(params, {"tools": names}) == 10
    for missing in names:
        assert reserve(params, {"tools": [*(set(names) - {missing}), "other"]}) == "tool_not_allowed"


@pytest.mark.parametrize("tool", [3, None, {}, {"title": "a"}, {"type": "function"}, {"function": {}}])
def test_a_tool_without_a_name_is_refused(tool: Any) -> None:
    assert reserve({"max_tokens": 5, "tools": [tool]}) == "params_invalid"


def test_prices_of_sound_hold_only_where_there_may_be_some() -> None:
    row = {"prompt": 10**6, "completion": 0, "audio_prompt": 9 * 10**6}
    text, sound = ({"max_tokens": 0, "messages": [{"role": "user", "content": part}]} for part in (
        "hi", [{"type": "input_audio", "input_audio": {"data": "A" * 800}}]))  # fmt: skip
    for params, price in ((text, 1), (sound, 9), ({"max_tokens": 0, "prompt_tokens": 50}, 9)):
        found = check(LLM, KIND, priced(row), params).reserve
        assert found["usd"] == found["tokens"] * price


@pytest.mark.parametrize(
    "prices",
    [
        {"resource": "usd", "prompt": 1},
        {"resource": "tokens", "prompt": 1, "completion": 1},
        {"prompt": 1, "completion": 1},
        {"resource": "usd", "prompt": 1, "completion": 1, "chached": 1},
        {"resource": "usd", "prompt": 1, "completion": 1, "batch": [2, 1]},
        {"resource": "usd", "prompt": 1, "completion": 1, "batch": [1, 0]},
        {"resource": "usd", "prompt": 1, "completion": 1, "scale": 19},
        {"resource": "usd", "prompt": 1, "completion": 1, "tiers": [{"prompt": 1}]},
        {"resource": "usd", "prompt": 1, "completion": 1, "tiers": [{"above": 5}, {"above": 5}]},
        {"resource": "usd", "prompt": 1, "completion": 1, "tiers": [{"above": each} for each in range(17)]},
        {"resource": "usd", "models": {"m": {"prompt": 1}}},
        {"prices": b"\x01" * 32, "row": {"prompt": 1, "completion": 1}},
    ],
)
def test_a_table_that_cannot_be_used_is_refused(prices: Any) -> None:
    params = {"max_tokens": 5, "prompt_tokens": 10**6, "model": "m"}
    assert reserve(params, {"prices": prices}) == "cap_params_invalid"


@pytest.mark.parametrize("prices", [{"prices": b"\x01" * 32, "row": None}, {"resource": "usd", "models": {}}])
def test_a_model_without_a_row_has_no_price(prices: Any) -> None:
    assert reserve({"max_tokens": 5, "model": "m"}, {"prices": prices}) == "price_missing"


# --- fuel: no input that fits uses it up ---------------------------------------------------------------

NAMES = [f"{i:05}" for i in range(2_048)]  # of tools half
TIERS = [
    {"above": each, "prompt": each, "completion": each, "cached": each, "reasoning": 1} for each in range(16)
]
UNIT = {"prompt": 1, "completion": 1}
BIG = 256 * 1024
FULL: dict[str, tuple[Any, Any]] = {
    "one text": ({}, {"messages": [{"role": "user", "content": "x" * BIG}]}),
    "a conversation": ({}, {"messages": [{"role": "user", "content": "word " * 40}] * 1_200}),
    "numbers": ({}, {"messages": [1] * BIG}),
    "large numbers": ({}, {"messages": [2**64 - 1] * (BIG // 9)}),
    "short texts": ({}, {"messages": ["a"] * (BIG // 2)}),
    "maps": ({}, {"messages": [{"a": 1}] * (BIG // 4)}),
    "media": ({}, {"messages": [{"type": "input_image", "image_url": "data:image/png;base64,A"}] * 4_000}),
    "digests": ({}, {"messages": [{"$digest": "a", "bytes": 1}] * 8_000}),
    "deep": ({}, {"messages": [[[[[[[[["a"]]]]]]]]] * 20_000}),
    "unread texts": ({}, {"metadata": ["a" * 30] * (BIG // 32)}),
    "unread numbers": ({}, {"metadata": [2**64 - 1] * (BIG // 9)}),
    "params": ({}, {f"{i:06}": 1 for i in range(BIG // 8)}),
    "settings": ({}, {"config": {f"{i:06}": 1 for i in range(BIG // 8)}}),
    "tools": (
        {"tools": NAMES[:1_024]},
        {"tools": [{"name": each, "input_schema": {}} for each in NAMES[:512]]},
    ),
    "functions": (
        {"tools": NAMES[:512]},
        {"tools": [{"functionDeclarations": [{"name": each} for each in NAMES[:200]]}]},
    ),
    "models": ({"models": NAMES}, {"model": NAMES[-1]}),
    "lists": (
        {"models": NAMES, "providers": NAMES, "tools": NAMES},
        {"model": NAMES[-1], "provider": NAMES[-1], "tools": ["a"]},
    ),
    "a table": (
        {"prices": {"resource": "usd", "models": dict.fromkeys(NAMES, UNIT)}},
        {"model": NAMES[-1]},
    ),
    "tiers": (priced({"prompt": 1, "completion": 1, "tiers": TIERS}), {"prompt_tokens": 10**9}),
}


@pytest.mark.req("S4-31", "X7-06")
@pytest.mark.parametrize("name", FULL)
def test_a_full_question_is_answered(name: str) -> None:
    cap, params = FULL[name]
    answer = judge(LLM, encode({"Check": check_body(KIND, cap, {"max_tokens": 5, **params})}))
    assert isinstance(answer, bytes), answer
    verdict = read_check(answer)
    assert isinstance(verdict, CheckVerdict)
    is_plain = name in ("one text", "a conversation", "tiers", "models", "functions")
    assert verdict.deny_code in (("",) if is_plain else ("", "too_many_values", "cap_params_invalid"))


PAYLOADS: dict[str, Any] = {
    "values": {"choices": [1] * 60_000, "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
    "keys": {f"{i:05}": 1 for i in range(7_000)},
    "usages": {"usage": {f"{i:05}": 1 for i in range(7_000)}},
    "modalities": {
        "usageMetadata": {"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}] * 2_000}
    },
    "a side": {"usage": {"prompt_tokens": 1}},
}


@pytest.mark.req("S4-31", "X7-06")
@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("name", ["one text", "a conversation", "tools", "tiers"])
def test_a_full_receipt_is_answered(name: str, payload: str) -> None:
    cap, params = FULL[name]
    body = settle_body(KIND, cap, {"max_tokens": 5, **params}, {"tokens": NATURAL_MAX}, PAYLOADS[payload])
    answer = judge(LLM, encode({"Settle": body}))
    assert isinstance(answer, bytes), answer
    assert read_settle(answer) is not None
